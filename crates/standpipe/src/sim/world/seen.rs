//! What is seen of a simulated pipeline: ordinary snapshots.

use std::sync::Arc;
use std::time::Duration;

use super::Trial;
use crate::critical::Doing;
use crate::error::StageId;
use crate::snapshot::{CriticalPath, Join, Report, StageSnapshot};

impl Trial {
    /// The numbers of this moment, open waits included.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report {
            elapsed: Duration::from_nanos(self.now_ns),
            stages: (0..self.crews.len()).filter_map(|stage| self.stage_seen(stage)).collect(),
            tanks: self
                .stores
                .iter()
                .map(|store| {
                    let name = |stage: usize| {
                        self.crews.get(stage).map_or("", |crew| crew.plan.name.as_str())
                    };
                    let name = format!("{}→{}", name(store.joint.from), name(store.joint.to));
                    store.snapshot(name, self.now_ns)
                })
                .collect(),
            slowest: None,
            joins: self
                .stores
                .iter()
                .map(|store| Join { from: store.joint.from, to: store.joint.to })
                .collect(),
            own_tanks: Vec::new(),
            cores: self.task.is_some().then_some(1),
            shares_threads: self.task.is_some(),
            path: self.path_seen(),
        };
        report.slowest = report.verdict().slowest;
        report
    }

    /// Virtual time since the start.
    #[must_use]
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// How long items stayed in a tank on average, from write to the return of
    /// their weight, in ns.
    #[must_use]
    pub fn mean_sojourn_ns(&self, tank: usize) -> Option<f64> {
        let store = self.stores.get(tank).filter(|store| store.meter.read.items > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a mean needs three digits")]
        let mean = store.sojourn_ns as f64 / store.meter.read.items as f64;
        Some(mean)
    }

    /// The stage that failed.
    #[must_use]
    pub const fn failed(&self) -> Option<usize> {
        self.failed
    }

    /// A stage as one row; of several workers the mean.
    fn stage_seen(&self, stage: usize) -> Option<StageSnapshot> {
        let name: Arc<str> = self.crews.get(stage)?.plan.name.as_str().into();
        let id = StageId::new(stage, name.clone());
        let mut rows = self
            .hands
            .iter()
            .filter(|hand| hand.stage == stage)
            .map(|hand| hand.meter.snapshot(id.clone(), name.clone(), self.now_ns));
        let mut sum = rows.next()?;
        let mut count: u64 = 1;
        for row in rows {
            count = count.saturating_add(1);
            sum.busy_ns = sum.busy_ns.saturating_add(row.busy_ns);
            sum.paused_ns = sum.paused_ns.saturating_add(row.paused_ns);
            sum.starved_ns = sum.starved_ns.saturating_add(row.starved_ns);
            sum.own_wait_ns = sum.own_wait_ns.saturating_add(row.own_wait_ns);
            sum.not_running_ns = sum.not_running_ns.saturating_add(row.not_running_ns);
            sum.paused_longest_ns = sum.paused_longest_ns.max(row.paused_longest_ns);
            sum.starved_longest_ns = sum.starved_longest_ns.max(row.starved_longest_ns);
            sum.polls = sum.polls.saturating_add(row.polls);
            sum.poll_longest_ns = sum.poll_longest_ns.max(row.poll_longest_ns);
            sum.kept_items = sum.kept_items.saturating_add(row.kept_items);
            sum.costs = sum.costs.plus(row.costs);
            sum.taken = sum.taken.plus(row.taken);
            sum.given = sum.given.plus(row.given);
        }
        let each = |ns: u64| ns.checked_div(count).unwrap_or(ns);
        sum.busy_ns = each(sum.busy_ns);
        sum.paused_ns = each(sum.paused_ns);
        sum.starved_ns = each(sum.starved_ns);
        sum.own_wait_ns = each(sum.own_wait_ns);
        sum.not_running_ns = each(sum.not_running_ns);
        Some(sum)
    }

    /// Waypoints, the last one that of the sink that settled last.
    fn path_seen(&self) -> CriticalPath {
        let sink = self.last_sink.and_then(|sink| self.hands.get(sink));
        let Some(sink) = sink.or_else(|| self.hands.last()) else { return self.log.points() };
        let waits = sink.meter.is_waiting() || self.task.is_some();
        let doing = if waits { Doing::Waits } else { Doing::Works };
        self.log.with(sink.trail.clone().look(self.now_ns, doing))
    }
}
