//! Streams that stand and fall together, each driven by hand.
//!
//! A [`Pipeline`](crate::Pipeline) owns its stages. A group is for those who
//! drive theirs themselves (a server's tasks around a few tanks, an adapter for
//! foreign streams) and want only the contract of the end: the first cause
//! wins, it reaches everybody who is not done, cleanup may take its time, and
//! the result comes when all have cleaned up.
//!
//! ```text
//!            fail / stop / done            closed
//!   open ───────────────────────► over ──────────────► closed
//!                                  cleanup, async
//! ```
//!
//! The cause of one member reaches the others when that member has *closed*,
//! as in Node's `pipeline`: so nobody is told of an end whose cleanup may still
//! write.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use crate::error::{BoxError, Cause, CauseKind, StageId};
use crate::sync::{Arc, Mutex, lock};
use crate::tank::seats::Seats;

/// Members that stand and fall together.
///
/// # Memory
/// A few words for each member that ever joined, until the group is dropped;
/// for each wait its waker, as long as it lasts.
///
/// # Examples
/// ```
/// # futures::executor::block_on(async {
/// use standpipe::pipeline::Group;
///
/// let group = Group::new();
/// let (reader, writer) = (group.join("reader"), group.join("writer"));
///
/// writer.fail("disk full");
/// assert!(!reader.is_over()); // not before the writer has cleaned up
/// writer.closed();
/// let cause = reader.over().await.expect("the writer's cause");
/// assert_eq!(cause.to_string(), "stage 1 `writer`: disk full");
/// reader.closed();
/// assert_eq!(group.outcome().await.unwrap_err().to_string(), cause.to_string());
/// # });
/// ```
#[derive(Clone)]
pub struct Group {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    seats: Vec<Seat>,
    first: Option<Cause>,
    /// Those who wait for the outcome.
    watchers: Seats,
}

/// One member: open, over, closed, in this order.
struct Seat {
    id: StageId,
    state: State,
    /// It is over because it had done all it had to.
    done: bool,
    /// What befalls the others is none of its business.
    kept: bool,
    /// Those who wait for it to be over.
    watchers: Seats,
}

enum State {
    Open,
    Over(Option<Cause>),
    Closed,
}

impl Inner {
    /// Ends every open member but `by`, and those that are kept open.
    fn fell(&mut self, cause: &Cause, by: Option<usize>, wakers: &mut Vec<Waker>) {
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let spared = Some(index) == by || (seat.kept && by.is_some());
            if !spared && matches!(seat.state, State::Open) {
                seat.state = State::Over(Some(cause.clone()));
                wakers.extend(seat.watchers.notify_all());
            }
        }
    }

    /// Where those sit who wait for this member, or for the outcome.
    fn watchers(&mut self, of: Option<usize>) -> Option<&mut Seats> {
        match of {
            Some(index) => self.seats.get_mut(index).map(|seat| &mut seat.watchers),
            None => Some(&mut self.watchers),
        }
    }

    /// The result, once everybody who is over has closed.
    fn outcome(&self) -> Option<Result<(), Cause>> {
        let is_settled = |seat: &Seat| match seat.state {
            State::Open => seat.kept,
            State::Over(_) => false,
            State::Closed => true,
        };
        if !self.seats.iter().all(is_settled) {
            return None;
        }
        Some(self.first.clone().map_or(Ok(()), Err))
    }
}

impl Group {
    /// A group without members. Its outcome is [`Ok`] until one joins.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::default() }
    }

    /// Adds a member. Its place in the order of joining is its index. One that
    /// joins a group that has fallen is over at once, with the first cause.
    pub fn join(&self, name: impl Into<Arc<str>>) -> Member {
        self.add(name.into(), false)
    }

    /// Adds a member that is kept open: its failure ends the others, theirs
    /// does not reach it, and the outcome does not wait for it. Node's
    /// `{ end: false }`.
    pub fn join_kept_open(&self, name: impl Into<Arc<str>>) -> Member {
        self.add(name.into(), true)
    }

    fn add(&self, name: Arc<str>, kept: bool) -> Member {
        let mut inner = lock(&self.inner);
        let index = inner.seats.len();
        let state = match &inner.first {
            Some(cause) if !kept => State::Over(Some(cause.clone())),
            _ => State::Open,
        };
        inner.seats.push(Seat {
            id: StageId { index, name },
            state,
            done: false,
            kept,
            watchers: Seats::default(),
        });
        Member { group: self.clone(), index }
    }

    /// Ends every member that is open, with [`CauseKind::Cancelled`]. A no-op
    /// once the outcome is there.
    pub fn cancel(&self) {
        let mut wakers = Vec::new();
        let mut inner = lock(&self.inner);
        if inner.outcome().is_none() {
            let cause = Cause::new(CauseKind::Cancelled);
            inner.first.get_or_insert_with(|| cause.clone());
            inner.fell(&cause, None, &mut wakers);
            wakers.extend(inner.watchers.notify_all());
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until every member that has to has closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// # Errors
    /// The first cause; [`CauseKind::Abandoned`] if a member closed early
    /// without one.
    pub async fn outcome(&self) -> Result<(), Cause> {
        let mut wait = Wait { group: self, of: None, ticket: None };
        poll_fn(|cx| wait.poll(cx, Inner::outcome)).await
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = lock(&self.inner);
        f.debug_struct("Group")
            .field("members", &inner.seats.len())
            .field("first", &inner.first)
            .finish_non_exhaustive()
    }
}

/// A wait for a member, or for the outcome. Dropped, it leaves no waker behind.
struct Wait<'a> {
    group: &'a Group,
    of: Option<usize>,
    ticket: Option<u64>,
}

impl Wait<'_> {
    /// Waits until `look` sees what it is for.
    fn poll<R>(&mut self, cx: &Context<'_>, look: impl FnOnce(&Inner) -> Option<R>) -> Poll<R> {
        let mut inner = lock(&self.group.inner);
        if let Some(seen) = look(&inner) {
            return Poll::Ready(seen);
        }
        let old = inner.watchers(self.of).and_then(|seats| seats.sit(&mut self.ticket, cx.waker()));
        drop(inner);
        drop(old); // a waker's destructor is foreign code
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut inner = lock(&self.group.inner);
        let seat = inner.watchers(self.of).and_then(|seats| seats.leave(ticket));
        drop(inner);
        drop(seat); // not under the lock
    }
}

/// One of a [`Group`]. Whoever holds it drives the stream, cleans up when it is
/// [`over`](Self::over), and says [`closed`](Self::closed).
///
/// Dropped before that, it counts as closed, and early unless it was done.
pub struct Member {
    group: Group,
    index: usize,
}

impl Member {
    /// Ends this member with an error. A no-op if it is over: the first end
    /// stays.
    pub fn fail(&self, error: impl Into<BoxError>) {
        self.fail_with(Cause::failed(error));
    }

    /// [`fail`](Self::fail) with a cause that exists already.
    pub fn fail_with(&self, cause: Cause) {
        self.end(Some(cause), false);
    }

    /// Ends this member early and without an error of its own. The others get
    /// [`CauseKind::Abandoned`].
    pub fn stop(&self) {
        self.end(None, false);
    }

    /// Ends this member because it has done all it had to: what befalls others
    /// later is none of its business.
    pub fn done(&self) {
        self.end(None, true);
    }

    fn end(&self, cause: Option<Cause>, done: bool) {
        let mut wakers = Vec::new();
        let mut inner = lock(&self.group.inner);
        if let Some(seat) = inner.seats.get_mut(self.index) {
            let cause = cause.map(|cause| cause.at(seat.id.clone()));
            if matches!(seat.state, State::Open) {
                seat.state = State::Over(cause);
                seat.done = done;
                wakers.extend(seat.watchers.notify_all());
            }
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether it is over, by itself or by another's cause.
    #[must_use]
    pub fn is_over(&self) -> bool {
        lock(&self.group.inner)
            .seats
            .get(self.index)
            .is_none_or(|seat| !matches!(seat.state, State::Open))
    }

    /// Waits until it is over; says why, if there is a cause. Then it is time
    /// to clean up.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn over(&self) -> Option<Cause> {
        let look = |inner: &Inner| match &inner.seats.get(self.index)?.state {
            State::Open => None,
            State::Over(cause) => Some(cause.clone()),
            State::Closed => Some(None),
        };
        let mut wait = Wait { group: &self.group, of: Some(self.index), ticket: None };
        poll_fn(|cx| wait.poll(cx, look)).await
    }

    /// Says that the cleanup is over. Only now its cause reaches the others.
    pub fn closed(&self) {
        self.close(None);
    }

    /// Says that the cleanup is over and failed. That is this member's cause if
    /// it has none yet.
    pub fn closed_with(&self, error: impl Into<BoxError>) {
        self.close(Some(Cause::failed(error)));
    }

    fn close(&self, late: Option<Cause>) {
        let mut wakers = Vec::new();
        let mut inner = lock(&self.group.inner);
        let Some(seat) = inner.seats.get_mut(self.index) else { return };
        let cause = match std::mem::replace(&mut seat.state, State::Closed) {
            State::Closed => return,
            State::Over(Some(cause)) => Some(cause),
            State::Over(None) if seat.done => late,
            State::Open | State::Over(None) => {
                late.or_else(|| Some(Cause::new(CauseKind::Abandoned)))
            }
        };
        if let Some(cause) = cause {
            let cause = cause.at(seat.id.clone());
            inner.first.get_or_insert_with(|| cause.clone());
            inner.fell(&cause, Some(self.index), &mut wakers);
        }
        wakers.extend(inner.watchers.notify_all());
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.closed();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("index", &self.index).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<F: Future>(future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_outcome_waits_for_every_cleanup_and_is_the_first_cause() {
        let group = Group::new();
        let members = [group.join("a"), group.join("b"), group.join("c")];
        members[1].fail("late to close");
        members[2].fail("first to close");
        members[2].closed();
        assert!(members[0].is_over());
        assert!(now(group.outcome()).is_none(), "two have not closed");
        members[1].closed();
        members[0].closed();
        let cause = now(group.outcome()).unwrap().unwrap_err();
        assert_eq!(cause.to_string(), "stage 2 `c`: first to close");
    }

    #[test]
    fn one_that_is_done_is_spared() {
        let group = Group::new();
        let (a, b) = (group.join("a"), group.join("b"));
        a.done();
        b.fail("late");
        b.closed();
        assert!(now(a.over()).unwrap().is_none());
        a.closed();
        assert_eq!(now(group.outcome()).unwrap().unwrap_err().stage().unwrap().index, 1);
    }

    #[test]
    fn an_early_end_without_a_cause_is_abandonment_for_the_others() {
        let group = Group::new();
        let (a, b) = (group.join("a"), group.join("b"));
        drop(a);
        assert_eq!(now(b.over()).unwrap().unwrap().kind(), CauseKind::Abandoned);
        b.closed();
        assert!(now(group.outcome()).unwrap().is_err());
    }

    #[test]
    fn a_cleanup_that_fails_is_a_cause_where_there_is_none() {
        let group = Group::new();
        let (a, b) = (group.join("a"), group.join("b"));
        a.stop();
        a.closed_with("unlink failed");
        assert_eq!(now(b.over()).unwrap().unwrap().to_string(), "stage 0 `a`: unlink failed");
        b.closed_with("not the first");
        let cause = now(group.outcome()).unwrap().unwrap_err();
        assert_eq!(cause.to_string(), "stage 0 `a`: unlink failed");
    }

    #[test]
    fn one_that_is_kept_open_is_not_waited_for_and_not_felled() {
        let group = Group::new();
        let (a, b) = (group.join("a"), group.join_kept_open("b"));
        a.done();
        a.closed();
        assert_eq!(now(group.outcome()).map(|outcome| outcome.is_ok()), Some(true));
        assert!(!b.is_over());
        b.fail("it still may");
        b.closed();
    }

    /// Who joined a group that had fallen was never told, and the outcome waited
    /// for it for ever.
    #[test]
    fn one_that_joins_late_is_over_with_the_first_cause() {
        let group = Group::new();
        let early = group.join("early");
        early.fail("disk full");
        early.closed();
        let (late, kept) = (group.join("late"), group.join_kept_open("kept"));
        assert_eq!(now(late.over()).unwrap().unwrap().to_string(), "stage 0 `early`: disk full");
        assert!(!kept.is_over());
        assert!(now(group.outcome()).is_none(), "it has not closed");
        late.closed();
        assert!(now(group.outcome()).unwrap().is_err());
    }

    /// A task that looked in its turns whether all was over, each time through a
    /// waker of that turn, left each of them with the group.
    #[test]
    fn a_wait_that_is_given_up_leaves_no_waker_behind() {
        struct Flag;
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {}
        }
        let group = Group::new();
        let member = group.join("a");
        let flag = Arc::new(Flag);
        let look = |wait: &mut dyn FnMut(&mut Context<'_>) -> bool| {
            let waker = Waker::from(flag.clone());
            assert!(wait(&mut Context::from_waker(&waker)));
        };
        for _ in 0..10 {
            let mut over = Box::pin(member.over());
            look(&mut |cx| over.as_mut().poll(cx).is_pending());
            look(&mut |cx| over.as_mut().poll(cx).is_pending());
            let mut outcome = Box::pin(group.outcome());
            look(&mut |cx| outcome.as_mut().poll(cx).is_pending());
            assert_eq!(Arc::strong_count(&flag), 3, "one for each wait");
        }
        assert_eq!(Arc::strong_count(&flag), 1);
    }

    #[test]
    fn cancel_ends_all_once() {
        let group = Group::new();
        let (a, b) = (group.join("a"), group.join("b"));
        group.cancel();
        group.cancel();
        assert_eq!(now(a.over()).unwrap().unwrap().kind(), CauseKind::Cancelled);
        a.closed();
        b.closed();
        group.cancel();
        let cause = now(group.outcome()).unwrap().unwrap_err();
        assert_eq!(cause.kind(), CauseKind::Cancelled);
    }
}
