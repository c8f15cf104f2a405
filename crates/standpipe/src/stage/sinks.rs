//! Small sinks from functions: fold, for_each, collect with a limit.

use std::convert::Infallible;
use std::fmt;
use std::mem;

use crate::error::BoxError;
use crate::stage::{More, Sink};
use crate::tank::Batch;

/// The sink of [`fold`].
pub struct Fold<A, F, T> {
    sum: Option<A>,
    function: F,
    items: std::marker::PhantomData<fn(T)>,
}

/// A sink that folds all items into one value, which is its `Done`.
///
/// # Memory
/// The one value.
pub fn fold<A, T, F: FnMut(A, T) -> A>(start: A, function: F) -> Fold<A, F, T> {
    Fold { sum: Some(start), function, items: std::marker::PhantomData }
}

impl<A, T, F> Sink for Fold<A, F, T>
where
    A: Send + 'static,
    T: Send + 'static,
    F: FnMut(A, T) -> A + Send + 'static,
{
    type In = T;
    type Done = A;
    type Error = BoxError;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, BoxError> {
        self.take_all(batch.drain())
    }

    const AT_ONCE: bool = true;

    #[inline]
    fn take_all(&mut self, items: impl Iterator<Item = T>) -> Result<More, BoxError> {
        let sum = self.sum.take().ok_or("fold after its end")?;
        self.sum = Some(items.fold(sum, &mut self.function));
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<A, BoxError> {
        self.sum.take().ok_or_else(|| "fold after its end".into())
    }
}

impl<A, F, T> fmt::Debug for Fold<A, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fold(..)")
    }
}

/// The sink of [`for_each`].
pub struct ForEach<F, T> {
    function: F,
    items: std::marker::PhantomData<fn(T)>,
}

/// A sink that calls a function with every item.
///
/// What waits or may fail goes before it: `.ordered("upload", 4, put)`, then
/// [`count`](crate::stage::count).
///
/// # Memory
/// None of its own.
pub fn for_each<T, F: FnMut(T)>(function: F) -> ForEach<F, T> {
    ForEach { function, items: std::marker::PhantomData }
}

impl<T, F> Sink for ForEach<F, T>
where
    T: Send + 'static,
    F: FnMut(T) + Send + 'static,
{
    type In = T;
    type Done = ();
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Infallible> {
        self.take_all(batch.drain())
    }

    const AT_ONCE: bool = true;

    #[inline]
    fn take_all(&mut self, items: impl Iterator<Item = T>) -> Result<More, Infallible> {
        items.for_each(&mut self.function);
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<F, T> fmt::Debug for ForEach<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForEach(..)")
    }
}

/// The sink of [`collect`].
#[derive(Debug)]
pub struct Collect<T> {
    items: Vec<T>,
    limit: usize,
}

/// A sink that gathers at most `limit` items into a `Vec`; one more is an
/// error, so that a forgotten end cannot fill the memory.
///
/// # Memory
/// `limit` items.
#[must_use]
pub const fn collect<T>(limit: usize) -> Collect<T> {
    Collect { items: Vec::new(), limit }
}

impl<T: Send + 'static> Sink for Collect<T> {
    type In = T;
    type Done = Vec<T>;
    type Error = BoxError;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, BoxError> {
        self.take_all(batch.drain())
    }

    const AT_ONCE: bool = true;

    #[inline]
    fn take_all(&mut self, items: impl Iterator<Item = T>) -> Result<More, BoxError> {
        for item in items {
            if self.items.len() >= self.limit {
                return Err(format!("more than the limit of {} items", self.limit).into());
            }
            self.items.push(item);
        }
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<Vec<T>, BoxError> {
        Ok(mem::take(&mut self.items))
    }
}
