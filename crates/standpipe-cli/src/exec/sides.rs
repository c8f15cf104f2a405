//! How does a thread of a tank in user memory wait on its one side?
//!
//! A [`Supply`] is the upper side: it reads when there is something, within a limit. A [`Delivery`] is the lower one:
//! it writes all of what it is given. Both are reached by the stop of the tank while they wait, and count nothing
//! that the other side has to count.
//!
//! # Knows / never knows
//! Knows one side and a gauge. Never knows what lies between the two: `exec/store` and `exec/fan` do.

use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use standpipe::{Marks, Writable};

use crate::exec::bucket::{Allowed, Ration};
use crate::exec::copy::Feed;
use crate::exec::gauge::Gauge;
use crate::exec::port::{Kind, Port};
use crate::exec::relay::Outcome;
use crate::exec::stop::{Order, Stop, wait};
use crate::exec::{nanos, now};
use crate::plan::TankPlan;

/// What the library's tank has to be, in a tank that may hold so much in all: the pipes beside it, and a buffer in
/// each hand, are part of that.
pub(crate) struct Shape {
    pub(crate) plan: TankPlan,
    pub(crate) pipes: u64,
    pub(crate) buffer_bytes: usize,
}

impl Shape {
    /// Its marks, high and low, where `high` is that of the whole. The low one is at the same part as in the plan.
    pub(crate) fn marks(&self, high: u64) -> (usize, usize) {
        let inner = index(high.saturating_sub(self.pipes)).saturating_sub(2 * self.buffer_bytes);
        let inner = inner.max(self.buffer_bytes);
        let Some(low) = self.plan.low_bytes else { return (inner, inner / 2) };
        let part = u128::from(low) * inner as u128 / u128::from(self.plan.high_bytes.max(1));
        (inner, usize::try_from(part).unwrap_or(inner).min(inner - 1))
    }

    /// Gives the tank the mark that was asked for, if one was: no less than the pipes hold.
    pub(crate) fn obey<T>(&self, gauge: &Gauge, tank: &Writable<T>) {
        let Some(asked) = gauge.asked_high() else { return };
        let asked = asked.max(self.pipes);
        let (high, low) = self.marks(asked);
        if let Ok(marks) = Marks::new(high, low) {
            tank.set_marks(marks);
            gauge.set_high(asked);
        }
    }
}

/// A parked thread looks at its pipe this often, so that an open wait is counted.
const TICK: Duration = Duration::from_millis(20);

/// Bytes on their way. The buffer is not longer than the bytes by more than a sixteenth.
#[derive(Debug)]
pub(crate) struct Chunk {
    buffer: Vec<u8>,
    len: usize,
}

impl Chunk {
    /// Takes the first `got` bytes of `buffer`, and leaves `spare` in its place if it was filled well.
    pub(crate) fn cut(buffer: &mut Vec<u8>, got: usize, spare: impl FnOnce() -> Vec<u8>) -> Self {
        if got >= buffer.len() - buffer.len() / 16 {
            Self { buffer: std::mem::replace(buffer, spare()), len: got }
        } else {
            Self::from(buffer[..got].to_vec())
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// The buffer, if it is one of this size.
    pub(crate) fn into_buffer(self, bytes: usize) -> Option<Vec<u8>> {
        Some(self.buffer).filter(|buffer| buffer.len() == bytes)
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(buffer: Vec<u8>) -> Self {
        Self { len: buffer.len(), buffer }
    }
}

/// The upper side of a tank.
pub(crate) struct Supply<'run> {
    pub(crate) from: &'run Feed,
    pub(crate) gauge: &'run Gauge,
    pub(crate) stop: &'run Stop,
    /// Whose leaving ends every wait here, too.
    pub(crate) to: Option<&'run Port>,
}

impl Supply<'_> {
    /// Reads once, as much as may be read now. Waits until there is something, and waits out the rate limit.
    ///
    /// # Errors
    /// How the tank ends; the end of data is one.
    pub(crate) fn read(&self, ration: &mut Ration, into: &mut [u8]) -> Result<usize, Outcome> {
        loop {
            let want = self.allowance(ration, into.len())?;
            match self.from.read(&mut into[..want]) {
                Ok(0) => return Err(Outcome::Ended),
                Ok(got) => {
                    ration.spend(got);
                    return Ok(got);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(Outcome::Unreadable(error)),
            }
        }
    }

    /// Whether the writer before the tank has to wait, too.
    pub(crate) fn is_full(&self) -> bool {
        self.from.port().is_none_or(Port::is_full)
    }

    fn allowance(&self, ration: &mut Ration, most: usize) -> Result<usize, Outcome> {
        loop {
            match self.stop.order() {
                Order::Go => {}
                Order::Drain => return Err(Outcome::Ended),
                Order::Abort => return Err(Outcome::Aborted),
            }
            let time = match ration.allow(most, now()) {
                Allowed::Bytes(bytes) => return Ok(bytes),
                Allowed::Nothing => return Err(Outcome::Ended),
                Allowed::After(time) => time,
            };
            let began = now();
            self.poll(None, Some(time))?;
            self.gauge.add_held(nanos(now().saturating_duration_since(began)));
        }
    }

    fn wait(&self) -> Result<(), Outcome> {
        let input =
            self.from.port().map(|port| PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN));
        self.poll(input, None)
    }

    /// Waits for `input`, an order, or the end of the reader.
    fn poll(&self, input: Option<PollFd<'_>>, time: Option<Duration>) -> Result<(), Outcome> {
        let to = self.to.filter(|to| !matches!(to.kind(), Kind::File | Kind::Device | Kind::Null));
        let mut on = vec![PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN)];
        on.extend(to.map(|to| PollFd::from_borrowed_fd(to.as_fd(), PollFlags::empty())));
        on.extend(input);
        wait(&mut on, time).map_err(Outcome::Unreadable)?;
        if let Some(to) = to.filter(|to| to.is_gone(on[1].revents())) {
            return Err(Outcome::of_leaving(to));
        }
        if on[0].revents().intersects(PollFlags::IN) {
            return match self.stop.order() {
                Order::Go => Ok(()),
                Order::Drain => Err(Outcome::Ended),
                Order::Abort => Err(Outcome::Aborted),
            };
        }
        Ok(())
    }
}

/// The lower side of a tank.
pub(crate) struct Delivery<'run> {
    pub(crate) to: &'run Port,
    pub(crate) gauge: &'run Gauge,
    pub(crate) stop: &'run Stop,
}

impl Delivery<'_> {
    /// Writes all of `bytes`, waiting for room as often as needed.
    ///
    /// # Errors
    /// How the tank ends.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> Result<(), Outcome> {
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err(Outcome::Unwritable(io::ErrorKind::WriteZero.into())),
                Ok(wrote) => {
                    bytes = &bytes[wrote..];
                    self.gauge.add_out(wrote as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_room()?,
                Err(error) => return Err(Outcome::of_write(error, self.to)),
            }
        }
        // A file never makes it wait, so it would not hear of an abort.
        match self.stop.order() {
            Order::Abort => Err(Outcome::Aborted),
            _ => Ok(()),
        }
    }

    fn wait_for_room(&self) -> Result<(), Outcome> {
        loop {
            // A drain is no order to the writer, and stays readable: so it is not waited for.
            let draining = self.stop.order() == Order::Drain;
            let mut on = [
                PollFd::from_borrowed_fd(self.to.as_fd(), PollFlags::OUT),
                PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            ];
            let on = if draining { &mut on[..1] } else { &mut on[..] };
            let ready = wait(on, Some(TICK * 5)).map_err(Outcome::Unwritable)?;
            if self.stop.order() == Order::Abort {
                return Err(Outcome::Aborted);
            }
            if ready > 0 && !on[0].revents().is_empty() {
                return Ok(());
            }
        }
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; `slept` hears of each stretch of time that it had to wait, and may end the wait.
pub(crate) fn block_on<F: Future, B>(
    future: F,
    mut slept: impl FnMut(Duration) -> ControlFlow<B>,
) -> ControlFlow<B, F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut since: Option<Instant> = None;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return ControlFlow::Continue(output);
        }
        let from = *since.get_or_insert_with(now);
        thread::park_timeout(TICK);
        let at = now();
        slept(at.saturating_duration_since(from))?;
        since = Some(at);
    }
}

/// The same for a number of bytes that memory can hold.
pub(crate) fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
