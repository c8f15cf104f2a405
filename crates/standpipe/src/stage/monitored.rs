//! Who looks on in passing: how many, how fast, how full is the tank before?
//!
//! The clock is read every so many items, and how many that is follows from
//! how fast they come: some 16 readings between two reports, whatever the
//! rate. So an item costs a subtraction.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::error::Cause;
use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::chain::{Link, Outlet, hands_on};
use crate::stage::held::Held;
use crate::stage::line::Post;
use crate::sync::Arc;
use crate::tank::Gauge;

/// Items between two readings of the clock, at most.
const STRIDE_MOST: u64 = 4_096;
/// Readings of the clock between two reports, about.
const READINGS_PER_REPORT: u64 = 16;

/// What a [`monitored`](crate::Pipeline::monitored) stage saw. Prints as one
/// line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sighting {
    /// The stage's name.
    pub name: Arc<str>,
    /// Items that passed since the start.
    pub items: u64,
    /// Items per second since the last report.
    pub per_second: f64,
    /// Time since the start.
    pub elapsed: Duration,
    /// The tank before this segment: its level and its high-water mark.
    /// `None` behind a source.
    pub level: Option<(usize, usize)>,
    /// Whether this is the last report.
    pub end: Ended,
}

/// Whether the data has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it goes on, or ended one way or the other")]
pub enum Ended {
    /// It goes on.
    No,
    /// The input ended, and all of it passed.
    Complete,
    /// It was ended early.
    Early,
}

impl Sighting {
    /// Level of the tank before, in percent of its high-water mark; over 100
    /// with an item past the mark.
    #[must_use]
    pub fn percent(&self) -> Option<usize> {
        self.level.and_then(|(level, high)| level.saturating_mul(100).checked_div(high))
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} items, {:.1}/s", self.name, self.items, self.per_second)?;
        if let (Some((level, high)), Some(percent)) = (self.level, self.percent()) {
            write!(f, ", tank {level} of {high} ({percent} %)")?;
        }
        write!(f, ", {:.1} s", self.elapsed.as_secs_f64())?;
        match self.end {
            Ended::No => Ok(()),
            Ended::Complete => f.write_str(", done"),
            Ended::Early => f.write_str(", ended early"),
        }
    }
}

/// Counts, and reports.
struct Observer<F> {
    report: F,
    name: Arc<str>,
    gauge: Option<Gauge>,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    every_ns: u64,
    begun_ns: Option<u64>,
    /// The last reading of the clock.
    seen_ns: u64,
    /// The last report, and the items then.
    reported_ns: u64,
    reported_items: u64,
    items: u64,
    /// Items between two readings, and until the next.
    stride: u64,
    left: u64,
    end: Ended,
}

impl<F: FnMut(&Sighting)> Observer<F> {
    /// An item passes.
    #[inline]
    fn item(&mut self) {
        self.items = self.items.saturating_add(1);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.look();
        }
    }

    #[inline(never)]
    fn look(&mut self) {
        let now_ns = (self.clock)();
        if self.begun_ns.is_none() {
            self.begun_ns = Some(now_ns);
            self.reported_ns = now_ns;
        } else if now_ns.saturating_sub(self.seen_ns).saturating_mul(READINGS_PER_REPORT)
            < self.every_ns
        {
            self.stride = self.stride.saturating_mul(2).min(STRIDE_MOST);
        } else {
            self.stride = (self.stride / 2).max(1);
        }
        self.seen_ns = now_ns;
        self.left = self.stride;
        if now_ns.saturating_sub(self.reported_ns) >= self.every_ns {
            self.tell(now_ns);
        }
    }

    fn tell(&mut self, now_ns: u64) {
        let span_ns = now_ns.saturating_sub(self.reported_ns);
        let items = self.items.saturating_sub(self.reported_items);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs three digits")]
        let per_second = if span_ns == 0 { 0.0 } else { items as f64 * 1e9 / span_ns as f64 };
        let begun_ns = self.begun_ns.unwrap_or(now_ns);
        let sighting = Sighting {
            name: self.name.clone(),
            items: self.items,
            per_second,
            elapsed: Duration::from_nanos(now_ns.saturating_sub(begun_ns)),
            level: self.gauge.as_ref().map(|gauge| {
                let seen = gauge.snapshot();
                (seen.level, seen.high)
            }),
            end: self.end,
        };
        self.reported_ns = now_ns;
        self.reported_items = self.items;
        (self.report)(&sighting);
    }

    fn over(&mut self, end: Ended) {
        if self.end == Ended::No {
            self.end = end;
            let now_ns = (self.clock)();
            self.tell(now_ns);
        }
    }

    fn destroy(&mut self, _why: Option<&Cause>) {
        self.over(Ended::Early);
    }
}

/// A look in passing, as a link.
pub struct Monitored<F, T> {
    held: Held<Observer<F>>,
    types: std::marker::PhantomData<fn(T) -> T>,
}

/// What a look in passing needs to know of its pipeline.
pub(crate) struct Surroundings {
    pub(crate) name: Arc<str>,
    pub(crate) gauge: Option<Gauge>,
    pub(crate) clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl<F: FnMut(&Sighting), T> Monitored<F, T> {
    pub(crate) fn new(around: Surroundings, every: Duration, report: F, post: Post) -> Self {
        let observer = Observer {
            report,
            name: around.name,
            gauge: around.gauge,
            clock: around.clock,
            every_ns: u64::try_from(every.as_nanos()).unwrap_or(u64::MAX),
            begun_ns: None,
            seen_ns: 0,
            reported_ns: 0,
            reported_items: 0,
            items: 0,
            stride: 1,
            left: 1,
            end: Ended::No,
        };
        let held = Held::at_once(observer, Observer::destroy, post);
        Self { held, types: std::marker::PhantomData }
    }
}

impl<F, T> Link for Monitored<F, T>
where
    F: FnMut(&Sighting) + Send + 'static,
    T: Send + 'static,
{
    type In = T;
    type Out = T;
    type On<D: Outlet<T>> = MonitoredOn<F, D>;

    fn on<D: Outlet<T>>(self, down: D) -> MonitoredOn<F, D> {
        MonitoredOn { held: self.held, down }
    }
}

/// A look in passing in front of what is downstream of it.
pub struct MonitoredOn<F, D> {
    held: Held<Observer<F>>,
    down: D,
}

impl<F: FnMut(&Sighting), D> MonitoredOn<F, D> {
    #[inline]
    fn item(&mut self) {
        let (observer, post) = self.held.parts();
        let guard = post.guard();
        observer.item();
        guard.disarm();
    }
}

impl<F, T, D> Emit<T> for MonitoredOn<F, D>
where
    F: FnMut(&Sighting) + Send + 'static,
    T: Send + 'static,
    D: Outlet<T>,
{
    #[inline]
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        self.item();
        self.down.send(item)
    }

    #[inline]
    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        self.item();
        self.down.feed(item)
    }

    #[inline]
    fn push(&mut self, item: T) -> Result<Flow, T> {
        if self.has_room() { Ok(self.put(item)) } else { Err(item) }
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.down.flush()
    }
}

impl<F, T, D> Outlet<T> for MonitoredOn<F, D>
where
    F: FnMut(&Sighting) + Send + 'static,
    T: Send + 'static,
    D: Outlet<T>,
{
    hands_on!(open, ACTIVE, poll_due, work, in_hand, has_room, holds_back, idle);

    #[inline]
    fn put(&mut self, item: T) -> Flow {
        self.item();
        self.down.put(item)
    }

    async fn finish(&mut self) {
        let (observer, post) = self.held.parts();
        let guard = post.guard();
        observer.over(Ended::Complete);
        guard.disarm();
        self.held.finished();
        self.down.finish().await;
    }
}

impl<F, T> fmt::Debug for Monitored<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Monitored(..)")
    }
}

impl<F, D> fmt::Debug for MonitoredOn<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonitoredOn(..)")
    }
}
