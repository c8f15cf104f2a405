//! Who may look at a run from outside, and what does that cost it?
//!
//! A run listens on a socket of its own, `$XDG_RUNTIME_DIR/standpipe/PID.sock`, and tells whoever connects what it
//! tells its record: the start, samples, the end. Nothing that is sent to it is read. A guest has a queue of
//! bounded size in which a sample takes the place of the one before, so no guest is waited for; there are few
//! seats, and none for another user. The socket goes when the run does, and what a killed run left behind is
//! removed by the next one.
//!
//! # Knows / never knows
//! Knows a socket and who is at its other end. Never knows what is told: `command/record` does.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Uid, geteuid};

use crate::command::record::Record;
use crate::exec::stop::{Bell, wait};

/// Sockets of others that are looked at, at most, for the run they belonged to.
const MOST_STALE: usize = 256;
/// Until somebody who could not be let in is looked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// Where runs of this user listen; `None` if there is no such place.
fn place() -> Option<PathBuf> {
    let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    runtime.is_absolute().then(|| runtime.join("standpipe"))
}

/// Whether a run can be looked at from outside at all.
pub(super) fn is_possible() -> bool {
    place().is_some()
}

/// Connects to the run of this process, if it is one of ours.
pub(super) fn knock(pid: u32) -> Option<UnixStream> {
    let stream = UnixStream::connect(place()?.join(format!("{pid}.sock"))).ok()?;
    (geteuid().is_root() || is_ours(&stream)).then_some(stream)
}

/// Whether this user, or root, is at the other end.
fn is_ours(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| may_meet(peer.uid, geteuid()))
}

/// Whether one user may be told of the runs of the other; root is told of all.
fn may_meet(peer: Uid, own: Uid) -> bool {
    peer == own || peer.is_root()
}

/// The open door of a run. Dropping it closes it and removes the socket.
#[derive(Debug)]
pub(super) struct Door {
    path: PathBuf,
    shut: Arc<Bell>,
}

impl Door {
    /// Opens it; `None` if there is no place for a socket that is ours alone. A run goes on without.
    pub(super) fn open(record: &Arc<Record>, look: &Arc<Bell>) -> Option<Self> {
        let place = place()?;
        prepare(&place).ok()?;
        clean(&place);
        let path = place.join(format!("{}.sock", std::process::id()));
        fs::remove_file(&path).ok(); // an earlier process of our number
        let listener = UnixListener::bind(&path).ok()?;
        let opened = Self::listen(listener, &path, record, look);
        if opened.is_err() {
            fs::remove_file(&path).ok();
        }
        opened.ok()
    }

    fn listen(
        listener: UnixListener,
        path: &Path,
        record: &Arc<Record>,
        look: &Arc<Bell>,
    ) -> io::Result<Self> {
        // nobody else gets into the directory, so there is no hurry
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let shut = Arc::new(Bell::new()?);
        let (record, look, stop) = (Arc::clone(record), Arc::clone(look), Arc::clone(&shut));
        let receive = move || {
            while waits(&listener, &stop) {
                let Ok((guest, _)) = listener.accept() else {
                    pause(&stop);
                    continue;
                };
                if is_ours(&guest)
                    && guest.set_nonblocking(false).is_ok()
                    && record.admit(guest.into())
                {
                    look.ring(); // it is told at once how things are
                }
            }
        };
        std::thread::Builder::new().name("door".to_owned()).stack_size(128 << 10).spawn(receive)?;
        Ok(Self { path: path.to_owned(), shut })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
        self.shut.ring();
    }
}

/// Waits until somebody knocks; false if the door is shut.
fn waits(listener: &UnixListener, shut: &Bell) -> bool {
    let of = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let mut on = [of(listener.as_fd()), of(shut.as_fd())];
    wait(&mut on, None).is_ok() && on[1].revents().is_empty()
}

/// Waits a while, unless the door is shut: with no descriptor left a guest stays at the door, and would be found there
/// again and again.
fn pause(shut: &Bell) {
    wait(&mut [PollFd::from_borrowed_fd(shut.as_fd(), PollFlags::IN)], Some(PAUSE)).ok();
}

/// Makes the directory, or sees to it that it is nobody else's.
fn prepare(place: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let seen = fs::symlink_metadata(place)?;
    let is_ours = seen.is_dir() && seen.uid() == geteuid().as_raw() && seen.mode() & 0o077 == 0;
    if is_ours { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Removes what runs that were killed have left.
fn clean(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten().take(MOST_STALE) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_suffix(".sock")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_of_to_its_user_and_to_root() {
        for (peer, own, meet) in [
            (1000, 1000, true),
            (0, 1000, true),
            (0, 0, true),
            (1001, 1000, false),
            (1000, 0, false),
        ] {
            assert_eq!(may_meet(Uid::from_raw(peer), Uid::from_raw(own)), meet, "{peer} {own}");
        }
    }
}
