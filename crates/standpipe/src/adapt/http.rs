//! `http_body::Body`, both ways: what HTTP servers and clients send and
//! receive.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::error::{BoxError, Cause};
use crate::snapshot::Unit;
use crate::stage::{Emit, More, Source};
use crate::tank::Readable;

/// A tank of bytes for code that wants a `Body`: the answer of a server, the
/// upload of a client.
///
/// Pressure goes through it: whoever sends the body asks for the next frame
/// when the connection takes it, and meanwhile the tank fills and its writers
/// wait. An early end is an error of the body, so half an answer does not look
/// like a whole one.
///
/// # Memory
/// None of its own.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// use bytes::Bytes;
/// use http_body_util::BodyExt;
/// use standpipe::adapt::http::BodyDoor;
/// use standpipe::{KIB, Tank};
///
/// let (writable, readable) = Tank::bytes(16 * KIB).build();
/// let produce = async {
///     for part in ["hello, ", "world"] {
///         writable.send(Bytes::from(part)).await?;
///     }
///     writable.end();
///     Ok::<_, standpipe::WriteError<Bytes>>(())
/// };
/// let (sent, body) = futures::join!(produce, BodyDoor::new(readable).collect());
/// sent?;
/// assert_eq!(body?.to_bytes(), "hello, world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct BodyDoor {
    readable: Readable<Bytes>,
    /// What is to come, if that was promised.
    length: Option<u64>,
}

impl BodyDoor {
    /// Gives what is written into the tank.
    ///
    /// Its size is known once the writers of a tank of bytes have ended, which
    /// is early enough for a short answer; see [`with_length`](Self::with_length)
    /// for others.
    #[must_use]
    pub const fn new(readable: Readable<Bytes>) -> Self {
        Self { readable, length: None }
    }

    /// Promises that so many bytes will come, which is what becomes the
    /// `Content-Length`. More or fewer are an error of the body.
    #[must_use]
    pub const fn with_length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    /// Holds the data against what was promised.
    fn counted(&mut self, bytes: Bytes) -> Result<Bytes, Cause> {
        if let Some(left) = &mut self.length {
            *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                Cause::failed("the body is longer than the length that was promised")
            })?;
        }
        Ok(bytes)
    }
}

impl Body for BodyDoor {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.readable.poll_item(cx)) {
            Some(item) => Some(item.and_then(|bytes| this.counted(bytes)).map(Frame::data)),
            None => match this.length.take() {
                Some(short) if short > 0 => Some(Err(Cause::failed(format!(
                    "the body ended {short} bytes before the length that was promised"
                )))),
                _ => None,
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        let owes_nothing = self.length.unwrap_or(0) == 0;
        owes_nothing && self.readable.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        let in_tank = || {
            let weighs_bytes = self.readable.core().unit == Unit::Bytes;
            let whole = weighs_bytes && self.readable.has_ended();
            whole.then(|| self.readable.level() as u64)
        };
        self.length.or_else(in_tank).map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The source of [`from_body`].
pub struct FromBody<B>(Pin<Box<B>>);

/// A source that brings the data of a `Body`, one frame per poll and no
/// further ahead than the tank behind it allows: what is not read stays with
/// the sender. Trailers are left out.
///
/// # Memory
/// One box for the body; no item of its own.
///
/// # Examples
/// ```
/// use http_body_util::Full;
/// use standpipe::adapt::http::from_body;
/// use standpipe::stage::fold;
/// use standpipe::{KIB, Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let body = Full::<bytes::Bytes>::from("what a request carries");
/// let run = Pipeline::from("upload", from_body(body))
///     .tank(Tank::bytes(64 * KIB))
///     .to("length", fold(0, |sum, bytes: bytes::Bytes| sum + bytes.len()))
///     .run();
/// assert_eq!(run.await?.done, 22);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
pub fn from_body<B: Body>(body: B) -> FromBody<B> {
    FromBody(Box::pin(body))
}

impl<B> Source for FromBody<B>
where
    B: Body<Data: Send, Error: Into<BoxError> + Send> + Send + 'static,
{
    type Item = Bytes;
    type Error = B::Error;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> Result<More, B::Error> {
        let Some(frame) = poll_fn(|cx| self.0.as_mut().poll_frame(cx)).await else {
            return Ok(More::No);
        };
        let data = frame?.into_data().ok();
        if let Some(bytes) = data.map(|mut data| data.copy_to_bytes(data.remaining())) {
            out.send(bytes).await; // without a copy if it is `Bytes` already
        }
        Ok(More::Yes)
    }
}

impl<B> fmt::Debug for FromBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromBody(..)")
    }
}
