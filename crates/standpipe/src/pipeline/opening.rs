//! How does a segment begin?
//!
//! Its stages open, the first one first, and nothing else is asked of them
//! before. Segments do not wait for each other: tanks are there for that.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::pipeline::segment::Watch;
use crate::stage::Source;
use crate::stage::chain::Outlet;
use crate::stage::held::Held;

/// Opens a source; false if a graceful stop came first.
pub(super) async fn open_source<S: Source>(held: &mut Held<S>) -> bool {
    let (source, post) = held.opening();
    let mut open = pin!(source.open());
    let opened = poll_fn(|cx| {
        let guard = post.guard();
        let polled = open.as_mut().poll(cx);
        guard.disarm();
        if polled.is_pending() && post.index() == 0 && post.line().is_draining() {
            return Poll::Ready(None);
        }
        polled.map(Some)
    })
    .await;
    match opened {
        None => false,
        Some(Ok(())) => true,
        Some(Err(error)) => {
            post.fail(error).await;
            false
        }
    }
}

/// Opens the stages behind a tank: that is work, and no wait for input.
pub(super) async fn open_behind<T: Send, O: Outlet<T>>(out: &mut O, watch: &Watch) {
    let mut open = pin!(out.open());
    poll_fn(|cx| {
        let polled = open.as_mut().poll(cx);
        if polled.is_pending() {
            watch.resume();
        }
        polled
    })
    .await;
}
