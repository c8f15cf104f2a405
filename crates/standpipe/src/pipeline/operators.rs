//! The operators of a pipeline beyond map, filter and transform.
//!
//! All are fused: none cuts a segment, none has a queue. Where an operator
//! goes on by itself (futures in flight, timers), the whole segment gives it
//! its turn, wherever it waits.

use std::future::Future;
use std::time::Duration;

use crate::error::BoxError;
use crate::pipeline::Pipeline;
use crate::pipeline::segment::Head;
use crate::stage::chain::{Link, Then};
use crate::stage::flight::Order;
use crate::stage::monitored::Surroundings;
use crate::stage::parts::{Concurrent, FilterMap, Grouped, Keep, Map, Monitored, Until};
#[cfg(feature = "tokio")]
use crate::stage::parts::{Limited, Timed};
use crate::stage::{Groups, Sighting};
#[cfg(feature = "tokio")]
use crate::stage::{RateLimit, Timeouts};

#[expect(clippy::type_complexity, reason = "a pipeline's type is its chain of stages")]
impl<H: Head<Item = L::In>, L: Link> Pipeline<H, L> {
    /// Lets the first `n` items through; then the data ends.
    ///
    /// Downstream it ends as by itself: stages finish, and the result is the
    /// sink's. Upstream is told `Stopped`; what had been read ahead into
    /// tanks is counted as undelivered. With `n` = 0 the data ends when the
    /// first item comes, or the tank before it is found empty.
    ///
    /// # Memory
    /// None.
    ///
    /// # Examples
    /// ```
    /// use standpipe::stage::{collect, iter};
    /// use standpipe::{Pipeline, Tank};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("endless", iter(0_u64..))
    ///     .take("few", 3)
    ///     .tank(Tank::items(16))
    ///     .to("all", collect(8))
    ///     .run();
    /// assert_eq!(run.await?.done, [0, 1, 2]);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    pub fn take(
        self,
        name: &str,
        n: u64,
    ) -> Pipeline<H, Then<L, Until<impl FnMut(L::Out) -> Keep<L::Out> + Send + 'static, L::Out>>>
    {
        let mut left = n;
        let function = move |item| {
            left = left.saturating_sub(1);
            if left == 0 { Keep::Last(item) } else { Keep::Item(item) }
        };
        self.link(name, |post| Until::new(function, post).over(n == 0))
    }

    /// Lets items through up to the first that `wanted` refuses; then the
    /// data ends, as with [`take`](Self::take).
    ///
    /// # Memory
    /// None.
    ///
    /// # Examples
    /// ```
    /// use standpipe::Pipeline;
    /// use standpipe::stage::{collect, iter};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("numbers", iter([1, 2, 30, 4]))
    ///     .take_while("small", |n| *n < 10)
    ///     .to("all", collect(8))
    ///     .run();
    /// assert_eq!(run.await?.done, [1, 2]);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    pub fn take_while<F>(
        self,
        name: &str,
        mut wanted: F,
    ) -> Pipeline<H, Then<L, Until<impl FnMut(L::Out) -> Keep<L::Out> + Send + 'static, L::Out>>>
    where
        F: FnMut(&L::Out) -> bool + Send + 'static,
    {
        let function = move |item| if wanted(&item) { Keep::Item(item) } else { Keep::Over };
        self.link(name, |post| Until::new(function, post))
    }

    /// Drops the first `n` items.
    ///
    /// # Memory
    /// None.
    ///
    /// # Examples
    /// ```
    /// use standpipe::Pipeline;
    /// use standpipe::stage::{collect, iter};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("table", iter(["name", "ada", "bob"]))
    ///     .skip("headline", 1)
    ///     .to("all", collect(8))
    ///     .run();
    /// assert_eq!(run.await?.done, ["ada", "bob"]);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    pub fn skip(
        self,
        name: &str,
        n: u64,
    ) -> Pipeline<
        H,
        Then<L, FilterMap<impl FnMut(L::Out) -> Option<L::Out> + Send + 'static, L::Out, L::Out>>,
    > {
        let mut left = n;
        let function = move |item| match left.checked_sub(1) {
            Some(less) => {
                left = less;
                None
            }
            None => Some(item),
        };
        self.link(name, |post| FilterMap::new(function, post))
    }

    /// Turns each item into one other, with a state that is carried along: a
    /// running sum, the item before, a number (`scan("number", 0, ..)`).
    ///
    /// # Memory
    /// The one state.
    ///
    /// # Examples
    /// ```
    /// use standpipe::Pipeline;
    /// use standpipe::stage::{collect, iter};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("steps", iter([5, 1, 4]))
    ///     .scan("position", 0, |position, step| {
    ///         *position += step;
    ///         *position
    ///     })
    ///     .to("all", collect(8))
    ///     .run();
    /// assert_eq!(run.await?.done, [5, 6, 10]);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    pub fn scan<S, U, F>(
        self,
        name: &str,
        mut state: S,
        mut function: F,
    ) -> Pipeline<H, Then<L, Map<impl FnMut(L::Out) -> U + Send + 'static, L::Out, U>>>
    where
        S: Send + 'static,
        U: Send + 'static,
        F: FnMut(&mut S, L::Out) -> U + Send + 'static,
    {
        let function = move |item| function(&mut state, item);
        self.link(name, |post| Map::new(function, post))
    }

    /// Shows each item to a function, in passing.
    ///
    /// # Memory
    /// None.
    ///
    /// # Examples
    /// ```
    /// use standpipe::Pipeline;
    /// use standpipe::stage::{count, iter};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("numbers", iter(1..=3))
    ///     .inspect("look", |n| assert!(*n < 4))
    ///     .to("count", count())
    ///     .run();
    /// assert_eq!(run.await?.done, 3);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    pub fn inspect<F>(
        self,
        name: &str,
        mut look: F,
    ) -> Pipeline<H, Then<L, Map<impl FnMut(L::Out) -> L::Out + Send + 'static, L::Out, L::Out>>>
    where
        F: FnMut(&L::Out) + Send + 'static,
    {
        let function = move |item| {
            look(&item);
            item
        };
        self.link(name, |post| Map::new(function, post))
    }

    /// Calls an async function for each item, up to `n` at a time; results go
    /// on in the order of the input.
    ///
    /// The futures go on whatever the segment waits for: its input, a
    /// resource of a stage before this one, or room downstream. They run in
    /// the segment's own task, concurrent but not parallel: to use more cores,
    /// spawn in `function` and await the handle. In each turn a future is
    /// polled once, and only if it was woken, so none starves another. The
    /// first error ends the pipeline with this stage as the cause; results
    /// before it are handed on first.
    ///
    /// The items count as in this stage's hands until their results are
    /// handed on: a wait for input is not idleness while there are any, and no
    /// input is taken while there are `n`. A slow one holds up those behind
    /// it; if their order does not matter use [`unordered`](Self::unordered).
    ///
    /// # Memory
    /// `n` futures or results, and their slots for the rest of the run.
    ///
    /// # Panics
    /// If `n` is 0.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use standpipe::stage::{collect, iter};
    /// use standpipe::{Pipeline, Tank};
    ///
    /// async fn fetch(n: u64) -> Result<u64, Infallible> {
    ///     Ok(n * n) // ask a server
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("numbers", iter(1..=4))
    ///     .tank(Tank::items(16))
    ///     .ordered("fetch", 8, fetch)
    ///     .to("all", collect(8))
    ///     .run();
    /// assert_eq!(run.await?.done, [1, 4, 9, 16]);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn ordered<U, E, R, F>(
        self,
        name: &str,
        n: usize,
        function: F,
    ) -> Pipeline<H, Then<L, Concurrent<F, L::Out, R>>>
    where
        U: Send + 'static,
        E: Into<BoxError> + Send + 'static,
        R: Future<Output = Result<U, E>> + Send + 'static,
        F: FnMut(L::Out) -> R + Send + 'static,
    {
        assert!(n > 0, "a stage with no item in flight cannot work: n must not be 0");
        self.link(name, |post| Concurrent::new(function, n, Order::Input, post))
    }

    /// Calls an async function for each item, up to `n` at a time; results go
    /// on as they are done.
    ///
    /// For the rest as [`ordered`](Self::ordered); but an error ends the
    /// pipeline as soon as its turn among the results that are done.
    ///
    /// # Memory
    /// `n` futures or results, and their slots for the rest of the run.
    ///
    /// # Panics
    /// If `n` is 0.
    ///
    /// # Examples
    /// ```
    /// use standpipe::stage::{fold, iter};
    /// use standpipe::{BoxError, Pipeline, Tank};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("words", iter(["1", "2", "three"]))
    ///     .unordered("parse", 2, |word| async { Ok::<_, BoxError>(word.parse::<u64>()?) })
    ///     .tank(Tank::items(4))
    ///     .to("sum", fold(0, |sum, n| sum + n))
    ///     .run();
    /// let error = run.await.unwrap_err();
    /// assert_eq!(error.cause().to_string(), "stage 1 `parse`: invalid digit found in string");
    /// # });
    /// ```
    #[track_caller]
    pub fn unordered<U, E, R, F>(
        self,
        name: &str,
        n: usize,
        function: F,
    ) -> Pipeline<H, Then<L, Concurrent<F, L::Out, R>>>
    where
        U: Send + 'static,
        E: Into<BoxError> + Send + 'static,
        R: Future<Output = Result<U, E>> + Send + 'static,
        F: FnMut(L::Out) -> R + Send + 'static,
    {
        assert!(n > 0, "a stage with no item in flight cannot work: n must not be 0");
        self.link(name, |post| Concurrent::new(function, n, Order::Completion, post))
    }

    /// Gathers items into groups: by count, by weight and by time, whichever
    /// is first.
    ///
    /// The time of a group runs on while the input idles, wherever the
    /// segment waits. The end of the data completes the last group. A group
    /// that fills waits for input and does not count as work.
    ///
    /// # Memory
    /// The group that fills: at most the count given, and the weight given
    /// plus one item.
    ///
    /// # Panics
    /// With a time, the stage panics when it runs if there is no tokio runtime,
    /// neither where the pipeline was built nor where it runs; the pipeline
    /// fails and names it.
    ///
    /// # Examples
    /// ```
    /// use standpipe::stage::{Groups, collect, iter};
    /// use standpipe::{Pipeline, Tank};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("words", iter(["a", "bcd", "e", "f", "g"]))
    ///     .tank(Tank::items(16))
    ///     .grouped("rows", Groups::of(2).weighing(3, |word: &&str| word.len()))
    ///     .to("all", collect(8))
    ///     .run();
    /// assert_eq!(run.await?.done, [vec!["a", "bcd"], vec!["e", "f"], vec!["g"]]);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    pub fn grouped(
        self,
        name: &str,
        groups: Groups<L::Out>,
    ) -> Pipeline<H, Then<L, Grouped<L::Out>>> {
        self.link(name, |post| Grouped::new(groups, post))
    }

    /// Lets through no more items per second than `limit` says; keep a clone
    /// of it to change it live.
    ///
    /// An item that has to wait is in this stage's hands: the wait counts as
    /// busy (`own_wait`), since the limit you set is the bottleneck then. It
    /// stays charged to the tank it came from.
    ///
    /// # Memory
    /// The one item that waits.
    ///
    /// # Panics
    /// When it runs, if there is no tokio runtime, neither where the pipeline
    /// was built nor where it runs; the pipeline fails and names the stage.
    ///
    /// # Examples
    /// ```
    /// use standpipe::Pipeline;
    /// use standpipe::stage::{RateLimit, count, iter};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true)
    /// #     .build()?.block_on(async {
    /// let limit = RateLimit::new(100, 10);
    /// let run = Pipeline::from("requests", iter(0..110))
    ///     .rate_limit("limit", &limit)
    ///     .to("count", count())
    ///     .run();
    /// let begun = tokio::time::Instant::now();
    /// assert_eq!(run.await?.done, 110); // 10 at once, 100 in a second
    /// assert_eq!(begun.elapsed().as_millis(), 1_000);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn rate_limit(
        self,
        name: &str,
        limit: &RateLimit,
    ) -> Pipeline<H, Then<L, Limited<impl FnMut(&L::Out) -> u64 + Send + 'static, L::Out>>> {
        self.link(name, |post| Limited::new(limit.clone(), |_: &L::Out| 1, post))
    }

    /// The same by weight: an item takes as many tokens as `weigh` says. One
    /// that is heavier than the burst waits for a full bucket and leaves it in
    /// debt.
    ///
    /// # Memory
    /// The one item that waits.
    ///
    /// # Panics
    /// As [`rate_limit`](Self::rate_limit).
    ///
    /// # Examples
    /// ```
    /// use standpipe::stage::{RateLimit, count, iter};
    /// use standpipe::{Pipeline, Tank, Weigh};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true)
    /// #     .build()?.block_on(async {
    /// let limit = RateLimit::new(1_000, 500); // bytes
    /// let run = Pipeline::from("blocks", iter(vec![vec![0_u8; 250]; 6]))
    ///     .tank(Tank::bytes(4_096))
    ///     .rate_limit_by("limit", &limit, |block| block.weight() as u64)
    ///     .to("count", count())
    ///     .run();
    /// let begun = tokio::time::Instant::now();
    /// assert_eq!(run.await?.done, 6); // 2 at once, 4 in a second
    /// assert!(begun.elapsed().as_millis() >= 1_000);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn rate_limit_by<W>(
        self,
        name: &str,
        limit: &RateLimit,
        weigh: W,
    ) -> Pipeline<H, Then<L, Limited<W, L::Out>>>
    where
        W: FnMut(&L::Out) -> u64 + Send + 'static,
    {
        self.link(name, |post| Limited::new(limit.clone(), weigh, post))
    }

    /// Fails the pipeline with [`Expired`](crate::CauseKind::Expired) when one
    /// of the times is up: for the first item, between items, to hand one on,
    /// in all. The message names the time and this stage.
    ///
    /// Times count from the first turn of this segment, on tokio's clock. A
    /// deadline is seen where the segment waits, or has its turn: a stage that
    /// blocks the thread is not interrupted.
    ///
    /// # Memory
    /// None.
    ///
    /// # Panics
    /// As [`rate_limit`](Self::rate_limit).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use standpipe::adapt::stream::from_stream;
    /// use standpipe::stage::{Timeouts, count};
    /// use standpipe::{CauseKind, Pipeline, Tank};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true)
    /// #     .build()?.block_on(async {
    /// let silent = from_stream(futures::stream::pending::<u8>());
    /// let run = Pipeline::from("line", silent)
    ///     .timeouts("patience", Timeouts::new().idle(Duration::from_secs(5)))
    ///     .tank(Tank::items(4))
    ///     .to("count", count())
    ///     .run();
    /// let error = run.await.unwrap_err();
    /// assert_eq!(error.kind(), CauseKind::Expired);
    /// assert!(error.to_string().starts_with("stage 1 `patience`"));
    /// # });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn timeouts(self, name: &str, limits: Timeouts) -> Pipeline<H, Then<L, Timed<L::Out>>> {
        self.link(name, |post| Timed::new(limits, post))
    }

    /// Looks on in passing and reports at most every so often, and once at the
    /// end, however that comes: items, rate, time, and the level of the tank
    /// before this segment, if there is one.
    ///
    /// The clock is the pipeline's, read every so many items. What stalls
    /// reports nothing until it moves; to look at it from outside there is
    /// [`Monitor`](crate::pipeline::Monitor).
    ///
    /// # Memory
    /// A few numbers.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use standpipe::stage::{count, iter};
    /// use standpipe::{Pipeline, Tank};
    ///
    /// # futures::executor::block_on(async {
    /// let run = Pipeline::from("numbers", iter(0..1_000))
    ///     .tank(Tank::items(64))
    ///     .monitored("look", Duration::from_secs(1), |seen| {
    ///         assert!(seen.to_string().starts_with("look: 1000 items"));
    ///     })
    ///     .to("count", count())
    ///     .run();
    /// assert_eq!(run.await?.done, 1_000);
    /// # Ok::<(), standpipe::PipelineError>(())
    /// # }).unwrap();
    /// ```
    pub fn monitored<F>(
        self,
        name: &str,
        every: Duration,
        report: F,
    ) -> Pipeline<H, Then<L, Monitored<F, L::Out>>>
    where
        F: FnMut(&Sighting) + Send + 'static,
    {
        let around = Surroundings {
            name: name.into(),
            gauge: self.head.gauge(),
            clock: self.parts.board.clock.clone(),
        };
        self.link(name, |post| Monitored::new(around, every, report, post))
    }
}
