//! The traits of `futures_io`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};

use crate::adapt::io::{DuplexDoor, ReadDoor, Reader, Target, WriteDoor, Writer};
use crate::adapt::io::{flush_and_close, write_batch};
use crate::stage::{Emit, More, Sink, Source};
use crate::tank::Batch;

/// Says that a stream's traits are those of `futures_io`, for
/// [`reader`](super::reader) and [`writer`](super::writer).
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use standpipe::adapt::io::{Futures, reader, writer};
/// use standpipe::{KIB, Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let from = futures::io::Cursor::new(vec![7; 100 * KIB]);
/// let to = futures::io::sink();
/// let run = Pipeline::from("memory", reader(Futures(from)))
///     .tank(Tank::bytes(64 * KIB))
///     .to("nowhere", writer::<_, Bytes>(Futures(to)))
///     .run();
/// assert_eq!(run.await?.done, 100 * 1024);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
pub struct Futures<S>(pub S);

impl<S> fmt::Debug for Futures<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Futures(..)")
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> Source for Reader<Futures<R>> {
    type Item = Bytes;
    type Error = io::Error;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> Result<More, io::Error> {
        // what these streams read into has to be initialised: once per
        // allocation, not once per read
        if self.is_used_up(self.buffer.len()) {
            self.buffer = BytesMut::zeroed(self.chunk);
        }
        let Self { from, buffer, .. } = self;
        let count = poll_fn(|cx| Pin::new(&mut from.0).poll_read(cx, buffer)).await?;
        if count == 0 {
            return Ok(More::No);
        }
        let bytes = buffer.split_to(count.min(buffer.len())).freeze();
        out.send(bytes).await;
        Ok(More::Yes)
    }
}

impl<W: AsyncWrite + Unpin> Target for Futures<W> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

impl<W, B> Sink for Writer<Futures<W>, B>
where
    W: AsyncWrite + Unpin + Send + 'static,
    B: AsRef<[u8]> + Send + Sync + 'static,
{
    type In = B;
    type Done = u64;
    type Error = io::Error;

    async fn write(&mut self, batch: &mut Batch<B>) -> Result<More, io::Error> {
        write_batch(&mut self.to, &mut self.bytes, batch).await
    }

    async fn finish(&mut self) -> Result<u64, io::Error> {
        flush_and_close(&mut self.to).await?;
        Ok(self.bytes)
    }
}

impl AsyncRead for ReadDoor {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(self.get_mut().poll_some(cx, into.len()))?;
        if let Some(head) = into.get_mut(..taken.len()) {
            head.copy_from_slice(&taken);
        }
        Poll::Ready(Ok(taken.len()))
    }
}

impl AsyncWrite for WriteDoor {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_put(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // every write is visible at once
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().end();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for DuplexDoor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.read).poll_read(cx, into)
    }
}

impl AsyncWrite for DuplexDoor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write.poll_put(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // every write is visible at once
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.end();
        Poll::Ready(Ok(()))
    }
}
