//! How is a pipeline run from its first byte to its exit code?
//!
//! Everything that can be refused is refused before anything starts: outputs are checked, programs looked up, ends
//! opened. Then one loop watches the line, the signals and the clock; it moves no bytes. When the line is over,
//! the ends of all stages are judged together, and only a run without a cause publishes its output.
//!
//! # Knows / never knows
//! Knows the order of things. Never knows how bytes move (`exec`), where to (`end`), what it looks like (`view`).

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGWINCH};

use crate::command::chronicle::Chronicle;
use crate::command::door::Door;
use crate::command::figures::{Past, totals};
use crate::command::keys::Keys;
use crate::command::report::{self, Cut};
use crate::command::screen::{Remark, Screen};
use crate::command::signals::{Inbox, suspend};
use crate::exec::line::Line;
use crate::exec::now;
use crate::exec::valve::Valve;
use crate::exit::Exit;
use crate::plan::{EndPlan, Plan, StageKind};
use crate::size;
use crate::view::{Report, Severity, View};
use crate::watch;

use launch::{Waiting, launch};
use ready::prepare;

pub(crate) use ready::vet;

mod settle;
mod steer;
mod verdict;
mod launch;
mod ready;

/// A signal to go on that comes this soon after a stop of our own is the one that ended it.
const SAME_WAKE: Duration = Duration::from_secs(1);
/// The loop looks around at least this often.
const LOOK: Duration = Duration::from_millis(250);
/// The same while a command waits at a stream of somebody else's.
const LOOK_ASIDE: Duration = Duration::from_millis(100);
/// Commands that are done may leave somebody who still holds their stderr: this long is listened on.
const LISTEN: Duration = Duration::from_millis(500);
/// When nothing has moved for this long, it is said who holds it up.
const STALLED: Duration = Duration::from_secs(30);
/// A pipe that is held after its stage has gone is told of after this long.
const HELD: Duration = Duration::from_secs(5);

/// Runs a plan.
pub(crate) fn run(plan: &Plan, inbox: &Inbox, screen: &Screen) -> Exit {
    let begun = now();
    let ready = match prepare(plan, inbox, screen, begun) {
        Ok(ready) => ready,
        Err(exit) => return exit,
    };
    let start = now();
    let held_back = Cell::new(screen.record().map(|record| record.hold_back()));
    let waiting = Waiting { inbox, screen, held_back, begun, start };
    let (line, valve) = match launch(plan, ready.parts, &ready.unfinished, &waiting) {
        Ok(launched) => launched,
        Err(exit) => return exit,
    };
    let begin = |record| Chronicle::begin(plan, Arc::clone(record), &line, ready.total, start);
    let chronicle = screen.record().map(begin);
    ready.remarks.into_iter().for_each(|(remark, said)| screen.record_remark(remark, &said));
    drop(waiting);
    tell_paths(plan, &line, screen);
    let mut run = Run {
        plan,
        inbox,
        line,
        start,
        waited: start.saturating_duration_since(begun),
        suspended: Duration::ZERO,
        woke_at: None,
        // a start that takes long is no stall
        progress: (0, now()),
        drain_until: None,
        cut: None,
        told_held: false,
        told_stalled: false,
        waited_for: None,
        screen: screen.clone(),
        keys: keys(plan, inbox, screen),
        valve,
        past: Past::new(ready.total),
        chronicle,
    };
    run.watch();
    run.settle(ready.unfinished)
}

/// Says how the bytes go, to whoever wants to know.
fn tell_paths(plan: &Plan, line: &Line, screen: &Screen) {
    if plan.display.verbose > 0 {
        screen.show(|view| view.report(&report::paths(plan, line)));
    }
    if line.cramped {
        let what = "some pipes stayed small: the pipe memory of this user is spent";
        let report = Report::new(Severity::Warning, what);
        screen.record_remark(Remark::run("pipe-budget"), &report);
        if plan.display.verbose > 0 {
            screen.show(|view| view.report(&report));
        }
    }
}

/// Reads keys, if the whole screen is ours and what is typed there is not the data.
fn keys(plan: &Plan, inbox: &Inbox, screen: &Screen) -> Option<Keys> {
    let first = plan.stages.first().map(|stage| &stage.kind);
    let typed = matches!(first, Some(StageKind::Source(EndPlan::Stdio | EndPlan::Fd(_))));
    let glass = screen.whole().filter(|_| !typed)?;
    Keys::open(glass, inbox.bell())
}

/// A run between its start and its exit.
struct Run<'plan> {
    plan: &'plan Plan,
    inbox: &'plan Inbox,
    line: Line,
    start: Instant,
    /// Time in which ends were opened, before the start.
    waited: Duration,
    /// Time we were stopped by SIGTSTP.
    suspended: Duration,
    /// When we went on after a stop of our own.
    woke_at: Option<Instant>,
    /// Bytes moved, and when that last changed.
    progress: (u64, Instant),
    drain_until: Option<Instant>,
    cut: Option<Cut>,
    told_held: bool,
    /// Nothing moves, and that was told.
    told_stalled: bool,
    /// Whom the run waited for when it was given up.
    waited_for: Option<String>,
    screen: Screen,
    /// Keys, where they are ours to read.
    keys: Option<Keys>,
    valve: Arc<Valve>,
    past: Past,
    /// What is told to the record, if there is one.
    chronicle: Option<Chronicle<'plan>>,
}

impl Run<'_> {
    /// Watches until the line is over.
    fn watch(&mut self) {
        let record = self.screen.record().cloned();
        let _door = record.and_then(|record| Door::open(&record, self.inbox.bell()));
        let mut over_since: Option<Instant> = None;
        loop {
            if self.line.wait(self.patience(now())).is_err() {
                self.line.kill();
            }
            let over = self.line.look();
            for signal in self.inbox.take() {
                self.on_signal(signal, now());
            }
            let at = now();
            if over {
                // Last words may still be on their way.
                let since = *over_since.get_or_insert(at);
                if self.line.is_silent() || at.saturating_duration_since(since) >= LISTEN {
                    return;
                }
            }
            let moved = self.line.moved();
            if moved != self.progress.0 {
                self.progress = (moved, at);
                self.told_stalled = false;
            }
            self.steer(at);
            self.past.note(self.plan, &self.line, at);
            let ran = self.ran(at);
            if let Some(chronicle) = &mut self.chronicle {
                chronicle.look(&self.line, &self.past, at, ran);
            }
            self.screen.progress(ran, || self.progress(at));
            self.on_time(at);
            self.name_holder(at);
        }
    }

    fn on_signal(&mut self, signal: i32, at: Instant) {
        match (signal, self.cut) {
            // Whoever asks twice does not want to wait.
            (SIGINT, Some(Cut::Signal(SIGINT))) => {
                self.line.kill();
                if let Some(record) = self.screen.record() {
                    record.hurry();
                }
            }
            (SIGINT | SIGHUP, _) => {
                self.cut = Some(Cut::Signal(signal));
                self.drain_until = None;
                self.line.abort();
            }
            (SIGTERM, None) => {
                self.cut = Some(Cut::Signal(signal));
                self.drain_until = Some(at + self.plan.drain);
                if let Some(chronicle) = &self.chronicle {
                    chronicle.drain(&self.line);
                }
                self.line.drain();
            }
            (SIGUSR1, _) => {
                let progress = self.progress(at);
                self.screen.show(|view| view.status(&progress));
                let ran = self.ran(at);
                if let Some(chronicle) = &mut self.chronicle {
                    chronicle.sample(&self.line, &self.past, at, ran);
                }
            }
            (SIGTSTP, _) => {
                self.screen.show(View::suspend);
                suspend();
                self.screen.show(View::resume);
                let slept = now().saturating_duration_since(at);
                self.suspended += slept;
                self.woke_at = Some(now());
                self.past.sleep(slept);
                self.progress.1 += slept;
                self.drain_until = self.drain_until.map(|until| until + slept);
            }
            // the other half of a stop of our own; the display was told already
            (SIGCONT, _)
                if self
                    .woke_at
                    .take()
                    .is_some_and(|woke| at.saturating_duration_since(woke) < SAME_WAKE) => {}
            (SIGCONT, _) => self.screen.show(View::resume),
            (SIGWINCH, _) => self.screen.show(View::resized),
            _ => {}
        }
    }

    fn on_time(&mut self, at: Instant) {
        if self.drain_until.is_some_and(|until| until <= at) {
            self.drain_until = None;
            self.line.abort();
        }
        if self.cut.is_some() {
            return;
        }
        let idle = at.saturating_duration_since(self.progress.1);
        if self.time_left(at).is_some_and(|left| left.is_zero()) {
            self.cut = Some(Cut::Timeout);
        } else if self.plan.stall.is_some_and(|limit| idle >= limit) {
            self.cut = Some(Cut::Stall);
            self.waited_for = report::waited_for(self.plan, &self.line, idle).map(|(_, why)| why);
        } else {
            self.tell_stalled(idle);
            return;
        }
        self.line.abort();
    }

    /// Bytes wait and nobody takes them: half the time until the run is given up, it is said who does not.
    fn tell_stalled(&mut self, idle: Duration) {
        let patience = self.plan.stall.map_or(STALLED, |limit| (limit / 2).min(STALLED));
        if self.told_stalled || idle < patience {
            return;
        }
        self.told_stalled = true;
        let found = report::waited_for(self.plan, &self.line, idle);
        let Some((stage, why)) =
            found.filter(|_| self.line.readings().iter().any(|tank| tank.level > 0))
        else {
            return;
        };
        let report = report::note(format!("stalled {}: {why}", size::time(idle)));
        let remark = Remark::stage("stalled", &self.plan.stages[stage].id);
        self.screen.record_remark(remark, &report);
        if !self.plan.display.quiet {
            self.screen.show(|view| view.report(&report));
        }
    }

    /// A stage may be gone and its output still be held, by a process it left behind.
    fn name_holder(&mut self, at: Instant) {
        let long = |since| at.saturating_duration_since(since) >= HELD;
        if self.told_held {
            return;
        }
        let held = self.line.held().into_iter();
        // A tank that still has bytes to pass, because of a rate or a slow reader, is no reason to suspect anybody.
        let held =
            held.into_iter().find(|(_, inode, since)| long(*since) && watch::is_held(*inode));
        if let Some((stage, inode, _)) = held {
            self.told_held = true;
            let (id, label) = (&self.plan.stages[stage].id, report::label(self.plan, stage));
            let holder =
                watch::holder(inode).map_or_else(String::new, |pid| format!(" by process {pid}"));
            let what =
                format!("stage {id} {label} has ended, but its output is still held open{holder}");
            self.screen.remark(Remark::stage("pipe-held", id), &report::note(what));
        }
    }

    /// What is left of `--timeout`, which knows no difference between waiting for an end and moving bytes.
    fn time_left(&self, at: Instant) -> Option<Duration> {
        self.plan.timeout.map(|limit| limit.saturating_sub(self.waited + self.ran(at)))
    }

    /// When to look around though nothing happened: what is limited is noticed when it is over, not a while later.
    fn patience(&self, at: Instant) -> Duration {
        let look = if self.line.looks_aside() { LOOK_ASIDE } else { LOOK };
        let idle = at.saturating_duration_since(self.progress.1);
        let stall = self.plan.stall.map(|limit| limit.saturating_sub(idle));
        let limits =
            [self.time_left(at), stall].into_iter().flatten().filter(|_| self.cut.is_none());
        let told = self.chronicle.as_ref().map(|told| told.patience(at));
        limits.chain(told).fold(look, Duration::min)
    }

    fn ran(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start).saturating_sub(self.suspended)
    }

    fn delivered(&self) -> u64 {
        totals(self.plan, &self.line.readings()).1
    }
}
