//! Pipelines end to end: data, pressure, ends, numbers.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use standpipe::error::CauseKind;
use standpipe::pipeline::Completed;
use standpipe::snapshot::{Confidence, StageState};
use standpipe::stage::{Emit, More, Sink, Source, Transform, collect, fold, for_each, iter};
use standpipe::tank::Gauge;
use standpipe::{Batch, BoxError, Overflow, Pipeline, Report, Tank};

/// Gives each item twice, and a farewell at the end.
struct Twice;

impl Transform for Twice {
    type In = u64;
    type Out = u64;
    type Error = Infallible;

    async fn transform(&mut self, item: u64, out: &mut impl Emit<u64>) -> Result<(), Infallible> {
        out.send(item).await;
        out.send(item).await;
        Ok(())
    }

    async fn finish(&mut self, out: &mut impl Emit<u64>) -> Result<(), Infallible> {
        out.send(1_000_000).await;
        Ok(())
    }
}

#[tokio::test]
async fn items_flow_through_fused_stages_tanks_and_transforms_in_order() {
    let pipeline = || {
        Pipeline::from("numbers", iter(0..100_u64))
            .map("plus one", |n| n + 1)
            .filter("even", |n| n % 2 == 0)
            .tank(Tank::items(4))
            .transform("twice", Twice)
            .tank(Tank::items(3))
            .flat_map("spread", |n| (0..2).map(move |k| n * 10 + k))
            .filter_map("drop odd", |n| (n % 2 == 0).then_some(n))
            .to("all", collect(1_000))
    };
    let mut expected: Vec<u64> = (1..=50).flat_map(|half| [half * 20, half * 20]).collect();
    expected.push(10_000_000);
    assert_eq!(pipeline().run().await.unwrap().done, expected);
    assert_eq!(pipeline().spawn().await.unwrap().done, expected);
    assert_eq!(pipeline().threads().unwrap().await.unwrap().done, expected);
    assert_eq!(futures::executor::block_on(pipeline().run()).unwrap().done, expected);
}

#[tokio::test]
async fn an_empty_source_ends_cleanly() {
    let done = Pipeline::from("nothing", iter(std::iter::empty::<u8>()))
        .tank(Tank::items(1))
        .to("all", collect(0))
        .run()
        .await
        .unwrap();
    assert_eq!(done.done, Vec::<u8>::new());
    assert!(done.report.stages.iter().all(|stage| stage.state == StageState::Done));
}

#[tokio::test]
async fn a_pipeline_without_a_tank_is_one_segment() {
    let done = Pipeline::from("numbers", iter(1..=10_u64))
        .map("square", |n| n * n)
        .to("sum", fold(0, |sum, n: u64| sum + n))
        .run()
        .await
        .unwrap();
    assert_eq!(done.done, 385);
    assert_eq!(done.report.stages.len(), 1);
    assert_eq!(&*done.report.stages[0].name, "numbers+square+sum");
}

#[tokio::test]
async fn a_sink_that_never_finishes_a_write_stops_the_source_at_the_mark() {
    struct Stuck;
    impl Sink for Stuck {
        type In = u64;
        type Done = ();
        type Error = Infallible;
        async fn write(&mut self, _batch: &mut Batch<u64>) -> Result<More, Infallible> {
            std::future::pending().await
        }
        async fn finish(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }
    let pulled = Arc::new(AtomicU64::new(0));
    let count = pulled.clone();
    let ready = Pipeline::from(
        "numbers",
        iter((0..u64::MAX).inspect(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })),
    )
    .tank(Tank::items(8))
    .to("stuck", Stuck);
    let monitor = ready.monitor();
    let run = ready.run();
    tokio::pin!(run);
    for _ in 0..10 {
        assert!(futures::poll!(&mut run).is_pending());
    }
    // what the mark can hold and not one more
    assert_eq!(pulled.load(Ordering::Relaxed), 8);
    let report = monitor.report();
    assert_eq!(report.tanks[0].level, 8, "a batch in the sink's hands is still charged");
    assert_eq!(report.stages[0].state, StageState::Paused);
    assert_eq!(report.stages[1].state, StageState::Busy, "it holds items");
}

#[tokio::test]
async fn a_sink_that_has_enough_stops_upstream_and_its_word_is_the_result() {
    struct First(usize, Vec<u64>);
    impl Sink for First {
        type In = u64;
        type Done = Vec<u64>;
        type Error = BoxError;
        async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, BoxError> {
            while let Some(item) = batch.pop() {
                self.1.push(item);
                if self.1.len() == self.0 {
                    return Ok(More::No);
                }
            }
            Ok(More::Yes)
        }
        async fn finish(&mut self) -> Result<Vec<u64>, BoxError> {
            Ok(std::mem::take(&mut self.1))
        }
    }
    for spawned in [false, true] {
        let ready = Pipeline::from("endless", iter(0_u64..))
            .tank(Tank::items(4))
            .map("same", |n| n)
            .tank(Tank::items(4))
            .to("first", First(10, Vec::new()));
        let done = if spawned { ready.spawn().await } else { ready.run().await }.unwrap();
        assert_eq!(done.done, (0..10).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn idle_flushes_what_a_transform_holds_back() {
    /// Gives on in pairs, unless its input idles.
    struct Pairs(Option<u64>);
    impl Transform for Pairs {
        type In = u64;
        type Out = Vec<u64>;
        type Error = Infallible;
        async fn transform(
            &mut self,
            item: u64,
            out: &mut impl Emit<Vec<u64>>,
        ) -> Result<(), Infallible> {
            match self.0.take() {
                Some(first) => out.send(vec![first, item]).await,
                None => self.0 = Some(item),
            }
            Ok(())
        }
        async fn idle(&mut self, out: &mut impl Emit<Vec<u64>>) -> Result<(), Infallible> {
            if let Some(item) = self.0.take() {
                out.send(vec![item]).await;
            }
            Ok(())
        }
        async fn finish(&mut self, out: &mut impl Emit<Vec<u64>>) -> Result<(), Infallible> {
            self.idle(out).await
        }
    }
    /// Three at once, then one each second.
    struct Bursts(u64);
    impl Source for Bursts {
        type Item = u64;
        type Error = Infallible;
        async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Infallible> {
            if self.0 >= 3 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            out.send(self.0).await;
            self.0 += 1;
            Ok(if self.0 < 5 { More::Yes } else { More::No })
        }
    }
    let done = Pipeline::from("bursts", Bursts(0))
        .tank(Tank::items(16))
        .transform("pairs", Pairs(None))
        .tank(Tank::items(16))
        .to("all", collect(10))
        .run()
        .await
        .unwrap();
    // the last of each burst comes at once, not with the next burst
    assert_eq!(done.done.last(), Some(&vec![4]));
    assert!(done.done.contains(&vec![2]) && done.done.contains(&vec![3]), "{:?}", done.done);
}

/// A source, a transform and a sink that take time on a manual clock.
fn manual(clock: &Arc<AtomicU64>) -> impl Fn() -> u64 + Send + Sync + 'static {
    let clock = clock.clone();
    move || clock.load(Ordering::SeqCst)
}

fn spend(clock: &Arc<AtomicU64>, ns: u64) -> impl Fn(u64) -> u64 + Send + Sync + 'static {
    let clock = clock.clone();
    move |item| {
        clock.fetch_add(ns, Ordering::SeqCst);
        item
    }
}

fn adds_up(report: &Report) {
    let wall = u64::try_from(report.elapsed.as_nanos()).expect("a short run");
    for stage in &report.stages {
        // a stage that is over early is over: its own time ends there
        assert!(stage.wall_ns() <= wall, "{stage:?}");
    }
    let last = report.stages.last().expect("a sink");
    let off = wall.abs_diff(last.wall_ns());
    assert!(off * 100 <= wall, "{last:?} of {wall}");
}

async fn timed(costs: [u64; 3], marks: [usize; 2]) -> Completed<u64> {
    let clock = Arc::new(AtomicU64::new(7));
    let done = Pipeline::from_with_clock("source", iter(0..2_000_u64), manual(&clock))
        .map("read", spend(&clock, costs[0]))
        .tank(Tank::items(marks[0]))
        .map("work", spend(&clock, costs[1]))
        .tank(Tank::items(marks[1]))
        .map("write", spend(&clock, costs[2]))
        .to("count", fold(0, |count, _: u64| count + 1))
        .run()
        .await
        .expect("nothing fails");
    assert_eq!(done.done, 2_000);
    done
}

#[tokio::test]
async fn busy_paused_and_starved_add_up_to_wall_time_on_a_manual_clock() {
    for costs in [[10, 1, 1], [1, 10, 1], [1, 1, 10], [5, 5, 5]] {
        for marks in [[1, 1], [8, 2], [64, 64]] {
            let done = timed(costs, marks).await;
            adds_up(&done.report);
            // in one task only one stage runs at a time: busy less letting others
            // run is exactly what it cost
            for (stage, cost) in done.report.stages.iter().zip(costs) {
                let ran_ns = stage.busy_ns - stage.not_running_ns;
                assert_eq!(ran_ns, cost * 2_000, "{costs:?} {marks:?} {stage:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_slowest_stage_is_named_and_certain() {
    for slow in 0..3 {
        let mut costs = [1, 1, 1];
        costs[slow] = 50;
        let report = timed(costs, [8, 8]).await.report;
        let slowest = report.slowest.unwrap();
        assert_eq!(slowest.position, slow, "{slowest:?}");
        assert_eq!(slowest.confidence, Confidence::Certain);
        assert!(slowest.because.contains("is busy"), "{}", slowest.because);
    }
}

#[tokio::test]
async fn an_open_wait_is_counted_in_a_live_report() {
    let clock = Arc::new(AtomicU64::new(0));
    struct Never;
    impl Source for Never {
        type Item = u64;
        type Error = Infallible;
        async fn read(&mut self, _out: &mut impl Emit<u64>) -> Result<More, Infallible> {
            std::future::pending().await
        }
    }
    let ready = Pipeline::from_with_clock("never", Never, manual(&clock))
        .tank(Tank::items(4))
        .to("nothing", for_each(|_: u64| {}));
    let monitor = ready.monitor();
    let run = ready.run();
    tokio::pin!(run);
    assert!(futures::poll!(&mut run).is_pending());
    clock.store(1_000_000, Ordering::SeqCst);
    let report = monitor.report();
    assert_eq!(report.stages[1].starved_ns, 1_000_000);
    assert_eq!(report.stages[1].starved_longest_ns, 1_000_000);
    assert_eq!(report.stages[0].busy_ns, 1_000_000, "it waits for its own resource: busy");
    assert_eq!(report.tanks[0].mean_level, Some(0.0));
}

#[tokio::test]
async fn the_mean_level_is_weighted_by_time() {
    // the sink holds 4 items for 10 units each time, the source needs none
    let clock = Arc::new(AtomicU64::new(0));
    let report = Pipeline::from_with_clock("source", iter(0..400_u64), manual(&clock))
        .tank(Tank::items(4).low(0))
        .map("hold", spend(&clock, 10))
        .to("count", fold(0, |count, _: u64| count + 1))
        .run()
        .await
        .unwrap()
        .report;
    // Little's law: mean level = rate x mean sojourn; each batch of four is
    // worked off in steps, its weight returned in bulk
    let mean = report.tanks[0].mean_level.unwrap();
    assert!((2.0..=4.0).contains(&mean), "{mean}");
    let fill = report.tanks[0].fill_ns.unwrap();
    let wall = u64::try_from(report.elapsed.as_nanos()).unwrap();
    assert_eq!(fill.iter().sum::<u64>(), wall);
    assert_eq!(report.tanks[0].peak, 4);
    assert_eq!(report.tanks[0].written.items, 400);
    assert_eq!(report.tanks[0].read.items, 400);
}

#[tokio::test]
async fn a_growing_tank_names_the_line_that_wrote_past_the_mark() {
    let line = line!() + 2;
    let report = Pipeline::from("flood", iter(0..1_000_u64))
        .tank(Tank::items(4).overflow(Overflow::Grow))
        .to("count", fold(0, |count, _: u64| count + 1))
        .run()
        .await
        .unwrap()
        .report;
    let past = &report.tanks[0].past_mark;
    assert_eq!(past.len(), 1, "{past:?}");
    assert!(past[0].line.ends_with(&format!("tests/pipeline.rs:{line}")), "{past:?}");
    assert!(past[0].written.items > 200, "{past:?}");
    assert!(report.tanks[0].peak > 32, "it can grow: {}", report.tanks[0].peak);
}

#[tokio::test]
async fn drops_are_counted_by_reason_in_the_report() {
    for (overflow, newest) in [(Overflow::DropNewest, true), (Overflow::DropOldest, false)] {
        let done = Pipeline::from("flood", iter(0..1_000_u64))
            .tank(Tank::items(4).overflow(overflow))
            .to("count", fold(0_u64, |count, _: u64| count + 1))
            .run()
            .await
            .unwrap();
        let tank = &done.report.tanks[0];
        let dropped = if newest { tank.dropped.newest } else { tank.dropped.oldest };
        assert_eq!(dropped.items + done.done, 1_000, "{overflow:?}");
        assert_eq!(dropped, tank.dropped.total(), "{overflow:?}");
        assert_eq!(done.report.undelivered().items, dropped.items);
    }
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_writes_what_was_read() {
    struct Ticks(Arc<AtomicUsize>);
    impl Source for Ticks {
        type Item = usize;
        type Error = Infallible;
        async fn read(&mut self, out: &mut impl Emit<usize>) -> Result<More, Infallible> {
            tokio::time::sleep(Duration::from_millis(10)).await;
            out.send(self.0.fetch_add(1, Ordering::SeqCst)).await;
            Ok(More::Yes)
        }
    }
    for spawned in [false, true] {
        let sent = Arc::new(AtomicUsize::new(0));
        let ready = Pipeline::from("ticks", Ticks(sent.clone()))
            .tank(Tank::items(64))
            .map("same", |n| n)
            .tank(Tank::items(64))
            .to("all", collect(1_000));
        let monitor = ready.monitor();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(255)).await;
            monitor.shutdown(Duration::from_secs(5)).await;
        };
        let (done, ()) = if spawned {
            tokio::join!(ready.spawn(), stop)
        } else {
            tokio::join!(ready.run(), stop)
        };
        let done = done.unwrap().done;
        assert_eq!(done, (0..25).collect::<Vec<_>>());
        assert_eq!(sent.load(Ordering::SeqCst), 25);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_grace_time_did_not_suffice_for_is_counted_as_lost() {
    struct Slow;
    impl Sink for Slow {
        type In = u64;
        type Done = ();
        type Error = Infallible;
        async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, Infallible> {
            tokio::time::sleep(Duration::from_secs(1)).await;
            batch.pop();
            Ok(More::Yes)
        }
        async fn finish(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }
    let ready = Pipeline::from("numbers", iter(0..u64::MAX)).tank(Tank::items(8)).to("slow", Slow);
    let monitor = ready.monitor();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        monitor.shutdown(Duration::from_secs(2)).await;
    };
    let (error, ()) = tokio::join!(ready.run(), stop);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), CauseKind::Expired);
    let tank = &error.report().tanks[0];
    assert_eq!(tank.read.items, 5, "one a second until 5.5 s");
    assert_eq!(tank.written.items, tank.read.items + tank.dropped.unread.items);
    assert!(error.to_string().contains("were not delivered"), "{error}");
}

#[test]
fn a_runtime_that_shuts_down_ends_the_pipelines_it_ran() {
    struct Never;
    impl Source for Never {
        type Item = u64;
        type Error = Infallible;
        async fn read(&mut self, _out: &mut impl Emit<u64>) -> Result<More, Infallible> {
            std::future::pending().await
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let inside = runtime.enter();
    let running =
        Pipeline::from("never", Never).tank(Tank::items(4)).to("count", for_each(|_| {})).spawn();
    drop(inside);
    drop(runtime);
    assert_eq!(running.wait().unwrap_err().kind(), CauseKind::Cancelled);
}

#[tokio::test]
async fn a_stage_before_one_that_has_enough_is_over_and_told_so() {
    /// Takes three and leaves.
    struct Three(u64);
    impl Sink for Three {
        type In = u64;
        type Done = ();
        type Error = Infallible;
        async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, Infallible> {
            batch.pop();
            self.0 += 1;
            Ok(if self.0 < 3 { More::Yes } else { More::No })
        }
        async fn finish(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }
    struct Told(std::ops::RangeFrom<u64>, Arc<Mutex<Vec<Option<CauseKind>>>>);
    impl Source for Told {
        type Item = u64;
        type Error = Infallible;
        async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Infallible> {
            out.send(self.0.start).await;
            self.0.next();
            Ok(More::Yes)
        }
        fn destroy(&mut self, why: Option<&standpipe::Cause>) {
            self.1.lock().unwrap().push(why.map(standpipe::Cause::kind));
        }
    }
    let told = Arc::default();
    let (gate_open, gate) = tokio::sync::oneshot::channel::<()>();
    let late = standpipe::adapt::stream::from_stream(futures::stream::once(async {
        gate.await.expect("opened below");
        7_u64
    }));
    let ready = Pipeline::from("told", Told(0.., Arc::clone(&told)))
        .tank(Tank::items(2))
        .through("enough", Three(0), late)
        .to("all", collect(10));
    let running = ready.spawn();
    let monitor = running.monitor();
    while monitor.report().stages[0].state != StageState::Done {
        tokio::task::yield_now().await;
    }
    // long before the pipeline's end
    assert_eq!(*told.lock().unwrap(), [Some(CauseKind::Stopped)]);
    gate_open.send(()).unwrap();
    assert_eq!(running.await.unwrap().done, [7]);
}

#[tokio::test]
async fn a_graceful_stop_waits_for_what_comes_back_from_outside() {
    let (writable, readable) = Tank::items(4).build::<u64>();
    let ready = Pipeline::from("numbers", iter(0..u64::MAX))
        .tank(Tank::items(4))
        .through(
            "outside",
            standpipe::adapt::tank::into_writable(writable),
            standpipe::adapt::tank::from_readable(readable),
        )
        .to("count", fold(0_u64, |count, _: u64| count + 1));
    let monitor = ready.monitor();
    let run = ready.run();
    tokio::pin!(run);
    assert!(futures::poll!(&mut run).is_pending());
    monitor.drain();
    let completed = run.await.unwrap();
    assert_eq!(completed.done, completed.report.tanks[0].written.items, "nothing was lost");
    assert!(completed.done > 0);
}

/// A sink that took one item per `write` kept its whole batch charged, so the
/// tank opened only when the batch was empty.
#[tokio::test]
async fn what_a_write_took_is_returned_when_it_is_done() {
    struct OneEach(Arc<tokio::sync::Semaphore>);
    impl Sink for OneEach {
        type In = u64;
        type Done = ();
        type Error = Infallible;
        async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, Infallible> {
            self.0.acquire().await.expect("never closed").forget();
            batch.pop();
            Ok(More::Yes)
        }
        async fn finish(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }
    let turns = Arc::new(tokio::sync::Semaphore::new(0));
    let ready = Pipeline::from("numbers", iter(0_u64..))
        .tank(Tank::items(8).low(4))
        .to("one each", OneEach(turns.clone()));
    let monitor = ready.monitor();
    let run = ready.run();
    tokio::pin!(run);
    assert!(futures::poll!(&mut run).is_pending());
    assert_eq!(monitor.report().tanks[0].level, 8);
    turns.add_permits(3);
    assert!(futures::poll!(&mut run).is_pending());
    assert_eq!(monitor.report().tanks[0].written.items, 8, "above the low-water mark");
    turns.add_permits(1);
    assert!(futures::poll!(&mut run).is_pending());
    assert_eq!(monitor.report().tanks[0].written.items, 12, "opened at the low-water mark");
}

/// The level of the first tank when each item is made, in a pipeline of
/// segments that run each by itself, whose stages take so long for an item.
fn levels_while_making(cost_ns: u64, items: u64) -> Vec<usize> {
    let clock = Arc::new(AtomicU64::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (makes, looks) = (clock.clone(), seen.clone());
    let tank = Arc::new(OnceLock::<Gauge>::new());
    let looked_at = tank.clone();
    let ready =
        Pipeline::from_with_clock("numbers", iter(0..items), move || clock.load(Ordering::Relaxed))
            .map("make", move |n| {
                makes.fetch_add(cost_ns, Ordering::Relaxed);
                let level = looked_at.get().expect("set before it runs").level();
                looks.lock().expect("nobody panics").push(level);
                n
            })
            .tank(Tank::items(16))
            .to("count", fold(0, |count, _: u64| count + 1));
    tank.set(ready.monitor().tanks()[0].clone()).expect("set once");
    let mut segments = Vec::new();
    let running = ready.spawn_with(|segment| segments.push(Box::pin(segment)));
    let polled = segments[0].as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "the tank is full, and nobody reads");
    drop(running);
    std::mem::take(&mut seen.lock().expect("nobody panics"))
}

/// A stage that took a second for each of 64 chunks kept them all to itself
/// while the next one had nothing to do: the two worked one after the other.
#[test]
fn what_a_slow_stage_has_made_is_there_before_it_makes_the_next() {
    let levels = levels_while_making(1_000_000_000, 100);
    assert_eq!(levels, (0..16).collect::<Vec<_>>());
}

#[test]
fn what_a_quick_stage_makes_moves_by_handfuls_that_grow() {
    let seen = [vec![0], vec![1; 4], vec![5; 11]]; // the first shows how quick it is
    assert_eq!(levels_while_making(10, 100), seen.concat());
}

#[test]
fn what_takes_longer_than_a_thread_to_wake_moves_in_halves() {
    let seen = [vec![0], vec![1; 4], vec![5; 8], vec![13; 3]];
    assert_eq!(levels_while_making(1_000, 100), seen.concat());
}
