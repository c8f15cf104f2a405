//! Any `Stream` as a source.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;

use crate::error::BoxError;
use crate::stage::{Emit, More, Source};

/// The source of [`from_stream`].
pub struct FromStream<S>(Pin<Box<S>>);

/// A source that brings what a stream gives, one item per poll and no further
/// ahead than the tank behind it allows.
///
/// # Memory
/// One box for the stream; no item of its own.
///
/// # Examples
/// ```
/// use standpipe::adapt::stream::from_stream;
/// use standpipe::stage::collect;
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let source = from_stream(futures::stream::iter([1, 2, 3]));
/// let run = Pipeline::from("numbers", source).tank(Tank::items(2)).to("all", collect(8)).run();
/// assert_eq!(run.await?.done, [1, 2, 3]);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
pub fn from_stream<S: Stream>(stream: S) -> FromStream<S> {
    FromStream(Box::pin(stream))
}

impl<S> Source for FromStream<S>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    type Item = S::Item;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<S::Item>) -> Result<More, Infallible> {
        match poll_fn(|cx| self.0.as_mut().poll_next(cx)).await {
            Some(item) => {
                out.send(item).await;
                Ok(More::Yes)
            }
            None => Ok(More::No),
        }
    }
}

impl<S> fmt::Debug for FromStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromStream(..)")
    }
}

/// The source of [`from_try_stream`].
pub struct FromTryStream<S>(Pin<Box<S>>);

/// The same for a stream of results: the first error is the source's.
///
/// # Memory
/// As [`from_stream`].
pub fn from_try_stream<S: Stream>(stream: S) -> FromTryStream<S> {
    FromTryStream(Box::pin(stream))
}

impl<S, T, E> Source for FromTryStream<S>
where
    S: Stream<Item = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    type Item = T;
    type Error = E;

    async fn read(&mut self, out: &mut impl Emit<T>) -> Result<More, E> {
        match poll_fn(|cx| self.0.as_mut().poll_next(cx)).await {
            Some(item) => {
                out.send(item?).await;
                Ok(More::Yes)
            }
            None => Ok(More::No),
        }
    }
}

impl<S> fmt::Debug for FromTryStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromTryStream(..)")
    }
}
