//! What has a tank of a budget, and by which marks does it go?
//!
//! # Knows / never knows
//! Knows the gate of its tank, under the tank's lock, and the pool, under a
//! lock of its own that is taken second and held shortly. Never knows what is
//! in the tank.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::budget::{Pool, within};
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

    /// Does something with the pool, and tells what came of it.
    fn with<R>(&self, what: impl FnOnce(&mut Pool<W>) -> R) -> R {
        let mut pool = lock(&self.pool);
        let result = what(&mut pool);
        self.changes.store(pool.changes(), Ordering::Release);
        if let Some(most) = pool.most() {
            self.most.store(most, Ordering::Relaxed);
        }
        result
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
        if gate.level() >= self.own.high() {
            (self.full, self.waits) = (true, false);
        }
        let seen = self.common.changes.load(Ordering::Acquire);
        if self.weight >= self.own.high() || self.refused_at == Some(seen) {
            return false;
        }
        let (opened, _) = self.ask(gate, gate.level(), None, called);
        opened
    }

    /// So much is to be written into the open tank: asks for more at once, if
    /// it would shut below its own mark by that.
    pub(crate) fn expects(&mut self, gate: &mut Gate, weight: usize, called: &mut Vec<W>) {
        let comes_to = gate.level().saturating_add(weight);
        if self.weight >= comes_to.min(self.own.high()) || gate.is_shut() {
            return;
        }
        let seen = self.common.changes.load(Ordering::Acquire);
        if self.refused_at != Some(seen) {
            self.ask(gate, comes_to, None, called);
        }
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
        let (opened, unneeded) = self.ask(gate, gate.level(), Some(waiter), called);
        self.in_line = self.short;
        (opened, unneeded)
    }

    fn ask(
        &mut self,
        gate: &mut Gate,
        comes_to: usize,
        waiter: Option<W>,
        called: &mut Vec<W>,
    ) -> (bool, Option<W>) {
        let (slot, level) = (self.slot, gate.level());
        let (weight, short, changes, unneeded) = self.common.with(|pool| {
            let unneeded = pool.ask(slot, comes_to, waiter, called);
            (pool.grant(slot), pool.is_short(slot), pool.changes(), unneeded)
        });
        self.short = short;
        self.refused_at = short.then_some(changes);
        let more = weight > mem::replace(&mut self.weight, weight);
        if self.full {
            let (Turn::Stayed | Turn::Opened | Turn::Shut) = gate.set_marks(self.marks());
        } else if more || !short {
            // by the new marks alone: between them it was shut for want of this
            let mut open = Gate::new(self.marks());
            let (Flow::Ready | Flow::Wait) = open.admit(level);
            *gate = open;
        }
        self.waits &= gate.is_shut();
        (!gate.is_shut(), unneeded)
    }

    /// The level fell: gives back what it has too much. If it is shut for want
    /// of the budget by that, asks for more.
    pub(crate) fn fell(&mut self, gate: &mut Gate, called: &mut Vec<W>) {
        let level = gate.level();
        self.full &= level > self.own.low();
        let most = self.common.most.load(Ordering::Relaxed);
        let keeps = Pool::<W>::keeps(self.weight, self.short, level);
        if !keeps || self.weight > most.max(level) {
            self.settle(gate, |pool, slot| pool.fell(slot, level, called));
        }
        self.asks_if_shut(gate, called);
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
            (pool.grant(slot), pool.is_short(slot))
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
