//! TCP connections: what waits for bytes holds no memory for them.
//!
//! An `AsyncRead` has to be given its buffer before it says whether there is
//! anything to read, so many connections that wait are many buffers. A socket
//! can be asked first.

use std::fmt;
use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::adapt::io::{DEFAULT_CHUNK, Writer, writer};
use crate::stage::{Emit, More, Source};

/// The source of [`tcp`].
pub struct TcpReader {
    from: OwnedReadHalf,
    chunk: usize,
}

/// A TCP connection as a source and a sink. Each direction ends by itself:
/// the sink's `finish` sends FIN and the source goes on.
///
/// # Memory
/// Of its own only while it reads: a chunk, which becomes the item, cut to
/// what was read. While it waits, for bytes or for room, it holds nothing; so
/// a thousand connections take what is in their tanks.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
/// use standpipe::adapt::io::tcp;
/// use standpipe::{KIB, Pipeline, Tank};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let (read, write) = tcp(listener.accept().await?.0);
/// client.write_all(b"echo").await?;
/// client.shutdown().await?;
/// let echo = Pipeline::from("in", read.chunk(16 * KIB))
///     .tank(Tank::bytes(64 * KIB))
///     .to("out", write);
/// assert_eq!(echo.run().await?.done, 4);
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "echo");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn tcp(stream: TcpStream) -> (TcpReader, Writer<OwnedWriteHalf, Bytes>) {
    let (from, to) = stream.into_split();
    (TcpReader { from, chunk: DEFAULT_CHUNK }, writer(to))
}

impl TcpReader {
    /// Sets how many bytes one read may bring, at least 1.
    #[must_use]
    pub fn chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes.max(1);
        self
    }
}

impl Source for TcpReader {
    type Item = Bytes;
    type Error = io::Error;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> Result<More, io::Error> {
        loop {
            poll_fn(|cx| self.from.as_ref().poll_read_ready(cx)).await?;
            // by the system's allocator: what was written last is given out
            // next, while a processor still has it
            let mut buffer = Vec::with_capacity(self.chunk);
            match self.from.try_read_buf(&mut buffer) {
                Ok(0) => return Ok(More::No),
                Ok(_) => {
                    // or it would weigh less than it takes
                    buffer.shrink_to_fit();
                    out.send(Bytes::from(buffer)).await;
                    return Ok(More::Yes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Debug for TcpReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpReader").field("chunk", &self.chunk).finish_non_exhaustive()
    }
}
