//! Items into groups: by count, by weight, by time, whichever is first.

use std::future::Future;
use std::mem;
use std::task::{Context, Poll};
#[cfg(feature = "tokio")]
use std::time::Duration;

use crate::gate::Flow;
use crate::stage::Emit;
#[cfg(feature = "tokio")]
use crate::stage::alarm::{Alarm, Hours};
use crate::stage::chain::{Link, Outlet, hands_on};
use crate::stage::line::Post;

/// Room that a group is given at first; larger ones grow as they fill.
const FIRST_CAPACITY: usize = 1_024;

/// When a group is complete: at so many items, at a weight, after a time,
/// whichever is first. See [`grouped`](crate::Pipeline::grouped).
#[must_use = "it says how to group; give it to `grouped`"]
pub struct Groups<T> {
    items: usize,
    #[expect(clippy::type_complexity, reason = "an alias would tell nothing more")]
    weight: Option<(usize, Box<dyn Fn(&T) -> usize + Send>)>,
    #[cfg(feature = "tokio")]
    within: Option<Duration>,
}

impl<T> Groups<T> {
    /// Complete at `items` items. Always given: it is what bounds a group.
    ///
    /// # Panics
    /// If `items` is 0.
    #[track_caller]
    pub const fn of(items: usize) -> Self {
        assert!(items > 0, "a group of 0 items is never complete");
        Self {
            items,
            weight: None,
            #[cfg(feature = "tokio")]
            within: None,
        }
    }

    /// Also complete at this weight, each item weighing what `weigh` says. As
    /// a tank a group takes the item that reaches the limit, so it weighs at
    /// most the limit and one item, and an oversized item passes.
    pub fn weighing(mut self, limit: usize, weigh: impl Fn(&T) -> usize + Send + 'static) -> Self {
        self.weight = Some((limit, Box::new(weigh)));
        self
    }

    /// Also complete this long after its first item came, on tokio's clock.
    #[cfg(feature = "tokio")]
    pub const fn within(mut self, span: Duration) -> Self {
        self.within = Some(span);
        self
    }
}

impl<T> std::fmt::Debug for Groups<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Groups");
        out.field("items", &self.items).field("weight", &self.weight.as_ref().map(|w| w.0));
        #[cfg(feature = "tokio")]
        out.field("within", &self.within);
        out.finish()
    }
}

/// Grouping, as a link.
#[derive(Debug)]
pub struct Grouped<T> {
    groups: Groups<T>,
    post: Post,
}

impl<T> Grouped<T> {
    pub(crate) const fn new(groups: Groups<T>, post: Post) -> Self {
        Self { groups, post }
    }
}

impl<T: Send + 'static> Link for Grouped<T> {
    type In = T;
    type Out = Vec<T>;
    type On<D: Outlet<Vec<T>>> = GroupedOn<T, D>;

    fn on<D: Outlet<Vec<T>>>(self, down: D) -> GroupedOn<T, D> {
        GroupedOn {
            group: Vec::with_capacity(self.groups.items.min(FIRST_CAPACITY)),
            weight: 0,
            groups: self.groups,
            #[cfg(feature = "tokio")]
            timer: Timer { alarm: Alarm::new(Hours::here()), state: TimerState::Unset },
            post: self.post,
            down,
        }
    }
}

/// Grouping in front of what is downstream of it.
pub struct GroupedOn<T, D> {
    groups: Groups<T>,
    group: Vec<T>,
    weight: usize,
    #[cfg(feature = "tokio")]
    timer: Timer,
    post: Post,
    down: D,
}

/// The time of the group that fills. Set when its segment first waits with it,
/// so that no item reads the clock.
#[cfg(feature = "tokio")]
struct Timer {
    alarm: Alarm,
    state: TimerState,
}

#[cfg(feature = "tokio")]
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimerState {
    Unset,
    Set,
    Due,
}

impl<T, D> GroupedOn<T, D> {
    /// Adds an item; the group, if that completes it.
    #[inline]
    fn add(&mut self, item: T) -> Option<Vec<T>> {
        if let Some((_, weigh)) = &self.groups.weight {
            let guard = self.post.guard();
            self.weight = self.weight.saturating_add(weigh(&item));
            guard.disarm();
        }
        self.group.push(item);
        let heavy = self.groups.weight.as_ref().is_some_and(|(limit, _)| self.weight >= *limit);
        (heavy || self.group.len() >= self.groups.items).then(|| self.complete())
    }

    fn complete(&mut self) -> Vec<T> {
        #[cfg(feature = "tokio")]
        {
            self.timer.state = TimerState::Unset;
        }
        self.weight = 0;
        let next = Vec::with_capacity(self.group.len());
        mem::replace(&mut self.group, next)
    }

    /// Whether the time of the group that fills is up.
    #[cfg(feature = "tokio")]
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(within) = self.groups.within else { return Poll::Pending };
        if self.group.is_empty() {
            return Poll::Pending;
        }
        let guard = self.post.guard();
        if self.timer.state == TimerState::Unset {
            self.timer.alarm.set(within);
            self.timer.state = TimerState::Set;
        }
        if self.timer.state == TimerState::Set && self.timer.alarm.poll(cx).is_ready() {
            self.timer.state = TimerState::Due;
        }
        guard.disarm();
        if self.timer.state == TimerState::Due { Poll::Ready(()) } else { Poll::Pending }
    }

    #[cfg(feature = "tokio")]
    fn take_due(&mut self) -> Option<Vec<T>> {
        (self.timer.state == TimerState::Due).then(|| self.complete())
    }

    #[cfg(not(feature = "tokio"))]
    #[expect(clippy::needless_pass_by_ref_mut, reason = "as with a timer")]
    fn poll_time(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    #[cfg(not(feature = "tokio"))]
    #[expect(clippy::needless_pass_by_ref_mut, reason = "as with a timer")]
    fn take_due(&mut self) -> Option<Vec<T>> {
        None
    }
}

impl<T: Send + 'static, D: Outlet<Vec<T>>> Emit<T> for GroupedOn<T, D> {
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        let group = self.add(item);
        async move {
            if let Some(group) = group {
                self.down.send(group).await;
            }
        }
    }

    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        let group = self.add(item);
        async move {
            if let Some(group) = group {
                self.down.feed(group).await;
            }
        }
    }

    #[inline]
    fn push(&mut self, item: T) -> Result<Flow, T> {
        if self.has_room() { Ok(self.put(item)) } else { Err(item) }
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.down.flush()
    }
}

impl<T: Send + 'static, D: Outlet<Vec<T>>> Outlet<T> for GroupedOn<T, D> {
    hands_on!(open, in_hand, has_room, holds_back, idle);

    const ACTIVE: bool = D::ACTIVE || cfg!(feature = "tokio");

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let down = D::ACTIVE && self.down.poll_due(cx).is_ready();
        if self.poll_time(cx).is_ready() || down { Poll::Ready(()) } else { Poll::Pending }
    }

    async fn work(&mut self) {
        if let Some(group) = self.take_due() {
            self.down.feed(group).await;
        }
        if D::ACTIVE {
            self.down.work().await;
        }
    }

    // a group that fills waits for input: that is starved, not busy
    #[inline]
    fn put(&mut self, item: T) -> Flow {
        match self.add(item) {
            Some(group) => self.down.put(group),
            None => Flow::Ready,
        }
    }

    async fn finish(&mut self) {
        if !self.group.is_empty() {
            let group = self.complete();
            self.down.feed(group).await;
        }
        self.down.finish().await;
    }
}

impl<T, D> std::fmt::Debug for GroupedOn<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupedOn").field("items", &self.group.len()).finish_non_exhaustive()
    }
}
