//! How long does a command wait at a stream that is not ours?
//!
//! The first command of a run may read what somebody else writes, the last one may write what somebody else reads.
//! No tank stands there to tell, so the command itself is looked at, as one of a foreign pipeline is.

use std::time::{Duration, Instant};

use super::process::{self, Doing, Pid, Stat, Way};
use super::table::youngest_below;

/// A shell that waits is asked this often for whom.
const CENSUS: Duration = Duration::from_millis(250);

/// What one does, unless it has ended.
fn at_work((pid, begun_ticks): (Pid, u64)) -> Option<(Pid, Doing)> {
    let stat = Stat::of(pid).filter(|stat| stat.begun_ticks == begun_ticks)?;
    Some((pid, stat.doing(pid))).filter(|(_, doing)| *doing != Doing::Gone)
}

/// One command at a stream of somebody else's.
#[derive(Debug)]
pub(crate) struct Side {
    pid: Pid,
    way: Way,
    /// Whom the command has started, if it waits for somebody, and when that one began.
    worker: Option<(Pid, u64)>,
    census: Option<Instant>,
    last: Instant,
    waited_ns: u64,
}

impl Side {
    /// What it reads on its stdin.
    pub(crate) const fn input(pid: Pid, now: Instant) -> Self {
        Self { pid, way: Way::Reads, worker: None, census: None, last: now, waited_ns: 0 }
    }

    /// What it writes on its stdout.
    pub(crate) const fn output(pid: Pid, now: Instant) -> Self {
        Self { pid, way: Way::Writes, worker: None, census: None, last: now, waited_ns: 0 }
    }

    /// Looks once: the time since the last look goes to what is found.
    pub(crate) fn look(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.last);
        self.last = now;
        let (pid, doing) = self.who_works(now);
        let waits = match (self.way, doing) {
            // a command that brings its own data may wait for anything while an idle stdin lies there: only one that
            // reads a pipe waits for its stdin, and what it writes is what it waits to write
            (Way::Reads, Doing::Starved) => process::is_dry(pid),
            (Way::Writes, Doing::Paused | Doing::Waits) => process::is_full(pid),
            _ => false,
        };
        if waits {
            let span_ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
            self.waited_ns = self.waited_ns.saturating_add(span_ns);
        }
    }

    /// The command, or if that is a shell which waits, the one it waits for; and what that one does.
    fn who_works(&mut self, now: Instant) -> (Pid, Doing) {
        // while it works nobody else does, and the shell need not be asked
        if let Some(found) = self.worker.and_then(at_work) {
            return found;
        }
        self.worker = None;
        let doing = process::doing(self.pid);
        let is_due = self.census.is_none_or(|last| now.saturating_duration_since(last) >= CENSUS);
        if doing == Doing::Waits && is_due {
            self.census = Some(now);
            self.worker =
                youngest_below(self.pid).and_then(|pid| Some((pid, Stat::of(pid)?.begun_ticks)));
        }
        self.worker.and_then(at_work).unwrap_or((self.pid, doing))
    }

    /// Whether it is what the command reads.
    pub(crate) const fn is_input(&self) -> bool {
        matches!(self.way, Way::Reads)
    }

    /// How long it has waited there.
    pub(crate) const fn waited_ns(&self) -> u64 {
        self.waited_ns
    }
}
