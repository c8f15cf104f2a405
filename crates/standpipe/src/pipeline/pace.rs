//! How much may gather before it is handed on?
//!
//! Handing on costs a lock and perhaps a wake, so a tail gathers. How much is
//! a question of time, not of number: whoever reads shall have work while the
//! rest is made, and a slow stage shall not keep a tank full of finished work
//! to itself. So the tail goes by the time that the last handful took.
//!
//! ```text
//!   the whole room within 2 us    all of it: waking takes longer than making
//!   else                          what flows between two drains,
//!                                 at most 100 us of work, at least one item
//!   never                         more than four times what went quickly
//! ```
//!
//! The clock is read when something is handed on and at no other time. So a
//! stage that is quick and then slow shows one handful late: what it had been
//! told to gather. That is why a handful grows by steps: after one quick item
//! among slow ones four are at stake, not a tank full of them.
//!
//! # Knows / never knows
//! Knows weights, and times as arguments. Never knows a clock, an item or a
//! tank.

use crate::gate::Gate;

/// To make less than this takes no longer than to wake a thread.
const WAKE_NS: u64 = 2_000;
/// Work that nobody sees, at most, as long as the pace lasts.
const UNSEEN_NS: u64 = 100_000;
/// How much heavier a handful may be than one that took no longer than that.
const STEP: u64 = 4;

/// Whether what took so long is done before a thread that is woken now would
/// begin.
pub(crate) const fn is_quick(took_ns: u64) -> bool {
    took_ns <= WAKE_NS
}

/// The pace of one tail.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Nothing that is gathered now was made before.
    since_ns: u64,
    /// The last handful, and what it took.
    weight: u64,
    took_ns: u64,
    /// What the next may weigh at most, by what was seen since one took long.
    most: u64,
}

impl Pace {
    /// What was gathered is handed on at `now_ns`; the poll that gathered the
    /// last of it began at `turn_ns`, so whatever was waited for is not counted.
    pub(crate) fn gathered(&mut self, weight: usize, turn_ns: u64, now_ns: u64) {
        self.weight = weight as u64;
        self.took_ns = now_ns.saturating_sub(self.since_ns.max(turn_ns));
        self.most = if self.took_ns <= UNSEEN_NS {
            self.most.max(self.weight.saturating_mul(STEP))
        } else {
            self.seen_in_time()
        };
    }

    /// From now on the next is gathered.
    pub(crate) const fn goes_on(&mut self, now_ns: u64) {
        self.since_ns = now_ns;
    }

    /// The weight to gather next, for a tank that has this gate.
    pub(crate) fn next(&self, gate: &Gate) -> usize {
        let (room, span) = (gate.room(), gate.room().min(gate.span()));
        let next = if self.takes_at_most(WAKE_NS, room) {
            room
        } else if self.takes_at_most(UNSEEN_NS, span) {
            span
        } else {
            usize::try_from(self.seen_in_time()).map_or(span, |part| part.min(span))
        };
        next.min(usize::try_from(self.most.max(STEP)).unwrap_or(usize::MAX))
    }

    /// What is made in the longest time that work may go unseen, at the pace of
    /// the last handful.
    fn seen_in_time(&self) -> u64 {
        let part = self.weight.saturating_mul(UNSEEN_NS).checked_div(self.took_ns);
        part.unwrap_or(u64::MAX).max(1)
    }

    /// Whether so much is made within this time, at the pace of the last
    /// handful.
    fn takes_at_most(&self, time_ns: u64, weight: usize) -> bool {
        let product = |ns: u64, weight: u64| u128::from(ns).saturating_mul(u128::from(weight));
        product(self.took_ns, weight as u64) <= product(time_ns, self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Marks;

    fn after(weight: usize, took_ns: u64, high: usize) -> usize {
        let mut pace = Pace::default();
        pace.goes_on(1_000);
        pace.gathered(weight, 0, 1_000 + took_ns);
        pace.next(&Gate::new(Marks::half(high).unwrap()))
    }

    #[test]
    fn what_is_made_faster_than_a_thread_wakes_goes_in_one_piece() {
        assert_eq!(after(16, 100, 16), 16);
        assert_eq!(after(4, 500, 16), 16);
    }

    #[test]
    fn what_takes_longer_goes_in_halves_so_that_both_sides_work() {
        assert_eq!(after(4, 501, 16), 8);
        assert_eq!(after(8, 100_000, 16), 8);
    }

    #[test]
    fn finished_work_is_seen_within_a_tenth_of_a_millisecond() {
        assert_eq!(after(8, 200_000, 16), 4);
        assert_eq!(after(1, 1_000_000, 16), 1, "one item is never split");
        assert_eq!(after(64 << 10, 1_000_000, 4 << 20), (64 << 10) / 10);
    }

    /// Among items of about a millisecond one took no time; then a tank of four
    /// megabytes was filled before anybody saw a byte of it, and three stages on
    /// threads worked one after the other.
    #[test]
    fn one_quick_item_is_no_reason_to_gather_a_tank_full() {
        assert_eq!(after(1, 0, 1_024), 4);
        assert_eq!(after(4_096, 60, 4 << 20), 4 * 4_096);
        assert_eq!(after(0, 1_000_000, 16), 1, "nor is one without weight");
        let mut steps = vec![1];
        while let Some(&last @ ..1_024) = steps.last() {
            steps.push(after(last, 0, 1_024));
        }
        assert_eq!(steps, [1, 4, 16, 64, 256, 1_024]);
    }

    #[test]
    fn the_first_handful_is_a_small_one() {
        let pace = Pace::default();
        assert_eq!(pace.next(&Gate::new(Marks::half(1_024).unwrap())), 4);
    }

    #[test]
    fn what_was_waited_for_is_no_work() {
        let mut pace = Pace::default();
        pace.goes_on(0);
        pace.gathered(16, 5_000_000, 5_000_100);
        assert_eq!(pace.next(&Gate::new(Marks::half(16).unwrap())), 16);
    }

    #[test]
    fn the_longest_times_and_weights_do_not_overflow() {
        assert_eq!(after(usize::MAX, u64::MAX - 1_000, usize::MAX), 1);
    }
}
