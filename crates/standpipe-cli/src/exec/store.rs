//! How does a tank hold more than the kernel's pipes do?
//!
//! A reader thread fills a tank of the library, a writer thread empties it: so the high-water mark can be anything,
//! there is a low-water mark, and neither side needs to be a pipe. The pipes beside it are kept small and are part
//! of the mark, as are the buffers in both threads' hands.
//!
//! ```text
//! input --> reader --> [ library tank ] --> writer --> output
//! ```
//!
//! A buffer that was filled well goes into the tank as it is and comes back when it is written; what came in a
//! trickle is cut to size, and weighs at least 1 KiB, which is more than its bookkeeping. So the memory is at most
//! the mark, whatever the sizes of the reads.
//!
//! # Knows / never knows
//! Knows the library's tank, two sides and a gauge. Never knows why the kernel does not move the bytes itself.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use standpipe::tank::Batch;
use standpipe::{Cause, Readable, Tank, Writable};

use crate::exec::bucket::{Allowed, Ration};
use crate::exec::copy::Feed;
use crate::exec::gauge::Gauge;
use crate::exec::port::{Kind, Port};
use crate::exec::relay::Outcome;
use crate::exec::stop::{Order, Stop, wait};
use crate::exec::{nanos, now};
use crate::plan::TankPlan;

/// The largest buffer: what a pipe has by itself.
const BUFFER_MOST: u64 = 64 << 10;
/// The least a chunk weighs.
const CHUNK_LEAST: usize = 1024;
/// Buffers that wait for the reader; more are given back to the system.
const SPARE: usize = 4;
/// A parked thread looks at its pipe this often, so that an open wait is counted.
const TICK: Duration = Duration::from_millis(20);

/// What one tank in user memory is made of.
pub(crate) struct Store<'run> {
    pub(crate) from: &'run Feed,
    pub(crate) to: &'run Port,
    pub(crate) gauge: &'run Gauge,
    pub(crate) stop: &'run Stop,
    pub(crate) marks: &'run TankPlan,
}

/// Bytes on their way. The buffer is not longer than the bytes by more than a sixteenth.
struct Chunk {
    buffer: Vec<u8>,
    len: usize,
}

impl Store<'_> {
    /// Moves bytes until the end of data, the end of the reader, an order or an error.
    pub(crate) fn run(&self, ration: Ration) -> Outcome {
        let high = self.marks.high_bytes;
        let buffer_bytes = index((high / 8).clamp(4096, BUFFER_MOST));
        let pipes = self.from.port().map_or(0, Port::capacity) + self.to.capacity();
        let inner =
            index(high.saturating_sub(pipes)).saturating_sub(2 * buffer_bytes).max(buffer_bytes);
        let mut tank = Tank::weighed(inner, |chunk: &Chunk| chunk.len.max(CHUNK_LEAST));
        if let Some(low) = self.marks.low_bytes {
            let part = u128::from(low) * inner as u128 / u128::from(high.max(1));
            tank = tank.low(usize::try_from(part).unwrap_or(inner).min(inner - 1));
        }
        let (writable, readable) = tank.build();
        let (give_back, spare) = sync_channel(SPARE);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let outcome = self.empty(readable, &give_back, buffer_bytes);
                if !matches!(outcome, Outcome::Ended) {
                    // The reader may wait for input that nobody wants any more.
                    self.stop.raise(Order::Abort);
                }
                outcome
            });
            let read = self.fill(writable, &spare, ration, buffer_bytes);
            let wrote = writer
                .join()
                .unwrap_or_else(|_| Outcome::Unwritable(io::Error::other("it panicked")));
            match (read, wrote) {
                // The writer's word is later, but it is the cause: the reader stopped because of it.
                (_, wrote @ (Outcome::ReaderGone | Outcome::Unwritable(_))) => wrote,
                (read, _) => read,
            }
        })
    }

    /// The reader: from the input into the tank.
    fn fill(
        &self,
        writable: Writable<Chunk>,
        spare: &Receiver<Vec<u8>>,
        mut ration: Ration,
        buffer_bytes: usize,
    ) -> Outcome {
        let mut buffer = vec![0; buffer_bytes];
        let outcome = loop {
            let want = match self.allowance(&mut ration, buffer_bytes) {
                Ok(want) => want,
                Err(outcome) => break outcome,
            };
            let got = match self.from.read(&mut buffer[..want]) {
                Ok(0) => break Outcome::Ended,
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.wait_for_input() {
                        Ok(()) => continue,
                        Err(outcome) => break outcome,
                    }
                }
                Err(error) => break Outcome::Unreadable(error),
            };
            ration.spend(got);
            self.gauge.add_in(got as u64);
            let chunk = if got >= buffer_bytes - buffer_bytes / 16 {
                let next = spare.try_recv().unwrap_or_else(|_| vec![0; buffer_bytes]);
                Chunk { buffer: std::mem::replace(&mut buffer, next), len: got }
            } else {
                Chunk { buffer: buffer[..got].to_vec(), len: got }
            };
            let full = |slept: Duration| {
                let full = self.from.port().is_none_or(Port::is_full);
                self.gauge.add_full(if full { nanos(slept) } else { 0 });
                self.gauge.set_shut(true);
            };
            let sent = block_on(writable.send(chunk), full);
            self.gauge.set_shut(false);
            if sent.is_err() {
                // The writer has stopped, and says why.
                break Outcome::Aborted;
            }
        };
        match outcome {
            Outcome::Ended => drop(writable.end()),
            _ => writable.fail_with(Cause::failed("the reader has stopped")),
        }
        outcome
    }

    /// The writer: from the tank to the output.
    fn empty(
        &self,
        mut readable: Readable<Chunk>,
        give_back: &SyncSender<Vec<u8>>,
        buffer_bytes: usize,
    ) -> Outcome {
        let mut batch = Batch::new();
        loop {
            let empty = |slept: Duration| {
                let empty = self.to.level() == 0;
                self.gauge.add_empty(if empty { nanos(slept) } else { 0 });
                self.note_level(0);
            };
            match block_on(readable.next_batch(&mut batch), empty) {
                Ok(true) => {}
                Ok(false) => return Outcome::Ended,
                // The reader has stopped, and says why.
                Err(_) => return Outcome::Aborted,
            }
            self.note_level(readable.level());
            while let Some(chunk) = batch.pop() {
                if let Err(outcome) = self.deliver(&chunk.buffer[..chunk.len]) {
                    return outcome;
                }
                if chunk.buffer.len() == buffer_bytes {
                    // A pool that is full, or a reader that is done, needs no buffer.
                    give_back.try_send(chunk.buffer).ok();
                }
            }
        }
    }

    fn deliver(&self, mut bytes: &[u8]) -> Result<(), Outcome> {
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

    fn note_level(&self, inner: usize) {
        let pipes = self.from.port().map_or(0, Port::level) + self.to.level();
        self.gauge.set_level(pipes + inner as u64);
    }

    /// How much may be read now; waits out the rate limit.
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

    fn wait_for_input(&self) -> Result<(), Outcome> {
        let input =
            self.from.port().map(|port| PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN));
        self.poll(input, None)
    }

    /// Waits for `input`, an order, or the end of the reader.
    fn poll(&self, input: Option<PollFd<'_>>, time: Option<Duration>) -> Result<(), Outcome> {
        let mut on = vec![
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.to.as_fd(), PollFlags::empty()),
        ];
        on.extend(input);
        wait(&mut on, time).map_err(Outcome::Unreadable)?;
        if on[1].revents().intersects(PollFlags::ERR) && self.to.kind() == Kind::Pipe {
            return Err(Outcome::ReaderGone);
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

/// Runs a future on this thread; `slept` hears of each stretch of time that it had to wait.
fn block_on<F: Future>(future: F, mut slept: impl FnMut(Duration)) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut since: Option<Instant> = None;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let from = *since.get_or_insert_with(now);
        thread::park_timeout(TICK);
        let at = now();
        slept(at.saturating_duration_since(from));
        since = Some(at);
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
