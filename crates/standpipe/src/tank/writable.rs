//! The door into a tank.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{BoxError, Cause, WriteError};
use crate::gate::{Flow, Marks};
use crate::overflow::Overflow;
use crate::snapshot::ratio;
use crate::tank::Gauge;
use crate::tank::batch::Batch;
use crate::tank::cork::Corked;
use crate::tank::entry::Known;
use crate::tank::queue::Shared;

/// The writing end of a tank.
///
/// A clone is another producer into the same tank. The data has ended when
/// every clone has said [`end`](Self::end); if **any** of them is dropped
/// without, the reader gets [`Abandoned`](crate::error::CauseKind::Abandoned)
/// after what is queued, never a clean end: an upload cut short by a bug must
/// not look complete.
#[doc(alias("Sender", "Subscriber", "Writer", "sink"))]
pub struct Writable<T> {
    core: Shared<T>,
    ended: bool,
}

impl<T> Writable<T> {
    pub(crate) const fn new(core: Shared<T>) -> Self {
        Self { core, ended: false }
    }

    /// Puts an item into the tank, at once or not at all.
    ///
    /// [`Flow::Wait`] says that the item was taken and the tank is shut now:
    /// wait for [`drained`](Self::drained) before the next write.
    ///
    /// # Memory
    /// The tank never holds more than its high-water mark and one item,
    /// whether the answer is heeded or not; the exception is
    /// [`Overflow::Grow`].
    ///
    /// # Errors
    /// The item comes back in both: [`WriteError::Full`] while the tank is
    /// shut (with an overflow strategy that waits or refuses),
    /// [`WriteError::Closed`] with the cause once the reader is gone, another
    /// writer failed, or the strategy is to fail.
    ///
    /// # Examples
    /// ```
    /// use standpipe::{Flow, Tank};
    ///
    /// let (writable, _readable) = Tank::items(2).build();
    /// assert_eq!(writable.write("a")?, Flow::Ready);
    /// assert_eq!(writable.write("b")?, Flow::Wait);
    /// let refused = writable.write("c").unwrap_err();
    /// assert_eq!(refused.into_inner(), "c");
    /// # Ok::<(), standpipe::WriteError<&str>>(())
    /// ```
    #[doc(alias("try_send", "onNext", "push", "offer"))]
    #[track_caller]
    #[inline]
    pub fn write(&self, item: T) -> Result<Flow, WriteError<T>> {
        self.core.write(item, Location::caller())
    }

    /// Waits until the tank is open.
    ///
    /// Level-triggered: returns at once if it is open already, so no drain can
    /// be missed between a write and this call. Several writers may wait; they
    /// are let in one after the other, oldest first. An open tank is no
    /// promise: another writer may shut it before you write.
    ///
    /// # Cancel safety
    /// Cancel safe. A waiter owns no room; dropped, it leaves nothing behind.
    ///
    /// # Errors
    /// The cause, if the tank takes nothing any more.
    #[doc(alias("drain", "ready", "poll_ready"))]
    pub fn drained(&self) -> Drained<'_, T> {
        Drained { core: &self.core, ticket: None }
    }

    /// Writes, waiting for the drain as often as needed.
    ///
    /// With [`Overflow::Refuse`] it does not wait.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the item was not written and is dropped
    /// with it. To keep it use [`drained`](Self::drained) and
    /// [`write`](Self::write), or [`reserve`](Self::reserve).
    ///
    /// # Errors
    /// The item comes back: [`WriteError::Closed`], or [`WriteError::Full`]
    /// with [`Overflow::Refuse`].
    #[track_caller]
    pub fn send(&self, item: T) -> Sending<'_, T> {
        Sending { waiting: self.drained(), item: Some(item), line: Location::caller() }
    }

    /// Waits for an open tank and charges `weight` to it, for an item that
    /// comes later.
    ///
    /// For `select!`: the wait can be cancelled without losing an item. The
    /// permit **owns room** until it is used or dropped, so do not hold one
    /// across unrelated waits: the reader may be waiting for you.
    ///
    /// # Cancel safety
    /// Cancel safe: until the permit is returned nothing is charged.
    ///
    /// # Errors
    /// The cause, if the tank takes nothing any more.
    #[doc(alias("permit", "request"))]
    pub async fn reserve(&self, weight: usize) -> Result<Permit<'_, T>, Cause> {
        loop {
            self.drained().await?;
            if let Some(weight) = self.core.reserve(weight) {
                return Ok(Permit { core: &self.core, weight });
            }
        }
    }

    /// Writes all of `items`, in as few locks as the marks allow, waiting for
    /// drains in between.
    ///
    /// A batch waits for the gate whatever the overflow strategy is, and it
    /// may come straight from another tank: its items are charged to that one
    /// until they enter this one.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not written is still in `items`, in order.
    ///
    /// # Errors
    /// The cause, if the tank takes nothing any more; what was not written is
    /// still in `items`.
    pub async fn send_batch(&self, items: &mut Batch<T>) -> Result<(), Cause> {
        let mut waiting = self.drained(); // gives its seat up if this is dropped
        poll_fn(|cx| {
            if items.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match self.core.poll_publish(cx, items, &mut waiting.ticket, Known::default()) {
                Poll::Ready(result) => Poll::Ready(result.map(|_| ())),
                // all is in, and the tank is shut: that is the next one's wait
                Poll::Pending if items.is_empty() => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Holds the reader back until the guard is dropped, so that several writes
    /// reach it together, as one batch. Guards nest: the last one lets go.
    ///
    /// Nothing else changes: writes are taken, charged and answered as ever, and
    /// what the reader has in hand goes on. [`end`](Self::end) of the last
    /// writer uncorks.
    ///
    /// # Memory
    /// None of its own: items wait in the tank, up to its mark. A corked tank
    /// at its mark cannot drain, so do not wait for a drain while corked.
    ///
    /// # Examples
    /// ```
    /// use standpipe::Tank;
    ///
    /// let (writable, mut readable) = Tank::items(8).build();
    /// let corked = writable.cork();
    /// let _flow = writable.write("head")?;
    /// let _flow = writable.write("body")?;
    /// assert_eq!(readable.try_next(), None);
    /// drop(corked);
    /// assert_eq!(readable.try_next(), Some("head"));
    /// # Ok::<(), standpipe::WriteError<&str>>(())
    /// ```
    #[doc(alias("uncork"))]
    pub fn cork(&self) -> Corked<T> {
        Corked::new(&self.core)
    }

    /// Ends this writer: no more data from here.
    ///
    /// Takes effect at the call. When every clone has ended, the reader gets
    /// what is queued and then the end. The returned [`Finished`] may be
    /// awaited, to know that everything was taken, or dropped.
    ///
    /// # Cancel safety
    /// Cancel safe: the end has been said, only the answer is lost.
    #[doc(alias("close", "complete", "onComplete", "final"))]
    pub fn end(mut self) -> Finished<T> {
        self.ended = true;
        Finished::new(self.core.clone()) // `self` drops, and leaves with the count
    }

    /// Waits until every writer has ended, this one included, and the last item
    /// has left the reader's hands. What it returns keeps nothing going and may
    /// be awaited anywhere: take it before [`end`](Self::end), or to learn of a
    /// reader that went away while there is nothing to write.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    ///
    /// # Errors
    /// The cause, if the data ended early.
    #[must_use = "a wait does nothing unless awaited"]
    pub fn finished(&self) -> Finished<T> {
        Finished::new(self.core.clone())
    }

    /// Fails the tank for everybody: the reader gets what is queued and then
    /// this error, other writers get it at their next call.
    #[doc(alias("onError", "destroy", "abort"))]
    pub fn fail(self, error: impl Into<BoxError>) {
        self.fail_with(Cause::failed(error));
    }

    /// [`fail`](Self::fail) with a cause that exists already.
    pub fn fail_with(mut self, cause: Cause) {
        self.core.fail(cause);
        self.ended = true;
    }

    /// Weight in the tank, a batch in the reader's hands included.
    ///
    /// May over-read by credit that a reader has not returned yet: at most
    /// what lies between two drains.
    #[doc(alias("writableLength", "bufferSize"))]
    #[must_use]
    pub fn level(&self) -> usize {
        self.core.gate().level()
    }

    /// Level divided by the high-water mark: 1.0 is a shut tank.
    #[must_use]
    pub fn occupancy(&self) -> f64 {
        ratio(self.level() as u64, self.high_water_mark() as u64)
    }

    /// The level at which the tank shuts, unless a [`Budget`](crate::Budget)
    /// grants it less.
    #[doc(alias("highWaterMark", "capacity", "max_capacity"))]
    #[must_use]
    pub fn high_water_mark(&self) -> usize {
        self.core.marks().high()
    }

    /// Whether a write would have to wait.
    #[doc(alias("writableNeedDrain", "is_full"))]
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.core.gate().is_shut()
    }

    /// Changes both marks, live. What the reader has in hand goes by them from
    /// the next time on that it returns some.
    pub fn set_marks(&self, marks: Marks) {
        self.core.set_marks(marks);
    }

    /// What happens to an item at the shut tank.
    #[must_use]
    pub fn overflow(&self) -> Overflow {
        self.core.overflow
    }

    pub(crate) fn core(&self) -> &Shared<T> {
        &self.core
    }
}

impl<T: Send + 'static> Writable<T> {
    /// A handle for watching: its numbers, without keeping the data going.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge::new(self.core.clone())
    }
}

impl<T> Clone for Writable<T> {
    fn clone(&self) -> Self {
        self.core.add_writer();
        Self::new(self.core.clone())
    }
}

impl<T> Drop for Writable<T> {
    fn drop(&mut self) {
        self.core.leave_writer(self.ended);
    }
}

impl<T> fmt::Debug for Writable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable")
            .field("tank", &self.core.name())
            .field("gate", &self.core.gate())
            .finish_non_exhaustive()
    }
}

/// The wait of [`Writable::drained`].
#[must_use = "a wait does nothing unless awaited"]
pub struct Drained<'a, T> {
    core: &'a Shared<T>,
    ticket: Option<u64>,
}

impl<T> Future for Drained<'_, T> {
    type Output = Result<(), Cause>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.core.poll_open(cx, &mut this.ticket)
    }
}

impl<T> Drop for Drained<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.core.leave(ticket);
        }
    }
}

impl<T> fmt::Debug for Drained<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained").field("waiting", &self.ticket.is_some()).finish_non_exhaustive()
    }
}

/// The write of [`Writable::send`].
#[must_use = "an item is not sent unless awaited"]
pub struct Sending<'a, T> {
    waiting: Drained<'a, T>,
    item: Option<T>,
    line: &'static Location<'static>,
}

impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), WriteError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.waiting.core.poll_send(cx, &mut this.item, &mut this.waiting.ticket, this.line)
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// Room in a tank, charged for an item that comes later.
///
/// Dropping it unused gives the room back.
#[must_use = "a permit owns room in the tank"]
pub struct Permit<'a, T> {
    core: &'a Shared<T>,
    weight: usize,
}

impl<T> Permit<'_, T> {
    /// Puts the item where room was charged for it. What it weighs less is
    /// given back.
    ///
    /// # Errors
    /// The item comes back, and the room is free: [`WriteError::Heavier`] if
    /// it weighs more than the permit, [`WriteError::Closed`] with the cause.
    pub fn send(mut self, item: T) -> Result<Flow, WriteError<T>> {
        let weight = self.core.scale.weigh(&item); // first: it may panic
        let reserved = std::mem::take(&mut self.weight);
        self.core.redeem(item, weight, reserved)
    }

    /// The weight it may carry.
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.weight
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        if self.weight > 0 {
            self.core.unreserve(self.weight);
        }
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("weight", &self.weight).finish_non_exhaustive()
    }
}

/// What [`Writable::end`] and `finished` of both doors return: ready when every
/// writer has ended and the last item has left the reader's hands.
pub struct Finished<T> {
    core: Shared<T>,
    ticket: Option<u64>,
}

impl<T> Finished<T> {
    pub(super) const fn new(core: Shared<T>) -> Self {
        Self { core, ticket: None }
    }
}

impl<T> Future for Finished<T> {
    type Output = Result<(), Cause>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.core.poll_finished(cx, &mut this.ticket)
    }
}

impl<T> Drop for Finished<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.core.leave_finishing(ticket);
        }
    }
}

impl<T> fmt::Debug for Finished<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished").field("tank", &self.core.name()).finish_non_exhaustive()
    }
}
