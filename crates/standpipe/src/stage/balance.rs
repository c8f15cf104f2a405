//! Each item to one branch: the next that has room.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::task::{Context, Poll};

use crate::error::Cause;
use crate::stage::branch::{Answer, Branches, Waiting};
use crate::stage::{More, Sink};
use crate::tank::{Batch, Gauge, Writable};

/// The sink of [`balance`].
pub struct Balance<T> {
    branches: Branches<T>,
    /// Who is asked first.
    next: usize,
    hand: Option<T>,
}

/// A sink that gives each item to the first branch that has room, asking in
/// rotation: a fast branch gets more, and of equally fast ones each its share.
///
/// Waits only while all are full, whatever their overflow strategies are. The
/// order of the items holds within a branch, not across them. A branch whose
/// reader went away is freed, and the others take over; when all are gone the
/// sink has enough, and upstream is stopped; if one of them went for another
/// reason than that its reader wanted no more, that is its error. Its `Done`
/// is the number of items. A pipeline that fails fails the branches with its
/// cause.
///
/// # Memory
/// The item in hand.
///
/// # Examples
/// ```
/// use standpipe::stage::{balance, fold, iter, merge};
/// use standpipe::{Pipeline, Tank};
///
/// # futures::executor::block_on(async {
/// // two workers, whoever is free
/// let (a, a_out) = Tank::items(4).build();
/// let (b, b_out) = Tank::items(4).build();
/// let feed = Pipeline::from("numbers", iter(1..=100_u64)).to("feed", balance([a, b])).run();
/// let work = Pipeline::from("merge", merge([a_out, b_out]))
///     .to("sum", fold(0, |sum, n: u64| sum + n))
///     .run();
/// let (feed, work) = futures::join!(feed, work);
/// assert_eq!((feed?.done, work?.done), (100, 5050));
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn balance<T>(writables: impl IntoIterator<Item = Writable<T>>) -> Balance<T> {
    Balance { branches: Branches::new(writables, Location::caller()), next: 0, hand: None }
}

impl<T> Balance<T> {
    fn poll_all(
        cx: &Context<'_>,
        branches: &mut Branches<T>,
        (next, hand): (&mut usize, &mut Option<T>),
        batch: &mut Batch<T>,
    ) -> Poll<More> {
        loop {
            if branches.all_gone() {
                if let (Some(item), Some(branch)) = (hand.take(), branches.list.last()) {
                    branch.lose(item);
                }
                return Poll::Ready(More::No);
            }
            if hand.is_none() {
                *hand = branches.take(batch);
                if hand.is_none() {
                    return Poll::Ready(More::Yes);
                }
            }
            if !Self::give(cx, branches, next, hand) && !branches.all_gone() {
                return Poll::Pending;
            }
        }
    }

    /// Gives the item in hand to the first with room, from `next` on. False if
    /// nobody has: then there is a seat at each.
    fn give(
        cx: &Context<'_>,
        branches: &mut Branches<T>,
        next: &mut usize,
        hand: &mut Option<T>,
    ) -> bool {
        let count = branches.list.len();
        for at in (*next..count).chain(0..*next) {
            let Some(branch) = branches.list.get_mut(at) else { continue };
            if !branch.is_gone() && branch.poll_give(cx, hand) == Poll::Ready(Answer::Given) {
                let after = at.saturating_add(1);
                *next = if after < count { after } else { 0 };
                branches.rise();
                return true;
            }
        }
        false
    }
}

impl<T: Send + 'static> Sink for Balance<T> {
    type In = T;
    type Done = u64;
    type Error = Cause;

    async fn write(&mut self, batch: &mut Batch<T>) -> Result<More, Cause> {
        let mut branches = Waiting(&mut self.branches);
        let mine = (&mut self.next, &mut self.hand);
        poll_fn(|cx| Self::poll_all(cx, &mut branches, (mine.0, mine.1), batch).map(Ok)).await
    }

    async fn finish(&mut self) -> Result<u64, Cause> {
        self.branches.finish()
    }

    fn writes(&self) -> Vec<Gauge> {
        self.branches.gauges()
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        if let (Some(item), Some(branch)) = (self.hand.take(), self.branches.list.last()) {
            branch.lose(item);
        }
        self.branches.destroy(why);
    }
}

impl<T> fmt::Debug for Balance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("branches", &self.branches.list.len())
            .finish_non_exhaustive()
    }
}
