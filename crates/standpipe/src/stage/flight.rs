//! The futures in flight: a set of at most so many, polled only when woken.
//!
//! Each future has a slot that is used again, with a box and a waker that are
//! made once: nothing is allocated per item at steady state. Whoever is woken
//! puts its number on the list once; a poll takes the list and polls each of
//! it once. So a poll is bounded work, and a future that wakes itself all the
//! time gets its turn after all others that are ready.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{Arc, AtomicBool, Mutex, Ordering, lock};

/// In which order results come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the futures went in.
    Input,
    /// As they are done.
    Completion,
}

/// Futures in flight and results that wait to be taken, by slot.
pub(crate) struct Flight<F: Future> {
    slots: Vec<Slot<F>>,
    free: Vec<usize>,
    /// Slots in the order in which their results come out.
    line: VecDeque<usize>,
    order: Order,
    desk: Arc<Mutex<Desk>>,
    /// The other list: swapped with the desk's.
    polling: Vec<usize>,
}

struct Slot<F: Future> {
    future: Pin<Box<Option<F>>>,
    output: Option<F::Output>,
    lamp: Arc<Lamp>,
    waker: Waker,
}

/// Where the woken put their numbers.
#[derive(Default)]
struct Desk {
    woken: Vec<usize>,
    /// Who polls the set.
    waker: Option<Waker>,
}

/// One slot's "poll me".
struct Lamp {
    index: usize,
    lit: AtomicBool,
    desk: Arc<Mutex<Desk>>,
}

impl Lamp {
    fn light(&self) {
        if !self.lit.swap(true, Ordering::SeqCst) {
            let waker = {
                let mut desk = lock(&self.desk);
                desk.woken.push(self.index);
                desk.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Wake for Lamp {
    fn wake(self: Arc<Self>) {
        self.light();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.light();
    }
}

impl<F: Future> Flight<F> {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            line: VecDeque::new(),
            order,
            desk: Arc::default(),
            polling: Vec::new(),
        }
    }

    /// How many are in flight or done and not taken.
    pub(crate) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// Adds a future; the next poll begins it.
    pub(crate) fn begin(&mut self, future: F) {
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            let lit = AtomicBool::new(false);
            let lamp = Arc::new(Lamp { index, lit, desk: self.desk.clone() });
            let waker = Waker::from(lamp.clone());
            self.slots.push(Slot { future: Box::pin(None), output: None, lamp, waker });
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.future.as_mut().set(Some(future));
            if self.order == Order::Input {
                self.line.push_back(index);
            }
            slot.lamp.light();
        }
    }

    /// Polls those that were woken, each once.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) {
        let old = {
            let mut desk = lock(&self.desk);
            mem::swap(&mut desk.woken, &mut self.polling);
            match &desk.waker {
                Some(old) if old.will_wake(cx.waker()) => None,
                _ => desk.waker.replace(cx.waker().clone()),
            }
        };
        drop(old); // without the lock: a waker's destructor is foreign code
        for index in self.polling.drain(..) {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.lamp.lit.store(false, Ordering::SeqCst); // before: a wake from now on counts
            let Some(future) = slot.future.as_mut().as_pin_mut() else { continue };
            if let Poll::Ready(output) = future.poll(&mut Context::from_waker(&slot.waker)) {
                slot.future.as_mut().set(None);
                slot.output = Some(output);
                if self.order == Order::Completion {
                    self.line.push_back(index);
                }
            }
        }
    }

    /// Whether [`take`](Self::take) gives a result.
    pub(crate) fn has_result(&self) -> bool {
        let first = self.line.front().and_then(|index| self.slots.get(*index));
        first.is_some_and(|slot| slot.output.is_some())
    }

    /// The next result in order, if it is there.
    pub(crate) fn take(&mut self) -> Option<F::Output> {
        let index = *self.line.front()?;
        let output = self.slots.get_mut(index)?.output.take()?;
        self.line.pop_front();
        self.free.push(index);
        Some(output)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;

    /// Counts how often the task is woken.
    #[derive(Default)]
    struct Bell(std::sync::atomic::AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn results_come_in_the_order_asked_for_and_slots_are_used_again() {
        let cx = Context::from_waker(Waker::noop());
        for (order, expected) in [(Order::Input, [7, 8, 9]), (Order::Completion, [9, 8, 7])] {
            let doors: Vec<_> = (0..3).map(|_| Rc::new(Cell::new(false))).collect();
            let wakers: Vec<_> = (0..3).map(|_| Rc::new(Cell::new(None))).collect();
            let mut flight = Flight::new(order);
            for index in 0..3 {
                let (door, waker) = (doors[index].clone(), wakers[index].clone());
                flight.begin(poll_fn(move |cx| {
                    waker.set(Some(cx.waker().clone()));
                    if door.get() { Poll::Ready(7 + index) } else { Poll::Pending }
                }));
            }
            flight.poll(&cx);
            let mut results = Vec::new();
            for index in (0..3).rev() {
                doors[index].set(true);
                wakers[index].take().unwrap().wake();
                flight.poll(&cx);
                results.extend(flight.take());
            }
            while let Some(result) = flight.take() {
                results.push(result);
            }
            assert_eq!(results, expected, "{order:?}");
            assert_eq!((flight.len(), flight.slots.len()), (0, 3));
        }
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_once_a_poll_and_wakes_the_task() {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let cx = Context::from_waker(&waker);
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let mut flight = Flight::new(Order::Completion);
        flight.begin(poll_fn(move |cx| -> Poll<()> {
            count.set(count.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        for round in 1..=5 {
            flight.poll(&cx);
            assert_eq!(polls.get(), round);
            assert_eq!(bell.0.load(Ordering::SeqCst), round);
        }
    }

    /// The waker of a task that had been let go held the last reference to it;
    /// it was dropped with the lock held, and what the task's end then woke in
    /// here waited for that lock for ever.
    #[test]
    fn a_waker_is_dropped_without_the_lock() {
        struct Owner(Waker);
        impl Wake for Owner {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for Owner {
            fn drop(&mut self) {
                self.0.wake_by_ref();
            }
        }
        let seen = Rc::new(Cell::new(None));
        let inside = seen.clone();
        let mut flight = Flight::new(Order::Input);
        flight.begin(poll_fn(move |cx| -> Poll<()> {
            inside.set(Some(cx.waker().clone()));
            Poll::Pending
        }));
        flight.poll(&Context::from_waker(Waker::noop()));
        let owner = Waker::from(Arc::new(Owner(seen.take().unwrap())));
        flight.poll(&Context::from_waker(&owner));
        drop(owner);
        flight.poll(&Context::from_waker(Waker::noop()));
        assert_eq!(lock(&flight.desk).woken.len(), 1, "it was woken by the drop");
    }

    #[test]
    fn who_is_not_woken_is_not_polled() {
        let cx = Context::from_waker(Waker::noop());
        let polls = Rc::new(Cell::new(0));
        let mut flight = Flight::new(Order::Input);
        for _ in 0..100 {
            let count = polls.clone();
            flight.begin(poll_fn(move |_| -> Poll<()> {
                count.set(count.get() + 1);
                Poll::Pending
            }));
        }
        for _ in 0..10 {
            flight.poll(&cx);
        }
        assert_eq!(polls.get(), 100);
    }
}
