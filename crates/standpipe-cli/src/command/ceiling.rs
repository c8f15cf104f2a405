//! How much could other tanks gain, at most?
//!
//! No stage can do more than work all the time: whatever the tanks, a run takes as long as its busiest stage worked.
//! So what a run took, over the most that one of its stages has worked for certain, is what other tanks can gain and
//! not more. The same holds with a stage that is faster than it was; the next one is the limit then.
//!
//! It holds if work does not depend on the tanks: so what the kernel computed for a stage is not counted as its work,
//! for it moves small pieces more slowly than large ones. Nor is the time in which it waited for a core; but then a stage
//! that waits for nobody else, and gains nothing by tanks, would seem to gain much. So there is no ceiling where that
//! cannot be told apart, nor where it cannot be known that it holds.
//!
//! # Knows / never knows
//! Knows times of stages. Never knows who measured them.

/// So much of what the cores can do is all they can do: then whoever works less lets the others work more.
const CORES: f64 = 0.9;

/// Of what a stage seemed to work so much has to be certain, or it may be the limit itself: others had its core.
const CERTAIN: f64 = 0.75;

/// Times of a run, or of a part of it.
pub(super) struct Spell<'run> {
    /// How long it was.
    pub(super) ran_ns: u64,
    /// The least that each stage worked; `None` where that cannot be known.
    pub(super) work_ns: &'run [Option<u64>],
    /// How long each stage seemed to work.
    pub(super) busy_ns: &'run [u64],
    /// CPU of all of it.
    pub(super) cpu_ns: u64,
}

/// The most that can be gained, in throughput over throughput now, less 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ceiling {
    /// The stage that is the limit then.
    pub(super) stage: usize,
    /// By other tanks.
    pub(super) gain: f64,
    /// By each stage if it took half the time for what it does, and by other tanks too.
    pub(super) twice: Vec<Twice>,
}

/// What can be gained by a stage that is twice as fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Twice {
    /// At most.
    pub(super) gain: f64,
    /// The stage that is the limit then, if it is another one.
    pub(super) next: Option<usize>,
}

impl Ceiling {
    /// Finds it; `None` if nothing is certain.
    pub(super) fn of(spell: &Spell<'_>) -> Option<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::on(spell, cores)
    }

    fn on(spell: &Spell<'_>, cores: usize) -> Option<Self> {
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        if float(spell.cpu_ns) >= CORES * f64::from(cores) * float(spell.ran_ns) {
            return None;
        }
        let most = most(spell.work_ns, |_, work_ns| work_ns)?;
        // one of which nothing is certain may be the limit
        let is_unknown = |(work_ns, busy_ns): (&Option<u64>, &u64)| {
            let least = CERTAIN * float(*busy_ns);
            *busy_ns >= most.1 && work_ns.is_none_or(|work_ns| float(work_ns) < least)
        };
        if spell.work_ns.iter().zip(spell.busy_ns).any(is_unknown) {
            return None;
        }
        let gain = |work_ns: u64| (float(spell.ran_ns) / float(work_ns) - 1.0).max(0.0);
        let twice = |stage: usize| {
            let half = |at, work_ns| if at == stage { work_ns / 2 } else { work_ns };
            let (limit, work_ns) = self::most(spell.work_ns, half).unwrap_or(most);
            Twice { gain: gain(work_ns), next: (limit != stage).then_some(limit) }
        };
        let twice = (0..spell.work_ns.len()).map(twice).collect();
        Some(Self { stage: most.0, gain: gain(most.1), twice })
    }
}

/// The stage with the most work, as far as that is known, after `change`.
fn most(work: &[Option<u64>], change: impl Fn(usize, u64) -> u64) -> Option<(usize, u64)> {
    let known = work.iter().enumerate().filter_map(|(at, work)| Some((at, change(at, (*work)?))));
    known
        .filter(|(_, work_ns)| *work_ns > 0)
        .max_by_key(|(at, work_ns)| (*work_ns, usize::MAX - at))
}

#[expect(clippy::cast_precision_loss, reason = "a gain is told in percent")]
fn float(ns: u64) -> f64 {
    ns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell<'run>(work_ns: &'run [Option<u64>], busy_ns: &'run [u64]) -> Spell<'run> {
        Spell { ran_ns: 100, work_ns, busy_ns, cpu_ns: 50 }
    }

    #[test]
    fn nobody_can_do_more_than_work_all_the_time() {
        let found = Ceiling::on(&spell(&[Some(10), Some(80), Some(50)], &[10, 90, 60]), 2);
        let found = found.expect("it is certain");
        assert_eq!(found.stage, 1);
        assert!((found.gain - 0.25).abs() < 1e-9, "{found:?}");
        let twice = |stage: usize| (found.twice[stage].gain, found.twice[stage].next);
        assert_eq!(twice(1), (1.0, Some(2)), "the next one is the limit then");
        assert_eq!(twice(0), (found.gain, Some(1)));
        let found = Ceiling::on(&spell(&[Some(10), Some(80), Some(30)], &[10, 90, 60]), 2);
        assert_eq!(found.map(|found| found.twice[1]), Some(Twice { gain: 1.5, next: None }));
    }

    /// A compressor that never waited for its neighbours, only for a core, was said to gain 202% by other tanks.
    #[test]
    fn who_waits_for_nobody_but_a_core_gains_nothing_by_tanks() {
        let found = |work_ns: &[Option<u64>], busy_ns: &[u64]| {
            Ceiling::on(&spell(work_ns, busy_ns), 2).is_some()
        };
        assert!(found(&[Some(3), Some(90)], &[5, 100]), "it had its core");
        assert!(!found(&[Some(3), Some(33)], &[5, 100]), "others had it");
        assert!(!found(&[Some(50), Some(33)], &[55, 100]), "whoever has worked more for certain");
        assert!(found(&[Some(50), Some(10)], &[55, 40]), "that one is not the limit");
    }

    #[test]
    fn where_nothing_is_certain_there_is_no_ceiling() {
        assert_eq!(Ceiling::on(&spell(&[None, None], &[90, 10]), 2), None);
        assert_eq!(Ceiling::on(&spell(&[None, Some(40)], &[90, 45]), 2), None, "1 may be it");
        assert!(Ceiling::on(&spell(&[None, Some(40)], &[30, 45]), 2).is_some(), "1 is not it");
        assert_eq!(Ceiling::on(&spell(&[Some(0), Some(0)], &[0, 0]), 2), None);
        let cpu = Spell { cpu_ns: 185, ..spell(&[Some(90), Some(80)], &[95, 95]) };
        assert_eq!(Ceiling::on(&cpu, 2), None, "the cores are the limit");
        assert!(Ceiling::on(&cpu, 4).is_some());
    }
}
