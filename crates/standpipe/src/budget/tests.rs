//! Is what is granted within the limit, fair, and never kept from who waits?

use proptest::prelude::*;

use super::*;
use crate::gate::{Flow, Gate, Turn};
use crate::sync::Arc;

/// A waiter that can be told from others.
type Number = u32;

/// Asks without waiting, and says what is granted then.
fn ask(pool: &mut Pool<Number>, slot: usize, level: usize) -> usize {
    let mut called = Vec::new();
    assert_eq!(pool.ask(slot, 2 * level, None, &mut called).1, None);
    assert!(called.is_empty());
    pool.told(slot).0
}

/// Asks, and waits if it is short. Says whose place it takes.
fn wait(pool: &mut Pool<Number>, slot: usize, waiter: Number) -> Option<Number> {
    pool.ask(slot, 2, Some(waiter), &mut Vec::new()).1
}

fn fell(pool: &mut Pool<Number>, slot: usize, level: usize) -> Vec<Number> {
    let mut called = Vec::new();
    pool.fell(slot, level, &mut called);
    called
}

#[test]
fn a_grant_doubles_with_what_is_filled_up_to_the_tanks_own_mark() {
    let mut pool = Pool::new(1_000);
    let slot = pool.join(50);
    assert_eq!(pool.told(slot).0, 0);
    for (level, granted) in [(1, 2), (2, 4), (5, 10), (10, 20), (20, 40), (40, 50), (60, 50)] {
        assert_eq!(ask(&mut pool, slot, level), granted);
    }
    assert!(!pool.is_short(slot), "it has all that its mark allows");
    assert_eq!((pool.granted(), pool.peak()), (50, 50));
}

#[test]
fn an_empty_tank_has_nothing_and_gets_at_once_what_it_filled_before() {
    struct Nobody;
    impl Called for Nobody {
        fn call(self) {}
    }
    let common = Arc::new(Common::<Nobody>::new(1_000));
    let own = Marks::half(64).unwrap();
    let mut grant = Grant::new(common.clone(), own);
    let (mut gate, mut called) = (Gate::new(own), Vec::new());
    grant.fits(&mut gate);
    let mut granted_for = |items: usize| {
        for _ in 0..items {
            if gate.admit(1) == Flow::Wait {
                grant.opens(&mut gate, &mut called);
            }
        }
        let granted = common.look(|pool| pool.granted());
        let (Turn::Stayed | Turn::Opened | Turn::Shut) = gate.release(items);
        grant.fell(&mut gate, &mut called);
        assert_eq!(common.look(|pool| pool.granted()), 0);
        granted
    };
    assert_eq!([1, 3, 20, 64].map(&mut granted_for), [2, 4, 32, 64]);
    // what it does not fill again it asks for no more
    assert_eq!([64, 1, 1, 1, 1, 1, 1, 1].map(&mut granted_for), [64, 64, 32, 16, 8, 4, 2, 2]);
}

#[test]
fn what_a_tank_does_not_fill_any_more_goes_back() {
    let mut pool = Pool::new(1_000);
    let slot = pool.join(64);
    for level in [1, 2, 4, 8, 16, 32] {
        ask(&mut pool, slot, level);
    }
    fell(&mut pool, slot, 16);
    assert_eq!(pool.told(slot).0, 64, "a quarter is no reason");
    fell(&mut pool, slot, 15);
    assert_eq!((pool.told(slot).0, pool.granted()), (30, 30));
}

#[test]
fn beyond_three_quarters_nobody_gets_more_than_his_share() {
    let mut pool = Pool::new(100);
    let (hog, late) = (pool.join(1_000), pool.join(1_000));
    assert_eq!(ask(&mut pool, hog, 40), 80, "alone its share is all");
    assert_eq!(ask(&mut pool, hog, 80), 100);
    fell(&mut pool, hog, 80);
    assert_eq!(pool.told(hog).0, 100, "nobody else wants any");
    assert_eq!(ask(&mut pool, late, 1), 0, "there is none");
    assert!(pool.is_short(late));
    fell(&mut pool, hog, 99);
    assert_eq!(pool.told(hog).0, 99, "what it holds it keeps; the other wants 2");
    assert_eq!(ask(&mut pool, late, 1), 1);
    fell(&mut pool, hog, 90);
    assert_eq!(pool.told(hog).0, 98, "and all beside that");
    assert_eq!(ask(&mut pool, late, 1), 2);
    // it fills what it has, and wants more, each time
    for level in [2, 4, 8, 16, 32, 50] {
        ask(&mut pool, late, level);
        fell(&mut pool, hog, 40);
        ask(&mut pool, late, level);
    }
    assert_eq!((pool.told(hog).0, pool.told(late).0), (50, 50));
    assert_eq!(pool.granted(), 100);
}

#[test]
fn whoever_waits_is_called_when_something_comes_back_oldest_first() {
    let mut pool = Pool::new(8);
    let (hog, one, two) = (pool.join(8), pool.join(8), pool.join(8));
    assert_eq!(ask(&mut pool, hog, 8), 8);
    assert_eq!(wait(&mut pool, one, 1), None);
    assert_eq!(wait(&mut pool, two, 2), None);
    assert_eq!(wait(&mut pool, one, 11), Some(1), "its task has another waker now");
    assert_eq!(fell(&mut pool, hog, 7), [11], "1 came back, and was wanted by the first");
    assert_eq!(fell(&mut pool, hog, 0), [2], "the rest; the first was called");
    assert_eq!(ask(&mut pool, one, 1), 2);
    assert_eq!(ask(&mut pool, two, 1), 2);
}

#[test]
fn whoever_gives_up_or_goes_away_lets_the_next_one_be_called() {
    let mut pool = Pool::new(8);
    let [hog, one, two, three] = [8; 4].map(|high| pool.join(high));
    assert_eq!(ask(&mut pool, hog, 8), 8);
    for (slot, number) in [(one, 1), (two, 2), (three, 3)] {
        assert_eq!(wait(&mut pool, slot, number), None);
    }
    assert_eq!(fell(&mut pool, hog, 7), [1]);
    let mut called = Vec::new();
    assert_eq!(pool.give_up(one, &mut called), None, "it had been called");
    assert_eq!(called, [2]);
    called.clear();
    pool.leave(hog, &mut called);
    assert_eq!(called, [3]);
    called.clear();
    pool.leave(two, &mut called);
    pool.leave(three, &mut called);
    assert_eq!(called, [] as [Number; 0]);
    assert_eq!(pool.granted(), 0);
}

#[test]
fn hungry_tanks_come_to_the_same_whatever_one_had_before() {
    for count in [2, 3, 7, 40] {
        let mut pool = Pool::<Number>::new(1_000);
        let slots: Vec<usize> = (0..count).map(|_| pool.join(5_000)).collect();
        let mut levels = vec![1_usize; count];
        levels[0] = 1_000;
        ask(&mut pool, slots[0], 1_000);
        assert_eq!(pool.told(slots[0]).0, 1_000);
        for _ in 0..3_000 {
            for (slot, level) in slots.iter().zip(&mut levels) {
                if *level > 1 {
                    *level -= 1; // it is read
                    fell(&mut pool, *slot, *level);
                }
                while *level < pool.told(*slot).0.max(1) {
                    *level = pool.told(*slot).0; // and filled
                    ask(&mut pool, *slot, *level);
                }
                ask(&mut pool, *slot, *level);
            }
        }
        let grants: Vec<usize> = slots.iter().map(|slot| pool.told(*slot).0).collect();
        let fair = 1_000 / count;
        assert!(grants.iter().all(|grant| grant.abs_diff(fair) <= 1), "{grants:?}");
        assert!(pool.granted() <= 1_000);
    }
}

#[test]
fn marks_within_a_grant_keep_their_proportion_and_one_item() {
    let own = Marks::new(64, 16).unwrap();
    let at = |grant| (within(own, grant).high(), within(own, grant).low());
    assert_eq!([0, 1, 2, 4, 33].map(at), [(1, 0), (1, 0), (2, 0), (4, 1), (33, 8)]);
    assert_eq!([64, 65, usize::MAX].map(at), [(64, 16); 3]);
    let huge = Marks::new(usize::MAX, usize::MAX - 1).unwrap();
    assert_eq!(within(huge, 10).low(), 9);
    let none = Marks::node(0, 0).unwrap();
    assert_eq!(within(none, 0), none);
}

/// The max-min share by its definition: the largest that all wants, cut to it,
/// leave within the limit.
fn share_by_definition(limit: usize, wants: &[usize]) -> usize {
    let fits = |share: usize| wants.iter().map(|want| share.min(*want)).sum::<usize>() <= limit;
    if fits(usize::MAX) { usize::MAX } else { (0..=limit).rev().find(|at| fits(*at)).unwrap_or(0) }
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Join(usize),
    Leave(usize),
    Ask(usize, usize),
    Wait(usize, usize),
    Fall(usize, usize),
    GiveUp(usize),
    SetHigh(usize, usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let slot = 0..6_usize;
    let one = prop_oneof![
        1 => (1..100_usize).prop_map(Move::Join),
        1 => slot.clone().prop_map(Move::Leave),
        4 => (slot.clone(), 1..40_usize).prop_map(|(slot, level)| Move::Ask(slot, level)),
        4 => (slot.clone(), 1..40_usize).prop_map(|(slot, level)| Move::Wait(slot, level)),
        6 => (slot.clone(), 0..40_usize).prop_map(|(slot, level)| Move::Fall(slot, level)),
        1 => slot.clone().prop_map(Move::GiveUp),
        1 => (slot, 1..100_usize).prop_map(|(slot, high)| Move::SetHigh(slot, high)),
    ];
    proptest::collection::vec(one, 1..200)
}

proptest! {
    #[test]
    fn the_share_is_max_min(limit in 0..200_usize, wants in proptest::collection::vec(0..90_usize, 1..9)) {
        let mut pool = Pool::<Number>::new(limit);
        let slots: Vec<usize> = wants.iter().map(|_| pool.join(100)).collect();
        for (turn, want) in wants.iter().enumerate().rev() {
            pool.set_want(slots[turn], want * 7 % 90); // and changes his mind
        }
        for (slot, want) in slots.iter().zip(&wants) {
            pool.set_want(*slot, *want);
        }
        let (share, exact) = (pool.share(), share_by_definition(limit, &wants));
        prop_assert!(share <= exact && share >= exact - exact / 16, "{} {}", share, exact);
        prop_assert!(share == exact || exact >= 32, "{} {}", share, exact);
    }

    #[test]
    fn whatever_is_done_the_limit_holds_and_no_waiter_is_lost(
        limit in 0..120_usize,
        moves in moves(),
    ) {
        let mut pool = Pool::new(limit);
        let mut slots: Vec<usize> = Vec::new();
        let (mut waiting, mut next) = (BTreeSet::new(), 0);
        for step in moves {
            let mut out = Vec::new();
            let at = |slot: usize| slots.get(slot).copied();
            match step {
                Move::Join(high) if slots.len() < 6 => slots.push(pool.join(high)),
                Move::Join(_) => {}
                Move::Leave(slot) if slot < slots.len() => pool.leave(slots.remove(slot), &mut out),
                Move::Ask(slot, level) => if let Some(slot) = at(slot) {
                    let level = level.min(pool.told(slot).0.max(1));
                    let (_, unneeded) = pool.ask(slot, 2 * level, None, &mut out);
                    out.extend(unneeded);
                }
                Move::Wait(slot, level) => if let Some(slot) = at(slot) {
                    next += 1;
                    waiting.insert(next);
                    let level = level.min(pool.told(slot).0.max(1));
                    let (_, unneeded) = pool.ask(slot, 2 * level, Some(next), &mut out);
                    out.extend(unneeded);
                }
                Move::Fall(slot, level) => if let Some(slot) = at(slot) {
                    pool.fell(slot, level.min(pool.told(slot).0), &mut out);
                }
                Move::GiveUp(slot) => if let Some(slot) = at(slot) {
                    let gone = pool.give_up(slot, &mut out);
                    out.extend(gone);
                }
                Move::SetHigh(slot, high) => if let Some(slot) = at(slot) {
                    let level = pool.told(slot).0.min(20);
                    pool.set_high(slot, high, level, &mut out);
                }
                Move::Leave(_) => {}
            }
            for waiter in out {
                prop_assert!(waiting.remove(&waiter), "{waiter} comes back once");
            }
            let grants: usize = slots.iter().map(|slot| pool.told(*slot).0).sum();
            prop_assert_eq!(grants, pool.granted());
            prop_assert!(grants <= limit, "{} of {}", grants, limit);
            let held: Vec<usize> = slots
                .iter()
                .copied()
                .filter(|slot| pool.members[*slot].as_ref().is_some_and(|m| m.waits.is_some()))
                .collect();
            prop_assert_eq!(held.len(), waiting.len());
            let mut line: Vec<usize> = pool.line.iter().map(|place| place.slot).collect();
            line.sort_unstable();
            let mut sorted = held.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&line, &sorted, "in line is who waits");
            let members = || pool.members.iter().flatten();
            let spoken_for: usize = members().map(|member| member.called_for).sum();
            prop_assert_eq!(spoken_for, pool.spoken_for);
            let wants = members().map(|member| member.want).collect::<Vec<_>>();
            for place in &pool.line {
                prop_assert_eq!(place.grant, pool.told(place.slot).0, "the poorest first");
            }
            for (at, slot) in pool.uncounted.iter().enumerate() {
                let member = pool.members[*slot].as_ref().unwrap();
                prop_assert_eq!(member.uncounted_at, Some(at), "each once, and who is there");
            }
            if wants.len() % 2 == 1 {
                continue; // the share is not needed each time
            }
            let exact = share_by_definition(limit, &wants);
            let share = pool.share();
            prop_assert!(share <= exact && share >= exact - exact / 16, "{} {}", share, exact);
            // nobody waits who would get something now, but for what is left to
            // those who were called
            for slot in held {
                prop_assert!(pool.is_short(slot));
                prop_assert_eq!(pool.may_have(slot, pool.spoken_for), 0);
            }
        }
    }

    #[test]
    fn in_the_end_nobody_waits_beside_what_he_may_have(limit in 0..120_usize, moves in moves()) {
        // here whoever is called comes, and asks again
        let mut pool = Pool::new(limit);
        let mut slots: Vec<usize> = (0..6).map(|high| pool.join(10 + 10 * high)).collect();
        slots.truncate(6);
        for step in moves {
            let mut called = Vec::new();
            match step {
                Move::Ask(slot, level) | Move::Wait(slot, level) => {
                    let slot = slots[slot];
                    let level = level.min(pool.told(slot).0.max(1));
                    let number = Number::try_from(slot).unwrap();
                    pool.ask(slot, 2 * level, Some(number), &mut called);
                }
                Move::Fall(slot, level) => {
                    pool.fell(slots[slot], level.min(pool.told(slots[slot]).0), &mut called);
                }
                _ => {}
            }
            while let Some(slot) = called.pop() {
                let member = pool.members[slot as usize].as_ref().unwrap();
                if member.is_short() {
                    let level = (member.want / 2).max(1);
                    pool.ask(slot as usize, 2 * level, Some(slot), &mut called);
                }
            }
            for place in pool.line.clone() {
                let more = pool.may_have(place.slot, 0);
                prop_assert!(more == 0, "{more} for {place:?}");
            }
        }
    }
}
