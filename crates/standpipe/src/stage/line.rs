//! What all stages of one pipeline share: the first cause, and whether it is
//! over.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{BoxError, Cause, CauseKind, StageId};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, lock};

/// Consequences kept beside the first cause; later ones add nothing.
const CONSEQUENCES_KEPT: usize = 64;

/// How a pipeline came to its end.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The sink has finished.
    Complete,
    /// Something else came first; the index of the stage, if it was one.
    Failed(Cause, Option<usize>),
}

/// One per pipeline. Every stage has a hold of it through its [`Post`].
pub(crate) struct Line {
    outcome: Mutex<Option<Outcome>>,
    consequences: Mutex<Vec<Cause>>,
    over: AtomicBool,
    draining: AtomicBool,
    names: Mutex<Vec<Arc<str>>>,
    /// Called once, when the line is over or begins to drain: wakes whoever
    /// has to see it.
    alarm: Mutex<Vec<Alarm>>,
}

type Alarm = Arc<dyn Fn() + Send + Sync>;

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            outcome: Mutex::new(None),
            consequences: Mutex::new(Vec::new()),
            over: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            names: Mutex::new(Vec::new()),
            alarm: Mutex::new(Vec::new()),
        }
    }

    /// Adds a stage at the end; its index.
    pub(crate) fn add_stage(&self, name: &str) -> usize {
        let mut names = lock(&self.names);
        names.push(name.into());
        names.len().saturating_sub(1)
    }

    pub(crate) fn stage_count(&self) -> usize {
        lock(&self.names).len()
    }

    pub(crate) fn stage_id(&self, index: usize) -> StageId {
        let name = lock(&self.names).get(index).cloned().unwrap_or_else(|| "?".into());
        StageId::new(index, name)
    }

    /// Calls `alarm` whenever the line ends or begins to drain; at once if it
    /// has.
    pub(crate) fn on_alarm(&self, alarm: Alarm) {
        lock(&self.alarm).push(alarm.clone());
        if self.is_over() || self.is_draining() {
            alarm();
        }
    }

    /// The same, for as long as what it returns lives.
    #[cfg(feature = "tokio")]
    pub(crate) fn listen(&self, alarm: Alarm) -> Listening<'_> {
        self.on_alarm(alarm.clone());
        Listening { line: self, alarm }
    }

    /// Sounds them all, also if one of somebody else's panics: the next may wake
    /// who takes the pipeline down. Its panic goes on afterwards, unless another
    /// one does already.
    fn sound(&self) {
        let alarms = lock(&self.alarm).clone();
        let sound = |alarm: Alarm| catch_unwind(AssertUnwindSafe(|| alarm())).err();
        let mut panics = alarms.into_iter().filter_map(sound);
        let first = panics.next();
        panics.for_each(drop);
        if let Some(panic) = first.filter(|_| !std::thread::panicking()) {
            resume_unwind(panic);
        }
    }

    /// Whether it has ended, either way.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        lock(&self.outcome).clone()
    }

    /// The first cause wins; later ones are its consequences.
    pub(crate) fn halt(&self, cause: Cause, index: Option<usize>) {
        let cause = match index {
            Some(index) => cause.at(self.stage_id(index)),
            None => cause,
        };
        {
            let mut outcome = lock(&self.outcome);
            match *outcome {
                None => *outcome = Some(Outcome::Failed(cause, index)),
                Some(Outcome::Complete) => {
                    // a no-op after the end, but for a stage that tells of its
                    // own cleanup
                    let mut later = lock(&self.consequences);
                    if index.is_some() && later.len() < CONSEQUENCES_KEPT {
                        later.push(cause);
                    }
                    return;
                }
                Some(Outcome::Failed(..)) => {
                    let mut later = lock(&self.consequences);
                    // a second cancel tells nothing new
                    if index.is_some() && later.len() < CONSEQUENCES_KEPT {
                        later.push(cause);
                    }
                    return;
                }
            }
        }
        self.over.store(true, Ordering::SeqCst);
        self.sound();
    }

    /// The sink has finished: that is success, if nothing came before it.
    pub(crate) fn complete(&self) {
        {
            let mut outcome = lock(&self.outcome);
            if outcome.is_some() {
                return;
            }
            *outcome = Some(Outcome::Complete);
        }
        self.over.store(true, Ordering::SeqCst);
        self.sound();
    }

    /// Sources stop, everything that was read goes on to the end.
    pub(crate) fn drain(&self) {
        if !self.draining.swap(true, Ordering::SeqCst) {
            self.sound();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// A panic was caught: gives its message to the cause that a [`Guard`]
    /// recorded without one.
    pub(crate) fn explain_panic(&self, payload: &(dyn Any + Send)) {
        let message = panic_message(payload);
        let mut outcome = lock(&self.outcome);
        if let Some(Outcome::Failed(cause, _)) = &mut *outcome
            && cause.kind() == CauseKind::Panicked
            && cause.error().is_none()
        {
            let stage = cause.stage().cloned();
            *cause = Cause::with_error(CauseKind::Panicked, message);
            if let Some(stage) = stage {
                *cause = cause.clone().at(stage);
            }
        }
    }

    pub(crate) fn consequences(&self) -> Vec<Cause> {
        lock(&self.consequences).clone()
    }

    /// What the stage at `index` is told when it is destroyed unfinished:
    /// upstream of the cause "nobody reads any more", below it the cause.
    pub(crate) fn why(&self, index: usize) -> Option<Cause> {
        match self.outcome()? {
            Outcome::Complete => Some(Cause::new(CauseKind::Stopped)),
            Outcome::Failed(cause, Some(at)) if index < at => {
                // its text names the stage
                Some(Cause::with_error(CauseKind::Stopped, cause.to_string()))
            }
            Outcome::Failed(cause, _) => Some(cause),
        }
    }
}

/// See [`Line::listen`].
#[cfg(feature = "tokio")]
pub(crate) struct Listening<'a> {
    line: &'a Line,
    alarm: Alarm,
}

#[cfg(feature = "tokio")]
impl Drop for Listening<'_> {
    fn drop(&mut self) {
        lock(&self.line.alarm).retain(|alarm| !Arc::ptr_eq(alarm, &self.alarm));
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("outcome", &self.outcome()).finish_non_exhaustive()
    }
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        String::from("no message")
    }
}

/// What the stages of one segment share.
#[derive(Default)]
pub(crate) struct Shift {
    /// The segment is being polled right now.
    polled: AtomicBool,
    /// An item is on its way through the stages behind the source: it must not
    /// be dropped there.
    handing: AtomicBool,
    /// A stage behind the source ends the data: that must not be dropped
    /// either.
    closing: AtomicBool,
    /// It had enough, or whoever reads what it gives has: it is pending for
    /// ever, and its stages are over before the line is.
    enough: AtomicBool,
    /// Stages that left the segment's future and close; `None` while nobody
    /// would poll them.
    leaving: Mutex<Option<Vec<Leaving>>>,
}

/// A stage that closes.
pub(crate) type Leaving = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Shift {
    /// An item sets out, or has arrived.
    pub(crate) fn set_handing(&self, handing: bool) {
        if self.handing.load(Ordering::Relaxed) != handing {
            self.handing.store(handing, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_handing(&self) -> bool {
        self.handing.load(Ordering::Relaxed) || self.closing.load(Ordering::Relaxed)
    }

    /// The data ends here, before the input has. For good.
    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Everything is done: the segment is to be dropped.
    pub(crate) fn set_enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    /// From now on somebody calls [`poll_leaving`](Self::poll_leaving).
    pub(crate) fn begin(&self) {
        *lock(&self.leaving) = Some(Vec::new());
    }

    /// Takes a stage that closes; gives it back if nobody would poll it.
    pub(crate) fn take_leaving<S>(
        &self,
        stage: S,
        close: impl FnOnce(S) -> Leaving,
    ) -> Result<(), S> {
        match &mut *lock(&self.leaving) {
            Some(leaving) => {
                leaving.push(close(stage));
                Ok(())
            }
            None => Err(stage),
        }
    }

    /// Polls the stages that close, in the order in which they were dropped.
    /// Each is destroyed when it has closed.
    pub(crate) fn poll_leaving(&self, cx: &mut Context<'_>) -> Poll<()> {
        // polled without the lock: foreign code
        let Some(mut leaving) = lock(&self.leaving).as_mut().map(mem::take) else {
            return Poll::Ready(());
        };
        leaving.retain_mut(|stage| stage.as_mut().poll(cx).is_pending());
        if leaving.is_empty() {
            return Poll::Ready(());
        }
        if let Some(kept) = &mut *lock(&self.leaving) {
            kept.append(&mut leaving);
            return Poll::Pending;
        }
        Poll::Ready(()) // given up meanwhile: they are destroyed here
    }

    /// Whether nobody polls the stages that close.
    pub(crate) fn is_given_up(&self) -> bool {
        lock(&self.leaving).is_none()
    }

    /// Nobody polls the stages that close any more: they are destroyed.
    pub(crate) fn give_up_leaving(&self) {
        let leaving = lock(&self.leaving).take();
        drop(leaving);
    }
}

impl fmt::Debug for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shift").field("enough", &self.is_enough()).finish_non_exhaustive()
    }
}

/// A stage's place in its line.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    line: Arc<Line>,
    index: usize,
    shift: Arc<Shift>,
}

impl Post {
    pub(crate) const fn new(line: Arc<Line>, index: usize, shift: Arc<Shift>) -> Self {
        Self { line, index, shift }
    }

    pub(crate) fn shift(&self) -> &Shift {
        &self.shift
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    pub(crate) const fn index(&self) -> usize {
        self.index
    }

    /// This stage is the cause of the end. Never returns: the segment is
    /// dropped where it waits.
    pub(crate) async fn fail(&self, error: impl Into<BoxError>) -> Infallible {
        self.halt(Cause::failed(error)).await
    }

    /// The same with a cause.
    pub(crate) async fn halt(&self, cause: Cause) -> Infallible {
        self.line.halt(cause, Some(self.index));
        std::future::pending().await
    }

    /// Calls into the stage, [watched over](Self::guard).
    #[inline]
    pub(crate) fn calls<R>(&self, call: impl FnOnce() -> R) -> R {
        let guard = self.guard();
        let result = call();
        guard.disarm();
        result
    }

    /// [`calls`](Self::calls) for each item of an iterator. Written where the
    /// iterator is, the closure's type would name the iterator's once more,
    /// and with each fused stage names would double.
    #[inline]
    pub(crate) fn each<T, R>(&self, mut call: impl FnMut(T) -> R) -> impl FnMut(T) -> R {
        move |item| self.calls(|| call(item))
    }

    /// Watches over a call into the stage: if it panics, the stage is recorded
    /// as the cause before anything is dropped.
    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard { post: self, armed: true }
    }
}

/// See [`Post::guard`].
pub(crate) struct Guard<'a> {
    post: &'a Post,
    armed: bool,
}

impl Guard<'_> {
    /// The call returned.
    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // a segment that is merely dropped, perhaps by someone else's panic,
        // is not being polled; one that is has one stage that panics, and the
        // calls around it only pass that on
        if self.armed
            && std::thread::panicking()
            && self.post.shift.polled.swap(false, Ordering::Relaxed)
        {
            self.post.line.halt(Cause::new(CauseKind::Panicked), Some(self.post.index));
        }
    }
}

/// Marks a segment as being polled, for as long as it lives.
pub(crate) struct Polling<'a>(&'a Shift);

impl<'a> Polling<'a> {
    pub(crate) fn new(shift: &'a Shift) -> Self {
        shift.polled.store(true, Ordering::Relaxed);
        Self(shift)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.polled.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A look at stages that close, after nobody would poll them any more, took
    /// that for a beginning: one that closed later would have been left there.
    #[test]
    fn a_shift_that_was_given_up_takes_no_stage_any_more() {
        let shift = Shift::default();
        shift.begin();
        shift.give_up_leaving();
        let polled = shift.poll_leaving(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
        assert_eq!(shift.take_leaving(7, |_| Box::pin(async {})), Err(7), "it is handed back");
    }
}
