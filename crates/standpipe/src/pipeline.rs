//! Who is connected to whom, who cleans up?
//!
//! A pipeline is written left to right: a source, stages, tanks where you
//! want a queue, a sink. Stages between two tanks fuse into one *segment*;
//! only a tank cuts.
//!
//! ```text
//! Pipeline::from("read", source)
//!     .map("trim", ..)          ─┐ read+trim: one segment, no queue
//!     .tank(Tank::bytes(..))    ─┘
//!     .transform("parse", ..)   ─┐ parse: the next segment
//!     .tank(Tank::items(..))    ─┘
//!     .to("upload", sink)         upload
//!     .run()        all segments in this task, on any executor
//!     .spawn()      a task per segment
//!     .threads()    a thread per segment
//! ```
//!
//! # How ends travel
//! The end of the data goes down behind the last item, and `finish` runs once,
//! in order. The first error, panic or cancel wins: nothing is polled after
//! it, stages are destroyed once each, the failed segment first, then
//! upstream, nearest first, then downstream; a stage upstream is told
//! `Stopped`, one downstream the cause. A sink that has enough stops
//! everything upstream, and its word is the result. Dropping a pipeline ends
//! all it began.
//!
//! # In a log
//! With the feature `tracing` a pipeline is a span `pipeline` with its stages'
//! names, inside the span it is begun in, and each segment a span `stage` with
//! `index` and `name`, current while it is polled: what your stage logs is under
//! its name. The target is `standpipe`; spans are of level info, begin and end
//! debug (an error is yours to report), pauses trace. Nothing is told per item.
//!
//! # Knows / never knows
//! Knows stages, tanks, marks, and is the only room that spawns. Never knows
//! formats or files.

use std::fmt;
use std::panic::Location;

use crate::snapshot::{Join, Side};
use crate::stage::chain::{Link, Outlet, Then, Through, Transforming};
use crate::stage::held::Held;
use crate::stage::line::{Line, Post, Shift};
use crate::stage::parts::{FilterMap, FlatMap, Map};
use crate::stage::{Sink, Source, Transform};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, lock};
use crate::tank::aside::Relayed;
use crate::tank::budget::Spot;
use crate::tank::{Measure, Tank};

mod crew;
mod drive;
mod group;
mod heads;
mod monitor;
mod opening;
mod operators;
mod outcome;
mod pace;
mod relay;
mod segment;
#[cfg(feature = "tracing")]
mod spans;
mod tails;
mod turn;

pub use drive::{Run, Spawned};
pub use group::{Group, Member};
pub use monitor::Monitor;
pub use outcome::{Completed, PipelineError};

use crew::{Crew, OneTask, Segment};
use heads::{SourceHead, TankHead};
use monitor::{Board, Row};
use relay::{Relay, Round};
use segment::{Clock, Head, Watch};
use tails::{SinkTail, TankTail};

/// The types that a pipeline is made of while it is built. Nobody has to name
/// them.
#[doc(hidden)]
pub mod parts {
    pub use super::heads::{SourceHead, TankHead};
    pub use super::segment::{Head, Watch};
}

/// A pipeline being built: its last segment is still open.
#[doc(alias("pipe", "Processor", "chain"))]
#[must_use = "a pipeline does nothing until it has a sink and is run"]
pub struct Pipeline<H, L> {
    head: H,
    link: L,
    parts: Parts,
    open: OpenSegment,
}

/// Everything behind the open segment.
struct Parts {
    board: Arc<Board>,
    segments: Vec<Segment>,
    starts: Vec<Start>,
}

/// Begins the timing of a tank, and tells it whom to tell of waits that end.
struct Start(Box<dyn FnOnce(u64, Option<Arc<Relay>>) + Send>);

/// The segment that grows.
struct OpenSegment {
    first_stage: usize,
    names: Vec<String>,
    watch: Watch,
    shift: Arc<Shift>,
}

impl OpenSegment {
    fn new(clock: &Clock) -> Self {
        Self {
            first_stage: 0,
            names: Vec::new(),
            watch: Watch::new(clock.clone()),
            shift: Arc::default(),
        }
    }
}

/// Nanoseconds on the machine's monotonic clock: the one place that reads it.
#[expect(clippy::disallowed_methods, reason = "this is the edge at which `now` enters")]
fn machine_clock() -> Clock {
    let origin = std::time::Instant::now();
    Arc::new(move || {
        let since = origin.elapsed();
        // not `as_nanos`: 128 bits, for 585 years in 64
        since.as_secs().saturating_mul(1_000_000_000).saturating_add(since.subsec_nanos().into())
    })
}

impl Pipeline<(), ()> {
    /// Begins with a source.
    pub fn from<S: Source>(name: &str, source: S) -> Pipeline<SourceHead<S>, Through<S::Item>> {
        Self::with_clock(name, source, machine_clock())
    }

    /// Begins with a source, on a clock of your own: nanoseconds from any
    /// fixed origin, never going back. For tests and virtual time.
    pub fn from_with_clock<S: Source>(
        name: &str,
        source: S,
        now_ns: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Pipeline<SourceHead<S>, Through<S::Item>> {
        Self::with_clock(name, source, Arc::new(now_ns))
    }

    fn with_clock<S: Source>(
        name: &str,
        source: S,
        clock: Clock,
    ) -> Pipeline<SourceHead<S>, Through<S::Item>> {
        let board = Arc::new(Board {
            line: Arc::new(Line::new()),
            clock: clock.clone(),
            rows: Mutex::new(Vec::new()),
            tanks: Mutex::new(Vec::new()),
            own: Mutex::default(),
            begun_ns: Mutex::new(None),
            ended_ns: Mutex::new(None),
            joins: Mutex::default(),
            cores: Mutex::default(),
            on_threads: AtomicBool::new(false),
            book: Arc::default(),
            relay: Mutex::default(),
        });
        let parts = Parts { board, segments: Vec::new(), starts: Vec::new() };
        Self::begin_with(name, source, parts)
    }

    fn begin_with<S: Source>(
        name: &str,
        source: S,
        parts: Parts,
    ) -> Pipeline<SourceHead<S>, Through<S::Item>> {
        let mut open = OpenSegment::new(&parts.board.clock);
        let post = parts.post(&mut open, name);
        parts.board.own_tanks(Side::Reads, source.reads());
        let head = SourceHead(Held::source(source, post));
        Pipeline { head, link: Through::new(), parts, open }
    }
}

impl Parts {
    /// A place for the next stage.
    fn post(&self, open: &mut OpenSegment, name: &str) -> Post {
        let index = self.board.line.add_stage(name);
        if open.names.is_empty() {
            open.first_stage = index;
        }
        open.names.push(name.to_owned());
        Post::new(self.board.line.clone(), index, open.shift.clone())
    }

    /// The open segment is complete.
    fn close<H, L, D>(&mut self, head: H, link: L, tail: D, open: OpenSegment)
    where
        H: Head<Item = L::In>,
        L: Link,
        D: Outlet<L::Out>,
    {
        let name: Arc<str> = open.names.join("+").into();
        lock(&self.board.rows).push(Row {
            first_stage: open.first_stage,
            #[cfg(feature = "tracing")]
            name: name.clone(),
            #[cfg(not(feature = "tracing"))]
            name,
            meter: open.watch.meter.clone(),
        });
        self.segments.push(Segment {
            work: Box::pin(head.drive(link.on(tail), open.watch.clone())),
            watch: open.watch,
            at_first: H::AT_FIRST,
            first_stage: open.first_stage,
            shift: open.shift,
            #[cfg(feature = "tracing")]
            name,
        });
    }
}

#[expect(clippy::type_complexity, reason = "a pipeline's type is its chain of stages")]
impl<H: Head<Item = L::In>, L: Link> Pipeline<H, L> {
    fn link<M: Link<In = L::Out>>(
        mut self,
        name: &str,
        link: impl FnOnce(Post) -> M,
    ) -> Pipeline<H, Then<L, M>> {
        let post = self.parts.post(&mut self.open, name);
        Pipeline {
            head: self.head,
            link: Then(self.link, link(post)),
            parts: self.parts,
            open: self.open,
        }
    }

    /// Turns each item into one other. Fused: no queue, no task.
    ///
    /// # Memory
    /// None.
    pub fn map<U, F>(self, name: &str, function: F) -> Pipeline<H, Then<L, Map<F, L::Out, U>>>
    where
        U: Send + 'static,
        F: FnMut(L::Out) -> U + Send + 'static,
    {
        self.link(name, |post| Map::new(function, post))
    }

    /// Lets through what `keep` says. Fused.
    ///
    /// # Memory
    /// None.
    pub fn filter<F>(
        self,
        name: &str,
        mut keep: F,
    ) -> Pipeline<H, Then<L, impl Link<In = L::Out, Out = L::Out>>>
    where
        F: FnMut(&L::Out) -> bool + Send + 'static,
    {
        self.link(name, |post| {
            FilterMap::new(move |item: L::Out| if keep(&item) { Some(item) } else { None }, post)
        })
    }

    /// Turns each item into one other or none. Fused.
    ///
    /// # Memory
    /// None.
    pub fn filter_map<U, F>(
        self,
        name: &str,
        function: F,
    ) -> Pipeline<H, Then<L, FilterMap<F, L::Out, U>>>
    where
        U: Send + 'static,
        F: FnMut(L::Out) -> Option<U> + Send + 'static,
    {
        self.link(name, |post| FilterMap::new(function, post))
    }

    /// Turns each item into many, taken one by one as there is room. Fused.
    ///
    /// # Memory
    /// The one iterator.
    pub fn flat_map<I, F>(
        self,
        name: &str,
        function: F,
    ) -> Pipeline<H, Then<L, FlatMap<F, L::Out, I>>>
    where
        I: IntoIterator<Item: Send + 'static, IntoIter: Send> + 'static,
        F: FnMut(L::Out) -> I + Send + 'static,
    {
        self.link(name, |post| FlatMap::new(function, post))
    }

    /// An async transform, in this segment.
    ///
    /// # Memory
    /// What the transform has in hand.
    pub fn transform<T: Transform<In = L::Out>>(
        self,
        name: &str,
        transform: T,
    ) -> Pipeline<H, Then<L, Transforming<T>>> {
        self.link(name, |post| Transforming::new(transform, post))
    }

    /// Cuts here: a queue, and a new segment behind it.
    ///
    /// # Memory
    /// The tank's high-water mark and one item.
    ///
    /// # Panics
    /// If the tank's high-water mark is 0 or its low-water mark is not below
    /// it.
    #[track_caller]
    pub fn tank<M: Measure<L::Out>>(
        mut self,
        tank: Tank<M>,
    ) -> Pipeline<TankHead<L::Out>, Through<L::Out>> {
        let above = self.open.names.last().map_or("", String::as_str);
        let (writable, readable) = tank.build_named(&format!("{above}→"));
        lock(&self.parts.board.tanks).push(writable.gauge());
        let from = self.parts.segments.len();
        let (core, index) = (writable.core().clone(), self.parts.starts.len());
        lock(&self.parts.board.joins).push(Join { from, to: from.saturating_add(1) });
        self.parts.starts.push(Start(Box::new(move |now_ns, relay| {
            core.start_timing(now_ns);
            if let Some(relay) = relay {
                let spot = Spot { pipeline: relay.id(), tank: index };
                let told = move |ended, at_ns| relay.hand_over(index, ended, at_ns);
                core.set_relay(Relayed { spot, told: Box::new(told) });
            }
        })));
        let last = self.parts.board.line.stage_count().saturating_sub(1);
        let post = Post::new(self.parts.board.line.clone(), last, self.open.shift.clone());
        let tail = TankTail::new(writable, self.open.watch.clone(), post, Location::caller());
        self.parts.close(self.head, self.link, tail, self.open);
        let open = OpenSegment::new(&self.parts.board.clock);
        // an error that comes out of the tank is the business of the stage
        // that reads it, whose index is the next
        let post =
            Post::new(self.parts.board.line.clone(), last.saturating_add(1), open.shift.clone());
        Pipeline { head: TankHead(readable, post), link: Through::new(), parts: self.parts, open }
    }

    /// Leaves through a sink and comes back through a source: a child process,
    /// a connection, anything with two sides. A cut without a tank: the queue
    /// lies outside. The two sides are segments of their own, `name→` and
    /// `→name`, and end by themselves: a sink that has enough stops upstream,
    /// and the source goes on.
    ///
    /// # Memory
    /// What the two have in hand.
    pub fn through<K, S>(
        mut self,
        name: &str,
        sink: K,
        source: S,
    ) -> Pipeline<SourceHead<S>, Through<S::Item>>
    where
        K: Sink<In = L::Out>,
        S: Source,
    {
        let post = self.parts.post(&mut self.open, &format!("{name}→"));
        self.parts.board.own_tanks(Side::Writes, sink.writes());
        let held = Held::sink(sink, post);
        let tail = SinkTail::new(held, None, self.open.watch.clone());
        self.parts.close(self.head, self.link, tail, self.open);
        Pipeline::begin_with(&format!("→{name}"), source, self.parts)
    }

    /// Ends in a sink: the pipeline is ready to run.
    pub fn to<K: Sink<In = L::Out>>(mut self, name: &str, sink: K) -> Ready<K::Done> {
        let post = self.parts.post(&mut self.open, name);
        self.parts.board.own_tanks(Side::Writes, sink.writes());
        let done = Arc::new(Mutex::new(None));
        let held = Held::sink(sink, post);
        let tail = SinkTail::new(held, Some(done.clone()), self.open.watch.clone());
        self.parts.close(self.head, self.link, tail, self.open);
        Ready { parts: self.parts, done }
    }
}

impl<H, L> fmt::Debug for Pipeline<H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("open", &self.open.names).finish_non_exhaustive()
    }
}

/// A pipeline from source to sink that has not begun.
#[must_use = "a pipeline does nothing until it is run"]
pub struct Ready<D> {
    parts: Parts,
    done: Arc<Mutex<Option<D>>>,
}

impl<D> Ready<D> {
    /// Watches and steers it, before and while it runs.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.parts.board.clone())
    }

    /// Begins all segments in one task.
    fn begin_alone(parts: Parts) -> (OneTask, Arc<Board>) {
        let (board, now_ns) = Self::begin(&parts);
        for start in parts.starts {
            start.0(now_ns, None);
        }
        let crew = Crew::new(parts.segments, board.line.clone(), now_ns);
        *lock(&board.cores) = Some(1);
        let round = Round::new(crew.len(), &lock(&board.joins), board.book.clone(), now_ns);
        (OneTask::new(crew, round), board)
    }

    /// Begins segments that run each by itself.
    fn begin_each(parts: Parts) -> (Arc<Crew>, Arc<Board>) {
        let (board, now_ns) = Self::begin(&parts);
        let crew = Crew::new(parts.segments, board.line.clone(), now_ns);
        let book = board.book.clone();
        let relay = Relay::new(&crew.at_first(), &lock(&board.joins), book, now_ns);
        crew.set_relay(&relay);
        *lock(&board.relay) = Some(relay.clone());
        for start in parts.starts {
            start.0(now_ns, Some(relay.clone()));
        }
        (Arc::new(crew), board)
    }

    fn begin(parts: &Parts) -> (Arc<Board>, u64) {
        let now_ns = (parts.board.clock)();
        *lock(&parts.board.begun_ns) = Some(now_ns);
        (parts.board.clone(), now_ns)
    }

    /// Runs all segments in the task that awaits this, on any executor.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the pipeline: every stage is destroyed, in
    /// order, before the drop returns.
    ///
    /// # Errors
    /// [`PipelineError`]: the first cause with the stage's name, what followed
    /// from it, and the report.
    pub fn run(self) -> Run<D> {
        let (task, board) = Self::begin_alone(self.parts);
        Run { task, board, done: self.done }
    }

    /// Gives each segment a task of its own, by `spawn`.
    ///
    /// # Cancel safety
    /// Dropping what this returns cancels the pipeline; every stage is
    /// destroyed, those that another thread is polling as soon as it is back.
    ///
    /// # Examples
    /// ```
    /// use futures::executor::{ThreadPool, block_on};
    /// use standpipe::stage::{fold, iter};
    /// use standpipe::{Pipeline, Tank};
    ///
    /// let pool = ThreadPool::new()?;
    /// let running = Pipeline::from("numbers", iter(1..=100_u64))
    ///     .tank(Tank::items(16))
    ///     .to("sum", fold(0, |sum, n| sum + n))
    ///     .spawn_with(|segment| pool.spawn_ok(segment));
    /// assert_eq!(block_on(running)?.done, 5050);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_with(self, mut spawn: impl FnMut(crew::Work)) -> Spawned<D> {
        let (crew, board) = Self::begin_each(self.parts);
        for index in 0..crew.len() {
            spawn(Box::pin(drive::SegmentTask::new(crew.clone(), index)));
        }
        Spawned { crew, board, done: self.done }
    }

    /// Gives each segment a tokio task of its own.
    ///
    /// # Cancel safety
    /// Dropping what this returns cancels the pipeline; every stage is
    /// destroyed, those that another thread is polling as soon as it is back.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn spawn(self) -> Spawned<D> {
        self.spawn_with(|segment| {
            tokio::spawn(segment);
        })
    }

    /// Gives each segment a thread of its own: for stages that compute for
    /// long or block.
    ///
    /// # Cancel safety
    /// Dropping what this returns cancels the pipeline; every stage is
    /// destroyed, those that another thread is polling as soon as it is back.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn threads(self) -> std::io::Result<Spawned<D>> {
        let names: Vec<Arc<str>> =
            lock(&self.parts.board.rows).iter().map(|row| row.name.clone()).collect();
        let (crew, board) = Self::begin_each(self.parts);
        board.on_threads.store(true, Ordering::Relaxed);
        drive::on_threads(&crew, &names)?;
        Ok(Spawned { crew, board, done: self.done })
    }
}

impl<D> fmt::Debug for Ready<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("segments", &self.parts.segments.len())
            .finish_non_exhaustive()
    }
}
