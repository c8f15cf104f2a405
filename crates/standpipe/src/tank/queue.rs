//! The shared inside of a tank: one lock around a queue, a gate, a meter and
//! the tasks that wait.
//!
//! Every operation does its work under the lock and returns the tasks to wake,
//! which are woken after unlocking: a woken task must not run into the lock
//! that woke it.

use std::collections::VecDeque;
use std::mem;
use std::panic::resume_unwind;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};

use crate::budget::{Grant, call_all};
use crate::error::{Cause, CauseKind};
use crate::gate::{Flow, Gate, Marks, Turn};
use crate::meter::TankMeter;
use crate::overflow::Overflow;
use crate::snapshot::{Tally, TankBudget, TankSnapshot, Unit};
use crate::sync::{Arc, AtomicU32, Mutex, MutexGuard, lock};
use crate::tank::aside::{Aside, Ended, Observed, Relayed, UNNAMED};
use crate::tank::batch::Batch;
use crate::tank::budget::Waiter;
use crate::tank::events::{EventKind, Observers, Ring, Sight};
use crate::tank::exit::InHand;
use crate::tank::seats::Seat;
use crate::weigh::Scale;

/// What is fixed when a tank is built, and its state.
///
/// A tank that idles is this, its two doors and nothing else. The queue comes
/// with the first item, what is [aside](Aside) with the first wait.
pub(crate) struct Core<T> {
    pub(crate) unit: Unit,
    pub(crate) scale: Scale<T>,
    pub(crate) overflow: Overflow,
    /// Asked by a reader before each item: 1 is set by `pause`, and every
    /// guard of `cork` adds 2.
    pub(super) held: AtomicU32,
    pub(super) state: Mutex<State<T>>,
}

pub(crate) struct State<T> {
    pub(super) queue: VecDeque<T>,
    pub(super) gate: Gate,
    /// Weight of what is in `queue` alone, as it was charged.
    pub(super) queued: usize,
    end: End,
    /// Of an early end; all of its cause is `aside` if there is more to it.
    ended_by: CauseKind,
    pub(super) writers: usize,
    pub(super) abandoned: bool,
    /// A reader parked on an empty queue.
    pub(super) reader: Option<Waker>,
    /// The reader has yielded once to the writers that were notified.
    pub(super) reader_yielded: bool,
    pub(super) meter: TankMeter,
    pub(super) aside: Option<Box<Aside>>,
    pub(super) reader_gone: bool,
    /// Credit comes back per item, and a drain wakes every writer: Node's.
    pub(super) exact: bool,
}

/// How far the data has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More may be written.
    Flowing,
    /// All writers said so; what is queued is still to be read.
    Ended,
    /// A writer failed; what is queued comes first, then the cause, once.
    Failed,
    /// The cause has been read: nothing follows.
    Told,
    /// The reader went away.
    Stopped,
}

/// Tasks to wake, once the lock is free.
#[must_use = "somebody waits for this"]
#[derive(Default)]
pub(crate) struct Wakes {
    one: Option<Waker>,
    other: Option<Waker>,
    /// Most often none, and then nothing is to be dropped.
    more: Option<Vec<Waker>>,
}

impl Wakes {
    pub(super) fn push(&mut self, waker: Waker) {
        if self.one.is_none() {
            self.one = Some(waker);
        } else if self.other.is_none() {
            self.other = Some(waker);
        } else {
            self.more.get_or_insert_default().push(waker);
        }
    }

    /// Wakes them. Never call this with a tank's lock held.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(waker) = self.one {
            waker.wake();
            if let Some(waker) = self.other {
                waker.wake();
                for waker in self.more.into_iter().flatten() {
                    waker.wake();
                }
            }
        }
    }
}

/// Frees the lock, then wakes: those who observe as well.
#[inline]
pub(super) fn unlock<T>(state: MutexGuard<'_, State<T>>, wakes: Wakes) {
    if state.has_news() {
        return unlock_with_news(state, wakes);
    }
    drop(state);
    wakes.wake();
}

#[cold]
fn unlock_with_news<T>(mut state: MutexGuard<'_, State<T>>, mut wakes: Wakes) {
    let unneeded = state.keep_in_line(&mut wakes);
    let mut called = Vec::new();
    if let Some(aside) = &mut state.aside {
        aside.news = false;
        called = mem::take(&mut aside.called);
        for waker in aside.observers.iter_mut().flat_map(|observed| observed.by.wakers()) {
            wakes.push(waker);
        }
    }
    drop(state);
    let panic = call_all(called);
    wakes.wake();
    drop(unneeded); // a waker's destructor is foreign code
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

impl<T> State<T> {
    /// Why nothing can be written, if nothing can.
    pub(super) fn closed(&self) -> Option<Cause> {
        match self.end {
            End::Flowing => None,
            End::Ended => Some(Cause::new(CauseKind::Stopped)),
            End::Failed | End::Told | End::Stopped => Some(self.cause()),
        }
    }

    pub(super) const fn end(&self) -> End {
        self.end
    }

    pub(super) fn is_flowing(&self) -> bool {
        self.end == End::Flowing
    }

    /// All writers said that this is all.
    pub(super) fn end_well(&mut self) {
        self.line_moves();
        self.end = End::Ended;
    }

    /// The data ends early: `end` says by whom.
    pub(super) fn end_early(&mut self, end: End, cause: Cause) {
        self.line_moves();
        self.end = end;
        self.ended_by = cause.kind();
        if !cause.is_bare() {
            self.aside_mut().cause = Some(Box::new(cause));
        }
    }

    /// The reader has been told the cause of an early end.
    pub(super) fn told(&mut self) {
        self.end = End::Told;
    }

    /// Why the data ended early.
    pub(super) fn cause(&self) -> Cause {
        let whole = self.aside.as_ref().and_then(|aside| aside.cause.as_deref());
        whole.cloned().unwrap_or_else(|| Cause::new(self.ended_by))
    }

    /// What those who observe are told of the end, if it came.
    fn end_told_as(&self) -> Option<EventKind> {
        match self.end {
            End::Flowing => None,
            End::Ended => Some(EventKind::Ended),
            End::Failed | End::Told => Some(EventKind::Failed(self.cause())),
            End::Stopped => Some(EventKind::Stopped(self.cause())),
        }
    }

    pub(super) fn aside_mut(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// Whether a writer waits.
    #[inline]
    pub(super) fn has_seats(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| !aside.seats.is_empty())
    }

    #[inline]
    fn is_observed(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.observers.is_some())
    }

    /// Whether somebody beside the two doors is to be woken: those who observe,
    /// and who waits for a budget at another tank.
    #[inline]
    fn has_news(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.news)
    }

    /// Takes the seat of this ticket away, if it has one.
    pub(super) fn leave_seat(&mut self, ticket: Option<u64>) -> Option<Seat> {
        let seat = self.aside.as_mut()?.seats.leave(ticket?);
        self.line_moves();
        seat
    }

    /// Whether the seat of this ticket was called.
    pub(super) fn is_notified(&self, ticket: u64) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.seats.is_notified(ticket))
    }

    /// Writers that wait and were not notified.
    fn not_notified(&self) -> usize {
        self.aside.as_ref().map_or(0, |aside| aside.seats.not_notified())
    }

    pub(super) fn name(&self) -> StdArc<str> {
        let name = self.aside.as_ref().and_then(|aside| aside.name.clone());
        name.unwrap_or_else(|| UNNAMED.into())
    }

    /// Items that were taken in and have neither left nor been dropped. Not the
    /// level: an item may weigh nothing.
    pub(super) fn inside(&self) -> u64 {
        let left = self.meter.read.plus(self.meter.dropped());
        self.meter.written.items.saturating_sub(left.items)
    }

    /// Puts an item in the queue that was charged with `weight`.
    pub(super) fn push(&mut self, item: T, weight: usize) {
        self.queue.push_back(item);
        self.queued = self.queued.saturating_add(weight);
        self.meter.written.add(weight);
        if weight > self.gate.marks().high() {
            self.oversized(weight);
        }
    }

    /// An item is heavier than the mark the tank goes by: that need not be its
    /// own.
    #[cold]
    fn oversized(&mut self, weight: usize) {
        self.meter.oversized(u64::from(weight > self.marks().high()));
    }

    /// Charges a weight, with its effects on the meter. Returns what has to be
    /// refunded for it: less than `weight` if the level cannot count so far.
    #[must_use]
    pub(super) fn charge(&mut self, weight: usize, now_ns: Option<u64>) -> usize {
        let (before, was_shut) = (self.gate.level(), self.gate.is_shut());
        if now_ns.is_some() {
            self.meter.before(now_ns, before, self.marks().high());
        }
        let shuts = self.gate.admit(weight) == Flow::Wait && !was_shut;
        self.meter.after(now_ns.is_some(), self.gate.level());
        self.meter.wrote();
        if shuts {
            self.shut();
        }
        self.gate.level().saturating_sub(before)
    }

    /// Out of the way of each item: it happens once per half tank.
    #[cold]
    fn shut(&mut self) {
        if self.grant().is_none() || !self.is_granted_more() {
            self.has_shut();
        }
    }

    fn has_shut(&mut self) {
        if self.grant().is_some() {
            self.stays_shut();
        }
        self.meter.paused();
        self.tell_flow(&EventKind::Shut);
    }

    /// Charges an item and puts it in the queue; answers by the level.
    #[inline(always)] // else a call an item, where its other caller is a shut tank
    pub(super) fn admit(&mut self, item: T, weight: usize, now_ns: Option<u64>) -> Flow {
        let charged = self.charge(weight, now_ns);
        self.push(item, charged);
        self.gate.flow()
    }

    /// Counts an item that was taken from its writer and is not in the queue.
    pub(super) fn drop_arriving(&mut self, weight: usize) {
        self.meter.written.add(weight);
        self.meter.drops().newest.add(weight);
        self.tell_dropped(InHand { items: 1, weight }, 0);
    }

    /// Returns a weight, with its effects on the meter and on who waits.
    pub(super) fn refund(&mut self, weight: usize, now_ns: Option<u64>, wakes: &mut Wakes) {
        if now_ns.is_some() {
            self.meter.before(now_ns, self.gate.level(), self.marks().high());
        }
        let mut turn = self.gate.release(weight);
        if self.grant().is_some() {
            turn = self.fell_by_grant(turn);
        }
        self.meter.after(now_ns.is_some(), self.gate.level());
        if self.is_flowing() {
            self.meter.fell(self.gate.level());
        }
        match turn {
            Turn::Stayed => {}
            Turn::Opened => {
                if self.has_seats() {
                    self.meter.drained();
                }
                self.has_opened(wakes);
            }
            Turn::Shut => self.has_shut(),
        }
        if !self.is_flowing() && self.inside() == 0 {
            self.wake_finishing(wakes);
            self.tell_emptied();
        }
    }

    /// Tells those who observe that the gate moved: no news once the data has
    /// ended.
    pub(super) fn tell_flow(&mut self, kind: &EventKind) {
        if self.is_observed() && self.is_flowing() {
            self.tell(kind);
        }
    }

    /// Counts items that were taken in and will not be delivered: most often
    /// there are none.
    pub(super) fn count_unread(&mut self, lost: InHand) {
        if lost.items > 0 {
            self.meter.drops().unread.add_many(lost.items, lost.weight);
        }
    }

    /// Tells those who observe that items will not be delivered. So much of
    /// their weight is in the level and about to leave it.
    pub(super) fn tell_dropped(&mut self, lost: InHand, leaving: usize) {
        if self.is_observed() && lost.items > 0 {
            let mut tally = Tally::default();
            tally.add_many(lost.items, lost.weight);
            let level = self.gate.level().saturating_sub(leaving);
            self.tell_at(&EventKind::Dropped(tally), level);
        }
    }

    /// Tells those who observe how the data ended, and what follows from it.
    pub(super) fn tell_end(&mut self) {
        if self.is_observed()
            && let Some(kind) = self.end_told_as()
        {
            self.tell(&kind);
            self.tell_emptied();
        }
    }

    /// The last item has left, or a door: tells what is complete by that.
    pub(super) fn tell_emptied(&mut self) {
        if !self.is_observed() || self.inside() > 0 {
            return;
        }
        if self.end == End::Ended {
            self.tell_once(&EventKind::Finished, |observed| &mut observed.finished);
        }
        if self.writers == 0 && self.reader_gone {
            self.tell_once(&EventKind::Closed, |observed| &mut observed.closed);
        }
    }

    fn tell_once(&mut self, kind: &EventKind, told: impl Fn(&mut Observed) -> &mut bool) {
        let observed = self.observed_mut();
        if observed.is_some_and(|seen| !mem::replace(told(seen), true)) {
            self.tell(kind);
        }
    }

    fn observed_mut(&mut self) -> Option<&mut Observed> {
        self.aside.as_mut()?.observers.as_deref_mut()
    }

    fn tell(&mut self, kind: &EventKind) {
        self.tell_at(kind, self.gate.level());
    }

    #[cold]
    fn tell_at(&mut self, kind: &EventKind, level: usize) {
        let at_ns = self.meter.seen_ns();
        let Some(aside) = &mut self.aside else { return };
        let Some(observed) = aside.observers.as_deref_mut() else { return };
        aside.news = true;
        let sight = Sight { tank: &observed.name, level, unit: observed.unit, at_ns };
        observed.by.tell(kind, &sight);
    }

    fn has_opened(&mut self, wakes: &mut Wakes) {
        if self.grant().is_some() {
            self.meter.waits_for_budget(false);
            self.line_moves();
        }
        self.opened(wakes);
        self.tell_flow(&EventKind::Drained);
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
        let waits = |aside: &Aside| !aside.seats.is_empty() || aside.news;
        self.reader.is_none() && !self.aside.as_deref().is_some_and(waits)
    }

    pub(super) fn wake_reader(&mut self, wakes: &mut Wakes) {
        if let Some(waker) = self.reader.take() {
            self.meter.woke_reader();
            wakes.push(waker);
            self.pass_on(Ended::Item);
        }
    }

    pub(super) fn wake_next_writer(&mut self, wakes: &mut Wakes) {
        if let Some(waker) = self.aside.as_mut().and_then(|aside| aside.seats.notify_next()) {
            self.meter.woke_writer();
            wakes.push(waker);
            self.pass_on(Ended::Drain);
        }
    }

    pub(super) fn wake_all_writers(&mut self, wakes: &mut Wakes) {
        let Some(aside) = &mut self.aside else { return };
        let mut woken = false;
        for waker in aside.seats.notify_all() {
            self.meter.woke_writer();
            wakes.push(waker);
            woken = true;
        }
        if woken {
            self.pass_on(Ended::Drain);
        }
    }

    /// Whoever is woken goes on from the path of the one who woke him.
    pub(super) fn pass_on(&self, ended: Ended) {
        let relay = self.aside.as_ref().and_then(|aside| aside.relay.as_ref());
        if let (Some(relay), Some(seen_ns)) = (relay, self.meter.seen_ns()) {
            (relay.told)(ended, seen_ns);
        }
    }

    pub(super) fn wake_finishing(&mut self, wakes: &mut Wakes) {
        let finishing = self.aside.as_mut().and_then(|aside| aside.finishing.as_mut());
        for waker in finishing.into_iter().flat_map(|seats| seats.notify_all()) {
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
        if self.not_notified() == 0 || self.gate.is_shut() {
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
        name: Option<StdArc<str>>,
        unit: Unit,
        scale: Scale<T>,
        overflow: Overflow,
        marks: Marks,
    ) -> Self {
        let aside = name.map(|name| Box::new(Aside { name: Some(name), ..Aside::default() }));
        let state = State {
            queue: VecDeque::new(),
            gate: Gate::new(marks),
            queued: 0,
            end: End::Flowing,
            ended_by: CauseKind::Abandoned,
            writers: 1,
            abandoned: false,
            reader: None,
            reader_yielded: false,
            aside,
            meter: TankMeter::default(),
            reader_gone: false,
            exact: false,
        };
        Self { unit, scale, overflow, held: AtomicU32::new(0), state: Mutex::new(state) }
    }

    /// What it is called in reports.
    pub(crate) fn name(&self) -> StdArc<str> {
        lock(&self.state).name()
    }

    /// It shares a budget from now on, before anything is in it.
    pub(crate) fn set_grant(&self, grant: Grant<Waiter>) {
        let mut state = lock(&self.state);
        grant.fits(&mut state.gate);
        state.aside_mut().grant = Some(Box::new(grant));
    }

    /// See [`State::exact`].
    pub(crate) fn set_exact(&self) {
        lock(&self.state).exact = true;
    }

    pub(crate) fn gate(&self) -> Gate {
        lock(&self.state).gate
    }

    /// Its own marks, whatever it goes by.
    pub(crate) fn marks(&self) -> Marks {
        lock(&self.state).marks()
    }

    pub(crate) fn set_marks(&self, marks: Marks) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        match state.set_marks(marks) {
            Turn::Opened => state.has_opened(&mut wakes),
            Turn::Shut => state.shut(),
            Turn::Stayed => {}
        }
        unlock(state, wakes);
    }

    /// Adds an observer, and tells it how the tank stands.
    pub(crate) fn observe(&self, ring: Arc<Ring>, index: usize) {
        let mut state = lock(&self.state);
        let name = state.name();
        let observed = state.aside_mut().observers.get_or_insert_with(|| {
            Box::new(Observed {
                by: Observers::default(),
                name,
                unit: self.unit,
                finished: false,
                closed: false,
            })
        });
        observed.by.add(ring, index);
        let standing = match state.end_told_as() {
            Some(end) => end,
            None if state.gate.is_shut() => EventKind::Shut,
            None => EventKind::Ready,
        };
        let empty = state.inside() == 0;
        let closed = state.writers == 0 && state.reader_gone && empty;
        let finished = state.end == End::Ended && empty;
        let (level, at_ns) = (state.gate.level(), state.meter.seen_ns());
        if let Some(observed) = state.observed_mut() {
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
        let (level, high) = (state.gate.level(), state.marks().high());
        state.meter.before(Some(now_ns), level, high);
    }

    pub(crate) fn start_timing(&self, now_ns: u64) {
        let mut state = lock(&self.state);
        let level = state.gate.level();
        state.meter.start_timing(now_ns, level);
    }

    /// `relay` is told, under the lock, when a wait ends here.
    pub(crate) fn set_relay(&self, relay: Relayed) {
        lock(&self.state).aside_mut().relay = Some(Box::new(relay));
    }

    pub(crate) fn snapshot(&self, now_ns: Option<u64>) -> TankSnapshot {
        let state = lock(&self.state);
        let gate = state.gate.seen_with(state.marks());
        let seen = state.meter.snapshot(state.name(), self.unit, gate, now_ns);
        let budget = state
            .grant()
            .map(|grant| TankBudget { wait_ns: state.meter.budget_ns(now_ns), ..grant.snapshot() });
        TankSnapshot {
            budget,
            reader_parked: state.reader.is_some(),
            writers_parked: state.not_notified(),
            held: self.is_held(),
            ended: !state.is_flowing(),
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
