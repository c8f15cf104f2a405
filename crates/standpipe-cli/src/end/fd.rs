//! How are descriptors used that were open at start?
//!
//! They are copied, and their shared description is left as it is. Our own stdin is then replaced by `/dev/null`,
//! for a second read end of the same pipe would keep its writer from ever seeing that the reader has gone.
//!
//! # Knows / never knows
//! Knows the numbers 0, 1 and those named on the command line. Never knows what lies behind them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::end::{EndError, shown};
use crate::exec::port::Port;
use crate::exec::stdio::{Stream, was_closed};

/// Which way a descriptor must be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Bytes come from it.
    Read,
    /// Bytes go to it.
    Write,
}

/// Our stdin as a source; nobody else of us reads it from now on.
pub(crate) fn input() -> Result<Port, EndError> {
    if was_closed(Stream::In) {
        return Err(EndError::new("cannot read stdin: it is closed"));
    }
    let copy = io::stdin().as_fd().try_clone_to_owned();
    let port =
        copy.and_then(|fd| checked(fd, Side::Read)).and_then(Port::inherited).map_err(|error| {
            let error = EndError::of("cannot read stdin", &error);
            error.hint("give a file with `--from`, or put a producer before `standpipe` with `|`")
        })?;
    crate::exec::stdio::let_go_of_stdin();
    Ok(port)
}

/// Our stdout as a sink.
pub(crate) fn output() -> Result<Port, EndError> {
    if was_closed(Stream::Out) {
        return Err(EndError::new("cannot write stdout: it is closed"));
    }
    let copy = io::stdout().as_fd().try_clone_to_owned();
    copy.and_then(|fd| checked(fd, Side::Write))
        .and_then(Port::inherited)
        .map_err(|error| EndError::of("cannot write stdout", &error))
}

/// Refuses a file that is another name of a stream that was closed when we were started: what is opened by it now is
/// the `/dev/null` that was put in its place.
///
/// # Errors
/// It is.
pub(crate) fn check_stream(path: &Path, side: Side) -> Result<(), EndError> {
    let direct = |path: &Path| {
        let place = path.parent()?.canonicalize().ok()?;
        let ours = Path::new("/proc/self/fd").canonicalize().ok()?;
        let number = path.file_name()?.to_str()?.parse::<u8>().ok()?;
        (place == ours).then_some(number)
    };
    // `/dev/stdin` is a link to the number
    let linked = || direct(&path.read_link().ok()?);
    let stream = match direct(path).or_else(linked) {
        Some(0) => Stream::In,
        Some(1) => Stream::Out,
        Some(2) => Stream::Err,
        _ => return Ok(()),
    };
    if was_closed(stream) {
        let verb = if side == Side::Read { "read" } else { "write" };
        return Err(EndError::new(format!("cannot {verb} {}: it is closed", shown(path))));
    }
    Ok(())
}

/// The descriptor `fd:NUMBER`.
pub(crate) fn number(number: i32, side: Side) -> Result<Port, EndError> {
    match (number, side) {
        (0, Side::Read) => return input(),
        (1, Side::Write) => return output(),
        _ => {}
    }
    copy(number)
        .and_then(|fd| checked(fd, side))
        .and_then(Port::inherited)
        .map_err(|error| refused(number, side, &error))
}

/// A copy of descriptor `number` to write lines to, its shared description left as it is.
pub(crate) fn writable_copy(number: i32) -> Result<OwnedFd, EndError> {
    if number == 1 && was_closed(Stream::Out) {
        return Err(EndError::new("cannot write stdout: it is closed"));
    }
    copy(number)
        .and_then(|fd| checked(fd, Side::Write))
        .map_err(|error| refused(number, Side::Write, &error))
}

/// Asked of the kernel by number, for a number alone is not known to be a descriptor.
fn copy(number: i32) -> io::Result<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(own, number, PidfdGetfdFlags::empty())?)
}

fn refused(number: i32, side: Side, error: &io::Error) -> EndError {
    let verb = if side == Side::Read { "read" } else { "write" };
    EndError::of(format!("cannot {verb} `fd:{number}`"), error).hint(format!(
        "open it in the shell, as in `{number}{}FILE`",
        if side == Side::Read { '<' } else { '>' }
    ))
}

fn checked(fd: OwnedFd, side: Side) -> io::Result<OwnedFd> {
    let mode = fcntl_getfl(&fd)? & OFlags::ACCMODE;
    let fits = mode == OFlags::RDWR || (mode == OFlags::RDONLY) == (side == Side::Read);
    if !fits {
        let way = if side == Side::Read { "reading" } else { "writing" };
        return Err(io::Error::other(format!("it is not open for {way}")));
    }
    Ok(fd)
}
