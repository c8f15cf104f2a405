//! An iterator as a source.

use std::convert::Infallible;
use std::fmt;

use crate::stage::{Emit, More, Source};

/// Items brought per `read`: enough to hide its cost, few enough to stop soon.
const PER_READ: usize = 256;

/// The source of [`iter`].
pub struct Iter<I>(I);

/// A source that brings what an iterator gives, no further ahead than the
/// tank behind it allows.
///
/// The iterator is called on the executor's thread and must not block.
///
/// # Memory
/// None of its own.
pub fn iter<I: IntoIterator>(items: I) -> Iter<I::IntoIter> {
    Iter(items.into_iter())
}

impl<I> Source for Iter<I>
where
    I: Iterator<Item: Send + 'static> + Send + 'static,
{
    type Item = I::Item;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<I::Item>) -> Result<More, Infallible> {
        for _ in 0..PER_READ {
            let Some(item) = self.0.next() else { return Ok(More::No) };
            out.feed(item).await;
        }
        Ok(More::Yes)
    }
}

impl<I> fmt::Debug for Iter<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter(..)")
    }
}
