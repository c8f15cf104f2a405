//! Where does an item wait?
//!
//! In a tank: a bounded queue between a [`Writable`] and a [`Readable`], and
//! the only queue there is.
//!
//! ```text
//!            write ─► Flow::{Ready, Wait}
//!   Writable ───────►┌─────────────────┐
//!   Writable ───────►│ ▓▓▓▓▓▓▓▓▓░░░░░░ │───────► Readable
//!                    └────────┊────────┊
//!    drained() ◄── opens at low    shuts at high
//! ```
//!
//! # Knows / never knows
//! Knows gate, overflow, scale, meter and the tasks that wait. Never knows its
//! neighbours: who writes and who reads is the pipeline's affair. So a tank
//! works alone, as a channel with a byte bound, on any executor.
//!
//! # Terms
//! *level*: the weight charged, a batch in the reader's hands included (Node:
//! `writableLength`). *drain*: the shut tank opens, at its low-water mark.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc as StdArc;

use crate::error::Cause;
use crate::gate::{Gate, Marks};
use crate::overflow::Overflow;
use crate::snapshot::{TankSnapshot, Unit};
use crate::sync::Arc;
use crate::weigh::{KIB, Scale, Weigh};

pub(crate) mod aside;
pub(crate) mod queue;
mod batch;
pub(crate) mod budget;
mod cork;
mod duplex;
pub(crate) mod entry;
pub(crate) mod events;
pub(crate) mod exit;
mod granted;
mod readable;
pub(crate) mod seats;
mod writable;
#[cfg(all(test, loom))]
mod loom_tests;

pub use batch::{Batch, Drain};
pub use budget::Budget;
pub use cork::Corked;
pub use duplex::{Duplex, duplex_pair};
pub use events::{Event, EventKind, Events};
pub use readable::{Next, PipeError, Readable};
pub use writable::{Drained, Finished, Permit, Sending, Writable};

/// High-water mark of a default tank of bytes: 16 KiB, as in Node.
pub const DEFAULT_BYTES: usize = 16 * KIB;
/// High-water mark of a default tank of items: 16, as in Node.
pub const DEFAULT_ITEMS: usize = 16;
/// High-water mark for files: 64 KiB, as in Node.
pub const DEFAULT_FILE_BYTES: usize = 64 * KIB;

/// Weighs by [`Weigh`]: a tank of bytes.
#[derive(Clone, Copy, Debug)]
pub struct ByBytes(());

/// Weighs 1 each: a tank of items.
#[derive(Clone, Copy, Debug)]
pub struct ByItems(());

/// Weighs by a closure.
#[derive(Clone, Copy)]
pub struct By<F>(F);

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By(..)")
    }
}

/// How a tank weighs items of type `T`. Sealed: [`Tank::bytes`],
/// [`Tank::items`] and [`Tank::weighed`] are the ways there are.
pub trait Measure<T>: sealed::Sealed {
    /// What the weights count.
    #[doc(hidden)]
    const UNIT: Unit;

    /// The weight of an item; `None` is 1 each.
    #[doc(hidden)]
    #[expect(clippy::type_complexity, reason = "an alias would have to be public")]
    fn into_weigh(self) -> Option<Box<dyn Fn(&T) -> usize + Send + Sync>>;
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed on purpose")]
    pub trait Sealed {}

    impl Sealed for super::ByBytes {}
    impl Sealed for super::ByItems {}
    impl<F> Sealed for super::By<F> {}
}

impl<T: Weigh + 'static> Measure<T> for ByBytes {
    const UNIT: Unit = Unit::Bytes;

    fn into_weigh(self) -> Option<Box<dyn Fn(&T) -> usize + Send + Sync>> {
        Some(Box::new(T::weight)) // of size 0: nothing is allocated
    }
}

impl<T> Measure<T> for ByItems {
    const UNIT: Unit = Unit::Items;

    fn into_weigh(self) -> Option<Box<dyn Fn(&T) -> usize + Send + Sync>> {
        None
    }
}

impl<T, F: Fn(&T) -> usize + Send + Sync + 'static> Measure<T> for By<F> {
    const UNIT: Unit = Unit::Weight;

    fn into_weigh(self) -> Option<Box<dyn Fn(&T) -> usize + Send + Sync>> {
        Some(Box::new(self.0))
    }
}

/// A tank to be built.
///
/// # Memory
/// Weight in the tank is at most `high-water mark + one item`, whatever the
/// writers do, unless the overflow strategy is [`Overflow::Grow`]; plus the
/// queue's own slot per item, `size_of::<T>()`.
///
/// What Node calls a `PassThrough`, a stream that hands on what it is given,
/// is a tank: two doors, a bound, and numbers to look at.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// use standpipe::Tank;
///
/// let (writable, readable) = Tank::items(4).named("pass through").build();
/// let (onward, mut sink) = Tank::items(4).build();
/// let seen = readable.gauge();
/// writable.send("as it came").await?;
/// writable.end();
/// readable.pipe(onward).await?;
/// assert_eq!(sink.try_next(), Some("as it came"));
/// assert_eq!(seen.snapshot().read.items, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// ```
/// use standpipe::{Flow, KIB, Tank};
///
/// let (writable, mut readable) =
///     Tank::bytes(64 * KIB).low(16 * KIB).named("read→gzip").build::<Vec<u8>>();
/// assert_eq!(writable.write(vec![0; 64 * KIB])?, Flow::Wait);
/// assert_eq!(readable.try_next().map(|item| item.len()), Some(65_536));
/// assert_eq!(writable.level(), 0);
/// # Ok::<(), standpipe::WriteError<Vec<u8>>>(())
/// ```
#[doc(alias("channel", "mpsc", "bounded", "queue", "Buffer", "sync_channel"))]
#[doc(alias = "PassThrough")]
#[derive(Clone, Debug)]
#[must_use = "a tank is built by `build` or by a pipeline"]
pub struct Tank<M = ByItems> {
    measure: M,
    high: usize,
    low: Option<usize>,
    name: Option<StdArc<str>>,
    overflow: Overflow,
    exact: bool,
    budget: Option<Budget>,
}

impl Tank<ByBytes> {
    /// A tank that shuts at `high` bytes of payload.
    #[doc(alias("highWaterMark"))]
    pub const fn bytes(high: usize) -> Self {
        Self::new(ByBytes(()), high)
    }
}

impl Default for Tank<ByBytes> {
    fn default() -> Self {
        Self::bytes(DEFAULT_BYTES)
    }
}

impl Tank<ByItems> {
    /// A tank that shuts at `high` items.
    #[doc(alias("objectMode"))]
    pub const fn items(high: usize) -> Self {
        Self::new(ByItems(()), high)
    }
}

impl Default for Tank<ByItems> {
    fn default() -> Self {
        Self::items(DEFAULT_ITEMS)
    }
}

impl<F> Tank<By<F>> {
    /// A tank that shuts at a weight of `high`, each item weighing what
    /// `weigh` says.
    ///
    /// `weigh` is asked when an item goes in and when it leaves, and again
    /// whenever a write that waits is tried, so it should be quick and always
    /// say the same; if it changes its mind, the level is still never
    /// unbalanced for longer than the item's batch. It may be called with the
    /// tank's lock held, so it must not use the tank. If it panics, the items
    /// that are in the tank or in a batch are still there and charged.
    pub const fn weighed(high: usize, weigh: F) -> Self {
        Self::new(By(weigh), high)
    }
}

impl<M> Tank<M> {
    const fn new(measure: M, high: usize) -> Self {
        Self {
            measure,
            high,
            low: None,
            name: None,
            overflow: Overflow::Wait,
            exact: false,
            budget: None,
        }
    }

    /// Sets the low-water mark, at or below which the shut tank opens. The
    /// default is half of the high-water mark.
    pub const fn low(mut self, low: usize) -> Self {
        self.low = Some(low);
        self
    }

    /// Names the tank in reports.
    pub fn named(mut self, name: impl Into<StdArc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says what becomes of an item at the shut tank.
    #[doc(alias(
        "onBackpressureDrop",
        "onBackpressureLatest",
        "onBackpressureBuffer",
        "BoundedChannelFullMode"
    ))]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Shares a limit with other tanks: see [`Budget`].
    ///
    /// Its marks are still its own; with less granted than its high-water mark
    /// it goes by marks that are smaller in proportion.
    ///
    /// # Examples
    /// ```
    /// use standpipe::{Budget, MIB, Tank};
    ///
    /// let uploads = Budget::bytes(64 * MIB); // however many there are
    /// let one = Tank::bytes(4 * MIB).budget(&uploads).build::<Vec<u8>>();
    /// let two = Tank::bytes(4 * MIB).budget(&uploads).build::<Vec<u8>>();
    /// assert_eq!(uploads.granted(), 0); // empty tanks have nothing
    /// # drop((one, two));
    /// ```
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Makes it behave as Node's streams do, rule for rule.
    ///
    /// The low-water mark is 0, so a drain comes only when everything has left;
    /// writes past the mark are taken ([`Overflow::Grow`]) and answered by the
    /// level; a drain lets in everyone who waits, also when the first of them
    /// shuts the tank again; the level is exact after
    /// every item, at the cost of a lock per item; and a high-water mark of 0
    /// is allowed, at which every write is answered
    /// [`Flow::Wait`](crate::gate::Flow::Wait).
    ///
    /// A low-water mark set after this stays: `high - 1` is Node's *readable*
    /// buffer, whose source goes on as soon as the level is below the mark.
    ///
    /// # Memory
    /// No bound: a writer that ignores the answers fills it. Reports name the
    /// line that does.
    ///
    /// # Examples
    /// ```
    /// use standpipe::{Flow, Tank};
    ///
    /// let (writable, mut readable) = Tank::items(2).node().build();
    /// assert_eq!(writable.write("a")?, Flow::Ready);
    /// assert_eq!(writable.write("b")?, Flow::Wait);
    /// assert_eq!(writable.write("c")?, Flow::Wait); // taken all the same
    /// assert_eq!((readable.try_next(), readable.try_next()), (Some("a"), Some("b")));
    /// assert_eq!(writable.level(), 1);
    /// assert!(writable.is_shut()); // a drain is owed until the level is 0
    /// # Ok::<(), standpipe::WriteError<&str>>(())
    /// ```
    pub const fn node(mut self) -> Self {
        self.low = Some(0);
        self.overflow = Overflow::Grow;
        self.exact = true;
        self
    }

    /// Builds it: the door in and the door out.
    ///
    /// # Panics
    /// If the high-water mark is 0 (but see [`node`](Self::node)) or the
    /// low-water mark is not below it. If its [budget](Self::budget) counts
    /// bytes and the tank items, or the other way round, or if it has one and
    /// grows past its mark ([`Overflow::Grow`]): what has no bound is within no
    /// limit.
    #[must_use]
    pub fn build<T>(self) -> (Writable<T>, Readable<T>)
    where
        M: Measure<T>,
    {
        self.build_as(None)
    }

    /// The same, with a name for a tank that has none.
    pub(crate) fn build_named<T>(self, name: &str) -> (Writable<T>, Readable<T>)
    where
        M: Measure<T>,
    {
        self.build_as(Some(name))
    }

    fn build_as<T>(self, name: Option<&str>) -> (Writable<T>, Readable<T>)
    where
        M: Measure<T>,
    {
        let marks = match self.low {
            Some(low) if self.exact => Marks::node(self.high, low),
            Some(low) => Marks::new(self.high, low),
            None => Marks::half(self.high),
        };
        let marks = match marks {
            Ok(marks) => marks,
            Err(error) => refuse(&error.to_string()),
        };
        let name = self.name.or_else(|| name.map(StdArc::from));
        let grant = self.budget.map(|budget| {
            if self.overflow == Overflow::Grow {
                refuse("a tank that grows past its mark is within no budget");
            }
            budget.grant(M::UNIT, marks).unwrap_or_else(|| {
                let name = name.as_deref().unwrap_or(aside::UNNAMED);
                refuse(&format!(
                    "tank `{name}` counts {} and its budget {}",
                    M::UNIT,
                    budget.unit()
                ))
            })
        });
        let core = queue::Core::new(
            name,
            M::UNIT,
            Scale::new(self.measure.into_weigh()),
            self.overflow,
            marks,
        );
        if let Some(grant) = grant {
            core.set_grant(grant);
        }
        if self.exact {
            core.set_exact();
        }
        let core = Arc::new(core);
        (Writable::new(core.clone()), Readable::new(core))
    }
}

#[cold]
#[expect(clippy::panic, reason = "documented: marks that make no sense are the caller's bug")]
fn refuse(why: &str) -> ! {
    panic!("{why}");
}

/// Watches a tank without its item type and without keeping its data going.
#[doc(alias("metrics", "watch"))]
#[derive(Clone)]
pub struct Gauge {
    tank: StdArc<dyn queue::AnyTank>,
}

impl Gauge {
    pub(crate) fn new(tank: impl queue::AnyTank + 'static) -> Self {
        Self { tank: StdArc::new(tank) }
    }

    /// Weight in the tank.
    #[must_use]
    pub fn level(&self) -> usize {
        self.tank.gate().level()
    }

    /// The rule of pressure as it stands: level, marks, shut or open. The marks
    /// are lower than the tank's own where a [`Budget`] grants it less.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.tank.gate()
    }

    /// Everything that is counted.
    #[must_use]
    pub fn snapshot(&self) -> TankSnapshot {
        self.tank.snapshot(None)
    }

    /// The same, with time-weighted numbers up to `now_ns`.
    pub(crate) fn snapshot_at(&self, now_ns: u64) -> TankSnapshot {
        self.tank.snapshot(Some(now_ns))
    }

    /// Changes both marks, live. What the reader has in hand goes by them from
    /// the next time on that it returns some.
    pub fn set_marks(&self, marks: Marks) {
        self.tank.set_marks(marks);
    }

    /// Observes it: when it shuts, opens, loses items, ends. At most `capacity`
    /// events wait to be read; the oldest make room and are counted. The first
    /// one tells how the tank stands now.
    ///
    /// # Memory
    /// As said at [`Events`].
    pub fn events(&self, capacity: usize) -> Events {
        Events::of(std::slice::from_ref(self), capacity)
    }

    /// Another one than that of any tank alive.
    pub(crate) fn id(&self) -> usize {
        self.tank.id()
    }

    pub(crate) fn observe(&self, ring: Arc<events::Ring>, index: usize) {
        self.tank.observe(ring, index);
    }

    /// Waits until the data has ended and its last item has left; for someone
    /// who neither writes nor reads. Told also to whoever asks late.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    ///
    /// # Errors
    /// The cause, if the data ended early: a writer failed or was dropped
    /// without `end`, or the reader went away before it had everything.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// use standpipe::Tank;
    ///
    /// let (writable, mut readable) = Tank::items(4).build();
    /// let gauge = readable.gauge();
    /// let watch = async move { gauge.finished().await };
    /// let work = async move {
    ///     writable.send("all").await?;
    ///     writable.end();
    ///     readable.next().await.expect("an item")?;
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// };
    /// let (watched, worked) = futures::join!(watch, work);
    /// worked?;
    /// assert!(watched.is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn finished(&self) -> Result<(), Cause> {
        let mut wait = Watching { tank: &*self.tank, ticket: None };
        poll_fn(|cx| wait.tank.poll_finished(cx, &mut wait.ticket)).await
    }
}

/// A seat among those who wait for the end, given up on drop.
struct Watching<'a> {
    tank: &'a dyn queue::AnyTank,
    ticket: Option<u64>,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.tank.leave_finishing(ticket);
        }
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.gate()).finish()
    }
}
