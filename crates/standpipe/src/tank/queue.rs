//! The shared inside of a tank: one lock around a queue, a gate, a meter and
//! the tasks that wait.
//!
//! Every operation does its work under the lock and returns the tasks to wake,
//! which are woken after unlocking: a woken task must not run into the lock
//! that woke it.

use std::collections::VecDeque;
use std::mem;
use std::panic::Location;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};

use crate::error::{Cause, CauseKind, WriteError};
use crate::gate::{Flow, Gate, Marks, Turn};
use crate::meter::TankMeter;
use crate::overflow::{Action, Overflow};
use crate::snapshot::TankSnapshot;
use crate::sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering, lock};
use crate::tank::batch::Batch;
use crate::tank::seats::Seats;
use crate::weigh::{Scale, Unit};

/// What is fixed when a tank is built, and its state.
pub(crate) struct Core<T> {
    pub(crate) name: StdArc<str>,
    pub(crate) unit: Unit,
    pub(crate) scale: Scale<T>,
    pub(crate) overflow: Overflow,
    /// Set by `pause`, asked by a reader before each item.
    held: AtomicBool,
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    gate: Gate,
    /// Weight of what is in `queue` alone, as it was charged.
    queued: usize,
    end: End,
    writers: usize,
    abandoned: bool,
    /// A reader parked on an empty queue.
    reader: Option<Waker>,
    /// The reader has yielded once to the writers that were notified.
    reader_yielded: bool,
    seats: Seats,
    /// Those who wait for the last item to leave.
    finishing: Vec<Waker>,
    meter: TankMeter,
}

/// How far the data has come.
enum End {
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

/// Tasks to wake, once the lock is free.
#[must_use = "somebody waits for this"]
#[derive(Default)]
pub(crate) struct Wakes {
    one: Option<Waker>,
    other: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    fn push(&mut self, waker: Waker) {
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
        }
        if let Some(waker) = self.other {
            waker.wake();
        }
        for waker in self.more {
            waker.wake();
        }
    }
}

/// A write to a shut tank: who writes, and what is left to do once the lock is
/// free: waking, and dropping items whose destructors are foreign code.
struct After<T> {
    wakes: Wakes,
    evicted: VecDeque<T>,
    /// Who writes, for writes past the mark.
    line: &'static Location<'static>,
}

/// Items in a batch, or that left one, and what they were charged with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InHand {
    pub(crate) items: usize,
    pub(crate) weight: usize,
}

/// What a reader found.
pub(crate) enum Taken {
    /// Items are in the batch.
    Items,
    /// The data ended.
    End,
    /// The data ended early. Told once.
    Failed(Cause),
}

impl<T> State<T> {
    /// Why nothing can be written, if nothing can.
    fn closed(&self) -> Option<Cause> {
        match &self.end {
            End::Flowing => None,
            End::Ended => Some(Cause::new(CauseKind::Stopped)),
            End::Failed(cause) | End::Told(cause) | End::Stopped(cause) => Some(cause.clone()),
        }
    }

    /// Puts an item in the queue, charged with `weight` already or not.
    fn push(&mut self, item: T, weight: usize) {
        self.queue.push_back(item);
        self.queued = self.queued.saturating_add(weight);
        self.meter.written.add(weight);
        if weight > self.gate.marks().high() {
            self.meter.oversize = self.meter.oversize.saturating_add(1);
        }
    }

    /// Charges a weight, with its effects on the meter.
    fn charge(&mut self, weight: usize, now_ns: Option<u64>) {
        self.meter.before(now_ns, self.gate.level(), self.gate.marks().high());
        let was_shut = self.gate.is_shut();
        if self.gate.admit(weight) == Flow::Wait && !was_shut {
            self.meter.pauses = self.meter.pauses.saturating_add(1);
        }
        self.meter.after(now_ns.is_some(), self.gate.level());
    }

    /// Returns a weight, with its effects on the meter and on who waits.
    fn refund(&mut self, weight: usize, now_ns: Option<u64>, wakes: &mut Wakes) {
        self.meter.before(now_ns, self.gate.level(), self.gate.marks().high());
        let turn = self.gate.release(weight);
        self.meter.after(now_ns.is_some(), self.gate.level());
        if turn == Turn::Opened {
            self.wake_next_writer(wakes);
        }
        if self.gate.level() == 0 && !matches!(self.end, End::Flowing) {
            self.wake_finishing(wakes);
        }
    }

    fn wake_reader(&mut self, wakes: &mut Wakes) {
        if let Some(waker) = self.reader.take() {
            self.meter.wakes_reader = self.meter.wakes_reader.saturating_add(1);
            wakes.push(waker);
        }
    }

    fn wake_next_writer(&mut self, wakes: &mut Wakes) {
        if let Some(waker) = self.seats.notify_next() {
            self.meter.wakes_writer = self.meter.wakes_writer.saturating_add(1);
            wakes.push(waker);
        }
    }

    fn wake_all_writers(&mut self, wakes: &mut Wakes) {
        for waker in self.seats.notify_all() {
            self.meter.wakes_writer = self.meter.wakes_writer.saturating_add(1);
            wakes.push(waker);
        }
    }

    fn wake_finishing(&mut self, wakes: &mut Wakes) {
        for waker in self.finishing.drain(..) {
            wakes.push(waker);
        }
    }

    /// Everybody has to look again.
    fn wake_everyone(&mut self, wakes: &mut Wakes) {
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
            finishing: Vec::new(),
            meter: TankMeter::default(),
        };
        Self { name, unit, scale, overflow, held: AtomicBool::new(false), state: Mutex::new(state) }
    }

    // ---- writers -------------------------------------------------------

    /// Takes one item, by the rule of the gate or else by the overflow
    /// strategy. `line` is who writes, for writes past the mark.
    pub(crate) fn write(
        &self,
        item: T,
        line: &'static Location<'static>,
    ) -> Result<Flow, WriteError<T>> {
        let weight = self.scale.weigh(&item);
        let state = lock(&self.state);
        if !matches!(state.end, End::Flowing) {
            return Err(Self::closed(&state, item));
        }
        if state.gate.is_shut() {
            return self.write_shut(state, item, weight, line);
        }
        Ok(Self::write_open(state, item, weight))
    }

    /// The same, waiting while the strategy is to wait: then the item is left
    /// in `item`, and `ticket` is the seat.
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        item: &mut Option<T>,
        ticket: &mut Option<u64>,
        line: &'static Location<'static>,
    ) -> Poll<Result<(), WriteError<T>>> {
        let Some(taken) = item.take() else { return Poll::Pending };
        let weight = self.scale.weigh(&taken);
        let mut state = lock(&self.state);
        let flowing = matches!(state.end, End::Flowing);
        if flowing && state.gate.is_shut() && self.overflow == Overflow::Wait {
            *item = Some(taken);
            Self::take_seat(state, cx, ticket);
            return Poll::Pending;
        }
        if let Some(ticket) = ticket.take() {
            state.seats.leave(ticket);
        }
        Poll::Ready(if !flowing {
            Err(Self::closed(&state, taken))
        } else if state.gate.is_shut() {
            self.write_shut(state, taken, weight, line).map(drop)
        } else {
            match Self::write_open(state, taken, weight) {
                Flow::Ready | Flow::Wait => Ok(()), // the next `send` waits
            }
        })
    }

    fn write_open(mut state: MutexGuard<'_, State<T>>, item: T, weight: usize) -> Flow {
        let mut wakes = Wakes::default();
        state.charge(weight, None);
        let flow = state.gate.flow();
        state.push(item, weight);
        state.wake_reader(&mut wakes);
        if !state.gate.is_shut() && !state.seats.is_empty() {
            state.wake_next_writer(&mut wakes);
        }
        drop(state);
        wakes.wake();
        flow
    }

    #[cold]
    fn closed(state: &State<T>, item: T) -> WriteError<T> {
        let cause = state.closed().unwrap_or_else(|| Cause::new(CauseKind::Stopped));
        WriteError::Closed(item, cause)
    }

    /// A write to a shut tank.
    #[cold]
    fn write_shut(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        item: T,
        weight: usize,
        line: &'static Location<'static>,
    ) -> Result<Flow, WriteError<T>> {
        let mut after = After { wakes: Wakes::default(), evicted: VecDeque::new(), line };
        let result = self.overflow(&mut state, item, weight, &mut after);
        drop(state);
        after.wakes.wake();
        result
    }

    fn overflow(
        &self,
        state: &mut State<T>,
        item: T,
        weight: usize,
        after: &mut After<T>,
    ) -> Result<Flow, WriteError<T>> {
        match self.overflow.at_shut() {
            Action::HandBack | Action::Refuse => {
                state.meter.refused = state.meter.refused.saturating_add(1);
                Err(WriteError::Full(item))
            }
            Action::DropArriving => {
                state.meter.dropped.newest.add(weight);
                after.evicted.push_back(item);
                Ok(Flow::Wait)
            }
            Action::Break => {
                let cause = Cause::new(CauseKind::Overflowed);
                state.end = End::Failed(cause.clone());
                state.wake_everyone(&mut after.wakes);
                Err(WriteError::Closed(item, cause))
            }
            Action::TakePastMark => {
                if state.gate.level() >= state.gate.marks().high() {
                    state.meter.past_mark(after.line, weight);
                }
                state.charge(weight, None);
                let flow = state.gate.flow();
                state.push(item, weight);
                state.wake_reader(&mut after.wakes);
                Ok(flow)
            }
            action @ (Action::EvictOldest | Action::EvictAll) => {
                self.evict(state, action == Action::EvictAll, after);
                if state.gate.level() >= state.gate.marks().high() {
                    // all the weight is in the reader's hands: the bound holds,
                    // the arriving item is the one to go
                    state.meter.dropped.newest.add(weight);
                    after.evicted.push_back(item);
                    return Ok(Flow::Wait);
                }
                state.charge(weight, None);
                let flow = state.gate.flow();
                state.push(item, weight);
                state.wake_reader(&mut after.wakes);
                Ok(flow)
            }
        }
    }

    /// Drops queued items from the front: all, or until the level is below
    /// the mark.
    fn evict(&self, state: &mut State<T>, all: bool, after: &mut After<T>) {
        while all || state.gate.level() >= state.gate.marks().high() {
            let Some(item) = state.queue.pop_front() else { break };
            let weight = self.leaving(&item, state.queue.is_empty(), state.queued);
            state.queued = state.queued.saturating_sub(weight);
            let drops = &mut state.meter.dropped;
            if all {
                drops.replaced.add(weight)
            } else {
                drops.oldest.add(weight)
            }
            state.refund(weight, None, &mut after.wakes);
            after.evicted.push_back(item);
        }
    }

    /// What an item that leaves gives back: its weight, but never more than
    /// is charged, and the last one gives all that is left. So a scale that
    /// changes its mind cannot unbalance the level.
    fn leaving(&self, item: &T, last: bool, charged: usize) -> usize {
        if last { charged } else { self.scale.weigh(item).min(charged) }
    }

    /// Moves items from the front of `items` into the tank while it is open:
    /// one lock and at most one wake. Returns how much a writer may gather
    /// before it publishes again without exceeding the tank's bound: the room
    /// left below the mark, at most what lies between two drains, and 0 exactly
    /// while the tank is shut.
    pub(crate) fn publish(
        &self,
        items: &mut Batch<T>,
        now_ns: Option<u64>,
    ) -> Result<usize, Cause> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if let Some(cause) = state.closed() {
            return Err(cause);
        }
        if state.gate.is_shut() {
            return Ok(0);
        }
        if !items.is_empty() {
            match (&self.scale, items.uncharged()) {
                (Scale::One, Some(items)) => Self::publish_counted(&mut state, items, now_ns),
                _ => self.publish_weighed(&mut state, items, now_ns),
            }
            state.wake_reader(&mut wakes);
            if !state.gate.is_shut() && !state.seats.is_empty() {
                state.wake_next_writer(&mut wakes);
            }
        }
        let room = if state.gate.is_shut() { 0 } else { state.gate.room().min(state.gate.span()) };
        drop(state);
        wakes.wake();
        if items.is_due() {
            items.settle(now_ns); // the tank they came from; its lock, not ours
        }
        Ok(room)
    }

    /// Items of weight 1 move in one piece, up to the mark.
    fn publish_counted(state: &mut State<T>, items: &mut VecDeque<T>, now_ns: Option<u64>) {
        let count = state.gate.room().min(items.len());
        if state.queue.is_empty() && count == items.len() {
            mem::swap(&mut state.queue, items);
        } else {
            state.queue.extend(items.drain(..count));
        }
        state.queued = state.queued.saturating_add(count);
        state.meter.written.add_many(count, count);
        state.charge(count, now_ns);
    }

    fn publish_weighed(&self, state: &mut State<T>, items: &mut Batch<T>, now_ns: Option<u64>) {
        let (level, high) = (state.gate.level(), state.gate.marks().high());
        let mut sum: usize = 0;
        while let Some(item) = items.take() {
            let weight = self.scale.weigh(&item);
            state.push(item, weight);
            sum = sum.saturating_add(weight);
            if level.saturating_add(sum) >= high {
                break;
            }
        }
        state.charge(sum, now_ns);
    }

    /// Waits for an open gate. `ticket` is the waiter's seat, kept between
    /// polls; [`Core::leave`] must be called for it if the wait is given up.
    pub(crate) fn poll_open(
        &self,
        cx: &Context<'_>,
        ticket: &mut Option<u64>,
    ) -> Poll<Result<(), Cause>> {
        let mut state = lock(&self.state);
        let closed = state.closed();
        if closed.is_some() || !state.gate.is_shut() {
            if let Some(ticket) = ticket.take() {
                state.seats.leave(ticket);
            }
            return Poll::Ready(closed.map_or(Ok(()), Err));
        }
        Self::take_seat(state, cx, ticket);
        Poll::Pending
    }

    fn take_seat(mut state: MutexGuard<'_, State<T>>, cx: &Context<'_>, ticket: &mut Option<u64>) {
        let old = state.seats.sit(ticket, cx.waker());
        drop(state);
        drop(old);
    }

    /// Gives up a wait: the seat is free, and a baton it held goes on.
    pub(crate) fn leave(&self, ticket: u64) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.seats.leave(ticket) && !state.gate.is_shut() {
            state.wake_next_writer(&mut wakes);
        }
        drop(state);
        wakes.wake();
    }

    /// Charges `weight` ahead of an item, if the gate is open.
    pub(crate) fn reserve(&self, weight: usize) -> Option<Flow> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.gate.is_shut() {
            return None;
        }
        state.charge(weight, None);
        let flow = state.gate.flow();
        if !state.gate.is_shut() && !state.seats.is_empty() {
            state.wake_next_writer(&mut wakes);
        }
        drop(state);
        wakes.wake();
        Some(flow)
    }

    /// Puts an item where `reserved` was charged for it.
    pub(crate) fn redeem(&self, item: T, reserved: usize) -> Result<Flow, WriteError<T>> {
        let weight = self.scale.weigh(&item);
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let refused = if !matches!(state.end, End::Flowing) {
            Some(Self::closed(&state, item))
        } else if weight > reserved {
            Some(WriteError::Heavier(item))
        } else {
            state.push(item, weight);
            None
        };
        let left = if refused.is_some() { reserved } else { reserved.saturating_sub(weight) };
        state.refund(left, None, &mut wakes);
        if refused.is_none() {
            state.wake_reader(&mut wakes);
        }
        let shut = state.gate.is_shut();
        drop(state);
        wakes.wake();
        match refused {
            Some(error) => Err(error),
            None => Ok(if shut { Flow::Wait } else { Flow::Ready }),
        }
    }

    pub(crate) fn add_writer(&self) {
        let mut state = lock(&self.state);
        state.writers = state.writers.saturating_add(1);
    }

    /// A writer leaves. The end and the count change under one lock, so that
    /// of two that leave at once exactly one is the last.
    pub(crate) fn leave_writer(&self, ended: bool) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.writers = state.writers.saturating_sub(1);
        state.abandoned |= !ended;
        if state.writers == 0 && matches!(state.end, End::Flowing) {
            state.end = if state.abandoned {
                End::Failed(Cause::new(CauseKind::Abandoned))
            } else {
                End::Ended
            };
            state.wake_everyone(&mut wakes);
        }
        drop(state);
        wakes.wake();
    }

    /// A writer fails the tank at once, for everybody.
    pub(crate) fn fail(&self, cause: Cause) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if matches!(state.end, End::Flowing) {
            state.end = End::Failed(cause);
            state.wake_everyone(&mut wakes);
        }
        drop(state);
        wakes.wake();
    }

    /// Waits until the last item has left the reader's hands.
    pub(crate) fn poll_finished(&self, cx: &Context<'_>) -> Poll<Result<(), Cause>> {
        let mut state = lock(&self.state);
        match &state.end {
            End::Ended if state.gate.level() == 0 => return Poll::Ready(Ok(())),
            End::Failed(cause) | End::Told(cause) | End::Stopped(cause) => {
                return Poll::Ready(Err(cause.clone()));
            }
            End::Flowing | End::Ended => {}
        }
        if !state.finishing.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.finishing.push(cx.waker().clone());
        }
        Poll::Pending
    }

    // ---- the reader ----------------------------------------------------

    /// Swaps the queue into `batch`, which has to be empty: one lock for all
    /// that is there. Waits if nothing is.
    pub(crate) fn poll_take(
        &self,
        cx: &Context<'_>,
        batch: &mut Batch<T>,
        now_ns: Option<u64>,
    ) -> Poll<Taken> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if !state.queue.is_empty() {
            state.reader_yielded = false;
            let gate = state.gate;
            state.meter.reader_began(gate.level());
            state.meter.before(now_ns, gate.level(), gate.marks().high());
            let charged = mem::take(&mut state.queued);
            let return_at = gate.above_low();
            batch.fill(&mut state.queue, charged, return_at);
            return Poll::Ready(Taken::Items);
        }
        match &state.end {
            End::Flowing => {}
            End::Ended => return Poll::Ready(Taken::End),
            End::Failed(cause) => {
                let cause = cause.clone();
                state.end = End::Told(cause.clone());
                return Poll::Ready(Taken::Failed(cause));
            }
            End::Told(_) | End::Stopped(_) => return Poll::Ready(Taken::End),
        }
        if !state.seats.is_empty() && !state.gate.is_shut() {
            if mem::replace(&mut state.reader_yielded, true) {
                state.wake_all_writers(&mut wakes);
            } else {
                wakes.push(cx.waker().clone());
            }
        }
        let old = match &state.reader {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.reader.replace(cx.waker().clone()),
        };
        drop(state);
        drop(old); // a waker's destructor is foreign code
        wakes.wake();
        Poll::Pending
    }

    /// Takes back the weight of items that left a batch. Returns how much may
    /// leave before the next return is due.
    pub(crate) fn credit(&self, left: InHand, now_ns: Option<u64>) -> usize {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.meter.read.add_many(left.items, left.weight);
        state.refund(left.weight, now_ns, &mut wakes);
        let due = state.gate.above_low();
        drop(state);
        wakes.wake();
        due
    }

    /// Takes back the weight of items that were taken and never handed on.
    pub(crate) fn unread(&self, lost: InHand) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.meter.dropped.unread.add_many(lost.items, lost.weight);
        state.refund(lost.weight, None, &mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Counts items that were given to this tank's writer and will never be in
    /// it: written, and lost.
    pub(crate) fn lose(&self, items: &mut Batch<T>) {
        while let Some(item) = items.take() {
            let weight = self.scale.weigh(&item);
            let mut state = lock(&self.state);
            state.meter.written.add(weight);
            state.meter.dropped.unread.add(weight);
        }
    }

    /// Takes back what was reserved and not used.
    pub(crate) fn unreserve(&self, weight: usize) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.refund(weight, None, &mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Charges an item that is put back in front of a batch; returns its
    /// weight.
    pub(crate) fn put_back(&self, item: &T) -> usize {
        let weight = self.scale.weigh(item);
        lock(&self.state).charge(weight, None);
        weight
    }

    /// The reader goes away: what is queued is lost, and counted.
    pub(crate) fn stop(&self, cause: Cause) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let queue = mem::take(&mut state.queue);
        let weight = mem::take(&mut state.queued);
        if !queue.is_empty() {
            state.meter.dropped.unread.add_many(queue.len(), weight);
        }
        // a reader that leaves after the end, or a failure, changes neither
        match state.end {
            End::Flowing => state.end = End::Stopped(cause),
            End::Ended if !queue.is_empty() => state.end = End::Stopped(cause),
            _ => {}
        }
        state.refund(weight, None, &mut wakes);
        state.wake_everyone(&mut wakes);
        drop(state);
        wakes.wake();
        drop(queue);
    }

    /// Holds deliveries back, or lets them go on.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
        if !held {
            let mut wakes = Wakes::default();
            lock(&self.state).wake_reader(&mut wakes);
            wakes.wake();
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Parks the reader while deliveries are held back. Looks again under the
    /// lock, so that a `resume` in between is not missed.
    pub(crate) fn park_held(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if !self.is_held() {
            return Poll::Ready(());
        }
        let old = state.reader.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }

    // ---- anyone --------------------------------------------------------

    pub(crate) fn gate(&self) -> Gate {
        lock(&self.state).gate
    }

    pub(crate) fn set_marks(&self, marks: Marks) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        match state.gate.set_marks(marks) {
            Turn::Opened => state.wake_next_writer(&mut wakes),
            Turn::Shut => state.meter.pauses = state.meter.pauses.saturating_add(1),
            Turn::Stayed => {}
        }
        drop(state);
        wakes.wake();
    }

    pub(crate) fn start_timing(&self, now_ns: u64) {
        let mut state = lock(&self.state);
        let level = state.gate.level();
        state.meter.start_timing(now_ns, level);
    }

    pub(crate) fn snapshot(&self, now_ns: Option<u64>) -> TankSnapshot {
        let state = lock(&self.state);
        let (gate, meter) = (state.gate, &state.meter);
        let timed = meter.time_weighted(now_ns, gate.level(), gate.marks().high());
        TankSnapshot {
            name: self.name.clone(),
            unit: self.unit,
            level: gate.level(),
            peak: meter.peak,
            lowest: meter.lowest(),
            high: gate.marks().high(),
            low: gate.marks().low(),
            shut: gate.is_shut(),
            written: meter.written,
            read: meter.read,
            dropped: meter.dropped,
            oversize: meter.oversize,
            pauses: meter.pauses,
            refused: meter.refused,
            wakes_reader: meter.wakes_reader,
            wakes_writer: meter.wakes_writer,
            past_mark: meter.past_marks(),
            mean_level: timed.map(|(mean, _)| mean),
            fill_ns: timed.map(|(_, fill_ns)| fill_ns),
        }
    }
}

/// A tank seen without its item type.
pub(crate) trait AnyTank: Send + Sync {
    fn snapshot(&self, now_ns: Option<u64>) -> TankSnapshot;
    fn gate(&self) -> Gate;
    fn set_marks(&self, marks: Marks);
}

impl<T: Send> AnyTank for Shared<T> {
    fn snapshot(&self, now_ns: Option<u64>) -> TankSnapshot {
        self.as_ref().snapshot(now_ns)
    }

    fn gate(&self) -> Gate {
        self.as_ref().gate()
    }

    fn set_marks(&self, marks: Marks) {
        self.as_ref().set_marks(marks);
    }
}

pub(crate) type Shared<T> = Arc<Core<T>>;
