//! How is a pipeline watched that a shell runs by itself?
//!
//! The text goes to `sh` whole: no pipe is ours, no byte passes us, so there is nothing to limit and nothing to
//! publish. What can be known is looked up in `/proc` while it runs; the exit code is the shell's.
//!
//! # Knows / never knows
//! Knows one shell and what is seen below it. Never knows how that is found out (`watch`) or drawn (`view`).

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1};
use standpipe::diagnose::Times;

use crate::args::{Observed, ViewChoice};
use crate::command::record::HURRIED;
use crate::command::screen::Screen;
use crate::command::signals::{Inbox, suspend};
use crate::end::EndError;
use crate::exec::child::{Child, Streams, Words};
use crate::exec::now;
use crate::exec::stop::wait;
use crate::exec::times::{self, share};
use crate::exit::{Exit, Status};
use crate::plan::CommandLine;
use crate::size;
use crate::view::{
    Outcome, Phase, Progress, Report, Severity, Slowest, StageNow, StageShares, Summary, View, Who,
    brief,
};
use crate::watch::{Family, Member};

/// Threads are looked at this often,
const LOOK: Duration = Duration::from_millis(10);
/// and what is seen is shown this often.
const SHOW: Duration = Duration::from_millis(250);
/// Whoever was told to end and did not is killed after this long.
const MERCY: Duration = Duration::from_secs(2);

/// Runs a text under a shell and watches; all that is to be said has been said when it returns.
pub(crate) fn observe(asked: &Observed) -> Exit {
    let name = asked.name.as_ref().map(crate::args::shown);
    let mut display = asked.display;
    if display.view == ViewChoice::Full {
        // there are no tanks to be drawn and no valve to be turned
        display.view = ViewChoice::Tanks;
    }
    let screen = Screen::new(&display, name.as_deref(), None);
    let begun = Inbox::open(None).and_then(|inbox| {
        let line = CommandLine::Shell(asked.text.clone());
        let streams = Streams { stdin: None, stdout: None, stderr: Words::Ours };
        // its words go to our stderr straight, and nobody hears them
        let child = Child::start(&line, streams, |_: &[u8]| (), inbox.bell())?;
        Ok((inbox, child))
    });
    let (inbox, child) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            return screen.refuse(None, EndError::of("cannot start `sh`", &error));
        }
    };
    screen.keep_going();
    let start = now();
    let watch = Family::new(child.pid());
    let run = Run {
        asked,
        screen,
        inbox,
        child,
        watch,
        start,
        suspended: Duration::ZERO,
        ended_by: None,
        kill_at: None,
    };
    match run.watch() {
        Ok(exit) => exit,
        Err((screen, error)) => {
            screen.refuse(None, EndError::of("cannot watch any longer", &error))
        }
    }
}

/// Why the shell was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Signal(i32),
    Timeout,
}

struct Run<'asked> {
    asked: &'asked Observed,
    screen: Screen,
    inbox: Inbox,
    child: Child,
    watch: Family,
    start: Instant,
    suspended: Duration,
    ended_by: Option<End>,
    kill_at: Option<Instant>,
}

impl Run<'_> {
    fn watch(mut self) -> Result<Exit, (Screen, io::Error)> {
        let mut show_at = self.start;
        loop {
            let on = [self.inbox.bell().as_fd(), self.child.pidfd()];
            let mut on = on.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            if let Err(error) = wait(&mut on, Some(LOOK)) {
                self.signal(Signal::KILL);
                return Err((self.screen, error));
            }
            self.inbox.bell().hush();
            let at = now();
            self.watch.look(at);
            for signal in self.inbox.take() {
                self.on_signal(signal, at);
            }
            if let Some(status) = self.child.reap() {
                let exit = self.settle(status, now());
                self.screen.finish(&self.inbox, self.ended_by.map(|_| HURRIED));
                return Ok(exit);
            }
            if self.ended_by.is_none()
                && self.asked.timeout.is_some_and(|limit| self.ran(at) >= limit)
            {
                self.end(End::Timeout, at);
            }
            if self.kill_at.is_some_and(|kill_at| at >= kill_at) {
                self.kill_at = None;
                self.signal(Signal::KILL);
            }
            if at >= show_at {
                show_at = at + SHOW;
                self.screen.progress(self.ran(at), || self.progress(at));
            }
        }
    }

    fn on_signal(&mut self, signal: i32, at: Instant) {
        match signal {
            SIGINT if self.ended_by == Some(End::Signal(SIGINT)) => self.signal(Signal::KILL),
            SIGINT | SIGHUP | SIGTERM => self.end(End::Signal(signal), at),
            SIGUSR1 => {
                let progress = self.progress(at);
                self.screen.show(|view| view.status(&progress));
            }
            SIGTSTP => {
                self.screen.show(View::suspend);
                suspend();
                self.screen.show(View::resume);
                self.suspended += now().saturating_duration_since(at);
            }
            _ => {}
        }
    }

    fn end(&mut self, by: End, at: Instant) {
        self.ended_by = Some(by);
        self.kill_at = Some(at + MERCY);
        self.signal(Signal::TERM);
    }

    /// Reaches the shell and all that runs below it: a shell does not pass a signal on.
    fn signal(&self, signal: Signal) {
        let below = self.watch.pids();
        for pid in below.into_iter().filter(|pid| *pid != self.child.pid()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // Whoever ended meanwhile is what was wanted.
                kill_process(pid, signal).ok();
            }
        }
        self.child.signal(signal);
    }

    fn ran(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start).saturating_sub(self.suspended)
    }

    fn progress(&self, at: Instant) -> Progress {
        let stages = self.watch.members();
        let (bytes_in, bytes_out) = totals(&stages);
        let elapsed = self.ran(at);
        let rate = |bytes| (elapsed > SHOW).then(|| float(bytes) / elapsed.as_secs_f64());
        let now = |seen: (usize, &Member)| StageNow { shares: shares(seen), ended: None };
        Progress {
            bytes_in,
            bytes_out,
            into: into(&stages),
            elapsed,
            rate_in: rate(bytes_in),
            rate_out: rate(bytes_out),
            total_bytes: None,
            tanks: Vec::new(),
            slowest: slowest(&stages),
            about: true,
            stages: stages.iter().enumerate().map(now).collect(),
            memory_bytes: None,
            phase: if self.ended_by.is_some() { Phase::Stopping } else { Phase::Running },
            limit: None,
        }
    }

    fn settle(&self, status: Status, at: Instant) -> Exit {
        let (what, exit) = match (self.ended_by, status) {
            (Some(End::Signal(signal)), _) => (None, Exit::Signal(signal)),
            (Some(End::Timeout), _) => {
                let limit = self.asked.timeout.map_or_else(String::new, size::time);
                let what = format!("not done after {limit}, the limit of `--timeout`");
                (Some(what), Exit::Timeout)
            }
            (None, Status::Code(0) | Status::EndDone) => (None, Exit::Success),
            (None, Status::Code(code)) => {
                (Some(format!("the shell exited with code {code}")), Exit::Stage(code))
            }
            (None, Status::Signal(signal)) => {
                let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
                let code = u8::try_from(signal).unwrap_or(u8::MAX).saturating_add(128);
                (Some(format!("the shell was killed by {name}")), Exit::Stage(code))
            }
            (None, Status::EndFailed) => (None, Exit::Standpipe),
        };
        if let Some(what) = what {
            self.screen.show(|view| view.report(&Report::new(Severity::Error, what)));
        }
        let ending = if exit == Exit::Success { Outcome::Succeeded } else { Outcome::Failed };
        let summary = self.summary(at);
        self.screen.show(|view| view.summary(&summary, &self.asked.display, ending));
        exit
    }

    fn summary(&self, at: Instant) -> Summary {
        let stages = self.watch.members();
        let (bytes_in, bytes_out) = totals(&stages);
        Summary {
            bytes_in,
            bytes_out,
            into: into(&stages),
            elapsed: self.ran(at),
            peak_bytes: None,
            memory_bytes: 0,
            is_filter: false,
            stages: stages.iter().enumerate().map(shares).collect(),
            slowest: slowest(&stages),
            about: true,
            ceiling: None,
        }
    }
}

/// What the first stage has put out and the last has taken; a stage alone takes and gives. What goes through a pipe
/// is counted on both sides, and one of them may have ended unseen.
fn totals(stages: &[Member]) -> (u64, u64) {
    match stages {
        [] => (0, 0),
        [alone] => (alone.read_bytes, alone.written_bytes),
        [first, second, ..] => {
            let (last, before) = (&stages[stages.len() - 1], &stages[stages.len() - 2]);
            (first.written_bytes.max(second.read_bytes), last.read_bytes.max(before.written_bytes))
        }
    }
}

/// The last stage, if bytes are counted before it.
fn into(stages: &[Member]) -> Option<String> {
    let at = stages.len().checked_sub(1).filter(|at| *at > 0)?;
    Some(label(at, &stages[at]))
}

fn slowest(stages: &[Member]) -> Option<Slowest> {
    let times: Vec<Times> = stages.iter().map(|seen| seen.times).collect();
    let found = times::slowest(&times)?;
    let at = found.stage;
    let mut why = Vec::new();
    if let Some(above) = at.checked_sub(1).filter(|above| times[*above].paused_ns > 0) {
        let paused = size::percent(share(times[above].paused_ns, &times[above]));
        why.push(format!("{} is paused {paused}", brief(&label(above, &stages[above]))));
    }
    if let Some(below) = times.get(at + 1).filter(|below| below.starved_ns > 0) {
        let starved = size::percent(share(below.starved_ns, below));
        why.push(format!("{} is starved {starved}", brief(&label(at + 1, &stages[at + 1]))));
    }
    Some(Slowest {
        who: Who::Stage(label(at, &stages[at])),
        busy: Some(share(times[at].busy_ns, &times[at])),
        confidence: Some(found.confidence()),
        why: (!why.is_empty()).then(|| why.join(", ")),
        advice: None,
    })
}

fn shares((at, seen): (usize, &Member)) -> StageShares {
    let part = |ns| (ran_ns(&seen.times) > 0).then(|| share(ns, &seen.times));
    StageShares {
        label: label(at, seen),
        busy: part(seen.times.busy_ns),
        paused: part(seen.times.paused_ns),
        starved: part(seen.times.starved_ns),
    }
}

fn label(at: usize, seen: &Member) -> String {
    format!("{} {}", at + 1, seen.label)
}

fn ran_ns(times: &Times) -> u64 {
    times.busy_ns + times.paused_ns + times.starved_ns
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown in three digits")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
