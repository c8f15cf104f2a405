//! How do our own streams stand, and who else uses them?
//!
//! # Knows / never knows
//! Knows descriptors 0, 1 and 2. Never knows which stage uses them.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use crate::exec::outset;
use crate::exec::port::{Kind, kind_of};
use crate::exec::stop::reader_gone;

/// One of our own streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Descriptor 0.
    In,
    /// Descriptor 1.
    Out,
    /// Descriptor 2.
    Err,
}

/// Says whether the stream was closed when we were started.
pub(crate) fn was_closed(stream: Stream) -> bool {
    match stream {
        Stream::In => outset::was_closed(0),
        Stream::Out => outset::was_closed(1),
        Stream::Err => outset::was_closed(2),
    }
}

/// Makes stdin and stdout fail whoever uses them if they were closed when we were started, as they would in a shell:
/// a command that inherits `/dev/null` in their place would read an empty input, or lose its output, and end well.
pub(crate) fn keep_closed() {
    let null = |options: &mut OpenOptions| options.open("/dev/null").ok();
    // Failing leaves what the standard library has put there.
    if was_closed(Stream::In)
        && let Some(unreadable) = null(OpenOptions::new().write(true))
    {
        rustix::stdio::dup2_stdin(&unreadable).ok();
    }
    if was_closed(Stream::Out)
        && let Some(unwritable) = null(OpenOptions::new().read(true))
    {
        rustix::stdio::dup2_stdout(&unwritable).ok();
    }
}

/// Says whether nobody reads our stdout any more.
pub(crate) fn stdout_reader_gone() -> bool {
    matches!(kind_of(io::stdout().as_fd()), Ok(Kind::Pipe | Kind::SharedSocket))
        && reader_gone(io::stdout().as_fd())
}

/// Says whether stdout and stderr are the same terminal: what is written to one gets between the lines of the other.
pub(crate) fn share_a_terminal() -> bool {
    let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).ok().map(|stat| stat.st_rdev);
    io::stdout().is_terminal()
        && io::stderr().is_terminal()
        && device(io::stdout().as_fd()) == device(io::stderr().as_fd())
}

/// Replaces our stdin by `/dev/null`, if it is a pipe or socket: its writer must see when the one who reads it has
/// gone, and that is no longer us.
pub(crate) fn let_go_of_stdin() {
    let stdin = io::stdin();
    if matches!(kind_of(stdin.as_fd()), Ok(Kind::Pipe | Kind::SharedSocket))
        && let Ok(null) = std::fs::File::open("/dev/null")
    {
        // Failing leaves a spare read end, which costs the writer a late SIGPIPE and nothing else.
        rustix::stdio::dup2_stdin(&null).ok();
    }
}
