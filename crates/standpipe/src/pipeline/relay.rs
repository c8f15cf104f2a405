//! Whose path goes on when a wait ends?
//!
//! Segments with tasks or threads of their own hand their paths over at the
//! tanks: two slots a tank, filled when somebody is parked there and woken,
//! and at no other time. In one task the task itself is a precondition: whoever
//! could have run before it came free goes on from the segment polled last. So
//! there one trail goes from poll to poll, and only who waited for something
//! of its own while the task slept goes on from where it was.
//!
//! Both write the sink's path into a [`Book`], when a waypoint is due.

use crate::critical::{Doing, Log, Path, Sight, Trail};
use crate::pipeline::turn::{Paused, Polled};
use crate::snapshot::{CriticalPath, Join, StageState};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};
use crate::tank::aside::Ended;

/// The waypoints of a pipeline.
#[derive(Default)]
pub(crate) struct Book {
    /// None is due before.
    due_ns: AtomicU64,
    log: Mutex<Option<Log>>,
}

impl Book {
    fn open(&self, path: &Path, now_ns: u64) {
        *lock(&self.log) = Some(Log::new(path, now_ns));
    }

    /// Whether a waypoint is due: one load and a comparison.
    fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns.load(Ordering::Relaxed)
    }

    fn note(&self, sight: Sight<'_>) {
        if let Some(log) = &mut *lock(&self.log) {
            log.note(sight);
            self.due_ns.store(log.next_ns(), Ordering::Relaxed);
        }
    }

    /// All that is known.
    pub(crate) fn waypoints(&self) -> CriticalPath {
        lock(&self.log).as_ref().map_or_else(CriticalPath::default, Log::points)
    }

    /// All that is known, with `now` as the last one.
    fn with(&self, now: Sight<'_>) -> CriticalPath {
        lock(&self.log).as_ref().map_or_else(CriticalPath::default, |log| log.with(now))
    }
}

/// The trails of segments that run each by itself.
pub(crate) struct Relay {
    runners: Vec<Runner>,
    slots: Vec<Slots>,
    book: Arc<Book>,
}

struct Runner {
    state: Mutex<Running>,
    /// The tanks on both sides of it.
    reads: Option<usize>,
    writes: Option<usize>,
    is_sink: bool,
}

struct Running {
    trail: Trail,
    /// No time is its own until its wait is over.
    waits: bool,
}

/// What goes on at a tank: the path of the write, of the credit, that ended a
/// wait last.
struct Slots {
    join: Join,
    item: Mutex<Path>,
    drain: Mutex<Path>,
}

impl Relay {
    pub(crate) fn new(
        begin: &[StageState],
        joins: &[Join],
        book: Arc<Book>,
        now_ns: u64,
    ) -> Arc<Self> {
        let path = Path::new(begin.len(), joins.len());
        book.open(&path, now_ns);
        let sink = begin.len().saturating_sub(1);
        let runner = |(index, state): (usize, &StageState)| Runner {
            state: Mutex::new(Running {
                trail: Trail::new(path.clone(), index, now_ns),
                waits: *state != StageState::Busy,
            }),
            reads: joins.iter().position(|join| join.to == index),
            writes: joins.iter().position(|join| join.from == index),
            is_sink: index == sink,
        };
        let slots = |join: &Join| Slots {
            join: *join,
            item: Mutex::new(path.clone()),
            drain: Mutex::new(path.clone()),
        };
        Arc::new(Self {
            runners: begin.iter().enumerate().map(runner).collect(),
            slots: joins.iter().map(slots).collect(),
            book,
        })
    }

    /// Another one than that of any pipeline alive.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Somebody who was parked at this tank is woken: the other side's path is
    /// what he goes on from.
    pub(crate) fn hand_over(&self, tank: usize, ended: Ended, now_ns: u64) {
        let Some(slots) = self.slots.get(tank) else { return };
        let (by, slot) = match ended {
            Ended::Item => (slots.join.from, &slots.item),
            Ended::Drain => (slots.join.to, &slots.drain),
            // until somebody of this pipeline ends the wait it is its own path
            Ended::Nothing => (slots.join.from, &slots.drain),
            Ended::Grant(spot) if spot.pipeline == self.id() => match self.slots.get(spot.tank) {
                Some(waits) => (slots.join.to, &waits.drain),
                None => return,
            },
            Ended::Grant(_) => return,
        };
        let Some(by) = self.runners.get(by) else { return };
        let mut by = lock(&by.state);
        if !by.waits {
            by.trail.settle(now_ns);
        }
        lock(slot).become_copy_of(by.trail.path());
    }

    /// A wait of this segment begins, or its end.
    pub(crate) fn waits(&self, segment: usize, now_ns: u64) {
        let Some(runner) = self.runners.get(segment) else { return };
        let mut running = lock(&runner.state);
        if !running.waits {
            running.trail.settle(now_ns);
            running.waits = true;
        }
        if runner.is_sink && self.book.is_due(now_ns) {
            self.book.note(running.trail.look(now_ns, Doing::Waits));
        }
    }

    /// A wait of this segment is over.
    pub(crate) fn goes_on(&self, segment: usize, after: StageState, now_ns: u64) {
        let Some(runner) = self.runners.get(segment) else { return };
        let mut running = lock(&runner.state);
        running.waits = false;
        let tank = match after {
            StageState::Starved => runner.reads,
            _ => runner.writes,
        };
        match tank.and_then(|tank| self.slots.get(tank).map(|slots| (tank, slots))) {
            None => running.trail.go_on(now_ns),
            Some((_, slots)) if after == StageState::Starved => {
                running.trail.follow(&lock(&slots.item), now_ns);
            }
            Some((tank, slots)) => running.trail.follow_back(&lock(&slots.drain), tank, now_ns),
        }
    }

    /// A poll of this segment has ended, and it holds an item.
    pub(crate) fn works(&self, segment: usize, now_ns: u64) {
        if let Some(runner) = self.runners.get(segment)
            && runner.is_sink
            && self.book.is_due(now_ns)
        {
            self.book.note(lock(&runner.state).trail.look(now_ns, Doing::Works));
        }
    }

    /// The sink's path up to now.
    pub(crate) fn waypoints(&self, now_ns: u64) -> CriticalPath {
        let Some(sink) = self.runners.last() else { return self.book.waypoints() };
        let mut running = lock(&sink.state);
        let doing = if running.waits { Doing::Waits } else { Doing::Works };
        self.book.with(running.trail.look(now_ns, doing))
    }
}

/// The one trail of a task that polls all segments.
pub(crate) struct Round {
    trail: Trail,
    /// Where segments were when they began to wait for something of their own,
    /// and since when they do.
    own: Vec<(Path, Option<u64>)>,
    /// Nothing was to be polled since the last poll.
    slept: bool,
    joins: Vec<Join>,
    book: Arc<Book>,
}

impl Round {
    pub(crate) fn new(segments: usize, joins: &[Join], book: Arc<Book>, now_ns: u64) -> Self {
        let path = Path::new(segments, joins.len());
        book.open(&path, now_ns);
        Self {
            own: vec![(path.clone(), None); segments],
            trail: Trail::new(path, 0, now_ns),
            slept: false,
            joins: joins.to_vec(),
            book,
        }
    }

    /// The task has nothing to poll.
    pub(crate) const fn sleeps(&mut self) {
        self.slept = true;
    }

    /// A segment was polled.
    pub(crate) fn polled(&mut self, segment: usize, polled: &Polled) {
        self.trail.turn_to(segment);
        self.trail.go_on(polled.begun_ns);
        if let Some((path, since_ns)) = self.own.get_mut(segment)
            && let Some(since_ns) = since_ns.take()
            && self.slept
        {
            // it ends the task's sleep: the time was its own
            self.trail.follow(path, since_ns);
            self.trail.settle(polled.begun_ns);
        }
        self.slept = false;
        if polled.paused == Paused::WasLetGoOn
            && let Some(tank) = self.joins.iter().position(|join| join.from == segment)
        {
            self.trail.cross(tank);
        }
        self.trail.settle(polled.ended_ns);
        if polled.waits_for_its_own
            && let Some((path, since_ns)) = self.own.get_mut(segment)
        {
            path.become_copy_of(self.trail.path());
            *since_ns = Some(polled.ended_ns);
        }
        let is_sink = segment.saturating_add(1) == self.own.len();
        if is_sink && (polled.over || self.book.is_due(polled.ended_ns)) {
            self.book.note(self.trail.look(polled.ended_ns, Doing::Waits));
        }
    }
}
