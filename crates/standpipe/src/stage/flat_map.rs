//! One item into many, by a function that gives an iterator: fused.
//!
//! The iterator is kept while its items find room one by one, so the overshoot
//! is one item, however many it gives.

use std::future::Future;

use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::chain::{Link, Outlet, hands_on, waits_for_each};
use crate::stage::line::Post;

/// A function to an iterator as a link.
pub struct FlatMap<F, T, I> {
    function: F,
    post: Post,
    types: std::marker::PhantomData<fn(T) -> I>,
}

impl<F, T, I> FlatMap<F, T, I> {
    pub(crate) const fn new(function: F, post: Post) -> Self {
        Self { function, post, types: std::marker::PhantomData }
    }
}

impl<F, T, I> Link for FlatMap<F, T, I>
where
    F: FnMut(T) -> I + Send + 'static,
    T: Send + 'static,
    I: IntoIterator<Item: Send + 'static, IntoIter: Send> + 'static,
{
    type In = T;
    type Out = I::Item;
    type On<D: Outlet<I::Item>> = FlatMapOn<F, I, D>;

    fn on<D: Outlet<I::Item>>(self, down: D) -> FlatMapOn<F, I, D> {
        FlatMapOn { function: self.function, post: self.post, down, out: std::marker::PhantomData }
    }
}

/// A function to an iterator in front of what is downstream of it.
pub struct FlatMapOn<F, I, D> {
    function: F,
    post: Post,
    down: D,
    out: std::marker::PhantomData<fn() -> I>,
}

impl<F, T, I, D> Emit<T> for FlatMapOn<F, I, D>
where
    F: FnMut(T) -> I + Send + 'static,
    T: Send + 'static,
    I: IntoIterator<Item: Send + 'static, IntoIter: Send> + 'static,
    D: Outlet<I::Item>,
{
    async fn send(&mut self, item: T) {
        self.feed(item).await;
        self.down.flush().await;
    }

    async fn feed(&mut self, item: T) {
        let guard = self.post.guard();
        let mut items = (self.function)(item).into_iter();
        guard.disarm();
        loop {
            let guard = self.post.guard();
            let Some(item) = items.next() else {
                guard.disarm();
                break;
            };
            guard.disarm();
            match self.down.push(item) {
                Ok(Flow::Ready) => {}
                Ok(Flow::Wait) => self.down.flush().await,
                Err(item) => self.down.feed(item).await,
            }
        }
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.down.flush()
    }
}

impl<F, T, I, D> Outlet<T> for FlatMapOn<F, I, D>
where
    F: FnMut(T) -> I + Send + 'static,
    T: Send + 'static,
    I: IntoIterator<Item: Send + 'static, IntoIter: Send> + 'static,
    D: Outlet<I::Item>,
{
    hands_on!(open, ACTIVE, poll_due, work, in_hand, holds_back, idle, finish);

    // how many it makes is not known
    waits_for_each!(T);
}

impl<F, T, I> std::fmt::Debug for FlatMap<F, T, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FlatMap(..)")
    }
}

impl<F, I, D> std::fmt::Debug for FlatMapOn<F, I, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FlatMapOn(..)")
    }
}
