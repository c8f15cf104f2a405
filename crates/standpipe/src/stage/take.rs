//! Ends the data before the input has ended: after so many items, or at the
//! first that is not wanted. Fused.
//!
//! The stages downstream finish as at the natural end; then the segment is
//! dropped, and upstream is told `Stopped`.

use std::future::pending;

use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::chain::{Link, Outlet, hands_on, puts};
use crate::stage::line::Post;

/// What becomes of an item, and of those after it.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "it goes on or not, and so do those after it")]
pub enum Keep<T> {
    /// It goes on.
    Item(T),
    /// It goes on, and is the last.
    Last(T),
    /// It is dropped, and the data is over.
    Over,
}

/// A function that ends the data, as a link.
pub struct Until<F, T> {
    function: F,
    post: Post,
    over: bool,
    types: std::marker::PhantomData<fn(T) -> T>,
}

impl<F, T> Until<F, T> {
    pub(crate) const fn new(function: F, post: Post) -> Self {
        Self { function, post, over: false, types: std::marker::PhantomData }
    }

    /// It is over before the first item.
    pub(crate) const fn over(mut self, over: bool) -> Self {
        self.over = over;
        self
    }
}

impl<F, T> Link for Until<F, T>
where
    F: FnMut(T) -> Keep<T> + Send + 'static,
    T: Send + 'static,
{
    type In = T;
    type Out = T;
    type On<D: Outlet<T>> = UntilOn<F, D>;

    fn on<D: Outlet<T>>(self, down: D) -> UntilOn<F, D> {
        UntilOn { function: self.function, post: self.post, over: self.over, down }
    }
}

/// A function that ends the data, in front of what is downstream of it.
pub struct UntilOn<F, D> {
    function: F,
    post: Post,
    over: bool,
    down: D,
}

impl<F, D> UntilOn<F, D> {
    /// Decides on an item: what goes on of it.
    #[inline]
    fn call<T>(&mut self, item: T) -> Option<T>
    where
        F: FnMut(T) -> Keep<T>,
    {
        if self.over {
            return None; // a source whose wait was dropped, and which goes on
        }
        match self.post.calls(|| (self.function)(item)) {
            Keep::Item(item) => Some(item),
            Keep::Last(item) => {
                self.close();
                Some(item)
            }
            Keep::Over => {
                self.close();
                None
            }
        }
    }

    fn close(&mut self) {
        self.over = true;
        self.post.shift().set_closing();
    }

    /// Ends the data downstream and has the segment dropped: does not return.
    async fn end<T: Send>(&mut self)
    where
        D: Outlet<T>,
    {
        self.post.shift().set_closing();
        self.down.finish().await;
        self.post.shift().set_enough();
        pending::<()>().await;
    }
}

impl<F, T, D> Emit<T> for UntilOn<F, D>
where
    F: FnMut(T) -> Keep<T> + Send + 'static,
    T: Send + 'static,
    D: Outlet<T>,
{
    async fn send(&mut self, item: T) {
        if let Some(item) = self.call(item) {
            self.down.send(item).await;
        }
        if self.over {
            self.end().await;
        }
    }

    async fn feed(&mut self, item: T) {
        if let Some(item) = self.call(item) {
            self.down.feed(item).await;
        }
        if self.over {
            self.end().await;
        }
    }

    puts!(T);

    async fn flush(&mut self) {
        if self.over {
            self.end().await;
        } else {
            self.down.flush().await;
        }
    }
}

impl<F, T, D> Outlet<T> for UntilOn<F, D>
where
    F: FnMut(T) -> Keep<T> + Send + 'static,
    T: Send + 'static,
    D: Outlet<T>,
{
    hands_on!(open, ACTIVE, poll_due, work, in_hand, finish);

    #[inline]
    fn has_room(&self) -> bool {
        !self.over && self.down.has_room()
    }

    #[inline]
    fn put(&mut self, item: T) -> Flow {
        let flow = match self.call(item) {
            Some(item) => self.down.put(item),
            None => Flow::Ready,
        };
        if self.over { Flow::Wait } else { flow } // the flush ends it
    }

    hands_on!(kept_items);

    fn holds_back(&self) -> bool {
        self.over || self.down.holds_back()
    }

    async fn idle(&mut self) {
        if self.over {
            self.end().await;
        } else {
            self.down.idle().await;
        }
    }
}

impl<F, T> std::fmt::Debug for Until<F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Until(..)")
    }
}

impl<F, D> std::fmt::Debug for UntilOn<F, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UntilOn(..)")
    }
}
