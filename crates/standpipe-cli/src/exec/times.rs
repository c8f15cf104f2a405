//! How did each stage spend its time, and which one holds up the line?
//!
//! A stage cannot be asked, but the tanks on its two sides can: it is starved while the tank before it is empty,
//! paused while the tank after it is full, and busy otherwise. The three add up to the time it ran.
//!
//! # Knows / never knows
//! Knows gauges and shares. Never knows where they come from, so that the same numbers give the same verdict
//! whichever way the bytes went.
//! # Terms
//! *arrow*: between two neighbours, down if the tank was longer full than empty, else up. *turning point*: the
//! stage above which all are rather paused and below which all are rather starved.

use crate::exec::gauge::Reading;

/// Where the time of one stage went, in nanoseconds; the sum is the time it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// It held the bytes.
    pub(crate) busy_ns: u64,
    /// It waited to write.
    pub(crate) paused_ns: u64,
    /// It waited to read.
    pub(crate) starved_ns: u64,
}

impl Times {
    /// Of a stage that ran for `ran_ns` between these tanks; `None` where it has none.
    pub(crate) fn between(ran_ns: u64, before: Option<&Reading>, after: Option<&Reading>) -> Self {
        let paused_ns = after.map_or(0, |tank| tank.full_ns).min(ran_ns);
        let starved_ns = before.map_or(0, |tank| tank.empty_ns).min(ran_ns - paused_ns);
        Self { busy_ns: ran_ns - paused_ns - starved_ns, paused_ns, starved_ns }
    }
}

/// The stage that holds up the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slowest {
    /// Its index, upstream first.
    pub(crate) stage: usize,
    /// The busiest stage and the arrows agree.
    pub(crate) likely: bool,
}

/// Names the slowest stage of a line, `None` if nothing ran.
pub(crate) fn slowest(line: &[Times]) -> Option<Slowest> {
    let busiest = best(line, |_, times| i128::from(times.busy_ns))?;
    if line.iter().all(|times| *times == Times::default()) {
        return None;
    }
    let pull = |above: usize| {
        let (above, below) = (line.get(above)?, line.get(above + 1)?);
        Some(i128::from(above.paused_ns) - i128::from(below.starved_ns))
    };
    let before = |stage: usize| stage.checked_sub(1).and_then(pull);
    let arrow = best(line, |stage, _| {
        let leaves =
            before(stage).is_some_and(|pull| pull <= 0) || pull(stage).is_some_and(|pull| pull > 0);
        let strength = before(stage).map_or(0, i128::abs) + pull(stage).map_or(0, i128::abs);
        if leaves { i128::MIN } else { strength }
    });
    if arrow == Some(busiest) {
        return Some(Slowest { stage: busiest, likely: true });
    }
    let turning = |stage: usize| {
        line[..stage].iter().all(|times| times.paused_ns >= times.starved_ns)
            && line[stage + 1..].iter().all(|times| times.starved_ns >= times.paused_ns)
    };
    let stage = (0..line.len())
        .filter(|stage| turning(*stage))
        .min_by_key(|stage| line[*stage].starved_ns + line[*stage].paused_ns);
    Some(Slowest { stage: stage.unwrap_or(busiest), likely: false })
}

/// The first index with the largest value.
fn best(line: &[Times], value: impl Fn(usize, &Times) -> i128) -> Option<usize> {
    let mut best: Option<(i128, usize)> = None;
    for (index, times) in line.iter().enumerate() {
        let value = value(index, times);
        if best.is_none_or(|(most, _)| value > most) {
            best = Some((value, index));
        }
    }
    best.map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `busy paused starved` in percent of the run, a word a stage.
    fn check(line: &str, expected: Option<(usize, bool)>) {
        let times: Vec<Times> = line
            .split_whitespace()
            .map(|stage| {
                let shares: Vec<u64> =
                    stage.split('/').map(|n| n.parse().expect("a number")).collect();
                Times { busy_ns: shares[0], paused_ns: shares[1], starved_ns: shares[2] }
            })
            .collect();
        let slowest = slowest(&times).map(|slowest| (slowest.stage, slowest.likely));
        assert_eq!(slowest, expected, "{line}");
    }

    #[test]
    fn the_slowest_stage_is_the_one_no_arrow_leaves() {
        check("2/98/0 100/0/0 1/0/99", Some((1, true)));
        check("100/0/0 2/0/98 1/0/99", Some((0, true)));
        check("2/98/0 3/97/0 100/0/0", Some((2, true)));
        check("100/0/0", Some((0, true)));
        check("0/0/0 0/0/0", None);
        check("", None);
    }

    #[test]
    fn without_agreement_it_is_the_turning_point_and_unsure() {
        check("60/40/0 50/20/30 70/0/30", Some((0, false)));
    }

    #[test]
    fn times_add_up_even_if_both_tanks_hold_a_stage_up() {
        let before = Reading { empty_ns: 80, ..Reading::default() };
        let after = Reading { full_ns: 50, ..Reading::default() };
        let times = Times::between(100, Some(&before), Some(&after));
        assert_eq!(times, Times { busy_ns: 0, paused_ns: 50, starved_ns: 50 });
        let times = Times::between(100, Some(&before), None);
        assert_eq!(times, Times { busy_ns: 20, paused_ns: 0, starved_ns: 80 });
    }
}
