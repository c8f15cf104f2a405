//! Where do bytes come from, and where do they go?
//!
//! Opening an end gives the line a port. What has to happen after the last byte (flush, publish under the final
//! name, tell the peer) is kept beside it as a [`Finish`], because only the whole run knows whether it succeeded.
//!
//! # Knows / never knows
//! Knows a scheme a file. Never knows pipelines: `command` opens ends and finishes them.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::args::Full;
use crate::end::file::Publication;
use crate::exec::copy::Feed;
use crate::exec::port::Port;
use crate::plan::{EndPlan, Publish};

#[cfg(feature = "http")]
pub(crate) mod http;
pub(crate) mod tcp;
pub(crate) mod unix;
pub(crate) mod synth;
pub(crate) mod file;
pub(crate) mod fd;

/// An end that could not be opened or finished.
#[derive(Debug)]
pub(crate) struct EndError {
    /// What went wrong, with the name in backticks; no `error:` in front.
    pub(crate) what: String,
    /// Lines that add detail.
    pub(crate) details: Vec<String>,
    /// The cure.
    pub(crate) hint: Option<String>,
}

impl EndError {
    /// One line and nothing else.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), details: Vec::new(), hint: None }
    }

    /// What was not possible, why the system said no, and the cure if there is one.
    pub(crate) fn of(what: impl fmt::Display, error: &io::Error) -> Self {
        let hint = cure(error).map(str::to_owned);
        Self { what: format!("{what}: {}", reason(error)), details: Vec::new(), hint }
    }

    /// The same of a process or thread that could not be started.
    pub(crate) fn of_start(what: impl fmt::Display, error: &io::Error) -> Self {
        let mut told = Self::of(what, error);
        if Errno::from_io_error(error) == Some(Errno::AGAIN) {
            let hint = "raise the number of processes and threads you may have: `ulimit -u`";
            told.hint = Some(hint.to_owned());
        }
        told
    }

    /// Adds the cure.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A source that is open.
#[derive(Debug)]
pub(crate) struct Source {
    /// What is read.
    pub(crate) feed: Feed,
    /// How many bytes are read at most.
    pub(crate) limit: Option<u64>,
    /// How many bytes there will be, if that is known.
    pub(crate) total: Option<u64>,
    /// What should be known about it.
    pub(crate) notes: Vec<String>,
}

/// A sink that is open.
#[derive(Debug)]
pub(crate) struct Sink {
    /// What is written.
    pub(crate) port: Port,
    /// What remains to be done after the last byte.
    pub(crate) finish: Finish,
}

/// What remains to be done with a sink after the last byte.
#[derive(Debug)]
pub(crate) enum Finish {
    /// The port is told that no more comes.
    Tell,
    /// A file gets its final name.
    Publish(Publication),
    /// A server has to confirm that it has all.
    #[cfg(feature = "http")]
    Upload(http::Upload),
    /// Bytes were added to a file in place.
    Appended {
        /// The file.
        path: PathBuf,
        /// The length it had before.
        before: u64,
    },
}

/// An output of which something remains to be done.
#[derive(Debug)]
pub(crate) struct Unfinished {
    /// The index of the stage that writes it.
    pub(crate) stage: usize,
    /// What remains to be done.
    pub(crate) finish: Finish,
    /// What is written, if the stage is no end: that of an end comes back from the line.
    pub(crate) port: Option<Port>,
}

impl Finish {
    /// What is written, if it gets its name by success.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Tell => None,
            Self::Publish(publication) => Some(publication.path()),
            #[cfg(feature = "http")]
            Self::Upload(upload) => Some(Path::new(upload.name())),
            Self::Appended { path, .. } => Some(path),
        }
    }
}

/// Refuses what can be refused before anything is opened or waited for.
///
/// # Errors
/// The file exists and is not to be replaced; it is a directory; its directory is missing; it is kept, and bytes may
/// be left out.
pub(crate) fn check_sink(end: &EndPlan, publish: Publish, full: Full) -> Result<(), EndError> {
    let is_kept = match end {
        EndPlan::File(path) => {
            fd::check_stream(path, fd::Side::Write)?;
            file::check(path, publish)?;
            file::is_kept(path)
        }
        #[cfg(feature = "http")]
        EndPlan::Http { .. } => true,
        _ => false,
    };
    if is_kept && full.drops() {
        let (name, full) = (end.label(), full.name());
        let what = format!("`{name}` would look complete with holes in it: `full` is `{full}`");
        let hint = "`drop-*` is for who reads along, as a connection does; write `wait` or `fail`";
        return Err(EndError::new(what).hint(hint));
    }
    Ok(())
}

/// Refuses a file that is written already by one of the ends that have these places, by whatever name; notes its
/// place.
///
/// # Errors
/// It is.
pub(crate) fn check_place(end: &EndPlan, places: &mut Vec<PathBuf>) -> Result<(), EndError> {
    let EndPlan::File(path) = end else { return Ok(()) };
    let Some(place) = file::is_kept(path).then(|| file::place(path)) else { return Ok(()) };
    if places.contains(&place) {
        let what = format!("{} is written twice", shown(path));
        return Err(EndError::new(what).hint("leave out one of them"));
    }
    places.push(place);
    Ok(())
}

/// Refuses to add to a file that is read, by whatever name: the run would read what it wrote, until the disk is full.
///
/// # Errors
/// They are one file.
pub(crate) fn check_loop(
    source: &EndPlan,
    sink: &EndPlan,
    publish: Publish,
) -> Result<(), EndError> {
    // any other file is a new one until it is published
    let is_in_place = publish == Publish::Append || matches!(sink, EndPlan::Stdio | EndPlan::Fd(_));
    let read = identity(source, 0).filter(|_| is_in_place);
    if read.is_some() && read == identity(sink, 1) {
        let what = format!("`{}` is read and appended to at once", sink.label());
        return Err(EndError::new(what).hint("write to another file"));
    }
    Ok(())
}

/// Whether an end is the file of this name, or will be. `standard` as for what is behind it.
pub(crate) fn is_at(end: &EndPlan, standard: i32, path: &Path) -> bool {
    let there = identity(&EndPlan::File(path.to_owned()), standard);
    let will_be = |own: &Path| file::is_kept(own) && file::place(own) == file::place(path);
    (there.is_some() && there == identity(end, standard))
        || matches!(end, EndPlan::File(own) if will_be(own))
}

/// Device and number of the file behind an end, which are the same for all its names. `standard` is the descriptor
/// that `-` is.
fn identity(end: &EndPlan, standard: i32) -> Option<(u64, u64)> {
    let of = |number: i32| PathBuf::from(format!("/proc/self/fd/{number}"));
    let path = match end {
        EndPlan::File(path) | EndPlan::Part { path, .. } => path.clone(),
        EndPlan::Stdio => of(standard),
        EndPlan::Fd(number) => of(*number),
        _ => return None,
    };
    let meta = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some((meta.dev(), meta.ino()))
}

/// Refuses a file that cannot be read, without waiting for anybody: nothing is asked of a FIFO, a
/// connection or a descriptor.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn check_source(end: &EndPlan) -> Result<(), EndError> {
    match end {
        EndPlan::File(path) if !file::is_fifo(path) => file::open(path).map(drop),
        EndPlan::Part { path, offset_bytes, length_bytes } => {
            file::open_part(path, *offset_bytes, *length_bytes).map(drop)
        }
        _ => Ok(()),
    }
}

/// Opens a source. May wait for a peer, for as long as that takes.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn open_source(end: &EndPlan) -> Result<Source, EndError> {
    let port =
        |port| Source { feed: Feed::Port(port), limit: None, total: None, notes: Vec::new() };
    match end {
        EndPlan::Stdio => fd::input().map(port),
        EndPlan::Fd(number) => fd::number(*number, fd::Side::Read).map(port),
        EndPlan::File(path) => file::open(path),
        EndPlan::Part { path, offset_bytes, length_bytes } => {
            file::open_part(path, *offset_bytes, *length_bytes)
        }
        EndPlan::Tcp { host, port: number } => tcp::connect(host, *number).map(port),
        EndPlan::TcpListen(address) => tcp::accept(*address).map(port),
        EndPlan::Unix(path) => unix::connect(path).map(port),
        #[cfg(feature = "http")]
        EndPlan::Http { uri, login } => http::open(uri, login.as_ref()),
        EndPlan::Null => synth::zeros(Some(0)),
        EndPlan::Zero { bytes } => synth::zeros(*bytes),
        EndPlan::Random { bytes, seed } => Ok(synth::random(*bytes, *seed)),
    }
}

/// Opens a sink for `length` bytes, if that is known. May wait for a peer, for as long as that takes.
///
/// # Errors
/// Why it cannot be written.
#[cfg_attr(
    not(feature = "http"),
    expect(unused_variables, reason = "no other end has to know the length")
)]
pub(crate) fn open_sink(
    end: &EndPlan,
    publish: Publish,
    length: Option<u64>,
) -> Result<Sink, EndError> {
    let tell = |port| Sink { port, finish: Finish::Tell };
    match end {
        EndPlan::Stdio => fd::output().map(tell),
        EndPlan::Fd(number) => fd::number(*number, fd::Side::Write).map(tell),
        EndPlan::File(path) | EndPlan::Part { path, .. } => file::create(path, publish),
        EndPlan::Tcp { host, port } => tcp::connect(host, *port).map(tell),
        EndPlan::TcpListen(address) => tcp::accept(*address).map(tell),
        EndPlan::Unix(path) => unix::connect(path).map(tell),
        #[cfg(feature = "http")]
        EndPlan::Http { uri, login } => http::create(uri, login.as_ref(), publish, length),
        EndPlan::Null | EndPlan::Zero { .. } | EndPlan::Random { .. } => synth::nothing().map(tell),
    }
}

/// Says whether opening it may take long: it waits for somebody.
pub(crate) fn may_wait(end: &EndPlan) -> bool {
    match end {
        EndPlan::Tcp { .. } | EndPlan::TcpListen(_) | EndPlan::Unix(_) => true,
        #[cfg(feature = "http")]
        EndPlan::Http { .. } => true,
        EndPlan::File(path) => file::is_fifo(path),
        _ => false,
    }
}

/// Says whether it has to answer in the time that nothing may move: who listens may wait for ever, a server may not.
pub(crate) fn must_answer(end: &EndPlan) -> bool {
    match end {
        #[cfg(feature = "http")]
        EndPlan::Http { .. } => true,
        _ => false,
    }
}

/// A name as it is shown: in backticks, control characters escaped.
pub(crate) fn shown(path: &Path) -> String {
    format!("`{}`", crate::args::shown(path))
}

/// What the system said, in lower case and without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match error.raw_os_error() {
        Some(code) => text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text),
        None => &text,
    };
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !text.starts_with("I/O") => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

/// What can be done about a limit of the system.
pub(crate) fn cure(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::MFILE => "raise the number of files a process may have open: `ulimit -n 4096`",
        Errno::NFILE => "the whole system has no file to spare: see `/proc/sys/fs/file-max`",
        Errno::TOOBIG => "put what is so long into a file, and name that",
        Errno::FBIG => "see `ulimit -f`; some file systems have a limit too, as FAT of 4 GiB",
        _ => return None,
    })
}

fn own(fd: impl Into<OwnedFd>, what: &str) -> Result<Port, EndError> {
    Port::own(fd.into())
        .map_err(|error| EndError::new(format!("cannot use {what}: {}", reason(&error))))
}
