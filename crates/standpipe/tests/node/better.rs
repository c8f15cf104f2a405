//! Where standpipe differs from Node on purpose: the better behaviour.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;
use standpipe::pipeline::Group;
use standpipe::snapshot::{Report, StageState};
use standpipe::stage::{Emit, More, Sink, Source, collect, for_each, iter};
use standpipe::tank::PipeError;
use standpipe::{Batch, BoxError, Cause, CauseKind, Flow, Pipeline, Tank, WriteError};

use super::{check, now};

#[test]
fn r03_a_tank_opens_at_its_low_mark() {
    let (writable, mut readable) = Tank::items(4).build();
    for item in 0..4 {
        let _flow = writable.write(item).unwrap();
    }
    readable.try_next();
    assert!(writable.is_shut());
    readable.try_next();
    assert!(!writable.is_shut(), "at half");
}

#[test]
fn r04_a_shut_tank_stays_shut_until_it_opens() {
    let (writable, mut readable) = Tank::bytes(10).low(2).build::<Vec<u8>>();
    assert_eq!(writable.write(vec![0; 7]).unwrap(), Flow::Ready);
    assert_eq!(writable.write(vec![0; 3]).unwrap(), Flow::Wait);
    readable.try_next();
    assert_eq!(readable.level(), 3);
    assert!(writable.write(vec![0; 1]).unwrap_err().is_full(), "below the mark, and still shut");
}

#[test]
fn r05_a_write_past_the_mark_is_handed_back_or_counted_by_line() {
    let (writable, _readable) = Tank::items(1).build();
    let _flow = writable.write(1).unwrap();
    assert_eq!(writable.write(2).unwrap_err().into_inner(), 2);
    let (writable, _readable) = Tank::items(1).node().build();
    for item in 0..5000 {
        let _flow = writable.write(item).unwrap();
    }
    let past = writable.gauge().snapshot().past_mark;
    assert_eq!((past.len(), past[0].written.items), (1, 4999));
    assert!(past[0].line.contains("better.rs"), "{}", past[0].line);
}

#[test]
fn r06_a_write_only_stores() {
    let (writable, mut readable) = Tank::bytes(10).node().build::<Vec<u8>>();
    let mut next = Box::pin(readable.next());
    assert!(now(next.as_mut()).is_none(), "a reader waits");
    assert_eq!(writable.write(vec![0; 1000]).unwrap(), Flow::Wait);
    assert_eq!(writable.level(), 1000);
    assert!(now(next).is_some());
}

#[test]
fn r09_a_batch_may_be_bounded() {
    let (writable, mut readable) = Tank::items(9).node().build();
    for item in 0..5 {
        let _flow = writable.write(item).unwrap();
    }
    let mut batch = Batch::new();
    assert_eq!(now(readable.next_batch_of(2, &mut batch)).unwrap().ok(), Some(true));
    assert_eq!((batch.len(), writable.level()), (2, 5));
    drop(batch);
    assert_eq!(readable.try_next(), Some(2), "in order");
}

#[test]
fn r19_a_write_to_a_tank_that_is_gone_gives_the_item_back_with_the_cause() {
    let (writable, readable) = Tank::items(9).node().build();
    readable.stop(Cause::failed("disk full"));
    let Err(WriteError::Closed(item, cause)) = writable.write(7) else { panic!("closed") };
    assert_eq!((item, cause.to_string().as_str()), (7, "disk full"));
}

#[test]
fn r21_what_was_accepted_and_not_delivered_is_counted() {
    let (writable, readable) = Tank::bytes(99).node().build::<Vec<u8>>();
    for _ in 0..3 {
        let _flow = writable.write(vec![0; 2]).unwrap();
    }
    drop(readable);
    let unread = writable.gauge().snapshot().dropped.unread;
    assert_eq!((unread.items, unread.weight), (3, 6));
    assert_eq!(writable.level(), 0);
}

#[test]
fn r23_a_failed_cleanup_does_not_hide_the_first_cause() {
    let group = Group::new();
    let member = group.join("stream");
    member.fail("the cause");
    member.closed_with("the cleanup");
    let cause = now(group.outcome()).unwrap().unwrap_err();
    assert_eq!(cause.error().unwrap().to_string(), "the cause");
}

#[test]
fn r29_a_panic_is_the_failure_of_its_stage() {
    let run = Pipeline::from("numbers", iter(0..3_u64))
        .map("picky", |n| if n == 1 { panic!("no ones") } else { n })
        .to("all", collect(9))
        .run();
    let error = block_on(run).unwrap_err();
    assert_eq!(error.kind(), CauseKind::Panicked);
    assert_eq!(error.to_string().split(" (").next(), Some("stage 1 `picky`: panicked: no ones"));
}

/// A sink whose first write never returns.
struct Stuck;

impl Sink for Stuck {
    type In = u64;
    type Done = ();
    type Error = BoxError;

    async fn write(&mut self, _batch: &mut Batch<u64>) -> Result<More, BoxError> {
        pending().await
    }

    async fn finish(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A source that never answers.
struct Silent;

impl Source for Silent {
    type Item = u64;
    type Error = BoxError;

    async fn read(&mut self, _out: &mut impl Emit<u64>) -> Result<More, BoxError> {
        pending().await
    }
}

/// What a pipeline says of itself once it stands still.
fn stalled<D: Send + 'static>(ready: standpipe::pipeline::Ready<D>) -> Report {
    let monitor = ready.monitor();
    let mut run = ready.run();
    assert!(now(&mut run).is_none(), "it stands still");
    monitor.report()
}

fn states(report: &Report) -> Vec<(&str, StageState)> {
    report.stages.iter().map(|stage| (&*stage.name, stage.state)).collect()
}

#[test]
fn r30_a_stall_is_named() {
    let report =
        stalled(Pipeline::from("numbers", iter(0..)).tank(Tank::items(4)).to("disk", Stuck));
    assert_eq!(states(&report), [("numbers", StageState::Paused), ("disk", StageState::Busy)]);
    assert!(report.tanks[0].shut);
}

#[test]
fn r36_a_source_that_never_answers_is_named() {
    let sink = for_each(|_: u64| {});
    let report = stalled(Pipeline::from("silent", Silent).tank(Tank::items(4)).to("sink", sink));
    assert_eq!(states(&report), [("silent", StageState::Busy), ("sink", StageState::Starved)]);
}

#[test]
fn r38_boundaries_are_always_kept() {
    let (writable, mut readable) = Tank::bytes(1).node().build::<Vec<u8>>();
    let _flow = (writable.write(vec![0; 3]).unwrap(), writable.write(vec![0; 4]).unwrap());
    let mut batch = Batch::new();
    assert_eq!(now(readable.next_batch(&mut batch)).unwrap().ok(), Some(true));
    assert_eq!(batch.drain().map(|item| item.len()).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn r40_reading_never_moves_a_mark() {
    let (writable, mut readable) = Tank::bytes(10).node().build::<Vec<u8>>();
    let _flow = writable.write(vec![0; 33]).unwrap();
    let part = readable.try_next_part(|item| Some(item.split_off(20)));
    assert_eq!(part.map(|part| part.len()), Some(20));
    assert_eq!((readable.level(), readable.high_water_mark()), (13, 10));
}

#[test]
fn r47_a_push_is_answered_by_the_level_while_it_flows() {
    let steps = super::play("readable flow", r#"source 2 mode="push""#, "push 10; push 10");
    assert_eq!(steps[1..3], ["push r0 0c(10)", "push r0 0c(10)"]);
    let (writable, mut readable) = Tank::bytes(2).node().build::<Vec<u8>>();
    let mut delivered = 0;
    for _ in 0..100 {
        assert_eq!(writable.write(vec![0; 10]).unwrap(), Flow::Wait);
        delivered += usize::from(readable.try_next().is_some());
    }
    assert_eq!((delivered, writable.level()), (100, 0));
}

#[test]
fn r51_the_items_lost_are_counted() {
    let (writable, readable) = Tank::items(9).node().build();
    let _flow = writable.write(1).unwrap();
    let gauge = readable.gauge();
    drop(readable);
    assert_eq!(gauge.snapshot().dropped.unread.items, 1);
}

#[test]
fn r52_nothing_is_delivered_after_a_destroy() {
    check(
        "readable",
        r#"source 9 mode="push" destroyDelay=2"#,
        "push 3; destroy -; read; idle",
        "
         start r0
         push=true r3
         destroy x 0io(destroy)
         read=null x
         0destroy x 0(close) 0io(destroyed)
         idle x
         final aborted",
    );
}

#[test]
fn r53_dropping_the_reader_stops_the_source_and_a_borrow_keeps_it() {
    let (writable, mut readable) = Tank::items(9).node().build();
    for item in 1..=3 {
        let _flow = writable.write(item).unwrap();
    }
    let by_ref = &mut readable;
    assert_eq!(block_on(async { by_ref.next().await.unwrap().unwrap() }), 1);
    assert_eq!((readable.try_next(), readable.level()), (Some(2), 1));
    drop(readable);
    assert_eq!(writable.write(4).unwrap_err().cause().unwrap().kind(), CauseKind::Stopped);
}

#[test]
fn r54_next_tells_the_cause_after_the_items() {
    let (writable, mut readable) = Tank::bytes(9).node().build::<Vec<u8>>();
    let _flow = (writable.write(vec![0; 1]).unwrap(), writable.write(vec![0; 2]).unwrap());
    drop(writable);
    let len = |item: Option<Result<Vec<u8>, Cause>>| item.unwrap().unwrap().len();
    assert_eq!((len(now(readable.next()).unwrap()), len(now(readable.next()).unwrap())), (1, 2));
    assert_eq!(readable.try_next(), None, "a look takes no cause away");
    let cause = now(readable.next()).unwrap().unwrap().unwrap_err();
    assert_eq!(cause.kind(), CauseKind::Abandoned);
}

/// Items that a source was asked for before everything stood still in front of
/// a stuck sink; the tank holds 4.
fn pulled(
    build: impl FnOnce(Box<dyn Iterator<Item = u64> + Send>) -> standpipe::pipeline::Ready<()>,
) -> usize {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let items = (0..).inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    stalled(build(Box::new(items)));
    pulled.load(Ordering::Relaxed)
}

#[test]
fn r55_a_source_runs_ahead_only_into_a_tank() {
    let ahead = pulled(|items| {
        Pipeline::from("numbers", iter(items)).tank(Tank::items(4)).to("disk", Stuck)
    });
    assert!(ahead <= 4 + 1, "{ahead}");
}

#[test]
fn r59_stages_between_tanks_hold_nothing() {
    let ahead = pulled(|items| {
        Pipeline::from("numbers", iter(items))
            .map("a", |n| n + 1)
            .map("b", |n| n + 1)
            .filter("c", |_| true)
            .tank(Tank::items(4))
            .to("disk", Stuck)
    });
    assert!(ahead <= 4 + 1, "{ahead}");
}

#[test]
fn r64_outputs_wait_for_room() {
    let run = Pipeline::from("one", iter(0..1_u64))
        .flat_map("many", |_| 0..100_u64)
        .tank(Tank::items(2))
        .to("disk", Stuck);
    let report = stalled(run);
    assert!(report.tanks[0].level <= 2 + 1, "{}", report.tanks[0].level);
}

#[test]
fn r68_every_tank_has_its_own_mark() {
    let (input, _unread) = Tank::items(7).node().build::<u64>();
    let (output, _unread_either) = Tank::items(9).node().build::<u64>();
    assert_eq!((input.high_water_mark(), output.high_water_mark()), (7, 9));
}

#[test]
fn r79_a_failed_source_fails_what_it_is_piped_to() {
    let (writable, readable) = Tank::items(4).build::<u64>();
    let (to, mut sink) = Tank::items(4).build();
    writable.fail("lost");
    let cause = block_on(readable.pipe(to)).unwrap_err();
    assert_eq!(cause.to_string(), "lost");
    assert_eq!(now(sink.next()).unwrap().unwrap().unwrap_err().to_string(), "lost");
}

#[test]
fn r80_a_failed_destination_stops_the_source() {
    let (writable, readable) = Tank::items(4).build();
    let (to, sink) = Tank::items(4).build();
    let _flow = writable.write(1).unwrap();
    sink.stop(Cause::failed("full"));
    assert_eq!(block_on(readable.pipe(to)).unwrap_err().to_string(), "full");
    assert_eq!(writable.write(2).unwrap_err().cause().unwrap().to_string(), "full");
}

#[test]
fn r81_many_sources_hold_the_mark_and_one_item() {
    let (writable, _readable) = Tank::items(1).build();
    let clones: Vec<_> = (0..3).map(|_| writable.clone()).collect();
    let taken = clones.iter().filter(|clone| clone.write(0).is_ok()).count();
    assert_eq!((taken, writable.level()), (1, 1));
}

#[test]
fn r84_down_it_is_abandoned_and_up_it_is_stopped() {
    let (writable, mut readable) = Tank::items(4).build::<u64>();
    drop(writable);
    assert_eq!(now(readable.next()).unwrap().unwrap().unwrap_err().kind(), CauseKind::Abandoned);
    let (writable, readable) = Tank::items(4).build::<u64>();
    drop(readable);
    assert_eq!(now(writable.drained()).unwrap().unwrap_err().kind(), CauseKind::Stopped);
}

#[test]
fn r90_an_unread_outlet_is_a_named_stall() {
    let (writable, _unread) = Tank::items(4).build::<u64>();
    let sink = standpipe::adapt::tank::into_writable(writable);
    let report =
        stalled(Pipeline::from("numbers", iter(0..100)).tank(Tank::items(2)).to("out", sink));
    assert_eq!(report.stages[0].state, StageState::Paused);
}

/// A sink that has enough at once, and says how it went.
struct Enough(Result<&'static str, &'static str>);

impl Sink for Enough {
    type In = u64;
    type Done = &'static str;
    type Error = &'static str;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, &'static str> {
        batch.pop();
        Ok(More::No)
    }

    async fn finish(&mut self) -> Result<&'static str, &'static str> {
        self.0
    }
}

#[test]
fn r91_who_has_enough_says_whether_that_is_success() {
    let run = |said| Pipeline::from("numbers", iter(0..)).to("sink", Enough(said)).run();
    assert_eq!(block_on(run(Ok("found"))).unwrap().done, "found");
    assert_eq!(
        block_on(run(Err("nothing"))).unwrap_err().cause().error().unwrap().to_string(),
        "nothing"
    );
}

#[test]
fn r96_r98_fused_stages_add_no_buffer() {
    let fused = |items| {
        Pipeline::from("numbers", iter(items))
            .map("a", |n| n)
            .filter_map("b", Some)
            .to("disk", Stuck)
    };
    assert_eq!(pulled(fused), 1, "the item in the sink's hands");
}

#[test]
fn r97_at_most_n_are_in_work_and_unordered_ones_pass_a_slow_head() {
    // the first call never ends, the others at once
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    let call = move |n: u64| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            if n == 0 {
                pending::<()>().await;
            }
            Ok::<_, BoxError>(n)
        }
    };
    let (out, mut results) = Tank::items(16).build();
    let ready = Pipeline::from("numbers", iter(0..9))
        .ordered("call", 3, call.clone())
        .to("out", standpipe::adapt::tank::into_writable(out));
    let mut run = Box::pin(ready.run());
    assert!(now(run.as_mut()).is_none());
    assert_eq!(started.load(Ordering::Relaxed), 3, "not five: no more than n");
    assert_eq!(results.try_next(), None, "in the order they came in");

    let (out, mut results) = Tank::items(16).build();
    let ready = Pipeline::from("numbers", iter(0..9))
        .unordered("call", 3, call)
        .to("out", standpipe::adapt::tank::into_writable(out));
    let mut run = Box::pin(ready.run());
    assert!(now(run.as_mut()).is_none());
    let mut all: Vec<u64> = std::iter::from_fn(|| results.try_next()).collect();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8], "none waits behind the head");
}

#[test]
fn r103_a_wait_for_the_drain_ends_with_the_stream() {
    let (writable, readable) = Tank::items(1).node().build();
    let _flow = writable.write(1).unwrap();
    let mut drained = Box::pin(writable.drained());
    assert!(now(drained.as_mut()).is_none());
    readable.stop(Cause::failed("gone"));
    assert_eq!(now(drained).unwrap().unwrap_err().to_string(), "gone");
}

#[test]
fn r104_an_item_leaves_before_the_next_is_asked_for() {
    let (writable, mut readable) = Tank::items(2).node().low(1).build();
    let _flow = (writable.write(1).unwrap(), writable.write(2).unwrap());
    assert_eq!(readable.try_next(), Some(1));
    assert!(!writable.is_shut(), "the source is asked now");
    assert_eq!(writable.write(3).unwrap(), Flow::Wait);
    assert_eq!(writable.level(), 2, "not 3");
}

#[test]
fn r107_a_level_is_the_same_from_both_ends() {
    let (writable, mut readable) = Tank::bytes(1).node().build::<Vec<u8>>();
    let _flow = (writable.write(vec![0; 1]).unwrap(), writable.write(vec![0; 2]).unwrap());
    assert_eq!((writable.level(), readable.level()), (3, 3));
    readable.try_next();
    assert_eq!((writable.level(), readable.level()), (2, 2));
}

#[test]
fn r110_a_pipe_from_a_stream_that_is_gone_fails() {
    let (writable, mut readable) = Tank::items(4).build::<u64>();
    let (to, _sink) = Tank::items(4).build();
    drop(writable);
    assert!(matches!(now(readable.pipe_to(&to)), Some(Err(PipeError::Source(_)))));
    assert!(now(to.drained()).unwrap().is_ok(), "a plain pipe leaves the other side alone");
}

#[test]
fn r111_a_tank_that_shut_again_hands_items_back() {
    let (writable, _readable) = Tank::items(2).build();
    let taken = (0..5).filter(|item| writable.write(*item).is_ok()).count();
    assert_eq!(taken, 2);
}

#[test]
fn r112_a_late_wait_for_a_drain_returns_at_once() {
    let (writable, mut readable) = Tank::items(1).node().build();
    let _flow = writable.write(1).unwrap();
    assert_eq!(readable.try_next(), Some(1), "the drain is over");
    assert!(now(writable.drained()).unwrap().is_ok());
}
