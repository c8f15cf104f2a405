//! Who descends from a command, and how is all of it told to end?
//!
//! A command may be a shell that waits for what does the work, and a signal to it alone leaves that behind. It cannot
//! have a process group of its own: only the terminal's group may ask for a password. So its descendants are looked
//! up in `/proc`, parents before children, and held by descriptors, which cannot come to name a stranger. What lost
//! its parent is adopted by us and found as our own child.
//!
//! A process that has left the group (`setsid`: an agent, a connection that others share) wants to be on its own, and
//! is left alone.
//!
//! # Knows / never knows
//! Knows processes and who made them. Never knows stages: `exec/line` does.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::process::{
    PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpgrp, getpid, pidfd_open,
    pidfd_send_signal, set_child_subreaper, waitid, waitpid,
};

use crate::exec::stop::ready;
use crate::watch::{Pid, Stat, Table};

/// A process that we did not start ourselves.
#[derive(Debug)]
pub(crate) struct Member {
    pid: i32,
    pidfd: OwnedFd,
}

impl Member {
    /// Sends a signal, if it still lives.
    pub(crate) fn signal(&self, signal: Signal) {
        // A process that ended meanwhile is what was wanted.
        pidfd_send_signal(&self.pidfd, signal).ok();
    }

    /// Says whether it still lives.
    pub(crate) fn lives(&self) -> bool {
        !ready(self.pidfd.as_fd(), PollFlags::IN)
    }

    /// Its number.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }
}

/// Makes us the parent of descendants whose own parent ends.
pub(crate) fn adopt() {
    // Failing costs the orphans of an aborted stage, nothing else.
    set_child_subreaper(Some(getpid())).ok();
}

/// Who has made whom, as it was at one moment: looking that up is dear, and is done once for hundreds of commands.
#[derive(Debug)]
pub(crate) struct Kin(Table);

impl Kin {
    /// Looks it up.
    pub(crate) fn look() -> Self {
        Self(Table::read())
    }

    /// What descends from a process and has stayed in our group, or in its.
    pub(crate) fn below(&self, root: i32) -> Vec<Member> {
        let Ok(root) = u32::try_from(root) else { return Vec::new() };
        let groups = [own_group(), self.0.get(root).map_or(0, |stat| stat.group)];
        hold(&within(self.0.below(&[root]), &groups))
    }
}

/// Our own children other than `known`, and what descends from them: those we adopted.
pub(crate) fn adopted(known: &[i32]) -> Vec<Member> {
    let table = Table::read();
    let orphans = orphans(&table, known);
    let pids: Vec<Pid> = orphans.iter().map(|(pid, _)| *pid).collect();
    let mut found = within(orphans, &[own_group()]);
    found.extend(within(table.below(&pids), &[own_group()]));
    hold(&found)
}

/// Takes leave of adopted processes that have ended.
pub(crate) fn bury(known: &[i32]) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // As good as never somebody is there, and that is a single call.
    if !matches!(waitid(WaitId::All, options), Ok(Some(_))) {
        return;
    }
    for (pid, _) in orphans(&Table::read(), known) {
        // One that lives on is not waited for.
        waitpid(raw(pid), WaitOptions::NOHANG).ok();
    }
}

/// The kernel's number for calls that take one.
fn raw(pid: Pid) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)
}

fn own_group() -> Pid {
    getpgrp().as_raw_nonzero().get().unsigned_abs()
}

/// Our children but those we started.
fn orphans(table: &Table, known: &[i32]) -> Vec<(Pid, Stat)> {
    let known: BTreeSet<Pid> = known.iter().filter_map(|pid| u32::try_from(*pid).ok()).collect();
    table.children(std::process::id()).filter(|(pid, _)| !known.contains(pid)).collect()
}

/// Leaves out who has left the group.
fn within(mut found: Vec<(Pid, Stat)>, groups: &[Pid]) -> Vec<(Pid, Stat)> {
    found.retain(|(_, stat)| groups.contains(&stat.group));
    found
}

/// Holds on to processes, unless a number has come to name another one meanwhile.
fn hold(found: &[(Pid, Stat)]) -> Vec<Member> {
    let member = |(pid, then): &(Pid, Stat)| {
        let pidfd = pidfd_open(raw(*pid)?, PidfdFlags::empty()).ok()?;
        let now = Stat::of(*pid)?;
        (now.begun_ticks == then.begun_ticks)
            .then(|| Some(Member { pid: i32::try_from(*pid).ok()?, pidfd }))?
    };
    found.iter().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_the_group_is_left_out_and_what_it_started_in_it_is_not() {
        let table = Table::of(&[
            (1, 0, 1),
            (10, 1, 5),
            (11, 10, 5),
            (12, 11, 5),
            (13, 10, 13),
            (14, 13, 5),
            (15, 1, 5),
        ]);
        let found: Vec<Pid> =
            within(table.below(&[10]), &[5]).into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(found[0], 11);
        assert!(found[1..] == [12, 14] || found[1..] == [14, 12], "{found:?}");
    }

    #[test]
    fn children_that_we_started_are_no_orphans() {
        let us = std::process::id();
        let table = Table::of(&[(1, 0, 1), (10, us, 5), (11, us, 5), (12, 11, 5)]);
        let orphans = orphans(&table, &[10]);
        assert_eq!(orphans.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [11]);
    }
}
