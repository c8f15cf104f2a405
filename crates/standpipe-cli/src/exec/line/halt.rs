//! How is a line ended that does not end by itself?
//!
//! Three ways lead here: a failure, which leaves what is above it without purpose; a drain, which ends the source alone;
//! and an abort, after which nothing of ours is to go on. Whoever is told to end and does not is killed later.
//!
//! # Knows / never knows
//! Knows whom to tell, and what descends from them. Never knows why: `command` decides, or the end of a stage did.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Line, Stage};
use crate::exec::child::Child;
use crate::exec::kin::{self, Kin, Member};
use crate::exec::stop::Order;
use crate::exec::{nanos, now};

/// A stage above a failure that does not write, and so does not notice, is told after this long.
const NOTICE: Duration = Duration::from_millis(500);
/// A stage that was told to end and did not is killed after this long.
pub(super) const MERCY: Duration = Duration::from_secs(2);

impl Line {
    /// A failure leaves all above it without purpose.
    pub(super) fn stop_above(&mut self, stage: usize, at: Instant) {
        let since = nanos(at.saturating_duration_since(self.start));
        let mut below = stage;
        while let Some(tank) = below.checked_sub(1).and_then(|tank| self.tanks.get(tank)) {
            tank.gauge.set_reader_gone(since);
            tank.stop.raise(Order::Abort);
            below = tank.from;
            let stage = &mut self.stages[below];
            if stage.ended.is_none() {
                stage.term_at.get_or_insert(at + NOTICE);
            }
        }
    }

    /// Stops the source and lets the rest run dry.
    pub(crate) fn drain(&mut self) {
        match &self.stages[0].child {
            Some(_) => self.tell(&[0], Signal::TERM),
            // Several behind it have one stop.
            None => self.tanks[0].stop.raise(Order::Drain),
        }
    }

    /// Tells all to end now; what does not is killed two seconds later.
    pub(crate) fn abort(&mut self) {
        let at = now();
        for tank in &self.tanks {
            tank.stop.raise(Order::Abort);
        }
        for stage in &mut self.stages {
            stage.term_at = Some(at);
            if let Some(worker) = &stage.worker {
                worker.abort();
            }
        }
        self.strays_kill_at.get_or_insert(at + MERCY);
        self.look();
    }

    /// Sends a signal to these stages and to all that descends from them; a built-in takes any as the order to end.
    pub(super) fn tell(&mut self, stages: &[usize], signal: Signal) {
        for stage in stages {
            if let Some(worker) = &self.stages[*stage].worker {
                worker.abort();
            }
        }
        // All are looked up before the first is told: who ends is nobody's parent any more.
        let is_any = stages.iter().any(|stage| self.stages[*stage].living().is_some());
        let kin = is_any.then(Kin::look);
        let below = |stage: &usize| {
            let pid =
                self.stages[*stage].living().and_then(|child| i32::try_from(child.pid()).ok());
            kin.as_ref().zip(pid).map_or_else(Vec::new, |(kin, pid)| kin.below(pid))
        };
        let found: Vec<Vec<Member>> = stages.iter().map(below).collect();
        for (stage, found) in stages.iter().zip(found) {
            self.stages[*stage].signal(found, signal);
        }
    }

    /// Kills all commands at once, and what they made.
    pub(crate) fn kill(&mut self) {
        let all: Vec<usize> = (0..self.stages.len()).collect();
        self.tell(&all, Signal::KILL);
        if self.strays_kill_at.is_some() {
            self.strays_kill_at = Some(now());
        }
    }

    /// After an abort nothing of ours is to go on, not even what has lost its parent: says whether something does.
    pub(super) fn look_after_strays(&mut self, known: &[i32], at: Instant) -> bool {
        let Some(kill_at) = self.strays_kill_at else { return false };
        let told: Vec<i32> = self.strays.iter().map(Member::pid).collect();
        let family = self.stages.iter().flat_map(|stage| &stage.family);
        let told: Vec<i32> = told.into_iter().chain(family.map(Member::pid)).collect();
        for stray in kin::adopted(known) {
            if !told.contains(&stray.pid()) {
                stray.signal(Signal::TERM);
                self.strays.push(stray);
            }
        }
        self.strays.retain(Member::lives);
        if kill_at <= at {
            for stray in self.strays.drain(..) {
                stray.signal(Signal::KILL);
            }
        }
        !self.strays.is_empty()
    }
}

impl Stage {
    /// The command, if it is one that has not ended.
    fn living(&self) -> Option<&Child> {
        self.child.as_ref().filter(|child| child.status().is_none())
    }

    /// Sends a signal to the command and to all that descends from it, of which some were found just now.
    fn signal(&mut self, found: Vec<Member>, signal: Signal) {
        let Some(child) = &self.child else { return };
        let known = |one: &Member| self.family.iter().any(|known| known.pid() == one.pid());
        let found: Vec<Member> = found.into_iter().filter(|one| !known(one)).collect();
        self.family.extend(found);
        child.signal(signal);
        self.family.retain(Member::lives);
        for member in &self.family {
            member.signal(signal);
        }
        if signal == Signal::KILL {
            self.family.clear();
        }
    }

    /// Something that descends from it was told to end, has not, and will be killed.
    pub(super) fn leaves_family(&self) -> bool {
        self.kill_at.is_some() && self.family.iter().any(Member::lives)
    }
}

/// Nothing that was started outlives its line. One that is over has nobody left to kill.
impl Drop for Line {
    fn drop(&mut self) {
        self.kill();
    }
}
