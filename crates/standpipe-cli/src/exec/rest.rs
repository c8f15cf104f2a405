//! What did a reader leave in its pipe?
//!
//! All bytes may have fitted into the pipe when its reader leaves without having read them: the writer has ended
//! well by then and cannot tell. So when the last byte is in the pipe, the pump's write end is exchanged for a read
//! end. The reader still sees the end of data, for nobody can write any more, and what is in the pipe outlives it.
//!
//! # Knows / never knows
//! Knows one pipe. Never knows who read it, nor what it means that something is left: `exit` does.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;

use crate::exec::port::{Kind, Port, reopen};
use crate::exec::stop::reader_gone;

/// A pipe into which everything has been written.
#[derive(Debug)]
pub(crate) struct Rest(OwnedFd);

impl Rest {
    /// Closes the write end of a pipe and keeps what is in it.
    pub(crate) fn of(written: Port) -> Option<Self> {
        if written.kind() != Kind::Pipe {
            return None;
        }
        let read = reopen(written.as_fd(), OFlags::RDONLY).ok();
        drop(written);
        read.map(Self)
    }

    /// Bytes that nobody will read any more; `None` while somebody still can.
    pub(crate) fn unread(self) -> Option<u64> {
        // As long as our own end is open, the pipe has a reader: it is exchanged for a write end to ask.
        let write = reopen(self.0.as_fd(), OFlags::WRONLY).ok()?;
        drop(self.0);
        reader_gone(write.as_fd()).then(|| rustix::io::ioctl_fionread(&write).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::exec::port::pipe;

    fn written(bytes: &[u8]) -> (std::fs::File, Rest) {
        let (read, write) = pipe().expect("there are pipes");
        let mut write = std::fs::File::from(write);
        write.write_all(bytes).expect("it fits");
        let port = Port::own(write.into()).expect("it is a pipe");
        (read.into(), Rest::of(port).expect("it is a pipe"))
    }

    #[test]
    fn the_reader_sees_the_end_and_what_it_leaves_is_known() {
        let (mut read, rest) = written(b"twelve bytes");
        let mut part = [0; 7];
        read.read_exact(&mut part).expect("so much is there");
        drop(read);
        assert_eq!(rest.unread(), Some(5));
        let (mut read, rest) = written(b"all");
        let mut all = Vec::new();
        read.read_to_end(&mut all).expect("it ends");
        drop(read);
        assert_eq!(rest.unread(), Some(0));
    }

    #[test]
    fn what_somebody_can_still_read_is_not_left() {
        let (mut read, rest) = written(b"later");
        assert_eq!(rest.unread(), None);
        let mut all = String::new();
        read.read_to_string(&mut all).expect("it ends, although we asked");
        assert_eq!(all, "later");
    }
}
