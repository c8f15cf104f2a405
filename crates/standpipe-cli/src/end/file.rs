//! How are files read, and how is one published only when it is complete?
//!
//! The bytes go to `.NAME.standpipe-XXXXXX` beside the final name. After the last byte, and only if the whole
//! pipeline succeeded, the file is synced, renamed, and its directory synced: whoever looks at the final name
//! sees nothing, the old file, or all of the new one. Dropping a [`Publication`] removes the hidden file.
//!
//! A symlink stays and its target is replaced. Devices and FIFOs have no name to publish and are written in place.
//!
//! # Knows / never knows
//! Knows names. Never knows whether the run succeeded: `command` says so.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::end::fd::{Side, check_stream};
use crate::end::{EndError, Finish, Sink, Source, own, shown};
use crate::exec::copy::Feed;
use crate::exec::port::Port;
use crate::plan::Publish;
use crate::size;

/// The longest file name that common file systems take, in bytes.
const NAME_MOST: usize = 255;

/// Opens a file to read.
pub(crate) fn open(path: &Path) -> Result<Source, EndError> {
    let fail = |error: io::Error| EndError::of(format!("cannot read {}", shown(path)), &error);
    check_stream(path, Side::Read)?;
    let file = File::open(path).map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    if meta.is_dir() {
        return Err(fail(Errno::ISDIR.into()));
    }
    // Files of /proc say that they are empty, so an empty file has no known length.
    let total = Some(meta.len()).filter(|len| meta.is_file() && *len > 0);
    let port = own(file, &shown(path))?;
    Ok(Source { feed: Feed::Port(port), limit: None, total, notes: Vec::new() })
}

/// Opens a part of a file or block device to read.
pub(crate) fn open_part(
    path: &Path,
    offset_bytes: u64,
    length_bytes: Option<u64>,
) -> Result<Source, EndError> {
    let fail = |error: io::Error| EndError::of(format!("cannot read {}", shown(path)), &error);
    check_stream(path, Side::Read)?;
    if is_fifo(path) {
        return Err(EndError::new(format!("cannot read a part of {}: it is a FIFO", shown(path))));
    }
    let mut file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(Errno::ISDIR.into()));
    }
    // a block device has a length, but does not tell it in its metadata
    let whole = file.seek(SeekFrom::End(0)).map_err(fail)?;
    let most = whole.checked_sub(offset_bytes);
    let length =
        most.map(|most| length_bytes.unwrap_or(most)).filter(|length| most >= Some(*length));
    let Some(length) = length else {
        let (from, has) = (size::size(offset_bytes), size::size(whole));
        let part = length_bytes.map_or_else(
            || format!("what begins at {from}"),
            |length| format!("{} from {from} on", size::size(length)),
        );
        let what = format!("cannot read {part} of {}: it has {has}", shown(path));
        return Err(EndError::new(what));
    };
    file.seek(SeekFrom::Start(offset_bytes)).map_err(fail)?;
    let port = own(file, &shown(path))?;
    Ok(Source {
        feed: Feed::Port(port),
        limit: Some(length),
        total: Some(length),
        notes: Vec::new(),
    })
}

/// Says whether opening it waits for a peer.
pub(crate) fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.file_type().is_fifo())
}

/// Says whether what is written stays there: it does in no device and no FIFO.
pub(crate) fn is_kept(path: &Path) -> bool {
    path.metadata().map_or(true, |meta| meta.is_file())
}

/// The one name of a file that has several.
pub(crate) fn place(path: &Path) -> PathBuf {
    let target = target(path);
    let directory = directory(&target);
    let whole = directory.canonicalize().unwrap_or(directory);
    target.file_name().map_or_else(|| whole.clone(), |name| whole.join(name))
}

/// Refuses a file that cannot be written, before anything is started.
pub(crate) fn check(path: &Path, publish: Publish) -> Result<(), EndError> {
    let name = shown(path);
    match path.metadata() {
        Ok(meta) if meta.is_dir() => {
            Err(EndError::new(format!("cannot write {name}: is a directory")))
        }
        Ok(meta) if meta.is_file() && publish == Publish::Refuse => Err(exists(&name)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let target = target(path);
            let directory = directory(&target);
            let names_directory = [&b"/"[..], b"/."];
            if names_directory.iter().any(|end| target.as_os_str().as_bytes().ends_with(end)) {
                let what = format!("cannot write {name}: there is no such directory");
                return Err(EndError::new(what).hint("write the name of a file"));
            }
            match directory.metadata() {
                Ok(meta) if meta.is_dir() => Ok(()),
                Ok(_) => Err(EndError::new(format!(
                    "cannot write {name}: {} is not a directory",
                    shown(&directory)
                ))),
                Err(_) => Err(EndError::new(format!(
                    "cannot write {name}: there is no directory {}",
                    shown(&directory)
                ))),
            }
        }
        Err(error) => Err(EndError::of(format!("cannot write {name}"), &error)),
    }
}

fn exists(name: &str) -> EndError {
    EndError::new(format!("cannot write {name}: it already exists"))
        .hint("`--overwrite` replaces it once all data is there, `--append` adds to it")
}

fn moved(name: &str) -> EndError {
    EndError::new(format!("cannot write {name}: its directory was moved or removed during the run"))
}

fn came_up(name: &str) -> EndError {
    let mut error = EndError::new(format!("cannot write {name}: it was created during the run"));
    error.details.push("that file is untouched".to_owned());
    error.hint("`--overwrite` replaces it")
}

/// Opens a file to write: hidden, in place, or to add to.
pub(crate) fn create(path: &Path, publish: Publish) -> Result<Sink, EndError> {
    let name = shown(path);
    let fail = |error: io::Error| EndError::of(format!("cannot write {name}"), &error);
    let old = path.metadata().ok();
    if old.as_ref().is_some_and(|meta| !meta.is_file() && !meta.is_dir()) {
        let file = OpenOptions::new().write(true).open(path).map_err(fail)?;
        return Ok(Sink { port: own(file, &name)?, finish: Finish::Tell });
    }
    check(path, publish)?;
    if publish == Publish::Append {
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(fail)?;
        let before = file.metadata().map_err(fail)?.len();
        return Ok(Sink {
            port: own(file, &name)?,
            finish: Finish::Appended { path: path.to_owned(), before },
        });
    }
    let target = target(path);
    let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(directory(&target), how, Mode::empty()).ok();
    let (file, temporary) = hidden(&target).map_err(fail)?;
    let temporary = Some(temporary);
    let publication = Publication { temporary, place, target, name: name.clone(), publish };
    if let Some(old) = &old {
        file.set_permissions(old.permissions()).map_err(fail)?;
    }
    Ok(Sink { port: own(file, &name)?, finish: Finish::Publish(publication) })
}

/// A complete file that has no name yet, or only a hidden one.
#[derive(Debug)]
pub(crate) struct Publication {
    /// Where the bytes are; `None` once that is settled.
    temporary: Option<PathBuf>,
    /// Its directory, whatever that is called meanwhile.
    place: Option<OwnedFd>,
    target: PathBuf,
    name: String,
    publish: Publish,
}

impl Publication {
    /// Syncs the bytes, and looks whether they may have their name: after it little can go wrong.
    ///
    /// # Errors
    /// The disk failed, or a file of that name has come up meanwhile.
    pub(crate) fn make_sure(&self, port: &Port) -> Result<(), EndError> {
        let name = &self.name;
        let fail = |error: io::Error| EndError::of(format!("cannot write {name}"), &error);
        sync(port).map_err(fail)?;
        match self.publish {
            Publish::Refuse if self.target.symlink_metadata().is_ok() => Err(came_up(name)),
            _ => Ok(()),
        }
    }

    /// Gives the bytes their name; they have been synced.
    ///
    /// # Errors
    /// The disk failed, or a file of that name has come up meanwhile; the hidden file is removed then.
    pub(crate) fn publish(mut self) -> Result<(), EndError> {
        let name = self.name.clone();
        let fail = |error: io::Error| EndError::of(format!("cannot write {name}"), &error);
        let Some(temporary) = &self.temporary else { return Ok(()) };
        match self.publish {
            Publish::Overwrite => {
                std::fs::rename(temporary, &self.target).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => moved(&name),
                    _ => fail(error),
                })?;
            }
            _ => move_to_free(temporary, &self.target).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => came_up(&name),
                io::ErrorKind::NotFound => moved(&name),
                _ => fail(error),
            })?,
        }
        self.temporary = None;
        sync_directory(&directory(&self.target)).map_err(fail)
    }

    /// Gives the bytes so far the name `NAME.partial`, or one with a number if that is taken; says which.
    ///
    /// # Errors
    /// The disk failed; the hidden file is removed then.
    pub(crate) fn keep_partial(mut self, port: &Port) -> Result<String, EndError> {
        let name = self.name.clone();
        let fail = |error: io::Error| EndError::of(format!("cannot keep {name}"), &error);
        sync(port).map_err(fail)?;
        let Some(temporary) = &self.temporary else { return Ok(name) };
        let mut number = 1;
        loop {
            let suffix =
                if number == 1 { ".partial".to_owned() } else { format!(".partial.{number}") };
            let mut partial = self.target.clone().into_os_string();
            partial.push(suffix);
            let partial = PathBuf::from(partial);
            match move_to_free(temporary, &partial) {
                Ok(()) => {
                    self.temporary = None;
                    return Ok(shown(&partial));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1
                }
                Err(error) => return Err(fail(error)),
            }
        }
    }

    /// The name as it is shown.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name it gets.
    pub(crate) fn path(&self) -> &Path {
        &self.target
    }

    /// Says whether a file of that name exists, which is then the previous one.
    pub(crate) fn previous_exists(&self) -> bool {
        self.target.exists()
    }

    /// Bytes free where it is written.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(directory(&self.target)).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        let Some(temporary) = &self.temporary else { return };
        let place = self.place.as_ref().zip(temporary.file_name());
        let removed = place.map(|(place, name)| unlinkat(place, name, AtFlags::empty()));
        if !matches!(removed, Some(Ok(()))) {
            // Nobody is left to be told; the name says what it is.
            std::fs::remove_file(temporary).ok();
        }
    }
}

/// Makes what was written last, whatever becomes of the power.
pub(crate) fn sync(port: &Port) -> io::Result<()> {
    match rustix::fs::fsync(port) {
        // Some file systems cannot, and their files are as safe as they ever get.
        Ok(()) | Err(Errno::INVAL | Errno::ROFS | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory).and_then(|file| file.sync_all()) {
        Err(error) if matches!(error.raw_os_error(), Some(code) if code == Errno::INVAL.raw_os_error()) => {
            Ok(())
        }
        // A directory that may be written but not read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Renames, but never replaces.
fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            // The file system cannot: a hard link never replaces either.
            linkat(CWD, from, CWD, to, AtFlags::empty())?;
            std::fs::remove_file(from)
        }
        other => other.map_err(Into::into),
    }
}

/// Follows symlinks to the name that is to be replaced, which need not exist.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(link) => path = directory(&path).join(link),
            Err(_) => break,
        }
    }
    path
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    }
}

/// Creates the hidden file beside `target`.
fn hidden(target: &Path) -> io::Result<(File, PathBuf)> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    loop {
        let temporary = directory(target).join(hidden_name(name));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&temporary);
        match file {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn hidden_name(name: &OsStr) -> OsString {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let suffix = b".standpipe-XXXXXX";
    let mut hidden = Vec::with_capacity(NAME_MOST);
    hidden.push(b'.');
    let name = name.as_bytes();
    hidden.extend(&name[..name.len().min(NAME_MOST - 1 - suffix.len())]);
    hidden.extend(&suffix[..suffix.len() - 6]);
    // Each hasher starts from random keys; five bits make a letter.
    let mut random = RandomState::new().build_hasher().finish();
    for _ in 0..6 {
        hidden.push(LETTERS[usize::from(random.to_le_bytes()[0] & 31)]);
        random >>= 5;
    }
    OsString::from_vec(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_fit_and_differ() {
        let long = OsString::from("x".repeat(255));
        let (one, other) = (hidden_name(&long), hidden_name(&long));
        assert_eq!(one.len(), NAME_MOST);
        assert_ne!(one, other);
        let short = hidden_name(OsStr::new("out")).into_string().expect("it is plain");
        assert!(
            short.starts_with(".out.standpipe-") && short.len() == ".out.standpipe-XXXXXX".len()
        );
    }
}
