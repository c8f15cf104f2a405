//! Small sinks that look for an answer: count, reduce, find, any.

use std::convert::Infallible;
use std::fmt;

use crate::stage::{More, Sink};
use crate::tank::Batch;

/// The sink of [`count`].
pub struct Count<T> {
    items: u64,
    types: std::marker::PhantomData<fn(T)>,
}

/// A sink that counts the items and drops them.
///
/// # Memory
/// None of its own.
///
/// # Examples
/// ```
/// use standpipe::stage::{count, iter};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let run = Pipeline::from("letters", iter('a'..='z')).tank(Tank::items(4)).to("count", count());
/// assert_eq!(run.run().await?.done, 26);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
#[must_use]
pub const fn count<T>() -> Count<T> {
    Count { items: 0, types: std::marker::PhantomData }
}

impl<T: Send + 'static> Sink for Count<T> {
    type In = T;
    type Done = u64;
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Infallible> {
        while batch.pop().is_some() {
            self.items = self.items.saturating_add(1);
        }
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<u64, Infallible> {
        Ok(self.items)
    }
}

impl<T> fmt::Debug for Count<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Count").field("items", &self.items).finish()
    }
}

/// The sink of [`reduce`].
pub struct Reduce<F, T> {
    sum: Option<T>,
    function: F,
}

/// A sink that folds the items into one of their kind, beginning with the
/// first: its `Done` is `None` if there was none.
///
/// # Memory
/// The one item.
///
/// # Examples
/// ```
/// use standpipe::Pipeline;
/// use standpipe::stage::{iter, reduce};
///
/// # futures::executor::block_on(async {
/// let run = Pipeline::from("numbers", iter([3, 9, 4])).to("most", reduce(i32::max)).run();
/// assert_eq!(run.await?.done, Some(9));
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
pub const fn reduce<T, F: FnMut(T, T) -> T>(function: F) -> Reduce<F, T> {
    Reduce { sum: None, function }
}

impl<T, F> Sink for Reduce<F, T>
where
    T: Send + 'static,
    F: FnMut(T, T) -> T + Send + 'static,
{
    type In = T;
    type Done = Option<T>;
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Infallible> {
        while let Some(item) = batch.pop() {
            self.sum = Some(match self.sum.take() {
                Some(sum) => (self.function)(sum, item),
                None => item,
            });
        }
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<Option<T>, Infallible> {
        Ok(self.sum.take())
    }
}

impl<F, T> fmt::Debug for Reduce<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reduce(..)")
    }
}

/// The sink of [`find`].
pub struct Find<F, T> {
    wanted: F,
    found: Option<T>,
}

/// A sink that takes the first item that is wanted, and then has enough:
/// upstream is stopped. Its `Done` is `None` if the data ended before.
///
/// # Memory
/// The one item.
///
/// # Examples
/// ```
/// use standpipe::stage::{find, iter};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let run = Pipeline::from("endless", iter(1_u64..))
///     .tank(Tank::items(8))
///     .to("square", find(|n: &u64| n * n > 1_000))
///     .run();
/// assert_eq!(run.await?.done, Some(32));
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
pub const fn find<T, F: FnMut(&T) -> bool>(wanted: F) -> Find<F, T> {
    Find { wanted, found: None }
}

impl<T, F> Sink for Find<F, T>
where
    T: Send + 'static,
    F: FnMut(&T) -> bool + Send + 'static,
{
    type In = T;
    type Done = Option<T>;
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Infallible> {
        while let Some(item) = batch.pop() {
            if (self.wanted)(&item) {
                self.found = Some(item);
                return Ok(More::No);
            }
        }
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<Option<T>, Infallible> {
        Ok(self.found.take())
    }
}

impl<F, T> fmt::Debug for Find<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Find(..)")
    }
}

/// The sink of [`any`].
pub struct Any<F, T>(Find<F, T>);

/// A sink that says whether any item is wanted: at the first it has enough,
/// and upstream is stopped.
///
/// # Memory
/// The one item.
///
/// # Examples
/// ```
/// use standpipe::Pipeline;
/// use standpipe::stage::{any, iter};
///
/// # futures::executor::block_on(async {
/// let run = Pipeline::from("numbers", iter(1..=9)).to("seven?", any(|n: &i32| *n == 7)).run();
/// assert!(run.await?.done);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
pub const fn any<T, F: FnMut(&T) -> bool>(wanted: F) -> Any<F, T> {
    Any(find(wanted))
}

impl<T, F> Sink for Any<F, T>
where
    T: Send + 'static,
    F: FnMut(&T) -> bool + Send + 'static,
{
    type In = T;
    type Done = bool;
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Infallible> {
        self.0.write(batch).await
    }

    async fn finish(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.finish().await?.is_some())
    }
}

impl<F, T> fmt::Debug for Any<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Any(..)")
    }
}
