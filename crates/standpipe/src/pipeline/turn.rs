//! What was a poll of a segment, and what passed between two of them?

use crate::pipeline::segment::Watch;
use crate::snapshot::{BusyAs, StageState};
use crate::sync::Ordering;

/// What a poll was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled {
    pub(crate) begun_ns: u64,
    pub(crate) ended_ns: u64,
    /// The segment is over.
    pub(crate) over: bool,
    pub(crate) waits_for_its_own: bool,
    pub(crate) paused: Paused,
}

/// What a poll did about a wait for a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    /// There was one, and it was over.
    WasLetGoOn,
    /// There was none, or there still is.
    Stays,
}

/// A segment's meter from poll to poll: a wait for its own resource is told
/// apart from waits at tanks.
#[derive(Default)]
pub(crate) struct Turn {
    /// Pending since, and not at a tank.
    pending_since_ns: Option<u64>,
}

/// Whether the task has used up what tokio lets it do in one poll: then what it
/// polls is pending for the sake of other tasks, not for want of anything.
#[cfg(feature = "tokio")]
fn runtime_has_others() -> bool {
    !tokio::task::coop::has_budget_remaining()
}

#[cfg(not(feature = "tokio"))]
const fn runtime_has_others() -> bool {
    false
}

impl Turn {
    /// The run begins; the first poll is still to come.
    pub(crate) fn start(&mut self, watch: &Watch, at_first: StageState, now_ns: u64) {
        watch.meter.enter(at_first, now_ns);
        if at_first == StageState::Busy {
            watch.yielded.store(true, Ordering::Relaxed);
            self.pending_since_ns = Some(now_ns);
        }
    }

    /// A poll begins. `now_ns` is a reading after which nothing was worked on;
    /// else the clock is read. Says when it begins.
    pub(crate) fn begin(&mut self, watch: &Watch, now_ns: Option<u64>) -> u64 {
        let now_ns = now_ns.unwrap_or_else(|| watch.now_ns());
        watch.turn_ns.store(now_ns, Ordering::Relaxed);
        if let Some(since_ns) = self.pending_since_ns.take() {
            let span_ns = now_ns.saturating_sub(since_ns);
            if watch.yielded.swap(false, Ordering::Relaxed) {
                watch.meter.not_running(span_ns);
            } else {
                watch.meter.own_wait(span_ns);
            }
        }
        watch.meter.polled(now_ns);
        now_ns
    }

    /// Whether it waits for something of its own, and not to be polled again.
    pub(crate) fn waits_for_its_own(&self, watch: &Watch) -> bool {
        self.pending_since_ns.is_some() && !watch.yielded.load(Ordering::Relaxed)
    }

    /// A poll has ended; says when.
    pub(crate) fn end(&mut self, watch: &Watch, over: bool) -> u64 {
        let now_ns = self.close(watch, over);
        let begun_ns = watch.turn_ns.load(Ordering::Relaxed);
        watch.meter.poll_took(now_ns.saturating_sub(begun_ns));
        now_ns
    }

    fn close(&mut self, watch: &Watch, over: bool) -> u64 {
        if over {
            let now_ns = watch.now_ns();
            watch.meter.enter(StageState::Done, now_ns);
            if let Some((relay, index)) = watch.relay.get() {
                relay.waits(*index, now_ns);
            }
            now_ns
        } else if watch.meter.is_waiting() {
            watch.meter.since_ns() // pending is the last thing it did
        } else {
            let now_ns = watch.now_ns();
            self.pending_since_ns = Some(now_ns);
            let yields = watch.yielded.load(Ordering::Relaxed) || runtime_has_others();
            watch.yielded.store(yields, Ordering::Relaxed);
            let what = if yields { BusyAs::LetsOthers } else { BusyAs::OwnWait };
            watch.meter.busy_as(what, now_ns);
            if let Some((relay, index)) = watch.relay.get() {
                relay.works(*index, now_ns);
            }
            now_ns
        }
    }
}
