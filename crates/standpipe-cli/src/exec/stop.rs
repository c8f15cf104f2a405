//! How is a thread that waits for bytes told to stop?
//!
//! A waiting thread can only be reached through a descriptor, so a stop is a level in memory plus an eventfd that
//! becomes readable when the level rises. Each pump has its own: a drain stops the source alone, an abort all.
//!
//! # Knows / never knows
//! Knows eventfds and poll. Never knows who stops or why: the supervisor decides, the pump obeys.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// What a pump was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Go on.
    Go,
    /// Read no more, deliver what is in hand, pass the end of data on.
    Drain,
    /// Let go of both sides at once.
    Abort,
}

/// A bell: something happened, look around. Ringing twice before anyone looks is one ring.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// Makes a silent bell.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Rings; never blocks. A counter that is full is a bell that rings already.
    pub(crate) fn ring(&self) {
        let rung = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        debug_assert!(matches!(rung, Ok(8) | Err(Errno::AGAIN)), "an eventfd takes a counter");
    }

    /// Silences the bell; true if it rang.
    pub(crate) fn hush(&self) -> bool {
        let mut count = [0_u8; 8];
        rustix::io::read(&self.0, &mut count).is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The handle by which one pump is stopped; clones reach the same pump.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<(AtomicU8, Bell)>);

impl Stop {
    /// Makes a handle that says go.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new((AtomicU8::new(0), Bell::new()?))))
    }

    /// Raises the order; it never sinks again.
    pub(crate) fn raise(&self, order: Order) {
        self.0.0.fetch_max(order as u8, Ordering::AcqRel);
        self.0.1.ring();
    }

    /// The order as it stands.
    pub(crate) fn order(&self) -> Order {
        match self.0.0.load(Ordering::Acquire) {
            0 => Order::Go,
            1 => Order::Drain,
            _ => Order::Abort,
        }
    }

    /// Takes note of a ring, so that the next wait does not end at once for the same order.
    pub(crate) fn heed(&self) -> Order {
        self.0.1.hush();
        self.order()
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.1.as_fd()
    }
}

/// Polls, and polls again if a signal came between; `None` waits for ever.
pub(crate) fn wait(on: &mut [PollFd<'_>], timeout: Option<Duration>) -> std::io::Result<usize> {
    let limit = timeout.map(|time| Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    loop {
        match poll(on, limit.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}

/// Says whether `fd` is ready for `events` right now.
pub(crate) fn ready(fd: BorrowedFd<'_>, events: PollFlags) -> bool {
    let mut on = [PollFd::from_borrowed_fd(fd, events)];
    matches!(wait(&mut on, Some(Duration::ZERO)), Ok(n) if n > 0)
}

/// Says whether nobody reads the far side of `fd` any more.
pub(crate) fn reader_gone(fd: BorrowedFd<'_>) -> bool {
    let mut on = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    matches!(wait(&mut on, Some(Duration::ZERO)), Ok(n) if n > 0)
        && on[0].revents().intersects(PollFlags::ERR)
}
