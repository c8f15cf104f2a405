//! When does what happen? A manual clock and an executor on one thread.
//!
//! Timers fire one at a time, in the order (time, node, slot). Settling polls
//! every woken task until none is woken, so nothing depends on real time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// What a node's timer is for; at the same time they fire in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Construct,
    Io,
    Final,
    Destroy,
    Consumer,
}

impl Slot {
    const fn name(self) -> &'static str {
        match self {
            Self::Construct => "construct",
            Self::Io => "io",
            Self::Final => "final",
            Self::Destroy => "destroy",
            Self::Consumer => "consumer",
        }
    }
}

/// Time, node, slot.
type Key = (u64, usize, Slot);

/// Task ids that are woken, in order.
type Woken = Arc<Mutex<VecDeque<usize>>>;

struct Lamp {
    id: usize,
    lit: AtomicBool,
    woken: Woken,
}

impl Wake for Lamp {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.lit.swap(true, Ordering::Relaxed) {
            self.woken.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.id);
        }
    }
}

struct Task {
    /// Out while it is polled, and once it is over.
    work: Option<Pin<Box<dyn Future<Output = ()>>>>,
    lamp: Arc<Lamp>,
}

/// A scenario's time and tasks, and what is to be said of the step.
#[derive(Default)]
pub(crate) struct World {
    now: Cell<u64>,
    timers: RefCell<BTreeMap<Key, Rc<Timer>>>,
    tasks: RefCell<Vec<Task>>,
    woken: Woken,
    events: RefCell<BTreeMap<String, Vec<String>>>,
}

#[derive(Default)]
struct Timer {
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl World {
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Notes an event of this step.
    pub(crate) fn emit(&self, channel: String, text: String) {
        self.events.borrow_mut().entry(channel).or_default().push(text);
    }

    /// The events of this step, which is over.
    pub(crate) fn take_events(&self) -> BTreeMap<String, Vec<String>> {
        self.events.take()
    }

    /// Runs `work` beside everything else.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let lamp = Lamp { id: tasks.len(), lit: AtomicBool::new(false), woken: self.woken.clone() };
        let lamp = Arc::new(lamp);
        lamp.wake_by_ref();
        tasks.push(Task { work: Some(Box::pin(work)), lamp });
    }

    /// Lets everything happen that can happen without time passing.
    pub(crate) fn settle(&self) {
        loop {
            let id = self.woken.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(id) = id else { return };
            let taken = {
                let mut tasks = self.tasks.borrow_mut();
                let Some(task) = tasks.get_mut(id) else { continue };
                task.lamp.lit.store(false, Ordering::Relaxed);
                task.work.take().map(|work| (work, task.lamp.clone()))
            };
            let Some((mut work, lamp)) = taken else { continue };
            let waker = Waker::from(lamp);
            if work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
                && let Some(task) = self.tasks.borrow_mut().get_mut(id)
            {
                task.work = Some(work);
            }
        }
    }

    /// Drops all tasks: they hold the world they are in.
    pub(crate) fn clear(&self) {
        let tasks = self.tasks.take();
        drop(tasks);
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.timers.borrow().keys().next().map(|(due, ..)| *due)
    }

    /// Fires the next timer, without settling; says which.
    pub(crate) fn fire(&self) -> Option<String> {
        let ((due, node, slot), timer) = self.timers.borrow_mut().pop_first()?;
        self.now.set(due);
        timer.fired.set(true);
        if let Some(waker) = timer.waker.take() {
            waker.wake();
        }
        Some(format!("{node}{}", slot.name()))
    }

    /// Goes to a time at which nothing is due before.
    pub(crate) fn go_to(&self, now: u64) {
        self.now.set(now);
    }

    /// Waits on the manual clock. A delay of 0 is over at once. Dropping it
    /// removes the timer.
    pub(crate) fn sleep(self: &Rc<Self>, node: usize, slot: Slot, delay: u64) -> Sleep {
        let key = (self.now().saturating_add(delay), node, slot);
        let timer = Rc::new(Timer::default());
        if delay == 0 {
            timer.fired.set(true);
        } else {
            self.timers.borrow_mut().insert(key, timer.clone());
        }
        Sleep { world: self.clone(), key, timer }
    }
}

/// See [`World::sleep`].
pub(crate) struct Sleep {
    world: Rc<World>,
    key: Key,
    timer: Rc<Timer>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.fired.get() {
            return Poll::Ready(());
        }
        self.timer.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if !self.timer.fired.get() {
            self.world.timers.borrow_mut().remove(&self.key);
        }
    }
}

/// Something changed: whoever waits looks again.
#[derive(Default)]
pub(crate) struct Signal(RefCell<Vec<Waker>>);

impl Signal {
    pub(crate) fn ring(&self) {
        for waker in self.0.take() {
            waker.wake();
        }
    }

    /// Has the next [`ring`](Self::ring) wake this task.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut wakers = self.0.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        std::future::poll_fn(|cx| {
            if holds() {
                return Poll::Ready(());
            }
            self.watch(cx);
            Poll::Pending
        })
        .await;
    }
}

/// Works until `over` is ready or the work is done, whichever comes first.
pub(crate) async fn work_until(over: impl Future, work: impl Future<Output = ()>) {
    let (mut over, mut work) = (std::pin::pin!(over), std::pin::pin!(work));
    std::future::poll_fn(|cx| {
        if over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        work.as_mut().poll(cx)
    })
    .await;
}
