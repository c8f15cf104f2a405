//! What is a descriptor, and how are bytes moved through it without blocking?
//!
//! A pump must stay reachable, so it never sits in a `read` or `write` that another process can prolong. Pipes of
//! our own get `O_NONBLOCK` on our end only; an inherited pipe or terminal is opened anew through
//! `/proc/self/fd`, because the flag belongs to the shared description and the shell would find its terminal
//! non-blocking; sockets are asked per call. Files block for as long as the disk does, and no longer.
//!
//! # Knows / never knows
//! Knows what `fstat` says and which calls suit. Never knows schemes or names: `end` does.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

use crate::exec::stop::ready;

/// The most pipe memory one run takes: an unprivileged user has 64 MiB in all, and past it every new pipe of that
/// user shrinks to 8 KiB.
pub(crate) const PIPE_BUDGET: u64 = 16 << 20;
/// The most one pipe may hold.
pub(crate) const PIPE_MOST: u64 = 1 << 20;
/// What a pipe has by itself.
pub(crate) const PIPE_PLAIN: usize = 64 << 10;

/// What a port is made of, as far as moving bytes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pipe or FIFO: splices, polls, has a level.
    Pipe,
    /// A regular file or block device: always ready, blocks for the disk.
    File,
    /// A socket that this process made: splices.
    Socket,
    /// A socket shared with others: copied, never switched to non-blocking.
    SharedSocket,
    /// `/dev/null`: takes everything, splices.
    Null,
    /// A terminal or another device: copied, polled before each call if it could not be opened anew.
    Device,
}

/// One side of a tank.
#[derive(Debug)]
pub(crate) struct Port {
    fd: OwnedFd,
    kind: Kind,
    /// Its description is ours and non-blocking, so a call may be tried without polling first.
    bold: bool,
    /// The length of a file when it came to us.
    length: u64,
    /// A pipe that this run made: its size is ours to choose.
    made: bool,
}

/// The size of each pipe of a kernel's tank with this high-water mark, where one or two are part of it.
pub(crate) fn pipe_share(high: u64, two: bool) -> usize {
    let share = if two { high / 2 } else { high }.clamp(4096, PIPE_MOST);
    usize::try_from(share).map_or(PIPE_PLAIN, |share| 1 << share.ilog2())
}

impl Port {
    /// One end of a pipe that was just made.
    pub(crate) fn of_pipe(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { made: true, ..Self::own(fd)? })
    }

    /// Takes a descriptor that nobody else shares: its description may be made non-blocking.
    pub(crate) fn own(fd: OwnedFd) -> io::Result<Self> {
        let kind = match kind_of(fd.as_fd())? {
            Kind::SharedSocket => Kind::Socket,
            kind => kind,
        };
        let bold = !matches!(kind, Kind::File | Kind::Null);
        if bold {
            fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
        }
        let length = length_of(fd.as_fd(), kind);
        Ok(Self { fd, kind, bold, length, made: false })
    }

    /// Takes a copy of an inherited descriptor and leaves the shared description as it is.
    pub(crate) fn inherited(fd: OwnedFd) -> io::Result<Self> {
        let kind = kind_of(fd.as_fd())?;
        if kind == Kind::Pipe || rustix::termios::isatty(&fd) {
            let access = fcntl_getfl(&fd)? & OFlags::ACCMODE;
            if let Ok(anew) = reopen(fd.as_fd(), access) {
                return Ok(Self { fd: anew, kind, bold: true, length: 0, made: false });
            }
        }
        let bold = matches!(kind, Kind::File | Kind::SharedSocket | Kind::Null);
        let length = length_of(fd.as_fd(), kind);
        Ok(Self { fd, kind, bold, length, made: false })
    }

    /// The same descriptor once more: the file behind it stays open until both are closed.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn twin(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, ..*self })
    }

    /// How many bytes are missing at the end of a file that has become shorter while it was read. A length that the
    /// file never had is no reason: those of `/sys` say that they have 4096 bytes.
    pub(crate) fn missing(&self) -> Option<u64> {
        let is_shorter = length_of(self.fd.as_fd(), self.kind) < self.length;
        let at = rustix::fs::tell(&self.fd).ok().filter(|_| is_shorter)?;
        self.length.checked_sub(at).filter(|missing| *missing > 0)
    }

    /// What it is made of.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Says whether bytes can go from `self` to `to` inside the kernel, which takes a pipe on one side.
    pub(crate) fn splices_to(&self, to: &Self) -> bool {
        let from = matches!(self.kind, Kind::Pipe | Kind::File | Kind::Socket);
        let onto = matches!(to.kind, Kind::Pipe | Kind::File | Kind::Socket | Kind::Null);
        from && onto && (self.kind == Kind::Pipe || to.kind == Kind::Pipe)
    }

    /// Says whether every write goes to the end of the file, whoever else writes to it.
    pub(crate) fn appends(&self) -> bool {
        fcntl_getfl(&self.fd).is_ok_and(|flags| flags.contains(OFlags::APPEND))
    }

    /// Bytes that lie in the pipe; 0 for all else.
    pub(crate) fn level(&self) -> u64 {
        if self.kind != Kind::Pipe {
            return 0;
        }
        rustix::io::ioctl_fionread(&self.fd).unwrap_or(0)
    }

    /// Bytes the pipe can hold; 0 for all else.
    pub(crate) fn capacity(&self) -> u64 {
        if self.kind != Kind::Pipe {
            return 0;
        }
        fcntl_getpipe_size(&self.fd).map_or(0, |size| size as u64)
    }

    /// Says whether it is a pipe that this run made.
    pub(crate) fn is_made(&self) -> bool {
        self.made
    }

    /// Gives the pipe this size, or leaves it smaller if the kernel refuses; false if it stays larger, which it does
    /// while it holds more than that.
    pub(crate) fn reshape(&self, size: usize) -> bool {
        self.resize(size) || self.capacity() <= size as u64
    }

    /// Gives the pipe this size; false if the kernel refused.
    pub(crate) fn resize(&self, size: usize) -> bool {
        fcntl_setpipe_size(&self.fd, size).is_ok()
    }

    /// Says whether a writer of this input pipe would have to wait. Bytes do not tell: sixteen one-byte writes
    /// fill a pipe of 64 KiB. So the write end is opened for this one question.
    pub(crate) fn is_full(&self) -> bool {
        if self.kind != Kind::Pipe {
            return true;
        }
        match reopen(self.fd.as_fd(), OFlags::WRONLY) {
            Ok(end) => !ready(end.as_fd(), PollFlags::OUT),
            Err(_) => self.level() + 4096 > self.capacity(),
        }
    }

    /// Reads once.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there yet; `Ok(0)` is the end of data.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let read = match self.kind {
            Kind::Socket | Kind::SharedSocket => {
                rustix::net::recv(&self.fd, &mut *into, RecvFlags::DONTWAIT).map(|(n, _)| n)
            }
            _ if !self.bold && !ready(self.fd.as_fd(), PollFlags::IN) => Err(Errno::AGAIN),
            _ => rustix::io::read(&self.fd, &mut *into),
        };
        match read {
            // A terminal or pseudo terminal whose far side left says EIO where a pipe says end of data.
            Err(Errno::IO) if rustix::termios::isatty(&self.fd) => Ok(0),
            other => other.map_err(Into::into),
        }
    }

    /// Writes once, perhaps less than all.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; `BrokenPipe` if nobody reads any more.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let wrote = match self.kind {
            Kind::Socket | Kind::SharedSocket => {
                rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
            // A blocking pipe that polls writable has one page free: more than that could block.
            _ if !self.bold && !ready(self.fd.as_fd(), PollFlags::OUT) => Err(Errno::AGAIN),
            _ if !self.bold => rustix::io::write(&self.fd, &bytes[..bytes.len().min(4096)]),
            _ => rustix::io::write(&self.fd, bytes),
        };
        wrote.map_err(Into::into)
    }

    /// Passes the end of data on where closing the descriptor alone would not: the other direction of a socket
    /// may still be in use.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.kind {
            Kind::Socket | Kind::SharedSocket => {
                match rustix::net::shutdown(&self.fd, Shutdown::Write) {
                    Err(Errno::NOTCONN) | Ok(()) => self.failure().map_or(Ok(()), Err),
                    Err(other) => Err(other.into()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Port {
    /// Says whether a poll told of this output that nobody will read it. It would tell so again at once.
    pub(crate) fn is_gone(&self, told: PollFlags) -> bool {
        match self.kind {
            Kind::Pipe | Kind::Device => told.intersects(PollFlags::ERR),
            Kind::Socket | Kind::SharedSocket => told.intersects(PollFlags::ERR | PollFlags::HUP),
            Kind::File | Kind::Null => false,
        }
    }

    /// What has befallen a connection since the last call failed, if the system knows.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        match self.kind {
            Kind::Socket | Kind::SharedSocket => {
                rustix::net::sockopt::socket_error(&self.fd).ok()?.err().map(Into::into)
            }
            _ => None,
        }
    }

    /// Makes closing a socket a reset, so that the peer does not take what it has for all there is.
    pub(crate) fn reset(&self) {
        if self.kind == Kind::Socket {
            // Not every socket can: a Unix socket has no reset.
            rustix::net::sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO)).ok();
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes a pipe whose ends die with an `exec`; both ends block.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// The inode of a pipe, by which `/proc` names it.
pub(crate) fn inode(fd: BorrowedFd<'_>) -> u64 {
    fstat(fd).map_or(0, |stat| stat.st_ino)
}

/// What a descriptor is made of; a socket counts as shared.
pub(crate) fn kind_of(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let stat = fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Kind::Pipe,
        FileType::RegularFile | FileType::BlockDevice => Kind::File,
        FileType::Socket => Kind::SharedSocket,
        FileType::CharacterDevice if stat.st_rdev == rustix::fs::makedev(1, 3) => Kind::Null,
        _ => Kind::Device,
    })
}

/// Opens what is behind a descriptor anew, without blocking: its flags are then nobody else's.
pub(crate) fn reopen(fd: BorrowedFd<'_>, access: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    open(format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty())
}

/// The length of a regular file; 0 for all else.
fn length_of(fd: BorrowedFd<'_>, kind: Kind) -> u64 {
    let stat = Some(fd).filter(|_| kind == Kind::File).and_then(|fd| fstat(fd).ok());
    stat.and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::event::PollFd;

    use super::*;
    use crate::exec::stop::wait;

    /// The end of the data was sent to nobody, and the run was called a success.
    #[test]
    fn a_connection_that_broke_behind_the_last_byte_is_not_finished() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let port = |stream: TcpStream| Port::own(stream.into()).expect("it is a socket");
        let near = port(TcpStream::connect(address).expect("somebody listens"));
        let far = port(listener.accept().expect("it was connected").0);
        assert_eq!(near.write(b"all").expect("it is connected"), 3);
        far.reset();
        drop(far);
        let mut on = [PollFd::from_borrowed_fd(near.as_fd(), PollFlags::empty())];
        wait(&mut on, None).expect("it can be polled");
        assert!(near.is_gone(on[0].revents()));
        let error = near.finish().expect_err("nobody has read it");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        let near = port(TcpStream::connect(address).expect("somebody listens"));
        let _far = listener.accept().expect("it was connected");
        near.finish().expect("nothing is wrong");
    }
}
