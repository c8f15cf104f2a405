//! How items get into a tank, and how writers wait, end and fail.

use std::collections::VecDeque;
use std::mem;
use std::panic::Location;
use std::task::{Context, Poll};

use crate::error::{Cause, CauseKind, WriteError};
use crate::gate::Flow;
use crate::overflow::{Action, Overflow};
use crate::sync::{MutexGuard, lock};
use crate::tank::batch::Batch;
use crate::tank::queue::{Core, End, State, Wakes};
use crate::weigh::Scale;

/// A write to a shut tank: who writes, and what is left to do once the lock is
/// free: waking, and dropping items whose destructors are foreign code.
struct After<T> {
    wakes: Wakes,
    evicted: VecDeque<T>,
    /// Who writes, for writes past the mark.
    line: &'static Location<'static>,
}

impl<T> Core<T> {
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
    /// one lock and at most one wake. Ready when all are in and the tank is
    /// open, with the room below the mark: how much a writer may gather before
    /// it publishes again without exceeding the tank's bound.
    ///
    /// Waits else; `ticket` is the waiter's seat, as in [`Core::poll_open`].
    pub(crate) fn poll_publish(
        &self,
        cx: &Context<'_>,
        items: &mut Batch<T>,
        ticket: &mut Option<u64>,
        now_ns: Option<u64>,
    ) -> Poll<Result<usize, Cause>> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if let Some(cause) = state.closed() {
            if let Some(ticket) = ticket.take() {
                state.seats.leave(ticket);
            }
            return Poll::Ready(Err(cause));
        }
        if !state.gate.is_shut() {
            if let Some(ticket) = ticket.take() {
                state.seats.leave(ticket);
            }
            if !items.is_empty() {
                match (&self.scale, items.uncharged()) {
                    (Scale::One, Some(items)) => Self::publish_counted(&mut state, items, now_ns),
                    _ => self.publish_weighed(&mut state, items, now_ns),
                }
                state.wake_reader(&mut wakes);
            }
        }
        let (old, polled) = if state.gate.is_shut() {
            (state.seats.sit(ticket, cx.waker()), Poll::Pending)
        } else {
            if !state.seats.is_empty() {
                state.wake_next_writer(&mut wakes);
            }
            (None, Poll::Ready(Ok(state.gate.room())))
        };
        drop(state);
        drop(old); // a waker's destructor is foreign code
        wakes.wake();
        if items.is_due() {
            items.settle(now_ns); // the tank they came from; its lock, not ours
        }
        polled
    }

    /// Items of weight 1 move in one piece, up to the mark.
    fn publish_counted(state: &mut State<T>, items: &mut VecDeque<T>, now_ns: Option<u64>) {
        let count = state.gate.room().min(items.len());
        if count == items.len() {
            if state.queue.is_empty() {
                mem::swap(&mut state.queue, items);
            } else {
                state.queue.append(items);
            }
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
        // Node's drain lets in everyone who waited for it, also when the first
        // of them shuts the tank again
        let let_in = state.exact && ticket.is_some_and(|ticket| state.seats.is_notified(ticket));
        if closed.is_some() || let_in || !state.gate.is_shut() {
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
            self.uncork_all();
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
            self.uncork_all();
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
}
