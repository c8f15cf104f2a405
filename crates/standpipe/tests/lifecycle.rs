//! How stages are opened, closed and destroyed: once each, at every position,
//! whoever drives them.

mod hand;

use std::future::Future;
use std::sync::{Arc, Mutex};

use hand::{Hand, now};
use standpipe::error::{Cause, CauseKind};
use standpipe::pipeline::{Completed, Ready};
use standpipe::stage::{Emit, More, Sink, Source, Transform, collect, fold, iter};
use standpipe::{Batch, BoxError, Pipeline, PipelineError, Tank};
use tokio::sync::Semaphore;

/// What goes wrong, or takes its time, at one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    OpenFails,
    OpenPanics,
    CloseFails,
    ClosePanics,
    ItemFails,
}

/// What all stages of a pipeline write into: `o` opened, `i` first item, `c`
/// closed, `d` destroyed, with the position.
type Log = Arc<Mutex<Vec<(char, usize)>>>;

/// What a stage of any kind does.
#[derive(Clone)]
struct Actor {
    position: usize,
    fault: Fault,
    log: Log,
    opening: Arc<Semaphore>,
    closing: Arc<Semaphore>,
    met: bool,
}

impl Actor {
    fn note(&self, what: char) {
        self.log.lock().expect("lock").push((what, self.position));
    }

    #[expect(clippy::panic, reason = "a fault under test")]
    async fn open(&self) -> Result<(), BoxError> {
        drop(self.opening.acquire().await?);
        self.note('o');
        match self.fault {
            Fault::OpenFails => Err(format!("cannot open {}", self.position).into()),
            Fault::OpenPanics => panic!("cannot open {}", self.position),
            _ => Ok(()),
        }
    }

    fn item(&mut self) -> Result<(), BoxError> {
        if !self.met {
            self.met = true;
            self.note('i');
        }
        if self.fault == Fault::ItemFails {
            return Err(format!("no such item at {}", self.position).into());
        }
        Ok(())
    }

    #[expect(clippy::panic, reason = "a fault under test")]
    async fn close(&self) -> Result<(), BoxError> {
        drop(self.closing.acquire().await?);
        self.note('c');
        match self.fault {
            Fault::CloseFails => Err(format!("cannot close {}", self.position).into()),
            Fault::ClosePanics => panic!("cannot close {}", self.position),
            _ => Ok(()),
        }
    }
}

struct First(Actor, u64);
struct Middle(Actor);
struct Last(Actor, u64);

impl Source for First {
    type Item = u64;
    type Error = BoxError;
    async fn open(&mut self) -> Result<(), BoxError> {
        self.0.open().await
    }
    async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, BoxError> {
        self.0.item()?;
        out.send(self.1).await;
        self.1 += 1;
        Ok(if self.1 < 20 { More::Yes } else { More::No })
    }
    async fn close(&mut self, _why: Option<&Cause>) -> Result<(), BoxError> {
        self.0.close().await
    }
    fn destroy(&mut self, _why: Option<&Cause>) {
        self.0.note('d');
    }
}

impl Transform for Middle {
    type In = u64;
    type Out = u64;
    type Error = BoxError;
    async fn open(&mut self) -> Result<(), BoxError> {
        self.0.open().await
    }
    async fn transform(&mut self, item: u64, out: &mut impl Emit<u64>) -> Result<(), BoxError> {
        self.0.item()?;
        out.send(item).await;
        Ok(())
    }
    async fn close(&mut self, _why: Option<&Cause>) -> Result<(), BoxError> {
        self.0.close().await
    }
    fn destroy(&mut self, _why: Option<&Cause>) {
        self.0.note('d');
    }
}

impl Sink for Last {
    type In = u64;
    type Done = u64;
    type Error = BoxError;
    async fn open(&mut self) -> Result<(), BoxError> {
        self.0.open().await
    }
    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, BoxError> {
        self.0.item()?;
        while batch.pop().is_some() {
            self.1 += 1;
        }
        Ok(More::Yes)
    }
    async fn finish(&mut self) -> Result<u64, BoxError> {
        Ok(self.1)
    }
    async fn close(&mut self, _why: Option<&Cause>) -> Result<(), BoxError> {
        self.0.close().await
    }
    fn destroy(&mut self, _why: Option<&Cause>) {
        self.0.note('d');
    }
}

/// What the stages of a pipeline have in common, and which is at fault.
fn actor(at: usize, fault: Fault) -> Actor {
    let free = || Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    Actor { position: at, fault, log: Log::default(), opening: free(), closing: free(), met: false }
}

/// Five stages in three segments: two have two stages each, and in the second
/// futures are in flight downstream of a transform.
fn line(actor: &Actor) -> Ready<u64> {
    let at = |position| Actor {
        position,
        fault: if position == actor.position { actor.fault } else { Fault::None },
        ..actor.clone()
    };
    // its clock stands still: a poll on a busy machine may take more than a turn
    Pipeline::from_with_clock("s0", First(at(0), 0), || 0)
        .transform("s1", Middle(at(1)))
        .tank(Tank::items(1))
        .transform("s2", Middle(at(2)))
        .unordered("later", 2, |n| async move { Ok::<_, BoxError>(n) })
        .tank(Tank::items(1))
        .transform("s3", Middle(at(3)))
        .to("s4", Last(at(4), 0))
}

const STAGES: usize = 5;
/// The index of a stage in the pipeline: `later` is one, too.
const INDEX: [usize; STAGES] = [0, 1, 2, 4, 5];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Run,
    Spawn,
    Threads,
}

async fn drive(ready: Ready<u64>, driver: Driver) -> Result<Completed<u64>, PipelineError> {
    match driver {
        Driver::Run => ready.run().await,
        Driver::Spawn => ready.spawn().await,
        Driver::Threads => ready.threads().expect("threads").await,
    }
}

/// Where each position stands in the log under this letter.
fn places(log: &[(char, usize)], what: char) -> Vec<Option<usize>> {
    let place = |position| {
        let mut found = log.iter().enumerate().filter(|(_, entry)| **entry == (what, position));
        let first = found.next().map(|(index, _)| index);
        assert!(found.next().is_none(), "`{what}` twice at {position}: {log:?}");
        first
    };
    (0..STAGES).map(place).collect()
}

/// What holds of every run, however it ends.
fn in_order(log: &[(char, usize)], context: &str) {
    let [opened, item, closed, gone] = ['o', 'i', 'c', 'd'].map(|what| places(log, what));
    for position in 0..STAGES {
        let gone = gone[position].expect(context);
        assert!(closed[position].is_none_or(|closed| closed < gone), "{context}");
        assert!(item[position].is_none_or(|item| opened[position] < Some(item)), "{context}");
        assert_eq!(opened[position].is_some(), closed[position].is_some(), "{context}");
    }
}

async fn table(driver: Driver) {
    for (at, index) in INDEX.into_iter().enumerate() {
        let all = [
            Fault::None,
            Fault::OpenFails,
            Fault::OpenPanics,
            Fault::CloseFails,
            Fault::ClosePanics,
            Fault::ItemFails,
        ];
        for fault in all {
            let actor = actor(at, fault);
            let result = drive(line(&actor), driver).await;
            let log = actor.log.lock().expect("lock").clone();
            let context = format!("{driver:?} {at} {fault:?} {log:?}");
            in_order(&log, &context);
            let (kind, text) = match fault {
                Fault::None => {
                    assert_eq!(result.expect(&context).done, 20);
                    assert_eq!(log.len(), 4 * STAGES, "{context}");
                    continue;
                }
                Fault::OpenFails => (CauseKind::Failed, format!("cannot open {at}")),
                Fault::OpenPanics => (CauseKind::Panicked, format!("cannot open {at}")),
                Fault::CloseFails => (CauseKind::Failed, format!("cannot close {at}")),
                Fault::ClosePanics => (CauseKind::Panicked, format!("in close: cannot close {at}")),
                Fault::ItemFails => (CauseKind::Failed, format!("no such item at {at}")),
            };
            let closes = matches!(fault, Fault::CloseFails | Fault::ClosePanics);
            let cause = match result {
                // what the sink has finished stands
                Ok(completed) if closes => {
                    assert_eq!((completed.done, completed.late.len()), (20, 1), "{context}");
                    completed.late[0].clone()
                }
                result => {
                    let error = result.expect_err(&context);
                    // another thread may see its neighbour go before it is told why
                    let seen = |later: &Cause| {
                        matches!(later.kind(), CauseKind::Abandoned | CauseKind::Stopped)
                    };
                    assert!(error.consequences().iter().all(seen), "{context}: {error:?}");
                    error.cause().clone()
                }
            };
            assert_eq!((cause.kind(), cause.stage().expect(&context).index), (kind, index));
            assert!(cause.to_string().contains(&text), "{context}: {cause}");
        }
    }
}

#[tokio::test]
async fn every_stage_opens_and_closes_once_in_one_task() {
    table(Driver::Run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stage_opens_and_closes_once_in_a_task_each() {
    table(Driver::Spawn).await;
}

#[tokio::test]
async fn every_stage_opens_and_closes_once_in_a_thread_each() {
    table(Driver::Threads).await;
}

#[tokio::test]
async fn a_close_that_fails_after_a_failure_is_a_consequence() {
    let mut actor = actor(2, Fault::ItemFails);
    actor.closing = Arc::new(Semaphore::new(0));
    actor.closing.close(); // from now on `acquire` fails, in every stage
    let error = line(&actor).run().await.unwrap_err();
    assert_eq!(error.cause().to_string(), "stage 2 `s2`: no such item at 2");
    assert_eq!(error.consequences().len(), 3, "of each that was open");
    in_order_without_close(&actor.log.lock().unwrap());
}

fn in_order_without_close(log: &[(char, usize)]) {
    assert!(places(log, 'c').iter().all(Option::is_none));
    assert!(places(log, 'd').iter().all(Option::is_some), "{log:?}");
}

#[test]
fn nothing_is_read_before_it_is_open_and_the_tanks_fill_meanwhile() {
    let actor = actor(usize::MAX, Fault::None);
    let sink = Actor { position: 4, opening: Arc::new(Semaphore::new(0)), ..actor.clone() };
    let opening = sink.opening.clone();
    let source = Actor { position: 0, ..actor.clone() };
    // a clock that stands still: one turn is enough, however busy the machine
    let ready = Pipeline::from_with_clock("first", First(source, 0), || 0)
        .tank(Tank::items(4))
        .to("last", Last(sink, 0));
    let monitor = ready.monitor();
    let mut run = Hand::new(ready.run());
    run.waits();
    assert_eq!(*actor.log.lock().unwrap(), [('o', 0), ('i', 0)]);
    assert_eq!(monitor.report().tanks[0].level, 4, "the source waits at the mark");
    opening.add_permits(1);
    assert_eq!(run.ready().unwrap().done, 20);
}

#[test]
fn opening_counts_as_work_and_not_as_a_wait_for_input() {
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let reading = clock.clone();
    let actor = actor(usize::MAX, Fault::None);
    let sink = Actor { opening: Arc::new(Semaphore::new(0)), ..actor };
    let opening = sink.opening.clone();
    let ready = Pipeline::from_with_clock("first", iter(0..3), move || {
        reading.load(std::sync::atomic::Ordering::SeqCst)
    })
    .tank(Tank::items(4))
    .to("last", Last(sink, 0));
    let mut run = Hand::new(ready.run());
    run.waits();
    clock.store(1_000, std::sync::atomic::Ordering::SeqCst);
    opening.add_permits(1);
    let report = run.ready().unwrap().report;
    assert_eq!((report.stages[1].own_wait_ns, report.stages[1].starved_ns), (1_000, 0));
}

#[test]
fn a_graceful_stop_ends_a_source_that_is_still_opening() {
    let actor = actor(usize::MAX, Fault::None);
    let source = Actor { position: 0, opening: Arc::new(Semaphore::new(0)), ..actor.clone() };
    let ready = Pipeline::from_with_clock("first", First(source, 0), || 0)
        .tank(Tank::items(4))
        .to("count", fold(0, add));
    let monitor = ready.monitor();
    let mut run = Hand::new(ready.run());
    run.waits();
    monitor.drain();
    assert_eq!(run.ready().unwrap().done, 0);
    assert_eq!(*actor.log.lock().unwrap(), [('c', 0), ('d', 0)]);
}

fn add(sum: u64, n: u64) -> u64 {
    sum + n
}

/// Polls a pipeline whose stages may not close yet.
fn held_back(
    fault: Fault,
) -> (Actor, Hand<impl Future<Output = Result<Completed<u64>, PipelineError>>>) {
    let mut actor = actor(1, fault);
    actor.closing = Arc::new(Semaphore::new(0));
    let mut run = Hand::new(line(&actor).run());
    run.waits();
    (actor, run)
}

#[test]
fn the_result_comes_when_the_last_has_closed() {
    for fault in [Fault::None, Fault::ItemFails] {
        let (actor, mut run) = held_back(fault);
        {
            let log = actor.log.lock().unwrap();
            let (opened, gone) = (places(&log, 'o'), places(&log, 'd'));
            assert!((0..STAGES).all(|at| opened[at].is_none() || gone[at].is_none()), "{log:?}");
        }
        // all of them wait at the same time: whoever has the permit passes it on
        actor.closing.add_permits(1);
        let polls = (1..=STAGES).find(|_| run.poll().is_ready());
        assert!(polls.is_some() && run.wakes() > 0, "{fault:?}");
        in_order(&actor.log.lock().unwrap(), "closed in turns");
    }
}

#[test]
fn dropping_the_pipeline_destroys_what_closes_where_it_waits() {
    let (actor, run) = held_back(Fault::ItemFails);
    drop(run);
    in_order_without_close(&actor.log.lock().unwrap());
}

/// What the `close` of a stage held panicked as it was dropped where it waited;
/// the panic came out of the drop of the pipeline, which is no place to catch it.
#[test]
fn a_panic_of_what_is_dropped_where_it_closes_stays_inside() {
    struct Brittle;
    impl Drop for Brittle {
        fn drop(&mut self) {
            panic!("broke as it was dropped");
        }
    }
    struct Closing(Log);
    impl Sink for Closing {
        type In = u64;
        type Done = ();
        type Error = BoxError;
        async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, BoxError> {
            batch.drain().for_each(drop);
            Ok(More::Yes)
        }
        async fn finish(&mut self) -> Result<(), BoxError> {
            Ok(())
        }
        async fn close(&mut self, _why: Option<&Cause>) -> Result<(), BoxError> {
            let _brittle = Brittle;
            std::future::pending().await
        }
        fn destroy(&mut self, _why: Option<&Cause>) {
            self.0.lock().expect("lock").push(('d', 0));
        }
    }
    let log = Log::default();
    let ready = Pipeline::from("numbers", iter(0..3)).to("close", Closing(log.clone()));
    let monitor = ready.monitor();
    let mut run = Hand::new(ready.run());
    run.waits();
    drop(run);
    assert!(monitor.is_over());
    assert_eq!(*log.lock().unwrap(), [('d', 0)]);
}

#[tokio::test]
async fn dropping_a_spawned_pipeline_lets_its_stages_close() {
    let mut actor = actor(1, Fault::None);
    actor.closing = Arc::new(Semaphore::new(0));
    let spawned = line(&actor).spawn();
    tokio::task::yield_now().await;
    drop(spawned);
    actor.closing.add_permits(1);
    let settled = || {
        let log = actor.log.lock().unwrap();
        places(&log, 'd').iter().all(Option::is_some)
    };
    while !settled() {
        tokio::task::yield_now().await;
    }
    in_order(&actor.log.lock().unwrap(), "dropped");
}

#[test]
fn a_runtime_that_shuts_down_while_they_close_destroys_them() {
    let mut actor = actor(1, Fault::ItemFails);
    actor.closing = Arc::new(Semaphore::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let spawned = {
        let _inside = runtime.enter();
        line(&actor).spawn()
    };
    let failed = || places(&actor.log.lock().unwrap(), 'i')[1].is_some();
    runtime.block_on(async {
        while !failed() {
            tokio::task::yield_now().await;
        }
    });
    drop(runtime);
    in_order_without_close(&actor.log.lock().unwrap());
    let error = now(spawned).unwrap_err();
    assert_eq!(error.kind(), CauseKind::Failed);
}

/// Adds its number to each item, or fails at one.
struct Add(u64, Option<u64>, Log);

impl Transform for Add {
    type In = u64;
    type Out = u64;
    type Error = BoxError;
    async fn open(&mut self) -> Result<(), BoxError> {
        self.2.lock().expect("lock").push(('o', usize::try_from(self.0)?));
        Ok(())
    }
    async fn transform(&mut self, item: u64, out: &mut impl Emit<u64>) -> Result<(), BoxError> {
        if self.1 == Some(item) {
            return Err(format!("{} cannot take {item}", self.0).into());
        }
        out.send(item + self.0).await;
        Ok(())
    }
    async fn finish(&mut self, out: &mut impl Emit<u64>) -> Result<(), BoxError> {
        out.send(1_000 * self.0).await;
        Ok(())
    }
    async fn close(&mut self, _why: Option<&Cause>) -> Result<(), BoxError> {
        self.2.lock().expect("lock").push(('c', usize::try_from(self.0)?));
        Ok(())
    }
    fn destroy(&mut self, _why: Option<&Cause>) {
        self.2.lock().expect("lock").push(('d', usize::try_from(self.0).unwrap_or(0)));
    }
}

/// Three transforms as one value.
fn three(fails: [Option<u64>; 3], log: &Log) -> impl Transform<In = u64, Out = u64> + use<> {
    let add = |n: u64, at: usize| Add(n, fails[at], log.clone());
    add(1, 0).then(add(10, 1)).then(add(100, 2))
}

#[test]
fn composed_transforms_are_one_stage() {
    let log = Log::default();
    let completed = futures::executor::block_on(
        Pipeline::from("numbers", iter(0..3))
            .transform("three", three([None; 3], &log))
            .tank(Tank::items(1))
            .to("all", collect(16))
            .run(),
    );
    let completed = completed.unwrap();
    // what each gives at the end goes through those behind it
    assert_eq!(completed.done, [111, 112, 113, 1_110, 10_100, 100_000]);
    assert_eq!(completed.report.tanks[0].peak, 1, "no room but the tank's");
    let all = [1, 10, 100];
    let want: Vec<(char, usize)> =
        ['o', 'c', 'd'].into_iter().flat_map(|what| all.map(|n| (what, n))).collect();
    assert_eq!(*log.lock().unwrap(), want);
}

#[test]
fn an_error_inside_is_that_of_the_composed_stage() {
    for at in 0..3 {
        let log = Log::default();
        let mut fails = [None; 3];
        fails[at] = Some([2, 3, 13][at]);
        let run = Pipeline::from("numbers", iter(0..9))
            .transform("three", three(fails, &log))
            .tank(Tank::items(1))
            .to("all", collect(16))
            .run();
        let error = futures::executor::block_on(run).unwrap_err();
        assert_eq!(&*error.stage().unwrap().name, "three");
        let want = format!("stage 1 `three`: {} cannot take {}", [1, 10, 100][at], [2, 3, 13][at]);
        assert_eq!(error.cause().to_string(), want);
        assert_eq!(log.lock().unwrap().iter().filter(|(what, _)| *what == 'd').count(), 3);
    }
}

#[test]
fn a_composed_transform_waits_for_room_item_by_item() {
    let log = Log::default();
    let (writable, _unread) = Tank::items(2).build();
    let ready = Pipeline::from("numbers", iter(0..100))
        .transform("three", three([None; 3], &log))
        .to("tank", standpipe::adapt::tank::into_writable(writable.clone()));
    let mut run = Hand::new(ready.run());
    run.waits();
    assert_eq!(writable.level(), 2);
    assert_eq!(writable.gauge().snapshot().written.items, 2);
}
