//! One test for each error ever found, each with its story.

mod hand;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use bytes::Bytes;
use futures::executor::block_on;
use hand::{Hand, now};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use standpipe::adapt::http::BodyDoor;
use standpipe::adapt::stream::from_stream;
use standpipe::error::{Cause, CauseKind};
use standpipe::stage::{fold, iter};
use standpipe::tank::EventKind;
use standpipe::{Batch, KIB, Overflow, Pipeline, Readable, Tank, Writable};

/// A reader that looked without waiting swallowed the failure, and the stream
/// that had failed then ended cleanly.
#[test]
fn a_look_without_waiting_leaves_the_failure_for_the_next_read() {
    let (writable, mut readable) = Tank::items(4).build::<u32>();
    assert!(writable.write(1).is_ok());
    writable.fail("disk on fire");
    assert_eq!(readable.try_next(), Some(1));
    assert_eq!(readable.try_next(), None);
    let cause = now(readable.next()).expect("not an end").expect_err("a failure");
    assert_eq!(cause.to_string(), "disk on fire");
    assert!(now(readable.next()).is_none(), "told once");
}

/// A look at an empty tank put a sleeper's place in the reader's chair, so the
/// next write woke nobody and counted a wake.
#[test]
fn a_look_without_waiting_is_not_counted_as_a_reader_that_was_woken() {
    let (writable, mut readable) = Tank::items(4).build::<u32>();
    assert_eq!(readable.try_next(), None);
    assert!(writable.write(1).is_ok());
    assert_eq!(readable.gauge().snapshot().wakes_reader, 0);
}

/// Of two that waited, the first was let in, did not write, and took the turn
/// of the second with it: that one slept beside an open tank.
#[test]
fn who_is_let_in_and_does_not_write_does_not_keep_the_others_out() {
    let (writable, mut readable) = Tank::items(2).low(1).build::<u32>();
    assert!(writable.write(1).is_ok());
    assert!(writable.write(2).is_ok());
    let mut first = Hand::new(writable.drained());
    let mut second = Hand::new(writable.drained());
    first.waits();
    second.waits();
    assert_eq!(readable.try_next(), Some(1));
    assert_eq!((first.wakes(), second.wakes()), (1, 0), "one at a time");
    assert!(first.ready().is_ok());
    assert_eq!(second.wakes(), 1, "the tank is open and nobody else is coming");
}

/// The reader was parked already when a permit was given back; one writer was
/// notified, never polled, and all the others slept beside an empty tank.
#[test]
fn a_drain_beside_a_parked_reader_lets_everybody_in() {
    let (writable, mut readable) = Tank::items(2).build::<u32>();
    let permit = now(writable.reserve(2)).expect("the tank is open");
    let mut never_polled = Hand::new(writable.drained());
    let mut other = Hand::new(writable.drained());
    never_polled.waits();
    other.waits();
    let mut next = Hand::new(readable.next());
    next.waits();
    drop(permit);
    assert_eq!((never_polled.wakes(), other.wakes()), (1, 1));
}

/// The last reference to a task was the waker in its seat; it was dropped with
/// the lock held, and the task's own writer then waited for that lock for ever.
#[test]
fn a_waker_that_uses_the_tank_in_its_destructor_is_dropped_without_the_lock() {
    struct Owner(Writable<u32>);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            assert_eq!(self.0.level(), 1, "asks under the lock");
        }
    }
    let (writable, _readable) = Tank::items(1).build::<u32>();
    let mut seat = Box::pin(writable.drained());
    assert!(writable.write(1).is_ok());
    let waker = Waker::from(Arc::new(Owner(writable.clone())));
    assert!(seat.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    drop(seat);
}

/// Items without weight were still queued, and the writer was told that all
/// had been taken: the level was 0.
#[test]
fn items_without_weight_have_to_be_taken_before_it_is_finished() {
    let (writable, mut readable) = Tank::weighed(4, |_: &u32| 0).build::<u32>();
    assert!(writable.write(1).is_ok());
    assert!(writable.write(2).is_ok());
    let mut finished = Hand::new(writable.end());
    finished.waits();
    assert_eq!(readable.try_next(), Some(1));
    finished.waits();
    assert_eq!(readable.try_next(), Some(2));
    assert_eq!(finished.wakes(), 1);
    assert!(finished.ready().is_ok());
}

/// The reader had taken a whole tank in hand, read one item and left; the
/// writer that had ended was told that all had been taken.
#[test]
fn a_reader_that_leaves_with_items_in_hand_has_not_finished() {
    let (writable, mut readable) = Tank::items(4).build::<u32>();
    for item in 1..=3 {
        assert!(writable.write(item).is_ok());
    }
    let gauge = writable.gauge();
    let mut finished = Hand::new(writable.end());
    finished.waits();
    assert_eq!(readable.try_next(), Some(1));
    drop(readable);
    assert_eq!(finished.ready().expect_err("two are lost").kind(), CauseKind::Stopped);
    let seen = gauge.snapshot();
    assert_eq!((seen.read.items, seen.dropped.unread.items, seen.level), (1, 2, 0));
}

/// Every poll of a `Finished` from another task left that task's waker in the
/// tank, and so did one that was dropped.
#[test]
fn a_wait_for_the_end_that_is_given_up_leaves_no_waker_behind() {
    let (writable, _readable) = Tank::items(4).build::<u32>();
    assert!(writable.write(1).is_ok());
    let mut finished = Box::pin(writable.end());
    let wakers: Vec<_> = (0..3).map(|_| Arc::new(Flag)).collect();
    for flag in &wakers {
        let waker = Waker::from(flag.clone());
        assert!(finished.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let held = |flag: &Arc<Flag>| Arc::strong_count(flag) - 1;
    assert_eq!(wakers.iter().map(held).sum::<usize>(), 1, "the last one");
    drop(finished);
    assert_eq!(wakers.iter().map(held).sum::<usize>(), 0);
}

/// A waker that does nothing.
struct Flag;

impl Wake for Flag {
    fn wake(self: Arc<Self>) {}
}

/// A weight near the largest number saturated the level and was then returned
/// in full: the items beside it were paid for twice, and the tank panicked.
#[test]
fn weights_that_the_level_cannot_count_are_returned_as_they_were_charged() {
    let (writable, mut readable) = Tank::weighed(4, |weight: &usize| *weight).build();
    assert!(writable.write(1).is_ok());
    let permit = now(writable.reserve(usize::MAX)).expect("the tank is open");
    assert_eq!(writable.level(), usize::MAX);
    drop(permit);
    assert_eq!(writable.level(), 1);
    assert!(writable.write(usize::MAX).is_ok());
    assert_eq!(readable.try_next(), Some(1));
    readable.unshift(7);
    assert_eq!(readable.try_next(), Some(7));
    assert_eq!(readable.try_next(), Some(usize::MAX));
    assert_eq!(writable.level(), 0);
}

/// Dropped arrivals were counted as dropped and not as written, an item put
/// back as read twice and written once: the numbers did not add up.
#[test]
fn written_is_read_and_dropped_and_inside() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::KeepLatest] {
        let (writable, mut readable) = Tank::items(2).overflow(overflow).build::<u32>();
        for item in 0..5 {
            assert!(writable.write(item).is_ok());
        }
        let item = readable.try_next().expect("something is kept");
        readable.unshift(item);
        for item in 0..5 {
            assert!(writable.write(item).is_ok(), "with everything in the reader's hands");
        }
        let gauge = readable.gauge();
        let inside = std::iter::from_fn(|| readable.try_next()).count();
        let seen = gauge.snapshot();
        assert_eq!(seen.written.items, 11, "{overflow:?}: ten writes and one put back");
        assert_eq!(seen.written, seen.read.plus(seen.dropped.total()), "{overflow:?}");
        assert!(inside > 0, "{overflow:?}");
    }
}

/// Items that a reader's own batch was filled up with were counted as read
/// from the tank that the batch had last come from.
#[test]
fn what_is_pushed_behind_a_batch_is_not_charged_to_its_tank() {
    let (writable, mut readable) = Tank::items(4).build::<u32>();
    assert!(writable.write(1).is_ok());
    let mut batch = Batch::new();
    assert!(now(readable.next_batch(&mut batch)).expect("flowing"));
    batch.push(2);
    assert_eq!(batch.pop(), Some(1));
    let seen = readable.gauge().snapshot();
    assert_eq!((seen.read.items, seen.level), (1, 0), "the credit need not wait for the 2");
    assert_eq!(batch.pop(), Some(2));
    batch.push(3);
    drop(batch);
    let seen = readable.gauge().snapshot();
    assert_eq!((seen.read.items, seen.dropped.unread.items), (1, 0));
}

/// An item put back raised the amount at which credit was due by its weight,
/// also below the low-water mark: credit was kept back that opens the tank.
#[test]
fn an_item_put_back_does_not_keep_credit_back() {
    let (writable, mut readable) = Tank::weighed(10, |w: &usize| *w).low(5).build();
    for _ in 0..4 {
        assert!(writable.write(1).is_ok());
    }
    assert_eq!(readable.try_next(), Some(1));
    readable.unshift(7);
    assert!(writable.is_shut());
    assert_eq!(readable.try_next(), Some(7));
    assert_eq!((readable.level(), writable.is_shut()), (3, false), "3 is below 5");
}

/// A scale that panicked in the middle of a batch left items in the tank that
/// nobody had paid for; taking them out panicked again.
#[test]
fn a_scale_that_panics_leaves_the_tank_balanced() {
    let weigh = |item: &u32| {
        assert_ne!(*item, 13, "cannot weigh 13");
        1
    };
    let (writable, mut readable) = Tank::weighed(100, weigh).build::<u32>();
    let mut batch: Batch<u32> = [1, 2, 13, 4].into_iter().collect();
    let send = AssertUnwindSafe(|| drop(now(writable.send_batch(&mut batch))));
    assert!(catch_unwind(send).is_err());
    assert_eq!((writable.level(), readable.try_next()), (0, None));
    assert_eq!(batch.iter().collect::<Vec<_>>(), [&1, &2, &13, &4], "still there, in order");

    let permit = now(writable.reserve(5)).expect("the tank is open");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(permit.send(13)))).is_err());
    assert_eq!(writable.level(), 0, "the room of the permit is free");
}

/// A pipe waited for its next item and did not see that the far side had
/// stopped: an idle source went on for ever.
#[test]
fn a_pipe_sees_the_far_side_stop_while_nothing_comes() {
    let (source, from) = Tank::items(4).build::<u32>();
    let (to, far) = Tank::items(4).build::<u32>();
    let mut pipe = Hand::new(from.pipe(to));
    pipe.waits();
    far.stop(Cause::failed("far side closed"));
    assert_eq!(pipe.wakes(), 1);
    assert_eq!(pipe.ready().expect_err("stopped").to_string(), "far side closed");
    let refused = source.write(1).expect_err("the source is told");
    assert_eq!(refused.cause().expect("closed").to_string(), "far side closed");
}

/// A pipe into a tank that refuses lost the item that was refused, uncounted.
#[test]
fn an_item_that_a_pipe_could_not_pass_on_is_counted_as_unread() {
    let (source, from) = Tank::items(4).build::<u32>();
    let (to, _far) = Tank::items(1).overflow(Overflow::Refuse).build::<u32>();
    let gauge = source.gauge();
    let mut pipe = Hand::new(from.pipe(to.clone()));
    pipe.waits();
    assert!(source.write(1).is_ok());
    assert!(to.write(0).is_ok()); // quicker than the pipe
    assert_eq!(pipe.ready().expect_err("refused").kind(), CauseKind::Overflowed);
    assert_eq!(gauge.snapshot().dropped.unread.items, 1);
}

/// A paused reader was woken by every write, only to go back to sleep.
#[test]
fn writes_do_not_wake_a_reader_that_is_paused() {
    let (writable, mut readable) = Tank::items(8).build::<u32>();
    readable.pause();
    let gauge = readable.gauge();
    let mut next = Hand::new(readable.next());
    next.waits();
    for item in 0..3 {
        assert!(writable.write(item).is_ok());
        next.waits();
    }
    assert_eq!(next.wakes(), 0);
    assert_eq!(gauge.snapshot().wakes_reader, 0);
}

/// A tank of items that may not be moved while borrowed could not be a stream.
#[test]
fn a_readable_is_a_stream_whatever_its_items_are() {
    fn is_stream<T: futures::Stream>(_: &T) {}
    let (_writable, readable) = Tank::items(8).build::<std::marker::PhantomPinned>();
    is_stream(&readable);
}

/// A batch that was put aside with an item in it kept the credit of those that
/// had left; the tank stayed shut above a reader that waited for more.
#[test]
fn a_batch_that_is_put_aside_does_not_keep_the_tank_shut() {
    for (first, last) in [(6, 5), (5, 4), (10, 6)] {
        let (writable, mut readable) = Tank::items(11).low(5).build::<u32>();
        let (mut aside, mut batch) = (Batch::new(), Batch::new());
        for item in 0..first {
            assert!(writable.write(item).is_ok());
        }
        assert!(now(readable.next_batch(&mut aside)).expect("flowing"));
        for item in 0..last {
            assert_eq!(aside.pop(), Some(item));
        }
        while writable.write(99).is_ok() {}
        assert!(now(readable.next_batch(&mut batch)).expect("flowing"));
        batch.drain().for_each(drop);
        assert!(readable.level() <= 5 && !writable.is_shut(), "{aside:?}: {readable:?}");
    }
}

/// A function that was to split an item off panicked: the item was lost, its
/// charge stayed for ever, and so a tank that it had shut never opened again.
#[test]
fn a_split_that_panics_loses_nothing() {
    let (writable, mut readable) = Tank::bytes(8).build::<Vec<u8>>();
    assert!(writable.write(vec![7; 9]).is_ok());
    let panics = |readable: &mut Readable<Vec<u8>>| {
        let split = AssertUnwindSafe(|| readable.try_next_part(|_| panic!("cannot split")));
        assert!(catch_unwind(split).is_err());
    };
    panics(&mut readable);
    assert_eq!(readable.level(), 9);
    assert_eq!(readable.try_next_part(|item| Some(item.split_off(2))), Some(vec![7; 2]));
    panics(&mut readable);
    assert_eq!(readable.try_next(), Some(vec![7; 7]), "what was left of it");
    assert_eq!((writable.level(), writable.is_shut()), (0, false));
    assert_eq!(readable.gauge().snapshot().read.items, 1);
}

/// The scale panicked at the part that was to be taken: what had been split off
/// behind it was lost, and the charge of both stayed.
#[test]
fn a_scale_that_panics_at_a_part_loses_nothing() {
    let weigh = |item: &Vec<u8>| {
        assert_ne!(item.len(), 2, "cannot weigh two");
        item.len()
    };
    let (writable, mut readable) = Tank::weighed(8, weigh).build::<Vec<u8>>();
    assert!(writable.write(vec![7; 9]).is_ok());
    let part = AssertUnwindSafe(|| readable.try_next_part(|item| Some(item.split_off(2))));
    assert!(catch_unwind(part).is_err());
    assert_eq!(readable.level(), 9);
    let next = AssertUnwindSafe(|| readable.try_next());
    assert!(catch_unwind(next).is_err(), "the two come first");
    drop(readable);
    assert_eq!(writable.level(), 0, "all of it was given back");
}

/// A stage was given two of six items at a time; what it returned of each two
/// was held against the credit that was due when the six had come, so the tank
/// stayed shut below its low-water mark until it had let go of both.
#[test]
fn a_part_of_a_batch_returns_credit_as_soon_as_that_opens_the_tank() {
    for most in 1..=6 {
        let (writable, mut readable) = Tank::items(6).low(3).build::<u32>();
        (0..6).for_each(|item| assert!(writable.write(item).is_ok()));
        let (mut batch, mut left) = (Batch::new(), 6);
        while left > 0 {
            assert!(now(readable.next_batch_of(most, &mut batch)).expect("flowing"));
            while batch.pop().is_some() {
                left -= 1;
                assert_eq!(writable.is_shut(), left > 3, "{left} left, {most} at a time");
            }
        }
    }
}

/// An item that was put back shut the tank; whoever observed it was told, and
/// not woken.
#[test]
fn an_item_put_back_wakes_who_observes_that_the_tank_shut() {
    let (writable, mut readable) = Tank::items(1).build::<u32>();
    let mut events = writable.gauge().events(4);
    assert!(events.try_next().is_some(), "that it is ready");
    let mut next = Hand::new(events.next());
    next.waits();
    readable.unshift(1);
    assert_eq!(next.wakes(), 1);
    assert!(matches!(next.ready().expect("an event").kind, EventKind::Shut));
}

/// A body was over as soon as the level of its tank was 0: the last part of an
/// answer, too small to weigh anything in a tank of KiB, was never sent.
#[test]
fn a_body_is_not_over_before_an_item_without_weight() {
    let (writable, readable) = Tank::weighed(4, |part: &Bytes| part.len() / KIB).build();
    assert!(writable.write(Bytes::from_static(b"the end")).is_ok());
    writable.end();
    let mut body = BodyDoor::new(readable);
    assert!(!body.is_end_stream());
    let frame = now(body.frame()).expect("a frame").expect("no failure");
    assert_eq!(frame.into_data().expect("data"), "the end");
    assert!(body.is_end_stream());
}

/// The scale panicked at the second of two queued items that had to make room:
/// the first had let a writer in, which was never woken, and what had been
/// evicted and what arrived were dropped with the lock held, so an item that
/// looked at its tank then waited for that lock for ever.
#[test]
fn a_scale_that_panics_while_items_make_room_changes_nothing() {
    struct Item(usize, Option<Writable<Self>>);
    impl Drop for Item {
        fn drop(&mut self) {
            let _level = self.1.as_ref().map(Writable::level); // takes the lock
        }
    }
    let unsound = Arc::new(AtomicUsize::new(usize::MAX));
    let seen = unsound.clone();
    let weigh = move |item: &Item| {
        assert_ne!(item.0, seen.load(Ordering::SeqCst), "cannot weigh it any more");
        item.0
    };
    let tank = Tank::weighed(9, weigh).low(8).overflow(Overflow::DropOldest);
    let (writable, mut readable) = tank.build::<Item>();
    for weight in [1, 3, 30] {
        assert!(writable.write(Item(weight, Some(writable.clone()))).is_ok());
    }
    let gauge = writable.gauge();
    unsound.store(3, Ordering::SeqCst);
    let write = || writable.write(Item(2, Some(writable.clone()))).is_ok();
    assert!(catch_unwind(AssertUnwindSafe(write)).is_err());
    let seen = gauge.snapshot();
    assert_eq!((seen.level, seen.written.items, seen.dropped.total().items), (34, 3, 0));
    unsound.store(usize::MAX, Ordering::SeqCst);
    let left: Vec<_> = std::iter::from_fn(|| readable.try_next()).map(|item| item.0).collect();
    assert_eq!(left, [1, 3, 30], "in order, and all of them");
}

/// The scale of one tank panicked in the middle of a batch that moved into
/// another: the items before were in there, and the reader that waited for them
/// slept on.
#[test]
fn a_scale_that_panics_between_two_tanks_moves_nothing() {
    for fragile in ["from", "to"] {
        let breaks = Arc::new(AtomicUsize::new(0));
        let scale = |mine: &'static str| {
            let breaks = breaks.clone();
            move |item: &usize| {
                let broken = mine == fragile && *item == breaks.load(Ordering::SeqCst);
                assert!(!broken, "cannot weigh it any more");
                1
            }
        };
        let (first, mut from) = Tank::weighed(8, scale("from")).build::<usize>();
        let (to, mut readable) = Tank::weighed(3, scale("to")).build::<usize>();
        for item in [1, 2, 13, 4] {
            assert!(first.write(item).is_ok());
        }
        let mut batch = Batch::new();
        assert!(now(from.next_batch(&mut batch)).expect("flowing"));
        breaks.store(13, Ordering::SeqCst);
        let mut next = Hand::new(readable.next());
        next.waits();
        let send = AssertUnwindSafe(|| drop(now(to.send_batch(&mut batch))));
        assert!(catch_unwind(send).is_err());
        next.waits();
        assert_eq!((to.level(), first.level(), batch.len()), (0, 4, 4), "each is where it was");
    }
}

/// The lowest level, which says how much of a tank is never used, was 0 in the
/// report of every run that had ended: what leaves a tank at the end counted.
#[test]
fn the_lowest_level_stands_once_the_data_has_ended() {
    let (writable, mut readable) = Tank::items(8).node().build::<u32>();
    (0..6).for_each(|item| assert!(writable.write(item).is_ok()));
    for item in 0..4 {
        assert_eq!(readable.try_next(), Some(item));
    }
    let gauge = readable.gauge();
    assert_eq!(gauge.snapshot().lowest, 2);
    assert!(writable.write(6).is_ok());
    writable.end();
    while readable.try_next().is_some() {}
    assert_eq!((gauge.snapshot().level, gauge.snapshot().lowest), (0, 2));
}

/// A scale whose own lock was poisoned by its first panic panicked again as what
/// was staged in front of the tank was counted as lost: that was during the
/// first one, and the process was aborted.
#[test]
fn a_scale_that_goes_on_panicking_fails_its_pipeline_and_no_more() {
    let broken = AtomicBool::new(false);
    let weigh = move |n: &u64| {
        let breaks = *n == 3 && !broken.swap(true, Ordering::SeqCst);
        assert!(!breaks && !broken.load(Ordering::SeqCst), "the lock is poisoned");
        1
    };
    let run = Pipeline::from("numbers", iter(0..10_u64))
        .tank(Tank::weighed(100, weigh))
        .to("sum", fold(0, u64::wrapping_add))
        .run();
    let error = block_on(run).expect_err("the scale panics");
    assert_eq!(error.kind(), CauseKind::Panicked);
    let lost = error.report().undelivered();
    assert_eq!((lost.items, lost.weight), (3, 3), "what was staged is counted");
}

/// Somebody's function that was to be called at the end panicked; it was called
/// before whoever takes the pipeline down was woken, and that was left out.
#[test]
fn a_change_that_somebody_panics_at_is_told_to_all_others() {
    let ready = Pipeline::from("never", from_stream(futures::stream::pending::<u64>()))
        .to("sum", fold(0, u64::wrapping_add));
    let monitor = ready.monitor();
    monitor.on_change(|| panic!("no idea what to do"));
    let mut run = Hand::new(ready.run());
    run.waits();
    assert!(
        catch_unwind(AssertUnwindSafe(|| monitor.cancel())).is_err(),
        "it is told to the caller"
    );
    assert_eq!(run.wakes(), 1);
    assert_eq!(run.ready().expect_err("cancelled").kind(), CauseKind::Cancelled);
}
