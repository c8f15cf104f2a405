//! Where a segment's items come from: a source, or a tank.
//!
//! A head asks for items, hands them to the stages behind it, and waits when
//! there are none. What came from a tank stays charged there until it is done
//! with; when its credit goes back is decided here.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use crate::error::Cause;
use crate::pipeline::opening::{open_behind, open_source};
use crate::pipeline::pace::is_quick;
use crate::pipeline::segment::{Head, Watch};
use crate::snapshot::StageState;
use crate::stage::beside::{Hatch, beside};
use crate::stage::chain::{Driver, Outlet};
use crate::stage::held::Held;
use crate::stage::line::Post;
use crate::stage::{More, Source};
use crate::sync::Ordering;
use crate::tank::{Batch, Gauge, Readable};
use crate::weigh::Scale;

/// After so many items a segment that never waits lets others run, as soon as
/// it is done with a batch: at most a tank more.
const ITEMS_PER_TURN: usize = 256;
/// The same for a source, in calls of `read`.
const READS_PER_TURN: usize = 64;

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

    #[expect(clippy::manual_async_fn, reason = "an `async fn` holds its arguments twice")]
    fn drive<O: Outlet<S::Item>>(
        mut self,
        mut out: O,
        watch: Watch,
    ) -> impl Future<Output = ()> + Send {
        async move {
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
}

/// Moves all that a source brings into `out`.
async fn read_all<S: Source, O: Outlet<S::Item>>(held: &mut Held<S>, out: &mut O, watch: &Watch) {
    let mut reads: usize = 0;
    loop {
        let (source, post) = held.parts();
        // a graceful stop begins at the first source; one that comes back from
        // outside has more of what was read to bring
        let drains = || post.index() == 0 && post.line().is_draining();
        let more = if drains() {
            None
        } else if O::ACTIVE {
            let hatch = Hatch::new();
            let mut emit = hatch.emit();
            let mut read = pin!(source.read(&mut emit));
            let call = |cx: &mut Context<'_>| {
                let guard = post.guard();
                let polled = read.as_mut().poll(cx);
                guard.disarm();
                if polled.is_pending() && !hatch.is_asked() {
                    reads = 0;
                    if drains() {
                        return Poll::Ready(None);
                    }
                }
                polled.map(Some)
            };
            beside(&hatch, out, call).await
        } else {
            let mut read = pin!(source.read(out));
            poll_fn(|cx| {
                if drains() && !post.shift().is_handing() {
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

    #[expect(clippy::manual_async_fn, reason = "an `async fn` holds its arguments twice")]
    fn drive<O: Outlet<T>>(mut self, mut out: O, watch: Watch) -> impl Future<Output = ()> + Send {
        async move {
            let mut batch = Batch::held();
            batch.belong(self.0.core());
            let weighs = !matches!(self.0.core().scale, Scale::One);
            open_behind(&mut out, &watch).await;
            // `done_ns`: when the last batch was done with, until its credit is returned
            let (mut worked, mut done_ns): (usize, _) = (0, None);
            let mut driver = TankDriver { watch: &watch, weighs, quick: false };
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
                            batch.settle(done_ns.take());
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
                        worked = worked.saturating_add(batch.len());
                        let now_ns = driver.hand_over(&mut batch, &mut out, done_ns).await;
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
}

/// Whoever drives a segment behind a tank.
struct TankDriver<'a> {
    watch: &'a Watch,
    /// Items differ in weight, so it can be told what weight costs.
    weighs: bool,
    /// The last batch was done with in less time than a thread takes to wake.
    quick: bool,
}

impl TankDriver<'_> {
    /// Has the stages take a batch; says when they were done with it. The one
    /// before was done at `done_ns`, if nothing was waited for since.
    async fn hand_over<T: Send, O: Outlet<T>>(
        &mut self,
        batch: &mut Batch<T>,
        out: &mut O,
        done_ns: Option<u64>,
    ) -> u64 {
        let taken = batch.tally();
        self.watch.meter.took(taken);
        let begun_ns = done_ns.unwrap_or_else(|| self.watch.turn_ns.load(Ordering::Relaxed));
        out.accept(batch, self).await;
        let now_ns = self.watch.now_ns();
        self.quick = is_quick(now_ns.saturating_sub(begun_ns));
        if self.weighs {
            self.watch.meter.done_with(taken, now_ns);
        }
        now_ns
    }
}

impl Driver for TankDriver<'_> {
    fn returns_late(&self) -> bool {
        self.quick || self.watch.alone.load(Ordering::Relaxed)
    }

    fn now_ns(&self) -> u64 {
        self.watch.now_ns()
    }

    fn idles_since_ns(&self) -> u64 {
        let meter = &self.watch.meter;
        if meter.is_waiting() { meter.since_ns() } else { self.now_ns() }
    }
}
