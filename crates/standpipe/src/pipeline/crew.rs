//! Who polls the segments, and who takes them down?
//!
//! All segments of a pipeline sit in numbered slots. Whatever drives them (one
//! task, a task each, a thread each) polls a slot through [`Crew::poll`], so
//! the rules of the end are in one place: the first halt stops all polling,
//! and segments are dropped in contract order: the failed one, then upstream,
//! nearest first, then downstream, nearest first; without a failed stage from
//! the sink up. A slot that another thread is polling is left to that thread,
//! which goes on with the order when its poll returns.
//!
//! A stage may take its time to close. So a slot is done with in two steps:
//! the segment is dropped, in order, and then its stages close, polled by
//! whoever drives the slot, all slots at the same time.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use crate::error::{Cause, CauseKind};
use crate::pipeline::relay::{Relay, Round};
use crate::pipeline::segment::Watch;
#[cfg(feature = "tracing")]
use crate::pipeline::spans::{PipelineSpan, SegmentSpan};
use crate::pipeline::turn::{Paused, Polled, Turn};
use crate::snapshot::StageState;
use crate::stage::line::{Line, Outcome, Polling, Shift};
use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering, lock};

/// A segment's work, boxed once.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long the one-task driver goes on before it lets other tasks run: what
/// tokio advises at most between two awaits.
const TURN_NS: u64 = 100_000;
/// The same in polls, for a clock that stands still.
const POLLS_PER_TURN: usize = 4_096;

/// A segment before it is driven.
pub(crate) struct Segment {
    pub(crate) work: Work,
    pub(crate) watch: Watch,
    pub(crate) at_first: StageState,
    /// Index of its first stage.
    pub(crate) first_stage: usize,
    /// Marks it as being polled, for its stages' guards.
    pub(crate) shift: Arc<Shift>,
    #[cfg(feature = "tracing")]
    pub(crate) name: Arc<str>,
}

struct Slot {
    running: Mutex<Option<Running>>,
    shift: Arc<Shift>,
    /// The segment is gone; from now on only who drives the slot polls what
    /// closes.
    dropped: AtomicBool,
    closed: AtomicBool,
    first_stage: usize,
}

struct Running {
    work: Work,
    turn: Turn,
    watch: Watch,
    shift: Arc<Shift>,
    #[cfg(feature = "tracing")]
    span: SegmentSpan,
}

impl Running {
    /// One poll. A panic is recorded as the cause.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        line: &Line,
        first_stage: usize,
        now_ns: Option<u64>,
    ) -> Polled {
        let begun_ns = self.turn.begin(&self.watch, now_ns);
        let meter = &self.watch.meter;
        let paused = meter.state() == StageState::Paused;
        let paused_ns = paused.then(|| meter.since_ns());
        let polled = {
            #[cfg(feature = "tracing")]
            let _entered = self.span.enter();
            let _polling = Polling::new(&self.shift);
            let work = &mut self.work;
            catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
        };
        let over = match polled {
            Ok(polled) => polled.is_ready() || self.shift.is_enough(),
            Err(payload) => {
                if !line.is_over() {
                    // no guard was passed: the segment's own first stage
                    line.halt(Cause::new(CauseKind::Panicked), Some(first_stage));
                }
                line.explain_panic(payload.as_ref());
                true
            }
        };
        let ended_ns = self.turn.end(&self.watch, over);
        let stays = self.watch.meter.state() == StageState::Paused
            && paused_ns == Some(self.watch.meter.since_ns());
        #[cfg(feature = "tracing")]
        if !stays {
            if let Some(since_ns) = paused_ns {
                self.span.goes_on(begun_ns.saturating_sub(since_ns));
            }
            if self.watch.meter.state() == StageState::Paused {
                self.span.pauses();
            }
        }
        Polled {
            begun_ns,
            ended_ns,
            over,
            waits_for_its_own: self.turn.waits_for_its_own(&self.watch),
            paused: if paused && !stays { Paused::WasLetGoOn } else { Paused::Stays },
        }
    }

    /// Drops the work; what its stages destroy happens here.
    fn take_down(self, line: &Line, first_stage: usize) {
        let now_ns = self.watch.now_ns();
        self.watch.meter.enter(StageState::Done, now_ns);
        #[cfg(feature = "tracing")]
        let _entered = {
            let id = line.stage_id(first_stage);
            let name = id.name.clone();
            self.span.ends(&self.watch.meter.snapshot(id, name, now_ns));
            self.span.enter()
        };
        let work = self.work;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(work))) {
            line.halt(Cause::new(CauseKind::Panicked), Some(first_stage));
            line.explain_panic(payload.as_ref());
        }
    }
}

/// What the segments of one pipeline share, and whoever ends it from outside
/// can reach.
struct Office {
    line: Arc<Line>,
    /// Segments that are not dropped and closed yet.
    left: AtomicUsize,
    /// Who polls each of them.
    wakers: Vec<Mutex<Option<Waker>>>,
    supervisor: Mutex<Option<Waker>>,
}

impl Office {
    fn wake(&self, index: usize) {
        let waker = self.wakers.get(index).and_then(|waker| lock(waker).clone());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wake_all(&self) {
        for waker in self.wakers.iter().chain([&self.supervisor]) {
            let waker = lock(waker).clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let waker = lock(&self.supervisor).clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Polls one segment, unless it or the line is over. `now_ns` is a reading
    /// of the clock after which nothing was worked on. Says what the poll was,
    /// and what is to be dropped at once.
    fn poll(
        &self,
        running: &mut Option<Running>,
        first_stage: usize,
        cx: &mut Context<'_>,
        now_ns: Option<u64>,
    ) -> (Option<Polled>, Option<Running>) {
        let Some(segment) = running.as_mut().filter(|_| !self.line.is_over()) else {
            return (None, None);
        };
        let polled = segment.poll(cx, &self.line, first_stage, now_ns);
        // one that ended while the line goes on is dropped at once; else the
        // order says when
        let over = if polled.over && !self.line.is_over() { running.take() } else { None };
        (Some(polled), over)
    }
}

/// The segments of one running pipeline.
pub(crate) struct Crew {
    slots: Vec<Slot>,
    office: Arc<Office>,
    /// Whose turn it is in the order of taking down.
    next_down: Mutex<usize>,
    #[cfg(feature = "tracing")]
    span: PipelineSpan,
}

impl Crew {
    pub(crate) fn new(segments: Vec<Segment>, line: Arc<Line>, now_ns: u64) -> Self {
        #[cfg(feature = "tracing")]
        let span = {
            let names: Vec<_> = segments.iter().map(|segment| segment.name.clone()).collect();
            PipelineSpan::begin(&names)
        };
        let slots: Vec<Slot> = segments
            .into_iter()
            .map(|segment| {
                let mut turn = Turn::default();
                turn.start(&segment.watch, segment.at_first, now_ns);
                segment.shift.begin();
                let (work, watch, shift) = (segment.work, segment.watch, segment.shift);
                let running = Mutex::new(Some(Running {
                    work,
                    turn,
                    watch,
                    shift: shift.clone(),
                    #[cfg(feature = "tracing")]
                    span: span.segment(segment.first_stage, &segment.name),
                }));
                let flag = || AtomicBool::new(false);
                let first_stage = segment.first_stage;
                Slot { running, shift, dropped: flag(), closed: flag(), first_stage }
            })
            .collect();
        let office = Arc::new(Office {
            line: line.clone(),
            left: AtomicUsize::new(slots.len()),
            wakers: slots.iter().map(|_| Mutex::new(None)).collect(),
            supervisor: Mutex::new(None),
        });
        let weak = Arc::downgrade(&office);
        line.on_alarm(Arc::new(move || {
            if let Some(office) = weak.upgrade() {
                office.wake_all();
            }
        }));
        Self {
            slots,
            office,
            next_down: Mutex::new(0),
            #[cfg(feature = "tracing")]
            span,
        }
    }

    /// Tells the log how it ended, once.
    #[cfg(feature = "tracing")]
    pub(crate) fn tell_end(&self) {
        self.span.end(self.line().outcome().as_ref());
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.office.line
    }

    /// What each segment does before its first poll.
    pub(crate) fn at_first(&self) -> Vec<StageState> {
        let state = |slot: &Slot| match &*lock(&slot.running) {
            Some(segment) => segment.watch.meter.state(),
            None => StageState::Done,
        };
        self.slots.iter().map(state).collect()
    }

    /// Tells the segments that each runs by itself, and where their paths are.
    pub(crate) fn set_relay(&self, relay: &Arc<Relay>) {
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(segment) = &*lock(&slot.running) {
                segment.watch.set_relay(relay.clone(), index);
            }
        }
    }

    /// Tells the segments that they run in one task.
    fn set_alone(&self) {
        for slot in &self.slots {
            if let Some(segment) = &*lock(&slot.running) {
                segment.watch.alone.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Wakes `waker` when the line is over or drains.
    pub(crate) fn watch(&self, index: usize, waker: &Waker) {
        if let Some(mine) = self.office.wakers.get(index) {
            remember(mine, waker);
        }
    }

    /// Polls one segment, or sees that it is over.
    pub(crate) fn poll(&self, index: usize, cx: &mut Context<'_>) -> Poll<()> {
        let Some(slot) = self.slots.get(index) else { return Poll::Ready(()) };
        let (_, over) = self.office.poll(&mut lock(&slot.running), slot.first_stage, cx, None);
        if let Some(segment) = over {
            self.drop_segment(index, slot, segment);
        }
        if self.line().is_over() {
            self.take_down();
        }
        self.poll_closed(slot, cx)
    }

    /// Drops a segment. Stages that have nothing to wait for close and are
    /// destroyed here, in order; the others are left to who drives the slot.
    fn drop_segment(&self, index: usize, slot: &Slot, segment: Running) {
        segment.take_down(self.line(), slot.first_stage);
        let waker = self.office.wakers.get(index).and_then(|waker| lock(waker).clone());
        let waker = waker.unwrap_or_else(|| Waker::noop().clone());
        if slot.shift.poll_leaving(&mut Context::from_waker(&waker)).is_ready() {
            self.closed(slot);
        }
        slot.dropped.store(true, Ordering::SeqCst);
        // who gave it up meanwhile found it not dropped yet, and drives no more
        if slot.shift.is_given_up() {
            self.closed(slot);
        }
        self.office.wake(index);
    }

    fn closed(&self, slot: &Slot) {
        if !slot.closed.swap(true, Ordering::SeqCst) {
            self.office.one_less();
        }
    }

    /// Polls what closes in a slot whose segment is gone.
    fn poll_closed(&self, slot: &Slot, cx: &mut Context<'_>) -> Poll<()> {
        if slot.closed.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        if slot.dropped.load(Ordering::SeqCst) && slot.shift.poll_leaving(cx).is_ready() {
            self.closed(slot);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Nobody polls any more: what closes is destroyed where it is.
    pub(crate) fn abandon(&self) {
        for slot in &self.slots {
            slot.shift.give_up_leaving();
            if slot.dropped.load(Ordering::SeqCst) {
                self.closed(slot);
            }
        }
    }

    /// The same for whoever has the whole crew to himself: no lock is taken.
    /// What is over shows in [`is_gone`](Self::is_gone).
    fn poll_alone(
        &mut self,
        index: usize,
        cx: &mut Context<'_>,
        now_ns: Option<u64>,
    ) -> Option<Polled> {
        let slot = self.slots.get_mut(index)?;
        let running = slot.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (polled, over) = self.office.poll(running, slot.first_stage, cx, now_ns);
        let is_running = running.is_some();
        let slot = self.slots.get(index)?;
        if let Some(segment) = over {
            self.drop_segment(index, slot, segment);
        } else if !is_running {
            match self.poll_closed(slot, cx) {
                Poll::Ready(()) | Poll::Pending => {} // shows in `is_gone`
            }
        }
        polled
    }

    /// The order in which segments are dropped.
    fn order(&self) -> Vec<usize> {
        let count = self.slots.len();
        let failed = match self.line().outcome() {
            Some(Outcome::Failed(_, Some(stage))) => {
                self.slots.iter().rposition(|slot| slot.first_stage <= stage)
            }
            _ => None,
        };
        match failed {
            Some(failed) => (0..=failed).rev().chain(failed.saturating_add(1)..count).collect(),
            None => (0..count).rev().collect(),
        }
    }

    /// Drops segments in order, until one is being polled elsewhere.
    pub(crate) fn take_down(&self) {
        let order = self.order();
        let mut next = lock(&self.next_down);
        while let Some(&index) = order.get(*next) {
            let Some(slot) = self.slots.get(index) else { break };
            let segment = match slot.running.try_lock() {
                Ok(mut running) => running.take(),
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
                Err(TryLockError::WouldBlock) => return,
            };
            *next = next.saturating_add(1);
            if let Some(segment) = segment {
                self.drop_segment(index, slot, segment);
            }
        }
    }

    /// Whether every segment is gone; takes them down if that is due.
    pub(crate) fn is_gone(&self) -> bool {
        if self.line().is_over() {
            self.take_down();
        }
        self.office.left.load(Ordering::SeqCst) == 0
    }

    /// Waits until every segment is gone.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        remember(&self.office.supervisor, cx.waker());
        if self.is_gone() { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn remember(slot: &Mutex<Option<Waker>>, waker: &Waker) {
    let mut slot = lock(slot);
    if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
        let old = slot.replace(waker.clone());
        drop(slot);
        drop(old);
    }
}

/// Drives all segments in one task: a wake inside the task is a store.
pub(crate) struct OneTask {
    crew: Crew,
    lamps: Vec<Arc<Lamp>>,
    wakers: Vec<Waker>,
    desk: Arc<Desk>,
    round: Round,
}

/// What the lamps of one task share.
struct Desk {
    /// The task is polling: it will look at its lamps before it sleeps.
    awake: AtomicBool,
    task: Mutex<Option<Waker>>,
}

thread_local! {
    /// The desk that this thread polls at, by its address; 0 is none.
    static AT_DESK: Cell<usize> = const { Cell::new(0) };
}

impl Desk {
    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

/// This thread polls at a desk, for as long as this lives.
struct AtDesk {
    before: usize,
}

impl AtDesk {
    fn new(desk: &Arc<Desk>) -> Self {
        Self { before: AT_DESK.replace(desk.address()) }
    }
}

impl Drop for AtDesk {
    fn drop(&mut self) {
        AT_DESK.set(self.before);
    }
}

/// One segment's "poll me".
struct Lamp {
    /// Lit by the task itself while it polls, which needs no lock prefix.
    inside: AtomicBool,
    /// Lit by anybody else.
    outside: AtomicBool,
    desk: Arc<Desk>,
}

impl Lamp {
    fn is_lit(&self) -> bool {
        self.inside.load(Ordering::Relaxed) || self.outside.load(Ordering::SeqCst)
    }

    /// Puts it out; whether it was lit.
    fn put_out(&self) -> bool {
        let inside = self.inside.load(Ordering::Relaxed);
        if inside {
            self.inside.store(false, Ordering::Relaxed);
        }
        // a swap: the poll that follows sees what was done before the wake
        let outside =
            self.outside.load(Ordering::Relaxed) && self.outside.swap(false, Ordering::SeqCst);
        inside || outside
    }
}

impl Wake for Lamp {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // fails only while a thread ends
        let at_desk = AT_DESK.try_with(Cell::get).unwrap_or(0);
        if at_desk == self.desk.address() {
            self.inside.store(true, Ordering::Relaxed);
        } else if !self.outside.swap(true, Ordering::SeqCst)
            && !self.desk.awake.load(Ordering::SeqCst)
        {
            let task = lock(&self.desk.task).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

impl OneTask {
    pub(crate) fn new(crew: Crew, round: Round) -> Self {
        let desk = Arc::new(Desk { awake: AtomicBool::new(false), task: Mutex::new(None) });
        let lamp = || Lamp {
            inside: AtomicBool::new(true),
            outside: AtomicBool::new(false),
            desk: desk.clone(),
        };
        let lamps: Vec<Arc<Lamp>> = (0..crew.len()).map(|_| Arc::new(lamp())).collect();
        let wakers: Vec<Waker> = lamps.iter().map(|lamp| Waker::from(lamp.clone())).collect();
        crew.set_alone();
        for (index, waker) in wakers.iter().enumerate() {
            crew.watch(index, waker);
        }
        Self { crew, lamps, wakers, desk, round }
    }

    pub(crate) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Polls what is to be polled, until nothing is or its turn is over.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        remember(&self.desk.task, cx.waker());
        let _at_desk = AtDesk::new(&self.desk);
        self.desk.awake.store(true, Ordering::SeqCst);
        let mut polls: usize = 0;
        let (mut begun_ns, mut now_ns) = (None, None);
        loop {
            let mut any = false;
            for (index, (lamp, waker)) in self.lamps.iter().zip(&self.wakers).enumerate() {
                if lamp.put_out() {
                    any = true;
                    polls = polls.saturating_add(1);
                    let cx = &mut Context::from_waker(waker);
                    if let Some(polled) = self.crew.poll_alone(index, cx, now_ns) {
                        now_ns = Some(polled.ended_ns);
                        self.round.polled(index, &polled);
                    }
                    if self.crew.line().is_over() {
                        break;
                    }
                }
            }
            if self.crew.is_gone() {
                self.desk.awake.store(false, Ordering::SeqCst);
                return Poll::Ready(());
            }
            // the clock was read for the meters
            let turn_ns = now_ns
                .map_or(0, |now_ns: u64| now_ns.saturating_sub(*begun_ns.get_or_insert(now_ns)));
            let is_over = turn_ns >= TURN_NS || polls >= POLLS_PER_TURN;
            if any && !is_over {
                continue;
            }
            self.desk.awake.store(false, Ordering::SeqCst);
            if !self.lamps.iter().any(|lamp| lamp.is_lit()) {
                self.round.sleeps();
                return Poll::Pending;
            }
            if is_over {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.desk.awake.store(true, Ordering::SeqCst);
        }
    }
}
