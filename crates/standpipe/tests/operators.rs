//! Operators: what goes through, what they hold, how they wait and end.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use standpipe::error::{Cause, CauseKind};
use standpipe::stage::{
    Emit, Ended, Groups, More, RateLimit, Sighting, Sink, Source, Timeouts, Transform, any,
    collect, count, find, fold, for_each, iter, reduce,
};
use standpipe::{Batch, BoxError, Pipeline, Tank};
use tokio::time::{Instant, sleep};

/// What a stage was told when it was destroyed.
type Told = Arc<Mutex<Option<Option<CauseKind>>>>;

/// Brings 0, 1, 2 … for ever and notes how it ended.
struct Endless(u64, Told);

impl Source for Endless {
    type Item = u64;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Infallible> {
        out.send(self.0).await;
        self.0 += 1;
        Ok(More::Yes)
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        *self.1.lock().expect("lock") = Some(why.map(Cause::kind));
    }
}

// ---- take, take_while, skip, scan, inspect ----------------------------------

#[tokio::test]
async fn take_ends_the_data_wherever_it_stands_and_upstream_is_stopped() {
    for place in 0..4 {
        for driver in 0..3 {
            let told = Told::default();
            let begun = Pipeline::from("endless", Endless(0, told.clone()));
            let ready = match place {
                0 => begun.take("few", 5).to("all", collect(8)),
                1 => begun.take("few", 5).tank(Tank::items(2)).to("all", collect(8)),
                2 => begun.tank(Tank::items(3)).take("few", 5).to("all", collect(8)),
                _ => begun
                    .tank(Tank::items(3))
                    .flat_map("same", |n| [n])
                    .tank(Tank::items(2))
                    .map("plain", |n| n)
                    .take("few", 5)
                    .tank(Tank::items(1))
                    .to("all", collect(8)),
            };
            let result = match driver {
                0 => ready.run().await,
                1 => ready.spawn().await,
                _ => ready.threads().unwrap().await,
            };
            assert_eq!(result.unwrap().done, [0, 1, 2, 3, 4], "{place} {driver}");
            let told = *told.lock().unwrap();
            assert_eq!(told, Some(Some(CauseKind::Stopped)), "{place} {driver}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn take_lets_go_of_upstream_before_the_sink_is_done() {
    let told = Told::default();
    let seen = told.clone();
    let ready = Pipeline::from("endless", Endless(0, told))
        .tank(Tank::items(2))
        .map("same", |n| n)
        .tank(Tank::items(2))
        .take("one", 1)
        .tank(Tank::items(2))
        .to("stuck", Gated);
    let run = ready.run();
    tokio::pin!(run);
    for _ in 0..10 {
        assert!(futures::poll!(&mut run).is_pending());
    }
    assert_eq!(*seen.lock().unwrap(), Some(Some(CauseKind::Stopped)));
}

/// A sink that never gets done with its first item.
struct Gated;

impl Sink for Gated {
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

#[tokio::test]
async fn take_is_content_with_less_and_with_nothing() {
    let few = Pipeline::from("three", iter(0..3)).take("few", 5).to("all", collect(8));
    assert_eq!(few.run().await.unwrap().done, [0, 1, 2]);
    let none = Pipeline::from("endless", iter(0..)).take("none", 0).to("all", collect(8));
    assert_eq!(none.run().await.unwrap().done, Vec::<i32>::new());
    let never =
        Pipeline::from("never", Never).tank(Tank::items(1)).take("none", 0).to("all", collect(8));
    assert_eq!(never.run().await.unwrap().done, Vec::<u64>::new());
}

/// A source that waits for ever.
struct Never;

impl Source for Never {
    type Item = u64;
    type Error = BoxError;

    async fn read(&mut self, _out: &mut impl Emit<u64>) -> Result<More, BoxError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn take_while_ends_at_the_first_that_is_not_wanted() {
    let told = Told::default();
    let done = Pipeline::from("endless", Endless(0, told.clone()))
        .tank(Tank::items(4))
        .take_while("small", |n| n % 7 != 6)
        .to("all", collect(8))
        .run()
        .await
        .unwrap();
    assert_eq!(done.done, [0, 1, 2, 3, 4, 5]);
    assert_eq!(*told.lock().unwrap(), Some(Some(CauseKind::Stopped)));
}

#[tokio::test]
async fn skip_scan_and_inspect_fuse() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let done = Pipeline::from("numbers", iter(1..=6_u64))
        .skip("two", 2)
        .scan("sum", 100, |sum, n| {
            *sum += n;
            *sum
        })
        .inspect("log", move |n| log.lock().expect("lock").push(*n))
        .tank(Tank::items(2))
        .to("all", collect(8))
        .run()
        .await
        .unwrap();
    assert_eq!(done.done, [103, 107, 112, 118]);
    assert_eq!(*seen.lock().unwrap(), done.done);
    assert_eq!(&*done.report.stages[0].name, "numbers+two+sum+log");
}

#[tokio::test]
async fn sinks_that_look_for_an_answer() {
    let numbers = || Pipeline::from("numbers", iter(1..=10_u64)).tank(Tank::items(3));
    assert_eq!(numbers().to("count", count()).run().await.unwrap().done, 10);
    let product = numbers().to("product", reduce(|a, b| a * b)).run().await.unwrap().done;
    assert_eq!(product, Some(3_628_800));
    let first = numbers().to("first", find(|n: &u64| n.is_multiple_of(4))).run().await.unwrap();
    assert_eq!(first.done, Some(4));
    assert!(!numbers().to("big", any(|n: &u64| *n > 10)).run().await.unwrap().done);
    let told = Told::default();
    let found = Pipeline::from("endless", Endless(0, told.clone()))
        .tank(Tank::items(2))
        .to("nine", any(|n: &u64| *n == 9))
        .run()
        .await
        .unwrap();
    assert!(found.done);
    assert_eq!(*told.lock().unwrap(), Some(Some(CauseKind::Stopped)));
    let none = Pipeline::from("none", iter(std::iter::empty::<u64>()));
    assert_eq!(none.to("sum", reduce(|a, b| a + b)).run().await.unwrap().done, None);
}

// ---- ordered, unordered -----------------------------------------------------

/// Brings one item every so often, on the paused clock.
struct Ticks {
    next: u64,
    end: u64,
    every: Duration,
}

fn ticks(end: u64, every_ms: u64) -> Ticks {
    Ticks { next: 0, end, every: Duration::from_millis(every_ms) }
}

impl Source for Ticks {
    type Item = u64;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Infallible> {
        if self.next == self.end {
            return Ok(More::No);
        }
        sleep(self.every).await;
        out.send(self.next).await;
        self.next += 1;
        Ok(More::Yes)
    }
}

/// Passes each item on after a while of its own.
struct Dawdle(Duration);

impl Transform for Dawdle {
    type In = u64;
    type Out = u64;
    type Error = Infallible;

    async fn transform(&mut self, item: u64, out: &mut impl Emit<u64>) -> Result<(), Infallible> {
        sleep(self.0).await;
        out.feed(item).await;
        Ok(())
    }
}

/// Takes each item some time.
struct Slow(Duration, Vec<u64>);

impl Sink for Slow {
    type In = u64;
    type Done = Vec<u64>;
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, Infallible> {
        sleep(self.0).await;
        self.1.extend(batch.pop());
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<Vec<u64>, Infallible> {
        Ok(std::mem::take(&mut self.1))
    }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// 40 ms for even numbers, 10 ms for odd ones; notes how many are in flight.
fn uneven(
    now: &Arc<AtomicUsize>,
    most: &Arc<AtomicUsize>,
) -> impl Fn(u64) -> BoxFuture<'static, Result<u64, Infallible>> + Send + 'static {
    let (now, most) = (now.clone(), most.clone());
    move |n| {
        let (now, most) = (now.clone(), most.clone());
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            sleep(if n % 2 == 0 { ms(40) } else { ms(10) }).await;
            now.fetch_sub(1, SeqCst);
            Ok(n)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn ordered_keeps_the_order_and_at_most_n_in_flight() {
    for driver in 0..2 {
        for place in 0..3 {
            let (now, most) = (Arc::default(), Arc::default());
            let begun = Pipeline::from("numbers", iter(0..16_u64));
            let ready = match place {
                0 => begun.ordered("work", 4, uneven(&now, &most)).to("all", collect(16)),
                1 => begun
                    .tank(Tank::items(32))
                    .ordered("work", 4, uneven(&now, &most))
                    .to("all", collect(16)),
                _ => begun
                    .tank(Tank::items(1))
                    .ordered("work", 4, uneven(&now, &most))
                    .tank(Tank::items(2))
                    .to("all", collect(16)),
            };
            let begun = Instant::now();
            let run = async { if driver == 0 { ready.run().await } else { ready.spawn().await } };
            assert_eq!(run.await.unwrap().done, (0..16).collect::<Vec<_>>(), "{place}");
            assert_eq!(most.load(SeqCst), 4, "{place}");
            // in fours, two of 40 ms in each: 4 rounds and the shifts between
            assert!(begun.elapsed() <= ms(200), "{place}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unordered_gives_results_as_they_are_done() {
    let (now, most) = (Arc::default(), Arc::default());
    let done = Pipeline::from("numbers", iter(0..4_u64))
        .tank(Tank::items(8))
        .unordered("work", 4, uneven(&now, &most))
        .tank(Tank::items(8))
        .to("all", collect(16))
        .run()
        .await
        .unwrap();
    assert_eq!(done.done, [1, 3, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn input_is_not_read_ahead_beyond_n() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let counting = iter((0..100_u64).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    }));
    let stuck = Pipeline::from("numbers", counting)
        .ordered("stuck", 3, |_| std::future::pending::<Result<u64, Infallible>>())
        .to("all", collect(1));
    let run = stuck.run();
    tokio::pin!(run);
    for _ in 0..5 {
        assert!(futures::poll!(&mut run).is_pending());
    }
    assert_eq!(pulled.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_goes_on_while_the_input_idles() {
    // one item a second, each needs 1.5 s: the source waits, in this segment
    // or behind a tank, or a transform before it does, and work goes on
    for place in 0..3 {
        let begun = Instant::now();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let work = |n: u64| async move {
            sleep(ms(1_500)).await;
            Ok::<_, Infallible>(n)
        };
        let note = move |_: &u64| log.lock().expect("lock").push(begun.elapsed().as_millis());
        let ready = match place {
            0 => Pipeline::from("ticks", ticks(3, 1_000))
                .unordered("work", 8, work)
                .inspect("note", note)
                .to("count", count()),
            1 => Pipeline::from("ticks", ticks(3, 1_000))
                .tank(Tank::items(2))
                .unordered("work", 8, work)
                .inspect("note", note)
                .to("count", count()),
            _ => Pipeline::from("numbers", iter(0..3))
                .tank(Tank::items(2))
                .transform("dawdle", Dawdle(ms(1_000)))
                .unordered("work", 8, work)
                .tank(Tank::items(2))
                .inspect("note", note)
                .to("count", count()),
        };
        assert_eq!(ready.run().await.unwrap().done, 3);
        assert_eq!(*seen.lock().unwrap(), [2_500, 3_500, 4_500], "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_goes_on_while_the_output_waits_for_room() {
    // the sink takes 100 ms for each of 4, the work 150 ms in steps of 50:
    // that is over before the sink is done with the second
    let finished = Arc::new(Mutex::new(Vec::new()));
    let begun = Instant::now();
    for place in 0..2 {
        let log = finished.clone();
        let work = move |n: u64| {
            let log = log.clone();
            async move {
                for _ in 0..=n {
                    sleep(ms(50)).await;
                }
                log.lock().expect("lock").push(begun.elapsed().as_millis());
                Ok::<_, Infallible>(n)
            }
        };
        let started = begun.elapsed().as_millis();
        let numbers = Pipeline::from("numbers", iter(0..4)).tank(Tank::items(8));
        let flight = numbers.ordered("work", 4, work);
        let ready = match place {
            0 => flight.to("slow", Slow(ms(1_000), Vec::new())),
            _ => flight.tank(Tank::items(1)).to("slow", Slow(ms(1_000), Vec::new())),
        };
        let done = ready.spawn().await.unwrap();
        assert_eq!(done.done, [0, 1, 2, 3]);
        let finished: Vec<_> =
            finished.lock().unwrap().drain(..).map(|at: u128| at - started).collect();
        assert_eq!(finished, [50, 100, 150, 200], "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn items_in_flight_are_in_hand_and_the_wait_for_them_is_not_idleness() {
    let begun = Instant::now();
    let done = Pipeline::from_with_clock("ticks", ticks(1, 1_000), move || {
        u64::try_from(begun.elapsed().as_nanos()).expect("a short test")
    })
    .tank(Tank::items(4))
    .ordered("work", 4, |n| async move {
        sleep(ms(5_000)).await;
        Ok::<_, Infallible>(n)
    })
    .tank(Tank::items(4))
    .to("count", count())
    .run()
    .await
    .unwrap();
    let stage = &done.report.stages[1];
    assert_eq!(stage.starved_ns, 1_000_000_000, "{stage:?}");
    assert_eq!(stage.own_wait_ns, 5_000_000_000, "{stage:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_or_a_panic_in_flight_names_its_stage() {
    for (panics, ordered) in [(false, false), (false, true), (true, false), (true, true)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let work = move |n: u64| async move {
            sleep(ms(if n == 1 { 10 } else { 100 })).await;
            match n {
                1 if panics => panic!("one is unlucky"),
                1 => Err(String::from("one is unlucky")),
                _ => Ok(n),
            }
        };
        let begun = Pipeline::from("numbers", iter(0..3)).tank(Tank::items(4));
        let flight =
            if ordered { begun.ordered("luck", 4, work) } else { begun.unordered("luck", 4, work) };
        let error = flight
            .inspect("note", move |n| log.lock().expect("lock").push(*n))
            .to("count", count())
            .run()
            .await
            .unwrap_err();
        let stage = error.stage().unwrap();
        assert_eq!((stage.index, &*stage.name), (1, "luck"), "{error}");
        assert!(error.to_string().contains("one is unlucky"), "{error}");
        // what comes before an error in order is handed on first
        let before: &[u64] = if ordered && !panics { &[0] } else { &[] };
        assert_eq!(*seen.lock().unwrap(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_waits_for_what_is_in_flight() {
    let ready = Pipeline::from("ticks", ticks(1_000, 10))
        .ordered("work", 64, |n| async move {
            sleep(ms(300)).await;
            Ok::<_, Infallible>(n)
        })
        .to("all", collect(1_000));
    let monitor = ready.monitor();
    let stop = async {
        sleep(ms(255)).await;
        monitor.drain();
    };
    let (done, ()) = tokio::join!(ready.run(), stop);
    assert_eq!(done.unwrap().done, (0..25).collect::<Vec<_>>());
}

/// An iterator went on for up to 256 items after the drain: half a minute of uploads that take a second each, four at
/// a time. Straight in front of them, a source that never waits for anything of its own did not end at all.
#[tokio::test(start_paused = true)]
async fn a_graceful_stop_comes_between_two_items_that_wait() {
    for with_tank in [true, false] {
        let made = Arc::new(AtomicUsize::new(0));
        let counts = made.clone();
        let numbers = (0_usize..).inspect(move |_| {
            counts.fetch_add(1, SeqCst);
        });
        let upload = |n| async move {
            sleep(ms(1_000)).await;
            Ok::<_, Infallible>(n)
        };
        let source = Pipeline::from("numbers", iter(numbers));
        let ready = if with_tank {
            let tank = Tank::items(4);
            source.tank(tank).ordered("upload", 4, upload).to("all", collect(1_000))
        } else {
            source.ordered("upload", 4, upload).to("all", collect(1_000))
        };
        let monitor = ready.monitor();
        let stop = async {
            sleep(ms(10_500)).await;
            monitor.drain();
            made.load(SeqCst)
        };
        let (done, before) = tokio::join!(ready.run(), stop);
        let made = made.load(SeqCst);
        assert_eq!(done.unwrap().done, (0..made).collect::<Vec<_>>(), "all that was made arrives");
        assert!(made - before <= 4, "{} made after the drain, tank: {with_tank}", made - before);
    }
}

#[tokio::test(start_paused = true)]
async fn what_holds_back_behind_a_flight_is_told_each_time_it_idles() {
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
    let begun = Instant::now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    // the last tick keeps the input open while the first three are worked on
    Pipeline::from("ticks", ticks(2, 50))
        .tank(Tank::items(4))
        .unordered("work", 4, |n| async move {
            sleep(ms(20)).await;
            Ok::<_, Infallible>(n)
        })
        .transform("pairs", Pairs(None))
        .tank(Tank::items(4))
        .to("note", for_each(move |_| log.lock().expect("lock").push(begun.elapsed().as_millis())))
        .run()
        .await
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), [70, 120], "each as soon as it was done");
}

#[test]
#[should_panic(expected = "n must not be 0")]
fn no_item_in_flight_is_refused() {
    let work = |n: u64| async move { Ok::<_, Infallible>(n) };
    drop(Pipeline::from("numbers", iter(0..3)).ordered("work", 0, work));
}

#[test]
fn a_flight_needs_no_tokio() {
    let done = Pipeline::from("numbers", iter(0..100_u64))
        .unordered("yield", 7, |n| async move {
            for _ in 0..n % 3 {
                let mut yielded = false;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if std::mem::replace(&mut yielded, true) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            }
            Ok::<_, Infallible>(n)
        })
        .tank(Tank::items(3))
        .to("sum", fold(0, |sum, n| sum + n));
    assert_eq!(futures::executor::block_on(done.run()).unwrap().done, 4_950);
}

// ---- grouped ------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn groups_are_complete_by_count_weight_or_time_whichever_is_first() {
    let groups = |at: usize| match at {
        0 => Groups::of(3),
        1 => Groups::of(100).weighing(5, |n: &u64| usize::try_from(*n).expect("small")),
        _ => Groups::of(100).within(ms(25)), // a tick each 10 ms: at 10, 20, 30
    };
    let expected: [&[&[u64]]; 3] = [
        &[&[0, 1, 2], &[3, 4, 5], &[6]],
        &[&[0, 1, 2, 3], &[4, 5], &[6]],
        &[&[0, 1, 2], &[3, 4, 5], &[6]],
    ];
    for (at, expected) in expected.into_iter().enumerate() {
        for place in 0..3 {
            let begun = Pipeline::from("ticks", ticks(7, 10));
            let ready = match place {
                0 => begun.grouped("group", groups(at)).to("all", collect(8)),
                1 => begun.tank(Tank::items(4)).grouped("group", groups(at)).to("all", collect(8)),
                _ => begun
                    .tank(Tank::items(4))
                    .transform("dawdle", Dawdle(ms(0)))
                    .grouped("group", groups(at))
                    .tank(Tank::items(4))
                    .to("all", collect(8)),
            };
            assert_eq!(ready.run().await.unwrap().done, expected, "{at} {place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_flushed_in_time_while_the_input_idles() {
    for place in 0..3 {
        let begun = Instant::now();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let note = move |group: Vec<u64>| {
            log.lock().expect("lock").push((begun.elapsed().as_millis(), group.len()));
        };
        // one at 1,000 and one at 2,000
        let ticks = Pipeline::from("ticks", ticks(2, 1_000));
        let groups = Groups::of(10).within(ms(100));
        let ready = match place {
            0 => ticks.grouped("group", groups).to("note", for_each(note)),
            1 => ticks.tank(Tank::items(4)).grouped("group", groups).to("note", for_each(note)),
            _ => ticks
                .tank(Tank::items(4))
                .unordered("work", 2, |n| async move { Ok::<_, Infallible>(n) })
                .grouped("group", groups)
                .tank(Tank::items(4))
                .to("note", for_each(note)),
        };
        ready.threads_or_run(place).await;
        assert_eq!(*seen.lock().unwrap(), [(1_100, 1), (2_000, 1)], "{place}");
    }
}

/// Runs it in this task or in one per segment.
trait Either {
    async fn threads_or_run(self, place: usize);
}

impl Either for standpipe::pipeline::Ready<()> {
    async fn threads_or_run(self, place: usize) {
        if place == 1 { self.spawn().await } else { self.run().await }.expect("nothing fails");
    }
}

#[tokio::test]
async fn a_timer_runs_on_threads_too_if_the_pipeline_was_built_in_a_runtime() {
    let done = Pipeline::from("numbers", iter(0..10_u64))
        .tank(Tank::items(4))
        .grouped("group", Groups::of(4).within(Duration::from_secs(60)))
        .to("all", collect(8))
        .threads()
        .unwrap()
        .await
        .unwrap();
    assert_eq!(done.done.concat(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_timer_without_a_runtime_fails_the_pipeline_and_names_the_stage() {
    let ready = Pipeline::from("numbers", iter(0..10_u64))
        .rate_limit("limit", &RateLimit::new(10, 1))
        .to("count", count());
    let error = futures::executor::block_on(ready.run()).unwrap_err();
    assert_eq!(error.kind(), CauseKind::Panicked);
    assert_eq!(&*error.stage().unwrap().name, "limit");
}

// ---- rate_limit ---------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_limit_gives_the_burst_at_once_and_then_the_rate() {
    for place in 0..3 {
        for burst in [1, 4, 16, 40] {
            let begun = Instant::now();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let log = seen.clone();
            let numbers = Pipeline::from("numbers", iter(0..100_u64));
            let limit = RateLimit::new(100, burst);
            let note = move |_: u64| log.lock().expect("lock").push(begun.elapsed().as_millis());
            let ready = match place {
                0 => numbers.rate_limit("limit", &limit).to("note", for_each(note)),
                1 => numbers
                    .tank(Tank::items(8))
                    .rate_limit("limit", &limit)
                    .to("note", for_each(note)),
                _ => numbers
                    .tank(Tank::items(8))
                    .rate_limit("limit", &limit)
                    .unordered("work", 2, |n| async move { Ok::<_, Infallible>(n) })
                    .tank(Tank::items(2))
                    .to("note", for_each(note)),
            };
            ready.run().await.unwrap();
            let seen = seen.lock().unwrap().clone();
            for (index, at) in seen.iter().enumerate() {
                let allowed = burst + u64::try_from(*at).unwrap() / 10;
                assert!(index as u64 <= allowed, "{place} {burst} {index} at {at}");
            }
            let last = u64::try_from(*seen.last().unwrap()).unwrap();
            let exact = (100 - burst) * 10;
            // a draw ahead may come that much early or late, never too early
            assert!(last >= exact && last <= exact + burst * 10 / 8 + 10, "{burst}: {last}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_changes_live_and_the_wait_is_its_own() {
    let begun = Instant::now();
    let limit = RateLimit::new(0, 1); // one, and then nothing
    let ready = Pipeline::from_with_clock("numbers", iter(0..11_u64), move || {
        u64::try_from(begun.elapsed().as_nanos()).expect("a short test")
    })
    .tank(Tank::items(4))
    .rate_limit("limit", &limit)
    .tank(Tank::items(4))
    .to("count", count());
    let change = async {
        sleep(ms(5_000)).await;
        limit.set(10, 1);
    };
    let (done, ()) = tokio::join!(ready.run(), change);
    let done = done.unwrap();
    assert_eq!(done.done, 11);
    assert_eq!(begun.elapsed(), ms(6_000));
    let stage = &done.report.stages[1];
    assert_eq!(stage.own_wait_ns, 6_000_000_000, "{stage:?}");
    assert_eq!(done.report.slowest.unwrap().position, 1);
    assert_eq!((limit.per_second(), limit.burst()), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waits_for_the_limit_survives_a_graceful_stop() {
    let ready = Pipeline::from("endless", Endless(0, Told::default()))
        .rate_limit("limit", &RateLimit::new(1, 1))
        .to("all", collect(100));
    let monitor = ready.monitor();
    let stop = async {
        sleep(ms(2_500)).await;
        monitor.drain();
    };
    let (done, ()) = tokio::join!(ready.run(), stop);
    // 0, 1, 2 passed; 3 was in hand
    assert_eq!(done.unwrap().done, [0, 1, 2, 3]);
}

// ---- timeouts -----------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn each_timeout_fails_with_expired_and_names_itself_and_the_stage() {
    let second = ms(1_000);
    let cases = [
        (Timeouts::new().idle(second), "no item for 1s (idle timeout)", 6_000),
        (Timeouts::new().first(ms(500)), "no first item within 500ms (first timeout)", 500),
        (
            Timeouts::new().first(ms(3_000)).idle(ms(1_500)),
            "no item for 1.5s (idle timeout)",
            6_500,
        ),
        (Timeouts::new().total(ms(4_500)), "not done within 4.5s (total timeout)", 4_500),
    ];
    for (limits, message, at) in cases {
        for place in 0..3 {
            let begun = Instant::now();
            // five items, one each 990 ms, then silence; the first case: at 1 s
            let source = Chatter { next: 0 };
            let chatter = Pipeline::from("chatter", source);
            let ready = match place {
                0 => chatter.timeouts("patience", limits).to("count", count()),
                1 => chatter
                    .tank(Tank::items(2))
                    .timeouts("patience", limits)
                    .tank(Tank::items(2))
                    .to("count", count()),
                _ => chatter
                    .tank(Tank::items(2))
                    .transform("dawdle", Dawdle(ms(0)))
                    .timeouts("patience", limits)
                    .to("count", count()),
            };
            let error = ready.run().await.unwrap_err();
            assert_eq!(error.kind(), CauseKind::Expired);
            assert_eq!(&*error.stage().unwrap().name, "patience");
            assert!(error.to_string().contains(message), "{error}");
            let expected = if at == 6_000 {
                5_950
            } else if at == 6_500 {
                6_450
            } else {
                at
            };
            let off = begun.elapsed().as_millis().abs_diff(expected);
            assert!(off <= 5, "{place} {message}: {:?}", begun.elapsed());
        }
    }
}

/// Five items, one each 990 ms, and then silence.
struct Chatter {
    next: u64,
}

impl Source for Chatter {
    type Item = u64;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Infallible> {
        if self.next == 5 {
            std::future::pending::<()>().await;
        }
        sleep(ms(990)).await;
        out.send(self.next).await;
        self.next += 1;
        Ok(More::Yes)
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_expires_and_is_no_idleness() {
    for place in 0..2 {
        for limits in [Timeouts::new().paused(ms(700)), Timeouts::new().idle(ms(700))] {
            let paused = limits == Timeouts::new().paused(ms(700));
            let begun = Instant::now();
            let numbers = Pipeline::from("numbers", iter(0..4_u64)).tank(Tank::items(1));
            let timed = numbers.timeouts("patience", limits);
            let ready = match place {
                0 => timed.to("slow", Slow(ms(1_000), Vec::new())),
                _ => timed.tank(Tank::items(1)).to("slow", Slow(ms(1_000), Vec::new())),
            };
            match ready.run().await {
                Ok(done) => {
                    assert!(!paused);
                    assert_eq!(done.done, [0, 1, 2, 3]);
                }
                Err(error) => {
                    assert!(paused, "{error}");
                    assert!(error.to_string().contains("(paused timeout)"), "{error}");
                    assert_eq!(begun.elapsed().as_millis(), 700);
                }
            }
        }
    }
}

// ---- monitored ----------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_look_in_passing_reports_every_so_often_and_at_the_end() {
    for place in 0..2 {
        let begun = Instant::now();
        let clock = move || u64::try_from(begun.elapsed().as_nanos()).expect("a short test");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let report = move |sighting: &Sighting| log.lock().expect("lock").push(sighting.clone());
        // 10 s, 100 a second, a look each second
        let ticks = Pipeline::from_with_clock("ticks", ticks(1_000, 10), clock);
        let ready = match place {
            0 => ticks.monitored("look", ms(1_000), report).to("count", count()),
            _ => ticks
                .tank(Tank::items(50))
                .monitored("look", ms(1_000), report)
                .to("count", count()),
        };
        assert_eq!(ready.run().await.unwrap().done, 1_000);
        let seen = seen.lock().unwrap();
        assert!((9..=11).contains(&seen.len()), "{place}: {}", seen.len());
        for sighting in seen.iter() {
            assert!((95.0..=105.0).contains(&sighting.per_second), "{sighting}");
            assert_eq!(sighting.level.map(|level| level.1), (place == 1).then_some(50));
        }
        let last = seen.last().unwrap();
        assert_eq!((last.items, last.end), (1_000, Ended::Complete));
        assert!(seen.iter().rev().skip(1).all(|sighting| sighting.end == Ended::No));
        assert!(last.to_string().starts_with("look: 1000 items, "), "{last}");
    }
}

#[tokio::test]
async fn a_look_in_passing_reads_the_clock_seldom_and_sees_an_early_end() {
    let readings = Arc::new(AtomicUsize::new(0));
    let count_readings = readings.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    // a nanosecond a reading: all within one report
    let error = Pipeline::from_with_clock("numbers", iter(0..100_000_u64), move || {
        count_readings.fetch_add(1, SeqCst) as u64
    })
    .monitored("look", ms(1_000), move |sighting| log.lock().expect("lock").push(sighting.clone()))
    .inspect("fuse", |n| assert!(*n < 99_999, "enough"))
    .to("count", for_each(|_| {}))
    .run()
    .await
    .unwrap_err();
    assert_eq!(&*error.stage().unwrap().name, "fuse");
    assert!(readings.load(SeqCst) < 2_500, "{readings:?}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].items, seen[0].end), (100_000, Ended::Early));
}
