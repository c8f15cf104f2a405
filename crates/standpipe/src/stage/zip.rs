//! Two tanks into one stream of pairs.

use std::fmt;
use std::task::{Context, Poll};

use crate::error::Cause;
use crate::stage::inlet::{forward, stop};
use crate::stage::{Emit, More, Source};
use crate::tank::{Gauge, Readable};

/// The source of [`zip`].
pub struct Zip<A, B> {
    /// `None` after the end.
    inputs: Option<(Readable<A>, Readable<B>)>,
    half: Half<A, B>,
    failed: Option<Cause>,
}

/// What is in hand: never more than half a pair.
enum Half<A, B> {
    None,
    Left(A),
    Right(B),
}

/// A source that pairs the items of two tanks, the first with the first.
///
/// Ends with the shorter: the other is stopped, and what it still holds is
/// counted there as unread. The first failure fails it.
///
/// # Diamonds
/// A side that is ahead waits, so its tank fills and its writers wait. Where
/// both sides come from one [`tee`](crate::stage::tee), each path has to give
/// one item per item: a path that filters gets ahead of the other by what it
/// left out, and once that is more than the tanks on the other path hold, all
/// stand still for ever. Memory stays bounded and nothing is lost: one tank
/// before the `zip` is shut and the other empty, which their gauges show.
/// Give the filtered path a placeholder for what it leaves out, or pair by key
/// behind a [`merge`](crate::stage::merge).
///
/// # Memory
/// Half a pair.
///
/// # Examples
/// ```
/// use standpipe::stage::{collect, zip};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let (names, names_out) = Tank::items(4).build();
/// let (ages, ages_out) = Tank::items(4).build();
/// for (name, age) in [("pump", 3), ("valve", 7)] {
///     names.send(name).await?;
///     ages.send(age).await?;
/// }
/// names.send("no age").await?;
/// names.end();
/// ages.end();
/// let run = Pipeline::from("zip", zip(names_out, ages_out)).to("all", collect(8)).run();
/// assert_eq!(run.await?.done, [("pump", 3), ("valve", 7)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use]
pub const fn zip<A, B>(left: Readable<A>, right: Readable<B>) -> Zip<A, B> {
    Zip { inputs: Some((left, right)), half: Half::None, failed: None }
}

impl<A, B> Zip<A, B> {
    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Result<(A, B), Cause>>> {
        if let Some(cause) = &self.failed {
            return Poll::Ready(Some(Err(cause.clone())));
        }
        let Some((left, right)) = &mut self.inputs else { return Poll::Ready(None) };
        loop {
            // the side that is missing; with nothing in hand whichever comes
            // first, so that the end of either is seen at once
            let polled = match &self.half {
                Half::Left(_) => right.poll_item(cx).map(as_right),
                Half::Right(_) => left.poll_item(cx).map(as_left),
                Half::None => match left.poll_item(cx) {
                    Poll::Pending => right.poll_item(cx).map(as_right),
                    polled => polled.map(as_left),
                },
            };
            let came = match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(half))) => half,
                Poll::Ready(Some(Err(cause))) => {
                    self.failed = Some(cause.clone());
                    return Poll::Ready(Some(Err(cause)));
                }
                Poll::Ready(None) => {
                    self.let_go(None);
                    return Poll::Ready(None);
                }
            };
            match (std::mem::replace(&mut self.half, Half::None), came) {
                (Half::Left(a), Half::Right(b)) | (Half::Right(b), Half::Left(a)) => {
                    return Poll::Ready(Some(Ok((a, b))));
                }
                (_, half) => self.half = half,
            }
        }
    }

    /// Stops both sides. The half in hand goes back, to be counted as unread.
    fn let_go(&mut self, why: Option<&Cause>) {
        let Some((mut left, mut right)) = self.inputs.take() else { return };
        match std::mem::replace(&mut self.half, Half::None) {
            Half::None => {}
            Half::Left(a) => left.unshift(a),
            Half::Right(b) => right.unshift(b),
        }
        stop(left, why);
        stop(right, why);
    }
}

fn as_left<A, B>(item: Option<Result<A, Cause>>) -> Option<Result<Half<A, B>, Cause>> {
    item.map(|item| item.map(Half::Left))
}

fn as_right<A, B>(item: Option<Result<B, Cause>>) -> Option<Result<Half<A, B>, Cause>> {
    item.map(|item| item.map(Half::Right))
}

impl<A: Send + 'static, B: Send + 'static> Source for Zip<A, B> {
    type Item = (A, B);
    type Error = Cause;

    async fn read(&mut self, out: &mut impl Emit<(A, B)>) -> Result<More, Cause> {
        forward(out, |cx| self.poll_next(cx)).await
    }

    fn reads(&self) -> Vec<Gauge> {
        self.inputs.iter().flat_map(|(left, right)| [left.gauge(), right.gauge()]).collect()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        self.let_go(why);
    }
}

impl<A, B> fmt::Debug for Zip<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zip").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}
