//! How items get out of a tank, how their weight comes back, and how a reader
//! waits, pauses and stops.

use std::mem;
use std::task::{Context, Poll};

use crate::error::Cause;
use crate::sync::{Ordering, lock};
use crate::tank::batch::Batch;
use crate::tank::queue::{Core, End, Wakes, unlock};

/// In `held`: the reader paused itself.
const PAUSED: u32 = 1;
/// In `held`: one cork.
const CORK: u32 = 2;

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

impl<T> Core<T> {
    /// Takes back the weight of what left `batch`, and swaps the queue into it,
    /// since it has to be empty: one lock for both. Waits if nothing is there.
    pub(crate) fn poll_take(
        &self,
        cx: &Context<'_>,
        batch: &mut Batch<T>,
        now_ns: Option<u64>,
    ) -> Poll<Taken> {
        let mut wakes = Wakes::default();
        let left = batch.take_left();
        let mut state = lock(&self.state);
        if left.items > 0 {
            state.meter.read.add_many(left.items, left.weight);
            state.refund(left.weight, now_ns, &mut wakes);
        }
        let taken = if state.take_into(batch) {
            Some(Taken::Items)
        } else {
            match state.end() {
                End::Flowing => None,
                End::Ended | End::Told | End::Stopped => Some(Taken::End),
                End::Failed => Some(Taken::Failed(state.cause())),
            }
        };
        if let Some(taken) = taken {
            if let Taken::Failed(_) = taken {
                state.told();
            }
            unlock(state, wakes);
            return Poll::Ready(taken);
        }
        if state.let_writers_in(&mut wakes) {
            wakes.push(cx.waker().clone());
        }
        let old = match &state.reader {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.reader.replace(cx.waker().clone()),
        };
        unlock(state, wakes);
        drop(old); // a waker's destructor is foreign code
        Poll::Pending
    }

    /// The same without waiting. Says nothing of an end: whoever does not wait
    /// cannot tell it from a pause, so it stays to be told.
    pub(crate) fn take_now(&self, batch: &mut Batch<T>) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if !state.take_into(batch) {
            state.let_writers_in(&mut wakes);
        }
        unlock(state, wakes);
    }

    /// Takes back the weight of items that left a batch. Returns how much may
    /// leave before the next return is due.
    pub(crate) fn credit(&self, left: InHand, now_ns: Option<u64>) -> usize {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.meter.read.add_many(left.items, left.weight);
        state.refund(left.weight, now_ns, &mut wakes);
        let due = state.return_at();
        unlock(state, wakes);
        due
    }

    /// Takes back the weight of items that were taken and never handed on.
    pub(crate) fn unread(&self, lost: InHand) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.count_unread(lost);
        state.tell_dropped(lost, lost.weight);
        state.refund(lost.weight, None, &mut wakes);
        unlock(state, wakes);
    }

    /// Counts items that were given to this tank's writer and will never be in
    /// it: written, and lost. What they weigh is known: this is called where a
    /// panic unwinds, and a scale may have caused that.
    pub(crate) fn lose(&self, lost: InHand) {
        let mut state = lock(&self.state);
        state.meter.written.add_many(lost.items, lost.weight);
        state.count_unread(lost);
        state.tell_dropped(lost, 0);
        unlock(state, Wakes::default());
    }

    /// Takes back what was reserved and not used.
    pub(crate) fn unreserve(&self, weight: usize) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.refund(weight, None, &mut wakes);
        unlock(state, wakes);
    }

    /// Charges an item that is put in front of a batch: it is written once
    /// more. Returns what it was charged and when credit is due.
    pub(crate) fn put_back(&self, item: &T) -> (usize, usize) {
        let weight = self.scale.weigh(item);
        let mut state = lock(&self.state);
        let charged = state.charge(weight, None);
        state.meter.written.add(charged);
        let due = state.return_at();
        unlock(state, Wakes::default()); // it may have shut, and somebody may observe that
        (charged, due)
    }

    /// The reader goes away: what is queued is lost, and counted, and so is
    /// what it had `in_hand`.
    pub(crate) fn stop(&self, cause: Cause, in_hand: InHand) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let queue = mem::take(&mut state.queue);
        let lost = InHand {
            items: queue.len().saturating_add(in_hand.items),
            weight: mem::take(&mut state.queued).saturating_add(in_hand.weight),
        };
        state.count_unread(lost);
        // a reader that leaves after the end, or a failure, changes neither
        let stops = match state.end() {
            End::Flowing => true,
            End::Ended => lost.items > 0,
            _ => false,
        };
        if stops {
            state.end_early(End::Stopped, cause);
        }
        state.refund(lost.weight, None, &mut wakes);
        if stops {
            state.tell_end();
        }
        state.tell_dropped(lost, 0);
        state.reader_gone = true; // now it may have closed, and that comes last
        state.tell_emptied();
        state.wake_everyone(&mut wakes);
        unlock(state, wakes);
        drop(queue);
    }

    /// Holds deliveries back, or lets them go on.
    pub(crate) fn hold(&self, held: bool) {
        if held {
            self.held.fetch_or(PAUSED, Ordering::AcqRel);
        } else {
            self.held.fetch_and(!PAUSED, Ordering::AcqRel);
            self.let_go();
        }
    }

    /// A writer holds the reader back, once more.
    pub(crate) fn cork(&self) {
        self.held.fetch_add(CORK, Ordering::AcqRel);
    }

    /// Undoes one [`cork`](Self::cork), if the end has not undone it.
    pub(crate) fn uncork(&self) {
        let held = self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
            Some(if held >= CORK { held.wrapping_sub(CORK) } else { held })
        });
        if held.is_ok_and(|before| before < CORK << 1) {
            self.let_go();
        }
    }

    /// Undoes all corks: no writer is left that could.
    pub(super) fn uncork_all(&self) {
        self.held.fetch_and(PAUSED, Ordering::AcqRel);
    }

    /// The reader looks again.
    fn let_go(&self) {
        let mut wakes = Wakes::default();
        lock(&self.state).wake_reader(&mut wakes);
        wakes.wake();
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire) != 0
    }

    /// Whether the writers have ended: what is queued is all there will be.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).end() == End::Ended
    }

    /// Whether they have, and nothing is queued.
    #[cfg(all(feature = "http-body", not(loom)))]
    pub(crate) fn is_at_end(&self) -> bool {
        let state = lock(&self.state);
        state.end() == End::Ended && state.queue.is_empty()
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
}
