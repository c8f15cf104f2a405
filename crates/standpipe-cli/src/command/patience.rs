//! How is something waited for that may take long, while signals still reach us?
//!
//! On a thread of its own that rings when it is done. If a signal or the clock is faster, the thread is left alone: it
//! ends with the process.
//!
//! # Knows / never knows
//! Knows signals, a limit and somebody's work. Never knows what the work is.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};

use crate::command::screen::{Failure, Screen};
use crate::command::signals::{Inbox, suspend};
use crate::end::EndError;
use crate::exec::now;
use crate::exec::stop::wait;
use crate::exit::Exit;
use crate::size;
use crate::view::{Report, Severity};

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Undone {
    /// It failed.
    Failed(EndError),
    /// A signal came first.
    Signal(i32),
    /// It took longer than this, the limit of `--stall`.
    Late(Duration),
    /// The run took longer than this, the limit of `--timeout`.
    Over(Duration),
}

/// How long something is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// `--stall`, where somebody has to answer.
    pub(crate) stall: Option<Duration>,
    /// `--timeout`, and how much of it is left.
    pub(crate) timeout: Option<(Duration, Duration)>,
}

impl Patience {
    /// What comes first, and what it means if that is over.
    fn first(self) -> Option<(Duration, Undone)> {
        let stall = self.stall.map(|limit| (limit, Undone::Late(limit)));
        let timeout = self.timeout.map(|(limit, left)| (left, Undone::Over(limit)));
        match (stall, timeout) {
            (Some(stall), Some(timeout)) if stall.0 <= timeout.0 => Some(stall),
            (stall, timeout) => timeout.or(stall),
        }
    }
}

impl Undone {
    /// Tells it of an end, and gives the exit that means.
    pub(crate) fn exit(self, stage: &str, screen: &Screen) -> Exit {
        match self {
            Self::Failed(error) => screen.refuse(Some(stage), error),
            Self::Signal(signal) => {
                let report = Report::new(Severity::Note, "stopped while an end was waited for");
                screen.record_failure(Failure { kind: "signal", stage: None }, &report);
                Exit::Signal(signal)
            }
            Self::Late(limit) => {
                let limit = size::time(limit);
                let what = format!("a server did not answer for {limit}, the limit of `--stall`");
                let failure = Failure { kind: "stall", stage: Some(stage) };
                screen.fail(failure, &Report::new(Severity::Error, what));
                Exit::Timeout
            }
            Self::Over(limit) => {
                let what =
                    format!("not done after {}, the limit of `--timeout`", size::time(limit));
                let mut report = Report::new(Severity::Error, what);
                report.details.push(format!("it waited for the end of stage {stage}"));
                screen.fail(Failure { kind: "timeout", stage: None }, &report);
                Exit::Timeout
            }
        }
    }
}

/// Does it elsewhere and waits for the end of it.
pub(crate) fn attend<T: Send + 'static>(
    inbox: &Inbox,
    patience: Patience,
    work: impl FnOnce() -> Result<T, EndError> + Send + 'static,
) -> Result<T, Undone> {
    let (sender, receiver): (SyncSender<Result<T, EndError>>, _) = sync_channel(1);
    let bell = Arc::clone(inbox.bell());
    let thread = std::thread::Builder::new().name("end".to_owned());
    let begun = thread.spawn(move || {
        // Nobody waits any more if a signal ended the run.
        sender.send(work()).ok();
        bell.ring();
    });
    begun.map_err(|error| Undone::Failed(EndError::of_start("cannot wait for an end", &error)))?;
    let mut since = now();
    let limit = patience.first();
    loop {
        let passed = now().saturating_duration_since(since);
        let left = limit.as_ref().map(|(limit, _)| limit.saturating_sub(passed));
        let mut on = [PollFd::from_borrowed_fd(inbox.bell().as_fd(), PollFlags::IN)];
        wait(&mut on, left).map_err(|error| Undone::Failed(EndError::new(error.to_string())))?;
        inbox.bell().hush();
        for signal in inbox.take() {
            match signal {
                SIGINT | SIGHUP | SIGTERM => return Err(Undone::Signal(signal)),
                SIGTSTP => {
                    let at = now();
                    suspend();
                    since += now().saturating_duration_since(at);
                }
                _ => {}
            }
        }
        match receiver.try_recv() {
            Ok(done) => return done.map_err(Undone::Failed),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                return Err(Undone::Failed(EndError::new("the thread of an end panicked")));
            }
        }
        let passed = now().saturating_duration_since(since);
        if limit.as_ref().is_some_and(|(limit, _)| passed >= *limit)
            && let Some((_, undone)) = limit
        {
            return Err(undone);
        }
    }
}
