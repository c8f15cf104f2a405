//! Futures that a test polls by hand, with their wakes counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Counts how often it was woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    /// How often it was woken.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// One future as a task of its own, run by nobody but the test.
pub(crate) struct Hand<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl<F: Future> Hand<F> {
    pub(crate) fn new(future: F) -> Self {
        let wakes = Arc::new(Wakes::default());
        Self { future: Box::pin(future), waker: wakes.clone().into(), wakes }
    }

    /// Polls it once.
    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls it once and expects it to wait.
    #[track_caller]
    pub(crate) fn waits(&mut self) {
        assert!(self.poll().is_pending(), "was ready, should wait");
    }

    /// Polls it once and expects it to be ready.
    #[track_caller]
    pub(crate) fn ready(&mut self) -> F::Output {
        let polled = self.poll();
        assert!(polled.is_ready(), "waits, should be ready");
        match polled {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("asserted"),
        }
    }

    /// How often it was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.count()
    }
}

/// Polls a future once that should be ready at once.
#[track_caller]
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    Hand::new(future).ready()
}
