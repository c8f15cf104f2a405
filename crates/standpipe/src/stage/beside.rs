//! How a stage that waits lets the stages behind it go on?
//!
//! A call into a user's source or transform borrows what is downstream for as
//! long as it runs, also while it waits for a resource of its own. Where
//! something downstream goes on by itself (futures in flight, timers) that
//! would stop it. So there the call is given a [`Hatch`] instead: it leaves an
//! item there and waits; [`beside`] polls the call and what is downstream in
//! turn and passes the item on. Both run in the segment's own poll: no task,
//! no queue.
//!
//! Why not always: the hatch is a lock per item. Where nothing downstream is
//! active, a call emits straight into the next stage.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::stage::Emit;
use crate::stage::chain::Outlet;
use crate::sync::{Mutex, lock};

/// Items passed on one after the other before what goes on by itself has its
/// turn all the same.
const PASSES: usize = 64;

/// Where a call leaves its item. Holds one, unless the call drops the waits
/// of its sends.
pub(crate) struct Hatch<T> {
    state: Mutex<Asked<T>>,
}

/// What the call waits for.
struct Asked<T> {
    item: Option<T>,
    /// Items whose sends were dropped before they were done, and later ones.
    more: VecDeque<T>,
    flush: bool,
    /// A call that waits in a context of its own is woken.
    waker: Option<Waker>,
}

impl<T> Hatch<T> {
    pub(crate) const fn new() -> Self {
        let asked = Asked { item: None, more: VecDeque::new(), flush: false, waker: None };
        Self { state: Mutex::new(asked) }
    }

    /// The call's side.
    pub(crate) const fn emit(&self) -> Emitting<'_, T> {
        Emitting { hatch: self }
    }

    /// Whether the call waits for the hatch, and not for its own resource.
    pub(crate) fn is_asked(&self) -> bool {
        let state = lock(&self.state);
        state.item.is_some() || state.flush
    }

    fn put(&self, item: T, flush: bool) {
        let mut state = lock(&self.state);
        state.flush |= flush;
        if state.item.is_none() {
            state.item = Some(item);
        } else {
            state.more.push_back(item);
        }
    }

    fn take(&self) -> Option<T> {
        let mut state = lock(&self.state);
        let next = state.more.pop_front();
        mem::replace(&mut state.item, next)
    }

    /// Everything asked for is done.
    fn done(&self, cx: &Context<'_>) {
        let waker = {
            let mut state = lock(&self.state);
            state.flush = false;
            state.waker.take()
        };
        // the call is polled next anyway, if it waits in this context
        if let Some(waker) = waker
            && !waker.will_wake(cx.waker())
        {
            waker.wake();
        }
    }
}

/// Emits into a [`Hatch`].
pub(crate) struct Emitting<'a, T> {
    hatch: &'a Hatch<T>,
}

impl<T: Send> Emitting<'_, T> {
    async fn passed(&self) {
        poll_fn(|cx| {
            let mut state = lock(&self.hatch.state);
            if state.item.is_none() && !state.flush {
                return Poll::Ready(());
            }
            let old = match &state.waker {
                Some(old) if old.will_wake(cx.waker()) => None,
                _ => state.waker.replace(cx.waker().clone()),
            };
            drop(state);
            drop(old); // a waker's destructor is foreign code
            Poll::Pending
        })
        .await;
    }
}

impl<T: Send> Emit<T> for Emitting<'_, T> {
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        self.hatch.put(item, true);
        self.passed()
    }

    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        self.hatch.put(item, false);
        self.passed()
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        lock(&self.hatch.state).flush = true;
        self.passed()
    }
}

enum Step<R> {
    Done(R),
    Pass,
    Due,
    Flush,
}

/// Polls a call that emits into `hatch` to its end, and what is downstream
/// beside it.
pub(crate) async fn beside<T: Send, D: Outlet<T>, R: Send>(
    hatch: &Hatch<T>,
    down: &mut D,
    mut call: impl FnMut(&mut Context<'_>) -> Poll<R> + Send,
) -> R {
    let mut seen = true;
    let mut passes: usize = 0;
    loop {
        let step = poll_fn(|cx| {
            match call(cx) {
                Poll::Ready(output) => return Poll::Ready(Step::Done(output)),
                Poll::Pending if hatch.is_asked() && passes < PASSES => {
                    return Poll::Ready(Step::Pass);
                }
                Poll::Pending => passes = 0,
            }
            if down.poll_due(cx).is_ready() {
                Poll::Ready(Step::Due)
            } else if hatch.is_asked() {
                Poll::Ready(Step::Pass)
            } else if !seen {
                // it waits for itself: nothing may lie about unseen meanwhile
                Poll::Ready(Step::Flush)
            } else {
                Poll::Pending
            }
        })
        .await;
        match step {
            Step::Due => {
                down.work().await;
                seen = false;
            }
            Step::Pass => {
                passes = passes.saturating_add(1);
                pass(hatch, down).await;
                seen = false;
            }
            Step::Flush => {
                down.flush().await;
                seen = true;
            }
            Step::Done(output) => {
                pass(hatch, down).await;
                return output;
            }
        }
    }
}

/// Passes on what lies in the hatch.
async fn pass<T: Send, D: Outlet<T>>(hatch: &Hatch<T>, down: &mut D) {
    let flush = lock(&hatch.state).flush;
    while let Some(item) = hatch.take() {
        down.feed(item).await;
    }
    if flush {
        down.flush().await;
    }
    poll_fn(|cx| {
        hatch.done(cx);
        Poll::Ready(())
    })
    .await;
}

/// Waits for `future`, and calls `also` whenever that is polled: a stage that
/// goes on by itself does so while what is downstream of it has no room.
pub(crate) async fn while_calling<F: Future + Send>(
    future: F,
    mut also: impl FnMut(&mut Context<'_>) + Send,
) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        also(cx);
        future.as_mut().poll(cx)
    })
    .await
}
