//! How is a built-in a stage like any command?
//!
//! It runs on a thread between two pipes, as a command does in a process: what ends before it is an end of data,
//! what leaves behind it a broken pipe, and the tanks on both sides tell how long it waited for whom. So all rules
//! of ends and causes hold for it, and so does every number.
//!
//! ```text
//! relay --> [pipe] --> worker --> [pipe] --> relay
//! ```
//!
//! # Knows / never knows
//! Knows two ports and a stop. Never knows a codec: `transform` does.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::exec::bucket::Bucket;
use crate::exec::now;
use crate::exec::port::Port;
use crate::exec::stop::{Bell, Order, Stop, wait};
use crate::exit::Status;
use crate::plan::{Builtin, Pace};
use crate::size::Rate;
use crate::transform::{self, BUFFER, Fault, Finding, Intake};
use crate::watch::{Pid, Spent};

/// SIGPIPE, by which a command in its place would have died.
const BROKEN_PIPE: i32 = 13;

/// What a built-in does.
#[derive(Debug)]
pub(crate) enum Work {
    /// It makes other bytes of them, or lets them pass.
    Transform(Builtin),
    /// It lets them pass and writes them here as well; its name as it is shown.
    Tee(Port, String),
}

/// A built-in that runs.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: Option<JoinHandle<Ended>>,
    /// The system's number of the thread, once it runs.
    number: Arc<AtomicU32>,
    stop: Stop,
    done: Option<Done>,
}

/// What the thread of a built-in leaves behind.
#[derive(Debug)]
struct Ended {
    result: Result<Vec<Finding>, Failure>,
    spent: Option<Spent>,
}

/// How a built-in ended.
#[derive(Debug)]
struct Done {
    status: Status,
    findings: Vec<Finding>,
    failure: Option<Failure>,
    spent: Option<Spent>,
}

/// Why a built-in failed.
#[derive(Debug)]
pub(crate) struct Failure {
    fault: Fault,
    /// The bytes of its input that it had taken by then.
    pub(crate) at_bytes: u64,
}

impl Failure {
    /// What was wrong, in words.
    pub(crate) fn what(&self) -> String {
        match &self.fault {
            Fault::Data(what) => what.clone(),
            Fault::Io(error) => error.to_string(),
        }
    }
}

impl Worker {
    /// Starts `work` between the far ends of two pipes; `bell` rings when it has ended.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn start(
        work: Work,
        (from, to): (OwnedFd, OwnedFd),
        bell: &Arc<Bell>,
    ) -> io::Result<Self> {
        let stop = Stop::new()?;
        let mut input = Input::new(Port::own(from)?, stop.clone());
        let mut output = Output { port: Port::own(to)?, stop: stop.clone() };
        let bell = Arc::clone(bell);
        // Codecs take their large tables from the heap, and some of them much of the stack.
        let builder = std::thread::Builder::new().name("built-in".to_owned()).stack_size(1 << 20);
        let number = Arc::new(AtomicU32::new(0));
        let tell = Arc::clone(&number);
        let thread = builder.spawn(move || {
            let mine = rustix::thread::gettid().as_raw_pid();
            tell.store(Pid::try_from(mine).unwrap_or(0), Ordering::Relaxed);
            let ended = match work {
                Work::Transform(Builtin::Rate(pace)) => keep_pace(pace, &mut input, &mut output),
                Work::Transform(builtin) => transform::run(builtin, &mut input, &mut output),
                Work::Tee(port, name) => {
                    let copy = Output { port, stop: output.stop.clone() };
                    tee(copy, &name, &mut input, &mut output)
                }
            };
            let ended = ended.map_err(|fault| Failure { fault, at_bytes: input.taken });
            // The pipes close before anybody can see that it has ended.
            drop((input, output));
            bell.ring();
            Ended { result: ended, spent: Spent::of_thread(None) }
        })?;
        Ok(Self { thread: Some(thread), number, stop, done: None })
    }

    /// Tells it to end now.
    pub(crate) fn abort(&self) {
        self.stop.raise(Order::Abort);
    }

    /// Takes its result if it has ended.
    pub(crate) fn reap(&mut self) -> Option<Status> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join();
        }
        self.done.as_ref().map(|done| done.status)
    }

    /// Waits for its result: for one that has closed its pipes.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let panicked = |_| {
                let fault = Fault::Data("it panicked".to_owned());
                Ended { result: Err(Failure { fault, at_bytes: 0 }), spent: None }
            };
            let Ended { result, spent } = thread.join().unwrap_or_else(panicked);
            let done = match result {
                Ok(findings) => Done { status: Status::EndDone, findings, failure: None, spent },
                Err(failure) => {
                    let status = match &failure.fault {
                        Fault::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                            Status::Signal(BROKEN_PIPE)
                        }
                        _ => Status::EndFailed,
                    };
                    Done { status, findings: Vec::new(), failure: Some(failure), spent }
                }
            };
            self.done = Some(done);
        }
    }

    /// What it found out, once it has ended well.
    pub(crate) fn findings(&self) -> &[Finding] {
        self.done.as_ref().map_or(&[], |done| &done.findings)
    }

    /// What it has spent so far, or had when it ended.
    pub(crate) fn spent(&self) -> Option<Spent> {
        match (&self.done, self.number.load(Ordering::Relaxed)) {
            (Some(done), _) => done.spent,
            (None, 0) => None,
            (None, number) => Spent::of_thread(Some(number)),
        }
    }

    /// Why it failed, if it did.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.done.as_ref()?.failure.as_ref()
    }
}

/// Nothing that was started outlives its line.
impl Drop for Worker {
    fn drop(&mut self) {
        self.abort();
        if let Some(thread) = self.thread.take() {
            // A panic has nobody left to be told.
            thread.join().ok();
        }
    }
}

/// Lets bytes pass at a pace.
fn keep_pace(pace: Pace, input: &mut Input, output: &mut Output) -> Result<Vec<Finding>, Fault> {
    #[expect(clippy::cast_precision_loss, reason = "a rate beyond 2^53 a second is no limit")]
    let per_second = |rate: Rate| rate.bytes as f64 / rate.per.as_secs_f64();
    let (Pace::Bytes(rate) | Pace::Lines(rate)) = pace;
    let mut bucket = Bucket::new(per_second(rate), now());
    loop {
        if input.fill_buf()?.is_empty() {
            return Ok(Vec::new());
        }
        let allowed = match bucket.allow(now()) {
            Ok(allowed) => allowed,
            Err(time) => {
                input.pause(time)?;
                continue;
            }
        };
        let bytes = input.fill_buf()?;
        let (take, spent) = match pace {
            Pace::Bytes(_) => {
                let take = bytes.len().min(allowed);
                (take, take)
            }
            Pace::Lines(_) => whole_lines(bytes, allowed),
        };
        output.write_all(&bytes[..take])?;
        bucket.spend(spent);
        input.consume(take);
    }
}

/// Writes all that passes to one more place.
fn tee(
    mut copy: Output,
    name: &str,
    input: &mut Input,
    output: &mut Output,
) -> Result<Vec<Finding>, Fault> {
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let copied = copy.write_all(bytes);
        copied.map_err(|error| Fault::Data(format!("cannot write {name}: {}", plain(&error))))?;
        output.write_all(bytes)?;
        let count = bytes.len();
        input.consume(count);
    }
}

/// What the system said, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Bytes of at most so many lines, and the lines that end in them. The last one may be unfinished: it is paid for
/// when it ends.
fn whole_lines(bytes: &[u8], most: usize) -> (usize, usize) {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let mut last = (bytes.len(), 0);
    for (count, (at, _)) in ends.enumerate().take(most) {
        last = (if count + 1 == most { at + 1 } else { bytes.len() }, count + 1);
    }
    last
}

/// What a built-in reads: a pipe, a buffer, and how much was taken.
struct Input {
    port: Port,
    stop: Stop,
    buffer: Vec<u8>,
    /// The bytes in the buffer that were not taken yet.
    at: usize,
    end: usize,
    ended: bool,
    taken: u64,
}

impl Input {
    fn new(port: Port, stop: Stop) -> Self {
        Self { port, stop, buffer: vec![0; BUFFER], at: 0, end: 0, ended: false, taken: 0 }
    }

    /// Waits for bytes or the end of data; false if the time is up.
    fn wait(&mut self, within: Option<Duration>) -> io::Result<bool> {
        loop {
            if self.at < self.end || self.ended {
                return Ok(true);
            }
            match self.port.read(&mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => (self.at, self.end) = (0, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut on = [
                        PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
                        PollFd::from_borrowed_fd(self.port.as_fd(), PollFlags::IN),
                    ];
                    if wait(&mut on, within)? == 0 {
                        return Ok(false);
                    }
                    obey(&self.stop)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets time pass.
    fn pause(&self, time: Duration) -> io::Result<()> {
        wait(&mut [PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN)], Some(time))?;
        obey(&self.stop)
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.wait(None)?;
        Ok(&self.buffer[self.at..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.taken += count as u64;
    }
}

impl Intake for Input {
    fn comes(&mut self, within: Duration) -> io::Result<bool> {
        self.wait(Some(within))
    }
}

/// What a built-in writes to.
struct Output {
    port: Port,
    stop: Stop,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.port.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut on = [
                        PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
                        PollFd::from_borrowed_fd(self.port.as_fd(), PollFlags::OUT),
                    ];
                    wait(&mut on, None)?;
                    obey(&self.stop)?;
                }
                wrote => return wrote,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn obey(stop: &Stop) -> io::Result<()> {
    match stop.order() {
        Order::Abort => Err(io::Error::other("it was told to stop")),
        Order::Go | Order::Drain => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_of_lines_takes_whole_ones_and_pays_for_an_unfinished_one_later() {
        assert_eq!(whole_lines(b"a\nb\nc\n", 2), (4, 2));
        assert_eq!(whole_lines(b"a\nb\nc\n", 3), (6, 3));
        assert_eq!(whole_lines(b"a\nb\nc", 9), (5, 2));
        assert_eq!(whole_lines(b"abc", 1), (3, 0));
    }
}
