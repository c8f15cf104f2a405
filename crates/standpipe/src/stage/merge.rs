//! Many tanks into one stream, each in its turn.

use std::fmt;
use std::num::NonZeroUsize;
use std::task::{Context, Poll};

use crate::error::Cause;
use crate::stage::inlet::{forward, stop};
use crate::stage::{Emit, More, Source};
use crate::tank::{Gauge, Readable};

/// The source of [`merge`].
pub struct Merge<T> {
    inputs: Vec<Input<T>>,
    /// Whose turn it is; one past the last is the first.
    turn: usize,
    /// The heaviest item so far: what one share is worth. No input can owe
    /// more than that, so each turn lets its input bring at least one item.
    quantum: usize,
    failed: Option<Cause>,
}

/// One tank that is read, and how much of its turn is used up.
struct Input<T> {
    readable: Readable<T>,
    share: NonZeroUsize,
    /// Brought in this turn; before it, what the last one overdrew.
    spent: usize,
}

/// A source that reads several tanks in turn, fair by weight.
///
/// The inputs go round. A turn is worth the heaviest item seen so far times
/// the input's share, in the unit of its tank: so tanks of items alternate
/// item by item, and of two busy tanks of bytes neither gets more bytes,
/// however small its items are. An item may overdraw a turn, and the next one
/// is shorter by that. An input with nothing to bring passes, and saves
/// nothing up. So no ready input waits for more than one turn of each other.
///
/// Ends when all inputs have ended. The first failure of one fails it, and the
/// others are stopped. A graceful stop of its pipeline stops the inputs too:
/// to let them drain, stop the pipelines that write them.
///
/// A wake-up looks at each input that is idle: the cost grows with their
/// number.
///
/// # Memory
/// None of its own: an item leaves its tank when there is room for it behind.
///
/// # Examples
/// ```
/// use standpipe::stage::{collect, merge};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let (left, left_out) = Tank::items(4).build();
/// let (right, right_out) = Tank::items(4).build();
/// for n in [1, 3, 5] {
///     left.send(n).await?;
/// }
/// right.send(2).await?;
/// left.end();
/// right.end();
/// let run = Pipeline::from("merge", merge([left_out, right_out])).to("all", collect(8)).run();
/// assert_eq!(run.await?.done, [1, 2, 3, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn merge<T>(readables: impl IntoIterator<Item = Readable<T>>) -> Merge<T> {
    let merge = Merge { inputs: Vec::new(), turn: 0, quantum: 1, failed: None };
    readables.into_iter().fold(merge, |merge, readable| merge.and(readable, NonZeroUsize::MIN))
}

impl<T> Merge<T> {
    /// Reads one more tank, with a share of its own: a share of 3 brings three
    /// times what an input of [`merge`], whose share is 1, brings.
    #[must_use]
    pub fn and(mut self, readable: Readable<T>, share: NonZeroUsize) -> Self {
        self.inputs.push(Input { readable, share, spent: 0 });
        self
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Result<T, Cause>>> {
        if let Some(cause) = &self.failed {
            return Poll::Ready(Some(Err(cause.clone())));
        }
        // inputs in a row that have nothing: when all have, each has a waker
        let mut idle: usize = 0;
        while idle < self.inputs.len() {
            let Some(input) = self.inputs.get_mut(self.turn) else {
                self.turn = 0;
                continue;
            };
            match input.readable.poll_item(cx) {
                Poll::Ready(Some(Ok(item))) => {
                    let weight = input.readable.core().scale.weigh(&item).max(1);
                    self.quantum = self.quantum.max(weight);
                    if input.spend(weight, self.quantum) {
                        self.turn = self.turn.wrapping_add(1);
                    }
                    return Poll::Ready(Some(Ok(item)));
                }
                Poll::Ready(Some(Err(cause))) => {
                    self.failed = Some(cause.clone());
                    return Poll::Ready(Some(Err(cause)));
                }
                Poll::Ready(None) => {
                    self.inputs.remove(self.turn); // the next one's turn
                }
                Poll::Pending => {
                    input.spent = 0;
                    self.turn = self.turn.wrapping_add(1);
                    idle = idle.saturating_add(1);
                }
            }
        }
        if self.inputs.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<T> Input<T> {
    /// Charges an item to the turn. True if the turn is over; what it overdrew
    /// is charged to the next.
    fn spend(&mut self, weight: usize, quantum: usize) -> bool {
        let worth = quantum.saturating_mul(self.share.get());
        self.spent = self.spent.saturating_add(weight);
        let over = self.spent >= worth;
        if over {
            self.spent = self.spent.saturating_sub(worth);
        }
        over
    }
}

impl<T: Send + 'static> Source for Merge<T> {
    type Item = T;
    type Error = Cause;

    async fn read(&mut self, out: &mut impl Emit<T>) -> Result<More, Cause> {
        forward(out, |cx| self.poll_next(cx)).await
    }

    fn reads(&self) -> Vec<Gauge> {
        self.inputs.iter().map(|input| input.readable.gauge()).collect()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        self.inputs.drain(..).for_each(|input| stop(input.readable, why));
    }
}

impl<T> fmt::Debug for Merge<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}
