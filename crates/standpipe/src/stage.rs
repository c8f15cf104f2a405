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
use crate::tank::Batch;

#[cfg(feature = "tokio")]
pub(crate) mod alarm;
pub(crate) mod beside;
pub(crate) mod chain;
pub(crate) mod concurrent;
pub(crate) mod flight;
pub(crate) mod line;
mod balance;
mod branch;
mod concat;
mod filter;
mod flat_map;
mod grouped;
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
    pub use super::chain::{Link, Outlet, Then, Through, TransformOn, Transforming};
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
pub trait Source: Send + 'static {
    /// What it brings.
    type Item: Send + 'static;
    /// How it fails.
    type Error: Into<BoxError> + Send;

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

    /// Cleans up. Called exactly once, at the very end, with the cause if that
    /// came early.
    fn destroy(&mut self, why: Option<&Cause>) {
        let _ = why;
    }
}

/// Turns items into none, one or many others.
pub trait Transform: Send + 'static {
    /// What it takes.
    type In: Send + 'static;
    /// What it gives.
    type Out: Send + 'static;
    /// How it fails.
    type Error: Into<BoxError> + Send;

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

    /// The input has ended: give on what is left. Called once, after the last
    /// item.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn finish(
        &mut self,
        out: &mut impl Emit<Self::Out>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = out;
        async { Ok(()) }
    }

    /// Cleans up. Called exactly once, at the very end, with the cause if that
    /// came early.
    fn destroy(&mut self, why: Option<&Cause>) {
        let _ = why;
    }
}

/// Takes items out.
pub trait Sink: Send + 'static {
    /// What it takes.
    type In: Send + 'static;
    /// What it says at the end: a count, a checksum, the published name.
    type Done: Send + 'static;
    /// How it fails.
    type Error: Into<BoxError> + Send;

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

    /// The commit point: called once, after the last item was written.
    ///
    /// # Errors
    /// Ends the pipeline with this stage as the cause.
    fn finish(&mut self) -> impl Future<Output = Result<Self::Done, Self::Error>> + Send;

    /// Cleans up. Called exactly once, at the very end, with the cause if that
    /// came early.
    fn destroy(&mut self, why: Option<&Cause>) {
        let _ = why;
    }
}
