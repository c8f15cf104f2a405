//! What does the terminal let us do right now?
//!
//! It is shared: with a shell that may have put us in the background, and with stages that ask for a password. Then
//! we hold still. Its size is looked at before each drawing, so none is drawn for another size.
//!
//! Taken, it shows its other screen, and keys come one by one without being echoed. Signals are left to the keys
//! they have, so Ctrl-C and Ctrl-Z reach the stages as ever. Whoever asks for a password changes the modes we have
//! set, of which `ECHONL` is for nothing but to be missed: by that we know that the keys are not for us. Nor are those
//! that were typed before it was taken: nobody was told yet that they do something.
//!
//! # Knows / never knows
//! Knows the terminal that is stderr. Never knows what is drawn on it, or what a key means.

use std::io::{Write as _, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossterm::{
    cursor::{Hide, Show},
    style::{Attribute, SetAttribute},
    terminal::{EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen},
};
use rustix::{
    event::Timespec,
    process::getpgrp,
    termios::{
        LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
        tcgetpgrp, tcgetwinsize, tcsetattr,
    },
};

use super::{ink::Sent, voice::takes};

/// A terminal that takes nothing for so long shows nothing.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// The terminal that is our stderr; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Glass(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    taken: Mutex<Option<Taken>>,
    /// Whether somebody reads keys from it.
    keys: AtomicBool,
}

/// What it was like before it was taken, and the modes we gave it.
#[derive(Clone, Debug)]
struct Taken {
    /// `None`: its modes are not ours to change.
    before: Option<(Termios, LocalModes)>,
}

impl Glass {
    /// Its columns and rows; `None` if it does not tell.
    pub(super) fn size(&self) -> Option<[u16; 2]> {
        let size = tcgetwinsize(stderr()).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some([size.ws_col, size.ws_row])
    }

    /// Says whether we may draw: nobody else has the terminal, and nobody asks for a password.
    pub(crate) fn is_ours(&self) -> bool {
        let Ok(modes) = tcgetattr(stderr()) else { return true };
        let ours = match self.taken() {
            Some(Taken { before: Some((_, ours)) }) => modes.local_modes == ours,
            _ => modes.local_modes.contains(LocalModes::ECHO),
        };
        ours && !is_behind()
    }

    /// Says whether keys come to us: it is taken, and the one we are controlled by.
    pub(crate) fn has_keys(&self) -> bool {
        matches!(self.taken(), Some(Taken { before: Some(_) }))
    }

    /// From now on, until it ends, somebody reads keys from it.
    pub(crate) fn read_keys(&self) {
        self.0.keys.store(true, Ordering::Relaxed);
    }

    /// Takes it: the other screen, no cursor, keys one by one. False if somebody else has it.
    pub(super) fn take(&self) -> bool {
        if is_behind() {
            return false;
        }
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // keys can only be read from the terminal we are controlled by
        let reads = self.0.keys.load(Ordering::Relaxed) && tcgetpgrp(stderr()).is_ok();
        let before = Some(()).filter(|()| reads).and_then(|_| tcgetattr(stderr()).ok());
        let before = before.and_then(|before| {
            let ours = set_modes(&before)?;
            Some((before, ours))
        });
        *taken = Some(Taken { before });
        drop(taken);
        let mut sent = Sent::default();
        sent.put(EnterAlternateScreen);
        sent.put(Hide);
        send(sent);
        true
    }

    /// Makes it what it was before it was taken. Does nothing the second time.
    pub(crate) fn give_back(&self) {
        let taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Taken { before }) = taken else { return };
        let mut sent = Sent::default();
        sent.put(EndSynchronizedUpdate);
        sent.put(SetAttribute(Attribute::Reset));
        sent.put(Show);
        sent.put(LeaveAlternateScreen);
        send(sent);
        if let Some((before, _)) = before.filter(|_| !is_behind()) {
            // a terminal that is gone needs nothing
            tcsetattr(stderr(), OptionalActions::Now, &before).ok();
        }
    }

    /// Takes it again after a stop in which somebody else had it.
    pub(super) fn retake(&self) {
        let Some(Taken { before: Some((before, _)) }) = self.taken() else { return };
        if !is_behind() {
            set_modes(&before);
        }
    }

    /// Says whether it is taken.
    pub(super) fn is_taken(&self) -> bool {
        self.taken().is_some()
    }

    fn taken(&self) -> Option<Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Has keys come one by one, from now on: what was typed before is thrown away. Gives the modes that mark it as ours.
///
/// `OptionalActions::Flush` would wait for a terminal that takes nothing.
fn set_modes(before: &Termios) -> Option<LocalModes> {
    let ours = modes(before);
    tcsetattr(stderr(), OptionalActions::Now, &ours).ok()?;
    tcflush(stderr(), QueueSelector::IFlush).ok();
    Some(ours.local_modes)
}

/// The modes for reading keys one by one.
fn modes(before: &Termios) -> Termios {
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.local_modes.insert(LocalModes::ECHONL);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    modes
}

/// Says whether we are in the background. A terminal that does not control us has no foreground that matters.
fn is_behind() -> bool {
    tcgetpgrp(stderr()).is_ok_and(|group| group != getpgrp())
}

/// Writes at once; a display that fails must not fail the run. One that takes nothing is left as it is.
fn send(sent: Sent) {
    if !takes(PATIENCE) {
        return;
    }
    let mut stderr = stderr().lock();
    stderr.write_all(sent.finish().as_bytes()).and_then(|()| stderr.flush()).ok();
}
