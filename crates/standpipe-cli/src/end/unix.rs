//! How do bytes come and go over a Unix stream socket?
//!
//! # Knows / never knows
//! Knows a path. Never knows what the peer is.

use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::end::{EndError, own, shown};
use crate::exec::port::Port;

/// Connects.
pub(crate) fn connect(path: &Path) -> Result<Port, EndError> {
    let name = shown(path);
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        // it is found before the system is asked, and named after a constant of C
        std::io::ErrorKind::InvalidInput => {
            EndError::new(format!("cannot connect to {name}: a socket has a shorter path"))
                .hint("a path has at most 107 bytes there; go to its directory, or link to it")
        }
        _ => EndError::of(format!("cannot connect to {name}"), &error),
    })?;
    own(stream, &name)
}
