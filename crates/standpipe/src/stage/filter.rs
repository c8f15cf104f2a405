//! One item into one or none, by a function: fused.

use std::future::Future;

use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::chain::{Link, Outlet, hands_on, puts};
use crate::stage::line::Post;

/// A function as a link.
pub struct FilterMap<F, T, U> {
    function: F,
    post: Post,
    types: std::marker::PhantomData<fn(T) -> U>,
}

impl<F, T, U> FilterMap<F, T, U> {
    pub(crate) const fn new(function: F, post: Post) -> Self {
        Self { function, post, types: std::marker::PhantomData }
    }
}

impl<F, T, U> Link for FilterMap<F, T, U>
where
    F: FnMut(T) -> Option<U> + Send + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    type In = T;
    type Out = U;
    type On<D: Outlet<U>> = FilterMapOn<F, U, D>;

    fn on<D: Outlet<U>>(self, down: D) -> FilterMapOn<F, U, D> {
        FilterMapOn {
            function: self.function,
            post: self.post,
            down,
            out: std::marker::PhantomData,
        }
    }
}

/// A function in front of what is downstream of it.
pub struct FilterMapOn<F, U, D> {
    function: F,
    post: Post,
    down: D,
    out: std::marker::PhantomData<fn() -> U>,
}

impl<F, U, D> FilterMapOn<F, U, D> {
    #[inline]
    fn call<T>(&mut self, item: T) -> Option<U>
    where
        F: FnMut(T) -> Option<U>,
    {
        self.post.calls(|| (self.function)(item))
    }
}

impl<F, T, U, D> Emit<T> for FilterMapOn<F, U, D>
where
    F: FnMut(T) -> Option<U> + Send + 'static,
    T: Send + 'static,
    U: Send + 'static,
    D: Outlet<U>,
{
    #[inline]
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        let item = self.call(item);
        async move {
            if let Some(item) = item {
                self.down.send(item).await;
            }
        }
    }

    #[inline]
    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        let item = self.call(item);
        async move {
            if let Some(item) = item {
                self.down.feed(item).await;
            }
        }
    }

    puts!(T);

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.down.flush()
    }
}

impl<F, T, U, D> Outlet<T> for FilterMapOn<F, U, D>
where
    F: FnMut(T) -> Option<U> + Send + 'static,
    T: Send + 'static,
    U: Send + 'static,
    D: Outlet<U>,
{
    hands_on!(open, ACTIVE, poll_due, work, in_hand, has_room, holds_back, idle, finish);

    #[inline]
    fn put(&mut self, item: T) -> Flow {
        match self.call(item) {
            Some(item) => self.down.put(item),
            None => Flow::Ready,
        }
    }

    #[inline]
    fn put_all(&mut self, items: &mut impl Iterator<Item = T>) -> Flow {
        let Self { function, post, down, .. } = self;
        down.put_all(&mut items.filter_map(post.each(function)))
    }
}

impl<F, T, U> std::fmt::Debug for FilterMap<F, T, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilterMap(..)")
    }
}

impl<F, U, D> std::fmt::Debug for FilterMapOn<F, U, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilterMapOn(..)")
    }
}
