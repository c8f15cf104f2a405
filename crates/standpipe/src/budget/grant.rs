//! What has a tank of a budget, and by which marks does it go?
//!
//! # Knows / never knows
//! Knows the gate of its tank, under the tank's lock, and the pool, under a
//! lock of its own that is taken second and held shortly. Never knows what is
//! in the tank.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::budget::{Answer, Pool, within};
use crate::gate::{Flow, Gate, Marks, Turn};
use crate::snapshot::TankBudget;
use crate::sync::{Arc, AtomicU64, AtomicUsize, Mutex, Ordering, lock};

/// Somebody who waits for a budget.
pub(crate) trait Called {
    /// There may be something for him.
    fn call(self);
}

/// Calls them all, also if one of somebody else's panics: the others may be of
/// other pipelines. Returns the first panic, to go on once all else is done.
pub(crate) fn call_all<W: Called>(called: Vec<W>) -> Option<Box<dyn Any + Send>> {
    let call = |waits: W| catch_unwind(AssertUnwindSafe(|| waits.call())).err();
    let mut panics = called.into_iter().filter_map(call);
    let first = panics.next();
    panics.for_each(drop);
    first.filter(|_| !std::thread::panicking())
}

/// A pool that tanks share. The atomics tell what it said last, so that a tank
/// that need not ask does not.
pub(crate) struct Common<W> {
    pool: Mutex<Pool<W>>,
    changes: AtomicU64,
    /// Whoever has more gives it back.
    most: AtomicUsize,
}

impl<W> Common<W> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            pool: Mutex::new(Pool::new(limit)),
            changes: AtomicU64::new(0),
            most: AtomicUsize::new(usize::MAX),
        }
    }

    /// What the pool says.
    pub(crate) fn look<R>(&self, at: impl FnOnce(&Pool<W>) -> R) -> R {
        at(&lock(&self.pool))
    }

    /// Asks. Where all that is asked for is there nothing else changes, and
    /// nothing is to be told.
    #[inline]
    fn ask(&self, slot: usize, want: usize, called: &mut Vec<W>) -> Answer {
        let mut pool = lock(&self.pool);
        if let Some(answer) = pool.takes_all(slot, want) {
            return answer;
        }
        let (answer, _) = pool.ask(slot, want, None, called);
        self.tell(&pool);
        answer
    }

    /// Does something with the pool, and tells what came of it.
    #[inline]
    fn with<R>(&self, what: impl FnOnce(&mut Pool<W>) -> R) -> R {
        let mut pool = lock(&self.pool);
        let result = what(&mut pool);
        self.tell(&pool);
        result
    }

    #[inline]
    fn tell(&self, pool: &Pool<W>) {
        self.changes.store(pool.changes(), Ordering::Release);
        if let Some(most) = pool.most() {
            self.most.store(most, Ordering::Relaxed);
        }
    }
}

/// A tank's part in a budget, given back when it is dropped.
pub(crate) struct Grant<W: Called> {
    common: Arc<Common<W>>,
    slot: usize,
    /// The tank's own marks.
    own: Marks,
    weight: usize,
    short: bool,
    /// What it filled before it was last empty, or would have.
    filled_before: usize,
    /// Its level has reached its grant since it was empty.
    filled: bool,
    /// By its own marks it would be shut as well.
    full: bool,
    /// It is shut for want of the budget alone.
    waits: bool,
    /// Somebody waits, or was called since.
    in_line: bool,
    /// What had changed when it was last refused.
    refused_at: Option<u64>,
    /// Times the tank shut below its own mark.
    times: u64,
}

impl<W: Called> Grant<W> {
    /// Nothing yet, of this budget, for a tank with these marks.
    pub(crate) fn new(common: Arc<Common<W>>, own: Marks) -> Self {
        let slot = common.with(|pool| pool.join(own.high()));
        Self {
            common,
            slot,
            own,
            weight: 0,
            short: false,
            filled_before: 0,
            filled: false,
            full: false,
            waits: false,
            in_line: false,
            refused_at: None,
            times: 0,
        }
    }

    /// Sets the marks of an empty gate.
    pub(crate) fn fits(&self, gate: &mut Gate) {
        *gate = Gate::new(self.marks());
    }

    /// The tank's own marks.
    pub(crate) const fn own(&self) -> Marks {
        self.own
    }

    /// The marks that it goes by.
    fn marks(&self) -> Marks {
        within(self.own, self.weight)
    }

    /// Whether the gate is shut, and would not be without a budget.
    pub(crate) const fn keeps_shut(&self, gate: &Gate) -> bool {
        gate.is_shut() && !self.full
    }

    /// Whether it is shut for want of the budget.
    pub(crate) const fn waits(&self) -> bool {
        self.waits
    }

    /// Whether somebody is in line for it, or was called.
    pub(crate) const fn is_in_line(&self) -> bool {
        self.in_line
    }

    /// The gate is shut and stays so: whether a wait for the budget begins by
    /// that, which is counted.
    pub(crate) const fn begins_to_wait(&mut self, gate: &Gate) -> bool {
        if !self.keeps_shut(gate) || self.waits {
            return false;
        }
        self.waits = true;
        self.times = self.times.saturating_add(1);
        true
    }

    /// Whether the gate of a tank that shut is open after all, since there is
    /// more to be had. Whom to call is added to `called`.
    pub(crate) fn opens(&mut self, gate: &mut Gate, called: &mut Vec<W>) -> bool {
        let level = gate.level();
        if level >= self.own.high() {
            (self.full, self.waits) = (true, false);
        }
        self.filled |= self.weight > 0; // or it would not be shut
        if self.weight >= self.own.high() {
            return false;
        }
        if self.is_refused() {
            return false;
        }
        let answer = self.common.ask(self.slot, self.would_have(level), called);
        self.goes_by(gate, answer)
    }

    /// So much is to be written into the open tank: asks for more at once, if
    /// it would shut below its own mark by that.
    pub(crate) fn expects(&mut self, gate: &mut Gate, weight: usize, called: &mut Vec<W>) {
        let comes_to = gate.level().saturating_add(weight);
        if self.weight >= comes_to.min(self.own.high()) || gate.is_shut() {
            return;
        }
        if !self.is_refused() {
            let answer = self.common.ask(self.slot, self.would_have(comes_to), called);
            self.goes_by(gate, answer);
        }
    }

    /// Whether it was refused, and nothing has changed since.
    fn is_refused(&self) -> bool {
        self.refused_at.is_some_and(|at| self.common.changes.load(Ordering::Acquire) == at)
    }

    /// The same, and if it does not open, `waiter` is called when it may.
    /// Returns a waiter that is not needed.
    pub(crate) fn opens_or_waits(
        &mut self,
        gate: &mut Gate,
        waiter: W,
        called: &mut Vec<W>,
    ) -> (bool, Option<W>) {
        if self.full {
            return (false, Some(waiter));
        }
        let (slot, want) = (self.slot, self.would_have(gate.level()));
        let (answer, unneeded) =
            self.common.with(|pool| pool.ask(slot, want, Some(waiter), called));
        let opens = self.goes_by(gate, answer);
        self.in_line = self.short;
        (opens, unneeded)
    }

    /// What it would have at this level.
    fn would_have(&self, level: usize) -> usize {
        level.saturating_mul(2).max(self.filled_before)
    }

    /// The gate of a tank that asked goes by what the answer is. Whether it is
    /// open.
    #[inline]
    fn goes_by(&mut self, gate: &mut Gate, answer: Answer) -> bool {
        let Answer { grant, short, changes } = answer;
        self.short = short;
        self.refused_at = short.then_some(changes);
        let more = grant > mem::replace(&mut self.weight, grant);
        if self.full {
            let (Turn::Stayed | Turn::Opened | Turn::Shut) = gate.set_marks(self.marks());
        } else if more || !short {
            // by the new marks alone: between them it was shut for want of this
            let mut open = Gate::new(self.marks());
            let (Flow::Ready | Flow::Wait) = open.admit(gate.level());
            *gate = open;
        }
        self.waits &= gate.is_shut();
        !gate.is_shut()
    }

    /// The level fell: gives back what it has too much. If it is shut for want
    /// of the budget by that, asks for more.
    pub(crate) fn fell(&mut self, gate: &mut Gate, called: &mut Vec<W>) {
        let level = gate.level();
        self.full &= level > self.own.low();
        if level == 0 {
            return self.empties(gate, called);
        }
        let most = self.common.most.load(Ordering::Relaxed);
        let keeps = Pool::<W>::keeps(self.weight, self.short, level);
        self.filled &= keeps;
        if !keeps || self.weight > most.max(level) {
            self.settle(gate, |pool, slot| pool.fell(slot, level, called));
        }
        self.asks_if_shut(gate, called);
    }

    /// It is empty: it has nothing, and is open.
    #[inline]
    fn empties(&mut self, gate: &mut Gate, called: &mut Vec<W>) {
        self.waits = false;
        if Pool::<W>::keeps(self.weight, self.short, 0) {
            return;
        }
        let slot = self.slot;
        self.common.with(|pool| pool.fell(slot, 0, called));
        self.filled_before = match (self.short, self.filled) {
            // it was refused more, and would have filled that
            (true, _) => self.weight.max(self.filled_before).max(1).saturating_mul(2),
            (false, true) => self.weight,
            (false, false) => self.weight >> 1,
        };
        (self.weight, self.short, self.filled) = (0, false, false);
        self.refused_at = None;
        let (Turn::Stayed | Turn::Opened | Turn::Shut) = gate.set_marks(self.marks());
    }

    /// The tank has other marks of its own.
    pub(crate) fn set_own(&mut self, gate: &mut Gate, own: Marks, called: &mut Vec<W>) {
        self.own = own;
        let level = gate.level();
        self.full = level >= own.high() || (self.full && level > own.low());
        self.settle(gate, |pool, slot| pool.set_high(slot, own.high(), level, called));
        self.asks_if_shut(gate, called);
    }

    fn asks_if_shut(&mut self, gate: &mut Gate, called: &mut Vec<W>) {
        self.waits &= self.keeps_shut(gate);
        if self.keeps_shut(gate) && !self.waits {
            self.opens(gate, called);
        }
    }

    fn settle(&mut self, gate: &mut Gate, what: impl FnOnce(&mut Pool<W>, usize)) {
        let slot = self.slot;
        (self.weight, self.short) = self.common.with(|pool| {
            what(pool, slot);
            pool.told(slot)
        });
        self.refused_at = None;
        let (Turn::Stayed | Turn::Opened | Turn::Shut) = gate.set_marks(self.marks());
    }

    /// Nobody waits here any more: others are called instead. Returns him.
    pub(crate) fn give_up(&mut self, called: &mut Vec<W>) -> Option<W> {
        let slot = self.slot;
        self.in_line = false;
        self.short = false;
        self.refused_at = None;
        self.common.with(|pool| pool.give_up(slot, called))
    }

    /// What is said of it.
    pub(crate) fn snapshot(&self) -> TankBudget {
        let id = std::ptr::from_ref(&*self.common).addr();
        self.common.look(|pool| TankBudget {
            id,
            limit: pool.limit(),
            granted_to_all: pool.granted(),
            granted: self.weight,
            waits: self.times,
            wait_ns: None,
        })
    }
}

impl<W: Called> Drop for Grant<W> {
    fn drop(&mut self) {
        let mut called = Vec::new();
        let slot = self.slot;
        self.common.with(|pool| pool.leave(slot, &mut called));
        if let Some(panic) = call_all(called) {
            resume_unwind(panic);
        }
    }
}
