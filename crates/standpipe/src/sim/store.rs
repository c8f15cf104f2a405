//! A tank in virtual time: gate, overflow and meter as in a real one.

use std::collections::VecDeque;
use std::mem;
use std::panic::Location;

use crate::budget::{Called, Common, Grant};
use crate::critical::Path;
use crate::gate::{Flow, Gate, Turn};
use crate::meter::TankMeter;
use crate::overflow::{Action, Overflow};
use crate::sim::Joint;
use crate::snapshot::{TankBudget, TankSnapshot, Unit};
use crate::sync::Arc;

/// What flows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item {
    pub(super) weight: usize,
    pub(super) written_ns: u64,
}

/// What left a batch, and was not given back yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Earned {
    pub(super) items: usize,
    pub(super) weight: usize,
    /// The sum of the times when they were written.
    written_ns: u128,
}

impl Earned {
    pub(super) fn add(&mut self, item: Item) {
        self.items = self.items.saturating_add(1);
        self.weight = self.weight.saturating_add(item.weight);
        self.written_ns = self.written_ns.saturating_add(u128::from(item.written_ns));
    }
}

pub(super) struct Store {
    pub(super) joint: Joint,
    pub(super) gate: Gate,
    pub(super) meter: TankMeter,
    pub(super) queue: VecDeque<Item>,
    /// All its writers are over.
    pub(super) ended: bool,
    /// Its reader is over.
    pub(super) stopped: bool,
    /// Hands that wait for an item, for a drain.
    pub(super) readers: Vec<usize>,
    pub(super) writers: Vec<usize>,
    pub(super) item_path: Path,
    pub(super) drain_path: Path,
    /// From write to the return of their weight, over all items that left.
    pub(super) sojourn_ns: u128,
    grant: Option<Grant<Tank>>,
    /// Tanks for which a budget has more since something left this one.
    pub(super) called: Vec<Tank>,
}

/// A tank by position: its writers wait for a budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tank(pub(super) usize);

impl Called for Tank {
    fn call(self) {} // a tank goes away when the whole run does
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is in the tank, or was dropped by the strategy.
    Gone,
    /// The tank is shut, and its writer waits.
    Waits,
    /// The tank fails.
    Breaks,
}

impl Store {
    pub(super) fn new(joint: &Joint, path: &Path, budget: Option<&Arc<Common<Tank>>>) -> Self {
        let mut meter = TankMeter::default();
        meter.start_timing(0, 0);
        let mut gate = Gate::new(joint.marks);
        let grant = budget.filter(|_| joint.shares_budget).map(|budget| {
            let grant = Grant::new(budget.clone(), joint.marks);
            grant.fits(&mut gate);
            grant
        });
        Self {
            joint: joint.clone(),
            gate,
            meter,
            queue: VecDeque::new(),
            ended: false,
            stopped: false,
            readers: Vec::new(),
            writers: Vec::new(),
            item_path: path.clone(),
            drain_path: path.clone(),
            sojourn_ns: 0,
            grant,
            called: Vec::new(),
        }
    }

    /// What is said of it.
    pub(super) fn snapshot(&self, name: String, now_ns: u64) -> TankSnapshot {
        let (gate, now_ns) = (self.gate.seen_with(self.joint.marks), Some(now_ns));
        TankSnapshot {
            reader_parked: !self.readers.is_empty(),
            writers_parked: self.writers.len(),
            ended: self.ended || self.stopped,
            budget: self.grant.as_ref().map(|grant| TankBudget {
                id: 0, // the only one, and alike in each run
                wait_ns: self.meter.budget_ns(now_ns),
                ..grant.snapshot()
            }),
            ..self.meter.snapshot(name.into(), Unit::Weight, gate, now_ns)
        }
    }

    /// Whether the shut gate opens, since the budget has more.
    fn opens_by_grant(&mut self) -> bool {
        let opens = self.grant.as_mut();
        let opens = opens.is_some_and(|grant| grant.opens(&mut self.gate, &mut self.called));
        if opens {
            self.meter.waits_for_budget(false);
        }
        opens
    }

    /// A writer is to wait. If the budget keeps the gate shut, this tank is
    /// called when there is more; if that is so by now, it is open.
    pub(super) fn opens_or_waits(&mut self, tank: usize) -> bool {
        let Some(grant) = self.grant.as_mut().filter(|grant| grant.keeps_shut(&self.gate)) else {
            return false;
        };
        let (opens, _) = grant.opens_or_waits(&mut self.gate, Tank(tank), &mut self.called);
        if opens {
            self.meter.waits_for_budget(false);
        }
        opens
    }

    fn has_shut(&mut self) {
        self.stays_shut();
        self.meter.paused();
    }

    fn stays_shut(&mut self) {
        if self.grant.as_mut().is_some_and(|grant| grant.begins_to_wait(&self.gate)) {
            self.meter.waits_for_budget(true);
        } else if self.grant.as_ref().is_some_and(|grant| !grant.waits()) {
            self.meter.waits_for_budget(false);
        }
    }

    /// Its reader is over: what it had is free for others.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        if let Some(grant) = &mut self.grant {
            let (Turn::Stayed | Turn::Opened | Turn::Shut) = self.gate.release(self.gate.level());
            grant.fell(&mut self.gate, &mut self.called);
        }
    }

    /// Whether a writer has to wait for a drain.
    pub(super) fn makes_wait(&self) -> bool {
        self.gate.is_shut() && self.joint.overflow == Overflow::Wait && !self.stopped
    }

    /// Writes an item by the rule of the gate, or else by the strategy.
    pub(super) fn write(&mut self, item: Item, now_ns: u64) -> Written {
        if self.stopped {
            return Written::Gone;
        }
        if !self.gate.is_shut() || self.opens_by_grant() {
            self.admit(item, now_ns);
            return Written::Gone;
        }
        match self.joint.overflow.at_shut() {
            Action::HandBack => return Written::Waits,
            Action::Refuse => self.meter.refused(),
            Action::Break => return Written::Breaks,
            Action::TakePastMark => {
                if self.gate.level() >= self.gate.marks().high() {
                    self.meter.past_mark(Location::caller(), item.weight);
                }
                self.admit(item, now_ns);
            }
            Action::DropArriving => {
                self.meter.written.add(item.weight);
                self.meter.drops().newest.add(item.weight);
            }
            action @ (Action::EvictOldest | Action::EvictAll) => {
                let all = action == Action::EvictAll;
                let high = self.gate.marks().high();
                while all || self.gate.level() >= high {
                    let Some(front) = self.queue.pop_front() else { break };
                    let drops = self.meter.drops();
                    let drops = if all { &mut drops.replaced } else { &mut drops.oldest };
                    drops.add(front.weight);
                    let (Turn::Stayed | Turn::Opened | Turn::Shut) =
                        self.release(front.weight, now_ns);
                }
                if self.gate.level() < high {
                    self.admit(item, now_ns);
                } else {
                    self.meter.written.add(item.weight);
                    self.meter.drops().newest.add(item.weight);
                }
            }
        }
        Written::Gone
    }

    fn admit(&mut self, mut item: Item, now_ns: u64) {
        item.written_ns = now_ns;
        let was_shut = self.gate.is_shut();
        let high = self.joint.marks.high();
        self.meter.before(Some(now_ns), self.gate.level(), high);
        if self.gate.admit(item.weight) == Flow::Wait && !was_shut && !self.opens_by_grant() {
            self.has_shut();
        }
        self.meter.after(true, self.gate.level());
        self.meter.wrote();
        self.meter.written.add(item.weight);
        self.meter.oversized(u64::from(item.weight > high));
        self.queue.push_back(item);
    }

    /// Swaps the queue into a batch. Returns how much may leave it before its
    /// credit is due; `None` if nothing is there.
    pub(super) fn take(&mut self, batch: &mut VecDeque<Item>) -> Option<usize> {
        if self.queue.is_empty() {
            return None;
        }
        self.meter.reader_began(self.gate.level());
        mem::swap(&mut self.queue, batch);
        Some(self.gate.until_open())
    }

    /// Takes credit back for what left.
    pub(super) fn credit(&mut self, earned: Earned, now_ns: u64) -> Turn {
        let all = u128::from(now_ns).saturating_mul(earned.items as u128);
        self.sojourn_ns = self.sojourn_ns.saturating_add(all.saturating_sub(earned.written_ns));
        self.meter.read.add_many(earned.items, earned.weight);
        self.release(earned.weight, now_ns)
    }

    fn release(&mut self, weight: usize, now_ns: u64) -> Turn {
        self.meter.before(Some(now_ns), self.gate.level(), self.joint.marks.high());
        let was_shut = self.gate.is_shut();
        let mut turn = self.gate.release(weight);
        if let Some(grant) = &mut self.grant {
            grant.fell(&mut self.gate, &mut self.called);
            turn = Turn::between(was_shut, self.gate.is_shut());
        }
        match turn {
            Turn::Stayed if was_shut => self.stays_shut(),
            Turn::Stayed => {}
            Turn::Opened => self.meter.waits_for_budget(false),
            Turn::Shut => self.has_shut(),
        }
        self.meter.after(true, self.gate.level());
        if !self.ended && !self.stopped {
            self.meter.fell(self.gate.level());
        }
        turn
    }
}
