//! The tank's contract, threshold by threshold: flow, overflow, ends, permits, batches, pipes.

mod hand;

use futures::StreamExt as _;
use hand::{Hand, now};
use standpipe::error::CauseKind;
use standpipe::gate::Gate;
use standpipe::snapshot::{Tally, TankSnapshot};
use standpipe::tank::{ByBytes, DEFAULT_BYTES, DEFAULT_ITEMS};
use standpipe::{Batch, Cause, Flow, Marks, Overflow, Readable, Tank, Weigh, Writable, WriteError};

/// An item that is its own weight.
fn weighed(high: usize, low: usize) -> (Writable<usize>, Readable<usize>) {
    Tank::weighed(high, |weight: &usize| *weight).low(low).build()
}

/// Writes these items and expects room for each.
#[track_caller]
fn fill<T>(writable: &Writable<T>, items: impl IntoIterator<Item = T>) {
    for item in items {
        assert!(writable.write(item).is_ok(), "the tank is shut");
    }
}

fn rest<T>(readable: &mut Readable<T>) -> Vec<T> {
    std::iter::from_fn(|| readable.try_next()).collect()
}

fn seen<T: Send + 'static>(readable: &Readable<T>) -> TankSnapshot {
    readable.gauge().snapshot()
}

fn failed(text: &str) -> Cause {
    Cause::failed(text)
}

// ---- thresholds -------------------------------------------------------

/// Runs a script on a tank: `+9r` writes 9 and expects `Ready`, `+9w` expects
/// `Wait`, `+9f` expects it handed back, `-` reads one item, `o` and `s` expect
/// the tank open or shut, `=8/4` sets marks, `u9` puts 9 back.
#[track_caller]
fn check(low: usize, high: usize, script: &str) {
    let (writable, mut readable) = weighed(high, low);
    for step in script.split_whitespace() {
        let (what, body) = step.split_at(1);
        let so_far = || format!("step {step} of {script}, then {writable:?}");
        match what {
            "+" => {
                let (number, want) = body.split_at(body.len() - 1);
                let got = match writable.write(number.parse().expect("a weight")) {
                    Ok(Flow::Ready) => "r",
                    Ok(Flow::Wait) => "w",
                    Err(WriteError::Full(_)) => "f",
                    Err(error) => unreachable!("{error}"),
                };
                assert_eq!(got, want, "{}", so_far());
            }
            "-" => assert!(readable.try_next().is_some(), "{}", so_far()),
            "u" => readable.unshift(body.parse().expect("a weight")),
            "o" => assert!(!writable.is_shut(), "{}", so_far()),
            "s" => assert!(writable.is_shut(), "{}", so_far()),
            "=" => {
                let (high, low) = body.split_once('/').expect("high/low");
                let number = |text: &str| text.parse().expect("a mark");
                writable.set_marks(Marks::new(number(high), number(low)).expect("marks"));
            }
            other => unreachable!("no step {other}"),
        }
    }
}

#[test]
fn it_shuts_at_the_high_mark_and_opens_at_the_low_one() {
    check(32, 64, "+63r o +1w s");
    check(32, 64, "+31r +33w s - s - o"); // 33 stays shut, 0 opens
    check(32, 64, "+31r +1r +32w s - s - o"); // 33 stays, 32 opens
    check(32, 64, "+32r +32w - o +31r o +1w s");
    check(32, 64, "+40r - +63r o"); // between the marks it stays as it was
}

#[test]
fn while_shut_every_item_comes_back() {
    check(32, 64, "+64w +1f +0f +1000f - o +1r");
    check(32, 64, "+31r +33w - +1f - +1r");
}

#[test]
fn an_oversized_item_passes_alone_and_the_next_one_waits() {
    check(4, 8, "+1000w s +1f - o");
    check(4, 8, "+7r +1000w +1f - s - o");
}

#[test]
fn items_without_weight_neither_shut_nor_open_it() {
    check(0, 1, "+0r +0r +0r o +1w s +0f - s - s - s - o");
}

#[test]
fn the_low_mark_may_lie_just_below_the_high_one() {
    check(63, 64, "+1r +1r +62w s - o +1w s - o");
    check(0, 1, "+1w s - o +1w s - o");
}

#[test]
fn marks_change_while_it_runs() {
    check(32, 64, "+64w s =128/64 o +63r o +1w s");
    check(32, 64, "+40r o =40/20 s +1f - o");
    check(32, 64, "+64w s =128/32 s"); // between the new marks it stays as it was
    check(4, 8, "+2r +3r o =5/2 s =8/6 o");
}

#[test]
fn every_pair_of_small_marks_shuts_and_opens_at_the_marks() {
    for high in 1..=12 {
        for low in 0..high {
            let (writable, mut readable) = Tank::items(high).low(low).build();
            for level in 1..=high {
                let want = if level < high { Flow::Ready } else { Flow::Wait };
                assert_eq!(writable.write(level).ok(), Some(want), "{level} of {low}/{high}");
            }
            for level in (0..high).rev() {
                assert!(readable.try_next().is_some());
                assert_eq!(writable.is_shut(), level > low, "{level} of {low}/{high}");
                assert_eq!(readable.level(), level);
            }
            assert_eq!(seen(&readable).pauses, 1);
        }
    }
}

#[test]
fn the_defaults_are_those_of_node() {
    let (writable, _readable) = Tank::<ByBytes>::default().build::<Vec<u8>>();
    assert_eq!((writable.high_water_mark(), DEFAULT_BYTES), (16_384, 16_384));
    assert_eq!(DEFAULT_ITEMS, 16);
    assert_eq!(writable.write(vec![0; 16_383]).ok(), Some(Flow::Ready));
    assert_eq!(writable.write(vec![0; 1]).ok(), Some(Flow::Wait));
}

#[test]
fn level_occupancy_and_gauge_say_the_same() {
    let (writable, mut readable) = weighed(8, 4);
    let gauge = writable.gauge();
    fill(&writable, [2, 4]);
    assert_eq!((writable.level(), readable.level(), gauge.level()), (6, 6, 6));
    assert!((writable.occupancy() - 0.75).abs() < 1e-9);
    assert!((gauge.snapshot().occupancy() - 0.75).abs() < 1e-9);
    fill(&writable, [4]);
    assert!((writable.occupancy() - 1.25).abs() < 1e-9);
    assert!(gauge.gate().is_shut());
    assert_eq!(rest(&mut readable), [2, 4, 4]);
    let mut empty = Gate::new(Marks::new(8, 4).expect("marks"));
    assert_eq!(gauge.gate(), empty);
    gauge.set_marks(Marks::new(4, 2).expect("marks"));
    assert_eq!(empty.set_marks(Marks::new(4, 2).expect("marks")), standpipe::gate::Turn::Stayed);
    assert_eq!(gauge.gate(), empty);
    assert_eq!((readable.high_water_mark(), writable.high_water_mark()), (4, 4));
    let seen = gauge.snapshot();
    assert_eq!((seen.peak, seen.pauses, seen.oversize), (10, 1, 0));
    assert_eq!(seen.written, Tally { items: 3, weight: 10 });
    assert_eq!(seen.read, seen.written);
}

// ---- waiting ----------------------------------------------------------

#[test]
fn a_drain_that_was_already_there_is_not_missed() {
    let (writable, mut readable) = Tank::items(2).build::<u32>();
    fill(&writable, [1, 2]);
    assert_eq!(readable.try_next(), Some(1)); // drained before anybody waits
    assert!(now(writable.drained()).is_ok());
}

#[test]
fn one_drain_is_one_wake() {
    let (writable, mut readable) = Tank::items(4).low(2).build::<u32>();
    fill(&writable, 0..4);
    let mut drained = Hand::new(writable.drained());
    drained.waits();
    assert_eq!(readable.try_next(), Some(0));
    assert_eq!(drained.wakes(), 0, "3 is above the low-water mark");
    assert_eq!(readable.try_next(), Some(1));
    assert_eq!(drained.wakes(), 1);
    assert_eq!(rest(&mut readable), [2, 3]);
    assert_eq!(drained.wakes(), 1, "no more of them on the way down");
    assert!(drained.ready().is_ok());
}

#[test]
fn waiting_writers_are_let_in_one_after_the_other_oldest_first() {
    let (writable, mut readable) = Tank::items(3).low(0).build::<u32>();
    fill(&writable, 0..3);
    let mut waiting: Vec<_> = (10..15).map(|item| Hand::new(writable.send(item))).collect();
    waiting.iter_mut().for_each(Hand::waits);
    assert_eq!(rest(&mut readable), [0, 1, 2]);
    let wakes = |waiting: &[Hand<_>]| waiting.iter().map(Hand::wakes).collect::<Vec<_>>();
    assert_eq!(wakes(&waiting[..4]), [1, 0, 0, 0]);
    assert!(waiting[0].ready().is_ok());
    assert_eq!(wakes(&waiting[..4]), [1, 1, 0, 0]);
    assert!(waiting[1].ready().is_ok());
    assert!(waiting[2].ready().is_ok()); // the third fills it: no further wake
    assert_eq!(wakes(&waiting), [1, 1, 1, 0, 0]);
    assert_eq!(rest(&mut readable), [10, 11, 12]);
    assert_eq!(wakes(&waiting), [1, 1, 1, 1, 0]);
    assert!(waiting[3].ready().is_ok());
    assert!(waiting[4].ready().is_ok());
    assert_eq!(rest(&mut readable), [13, 14]);
}

#[test]
fn a_wait_that_is_given_up_hands_its_turn_on() {
    let (writable, mut readable) = Tank::items(1).build::<u32>();
    fill(&writable, [0]);
    let mut first = Hand::new(writable.send(1));
    let mut second = Hand::new(writable.send(2));
    first.waits();
    second.waits();
    assert_eq!(readable.try_next(), Some(0));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!(second.wakes(), 1);
    assert!(second.ready().is_ok());
    assert_eq!(readable.try_next(), Some(2), "the first was never written");
}

#[test]
fn a_woken_writer_that_finds_it_shut_keeps_its_turn() {
    let (writable, mut readable) = Tank::items(1).build::<u32>();
    fill(&writable, [0]);
    let mut first = Hand::new(writable.send(1));
    let mut second = Hand::new(writable.send(2));
    first.waits();
    second.waits();
    assert_eq!(readable.try_next(), Some(0));
    fill(&writable, [9]); // somebody who did not wait is quicker
    first.waits();
    assert_eq!(readable.try_next(), Some(9));
    assert_eq!((first.wakes(), second.wakes()), (2, 0));
    assert!(first.ready().is_ok());
}

#[test]
fn a_reader_that_finds_nothing_lets_everybody_in_after_one_turn() {
    let (writable, mut readable) = Tank::items(2).build::<u32>();
    fill(&writable, [0, 1]);
    let mut never_polled = Hand::new(writable.drained());
    let mut other = Hand::new(writable.drained());
    never_polled.waits();
    other.waits();
    assert_eq!((readable.try_next(), readable.try_next()), (Some(0), Some(1)));
    let mut next = Hand::new(readable.next());
    next.waits();
    assert_eq!(next.wakes(), 1, "yields to the one that was notified");
    next.waits();
    assert_eq!((never_polled.wakes(), other.wakes()), (1, 1));
    next.waits();
    assert_eq!((never_polled.wakes(), other.wakes(), next.wakes()), (1, 1, 1));
}

#[test]
fn raised_marks_wake_a_waiting_writer_and_lowered_ones_stop_it() {
    let (writable, _readable) = Tank::items(2).build::<u32>();
    fill(&writable, [0, 1]);
    let mut send = Hand::new(writable.send(2));
    send.waits();
    writable.set_marks(Marks::new(8, 4).expect("marks"));
    assert_eq!(send.wakes(), 1);
    writable.set_marks(Marks::new(2, 1).expect("marks"));
    send.waits(); // shut again before it came
    writable.set_marks(Marks::new(8, 4).expect("marks"));
    assert_eq!(send.wakes(), 2);
    assert!(send.ready().is_ok());
}

// ---- overflow ---------------------------------------------------------

/// Fills a tank of two, lets three more come, and gives what became of them
/// with what is left inside.
fn flood(overflow: Overflow) -> (Vec<Result<Flow, bool>>, Vec<u32>, TankSnapshot) {
    let (writable, mut readable) = Tank::items(2).overflow(overflow).build::<u32>();
    assert_eq!(writable.overflow(), overflow);
    let answers =
        (0..5).map(|item| writable.write(item).map_err(|error| error.is_full())).collect();
    let left = rest(&mut readable);
    (answers, left, seen(&readable))
}

const READY: Result<Flow, bool> = Ok(Flow::Ready);
const WAIT: Result<Flow, bool> = Ok(Flow::Wait);
const FULL: Result<Flow, bool> = Err(true);
const CLOSED: Result<Flow, bool> = Err(false);

#[test]
fn waiting_and_refusing_hand_every_item_back() {
    for overflow in [Overflow::Wait, Overflow::Refuse] {
        let (answers, left, seen) = flood(overflow);
        assert_eq!(answers, [READY, WAIT, FULL, FULL, FULL]);
        assert_eq!(left, [0, 1]);
        assert_eq!((seen.refused, seen.dropped.total().items, seen.written.items), (3, 0, 2));
    }
}

#[test]
fn dropping_the_newest_keeps_the_oldest() {
    let (answers, left, seen) = flood(Overflow::DropNewest);
    assert_eq!(answers, [READY, WAIT, WAIT, WAIT, WAIT]);
    assert_eq!(left, [0, 1]);
    assert_eq!((seen.dropped.newest.items, seen.dropped.total().items), (3, 3));
    assert_eq!((seen.written.items, seen.refused), (5, 0));
}

#[test]
fn dropping_the_oldest_keeps_the_newest() {
    let (answers, left, seen) = flood(Overflow::DropOldest);
    assert_eq!(answers, [READY, WAIT, WAIT, WAIT, WAIT]);
    assert_eq!(left, [3, 4]);
    assert_eq!((seen.dropped.oldest.items, seen.dropped.total().items), (3, 3));
    assert_eq!((seen.written.items, seen.peak), (5, 2));
}

#[test]
fn keeping_the_latest_drops_all_that_is_queued() {
    let (answers, left, seen) = flood(Overflow::KeepLatest);
    assert_eq!(answers, [READY, WAIT, READY, WAIT, READY]);
    assert_eq!(left, [4]);
    assert_eq!((seen.dropped.replaced.items, seen.dropped.total().items), (4, 4));
}

#[test]
fn failing_tells_the_reader_after_what_is_queued() {
    let (answers, left, seen) = flood(Overflow::Fail);
    assert_eq!(answers, [READY, WAIT, CLOSED, CLOSED, CLOSED]);
    assert_eq!(left, [0, 1]);
    assert_eq!((seen.written.items, seen.dropped.total().items), (2, 0));

    let (writable, mut readable) = Tank::items(1).overflow(Overflow::Fail).build::<u32>();
    fill(&writable, [0]);
    let mut waiting = Hand::new(writable.drained());
    waiting.waits();
    let error = now(writable.send(7)).expect_err("overflowed");
    assert_eq!(error.cause().map(Cause::kind), Some(CauseKind::Overflowed));
    assert_eq!(error.into_inner(), 7);
    assert_eq!(waiting.wakes(), 1);
    assert_eq!(now(readable.next()).map(Result::ok), Some(Some(0)));
    let cause = now(readable.next()).expect("told").expect_err("failed");
    assert_eq!(cause.kind(), CauseKind::Overflowed);
    assert!(now(readable.next()).is_none());
}

#[test]
fn growing_takes_everything() {
    let (answers, left, seen) = flood(Overflow::Grow);
    assert_eq!(answers, [READY, WAIT, WAIT, WAIT, WAIT]);
    assert_eq!(left, [0, 1, 2, 3, 4]);
    assert_eq!((seen.peak, seen.written.items, seen.past_mark.len()), (5, 5, 1));
    assert_eq!(seen.past_mark[0].written.items, 3);
}

#[test]
fn with_everything_in_the_readers_hands_the_arriving_item_is_the_one_to_go() {
    for overflow in [Overflow::DropOldest, Overflow::KeepLatest] {
        let (writable, mut readable) = Tank::items(2).overflow(overflow).build::<u32>();
        fill(&writable, [0, 1]);
        let mut batch = Batch::new();
        assert!(now(readable.next_batch(&mut batch)).is_ok_and(|more| more));
        assert_eq!(writable.write(2).ok(), Some(Flow::Wait));
        assert_eq!(seen(&readable).dropped.newest.items, 1);
        assert_eq!((writable.level(), batch.len()), (2, 2), "the bound holds");
    }
}

#[test]
fn only_waiting_makes_send_wait() {
    for &overflow in Overflow::ALL {
        let waits = overflow == Overflow::Wait;
        let (writable, _readable) = Tank::items(1).overflow(overflow).build::<u32>();
        fill(&writable, [0]);
        assert_eq!(Hand::new(writable.send(1)).poll().is_pending(), waits, "{overflow:?}");
        // `drained` and `reserve` wait for the gate under every strategy
        let over = overflow == Overflow::Fail || overflow == Overflow::KeepLatest;
        if !over {
            Hand::new(writable.reserve(1)).waits();
        }
    }
}

// ---- the reader's door --------------------------------------------------

#[test]
fn an_item_put_back_comes_first_and_may_overshoot() {
    let (writable, mut readable) = Tank::items(2).low(0).build::<u32>();
    fill(&writable, [0, 1]);
    assert_eq!(readable.try_next(), Some(0));
    assert_eq!(readable.level(), 1);
    readable.unshift(0);
    readable.unshift(9);
    assert_eq!(readable.level(), 3);
    assert!(writable.is_shut());
    assert_eq!(rest(&mut readable), [9, 0, 1]);
    assert_eq!((writable.level(), writable.is_shut()), (0, false));
    readable.unshift(5); // also after the end
    drop(writable.end());
    assert_eq!(now(readable.next()).map(Result::ok), Some(Some(5)));
    assert!(now(readable.next()).is_none());
}

#[test]
fn a_paused_reader_waits_and_the_tank_fills() {
    let (writable, mut readable) = Tank::items(2).build::<u32>();
    fill(&writable, [0]);
    readable.pause();
    assert_eq!(readable.try_next(), None);
    {
        let mut next = Hand::new(readable.next());
        next.waits();
        assert_eq!(writable.write(1).ok(), Some(Flow::Wait));
        next.waits();
    }
    let mut batch = Batch::new();
    Hand::new(readable.next_batch(&mut batch)).waits();
    drop(writable.end()); // the end is held back as well
    Hand::new(readable.next()).waits();
    readable.resume();
    assert!(now(readable.next_batch(&mut batch)).is_ok_and(|more| more));
    assert_eq!(batch.drain().collect::<Vec<_>>(), [0, 1]);
    assert!(now(readable.next()).is_none());
}

#[test]
fn a_resume_wakes_the_reader() {
    let (writable, mut readable) = Tank::items(2).build::<u32>();
    fill(&writable, [0]);
    readable.pause();
    // as a stream it need not be borrowed while it waits
    let mut waker = Hand::new(std::future::poll_fn(|cx| readable.poll_next_unpin(cx)));
    waker.waits();
    drop(waker);
    readable.resume();
    assert_eq!(seen(&readable).wakes_reader, 1);
    assert_eq!(readable.try_next(), Some(0));
}

#[test]
fn a_batch_takes_all_and_stays_charged_until_it_is_popped() {
    let (writable, mut readable) = weighed(10, 5);
    fill(&writable, [3, 3, 4]);
    let mut batch = Batch::new();
    assert!(now(readable.next_batch(&mut batch)).is_ok_and(|more| more));
    assert_eq!((batch.len(), batch.peek(), writable.level()), (3, Some(&3), 10));
    assert_eq!(batch.iter().sum::<usize>(), 10);
    assert_eq!(batch.pop(), Some(3));
    assert!(writable.is_shut(), "7 is above 5");
    assert_eq!(batch.pop(), Some(3));
    assert_eq!((writable.level(), writable.is_shut()), (4, false), "due: it opens the tank");
    assert!(now(readable.next_batch(&mut batch)).is_ok_and(|more| more), "what is in it first");
    assert_eq!(batch.len(), 1);
    drop(batch);
    let seen = seen(&readable);
    assert_eq!((seen.level, seen.read.items, seen.dropped.unread.items), (0, 2, 1));
}

#[test]
fn what_next_has_in_hand_goes_into_the_batch_first() {
    let (writable, mut readable) = Tank::items(8).build::<u32>();
    fill(&writable, 0..3);
    assert_eq!(readable.try_next(), Some(0)); // takes all three in hand
    fill(&writable, 3..5);
    let mut batch = Batch::new();
    let mut all = Vec::new();
    for _ in 0..2 {
        assert!(now(readable.next_batch(&mut batch)).is_ok_and(|more| more));
        all.extend(batch.drain());
    }
    assert_eq!(all, [1, 2, 3, 4]);
}

#[test]
#[should_panic(expected = "a batch that holds items of one tank, or of none, was given to another")]
fn a_batch_of_another_tank_is_refused() {
    let (_writable, mut readable) = Tank::items(8).build::<u32>();
    let mut batch: Batch<u32> = [1].into_iter().collect();
    drop(now(readable.next_batch(&mut batch)));
}

#[test]
fn it_is_a_stream() {
    let (writable, readable) = Tank::items(8).build::<u32>();
    fill(&writable, 0..3);
    writable.fail("no more");
    let items: Vec<_> = now(readable.map(|item| item.map_err(|cause| cause.kind())).collect());
    assert_eq!(items, [Ok(0), Ok(1), Ok(2), Err(CauseKind::Failed)]);
}

// ---- batches between tanks ----------------------------------------------

#[test]
fn the_charge_of_a_batch_follows_its_items_into_the_next_tank() {
    let (first, mut from) = Tank::items(8).low(4).build::<u32>();
    let (to, mut last) = Tank::items(3).low(0).build::<u32>();
    fill(&first, 0..8);
    let mut batch = Batch::new();
    assert!(now(from.next_batch(&mut batch)).is_ok_and(|more| more));
    {
        let mut sending = Hand::new(to.send_batch(&mut batch));
        sending.waits();
        assert_eq!((to.level(), first.is_shut()), (3, true), "three moved; 5 are left");
        assert_eq!(rest(&mut last), [0, 1, 2]);
        assert_eq!(sending.wakes(), 1);
        sending.waits();
        assert_eq!((to.level(), first.level(), first.is_shut()), (3, 2, false));
        assert_eq!(rest(&mut last), [3, 4, 5]);
    } // given up: the rest is still in the batch
    assert_eq!((batch.len(), batch.peek()), (2, Some(&6)));
    assert!(now(to.send_batch(&mut batch)).is_ok());
    assert_eq!((first.level(), to.level()), (0, 2));
    assert_eq!(rest(&mut last), [6, 7]);
    assert_eq!(seen(&from).read.items, 8);
}

#[test]
fn a_batch_that_meets_a_closed_tank_keeps_its_items() {
    let (to, last) = Tank::items(3).build::<u32>();
    let mut batch: Batch<u32> = (0..5).collect();
    let mut sending = Hand::new(to.send_batch(&mut batch));
    sending.waits();
    last.stop(failed("enough"));
    assert_eq!(sending.wakes(), 1);
    assert_eq!(sending.ready().expect_err("stopped").to_string(), "enough");
    drop(sending);
    assert_eq!(batch.drain().collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_batch_that_leaves_the_tank_open_lets_the_next_writer_in() {
    let (to, mut last) = Tank::items(3).low(0).build::<u32>();
    fill(&to, 0..3);
    let mut batch: Batch<u32> = [3].into_iter().collect();
    let mut sending = Hand::new(to.send_batch(&mut batch));
    let mut next = Hand::new(to.send(4));
    sending.waits();
    next.waits();
    assert_eq!(rest(&mut last), [0, 1, 2]);
    assert_eq!((sending.wakes(), next.wakes()), (1, 0));
    assert!(sending.ready().is_ok());
    assert_eq!(next.wakes(), 1);
    assert!(next.ready().is_ok());
}

#[test]
fn a_batch_waits_under_every_strategy_that_keeps_the_tank() {
    for overflow in [Overflow::Refuse, Overflow::DropNewest, Overflow::DropOldest, Overflow::Grow] {
        let (to, _last) = Tank::items(2).overflow(overflow).build::<u32>();
        let mut batch: Batch<u32> = (0..3).collect();
        Hand::new(to.send_batch(&mut batch)).waits();
        assert_eq!((to.level(), batch.len()), (2, 1), "{overflow:?}");
    }
}

// ---- permits ------------------------------------------------------------

#[test]
fn a_permit_is_room_for_one_item() {
    let (writable, mut readable) = weighed(10, 5);
    let permit = now(writable.reserve(10)).expect("open");
    assert_eq!((permit.weight(), writable.level(), writable.is_shut()), (10, 10, true));
    Hand::new(writable.reserve(1)).waits();
    assert_eq!(permit.send(10).ok(), Some(Flow::Wait));
    assert_eq!((readable.try_next(), writable.level()), (Some(10), 0));
}

#[test]
fn a_lighter_item_gives_room_back() {
    let (writable, _readable) = weighed(10, 5);
    let permit = now(writable.reserve(12)).expect("open");
    let mut waiting = Hand::new(writable.drained());
    waiting.waits();
    assert_eq!(permit.send(3).ok(), Some(Flow::Ready));
    assert_eq!((writable.level(), waiting.wakes()), (3, 1));
}

#[test]
fn a_heavier_item_comes_back_and_the_room_is_free() {
    let (writable, mut readable) = weighed(10, 5);
    let permit = now(writable.reserve(10)).expect("open");
    let Err(WriteError::Heavier(11)) = permit.send(11) else { unreachable!("11 is heavier") };
    assert_eq!((writable.level(), writable.is_shut(), readable.try_next()), (0, false, None));
}

#[test]
fn a_dropped_permit_gives_room_back() {
    let (writable, _readable) = weighed(10, 5);
    let permit = now(writable.reserve(10)).expect("open");
    let mut waiting = Hand::new(writable.reserve(1));
    waiting.waits();
    drop(permit);
    assert_eq!(waiting.wakes(), 1);
    let permit = waiting.ready().expect("open");
    assert_eq!(writable.level(), 1);
    drop(permit);
    assert_eq!(writable.level(), 0);
}

#[test]
fn a_permit_without_weight_carries_items_without_weight() {
    let (writable, mut readable) = weighed(10, 5);
    let permit = now(writable.reserve(0)).expect("open");
    assert_eq!(permit.send(0).ok(), Some(Flow::Ready));
    assert_eq!(readable.try_next(), Some(0));
}

#[test]
fn a_permit_of_a_closed_tank_hands_the_item_back() {
    let (writable, readable) = weighed(10, 5);
    let permit = now(writable.reserve(10)).expect("open");
    readable.stop(failed("enough"));
    let error = permit.send(3).expect_err("stopped");
    assert_eq!(error.cause().map(Cause::to_string).as_deref(), Some("enough"));
    assert_eq!((error.into_inner(), writable.level()), (3, 0));
    assert_eq!(now(writable.reserve(1)).expect_err("stopped").to_string(), "enough");
}

// ---- ends ---------------------------------------------------------------

/// Reads to the end: items, and the kind of early end.
fn to_the_end<T>(readable: &mut Readable<T>) -> (Vec<T>, Option<CauseKind>) {
    let mut items = Vec::new();
    loop {
        match now(readable.next()) {
            Some(Ok(item)) => items.push(item),
            Some(Err(cause)) => {
                assert!(now(readable.next()).is_none(), "told once, then nothing");
                assert!(matches!(now(readable.next_batch(&mut Batch::new())), Ok(false)));
                return (items, Some(cause.kind()));
            }
            None => return (items, None),
        }
    }
}

#[test]
fn the_end_comes_after_what_is_queued_and_when_all_have_said_it() {
    let (writable, mut readable) = Tank::items(8).build::<u32>();
    let clone = writable.clone();
    fill(&writable, [1]);
    drop(writable.end());
    assert_eq!(readable.try_next(), Some(1));
    Hand::new(readable.next()).waits(); // the clone may still write
    fill(&clone, [2]);
    drop(clone.end());
    assert_eq!(to_the_end(&mut readable), (vec![2], None));
}

#[test]
fn any_clone_that_is_dropped_without_an_end_abandons_the_data() {
    for ended in [[false, true, true], [true, false, true], [true, true, false]] {
        let (writable, mut readable) = Tank::items(8).build::<u32>();
        let clones = [writable.clone(), writable.clone(), writable];
        for (clone, ended) in clones.into_iter().zip(ended) {
            fill(&clone, [1]);
            if ended { drop(clone.end()) } else { drop(clone) }
        }
        let kind = Some(CauseKind::Abandoned);
        assert_eq!(to_the_end(&mut readable), (vec![1, 1, 1], kind), "{ended:?}");
    }
}

#[test]
fn the_end_wakes_a_reader_that_waits() {
    let (writable, mut readable) = Tank::items(8).build::<u32>();
    let mut next = Hand::new(readable.next());
    next.waits();
    drop(writable.end());
    assert_eq!(next.wakes(), 1);
    assert!(next.ready().is_none());
}

#[test]
fn a_failure_comes_after_what_is_queued_and_reaches_other_writers_at_once() {
    let (writable, mut readable) = Tank::items(2).build::<u32>();
    let clone = writable.clone();
    fill(&writable, [1, 2]);
    let mut waiting = Hand::new(clone.send(3));
    waiting.waits();
    writable.fail("disk on fire");
    assert_eq!(waiting.wakes(), 1);
    let error = waiting.ready().expect_err("failed");
    assert_eq!(error.cause().map(Cause::to_string).as_deref(), Some("disk on fire"));
    assert_eq!(error.into_inner(), 3);
    assert!(clone.write(4).is_err_and(|error| !error.is_full()));
    drop(waiting);
    clone.fail("a consequence"); // the first cause stays
    assert_eq!(to_the_end(&mut readable), (vec![1, 2], Some(CauseKind::Failed)));
}

#[test]
fn a_stop_reaches_writers_with_its_cause_and_counts_what_is_lost() {
    let (writable, mut readable) = Tank::items(4).build::<u32>();
    let gauge = writable.gauge();
    fill(&writable, 0..4);
    assert_eq!(readable.try_next(), Some(0)); // the other three are in hand
    let mut waiting = Hand::new(writable.drained());
    waiting.waits();
    readable.stop(failed("enough"));
    assert_eq!(waiting.ready().expect_err("stopped").to_string(), "enough");
    drop(waiting);
    let refused = writable.write(9).expect_err("stopped");
    assert_eq!(refused.cause().map(Cause::to_string).as_deref(), Some("enough"));
    let seen = gauge.snapshot();
    assert_eq!((seen.read.items, seen.dropped.unread.items, seen.level), (1, 3, 0));
    assert_eq!(now(writable.end()).expect_err("lost").to_string(), "enough");
}

#[test]
fn a_dropped_reader_stops_the_writers() {
    let (writable, readable) = Tank::items(4).build::<u32>();
    drop(readable);
    let refused = writable.write(9).expect_err("stopped");
    assert_eq!(refused.cause().map(Cause::kind), Some(CauseKind::Stopped));
    assert_eq!(now(writable.drained()).expect_err("stopped").kind(), CauseKind::Stopped);
}

#[test]
fn finished_waits_for_every_clone_and_every_item_in_hand() {
    let (writable, mut readable) = Tank::items(4).low(0).build::<u32>();
    let clone = writable.clone();
    fill(&writable, [1, 2]);
    let mut finished = Hand::new(writable.end());
    finished.waits();
    let mut batch = Batch::new();
    assert!(now(readable.next_batch(&mut batch)).is_ok_and(|more| more));
    drop(clone.end());
    finished.waits();
    assert_eq!(batch.pop(), Some(1));
    finished.waits();
    let before = finished.wakes();
    assert_eq!(batch.pop(), Some(2));
    assert_eq!(finished.wakes(), before + 1);
    assert!(finished.ready().is_ok());
    drop(readable);
}

#[test]
fn a_reader_that_leaves_after_the_end_changes_nothing() {
    let (writable, readable) = Tank::items(4).build::<u32>();
    let finished = writable.end();
    drop(readable);
    assert!(now(finished).is_ok());
}

#[test]
fn finished_tells_the_early_end() {
    let (writable, mut readable) = Tank::items(4).build::<u32>();
    let clone = writable.clone();
    let mut finished = Hand::new(writable.end());
    finished.waits();
    drop(clone); // abandoned
    assert_eq!(finished.wakes(), 1);
    assert_eq!(finished.ready().expect_err("abandoned").kind(), CauseKind::Abandoned);
    assert_eq!(to_the_end(&mut readable), (vec![], Some(CauseKind::Abandoned)));
}

#[test]
fn what_was_in_a_tank_is_dropped_with_its_doors() {
    let alive = std::sync::Arc::new(());
    let (writable, mut readable) = Tank::items(8).build();
    fill(&writable, std::iter::repeat_n(alive.clone(), 5));
    drop(readable.try_next()); // four in hand
    fill(&writable, [alive.clone()]); // one queued
    let gauge = writable.gauge();
    drop(readable);
    assert_eq!(std::sync::Arc::strong_count(&alive), 1, "though a writer and a gauge are there");
    assert_eq!(gauge.level(), 0);
}

// ---- pipe -----------------------------------------------------------------

#[test]
fn a_pipe_carries_items_pressure_and_the_end() {
    let (source, from) = Tank::items(4).low(0).build::<u32>();
    let (to, mut far) = Tank::items(2).low(0).build::<u32>();
    let mut pipe = Hand::new(from.pipe(to));
    fill(&source, 0..4);
    pipe.waits();
    assert!(source.is_shut(), "two have moved, two are in hand: 2 is above 0");
    assert_eq!(far.level(), 2);
    assert_eq!(rest(&mut far), [0, 1]);
    assert_eq!(pipe.wakes(), 1);
    drop(source.end());
    pipe.waits();
    assert_eq!(rest(&mut far), [2, 3]);
    assert_eq!(pipe.ready().expect("ended"), 4);
    assert_eq!(to_the_end(&mut far), (vec![], None));
}

#[test]
fn a_pipe_carries_a_failure_down_and_a_stop_up() {
    let (source, from) = Tank::items(4).build::<u32>();
    let (to, mut far) = Tank::items(4).build::<u32>();
    fill(&source, [1]);
    source.fail("disk on fire");
    assert_eq!(now(from.pipe(to)).expect_err("failed").to_string(), "disk on fire");
    assert_eq!(to_the_end(&mut far), (vec![1], Some(CauseKind::Failed)));

    let (source, from) = Tank::items(4).build::<u32>();
    let (to, far) = Tank::items(1).build::<u32>();
    let gauge = source.gauge();
    fill(&source, [1, 2]);
    let mut pipe = Hand::new(from.pipe(to));
    pipe.waits(); // the far tank is shut
    far.stop(failed("enough"));
    assert_eq!(pipe.ready().expect_err("stopped").to_string(), "enough");
    let refused = source.write(3).expect_err("stopped");
    assert_eq!(refused.cause().map(Cause::to_string).as_deref(), Some("enough"));
    assert_eq!((gauge.snapshot().read.items, gauge.snapshot().dropped.unread.items), (1, 1));
}

#[test]
fn a_pipe_that_is_dropped_stops_one_side_and_abandons_the_other() {
    let (source, from) = Tank::items(4).build::<u32>();
    let (to, mut far) = Tank::items(4).build::<u32>();
    let mut pipe = Hand::new(from.pipe(to));
    pipe.waits();
    drop(pipe);
    assert!(source.write(1).is_err_and(|error| !error.is_full()));
    assert_eq!(to_the_end(&mut far), (vec![], Some(CauseKind::Abandoned)));
}

// ---- what it is made of -----------------------------------------------------

#[test]
fn both_doors_and_their_waits_can_be_sent_between_threads() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    // an item that can be sent and not shared
    let (writable, mut readable) = Tank::items(4).build::<std::cell::Cell<u32>>();
    send(&writable);
    sync(&writable);
    send(&writable.drained());
    send(&writable.send(std::cell::Cell::new(1)));
    send(&writable.reserve(1));
    send(&writable.gauge());
    sync(&writable.gauge());
    let mut batch = Batch::new();
    send(&writable.send_batch(&mut batch));
    send(&batch);
    send(&readable.next_batch(&mut batch));
    send(&readable.next());
    send(&readable.pipe(writable.clone()));
    send(&writable.end());
}

#[test]
#[should_panic(expected = "the low-water mark 4 is not below the high-water mark 4")]
fn marks_that_make_no_sense_do_not_build() {
    drop(Tank::items(4).low(4).build::<u32>());
}

#[test]
fn bytes_weigh_their_payload() {
    let (writable, _readable) = Tank::bytes(8).named("b").build::<bytes::Bytes>();
    let item = bytes::Bytes::from_static(b"12345678");
    assert_eq!(item.weight(), 8);
    assert_eq!(writable.write(item).ok(), Some(Flow::Wait));
    let seen = writable.gauge().snapshot();
    assert_eq!((&*seen.name, seen.unit.to_string()), ("b", String::from("bytes")));
}
