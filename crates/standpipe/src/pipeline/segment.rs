//! A segment: what runs between two tanks, from its head to its tail.
//!
//! The head brings items, the tail takes them, the fused stages lie between
//! as one chain of outlets. Head and tail are where a segment waits, so here
//! is where time is read and states change.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll};

use crate::error::{Cause, CauseKind, WriteError};
use crate::gate::Flow;
use crate::meter::StageMeter;
use crate::overflow::Overflow;
use crate::pipeline::opening::{open_behind, open_source};
use crate::pipeline::relay::Relay;
use crate::snapshot::{StageState, Tally};
use crate::stage::beside::{Hatch, beside};
use crate::stage::chain::{Outlet, ends_here, waits_for_each};
use crate::stage::held::Held;
use crate::stage::line::Post;
use crate::stage::{Emit, More, Sink, Source};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::tank::queue::Core;
use crate::tank::{Batch, Gauge, Readable, Writable};
use crate::weigh::Scale;

/// Items worked on before a segment that never waits lets others run.
const ITEMS_PER_TURN: usize = 256;
/// The same for a source, in calls of `read`.
const READS_PER_TURN: usize = 64;

/// Nanoseconds from a fixed origin.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a segment reports to: its meter, and the clock that only drivers read.
#[derive(Clone)]
pub struct Watch {
    pub(crate) meter: Arc<StageMeter>,
    pub(crate) clock: Clock,
    /// It is pending only to let others run.
    pub(crate) yielded: Arc<AtomicBool>,
    /// All segments run in one task.
    pub(crate) alone: Arc<AtomicBool>,
    /// When the poll that goes on began, if the segment was pending before.
    pub(super) turn_ns: Arc<AtomicU64>,
    /// Where its path is, if it runs by itself, and which segment it is.
    pub(super) relay: Arc<OnceLock<(Arc<Relay>, usize)>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn new(clock: Clock) -> Self {
        let meter = Arc::new(StageMeter::new());
        let flag = || Arc::new(AtomicBool::new(false));
        Self {
            meter,
            clock,
            yielded: flag(),
            alone: flag(),
            turn_ns: Arc::new(AtomicU64::new(0)),
            relay: Arc::default(),
        }
    }

    /// The segment runs by itself, and this is where its path is.
    pub(crate) fn set_relay(&self, relay: Arc<Relay>, index: usize) {
        self.relay.get_or_init(|| (relay, index));
    }

    pub(crate) fn now_ns(&self) -> u64 {
        (self.clock)()
    }

    /// A wait begins, unless it has begun. `now_ns` is a reading after which
    /// nothing was worked on; else the clock is read.
    fn wait(&self, state: StageState, now_ns: Option<u64>) {
        if !self.meter.is_waiting() {
            let now_ns = now_ns.unwrap_or_else(|| self.now_ns());
            self.meter.enter(state, now_ns);
            if let Some((relay, index)) = self.relay.get() {
                relay.waits(*index, now_ns);
            }
        }
    }

    /// A wait, if one is open, is over. It was over when this poll began:
    /// nothing but polling down to here has happened since.
    pub(crate) fn resume(&self) {
        if self.meter.is_waiting() {
            let (state, now_ns) = (self.meter.state(), self.turn_ns.load(Ordering::Relaxed));
            self.meter.enter(StageState::Busy, now_ns);
            if let Some((relay, index)) = self.relay.get() {
                relay.goes_on(*index, state, now_ns);
            }
        }
    }
}

/// Where a segment's items come from.
pub trait Head: Send + 'static {
    /// What the segment does before its first poll: a source works, whoever
    /// reads a tank waits for it.
    #[doc(hidden)]
    const AT_FIRST: StageState;

    /// What it brings.
    type Item: Send + 'static;

    /// The tank it reads, if it reads one.
    #[doc(hidden)]
    fn gauge(&self) -> Option<Gauge> {
        None
    }

    /// Moves everything into `out`, to the end.
    fn drive<O: Outlet<Self::Item>>(self, out: O, watch: Watch) -> impl Future<Output = ()> + Send;
}

/// Lets others run once.
async fn yield_now(watch: &Watch) {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        watch.yielded.store(true, Ordering::Relaxed);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

// ---- heads -----------------------------------------------------------------

/// A source at the head.
pub struct SourceHead<S>(pub(crate) Held<S>);

impl<S> std::fmt::Debug for SourceHead<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceHead(..)")
    }
}

impl<S: Source> Head for SourceHead<S> {
    const AT_FIRST: StageState = StageState::Busy;

    type Item = S::Item;

    async fn drive<O: Outlet<S::Item>>(mut self, mut out: O, watch: Watch) {
        watch.meter.brings();
        let opened = open_source(&mut self.0).await;
        out.open().await;
        if opened {
            read_all(&mut self.0, &mut out, &watch).await;
        }
        self.0.finished();
        out.finish().await;
    }
}

/// Moves all that a source brings into `out`.
async fn read_all<S: Source, O: Outlet<S::Item>>(held: &mut Held<S>, out: &mut O, watch: &Watch) {
    let mut reads: usize = 0;
    loop {
        let (source, post) = held.parts();
        let more = if O::ACTIVE {
            let hatch = Hatch::new();
            let mut emit = hatch.emit();
            let mut read = pin!(source.read(&mut emit));
            let call = |cx: &mut Context<'_>| {
                let guard = post.guard();
                let polled = read.as_mut().poll(cx);
                guard.disarm();
                if polled.is_pending() && !hatch.is_asked() {
                    reads = 0;
                    if post.index() == 0 && post.line().is_draining() {
                        return Poll::Ready(None);
                    }
                }
                polled.map(Some)
            };
            beside(&hatch, out, call).await
        } else {
            let mut read = pin!(source.read(out));
            poll_fn(|cx| {
                // a graceful stop begins at the first source; one that comes
                // back from outside has more of what was read to bring
                let drains = post.index() == 0 && post.line().is_draining();
                if drains && !post.shift().is_handing() {
                    return Poll::Ready(None);
                }
                let guard = post.guard();
                let polled = read.as_mut().poll(cx);
                guard.disarm();
                if polled.is_pending() {
                    reads = 0;
                }
                polled.map(Some)
            })
            .await
        };
        match more {
            Some(Ok(More::Yes)) => {
                out.flush().await;
                reads = reads.saturating_add(1);
                if reads >= READS_PER_TURN {
                    reads = 0;
                    yield_now(watch).await;
                }
            }
            Some(Ok(More::No)) | None => break,
            Some(Err(error)) => {
                post.fail(error).await;
            }
        }
    }
}

/// What a head that reads a tank does next.
enum Next {
    /// Takes what came in, or the end.
    Input(Result<bool, Cause>),
    /// Tells the stages that the input idles.
    Idle,
    /// Has the stages hand on what became ready without input.
    Due,
}

/// A tank at the head.
#[derive(Debug)]
pub struct TankHead<T>(pub(crate) Readable<T>, pub(crate) Post);

impl<T: Send + 'static> Head for TankHead<T> {
    const AT_FIRST: StageState = StageState::Starved;

    type Item = T;

    fn gauge(&self) -> Option<Gauge> {
        Some(self.0.gauge())
    }

    async fn drive<O: Outlet<T>>(mut self, mut out: O, watch: Watch) {
        let mut batch = Batch::held();
        batch.belong(self.0.core());
        // where all weigh the same nothing can be told of what weight costs
        let weighs = !matches!(self.0.core().scale, Scale::One);
        open_behind(&mut out, &watch).await;
        // `done_ns`: when the last batch was done with, until its credit is returned
        let (mut worked, mut done_ns): (usize, _) = (0, None);
        loop {
            let mut told = !out.holds_back();
            let more = loop {
                let next = poll_fn(|cx| {
                    if O::ACTIVE && out.poll_due(cx).is_ready() {
                        return Poll::Ready(Next::Due);
                    }
                    match self.0.poll_next_batch(cx, &mut batch, done_ns) {
                        Poll::Ready(more) => return Poll::Ready(Next::Input(more)),
                        Poll::Pending if !told => return Poll::Ready(Next::Idle),
                        Poll::Pending if O::ACTIVE && out.in_hand() => {}
                        Poll::Pending => watch.wait(StageState::Starved, done_ns.take()),
                    }
                    Poll::Pending
                })
                .await;
                match next {
                    Next::Input(more) => break more,
                    // before parking: nothing may be held back
                    Next::Idle => {
                        told = true;
                        done_ns = None;
                        out.idle().await;
                        watch.meter.keeps(out.kept_items());
                    }
                    Next::Due => {
                        watch.resume();
                        done_ns = None;
                        out.work().await;
                        told = !out.holds_back();
                    }
                }
            };
            if watch.meter.is_waiting() {
                worked = 0;
                watch.resume();
            }
            match more {
                Ok(true) => {
                    let taken = batch.tally();
                    worked = worked.saturating_add(batch.len());
                    watch.meter.took(taken);
                    out.accept(&mut batch).await;
                    let now_ns = watch.now_ns();
                    if weighs {
                        watch.meter.done_with(taken, now_ns);
                    }
                    if worked >= ITEMS_PER_TURN {
                        worked = 0;
                        batch.settle(Some(now_ns));
                        out.flush().await;
                        yield_now(&watch).await;
                        done_ns = None;
                    } else {
                        done_ns = Some(now_ns);
                    }
                }
                Ok(false) => break,
                Err(cause) => {
                    self.1.halt(cause).await;
                }
            }
        }
        out.finish().await;
    }
}

// ---- tails -----------------------------------------------------------------

/// A tank at the tail.
pub(crate) struct TankTail<T> {
    writable: Option<Writable<T>>,
    /// Fed and not yet visible: never more than the room that the tank had,
    /// plus one item, so that the tank's bound holds with it.
    staged: Batch<T>,
    /// Its weight, if it is weighed.
    staged_weight: usize,
    /// What may be staged before it has to be published.
    room: usize,
    ticket: Option<u64>,
    watch: Watch,
    post: Post,
    /// Whose writes these are, for those past the mark.
    line: &'static Location<'static>,
    way: Way,
}

/// How items go into the tank at a tail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Staged, each of weight 1.
    Count,
    /// Staged and weighed.
    Weigh,
    /// Each by the tank's overflow strategy, which never waits.
    Write,
}

impl<T: Send + 'static> TankTail<T> {
    pub(crate) fn new(
        writable: Writable<T>,
        watch: Watch,
        post: Post,
        line: &'static Location<'static>,
    ) -> Self {
        Self {
            way: match writable.core() {
                core if core.overflow != Overflow::Wait => Way::Write,
                core if matches!(core.scale, Scale::One) => Way::Count,
                _ => Way::Weigh,
            },
            writable: Some(writable),
            staged: Batch::new(),
            staged_weight: 0,
            room: 0,
            ticket: None,
            watch,
            post,
            line,
        }
    }

    fn core(&self) -> Option<&Core<T>> {
        self.writable.as_ref().map(|writable| &**writable.core())
    }

    /// Puts an item behind those that are staged. True if it is time to
    /// publish.
    #[inline]
    fn stage(&mut self, item: T) -> bool {
        if self.way != Way::Count {
            return self.stage_slowly(item);
        }
        self.staged.push(item);
        self.room = self.room.saturating_sub(1);
        self.room == 0
    }

    #[inline(never)]
    fn stage_slowly(&mut self, item: T) -> bool {
        if self.way == Way::Write {
            self.write(item);
            return true;
        }
        let weight = self.core().map_or(0, |core| core.scale.weigh(&item));
        self.staged_weight = self.staged_weight.saturating_add(weight);
        self.staged.push(item);
        self.room = self.room.saturating_sub(weight);
        self.room == 0
    }

    /// A tank that never waits takes each item by its strategy.
    fn write(&self, item: T) {
        let Some(core) = self.core() else { return };
        let weight = core.scale.weigh(&item);
        match core.write(item, self.line) {
            Ok(_) => self.gave(1, weight),
            Err(WriteError::Closed(_, cause)) => self.closed(cause),
            Err(error) => {
                let cause = Cause::with_error(CauseKind::Overflowed, error.to_string());
                self.post.line().halt(cause, Some(self.post.index()));
            }
        }
    }

    fn gave(&self, items: usize, weight: usize) {
        let mut tally = Tally::default();
        tally.add_many(items, weight);
        self.watch.meter.gave(tally);
    }

    /// The tank takes nothing any more.
    fn closed(&self, cause: Cause) {
        if cause.kind() == CauseKind::Stopped {
            // no failure of this stage: whoever stopped it says how the line
            // ends; this segment is over
            self.post.shift().set_enough();
        } else {
            self.post.line().halt(cause, Some(self.post.index()));
        }
    }

    /// Publishes all that is staged, waiting for drains; then waits until the
    /// tank is open, so that no new work begins in front of a shut tank.
    fn poll_publish(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.way == Way::Write {
            // nothing is ever staged; but nothing goes on behind the end
            return if self.post.line().is_over() { Poll::Pending } else { Poll::Ready(()) };
        }
        let Some(writable) = &self.writable else { return Poll::Ready(()) };
        let core = &**writable.core();
        let before = self.staged.len();
        let now_ns = (before > 0 && self.ticket.is_none()).then(|| self.watch.now_ns());
        if let Some(now_ns) = now_ns.filter(|_| self.way == Way::Weigh)
            && self.watch.meter.is_source()
        {
            let mut made = Tally::default();
            made.add_many(before, self.staged_weight);
            self.watch.meter.done_with(made, now_ns);
        }
        let polled = core.poll_publish(cx, &mut self.staged, &mut self.ticket, now_ns);
        let gone = before.saturating_sub(self.staged.len());
        if gone > 0 {
            let mut weight = gone;
            if self.way == Way::Weigh {
                let left = self.staged.iter().map(|item| core.scale.weigh(item)).sum();
                weight = self.staged_weight.saturating_sub(left);
                self.staged_weight = left;
            }
            self.gave(gone, weight);
        }
        match polled {
            Poll::Ready(Ok(room)) => {
                self.post.shift().set_handing(false);
                // whoever reads meanwhile shall not wait for the whole tank;
                // in one task nobody can
                let alone = self.watch.alone.load(Ordering::Relaxed);
                self.room = if alone { room } else { room.min(core.gate().span()) };
                self.watch.resume();
                Poll::Ready(())
            }
            Poll::Ready(Err(cause)) => {
                self.closed(cause);
                Poll::Pending
            }
            Poll::Pending => {
                self.post.shift().set_handing(true);
                self.watch.wait(StageState::Paused, now_ns);
                Poll::Pending
            }
        }
    }

    #[inline]
    fn publishing(&mut self, due: bool) -> Publishing<'_, T> {
        Publishing { tail: due.then_some(self) }
    }
}

/// Waits until what is staged is in the tank and the tank is open; with
/// nothing to publish it is ready.
struct Publishing<'a, T> {
    tail: Option<&'a mut TankTail<T>>,
}

impl<T: Send + 'static> Future for Publishing<'_, T> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.get_mut().tail {
            None => Poll::Ready(()),
            Some(tail) => tail.poll_publish(cx),
        }
    }
}

impl<T: Send + 'static> Emit<T> for TankTail<T> {
    #[inline]
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        self.stage(item);
        self.publishing(true)
    }

    #[inline]
    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        let due = self.stage(item);
        self.publishing(due)
    }

    #[inline]
    fn push(&mut self, item: T) -> Result<Flow, T> {
        if self.has_room() { Ok(self.put(item)) } else { Err(item) }
    }

    fn push_all(&mut self, items: &mut impl Iterator<Item = T>) -> Result<Flow, T> {
        if self.way == Way::Count && self.room > 0 {
            let pushed = self.staged.push_many(self.room, items);
            self.room = self.room.saturating_sub(pushed);
            return Ok(if self.room > 0 { Flow::Ready } else { Flow::Wait });
        }
        for item in items {
            match self.push(item) {
                Ok(Flow::Ready) => {}
                full => return full,
            }
        }
        Ok(Flow::Ready)
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        let due = !self.staged.is_empty() || self.way == Way::Write;
        self.publishing(due)
    }
}

impl<T: Send + 'static> Outlet<T> for TankTail<T> {
    ends_here!();

    async fn open(&mut self) {}

    #[inline]
    fn has_room(&self) -> bool {
        self.room > 0
    }

    #[inline]
    fn put(&mut self, item: T) -> Flow {
        if self.stage(item) { Flow::Wait } else { Flow::Ready }
    }

    fn holds_back(&self) -> bool {
        !self.staged.is_empty()
    }

    async fn idle(&mut self) {
        self.flush().await;
    }

    async fn finish(&mut self) {
        self.flush().await;
        if let Some(writable) = self.writable.take() {
            writable.core().see_time(self.watch.now_ns());
            writable.end();
        }
    }

    fn now_ns(&self) -> Option<u64> {
        Some(self.watch.now_ns())
    }
}

impl<T> Drop for TankTail<T> {
    fn drop(&mut self) {
        let Some(writable) = self.writable.take() else { return };
        if let Some(ticket) = self.ticket.take() {
            writable.core().leave(ticket);
        }
        // what was fed and never became visible is counted with what was
        // written and never read
        writable.core().lose(&mut self.staged);
    }
}

/// A sink at the tail.
pub(crate) struct SinkTail<K: Sink> {
    held: Held<K>,
    batch: Batch<K::In>,
    /// Where the result of the pipeline goes; `None` in the middle of one.
    done: Option<Arc<Mutex<Option<K::Done>>>>,
    watch: Watch,
}

impl<K: Sink> SinkTail<K> {
    pub(crate) fn new(
        held: Held<K>,
        done: Option<Arc<Mutex<Option<K::Done>>>>,
        watch: Watch,
    ) -> Self {
        Self { held, batch: Batch::new(), done, watch }
    }

    /// Writes a batch to its end. What a `write` took is returned when it is
    /// done, if that may open the tank; the rest with the next batch.
    async fn write_all(held: &mut Held<K>, batch: &mut Batch<K::In>, watch: &Watch) -> More {
        while !batch.is_empty() {
            let (sink, post) = held.parts();
            let before = batch.len();
            post.shift().set_handing(true);
            let guard = post.guard();
            let more = sink.write(batch).await;
            guard.disarm();
            post.shift().set_handing(false);
            match more {
                Ok(More::Yes) if batch.len() == before => {
                    let error = "`write` returned without taking an item from its batch";
                    post.halt(Cause::with_error(CauseKind::Misused, error)).await;
                }
                Ok(More::Yes) if !batch.is_empty() && batch.is_due() => {
                    batch.settle(Some(watch.now_ns()));
                }
                Ok(More::Yes) => {}
                Ok(More::No) => return More::No,
                Err(error) => {
                    post.fail(error).await;
                }
            }
        }
        More::Yes
    }

    async fn commit(&mut self) {
        let (sink, post) = self.held.parts();
        let guard = post.guard();
        let done = sink.finish().await;
        guard.disarm();
        match done {
            Ok(done) => {
                let line = post.line().clone();
                self.held.finished();
                if let Some(result) = &self.done {
                    *lock(result) = Some(done);
                    line.complete();
                }
            }
            Err(error) => {
                post.fail(error).await;
            }
        }
    }

    async fn enough(&mut self) {
        self.commit().await;
        self.held.parts().1.shift().set_enough();
        std::future::pending::<()>().await; // the segment is dropped here
    }
}

impl<K: Sink> Emit<K::In> for SinkTail<K> {
    async fn send(&mut self, item: K::In) {
        self.batch.push(item);
        if Self::write_all(&mut self.held, &mut self.batch, &self.watch).await == More::No {
            self.enough().await;
        }
    }

    async fn feed(&mut self, item: K::In) {
        self.send(item).await;
    }

    async fn flush(&mut self) {}
}

impl<K: Sink> Outlet<K::In> for SinkTail<K> {
    ends_here!();

    waits_for_each!(K::In);

    async fn open(&mut self) {
        let (sink, post) = self.held.opening();
        let guard = post.guard();
        let opened = sink.open().await;
        guard.disarm();
        if let Err(error) = opened {
            post.fail(error).await;
        }
    }

    fn holds_back(&self) -> bool {
        false
    }

    async fn accept(&mut self, batch: &mut Batch<K::In>) {
        if Self::write_all(&mut self.held, batch, &self.watch).await == More::No {
            batch.settle(self.now_ns());
            self.enough().await;
        }
    }

    async fn idle(&mut self) {}

    async fn finish(&mut self) {
        self.commit().await;
    }

    fn now_ns(&self) -> Option<u64> {
        Some(self.watch.now_ns())
    }
}
