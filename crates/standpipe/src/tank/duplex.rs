//! Two tanks as one thing with two sides: each side writes what the other
//! reads.

use crate::error::{Cause, WriteError};
use crate::gate::Flow;
use crate::tank::readable::Next;
use crate::tank::writable::{Drained, Sending};
use crate::tank::{Measure, Readable, Tank, Writable};

/// One side of a conversation: reads `R`, writes `W`.
///
/// The two directions are tanks of their own and end by themselves: take the
/// fields, or use [`end`](Self::end) and [`stop`](Self::stop), which leave the
/// other half. Dropping both at once is dropping both: the far side reads
/// [`Abandoned`](crate::error::CauseKind::Abandoned) and can write no more.
///
/// In a pipeline the halves are a sink and a source,
/// [`into_writable`](crate::adapt::tank::into_writable) and
/// [`from_readable`](crate::adapt::tank::from_readable), for
/// [`Pipeline::through`](crate::pipeline::Pipeline::through).
///
/// # Memory
/// That of its two tanks.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "two halves are all there can be")]
pub struct Duplex<R, W = R> {
    /// What the far side writes.
    pub readable: Readable<R>,
    /// What the far side reads.
    pub writable: Writable<W>,
}

/// Two sides in memory: what one writes the other reads, both ways, each way
/// through a tank.
///
/// # Memory
/// Each direction its tank's high-water mark and one item.
///
/// # Panics
/// If a tank's marks make no sense, as [`Tank::build`].
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// use standpipe::Tank;
/// use standpipe::tank::duplex_pair;
///
/// let (client, mut server) = duplex_pair(Tank::items(4), Tank::items(4));
/// let ask = async {
///     client.send("2 + 2").await?;
///     let mut answers = client.end(); // half-closed: no more questions
///     let answer: u32 = answers.next().await.expect("an answer")?;
///     Ok::<_, Box<dyn std::error::Error>>(answer)
/// };
/// let answer = async {
///     while let Some(question) = server.next().await {
///         assert_eq!(question?, "2 + 2");
///         server.send(4).await?;
///     }
///     server.end();
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// let (asked, answered) = futures::join!(ask, answer);
/// answered?;
/// assert_eq!(asked?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use]
pub fn duplex_pair<A, B, M, N>(forth: Tank<M>, back: Tank<N>) -> (Duplex<B, A>, Duplex<A, B>)
where
    M: Measure<A>,
    N: Measure<B>,
{
    let (near_in, far_out) = forth.build_named("duplex→");
    let (far_in, near_out) = back.build_named("→duplex");
    (Duplex::new(near_out, near_in), Duplex::new(far_out, far_in))
}

impl<R, W> Duplex<R, W> {
    /// Joins two halves.
    #[must_use]
    pub const fn new(readable: Readable<R>, writable: Writable<W>) -> Self {
        Self { readable, writable }
    }

    /// The two halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (Readable<R>, Writable<W>) {
        (self.readable, self.writable)
    }

    /// Ends what this side writes: a half-close. What is left goes on reading.
    #[must_use = "dropping what is left stops the far side"]
    pub fn end(self) -> Readable<R> {
        self.writable.end();
        self.readable
    }

    /// Wants to read no more, and says why; the far side's writes get this
    /// cause. What is left goes on writing.
    #[must_use = "dropping what is left abandons its data"]
    pub fn stop(self, why: Cause) -> Writable<W> {
        self.readable.stop(why);
        self.writable
    }

    /// [`Writable::write`] of this side.
    ///
    /// # Errors
    /// As there: the item comes back.
    #[track_caller]
    #[inline]
    pub fn write(&self, item: W) -> Result<Flow, WriteError<W>> {
        self.writable.write(item)
    }

    /// [`Writable::drained`] of this side.
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// # Errors
    /// The cause, if the far side reads no more.
    pub fn drained(&self) -> Drained<'_, W> {
        self.writable.drained()
    }

    /// [`Writable::send`] of this side.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the item was not written and is dropped
    /// with it.
    ///
    /// # Errors
    /// As there: the item comes back.
    #[track_caller]
    pub fn send(&self, item: W) -> Sending<'_, W> {
        self.writable.send(item)
    }

    /// [`Readable::next`] of this side.
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// # Errors
    /// The cause, once, if the far side ended early.
    #[expect(clippy::should_implement_trait, reason = "the async sister of `Iterator::next`")]
    pub fn next(&mut self) -> Next<'_, R> {
        self.readable.next()
    }
}
