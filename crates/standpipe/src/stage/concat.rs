//! Many tanks into one stream, one after the other.

use std::fmt;
use std::task::{Context, Poll, ready};

use crate::error::Cause;
use crate::stage::inlet::{forward, stop};
use crate::stage::{Emit, More, Source};
use crate::tank::{Gauge, Readable};

/// The source of [`concat`](fn@concat).
pub struct Concat<T> {
    /// The one that is read comes last.
    inputs: Vec<Readable<T>>,
    failed: Option<Cause>,
}

/// A source that reads several tanks one after the other, each to its end.
///
/// A tank whose turn has not come fills, and its writers wait. So what feeds a
/// later one must not have to pass before an earlier one can end: branches of
/// one [`tee`](crate::stage::tee) can be concatenated only if the later tanks
/// hold all there is, and else stand still for ever, at their marks.
///
/// Ends after the last. A failure fails it when its tank is read, and those
/// behind are stopped.
///
/// # Memory
/// None of its own: an item leaves its tank when there is room for it behind.
///
/// # Examples
/// ```
/// use standpipe::stage::{collect, concat};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let (head, head_out) = Tank::items(4).build();
/// let (body, body_out) = Tank::items(4).build();
/// body.send("body").await?;
/// head.send("head").await?;
/// head.end();
/// body.end();
/// let run = Pipeline::from("concat", concat([head_out, body_out])).to("all", collect(8)).run();
/// assert_eq!(run.await?.done, ["head", "body"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn concat<T>(readables: impl IntoIterator<Item = Readable<T>>) -> Concat<T> {
    let mut inputs: Vec<Readable<T>> = readables.into_iter().collect();
    inputs.reverse();
    Concat { inputs, failed: None }
}

impl<T> Concat<T> {
    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Result<T, Cause>>> {
        if let Some(cause) = &self.failed {
            return Poll::Ready(Some(Err(cause.clone())));
        }
        while let Some(readable) = self.inputs.last_mut() {
            match ready!(readable.poll_item(cx)) {
                Some(Ok(item)) => return Poll::Ready(Some(Ok(item))),
                Some(Err(cause)) => {
                    self.failed = Some(cause.clone());
                    return Poll::Ready(Some(Err(cause)));
                }
                None => drop(self.inputs.pop()),
            }
        }
        Poll::Ready(None)
    }
}

impl<T: Send + 'static> Source for Concat<T> {
    type Item = T;
    type Error = Cause;

    async fn read(&mut self, out: &mut impl Emit<T>) -> Result<More, Cause> {
        forward(out, |cx| self.poll_next(cx)).await
    }

    fn reads(&self) -> Vec<Gauge> {
        self.inputs.iter().map(Readable::gauge).collect()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        self.inputs.drain(..).for_each(|readable| stop(readable, why));
    }
}

impl<T> fmt::Debug for Concat<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concat").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}
