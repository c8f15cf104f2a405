//! A stage in its pipeline's hands: opened once, closed once, destroyed once.
//!
//! A stage lives in the future of its segment, which may be dropped at any of
//! its waits. So whatever comes last begins in a drop: the stage is taken out
//! of the future, its `close` is left with the segment's [`Shift`], to be
//! polled there, and it is destroyed when that is over, or at once if nobody
//! would poll it.
//!
//! [`Shift`]: crate::stage::line::Shift

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{BoxError, Cause, CauseKind};
use crate::stage::line::{Leaving, Post, panic_message};
use crate::stage::{Sink, Source, Transform};

/// How a stage is destroyed, and how it closes if it can.
struct Ways<S> {
    destroy: fn(&mut S, Option<&Cause>),
    close: Option<fn(Last<S>) -> Leaving>,
}

impl<S> Clone for Ways<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Ways<S> {}

/// Holds a stage, whatever becomes of its segment.
pub(crate) struct Held<S> {
    /// Taken by the drop alone.
    stage: Option<S>,
    ways: Ways<S>,
    post: Post,
    opened: bool,
    finished: bool,
}

/// One whose trait closes it. The three traits have no common one, and each closes in its own words.
macro_rules! held {
    ($name:ident, $of:ident) => {
        impl<S: $of> Held<S> {
            pub(crate) const fn $name(stage: S, post: Post) -> Self {
                let close: fn(Last<S>) -> Leaving = |mut last| {
                    Box::pin(async move {
                        let (stage, why) = last.parts();
                        let closed = stage.close(why).await.map_err(Into::into);
                        last.closed(closed);
                    })
                };
                Self::with(stage, Ways { destroy: S::destroy, close: Some(close) }, post)
            }
        }
    };
}

held!(source, Source);
held!(transform, Transform);
held!(sink, Sink);

impl<S> Held<S> {
    /// One that has nothing to wait for at its end.
    pub(crate) const fn at_once(stage: S, destroy: fn(&mut S, Option<&Cause>), post: Post) -> Self {
        Self::with(stage, Ways { destroy, close: None }, post)
    }

    const fn with(stage: S, ways: Ways<S>, post: Post) -> Self {
        Self { stage: Some(stage), ways, post, opened: false, finished: false }
    }

    /// The stage, and its place to report from.
    #[inline]
    pub(crate) const fn parts(&mut self) -> (&mut S, &Post) {
        (self.stage.as_mut().expect("only the drop takes it"), &self.post)
    }

    /// The same, for the first time: from now on it has to be closed.
    pub(crate) const fn opening(&mut self) -> (&mut S, &Post) {
        self.opened = true;
        self.parts()
    }

    /// It has done all it had to: a later error is none of its business.
    pub(crate) const fn finished(&mut self) {
        self.finished = true;
    }
}

impl<S> Drop for Held<S> {
    fn drop(&mut self) {
        let Some(stage) = self.stage.take() else { return };
        let stopped = || self.post.shift().is_enough().then(|| Cause::new(CauseKind::Stopped));
        let why = if self.finished {
            None
        } else {
            self.post.line().why(self.post.index()).or_else(stopped)
        };
        let last = Last { stage, why, destroy: self.ways.destroy, post: self.post.clone() };
        if let Some(close) = self.ways.close
            && self.opened
        {
            let close = |last| -> Leaving {
                Box::pin(Caught { post: self.post.clone(), closing: Some(close(last)) })
            };
            if let Err(last) = self.post.shift().take_leaving(last, close) {
                drop(last);
            }
        }
    }
}

/// A stage that has left its segment. Dropping it destroys the stage.
struct Last<S> {
    stage: S,
    why: Option<Cause>,
    destroy: fn(&mut S, Option<&Cause>),
    post: Post,
}

impl<S> Last<S> {
    const fn parts(&mut self) -> (&mut S, Option<&Cause>) {
        (&mut self.stage, self.why.as_ref())
    }

    fn closed(&self, closed: Result<(), BoxError>) {
        if let Err(error) = closed {
            self.post.line().halt(Cause::failed(error), Some(self.post.index()));
        }
    }
}

impl<S> Drop for Last<S> {
    fn drop(&mut self) {
        let (stage, why, destroy) = (&mut self.stage, self.why.as_ref(), self.destroy);
        // a panic while dropping during a panic would abort the process
        let outcome = catch_unwind(AssertUnwindSafe(|| destroy(stage, why)));
        if let Err(payload) = outcome {
            panicked(&self.post, "destroy", payload.as_ref());
        }
    }
}

fn panicked(post: &Post, call: &str, payload: &(dyn std::any::Any + Send)) {
    let message = format!("in {call}: {}", panic_message(payload));
    post.line().halt(Cause::with_error(CauseKind::Panicked, message), Some(post.index()));
}

/// A `close` whose panic is told like one in `destroy`, also one of what is
/// dropped with it where it waits.
struct Caught {
    post: Post,
    /// Taken by the drop alone.
    closing: Option<Leaving>,
}

impl Future for Caught {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(closing) = &mut self.closing else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| closing.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(payload) => {
                panicked(&self.post, "close", payload.as_ref());
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        let closing = self.closing.take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(closing))) {
            panicked(&self.post, "close", payload.as_ref());
        }
    }
}
