//! Who waits for a budget is called when there is some, and nobody else is.

mod hand;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake};

use hand::{Hand, now};
use proptest::prelude::*;
use standpipe::{Batch, Budget, Flow, Marks, Overflow, Readable, Tank, Writable};

fn items(budget: &Budget, high: usize) -> (Writable<u32>, Readable<u32>) {
    Tank::items(high).budget(budget).build()
}

/// The same, and what is read comes back at once.
fn exact(budget: &Budget, high: usize) -> (Writable<u32>, Readable<u32>) {
    Tank::items(high).node().low(high / 2).overflow(Overflow::Wait).budget(budget).build()
}

type Waits = Hand<Pin<Box<dyn Future<Output = bool>>>>;

/// A writer that waits in one of the ways there are, and ends after that.
fn waits_by(way: &str, to: Writable<u32>) -> Waits {
    let way = way.to_owned();
    Hand::new(Box::pin(async move {
        let ended = match &*way {
            "drained" => to.drained().await.is_ok(),
            "send" => to.send(1).await.is_ok(),
            "reserve" => to.reserve(2).await.is_ok_and(|permit| permit.send(1).is_ok()),
            _ => {
                let mut batch: Batch<u32> = (0..2).collect();
                to.send_batch(&mut batch).await.is_ok()
            }
        };
        to.end();
        ended
    }))
}

/// Writes until the tank is shut; how much is in it then.
fn fill(writable: &Writable<u32>) -> usize {
    while writable.write(0).is_ok_and(|flow| flow == Flow::Ready) {}
    writable.level()
}

fn read(readable: &mut Readable<u32>, count: usize) {
    for _ in 0..count {
        assert!(readable.try_next().is_some());
    }
}

/// All that has come into it since the last time, item by item: nothing is
/// kept back in a batch.
fn granted(readable: &Readable<u32>) -> usize {
    readable.gauge().snapshot().budget.expect("it shares one").granted
}

/// Two writers waited, the older was called, shut the tank again and had
/// nothing more to write. Nobody waited for the budget in its place, and what
/// came back next woke nobody.
#[test]
fn a_writer_that_shuts_the_tank_again_leaves_the_wait_for_the_budget_to_the_next() {
    let budget = Budget::items(40);
    let (hog, mut hogs_reader) = exact(&budget, 40);
    let (writable, readable) = items(&budget, 16);
    let other = writable.clone();
    assert_eq!(fill(&hog), 40);
    assert_eq!(fill(&writable), 1);
    let (mut one, mut two) = (Hand::new(writable.send(1)), Hand::new(other.send(2)));
    one.waits();
    two.waits();
    read(&mut hogs_reader, 2);
    assert_eq!((one.wakes(), two.wakes()), (1, 0));
    assert!(one.ready().is_ok());
    assert!(writable.write(9).is_err(), "it is shut again");
    assert_eq!(two.wakes(), 0);
    while hogs_reader.try_next().is_some() {}
    assert_eq!(two.wakes(), 1, "there are 38, and it waits for one");
    assert!(two.ready().is_ok());
    assert_eq!(readable.level(), 3);
}

/// The same with a batch, a permit, and a write that does not wait.
#[test]
fn whoever_shuts_the_tank_again_another_writer_of_it_is_called_by_the_budget() {
    type Way = fn(&Writable<u32>);
    let ways: [(&str, Way); 3] = [
        ("write", |to| while to.write(0).is_ok_and(|flow| flow == Flow::Ready) {}),
        ("send_batch", |to| {
            let mut batch: Batch<u32> = (0..30).collect();
            Hand::new(to.send_batch(&mut batch)).waits(); // and gives up
        }),
        ("reserve", |to| {
            let permit = Hand::new(to.reserve(30)).ready();
            assert!(permit.and_then(|permit| permit.send(1).map_err(|e| panic!("{e}"))).is_ok());
            while to.write(0).is_ok_and(|flow| flow == Flow::Ready) {}
        }),
    ];
    for (name, way) in ways {
        let budget = Budget::items(40);
        let (hog, mut hogs_reader) = exact(&budget, 40);
        let (writable, _readable) = items(&budget, 16);
        let other = writable.clone();
        assert_eq!(fill(&hog), 40);
        assert_eq!(fill(&writable), 1);
        let mut waits = Hand::new(other.send(2));
        waits.waits();
        read(&mut hogs_reader, 4);
        assert!(waits.wakes() > 0, "{name}");
        // somebody is faster
        way(&writable);
        assert!(writable.is_shut(), "{name}");
        waits.waits();
        let woken = waits.wakes();
        while hogs_reader.try_next().is_some() {}
        assert!(waits.wakes() > woken, "{name}: there is enough now");
        assert!(waits.ready().is_ok(), "{name}");
    }
}

/// A tank opened by its own drain, its writer went on and had nothing more to
/// write; but it still stood in the line of those that wait, and what came back
/// was kept for it.
#[test]
fn a_tank_that_opened_by_its_own_drain_is_not_called_in_place_of_who_waits() {
    let budget = Budget::items(16);
    let (hog, mut hogs_reader) = exact(&budget, 12);
    let (writable, mut reader) = items(&budget, 8);
    let (other, _others_reader) = items(&budget, 8);
    assert_eq!(fill(&writable), 8);
    read(&mut reader, 4);
    assert_eq!(writable.level(), 4);
    read(&mut reader, 1); // 3 of 8: a quarter is no reason to give back
    assert_eq!(fill(&hog), 8, "what is left");
    assert_eq!((granted(&reader), granted(&hogs_reader)), (8, 8));
    assert_eq!(fill(&writable), 8);
    read(&mut reader, 4); // more than its share, if there were somebody
    assert_eq!(fill(&other), 1);
    let mut waits = Hand::new(other.send(1));
    waits.waits();
    read(&mut hogs_reader, 1);
    assert_eq!(waits.wakes(), 1);
}

/// As above, with a tank that is short.
#[test]
fn a_writer_that_went_on_by_the_drain_waits_for_the_budget_no_more() {
    for name in ["drained", "send", "reserve", "send_batch"] {
        let budget = Budget::items(16);
        let (small, mut smalls_reader) = exact(&budget, 4);
        let (hog, mut hogs_reader) = exact(&budget, 12);
        let (other, _others_reader) = items(&budget, 8);
        assert_eq!(fill(&small), 4);
        assert_eq!(fill(&hog), 12);
        small.set_marks(Marks::half(8).unwrap()); // it would have more, from now on
        let mut first = waits_by(name, small.clone());
        first.waits();
        assert_eq!(fill(&other), 1);
        let mut second = Hand::new(other.send(1));
        second.waits();
        read(&mut smalls_reader, 2); // it opens, and keeps what it has
        assert!(first.wakes() > 0, "{name}");
        assert!(first.ready(), "{name}");
        drop(first);
        let woken = second.wakes();
        read(&mut hogs_reader, 1);
        assert!(second.wakes() > woken, "{name}: the first waits no more");
    }
}

/// A tank shut at its own mark, then others wanted a share. At its low-water
/// mark it stayed shut for want of the budget; its writer had sat down before
/// that, and nobody called it when all the others were gone.
#[test]
fn a_writer_that_sat_down_at_the_tanks_own_mark_is_called_by_the_budget_as_well() {
    let budget = Budget::items(16);
    let (hog, mut hogs_reader) = exact(&budget, 16);
    let (other, others_reader) = items(&budget, 16);
    assert_eq!(fill(&hog), 16);
    let mut waits = Hand::new(hog.send(1));
    waits.waits();
    assert_eq!(fill(&other), 1);
    // the other one wants as much as it gets
    for _ in 0..8 {
        read(&mut hogs_reader, 1);
        fill(&other);
    }
    assert_eq!(hogs_reader.level(), 8, "its own low-water mark");
    let woken = waits.wakes();
    assert!(hog.is_shut());
    drop((other, others_reader));
    assert!(waits.wakes() > woken, "{budget:?}");
    assert!(waits.ready().is_ok());
}

#[test]
fn a_tank_of_which_there_is_enough_drains_at_its_own_low_water_mark_alone() {
    let budget = Budget::items(1_000);
    let tank = |budget: Option<&Budget>| {
        let tank = Tank::items(16).node().overflow(Overflow::Wait);
        budget.map_or_else(|| tank.clone(), |budget| tank.clone().budget(budget)).build::<u32>()
    };
    let mut both = [tank(None), tank(Some(&budget))];
    for _ in 0..3 {
        for (writable, readable) in &mut both {
            assert_eq!(fill(writable), 16);
            let mut all = Batch::new();
            assert!(now(readable.next_batch(&mut all)).unwrap());
            drop(all); // at once: what it filled it may fill again
            assert_eq!(fill(writable), 16);
            for level in (1..16).rev() {
                read(readable, 1);
                assert_eq!(writable.level(), level);
                assert!(writable.is_shut(), "{level}");
                assert!(writable.write(0).is_err(), "{level}");
            }
            read(readable, 1);
            assert!(!writable.is_shut());
        }
    }
}

/// All of many tanks wanted some of what was less than an item for each: the
/// fair share was nothing, and of those that waited nobody was called.
#[test]
fn a_limit_below_the_number_of_tanks_still_goes_to_those_that_wait() {
    let budget = Budget::items(5);
    let (hog, mut hogs_reader) = exact(&budget, 5);
    assert_eq!(fill(&hog), 5);
    let tanks: Vec<_> = (0..12).map(|_| items(&budget, 8)).collect();
    for (writable, _) in &tanks {
        assert_eq!(fill(writable), 1);
    }
    let mut waits: Vec<_> = tanks.iter().map(|(to, _)| Hand::new(to.drained())).collect();
    waits.iter_mut().for_each(Hand::waits);
    while hogs_reader.try_next().is_some() {}
    for _ in 0..12 {
        for hand in &mut waits {
            if hand.wakes() > 0 {
                let _polled = hand.poll();
            }
        }
    }
    assert_eq!(budget.granted(), 5, "{budget:?}");
}

/// With a budget that others want, dropping the oldest made room, the room was
/// taken back as too much, and the newest was dropped as well.
#[test]
fn the_oldest_goes_for_the_newest_also_when_the_budget_takes_some_back() {
    for overflow in [Overflow::DropOldest, Overflow::KeepLatest] {
        let budget = Budget::items(8);
        let (writable, mut readable) =
            Tank::items(8).overflow(overflow).budget(&budget).build::<u32>();
        for item in 0..8 {
            assert!(writable.write(item).is_ok());
        }
        let (other, _others_reader) = items(&budget, 8);
        assert_eq!(fill(&other), 1);
        let mut waits = Hand::new(other.drained());
        waits.waits();
        for item in 8..100 {
            assert!(writable.write(item).is_ok());
            let seen = readable.gauge().snapshot();
            assert_eq!(seen.dropped.newest.items, 0, "{overflow:?}, {item}: {seen:?}");
            assert!(writable.level() + other.level() <= 8 + 2);
        }
        let left: Vec<u32> = std::iter::from_fn(|| readable.try_next()).collect();
        assert_eq!(left.last(), Some(&99), "{overflow:?}");
    }
}

/// A waker of one pipeline panicked in the reader of another, and all that it
/// would have called after that slept on.
#[test]
fn a_waker_that_panics_keeps_nobody_elses_wake() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of somebody's own");
        }
    }
    for dropped in [false, true] {
        let budget = Budget::items(40);
        let (hog, mut hogs_reader) = exact(&budget, 40);
        let tanks: Vec<_> = (0..2).map(|_| items(&budget, 8)).collect();
        assert_eq!(fill(&hog), 40);
        assert!(tanks.iter().all(|(writable, _)| fill(writable) == 1));
        let mut first = Box::pin(tanks[0].0.drained());
        let waker = Arc::new(Panics).into();
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut second = Hand::new(tanks[1].0.drained());
        second.waits();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            if dropped {
                drop((hog, hogs_reader));
            } else {
                while hogs_reader.try_next().is_some() {}
            }
        }));
        assert!(caught.is_err(), "it is not hidden");
        assert_eq!(second.wakes(), 1, "{dropped}");
        assert!(second.ready().is_ok());
    }
}

// ---- whatever happens ----------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Move {
    Fill(usize),
    Wait(usize, &'static str),
    GiveUp(usize, usize),
    Read(usize, usize),
    Batch(usize),
    Marks(usize, usize),
    Stop(usize),
    Renew(usize),
    Unshift(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let tank = 0..4_usize;
    let way = proptest::sample::select(vec!["drained", "send", "reserve", "send_batch"]);
    let one = prop_oneof![
        6 => tank.clone().prop_map(Move::Fill),
        6 => (tank.clone(), way).prop_map(|(tank, way)| Move::Wait(tank, way)),
        2 => (tank.clone(), 0..3_usize).prop_map(|(tank, which)| Move::GiveUp(tank, which)),
        6 => (tank.clone(), 1..12_usize).prop_map(|(tank, count)| Move::Read(tank, count)),
        2 => tank.clone().prop_map(Move::Batch),
        1 => (tank.clone(), 1..60_usize).prop_map(|(tank, high)| Move::Marks(tank, high)),
        1 => tank.clone().prop_map(Move::Unshift),
        1 => tank.clone().prop_map(Move::Stop),
        1 => tank.prop_map(Move::Renew),
    ];
    proptest::collection::vec(one, 1..150)
}

/// Takes so many items, if there are so many.
fn while_some(most: usize, take: impl FnMut() -> Option<u32>) {
    std::iter::from_fn(take).take(most).for_each(|_| {});
}

struct Shared {
    writable: Writable<u32>,
    readable: Option<Readable<u32>>,
    waits: Vec<(Waits, usize)>,
    events: standpipe::tank::Events,
}

impl Shared {
    fn new(budget: &Budget, tank: usize) -> Self {
        // of each kind one: as Node's, low and high low-water marks
        let high = 8 + 8 * tank;
        let plan = match tank {
            0 => Tank::items(high).node().overflow(Overflow::Wait),
            1 => Tank::items(high).low(0),
            2 => Tank::items(high).low(high - 1),
            _ => Tank::items(high),
        };
        let (writable, readable) = plan.budget(budget).build();
        let events = writable.gauge().events(8);
        Self { writable, readable: Some(readable), waits: Vec::new(), events }
    }

    /// Polls whoever was woken; whether anybody was.
    fn go_on(&mut self) -> bool {
        let mut went_on = false;
        self.waits.retain_mut(|(hand, seen)| {
            if hand.wakes() == *seen {
                return true;
            }
            *seen = hand.wakes();
            went_on = true;
            hand.poll().is_pending()
        });
        went_on
    }
}

proptest! {
    /// When all who were woken have looked, nobody is left who waits at a tank
    /// that would take an item.
    #[test]
    fn nobody_waits_beside_what_he_may_have(limit in 0..70_usize, moves in moves()) {
        let budget = Budget::items(limit);
        let mut tanks: Vec<Shared> = (0..4).map(|tank| Shared::new(&budget, tank)).collect();
        for step in moves {
            match step {
                Move::Fill(tank) => drop(fill(&tanks[tank].writable)),
                Move::Wait(tank, way) => {
                    let mut hand = waits_by(way, tanks[tank].writable.clone());
                    if hand.poll().is_pending() {
                        tanks[tank].waits.push((hand, 0));
                    }
                }
                Move::GiveUp(tank, which) => {
                    if which < tanks[tank].waits.len() {
                        drop(tanks[tank].waits.remove(which));
                    }
                }
                Move::Read(tank, count) => {
                    if let Some(readable) = &mut tanks[tank].readable {
                        while_some(count, || readable.try_next());
                    }
                }
                Move::Batch(tank) => {
                    if let Some(readable) = &mut tanks[tank].readable {
                        let mut batch = Batch::new();
                        let _polled = Hand::new(readable.next_batch(&mut batch)).poll();
                        while_some(3, || batch.pop());
                    }
                }
                Move::Marks(tank, high) => {
                    tanks[tank].writable.set_marks(Marks::half(high).unwrap());
                }
                Move::Unshift(tank) => {
                    if let Some(readable) = &mut tanks[tank].readable
                        && let Some(item) = readable.try_next()
                    {
                        readable.unshift(item);
                    }
                }
                Move::Stop(tank) => drop(tanks[tank].readable.take()),
                Move::Renew(tank) => tanks[tank] = Shared::new(&budget, tank),
            }
            while tanks.iter_mut().fold(false, |any, tank| tank.go_on() | any) {}
            for (index, tank) in tanks.iter().enumerate() {
                prop_assert!(tank.readable.is_some() || tank.waits.is_empty());
                if !tank.waits.is_empty() {
                    let refused = tank.writable.write(9).is_err();
                    prop_assert!(refused, "after {step:?} {index} waits: {budget:?}");
                }
            }
            for tank in &mut tanks {
                let mut shut = None;
                while let Some(event) = tank.events.try_next() {
                    use standpipe::tank::EventKind::{Drained, Shut};
                    let is = match event.kind {
                        Shut => true,
                        Drained => false,
                        _ => continue,
                    };
                    prop_assert!(event.missed > 0 || shut != Some(is), "told twice: {event:?}");
                    shut = Some(is);
                }
                if let Some(shut) = shut && tank.readable.is_some() {
                    prop_assert_eq!(shut, tank.writable.is_shut());
                }
            }
        }
        drop(tanks);
        prop_assert_eq!(budget.granted(), 0);
    }
}
