//! A thread of control in virtual time, and the stage it belongs to.

use std::collections::VecDeque;

use crate::critical::{Path, Trail};
use crate::meter::StageMeter;
use crate::sim::draw::{Draw, Services};
use crate::sim::store::{Earned, Item};
use crate::sim::{Order, Publish, Stage};
use crate::snapshot::StageState;

/// What a hand does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Takes an item.
    Take,
    /// Begins to work on it.
    Work,
    /// Has worked on it.
    Worked,
    /// Writes it.
    Emit,
    /// Waits until the tanks it wrote to are open.
    Drain,
    /// Lets go of it.
    Return,
    /// Makes visible what is gathered, then takes.
    Flush,
    /// Makes visible what is gathered, then ends.
    Finish,
    /// Is over.
    Over,
    /// Holds its item for ever.
    Stuck,
}

/// One worker of a stage.
pub(super) struct Hand {
    pub(super) stage: usize,
    pub(super) trail: Trail,
    pub(super) meter: StageMeter,
    pub(super) step: Step,
    /// What it holds, with the input it came by; none for a source.
    pub(super) parts: Vec<(usize, Item)>,
    pub(super) item: Item,
    pub(super) ticket: u64,
    /// The output it is at, and the only one it writes to, if it is one.
    pub(super) at: usize,
    pub(super) only: Option<usize>,
    /// How long its present service takes.
    pub(super) service_ns: u64,
    /// Whether what its present item cost has been counted.
    pub(super) measured: bool,
}

impl Hand {
    pub(super) fn new(stage: usize, path: &Path, at_first: StageState) -> Self {
        let meter = StageMeter::new();
        if at_first == StageState::Busy {
            meter.brings();
        }
        meter.enter(at_first, 0);
        Self {
            stage,
            trail: Trail::new(path.clone(), stage, 0),
            meter,
            step: Step::Take,
            parts: Vec::new(),
            item: Item::default(),
            ticket: 0,
            at: 0,
            only: None,
            service_ns: 0,
            measured: true,
        }
    }

    /// Whether it writes to this output.
    pub(super) fn goes_to(&self, output: usize) -> bool {
        self.only.is_none_or(|only| only == output)
    }
}

/// Where a stage's items come from.
pub(super) struct Input {
    pub(super) tank: usize,
    pub(super) batch: VecDeque<Item>,
    pub(super) earned: Earned,
    pub(super) due: usize,
    /// Its batch has just come.
    pub(super) fresh: bool,
}

/// Where they go.
pub(super) struct Output {
    pub(super) tank: usize,
    pub(super) gathered: VecDeque<Item>,
    pub(super) weight: usize,
    pub(super) allowance: usize,
}

/// A stage: what its workers share.
pub(super) struct Crew {
    pub(super) plan: Stage,
    pub(super) services: Services,
    pub(super) weights: Draw,
    pub(super) targets: Draw,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
    pub(super) publish: Publish,
    /// Items still to come from a source.
    pub(super) to_come: u64,
    pub(super) tickets: u64,
    /// Whose turn it is to write, if that has an order.
    pub(super) turn: u64,
    pub(super) orderly: bool,
    pub(super) in_line: Vec<(u64, usize)>,
    pub(super) order_path: Path,
    /// The input to look at first.
    pub(super) first: usize,
    pub(super) hands_left: usize,
}

impl Crew {
    pub(super) fn new(plan: &Stage, index: usize, seed: u64, items: u64, path: &Path) -> Self {
        // three streams a stage: services, weights, targets
        let stream = |kind: u64| Draw::new(seed, (index as u64).wrapping_mul(3).wrapping_add(kind));
        Self {
            services: Services::new(plan.service.clone(), stream(0), plan.left),
            weights: stream(1),
            targets: stream(2),
            inputs: Vec::new(),
            outputs: Vec::new(),
            publish: Publish::Each,
            to_come: plan.limit.unwrap_or(items),
            tickets: 0,
            turn: 0,
            orderly: plan.workers > 1 && plan.order == Order::AsTaken,
            in_line: Vec::new(),
            order_path: path.clone(),
            first: 0,
            hands_left: plan.workers,
            plan: plan.clone(),
        }
    }

    pub(super) fn has_gathered(&self) -> bool {
        self.outputs.iter().any(|output| !output.gathered.is_empty())
    }
}
