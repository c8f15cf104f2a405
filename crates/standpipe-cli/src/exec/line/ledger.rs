//! What does a line say of how its stages spent their time?
//!
//! In two ways. One is right on average, and names who is slow. The other never says that a stage worked longer than it
//! did: on that a ceiling can rest.
//!
//! # Knows / never knows
//! Knows gauges and what the stages have spent. Never knows what follows from it: `command` does.

use std::time::Instant;

use standpipe::diagnose::Times;

use super::{Line, Stage};
use crate::exec::nanos;
use crate::exec::tally::Tally;
use crate::exec::times::{between, least_work};
use crate::watch::Spent;

impl Line {
    /// Where each stage's time went until `at`.
    pub(crate) fn times(&self, at: Instant) -> Vec<Times> {
        let readings = self.readings_at(at);
        let times = |(index, stage): (usize, &Stage)| {
            let until = stage.ended.unwrap_or(at);
            let before = index.checked_sub(1).and_then(|tank| readings.get(tank));
            let ran_ns = nanos(until.saturating_duration_since(self.start));
            between(ran_ns, before, self.behind(index).map(|tank| &readings[tank]))
        };
        let mut all: Vec<Times> = self.stages.iter().enumerate().map(times).collect();
        for (stage, side) in &self.sides {
            let times = &mut all[*stage];
            let waited_ns = side.waited_ns().min(times.busy_ns);
            times.busy_ns -= waited_ns;
            if side.is_input() {
                times.starved_ns += waited_ns;
            } else {
                times.paused_ns += waited_ns;
            }
        }
        all
    }

    /// The least that each stage worked until `at`; `None` where that cannot be known.
    pub(crate) fn work(&self, at: Instant) -> Vec<Option<u64>> {
        let readings = self.readings_at(at);
        // Late to see an end, we would take the time until then for work.
        let late_ns = Spent::of_thread(None).map_or(0, |ours| ours.delayed_ns);
        let held = readings.iter().any(|tank| tank.held_ns > 0);
        let work = |(index, stage): (usize, &Stage)| {
            let until = stage.ended.unwrap_or(at);
            let begun = stage.tally.as_ref().map_or(self.start, Tally::begun);
            let ran_ns = nanos(until.saturating_duration_since(begun));
            let before = index.checked_sub(1).and_then(|tank| readings.get(tank));
            let mut beside = self.behind(index).map(|tank| &readings[tank]).chain(before);
            // While a pump could not go on, nor could who waits for it.
            let pumps_ns =
                beside.try_fold(0, |sum, tank| (tank.pump_ns > 0).then_some(sum + tank.pump_ns))?;
            let aside_ns = if let (Some(child), Some(tally)) = (&stage.child, &stage.tally) {
                tally.aside_ns(child.spent(), until)?
            } else if let Some(worker) = &stage.worker {
                let spent = worker.spent()?;
                spent.system_ns.saturating_add(spent.delayed_ns)
            } else {
                0 // an end has no thread but its pumps
            };
            let after = self.behind(index).map(|tank| &readings[tank]);
            let aside_ns = aside_ns.saturating_add(pumps_ns).saturating_add(late_ns);
            Some(least_work(ran_ns, before, after, aside_ns)).filter(|_| !held)
        };
        self.stages.iter().enumerate().map(work).collect()
    }

    /// Looks what the commands have spent that live, as far as it is time to.
    pub(super) fn look_at_tallies(&mut self, at: Instant) {
        for index in 0..self.stages.len() {
            let before = index.checked_sub(1).and_then(|tank| self.tanks.get(tank));
            let taken = before.map_or(0, |tank| tank.gauge.moved());
            let given = self.behind(index).map(|tank| self.tanks[tank].gauge.taken());
            let passed = given.fold(taken, u64::wrapping_add);
            let stage = &mut self.stages[index];
            let living = stage.tally.as_mut().filter(|_| stage.ended.is_none());
            if let Some(tally) = living.filter(|tally| tally.is_due(passed, at)) {
                tally.look(passed, at);
            }
        }
    }

    /// CPU that the commands have used.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let spent = |stage: &Stage| {
            let (child, tally) = (stage.child.as_ref()?, stage.tally.as_ref()?);
            Some(tally.cpu_ns(child.spent()))
        };
        self.stages.iter().filter_map(spent).fold(0, u64::saturating_add)
    }
}
