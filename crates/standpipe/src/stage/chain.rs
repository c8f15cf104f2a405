//! How stages are joined into a segment at compile time.
//!
//! A segment is built left to right, but a stage must own what lies behind it.
//! So each stage becomes a [`Link`]: a recipe that, given what is downstream,
//! yields an [`Outlet`]. Joining two links is a link, and the whole chain
//! compiles to one state machine: no queue, no allocation per item.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::Transform;
use crate::stage::beside::{Hatch, beside};
use crate::stage::held::Held;
use crate::stage::line::Post;
use crate::tank::Batch;

/// Everything downstream, as the driver of a segment sees it.
///
/// Some stages go on by themselves while nothing comes in: futures in flight,
/// timers. Every wait in a segment gives them their turn, by one rule: whoever
/// waits for something upstream of itself, or of its own, polls
/// [`poll_due`](Self::poll_due) of what is downstream beside it; and such a
/// stage polls itself beside every wait downstream. A stage in front of
/// another hands these calls on (`hands_on!`), and a tail has nothing to say to
/// them (`ends_here!`). None has a default: one that were forgotten would
/// compile, and starve a timer.
pub trait Outlet<T: Send>: Emit<T> + 'static {
    /// Whether something downstream in this segment goes on by itself.
    const ACTIVE: bool;

    /// Opens the stages, before anything else is asked of them.
    fn open(&mut self) -> impl Future<Output = ()> + Send;

    /// Lets what goes on by itself go on, without waiting and with bounded
    /// work. Ready if there is something to hand on: call
    /// [`work`](Self::work). Nothing is lost if it is called late.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Hands on what is due; with nothing due it does nothing. To be run to
    /// its end, and like `feed` it may leave items unseen until a flush.
    fn work(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether items are being worked on downstream in this segment, so that
    /// a wait for input is not idleness.
    fn in_hand(&self) -> bool;

    /// Whether something downstream in this segment may hold items back, so
    /// that it has to be told when the input idles.
    fn holds_back(&self) -> bool;

    /// Items that transforms downstream in this segment have taken since they
    /// last gave anything.
    fn kept_items(&self) -> u64;

    /// Takes all items of a batch that came from a tank. Each stays charged
    /// until what was made of it has found room. Credit comes back while there
    /// is more to do; that of the last ones is left to the driver.
    fn accept(
        &mut self,
        batch: &mut Batch<T>,
        driver: &impl Driver,
    ) -> impl Future<Output = ()> + Send {
        async {
            let late = driver.returns_late();
            while !batch.is_empty() {
                if self.has_room() {
                    if self.put_all(&mut batch.taking(!late)) == Flow::Wait {
                        let mut flush = pin!(self.flush());
                        poll_fn(|cx| {
                            let polled = flush.as_mut().poll(cx);
                            if late && polled.is_pending() && batch.is_due() {
                                // all that was put is visible, and now others run
                                batch.settle(Some(driver.idles_since_ns()));
                            }
                            polled
                        })
                        .await;
                    }
                } else if let Some(item) = batch.take() {
                    self.feed(item).await;
                }
                if batch.is_due() && !batch.is_empty() && !(late && self.has_room()) {
                    batch.settle(Some(driver.now_ns()));
                }
            }
        }
    }

    /// Whether [`put`](Self::put) may be called: an item can be taken without
    /// waiting.
    fn has_room(&self) -> bool;

    /// Takes an item without waiting. Only while there is room.
    fn put(&mut self, item: T) -> Flow;

    /// Puts what an iterator gives while there is room. Only while there is
    /// room.
    #[inline]
    fn put_all(&mut self, items: &mut impl Iterator<Item = T>) -> Flow {
        for item in items {
            if self.put(item) == Flow::Wait {
                return Flow::Wait;
            }
        }
        Flow::Ready
    }

    /// The input idles.
    fn idle(&mut self) -> impl Future<Output = ()> + Send;

    /// The input has ended.
    fn finish(&mut self) -> impl Future<Output = ()> + Send;
}

/// Whoever drives a segment, as its outlets see him.
pub trait Driver: Sync {
    /// Whether credit that comes back before the batch is done, or has to wait,
    /// helps nobody: no other segment can run before, or none would be awake.
    fn returns_late(&self) -> bool;

    /// The clock.
    fn now_ns(&self) -> u64;

    /// When the wait that is open began; else the clock.
    fn idles_since_ns(&self) -> u64;
}

/// The calls of an [`Outlet`] that a stage leaves to `self.down`, an outlet `D`.
macro_rules! hands_on {
    ($($call:ident),*) => { $( hands_on!(@ $call); )* };
    (@ ACTIVE) => {
        const ACTIVE: bool = D::ACTIVE;
    };
    (@ open) => {
        fn open(&mut self) -> impl std::future::Future<Output = ()> + Send {
            self.down.open()
        }
    };
    (@ poll_due) => {
        fn poll_due(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
            self.down.poll_due(cx)
        }
    };
    (@ work) => {
        fn work(&mut self) -> impl std::future::Future<Output = ()> + Send {
            self.down.work()
        }
    };
    (@ in_hand) => {
        fn in_hand(&self) -> bool {
            self.down.in_hand()
        }
    };
    (@ has_room) => {
        #[inline]
        fn has_room(&self) -> bool {
            self.down.has_room()
        }
    };
    (@ holds_back) => {
        fn holds_back(&self) -> bool {
            self.down.holds_back()
        }

        hands_on!(@ kept_items);
    };
    (@ kept_items) => {
        fn kept_items(&self) -> u64 {
            self.down.kept_items()
        }
    };
    (@ idle) => {
        fn idle(&mut self) -> impl std::future::Future<Output = ()> + Send {
            self.down.idle()
        }
    };
    (@ finish) => {
        fn finish(&mut self) -> impl std::future::Future<Output = ()> + Send {
            self.down.finish()
        }
    };
}

/// Says of an [`Outlet`] that it never takes an item without waiting.
macro_rules! waits_for_each {
    ($item:ty) => {
        fn has_room(&self) -> bool {
            false
        }

        fn put(&mut self, item: $item) -> crate::gate::Flow {
            drop(item);
            unreachable!("has no room without waiting")
        }
    };
}

/// How a stage that calls a function for each item pushes, as an [`Emit`].
macro_rules! puts {
    ($item:ty) => {
        #[inline]
        fn push(&mut self, item: $item) -> Result<Flow, $item> {
            if self.has_room() { Ok(self.put(item)) } else { Err(item) }
        }

        #[inline]
        fn push_all(&mut self, items: &mut impl Iterator<Item = $item>) -> Result<Flow, $item> {
            if self.has_room() {
                return Ok(self.put_all(items));
            }
            items.next().map_or(Ok(Flow::Ready), Err)
        }
    };
}

/// Says of an [`Outlet`] that nothing is downstream of it that goes on by
/// itself.
macro_rules! ends_here {
    () => {
        const ACTIVE: bool = false;

        fn poll_due(&mut self, _cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
            std::task::Poll::Pending
        }

        async fn work(&mut self) {}

        fn in_hand(&self) -> bool {
            false
        }

        fn kept_items(&self) -> u64 {
            0
        }
    };
}

pub(crate) use {ends_here, hands_on, puts, waits_for_each};

/// A stage, or several, waiting for what is downstream.
pub trait Link: Send + 'static {
    /// What goes in.
    type In: Send + 'static;
    /// What comes out.
    type Out: Send + 'static;
    /// The stage with what is downstream of it.
    type On<D: Outlet<Self::Out>>: Outlet<Self::In>;

    /// Joins it to what is downstream.
    fn on<D: Outlet<Self::Out>>(self, down: D) -> Self::On<D>;
}

/// No stage at all: what goes in comes out.
#[derive(Debug)]
pub struct Through<T>(std::marker::PhantomData<fn(T) -> T>);

impl<T> Through<T> {
    pub(crate) const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Send + 'static> Link for Through<T> {
    type In = T;
    type Out = T;
    type On<D: Outlet<T>> = D;

    fn on<D: Outlet<T>>(self, down: D) -> D {
        down
    }
}

/// One link after the other.
#[derive(Debug)]
pub struct Then<A, B>(pub(crate) A, pub(crate) B);

impl<A: Link, B: Link<In = A::Out>> Link for Then<A, B> {
    type In = A::In;
    type Out = B::Out;
    type On<D: Outlet<B::Out>> = A::On<B::On<D>>;

    fn on<D: Outlet<B::Out>>(self, down: D) -> Self::On<D> {
        self.0.on(self.1.on(down))
    }
}

/// An async transform as a link.
pub struct Transforming<T>(pub(crate) Held<T>);

impl<T: Transform> Transforming<T> {
    pub(crate) fn new(transform: T, post: Post) -> Self {
        Self(Held::transform(transform, post))
    }
}

impl<T: Transform> Link for Transforming<T> {
    type In = T::In;
    type Out = T::Out;
    type On<D: Outlet<T::Out>> = TransformOn<T, D>;

    fn on<D: Outlet<T::Out>>(self, down: D) -> TransformOn<T, D> {
        TransformOn { held: self.0, down, kept_items: 0 }
    }
}

/// What a transform emits into: whatever it waits for between two items, the
/// item it works on is on its way.
struct InTransform<'a, D>(&'a mut D, &'a Post);

impl<T: Send, D: Outlet<T>> Emit<T> for InTransform<'_, D> {
    async fn send(&mut self, item: T) {
        self.0.send(item).await;
        self.1.shift().set_handing(true);
    }

    async fn feed(&mut self, item: T) {
        self.0.feed(item).await;
        self.1.shift().set_handing(true);
    }

    async fn flush(&mut self) {
        self.0.flush().await;
        self.1.shift().set_handing(true);
    }
}

/// An async transform in front of what is downstream of it.
pub struct TransformOn<T, D> {
    held: Held<T>,
    down: D,
    /// Taken since it last gave anything.
    kept_items: u64,
}

/// What a call emits into, with a note that it did.
struct Noted<'a, E> {
    out: &'a mut E,
    gave: &'a mut bool,
}

impl<T: Send, E: Emit<T>> Emit<T> for Noted<'_, E> {
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        *self.gave = true;
        self.out.send(item)
    }

    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        *self.gave = true;
        self.out.feed(item)
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.out.flush()
    }
}

impl<T: Transform, D: Outlet<T::Out>> Emit<T::In> for TransformOn<T, D> {
    async fn send(&mut self, item: T::In) {
        let (transform, post) = self.held.parts();
        post.shift().set_handing(true);
        let guard = post.guard();
        let mut gave = false;
        let done = if D::ACTIVE {
            let hatch = Hatch::new();
            let mut emit = hatch.emit();
            let mut out = Noted { out: &mut emit, gave: &mut gave };
            let mut call = pin!(transform.transform(item, &mut out));
            let call = |cx: &mut Context<'_>| {
                post.shift().set_handing(true);
                call.as_mut().poll(cx)
            };
            beside(&hatch, &mut self.down, call).await
        } else {
            let out = &mut InTransform(&mut self.down, post);
            transform.transform(item, &mut Noted { out, gave: &mut gave }).await
        };
        if let Err(error) = done {
            post.fail(error).await;
        }
        guard.disarm();
        let nothing_left = gave || !transform.keeps();
        self.kept_items = if nothing_left { 0 } else { self.kept_items.saturating_add(1) };
        // the next call may wait for anything: nothing fed may be left unseen
        self.down.flush().await;
        post.shift().set_handing(false);
    }

    async fn feed(&mut self, item: T::In) {
        self.send(item).await;
    }

    async fn flush(&mut self) {
        self.down.flush().await;
    }
}

impl<T: Transform, D: Outlet<T::Out>> Outlet<T::In> for TransformOn<T, D> {
    hands_on!(ACTIVE, poll_due, work, in_hand);

    waits_for_each!(T::In);

    async fn open(&mut self) {
        let (transform, post) = self.held.opening();
        let guard = post.guard();
        let opened = transform.open().await;
        guard.disarm();
        if let Err(error) = opened {
            post.fail(error).await;
        }
        self.down.open().await;
    }

    fn holds_back(&self) -> bool {
        true
    }

    fn kept_items(&self) -> u64 {
        self.kept_items.saturating_add(self.down.kept_items())
    }

    async fn idle(&mut self) {
        let (transform, post) = self.held.parts();
        let guard = post.guard();
        let mut gave = false;
        let done = if D::ACTIVE {
            let hatch = Hatch::new();
            let mut emit = hatch.emit();
            let mut out = Noted { out: &mut emit, gave: &mut gave };
            let mut call = pin!(transform.idle(&mut out));
            beside(&hatch, &mut self.down, |cx| call.as_mut().poll(cx)).await
        } else {
            transform.idle(&mut Noted { out: &mut self.down, gave: &mut gave }).await
        };
        if let Err(error) = done {
            post.fail(error).await;
        }
        guard.disarm();
        if gave {
            self.kept_items = 0;
        }
        self.down.idle().await;
    }

    async fn finish(&mut self) {
        let (transform, post) = self.held.parts();
        let guard = post.guard();
        let done = if D::ACTIVE {
            let hatch = Hatch::new();
            let mut out = hatch.emit();
            let mut call = pin!(transform.finish(&mut out));
            beside(&hatch, &mut self.down, |cx| call.as_mut().poll(cx)).await
        } else {
            transform.finish(&mut self.down).await
        };
        if let Err(error) = done {
            post.fail(error).await;
        }
        guard.disarm();
        self.held.finished();
        self.down.finish().await;
    }
}

impl<T> std::fmt::Debug for Transforming<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transforming(..)")
    }
}

impl<T, D> std::fmt::Debug for TransformOn<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransformOn(..)")
    }
}
