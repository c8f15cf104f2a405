//! What an observer of a tank is told, and that nobody waits for it.

mod hand;

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::executor::block_on;
use hand::{Hand, now};
use standpipe::error::{Cause, CauseKind};
use standpipe::stage::{fold, iter};
use standpipe::tank::{EventKind, Events};
use standpipe::{Batch, Marks, Overflow, Pipeline, Tank};

/// Everything that waits to be read, in shorthand: kind and level.
fn seen(events: &mut Events) -> String {
    let mut words = Vec::new();
    while let Some(event) = events.try_next() {
        let kind = match &event.kind {
            EventKind::Dropped(tally) => format!("Dropped({},{})", tally.items, tally.weight),
            EventKind::Failed(cause) => format!("Failed({:?})", cause.kind()),
            EventKind::Stopped(cause) => format!("Stopped({:?})", cause.kind()),
            other => format!("{other:?}"),
        };
        let missed = if event.missed > 0 { format!("-{} ", event.missed) } else { String::new() };
        words.push(format!("{missed}{kind}@{}", event.level));
    }
    words.join(" ")
}

#[test]
fn a_tank_tells_its_whole_life() {
    let (writable, mut readable) = Tank::bytes(10).low(4).build::<&str>();
    let mut events = writable.gauge().events(16);
    assert_eq!(seen(&mut events), "Ready@0");
    assert!(writable.write("four").is_ok());
    assert_eq!(seen(&mut events), "", "an item is no event");
    assert!(writable.write("sixsix").is_ok());
    assert_eq!(seen(&mut events), "Shut@10");
    assert_eq!(readable.try_next(), Some("four"));
    assert_eq!(readable.try_next(), Some("sixsix"));
    assert_eq!(seen(&mut events), "Drained@0");
    assert!(writable.write("last").is_ok());
    drop(writable.end());
    assert_eq!(seen(&mut events), "Ended@4");
    assert!(now(readable.next()).is_some());
    assert!(now(readable.next()).is_none());
    assert_eq!(seen(&mut events), "Finished@0");
    drop(readable);
    assert_eq!(seen(&mut events), "Closed@0");
    assert!(now(events.next()).is_none(), "nothing follows");
}

#[test]
fn an_early_end_is_told_with_its_cause() {
    let (writable, mut readable) = Tank::items(4).build::<u8>();
    let mut events = readable.gauge().events(16);
    let clone = writable.clone();
    writable.fail("disk full");
    drop(clone);
    assert_eq!(seen(&mut events), "Ready@0 Failed(Failed)@0");
    assert!(now(readable.next()).is_some_and(|item| item.is_err()));
    drop(readable);
    assert_eq!(seen(&mut events), "Closed@0");

    let (writable, readable) = Tank::items(4).build::<u8>();
    let mut events = readable.gauge().events(16);
    drop(writable);
    assert_eq!(seen(&mut events), "Ready@0 Failed(Abandoned)@0");

    let (writable, readable) = Tank::items(4).build::<u8>();
    let mut events = readable.gauge().events(16);
    assert!(writable.write(1).is_ok());
    readable.stop(Cause::new(CauseKind::Cancelled));
    assert_eq!(seen(&mut events), "Ready@0 Stopped(Cancelled)@0 Dropped(1,1)@0");
    drop(writable);
    assert_eq!(seen(&mut events), "Closed@0");
}

#[test]
fn it_has_not_finished_while_items_are_in_hand() {
    let (writable, mut readable) = Tank::items(4).build::<u8>();
    let mut events = readable.gauge().events(16);
    assert!(writable.write(1).is_ok());
    let mut batch = Batch::new();
    assert!(now(readable.next_batch(&mut batch)).is_ok());
    drop(writable.end());
    drop(readable);
    assert_eq!(seen(&mut events), "Ready@0 Ended@1");
    assert_eq!(batch.pop(), Some(1));
    drop(batch);
    assert_eq!(seen(&mut events), "Finished@0 Closed@0");
}

#[test]
fn marks_that_change_are_told_as_what_they_do() {
    let (writable, _readable) = Tank::items(2).build::<u8>();
    let mut events = writable.gauge().events(16);
    assert!(writable.write(1).is_ok() && writable.write(2).is_ok());
    writable.set_marks(Marks::new(8, 4).unwrap());
    writable.set_marks(Marks::new(2, 1).unwrap());
    assert_eq!(seen(&mut events), "Ready@0 Shut@2 Drained@2 Shut@2");
}

#[test]
fn whoever_comes_late_is_told_how_it_stands() {
    let (writable, mut readable) = Tank::items(1).build::<u8>();
    let gauge = writable.gauge();
    assert!(writable.write(1).is_ok());
    assert_eq!(seen(&mut gauge.events(4)), "Shut@1");
    drop(writable.end());
    assert_eq!(seen(&mut gauge.events(4)), "Ended@1");
    assert!(readable.try_next().is_some());
    assert!(now(readable.next()).is_none());
    assert_eq!(seen(&mut gauge.events(4)), "Ended@0 Finished@0");
    drop(readable);
    let mut late = gauge.events(1);
    assert_eq!(seen(&mut late), "Ended@0 Finished@0 Closed@0");
    assert!(now(late.next()).is_none());
}

#[test]
fn drops_that_nobody_has_looked_at_are_one_event() {
    let tank = Tank::items(1).overflow(Overflow::DropNewest);
    let (writable, _readable) = tank.build::<u8>();
    let mut events = writable.gauge().events(4);
    for item in 0..100 {
        assert!(writable.write(item).is_ok());
    }
    assert_eq!(seen(&mut events), "Ready@0 Shut@1 Dropped(99,99)@1");
    assert!(writable.write(0).is_ok());
    assert_eq!(seen(&mut events), "Dropped(1,1)@1");

    let tank = Tank::items(1).overflow(Overflow::DropOldest);
    let (writable, mut readable) = tank.build::<u8>();
    let mut events = writable.gauge().events(16);
    assert!(writable.write(1).is_ok() && writable.write(2).is_ok());
    assert_eq!(readable.try_next(), Some(2));
    let told = "Ready@0 Shut@1 Dropped(1,1)@0 Drained@0 Shut@1 Drained@0";
    assert_eq!(seen(&mut events), told, "without what was dropped");
}

/// A batch that was dropped was told with the level it had been part of.
#[test]
fn what_is_lost_is_told_with_the_level_without_it() {
    let (writable, mut readable) = Tank::items(4).build::<u8>();
    let mut events = writable.gauge().events(16);
    (0..3).for_each(|item| assert!(writable.write(item).is_ok()));
    let mut batch = Batch::new();
    assert!(now(readable.next_batch(&mut batch)).unwrap());
    assert_eq!(batch.pop(), Some(0));
    assert!(writable.write(3).is_ok());
    drop(batch);
    assert_eq!(seen(&mut events), "Ready@0 Dropped(2,2)@1");
}

/// Shuts and opens a tank so many times, then ends it.
fn cycle(times: u64, events: impl FnOnce(&standpipe::Gauge) -> Option<Events>) -> Option<Events> {
    let (writable, mut readable) = Tank::items(1).build::<u64>();
    let events = events(&writable.gauge());
    for item in 0..times {
        assert!(writable.write(item).is_ok());
        assert_eq!(readable.try_next(), Some(item));
    }
    drop(writable.end());
    assert!(now(readable.next()).is_none());
    events
}

#[test]
fn a_listener_that_does_not_listen_misses_events_and_they_are_counted() {
    let mut events = cycle(1_000, |tank| Some(tank.events(3))).unwrap();
    // the tank stood ready, and shut and opened a thousand times: three are left
    assert_eq!(events.missed(), 1 + 2_000 - 3);
    let left = "-1998 Drained@0 Shut@1 Drained@0 Ended@0 Finished@0 Closed@0";
    assert_eq!(seen(&mut events), left, "the ends are kept");
    assert_eq!(events.missed(), 1_998);
}

#[test]
fn events_missed_in_between_are_counted_where_they_are_missing() {
    let (writable, mut readable) = Tank::items(1).build::<u8>();
    let mut events = writable.gauge().events(1);
    assert_eq!(seen(&mut events), "Ready@0");
    assert!(writable.write(1).is_ok());
    assert!(readable.try_next().is_some());
    assert_eq!(seen(&mut events), "-1 Drained@0");
    assert!(writable.write(1).is_ok());
    assert_eq!(seen(&mut events), "Shut@1");
}

#[test]
fn a_listener_that_is_stuck_slows_nobody() {
    let calls = Rc::new(Cell::new(0));
    let (count, mut stuck) = (calls.clone(), None);
    cycle(1_000, |tank| {
        // polled once, and never again
        let mut listener = Hand::new(tank.events(2).on_event(move |_| count.set(count.get() + 1)));
        listener.waits();
        stuck = Some(listener);
        None
    });
    assert_eq!(calls.get(), 1);
    let mut listener = stuck.unwrap();
    assert_eq!(listener.wakes(), 1, "one wake until it comes");
    assert_eq!(listener.ready(), 1_998, "when it comes it is told what it missed");
}

#[test]
fn a_listener_that_panics_breaks_nothing() {
    let mut broken = None;
    cycle(10, |tank| {
        let listener = tank.events(2).on_event(|_| panic!("a listener's own fault"));
        broken = AssertUnwindSafe(listener).catch_unwind().now_or_never();
        None
    });
    assert!(broken.is_some_and(|outcome| outcome.is_err()), "it was called, and panicked");
}

#[test]
fn a_listener_that_is_dropped_is_forgotten() {
    let (writable, mut readable) = Tank::items(1).build::<u8>();
    let gauge = writable.gauge();
    let mut kept = gauge.events(8);
    let mut waits = Hand::new(async {
        let mut dropped = gauge.events(8);
        while dropped.next().await.is_some() {}
    });
    waits.waits();
    drop(waits);
    assert!(writable.write(1).is_ok());
    assert!(readable.try_next().is_some());
    assert_eq!(seen(&mut kept), "Ready@0 Shut@1 Drained@0");
}

#[test]
fn a_pipeline_tells_of_all_its_tanks_on_its_own_clock() {
    let clock = AtomicU64::new(0);
    let ready = Pipeline::from_with_clock("numbers", iter(0..20_u64), move || {
        clock.fetch_add(5, Ordering::SeqCst)
    })
    .tank(Tank::items(4).named("first"))
    .map("double", |n| n * 2)
    .tank(Tank::items(2).named("second"))
    .to("sum", fold(0_u64, |sum, n| sum + n));
    let monitor = ready.monitor();
    let mut events = monitor.events(1_000);
    let completed = block_on(ready.run()).unwrap();
    let (mut shut, mut ends, mut last_ns) = ([0, 0], [0, 0], [0, 0]);
    while let Some(event) = events.try_next() {
        let at = event.index;
        assert_eq!(&*event.tank, ["first", "second"][at]);
        if let Some(at_ns) = event.at_ns {
            assert!(at_ns >= last_ns[at], "time goes on");
            last_ns[at] = at_ns;
        }
        match event.kind {
            EventKind::Shut => shut[at] += 1,
            EventKind::Finished | EventKind::Closed if event.at_ns.is_some() => ends[at] += 1,
            _ => {}
        }
    }
    assert_eq!(events.missed(), 0);
    let pauses: Vec<u64> = completed.report.tanks.iter().map(|tank| tank.pauses).collect();
    assert_eq!(shut.to_vec(), pauses);
    assert_eq!(ends, [2, 2], "each has finished and closed");
    assert!(last_ns[0] > 0 && last_ns[1] > last_ns[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_told_or_counted_when_all_run_at_once() {
    let ready = Pipeline::from("numbers", iter(0..20_000_u64))
        .tank(Tank::items(8))
        .map("same", |n| n)
        .tank(Tank::items(2))
        .to("count", fold(0_u64, |count, _| count + 1));
    let told = Arc::new(AtomicU64::new(0));
    let count = told.clone();
    let listener = tokio::spawn(ready.monitor().events(16).on_event(move |event| {
        let news = matches!(event.kind, EventKind::Shut | EventKind::Drained);
        count.fetch_add(u64::from(news), Ordering::SeqCst);
    }));
    let completed = ready.spawn().await.unwrap();
    let missed = listener.await.unwrap();
    let told = told.load(Ordering::SeqCst);
    let shut: u64 = completed.report.tanks.iter().map(|tank| tank.pauses).sum();
    // beside what is counted here two were told, or missed, at the beginning;
    // the last drain of a tank may come after its end, and is no news then
    let all = told + missed;
    assert!((2 * shut - 2..=2 * shut + 2).contains(&all), "{told} + {missed} of {shut} pauses");
}

#[test]
fn finished_is_told_to_a_third_party_of_every_end() {
    let (writable, mut readable) = Tank::items(4).build::<u8>();
    let gauge = writable.gauge();
    let mut waits = Hand::new(gauge.finished());
    let (mut near, mut far) = (Hand::new(writable.finished()), Hand::new(readable.finished()));
    assert!(writable.write(1).is_ok());
    waits.waits();
    drop(writable.end());
    waits.waits();
    near.waits();
    far.waits();
    assert!(readable.try_next().is_some());
    assert!(now(readable.next()).is_none());
    assert!([waits.wakes(), near.wakes(), far.wakes()].iter().all(|wakes| *wakes > 0));
    assert!(waits.ready().is_ok() && near.ready().is_ok() && far.ready().is_ok());
    assert!(now(gauge.finished()).is_ok(), "told to whoever asks late");

    type Early = fn(standpipe::Writable<u8>, standpipe::Readable<u8>);
    let early: [(Early, CauseKind); 4] = [
        (|writable, _readable| writable.fail("no space"), CauseKind::Failed),
        (|writable, _readable| drop(writable), CauseKind::Abandoned),
        (|_writable, readable| drop(readable), CauseKind::Stopped),
        (|_w, readable| readable.stop(Cause::new(CauseKind::Expired)), CauseKind::Expired),
    ];
    for (end, kind) in early {
        let (writable, readable) = Tank::items(4).build::<u8>();
        let gauge = writable.gauge();
        let mut waits = Hand::new(gauge.finished());
        waits.waits();
        end(writable, readable);
        assert_eq!(waits.wakes(), 1);
        assert_eq!(waits.ready().unwrap_err().kind(), kind);
    }
}

#[test]
fn finished_given_up_leaves_nothing_behind() {
    let (writable, mut readable) = Tank::items(4).build::<u8>();
    let gauge = writable.gauge();
    let mut given_up = Hand::new(gauge.finished());
    given_up.waits();
    drop(given_up);
    let mut kept = Hand::new(gauge.finished());
    kept.waits();
    drop(writable.end());
    assert!(now(readable.next()).is_none());
    assert!(kept.ready().is_ok());
}
