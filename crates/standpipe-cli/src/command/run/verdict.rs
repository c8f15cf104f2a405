//! Who was the slowest in a run that is over, and if that is a peer, what does the connection tell of it?

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::Run;
use crate::command::figures::{Past, Ruling};
use crate::command::peer::held_up;
use crate::command::report;
use crate::command::screen::Remark;
use crate::exec::port::{Kind, inode};
use crate::watch;

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
}
