//! The door out of a tank.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::error::{Cause, CauseKind, WriteError};
use crate::gate::{Flow, Marks};
use crate::tank::Gauge;
use crate::tank::batch::Batch;
use crate::tank::exit::Taken;
use crate::tank::queue::Shared;
use crate::tank::writable::{Finished, Writable};

/// The reading end of a tank: one consumer.
///
/// Dropping it stops the writers: they get
/// [`Stopped`](CauseKind::Stopped) at their next call, and what is queued is
/// lost and counted. Also a [`Stream`].
#[doc(alias("Receiver", "Publisher", "Reader"))]
pub struct Readable<T> {
    core: Shared<T>,
    /// What it took and nobody had yet. Made when it first takes something: a
    /// tank may idle for long.
    batch: Option<Box<Batch<T>>>,
}

impl<T> Readable<T> {
    pub(crate) const fn new(core: Shared<T>) -> Self {
        Self { core, batch: None }
    }

    /// Takes the next item, waiting for one. `None` after the end.
    ///
    /// # Cancel safety
    /// Cancel safe: an item is taken only when it is returned.
    ///
    /// # Errors
    /// The cause, once, after everything that was queued, if the data ended
    /// early; `None` follows.
    #[doc(alias("recv", "request", "poll_recv"))]
    #[expect(clippy::should_implement_trait, reason = "the async sister of `Iterator::next`")]
    pub fn next(&mut self) -> Next<'_, T> {
        Next { readable: self }
    }

    /// Takes all that is queued, waiting for at least one item: one lock for
    /// up to a whole tank. `Ok(false)` is the end.
    ///
    /// The items stay charged to the tank until they leave `into`. As long as
    /// some are left in there nothing is taken, and the answer is `Ok(true)` at
    /// once.
    ///
    /// # Cancel safety
    /// Cancel safe: until it is ready, `into` is as it was.
    ///
    /// # Errors
    /// The cause, once, after everything that was queued.
    ///
    /// # Panics
    /// If `into` holds items of another tank, or of none.
    #[doc(alias("recv_many"))]
    pub async fn next_batch(&mut self, into: &mut Batch<T>) -> Result<bool, Cause> {
        into.belong(&self.core);
        if !into.is_empty() {
            return Ok(true);
        }
        std::future::poll_fn(|cx| self.poll_next_batch(cx, into, None)).await
    }

    /// The same, but takes at most `most` items, and always at least one: for a
    /// sink that works on one item, or a bounded number, at a time.
    ///
    /// What it leaves stays in order and charged, and may still be held back by
    /// [`pause`](Self::pause) or a writer's cork. Nothing is taken while items
    /// are left in `into`.
    ///
    /// # Cancel safety
    /// Cancel safe: until it is ready, `into` is as it was.
    ///
    /// # Errors
    /// The cause, once, after everything that was queued.
    ///
    /// # Panics
    /// If `into` holds items of another tank, or of none.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// use standpipe::{Batch, Tank};
    ///
    /// let (writable, mut readable) = Tank::items(8).node().build();
    /// for item in [1, 2, 3] {
    ///     writable.send(item).await?;
    /// }
    /// let mut batch = Batch::new();
    /// readable.next_batch_of(2, &mut batch).await?;
    /// assert_eq!((batch.len(), writable.level()), (2, 3)); // still charged
    /// assert_eq!((batch.pop(), writable.level()), (Some(1), 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn next_batch_of(&mut self, most: usize, into: &mut Batch<T>) -> Result<bool, Cause> {
        into.belong(&self.core);
        if !into.is_empty() {
            return Ok(true);
        }
        std::future::poll_fn(|cx| {
            into.settle(None);
            if self.core.is_held() {
                ready!(self.core.park_held(cx));
            }
            if self.has_in_hand() {
                self.hand().look_again();
            } else {
                match ready!(self.poll_take(cx)) {
                    Taken::Items => {}
                    Taken::End => return Poll::Ready(Ok(false)),
                    Taken::Failed(cause) => return Poll::Ready(Err(cause)),
                }
            }
            self.hand().give(most.max(1), into);
            Poll::Ready(Ok(true))
        })
        .await
    }

    /// The poll behind [`next_batch`](Self::next_batch). Returns the credit of
    /// what left `into`, at `now_ns`.
    pub(crate) fn poll_next_batch(
        &mut self,
        cx: &Context<'_>,
        into: &mut Batch<T>,
        now_ns: Option<u64>,
    ) -> Poll<Result<bool, Cause>> {
        if self.core.is_held() {
            into.settle(now_ns);
            ready!(self.core.park_held(cx));
        }
        if self.has_in_hand() {
            into.settle(now_ns);
            self.hand().swap(into);
            return Poll::Ready(Ok(true));
        }
        match ready!(self.core.poll_take(cx, into, now_ns)) {
            Taken::Items => Poll::Ready(Ok(true)),
            Taken::End => Poll::Ready(Ok(false)),
            Taken::Failed(cause) => Poll::Ready(Err(cause)),
        }
    }

    /// Takes the next item if one is there, without waiting.
    ///
    /// `None` says only that nothing is there now: the end, or the cause of an
    /// early one, is told by [`next`](Self::next) alone.
    #[doc(alias("try_recv", "read"))]
    pub fn try_next(&mut self) -> Option<T> {
        if self.core.is_held() {
            return None;
        }
        if !self.has_in_hand() {
            self.take_now();
        }
        self.batch.as_mut()?.pop()
    }

    /// Takes a part of the next item if one is there, without waiting: `split`
    /// shortens it and returns what stays in front, if anything does.
    ///
    /// What stays is charged all the while, so a source that is held at the mark
    /// does not start for a moment, as it might between
    /// [`try_next`](Self::try_next) and [`unshift`](Self::unshift). In a tank of
    /// items an item counts until its last part has left.
    ///
    /// # Examples
    /// ```
    /// use bytes::Bytes;
    /// use standpipe::Tank;
    ///
    /// let (writable, mut readable) = Tank::bytes(8).build::<Bytes>();
    /// let _flow = writable.write(Bytes::from_static(b"8:payload"))?;
    /// let head = readable.try_next_part(|item| Some(item.split_off(2)));
    /// assert_eq!(head.as_deref(), Some(&b"8:"[..]));
    /// assert_eq!(readable.level(), 7);
    /// # Ok::<(), standpipe::WriteError<Bytes>>(())
    /// ```
    pub fn try_next_part(&mut self, split: impl FnOnce(&mut T) -> Option<T>) -> Option<T> {
        if self.core.is_held() {
            return None;
        }
        if !self.has_in_hand() {
            self.take_now();
        }
        self.batch.as_mut()?.take_part(split)
    }

    /// The poll behind [`next`](Self::next).
    pub(crate) fn poll_item(&mut self, cx: &Context<'_>) -> Poll<Option<Result<T, Cause>>> {
        loop {
            if self.core.is_held() {
                ready!(self.core.park_held(cx));
            }
            if let Some(batch) = &mut self.batch
                && let Some(item) = batch.pop_own()
            {
                return Poll::Ready(Some(Ok(item)));
            }
            match ready!(self.poll_take(cx)) {
                Taken::Items => {}
                Taken::End => return Poll::Ready(None),
                Taken::Failed(cause) => return Poll::Ready(Some(Err(cause))),
            }
        }
    }

    /// Holds everything back: `next` waits, the tank fills, writers are
    /// stopped at its mark. Nothing is lost.
    pub fn pause(&self) {
        self.core.hold(true);
    }

    /// Lets deliveries go on.
    pub fn resume(&self) {
        self.core.hold(false);
    }

    /// Puts an item back in front. It is charged and counted as written again,
    /// also past the mark: the tank may hold one item more than its bound.
    pub fn unshift(&mut self, item: T) {
        let (charged, return_at) = self.core.put_back(&item);
        self.hand().put_back(item, charged, return_at);
    }

    /// Moves everything into another tank and ends it, carrying pressure:
    /// nothing is read while `to` is shut. Returns how many items moved.
    ///
    /// # Cancel safety
    /// Dropped, it leaves what was not moved in its tank, stops the writers
    /// there and abandons `to`; at most one item in between is lost.
    ///
    /// # Errors
    /// The cause that ended either side early; it has been passed on to the
    /// other side: downstream as a failure, upstream as the reason to stop.
    #[doc(alias("forward"))]
    pub async fn pipe(mut self, to: Writable<T>) -> Result<u64, Cause> {
        let mut moved: u64 = 0;
        let mut far_end = to.finished();
        loop {
            if let Err(cause) = to.drained().await {
                self.stop(cause.clone());
                return Err(cause);
            }
            // the far side may stop while nothing comes
            let next = std::future::poll_fn(|cx| match self.poll_item(cx) {
                Poll::Ready(next) => Poll::Ready(Ok(next)),
                Poll::Pending => match Pin::new(&mut far_end).poll(cx) {
                    Poll::Ready(Err(cause)) => Poll::Ready(Err(cause)),
                    // a tank with a writer has not ended
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                },
            })
            .await;
            match next {
                Ok(None) => {
                    to.end();
                    return Ok(moved);
                }
                Ok(Some(Err(cause))) => {
                    to.fail_with(cause.clone());
                    return Err(cause);
                }
                Ok(Some(Ok(item))) => match to.send(item).await {
                    Ok(()) => moved = moved.saturating_add(1),
                    Err(error) => {
                        let full = || Cause::new(CauseKind::Overflowed);
                        let cause = error.cause().cloned().unwrap_or_else(full);
                        self.unshift(error.into_inner()); // so that it is counted as unread
                        self.stop(cause.clone());
                        return Err(cause);
                    }
                },
                Err(cause) => {
                    self.stop(cause.clone());
                    return Err(cause);
                }
            }
        }
    }

    /// Moves items into another tank, carrying pressure, and leaves both sides
    /// alone: at the end `to` is not ended, and a failure of one side does not
    /// reach the other. Returns how many items moved.
    ///
    /// For a tank that several are piped into, or that is piped somewhere else
    /// later. What ends early is yours to pass on; [`pipe`](Self::pipe) does
    /// that. A destination that closes is noticed with the next item.
    ///
    /// # Cancel safety
    /// Cancel safe: an item is taken only when it goes into `to` at once.
    /// Dropping it is how to take a pipe off: what was not moved is in this
    /// tank, and `to` is as free as if there had been no pipe.
    ///
    /// # Errors
    /// [`PipeError`], with the cause and whose it is.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// use standpipe::Tank;
    ///
    /// let (to, mut sink) = Tank::items(8).build();
    /// for part in [1..=2, 3..=4] {
    ///     let (writable, mut readable) = Tank::items(4).build();
    ///     for item in part {
    ///         writable.send(item).await?;
    ///     }
    ///     writable.end();
    ///     assert_eq!(readable.pipe_to(&to).await?, 2);
    /// }
    /// to.end();
    /// let mut all = Vec::new();
    /// while let Some(item) = sink.next().await {
    ///     all.push(item?);
    /// }
    /// assert_eq!(all, [1, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "unpipe")]
    #[doc(alias = "keep_open")]
    pub async fn pipe_to(&mut self, to: &Writable<T>) -> Result<u64, PipeError> {
        let mut moved: u64 = 0;
        loop {
            to.drained().await.map_err(PipeError::Destination)?;
            let item = match self.next().await {
                None => return Ok(moved),
                Some(item) => item.map_err(PipeError::Source)?,
            };
            match to.write(item) {
                Ok(Flow::Ready | Flow::Wait) => moved = moved.saturating_add(1),
                Err(WriteError::Closed(item, cause)) => {
                    self.unshift(item);
                    return Err(PipeError::Destination(cause));
                }
                // another writer was faster: wait again
                Err(WriteError::Full(item) | WriteError::Heavier(item)) => self.unshift(item),
            }
        }
    }

    /// Wants no more, and says why: the writers get this cause.
    #[doc(alias("cancel", "destroy"))]
    pub fn stop(mut self, why: Cause) {
        self.leave(why);
    }

    fn leave(&mut self, why: Cause) {
        let in_hand = self.batch.as_mut().map(|batch| batch.forfeit());
        let (lost, items) = in_hand.unwrap_or_default();
        self.core.stop(why, lost);
        drop(items); // their destructors are foreign code: last
    }

    fn has_in_hand(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.is_empty())
    }

    fn hand(&mut self) -> &mut Batch<T> {
        self.batch.get_or_insert_with(|| Box::new(Batch::of(&self.core)))
    }

    /// Takes all that is queued, or waits. Nothing may be in hand.
    #[inline(never)]
    fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Taken> {
        if let Some(batch) = &mut self.batch {
            return self.core.poll_take(cx, batch, None);
        }
        let mut batch = Batch::new();
        let taken = self.core.poll_take(cx, &mut batch, None);
        self.keep(batch);
        taken
    }

    fn take_now(&mut self) {
        if let Some(batch) = &mut self.batch {
            return self.core.take_now(batch);
        }
        let mut batch = Batch::new();
        self.core.take_now(&mut batch);
        self.keep(batch);
    }

    /// The first that was taken, if anything was.
    fn keep(&mut self, mut batch: Batch<T>) {
        if !batch.is_empty() {
            batch.charge_to(&self.core);
            self.batch = Some(Box::new(batch));
        }
    }

    /// Weight in the tank, exact from this side but for what left a batch of
    /// yours and was not returned yet.
    #[doc(alias("readableLength"))]
    #[must_use]
    pub fn level(&self) -> usize {
        let left = self.batch.as_ref().map_or(0, |batch| batch.left().weight);
        self.core.gate().level().saturating_sub(left)
    }

    /// The level at which the tank shuts, unless a [`Budget`](crate::Budget)
    /// grants it less.
    #[doc(alias("highWaterMark", "readableHighWaterMark"))]
    #[must_use]
    pub fn high_water_mark(&self) -> usize {
        self.core.marks().high()
    }

    /// Whether every writer has ended cleanly: what is left is all there will
    /// be. For parsers that read ahead with [`try_next`](Self::try_next), whose
    /// `None` does not tell the end from a pause.
    #[doc(alias("readableEnded"))]
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.core.has_ended()
    }

    /// Whether every writer has ended cleanly and all of it has been taken from
    /// here. Not a level of 0: an item may weigh nothing.
    #[cfg(all(feature = "http-body", not(loom)))]
    pub(crate) fn is_at_end(&self) -> bool {
        !self.has_in_hand() && self.core.is_at_end()
    }

    /// Waits until every writer has ended and the last item has left this
    /// reader's hands. What it returns keeps nothing going and may be awaited
    /// anywhere, while this reader reads on.
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

    /// Changes both marks, live. What the reader has in hand goes by them from
    /// the next time on that it returns some.
    pub fn set_marks(&self, marks: Marks) {
        self.core.set_marks(marks);
    }

    pub(crate) fn core(&self) -> &Shared<T> {
        &self.core
    }
}

impl<T: Send + 'static> Readable<T> {
    /// A handle for watching: its numbers, without keeping the data going.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge::new(self.core.clone())
    }
}

impl<T> Drop for Readable<T> {
    fn drop(&mut self) {
        self.leave(Cause::new(CauseKind::Stopped));
    }
}

/// Items are moved, never pinned.
impl<T> Unpin for Readable<T> {}

impl<T> Stream for Readable<T> {
    type Item = Result<T, Cause>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl<T> fmt::Debug for Readable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable")
            .field("tank", &self.core.name())
            .field("gate", &self.core.gate())
            .field("in_hand", &self.batch)
            .finish_non_exhaustive()
    }
}

/// Which side ended a [`Readable::pipe_to`] early, and why.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a pipe has two sides")]
pub enum PipeError {
    /// The data ended early.
    Source(Cause),
    /// The tank written to takes nothing any more. No item is lost.
    Destination(Cause),
}

impl PipeError {
    /// Why it ended early.
    #[must_use]
    pub const fn cause(&self) -> &Cause {
        match self {
            Self::Source(cause) | Self::Destination(cause) => cause,
        }
    }
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(cause) => write!(f, "the source of the pipe ended early: {cause}"),
            Self::Destination(cause) => write!(f, "the destination of the pipe closed: {cause}"),
        }
    }
}

impl std::error::Error for PipeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.cause())
    }
}

/// The wait of [`Readable::next`].
#[must_use = "a wait does nothing unless awaited"]
pub struct Next<'a, T> {
    readable: &'a mut Readable<T>,
}

impl<T> Future for Next<'_, T> {
    type Output = Option<Result<T, Cause>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().readable.poll_item(cx)
    }
}

impl<T> fmt::Debug for Next<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("readable", &self.readable).finish()
    }
}
