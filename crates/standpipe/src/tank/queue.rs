//! The shared inside of a tank: one lock around a queue, a gate, a meter and
//! the tasks that wait.
//!
//! Every operation does its work under the lock and returns the tasks to wake,
//! which are woken after unlocking: a woken task must not run into the lock
//! that woke it.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};

use crate::error::{Cause, CauseKind};
use crate::gate::{Flow, Gate, Marks, Turn};
use crate::meter::TankMeter;
use crate::overflow::Overflow;
use crate::snapshot::{Tally, TankSnapshot, Unit};
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, lock};
use crate::tank::batch::Batch;
use crate::tank::events::{EventKind, Observers, Ring, Sight};
use crate::tank::seats::Seats;
use crate::weigh::Scale;

/// What is fixed when a tank is built, and its state.
pub(crate) struct Core<T> {
    pub(crate) name: StdArc<str>,
    pub(crate) unit: Unit,
    pub(crate) scale: Scale<T>,
    pub(crate) overflow: Overflow,
    /// Asked by a reader before each item: 1 is set by `pause`, and every
    /// guard of `cork` adds 2.
    pub(super) held: AtomicUsize,
    pub(super) state: Mutex<State<T>>,
}

pub(crate) struct State<T> {
    pub(super) queue: VecDeque<T>,
    pub(super) gate: Gate,
    /// Weight of what is in `queue` alone, as it was charged.
    pub(super) queued: usize,
    pub(super) end: End,
    pub(super) writers: usize,
    pub(super) abandoned: bool,
    /// A reader parked on an empty queue.
    pub(super) reader: Option<Waker>,
    /// The reader has yielded once to the writers that were notified.
    pub(super) reader_yielded: bool,
    pub(super) seats: Seats,
    /// Those who wait for the last item to leave, or for an early end.
    pub(super) finishing: Seats,
    pub(super) meter: TankMeter,
    /// Those who observe, if anybody does, and what the tank is called there.
    pub(super) observers: Option<Box<Observed>>,
    pub(super) reader_gone: bool,
    /// Told, in a pipeline, when a wait ends here, and when that was.
    pub(super) relay: Option<Box<dyn Fn(Ended, u64) + Send>>,
    /// Credit comes back per item, and a drain wakes every writer: Node's.
    pub(super) exact: bool,
}

/// What somebody who is parked at a tank waited for, and has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// An item, or the end of the data.
    Item,
    /// The drain.
    Drain,
}

/// See [`State::observers`].
pub(super) struct Observed {
    by: Observers,
    name: StdArc<str>,
    unit: Unit,
    finished: bool,
    closed: bool,
}

/// How far the data has come.
pub(crate) enum End {
    /// More may be written.
    Flowing,
    /// All writers said so; what is queued is still to be read.
    Ended,
    /// A writer failed; what is queued comes first, then the cause, once.
    Failed(Cause),
    /// The cause has been read: nothing follows.
    Told(Cause),
    /// The reader went away.
    Stopped(Cause),
}

impl End {
    /// What those who observe are told of it.
    fn told_as(&self) -> Option<EventKind> {
        match self {
            Self::Flowing => None,
            Self::Ended => Some(EventKind::Ended),
            Self::Failed(cause) | Self::Told(cause) => Some(EventKind::Failed(cause.clone())),
            Self::Stopped(cause) => Some(EventKind::Stopped(cause.clone())),
        }
    }
}

/// Tasks to wake, once the lock is free.
#[must_use = "somebody waits for this"]
#[derive(Default)]
pub(crate) struct Wakes {
    one: Option<Waker>,
    other: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    pub(super) fn push(&mut self, waker: Waker) {
        if self.one.is_none() {
            self.one = Some(waker);
        } else if self.other.is_none() {
            self.other = Some(waker);
        } else {
            self.more.push(waker);
        }
    }

    /// Wakes them. Never call this with a tank's lock held.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(waker) = self.one {
            waker.wake();
            if let Some(waker) = self.other {
                waker.wake();
                for waker in self.more {
                    waker.wake();
                }
            }
        }
    }
}

/// Frees the lock, then wakes: those who observe as well.
#[inline]
pub(super) fn unlock<T>(state: MutexGuard<'_, State<T>>, mut wakes: Wakes) {
    if state.observers.is_some() {
        wake_observers(&state, &mut wakes);
    }
    drop(state);
    wakes.wake();
}

#[cold]
fn wake_observers<T>(state: &State<T>, wakes: &mut Wakes) {
    for waker in state.observers.iter().flat_map(|observed| observed.by.wakers()) {
        wakes.push(waker);
    }
}

impl<T> State<T> {
    /// Why nothing can be written, if nothing can.
    pub(super) fn closed(&self) -> Option<Cause> {
        match &self.end {
            End::Flowing => None,
            End::Ended => Some(Cause::new(CauseKind::Stopped)),
            End::Failed(cause) | End::Told(cause) | End::Stopped(cause) => Some(cause.clone()),
        }
    }

    /// Items that were taken in and have neither left nor been dropped. Not the
    /// level: an item may weigh nothing.
    pub(super) const fn inside(&self) -> u64 {
        let left = self.meter.read.plus(self.meter.dropped.total());
        self.meter.written.items.saturating_sub(left.items)
    }

    /// Puts an item in the queue that was charged with `weight`.
    pub(super) fn push(&mut self, item: T, weight: usize) {
        self.queue.push_back(item);
        self.queued = self.queued.saturating_add(weight);
        self.meter.written.add(weight);
        self.meter.oversize_if(weight > self.gate.marks().high());
    }

    /// Charges a weight, with its effects on the meter. Returns what has to be
    /// refunded for it: less than `weight` if the level cannot count so far.
    #[must_use]
    pub(super) fn charge(&mut self, weight: usize, now_ns: Option<u64>) -> usize {
        let (before, was_shut) = (self.gate.level(), self.gate.is_shut());
        self.meter.before(now_ns, before, self.gate.marks().high());
        let shuts = self.gate.admit(weight) == Flow::Wait && !was_shut;
        self.meter.after(now_ns.is_some(), self.gate.level());
        self.meter.wrote();
        if shuts {
            self.meter.pauses = self.meter.pauses.saturating_add(1);
            self.tell_flow(&EventKind::Shut);
        }
        self.gate.level().saturating_sub(before)
    }

    /// Charges an item and puts it in the queue; answers by the level.
    pub(super) fn admit(&mut self, item: T, weight: usize, now_ns: Option<u64>) -> Flow {
        let charged = self.charge(weight, now_ns);
        self.push(item, charged);
        self.gate.flow()
    }

    /// Counts an item that was taken from its writer and is not in the queue.
    pub(super) fn drop_arriving(&mut self, weight: usize) {
        self.meter.written.add(weight);
        self.meter.dropped.newest.add(weight);
        self.tell_dropped(1, weight);
    }

    /// Returns a weight, with its effects on the meter and on who waits.
    pub(super) fn refund(&mut self, weight: usize, now_ns: Option<u64>, wakes: &mut Wakes) {
        self.meter.before(now_ns, self.gate.level(), self.gate.marks().high());
        let turn = self.gate.release(weight);
        self.meter.after(now_ns.is_some(), self.gate.level());
        if turn == Turn::Opened {
            if !self.seats.is_empty() {
                self.meter.drained();
            }
            self.opened(wakes);
            self.tell_flow(&EventKind::Drained);
        }
        if !matches!(self.end, End::Flowing) && self.inside() == 0 {
            self.wake_finishing(wakes);
            self.tell_emptied();
        }
    }

    /// Tells those who observe that the gate moved: no news once the data has
    /// ended.
    fn tell_flow(&mut self, kind: &EventKind) {
        if self.observers.is_some() && matches!(self.end, End::Flowing) {
            self.tell(kind);
        }
    }

    /// Tells those who observe that items will not be delivered.
    pub(super) fn tell_dropped(&mut self, items: usize, weight: usize) {
        if self.observers.is_some() && items > 0 {
            let mut tally = Tally::default();
            tally.add_many(items, weight);
            self.tell(&EventKind::Dropped(tally));
        }
    }

    /// Tells those who observe how the data ended, and what follows from it.
    pub(super) fn tell_end(&mut self) {
        if let Some(kind) = self.end.told_as() {
            self.tell(&kind);
            self.tell_emptied();
        }
    }

    /// The last item has left, or a door: tells what is complete by that.
    pub(super) fn tell_emptied(&mut self) {
        if self.observers.is_none() || self.inside() > 0 {
            return;
        }
        if matches!(self.end, End::Ended) {
            self.tell_once(&EventKind::Finished, |observed| &mut observed.finished);
        }
        if self.writers == 0 && self.reader_gone {
            self.tell_once(&EventKind::Closed, |observed| &mut observed.closed);
        }
    }

    fn tell_once(&mut self, kind: &EventKind, told: impl Fn(&mut Observed) -> &mut bool) {
        if self.observers.as_deref_mut().is_some_and(|seen| !mem::replace(told(seen), true)) {
            self.tell(kind);
        }
    }

    #[cold]
    fn tell(&mut self, kind: &EventKind) {
        let (level, at_ns) = (self.gate.level(), self.meter.seen_ns());
        let Some(observed) = &mut self.observers else { return };
        let sight = Sight { tank: &observed.name, level, unit: observed.unit, at_ns };
        observed.by.tell(kind, &sight);
    }

    /// The drain: the next writer may come. If the reader is parked with
    /// nothing to read, all may: it would not come back to see whether the one
    /// that was notified ever came.
    pub(super) fn opened(&mut self, wakes: &mut Wakes) {
        if self.exact || (self.reader.is_some() && self.queue.is_empty()) {
            self.wake_all_writers(wakes);
        } else {
            self.wake_next_writer(wakes);
        }
    }

    /// How much may leave a batch before its credit has to come back.
    pub(super) const fn return_at(&self) -> usize {
        if self.exact { 0 } else { self.gate.until_open() }
    }

    /// Whether a write has nobody to wake.
    pub(super) fn nobody_waits(&self) -> bool {
        self.reader.is_none() && self.seats.is_empty() && self.observers.is_none()
    }

    pub(super) fn wake_reader(&mut self, wakes: &mut Wakes) {
        if let Some(waker) = self.reader.take() {
            self.meter.wakes_reader = self.meter.wakes_reader.saturating_add(1);
            wakes.push(waker);
            self.pass_on(Ended::Item);
        }
    }

    pub(super) fn wake_next_writer(&mut self, wakes: &mut Wakes) {
        if let Some(waker) = self.seats.notify_next() {
            self.meter.wakes_writer = self.meter.wakes_writer.saturating_add(1);
            wakes.push(waker);
            self.pass_on(Ended::Drain);
        }
    }

    pub(super) fn wake_all_writers(&mut self, wakes: &mut Wakes) {
        let before = self.meter.wakes_writer;
        for waker in self.seats.notify_all() {
            self.meter.wakes_writer = self.meter.wakes_writer.saturating_add(1);
            wakes.push(waker);
        }
        if self.meter.wakes_writer > before {
            self.pass_on(Ended::Drain);
        }
    }

    /// Whoever is woken goes on from the path of the one who woke him.
    fn pass_on(&self, ended: Ended) {
        if let (Some(relay), Some(seen_ns)) = (&self.relay, self.meter.seen_ns()) {
            relay(ended, seen_ns);
        }
    }

    pub(super) fn wake_finishing(&mut self, wakes: &mut Wakes) {
        for waker in self.finishing.notify_all() {
            wakes.push(waker);
        }
    }

    /// Swaps the queue into `batch`, if anything is queued.
    pub(super) fn take_into(&mut self, batch: &mut Batch<T>) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        self.reader_yielded = false;
        let gate = self.gate;
        self.meter.reader_began(gate.level());
        let charged = mem::take(&mut self.queued);
        let return_at = self.return_at();
        batch.fill(&mut self.queue, charged, return_at);
        true
    }

    /// The reader finds nothing. If more writers wait beside the open gate than
    /// were notified, those that were get one turn (true: the reader has to look again),
    /// then all are woken.
    pub(super) fn let_writers_in(&mut self, wakes: &mut Wakes) -> bool {
        if self.seats.all_notified() || self.gate.is_shut() {
            return false;
        }
        let yielded = mem::replace(&mut self.reader_yielded, true);
        if yielded {
            self.wake_all_writers(wakes);
        }
        !yielded
    }

    /// Everybody has to look again.
    pub(super) fn wake_everyone(&mut self, wakes: &mut Wakes) {
        self.wake_reader(wakes);
        self.wake_all_writers(wakes);
        self.wake_finishing(wakes);
    }
}

impl<T> Core<T> {
    pub(crate) fn new(
        name: StdArc<str>,
        unit: Unit,
        scale: Scale<T>,
        overflow: Overflow,
        marks: Marks,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            gate: Gate::new(marks),
            queued: 0,
            end: End::Flowing,
            writers: 1,
            abandoned: false,
            reader: None,
            reader_yielded: false,
            seats: Seats::default(),
            finishing: Seats::default(),
            meter: TankMeter::default(),
            observers: None,
            reader_gone: false,
            relay: None,
            exact: false,
        };
        Self { name, unit, scale, overflow, held: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// See [`State::exact`].
    pub(crate) fn set_exact(&self) {
        lock(&self.state).exact = true;
    }

    pub(crate) fn gate(&self) -> Gate {
        lock(&self.state).gate
    }

    pub(crate) fn set_marks(&self, marks: Marks) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        match state.gate.set_marks(marks) {
            Turn::Opened => {
                state.opened(&mut wakes);
                state.tell_flow(&EventKind::Drained);
            }
            Turn::Shut => {
                state.meter.pauses = state.meter.pauses.saturating_add(1);
                state.tell_flow(&EventKind::Shut);
            }
            Turn::Stayed => {}
        }
        unlock(state, wakes);
    }

    /// Adds an observer, and tells it how the tank stands.
    pub(crate) fn observe(&self, ring: Arc<Ring>, index: usize) {
        let mut state = lock(&self.state);
        let observed = state.observers.get_or_insert_with(|| {
            Box::new(Observed {
                by: Observers::default(),
                name: self.name.clone(),
                unit: self.unit,
                finished: false,
                closed: false,
            })
        });
        observed.by.add(ring, index);
        let standing = match state.end.told_as() {
            Some(end) => end,
            None if state.gate.is_shut() => EventKind::Shut,
            None => EventKind::Ready,
        };
        let empty = state.inside() == 0;
        let closed = state.writers == 0 && state.reader_gone && empty;
        let finished = matches!(state.end, End::Ended) && empty;
        let (level, at_ns) = (state.gate.level(), state.meter.seen_ns());
        if let Some(observed) = &mut state.observers {
            observed.finished |= finished;
            observed.closed |= closed;
            let sight = Sight { tank: &observed.name, level, unit: observed.unit, at_ns };
            observed.by.tell_newest(&standing, &sight);
            if finished {
                observed.by.tell_newest(&EventKind::Finished, &sight);
            }
            if closed {
                observed.by.tell_newest(&EventKind::Closed, &sight);
            }
        }
    }

    /// A reading of the clock, so that what is told next has its time.
    pub(crate) fn see_time(&self, now_ns: u64) {
        let mut state = lock(&self.state);
        let (level, high) = (state.gate.level(), state.gate.marks().high());
        state.meter.before(Some(now_ns), level, high);
    }

    pub(crate) fn start_timing(&self, now_ns: u64) {
        let mut state = lock(&self.state);
        let level = state.gate.level();
        state.meter.start_timing(now_ns, level);
    }

    /// `relay` is told, under the lock, when a wait ends here.
    pub(crate) fn set_relay(&self, relay: Box<dyn Fn(Ended, u64) + Send>) {
        lock(&self.state).relay = Some(relay);
    }

    pub(crate) fn snapshot(&self, now_ns: Option<u64>) -> TankSnapshot {
        let state = lock(&self.state);
        let seen = state.meter.snapshot(self.name.clone(), self.unit, state.gate, now_ns);
        TankSnapshot {
            reader_parked: state.reader.is_some(),
            writers_parked: state.seats.not_notified(),
            held: self.is_held(),
            ended: !matches!(state.end, End::Flowing),
            ..seen
        }
    }
}

/// A tank seen without its item type.
pub(crate) trait AnyTank: Send + Sync {
    fn snapshot(&self, now_ns: Option<u64>) -> TankSnapshot;
    fn gate(&self) -> Gate;
    fn set_marks(&self, marks: Marks);
    fn observe(&self, ring: Arc<Ring>, index: usize);
    fn poll_finished(&self, cx: &Context<'_>, ticket: &mut Option<u64>) -> Poll<Result<(), Cause>>;
    fn leave_finishing(&self, ticket: u64);
    /// Another one than that of any tank alive.
    fn id(&self) -> usize;
}

impl<T: Send> AnyTank for Shared<T> {
    fn id(&self) -> usize {
        std::ptr::from_ref(self.as_ref()).addr()
    }

    fn snapshot(&self, now_ns: Option<u64>) -> TankSnapshot {
        self.as_ref().snapshot(now_ns)
    }

    fn gate(&self) -> Gate {
        self.as_ref().gate()
    }

    fn set_marks(&self, marks: Marks) {
        self.as_ref().set_marks(marks);
    }

    fn observe(&self, ring: Arc<Ring>, index: usize) {
        self.as_ref().observe(ring, index);
    }

    fn poll_finished(&self, cx: &Context<'_>, ticket: &mut Option<u64>) -> Poll<Result<(), Cause>> {
        self.as_ref().poll_finished(cx, ticket)
    }

    fn leave_finishing(&self, ticket: u64) {
        self.as_ref().leave_finishing(ticket);
    }
}

pub(crate) type Shared<T> = Arc<Core<T>>;
