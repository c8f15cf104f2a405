//! What is one process doing right now?

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

/// Threads that are looked at; what a program with more of them does shows in these.
const THREADS: usize = 128;

/// No line of `/proc/PID/stat` is longer.
const LINE_BYTES: usize = 1024;

/// Room of less than a page: a writer of a page has to wait.
const PAGE_BYTES: u64 = 4096;

/// The number of a process.
pub(crate) type Pid = u32;

/// What a process does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// A thread runs or could.
    Runs,
    /// It waits for a disk.
    Disk,
    /// It waits to write into a pipe.
    Paused,
    /// It waits to read from a pipe.
    Starved,
    /// It waits for something that does not tell: a socket, a timer, several things at once.
    Waits,
    /// A signal has stopped it.
    Stopped,
    /// It has ended.
    Gone,
}

/// Where a file of one process is.
fn of(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// What it does now.
pub(crate) fn doing(pid: Pid) -> Doing {
    Stat::of(pid).map_or(Doing::Gone, |stat| stat.doing(pid))
}

/// What one thread does, which is found in this directory.
fn thread(path: &Path, state: char) -> Doing {
    match state {
        'R' => Doing::Runs,
        'D' => Doing::Disk,
        'T' | 't' => Doing::Stopped,
        'Z' | 'X' => Doing::Gone,
        _ => waits_at(&fs::read_to_string(path.join("wchan")).unwrap_or_default()),
    }
}

/// What the kernel's function says in which a thread sleeps: they are called `pipe_read`, `anon_pipe_write`,
/// `splice_from_pipe`, as kernels go.
fn waits_at(place: &str) -> Doing {
    if place.contains("pipe_write") || place.contains("wait_for_space") {
        Doing::Paused
    } else if place.contains("pipe_read") || place.contains("from_pipe") {
        Doing::Starved
    } else {
        Doing::Waits
    }
}

/// Of several that share the work the one with the least order tells.
const fn order(doing: Doing) -> u8 {
    match doing {
        Doing::Runs => 0,
        Doing::Disk => 1,
        Doing::Paused => 2,
        Doing::Starved => 3,
        Doing::Waits => 4,
        Doing::Stopped => 5,
        Doing::Gone => 6,
    }
}

/// The line of `/proc/PID/stat`, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    state: char,
    /// The one that started it.
    pub(crate) parent: Pid,
    pub(crate) group: Pid,
    /// CPU of all its threads, in ticks, and how much of it was the kernel's.
    cpu_ticks: u64,
    system_ticks: u64,
    /// CPU of the children it has waited for, and how often they touched a new page: none did not.
    children_ticks: u64,
    children_system_ticks: u64,
    children_faults: u64,
    threads: u64,
    /// When it began, in ticks since the machine did: together with its number that is one process and no later one.
    pub(crate) begun_ticks: u64,
}

impl Stat {
    /// The name in it may hold anything, so it is read from behind its last parenthesis.
    pub(super) fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        Some(Self {
            state: words.first()?.chars().next()?,
            parent: Pid::try_from(number(1)?).ok()?,
            group: Pid::try_from(number(2)?).ok()?,
            cpu_ticks: number(11)? + number(12)?,
            system_ticks: number(12)?,
            children_ticks: number(13)? + number(14)?,
            children_system_ticks: number(14)?,
            children_faults: number(8)?,
            threads: number(17)?,
            begun_ticks: number(19)?,
        })
    }

    /// Opens it for a process that is asked again and again.
    pub(super) fn open(pid: Pid) -> Option<File> {
        File::open(of(pid, "stat")).ok()
    }

    /// Reads one that is open; `None` once the process is gone, whoever has its number then.
    pub(super) fn again(file: &File) -> Option<Self> {
        let mut line = [0; LINE_BYTES];
        let read = file.read_at(&mut line, 0).ok()?;
        Self::read(&String::from_utf8_lossy(&line[..read]))
    }

    pub(crate) fn of(pid: Pid) -> Option<Self> {
        Self::read(&fs::read_to_string(of(pid, "stat")).ok()?)
    }

    /// What the process with this number does: its threads are asked, the first answer in the order of [`Doing`]
    /// counts.
    pub(crate) fn doing(&self, pid: Pid) -> Doing {
        if self.threads <= 1 {
            return thread(&of(pid, ""), self.state);
        }
        let tasks = fs::read_dir(of(pid, "task")).into_iter().flatten().flatten().take(THREADS);
        let doings = tasks.filter_map(|task| {
            let stat = Self::read(&fs::read_to_string(task.path().join("stat")).ok()?)?;
            Some(thread(&task.path(), stat.state))
        });
        first(doings).unwrap_or(Doing::Gone)
    }

    /// The CPU time it has used, in nanoseconds.
    pub(super) fn cpu_ns(&self) -> u64 {
        ticks_ns(self.cpu_ticks)
    }

    /// No less than the kernel's part of it: the tick that is begun counts as a whole one.
    pub(super) fn system_ns(&self) -> u64 {
        ticks_ns(self.system_ticks.saturating_add(1))
    }

    /// The CPU time of the children it has waited for.
    pub(super) fn children_cpu_ns(&self) -> u64 {
        ticks_ns(self.children_ticks)
    }

    /// No less than the kernel's part of it.
    pub(super) fn children_system_ns(&self) -> u64 {
        if self.has_waited() { ticks_ns(self.children_system_ticks.saturating_add(1)) } else { 0 }
    }

    /// Whether it has waited for a child.
    pub(super) const fn has_waited(&self) -> bool {
        self.children_ticks > 0 || self.children_faults > 0
    }

    /// The CPU time it has used, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        #[expect(clippy::cast_precision_loss, reason = "shown in percent")]
        let seconds = self.cpu_ticks as f64 / per_second as f64;
        seconds
    }
}

fn ticks_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

/// Of several that share the work, what the one does that tells most.
pub(super) fn first(doings: impl IntoIterator<Item = Doing>) -> Option<Doing> {
    let mut found: Option<Doing> = None;
    for doing in doings {
        if found.is_none_or(|found| order(doing) < order(found)) {
            found = Some(doing);
        }
        if found == Some(Doing::Runs) {
            break; // nothing tells more
        }
    }
    found
}

/// Bytes it has read and written so far, by any call and any descriptor: about what went through it.
pub(crate) fn moved_bytes(pid: Pid) -> Option<(u64, u64)> {
    let text = fs::read_to_string(of(pid, "io")).ok()?;
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    Some((number("rchar:")?, number("wchar:")?))
}

/// Its words, as they were given; the bare name if it has none.
pub(crate) fn label(pid: Pid) -> String {
    let words = fs::read(of(pid, "cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> =
        words.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return name(pid).unwrap_or_else(|| format!("process {pid}"));
    }
    OsString::from_vec(words.join(&b' ')).to_string_lossy().into_owned()
}

/// Its name, cut to 15 bytes by the kernel.
pub(crate) fn name(pid: Pid) -> Option<String> {
    let name = fs::read(of(pid, "comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// All processes that are called so, ours not counted.
pub(crate) fn named(wanted: &str) -> Vec<Pid> {
    let short: String = wanted.chars().take(15).collect();
    let mut found: Vec<Pid> =
        all().filter(|pid| name(*pid).is_some_and(|name| name == short)).collect();
    found.sort_unstable();
    found
}

/// All processes but this one.
pub(super) fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<Pid>().ok());
    pids.filter(|pid| *pid != std::process::id())
}

/// What a process has started and not waited for; `None` where the kernel does not tell.
pub(super) fn children(pid: Pid) -> Option<Vec<Pid>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let line = fs::read_to_string(task.path().join("children")).ok()?;
        found.extend(line.split_ascii_whitespace().flat_map(str::parse::<Pid>));
    }
    Some(found)
}

/// Which way a pipe is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Reads,
    Writes,
}

/// The pipes a process has open: descriptor, inode, way.
///
/// # Errors
/// If they may not be seen, or it is gone.
pub(crate) fn pipes(pid: Pid) -> io::Result<BTreeMap<i32, (u64, Way)>> {
    let open = open_as(pid, "pipe:[")?;
    Ok(open.filter_map(|(fd, inode)| Some((fd, (inode, way(pid, fd)?)))).collect())
}

/// The inodes of the sockets a process has open.
pub(super) fn sockets(pid: Pid) -> Vec<u64> {
    let open = open_as(pid, "socket:[").into_iter().flatten();
    open.map(|(_, inode)| inode).collect()
}

/// The descriptors of a process whose name begins so, and their inodes.
fn open_as(pid: Pid, kind: &str) -> io::Result<impl Iterator<Item = (i32, u64)>> {
    let entries = fs::read_dir(of(pid, "fd"))?.flatten();
    Ok(entries.filter_map(move |entry| {
        let fd = entry.file_name().to_str()?.parse::<i32>().ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix(kind)?.strip_suffix(']')?;
        Some((fd, inode.parse::<u64>().ok()?))
    }))
}

/// Somebody who can write to a pipe, as far as we may see.
pub(crate) fn holder(inode: u64) -> Option<Pid> {
    let writes = |(opened, way): &(u64, Way)| *opened == inode && *way == Way::Writes;
    all().find(|pid| pipes(*pid).is_ok_and(|open| open.values().any(writes)))
}

/// Whether anybody can still write to a pipe that this process reads. It is open once more for that moment only.
pub(crate) fn is_held(inode: u64) -> bool {
    let own = std::process::id();
    let reads = |(_, found): &(&i32, &(u64, Way))| **found == (inode, Way::Reads);
    let fd = pipes(own).ok().and_then(|open| open.iter().find(reads).map(|(fd, _)| *fd));
    let Some(fd) = fd else { return false };
    let pipe = path_of(own, fd, inode).and_then(|path| reopen(&path, OFlags::RDONLY));
    pipe.is_ok_and(|pipe| {
        let mut on = [PollFd::new(&pipe, PollFlags::IN)];
        poll(&mut on, Some(&Timespec::default())).is_ok()
            && !on[0].revents().contains(PollFlags::HUP)
    })
}

fn way(pid: Pid, fd: i32) -> Option<Way> {
    let info = fs::read_to_string(of(pid, &format!("fdinfo/{fd}"))).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
    match u32::from_str_radix(flags, 8).ok()? & 3 {
        0 => Some(Way::Reads),
        1 => Some(Way::Writes),
        _ => None, // a FIFO opened both ways tells nothing
    }
}

/// How full a pipe is that a process reads at this descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) bytes: u64,
    pub(crate) high_bytes: u64,
}

/// What a process does that waits for many things at once and does not say for which: the pipes before and after it
/// tell, where it has some.
pub(super) fn by_levels(before: Option<Level>, after: Option<Level>) -> Doing {
    let is_full = |pipe: Level| pipe.bytes.saturating_add(PAGE_BYTES) > pipe.high_bytes;
    if after.is_some_and(is_full) {
        Doing::Paused
    } else if before.is_some_and(|pipe| pipe.bytes == 0) {
        Doing::Starved
    } else {
        Doing::Waits
    }
}

/// Reads the level of a pipe. It is open for the moment of the reading only.
///
/// # Errors
/// If the descriptor is gone, or is that pipe no longer.
pub(crate) fn level(pid: Pid, fd: i32, inode: u64) -> io::Result<Level> {
    let pipe = reopen(&path_of(pid, fd, inode)?, OFlags::RDONLY)?;
    let bytes = rustix::io::ioctl_fionread(&pipe)?;
    let high_bytes = rustix::pipe::fcntl_getpipe_size(&pipe)?;
    Ok(Level { bytes, high_bytes: u64::try_from(high_bytes).unwrap_or(0) })
}

/// Whether nobody has the read end of the pipe that a process writes at this descriptor, other users included.
pub(crate) fn is_unread(pid: Pid, fd: i32, inode: u64) -> bool {
    let pipe = path_of(pid, fd, inode).and_then(|path| reopen(&path, OFlags::WRONLY));
    let Ok(pipe) = pipe else { return false };
    let mut ask = [PollFd::new(&pipe, PollFlags::OUT)];
    // a write end says so at once
    let asked = poll(&mut ask, Some(&Timespec::default()));
    asked.is_ok() && ask[0].revents().contains(PollFlags::ERR)
}

/// Whether a process has a pipe on its stdin in which nothing is.
pub(crate) fn is_dry(pid: Pid) -> bool {
    match stream(pid, 0) {
        Some((path, FileType::Fifo)) => reopen(&path, OFlags::RDONLY)
            .and_then(|pipe| rustix::io::ioctl_fionread(&pipe))
            .is_ok_and(|bytes| bytes == 0),
        _ => false,
    }
}

/// Whether the pipe on a process's stdout has no room for a page.
pub(crate) fn is_full(pid: Pid) -> bool {
    let Some((path, FileType::Fifo)) = stream(pid, 1) else { return false };
    reopen(&path, OFlags::WRONLY).is_ok_and(|pipe| {
        let mut ask = [PollFd::new(&pipe, PollFlags::OUT)];
        poll(&mut ask, Some(&Timespec::default())) == Ok(0)
    })
}

/// What a process has at a descriptor, not opened.
fn stream(pid: Pid, fd: i32) -> Option<(OwnedFd, FileType)> {
    let path = open(of(pid, &format!("fd/{fd}")), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let path = path.ok()?;
    let kind = FileType::from_raw_mode(fstat(&path).ok()?.st_mode);
    Some((path, kind))
}

/// A pipe of a process. A path alone opens nothing: a device or another pipe must not feel it.
fn path_of(pid: Pid, fd: i32, inode: u64) -> rustix::io::Result<OwnedFd> {
    let path = open(of(pid, &format!("fd/{fd}")), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo || stat.st_ino != inode {
        return Err(Errno::BADF);
    }
    Ok(path)
}

fn reopen(path: &OwnedFd, access: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open(format!("/proc/self/fd/{}", path.as_raw_fd()), flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_confuse_the_reading() {
        let line = "42 (a) b (c d)) S 7 42 42 0 -1 4194304 1 3 0 0 30 12 4 5 20 0 1 0 9001 1 1";
        let stat = Stat::read(line);
        let expected = Stat {
            state: 'S',
            parent: 7,
            group: 42,
            cpu_ticks: 42,
            system_ticks: 12,
            children_ticks: 9,
            children_system_ticks: 5,
            children_faults: 3,
            threads: 1,
            begun_ticks: 9001,
        };
        assert_eq!(stat, Some(expected));
        assert_eq!(Stat::read("42 (cut"), None);
        assert_eq!(Stat::read("42 (cut) S"), None);
    }

    #[test]
    fn the_place_of_a_sleep_says_which_way_it_waits() {
        for (place, doing) in [
            ("pipe_read", Doing::Starved),
            ("anon_pipe_read", Doing::Starved),
            ("splice_from_pipe", Doing::Starved),
            ("pipe_write", Doing::Paused),
            ("anon_pipe_write", Doing::Paused),
            ("ep_poll", Doing::Waits),
            ("0", Doing::Waits),
            ("", Doing::Waits),
        ] {
            assert_eq!(waits_at(place), doing, "{place}");
        }
    }

    #[test]
    fn the_pipes_tell_what_a_process_does_that_does_not() {
        let level = |bytes| Some(Level { bytes, high_bytes: 65_536 });
        for (before, after, doing) in [
            (level(0), level(65_536), Doing::Paused),
            (level(0), level(61_441), Doing::Paused),
            (level(0), level(61_440), Doing::Starved),
            (level(0), None, Doing::Starved),
            (level(1), level(0), Doing::Waits),
            (None, None, Doing::Waits),
        ] {
            assert_eq!(by_levels(before, after), doing, "{before:?} {after:?}");
        }
    }

    #[test]
    fn of_several_that_share_the_work_the_one_that_runs_tells() {
        assert_eq!(first([Doing::Waits, Doing::Runs, Doing::Paused]), Some(Doing::Runs));
        assert_eq!(first([Doing::Gone, Doing::Waits, Doing::Starved]), Some(Doing::Starved));
        assert_eq!(first([]), None);
    }

    #[test]
    fn the_level_of_a_pipe_is_read_and_another_descriptor_is_refused() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        rustix::io::write(&writer, b"hello").expect("room for five");
        let inode = fstat(&reader).expect("it is open").st_ino;
        let me = std::process::id();
        let level = level(me, reader.as_raw_fd(), inode).expect("it is ours");
        assert_eq!(level.bytes, 5);
        assert!(level.high_bytes >= 4096, "{level:?}");
        assert!(super::level(me, reader.as_raw_fd(), inode + 1).is_err());
        assert!(!is_unread(me, writer.as_raw_fd(), inode));
        let pipes = pipes(me).expect("our own");
        assert_eq!(pipes.get(&reader.as_raw_fd()), Some(&(inode, Way::Reads)));
        assert_eq!(pipes.get(&writer.as_raw_fd()), Some(&(inode, Way::Writes)));
    }

    #[test]
    fn a_process_that_ended_is_gone() {
        let mut child = std::process::Command::new("true").spawn().expect("it starts");
        let pid = child.id();
        child.wait().expect("it ends");
        assert_eq!(doing(pid), Doing::Gone);
        assert!(moved_bytes(pid).is_none());
    }
}
