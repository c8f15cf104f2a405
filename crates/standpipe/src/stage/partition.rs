//! Each item to the branch that a function names.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::task::{Context, Poll, ready};

use crate::error::{Cause, CauseKind};
use crate::stage::branch::{Answer, Branches, Waiting};
use crate::stage::{More, Sink};
use crate::tank::{Batch, Gauge, Writable};

/// The sink of [`partition`].
pub struct Partition<T, F> {
    branches: Branches<T>,
    by: F,
    /// The item in hand, and whose it is.
    hand: Option<T>,
    whose: usize,
    at_gone: AtGone,
}

/// What becomes of an item whose branch is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtGone {
    Fail,
    Discard,
}

/// A sink that gives each item to the branch whose place `by` names, the first
/// is 0; called once per item.
///
/// An item waits for its own branch alone, and all behind it with it: a full
/// branch holds up the others unless its tank's
/// [`Overflow`](crate::overflow::Overflow) says otherwise. The order of the
/// items holds within a branch.
///
/// An item whose branch's reader went away has no place to go: it fails the
/// sink, unless asked to [`discard_for_gone`](Partition::discard_for_gone).
/// So does a place that does not exist, with
/// [`Misused`](CauseKind::Misused), and a full branch that refuses. When all
/// branches are gone the sink has enough, and upstream is stopped; if one of
/// them went for another reason than that its reader wanted no more, that is
/// its error. Its `Done` is the number of items. A pipeline that fails fails
/// the branches with its cause.
///
/// # Memory
/// The item in hand.
///
/// # Examples
/// ```
/// use standpipe::stage::{collect, iter, merge, partition};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// let (even, even_out) = Tank::items(4).build();
/// let (odd, odd_out) = Tank::items(4).build();
/// let by = |n: &usize| n % 2;
/// let feed = Pipeline::from("numbers", iter(0..6)).to("by parity", partition([even, odd], by));
/// let evens = Pipeline::from("even", merge([even_out])).to("all", collect(8));
/// let odds = Pipeline::from("odd", merge([odd_out])).to("all", collect(8));
/// let (feed, evens, odds) = futures::join!(feed.run(), evens.run(), odds.run());
/// assert_eq!(feed?.done, 6);
/// assert_eq!((evens?.done, odds?.done), (vec![0, 2, 4], vec![1, 3, 5]));
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn partition<T, F>(writables: impl IntoIterator<Item = Writable<T>>, by: F) -> Partition<T, F>
where
    F: FnMut(&T) -> usize,
{
    let branches = Branches::new(writables, Location::caller());
    Partition { branches, by, hand: None, whose: 0, at_gone: AtGone::Fail }
}

impl<T, F> Partition<T, F> {
    /// Drops items for a branch whose reader wants no more, instead of failing
    /// at the first. They count as unread in the branch's snapshot. A branch
    /// that is gone for any other reason still fails the sink.
    #[must_use]
    pub fn discard_for_gone(mut self) -> Self {
        self.at_gone = AtGone::Discard;
        self
    }
}

/// The item on its way, without the branches it goes to.
struct Hand<'a, T, F> {
    by: &'a mut F,
    item: &'a mut Option<T>,
    whose: &'a mut usize,
    at_gone: AtGone,
}

impl<T, F: FnMut(&T) -> usize> Hand<'_, T, F> {
    fn poll_all(
        &mut self,
        cx: &Context<'_>,
        branches: &mut Branches<T>,
        batch: &mut Batch<T>,
    ) -> Poll<Result<More, Cause>> {
        loop {
            if self.item.is_none() {
                if branches.all_gone() && !branches.list.is_empty() {
                    return Poll::Ready(Ok(More::No));
                }
                let Some(item) = branches.take(batch) else {
                    return Poll::Ready(Ok(More::Yes));
                };
                *self.whose = (self.by)(&item);
                *self.item = Some(item);
            }
            ready!(self.poll_give(cx, branches))?;
        }
    }

    fn poll_give(
        &mut self,
        cx: &Context<'_>,
        branches: &mut Branches<T>,
    ) -> Poll<Result<(), Cause>> {
        let (whose, count) = (*self.whose, branches.list.len());
        let Some(branch) = branches.list.get_mut(whose) else {
            let error = format!("an item was for branch {whose} of {count}, counted from 0");
            return Poll::Ready(Err(Cause::with_error(CauseKind::Misused, error)));
        };
        match ready!(branch.poll_write(cx, self.item)) {
            Answer::Given => return Poll::Ready(Ok(())),
            Answer::Refused => {
                let error = format!("branch {whose} is full and refuses to wait");
                return Poll::Ready(Err(Cause::with_error(CauseKind::Overflowed, error)));
            }
            Answer::Gone => {}
        }
        if let Some(why) = branch.failure() {
            return Poll::Ready(Err(why.clone()));
        }
        let why = branch.why_gone().cloned();
        // if it was the last, all had enough
        if let (AtGone::Fail, false, Some(why)) = (self.at_gone, branches.all_gone(), why) {
            return Poll::Ready(Err(why));
        }
        if let (Some(item), Some(branch)) = (self.item.take(), branches.list.get(whose)) {
            branch.lose(item);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T, F> Sink for Partition<T, F>
where
    T: Send + 'static,
    F: FnMut(&T) -> usize + Send + 'static,
{
    type In = T;
    type Done = u64;
    type Error = Cause;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Cause> {
        let mut branches = Waiting(&mut self.branches);
        let Self { by, hand: item, whose, at_gone, .. } = self;
        let mut hand = Hand { by, item, whose, at_gone: *at_gone };
        poll_fn(|cx| hand.poll_all(cx, &mut branches, batch)).await
    }

    async fn finish(&mut self) -> Result<u64, Cause> {
        self.branches.finish()
    }

    fn writes(&self) -> Vec<Gauge> {
        self.branches.gauges()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        if let (Some(item), Some(branch)) = (self.hand.take(), self.branches.list.get(self.whose)) {
            branch.lose(item);
        }
        self.branches.destroy(why);
    }
}

impl<T, F> fmt::Debug for Partition<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("branches", &self.branches.list.len())
            .finish_non_exhaustive()
    }
}
