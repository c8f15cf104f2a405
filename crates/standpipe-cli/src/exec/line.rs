//! How are stages joined to a line, and how does its end come about?
//!
//! A line is built from both sides of every tank: a pipe for each command that stands there, the port of an end
//! otherwise, and a pump between. Then it only has to be looked at: [`Line::look`] reaps what ended, in an order
//! that cannot blame the wrong one, and stops what a failure has left without purpose.
//!
//! ```text
//! end ==port==> pump --pipe--> command --pipe--> pump --pipe--> command --pipe--> pump ==port==> end
//!               \__ tank 1>2 __/       \________ tank 2>3 _________/      \_ tank 3>4 _/
//! ```
//!
//! # Knows / never knows
//! Knows commands, pumps, pipes. Never knows schemes, names of files, or what is printed: `command` does.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::exec::child::Child;
use crate::exec::gauge::{Gauge, Reading};
use crate::exec::kin::{self, Member};
use crate::exec::port::Port;
use crate::exec::relay::{Outcome, Pumped};
use crate::exec::rest::Rest;
use crate::exec::stop::{Bell, Stop, wait};
use crate::exec::tally::Tally;
use crate::exec::worker::Worker;
use crate::exec::{nanos, now};
use crate::exit::{StageEnd, Status};
use crate::watch::Side;

use halt::MERCY;

pub(crate) use start::{Part, Setup, StartError, Wish};

mod ledger;
mod halt;
mod start;
mod seams;

/// A pipe that ended and a process that has not: this long is waited for the process, to get their order right.
const ORDER: Duration = Duration::from_millis(50);

/// A line that runs.
#[derive(Debug)]
pub(crate) struct Line {
    stages: Vec<Stage>,
    tanks: Vec<Pump>,
    bell: Arc<Bell>,
    start: Instant,
    /// Ends of stages in the order they were seen.
    ends: Vec<StageEnd>,
    /// After an abort: processes that lost their parent, and when they are killed.
    strays: Vec<Member>,
    strays_kill_at: Option<Instant>,
    /// Commands at streams that are not ours, by their stage: the first, the last.
    sides: Vec<(usize, Side)>,
    /// Some pipe stayed smaller than planned, because the kernel or the budget said so.
    pub(crate) cramped: bool,
}

#[derive(Debug)]
struct Stage {
    /// A stage that has neither is an end.
    child: Option<Child>,
    /// What the command has spent.
    tally: Option<Tally>,
    worker: Option<Worker>,
    ended: Option<Instant>,
    /// How it ended, if it has.
    status: Option<Status>,
    /// When to say TERM, and then KILL.
    term_at: Option<Instant>,
    kill_at: Option<Instant>,
    /// What descends from it, as far as it was told to end.
    family: Vec<Member>,
}

#[derive(Debug)]
struct Pump {
    /// The stage it stands behind.
    from: usize,
    gauge: Arc<Gauge>,
    stop: Stop,
    thread: Option<JoinHandle<Pumped>>,
    /// The thread's result.
    done: Option<Pumped>,
    /// Inode of the pipe that is read, by which a process that still holds it is found.
    inode: u64,
}

impl Line {
    /// The tanks behind a stage. All are in the order of the stages they stand behind, and each look asks for those of
    /// every stage.
    fn behind(&self, stage: usize) -> impl Iterator<Item = usize> {
        let first = self.tanks.partition_point(|tank| tank.from < stage);
        let of_stage = self.tanks[first..].iter().take_while(move |tank| tank.from == stage);
        of_stage.enumerate().map(move |(at, _)| first + at)
    }

    /// Waits until something may have ended, the bell rings, or the time is up.
    ///
    /// # Errors
    /// Those of `poll`.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let mut on = vec![PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN)];
        on.extend(self.living().map(|(_, child)| pidfd(child)));
        wait(&mut on, Some(timeout)).map(|_| ())
    }

    /// The commands that are not reaped, and their stages.
    fn living(&self) -> impl Iterator<Item = (usize, &Child)> {
        let children = self.stages.iter().enumerate();
        let children = children.filter_map(|(at, stage)| Some((at, stage.child.as_ref()?)));
        children.filter(|(_, child)| child.status().is_none())
    }

    /// The stages that may have ended, of hundreds of commands in one call.
    fn ending(&self) -> Vec<usize> {
        let (stages, mut on): (Vec<usize>, Vec<PollFd<'_>>) =
            self.living().map(|(stage, child)| (stage, pidfd(child))).unzip();
        // If nothing can be asked together, each is asked by itself.
        let asked = wait(&mut on, Some(Duration::ZERO)).is_ok();
        let polled = stages.into_iter().zip(&on);
        let ended = polled.filter(|(_, pidfd)| !asked || !pidfd.revents().is_empty());
        let workers = self.stages.iter().enumerate();
        let workers = workers.filter(|(_, stage)| stage.worker.is_some()).map(|(stage, _)| stage);
        let mut ending: Vec<usize> = ended.map(|(stage, _)| stage).chain(workers).collect();
        ending.sort_unstable();
        ending
    }

    /// Looks what has ended and does what follows from it: true if the line is over.
    pub(crate) fn look(&mut self) -> bool {
        self.bell.hush();
        for stage in self.ending() {
            self.reap(stage);
        }
        for tank in 0..self.tanks.len() {
            self.collect(tank);
        }
        self.look_for_rests();
        let at = now();
        for (stage, side) in &mut self.sides {
            if self.stages[*stage].ended.is_none() {
                side.look(at);
            }
        }
        self.look_at_tallies(at);
        let (mut to_end, mut to_die) = (Vec::new(), Vec::new());
        for (index, stage) in self.stages.iter_mut().enumerate() {
            if stage.term_at.is_some_and(|when| when <= at) {
                stage.term_at = None;
                stage.kill_at.get_or_insert(at + MERCY);
                to_end.push(index);
            }
            if stage.kill_at.is_some_and(|when| when <= at) {
                stage.kill_at = None;
                to_die.push(index);
            }
        }
        self.tell(&to_end, Signal::TERM);
        self.tell(&to_die, Signal::KILL);
        let known = self.pids();
        kin::bury(&known);
        let strays = self.look_after_strays(&known, at);
        self.stages.iter().all(|stage| stage.ended.is_some() && !stage.leaves_family())
            && self.tanks.iter().all(|tank| tank.done.is_some())
            && !strays
    }

    /// The numbers of the commands that are not reaped.
    fn pids(&self) -> Vec<i32> {
        self.living().filter_map(|(_, child)| i32::try_from(child.pid()).ok()).collect()
    }

    /// Reaps a command. The order of ends decides who is to blame, so a failure is noted only after the ends of
    /// those above it whose output has ended: they came first, whichever the kernel told of first.
    fn reap(&mut self, stage: usize) {
        let member = &mut self.stages[stage];
        if member.ended.is_some() {
            return;
        }
        let command = member.child.as_mut().and_then(Child::reap);
        let Some(status) = command.or_else(|| member.worker.as_mut().and_then(Worker::reap)) else {
            return;
        };
        if !status.is_success() {
            for above in 0..stage {
                let Some(tank) = self.behind(above).next() else { continue };
                let reading = self.tanks[tank].gauge.counted();
                let due = self.stages[above].ended.is_none()
                    && reading.ended_ns.is_some()
                    && reading.reader_gone_ns.is_none();
                if !due {
                    continue;
                }
                if let Some(child) = &self.stages[above].child {
                    let mut on = [pidfd(child)];
                    // If it lives on, it is not the first.
                    drop(wait(&mut on, Some(ORDER)));
                    self.reap(above);
                } else if self.stages[above].is_end() {
                    // Its pump has nothing left to do but to say how it ended.
                    self.conclude(tank);
                } else if let Some(worker) = &mut self.stages[above].worker {
                    // It has closed its output, and says why at once.
                    worker.join();
                    self.reap(above);
                }
            }
        }
        self.end(stage, status);
    }

    /// Takes the result of a pump if it has ended.
    fn collect(&mut self, tank: usize) {
        let pump = &self.tanks[tank];
        // One that has counted its last byte is about to end; it has rung for the last time, so it is waited for.
        let is_ending = || pump.gauge.counted().ended_ns.is_some();
        if pump.thread.as_ref().is_some_and(|thread| thread.is_finished() || is_ending()) {
            self.conclude(tank);
        }
    }

    /// Takes the result of a pump that ends now, and with it the end of the ends beside it.
    fn conclude(&mut self, tank: usize) {
        let pump = &mut self.tanks[tank];
        if pump.done.is_some() {
            return;
        }
        let joined = pump.thread.take().map(JoinHandle::join);
        let broken = || Pumped {
            outcome: Outcome::Unwritable(io::Error::other("the pump panicked")),
            port: None,
            rest: None,
        };
        let done = joined.and_then(Result::ok).unwrap_or_else(broken);
        let unreadable = matches!(done.outcome, Outcome::Unreadable(_));
        let sink = match &done.outcome {
            Outcome::Unwritable(_) | Outcome::ReaderGone => Status::EndFailed,
            Outcome::Unreadable(_) | Outcome::Ended | Outcome::Aborted => Status::EndDone,
        };
        let from = pump.from;
        pump.done = Some(done);
        if self.stages[tank + 1].is_end() {
            self.end(tank + 1, sink);
        }
        // Of several tanks behind a source one says why it could not be read.
        let all_done = self.behind(from).all(|tank| self.tanks[tank].done.is_some());
        if self.stages[from].is_end() && (unreadable || all_done) {
            self.end(from, if unreadable { Status::EndFailed } else { Status::EndDone });
        }
    }

    /// Takes note of what commands that have ended did not read. That may be known only after their end: a pump
    /// has to notice that they left, or to have written its last byte.
    fn look_for_rests(&mut self) {
        for end in &mut self.ends {
            let tank = end.stage.checked_sub(1).and_then(|tank| self.tanks.get_mut(tank));
            let Some(tank) = tank else { continue };
            let Some(done) = &mut tank.done else { continue };
            if let Some(unread) =
                done.rest.take().and_then(Rest::unread).filter(|unread| *unread > 0)
            {
                tank.gauge.set_unread(unread);
            }
            end.unread_bytes = end.unread_bytes.or_else(|| tank.gauge.counted().unread);
        }
    }

    fn end(&mut self, stage: usize, status: Status) {
        if self.stages[stage].ended.is_some() {
            return;
        }
        let at = now();
        (self.stages[stage].ended, self.stages[stage].status) = (Some(at), Some(status));
        let gone = |tank: usize| Some((self.tanks[tank].gauge.counted().reader_gone_ns?, tank + 1));
        let gone = self.behind(stage).filter_map(gone).min().map(|(_, below)| below);
        let before = stage.checked_sub(1).and_then(|tank| self.tanks.get(tank));
        let unread = before.and_then(|tank| tank.gauge.counted().unread);
        let end = StageEnd { stage, status, downstream_gone_before: gone, unread_bytes: unread };
        self.ends.push(end);
        if !status.is_success() && gone.is_none() {
            self.stop_above(stage, at);
        }
    }

    /// The ends so far, in the order they were seen.
    pub(crate) fn ends(&self) -> &[StageEnd] {
        &self.ends
    }

    /// What each tank counts now, upstream first.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        self.readings_at(now())
    }

    /// The same as of a moment that is not long ago.
    fn readings_at(&self, at: Instant) -> Vec<Reading> {
        let at_ns = nanos(at.saturating_duration_since(self.start));
        self.gauges().map(|gauge| gauge.read(at_ns)).collect()
    }

    /// The counters of each tank, upstream first.
    pub(crate) fn gauges(&self) -> impl Iterator<Item = &Gauge> + Clone {
        self.tanks.iter().map(|tank| &*tank.gauge)
    }

    /// Whether commands are looked at beside the tanks, so that it pays to look more often.
    pub(crate) fn looks_aside(&self) -> bool {
        !self.sides.is_empty()
    }

    /// Bytes moved so far, in all tanks: the measure of progress.
    pub(crate) fn moved(&self) -> u64 {
        self.tanks.iter().map(|tank| tank.gauge.moved()).sum()
    }

    /// How `stage` ended, if it has.
    pub(crate) fn status(&self, stage: usize) -> Option<Status> {
        self.stages[stage].status
    }

    /// The command at `stage`, if it is one.
    pub(crate) fn child(&self, stage: usize) -> Option<&Child> {
        self.stages[stage].child.as_ref()
    }

    /// The built-in at `stage`, if it is one.
    pub(crate) fn worker(&self, stage: usize) -> Option<&Worker> {
        self.stages[stage].worker.as_ref()
    }

    /// When a stage ended, if it has.
    pub(crate) fn ended(&self, stage: usize) -> Option<Instant> {
        self.stages[stage].ended
    }

    /// Says whether all that was written to stderr has been heard.
    pub(crate) fn is_silent(&self) -> bool {
        self.stages.iter().filter_map(|stage| stage.child.as_ref()).all(Child::is_silent)
    }

    /// The result of the pump of `tank`, once it is done.
    pub(crate) fn outcome(&self, tank: usize) -> Option<&Outcome> {
        self.tanks.get(tank)?.done.as_ref().map(|done| &done.outcome)
    }

    /// Why the source could not be read, if it could not.
    pub(crate) fn unreadable(&self) -> Option<&io::Error> {
        self.tanks.iter().find_map(|tank| match &tank.done.as_ref()?.outcome {
            Outcome::Unreadable(error) => Some(error),
            _ => None,
        })
    }

    /// The port of the sink at `stage`, once the line is over.
    pub(crate) fn sink(&self, stage: usize) -> Option<&Port> {
        self.tanks.get(stage.checked_sub(1)?)?.done.as_ref()?.port.as_ref()
    }

    /// Says whether every tank was emptied to its last byte, with nobody gone and nothing let go.
    pub(crate) fn drained(&self) -> bool {
        self.tanks
            .iter()
            .all(|tank| matches!(&tank.done, Some(Pumped { outcome: Outcome::Ended, .. })))
    }

    /// Commands that ended although their output has not: each with the inode of the pipe and since when.
    pub(crate) fn held(&self) -> Vec<(usize, u64, Instant)> {
        let held = |(index, stage): (usize, &Stage)| {
            let tank = &self.tanks[self.behind(index).next()?];
            let since = stage.ended.filter(|_| stage.child.is_some() && tank.done.is_none())?;
            tank.gauge.counted().ended_ns.is_none().then_some((index, tank.inode, since))
        };
        self.stages.iter().enumerate().filter_map(held).collect()
    }
}

/// Is readable when the command has ended.
fn pidfd(child: &Child) -> PollFd<'_> {
    PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)
}

impl Stage {
    fn is_end(&self) -> bool {
        self.child.is_none() && self.worker.is_none()
    }
}
