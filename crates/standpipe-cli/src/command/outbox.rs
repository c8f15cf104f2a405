//! How are lines delivered without slowing the run?
//!
//! A thread writes them, one at a time, and whoever has something to say only puts it into a queue. There is at
//! most one sample in the queue: a newer one takes its place, and is told how many were lost so far. Other lines
//! that can be missed are taken while they fit; those that cannot be missed are few, for their number is bounded
//! by that of the stages. Only the last line is waited for.
//!
//! # Knows / never knows
//! Knows a descriptor and lines. Never knows what they say.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::exec::stop::{Bell, wait};

/// Lines that can be missed are taken until this much waits.
const MOST_BYTES: usize = 256 << 10;

/// What has been lost because the reader was slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Samples.
    pub(super) samples: u64,
    /// Other lines.
    pub(super) lines: u64,
}

/// The lines that wait, and the thread that writes them.
#[derive(Debug)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
    /// Rings when the last line is out, or never will be.
    done: Arc<Bell>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Entry>,
    bytes: usize,
    lost: Lost,
    closed: bool,
    /// Why nothing is written any more, though not all was.
    failed: Option<io::Error>,
}

#[derive(Debug)]
struct Entry {
    line: String,
    sample: bool,
}

impl Outbox {
    /// Begins to write to `to`.
    ///
    /// # Errors
    /// Those of the system, for a thread and an eventfd.
    pub(super) fn open(to: OwnedFd) -> io::Result<Self> {
        let shared: Arc<Shared> = Arc::default();
        let done = Arc::new(Bell::new()?);
        let (queue, bell) = (Arc::clone(&shared), Arc::clone(&done));
        std::thread::Builder::new().name("events".to_owned()).stack_size(128 << 10).spawn(
            move || {
                queue.write(&to);
                drop(to);
                bell.ring();
            },
        )?;
        Ok(Self { shared, done })
    }

    /// Takes a line that must not be missed.
    pub(super) fn keep(&self, line: String) {
        self.shared.lock().push(line, false);
        self.shared.came.notify_one();
    }

    /// Takes a line if there is room.
    pub(super) fn offer(&self, line: String) {
        let mut queue = self.shared.lock();
        if queue.closed {
            return;
        }
        if queue.bytes + line.len() > MOST_BYTES {
            queue.lost.lines += 1;
            return;
        }
        queue.push(line, false);
        drop(queue);
        self.shared.came.notify_one();
    }

    /// Takes a sample in the place of one that was not written yet.
    pub(super) fn sample(&self, render: impl FnOnce(Lost) -> String) {
        let mut queue = self.shared.lock();
        if queue.closed {
            return;
        }
        if let Some(at) = queue.lines.iter().position(|entry| entry.sample)
            && let Some(old) = queue.lines.remove(at)
        {
            queue.bytes -= old.line.len();
            queue.lost.samples += 1;
        }
        let line = render(queue.lost);
        queue.push(line, true);
        drop(queue);
        self.shared.came.notify_one();
    }

    /// Takes the last line; what comes later is left out.
    pub(super) fn close(&self, render: impl FnOnce(Lost) -> String) {
        let mut queue = self.shared.lock();
        if queue.closed {
            return;
        }
        let line = render(queue.lost);
        queue.push(line, false);
        queue.closed = true;
        drop(queue);
        self.shared.came.notify_one();
    }

    /// Whether nothing is written any more.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Why lines are missing at the end, once it is known that some are. A reader that left wanted no more.
    pub(super) fn failure(&self) -> Option<io::Error> {
        let failed = self.shared.lock().failed.take();
        failed.filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// Rings when the last line is out, or never will be.
    pub(super) fn done(&self) -> &Bell {
        &self.done
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the last line is out or nobody takes any more.
    fn write(&self, to: &OwnedFd) {
        loop {
            let mut queue = self.lock();
            let line = loop {
                if let Some(entry) = queue.lines.pop_front() {
                    queue.bytes -= entry.line.len();
                    break entry.line;
                }
                if queue.closed {
                    return;
                }
                queue = self.came.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            if let Err(error) = write_all(to, line.as_bytes()) {
                let mut queue = self.lock();
                queue.closed = true;
                queue.lines.clear();
                queue.failed = Some(error);
                return;
            }
        }
    }
}

impl Queue {
    fn push(&mut self, line: String, sample: bool) {
        if !self.closed {
            self.bytes += line.len();
            self.lines.push_back(Entry { line, sample });
        }
    }
}

/// Writes all; a descriptor that others have made non-blocking is waited for.
fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(wrote) => bytes = &bytes[wrote..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                wait(&mut [PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::exec::port::pipe;

    /// Fills a pipe and the hand of its writer, so that everything after that waits.
    fn blocked() -> (Outbox, std::fs::File, usize) {
        let (read, write) = pipe().expect("there are pipes");
        let outbox = Outbox::open(write).expect("there are threads");
        let block = "x".repeat(100_000);
        outbox.keep(block.clone());
        // More than a pipe holds: once it is taken, the writer has it in hand and cannot go on.
        while outbox.shared.lock().bytes > 0 {
            std::thread::yield_now();
        }
        (outbox, read.into(), block.len())
    }

    fn rest(mut read: std::fs::File, skip: usize) -> String {
        let mut text = String::new();
        read.read_to_string(&mut text).expect("lines are text");
        text.split_off(skip)
    }

    #[test]
    fn a_slow_reader_costs_samples_and_is_told_how_many() {
        let (outbox, read, skip) = blocked();
        for number in 0..5 {
            outbox.sample(|lost| format!("sample {number}, {} lost\n", lost.samples));
            outbox.keep(format!("kept {number}\n"));
        }
        outbox.close(|lost| format!("end, {} lost\n", lost.samples));
        outbox.keep("late\n".to_owned());
        assert_eq!(
            rest(read, skip),
            "kept 0\nkept 1\nkept 2\nkept 3\nsample 4, 4 lost\nkept 4\nend, 4 lost\n"
        );
    }

    #[test]
    fn lines_that_can_be_missed_are_bounded() {
        let (outbox, read, skip) = blocked();
        let line = format!("{}\n", "y".repeat(1023));
        for _ in 0..300 {
            outbox.offer(line.clone());
        }
        outbox.close(|lost| format!("{} lost", lost.lines));
        let text = rest(read, skip);
        assert_eq!((text.lines().count(), text.lines().last()), (257, Some("44 lost")));
    }

    #[test]
    fn a_reader_that_left_is_no_reason_to_wait() {
        let (outbox, read, _) = blocked();
        drop(read);
        while !outbox.done().hush() {
            std::thread::yield_now();
        }
        outbox.close(|_| "end\n".to_owned());
        assert_eq!(outbox.shared.lock().lines.len(), 0);
    }
}
