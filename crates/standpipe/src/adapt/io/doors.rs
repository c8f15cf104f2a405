//! Tanks of bytes for code that wants an `AsyncRead`, an `AsyncWrite` or both.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::adapt::entry::Entry;
use crate::adapt::io::DEFAULT_CHUNK;
use crate::error::{Cause, CauseKind, WriteError};
use crate::tank::{Duplex, Readable, Writable};

/// A tank of bytes for code that wants an `AsyncRead`.
#[derive(Debug)]
pub struct ReadDoor {
    readable: Readable<Bytes>,
    rest: Bytes,
}

impl ReadDoor {
    /// Reads what is written into the tank.
    #[must_use]
    pub const fn new(readable: Readable<Bytes>) -> Self {
        Self { readable, rest: Bytes::new() }
    }

    /// The next bytes, at most so many; none is the end.
    pub(super) fn poll_some(&mut self, cx: &Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        while self.rest.is_empty() {
            match ready!(self.readable.poll_item(cx)) {
                None => return Poll::Ready(Ok(Bytes::new())),
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(cause)) => return Poll::Ready(Err(as_io_error(cause))),
            }
        }
        Poll::Ready(Ok(self.rest.split_to(self.rest.len().min(most))))
    }
}

/// A tank of bytes for code that wants an `AsyncWrite`.
///
/// `shutdown` or `close` ends the tank; dropped without it, the reader gets
/// [`Abandoned`](CauseKind::Abandoned).
pub struct WriteDoor(Entry<Bytes>);

impl WriteDoor {
    /// Writes into the tank.
    #[must_use]
    pub const fn new(writable: Writable<Bytes>) -> Self {
        Self(Entry::new(writable))
    }

    pub(super) fn poll_put(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.0.writable().is_none() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let writable = ready!(self.0.poll_open(cx)).map_err(as_io_error)?;
            let count = bytes.len().min(DEFAULT_CHUNK);
            match writable.write(Bytes::copy_from_slice(&bytes[..count])) {
                Ok(_) => return Poll::Ready(Ok(count)),
                Err(WriteError::Closed(_, cause)) => return Poll::Ready(Err(as_io_error(cause))),
                Err(_) => {} // another writer was quicker: wait again
            }
        }
    }

    pub(super) fn end(&mut self) {
        self.0.end();
    }
}

impl fmt::Debug for WriteDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteDoor").field("writable", &self.0.writable()).finish_non_exhaustive()
    }
}

/// A side of a [`duplex_pair`](crate::tank::duplex_pair) for code that wants
/// an `AsyncRead` and `AsyncWrite` in one, as a socket is.
///
/// `shutdown` ends what this side writes, and it goes on reading: a half-close.
///
/// # Memory
/// None of its own.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use standpipe::adapt::io::DuplexDoor;
/// use standpipe::tank::duplex_pair;
/// use standpipe::{KIB, Tank};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (near, far) = duplex_pair(Tank::bytes(16 * KIB), Tank::bytes(16 * KIB));
/// let (mut client, mut server) = (DuplexDoor::new(near), DuplexDoor::new(far));
/// client.write_all(b"GET /").await?;
/// client.shutdown().await?; // and still reads
/// let mut request = String::new();
/// server.read_to_string(&mut request).await?;
/// server.write_all(request.to_lowercase().as_bytes()).await?;
/// server.shutdown().await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "get /");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct DuplexDoor {
    pub(super) read: ReadDoor,
    pub(super) write: WriteDoor,
}

impl DuplexDoor {
    /// Reads and writes what the far side writes and reads.
    #[must_use]
    pub fn new(side: Duplex<Bytes>) -> Self {
        let (readable, writable) = side.split();
        Self { read: ReadDoor::new(readable), write: WriteDoor::new(writable) }
    }

    /// The two halves, for two tasks.
    #[must_use]
    pub fn into_split(self) -> (ReadDoor, WriteDoor) {
        (self.read, self.write)
    }
}

fn as_io_error(cause: Cause) -> io::Error {
    let kind = match cause.kind() {
        CauseKind::Stopped => io::ErrorKind::BrokenPipe,
        CauseKind::Abandoned => io::ErrorKind::UnexpectedEof,
        CauseKind::Cancelled => io::ErrorKind::ConnectionAborted,
        CauseKind::Expired => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, cause)
}
