//! How items get into a tank, and how writers wait, end and fail.

use std::collections::VecDeque;
use std::mem;
use std::panic::Location;
use std::task::{Context, Poll};

use crate::error::{Cause, CauseKind, WriteError};
use crate::gate::{Flow, Gate};
use crate::overflow::{Action, Overflow};
use crate::sync::{MutexGuard, lock};
use crate::tank::batch::Batch;
use crate::tank::exit::InHand;
use crate::tank::queue::{Core, End, State, Wakes, unlock};
use crate::tank::seats::Seat;
use crate::weigh::Scale;

/// A write to a shut tank: who writes, and what is left to do once the lock is
/// free: waking, and dropping items whose destructors are foreign code.
struct After<T> {
    wakes: Wakes,
    /// Queued items that make room for it, from the front.
    doomed: InHand,
    evicted: VecDeque<T>,
    /// Who writes, for writes past the mark.
    line: &'static Location<'static>,
}

/// What is known of items that were weighed as they were gathered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) weight: usize,
    /// The weight of all but the last: if there is room for more than this, all
    /// find room.
    before_last: usize,
    heaviest: usize,
}

impl Load {
    /// Nothing yet.
    pub(crate) const NONE: Self = Self { weight: 0, before_last: 0, heaviest: 0 };

    /// An item more.
    #[inline]
    pub(crate) fn add(&mut self, weight: usize) {
        self.before_last = self.weight;
        self.weight = self.weight.saturating_add(weight);
        self.heaviest = self.heaviest.max(weight);
    }

    /// Whether all of it finds room, and no item is a matter for the meter.
    const fn fits(self, gate: &Gate) -> bool {
        self.before_last < gate.room() && self.heaviest <= gate.marks().high()
    }
}

/// What a writer knows when it publishes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// What the items weigh, if they are weighed and were as they came.
    pub(crate) load: Option<Load>,
    pub(crate) now_ns: Option<u64>,
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
        let mut state = lock(&self.state);
        if !state.is_flowing() {
            return Err(Self::closed(&state, item));
        }
        if state.gate.is_shut() && !state.opens_by_grant() {
            return self.write_shut(state, item, weight, line);
        }
        Ok(self.write_open(state, item, weight))
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
        // dropped after the lock: a waker's destructor is foreign code
        let (_seat, _wakers);
        let mut state = lock(&self.state);
        let flowing = state.is_flowing();
        let mut shut = flowing && state.gate.is_shut() && !state.opens_by_grant();
        if shut && self.overflow == Overflow::Wait {
            let (opens, wakers) = state.sit(ticket, cx.waker());
            _wakers = wakers;
            if !opens {
                *item = Some(taken);
                unlock(state, Wakes::default());
                return Poll::Pending;
            }
            shut = false;
        }
        _seat = state.leave_seat(ticket.take());
        Poll::Ready(if !flowing {
            Err(Self::closed(&state, taken))
        } else if shut {
            self.write_shut(state, taken, weight, line).map(drop)
        } else {
            match self.write_open(state, taken, weight) {
                Flow::Ready | Flow::Wait => Ok(()), // the next `send` waits
            }
        })
    }

    /// Wakes the reader for what was put into the queue, unless deliveries are
    /// held back: `resume` will. Decided under the lock that `resume` takes
    /// after it has changed its mind, so one of the two wakes.
    fn deliver(&self, state: &mut State<T>, wakes: &mut Wakes) {
        if !self.is_held() {
            state.wake_reader(wakes);
        }
    }

    fn write_open(&self, mut state: MutexGuard<'_, State<T>>, item: T, weight: usize) -> Flow {
        let flow = state.admit(item, weight, None);
        if state.nobody_waits() {
            return flow;
        }
        let mut wakes = Wakes::default();
        self.deliver(&mut state, &mut wakes);
        if !state.gate.is_shut() && state.has_seats() {
            state.wake_next_writer(&mut wakes);
        }
        unlock(state, wakes);
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
        state: MutexGuard<'_, State<T>>,
        item: T,
        weight: usize,
        line: &'static Location<'static>,
    ) -> Result<Flow, WriteError<T>> {
        // a local goes before the arguments: should the scale panic, the lock is
        // free when the item is dropped, whose destructor is foreign code
        let mut state = state;
        let doomed = self.doomed(&state);
        let mut after = After { wakes: Wakes::default(), doomed, evicted: VecDeque::new(), line };
        let result = self.overflow(&mut state, item, weight, &mut after);
        unlock(state, after.wakes);
        drop(after.evicted); // their destructors are foreign code
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
                state.meter.refused();
                Err(WriteError::Full(item))
            }
            Action::DropArriving => {
                state.drop_arriving(weight);
                after.evicted.push_back(item);
                Ok(Flow::Wait)
            }
            Action::Break => {
                let cause = Cause::new(CauseKind::Overflowed);
                state.end_early(End::Failed, cause.clone());
                state.tell_end();
                state.wake_everyone(&mut after.wakes);
                Err(WriteError::Closed(item, cause))
            }
            Action::TakePastMark => {
                if state.gate.level() >= state.gate.marks().high() {
                    state.meter.past_mark(after.line, weight);
                }
                let flow = state.admit(item, weight, None);
                self.deliver(state, &mut after.wakes);
                Ok(flow)
            }
            Action::EvictOldest | Action::EvictAll => {
                // what a budget takes back of the room is not missing for the
                // item that it was made for
                let high = state.gate.marks().high();
                self.evict(state, after);
                if state.gate.level() >= high {
                    // all the weight is in the reader's hands: the bound holds,
                    // the arriving item is the one to go
                    state.drop_arriving(weight);
                    after.evicted.push_back(item);
                    return Ok(Flow::Wait);
                }
                let flow = state.admit(item, weight, None);
                self.deliver(state, &mut after.wakes);
                Ok(flow)
            }
        }
    }

    /// The queued items that have to go for one that arrives at the shut tank:
    /// all, or as many as bring the level below the mark. They are weighed where
    /// they lie: a scale that panics changes nothing.
    fn doomed(&self, state: &State<T>) -> InHand {
        let all = InHand { items: state.queue.len(), weight: state.queued };
        match self.overflow.at_shut() {
            Action::EvictAll => all,
            Action::EvictOldest => {
                let (level, high) = (state.gate.level(), state.gate.marks().high());
                let mut doomed = InHand::default();
                for item in &state.queue {
                    if level.saturating_sub(doomed.weight) < high {
                        return doomed;
                    }
                    doomed.items = doomed.items.saturating_add(1);
                    if doomed.items == all.items {
                        break;
                    }
                    let weight = doomed.weight.saturating_add(self.scale.weigh(item));
                    doomed.weight = weight.min(all.weight);
                }
                // the last one gives all that is left, and none more than that: a
                // scale that changes its mind cannot unbalance the level
                all
            }
            Action::HandBack
            | Action::Refuse
            | Action::DropArriving
            | Action::Break
            | Action::TakePastMark => InHand::default(),
        }
    }

    /// Drops the items that make room.
    fn evict(&self, state: &mut State<T>, after: &mut After<T>) {
        let InHand { items, weight } = after.doomed;
        if items == 0 {
            return;
        }
        state.queued = state.queued.saturating_sub(weight);
        let drops = state.meter.drops();
        match self.overflow.at_shut() {
            Action::EvictAll => drops.replaced.add_many(items, weight),
            Action::EvictOldest => drops.oldest.add_many(items, weight),
            Action::HandBack
            | Action::Refuse
            | Action::DropArriving
            | Action::Break
            | Action::TakePastMark => {} // dooms nothing
        }
        after.evicted.extend(state.queue.drain(..items));
        state.tell_dropped(after.doomed, weight);
        state.refund(weight, None, &mut after.wakes);
    }

    /// Moves items from the front of `items` into the tank while it is open:
    /// one lock and at most one wake. Ready when all are in and the tank is
    /// open, with its gate: a writer that gathers no more than the room below
    /// the mark does not exceed the tank's bound.
    ///
    /// Waits else; `ticket` is the waiter's seat, as in [`Core::poll_open`].
    pub(crate) fn poll_publish(
        &self,
        cx: &Context<'_>,
        items: &mut Batch<T>,
        ticket: &mut Option<u64>,
        known: Known,
    ) -> Poll<Result<Gate, Cause>> {
        let mut wakes = Wakes::default();
        let mut seat = None;
        let mut state = lock(&self.state);
        if let Some(cause) = state.closed() {
            seat = state.leave_seat(ticket.take());
            unlock(state, wakes);
            drop(seat); // a waker's destructor is foreign code
            return Poll::Ready(Err(cause));
        }
        if !state.gate.is_shut() || state.opens_by_grant() {
            seat = state.leave_seat(ticket.take());
            self.publish(&mut state, items, known, &mut wakes);
        }
        let (mut old, mut polled) = ([None, None], Poll::Pending);
        if state.gate.is_shut() {
            let opens;
            (opens, old) = state.sit(ticket, cx.waker());
            if opens {
                seat = state.leave_seat(ticket.take());
                wakes.push(cx.waker().clone()); // there is room: it comes again
            }
        } else {
            if state.has_seats() {
                state.wake_next_writer(&mut wakes);
            }
            polled = Poll::Ready(Ok(state.gate));
        }
        unlock(state, wakes);
        drop((old, seat)); // a waker's destructor is foreign code
        if items.is_due() {
            items.settle(known.now_ns); // the tank they came from; its lock, not ours
        }
        polled
    }

    /// Moves what finds room. More than once where a budget makes more of it.
    #[inline]
    fn publish(&self, state: &mut State<T>, items: &mut Batch<T>, known: Known, wakes: &mut Wakes) {
        if items.is_empty() {
            return;
        }
        if state.grant().is_some() {
            match (&self.scale, known.load) {
                (Scale::One, _) => state.expects(items.len()),
                (Scale::By(_), Some(load)) => state.expects(load.weight),
                (Scale::By(_), None) => {} // nobody has weighed them yet
            }
        }
        let mut known = known;
        while !items.is_empty() && !state.gate.is_shut() {
            if !items.bare(|items| self.publish_bare(state, items, known)) {
                self.publish_charged(state, items, known);
            }
            known.load = None; // of what is left
        }
        self.deliver(state, wakes);
    }

    /// The first items that find room move in one piece, under one charge.
    fn publish_bare(&self, state: &mut State<T>, items: &mut VecDeque<T>, known: Known) {
        let room = state.gate.room();
        let (count, weight) = match (&self.scale, known.load) {
            (Scale::One, _) => {
                let count = room.min(items.len());
                (count, count)
            }
            (_, Some(load)) if load.fits(&state.gate) => (items.len(), load.weight),
            _ => self.weigh_first(state, items.iter()),
        };
        if count < items.len() {
            state.queue.extend(items.drain(..count));
        } else if state.queue.is_empty() {
            mem::swap(&mut state.queue, items);
        } else {
            state.queue.append(items);
        }
        Self::pay(state, count, weight, known);
    }

    /// Charges items that are in the queue.
    fn pay(state: &mut State<T>, count: usize, weight: usize, known: Known) {
        let charged = state.charge(weight, known.now_ns);
        state.queued = state.queued.saturating_add(charged);
        state.meter.written.add_many(count, charged);
    }

    /// How many items find room, and what they weigh. They are weighed where
    /// they lie: a scale that panics loses nothing.
    fn weigh_first<'a>(
        &self,
        state: &mut State<T>,
        items: impl Iterator<Item = &'a T>,
    ) -> (usize, usize)
    where
        T: 'a,
    {
        let (mut gate, high) = (state.gate, state.marks().high());
        let (mut count, mut weight, mut oversize) = (0_usize, 0_usize, 0_u64);
        for item in items {
            if gate.is_shut() {
                break;
            }
            let more = self.scale.weigh(item);
            let (Flow::Ready | Flow::Wait) = gate.admit(more);
            count = count.saturating_add(1);
            weight = weight.saturating_add(more);
            oversize = oversize.saturating_add(u64::from(more > high));
        }
        state.meter.oversized(oversize); // not before all are weighed
        (count, weight)
    }

    /// Items that are charged to another tank. Both scales have weighed before
    /// anything moves: whichever panics, each item is in one place and paid for,
    /// and nobody is left asleep beside it.
    fn publish_charged(&self, state: &mut State<T>, items: &mut Batch<T>, known: Known) {
        let (count, weight) = match &self.scale {
            Scale::One => {
                let count = state.gate.room().min(items.len());
                (count, count)
            }
            Scale::By(_) => self.weigh_first(state, items.iter()),
        };
        state.queue.extend(items.let_go(count));
        Self::pay(state, count, weight, known);
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
        let let_in = state.exact && ticket.is_some_and(|ticket| state.is_notified(ticket));
        let mut open = closed.is_some() || let_in || !state.gate.is_shut();
        let mut wakers = [None, None];
        if !open {
            open = state.opens_by_grant();
            if !open {
                (open, wakers) = state.sit(ticket, cx.waker());
            }
        }
        unlock(state, Wakes::default());
        drop(wakers); // a waker's destructor is foreign code
        if !open {
            return Poll::Pending;
        }
        // whoever is let in need not write: the next one is let in as well
        if let Some(ticket) = ticket.take() {
            self.leave(ticket);
        }
        Poll::Ready(closed.map_or(Ok(()), Err))
    }

    /// Gives up a wait: the seat is free, and a baton it held goes on.
    pub(crate) fn leave(&self, ticket: u64) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let seat = state.leave_seat(Some(ticket));
        let passes_on = seat.as_ref().is_some_and(Seat::had_baton) || state.grant().is_some();
        if passes_on && !state.gate.is_shut() {
            state.wake_next_writer(&mut wakes);
        }
        unlock(state, wakes);
        drop(seat); // a waker's destructor is foreign code
    }

    /// Charges `weight` ahead of an item, if the gate is open. Returns what was
    /// charged.
    pub(crate) fn reserve(&self, weight: usize) -> Option<usize> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if !state.is_flowing() || (state.gate.is_shut() && !state.opens_by_grant()) {
            return None;
        }
        let charged = state.charge(weight, None);
        if !state.gate.is_shut() && state.has_seats() {
            state.wake_next_writer(&mut wakes);
        }
        unlock(state, wakes);
        Some(charged)
    }

    /// Puts an item of this weight where `reserved` was charged for it.
    pub(crate) fn redeem(
        &self,
        item: T,
        weight: usize,
        reserved: usize,
    ) -> Result<Flow, WriteError<T>> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let refused = if !state.is_flowing() {
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
            self.deliver(&mut state, &mut wakes);
        }
        let shut = state.gate.is_shut();
        unlock(state, wakes);
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
        if state.writers == 0 && state.is_flowing() {
            if state.abandoned {
                state.end_early(End::Failed, Cause::new(CauseKind::Abandoned));
            } else {
                state.end_well();
            }
            self.uncork_all();
            state.tell_end();
            state.wake_everyone(&mut wakes);
        } else if state.writers == 0 {
            state.tell_emptied();
        }
        unlock(state, wakes);
    }

    /// A writer fails the tank at once, for everybody.
    pub(crate) fn fail(&self, cause: Cause) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.is_flowing() {
            state.end_early(End::Failed, cause);
            self.uncork_all();
            state.tell_end();
            state.wake_everyone(&mut wakes);
        }
        unlock(state, wakes);
    }

    /// Waits until the last item has left the reader's hands. `ticket` is the
    /// waiter's seat; [`Core::leave_finishing`] must be called for it.
    pub(crate) fn poll_finished(
        &self,
        cx: &Context<'_>,
        ticket: &mut Option<u64>,
    ) -> Poll<Result<(), Cause>> {
        let mut state = lock(&self.state);
        match state.end() {
            End::Ended if state.inside() == 0 => return Poll::Ready(Ok(())),
            End::Failed | End::Told | End::Stopped => {
                return Poll::Ready(Err(state.cause()));
            }
            End::Flowing | End::Ended => {}
        }
        let finishing = state.aside_mut().finishing.get_or_insert_default();
        let old = finishing.sit(ticket, cx.waker());
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Gives up a wait for the end.
    pub(crate) fn leave_finishing(&self, ticket: u64) {
        let mut state = lock(&self.state);
        let finishing = state.aside_mut().finishing.as_mut();
        let seat = finishing.and_then(|seats| seats.leave(ticket));
        drop(state);
        drop(seat); // not under the lock
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::gate::Marks;
    use crate::tank::{Budget, Tank};

    #[test]
    fn a_load_fits_exactly_if_a_gate_takes_its_items_one_by_one() {
        for [level, first, second, third] in every([4; 4]) {
            let mut gate = Gate::new(Marks::new(5, 2).unwrap());
            assert_eq!(gate.admit(level), Flow::Ready);
            let mut load = Load::NONE;
            let mut taken = gate;
            let mut all = true;
            for weight in [first, second, third] {
                load.add(weight);
                all &= !taken.is_shut();
                let (Flow::Ready | Flow::Wait) = taken.admit(weight);
            }
            assert_eq!(load.fits(&gate), all, "{level}: {first} {second} {third}");
            assert_eq!(load.weight, first + second + third);
        }
    }

    #[test]
    fn an_item_heavier_than_the_mark_is_looked_at() {
        let mut load = Load::NONE;
        load.add(6);
        assert!(!load.fits(&Gate::new(Marks::new(5, 2).unwrap())));
    }

    #[test]
    fn items_that_go_in_by_parts_are_charged_once() {
        // it is granted more for the first item than the first grant, so what
        // was known of all of them is known of what is left no more
        for (high, limit) in [(100, 100), (100, 7), (100, 30), (4, 100)] {
            let budget = Budget::items(limit);
            let tank = Tank::weighed(high, |weight: &usize| *weight).budget(&budget);
            let (writable, mut readable) = tank.build();
            while writable.write(1).is_ok_and(|flow| flow == Flow::Ready) {}
            let before = writable.level() as u64;
            while readable.try_next().is_some() {}
            let mut items: Batch<usize> = [2, 3, 2, 3, 2, 3].into_iter().collect();
            let mut load = Load::NONE;
            items.iter().for_each(|weight| load.add(*weight));
            let known = Known { load: Some(load), now_ns: None };
            let cx = Context::from_waker(Waker::noop());
            let polled = writable.core().poll_publish(&cx, &mut items, &mut None, known);
            assert_eq!(polled.is_ready(), items.is_empty() && !writable.is_shut());
            let seen = readable.gauge().snapshot();
            let left = items.iter().sum::<usize>();
            assert_eq!(seen.level, 15 - left, "{high} {limit}");
            assert_eq!(seen.written.items, before + 6 - items.len() as u64);
            assert_eq!(seen.written.weight, before + 15 - left as u64);
            while readable.try_next().is_some() {}
            assert_eq!((writable.level(), budget.granted()), (0, 0));
        }
    }

    /// Every four numbers up to these.
    fn every(most: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
        let all = most.map(|most| most + 1).iter().product::<usize>();
        (0..all).map(move |mut n| {
            most.map(|most| {
                let digit = n % (most + 1);
                n /= most + 1;
                digit
            })
        })
    }
}
