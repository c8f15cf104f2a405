//! How errors, panics, cancels, ends and stops travel: every kind of end at
//! every position of pipelines of two to five segments, in one task, in a task
//! per segment and in a thread per segment.

use std::sync::{Arc, Mutex};

use standpipe::error::{Cause, CauseKind};
use standpipe::stage::{Emit, More, Sink, Source, Transform};
use standpipe::{Batch, BoxError, Pipeline, Tank};

/// What a stage does when it meets the fatal item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Error,
    Panic,
    Cancel,
    /// Fails in `finish`, after all items.
    Finish,
}

/// One entry per call of `destroy`: stage and what it was told.
type Log = Arc<Mutex<Vec<(usize, Option<CauseKind>)>>>;

/// A stage at a position, which may be the faulty one.
struct Actor {
    position: usize,
    fault: Fault,
    next: u64,
    log: Log,
    canceller: Arc<Mutex<Option<standpipe::pipeline::Monitor>>>,
}

const ITEMS: u64 = 40;
const FATAL: u64 = 20;

impl Actor {
    #[expect(clippy::panic, reason = "a fault under test")]
    async fn meet(&self, item: u64) -> Result<(), BoxError> {
        if item == FATAL {
            match self.fault {
                Fault::Error => return Err(format!("fault at {}", self.position).into()),
                Fault::Panic => panic!("panic at {}", self.position),
                Fault::Cancel => {
                    let monitor = self.canceller.lock().expect("lock").clone();
                    let monitor = monitor.expect("set before the run");
                    monitor.cancel();
                    monitor.cancel(); // twice is once
                    std::future::pending::<()>().await;
                }
                Fault::None | Fault::Finish => {}
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<(), BoxError> {
        if self.fault == Fault::Finish {
            return Err(format!("finish fault at {}", self.position).into());
        }
        Ok(())
    }

    fn gone(&self, why: Option<&Cause>) {
        self.log.lock().expect("lock").push((self.position, why.map(Cause::kind)));
    }
}

struct From_(Actor);
struct Through(Actor);
struct Into_(Actor);

impl Source for From_ {
    type Item = u64;
    type Error = BoxError;
    async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, BoxError> {
        self.0.meet(self.0.next).await?;
        if self.0.next == ITEMS {
            self.0.end()?;
            return Ok(More::No);
        }
        out.send(self.0.next).await;
        self.0.next += 1;
        Ok(More::Yes)
    }
    fn destroy(&mut self, why: Option<&Cause>) {
        self.0.gone(why);
    }
}

impl Transform for Through {
    type In = u64;
    type Out = u64;
    type Error = BoxError;
    async fn transform(&mut self, item: u64, out: &mut impl Emit<u64>) -> Result<(), BoxError> {
        self.0.meet(item).await?;
        out.send(item).await;
        Ok(())
    }
    async fn finish(&mut self, _out: &mut impl Emit<u64>) -> Result<(), BoxError> {
        self.0.end()
    }
    fn destroy(&mut self, why: Option<&Cause>) {
        self.0.gone(why);
    }
}

impl Sink for Into_ {
    type In = u64;
    type Done = u64;
    type Error = BoxError;
    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, BoxError> {
        while let Some(item) = batch.pop() {
            self.0.meet(item).await?;
            self.0.next += 1;
        }
        Ok(More::Yes)
    }
    async fn finish(&mut self) -> Result<u64, BoxError> {
        self.0.end()?;
        Ok(self.0.next)
    }
    fn destroy(&mut self, why: Option<&Cause>) {
        self.0.gone(why);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Run,
    Spawn,
    Threads,
}

/// Runs `segments` segments with a fault at stage `at`; tanks hold one item,
/// so that every stage has met its neighbours' pressure.
async fn play(
    segments: usize,
    at: usize,
    fault: Fault,
    driver: Driver,
) -> (Result<u64, standpipe::PipelineError>, Vec<(usize, Option<CauseKind>)>) {
    let log = Log::default();
    let canceller = Arc::new(Mutex::new(None));
    let actor = |position| Actor {
        position,
        fault: if position == at { fault } else { Fault::None },
        next: 0,
        log: log.clone(),
        canceller: canceller.clone(),
    };
    let tank = || Tank::items(1);
    let begun = Pipeline::from("s0", From_(actor(0))).tank(tank());
    let ready = match segments {
        2 => begun.to("s1", Into_(actor(1))),
        3 => begun.transform("s1", Through(actor(1))).tank(tank()).to("s2", Into_(actor(2))),
        4 => begun
            .transform("s1", Through(actor(1)))
            .tank(tank())
            .transform("s2", Through(actor(2)))
            .tank(tank())
            .to("s3", Into_(actor(3))),
        _ => begun
            .transform("s1", Through(actor(1)))
            .tank(tank())
            .transform("s2", Through(actor(2)))
            .tank(tank())
            .transform("s3", Through(actor(3)))
            .tank(tank())
            .to("s4", Into_(actor(4))),
    };
    *canceller.lock().expect("lock") = Some(ready.monitor());
    let result = match driver {
        Driver::Run => ready.run().await,
        Driver::Spawn => ready.spawn().await,
        Driver::Threads => ready.threads().expect("threads").await,
    };
    let log = log.lock().expect("lock").clone();
    (result.map(|completed| completed.done), log)
}

fn once_each(log: &[(usize, Option<CauseKind>)], segments: usize) {
    let mut seen: Vec<usize> = log.iter().map(|(position, _)| *position).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..segments).collect::<Vec<_>>(), "destroyed once each: {log:?}");
}

async fn table(driver: Driver) {
    for segments in 2..=5 {
        for at in 0..segments {
            for fault in [Fault::Error, Fault::Panic, Fault::Finish] {
                let (result, log) = play(segments, at, fault, driver).await;
                let context = format!("{driver:?} {segments} {at} {fault:?} {log:?}");
                let error = result.expect_err(&context);
                let stage = error.stage().expect(&context);
                assert_eq!(stage.index, at, "{context}: {error}");
                assert_eq!(&*stage.name, format!("s{at}"), "{context}");
                let (kind, text) = match fault {
                    Fault::Error => (CauseKind::Failed, format!("fault at {at}")),
                    Fault::Panic => (CauseKind::Panicked, format!("panic at {at}")),
                    _ => (CauseKind::Failed, format!("finish fault at {at}")),
                };
                assert_eq!(error.kind(), kind, "{context}");
                assert!(error.to_string().contains(&text), "{context}: {error}");
                once_each(&log, segments);
                for (position, why) in &log {
                    // a stage that has finished is spared a later error
                    let told = match position.cmp(&at) {
                        std::cmp::Ordering::Less if fault == Fault::Finish => None,
                        std::cmp::Ordering::Less => Some(CauseKind::Stopped),
                        _ => Some(kind),
                    };
                    if fault == Fault::Finish || *position >= at || why.is_some() {
                        assert_eq!(*why, told, "{context}");
                    }
                }
                assert_eq!(error.report().stages.len(), segments, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_or_panic_at_any_stage_in_one_task() {
    table(Driver::Run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_or_panic_at_any_stage_in_a_task_each() {
    table(Driver::Spawn).await;
}

#[tokio::test]
async fn an_error_or_panic_at_any_stage_in_a_thread_each() {
    table(Driver::Threads).await;
}

#[tokio::test]
async fn stages_are_destroyed_from_the_failed_one_up_and_then_down() {
    for segments in 2..=5 {
        for at in 0..segments {
            let (_, log) = play(segments, at, Fault::Error, Driver::Run).await;
            let order: Vec<usize> = log.iter().map(|(position, _)| *position).collect();
            let expected: Vec<usize> = (0..=at).rev().chain(at + 1..segments).collect();
            assert_eq!(order, expected, "{segments} {at}");
        }
    }
}

#[tokio::test]
async fn a_cancel_from_any_stage_destroys_all_from_the_sink_up() {
    for driver in [Driver::Run, Driver::Spawn, Driver::Threads] {
        for segments in 2..=5 {
            for at in 0..segments {
                let (result, log) = play(segments, at, Fault::Cancel, driver).await;
                let error = result.expect_err("cancelled");
                assert_eq!(error.kind(), CauseKind::Cancelled);
                assert!(error.stage().is_none());
                assert!(error.consequences().is_empty(), "a second cancel is a no-op");
                once_each(&log, segments);
                let order: Vec<usize> = log.iter().map(|(position, _)| *position).collect();
                assert_eq!(order, (0..segments).rev().collect::<Vec<_>>(), "{driver:?}");
                assert!(log.iter().all(|(_, why)| *why == Some(CauseKind::Cancelled)), "{log:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_clean_end_destroys_each_stage_once_without_a_cause() {
    for driver in [Driver::Run, Driver::Spawn, Driver::Threads] {
        for segments in 2..=5 {
            let (result, log) = play(segments, usize::MAX, Fault::None, driver).await;
            assert_eq!(result.expect("clean"), ITEMS);
            once_each(&log, segments);
            assert!(log.iter().all(|(_, why)| why.is_none()), "{log:?}");
        }
    }
}

#[tokio::test]
async fn dropping_a_pipeline_ends_everything_it_began() {
    for begun in [false, true] {
        let log = Log::default();
        let actor = |position| Actor {
            position,
            fault: Fault::None,
            next: 0,
            log: log.clone(),
            canceller: Arc::default(),
        };
        let run = Pipeline::from("s0", From_(actor(0)))
            .tank(Tank::items(1))
            .transform("s1", Through(actor(1)))
            .tank(Tank::items(1))
            .to("s2", Never(actor(2)))
            .run();
        let mut run = Box::pin(run);
        if begun {
            assert!(futures::poll!(&mut run).is_pending());
        }
        drop(run);
        let log = log.lock().unwrap().clone();
        let cancelled = Some(CauseKind::Cancelled);
        assert_eq!(log, [(2, cancelled), (1, cancelled), (0, cancelled)]);
    }
}

/// Takes nothing, ever.
struct Never(Actor);

impl Sink for Never {
    type In = u64;
    type Done = ();
    type Error = BoxError;
    async fn write(&mut self, _batch: &mut Batch<u64>) -> Result<More, BoxError> {
        std::future::pending().await
    }
    async fn finish(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
    fn destroy(&mut self, why: Option<&Cause>) {
        self.0.gone(why);
    }
}

#[tokio::test]
async fn a_pipeline_that_is_built_and_never_run_destroys_its_stages() {
    let log = Log::default();
    let actor = |position| Actor {
        position,
        fault: Fault::None,
        next: 0,
        log: log.clone(),
        canceller: Arc::default(),
    };
    drop(Pipeline::from("s0", From_(actor(0))).tank(Tank::items(1)).to("s1", Into_(actor(1))));
    once_each(&log.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_map_that_panics_is_named() {
    let error = Pipeline::from("numbers", standpipe::stage::iter(0..10))
        .map("fine", |n| n)
        .map("divide", |n: i32| 100 / (5 - n))
        .tank(Tank::items(2))
        .to("all", standpipe::stage::collect(100))
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CauseKind::Panicked);
    assert_eq!(&*error.stage().unwrap().name, "divide");
    assert!(error.to_string().contains("divide by zero"), "{error}");
}

#[tokio::test]
async fn a_destroy_that_panics_is_a_consequence_and_the_others_are_still_destroyed() {
    struct Bad;
    impl Sink for Bad {
        type In = u64;
        type Done = ();
        type Error = BoxError;
        async fn write(&mut self, _batch: &mut Batch<u64>) -> Result<More, BoxError> {
            Err("disk full".into())
        }
        async fn finish(&mut self) -> Result<(), BoxError> {
            Ok(())
        }
        fn destroy(&mut self, _why: Option<&Cause>) {
            panic!("while cleaning up");
        }
    }
    let log = Log::default();
    let actor = Actor {
        position: 0,
        fault: Fault::None,
        next: 0,
        log: log.clone(),
        canceller: Arc::default(),
    };
    let error = Pipeline::from("s0", From_(actor))
        .tank(Tank::items(1))
        .to("bad", Bad)
        .run()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error}");
    assert_eq!(error.consequences().len(), 1);
    assert!(error.consequences()[0].to_string().contains("while cleaning up"));
    once_each(&log.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_sink_that_takes_nothing_and_says_it_did_is_named() {
    struct Lazy;
    impl Sink for Lazy {
        type In = u64;
        type Done = ();
        type Error = BoxError;
        async fn write(&mut self, _batch: &mut Batch<u64>) -> Result<More, BoxError> {
            Ok(More::Yes)
        }
        async fn finish(&mut self) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let error = Pipeline::from("numbers", standpipe::stage::iter(0..10_u64))
        .tank(Tank::items(4))
        .to("lazy", Lazy)
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CauseKind::Misused);
    assert_eq!(&*error.stage().unwrap().name, "lazy");
}

#[tokio::test]
async fn nothing_is_kept_alive_after_a_cancel() {
    let item = Arc::new(());
    let weak = Arc::downgrade(&item);
    let ready = Pipeline::from("items", standpipe::stage::iter(std::iter::repeat(item)))
        .tank(Tank::items(8))
        .to("never", Hold(Vec::new()));
    let monitor = ready.monitor();
    let mut run = Box::pin(ready.run());
    assert!(futures::poll!(&mut run).is_pending());
    monitor.cancel();
    let error = run.as_mut().await.unwrap_err();
    assert_eq!(error.kind(), CauseKind::Cancelled);
    drop(run);
    assert_eq!(weak.strong_count(), 0);
    // the monitor outlives the pipeline and still has the numbers
    assert!(monitor.report().tanks[0].written.items >= 8);
}

/// Keeps what it takes.
struct Hold(Vec<Arc<()>>);

impl Sink for Hold {
    type In = Arc<()>;
    type Done = ();
    type Error = BoxError;
    async fn write(&mut self, batch: &mut Batch<Arc<()>>) -> Result<More, BoxError> {
        self.0.extend(batch.pop());
        std::future::pending().await
    }
    async fn finish(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}
