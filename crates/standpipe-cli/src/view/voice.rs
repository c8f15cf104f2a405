//! How is something said without waiting for whoever listens?
//!
//! Stderr may be a pipe that nobody empties: a pager, a supervisor that has hung. Who writes to it and waits is deaf to
//! signals and to the clock for as long. So during a run text is kept and passed on as stderr takes it; only the
//! commands, which say far more than we do, are held up, as they would be in a shell. A terminal can be as deaf, stopped
//! by Ctrl-S or behind a connection that hangs; it is opened once more, so that a write to it need not wait.
//!
//! # Knows / never knows
//! Knows stderr and bytes. Never knows what they say.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// What comes while so much is kept is left out.
const MOST_BYTES: usize = 256 << 10;
/// A command is held up while more than this is kept.
const HELD_BYTES: usize = 64 << 10;
/// A pipe that takes anything takes so much without a wait.
const AT_ONCE: usize = 4096;
/// Whoever is held up looks this often whether it still is.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// So many looks are a moment.
const MOMENT: u32 = 5;

/// Our stderr; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voice(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    /// Text is kept if it is not taken at once.
    keeps: AtomicBool,
    /// Nobody is held up any more.
    hurries: AtomicBool,
    /// The terminal that stderr is, without waits.
    own: OnceLock<OwnedFd>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// Lines that came when there was no room.
    left_out: usize,
    /// Nobody will ever listen again.
    gone: bool,
}

impl Voice {
    /// From now on nothing is waited for.
    pub(crate) fn keep(&self) {
        // of a pipe it is known whether it takes a little; of a terminal it is not, and how we share it is not ours to
        // change
        if io::stderr().is_terminal() {
            let how = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let Ok(own) = open("/proc/self/fd/2", how, Mode::empty()) else { return };
            self.0.own.get_or_init(|| own);
        }
        self.0.keeps.store(true, Ordering::Relaxed);
    }

    /// Passes on all that is kept, for a moment; what is not taken then is dropped: the terminal is to be given back.
    pub(crate) fn settle(&self) {
        for _ in 0..MOMENT {
            self.pass();
            if self.is_done() || self.0.hurries.load(Ordering::Relaxed) {
                break;
            }
            takes(LOOK);
        }
        self.kept().bytes.clear();
    }

    /// Holds nobody up any more.
    pub(crate) fn hurry(&self) {
        self.0.hurries.store(true, Ordering::Relaxed);
    }

    /// Whether what is said now is taken now.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_done() && takes(Timespec::default())
    }

    /// Whether nothing is kept.
    pub(crate) fn is_done(&self) -> bool {
        self.kept().bytes.is_empty()
    }

    /// Waits until a line of a command can be said, on a thread that has nothing else to do. False if it is to be left
    /// out.
    pub(crate) fn hold(&self) -> bool {
        loop {
            self.pass();
            let mut kept = self.kept();
            if kept.bytes.len() <= HELD_BYTES {
                return true;
            }
            if self.0.hurries.load(Ordering::Relaxed) {
                kept.left_out += 1;
                return false;
            }
            drop(kept);
            takes(LOOK);
        }
    }

    /// Waits until something is taken, `beside` can be read, or the time is over.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn wait(&self, beside: BorrowedFd<'_>, most: Option<Duration>) -> io::Result<()> {
        let stderr = io::stderr();
        let beside = PollFd::from_borrowed_fd(beside, PollFlags::IN);
        let mut on = [PollFd::new(&stderr, PollFlags::OUT), beside];
        let most = most.and_then(|most| Timespec::try_from(most).ok());
        match poll(&mut on, most.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Passes on as much as is taken.
    pub(crate) fn pass(&self) {
        let mut kept = self.kept();
        while !kept.bytes.is_empty() && takes(Timespec::default()) {
            let (next, _) = kept.bytes.as_slices();
            let next = &next[..next.len().min(AT_ONCE)];
            let written = match self.0.own.get() {
                Some(own) => rustix::io::write(own, next),
                None => rustix::io::write(io::stderr(), next),
            };
            match written {
                Ok(count) => drop(kept.bytes.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    kept.bytes.clear();
                    kept.gone = true;
                }
            }
            if kept.bytes.is_empty() {
                kept.tell_left_out();
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn tell_left_out(&mut self) {
        let lines = std::mem::take(&mut self.left_out);
        if lines > 0 && !self.gone {
            let note =
                format!("note: {lines} lines were left out here: nobody read them in time\n");
            self.bytes.extend(note.as_bytes());
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.gone {
            return;
        }
        if self.bytes.len() + bytes.len() <= MOST_BYTES {
            self.tell_left_out();
            self.bytes.extend(bytes);
        } else {
            self.left_out += bytes.iter().filter(|byte| **byte == b'\n').count();
        }
    }
}

impl Write for Voice {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.0.keeps.load(Ordering::Relaxed) {
            return io::stderr().write_all(bytes).map(|()| bytes.len());
        }
        self.kept().take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.0.keeps.load(Ordering::Relaxed) {
            self.pass();
            return Ok(());
        }
        io::stderr().flush()
    }
}

/// Whether stderr takes something, or an error is to be had from it, within that time.
pub(super) fn takes(time: Timespec) -> bool {
    let stderr = io::stderr();
    let mut on = [PollFd::new(&stderr, PollFlags::OUT)];
    matches!(poll(&mut on, Some(&time)), Ok(1..))
}
