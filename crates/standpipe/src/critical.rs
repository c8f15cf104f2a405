//! Whose time does the result wait for?
//!
//! Bounded tanks that keep order are a max-plus system: whatever happens next
//! happens when the *last* of its preconditions arrives. A [`Path`] holds, for
//! the chain of last arrivals that led up to now, the time spent in each stage
//! and how often the chain crossed each tank upstream (from a writer back to
//! the reader that let it go on). Whoever comes last passes the path on:
//!
//! ```text
//!   reader waits at an empty tank   the write that fills it ends the wait
//!   writer waits at a shut tank     the credit that opens it ends the wait
//! ```
//!
//! Only who *waited* ever needs a path, and only these two events end a wait.
//! So two slots per tank are enough, filled when somebody is parked and not
//! otherwise; who does not wait copies nothing and reads no clock. At the sink
//! the growth of a stage's entry over a window, divided by the window, is its
//! *share*: by how many percent the line gains if that stage gets 1 % faster.
//!
//! # Knows / never knows
//! Knows time spent busy, hand-overs, and `now` as an argument. Never knows a
//! clock, a tank, or what is concluded: `diagnose` does that.
//!
//! # Terms
//! *crossing*: a step of the chain from a writer back to the reader whose
//! credit it waited for. *hand-over*: critical time outside every stage, such
//! as from a wake-up to running.

use crate::snapshot::CriticalPath;

mod estimate;

pub(crate) use estimate::{Window, ceiling, clarity, largest, what_if};

/// Waypoints kept; when there are more, every other one goes.
const WAYPOINTS: usize = 96;
/// The first distance between two waypoints.
const FIRST_STEP_NS: u64 = 1 << 10;

/// The chain of last arrivals: time in each stage, then crossings at each tank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    values: Box<[u64]>,
    stages: usize,
}

impl Path {
    /// A chain that has not begun, in a pipeline of this shape.
    pub(crate) fn new(stages: usize, tanks: usize) -> Self {
        Self { values: vec![0; stages.saturating_add(tanks)].into_boxed_slice(), stages }
    }

    /// Becomes a copy of `other`, which is of the same pipeline. Allocates
    /// nothing.
    pub(crate) fn become_copy_of(&mut self, other: &Self) {
        self.values.copy_from_slice(&other.values);
    }

    fn spend(&mut self, stage: usize, span_ns: u64) {
        if let Some(value) = self.values.get_mut(stage) {
            *value = value.saturating_add(span_ns);
        }
    }

    fn cross(&mut self, tank: usize) {
        if let Some(value) = self.values.get_mut(self.stages.saturating_add(tank)) {
            *value = value.saturating_add(1);
        }
    }
}

/// One thread of control with the path that led to what it does.
///
/// It accounts for time only while it is busy: from the end of a wait
/// ([`follow`](Self::follow)) to the beginning of the next
/// ([`settle`](Self::settle)).
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    path: Path,
    me: usize,
    last_ns: u64,
}

impl Trail {
    /// Of the stage `me`, from `now_ns` on.
    pub(crate) const fn new(path: Path, me: usize, now_ns: u64) -> Self {
        Self { path, me, last_ns: now_ns }
    }

    /// Adds the time since the last settle to its own entry. Only while busy:
    /// when its wait begins, or when it ends somebody else's.
    pub(crate) fn settle(&mut self, now_ns: u64) {
        self.path.spend(self.me, now_ns.saturating_sub(self.last_ns));
        self.last_ns = self.last_ns.max(now_ns);
    }

    /// Its path, for whoever it lets go on.
    pub(crate) const fn path(&self) -> &Path {
        &self.path
    }

    /// A wait for an item ended: it goes on from where `path` had come.
    pub(crate) fn follow(&mut self, path: &Path, now_ns: u64) {
        self.path.become_copy_of(path);
        self.last_ns = now_ns;
    }

    /// A wait for a drain of this tank ended.
    pub(crate) fn follow_back(&mut self, path: &Path, tank: usize, now_ns: u64) {
        self.follow(path, now_ns);
        self.path.cross(tank);
    }

    /// A wait ended that nobody's path is known of: it goes on from its own.
    pub(crate) fn go_on(&mut self, now_ns: u64) {
        self.last_ns = now_ns;
    }

    /// It goes on as another stage: the one that the task polls now.
    pub(crate) const fn turn_to(&mut self, stage: usize) {
        self.me = stage;
    }

    /// The chain went back over this tank.
    pub(crate) fn cross(&mut self, tank: usize) {
        self.path.cross(tank);
    }

    /// Where the chain is at `now_ns`. Time since the last settle is its own
    /// only if it is busy.
    pub(crate) fn look(&mut self, now_ns: u64, doing: Doing) -> Sight<'_> {
        if doing == Doing::Works {
            self.settle(now_ns);
        }
        Sight { at_ns: self.last_ns, path: &self.path }
    }
}

/// Whether a thread of control holds an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It does.
    Works,
    /// It waits for one, or to get rid of one.
    Waits,
}

/// A path, and as of when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    at_ns: u64,
    path: &'a Path,
}

/// The sink's path at moments spread over the whole run, in bounded memory:
/// when they are too many every other one goes, and the distance doubles.
/// Takes memory as they come, for most of many pipelines wait all the time.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    points: CriticalPath,
    step_ns: u64,
    next_ns: u64,
}

impl Log {
    /// Begins with the empty path at `now_ns`.
    pub(crate) fn new(path: &Path, now_ns: u64) -> Self {
        let tanks = path.values.len().saturating_sub(path.stages);
        let mut points = CriticalPath::with_room(path.stages, tanks, 1);
        points.push(now_ns, &path.values);
        let next_ns = now_ns.saturating_add(FIRST_STEP_NS);
        Self { points, step_ns: FIRST_STEP_NS, next_ns }
    }

    /// When the next waypoint is due.
    pub(crate) const fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Keeps a waypoint.
    pub(crate) fn note(&mut self, sight: Sight<'_>) {
        if self.points.last().is_some_and(|last| sight.at_ns <= last.at_ns) {
            return;
        }
        self.next_ns = sight.at_ns.saturating_add(self.step_ns);
        self.points.make_room(WAYPOINTS);
        self.points.push(sight.at_ns, &sight.path.values);
        if self.points.len() >= WAYPOINTS {
            self.points.thin_out();
            self.step_ns = self.step_ns.saturating_mul(2);
        }
    }

    /// All that is known.
    pub(crate) fn points(&self) -> CriticalPath {
        self.points.roomy_clone()
    }

    /// All that is known, with `now` as the last one.
    pub(crate) fn with(&self, now: Sight<'_>) -> CriticalPath {
        let mut points = self.points();
        if points.last().is_none_or(|last| now.at_ns > last.at_ns) {
            points.push(now.at_ns, &now.path.values);
        }
        points
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
