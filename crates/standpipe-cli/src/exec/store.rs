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

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use standpipe::tank::Batch;
use standpipe::{Cause, Readable, Tank, Writable};

use crate::exec::bucket::Ration;
use crate::exec::copy::Feed;
use crate::exec::gauge::Gauge;
use crate::exec::nanos;
use crate::exec::port::Port;
use crate::exec::relay::Outcome;
use crate::exec::sides::{Chunk, Delivery, Shape, Supply, block_on, index};
use crate::exec::stop::{Order, Stop};
use crate::plan::TankPlan;
use crate::watch::Spent;

/// The largest buffer: what a pipe has by itself.
const BUFFER_MOST: u64 = 64 << 10;
/// The least a chunk weighs.
const CHUNK_LEAST: usize = 1024;
/// Buffers that wait for the reader; more are given back to the system.
const SPARE: usize = 4;

/// What one tank in user memory is made of.
pub(crate) struct Store<'run> {
    pub(crate) from: &'run Feed,
    pub(crate) to: &'run Port,
    pub(crate) gauge: &'run Gauge,
    pub(crate) stop: &'run Stop,
    pub(crate) marks: &'run TankPlan,
}

impl Store<'_> {
    /// Moves bytes until the end of data, the end of the reader, an order or an error.
    pub(crate) fn run(&self, ration: Ration) -> Outcome {
        let high = self.marks.high_bytes;
        let buffer_bytes = index((high / 8).clamp(4096, BUFFER_MOST));
        let pipes = self.from.port().map_or(0, Port::capacity) + self.to.capacity();
        let shape = Shape { plan: self.marks.clone(), pipes, buffer_bytes };
        let (inner, low) = shape.marks(high);
        let weigh = |chunk: &Chunk| chunk.bytes().len().max(CHUNK_LEAST);
        let (writable, readable) = Tank::weighed(inner, weigh).low(low).build();
        let (give_back, spare) = sync_channel(SPARE);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let outcome = self.empty(readable, &give_back, buffer_bytes);
                let spent = Spent::of_thread(None).unwrap_or_default();
                self.gauge.add_pump(spent.cpu_ns.saturating_add(spent.delayed_ns));
                if !matches!(outcome, Outcome::Ended) {
                    // The reader may wait for input that nobody wants any more.
                    self.stop.raise(Order::Abort);
                }
                outcome
            });
            let read = self.fill(writable, &spare, ration, &shape);
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
        shape: &Shape,
    ) -> Outcome {
        let buffer_bytes = shape.buffer_bytes;
        let supply =
            Supply { from: self.from, gauge: self.gauge, stop: self.stop, to: Some(self.to) };
        let mut buffer = vec![0; buffer_bytes];
        let outcome = loop {
            let got = match supply.read(&mut ration, &mut buffer) {
                Ok(got) => got,
                Err(outcome) => break outcome,
            };
            self.gauge.add_in(got as u64);
            let next = || spare.try_recv().unwrap_or_else(|_| vec![0; buffer_bytes]);
            let chunk = Chunk::cut(&mut buffer, got, next);
            let full = |slept: Duration| {
                self.gauge.add_full(if supply.is_full() { nanos(slept) } else { 0 });
                self.gauge.set_shut(true);
                shape.obey(self.gauge, &writable);
                ControlFlow::<()>::Continue(())
            };
            shape.obey(self.gauge, &writable);
            let sent = block_on(writable.send(chunk), full);
            self.gauge.set_shut(false);
            if !matches!(sent, ControlFlow::Continue(Ok(_))) {
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
        let delivery = Delivery { to: self.to, gauge: self.gauge, stop: self.stop };
        let mut batch = Batch::new();
        loop {
            let empty = |slept: Duration| {
                let empty = self.to.level() == 0;
                self.gauge.add_empty(if empty { nanos(slept) } else { 0 });
                self.note_level(0);
                ControlFlow::<()>::Continue(())
            };
            match block_on(readable.next_batch(&mut batch), empty) {
                ControlFlow::Continue(Ok(true)) => {}
                ControlFlow::Continue(Ok(false)) => return Outcome::Ended,
                // The reader has stopped, and says why.
                _ => return Outcome::Aborted,
            }
            self.note_level(readable.level());
            while let Some(chunk) = batch.pop() {
                if let Err(outcome) = delivery.write(chunk.bytes()) {
                    return outcome;
                }
                if let Some(buffer) = chunk.into_buffer(buffer_bytes) {
                    // A pool that is full, or a reader that is done, needs no buffer.
                    give_back.try_send(buffer).ok();
                }
            }
        }
    }

    fn note_level(&self, inner: usize) {
        let pipes = self.from.port().map_or(0, Port::level) + self.to.level();
        self.gauge.set_level(pipes + inner as u64);
    }
}
