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
    let stream = UnixStream::connect(path)
        .map_err(|error| EndError::of(format!("cannot connect to {name}"), &error))?;
    own(stream, &name)
}
