//! Twelve bugs that make a pipeline stand still, planted one by one: each is
//! named, with the stage and how it holds the others, less than a second after
//! nothing moves any more. The last two of the twelve are programs that do not
//! read and peers that take nothing; they stand with the tests of the command.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use standpipe::adapt::tank::{from_readable, into_writable};
use standpipe::diagnose::{FindingKind, Holder, Stall, findings, stall_among};
use standpipe::pipeline::Monitor;
use standpipe::stage::{Emit, More, Sink, Source, Transform, count, iter, tee, zip};
use standpipe::tank::{Gauge, Readable};
use standpipe::{Batch, Budget, Flow, Pipeline, Report, Tank, Writable};

/// Nanoseconds of tokio's clock, which stands still while anybody can run.
fn paused_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let origin = tokio::time::Instant::now();
    move || u64::try_from(origin.elapsed().as_nanos()).expect("a short test")
}

/// A source of numbers, as many as it takes to fill everything.
macro_rules! numbers {
    () => {
        Pipeline::from_with_clock("numbers", iter(0..1_000_u64), paused_clock())
    };
}

/// Reports of each pipeline, 0.1 and 0.7 s after now; then all are cancelled.
async fn seen<const N: usize>(monitors: [Monitor; N]) -> [Vec<Report>; 2] {
    let reports = || monitors.iter().map(Monitor::report).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let older = reports();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let newer = reports();
    monitors.iter().for_each(Monitor::cancel);
    [older, newer]
}

/// The culprit and how it holds the others, in the words of the finding.
#[track_caller]
fn check([older, newer]: [Vec<Report>; 2], holder: Holder, name: &str, says: &str) -> Stall {
    let stall = stall_among(&older, &newer).expect("nothing moves");
    assert_eq!((stall.holder, &*stall.name), (holder, name), "{stall}");
    assert!((500_000_000..1_000_000_000).contains(&stall.since_ns), "{stall:?}");
    let text = stall.to_string();
    assert_eq!(text.split_once(" s: ").map(|(_, culprit)| culprit), Some(says), "{text}");
    if let ([older], [newer]) = (&*older, &*newer) {
        let found = findings(Some(older), newer);
        assert_eq!(found[0].kind, FindingKind::Stalled, "{found:?}");
        assert_eq!(found[0].text, text);
    }
    stall
}

/// Wakes that get through before all are lost.
struct Lossy {
    waker: Waker,
    left: AtomicUsize,
}

impl Wake for Lossy {
    fn wake(self: Arc<Self>) {
        let take = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            self.waker.wake_by_ref();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bug_1_the_wake_of_a_drain_is_lost() {
    let ready = numbers!().tank(Tank::items(8)).to("count", count());
    let monitor = ready.monitor();
    let mut is_source = true;
    let spawned = ready.spawn_with(|work| {
        let mut lossy = None;
        let is_lossy = std::mem::replace(&mut is_source, false);
        let mut work = Box::pin(work);
        tokio::spawn(poll_fn(move |cx| {
            if !is_lossy {
                return work.as_mut().poll(cx);
            }
            let lossy = lossy.get_or_insert_with(|| {
                let left = AtomicUsize::new(3);
                Waker::from(Arc::new(Lossy { waker: cx.waker().clone(), left }))
            });
            work.as_mut().poll(&mut Context::from_waker(lossy))
        }));
    });
    let (ended, seen) = tokio::join!(spawned, seen([monitor]));
    assert!(ended.is_err(), "it was cancelled");
    let says = "`numbers` could go on, and nobody polls it";
    check(seen, Holder::NotPolled, "numbers", says);
}

/// What it takes is never done.
struct NeverDone;

impl Sink for NeverDone {
    type In = u64;
    type Done = ();
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, Infallible> {
        batch.pop();
        pending().await
    }

    async fn finish(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn bug_2_a_write_of_the_sink_never_completes() {
    let line = numbers!().tank(Tank::items(8)).map("same", |n| n);
    let ready = line.tank(Tank::items(8)).to("peer", NeverDone);
    let monitor = ready.monitor();
    let (_, seen) = tokio::join!(ready.run(), seen([monitor]));
    let says = "`peer` holds an item and waits for something of its own";
    check(seen, Holder::Holds, "peer", says);
}

/// A disk that stays full, tried again and again.
struct TriesForEver;

impl Sink for TriesForEver {
    type In = u64;
    type Done = ();
    type Error = std::io::Error;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, Self::Error> {
        batch.pop();
        loop {
            tokio::time::sleep(Duration::from_millis(70)).await; // no space left
        }
    }

    async fn finish(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn bug_3_a_full_disk_is_tried_for_ever() {
    let ready = numbers!().tank(Tank::items(8)).to("disk", TriesForEver);
    let monitor = ready.monitor();
    let (_, seen) = tokio::join!(ready.spawn(), seen([monitor]));
    let says = "`disk` holds an item and waits for something of its own";
    check(seen, Holder::Holds, "disk", says);
}

#[test]
fn bug_4_an_async_stage_blocks_its_thread() {
    let now_ns = Arc::new(AtomicU64::new(0));
    let clock = now_ns.clone();
    let (entered, is_inside) = sync_channel(1);
    let (release, released) = sync_channel::<()>(1);
    let mut blocks = Some((entered, released));
    let ready = Pipeline::from_with_clock("numbers", iter(0..1_000_u64), move || {
        clock.load(Ordering::SeqCst)
    })
    .tank(Tank::items(8))
    .map("parse", move |n| {
        if let Some((entered, released)) = blocks.take() {
            entered.send(()).expect("the test waits");
            released.recv().expect_err("the test lets go by dropping its side");
        }
        n
    })
    .tank(Tank::items(8))
    .to("count", count());
    let monitor = ready.monitor();
    let running = ready.threads().unwrap();
    is_inside.recv().unwrap();
    // the others come to rest by themselves, without any time passing
    let resting = |report: &Report| {
        use standpipe::snapshot::StageState::{Paused, Starved};
        report.stages[0].state == Paused && report.stages[2].state == Starved
    };
    while !resting(&monitor.report()) {
        std::thread::yield_now();
    }
    let older = monitor.report();
    now_ns.fetch_add(600_000_000, Ordering::SeqCst);
    let says = "`parse` is inside one poll: it computes, or blocks its \
                thread";
    let stall = check([vec![older], vec![monitor.report()]], Holder::Runs, "parse", says);
    assert_eq!(stall.waiting, [2], "the sink waits for it");
    drop(release);
    assert_eq!(running.wait().unwrap().done, 1_000);
}

/// Asks for room in a tank of its own twice, and goes on with the first answer
/// only when it has the second.
struct Forgets(Writable<u64>);

impl Transform for Forgets {
    type In = u64;
    type Out = u64;
    type Error = standpipe::Cause;

    async fn transform(&mut self, n: u64, out: &mut impl Emit<u64>) -> Result<(), Self::Error> {
        let mut owner = pin!(async {
            let permit = self.0.reserve(1).await?;
            tokio::task::yield_now().await;
            permit.send(n).map_err(|_| standpipe::Cause::failed("gone"))
        });
        let got = poll_fn(|cx| Poll::Ready(owner.as_mut().poll(cx))).await;
        assert!(got.is_pending(), "it has its permit, and lets others run");
        let second = self.0.reserve(1).await?; // for ever: the first is never polled again
        let _flow = second.send(n);
        out.send(n).await;
        owner.await.map(|_| ())
    }
}

#[tokio::test(start_paused = true)]
async fn bug_5_a_permit_belongs_to_a_future_that_nobody_polls() {
    let (writable, _audit) = Tank::items(1).build();
    let line = numbers!().tank(Tank::items(8)).transform("audit", Forgets(writable));
    let ready = line.tank(Tank::items(8)).to("count", count());
    let monitor = ready.monitor();
    let (_, seen) = tokio::join!(ready.run(), seen([monitor]));
    let says = "`audit` holds an item and waits for something of its own";
    check(seen, Holder::Holds, "audit", says);
}

#[tokio::test(start_paused = true)]
async fn bug_6_a_branch_of_a_broadcast_is_never_read() {
    let (read, read_out) = Tank::items(8).named("read").build();
    let (unread, _nobody) = Tank::items(8).named("unread").build();
    let all = numbers!().tank(Tank::items(8)).to("tee", tee([read, unread]));
    let branch = Pipeline::from_with_clock("from", from_readable(read_out), paused_clock())
        .to("count", count());
    let monitors = [all.monitor(), branch.monitor()];
    let (_, _, seen) = tokio::join!(all.run(), branch.run(), seen(monitors));
    let says = "`tee` waits for whoever reads tank `unread`";
    let stall = check(seen, Holder::Holds, "tee", says);
    assert_eq!(stall.tank.as_deref(), Some("unread"), "and not the branch that is read");
}

/// Brings what comes as frames of 16.
struct Frames(Readable<u64>);

impl Source for Frames {
    type Item = Vec<u64>;
    type Error = standpipe::Cause;

    async fn read(&mut self, out: &mut impl Emit<Vec<u64>>) -> Result<More, Self::Error> {
        let (mut frame, mut batch) = (Vec::new(), Batch::new());
        let mut parts = Vec::new();
        while parts.len() < 16 {
            if !self.0.next_batch_of(1, &mut batch).await? {
                return Ok(More::No);
            }
            parts.push(std::mem::take(&mut batch)); // all charged until the frame is whole
        }
        frame.extend(parts.iter_mut().filter_map(Batch::pop));
        out.send(frame).await;
        Ok(More::Yes)
    }

    fn reads(&self) -> Vec<Gauge> {
        vec![self.0.gauge()]
    }
}

#[tokio::test(start_paused = true)]
async fn bug_7_a_frame_is_larger_than_its_tank() {
    let (writable, readable) = Tank::items(8).named("parts").build();
    let ready = numbers!()
        .tank(Tank::items(8))
        .through("frames", into_writable(writable), Frames(readable))
        .to("count", count());
    let monitor = ready.monitor();
    let (_, seen) = tokio::join!(ready.run(), seen([monitor]));
    let says = "`→frames+count` has in hand all that its tank takes, and \
                waits for more of it";
    check(seen, Holder::NoRoom, "→frames+count", says);
}

#[tokio::test(start_paused = true)]
async fn bug_8_a_diamond_filters_one_side_and_has_no_room_on_the_other() {
    let (left, left_out) = Tank::items(8).named("left").build();
    let (right, right_out) = Tank::items(8).named("right").build();
    let (few, few_out) = Tank::items(8).named("few").build();
    let split = numbers!().to("split", tee([left, right]));
    let filter = Pipeline::from_with_clock("left", from_readable(left_out), paused_clock())
        .filter("filter", |n: &u64| n.is_multiple_of(100))
        .to("few", into_writable(few));
    let pairs = Pipeline::from_with_clock("zip", zip(few_out, right_out), paused_clock())
        .to("count", count());
    let monitors = [split.monitor(), filter.monitor(), pairs.monitor()];
    let (_, _, _, seen) = tokio::join!(split.run(), filter.run(), pairs.run(), seen(monitors));
    let says = "`zip+count` waits for stages that wait for it: one of the tanks needs more room";
    let stall = check(seen, Holder::Cycle, "zip+count", says);
    assert_eq!(stall.waiting.len(), 3, "all three are in it: {stall:?}");
}

/// There is room for what one side needs, but not in the budget: another
/// pipeline has it.
#[tokio::test(start_paused = true)]
async fn a_diamond_has_room_on_both_sides_and_its_budget_has_none() {
    let budget = Budget::items(16);
    let tank = |name: &str| Tank::items(16).budget(&budget).named(name.to_owned()).build();
    let (hog, hogs_reader) = tank("elsewhere");
    while hog.write(0).is_ok_and(|flow| flow == Flow::Ready) {}
    let (left, left_out) = tank("left");
    let (right, right_out) = tank("right");
    let (few, few_out) = tank("few");
    let split = numbers!().to("split", tee([left, right]));
    let filter = Pipeline::from_with_clock("left", from_readable(left_out), paused_clock())
        .filter("filter", |n: &u64| n.is_multiple_of(4))
        .to("few", into_writable(few));
    let pairs = Pipeline::from_with_clock("zip", zip(few_out, right_out), paused_clock())
        .to("count", count());
    let monitors = [split.monitor(), filter.monitor(), pairs.monitor()];
    let others = async {
        let stalled = seen(monitors.clone()).await;
        drop(hogs_reader); // and now?
        stalled
    };
    let (_, _, _, stalled) = tokio::join!(split.run(), filter.run(), pairs.run(), others);
    let says = "`zip+count` waits for stages that wait for it: one of the tanks needs more room; \
                the budget of tank `right` grants it no more";
    let stall = check(stalled, Holder::Cycle, "zip+count", says);
    assert_eq!(stall.short_tank.as_deref(), Some("right"));
}

/// The same within one pipeline: half a frame is in hand.
#[tokio::test(start_paused = true)]
async fn a_frame_is_larger_than_what_the_budget_grants_its_tank() {
    let budget = Budget::items(8);
    let (writable, readable) = Tank::items(32).budget(&budget).named("parts").build();
    let ready = numbers!()
        .tank(Tank::items(8))
        .through("frames", into_writable(writable), Frames(readable))
        .to("count", count());
    let monitor = ready.monitor();
    let (_, seen) = tokio::join!(ready.run(), seen([monitor]));
    let says = "`→frames+count` has in hand all that its tank takes, and \
                waits for more of it; the budget of tank `parts` grants it no more";
    check(seen, Holder::NoRoom, "→frames+count", says);
}

#[tokio::test(start_paused = true)]
async fn bug_9_a_clone_of_a_writable_is_forgotten() {
    let (writable, readable) = Tank::items(8).build();
    let forgotten = writable.clone();
    let first = numbers!().to("over", into_writable(writable));
    let second = Pipeline::from_with_clock("from", from_readable(readable), paused_clock())
        .to("count", count());
    let monitors = [first.monitor(), second.monitor()];
    let (first, second, seen) = tokio::join!(first.run(), second.run(), seen(monitors));
    assert!(first.is_ok() && second.is_err(), "one has ended, the other was cancelled");
    let says = "`from+count` waits for an end that a forgotten writer \
                would have to give";
    check(seen, Holder::NoEnd, "from+count", says);
    forgotten.end();
}

#[tokio::test(start_paused = true)]
async fn bug_10_a_reader_was_told_to_pause_and_not_to_resume() {
    let (writable, readable) = Tank::items(8).build();
    readable.pause();
    let first = numbers!().to("over", into_writable(writable));
    let second = Pipeline::from_with_clock("from", from_readable(readable), paused_clock())
        .to("count", count());
    let monitors = [first.monitor(), second.monitor()];
    let (_, _, seen) = tokio::join!(first.run(), second.run(), seen(monitors));
    let says = "`from+count` has been told to pause, and not to resume";
    check(seen, Holder::Held, "from+count", says);
}
