//! What does this kernel let us do?
//!
//! Each call is tried once on descriptors of our own, since a version number says little: containers filter
//! calls, and file systems refuse some. Everything works without them; what is refused is done more slowly.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{CWD, MemfdFlags, RenameFlags, copy_file_range, memfd_create, renameat_with};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::exec::port::pipe;

/// What came of a try.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It works.
    Yes,
    /// It does not.
    No(io::Error),
}

/// The kernel's own name for its version.
pub(crate) fn release() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", text.trim()))
}

/// Tries the calls that make a run faster or safer.
pub(crate) fn calls() -> [(&'static str, Answer); 4] {
    [
        ("splice", answer(try_splice())),
        ("copy_file_range", answer(try_copy())),
        ("pidfd", answer(pidfd_open(getpid(), PidfdFlags::empty()).map(drop).map_err(Into::into))),
        ("renameat2", answer(try_rename())),
    ]
}

/// The most one pipe may hold, and what all pipes of a user may hold together.
pub(crate) fn pipe_limits() -> [(&'static str, Option<u64>); 2] {
    let number = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/proc/sys/fs/{name}")).ok()?.trim().parse().ok()
    };
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let pages = number("pipe-user-pages-soft").and_then(|pages| pages.checked_mul(page));
    [("a pipe", number("pipe-max-size")), ("pipes of a user", pages)]
}

fn answer(tried: io::Result<()>) -> Answer {
    match tried {
        Ok(()) => Answer::Yes,
        Err(error) => Answer::No(error),
    }
}

fn try_splice() -> io::Result<()> {
    let ((read, write), (_reader, to)) = (pipe()?, pipe()?);
    rustix::io::write(&write, b"x")?;
    splice(read.as_fd(), None, to.as_fd(), None, 1, SpliceFlags::NONBLOCK)?;
    Ok(())
}

fn try_copy() -> io::Result<()> {
    let file = || memfd_create("standpipe", MemfdFlags::CLOEXEC);
    let (from, to) = (file()?, file()?);
    rustix::io::write(&from, b"x")?;
    copy_file_range(&from, Some(&mut 0), &to, None, 1)?;
    Ok(())
}

/// A rename that replaces nothing, of a name that cannot exist: whoever knows the call says so.
fn try_rename() -> io::Result<()> {
    match renameat_with(CWD, "/proc/0/none", CWD, "/proc/0/other", RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
