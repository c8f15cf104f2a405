//! How is a line started, and what becomes of one that is not wanted before it runs?
//!
//! Hundreds of programs take a while to start. A signal or `--timeout` in that time ends what has been started, and
//! all of it has ended when that is told: nothing has passed, so there is nothing to drain.
//!
//! # Knows / never knows
//! Knows a plan, and why its start was cut short. Never knows what is opened before (`ready`) or watched after it.

use std::cell::Cell;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use crate::args::Fast;
use crate::command::report::{self, Cut};
use crate::command::screen::{Failure, Screen};
use crate::command::signals::{Asked, Inbox};
use crate::end::{EndError, Unfinished};
use crate::exec::line::{Line, Part, Setup, StartError, Wish};
use crate::exec::now;
use crate::exec::valve::Valve;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::size;
use crate::view::Report;
use crate::view::event::Output;

/// Who waits for the start.
pub(super) struct Waiting<'run> {
    pub(super) inbox: &'run Inbox,
    pub(super) screen: &'run Screen,
    /// Keeps what the commands say back until the record has told of the start.
    pub(super) held_back: Cell<Option<MutexGuard<'run, ()>>>,
    /// When ends began to be opened,
    pub(super) begun: Instant,
    /// and when all of them were.
    pub(super) start: Instant,
}

impl Waiting<'_> {
    /// Why it is not wanted any more.
    fn cut(&self, plan: &Plan) -> Option<Cut> {
        if let Some((signal, _)) = self.inbox.end() {
            return Some(Cut::Signal(signal));
        }
        let is_over = |limit| now().saturating_duration_since(self.begun) >= limit;
        plan.timeout.filter(|limit| is_over(*limit)).map(|_| Cut::Timeout)
    }
}

/// Starts a line, and hands over the valve before its first tank.
///
/// # Errors
/// The exit of a run that was not started. Why has been told.
pub(super) fn launch(
    plan: &Plan,
    parts: Vec<Part>,
    unfinished: &[Unfinished],
    waiting: &Waiting<'_>,
) -> Result<(Line, Arc<Valve>), Exit> {
    #[expect(clippy::cast_precision_loss, reason = "a rate beyond 2^53 bytes is no limit")]
    let rate = plan.rate.map(|rate| rate.bytes as f64 / rate.per.as_secs_f64());
    let valve = Arc::new(Valve::new(rate));
    let screen = waiting.screen;
    let bell = waiting.inbox.bell();
    let wish = || {
        if waiting.cut(plan).is_none() {
            return Wish::GoOn;
        }
        // There will be no start to tell of.
        drop(waiting.held_back.take());
        match waiting.inbox.end() {
            Some((_, Asked::Twice)) => Wish::EndNow,
            _ => Wish::End,
        }
    };
    let setup = Setup {
        tanks: &plan.tanks,
        fast: plan.fast == Fast::Auto,
        valve: Arc::clone(&valve),
        start: waiting.start,
        bell: Arc::clone(bell),
        turns: screen
            .record()
            .filter(|record| record.is_kept() && plan.display.verbose >= 2)
            .map(|_| Arc::clone(bell)),
        hear: {
            let screen = screen.clone();
            let stages = plan.stages.clone();
            Arc::new(move |stage: usize, line| {
                screen.child_line(&stages[stage].id, &stages[stage].label, line);
            })
        },
        wish: &wish,
    };
    match Line::start(parts, &setup) {
        Ok(line) => Ok((line, valve)),
        Err(StartError::Failed { stage, error }) => {
            let (id, label) = (&plan.stages[stage].id, report::label(plan, stage));
            let what = format!("cannot start stage {id} {label}");
            let failure = Failure { kind: "start", stage: Some(id) };
            screen.fail(failure, &report::end_failed(EndError::of_start(what, &error)));
            Err(Exit::Standpipe)
        }
        Err(StartError::CalledOff { stages }) => Err(called_off(plan, stages, unfinished, waiting)),
    }
}

/// Tells of a line that was not wanted any more when so many of its stages had been started.
fn called_off(
    plan: &Plan,
    stages: usize,
    unfinished: &[Unfinished],
    waiting: &Waiting<'_>,
) -> Exit {
    let screen = waiting.screen;
    // Nobody else has ended it.
    let cut = waiting.cut(plan).unwrap_or(Cut::Timeout);
    let ran = now().saturating_duration_since(waiting.start);
    let told = report::cut(plan, cut, ran, 0);
    let details = report::published(unfinished, &[]);
    let of = plan.stages.len();
    let (stages, of) = (size::count(stages as u64), size::count(of as u64));
    let so_far = format!("{stages} of {of} stages had been started");
    let details = std::iter::once(so_far).chain(details).collect();
    let report = Report { severity: told.severity, what: told.what, details, hint: None };
    screen.fail(Failure { kind: told.kind, stage: None }, &report);
    if let Some(record) = screen.record() {
        for path in unfinished.iter().filter_map(|one| one.finish.path()) {
            record.output(Output { path: path.as_os_str().into(), published: false });
        }
    }
    told.exit
}
