//! The doors that a one-to-many sink gives its items to.
//!
//! A branch is a [`Writable`] and a seat among those who wait to write there.
//! A branch whose tank takes nothing any more is *gone*: it is passed over
//! from then on, and why it went is kept for the end.

use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::task::{Context, Poll, ready};

use crate::error::{Cause, CauseKind, WriteError};
use crate::overflow::Overflow;
use crate::tank::exit::InHand;
use crate::tank::{Batch, Gauge, Writable};

/// The doors of one sink, and how many items it took.
pub(crate) struct Branches<T> {
    pub(crate) list: Vec<Branch<T>>,
    pub(crate) items: u64,
}

pub(crate) struct Branch<T> {
    writable: Writable<T>,
    ticket: Option<u64>,
    gone: Option<Cause>,
    /// The item in hand is still to be given to it.
    pub(crate) owed: bool,
    /// Who built the sink: the one who writes, for writes past the mark.
    line: &'static Location<'static>,
}

/// What a branch said to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has it, or its strategy did with it what it does.
    Given,
    /// It is gone. The item is where it was.
    Gone,
    /// Shut, and its strategy is not to wait. The item is where it was.
    Refused,
}

impl<T> Branches<T> {
    pub(crate) fn new(
        writables: impl IntoIterator<Item = Writable<T>>,
        line: &'static Location<'static>,
    ) -> Self {
        let branch = |writable| Branch { writable, ticket: None, gone: None, owed: false, line };
        Self { list: writables.into_iter().map(branch).collect(), items: 0 }
    }

    /// Takes the next item, counted.
    pub(crate) fn take(&mut self, batch: &mut Batch<T>) -> Option<T> {
        let item = batch.pop()?;
        self.items = self.items.saturating_add(1);
        Some(item)
    }

    /// Handles for watching the tanks behind the doors.
    pub(crate) fn gauges(&self) -> Vec<Gauge>
    where
        T: Send + 'static,
    {
        self.list.iter().map(|branch| branch.writable.gauge()).collect()
    }

    pub(crate) fn all_gone(&self) -> bool {
        self.list.iter().all(Branch::is_gone)
    }

    /// Gives up all seats: nobody sits behind a sink that does not wait.
    pub(crate) fn rise(&mut self) {
        for branch in &mut self.list {
            if let Some(ticket) = branch.ticket.take() {
                branch.writable.core().leave(ticket);
            }
        }
    }

    /// Ends all branches; how many items were taken. If all are gone, one of
    /// them because something failed behind it, nothing is well.
    pub(crate) fn finish(&mut self) -> Result<u64, Cause> {
        let failed = self.list.iter().find_map(Branch::failure);
        if let (true, Some(cause)) = (self.all_gone(), failed) {
            return Err(cause.clone());
        }
        for branch in self.list.drain(..) {
            branch.writable.end();
        }
        Ok(self.items)
    }

    /// Fails the branches that were not ended.
    pub(crate) fn destroy(&mut self, why: Option<&Cause>) {
        for branch in self.list.drain(..) {
            if let Some(why) = why {
                branch.writable.fail_with(why.clone());
            }
        }
    }
}

impl<T> Branch<T> {
    /// Gives it the item as its overflow strategy says.
    pub(crate) fn poll_write(&mut self, cx: &Context<'_>, item: &mut Option<T>) -> Poll<Answer> {
        let core = self.writable.core();
        let (back, answer) = match ready!(core.poll_send(cx, item, &mut self.ticket, self.line)) {
            Ok(()) => return Poll::Ready(Answer::Given),
            Err(WriteError::Closed(back, cause)) => {
                self.gone = Some(cause);
                (back, Answer::Gone)
            }
            Err(error) => (error.into_inner(), Answer::Refused),
        };
        *item = Some(back);
        Poll::Ready(answer)
    }

    /// Gives it the item once it is open, whatever its strategy is.
    pub(crate) fn poll_give(&mut self, cx: &Context<'_>, item: &mut Option<T>) -> Poll<Answer> {
        if self.writable.overflow() == Overflow::Wait {
            return self.poll_write(cx, item);
        }
        loop {
            // that it is closed shows in the write
            ready!(self.poll_open(cx));
            match self.poll_write(cx, item) {
                Poll::Ready(Answer::Refused) => {} // another writer was faster
                polled => return polled,
            }
        }
    }

    /// Waits until a write does not have to.
    pub(crate) fn poll_open(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.writable.core().poll_open(cx, &mut self.ticket).map(drop)
    }

    pub(crate) const fn is_seated(&self) -> bool {
        self.ticket.is_some()
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    /// Why it went, unless its reader merely had enough.
    pub(crate) fn failure(&self) -> Option<&Cause> {
        self.gone.as_ref().filter(|why| !is_enough(why))
    }

    pub(crate) const fn why_gone(&self) -> Option<&Cause> {
        self.gone.as_ref()
    }

    /// Counts an item that was for this branch and will never be in its tank.
    pub(crate) fn lose(&self, item: T) {
        let core = self.writable.core();
        core.lose(InHand { items: 1, weight: core.scale.weigh(&item) });
    }
}

/// Whether a tank was closed by a reader that wants no more, rather than by a
/// failure behind it.
fn is_enough(why: &Cause) -> bool {
    why.kind() == CauseKind::Stopped && why.error().is_none()
}

/// The branches while a sink may wait at them: dropped with the wait, it leaves
/// no seat taken.
pub(crate) struct Waiting<'a, T>(pub(crate) &'a mut Branches<T>);

impl<T> Deref for Waiting<'_, T> {
    type Target = Branches<T>;

    fn deref(&self) -> &Branches<T> {
        self.0
    }
}

impl<T> DerefMut for Waiting<'_, T> {
    fn deref_mut(&mut self) -> &mut Branches<T> {
        self.0
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.0.rise();
    }
}
