//! `AsyncRead` and `AsyncWrite`, both ways, with chunks of a sane size.
//!
//! The chunk size is what one read or write costs a system call for: 64 KiB
//! for sockets and pipes, 256 KiB for files. `tokio::io::copy` moves 8 KiB at
//! a time, which costs several times the CPU per byte.
//!
//! There are two families of these traits. A stream of tokio's is taken as it
//! is, one of `futures_io`'s wrapped as [`Futures`]; the doors implement both.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use bytes::BytesMut;

use crate::stage::More;
use crate::tank::Batch;
use crate::weigh::KIB;

mod doors;
#[cfg(feature = "futures-io")]
mod futures;
#[cfg(feature = "tokio")]
mod tcp;
#[cfg(feature = "tokio")]
mod tokios;

pub use doors::{DuplexDoor, ReadDoor, WriteDoor};
#[cfg(feature = "futures-io")]
pub use futures::Futures;
#[cfg(feature = "tokio")]
pub use tcp::{TcpReader, tcp};

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

    /// After short reads it goes on in the same allocation while that is worth
    /// it.
    const fn is_used_up(&self, left: usize) -> bool {
        left <= self.chunk >> 3
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

/// Writing, as both families have it.
trait Target {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Writes all of a batch, and flushes: what is written must not sit in a
/// buffer while the input idles.
async fn write_batch<B: AsRef<[u8]>>(
    to: &mut (impl Target + Send),
    written: &mut u64,
    batch: &mut Batch<B>,
) -> io::Result<More> {
    while let Some(item) = batch.pop() {
        let mut bytes = item.as_ref();
        while !bytes.is_empty() {
            let count = poll_fn(|cx| to.poll_write(cx, bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            *written = written.saturating_add(count as u64);
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }
    poll_fn(|cx| to.poll_flush(cx)).await?;
    Ok(More::Yes)
}

async fn flush_and_close(to: &mut (impl Target + Send)) -> io::Result<()> {
    poll_fn(|cx| to.poll_flush(cx)).await?;
    poll_fn(|cx| to.poll_close(cx)).await
}

impl<W, B> fmt::Debug for Writer<W, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
