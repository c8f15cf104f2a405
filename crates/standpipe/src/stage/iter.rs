//! An iterator as a source.

use std::convert::Infallible;
use std::fmt;

use crate::gate::Flow;
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
        let mut left = PER_READ;
        loop {
            match bring(&mut self.0, out, &mut left) {
                Brought::Enough => return Ok(More::Yes),
                Brought::All => return Ok(More::No),
                Brought::UntilFull => out.flush().await,
                Brought::UntilRefused(item) => out.feed(item).await,
            }
        }
    }
}

enum Brought<T> {
    /// As many as one `read` shall bring.
    Enough,
    /// There are no more.
    All,
    /// Until there was no more room.
    UntilFull,
    /// This one found none.
    UntilRefused(T),
}

/// Brings items while there is room: a loop without an await, which compiles
/// to one over registers.
fn bring<I: Iterator<Item: Send>>(
    items: &mut I,
    out: &mut impl Emit<I::Item>,
    left: &mut usize,
) -> Brought<I::Item> {
    while *left > 0 {
        *left = left.saturating_sub(1);
        let Some(item) = items.next() else { return Brought::All };
        match out.push(item) {
            Ok(Flow::Ready) => {}
            Ok(Flow::Wait) => return Brought::UntilFull,
            Err(item) => return Brought::UntilRefused(item),
        }
    }
    Brought::Enough
}

impl<I> fmt::Debug for Iter<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter(..)")
    }
}
