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

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpgrp, getpid, pidfd_open,
    pidfd_send_signal, set_child_subreaper, waitid, waitpid,
};

use crate::exec::stop::ready;

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

/// What descends from a process and has stayed in our group, or in its.
pub(crate) fn below(root: i32) -> Vec<Member> {
    let all = processes();
    let groups = [own_group(), all.get(&root).map_or(0, |process| process.group)];
    hold(&descendants(&all, &[root], &groups))
}

/// Our own children other than `known`, and what descends from them: those we adopted.
pub(crate) fn adopted(known: &[i32]) -> Vec<Member> {
    let all = processes();
    let roots = orphans(&all, known);
    let mut found: Vec<(i32, i32)> = roots
        .iter()
        .filter(|pid| all[*pid].group == own_group())
        .map(|pid| (*pid, own_pid()))
        .collect();
    found.extend(descendants(&all, &roots, &[own_group()]));
    hold(&found)
}

/// Takes leave of adopted processes that have ended.
pub(crate) fn bury(known: &[i32]) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // As good as never somebody is there, and that is a single call.
    if !matches!(waitid(WaitId::All, options), Ok(Some(_))) {
        return;
    }
    for pid in orphans(&processes(), known) {
        // One that lives on is not waited for.
        waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).ok();
    }
}

#[derive(Clone, Copy, Debug)]
struct Process {
    parent: i32,
    group: i32,
}

fn own_pid() -> i32 {
    getpid().as_raw_nonzero().get()
}

fn own_group() -> i32 {
    getpgrp().as_raw_nonzero().get()
}

fn processes() -> HashMap<i32, Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, process(pid)?))).collect()
}

fn process(pid: i32) -> Option<Process> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `PID (NAME) STATE PARENT GROUP ...`; a name may contain anything, a bracket too.
fn parse(stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some(Process { parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

fn orphans(all: &HashMap<i32, Process>, known: &[i32]) -> Vec<i32> {
    let ours = all.iter().filter(|(_, process)| process.parent == own_pid());
    ours.map(|(pid, _)| *pid).filter(|pid| !known.contains(pid)).collect()
}

/// Descendants with their parents, nearest first: a parent that is told first makes no more children.
fn descendants(all: &HashMap<i32, Process>, roots: &[i32], groups: &[i32]) -> Vec<(i32, i32)> {
    let mut found: Vec<(i32, i32)> = Vec::new();
    let mut parents = roots.to_vec();
    while !parents.is_empty() {
        let children: Vec<(i32, i32)> = all
            .iter()
            .filter(|(_, process)| parents.contains(&process.parent))
            .map(|(pid, process)| (*pid, process.parent))
            .collect();
        parents = children.iter().map(|(pid, _)| *pid).collect();
        found.extend(children.into_iter().filter(|(pid, _)| groups.contains(&all[pid].group)));
    }
    found
}

/// Holds on to processes, unless a number has come to name another one meanwhile.
fn hold(found: &[(i32, i32)]) -> Vec<Member> {
    let member = |(pid, parent): &(i32, i32)| {
        let pidfd = pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?;
        let now = process(*pid)?.parent;
        (now == *parent || now == own_pid()).then_some(Member { pid: *pid, pidfd })
    };
    found.iter().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_contain_anything() {
        let process = parse("12 (a) S (1 2) 3 4) R 7 8 8 0 -1").expect("it is well formed");
        assert_eq!((process.parent, process.group), (7, 8));
        assert!(parse("12 (a").is_none() && parse("12 (a) R x").is_none());
    }

    #[test]
    fn parents_come_before_children_and_who_left_the_group_is_left_out() {
        let process = |parent, group| Process { parent, group };
        let all = HashMap::from([
            (1, process(0, 1)),
            (10, process(1, 5)),
            (11, process(10, 5)),
            (12, process(11, 5)),
            (13, process(10, 13)),
            (14, process(13, 5)),
            (15, process(1, 5)),
        ]);
        let mut found = descendants(&all, &[10], &[5]);
        found[1..].sort_unstable();
        assert_eq!(found, [(11, 10), (12, 11), (14, 13)]);
        assert!(descendants(&all, &[15], &[5]).is_empty());
    }
}
