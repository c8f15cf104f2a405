//! How do several threads share one display, and what of it goes on record?
//!
//! The run and the pumps of the commands' stderr write to it; whoever writes holds it for that long, so that lines
//! are whole. What is told to people is told to the record as well, in its own terms.
//!
//! # Knows / never knows
//! Knows a view and a record. Never knows what they show.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::args::Display;
use crate::command::record::Record;
use crate::command::signals::Inbox;
use crate::end::EndError;
use crate::exec::now;
use crate::exit::Exit;
use crate::view::event::{Event, Failed, Warning};
use crate::view::{Glass, Progress, Report, View, Voice};

/// A display that threads share.
#[derive(Clone)]
pub(crate) struct Screen {
    view: Arc<Mutex<View<Voice>>>,
    voice: Voice,
    record: Option<Arc<Record>>,
}

/// A remark in the terms of the record.
#[derive(Debug)]
pub(crate) struct Remark {
    /// What it is about, as in the schema.
    pub(crate) code: &'static str,
    /// The id of the stage it is about.
    pub(crate) stage: Option<String>,
    /// Bytes that were not read.
    pub(crate) unread_bytes: Option<u64>,
}

impl Remark {
    /// About the run.
    pub(crate) const fn run(code: &'static str) -> Self {
        Self { code, stage: None, unread_bytes: None }
    }

    /// About a stage.
    pub(crate) fn stage(code: &'static str, stage: &str) -> Self {
        Self { code, stage: Some(stage.to_owned()), unread_bytes: None }
    }
}

/// A failure in the terms of the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'id> {
    /// What kind of failure, as in the schema.
    pub(crate) kind: &'static str,
    /// The id of the stage that failed.
    pub(crate) stage: Option<&'id str>,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl Screen {
    /// Makes the display that was asked for.
    pub(crate) fn new(display: &Display, name: Option<&str>, record: Option<Arc<Record>>) -> Self {
        let view = View::on_stderr(display, name);
        let voice = view.voice();
        Self { view: Arc::new(Mutex::new(view)), voice, record }
    }

    /// From now on waits for nobody who reads stderr: [`Screen::finish`] does.
    pub(crate) fn keep_going(&self) {
        self.show(|view| view.keep_going());
    }

    /// Holds no command up any more because of what it says.
    pub(crate) fn let_go(&self) {
        self.voice.hurry();
    }

    /// Waits until all that was said has been taken, for so long at most, or until a signal comes.
    pub(crate) fn finish(&self, inbox: &Inbox, patience: Option<Duration>) {
        self.let_go();
        let until = patience.map(|patience| now() + patience);
        loop {
            self.voice.pass();
            let left = until.map(|until| until.saturating_duration_since(now()));
            if self.voice.is_done() || left == Some(Duration::ZERO) {
                return;
            }
            let waited = self.voice.wait(inbox.bell().as_fd(), left);
            if waited.is_err() || inbox.ends() {
                return;
            }
        }
    }

    /// The terminal, if all of its screen is ours.
    pub(crate) fn whole(&self) -> Option<Glass> {
        self.view().whole()
    }

    /// The record, if one is wanted.
    pub(crate) fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Shows something to people alone.
    pub(crate) fn show(&self, draw: impl FnOnce(&mut View<Voice>)) {
        draw(&mut self.view());
    }

    fn view(&self) -> MutexGuard<'_, View<Voice>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows where a run is that has run for so long, if that is seen now: what comes later shows more.
    pub(crate) fn progress(&self, elapsed: Duration, progress: impl FnOnce() -> Progress) {
        if !self.voice.is_heard() {
            self.voice.pass();
        } else if self.view().shows_progress(elapsed) {
            let progress = progress();
            self.show(|view| view.progress(&progress));
        }
    }

    /// Shows a line that a command wrote to its stderr.
    pub(crate) fn child_line(&self, stage: &str, label: &str, line: &[u8]) {
        if let Some(record) = &self.record {
            record.child_line(stage, line);
        }
        // Before the display is held: the run needs it.
        if self.voice.hold() {
            self.show(|view| view.child_line(label, line));
        }
    }

    /// Tells what somebody should know although the run goes on.
    pub(crate) fn remark(&self, remark: Remark, report: &Report) {
        self.record_remark(remark, report);
        self.show(|view| view.report(report));
    }

    /// Tells it to the record alone: people do not want to know.
    pub(crate) fn record_remark(&self, remark: Remark, report: &Report) {
        let Some(record) = &self.record else { return };
        record.keep(&Event::Warning(Warning {
            code: remark.code,
            stage: remark.stage,
            message: report.what.as_str().into(),
            unread_bytes: remark.unread_bytes,
        }));
    }

    /// Tells why the run fails.
    pub(crate) fn fail(&self, failure: Failure<'_>, report: &Report) {
        self.record_failure(failure, report);
        self.show(|view| view.report(report));
    }

    /// Tells it to the record alone: people are to see nothing.
    pub(crate) fn record_failure(&self, failure: Failure<'_>, report: &Report) {
        let Some(record) = &self.record else { return };
        record.failed(Failed {
            stage: failure.stage.map(str::to_owned),
            kind: failure.kind,
            message: report.what.as_str().into(),
            details: report.details.iter().map(Into::into).collect(),
            hint: report.hint.as_ref().map(Into::into),
        });
    }

    /// Tells what an end said, and gives the exit that means.
    pub(crate) fn refuse(&self, stage: Option<&str>, error: EndError) -> Exit {
        self.fail(Failure { kind: "end", stage }, &crate::command::report::end_failed(error));
        Exit::Standpipe
    }
}
