//! Where in a file is nothing, and how does nothing get across?
//!
//! A sparse file, a disk of a virtual machine say, may be far longer than what is on the disk. Copied from file to
//! file its holes stay holes: both sides step over them. Only a new file can be stepped over; in any other, and on a
//! device, something old would stay.
//!
//! # Knows / never knows
//! Knows what `lseek` finds. Never knows how data is moved.

use rustix::fs::{FileType, SeekFrom, Stat, fstat, ftruncate, seek, tell};

use crate::exec::port::Port;

/// What comes next in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// So many bytes that are there.
    Data(u64),
    /// So many that are not.
    Hole(u64),
}

/// The holes of a file that is read from where it stands.
#[derive(Debug)]
pub(crate) struct Holes {
    /// Up to here all is data.
    data_until: u64,
}

impl Holes {
    /// Looks for holes, if there may be some and `to` is new.
    pub(crate) fn between(from: &Port, to: &Port) -> Option<Self> {
        let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let (read, written) = (fstat(from).ok()?, fstat(to).ok()?);
        // blocks are counted in 512 bytes, whatever the file system's own are
        let is_sparse = read.st_blocks.saturating_mul(512) < read.st_size;
        let is_new = u64::try_from(written.st_size).ok()? <= tell(to).ok()?;
        (is_file(&read) && is_file(&written) && is_sparse && is_new)
            .then_some(Self { data_until: 0 })
    }

    /// What comes next; `None` at the end, or if the file does not say.
    pub(crate) fn next(&mut self, from: &Port) -> Option<Piece> {
        let at = tell(from).ok()?;
        if at < self.data_until {
            return Some(Piece::Data(self.data_until - at));
        }
        let found = seek(from, SeekFrom::Data(at));
        let until = match found {
            Ok(data) if data > at => Some(data),
            Ok(_) => None,
            // nothing but a hole up to the end
            Err(_) => u64::try_from(fstat(from).ok()?.st_size).ok().filter(|end| *end > at),
        };
        if let Some(until) = until {
            seek(from, SeekFrom::Start(at)).ok()?;
            return Some(Piece::Hole(until - at));
        }
        found.ok()?;
        self.data_until = seek(from, SeekFrom::Hole(at)).ok()?;
        seek(from, SeekFrom::Start(at)).ok()?;
        (self.data_until > at).then(|| Piece::Data(self.data_until - at))
    }
}

/// Steps over so many bytes on both sides; false, and nothing has changed, if the file may not be so long.
pub(crate) fn step_over(from: &Port, to: &Port, bytes: u64) -> bool {
    let Some((read, written)) = tell(from).ok().zip(tell(to).ok()) else { return false };
    // the length comes first: it is what can be refused
    ftruncate(to, written.saturating_add(bytes)).is_ok()
        && seek(to, SeekFrom::Start(written.saturating_add(bytes))).is_ok()
        && seek(from, SeekFrom::Start(read.saturating_add(bytes))).is_ok()
}
