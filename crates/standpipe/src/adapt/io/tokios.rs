//! The traits of tokio.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::adapt::io::{DuplexDoor, ReadDoor, Reader, Target, WriteDoor, Writer};
use crate::adapt::io::{flush_and_close, write_batch};
use crate::stage::{Emit, More, Sink, Source};
use crate::tank::Batch;

impl<R: AsyncRead + Unpin + Send + 'static> Source for Reader<R> {
    type Item = Bytes;
    type Error = io::Error;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> Result<More, io::Error> {
        if self.is_used_up(self.buffer.capacity()) {
            self.buffer.reserve(self.chunk);
        }
        if self.from.read_buf(&mut self.buffer).await? == 0 {
            return Ok(More::No);
        }
        out.send(self.buffer.split().freeze()).await;
        Ok(More::Yes)
    }
}

impl<W: AsyncWrite + Unpin> Target for W {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
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
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let taken = ready!(this.poll_some(cx, into.remaining()))?;
        into.put_slice(&taken);
        Poll::Ready(Ok(()))
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

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().end();
        Poll::Ready(Ok(()))
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
        self.write.poll_put(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // every write is visible at once
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.end();
        Poll::Ready(Ok(()))
    }
}
