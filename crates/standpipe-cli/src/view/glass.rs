//! What does the terminal let us do right now?
//!
//! It is shared: with a shell that may have put us in the background, and with stages that ask for a password. Then
//! we hold still. Its size is looked at before each drawing, so nothing has to be told that it changed.
//!
//! # Knows / never knows
//! Knows the terminal that is stderr. Never knows what is drawn on it.

use std::io::stderr;

use rustix::{
    process::getpgrp,
    termios::{LocalModes, tcgetattr, tcgetpgrp, tcgetwinsize},
};

/// The terminal that is our stderr.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glass;

impl Glass {
    /// Its columns and rows; `None` if it does not tell.
    pub(super) fn size(self) -> Option<[u16; 2]> {
        let size = tcgetwinsize(stderr()).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some([size.ws_col, size.ws_row])
    }

    /// Says whether we may draw: nobody else has the terminal, and nobody asks for a password.
    pub(super) fn is_ours(self) -> bool {
        // a terminal that is not the one we are controlled by has no foreground that matters
        let behind = tcgetpgrp(stderr()).is_ok_and(|group| group != getpgrp());
        let asked =
            tcgetattr(stderr()).is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ECHO));
        !behind && !asked
    }
}
