//! What happens next, and what does it lead to?
//!
//! A heap of events; each wakes one hand, which goes on until it waits or
//! works. With one task for all, computing moves the time itself, and the task
//! polls its hands in turn.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::budget::Common;
use crate::critical::{Log, Path};
use crate::sim::hand::{Crew, Hand, Input, Output};
use crate::sim::store::Store;
use crate::sim::{Drive, Publish, Sim};
use crate::snapshot::StageState;
use crate::sync::Arc;

mod moves;
mod seen;

/// Polls of one hand end after so many items, as in a pipeline.
const ITEMS_PER_TURN: usize = 256;

/// Why a hand goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// Its work, or its turn: it did not wait at a tank.
    Own,
    /// An item in this tank.
    Item(usize),
    /// A drain of this tank.
    Drain(usize),
    /// Its turn to write.
    Order,
}

/// One task that polls all.
struct Task {
    /// Who is to be polled, why, and since when.
    lit: Vec<Option<(Reason, u64)>>,
    /// Where it looks next.
    next: usize,
    /// Who was polled last, unless the task has slept since.
    before: Option<usize>,
}

/// A simulated pipeline, at some moment of virtual time.
pub struct Trial {
    now_ns: u64,
    sequence: u64,
    events: BinaryHeap<Reverse<(u64, u64, usize, Reason)>>,
    crews: Vec<Crew>,
    hands: Vec<Hand>,
    stores: Vec<Store>,
    log: Log,
    task: Option<Task>,
    wake_ns: u64,
    sinks_left: usize,
    /// Of several sinks the one that settled last.
    last_sink: Option<usize>,
    failed: Option<usize>,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("now_ns", &self.now_ns).finish_non_exhaustive()
    }
}

impl Trial {
    pub(super) fn new(sim: &Sim) -> Self {
        let path = Path::new(sim.stages.len(), sim.joints.len());
        let mut crews: Vec<Crew> = sim
            .stages
            .iter()
            .enumerate()
            .map(|(index, plan)| Crew::new(plan, index, sim.seed, sim.items, &path))
            .collect();
        for (tank, joint) in sim.joints.iter().enumerate() {
            if let Some(crew) = crews.get_mut(joint.from) {
                let (gathered, weight, allowance) = Default::default();
                crew.outputs.push(Output { tank, gathered, weight, allowance });
            }
            if let Some(crew) = crews.get_mut(joint.to) {
                crew.inputs.push(Input {
                    tank,
                    batch: Default::default(),
                    earned: Default::default(),
                    due: 0,
                    fresh: false,
                });
            }
        }
        let mut hands = Vec::new();
        for (stage, crew) in crews.iter_mut().enumerate() {
            if crew.plan.workers == 1 && sim.publish == Publish::Gathered {
                crew.publish = Publish::Gathered;
            }
            let at_first =
                if crew.inputs.is_empty() { StageState::Busy } else { StageState::Starved };
            hands.extend((0..crew.plan.workers).map(|_| Hand::new(stage, &path, at_first)));
        }
        let budget = sim.budget.map(|limit| Arc::new(Common::new(limit)));
        let store = |joint| Store::new(joint, &path, budget.as_ref());
        let mut run = Self {
            now_ns: 0,
            sequence: 0,
            events: BinaryHeap::new(),
            stores: sim.joints.iter().map(store).collect(),
            log: Log::new(&path, 0),
            task: None,
            wake_ns: sim.wake_ns,
            sinks_left: crews.iter().filter(|crew| crew.outputs.is_empty()).count(),
            last_sink: None,
            failed: None,
            crews,
            hands,
        };
        if sim.drive == Drive::OneTask {
            let lit = vec![Some((Reason::Own, 0)); run.hands.len()];
            run.task = Some(Task { lit, next: 0, before: None });
        } else {
            for hand in 0..run.hands.len() {
                run.at(0, hand, Reason::Own);
            }
        }
        run
    }

    /// Goes on to this time, or to where all is over or nothing moves.
    pub fn until(&mut self, limit_ns: u64) {
        if self.task.is_some() {
            while self.now_ns <= limit_ns && !self.is_over() && self.poll_one(limit_ns) {}
        } else {
            while !self.is_over() {
                let Some(Reverse((at_ns, ..))) = self.events.peek() else { break };
                if *at_ns > limit_ns {
                    break;
                }
                let Some(Reverse((at_ns, _, hand, reason))) = self.events.pop() else { break };
                self.now_ns = at_ns;
                self.resume(hand, reason);
                self.go(hand);
            }
        }
        if limit_ns < u64::MAX && !self.is_over() {
            self.now_ns = self.now_ns.max(limit_ns);
        }
    }

    /// Whether every sink is over, or a stage failed.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.sinks_left == 0 || self.failed.is_some()
    }

    /// One poll of the one task; false if nothing is to be polled any more.
    fn poll_one(&mut self, limit_ns: u64) -> bool {
        self.light();
        let Some(task) = &mut self.task else { return false };
        let count = task.lit.len();
        let lit = (0..count)
            .filter_map(|step| task.next.saturating_add(step).checked_rem(count))
            .find(|hand| task.lit.get(*hand).is_some_and(Option::is_some));
        let Some(hand) = lit else {
            task.before = None; // it sleeps
            let Some(Reverse((at_ns, ..))) = self.events.peek() else { return false };
            let at_ns = *at_ns;
            if at_ns > limit_ns {
                return false;
            }
            self.now_ns = self.now_ns.max(at_ns);
            return true;
        };
        task.next = hand.saturating_add(1);
        let Some((reason, lit_ns)) = task.lit.get_mut(hand).and_then(Option::take) else {
            return false;
        };
        let before = task.before.replace(hand);
        match before {
            None => self.resume(hand, reason),
            Some(before) => self.resume_after(hand, before, lit_ns),
        }
        self.go(hand);
        if let Some(hand) = self.hands.get_mut(hand)
            && !hand.meter.is_waiting()
        {
            hand.trail.settle(self.now_ns);
        }
        true
    }

    /// The task was the last precondition: whoever it polled before passes its
    /// path on.
    fn resume_after(&mut self, hand: usize, before: usize, lit_ns: u64) {
        let now_ns = self.now_ns;
        let path: Option<Path> = (before != hand)
            .then(|| self.hands.get(before).map(|b| b.trail.path().clone()))
            .flatten();
        let Some(hand) = self.hands.get_mut(hand) else { return };
        match path {
            Some(path) => hand.trail.follow(&path, now_ns),
            None => hand.trail.go_on(now_ns),
        }
        hand.meter.polled(now_ns);
        if hand.meter.is_waiting() {
            hand.meter.enter(StageState::Busy, now_ns);
        } else {
            hand.meter.not_running(now_ns.saturating_sub(lit_ns));
        }
    }

    /// Lights the lamps of all that has happened by now.
    fn light(&mut self) {
        while let Some(Reverse((at_ns, ..))) = self.events.peek()
            && *at_ns <= self.now_ns
        {
            let Some(Reverse((at_ns, _, hand, reason))) = self.events.pop() else { break };
            if let Some(lamp) = self.task.as_mut().and_then(|task| task.lit.get_mut(hand)) {
                *lamp = Some((reason, at_ns));
            }
        }
    }

    /// Something will happen.
    fn at(&mut self, at_ns: u64, hand: usize, reason: Reason) {
        self.sequence = self.sequence.saturating_add(1);
        self.events.push(Reverse((at_ns, self.sequence, hand, reason)));
    }

    /// A hand goes on, from the path of whoever ended its wait.
    fn resume(&mut self, hand: usize, reason: Reason) {
        let now_ns = self.now_ns;
        let Some(hand) = self.hands.get_mut(hand) else { return };
        hand.meter.polled(now_ns);
        match reason {
            Reason::Own => return,
            Reason::Item(tank) => {
                if let Some(store) = self.stores.get(tank) {
                    hand.trail.follow(&store.item_path, now_ns);
                }
            }
            Reason::Drain(tank) => {
                if let Some(store) = self.stores.get(tank) {
                    hand.trail.follow_back(&store.drain_path, tank, now_ns);
                }
            }
            Reason::Order => {
                if let Some(crew) = self.crews.get(hand.stage) {
                    hand.trail.follow(&crew.order_path, now_ns);
                }
            }
        }
        hand.meter.enter(StageState::Busy, now_ns);
    }
}
