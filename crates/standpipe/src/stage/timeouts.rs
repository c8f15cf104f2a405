//! How long may it take? For the first item, between items, for room, in all.
//!
//! Deadlines are set where a wait begins and looked at while it lasts: no
//! item reads the clock.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{Cause, CauseKind};
use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::alarm::{Alarm, Hours};
use crate::stage::chain::{Link, Outlet, hands_on};
use crate::stage::line::Post;

/// Times after which a pipeline is failed with
/// [`Expired`](CauseKind::Expired). See
/// [`timeouts`](crate::Pipeline::timeouts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it says how long; give it to `timeouts`"]
pub struct Timeouts {
    first: Option<Duration>,
    idle: Option<Duration>,
    paused: Option<Duration>,
    total: Option<Duration>,
}

impl Timeouts {
    /// No limit yet.
    pub const fn new() -> Self {
        Self { first: None, idle: None, paused: None, total: None }
    }

    /// The first item has to come within this time of the start.
    pub const fn first(mut self, span: Duration) -> Self {
        self.first = Some(span);
        self
    }

    /// After each item the next has to come within this time; time in which
    /// none could be taken, since the last found no room, does not count. It
    /// applies to the first item too, unless [`first`](Self::first) is set.
    pub const fn idle(mut self, span: Duration) -> Self {
        self.idle = Some(span);
        self
    }

    /// An item has to be taken downstream within this time: by the next tank,
    /// or by the stages up to it.
    pub const fn paused(mut self, span: Duration) -> Self {
        self.paused = Some(span);
        self
    }

    /// Everything has to be through within this time of the start.
    pub const fn total(mut self, span: Duration) -> Self {
        self.total = Some(span);
        self
    }
}

/// Timeouts, as a link.
#[derive(Debug)]
pub struct Timed<T> {
    limits: Timeouts,
    post: Post,
    types: std::marker::PhantomData<fn(T) -> T>,
}

impl<T> Timed<T> {
    pub(crate) const fn new(limits: Timeouts, post: Post) -> Self {
        Self { limits, post, types: std::marker::PhantomData }
    }
}

impl<T: Send + 'static> Link for Timed<T> {
    type In = T;
    type Out = T;
    type On<D: Outlet<T>> = TimedOn<D>;

    fn on<D: Outlet<T>>(self, down: D) -> TimedOn<D> {
        let hours = Hours::here();
        let alarm = || Alarm::new(hours.clone());
        let watch = Clockwork {
            limits: self.limits,
            phase: Phase::Unborn,
            run: alarm(),
            first: alarm(),
            wait: alarm(),
        };
        TimedOn { watch, post: self.post, down }
    }
}

/// Timeouts in front of what is downstream of it.
pub struct TimedOn<D> {
    watch: Clockwork,
    post: Post,
    down: D,
}

/// The deadlines. `wait` is the one of the wait that goes on: `idle` or
/// `paused`.
struct Clockwork {
    limits: Timeouts,
    phase: Phase,
    run: Alarm,
    first: Alarm,
    wait: Alarm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was polled yet.
    Unborn,
    /// No item has come yet.
    First,
    /// An item came, and no wait has begun since.
    Item,
    /// Waits for the next item.
    Idle,
    /// Waits to hand one on.
    Paused,
    /// The time was up.
    Expired,
}

impl Clockwork {
    fn begin(&mut self) {
        if self.phase == Phase::Unborn {
            self.phase = Phase::First;
            if let Some(span) = self.limits.total {
                self.run.set(span);
            }
            if let Some(span) = self.limits.first.or(self.limits.idle) {
                self.first.set(span);
            }
        }
    }

    /// An item came. Reads no clock.
    #[inline]
    fn item(&mut self) {
        if self.phase == Phase::Unborn {
            self.begin();
        }
        self.phase = Phase::Item;
    }

    fn expire(&mut self, post: &Post, message: String) {
        if self.phase != Phase::Expired {
            self.phase = Phase::Expired;
            let cause = Cause::with_error(CauseKind::Expired, message);
            post.line().halt(cause, Some(post.index()));
        }
    }

    fn poll_total(&mut self, post: &Post, cx: &mut Context<'_>) {
        if let Some(span) = self.limits.total
            && self.run.poll(cx).is_ready()
        {
            self.expire(post, format!("not done within {span:?} (total timeout)"));
        }
    }

    /// The segment waits, or may be about to wait, for input.
    fn poll_input(&mut self, post: &Post, cx: &mut Context<'_>) {
        self.begin();
        self.poll_total(post, cx);
        match self.phase {
            Phase::First if self.first.poll(cx).is_ready() => {
                let message = match (self.limits.first, self.limits.idle) {
                    (Some(span), _) => format!("no first item within {span:?} (first timeout)"),
                    (None, span) => {
                        format!("no item for {:?} (idle timeout)", span.unwrap_or_default())
                    }
                };
                self.expire(post, message);
            }
            Phase::Item | Phase::Paused | Phase::Idle => {
                let Some(span) = self.limits.idle else { return };
                if self.phase != Phase::Idle {
                    self.phase = Phase::Idle;
                    self.wait.set(span);
                }
                if self.wait.poll(cx).is_ready() {
                    self.expire(post, format!("no item for {span:?} (idle timeout)"));
                }
            }
            _ => {}
        }
    }

    /// An item that was handed on finds no room.
    fn poll_output(&mut self, post: &Post, cx: &mut Context<'_>) {
        self.begin();
        self.poll_total(post, cx);
        let Some(span) = self.limits.paused else { return };
        if matches!(self.phase, Phase::First | Phase::Item | Phase::Idle) {
            self.phase = Phase::Paused;
            self.wait.set(span);
        }
        if self.phase == Phase::Paused && self.wait.poll(cx).is_ready() {
            self.expire(post, format!("waited {span:?} to hand an item on (paused timeout)"));
        }
    }

    /// Waits for something downstream.
    async fn waiting<F: Future<Output = ()> + Send>(&mut self, post: &Post, future: F) {
        let before = self.phase;
        let mut future = pin!(future);
        poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            if polled.is_pending() {
                let guard = post.guard();
                self.poll_output(post, cx);
                guard.disarm();
            }
            polled
        })
        .await;
        if self.phase == Phase::Paused {
            // handing on at the end of nothing is no item
            self.phase = if before == Phase::First { Phase::First } else { Phase::Item };
        }
    }
}

impl<T: Send + 'static, D: Outlet<T>> Emit<T> for TimedOn<D> {
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        self.watch.item();
        self.watch.waiting(&self.post, self.down.send(item))
    }

    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        self.watch.item();
        self.watch.waiting(&self.post, self.down.feed(item))
    }

    #[inline]
    fn push(&mut self, item: T) -> Result<Flow, T> {
        if self.has_room() { Ok(self.put(item)) } else { Err(item) }
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.watch.waiting(&self.post, self.down.flush())
    }
}

impl<T: Send + 'static, D: Outlet<T>> Outlet<T> for TimedOn<D> {
    hands_on!(open, in_hand, has_room, holds_back);

    const ACTIVE: bool = true;

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let guard = self.post.guard();
        self.watch.poll_input(&self.post, cx);
        guard.disarm();
        if D::ACTIVE { self.down.poll_due(cx) } else { Poll::Pending }
    }

    fn work(&mut self) -> impl Future<Output = ()> + Send {
        self.watch.waiting(&self.post, self.down.work())
    }

    #[inline]
    fn put(&mut self, item: T) -> Flow {
        self.watch.item();
        self.down.put(item)
    }

    fn idle(&mut self) -> impl Future<Output = ()> + Send {
        self.watch.waiting(&self.post, self.down.idle())
    }

    fn finish(&mut self) -> impl Future<Output = ()> + Send {
        self.watch.waiting(&self.post, self.down.finish())
    }
}

impl<D> std::fmt::Debug for TimedOn<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimedOn").field("limits", &self.watch.limits).finish_non_exhaustive()
    }
}
