//! What happened between two reports?

use crate::critical::Window;
use crate::diagnose::Times;
use crate::snapshot::{Costs, Report, StageSnapshot, TankSnapshot, ratio};

/// The time from one report to a later one of the same pipeline, or from its
/// start.
pub(super) struct Stretch<'a> {
    older: Option<&'a Report>,
    pub(super) newer: &'a Report,
    pub(super) span_ns: u64,
}

impl<'a> Stretch<'a> {
    pub(super) fn new(older: Option<&'a Report>, newer: &'a Report) -> Self {
        let ns = |report: &Report| u64::try_from(report.elapsed.as_nanos()).unwrap_or(u64::MAX);
        let span_ns = ns(newer).saturating_sub(older.map_or(0, ns));
        Self { older, newer, span_ns }
    }

    /// What a number of a stage has more than before.
    pub(super) fn stage(&self, stage: usize, number: impl Fn(&StageSnapshot) -> u64) -> u64 {
        let of = |report: &Report| report.stages.get(stage).map_or(0, &number);
        of(self.newer).saturating_sub(self.older.map_or(0, of))
    }

    /// What a number of a tank has more than before.
    pub(super) fn tank(&self, tank: usize, number: impl Fn(&TankSnapshot) -> u64) -> u64 {
        let of = |report: &Report| report.tanks.get(tank).map_or(0, &number);
        of(self.newer).saturating_sub(self.older.map_or(0, of))
    }

    /// The lowest level of a tank in it, to an eighth of its mark: that of the
    /// lowest cell in which it spent any time.
    pub(super) fn lowest(&self, tank: usize, now: &TankSnapshot) -> u64 {
        let Some(newer) = now.fill_ns else { return 0 };
        let older = self.older.and_then(|older| older.tanks.get(tank)?.fill_ns).unwrap_or([0; 10]);
        let cell = newer.iter().zip(&older).position(|(new, old)| new > old).unwrap_or(0);
        let eighths = (cell as u64).saturating_sub(1);
        (now.high as u64).saturating_mul(eighths).checked_div(8).unwrap_or(0)
    }

    /// What the items of a stage cost in it: sums as of
    /// [`Costs`](crate::snapshot::Costs).
    pub(super) fn costs(&self, stage: usize) -> Option<[f64; Costs::SUMS]> {
        let mut sums = self.newer.stages.get(stage)?.costs.sums();
        if let Some(older) = self.older.and_then(|older| older.stages.get(stage)) {
            for (sum, less) in sums.iter_mut().zip(older.costs.sums()) {
                *sum -= less;
            }
        }
        Some(sums)
    }

    /// How each stage spent it.
    pub(super) fn times(&self) -> Vec<Times> {
        (0..self.newer.stages.len())
            .map(|stage| Times {
                busy_ns: self.stage(stage, |seen| seen.busy_ns),
                paused_ns: self.stage(stage, |seen| seen.paused_ns),
                starved_ns: self.stage(stage, |seen| seen.starved_ns),
            })
            .collect()
    }

    /// The part of it in which each stage worked or waited for something of
    /// its own; not that in which it could have run and others did.
    pub(super) fn busy(&self) -> Vec<f64> {
        (0..self.newer.stages.len())
            .map(|stage| {
                let busy_ns = self.stage(stage, |seen| seen.busy_ns);
                let others_ns = self.stage(stage, |seen| seen.not_running_ns);
                ratio(busy_ns.saturating_sub(others_ns), self.span_ns)
            })
            .collect()
    }

    /// From where to where the path is known.
    fn bounds(&self) -> Option<(u64, u64)> {
        let first = self.newer.path.waypoints().next()?.at_ns;
        let last = self.newer.path.last()?.at_ns;
        let from =
            self.older.and_then(|older| older.path.last()).map_or(first, |point| point.at_ns);
        (from < last).then_some((from, last))
    }

    /// The critical path in it, if it is known.
    pub(super) fn window(&self) -> Option<Window> {
        let (from, to) = self.bounds()?;
        Window::between(&self.newer.path, from, to)
    }

    /// The same in three equal parts.
    pub(super) fn thirds(&self) -> Vec<Window> {
        let Some((from, to)) = self.bounds() else { return Vec::new() };
        let third = to.saturating_sub(from).checked_div(3).unwrap_or(0);
        let (one, two) = (from.saturating_add(third), to.saturating_sub(third));
        [(from, one), (one, two), (two, to)]
            .into_iter()
            .filter_map(|(from, to)| Window::between(&self.newer.path, from, to))
            .collect()
    }

    /// How long an item is in the tanks, one after the other: mean level over
    /// rate, by Little's law.
    #[expect(clippy::cast_precision_loss, reason = "a bound needs three digits")]
    pub(super) fn sojourn_ns(&self) -> f64 {
        self.newer
            .tanks
            .iter()
            .filter_map(|tank| {
                let rate = tank.read.weight as f64 / self.newer.elapsed.as_nanos().max(1) as f64;
                tank.mean_level.filter(|_| rate > 0.0).map(|level| level / rate)
            })
            .sum()
    }
}
