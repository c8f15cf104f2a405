//! How do bytes get from one descriptor to the next without being touched?
//!
//! One thread per tank, between our end of the pipe before it and our end of the pipe after it. It splices until
//! the kernel says it would block, then waits for the one side that is to blame. If the kernel will not splice
//! what it was given, even in the middle, `exec/copy` goes on at the same byte.
//!
//! ```text
//! gzip -6 --> [pipe] --> relay --> [pipe] --> wc -c
//!             \____________ one tank _____________/
//! ```
//!
//! The tank's writer is the stage before, its reader the stage after. The relay keeps no other end of either
//! pipe: so the end of data and a reader that left travel through it as through a pipe.
//!
//! # Knows / never knows
//! Knows two ports, a gauge and a stop. Never knows what stands before or behind them.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::exec::bucket::{Allowed, Ration};
use crate::exec::copy::{self, Feed};
use crate::exec::gauge::{Gauge, Path};
use crate::exec::holes::{Holes, Piece, step_over};
use crate::exec::now;
use crate::exec::port::{Kind, Port, pipe_share};
use crate::exec::rest::Rest;
use crate::exec::stop::{Order, Stop};
use crate::exec::store::Store;
use crate::exec::through::Inner;
use crate::exec::vigil::{For, Vigil, Wake, is_dry};
use crate::plan::TankPlan;

/// The most that one splice is asked to move: what one pipe can hold.
pub(super) const AT_ONCE: usize = 1 << 20;

/// How a pump came to its end.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The input ended, or was told to, and every byte of it was delivered.
    Ended,
    /// Whoever read the output is gone.
    ReaderGone,
    /// It was told to let go.
    Aborted,
    /// Reading failed.
    Unreadable(io::Error),
    /// Writing failed.
    Unwritable(io::Error),
}

/// What a pump leaves behind.
#[derive(Debug)]
pub(crate) struct Pumped {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The output of a tank that leads to a sink, to be finished or published.
    pub(crate) port: Option<Port>,
    /// What a command has been given and may leave unread.
    pub(crate) rest: Option<Rest>,
}

impl Outcome {
    /// Of a write to `to` that failed.
    pub(crate) fn of_write(error: io::Error, to: &Port) -> Self {
        let gone =
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        if gone && to.kind() != Kind::File { Self::ReaderGone } else { Self::Unwritable(error) }
    }

    /// Of an output that nobody will read, though nothing was written.
    pub(crate) fn of_leaving(to: &Port) -> Self {
        to.failure().map_or(Self::ReaderGone, |error| Self::of_write(error, to))
    }
}

/// What one tank is made of; [`Tank::pump`] runs it.
#[derive(Debug)]
pub(crate) struct Tank {
    /// Where the bytes come from.
    pub(crate) from: Feed,
    /// Where they go.
    pub(crate) to: Port,
    /// A pipe of our own in between, where neither is one.
    pub(crate) inner: Option<Inner>,
    /// Its counters.
    pub(crate) gauge: Arc<Gauge>,
    /// How it is stopped.
    pub(crate) stop: Stop,
    /// When the run began.
    pub(crate) start: Instant,
    /// How many bytes to move, and how fast.
    pub(crate) ration: Ration,
    /// Its marks.
    pub(crate) marks: TankPlan,
    /// Whether the kernel may hold and move the bytes.
    pub(crate) kernel: bool,
    /// Whether the output is handed back: that of a sink, to be finished or published. A command's input is
    /// closed at once, for that is its end of data.
    pub(crate) keep: bool,
}

/// What the pumps share while they run.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) to: Port,
    pub(crate) vigil: Vigil,
    pub(crate) ration: Ration,
}

/// How a way of moving bytes came to its end.
pub(crate) enum Way {
    /// The tank is done.
    Done(Outcome),
    /// The kernel refuses to go on.
    Refused,
    /// The kernel cannot do it at all.
    Other,
}

impl Tank {
    /// The way the bytes take, as long as the kernel does not refuse.
    fn path(&self) -> Path {
        match self.from.port() {
            Some(_) if self.inner.is_some() => Path::Splice,
            Some(from) if self.kernel && from.splices_to(&self.to) => Path::Splice,
            Some(from) if self.kernel && self.copies_ranges(from) => Path::CopyRange,
            _ => Path::Copy,
        }
    }

    /// Says whether the kernel may copy from file to file. A clone has no rate, and the call refuses a file that is
    /// open for appending.
    fn copies_ranges(&self, from: &Port) -> bool {
        from.kind() == Kind::File
            && self.to.kind() == Kind::File
            && self.ration.rate.is_none()
            && !self.to.appends()
    }

    /// Notes what is known before the first byte.
    pub(crate) fn introduce(&self) {
        let inner = self.inner.as_ref().map_or(0, Inner::capacity);
        let pipes = self.from.port().map_or(0, Port::capacity) + inner + self.to.capacity();
        let path = self.path();
        self.gauge.set_path(path);
        self.gauge.set_pipes(pipes);
        self.gauge.set_high(if path == Path::Copy { self.marks.high_bytes } else { pipes });
    }

    /// Moves bytes until the end of data, the end of the reader, an order or an error; then lets go of the input.
    pub(crate) fn pump(self) -> Pumped {
        let path = self.path();
        let vigil = Vigil::new(Arc::clone(&self.gauge), self.stop.clone(), self.start);
        let mut flow = Flow { to: self.to, vigil, ration: self.ration };
        let from = self.from;
        let due = flow.ration.left;
        let way = match (path, from.port(), &self.inner) {
            (Path::Splice, Some(port), Some(inner)) => flow.through(port, inner),
            (Path::Splice, Some(port), None) => flow.splice(port),
            (Path::CopyRange, Some(port), _) => flow.copy_range(port),
            _ => Way::Other,
        };
        let outcome = match way {
            Way::Done(outcome) => outcome,
            Way::Refused => copy::run(&mut flow, &from),
            Way::Other => {
                let (gauge, stop) = (&self.gauge, &self.stop);
                let store = Store { from: &from, to: &flow.to, gauge, stop, marks: &self.marks };
                store.run(std::mem::take(&mut flow.ration))
            }
        };
        let outcome = match (outcome, flow.vigil.order()) {
            (Outcome::Ended, Order::Go) => {
                let read = flow.vigil.gauge().counted().bytes_in;
                let missing = match due {
                    Some(due) => due.checked_sub(read).filter(|missing| *missing > 0),
                    None => from.port().and_then(Port::missing),
                };
                from.cut()
                    .or_else(|| missing.map(cut_short))
                    .map_or(Outcome::Ended, Outcome::Unreadable)
            }
            (outcome, _) => outcome,
        };
        if matches!(outcome, Outcome::ReaderGone | Outcome::Unwritable(_)) {
            // What lies in the first pipe has entered the tank too.
            let behind = from.port().map_or(0, Port::level);
            let gauge = flow.vigil.gauge();
            let counted = gauge.counted();
            let inside = counted.bytes_in.saturating_sub(counted.bytes_out);
            gauge.add_in(behind);
            gauge.set_unread(behind + inside + flow.to.level());
            gauge.set_reader_gone(flow.vigil.since_start());
        }
        flow.vigil.end();
        drop(from);
        let (port, rest) = match (self.keep, &outcome) {
            (true, _) => (Some(flow.to), None),
            (false, Outcome::Ended) => (None, Rest::of(flow.to)),
            (false, _) => (None, None),
        };
        Pumped { outcome, port, rest }
    }
}

/// A part of a file that was there when it was opened is not there any more.
pub(crate) fn cut_short(missing: u64) -> io::Error {
    let missing = crate::size::size(missing);
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ended {missing} before it should"))
}

impl Flow {
    /// How much may be moved now: `Err` if the tank is done instead. Waits out the rate limit.
    pub(crate) fn allowance(&mut self, most: usize) -> Result<usize, Outcome> {
        loop {
            if let Some(bytes) = self.portion(most)? {
                return Ok(bytes);
            }
        }
    }

    /// The same, but comes back with nothing after a wait, which may have ended early.
    pub(crate) fn portion(&mut self, most: usize) -> Result<Option<usize>, Outcome> {
        match self.vigil.order() {
            Order::Go => {}
            Order::Drain => return Err(Outcome::Ended),
            Order::Abort => return Err(Outcome::Aborted),
        }
        let wait = match self.ration.allow(most, now()) {
            Allowed::Bytes(bytes) => return Ok(Some(bytes)),
            Allowed::Nothing => return Err(Outcome::Ended),
            Allowed::After(wait) => wait,
        };
        let woken = self.vigil.hold(wait, &self.to);
        self.told(woken).map(|()| None)
    }

    /// Counts bytes that passed.
    pub(crate) fn passed(&mut self, bytes: usize) {
        let count = bytes as u64;
        self.vigil.gauge().add_in(count);
        self.vigil.gauge().add_out(count);
        self.ration.spend(bytes);
    }

    fn splice(&mut self, from: &Port) -> Way {
        let blocking = match (from.kind(), self.to.kind()) {
            (Kind::File, _) => Some(For::Input),
            (_, Kind::File) => Some(For::Room),
            _ => None,
        };
        loop {
            if let Some(high) = self.vigil.gauge().asked_high() {
                self.resize(from, high);
            }
            let want = match self.allowance(AT_ONCE) {
                Ok(want) => want,
                Err(outcome) => return Way::Done(outcome),
            };
            let began = blocking.map(|_| now());
            let moved =
                splice(from, None, &self.to, None, want, SpliceFlags::NONBLOCK | SpliceFlags::MOVE);
            if let (Some(what), Some(began)) = (blocking, began)
                && moved.is_ok()
            {
                self.vigil.called(what, began, from, &self.to);
            }
            match moved {
                Ok(0) => return Way::Done(Outcome::Ended),
                Ok(bytes) => self.passed(bytes),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let what = if is_dry(from) { For::Input } else { For::Room };
                    match self.wait(what, Some(from)) {
                        Ok(()) => {}
                        Err(outcome) => return Way::Done(outcome),
                    }
                }
                Err(Errno::INVAL | Errno::NOSYS | Errno::XDEV | Errno::OPNOTSUPP | Errno::PERM) => {
                    return Way::Refused;
                }
                Err(error) => {
                    return Way::Done(self.blame(from.kind() == Kind::Pipe, error.into()));
                }
            }
        }
    }

    /// Gives the pipes that this run made another size, as far as the kernel allows. One that holds more than that
    /// is made smaller when it has been read.
    fn resize(&self, from: &Port, high: u64) {
        let share = pipe_share(high, from.capacity() > 0 && self.to.capacity() > 0);
        for port in [from, &self.to].into_iter().filter(|port| port.is_made()) {
            if !port.reshape(share) {
                self.vigil.gauge().ask_again(high);
            }
        }
        let pipes = from.capacity() + self.to.capacity();
        self.vigil.gauge().set_pipes(pipes);
        self.vigil.gauge().set_high(pipes);
    }

    fn copy_range(&mut self, from: &Port) -> Way {
        let mut holes = Holes::between(from, &self.to);
        loop {
            let piece = holes.as_mut().and_then(|holes| holes.next(from));
            let most = match piece {
                None => AT_ONCE * 8,
                Some(Piece::Hole(bytes)) => usize::try_from(bytes).unwrap_or(usize::MAX),
                Some(Piece::Data(bytes)) => {
                    usize::try_from(bytes).unwrap_or(usize::MAX).min(AT_ONCE * 8)
                }
            };
            let want = match self.allowance(most) {
                Ok(want) => want,
                Err(outcome) => return Way::Done(outcome),
            };
            if matches!(piece, Some(Piece::Hole(_))) {
                if !step_over(from, &self.to, want as u64) {
                    break; // it is too long: a write tells why
                }
                self.passed(want);
                continue;
            }
            match rustix::fs::copy_file_range(from, None, &self.to, None, want) {
                Ok(0) => break,
                Ok(bytes) => self.passed(bytes),
                Err(Errno::INTR) => {}
                Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => break,
                Err(_) => break,
            }
        }
        // Zero is also what files without a length say (those of /proc), and an error may belong to either side:
        // plain reads and writes tell which.
        Way::Refused
    }

    /// Waits; `Err` if the tank is done instead.
    pub(crate) fn wait(&mut self, what: For, from: Option<&Port>) -> Result<(), Outcome> {
        let woken = self.vigil.wait(what, from, &self.to);
        self.told(woken)
    }

    /// What follows from how a wait ended.
    fn told(&self, woken: io::Result<Wake>) -> Result<(), Outcome> {
        match woken {
            Ok(Wake::Ready | Wake::Told(Order::Go)) => Ok(()),
            Ok(Wake::ReaderGone) => Err(Outcome::of_leaving(&self.to)),
            Ok(Wake::Told(Order::Abort)) => Err(Outcome::Aborted),
            Ok(Wake::Told(Order::Drain)) => Err(Outcome::Ended),
            Err(error) => Err(Outcome::Unreadable(error)),
        }
    }

    /// One of two sides failed; a pipe to read from cannot.
    fn blame(&self, from_pipe: bool, error: io::Error) -> Outcome {
        let write = Outcome::of_write(error, &self.to);
        match write {
            Outcome::Unwritable(error) if !from_pipe => Outcome::Unreadable(error),
            write => write,
        }
    }
}
