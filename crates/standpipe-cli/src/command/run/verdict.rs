//! Who was the slowest in a run that is over, what could be gained, and if a peer was slow, what does the connection
//! tell of it?

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::Run;
use crate::command::ceiling::{Ceiling, Spell};
use crate::command::figures::{self, LEAST, Past, Ruling};
use crate::command::peer::held_up;
use crate::command::report;
use crate::command::screen::Remark;
use crate::exec::nanos;
use crate::exec::port::{Kind, inode};
use crate::view;
use crate::view::event::{self, thousandths};
use crate::watch::{self, Spent};

impl Run<'_> {
    /// Names it. To be asked before the sink is finished: then the connection is gone.
    pub(super) fn verdict(&self, at: Instant, ran: Duration) -> Option<Ruling> {
        let mut ruling = Past::verdict(self.plan, &self.line, at)?;
        let Some(stage) = ruling.stage else { return Some(ruling) };
        let sink = self.line.sink(stage).filter(|port| port.kind() == Kind::Socket);
        let Some(port) = sink else { return Some(ruling) };
        let inode = inode(port.as_fd());
        let wire = watch::wires(&[inode]).remove(&inode);
        let who = report::label(self.plan, stage);
        if let Some(held) = wire.and_then(|wire| held_up(&who, &wire, ran)) {
            let remark = Remark::stage(held.name, &self.plan.stages[stage].id);
            self.screen.record_remark(remark, &report::note(held.says.clone()));
            let why = ruling.slowest.why.take().into_iter().chain([held.says]);
            ruling.slowest.why = Some(why.collect::<Vec<String>>().join("; "));
            ruling.slowest.advice = Some(held.advice.to_owned());
        }
        Some(ruling)
    }

    /// What can be gained at most. To be asked of a run that went well: of another one nothing follows.
    pub(super) fn ceiling(&self, at: Instant, ran: Duration) -> Option<Ceiling> {
        let drops = self.line.readings().iter().any(|tank| tank.dropped > 0);
        if drops || ran < LEAST || !self.suspended.is_zero() {
            return None;
        }
        let ours = Spent::of(std::process::id())?.cpu_ns;
        let busy: Vec<u64> = self.line.times(at).iter().map(|times| times.busy_ns).collect();
        Ceiling::of(&Spell {
            ran_ns: nanos(ran),
            work_ns: &self.line.work(at),
            busy_ns: &busy,
            cpu_ns: self.line.cpu_ns().saturating_add(ours),
        })
    }

    /// The same as it is shown.
    pub(super) fn shown(&self, found: &Ceiling) -> view::Ceiling {
        let label = |stage| figures::brief(self.plan, stage);
        let twice = found.twice[found.stage];
        view::Ceiling {
            gain: found.gain,
            twice: view::Twice {
                who: label(found.stage),
                gain: twice.gain,
                next: twice.next.map(label),
            },
        }
    }

    /// The same as it is told.
    pub(super) fn told(&self, found: &Ceiling) -> event::Ceiling {
        let id = |stage: usize| self.plan.stages[stage].id.clone();
        let twice = found.twice.iter().enumerate().map(|(stage, twice)| event::Twice {
            stage: id(stage),
            gain: thousandths(twice.gain),
            next: twice.next.map(id),
        });
        event::Ceiling {
            stage: id(found.stage),
            gain: thousandths(found.gain),
            twice: twice.collect(),
        }
    }
}
