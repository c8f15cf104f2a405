//! Which processes are a stage, and in which order do the stages stand?
//!
//! Processes that write to one pipe, or read from one, are one stage: a subshell and what it runs. A pipe that was
//! there before the pipeline joins nobody.

use std::collections::{HashMap, HashSet};

use standpipe::diagnose::Times;

use super::family::{Member, Process};
use super::process::{Doing, Pid};

/// Longer lines than this are no lines: somebody joined pipes in a circle.
const MOST_HOPS: usize = 256;

/// So many stages are remembered after they have ended.
const MOST_STAGES: usize = 64;

/// The stages that have been seen, in the order in which they came up.
#[derive(Debug, Default)]
pub(super) struct Stages {
    stages: Vec<Stage>,
    /// The stage of each process.
    homes: HashMap<Pid, usize>,
    /// The pipes of the process that all others run below.
    outer: [Option<u64>; 2],
}

#[derive(Debug, Default)]
struct Stage {
    /// The pipe it reads from and the one it writes to.
    pipes: [Option<u64>; 2],
    /// Who gives it its name: a process and when that was started.
    named: (Pid, u64),
    label: String,
    times: Times,
    /// The parent of each of its processes and what it has moved; then what those moved that have ended.
    moved: HashMap<(Pid, u64), (Pid, [u64; 2])>,
    ended: [u64; 2],
}

impl Stages {
    /// Takes note of who is there now.
    pub(super) fn note(&mut self, root: Pid, processes: &[Process]) {
        if let Some(root) = processes.iter().find(|process| process.pid == root) {
            self.outer = root.pipes;
        }
        self.forget();
        for process in processes {
            let inner =
                |side: usize| process.pipes[side].filter(|pipe| !self.outer.contains(&Some(*pipe)));
            let pipes = [inner(0), inner(1)];
            let home = self.home(pipes);
            self.homes.insert(process.pid, home);
            let stage = &mut self.stages[home];
            for (side, pipe) in pipes.into_iter().enumerate() {
                stage.pipes[side] = stage.pipes[side].or(pipe);
            }
            let name = (process.pid, process.started);
            stage.moved.insert(name, (process.parent, process.moved));
            // the latest to be started does the work of those that wait for it
            if name.1 >= stage.named.1 {
                stage.named = name;
                stage.label.clone_from(&process.label);
            }
        }
        self.bury(processes);
    }

    /// Counts those that have ended. What they moved their parents have, too, once they have waited for them; so it
    /// is added only if there is no parent in the stage any more.
    fn bury(&mut self, living: &[Process]) {
        let names: HashSet<(Pid, u64)> =
            living.iter().map(|process| (process.pid, process.started)).collect();
        for (at, stage) in self.stages.iter_mut().enumerate() {
            let homes = &self.homes;
            stage.moved.retain(|name, (parent, moved)| {
                let lives = names.contains(name);
                if !lives && homes.get(parent) != Some(&at) {
                    stage.ended = [0, 1].map(|side| stage.ended[side].saturating_add(moved[side]));
                }
                lives && homes.get(&name.0) == Some(&at)
            });
        }
    }

    /// Makes room: a loop of pipelines brings up new stages for ever, and those that ended first are of least
    /// interest.
    fn forget(&mut self) {
        if self.stages.len() > MOST_STAGES {
            self.stages.retain(|stage| !stage.moved.is_empty());
        }
        self.homes.clear();
    }

    /// Finds the stage with such pipes, or begins one.
    fn home(&mut self, pipes: [Option<u64>; 2]) -> usize {
        let same =
            |side: usize, stage: &Stage| pipes[side].is_some() && stage.pipes[side] == pipes[side];
        let alone = |stage: &Stage| pipes == [None; 2] && stage.pipes == [None; 2];
        let found =
            self.stages.iter().position(|stage| same(0, stage) || same(1, stage) || alone(stage));
        found.unwrap_or_else(|| {
            self.stages.push(Stage { pipes, ..Stage::default() });
            self.stages.len() - 1
        })
    }

    pub(super) fn of(&self, pid: Pid) -> Option<usize> {
        self.homes.get(&pid).copied()
    }

    /// Takes note of what a process has moved by now. What it moves between this and its end is lost, so this is
    /// asked often.
    pub(super) fn moved(&mut self, process: &Process, moved: [u64; 2]) {
        let Some(stage) = self.of(process.pid).and_then(|home| self.stages.get_mut(home)) else {
            return;
        };
        if let Some(known) = stage.moved.get_mut(&(process.pid, process.started)) {
            known.1 = [0, 1].map(|side| known.1[side].max(moved[side]));
        }
    }

    /// The pipe a stage reads.
    pub(super) fn input(&self, stage: usize) -> Option<u64> {
        self.stages.get(stage)?.pipes[0]
    }

    pub(super) fn members(&self, stage: usize) -> impl Iterator<Item = Pid> {
        self.homes.iter().filter(move |(_, home)| **home == stage).map(|(pid, _)| *pid)
    }

    /// Adds time in a state.
    pub(super) fn add(&mut self, stage: usize, doing: Doing, passed_ns: u64) {
        let times = &mut self.stages[stage].times;
        match doing {
            Doing::Starved => times.starved_ns += passed_ns,
            Doing::Paused => times.paused_ns += passed_ns,
            _ => times.busy_ns += passed_ns,
        }
    }

    /// Lists the stages, upstream first; the shell around them is none.
    pub(super) fn in_order(&self) -> Vec<usize> {
        let pipeline = (0..self.stages.len()).filter(|at| self.stages[*at].pipes != [None; 2]);
        let mut order: Vec<usize> = pipeline.collect();
        if order.is_empty() {
            order = (0..self.stages.len()).collect();
        }
        order.sort_by_key(|at| self.place(*at));
        order
    }

    /// Gives the first stage of the line a stage is in, and how far down it stands.
    fn place(&self, stage: usize) -> (usize, usize) {
        let mut at = stage;
        for hops in 0..MOST_HOPS {
            let before = self.stages[at].pipes[0];
            let above = before
                .and_then(|pipe| self.stages.iter().position(|other| other.pipes[1] == Some(pipe)));
            match above {
                Some(above) => at = above,
                None => return (at, hops),
            }
        }
        (at, MOST_HOPS)
    }

    pub(super) fn seen(&self, stage: usize) -> Member {
        let stage = &self.stages[stage];
        let sum = |side: usize| {
            stage
                .moved
                .values()
                .fold(stage.ended[side], |sum, (_, moved)| sum.saturating_add(moved[side]))
        };
        Member {
            label: stage.label.clone(),
            times: stage.times,
            read_bytes: sum(0),
            written_bytes: sum(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Pid = 1;
    /// What stands on stdin and stdout of the root.
    const OUTER: u64 = 100;

    fn process(pid: Pid, input: u64, output: u64, label: &str) -> Process {
        let pipe = |number| Some(number).filter(|number| *number > 0);
        Process {
            pid,
            started: u64::from(pid),
            parent: if pid < 10 { ROOT } else { pid / 10 },
            pipes: [pipe(input), pipe(output)],
            label: label.to_owned(),
            moved: [1, 2],
        }
    }

    #[track_caller]
    fn check(censuses: &[&[(Pid, u64, u64, &str)]], expected: &[&str]) {
        let mut stages = Stages::default();
        for census in censuses {
            let processes = census
                .iter()
                .map(|(pid, input, output, label)| process(*pid, *input, *output, label));
            stages.note(ROOT, &processes.collect::<Vec<_>>());
        }
        let labels: Vec<String> =
            stages.in_order().into_iter().map(|stage| stages.seen(stage).label).collect();
        assert_eq!(labels, expected, "{censuses:?}");
    }

    #[test]
    fn pipes_make_the_order() {
        let root = (ROOT, OUTER, OUTER, "sh");
        check(&[&[root, (4, 8, OUTER, "c"), (3, 7, 8, "b"), (2, OUTER, 7, "a")]], &["a", "b", "c"]);
        check(&[&[root, (2, 0, 7, "a"), (3, 7, 0, "b")]], &["a", "b"]);
        // a circle is odd, not endless
        check(&[&[root, (2, 7, 8, "a"), (3, 8, 7, "b")]], &["a", "b"]);
    }

    #[test]
    fn what_shares_a_pipe_is_one_stage() {
        let root = (ROOT, 0, 0, "sh");
        let wrapped = [root, (2, 0, 7, "sh"), (3, 7, 0, "b"), (4, 0, 7, "tar")];
        check(&[&wrapped], &["tar", "b"]);
        // the subshell opens a file: its child shares only the pipe on the other side
        let reads = [root, (2, OUTER, 7, "sh"), (3, 7, 0, "b"), (4, 0, 7, "cat")];
        check(&[&reads], &["cat", "b"]);
    }

    #[test]
    fn without_pipes_the_latest_command_is_the_stage() {
        let root = (ROOT, OUTER, OUTER, "sh -c 'a && b'");
        check(&[&[root]], &["sh -c 'a && b'"]);
        check(&[&[root, (2, OUTER, OUTER, "a")], &[root, (3, OUTER, OUTER, "b")]], &["b"]);
    }

    #[test]
    fn a_stage_that_has_ended_is_kept_with_what_it_moved() {
        let root = (ROOT, 0, 0, "sh");
        let (a, b) = ((2, 0, 7, "a"), (3, 7, 0, "b"));
        check(&[&[root, a, b], &[root, b]], &["a", "b"]);
        let mut stages = Stages::default();
        stages.note(ROOT, &[process(2, 0, 7, "a"), process(3, 7, 0, "b")]);
        stages.note(ROOT, &[process(3, 7, 0, "b")]);
        let seen = stages.seen(0);
        assert_eq!((seen.read_bytes, seen.written_bytes), (1, 2));
        // what a subshell has waited for is in its own numbers
        stages.note(ROOT, &[process(3, 7, 0, "sh"), process(31, 7, 0, "b")]);
        assert_eq!(stages.seen(1).read_bytes, 2);
        stages.note(ROOT, &[process(3, 7, 0, "sh")]);
        assert_eq!(stages.seen(1).read_bytes, 1);
        stages.note(ROOT, &[process(3, 7, 0, "sh"), process(32, 7, 0, "b")]);
        stages.note(ROOT, &[]);
        assert_eq!(stages.seen(1).read_bytes, 2, "nobody has waited for it that is seen");
        stages.add(0, Doing::Paused, 5);
        stages.add(0, Doing::Runs, 6);
        let expected = Times { busy_ns: 6, paused_ns: 5, starved_ns: 0 };
        assert_eq!(stages.seen(0).times, expected);
    }
}
