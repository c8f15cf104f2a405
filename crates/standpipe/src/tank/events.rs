//! Who is told what happens to a tank?
//!
//! An observer is a bounded ring. The tank puts an event into it under the lock
//! that it holds anyway, and whoever reads the ring does so when it likes: a
//! listener that is slow, stuck or panics is never run by the tank and never
//! waited for. What does not fit is counted, and the ends of a tank always fit.
//!
//! ```text
//!   tank ──► [ ring ] ──► next(), try_next(), on_event(..)
//!                 └─► missed: the oldest make room
//! ```
//!
//! Why not callbacks: one that is called by the tank runs on the thread of
//! whoever writes or reads, inside their wait, and may come back into the tank.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::error::Cause;
use crate::snapshot::{Tally, Unit};
use crate::sync::{Arc, Mutex, lock};
use crate::tank::Gauge;

/// Events that one tank may have at its end: ended, finished or stopped,
/// closed. Room for them is kept, so that they are never missed.
const ENDS_PER_TANK: usize = 3;

/// What happened to a tank.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The tank is open. Told once, to an observer that comes while it is; one
    /// that comes while it is not is told that.
    Ready,
    /// The level reached the high-water mark: writers have to wait.
    Shut,
    /// The shut tank opened again: what
    /// [`drained`](crate::tank::Writable::drained) waits for.
    Drained,
    /// Items that were taken will not be delivered: the overflow strategy
    /// dropped them, or the reader went away before it had them. Successive
    /// ones that nobody has looked at are one event.
    Dropped(Tally),
    /// Every writer has said `end`.
    Ended,
    /// The last item has left after the end: what
    /// [`finished`](Gauge::finished) waits for.
    Finished,
    /// A writer failed, or was dropped without `end`.
    Failed(Cause),
    /// The reader went away first.
    Stopped(Cause),
    /// Both doors are gone and nothing is in hand. The last event of a tank.
    Closed,
}

impl EventKind {
    /// Whether it is kept however full the ring is.
    const fn is_end(&self) -> bool {
        match self {
            Self::Ready | Self::Shut | Self::Drained | Self::Dropped(_) => false,
            Self::Ended | Self::Finished | Self::Failed(_) | Self::Stopped(_) | Self::Closed => {
                true
            }
        }
    }
}

/// What happened to which tank, and how full it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The tank's name.
    pub tank: StdArc<str>,
    /// Its place among the tanks that are observed together, from 0.
    pub index: usize,
    /// Weight in the tank right after it.
    pub level: usize,
    /// What the level counts.
    pub unit: Unit,
    /// In a pipeline, the last reading of its clock that the tank has been
    /// given, never later than the event. A tank alone has no clock.
    pub at_ns: Option<u64>,
    /// How many events between the one before and this one were missed.
    pub missed: u64,
}

/// What a tank says of itself beside the kind of an event.
pub(crate) struct Sight<'a> {
    pub(crate) tank: &'a StdArc<str>,
    pub(crate) level: usize,
    pub(crate) unit: Unit,
    pub(crate) at_ns: Option<u64>,
}

/// What a tank and whoever observes it share.
pub(crate) struct Ring {
    inner: Mutex<Inner>,
}

struct Inner {
    queue: VecDeque<Event>,
    /// Those in `queue` that may have to make room.
    passing: usize,
    capacity: usize,
    missed: u64,
    /// Observed tanks that have not closed.
    open: usize,
    waker: Option<Waker>,
    /// Something came since the waker was left.
    news: bool,
    /// Nobody reads it any more.
    gone: bool,
}

impl Ring {
    /// Takes an event in; false if nobody reads them any more. The caller holds
    /// its tank's lock: this allocates nothing and calls nothing foreign.
    fn push(&self, index: usize, kind: &EventKind, sight: &Sight<'_>) -> bool {
        let mut inner = lock(&self.inner);
        if inner.gone {
            return false;
        }
        inner.news = true;
        if let (EventKind::Dropped(more), Some(last)) = (kind, inner.queue.back_mut())
            && let EventKind::Dropped(tally) = &mut last.kind
            && last.index == index
        {
            *tally = tally.plus(*more);
            last.level = sight.level;
            return true;
        }
        inner.queue.push_back(Event {
            kind: kind.clone(),
            tank: sight.tank.clone(),
            index,
            level: sight.level,
            unit: sight.unit,
            at_ns: sight.at_ns,
            missed: 0,
        });
        if matches!(kind, EventKind::Closed) {
            inner.open = inner.open.saturating_sub(1);
        }
        if !kind.is_end() {
            inner.passing = inner.passing.saturating_add(1);
        }
        if inner.passing > inner.capacity {
            inner.make_room();
        }
        true
    }

    /// Whether nobody reads it any more.
    fn is_gone(&self) -> bool {
        lock(&self.inner).gone
    }

    /// Who is to be woken, if something came.
    fn take_waker(&self) -> Option<Waker> {
        let mut inner = lock(&self.inner);
        if mem::take(&mut inner.news) { inner.waker.take() } else { None }
    }
}

impl Inner {
    /// The oldest event that is no end goes; the one behind it says so.
    fn make_room(&mut self) {
        let Some(at) = self.queue.iter().position(|event| !event.kind.is_end()) else { return };
        let missed = self.queue.remove(at).map_or(0, |event| event.missed).saturating_add(1);
        self.passing = self.passing.saturating_sub(1);
        self.missed = self.missed.saturating_add(1);
        if let Some(next) = self.queue.get_mut(at) {
            next.missed = next.missed.saturating_add(missed);
        }
    }

    fn take(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        if !event.kind.is_end() {
            self.passing = self.passing.saturating_sub(1);
        }
        Some(event)
    }
}

/// The rings that a tank fills. Under the tank's lock.
#[derive(Default)]
pub(crate) struct Observers {
    rings: Vec<(Arc<Ring>, usize)>,
}

impl Observers {
    /// Adds one. It was told to expect the tank. Those that are gone make room:
    /// a tank at which nothing happens would keep them for ever.
    pub(crate) fn add(&mut self, ring: Arc<Ring>, index: usize) {
        self.rings.retain(|(ring, _)| !ring.is_gone());
        self.rings.push((ring, index));
    }

    /// Tells them all.
    #[cold]
    pub(crate) fn tell(&mut self, kind: &EventKind, sight: &Sight<'_>) {
        self.rings.retain(|(ring, index)| ring.push(*index, kind, sight));
    }

    /// Tells the one that came last.
    pub(crate) fn tell_newest(&self, kind: &EventKind, sight: &Sight<'_>) {
        if let Some((ring, index)) = self.rings.last() {
            ring.push(*index, kind, sight); // one that is gone is seen next time
        }
    }

    /// Those to wake, once the lock is free.
    #[cold]
    pub(crate) fn wakers(&self) -> impl Iterator<Item = Waker> {
        self.rings.iter().filter_map(|(ring, _)| ring.take_waker())
    }
}

/// Observes one tank, or several together. Also a [`Stream`].
///
/// A tank that is not observed pays a look at one pointer. One that is pays
/// when it shuts, opens or ends, never per item. Dropping the observer is how
/// to leave.
///
/// # Memory
/// As many events as it was made for, and three for each tank, which are kept
/// free for its end. All of it is taken when it is made, so that no tank ever
/// allocates to tell something.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// use standpipe::Tank;
/// use standpipe::tank::EventKind;
///
/// let (writable, mut readable) = Tank::items(2).named("jobs").build();
/// let mut events = writable.gauge().events(16);
/// writable.send("a").await?;
/// writable.send("b").await?;
/// let _ = readable.next().await;
/// let finished = writable.end();
/// let _ = readable.next().await;
/// finished.await?;
/// drop(readable);
///
/// let mut seen = Vec::new();
/// while let Some(event) = events.next().await {
///     seen.push((format!("{:?}", event.kind), event.level));
/// }
/// let seen: Vec<(&str, usize)> = seen.iter().map(|(kind, level)| (&**kind, *level)).collect();
/// let all = [("Ready", 0), ("Shut", 2), ("Drained", 1), ("Ended", 1), ("Finished", 0), ("Closed", 0)];
/// assert_eq!(seen, all);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "an observer that is dropped observes nothing"]
pub struct Events {
    ring: Arc<Ring>,
}

impl Events {
    /// Observes several tanks together; `capacity` events, at least one, wait
    /// to be read. An event's `index` is the place of its tank in `tanks`.
    pub fn of(tanks: &[Gauge], capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let ends = ENDS_PER_TANK.saturating_mul(tanks.len());
        let room = capacity.saturating_add(ends).saturating_add(1);
        let inner = Inner {
            queue: VecDeque::with_capacity(room),
            passing: 0,
            capacity,
            missed: 0,
            open: tanks.len(),
            waker: None,
            news: false,
            gone: false,
        };
        let ring = Arc::new(Ring { inner: Mutex::new(inner) });
        for (index, tank) in tanks.iter().enumerate() {
            tank.observe(ring.clone(), index);
        }
        Self { ring }
    }

    /// Takes the next event, waiting for one. `None` when every tank has
    /// closed.
    ///
    /// # Cancel safety
    /// Cancel safe: an event is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let mut inner = lock(&self.ring.inner);
        if let Some(event) = inner.take() {
            return Poll::Ready(Some(event));
        }
        if inner.open == 0 {
            return Poll::Ready(None);
        }
        inner.news = false;
        let old = match &inner.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => inner.waker.replace(cx.waker().clone()),
        };
        drop(inner);
        drop(old); // a waker's destructor is foreign code
        Poll::Pending
    }

    /// Takes the next event if one is there, without waiting.
    pub fn try_next(&mut self) -> Option<Event> {
        lock(&self.ring.inner).take()
    }

    /// How many events were missed so far because too many waited to be read.
    #[must_use]
    pub fn missed(&self) -> u64 {
        lock(&self.ring.inner).missed
    }

    /// Calls `listener` for each event until every tank has closed; returns how
    /// many it missed. Spawn it, or await it beside the work: the listener runs
    /// in the task that polls this, never in the tank's.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped, it calls no more.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// use standpipe::stage::{fold, iter};
    /// use standpipe::tank::EventKind;
    /// use standpipe::{Pipeline, Tank};
    ///
    /// let ready = Pipeline::from("numbers", iter(0..100_u64))
    ///     .tank(Tank::items(8).named("queue"))
    ///     .to("sum", fold(0, |sum, n| sum + n));
    /// let mut shut = 0;
    /// let listen = ready.monitor().events(64).on_event(|event| {
    ///     shut += u64::from(matches!(event.kind, EventKind::Shut));
    /// });
    /// let (finished, _missed) = futures::join!(ready.run(), listen);
    /// assert_eq!(shut, finished?.report.tanks[0].pauses);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn on_event(mut self, mut listener: impl FnMut(Event)) -> u64 {
        while let Some(event) = self.next().await {
            listener(event);
        }
        self.missed()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut inner = lock(&self.ring.inner);
        inner.gone = true;
        let left = (mem::take(&mut inner.queue), inner.waker.take());
        drop(inner);
        drop(left); // causes and wakers: foreign code
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = lock(&self.ring.inner);
        f.debug_struct("Events")
            .field("waiting", &inner.queue.len())
            .field("missed", &inner.missed)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::tank::Tank;

    /// Each write and read of an observed tank took the lock of every observer,
    /// to see whether it was to be woken, also when there was nothing to tell
    /// and when it was gone.
    #[test]
    fn an_item_does_not_take_the_lock_of_an_observer() {
        let (writable, mut readable) = Tank::items(8).build::<u32>();
        let events = writable.gauge().events(4);
        let somebody_looks = lock(&events.ring.inner);
        for item in 0..20 {
            assert!(writable.write(item).is_ok()); // else it waits for ever
            assert_eq!(readable.try_next(), Some(item));
        }
        drop(somebody_looks);
    }
}
