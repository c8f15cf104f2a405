//! `futures_sink::Sink`, both ways. An adapter at the edge: nothing here is
//! built on it, since it can neither give a refused item back nor say what it
//! made.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use crate::adapt::entry::Entry;
use crate::error::{BoxError, Cause, CauseKind, WriteError};
use crate::overflow::Overflow;
use crate::stage;
use crate::stage::More;
use crate::tank::exit::InHand;
use crate::tank::{Batch, Writable};

/// A tank for code that wants a `Sink`.
///
/// `close` ends the tank; dropped without it, the reader gets
/// [`Abandoned`](CauseKind::Abandoned). `poll_ready` waits for the drain, unless
/// the tank's strategy is one that takes or drops what comes to it shut.
/// Clones of a [`Writable`] make as many sinks into one tank.
///
/// # Memory
/// None, but with several writers one item each: it is kept here when another
/// writer was quicker after `poll_ready`, since a `Sink` cannot give it back. If
/// this is dropped with it, it is counted as unread.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// use futures::{SinkExt, StreamExt, TryStreamExt, stream};
/// use standpipe::Tank;
/// use standpipe::adapt::sink::SinkDoor;
///
/// let (writable, readable) = Tank::items(2).build();
/// let numbers = stream::iter(1..=5).map(Ok);
/// let forward = numbers.forward(SinkDoor::new(writable)); // closes it at the end
/// let (sent, got) = futures::join!(forward, readable.try_collect::<Vec<_>>());
/// sent?;
/// assert_eq!(got?, [1, 2, 3, 4, 5]);
/// # Ok::<(), standpipe::Cause>(())
/// # }).unwrap();
/// ```
pub struct SinkDoor<T> {
    entry: Entry<T>,
    /// With its weight: a drop does not ask for that.
    held: Option<(T, usize)>,
}

/// Items are moved, never pinned.
impl<T> Unpin for SinkDoor<T> {}

impl<T> SinkDoor<T> {
    /// Writes into the tank.
    #[must_use]
    pub const fn new(writable: Writable<T>) -> Self {
        Self { entry: Entry::new(writable), held: None }
    }

    fn put(&mut self, item: T) -> Result<(), Cause> {
        let Some(writable) = self.entry.writable() else {
            return Err(Cause::new(CauseKind::Misused));
        };
        match writable.write(item) {
            Ok(_) => Ok(()), // the next `poll_ready` waits
            Err(WriteError::Closed(_, cause)) => Err(cause),
            Err(error) => {
                let item = error.into_inner(); // another writer was quicker
                let weight = writable.core().scale.weigh(&item);
                self.held = Some((item, weight));
                Ok(())
            }
        }
    }

    /// Puts in what is held.
    fn poll_held(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cause>> {
        while self.held.is_some() {
            ready!(self.entry.poll_open(cx))?;
            if let Some((item, _)) = self.held.take() {
                self.put(item)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Sink<T> for SinkDoor<T> {
    type Error = Cause;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        let this = self.get_mut();
        ready!(this.poll_held(cx))?;
        match this.entry.writable().map(Writable::overflow) {
            Some(Overflow::Wait | Overflow::Refuse) | None => {
                this.entry.poll_open(cx).map_ok(|_| ())
            }
            Some(_) => Poll::Ready(Ok(())), // no write is handed back
        }
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), Cause> {
        let this = self.get_mut();
        if this.held.is_some() {
            return Err(Cause::new(CauseKind::Misused)); // without `poll_ready`
        }
        this.put(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.get_mut().poll_held(cx) // every write is visible at once
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        let this = self.get_mut();
        ready!(this.poll_held(cx))?;
        this.entry.end();
        Poll::Ready(Ok(()))
    }
}

/// An item that is still held was taken, and is lost.
impl<T> Drop for SinkDoor<T> {
    fn drop(&mut self) {
        if let (Some((_, weight)), Some(writable)) = (&self.held, self.entry.writable()) {
            writable.core().lose(InHand { items: 1, weight: *weight });
        }
    }
}

impl<T> fmt::Debug for SinkDoor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkDoor")
            .field("writable", &self.entry.writable())
            .field("holds_one", &self.held.is_some())
            .finish_non_exhaustive()
    }
}

/// The sink of [`into_sink`].
pub struct IntoSink<K, T> {
    to: Pin<Box<K>>,
    items: u64,
    takes: PhantomData<fn(T)>,
}

/// A pipeline's sink that feeds a `Sink`: each item once that is ready for it,
/// a flush after each batch, and `close` at the end of the data. Its `Done` is
/// the number of items. A pipeline that fails drops the `Sink` without closing
/// it.
///
/// For something that takes on one side and gives on the other, such as a
/// framed connection, use both of its halves in
/// [`through`](crate::pipeline::Pipeline::through).
///
/// # Memory
/// One box for the `Sink`; an item is charged to its tank until its batch is
/// flushed.
///
/// # Examples
/// ```
/// use futures::channel::mpsc;
/// use futures::StreamExt;
/// use standpipe::adapt::sink::into_sink;
/// use standpipe::adapt::stream::from_stream;
/// use standpipe::stage::{collect, iter};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let (there, back) = mpsc::channel(2);
/// let run = Pipeline::from("numbers", iter(1..=4))
///     .tank(Tank::items(2))
///     .through("echo", into_sink(there), from_stream(back))
///     .tank(Tank::items(2))
///     .to("all", collect(8))
///     .run();
/// assert_eq!(run.await?.done, [1, 2, 3, 4]);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
pub fn into_sink<K: Sink<T>, T>(to: K) -> IntoSink<K, T> {
    IntoSink { to: Box::pin(to), items: 0, takes: PhantomData }
}

impl<K, T> stage::Sink for IntoSink<K, T>
where
    K: Sink<T, Error: Into<BoxError> + Send> + Send + 'static,
    T: Send + 'static,
{
    type In = T;
    type Done = u64;
    type Error = K::Error;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, K::Error> {
        while !batch.is_empty() {
            poll_fn(|cx| self.to.as_mut().poll_ready(cx)).await?;
            if let Some(item) = batch.pop() {
                self.to.as_mut().start_send(item)?;
                self.items = self.items.saturating_add(1);
            }
        }
        poll_fn(|cx| self.to.as_mut().poll_flush(cx)).await?;
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<u64, K::Error> {
        poll_fn(|cx| self.to.as_mut().poll_close(cx)).await?;
        Ok(self.items)
    }
}

impl<K, T> fmt::Debug for IntoSink<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoSink").field("items", &self.items).finish_non_exhaustive()
    }
}
