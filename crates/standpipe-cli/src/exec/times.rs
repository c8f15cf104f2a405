//! How did each stage spend its time, and which one holds up the line?
//!
//! A stage cannot be asked, but the tanks on its two sides can: it is starved while the tank before it is empty,
//! paused while the tank after it is full, and busy otherwise. The three add up to the time it ran.
//!
//! # Knows / never knows
//! Knows gauges. Never knows how the bytes went, so that the same numbers give the same verdict on every path; nor
//! the rule of the verdict: that is the library's.

use standpipe::diagnose::{self, Times};
use standpipe::snapshot::Confidence;

use crate::exec::gauge::Reading;

/// The time of a stage that ran for `ran_ns` between these tanks, of which there may be none. It waits for several
/// behind it one after the other.
pub(crate) fn between<'tanks>(
    ran_ns: u64,
    before: Option<&Reading>,
    after: impl IntoIterator<Item = &'tanks Reading>,
) -> Times {
    let waited = |tank: &Reading| tank.full_ns.saturating_add(tank.held_ns);
    let paused_ns = after.into_iter().map(waited).fold(0, u64::saturating_add).min(ran_ns);
    let starved_ns = before.map_or(0, |tank| tank.empty_ns).min(ran_ns - paused_ns);
    Times { busy_ns: ran_ns - paused_ns - starved_ns, paused_ns, starved_ns }
}

/// The least that a stage worked which ran for `ran_ns` between these tanks and spent so much on other things: what
/// may have been a wait is taken for one.
pub(crate) fn least_work<'tanks>(
    ran_ns: u64,
    before: Option<&Reading>,
    after: impl IntoIterator<Item = &'tanks Reading>,
    aside_ns: u64,
) -> u64 {
    let waited = |tank: &Reading| tank.full_most_ns.saturating_add(tank.held_ns);
    let paused_ns = after.into_iter().map(waited).fold(0, u64::saturating_add);
    let starved_ns = before.map_or(0, |tank| tank.empty_most_ns);
    ran_ns.saturating_sub(paused_ns).saturating_sub(starved_ns).saturating_sub(aside_ns)
}

/// What `later` has more than `earlier`.
pub(crate) fn since(later: &Times, earlier: &Times) -> Times {
    Times {
        busy_ns: later.busy_ns.saturating_sub(earlier.busy_ns),
        paused_ns: later.paused_ns.saturating_sub(earlier.paused_ns),
        starved_ns: later.starved_ns.saturating_sub(earlier.starved_ns),
    }
}

/// The share of `part` in the time a stage ran, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a share is shown in percent")]
pub(crate) fn share(part_ns: u64, times: &Times) -> f64 {
    let all = times.busy_ns + times.paused_ns + times.starved_ns;
    part_ns as f64 / all as f64
}

/// A stage that is busy less than this share of the time is not certain to be the slow one.
pub(crate) const BUSY: f64 = 0.5;

/// The stage that holds up the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slowest {
    /// Its index, upstream first.
    pub(crate) stage: usize,
    /// The share of its time in which it is busy.
    pub(crate) busy: f64,
    /// It is also the busiest, the arrow rule says the same, and it is busy at least half of the time.
    pub(crate) likely: bool,
}

impl Slowest {
    /// How sure that is, 0 to 1.
    pub(crate) const fn confidence(self) -> f64 {
        if self.likely { 0.8 } else { UNSURE }
    }
}

/// How sure a verdict is that something speaks against.
pub(crate) const UNSURE: f64 = 0.5;

/// Names the slowest stage of a line, `None` if nobody waited for anybody. Whoever shows a verdict asks here, so that
/// all are as sure of it.
pub(crate) fn slowest(line: &[Times]) -> Option<Slowest> {
    let (stage, confidence) = diagnose::limit(line)?;
    let busy = share(line[stage].busy_ns, &line[stage]);
    let likely = confidence > Confidence::Unsure && busy >= BUSY;
    Some(Slowest { stage, busy, likely })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_even_if_both_tanks_hold_a_stage_up() {
        let before = Reading { empty_ns: 80, ..Reading::default() };
        let after = Reading { full_ns: 50, ..Reading::default() };
        let times = between(100, Some(&before), Some(&after));
        assert_eq!(times, Times { busy_ns: 0, paused_ns: 50, starved_ns: 50 });
        let times = between(100, Some(&before), None);
        assert_eq!(times, Times { busy_ns: 20, paused_ns: 0, starved_ns: 80 });
        assert!((share(times.starved_ns, &times) - 0.8).abs() < 1e-9);
    }

    #[test]
    fn agreement_with_the_busiest_makes_it_likely() {
        let times = |busy_ns, paused_ns, starved_ns| Times { busy_ns, paused_ns, starved_ns };
        let line = [times(2, 98, 0), times(100, 0, 0), times(1, 0, 99)];
        assert_eq!(slowest(&line), Some(Slowest { stage: 1, busy: 1.0, likely: true }));
        assert_eq!(slowest(&[times(100, 0, 0), times(100, 0, 0)]), None, "nobody waited");
    }

    /// The doctor called this one unsure and the summary of the same run did not.
    #[test]
    fn who_is_busy_less_than_half_of_the_time_is_not_certain_to_be_the_slow_one() {
        let times = |busy_ns, paused_ns, starved_ns| Times { busy_ns, paused_ns, starved_ns };
        let check = |busy_ns, likely| {
            let line = [times(2, 98, 0), times(busy_ns, 0, 100 - busy_ns), times(1, 0, 99)];
            let found = slowest(&line).expect("somebody waited");
            assert_eq!((found.stage, found.likely), (1, likely), "busy {busy_ns}%");
            assert_eq!(found.confidence() > 0.6, likely, "busy {busy_ns}%");
        };
        check(49, false);
        check(50, true);
    }
}
