//! An async function per item, several at a time: in the order of the input,
//! or as they are done.
//!
//! The futures are polled by their segment, in its own task: concurrent, not
//! parallel. They go on while the input idles and while what is downstream
//! has no room.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use crate::error::BoxError;
use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::beside::while_calling;
use crate::stage::chain::{Link, Outlet, hands_on, waits_for_each};
use crate::stage::flight::{Flight, Order};
use crate::stage::line::Post;

/// An async function, as a link.
pub struct Concurrent<F, T, R> {
    function: F,
    most: usize,
    order: Order,
    post: Post,
    types: std::marker::PhantomData<fn(T) -> R>,
}

impl<F, T, R> Concurrent<F, T, R> {
    /// At most `most` at a time.
    pub(crate) const fn new(function: F, most: usize, order: Order, post: Post) -> Self {
        Self { function, most, order, post, types: std::marker::PhantomData }
    }
}

impl<F, T, R, U, E> Link for Concurrent<F, T, R>
where
    F: FnMut(T) -> R + Send + 'static,
    T: Send + 'static,
    R: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    type In = T;
    type Out = U;
    type On<D: Outlet<U>> = ConcurrentOn<F, R, D>;

    fn on<D: Outlet<U>>(self, down: D) -> ConcurrentOn<F, R, D> {
        ConcurrentOn {
            function: self.function,
            most: self.most,
            flight: Flight::new(self.order),
            post: self.post,
            down,
        }
    }
}

/// An async function in front of what is downstream of it.
pub struct ConcurrentOn<F, R: Future, D> {
    function: F,
    most: usize,
    flight: Flight<R>,
    post: Post,
    down: D,
}

/// What to do next.
enum Step {
    /// Hand on a result.
    Result,
    /// Something downstream is due.
    Due,
    /// About to wait: show what was fed.
    Flush,
    /// Few enough are in hand.
    Enough,
}

/// Polls what is in flight, once each.
fn go_on<R: Future>(flight: &mut Flight<R>, post: &Post, cx: &Context<'_>) {
    let guard = post.guard();
    flight.poll(cx);
    guard.disarm();
}

impl<F, R, D> ConcurrentOn<F, R, D>
where
    R: Future + Send,
    R::Output: Send,
{
    fn begin<T>(&mut self, item: T)
    where
        F: FnMut(T) -> R,
    {
        let guard = self.post.guard();
        let future = (self.function)(item);
        guard.disarm();
        self.flight.begin(future);
    }

    /// Hands on what is ready, in order; the rest goes on meanwhile.
    async fn hand_on<U, E>(&mut self)
    where
        R: Future<Output = Result<U, E>>,
        U: Send,
        E: Into<BoxError> + Send,
        D: Outlet<U>,
    {
        let Self { flight, down, post, .. } = self;
        while let Some(result) = flight.take() {
            let item = match result {
                Ok(item) => item,
                Err(error) => match post.fail(error).await {},
            };
            match down.push(item) {
                Ok(Flow::Ready) => {}
                Ok(Flow::Wait) => {
                    while_calling(down.flush(), |cx| go_on(flight, post, cx)).await;
                }
                Err(item) => {
                    while_calling(down.feed(item), |cx| go_on(flight, post, cx)).await;
                }
            }
        }
    }

    /// Hands results on until at most `most` items are in hand.
    async fn until<U, E>(&mut self, most: usize)
    where
        R: Future<Output = Result<U, E>>,
        U: Send,
        E: Into<BoxError> + Send,
        D: Outlet<U>,
    {
        let mut seen = false;
        loop {
            let step = poll_fn(|cx| {
                go_on(&mut self.flight, &self.post, cx);
                if D::ACTIVE && self.down.poll_due(cx).is_ready() {
                    Poll::Ready(Step::Due)
                } else if self.flight.has_result() {
                    Poll::Ready(Step::Result)
                } else if self.flight.len() <= most {
                    Poll::Ready(Step::Enough)
                } else if !seen {
                    Poll::Ready(Step::Flush)
                } else {
                    Poll::Pending
                }
            })
            .await;
            match step {
                Step::Enough => return,
                Step::Result => {
                    self.hand_on().await;
                    seen = false;
                }
                Step::Due => {
                    let Self { flight, down, post, .. } = self;
                    while_calling(down.work(), |cx| go_on(flight, post, cx)).await;
                    seen = false;
                }
                Step::Flush => {
                    self.flush_down().await;
                    seen = true;
                }
            }
        }
    }

    async fn flush_down<U: Send>(&mut self)
    where
        D: Outlet<U>,
    {
        let Self { flight, down, post, .. } = self;
        while_calling(down.flush(), |cx| go_on(flight, post, cx)).await;
    }
}

impl<F, T, R, U, E, D> Emit<T> for ConcurrentOn<F, R, D>
where
    F: FnMut(T) -> R + Send + 'static,
    T: Send + 'static,
    R: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Into<BoxError> + Send + 'static,
    D: Outlet<U>,
{
    async fn send(&mut self, item: T) {
        self.feed(item).await;
        self.flush_down().await;
    }

    async fn feed(&mut self, item: T) {
        self.begin(item); // there is room: the last call waited for it
        self.until(self.most.saturating_sub(1)).await;
    }

    async fn flush(&mut self) {
        self.flush_down().await;
    }
}

impl<F, T, R, U, E, D> Outlet<T> for ConcurrentOn<F, R, D>
where
    F: FnMut(T) -> R + Send + 'static,
    T: Send + 'static,
    R: Future<Output = Result<U, E>> + Send + 'static,
    U: Send + 'static,
    E: Into<BoxError> + Send + 'static,
    D: Outlet<U>,
{
    hands_on!(open, holds_back);

    waits_for_each!(T);

    const ACTIVE: bool = true;

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        go_on(&mut self.flight, &self.post, cx);
        let down = D::ACTIVE && self.down.poll_due(cx).is_ready();
        if down || self.flight.has_result() { Poll::Ready(()) } else { Poll::Pending }
    }

    async fn work(&mut self) {
        self.hand_on().await;
        if D::ACTIVE {
            let Self { flight, down, post, .. } = self;
            while_calling(down.work(), |cx| go_on(flight, post, cx)).await;
        }
    }

    fn in_hand(&self) -> bool {
        self.flight.len() > 0 || self.down.in_hand()
    }

    async fn idle(&mut self) {
        let Self { flight, down, post, .. } = self;
        while_calling(down.idle(), |cx| go_on(flight, post, cx)).await;
    }

    async fn finish(&mut self) {
        self.until(0).await;
        self.down.finish().await;
    }
}

impl<F, T, R> std::fmt::Debug for Concurrent<F, T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Concurrent").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<F, R: Future, D> std::fmt::Debug for ConcurrentOn<F, R, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConcurrentOn").field("in_hand", &self.flight.len()).finish_non_exhaustive()
    }
}
