//! `AsyncRead` and `AsyncWrite`, both ways, with chunks of a sane size.
//!
//! The chunk size is what one read or write costs a system call for: 64 KiB
//! for sockets and pipes, 256 KiB for files. `tokio::io::copy` moves 8 KiB at
//! a time, which costs several times the CPU per byte.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::error::{Cause, CauseKind, WriteError};
use crate::stage::{Emit, More, Sink, Source};
use crate::tank::{Batch, Duplex, Readable, Writable};
use crate::weigh::KIB;

/// Bytes per read from sockets and pipes.
pub const DEFAULT_CHUNK: usize = 64 * KIB;

/// The source of [`reader`].
pub struct Reader<R> {
    from: R,
    buffer: BytesMut,
    chunk: usize,
}

/// A source that brings what an `AsyncRead` gives, as `Bytes`.
///
/// # Memory
/// One chunk; what was read shares it until it is dropped.
pub fn reader<R>(from: R) -> Reader<R> {
    Reader { from, buffer: BytesMut::new(), chunk: DEFAULT_CHUNK }
}

impl<R> Reader<R> {
    /// Sets how many bytes one read may bring, at least 1.
    #[must_use]
    pub fn chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes.max(1);
        self
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> Source for Reader<R> {
    type Item = Bytes;
    type Error = io::Error;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> Result<More, io::Error> {
        // after short reads go on in the same allocation while it is worth it
        if self.buffer.capacity() <= self.chunk >> 3 {
            self.buffer.reserve(self.chunk);
        }
        if self.from.read_buf(&mut self.buffer).await? == 0 {
            return Ok(More::No);
        }
        out.send(self.buffer.split().freeze()).await;
        Ok(More::Yes)
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("chunk", &self.chunk).finish_non_exhaustive()
    }
}

/// The sink of [`writer`].
pub struct Writer<W, B> {
    to: W,
    bytes: u64,
    items: std::marker::PhantomData<fn(B)>,
}

/// A sink that writes byte items to an `AsyncWrite`; `finish` flushes and
/// shuts it down (half-close on a socket); its `Done` is the number of bytes.
///
/// # Memory
/// None of its own: an item is charged to its tank until it is written.
pub const fn writer<W, B>(to: W) -> Writer<W, B> {
    Writer { to, bytes: 0, items: std::marker::PhantomData }
}

impl<W, B> Sink for Writer<W, B>
where
    W: AsyncWrite + Unpin + Send + 'static,
    B: AsRef<[u8]> + Send + Sync + 'static,
{
    type In = B;
    type Done = u64;
    type Error = io::Error;

    async fn write(&mut self, batch: &mut Batch<B>) -> Result<More, io::Error> {
        while let Some(item) = batch.pop() {
            let bytes = item.as_ref();
            self.to.write_all(bytes).await?;
            self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        }
        // what is written must not sit in a buffer while the input idles
        self.to.flush().await?;
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<u64, io::Error> {
        self.to.flush().await?;
        self.to.shutdown().await?;
        Ok(self.bytes)
    }
}

impl<W, B> fmt::Debug for Writer<W, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A TCP connection as a source and a sink. Each direction ends by itself:
/// the sink's `finish` sends FIN and the source goes on.
pub fn tcp(stream: TcpStream) -> (Reader<OwnedReadHalf>, Writer<OwnedWriteHalf, Bytes>) {
    let (read, write) = stream.into_split();
    (reader(read), writer(write))
}

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
}

impl AsyncRead for ReadDoor {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.readable.poll_item(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(bytes)) => this.rest = bytes,
                Some(Err(cause)) => return Poll::Ready(Err(as_io_error(cause))),
            }
        }
        let count = this.rest.len().min(into.remaining());
        into.put_slice(&this.rest[..count]);
        this.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// A tank of bytes for code that wants an `AsyncWrite`.
///
/// `shutdown` ends the tank; dropped without it, the reader gets
/// [`Abandoned`](CauseKind::Abandoned).
pub struct WriteDoor {
    writable: Option<Writable<Bytes>>,
    ticket: Option<u64>,
}

impl WriteDoor {
    /// Writes into the tank.
    #[must_use]
    pub const fn new(writable: Writable<Bytes>) -> Self {
        Self { writable: Some(writable), ticket: None }
    }
}

impl AsyncWrite for WriteDoor {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(writable) = &this.writable else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(writable.core().poll_open(cx, &mut this.ticket)).map_err(as_io_error)?;
        let count = bytes.len().min(DEFAULT_CHUNK);
        match writable.write(Bytes::copy_from_slice(&bytes[..count])) {
            Ok(_) => Poll::Ready(Ok(count)),
            Err(WriteError::Closed(_, cause)) => Poll::Ready(Err(as_io_error(cause))),
            Err(_) => {
                // another writer was quicker: wait again
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // every write is visible at once
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writable) = self.get_mut().writable.take() {
            writable.end();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for WriteDoor {
    fn drop(&mut self) {
        if let (Some(writable), Some(ticket)) = (&self.writable, self.ticket.take()) {
            writable.core().leave(ticket);
        }
    }
}

impl fmt::Debug for WriteDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteDoor").field("writable", &self.writable).finish_non_exhaustive()
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
    read: ReadDoor,
    write: WriteDoor,
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

impl AsyncRead for DuplexDoor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, into)
    }
}

impl AsyncWrite for DuplexDoor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
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
