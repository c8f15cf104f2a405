//! What do the numbers mean?
//!
//! [`diagnose`] reads two reports and says what limits the flow in the time
//! between them: a [`Verdict`]. It rests on shares of the critical path where
//! the pipeline hands them over, and else on times alone, by two rules that
//! have to agree. Between two neighbours an *arrow* points towards the one
//! that makes the other wait: down if the upper is paused for longer than the
//! lower is starved, else up; the slowest stage is the one that no arrow
//! leaves. It is likely if it is also the busiest. The two kinds of evidence
//! are never mixed.
//!
//! # Knows / never knows
//! Knows snapshots. Never knows tanks, tasks or views. So the same rule judges
//! a live pipeline, a finished one and one that was only watched.

use std::cmp::Reverse;

use crate::snapshot::{Confidence, ratio};

mod cost;
mod findings;
mod stall;
mod stretch;
mod verdict;

pub use findings::{Finding, FindingKind, Place, findings};
pub use stall::{Holder, Stall, stall, stall_among};
pub use verdict::{Forecast, Verdict, VerdictKind, diagnose};

/// How long one stage was in each state, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three states are all there are")]
pub struct Times {
    /// Working, or waiting for its own resource.
    pub busy_ns: u64,
    /// Waiting to write.
    pub paused_ns: u64,
    /// Waiting to read.
    pub starved_ns: u64,
}

/// Names the slowest of a line of stages, upstream first, by the arrow rule.
///
/// Of several stages that no arrow leaves, the one with the largest difference
/// of waiting across its tanks. `None` for fewer than two stages, or if nobody
/// ever waited.
///
/// # Examples
/// ```
/// use standpipe::diagnose::{Times, slowest};
///
/// let fast_source = Times { busy_ns: 5, paused_ns: 95, starved_ns: 0 };
/// let slow_middle = Times { busy_ns: 99, paused_ns: 0, starved_ns: 1 };
/// let idle_sink = Times { busy_ns: 3, paused_ns: 0, starved_ns: 97 };
/// assert_eq!(slowest(&[fast_source, slow_middle, idle_sink]), Some(1));
/// ```
#[must_use]
pub fn slowest(stages: &[Times]) -> Option<usize> {
    if stages.len() < 2 || stages.iter().all(|t| t.paused_ns == 0 && t.starved_ns == 0) {
        return None;
    }
    // one arrow per pair of neighbours: does it point down?
    let down: Vec<bool> =
        stages.windows(2).map(|pair| pair[0].paused_ns > pair[1].starved_ns).collect();
    let across: Vec<u64> =
        stages.windows(2).map(|pair| pair[0].paused_ns.abs_diff(pair[1].starved_ns)).collect();
    let at = |values: &[u64], index: Option<usize>| {
        index.and_then(|index| values.get(index).copied()).unwrap_or(0)
    };
    (0..stages.len())
        .filter(|&i| {
            let leaves_down = down.get(i).copied().unwrap_or(false);
            let leaves_up = i.checked_sub(1).is_some_and(|above| !down[above]);
            !leaves_down && !leaves_up
        })
        .max_by_key(|&i| {
            let pull = at(&across, i.checked_sub(1)).saturating_add(at(&across, Some(i)));
            (pull, Reverse(i))
        })
}

/// The stage that no turning point denies: all above it are paused at least
/// as much as starved, all below starved at least as much as paused. Of
/// several the one that waited least; without one the busiest.
fn turning_point(stages: &[Times]) -> Option<usize> {
    let turns = |i: usize| {
        let (above, from) = stages.split_at(i);
        above.iter().all(|times| times.paused_ns >= times.starved_ns)
            && from.iter().skip(1).all(|times| times.starved_ns >= times.paused_ns)
    };
    let waited = |i: &usize| {
        stages.get(*i).map_or(u64::MAX, |times| times.starved_ns.saturating_add(times.paused_ns))
    };
    (0..stages.len()).filter(|i| turns(*i)).min_by_key(waited).or_else(|| busiest(stages))
}

/// The stage with the most busy time, the first of equals.
fn busiest(stages: &[Times]) -> Option<usize> {
    (0..stages.len()).max_by_key(|i| (stages.get(*i).map(|times| times.busy_ns), Reverse(*i)))
}

/// Names the stage that limits a line of which only times are known, and how
/// sure that is: likely if the busiest stage and the arrow rule agree, else
/// the turning point, unsure.
///
/// `None` as for [`slowest`].
///
/// # Examples
/// ```
/// use standpipe::diagnose::{Times, limit};
/// use standpipe::snapshot::Confidence;
///
/// let paused = Times { busy_ns: 5, paused_ns: 95, starved_ns: 0 };
/// let busy = Times { busy_ns: 99, paused_ns: 0, starved_ns: 1 };
/// assert_eq!(limit(&[paused, busy]), Some((1, Confidence::Likely)));
/// ```
#[must_use]
pub fn limit(stages: &[Times]) -> Option<(usize, Confidence)> {
    let arrow = slowest(stages)?;
    if busiest(stages) == Some(arrow) {
        return Some((arrow, Confidence::Likely));
    }
    turning_point(stages).map(|turning| (turning, Confidence::Unsure))
}

/// The numbers a verdict rests on: how busy the named stage is and how its
/// neighbours wait for it. Shares are of each stage's own time.
///
/// # Examples
/// ```
/// use standpipe::diagnose::{Times, because};
///
/// let times = [
///     Times { busy_ns: 4, paused_ns: 96, starved_ns: 0 },
///     Times { busy_ns: 98, paused_ns: 0, starved_ns: 2 },
/// ];
/// let names = ["cat", "gzip"];
/// assert_eq!(because(&times, 1, |i| names[i]), "gzip is busy 98%, cat is paused 96%");
/// ```
#[must_use]
pub fn because<'a>(stages: &[Times], position: usize, name: impl Fn(usize) -> &'a str) -> String {
    let percent = |part: u64, times: &Times| {
        let wall = times.busy_ns.saturating_add(times.paused_ns).saturating_add(times.starved_ns);
        format!("{:.0}%", ratio(part, wall) * 100.0)
    };
    let mut words = Vec::new();
    if let Some(times) = stages.get(position) {
        words.push(format!("{} is busy {}", name(position), percent(times.busy_ns, times)));
    }
    if let Some((above, times)) =
        position.checked_sub(1).and_then(|above| stages.get(above).map(|times| (above, times)))
    {
        words.push(format!("{} is paused {}", name(above), percent(times.paused_ns, times)));
    }
    let below = position.saturating_add(1);
    if let Some(times) = stages.get(below) {
        words.push(format!("{} is starved {}", name(below), percent(times.starved_ns, times)));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(busy_ns: u64, paused_ns: u64, starved_ns: u64) -> Times {
        Times { busy_ns, paused_ns, starved_ns }
    }

    #[test]
    fn the_slow_stage_is_named_in_every_position() {
        for count in 2..6 {
            for slow in 0..count {
                let line: Vec<Times> = (0..count)
                    .map(|i| match i.cmp(&slow) {
                        std::cmp::Ordering::Less => times(10, 90, 0),
                        std::cmp::Ordering::Equal => times(100, 0, 0),
                        std::cmp::Ordering::Greater => times(10, 0, 90),
                    })
                    .collect();
                assert_eq!(slowest(&line), Some(slow), "{line:?}");
            }
        }
    }

    #[test]
    fn of_two_candidates_the_one_that_others_wait_for_longer() {
        // the first pair waits a little for stage 0, the last two a lot for 2
        let line = [times(95, 1, 4), times(60, 30, 10), times(99, 0, 1), times(20, 0, 80)];
        assert_eq!(slowest(&line), Some(2));
    }

    #[test]
    fn nobody_waits_or_nobody_is_there() {
        assert_eq!(slowest(&[]), None);
        assert_eq!(slowest(&[times(9, 0, 0)]), None);
        assert_eq!(slowest(&[times(9, 0, 0), times(9, 0, 0)]), None);
    }
}
