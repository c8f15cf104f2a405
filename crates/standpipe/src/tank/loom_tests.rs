//! Does the tank hold under every interleaving of two or three threads?
//!
//! Small programs that loom runs through all orders of lock and atomic
//! operations. A lost wake-up is a deadlock here, and loom reports it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Notify;
use loom::thread;

use crate::error::{Cause, CauseKind, WriteError};
use crate::gate::{Flow, Marks};
use crate::tank::{Batch, Budget, Readable, Tank, Writable};

/// The whole executor: a thread sleeps until it is woken.
struct Sleeper(Notify);

impl Wake for Sleeper {
    fn wake(self: StdArc<Self>) {
        self.0.notify();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let sleeper = StdArc::new(Sleeper(Notify::new()));
    let waker = Waker::from(sleeper.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        sleeper.0.wait();
    }
}

/// Polls once, and drops the future if it waits.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn tank(high: usize) -> (Writable<u32>, Readable<u32>) {
    Tank::items(high).low(0).build()
}

fn read_all(readable: &mut Readable<u32>) -> (Vec<u32>, Option<CauseKind>) {
    let mut items = Vec::new();
    loop {
        match block_on(readable.next()) {
            Some(Ok(item)) => items.push(item),
            Some(Err(cause)) => return (items, Some(cause.kind())),
            None => return (items, None),
        }
    }
}

#[test]
fn a_write_wakes_a_reader_that_is_about_to_park() {
    loom::model(|| {
        let (writable, mut readable) = tank(4);
        let writer = thread::spawn(move || {
            assert_eq!(writable.write(1).ok(), Some(Flow::Ready));
            assert_eq!(writable.write(2).ok(), Some(Flow::Ready));
            drop(writable.end());
        });
        assert_eq!(read_all(&mut readable), (vec![1, 2], None));
        writer.join().unwrap();
    });
}

#[test]
fn a_drain_wakes_a_writer_that_is_about_to_park() {
    loom::model(|| {
        let (writable, mut readable) = tank(1);
        let writer = thread::spawn(move || {
            assert!(block_on(writable.send(1)).is_ok());
            assert!(block_on(writable.send(2)).is_ok());
            drop(writable.end());
        });
        assert_eq!(read_all(&mut readable), (vec![1, 2], None));
        writer.join().unwrap();
    });
}

#[test]
fn two_writers_that_end_at_once_end_it_well() {
    loom::model(|| {
        let (writable, mut readable) = tank(4);
        let clone = writable.clone();
        let one = thread::spawn(move || drop(writable.end()));
        let two = thread::spawn(move || drop(clone.end()));
        assert_eq!(read_all(&mut readable), (vec![], None));
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn one_that_ends_and_one_that_is_dropped_at_once_abandon_it() {
    loom::model(|| {
        let (writable, mut readable) = tank(4);
        let clone = writable.clone();
        let one = thread::spawn(move || drop(writable.end()));
        let two = thread::spawn(move || drop(clone));
        assert_eq!(read_all(&mut readable), (vec![], Some(CauseKind::Abandoned)));
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn a_wait_that_is_given_up_passes_the_turn_on() {
    loom::model(|| {
        let (writable, mut readable) = tank(1);
        assert_eq!(writable.write(0).ok(), Some(Flow::Wait));
        let giving_up = writable.clone();
        let one = thread::spawn(move || {
            let given_up = poll_once(giving_up.drained());
            assert!(!matches!(given_up, Poll::Ready(Err(_))));
            drop(giving_up.end());
        });
        let two = thread::spawn(move || {
            assert!(block_on(writable.drained()).is_ok());
            drop(writable.end());
        });
        assert_eq!(readable.try_next(), Some(0)); // and reads no more
        one.join().unwrap();
        two.join().unwrap();
    });
}

#[test]
fn one_drain_lets_two_waiting_writers_in() {
    loom::model(|| {
        let (writable, mut readable) = Tank::items(2).low(1).build::<u32>();
        assert_eq!(writable.write(0).ok(), Some(Flow::Ready));
        assert_eq!(writable.write(0).ok(), Some(Flow::Wait));
        let clone = writable.clone();
        let writers: Vec<_> = [writable, clone]
            .into_iter()
            .map(|writable| {
                thread::spawn(move || {
                    assert!(block_on(writable.drained()).is_ok());
                    drop(writable.end());
                })
            })
            .collect();
        assert_eq!(readable.try_next(), Some(0)); // one drain, and no more
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

#[test]
fn two_senders_share_what_one_reader_drains() {
    loom::model(|| {
        let (writable, mut readable) = tank(1);
        let clone = writable.clone();
        let writers: Vec<_> = [(writable, 1), (clone, 2)]
            .into_iter()
            .map(|(writable, item)| {
                thread::spawn(move || {
                    assert!(block_on(writable.send(item)).is_ok());
                    drop(writable.end());
                })
            })
            .collect();
        let (mut items, cause) = read_all(&mut readable);
        items.sort_unstable();
        assert_eq!((items, cause), (vec![1, 2], None));
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

#[test]
fn a_stop_wakes_a_writer_that_is_about_to_park() {
    loom::model(|| {
        let (writable, mut readable) = tank(1);
        assert_eq!(writable.write(0).ok(), Some(Flow::Wait));
        let mut in_hand = Batch::new(); // so that stopping frees nothing
        assert!(poll_once(readable.next_batch(&mut in_hand)).is_ready());
        let writer = thread::spawn(move || {
            let Err(WriteError::Closed(item, cause)) = block_on(writable.send(1)) else {
                panic!("nobody reads");
            };
            assert_eq!((item, cause.kind()), (1, CauseKind::Cancelled));
        });
        readable.stop(Cause::new(CauseKind::Cancelled));
        writer.join().unwrap();
        assert_eq!(in_hand.pop(), Some(0));
    });
}

#[test]
fn an_item_is_taken_or_handed_back_while_the_reader_stops() {
    loom::model(|| {
        let (writable, readable) = tank(4);
        let gauge = writable.gauge();
        let writer = thread::spawn(move || {
            let taken = writable.write(1).is_ok();
            drop(writable.end());
            taken
        });
        drop(readable);
        let taken = writer.join().unwrap();
        let seen = gauge.snapshot();
        assert_eq!(seen.dropped.unread.items, u64::from(taken));
        assert_eq!((seen.level, seen.written.items), (0, u64::from(taken)));
    });
}

#[test]
fn a_permit_given_back_lets_a_waiting_writer_in() {
    loom::model(|| {
        let (writable, _readable) = tank(1);
        let clone = writable.clone();
        let Poll::Ready(Ok(permit)) = poll_once(writable.reserve(1)) else {
            panic!("the tank is empty");
        };
        let writer = thread::spawn(move || {
            assert!(block_on(clone.drained()).is_ok());
            drop(clone.end());
        });
        drop(permit);
        writer.join().unwrap();
    });
}

#[test]
fn a_drain_beside_a_parked_reader_lets_everybody_in() {
    loom::model(|| {
        let (writable, mut readable) = tank(1);
        let clone = writable.clone();
        let Poll::Ready(Ok(permit)) = poll_once(writable.reserve(1)) else {
            panic!("the tank is empty");
        };
        // takes a seat and is never polled again
        let mut idle = Box::pin(clone.drained());
        let idle_waits = idle.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(idle_waits);
        let other = clone.clone();
        let writer = thread::spawn(move || {
            assert!(block_on(other.send(1)).is_ok());
            drop(other.end());
        });
        let reader = thread::spawn(move || block_on(readable.next()).map(Result::ok));
        drop(permit);
        assert_eq!(reader.join().unwrap(), Some(Some(1)));
        writer.join().unwrap();
    });
}

#[test]
fn a_resume_wakes_a_reader_that_is_about_to_park() {
    loom::model(|| {
        let (writable, mut readable) = tank(4);
        readable.pause();
        let readable = {
            let core = readable.core().clone();
            let resume = thread::spawn(move || core.hold(false));
            let writer = thread::spawn(move || {
                assert!(writable.write(1).is_ok());
                drop(writable.end());
            });
            assert_eq!(read_all(&mut readable), (vec![1], None));
            resume.join().unwrap();
            writer.join().unwrap();
            readable
        };
        drop(readable);
    });
}

#[test]
fn raised_marks_let_a_waiting_writer_in() {
    loom::model(|| {
        let (writable, readable) = tank(1);
        assert_eq!(writable.write(0).ok(), Some(Flow::Wait));
        let writer = thread::spawn(move || {
            assert!(block_on(writable.send(1)).is_ok());
            drop(writable.end());
        });
        readable.set_marks(Marks::new(8, 4).unwrap());
        writer.join().unwrap();
        drop(readable);
    });
}

#[test]
fn finished_is_told_when_the_last_item_has_left() {
    loom::model(|| {
        let (writable, mut readable) = tank(4);
        assert!(writable.write(1).is_ok());
        let finished = thread::spawn(move || block_on(writable.end()));
        assert_eq!(block_on(readable.next()).map(Result::ok), Some(Some(1)));
        assert!(finished.join().unwrap().is_ok());
        drop(readable);
    });
}

#[test]
fn an_event_wakes_an_observer_that_is_about_to_park() {
    loom::model(|| {
        let (writable, readable) = tank(1);
        let mut events = writable.gauge().events(4);
        let writer = thread::spawn(move || {
            drop(writable.write(1)); // or it is handed back
            drop(writable.end());
        });
        let reader = thread::spawn(move || drop(readable));
        let mut closed = false;
        while let Some(event) = block_on(events.next()) {
            assert!(!closed, "it is the last");
            closed = matches!(event.kind, crate::tank::EventKind::Closed);
        }
        assert!(closed);
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn an_observer_that_comes_while_it_ends_is_told_each_end_once() {
    loom::model(|| {
        let (writable, readable) = tank(1);
        let gauge = writable.gauge();
        let writer = thread::spawn(move || drop(writable.end()));
        let reader = thread::spawn(move || drop(readable));
        let mut events = gauge.events(4);
        let mut ends = 0;
        let mut closed = 0;
        while let Some(event) = block_on(events.next()) {
            match event.kind {
                crate::tank::EventKind::Ended | crate::tank::EventKind::Stopped(_) => ends += 1,
                crate::tank::EventKind::Closed => closed += 1,
                _ => {}
            }
        }
        assert_eq!((ends, closed), (1, 1));
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn a_third_party_is_told_when_it_has_finished() {
    loom::model(|| {
        let (writable, mut readable) = tank(4);
        let gauge = writable.gauge();
        let watcher = thread::spawn(move || block_on(gauge.finished()));
        let writer = thread::spawn(move || drop(writable.end()));
        assert_eq!(read_all(&mut readable), (vec![], None));
        assert!(watcher.join().unwrap().is_ok());
        writer.join().unwrap();
    });
}

// ---- budgets -----------------------------------------------------------------

/// A tank of two that shares a budget: what it has beside the one item that is
/// its own it has from there.
fn sharing(budget: &Budget) -> (Writable<u32>, Readable<u32>) {
    Tank::items(2).low(1).budget(budget).build()
}

/// A budget of two, and the tank that has all of it.
fn spent_budget() -> (Budget, Writable<u32>, Readable<u32>) {
    let budget = Budget::items(2);
    let (hog, hogs_reader) = sharing(&budget);
    assert_eq!(hog.write(0).ok(), Some(Flow::Ready));
    assert_eq!(hog.write(0).ok(), Some(Flow::Wait));
    (budget, hog, hogs_reader)
}

#[test]
fn what_comes_back_to_a_budget_wakes_a_writer_that_is_about_to_park() {
    loom::model(|| {
        let (budget, _hog, mut hogs_reader) = spent_budget();
        let (writable, readable) = sharing(&budget);
        let writer = thread::spawn(move || {
            assert!(block_on(writable.send(1)).is_ok()); // its own
            assert!(block_on(writable.send(2)).is_ok()); // and nobody reads
            drop(writable.end());
        });
        assert_eq!(hogs_reader.try_next(), Some(0));
        assert_eq!(hogs_reader.try_next(), Some(0));
        writer.join().unwrap();
        assert_eq!(readable.level(), 2);
    });
}

#[test]
fn a_tank_that_is_dropped_wakes_a_writer_that_is_about_to_park() {
    loom::model(|| {
        let (budget, hog, hogs_reader) = spent_budget();
        let (writable, readable) = sharing(&budget);
        assert_eq!(writable.write(1).ok(), Some(Flow::Wait));
        let writer = thread::spawn(move || {
            assert!(block_on(writable.drained()).is_ok());
            drop(writable.end());
        });
        drop(hog);
        drop(hogs_reader);
        writer.join().unwrap();
        assert_eq!(readable.level(), 1);
    });
}

#[test]
fn a_writer_that_gives_up_on_a_budget_leaves_it_to_the_next_tank() {
    loom::model(|| {
        let (budget, _hog, mut hogs_reader) = spent_budget();
        let (giving_up, one) = sharing(&budget);
        let (writable, _two) = sharing(&budget);
        assert_eq!(giving_up.write(1).ok(), Some(Flow::Wait));
        assert_eq!(writable.write(1).ok(), Some(Flow::Wait));
        let one = thread::spawn(move || {
            // polled once, and dropped at any moment after, called or not
            assert!(!matches!(poll_once(giving_up.drained()), Poll::Ready(Err(_))));
            drop((giving_up, one));
        });
        let two = thread::spawn(move || {
            assert!(block_on(writable.drained()).is_ok());
            writable
        });
        assert_eq!(hogs_reader.try_next(), Some(0));
        assert_eq!(hogs_reader.try_next(), Some(0));
        drop((one.join().unwrap(), two.join().unwrap()));
    });
}

#[test]
fn of_two_writers_of_one_tank_both_are_let_in_by_what_comes_back() {
    loom::model(|| {
        let budget = Budget::items(4);
        let (hog, mut hogs_reader) = Tank::items(4).budget(&budget).build();
        while hog.write(0).is_ok_and(|flow| flow == Flow::Ready) {}
        let (writable, readable) = Tank::items(4).budget(&budget).build();
        assert_eq!(writable.write(1).ok(), Some(Flow::Wait));
        let writers: Vec<_> = [writable.clone(), writable]
            .map(|to| thread::spawn(move || block_on(to.send(2)).is_ok()))
            .into();
        while hogs_reader.try_next().is_some() {}
        assert!(writers.into_iter().all(|writer| writer.join().unwrap()));
        assert_eq!(readable.level(), 3, "and nobody has read");
    });
}

#[test]
fn two_tanks_that_fill_at_once_stay_within_their_budget() {
    loom::model(|| {
        let budget = Budget::items(3);
        let tanks: Vec<_> = (0..2)
            .map(|_| {
                let (writable, readable) = Tank::items(4).budget(&budget).build();
                (
                    thread::spawn(move || {
                        while writable.write(1).is_ok_and(|flow| flow == Flow::Ready) {}
                        writable.level()
                    }),
                    readable,
                )
            })
            .collect();
        let (mut levels, mut readers) = (0, Vec::new());
        for (writer, readable) in tanks {
            levels += writer.join().unwrap();
            readers.push(readable);
        }
        assert!(levels <= 3 + 1, "{levels}"); // within a grant nothing overshoots
        drop(readers);
        assert_eq!(budget.granted(), 0);
    });
}

#[test]
fn a_diamond_goes_on_though_its_budget_has_nothing() {
    loom::model(|| {
        let budget = Budget::items(0);
        let (left, mut lefts_reader) = sharing(&budget);
        let (right, mut rights_reader) = sharing(&budget);
        let split = thread::spawn(move || {
            for item in [1, 2] {
                assert!(block_on(left.send(item)).is_ok());
                assert!(block_on(right.send(item)).is_ok());
            }
            drop((left.end(), right.end()));
        });
        for item in [1, 2] {
            assert_eq!(block_on(lefts_reader.next()).and_then(Result::ok), Some(item));
            assert_eq!(block_on(rights_reader.next()).and_then(Result::ok), Some(item));
        }
        split.join().unwrap();
    });
}
