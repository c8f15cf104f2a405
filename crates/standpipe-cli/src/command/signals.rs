//! Which signals came, and how does one end us for real?
//!
//! A thread takes signals as data and rings a bell; the run looks at them when it is ready to. What was ignored
//! when we were started stays ignored (`nohup`), so no handler is installed for it.
//!
//! # Knows / never knows
//! Knows signals. Never knows what they do to a run: `command/run` does.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGSYS, SIGTERM, SIGTRAP,
    SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::exec::stop::Bell;
use crate::view::Glass;

/// Signals that came and were not looked at yet; more than this many are one storm.
const MOST: usize = 64;

/// What ends a process at once. Where the whole screen is ours, it is given back before.
const DEADLY: [i32; 10] =
    [SIGQUIT, SIGABRT, SIGALRM, SIGUSR2, SIGVTALRM, SIGPROF, SIGXCPU, SIGIO, SIGSYS, SIGTRAP];

/// How often somebody at the terminal has asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Or it was somebody else.
    Once,
    /// Whoever asks twice does not want to wait.
    Twice,
}

/// The signals of one run.
#[derive(Debug)]
pub(crate) struct Inbox {
    came: Arc<Mutex<Vec<i32>>>,
    bell: Arc<Bell>,
}

impl Inbox {
    /// Installs the handlers; where the whole screen is ours, also those that give it back, and of its size.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn open(whole: Option<Glass>) -> io::Result<Self> {
        let ignored = ignored();
        // A file size limit is to be an error of the write, not a death that leaves a hidden file behind.
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGTSTP, SIGCONT, SIGXFSZ];
        let screen = DEADLY.into_iter().chain([SIGWINCH]).filter(|_| whole.is_some());
        let heard = wanted.into_iter().chain(screen).filter(|signal| {
            // A shell ignores INT for what it starts in the background, and nohup ignores HUP.
            !([SIGINT, SIGHUP, SIGTSTP].contains(signal) && (ignored >> (signal - 1)) & 1 == 1)
        });
        let mut signals = Signals::new(heard)?;
        let came = Arc::new(Mutex::new(Vec::new()));
        let bell = Arc::new(Bell::new()?);
        let (inbox, ring) = (Arc::clone(&came), Arc::clone(&bell));
        std::thread::Builder::new().name("signals".to_owned()).stack_size(128 << 10).spawn(
            move || {
                for signal in signals.forever() {
                    if let Some(glass) = whole.as_ref().filter(|_| DEADLY.contains(&signal)) {
                        glass.give_back();
                        die_of(signal);
                    }
                    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
                    if inbox.len() < MOST {
                        inbox.push(signal);
                    }
                    drop(inbox);
                    ring.ring();
                }
            },
        )?;
        Ok(Self { came, bell })
    }

    /// Whether something came that is to end us. A stop is obeyed meanwhile.
    pub(crate) fn ends(&self) -> bool {
        self.bell.hush();
        let mut ends = false;
        for signal in self.take() {
            match signal {
                SIGINT | SIGHUP | SIGTERM => ends = true,
                SIGTSTP => suspend(),
                _ => {}
            }
        }
        ends
    }

    /// Takes what came, oldest first.
    pub(crate) fn take(&self) -> Vec<i32> {
        std::mem::take(&mut *self.came.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first of what came that is to end us, and whether somebody asked twice. It is not taken.
    pub(crate) fn end(&self) -> Option<(i32, Asked)> {
        let came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        let first = came.iter().find(|signal| [SIGINT, SIGHUP, SIGTERM].contains(signal))?;
        let is_twice = came.iter().filter(|signal| **signal == SIGINT).nth(1).is_some();
        Some((*first, if is_twice { Asked::Twice } else { Asked::Once }))
    }

    /// Rings when something came, and is shared with whatever else the run waits for.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

/// Stops this process as SIGTSTP does; returns when it goes on.
pub(crate) fn suspend() {
    // Failing means going on, which is all that can be done.
    emulate_default_handler(SIGTSTP).ok();
}

/// Dies of `signal` as if it had never been handled, so that the parent sees a real death by it.
pub(crate) fn die_of(signal: i32) {
    // Returning means that the exit code has to tell.
    emulate_default_handler(signal).ok();
}

/// The mask of signals that are ignored, as `/proc` tells it.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
