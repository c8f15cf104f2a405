//! What do the processes below one process do, as they come and go?
//!
//! A shell may run one pipeline after another, or a loop of them. Who is there is asked ten times a second, and each
//! time anybody has ended; what each process waits for at every look. The time since the last look goes to the state
//! that is found.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use standpipe::diagnose::Times;

use super::process::{self, Doing, Level, Pid, Stat, Way};
use super::stages::Stages;
use super::table::Table;

/// Processes that came are noticed this often.
const CENSUS: Duration = Duration::from_millis(100);

/// What is seen of the processes below one.
#[derive(Debug)]
pub(crate) struct Family {
    root: Pid,
    stages: Stages,
    processes: Vec<Process>,
    census: Option<Instant>,
    last: Option<Instant>,
}

/// A process that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    /// When it was started, in ticks: a later process with this number has another.
    pub(super) started: u64,
    /// Who waits for it. The kernel adds what it has moved to what that one has.
    pub(super) parent: Pid,
    /// The pipe on its stdin and on its stdout.
    pub(super) pipes: [Option<u64>; 2],
    pub(super) label: String,
    /// Bytes read and written, pipes or not.
    pub(super) moved: [u64; 2],
}

/// A stage, as far as it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The words it was started with.
    pub(crate) label: String,
    /// How it spent its time.
    pub(crate) times: Times,
    /// About how many bytes it has read, from wherever.
    pub(crate) read_bytes: u64,
    /// About how many bytes it has written, to wherever.
    pub(crate) written_bytes: u64,
}

impl Family {
    /// Begins to watch what runs below a process.
    pub(crate) fn new(root: Pid) -> Self {
        Self { root, stages: Stages::default(), processes: Vec::new(), census: None, last: None }
    }

    /// Looks once. What cannot be read has just ended, and is no error.
    pub(crate) fn look(&mut self, at: Instant) {
        let moved = self.processes.iter().map(|process| process::moved_bytes(process.pid));
        let moved: Vec<Option<(u64, u64)>> = moved.collect();
        let due = self.census.is_none_or(|last| at.saturating_duration_since(last) >= CENSUS);
        if due || moved.contains(&None) {
            self.census = Some(at);
            self.processes = below(self.root);
            self.stages.note(self.root, &self.processes);
        } else {
            for (process, moved) in self.processes.iter().zip(moved.into_iter().flatten()) {
                self.stages.moved(process, moved.into());
            }
        }
        let passed = self.last.map_or(Duration::ZERO, |last| at.saturating_duration_since(last));
        let passed_ns = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        self.last = Some(at);
        let mut doings: HashMap<usize, Vec<Doing>> = HashMap::new();
        for process in &self.processes {
            if let Some(stage) = self.stages.of(process.pid) {
                doings.entry(stage).or_default().push(process::doing(process.pid));
            }
        }
        for (stage, doings) in doings {
            let doing = process::first(doings).unwrap_or(Doing::Gone);
            let doing = if doing == Doing::Waits { self.guess(stage) } else { doing };
            self.stages.add(stage, doing, passed_ns);
        }
    }

    /// The stages, upstream first.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.stages.in_order().into_iter().map(|stage| self.stages.seen(stage)).collect()
    }

    /// Lists the processes that are there at this moment, parents first.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        below(self.root).into_iter().map(|process| process.pid).collect()
    }

    /// What a stage does that does not say.
    fn guess(&self, stage: usize) -> Doing {
        let order = self.stages.in_order();
        let Some(at) = order.iter().position(|other| *other == stage) else { return Doing::Waits };
        let before = (at > 0).then(|| self.level_before(stage)).flatten();
        let after = order.get(at + 1).and_then(|next| self.level_before(*next));
        process::by_levels(before, after)
    }

    /// Reads the level of the pipe a stage reads from.
    fn level_before(&self, stage: usize) -> Option<Level> {
        let inode = self.stages.input(stage)?;
        self.stages.members(stage).find_map(|pid| process::level(pid, 0, inode).ok())
    }
}

/// Finds a process and all that runs below it, parents first.
fn below(root: Pid) -> Vec<Process> {
    let table = Table::read();
    let all = table.get(root).map(|stat| (root, stat)).into_iter().chain(table.below(&[root]));
    all.filter_map(|(pid, stat)| find(pid, stat)).collect()
}

fn find(pid: Pid, stat: Stat) -> Option<Process> {
    let open = process::pipes(pid).unwrap_or_default();
    let pipe = |fd: i32, wanted: Way| {
        open.get(&fd).filter(|(_, way)| *way == wanted).map(|(inode, _)| *inode)
    };
    Some(Process {
        pid,
        started: stat.begun_ticks,
        parent: stat.parent,
        pipes: [pipe(0, Way::Reads), pipe(1, Way::Writes)],
        label: process::label(pid),
        moved: process::moved_bytes(pid)?.into(),
    })
}

#[cfg(test)]
mod tests;
