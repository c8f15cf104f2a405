//! Where a segment's items go: into a tank, or to a sink.
//!
//! A tail in front of a tank gathers what it is given and publishes it under
//! one lock, and waits while the tank is shut. One in front of a sink hands on
//! each item, or a whole batch that came from a tank.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Cause, CauseKind, WriteError};
use crate::gate::Flow;
use crate::overflow::Overflow;
use crate::pipeline::pace::Pace;
use crate::pipeline::segment::Watch;
use crate::snapshot::{StageState, Tally};
use crate::stage::chain::{Driver, Outlet, ends_here, puts};
use crate::stage::held::Held;
use crate::stage::line::Post;
use crate::stage::{Emit, More, Sink};
use crate::sync::{Arc, Mutex, Ordering, lock};
use crate::tank::entry::{Known, Load};
use crate::tank::exit::InHand;
use crate::tank::queue::Core;
use crate::tank::{Batch, Writable};
use crate::weigh::Scale;

/// A tank at the tail.
pub(crate) struct TankTail<T> {
    writable: Option<Writable<T>>,
    /// Fed and not yet visible: never more than the room that the tank had,
    /// plus one item, so that the tank's bound holds with it.
    staged: Batch<T>,
    /// Its weight, if it is weighed.
    load: Load,
    /// What may be staged before it has to be published.
    room: usize,
    pace: Pace,
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
            load: Load::NONE,
            room: 0,
            pace: Pace::default(),
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
        self.load.add(weight);
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
        let turn_ns = self.watch.turn_ns.load(Ordering::Relaxed);
        if let Some(now_ns) = now_ns {
            let weight = if self.way == Way::Weigh { self.load.weight } else { before };
            self.pace.gathered(weight, turn_ns, now_ns);
            if self.way == Way::Weigh && self.watch.meter.is_source() {
                let mut made = Tally::default();
                made.add_many(before, weight);
                self.watch.meter.done_with(made, now_ns);
            }
        }
        let known = Known { load: (self.way == Way::Weigh).then_some(self.load), now_ns };
        let polled = core.poll_publish(cx, &mut self.staged, &mut self.ticket, known);
        let gone = before.saturating_sub(self.staged.len());
        if gone > 0 {
            let mut weight = gone;
            if self.way == Way::Weigh {
                let all = std::mem::replace(&mut self.load, Load::NONE);
                for item in self.staged.iter() {
                    self.load.add(core.scale.weigh(item));
                }
                weight = all.weight.saturating_sub(self.load.weight);
            }
            self.gave(gone, weight);
        }
        match polled {
            Poll::Ready(Ok(gate)) => {
                self.post.shift().set_handing(false);
                // in one task nobody can read meanwhile
                let alone = self.watch.alone.load(Ordering::Relaxed);
                self.room = if alone { gate.room() } else { self.pace.next(&gate) };
                self.pace.goes_on(now_ns.unwrap_or(turn_ns));
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

    puts!(T);

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

    fn put_all(&mut self, items: &mut impl Iterator<Item = T>) -> Flow {
        if self.way == Way::Count {
            let pushed = self.staged.push_many(self.room, items);
            self.room = self.room.saturating_sub(pushed);
            return if self.room > 0 { Flow::Ready } else { Flow::Wait };
        }
        // one that writes by a strategy never has room, so these are weighed
        let Some(writable) = &self.writable else { return Flow::Wait };
        let scale = &writable.core().scale;
        for item in items {
            let weight = scale.weigh(&item);
            self.load.add(weight);
            self.staged.push(item);
            self.room = self.room.saturating_sub(weight);
            if self.room == 0 {
                return Flow::Wait;
            }
        }
        Flow::Ready
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
}

impl<T> Drop for TankTail<T> {
    fn drop(&mut self) {
        let Some(writable) = self.writable.take() else { return };
        if let Some(ticket) = self.ticket.take() {
            writable.core().leave(ticket);
        }
        // what was fed and never became visible is counted with what was
        // written and never read
        let items = self.staged.len();
        let weight = if self.way == Way::Weigh { self.load.weight } else { items };
        writable.core().lose(InHand { items, weight });
    }
}

/// A sink at the tail.
pub(crate) struct SinkTail<K: Sink> {
    held: Held<K>,
    batch: Batch<K::In>,
    /// It took its last item, or failed at it: the next flush says so.
    over: Option<Result<(), K::Error>>,
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
        Self { held, batch: Batch::new(), over: None, done, watch }
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

    /// It takes no more: the flush that has to follow says why.
    #[cold]
    fn ends(&mut self, over: Result<(), K::Error>) -> Flow {
        self.over = Some(over);
        Flow::Wait
    }

    async fn enough(&mut self) {
        self.commit().await;
        self.held.parts().1.shift().set_enough();
        std::future::pending::<()>().await; // the segment is dropped here
    }
}

impl<K: Sink> Emit<K::In> for SinkTail<K> {
    async fn send(&mut self, item: K::In) {
        if self.has_room() {
            if self.put(item) == Flow::Wait {
                self.flush().await;
            }
            return;
        }
        self.batch.push(item);
        if Self::write_all(&mut self.held, &mut self.batch, &self.watch).await == More::No {
            self.enough().await;
        }
    }

    async fn feed(&mut self, item: K::In) {
        self.send(item).await;
    }

    puts!(K::In);

    async fn flush(&mut self) {
        match self.over.take() {
            None => {}
            Some(Ok(())) => self.enough().await,
            Some(Err(error)) => {
                self.held.parts().1.fail(error).await;
            }
        }
    }
}

impl<K: Sink> Outlet<K::In> for SinkTail<K> {
    ends_here!();

    #[inline]
    fn has_room(&self) -> bool {
        K::AT_ONCE && self.over.is_none()
    }

    #[inline]
    fn put(&mut self, item: K::In) -> Flow {
        self.put_all(&mut std::iter::once(item))
    }

    #[inline]
    fn put_all(&mut self, items: &mut impl Iterator<Item = K::In>) -> Flow {
        let (sink, post) = self.held.parts();
        match post.calls(|| sink.take_all(items)) {
            Ok(More::Yes) => Flow::Ready,
            Ok(More::No) => self.ends(Ok(())),
            Err(error) => self.ends(Err(error)),
        }
    }

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

    async fn accept(&mut self, batch: &mut Batch<K::In>, driver: &impl Driver) {
        if Self::write_all(&mut self.held, batch, &self.watch).await == More::No {
            batch.settle(Some(driver.now_ns()));
            self.enough().await;
        }
    }

    async fn idle(&mut self) {}

    async fn finish(&mut self) {
        self.commit().await;
    }
}
