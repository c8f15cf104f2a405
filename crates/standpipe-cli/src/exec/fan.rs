//! How do the same bytes get to several ends?
//!
//! One thread reads, and puts each chunk into a tank per branch; a thread per branch empties that to its end. A chunk
//! is there once, however many branches hold it. The reader goes on when every branch has taken the last chunk, so
//! the slowest one paces all, unless its tank is one that drops or fails instead.
//!
//! ```text
//!                      /-> [ tank 2>3 ] --> writer --> end 3
//! input --> reader ---<
//!                      \-> [ tank 2>4 ] --> writer --> end 4
//! ```
//!
//! What is dropped are whole lines, so that what the branch gets are whole lines, too. A line that is longer than a
//! buffer counts as several.
//!
//! # Knows / never knows
//! Knows one side above, several below, and their gauges. Never knows what the ends are, nor what becomes of the
//! others when one fails: `exec/line` and `exit` do.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use standpipe::tank::Batch;
use standpipe::{Cause, Overflow, Readable, Tank, Writable, WriteError};

use crate::args::Full;
use crate::exec::bucket::Ration;
use crate::exec::copy::Feed;
use crate::exec::gauge::{Gauge, Path};
use crate::exec::port::{Kind, Port};
use crate::exec::relay::{Outcome, Pumped, cut_short};
use crate::exec::sides::{Chunk, Delivery, Shape, Supply, block_on, index};
use crate::exec::stop::{Bell, Order, Stop, reader_gone};
use crate::exec::{nanos, now};
use crate::plan::TankPlan;

/// The largest buffer: what a pipe has by itself.
const BUFFER_MOST: u64 = 64 << 10;
/// What a chunk weighs besides its bytes: more than its bookkeeping.
const CHUNK_EXTRA: usize = 256;
/// Buffers that wait for the reader; more are given back to the system.
const SPARE: usize = 4;

/// What several tanks behind one stage share.
#[derive(Debug)]
pub(crate) struct Fan {
    /// Where the bytes come from.
    pub(crate) from: Feed,
    /// How many bytes to move, and how fast.
    pub(crate) ration: Ration,
    /// How all of them are stopped: the run does not outlive one branch that failed.
    pub(crate) stop: Stop,
    /// When the run began.
    pub(crate) start: Instant,
}

/// One tank of them, and where it leads.
#[derive(Debug)]
pub(crate) struct Branch {
    /// Where the bytes go.
    pub(crate) to: Port,
    /// Its counters.
    pub(crate) gauge: Arc<Gauge>,
    /// Its marks.
    pub(crate) marks: TankPlan,
}

impl Fan {
    /// Starts to move bytes: a thread for each branch, which ends with its last byte, and one that reads. `bell`
    /// rings when one of them has ended.
    ///
    /// # Errors
    /// Those of the system; what was started by then ends by itself.
    pub(crate) fn start(
        self,
        branches: Vec<Branch>,
        bell: &Arc<Bell>,
    ) -> io::Result<Vec<JoinHandle<Pumped>>> {
        let least = branches.iter().map(|branch| branch.marks.high_bytes).min().unwrap_or(0);
        let buffer_bytes = index((least / 8).clamp(4096, BUFFER_MOST));
        let above = self.from.port().map_or(0, Port::capacity);
        let fault = Arc::default();
        let (give_back, spare) = sync_channel(SPARE);
        let (mut inlets, mut threads) = (Vec::new(), Vec::new());
        for (at, Branch { to, gauge, marks }) in branches.into_iter().enumerate() {
            // The input pipe is there once.
            let pipes = to.capacity() + if at == 0 { above } else { 0 };
            gauge.set_path(Path::Copy);
            gauge.set_pipes(pipes);
            gauge.set_high(marks.high_bytes);
            let shape = Shape { plan: marks.clone(), pipes, buffer_bytes };
            let (writable, readable) = tank(&shape);
            let overrun = Arc::new(AtomicBool::new(false));
            inlets.push(Inlet {
                writable,
                gauge: Arc::clone(&gauge),
                full: marks.full,
                overrun: Arc::clone(&overrun),
                shape,
            });
            let outlet = Outlet {
                readable,
                to,
                gauge,
                stop: self.stop.clone(),
                start: self.start,
                fault: Arc::clone(&fault),
                overrun,
                at_once: if marks.full.drops() { 1 } else { usize::MAX },
                tank: marks.id,
                give_back: give_back.clone(),
                buffer_bytes,
            };
            let bell = Arc::clone(bell);
            let builder = Builder::new().name("branch".to_owned()).stack_size(256 << 10);
            threads.push(builder.spawn(move || {
                let done = outlet.run();
                bell.ring();
                done
            })?);
        }
        let hub = Hub { from: self.from, stop: self.stop, inlets, spare, buffer_bytes };
        let builder = Builder::new().name("fan".to_owned()).stack_size(256 << 10);
        // It ends when its branches do, or they with it.
        drop(builder.spawn(move || hub.run(self.ration, &fault))?);
        Ok(threads)
    }
}

fn tank(shape: &Shape) -> (Writable<Arc<Chunk>>, Readable<Arc<Chunk>>) {
    let (inner, low) = shape.marks(shape.plan.high_bytes);
    let weigh = |chunk: &Arc<Chunk>| chunk.bytes().len() + CHUNK_EXTRA;
    let tank = Tank::weighed(inner, weigh).low(low).overflow(match shape.plan.full {
        Full::Wait | Full::Fail => Overflow::Wait,
        Full::DropNewest => Overflow::DropNewest,
        Full::DropOldest => Overflow::DropOldest,
    });
    tank.build()
}

/// Where the reader puts what a branch shall have.
struct Inlet {
    writable: Writable<Arc<Chunk>>,
    gauge: Arc<Gauge>,
    full: Full,
    /// Its tank was full, and that is a failure.
    overrun: Arc<AtomicBool>,
    shape: Shape,
}

impl Inlet {
    /// Puts a chunk into the tank, or does what is to be done if it is full.
    fn put(&self, chunk: Arc<Chunk>, supply: &Supply<'_>) -> Result<(), Outcome> {
        let bytes = chunk.bytes().len() as u64;
        self.shape.obey(&self.gauge, &self.writable);
        let put = match self.full {
            Full::Wait => self.wait(chunk, supply),
            Full::Fail => match self.writable.write(chunk) {
                Err(WriteError::Full(_)) => {
                    self.overrun.store(true, Ordering::Release);
                    supply.stop.raise(Order::Abort);
                    false
                }
                put => put.is_ok(),
            },
            Full::DropNewest | Full::DropOldest => {
                let was_shut = self.writable.is_shut();
                let put = self.writable.write(chunk).is_ok();
                if was_shut {
                    let dropped = self.writable.gauge().snapshot().dropped;
                    let dropped = dropped.newest.plus(dropped.oldest);
                    let extra = dropped.items.saturating_mul(CHUNK_EXTRA as u64);
                    self.gauge.set_dropped(dropped.weight.saturating_sub(extra));
                }
                put
            }
        };
        if !put {
            // The writer has stopped, or will, and says why.
            return Err(Outcome::Aborted);
        }
        self.gauge.add_in(bytes);
        Ok(())
    }

    fn wait(&self, chunk: Arc<Chunk>, supply: &Supply<'_>) -> bool {
        let full = |slept: Duration| {
            self.gauge.add_full(if supply.is_full() { nanos(slept) } else { 0 });
            self.gauge.set_shut(true);
            self.shape.obey(&self.gauge, &self.writable);
            ControlFlow::<()>::Continue(())
        };
        let sent = block_on(self.writable.send(chunk), full);
        self.gauge.set_shut(false);
        matches!(sent, ControlFlow::Continue(Ok(_)))
    }
}

/// The reader.
struct Hub {
    from: Feed,
    stop: Stop,
    inlets: Vec<Inlet>,
    spare: Receiver<Vec<u8>>,
    buffer_bytes: usize,
}

impl Hub {
    fn run(self, mut ration: Ration, fault: &Mutex<Option<io::Error>>) {
        let outcome = match self.fill(&mut ration) {
            Outcome::Ended if self.stop.order() == Order::Go => {
                let missing = match ration.left {
                    Some(left) => Some(left).filter(|missing| *missing > 0),
                    None => self.from.port().and_then(Port::missing),
                };
                self.from
                    .cut()
                    .or_else(|| missing.map(cut_short))
                    .map_or(Outcome::Ended, Outcome::Unreadable)
            }
            outcome => outcome,
        };
        let ended = matches!(outcome, Outcome::Ended);
        if let Outcome::Unreadable(error) = outcome {
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.stop.raise(Order::Abort);
        }
        for Inlet { writable, .. } in self.inlets {
            if ended {
                drop(writable.end());
            } else {
                writable.fail_with(Cause::failed("the reader has stopped"));
            }
        }
    }

    fn fill(&self, ration: &mut Ration) -> Outcome {
        let Some(first) = self.inlets.first() else { return Outcome::Ended };
        let supply = Supply { from: &self.from, gauge: &first.gauge, stop: &self.stop, to: None };
        let some_drop = self.inlets.iter().any(|inlet| inlet.full.drops());
        let mut lines = Lines { begun: Vec::new(), most: self.buffer_bytes };
        let mut buffer = vec![0; self.buffer_bytes];
        loop {
            let got = match supply.read(ration, &mut buffer) {
                Ok(got) => got,
                Err(Outcome::Ended) => {
                    let rest = std::mem::take(&mut lines.begun);
                    return self.put_lines(rest, &supply).err().unwrap_or(Outcome::Ended);
                }
                Err(outcome) => return outcome,
            };
            let whole = if some_drop { lines.take(&buffer[..got]) } else { Vec::new() };
            let next = || self.spare.try_recv().unwrap_or_else(|_| vec![0; self.buffer_bytes]);
            let chunk = Arc::new(Chunk::cut(&mut buffer, got, next));
            let mut all = self.inlets.iter().filter(|inlet| !inlet.full.drops());
            let put = all
                .try_for_each(|inlet| inlet.put(Arc::clone(&chunk), &supply))
                .and_then(|()| self.put_lines(whole, &supply));
            if let Err(outcome) = put {
                return outcome;
            }
        }
    }

    /// Puts lines into the tanks that may drop them.
    fn put_lines(&self, lines: Vec<u8>, supply: &Supply<'_>) -> Result<(), Outcome> {
        if lines.is_empty() {
            return Ok(());
        }
        let chunk = Arc::new(Chunk::from(lines));
        let mut some = self.inlets.iter().filter(|inlet| inlet.full.drops());
        some.try_for_each(|inlet| inlet.put(Arc::clone(&chunk), supply))
    }
}

/// Bytes cut behind the ends of lines.
struct Lines {
    /// The line that has begun and not ended.
    begun: Vec<u8>,
    /// The longest line that is kept whole.
    most: usize,
}

impl Lines {
    /// All lines that have ended with these bytes.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => last + 1,
            None if self.begun.len() + bytes.len() > self.most => bytes.len(),
            None => 0,
        };
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(&bytes[..end]);
        if end == 0 {
            self.begun = whole;
            self.begun.extend_from_slice(bytes);
            return Vec::new();
        }
        self.begun = bytes[end..].to_vec();
        whole
    }
}

/// The writer of a branch.
struct Outlet {
    readable: Readable<Arc<Chunk>>,
    to: Port,
    gauge: Arc<Gauge>,
    stop: Stop,
    start: Instant,
    /// Why the reader failed; one of the branches takes it on itself.
    fault: Arc<Mutex<Option<io::Error>>>,
    overrun: Arc<AtomicBool>,
    /// How many chunks it takes into its hands: one, if those in the tank may be dropped.
    at_once: usize,
    /// The name of its tank.
    tank: String,
    give_back: SyncSender<Vec<u8>>,
    buffer_bytes: usize,
}

impl Outlet {
    fn run(mut self) -> Pumped {
        let outcome = match self.empty() {
            // Who was told to stop may have been the reason.
            Outcome::Aborted => self.reason(),
            outcome => outcome,
        };
        let since = || nanos(now().saturating_duration_since(self.start));
        if matches!(outcome, Outcome::ReaderGone | Outcome::Unwritable(_)) {
            let counted = self.gauge.counted();
            let inside = counted.bytes_in.saturating_sub(counted.bytes_out + counted.dropped);
            self.gauge.set_unread(inside + self.to.level());
            // Before the reader lets go of the input: a writer that dies of it dies later.
            self.gauge.set_reader_gone(since());
        }
        if !matches!(outcome, Outcome::Ended) {
            self.stop.raise(Order::Abort);
        }
        self.gauge.set_level(0);
        self.gauge.set_shut(false);
        self.gauge.set_ended(since());
        Pumped { outcome, port: Some(self.to), rest: None }
    }

    fn reason(&self) -> Outcome {
        if self.overrun.load(Ordering::Acquire) {
            let what = format!("it was too slow: tank {} was full", self.tank);
            return Outcome::Unwritable(io::Error::other(what));
        }
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fault {
            Some(error) => Outcome::Unreadable(error),
            None if self.stop.order() == Order::Abort => Outcome::Aborted,
            None => Outcome::Unwritable(io::Error::other("the reader panicked")),
        }
    }

    fn empty(&mut self) -> Outcome {
        let delivery = Delivery { to: &self.to, gauge: &self.gauge, stop: &self.stop };
        let mut batch = Batch::new();
        loop {
            let empty = |slept: Duration| {
                let level = self.to.level();
                self.gauge.add_empty(if level == 0 { nanos(slept) } else { 0 });
                self.gauge.set_level(level);
                match self.to.kind() == Kind::Pipe && reader_gone(self.to.as_fd()) {
                    true => ControlFlow::Break(Outcome::ReaderGone),
                    false => ControlFlow::Continue(()),
                }
            };
            match block_on(self.readable.next_batch_of(self.at_once, &mut batch), empty) {
                ControlFlow::Continue(Ok(true)) => {}
                ControlFlow::Continue(Ok(false)) => return Outcome::Ended,
                ControlFlow::Continue(Err(_)) => return Outcome::Aborted,
                ControlFlow::Break(outcome) => return outcome,
            }
            self.gauge.set_level(self.to.level() + self.readable.level() as u64);
            while let Some(chunk) = batch.pop() {
                if let Err(outcome) = delivery.write(chunk.bytes()) {
                    return outcome;
                }
                let buffer =
                    Arc::into_inner(chunk).and_then(|chunk| chunk.into_buffer(self.buffer_bytes));
                if let Some(buffer) = buffer {
                    // A pool that is full, or a reader that is done, needs no buffer.
                    self.give_back.try_send(buffer).ok();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_and_no_byte_is_lost() {
        let mut lines = Lines { begun: Vec::new(), most: 8 };
        let mut all = Vec::new();
        for (bytes, whole) in [
            (&b"ab"[..], &b""[..]),
            (b"c\nd", b"abc\n"),
            (b"e", b""),
            (b"\n\nf", b"de\n\n"),
            (b"1234567", b""),
            (b"89", b"f123456789"),
            (b"x\n", b"x\n"),
        ] {
            let taken = lines.take(bytes);
            assert_eq!(taken, whole);
            all.extend(taken);
        }
        assert_eq!((all.as_slice(), lines.begun.len()), (&b"abc\nde\n\nf123456789x\n"[..], 0));
    }
}
