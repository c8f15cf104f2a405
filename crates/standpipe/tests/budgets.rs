//! One limit over many tanks: it holds, it is shared fairly, and nobody waits for ever.

mod hand;

use std::sync::Arc;

use bytes::Bytes;
use hand::{Hand, now};
use proptest::prelude::*;
use standpipe::diagnose::{FindingKind, findings};
use standpipe::snapshot::TankBudget;
use standpipe::stage::{count, for_each, iter, tee, zip};
use standpipe::{Budget, Flow, KIB, Marks, Overflow, Pipeline, Readable, Tank, Writable};

/// An item that is its own weight.
fn weighed(budget: &Budget, high: usize) -> (Writable<usize>, Readable<usize>) {
    Tank::weighed(high, |weight: &usize| *weight).budget(budget).build()
}

fn items(budget: &Budget, high: usize) -> (Writable<u32>, Readable<u32>) {
    Tank::items(high).budget(budget).build()
}

/// Writes until the tank is shut; how much is in it then.
fn fill(writable: &Writable<u32>) -> usize {
    while writable.write(0).is_ok_and(|flow| flow == Flow::Ready) {}
    writable.level()
}

/// The doors of a tank.
type Doors = (Writable<u32>, Readable<u32>);

/// One tank that has all of a budget, and one that has no more of it than the
/// item that is its own.
fn full_and_short(limit: usize) -> (Budget, Doors, Doors) {
    let budget = Budget::items(limit);
    let (hog, short) = (items(&budget, limit), items(&budget, limit));
    assert_eq!(fill(&hog.0), limit);
    assert_eq!(fill(&short.0), 1);
    (budget, hog, short)
}

fn drain<T>(readable: &mut Readable<T>) -> usize {
    std::iter::from_fn(|| readable.try_next()).count()
}

fn part<T: Send + 'static>(readable: &Readable<T>) -> TankBudget {
    readable.gauge().snapshot().budget.expect("it shares one")
}

// ---- what a tank may hold ----------------------------------------------------

#[test]
fn a_tank_alone_fills_to_its_own_mark_and_its_drain_comes_at_its_own_low_one() {
    let budget = Budget::items(100);
    let (writable, mut readable) = Tank::items(16).low(4).budget(&budget).build();
    for item in 0..15 {
        assert_eq!(writable.write(item).unwrap(), Flow::Ready, "{item}");
    }
    assert_eq!(writable.write(15).unwrap(), Flow::Wait);
    assert!(writable.write(16).unwrap_err().is_full());
    let mut drained = Hand::new(writable.drained());
    drained.waits();
    for _ in 0..12 {
        drained.waits();
        assert!(readable.try_next().is_some());
    }
    assert!(drained.ready().is_ok());
    let seen = readable.gauge().snapshot();
    assert_eq!((seen.high, seen.low, seen.pauses, seen.refused), (16, 4, 1, 1));
    assert_eq!(part(&readable).waits, 0, "its own mark made it wait");
}

#[test]
fn a_tank_without_a_budget_says_so_and_one_with_it_tells_its_own_marks() {
    let (_writable, readable) = Tank::items(4).build::<u32>();
    assert_eq!(readable.gauge().snapshot().budget, None);
    let budget = Budget::items(2);
    let (writable, readable) = items(&budget, 64);
    assert_eq!(fill(&writable), 2);
    let seen = readable.gauge().snapshot();
    assert_eq!((seen.high, seen.low, seen.shut), (64, 32, true));
    assert_eq!((writable.high_water_mark(), readable.high_water_mark()), (64, 64));
    assert_eq!(readable.gauge().gate().marks().high(), 2, "and what it goes by");
    let part = part(&readable);
    assert_eq!((part.limit, part.granted_to_all, part.granted, part.waits), (2, 2, 2, 1));
    assert!((writable.occupancy() - 2.0 / 64.0).abs() < 1e-9);
}

#[test]
fn empty_tanks_have_nothing_granted_however_many_there_are() {
    let budget = Budget::items(64);
    let mut tanks: Vec<_> = (0..1_000).map(|_| items(&budget, 32)).collect();
    for (writable, readable) in &mut tanks {
        assert_eq!(fill(writable), 32, "the ones before it idle");
        drain(readable);
        assert_eq!(budget.granted(), 0);
    }
    assert_eq!(budget.peak(), 32);
    drop(tanks);
    assert_eq!(budget.granted(), 0);
}

#[test]
fn each_tank_owns_one_item_of_any_weight_whatever_the_limit() {
    let budget = Budget::bytes(0);
    let (one, mut reader) = weighed(&budget, 100);
    let (two, _other) = weighed(&budget, 100);
    assert_eq!(one.write(1_000).unwrap(), Flow::Wait);
    assert_eq!(two.write(7).unwrap(), Flow::Wait);
    assert!(one.write(1).unwrap_err().is_full());
    assert_eq!(reader.try_next(), Some(1_000));
    assert_eq!(one.write(1).unwrap(), Flow::Wait);
    assert_eq!(reader.gauge().snapshot().oversize, 1, "by its own mark, not by what is granted");
}

#[test]
fn items_in_the_readers_hands_are_still_charged() {
    let budget = Budget::items(8);
    let (one, mut reader) = items(&budget, 8);
    let (two, _other) = items(&budget, 8);
    assert_eq!(fill(&one), 8);
    let mut batch = standpipe::Batch::new();
    assert!(now(reader.next_batch(&mut batch)).unwrap());
    assert_eq!(fill(&two), 1, "they are in memory");
    drop(batch);
    assert!(fill(&two) > 1);
}

#[test]
fn a_dropped_tank_gives_back_what_it_had_and_a_waiting_writer_is_woken() {
    let (_budget, (hog, hogs_reader), (writable, readable)) = full_and_short(8);
    let mut drained = Hand::new(writable.drained());
    drained.waits();
    assert_eq!(drained.wakes(), 0);
    drop(hog);
    drop(hogs_reader);
    assert_eq!(drained.wakes(), 1);
    assert!(drained.ready().is_ok());
    drop(drained);
    assert_eq!(fill(&writable), 8);
    drop(readable);
}

// ---- who waits ----------------------------------------------------------------

#[test]
fn what_a_reader_takes_elsewhere_lets_a_writer_go_on_by_each_way_to_write() {
    type Way = fn(&Writable<u32>) -> Hand<std::pin::Pin<Box<dyn Future<Output = bool> + '_>>>;
    let ways: [(&str, Way); 4] = [
        ("drained", |to| Hand::new(Box::pin(async { to.drained().await.is_ok() }))),
        ("send", |to| Hand::new(Box::pin(async { to.send(1).await.is_ok() }))),
        ("reserve", |to| Hand::new(Box::pin(async { to.reserve(1).await.is_ok() }))),
        ("send_batch", |to| {
            Hand::new(Box::pin(async {
                let mut batch: standpipe::Batch<u32> = (0..3).collect();
                to.send_batch(&mut batch).await.is_ok()
            }))
        }),
    ];
    for (name, way) in ways {
        let (_budget, (_hog, mut hogs_reader), (writable, readable)) = full_and_short(8);
        let mut waits = way(&writable);
        waits.waits();
        assert_eq!(part(&readable).waits, 1, "{name}");
        assert_eq!(drain(&mut hogs_reader), 8);
        assert!(waits.wakes() > 0, "{name} was not woken");
        assert!(waits.ready(), "{name}");
    }
}

#[test]
fn a_waiter_that_is_dropped_leaves_its_turn_to_the_next_one() {
    let budget = Budget::items(8);
    let (hog, mut hogs_reader) = items(&budget, 8);
    let tanks: Vec<_> = (0..3).map(|_| items(&budget, 8)).collect();
    assert_eq!(fill(&hog), 8);
    for (writable, _) in &tanks {
        assert_eq!(fill(writable), 1);
    }
    let mut waits: Vec<_> = tanks.iter().map(|(to, _)| Some(Hand::new(to.drained()))).collect();
    waits.iter_mut().flatten().for_each(Hand::waits);
    for _ in 0..4 {
        assert!(hogs_reader.try_next().is_some());
    }
    let woken: Vec<usize> = waits.iter().flatten().map(Hand::wakes).collect();
    assert_eq!(woken, [1, 1, 0], "4 came back, and each wants 2");
    waits[0] = None; // and does not take them
    let woken: Vec<usize> = waits.iter().flatten().map(Hand::wakes).collect();
    assert_eq!(woken, [1, 1]);
    assert!(waits[2].as_mut().expect("still there").ready().is_ok());
}

#[test]
fn of_several_writers_of_one_tank_the_oldest_is_called_and_lets_the_others_in() {
    let (_budget, (_hog, mut hogs_reader), (writable, readable)) = full_and_short(16);
    let other = writable.clone();
    let (mut one, mut two) = (Hand::new(writable.send(1)), Hand::new(other.send(2)));
    one.waits();
    two.waits();
    two.waits(); // polled again it is still the younger
    assert_eq!(drain(&mut hogs_reader), 16);
    assert_eq!((one.wakes(), two.wakes()), (1, 0));
    assert!(one.ready().is_ok());
    assert_eq!(two.wakes(), 1);
    assert!(two.ready().is_ok());
    assert_eq!(readable.level(), 3);
}

#[test]
fn the_oldest_writer_that_gives_up_is_replaced_by_the_next_of_its_tank() {
    let (_budget, (_hog, mut hogs_reader), (writable, _readable)) = full_and_short(16);
    let other = writable.clone();
    let (mut one, mut two) = (Hand::new(writable.send(1)), Hand::new(other.send(2)));
    one.waits();
    two.waits();
    drop(one);
    assert_eq!(drain(&mut hogs_reader), 16);
    assert_eq!(two.wakes(), 1);
    assert!(two.ready().is_ok());
}

#[test]
fn a_tank_that_has_more_than_its_share_is_held_back_until_it_has_not() {
    let budget = Budget::items(64);
    let (hog, mut hogs_reader) = items(&budget, 1_000);
    let (late, mut lates_reader) = items(&budget, 1_000);
    assert_eq!(fill(&hog), 64);
    // both are written as much as they take, and read in turn
    for turn in 0..600 {
        fill(&hog);
        fill(&late);
        assert!(hogs_reader.try_next().is_some());
        if turn % 3 == 0 && late.level() > 1 {
            assert!(lates_reader.try_next().is_some());
        }
        assert!(hog.level() + late.level() <= 64 + 2);
    }
    let parts = (part(&hogs_reader).granted, part(&lates_reader).granted);
    assert_eq!(parts, (32, 32));
}

#[test]
fn tanks_that_run_empty_because_they_get_too_little_come_to_their_share() {
    // one had all there is, and is read and filled slowly; the others are read
    // as fast as they are filled, so none of them ever shows how much it would hold
    let budget = Budget::items(100);
    let (hog, mut hogs_reader) = items(&budget, 100);
    assert_eq!(fill(&hog), 100);
    let mut others: Vec<_> = (0..9).map(|_| items(&budget, 100)).collect();
    let mut moved = 0;
    for _ in 0..200 {
        moved = others.iter().map(|(writable, _)| fill(writable)).sum();
        assert!(hogs_reader.try_next().is_some());
        fill(&hog);
        for (_, readable) in &mut others {
            drain(readable);
        }
    }
    let hogs = part(&hogs_reader).granted;
    assert!(hogs <= 12 && moved >= 90, "the one has {hogs}, the others move {moved}");
}

#[test]
fn events_tell_a_wait_for_the_budget_as_what_it_is_a_shut_tank() {
    let budget = Budget::items(4);
    let (hog, mut hogs_reader) = items(&budget, 4);
    let (writable, readable) = items(&budget, 8);
    assert_eq!(fill(&hog), 4);
    let mut events = readable.gauge().events(8);
    assert_eq!(fill(&writable), 1);
    assert_eq!(drain(&mut hogs_reader), 4);
    assert_eq!(writable.write(0).unwrap(), Flow::Ready);
    let mut told = Vec::new();
    while let Some(Some(event)) = futures::FutureExt::now_or_never(events.next()) {
        told.push(format!("{:?}", event.kind));
    }
    assert_eq!(told, ["Ready", "Shut", "Drained"]);
}

#[test]
fn marks_that_are_changed_live_are_the_tanks_own() {
    let budget = Budget::items(100);
    let (writable, mut readable) = items(&budget, 8);
    assert_eq!(fill(&writable), 8);
    writable.set_marks(Marks::half(32).unwrap());
    assert_eq!(fill(&writable), 32);
    writable.set_marks(Marks::half(4).unwrap());
    assert_eq!(budget.granted(), 32, "what is in it is granted");
    for _ in 0..30 {
        assert!(writable.is_shut());
        assert!(readable.try_next().is_some());
    }
    assert!(!writable.is_shut());
    assert!(budget.granted() <= 4, "{budget:?}");
    assert_eq!(fill(&writable), 4);
}

#[test]
fn dropping_strategies_drop_only_when_there_is_no_more_to_be_had() {
    let budget = Budget::items(8);
    let (writable, mut readable) =
        Tank::items(8).overflow(Overflow::DropOldest).budget(&budget).build();
    for item in 0..8 {
        assert!(writable.write(item).is_ok());
    }
    assert_eq!(readable.gauge().snapshot().dropped.total().items, 0);
    assert!(writable.write(8).is_ok());
    assert_eq!(readable.gauge().snapshot().dropped.oldest.items, 1);
    assert_eq!(readable.try_next(), Some(1));
}

// ---- what makes no sense ---------------------------------------------------------

#[test]
#[should_panic(expected = "tank `lines` counts items and its budget bytes")]
fn a_tank_of_items_is_in_no_budget_of_bytes() {
    let budget = Budget::bytes(64);
    let _doors = Tank::items(4).named("lines").budget(&budget).build::<u32>();
}

#[test]
#[should_panic(expected = "a tank that grows past its mark is within no budget")]
fn a_tank_that_grows_is_in_no_budget() {
    let budget = Budget::items(64);
    let _doors = Tank::items(4).node().budget(&budget).build::<u32>();
}

#[test]
fn a_weight_of_ones_own_goes_with_either() {
    for budget in [Budget::bytes(64), Budget::items(64)] {
        let (writable, _readable) = weighed(&budget, 32);
        assert_eq!(writable.write(32).unwrap(), Flow::Wait);
        assert_eq!(budget.granted(), 32);
    }
}

// ---- whatever happens ----------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Move {
    Write(usize, usize),
    Read(usize),
    Drain(usize),
    Unshift(usize, usize),
    Reserve(usize, usize),
    Marks(usize, usize),
    Renew(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let (tank, weight) = (0..5_usize, 0..12_usize);
    let one = prop_oneof![
        8 => (tank.clone(), weight.clone()).prop_map(|(tank, weight)| Move::Write(tank, weight)),
        5 => tank.clone().prop_map(Move::Read),
        1 => tank.clone().prop_map(Move::Drain),
        1 => (tank.clone(), weight.clone()).prop_map(|(tank, weight)| Move::Unshift(tank, weight)),
        1 => (tank.clone(), weight).prop_map(|(tank, weight)| Move::Reserve(tank, weight)),
        1 => (tank.clone(), 1..60_usize).prop_map(|(tank, high)| Move::Marks(tank, high)),
        1 => tank.prop_map(Move::Renew),
    ];
    proptest::collection::vec(one, 1..300)
}

proptest! {
    #[test]
    fn tanks_hold_no_more_than_the_limit_and_an_item_each(
        limit in 0..80_usize,
        moves in moves(),
    ) {
        const HEAVIEST: usize = 11;
        let budget = Budget::bytes(limit);
        let mut tanks: Vec<_> = (0..5).map(|tank| weighed(&budget, 10 + 10 * tank)).collect();
        let mut lowered = [0; 5]; // what was in a tank when its mark was lowered under it
        let mut put_back = [0; 5];
        for step in moves {
            match step {
                Move::Write(tank, weight) => {
                    let was_shut = tanks[tank].0.is_shut();
                    let taken = tanks[tank].0.write(weight).is_ok();
                    prop_assert!(taken || was_shut, "an open tank takes an item");
                }
                Move::Read(tank) => drop(tanks[tank].1.try_next()),
                Move::Drain(tank) => {
                    drain(&mut tanks[tank].1);
                    prop_assert_eq!(tanks[tank].0.level(), 0);
                    prop_assert!(!tanks[tank].0.is_shut(), "an empty tank is open");
                }
                Move::Unshift(tank, weight) => {
                    if let Some(item) = tanks[tank].1.try_next() {
                        tanks[tank].1.unshift(item.min(weight));
                        put_back[tank] = HEAVIEST; // one, and it had room before
                    }
                }
                Move::Reserve(tank, weight) => {
                    if let Some(Ok(permit)) = futures::FutureExt::now_or_never(tanks[tank].0.reserve(weight)) {
                        drop(permit.send(weight / 2));
                    }
                }
                Move::Marks(tank, high) => {
                    lowered[tank] = tanks[tank].0.level();
                    tanks[tank].0.set_marks(Marks::half(high).unwrap());
                }
                Move::Renew(tank) => {
                    tanks[tank] = weighed(&budget, 10 + 10 * tank);
                    lowered[tank] = 0;
                }
            }
            // from this side the level is exact
            let level: usize = tanks.iter().map(|(_, readable)| readable.level()).sum();
            let headroom = 5 * HEAVIEST + put_back.iter().sum::<usize>();
            prop_assert!(level <= limit + headroom, "{level} of {limit}: {:?}", tanks);
            prop_assert!(budget.granted() <= limit, "{:?}", budget);
            for ((writable, readable), lowered) in tanks.iter().zip(lowered) {
                let bound = writable.high_water_mark().max(lowered) + 2 * HEAVIEST;
                prop_assert!(readable.level() <= bound, "{:?}", writable);
                prop_assert!(part(readable).granted <= writable.high_water_mark().max(lowered + HEAVIEST));
            }
        }
        drop(tanks);
        prop_assert_eq!(budget.granted(), 0);
    }
}

// ---- pipelines -------------------------------------------------------------------

/// A line of four stages, with three tanks of this budget.
fn three_tanks(budget: &Budget, items: u64) -> standpipe::pipeline::Ready<u64> {
    let tank = || Tank::items(64).budget(budget);
    Pipeline::from("numbers", iter(0..items))
        .tank(tank())
        .map("add", |item: u64| item + 1)
        .tank(tank())
        .map("keep", |item: u64| item)
        .tank(tank())
        .to("count", count())
}

#[test]
fn many_pipelines_share_one_budget_and_all_come_to_their_end() {
    // far less than a mark for each, and not even an item for each tank
    for limit in [0, 5, 100] {
        let budget = Budget::items(limit);
        let ready: Vec<_> = (0..4).map(|_| three_tanks(&budget, 5_000)).collect();
        let running: Vec<_> = ready.into_iter().map(|one| one.threads().unwrap()).collect();
        for one in running {
            let finished = one.wait().unwrap();
            assert_eq!(finished.done, 5_000);
            for tank in &finished.report.tanks {
                assert!(tank.peak <= limit + 1, "{} of {limit}", tank.peak);
            }
        }
        assert!(budget.peak() <= limit);
        assert_eq!(budget.granted(), 0);
    }
}

#[tokio::test]
async fn in_one_task_as_well() {
    let budget = Budget::items(2);
    let finished = three_tanks(&budget, 5_000).run().await.unwrap();
    assert_eq!(finished.done, 5_000);
    assert!(budget.peak() <= 2);
}

#[tokio::test]
async fn a_diamond_goes_on_with_no_more_than_an_item_in_each_of_its_tanks() {
    let budget = Budget::items(0);
    let tank = || Tank::items(64).budget(&budget);
    let (left, lefts_reader) = tank().build::<u64>();
    let (right, rights_reader) = tank().build::<u64>();
    let source = Pipeline::from("numbers", iter(0..1_000_u64)).tank(tank());
    let split = source.to("split", tee([left, right])).run();
    let even = for_each(|(left, right): (u64, u64)| assert_eq!(left, right));
    let join = Pipeline::from("zip", zip(lefts_reader, rights_reader)).tank(tank());
    let (split, join) = futures::join!(split, join.to("even", even).run());
    assert!(split.is_ok() && join.is_ok());
    assert_eq!(budget.peak(), 0);
}

#[test]
fn chunks_that_weigh_more_than_their_part_pass_one_by_one() {
    let budget = Budget::bytes(10 * KIB);
    let chunks = (0..200).map(|_| Bytes::from(vec![0_u8; 16 * KIB]));
    let finished = Pipeline::from("chunks", iter(chunks.collect::<Vec<_>>()))
        .tank(Tank::bytes(256 * KIB).budget(&budget))
        .map("pass", |chunk: Bytes| chunk)
        .tank(Tank::bytes(256 * KIB).budget(&budget))
        .to("count", count())
        .threads()
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(finished.done, 200);
    for tank in &finished.report.tanks {
        assert!(tank.peak <= 26 * KIB, "{}", tank.peak);
        assert_eq!(tank.oversize, 0);
    }
}

/// Half of what is in flight leaves slowly: both tanks would be full.
#[tokio::test(start_paused = true)]
async fn a_report_says_which_tanks_waited_for_the_budget_and_for_how_long() {
    let budget = Budget::items(16);
    let tank = || Tank::items(64).budget(&budget);
    let started = tokio::time::Instant::now();
    let clock = move || u64::try_from(started.elapsed().as_nanos()).expect("a short test");
    let slow = |item: u64| async move {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        Ok::<u64, standpipe::BoxError>(item)
    };
    let ready = Pipeline::from_with_clock("fast", iter(0..200_u64), clock)
        .tank(tank().named("one"))
        .map("pass", |item: u64| item)
        .tank(tank().named("two"))
        .ordered("slow", 1, slow)
        .to("count", count());
    let finished = ready.spawn().await.unwrap();
    let found = findings(None, &finished.report);
    assert_eq!(found[0].kind, FindingKind::BudgetFull, "{found:?}");
    assert!(found[0].text.contains("2 tanks wait for the common budget of 16"), "{found:?}");
    for tank in &finished.report.tanks {
        let part = tank.budget.unwrap();
        assert!(part.waits > 0, "{tank:?}");
        let wait_ms = part.wait_ns.unwrap() / 1_000_000;
        assert!((100..=200).contains(&wait_ms), "{wait_ms} ms of 200");
    }
    let budgets: Vec<usize> =
        finished.report.tanks.iter().map(|tank| tank.budget.unwrap().id).collect();
    assert_eq!(budgets[0], budgets[1]);
}

#[test]
fn a_budget_keeps_no_tank_alive_and_lives_as_long_as_its_tanks() {
    let budget = Budget::items(8);
    let (writable, readable) = items(&budget, 8);
    let alive = Arc::new(());
    let (with, without) = Tank::items(8).budget(&budget).build::<Arc<()>>();
    assert!(with.write(alive.clone()).is_ok());
    drop((with, without));
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(fill(&writable), 8);
    drop(budget);
    assert_eq!(readable.level(), 8);
}

/// Who writes to a tank that takes nothing any more is told so, and asks for
/// nothing on its behalf: the tank was granted twice what it held.
#[test]
fn a_tank_that_has_failed_is_granted_no_more() {
    let (_budget, (hog, mut hogs_reader), (writable, readable)) = full_and_short(8);
    let other = writable.clone();
    writable.fail("gone");
    assert_eq!(drain(&mut hogs_reader), 8);
    assert_eq!(part(&readable).granted, 0);
    assert!(Hand::new(other.send(1)).ready().is_err());
    assert!(Hand::new(other.reserve(1)).ready().is_err());
    assert_eq!(part(&readable).granted, 0);
    drop(hog);
}
