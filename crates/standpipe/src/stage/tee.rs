//! Each item to every branch.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::task::{Context, Poll, ready};

use crate::error::{Cause, CauseKind};
use crate::stage::branch::{Answer, Branches, Waiting};
use crate::stage::{More, Sink};
use crate::tank::{Batch, Gauge, Writable};

/// The sink of [`tee`].
pub struct Tee<T> {
    branches: Branches<T>,
    /// Taken from the trunk, and owed to some branches still.
    hand: Option<T>,
}

/// A sink that gives every item to every branch, at the pace of the slowest.
///
/// The next item is not taken before each branch has this one. So the trunk is
/// ahead of a branch by what its tank holds and the one item in hand: the lag
/// of a branch is its tank. What a full branch does is its tank's
/// [`Overflow`](crate::overflow::Overflow):
///
/// | strategy | a full branch |
/// | --- | --- |
/// | `Wait` | holds up all others |
/// | `DropNewest`, `DropOldest`, `KeepLatest` | loses items, counted in its snapshot; holds up nobody |
/// | `Fail` | fails and is let go; the others go on |
/// | `Refuse` | fails the tee |
/// | `Grow` | grows without bound, counted by line |
///
/// A branch whose reader went away is freed at the next item, and the others
/// go on. When all are gone the tee has enough, and upstream is stopped; if
/// one of them went for another reason than that its reader wanted no more,
/// that is the tee's error. Its `Done` is the number of items. A pipeline that
/// fails fails the branches with its cause.
///
/// # Memory
/// The item in hand.
///
/// # Examples
/// ```
/// use standpipe::stage::{collect, iter, merge, tee};
/// use standpipe::{Overflow, Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let (file, file_out) = Tank::items(4).build();
/// // the screen shows what it can
/// let (screen, screen_out) = Tank::items(2).overflow(Overflow::DropOldest).build();
/// let trunk = Pipeline::from("numbers", iter(1..=9)).to("tee", tee([file, screen])).run();
/// let kept = Pipeline::from("file", merge([file_out])).to("all", collect(9)).run();
/// let (trunk, kept) = futures::join!(trunk, kept);
/// assert_eq!(trunk?.done, 9);
/// assert_eq!(kept?.done.len(), 9);
/// assert_eq!(screen_out.gauge().snapshot().dropped.oldest.items, 7);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn tee<T: Clone>(writables: impl IntoIterator<Item = Writable<T>>) -> Tee<T> {
    Tee { branches: Branches::new(writables, Location::caller()), hand: None }
}

impl<T: Clone> Tee<T> {
    /// Everything from `batch` to everyone.
    fn poll_all(
        cx: &Context<'_>,
        branches: &mut Branches<T>,
        hand: &mut Option<T>,
        batch: &mut Batch<T>,
    ) -> Poll<Result<More, Cause>> {
        loop {
            if branches.all_gone() {
                return Poll::Ready(Ok(More::No));
            }
            if hand.is_none() {
                *hand = branches.take(batch);
                if hand.is_none() {
                    return Poll::Ready(Ok(More::Yes));
                }
                branches.list.iter_mut().for_each(|branch| branch.owed = !branch.is_gone());
            }
            ready!(Self::poll_hand(cx, branches, hand))?;
        }
    }

    /// The item in hand to everyone who has not got it: copies, and itself to
    /// the last.
    fn poll_hand(
        cx: &Context<'_>,
        branches: &mut Branches<T>,
        hand: &mut Option<T>,
    ) -> Poll<Result<(), Cause>> {
        let mut owed = branches.list.iter().filter(|branch| branch.owed).count();
        for (index, branch) in branches.list.iter_mut().enumerate() {
            if !branch.owed {
                continue;
            }
            let polled = if owed == 1 {
                branch.poll_write(cx, hand)
            } else if branch.is_seated() && branch.poll_open(cx).is_pending() {
                Poll::Pending // it waits already: no copy for that
            } else {
                branch.poll_write(cx, &mut hand.clone())
            };
            match polled {
                Poll::Pending => continue,
                Poll::Ready(Answer::Given | Answer::Gone) => branch.owed = false,
                Poll::Ready(Answer::Refused) => {
                    let error = format!("branch {index} is full and refuses to wait");
                    let cause = Cause::with_error(CauseKind::Overflowed, error);
                    return Poll::Ready(Err(cause));
                }
            }
            owed = owed.saturating_sub(1);
        }
        if owed > 0 {
            return Poll::Pending;
        }
        // still here if the last to have it went away instead
        let left = hand.take();
        if let (true, Some(item), Some(branch)) = (branches.all_gone(), left, branches.list.last())
        {
            branch.lose(item);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Clone + Send + 'static> Sink for Tee<T> {
    type In = T;
    type Done = u64;
    type Error = Cause;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Cause> {
        let mut branches = Waiting(&mut self.branches);
        poll_fn(|cx| Self::poll_all(cx, &mut branches, &mut self.hand, batch)).await
    }

    async fn finish(&mut self) -> Result<u64, Cause> {
        self.branches.finish()
    }

    fn writes(&self) -> Vec<Gauge> {
        self.branches.gauges()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        if let Some(item) = self.hand.take() {
            let owed = self.branches.list.iter().filter(|branch| branch.owed);
            owed.for_each(|branch| branch.lose(item.clone()));
        }
        self.branches.destroy(why);
    }
}

impl<T> fmt::Debug for Tee<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("branches", &self.branches.list.len()).finish_non_exhaustive()
    }
}
