//! Which keys were pressed?
//!
//! A thread reads them one by one from the terminal that controls us and rings a bell, as it is done with signals.
//! It reads only while the terminal is ours: the whole screen is shown there, we are in the foreground, and nobody
//! has changed its modes, as whoever asks for a password does. What waits there until then is left to the others, and
//! what they leave is no key: it was typed for somebody else.
//!
//! # Knows / never knows
//! Knows keys. Never knows what they do to a run: `command/run` does.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{QueueSelector, tcflush};

use crate::exec::stop::{Bell, wait};
use crate::view::Glass;

/// Keys that nobody has looked at yet; more are not waited for.
const MOST: usize = 64;
/// A terminal that is somebody else's is looked at again after this long.
const LATER: Duration = Duration::from_millis(100);

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// `q`: abort.
    Quit,
    /// `d`: drain and stop.
    Drain,
    /// `p`: pause, or go on.
    Pause,
    /// `-`: a lower limit.
    Slower,
    /// `+`: a higher limit.
    Faster,
    /// `r`: no limit.
    Free,
    /// `t`: tanks of half the size.
    Smaller,
    /// `T`: tanks of twice the size.
    Larger,
    /// `?`: the help, or back.
    Help,
}

impl Key {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'q' => Self::Quit,
            b'd' => Self::Drain,
            b'p' | b' ' => Self::Pause,
            b'-' => Self::Slower,
            b'+' | b'=' => Self::Faster,
            b'r' => Self::Free,
            b't' => Self::Smaller,
            b'T' => Self::Larger,
            b'?' | b'h' => Self::Help,
            _ => return None,
        })
    }
}

/// The keys of one run.
#[derive(Debug)]
pub(crate) struct Keys {
    came: Arc<Mutex<Vec<Key>>>,
    stop: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// Begins to read keys; `None` if there is no terminal to read them from.
    pub(crate) fn open(glass: Glass, bell: &Arc<Bell>) -> Option<Self> {
        // a stage may take what poll has promised us, and a read must not wait for the next key then
        let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(open("/dev/tty", how, Mode::empty()).ok()?);
        let came = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(Bell::new().ok()?);
        let reader = Reader {
            terminal,
            glass,
            came: Arc::clone(&came),
            bell: Arc::clone(bell),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new().name("keys".to_owned()).stack_size(128 << 10);
        let told = reader.glass.clone();
        let thread = thread.spawn(move || reader.read()).ok()?;
        told.read_keys();
        Some(Self { came, stop, thread: Some(thread) })
    }

    /// Takes what was pressed, oldest first.
    pub(crate) fn take(&self) -> Vec<Key> {
        std::mem::take(&mut *self.came.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.ring();
        if let Some(thread) = self.thread.take() {
            // a reader that panicked reads no more, which is what is wanted
            thread.join().ok();
        }
    }
}

struct Reader {
    terminal: File,
    glass: Glass,
    came: Arc<Mutex<Vec<Key>>>,
    bell: Arc<Bell>,
    stop: Arc<Bell>,
}

impl Reader {
    fn read(&self) {
        let stop = || PollFd::from_borrowed_fd((*self.stop).as_fd(), PollFlags::IN);
        // the keys were for somebody who asks, and it is not certain that this is over
        let mut lent = false;
        loop {
            let has_keys = self.glass.has_keys();
            let is_ours = has_keys && self.glass.is_ours();
            let (mut on, patience) = if is_ours && !lent {
                (vec![stop(), PollFd::new(&self.terminal, PollFlags::IN)], None)
            } else {
                (vec![stop()], Some(LATER))
            };
            if wait(&mut on, patience).is_err() || !on[0].revents().is_empty() {
                return;
            }
            if !is_ours {
                lent = has_keys;
                continue;
            }
            // whoever asks twice gives the modes back for a moment only; then the next answer is theirs as well
            if lent && self.glass.has_keys() && self.glass.is_ours() {
                tcflush(&self.terminal, QueueSelector::IFlush).ok();
                lent = false;
            }
            // somebody may have asked for a password since: then it is for them
            let pressed = on.get(1).is_some_and(|terminal| !terminal.revents().is_empty());
            if !pressed || !self.glass.has_keys() || !self.glass.is_ours() {
                continue;
            }
            let mut bytes = [0_u8; MOST];
            match rustix::io::read(&self.terminal, &mut bytes) {
                Ok(0) => return,
                // an arrow, or another key of several bytes, is none of ours
                Ok(_) if bytes[0] == 0x1b => {}
                Ok(count) => self.pass(&bytes[..count]),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
    }

    fn pass(&self, bytes: &[u8]) {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(came.len());
        came.extend(bytes.iter().filter_map(|byte| Key::of(*byte)).take(room));
        drop(came);
        self.bell.ring();
    }
}
