//! Who works on the items?
//!
//! A [`Source`] brings them in, a [`Transform`] turns each into none, one or
//! many, a [`Sink`] takes them out. A stage gives items on through an
//! [`Emit`], which waits while there is no room: that wait is the
//! backpressure, and the stage need not know what lies behind it.
//!
//! ```text
//!   Source ──Emit──► map ──► filter ──► [tank] ──► Transform ──Emit──► Sink
//!            └────── fused: one segment ─────┘     └── the next segment ──┘
//! ```
//!
//! # Knows / never knows
//! Knows items, and what lies downstream as an `Emit`. Never knows other
//! stages, tasks or the pipeline's shape.

use std::future::Future;

use crate::error::{BoxError, Cause};
use crate::gate::Flow;
use crate::tank::{Batch, Gauge};

#[cfg(feature = "tokio")]
pub(crate) mod alarm;
pub(crate) mod beside;
pub(crate) mod chain;
pub(crate) mod concurrent;
pub(crate) mod flight;
pub(crate) mod line;
mod balance;
mod branch;
mod compose;
mod concat;
mod filter;
mod flat_map;
mod grouped;
pub(crate) mod held;
mod inlet;
mod iter;
mod map;
mod merge;
pub(crate) mod monitored;
mod partition;
#[cfg(feature = "tokio")]
mod rate_limit;
mod search;
mod sinks;
mod take;
mod tee;
#[cfg(feature = "tokio")]
mod timeouts;
mod zip;

pub use balance::{Balance, balance};
pub use compose::Compose;
pub use concat::{Concat, concat};
pub use grouped::Groups;
pub use iter::{Iter, iter};
pub use merge::{Merge, merge};
pub use monitored::{Ended, Sighting};
pub use partition::{Partition, partition};
#[cfg(feature = "tokio")]
pub use rate_limit::RateLimit;
pub use search::{Any, Count, Find, Reduce, any, count, find, reduce};
pub use sinks::{Collect, Fold, ForEach, collect, fold, for_each};
pub use tee::{Tee, tee};
#[cfg(feature = "tokio")]
pub use timeouts::Timeouts;
pub use zip::{Zip, zip};

/// The types that a pipeline is made of while it is built. Nobody has to name
/// them.
#[doc(hidden)]
pub mod parts {
    pub use super::chain::{Driver, Link, Outlet, Then, Through, TransformOn, Transforming};
    pub use super::concurrent::{Concurrent, ConcurrentOn};
    pub use super::filter::{FilterMap, FilterMapOn};
    pub use super::flat_map::{FlatMap, FlatMapOn};
    pub use super::grouped::{Grouped, GroupedOn};
    pub use super::map::{Map, MapOn};
    pub use super::monitored::{Monitored, MonitoredOn};
    #[cfg(feature = "tokio")]
    pub use super::rate_limit::{Limited, LimitedOn};
    pub use super::take::{Keep, Until, UntilOn};
    #[cfg(feature = "tokio")]
    pub use super::timeouts::{Timed, TimedOn};
}

/// Whether there is a next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "yes or no")]
pub enum More {
    /// Ask again: a source has more, a sink wants more.
    Yes,
    /// That was all: a source is at the end of its data, a sink has enough.
    No,
}

/// Where a stage puts its items. Never fails: when the pipeline is over it
/// does not return, and the stage is dropped there.
///
/// # Memory
/// An item past what there is room for, if every wait is heeded. A stage that
/// drops the waits of its sends piles its items up here.
#[doc(alias("push", "Controller"))]
pub trait Emit<T>: Send {
    /// Hands an item on and waits until there is room for the next one. The
    /// item is visible downstream before this returns.
    ///
    /// # Cancel safety
    /// The item is handed on at the call; dropping the future only gives up
    /// the wait.
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send;

    /// The same, but the item may stay invisible until the next `send` or
    /// [`flush`](Self::flush), or until the stage returns: many items then
    /// move under one lock. Flush before you await anything else.
    ///
    /// # Cancel safety
    /// As of [`send`](Self::send).
    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send;

    /// The same without waiting, as far as that goes.
    ///
    /// [`Flow::Wait`] says that the item was taken and there is no room for
    /// another: [`flush`](Self::flush), which waits for it. What was pushed may
    /// stay invisible just as what was fed.
    ///
    /// # Errors
    /// The item comes back if there was no room, or if what lies behind has to
    /// wait for each item by itself: `feed` or `send` it.
    fn push(&mut self, item: T) -> Result<Flow, T> {
        Err(item)
    }

    /// Pushes what an iterator gives while there is room: many items at the
    /// price of a loop. A sink that never waits always has room, so an iterator
    /// without an end needs a `take`.
    ///
    /// [`Flow::Ready`] says that the iterator has no more, [`Flow::Wait`] that
    /// there is no more room: [`flush`](Self::flush), and go on.
    ///
    /// # Errors
    /// As [`push`](Self::push): the item that came back is the last one the
    /// iterator gave.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use standpipe::gate::Flow;
    /// use standpipe::stage::{Emit, More, Source};
    ///
    /// /// Brings a page of rows a time.
    /// struct Pages(Vec<Vec<u32>>);
    ///
    /// impl Source for Pages {
    ///     type Item = u32;
    ///     type Error = Infallible;
    ///
    ///     async fn read(&mut self, out: &mut impl Emit<u32>) -> Result<More, Infallible> {
    ///         let Some(page) = self.0.pop() else { return Ok(More::No) };
    ///         let mut rows = page.into_iter();
    ///         loop {
    ///             match out.push_all(&mut rows) {
    ///                 Ok(Flow::Ready) => return Ok(More::Yes),
    ///                 Ok(Flow::Wait) => out.flush().await,
    ///                 Err(row) => out.feed(row).await,
    ///             }
    ///         }
    ///     }
    /// }
    /// # let source = Pages(vec![vec![1, 2], vec![3]]);
    /// # let run = standpipe::Pipeline::from("pages", source).to("sum", standpipe::stage::fold(0, |a, b| a + b)).run();
    /// # assert_eq!(futures::executor::block_on(run)?.done, 6);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// ```
    fn push_all(&mut self, items: &mut impl Iterator<Item = T>) -> Result<Flow, T> {
        for item in items {
            match self.push(item) {
                Ok(Flow::Ready) => {}
                full => return full,
            }
        }
        Ok(Flow::Ready)
    }

    /// Makes everything visible that was fed or pushed, and waits until there
    /// is room.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn flush(&mut self) -> impl Future<Output = ()> + Send;
}

/// Brings items in.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use standpipe::stage::{Emit, More, Source};
///
/// struct CountTo(u64);
///
/// impl Source for CountTo {
///     type Item = u64;
///     type Error = Infallible;
///
///     async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Infallible> {
///         out.send(self.0).await; // waits here while the tank is shut
///         self.0 -= 1;
///         Ok(if self.0 > 0 { More::Yes } else { More::No })
///     }
/// }
/// # let _ = CountTo(3);
/// ```
#[doc(alias("Readable", "Publisher", "producer"))]
pub trait Source: Send + 'static {
    /// What it brings.
    type Item: Send + 'static;
    /// How it fails.
    type Error: Into<BoxError> + Send;

    /// Opens what it reads from. Called once, before anything else; no other
    /// stage waits for it, and what is written meanwhile waits in the tanks.
    ///
    /// # Cancel safety
    /// At a graceful stop the call is dropped where it waits, and the source
    /// has brought nothing.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn open(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// Brings the next items: one, or a small batch. Called again as long as
    /// it says [`More::Yes`].
    ///
    /// # Cancel safety
    /// At a graceful stop the call is dropped where it waits for its own
    /// resource (never in the middle of an `out.send`): hold what was read and
    /// not sent in `self`.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn read(
        &mut self,
        out: &mut impl Emit<Self::Item>,
    ) -> impl Future<Output = Result<More, Self::Error>> + Send;

    /// The tanks it reads, if it reads any: then a pipeline that stands still
    /// knows for whom it waits there ([`stall`](crate::diagnose::stall)).
    fn reads(&self) -> Vec<Gauge> {
        Vec::new()
    }

    /// Cleans up, waiting for what that takes. As of [`Sink::close`].
    ///
    /// # Errors
    /// Another failure of the pipeline, or its first.
    fn close(
        &mut self,
        why: Option<&Cause>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = why;
        async { Ok(()) }
    }

    /// Cleans up without waiting. As of [`Sink::destroy`].
    fn destroy(&mut self, why: Option<&Cause>) {
        let _ = why;
    }
}

/// Turns items into none, one or many others.
///
/// Where Node has a `PassThrough` there is nothing to write here: a
/// [`Tank`](crate::tank::Tank) is one, and in a pipeline
/// [`inspect`](crate::pipeline::Pipeline::inspect) looks at what passes.
///
/// # Examples
/// ```
/// use std::io;
/// use standpipe::stage::{Emit, Transform};
///
/// /// Cuts text into lines, and keeps what has no end yet.
/// struct Lines(String);
///
/// impl Transform for Lines {
///     type In = String;
///     type Out = String;
///     type Error = io::Error;
///
///     async fn transform(&mut self, text: String, out: &mut impl Emit<String>) -> io::Result<()> {
///         self.0 += &text;
///         while let Some(end) = self.0.find('\n') {
///             let line = self.0.drain(..=end).collect();
///             out.feed(line).await; // waits while there is no room
///         }
///         Ok(())
///     }
///
///     async fn finish(&mut self, out: &mut impl Emit<String>) -> io::Result<()> {
///         if !self.0.is_empty() {
///             out.send(std::mem::take(&mut self.0)).await;
///         }
///         Ok(())
///     }
/// }
/// # let _ = Lines(String::new());
/// ```
#[doc(alias = "PassThrough")]
pub trait Transform: Send + 'static {
    /// What it takes.
    type In: Send + 'static;
    /// What it gives.
    type Out: Send + 'static;
    /// How it fails.
    type Error: Into<BoxError> + Send;

    /// Opens what it works with. Called once, before its first item; a stage
    /// in the same segment opens after those upstream of it.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn open(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// Works on one item. While `out` waits for room the item counts as in
    /// this stage's hands, and stays charged to the tank it came from.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn transform(
        &mut self,
        item: Self::In,
        out: &mut impl Emit<Self::Out>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The input idles: give on what was held back for efficiency, as a
    /// compressor's flush. Called once each time the tank before this segment
    /// runs empty; not called where a source sits in the same segment.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn idle(
        &mut self,
        out: &mut impl Emit<Self::Out>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = out;
        async { Ok(()) }
    }

    /// Whether it may keep items back, which it does unless it says no.
    ///
    /// Decides nothing: where items were taken and nothing given, and the input
    /// idles, [`findings`](crate::diagnose::findings) says so (`unflushed`). A
    /// transform that drops items and never keeps any says `false` here.
    fn keeps(&self) -> bool {
        true
    }

    /// The input has ended: give on what is left. Called once, after the last
    /// item.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    #[doc(alias("flush"))]
    fn finish(
        &mut self,
        out: &mut impl Emit<Self::Out>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = out;
        async { Ok(()) }
    }

    /// Cleans up, waiting for what that takes. As of [`Sink::close`].
    ///
    /// # Errors
    /// Another failure of the pipeline, or its first.
    fn close(
        &mut self,
        why: Option<&Cause>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = why;
        async { Ok(()) }
    }

    /// Cleans up without waiting. As of [`Sink::destroy`].
    fn destroy(&mut self, why: Option<&Cause>) {
        let _ = why;
    }

    /// Joins another behind this one: a transform again, which can be kept,
    /// returned and handed around before there is a pipeline. Node's `compose`.
    ///
    /// In a pipeline it is one stage with one name, and that name is in its
    /// errors. Written there, `.transform(..).transform(..)` does the same and
    /// names both.
    ///
    /// # Memory
    /// None of its own, no queue between the two: what both have in hand. The
    /// second works on what the first gives before the first goes on.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use standpipe::stage::{Emit, Transform, collect, iter};
    /// use standpipe::{Pipeline, Tank};
    ///
    /// struct Twice;
    ///
    /// impl Transform for Twice {
    ///     type In = u32;
    ///     type Out = u32;
    ///     type Error = Infallible;
    ///
    ///     async fn transform(&mut self, n: u32, out: &mut impl Emit<u32>) -> Result<(), Infallible> {
    ///         out.feed(n).await;
    ///         out.feed(n * 10).await;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn four_times() -> impl Transform<In = u32, Out = u32> {
    ///     Twice.then(Twice)
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let finished = Pipeline::from("numbers", iter([1, 2]))
    ///     .transform("four times", four_times())
    ///     .tank(Tank::items(2))
    ///     .to("all", collect(8))
    ///     .run()
    ///     .await?;
    /// assert_eq!(finished.done, [1, 10, 10, 100, 2, 20, 20, 200]);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "compose")]
    fn then<B: Transform<In = Self::Out>>(self, second: B) -> Compose<Self, B>
    where
        Self: Sized,
    {
        Compose::new(self, second)
    }
}

/// Takes items out.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use standpipe::error::Cause;
/// use standpipe::stage::{More, Sink, iter};
/// use standpipe::{Batch, Pipeline, Tank};
///
/// /// An upload that is begun, committed, or taken back.
/// struct Upload(Vec<String>);
///
/// impl Sink for Upload {
///     type In = u32;
///     type Done = Vec<String>;
///     type Error = Infallible;
///
///     async fn open(&mut self) -> Result<(), Infallible> {
///         self.0.push("begin".into()); // ask the server, and wait for it
///         Ok(())
///     }
///
///     async fn write(&mut self, batch: &mut Batch<u32>) -> Result<More, Infallible> {
///         self.0.extend(batch.drain().map(|n| n.to_string()));
///         Ok(More::Yes)
///     }
///
///     async fn finish(&mut self) -> Result<Vec<String>, Infallible> {
///         self.0.push("commit".into());
///         Ok(self.0.clone())
///     }
///
///     async fn close(&mut self, why: Option<&Cause>) -> Result<(), Infallible> {
///         if why.is_some() {
///             self.0.push("abort".into()); // the pipeline's result waits for it
///         }
///         Ok(())
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let ready = Pipeline::from("numbers", iter([1, 2])).tank(Tank::items(2)).to("up", Upload(vec![]));
/// assert_eq!(ready.run().await?.done, ["begin", "1", "2", "commit"]);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
#[doc(alias("Writable", "Subscriber", "consumer"))]
pub trait Sink: Send + 'static {
    /// What it takes.
    type In: Send + 'static;
    /// What it says at the end: a count, a checksum, the published name.
    type Done: Send + 'static;
    /// How it fails.
    type Error: Into<BoxError> + Send;

    /// Opens what it writes to: a file, a connection. Called once, before the
    /// first write; items wait in the tank meanwhile.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn open(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// Takes items from the front of `batch`: at least one, as many as suits
    /// it. What is left comes again. The items stay charged to their tank
    /// until this returns. [`More::No`] is "enough": upstream is stopped and
    /// `finish` decides what the pipeline's result is.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn write(
        &mut self,
        batch: &mut Batch<Self::In>,
    ) -> impl Future<Output = Result<More, Self::Error>> + Send;

    /// Whether it never waits, and has [`take_all`](Self::take_all): then it
    /// compiles into one loop with the stages that are fused to it.
    #[doc(hidden)]
    const AT_ONCE: bool = false;

    /// Takes items without waiting, until there are no more or it has enough.
    #[doc(hidden)]
    fn take_all(&mut self, items: impl Iterator<Item = Self::In>) -> Result<More, Self::Error> {
        drop(items);
        unreachable!("said that it waits")
    }

    /// The commit point: called once, after the last item was written.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn finish(&mut self) -> impl Future<Output = Result<Self::Done, Self::Error>> + Send;

    /// The tanks it writes, if it writes any. As of [`Source::reads`].
    fn writes(&self) -> Vec<Gauge> {
        Vec::new()
    }

    /// Cleans up, waiting for what that takes: telling a server to forget half
    /// an upload. `why` is the cause, if the end came early. Called once if
    /// [`open`](Self::open) was, also when that failed; the pipeline's result
    /// comes after it. The stages of a pipeline close at the same time.
    ///
    /// Not called where nobody is left to poll it: when the pipeline, or the
    /// runtime under it, is dropped. [`destroy`](Self::destroy) always is.
    ///
    /// # Cancel safety
    /// Dropping the pipeline drops the call where it waits.
    ///
    /// # Errors
    /// Of a pipeline that has failed another consequence, of one that runs the
    /// first cause. What the sink has finished stays a success; see
    /// [`Completed::late`](crate::pipeline::Completed::late).
    fn close(
        &mut self,
        why: Option<&Cause>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = why;
        async { Ok(()) }
    }

    /// Cleans up without waiting. Called exactly once, at the very end, after
    /// [`close`](Self::close), with the cause if that came early.
    fn destroy(&mut self, why: Option<&Cause>) {
        let _ = why;
    }
}
