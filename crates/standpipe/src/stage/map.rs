//! One item into one other, by a function: fused.

use std::future::Future;

use crate::gate::Flow;
use crate::stage::Emit;
use crate::stage::chain::{Link, Outlet, hands_on, puts};
use crate::stage::line::Post;

/// A function as a link.
pub struct Map<F, T, U> {
    function: F,
    post: Post,
    types: std::marker::PhantomData<fn(T) -> U>,
}

impl<F, T, U> Map<F, T, U> {
    pub(crate) const fn new(function: F, post: Post) -> Self {
        Self { function, post, types: std::marker::PhantomData }
    }
}

impl<F, T, U> Link for Map<F, T, U>
where
    F: FnMut(T) -> U + Send + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    type In = T;
    type Out = U;
    type On<D: Outlet<U>> = MapOn<F, U, D>;

    fn on<D: Outlet<U>>(self, down: D) -> MapOn<F, U, D> {
        MapOn { function: self.function, post: self.post, down, out: std::marker::PhantomData }
    }
}

/// A function in front of what is downstream of it.
pub struct MapOn<F, U, D> {
    function: F,
    post: Post,
    down: D,
    out: std::marker::PhantomData<fn() -> U>,
}

impl<F, U, D> MapOn<F, U, D> {
    #[inline]
    fn call<T>(&mut self, item: T) -> U
    where
        F: FnMut(T) -> U,
    {
        self.post.calls(|| (self.function)(item))
    }
}

impl<F, T, U, D> Emit<T> for MapOn<F, U, D>
where
    F: FnMut(T) -> U + Send + 'static,
    T: Send + 'static,
    U: Send + 'static,
    D: Outlet<U>,
{
    #[inline]
    fn send(&mut self, item: T) -> impl Future<Output = ()> + Send {
        let item = self.call(item);
        self.down.send(item)
    }

    #[inline]
    fn feed(&mut self, item: T) -> impl Future<Output = ()> + Send {
        let item = self.call(item);
        self.down.feed(item)
    }

    puts!(T);

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.down.flush()
    }
}

impl<F, T, U, D> Outlet<T> for MapOn<F, U, D>
where
    F: FnMut(T) -> U + Send + 'static,
    T: Send + 'static,
    U: Send + 'static,
    D: Outlet<U>,
{
    hands_on!(open, ACTIVE, poll_due, work, in_hand, has_room, holds_back, idle, finish);

    #[inline]
    fn put(&mut self, item: T) -> Flow {
        let item = self.call(item);
        self.down.put(item)
    }

    #[inline]
    fn put_all(&mut self, items: &mut impl Iterator<Item = T>) -> Flow {
        let Self { function, post, down, .. } = self;
        down.put_all(&mut items.map(post.each(function)))
    }
}

impl<F, T, U> std::fmt::Debug for Map<F, T, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Map(..)")
    }
}

impl<F, U, D> std::fmt::Debug for MapOn<F, U, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MapOn(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::any::type_name_of_val;
    use std::iter;

    use super::*;
    use crate::stage::chain::ends_here;
    use crate::stage::filter::FilterMap;
    use crate::stage::line::Line;
    use crate::sync::Arc;

    /// Takes note of what the iterator is called that is put into it.
    struct Probe(Arc<std::sync::Mutex<usize>>);

    impl Emit<u32> for Probe {
        async fn send(&mut self, _item: u32) {}
        async fn feed(&mut self, _item: u32) {}
        async fn flush(&mut self) {}
        puts!(u32);
    }

    impl Outlet<u32> for Probe {
        ends_here!();
        async fn open(&mut self) {}
        fn has_room(&self) -> bool {
            true
        }
        fn put(&mut self, _item: u32) -> Flow {
            Flow::Ready
        }
        fn put_all(&mut self, items: &mut impl Iterator<Item = u32>) -> Flow {
            *self.0.lock().unwrap() = type_name_of_val(items).len();
            Flow::Ready
        }
        fn holds_back(&self) -> bool {
            false
        }
        async fn idle(&mut self) {}
        async fn finish(&mut self) {}
    }

    fn post() -> Post {
        Post::new(Arc::new(Line::new()), 0, Arc::default())
    }

    fn same(n: u32) -> u32 {
        n
    }

    /// A map and a filter in front of it.
    fn two<D: Outlet<u32>>(down: D) -> impl Outlet<u32> {
        let map = Map::new(same as fn(u32) -> u32, post()).on(down);
        FilterMap::new(Some as fn(u32) -> Option<u32>, post()).on(map)
    }

    /// The name of a closure names the types of the function it is written in.
    /// Where that was the one that is given the iterator, each fused stage named
    /// all before it twice: names doubled with each.
    #[test]
    fn the_names_of_fused_stages_do_not_double() {
        let length = Arc::new(std::sync::Mutex::new(0));
        let probe = || Probe(length.clone());
        let put = |mut outlet: Box<dyn FnMut() -> Flow>| {
            assert_eq!(outlet(), Flow::Ready);
            *length.lock().unwrap()
        };
        let mut twice = two(probe());
        let mut four = two(two(probe()));
        let mut six = two(two(two(probe())));
        let names = [
            put(Box::new(move || twice.put_all(&mut iter::once(1)))),
            put(Box::new(move || four.put_all(&mut iter::once(1)))),
            put(Box::new(move || six.put_all(&mut iter::once(1)))),
        ];
        let [first, second] = [names[1] - names[0], names[2] - names[1]];
        assert!(second <= first + first / 4, "{names:?}");
    }
}
