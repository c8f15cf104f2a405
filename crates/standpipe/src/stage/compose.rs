//! Two transforms as one: a value that can be handed around.
//!
//! What the first gives goes straight into the second, which works on it
//! before the first goes on. No queue, no task: it is what they would be in
//! one segment, but as a `Transform`, for code that makes stages for others.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::error::{BoxError, Cause};
use crate::stage::{Emit, Transform};
use crate::sync::{Mutex, lock};

/// Two transforms, one behind the other. See [`Transform::then`].
pub struct Compose<A, B> {
    first: A,
    second: B,
}

impl<A, B> Compose<A, B> {
    pub(super) const fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

/// What the first transform emits into: the second.
struct IntoSecond<'a, B, O> {
    second: &'a mut B,
    out: &'a mut O,
    /// The second's error, for whoever polls the first.
    failed: &'a Mutex<Option<BoxError>>,
}

impl<B, O> IntoSecond<'_, B, O>
where
    B: Transform,
    O: Emit<B::Out>,
{
    /// Like every `Emit` it does not return when it is over.
    async fn pass(&mut self, item: B::In) {
        if let Err(error) = self.second.transform(item, self.out).await {
            *lock(self.failed) = Some(error.into());
            pending::<()>().await;
        }
    }
}

impl<B, O> Emit<B::In> for IntoSecond<'_, B, O>
where
    B: Transform,
    O: Emit<B::Out>,
{
    async fn send(&mut self, item: B::In) {
        self.pass(item).await;
        self.out.flush().await;
    }

    async fn feed(&mut self, item: B::In) {
        self.pass(item).await;
    }

    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        self.out.flush()
    }
}

/// Polls a call into the first transform; the second's error ends it.
async fn unless_failed<F, E>(call: F, failed: &Mutex<Option<BoxError>>) -> Result<(), BoxError>
where
    F: Future<Output = Result<(), E>> + Send,
    E: Into<BoxError>,
{
    let mut call = pin!(call);
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done.map_err(Into::into)),
        Poll::Pending => lock(failed).take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
    })
    .await
}

impl<A, B> Transform for Compose<A, B>
where
    A: Transform,
    B: Transform<In = A::Out>,
{
    type In = A::In;
    type Out = B::Out;
    type Error = BoxError;

    async fn open(&mut self) -> Result<(), BoxError> {
        self.first.open().await.map_err(Into::into)?;
        self.second.open().await.map_err(Into::into)
    }

    async fn transform(
        &mut self,
        item: A::In,
        out: &mut impl Emit<B::Out>,
    ) -> Result<(), BoxError> {
        let failed = Mutex::new(None);
        let mut into = IntoSecond { second: &mut self.second, out, failed: &failed };
        unless_failed(self.first.transform(item, &mut into), &failed).await
    }

    fn keeps(&self) -> bool {
        self.first.keeps() || self.second.keeps()
    }

    async fn idle(&mut self, out: &mut impl Emit<B::Out>) -> Result<(), BoxError> {
        let failed = Mutex::new(None);
        let mut into = IntoSecond { second: &mut self.second, out, failed: &failed };
        unless_failed(self.first.idle(&mut into), &failed).await?;
        self.second.idle(out).await.map_err(Into::into)
    }

    async fn finish(&mut self, out: &mut impl Emit<B::Out>) -> Result<(), BoxError> {
        let failed = Mutex::new(None);
        let mut into = IntoSecond { second: &mut self.second, out, failed: &failed };
        unless_failed(self.first.finish(&mut into), &failed).await?;
        self.second.finish(out).await.map_err(Into::into)
    }

    async fn close(&mut self, why: Option<&Cause>) -> Result<(), BoxError> {
        let first = self.first.close(why).await.map_err(Into::into);
        let second = self.second.close(why).await.map_err(Into::into);
        first.and(second)
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        self.first.destroy(why);
        self.second.destroy(why);
    }
}

impl<A, B> fmt::Debug for Compose<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compose(..)")
    }
}
