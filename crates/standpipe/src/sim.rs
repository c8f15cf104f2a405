//! What would happen?
//!
//! Pipelines in virtual time: the very code of `gate`, `overflow`, `meter`,
//! `critical` and `diagnose`, with stages that only draw how long they take.
//! What a run yields are ordinary snapshots, so a verdict or a finding is
//! tested here against what is known of the line that was drawn, thousands of
//! lines in seconds. The same seed gives the same bytes.
//!
//! ```
//! use standpipe::Marks;
//! use standpipe::sim::{Service, Sim, Stage};
//!
//! let stages = vec![
//!     Stage::new("read", Service::Constant(100)),
//!     Stage::new("pack", Service::Exponential(900)),
//!     Stage::new("send", Service::Constant(300)),
//! ];
//! let run = Sim::line(42, 10_000, stages, &[Marks::half(16)?; 2]).run();
//! assert_eq!(run.report().slowest.map(|slowest| slowest.position), Some(1));
//! # Ok::<(), standpipe::gate::MarksError>(())
//! ```
//!
//! # Knows / never knows
//! Knows the floor, and virtual time. Never knows tanks with tasks in them,
//! a runtime, a clock or a thread: events are ordered by time, and of equal
//! times by who was first.

mod draw;
mod hand;
mod store;
mod world;

use crate::gate::Marks;
use crate::overflow::Overflow;

pub use draw::{Draw, Service, Weights};
pub use world::Trial;

/// When a stage's output is seen by the stage below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Publish {
    /// Each item when it is done.
    #[default]
    Each,
    /// Gathered, up to what flows between two drains, as pipelines do.
    Gathered,
}

/// Who polls the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drive {
    /// Each stage runs whenever it can.
    #[default]
    Each,
    /// One task for all: computing, one at a time.
    OneTask,
}

/// What a stage does with items that come from, or go to, several tanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// Takes from any tank that has something, in turn.
    Merge,
    /// Takes one of each.
    Zip,
}

/// To which of several tanks an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spread {
    /// A copy to each.
    Broadcast,
    /// To one of them, drawn at random.
    Partition,
}

/// What becomes of a stage at a given item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It has had enough and ends well.
    End,
    /// It fails, and the run with it.
    Fail,
    /// It holds the item for ever, waiting for something of its own.
    Stall,
}

/// Whether a service keeps a core busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Burden {
    Computes,
    Waits,
}

/// In which order the items of several workers leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    AsDone,
    AsTaken,
}

/// A stage that is to be simulated.
#[derive(Clone, Debug)]
pub struct Stage {
    name: String,
    service: Service,
    burden: Burden,
    workers: usize,
    order: Order,
    shape: Shape,
    spread: Spread,
    weights: Weights,
    left: f64,
    batch_ns: u64,
    weight_ns: u64,
    keeps: u64,
    fate: Option<(u64, Fate)>,
    limit: Option<u64>,
}

impl Stage {
    /// One worker that computes for as long as `service` says.
    #[must_use]
    pub fn new(name: impl Into<String>, service: Service) -> Self {
        Self {
            name: name.into(),
            service,
            burden: Burden::Computes,
            workers: 1,
            order: Order::AsTaken,
            shape: Shape::Merge,
            spread: Spread::Broadcast,
            weights: Weights::Same(1),
            left: 1.0,
            batch_ns: 0,
            weight_ns: 0,
            keeps: 1,
            fate: None,
            limit: None,
        }
    }

    /// Its service is a wait for something of its own: a disk, a server.
    #[must_use]
    pub const fn waits(mut self) -> Self {
        self.burden = Burden::Waits;
        self
    }

    /// So many at work at once, at least 1; results leave in order.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count.max(1);
        self
    }

    /// Results of several workers leave as they are done.
    #[must_use]
    pub const fn unordered(mut self) -> Self {
        self.order = Order::AsDone;
        self
    }

    /// How it takes from several tanks; [`Shape::Merge`] by default.
    #[must_use]
    pub const fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// How it gives to several tanks; [`Spread::Broadcast`] by default.
    #[must_use]
    pub const fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// What a source's items weigh; 1 by default.
    #[must_use]
    pub const fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// Takes the fraction `part` less time for each item, on the same draws.
    #[must_use]
    pub fn faster(mut self, part: f64) -> Self {
        self.left *= 1.0 - part;
        self
    }

    /// Takes so much longer for the first item of each batch.
    #[must_use]
    pub const fn per_batch(mut self, span_ns: u64) -> Self {
        self.batch_ns = span_ns;
        self
    }

    /// More time for each unit of an item's weight.
    #[must_use]
    pub const fn per_weight(mut self, span_ns: u64) -> Self {
        self.weight_ns = span_ns;
        self
    }

    /// Keeps what it takes until it has so many, and gives one for them.
    #[must_use]
    pub fn keeps(mut self, items: u64) -> Self {
        self.keeps = items.max(1);
        self
    }

    /// What becomes of it at its `item`, counted from 0.
    #[must_use]
    pub const fn fate(mut self, item: u64, fate: Fate) -> Self {
        self.fate = Some((item, fate));
        self
    }

    /// A source that brings another number of items than the rest.
    #[must_use]
    pub const fn items(mut self, count: u64) -> Self {
        self.limit = Some(count);
        self
    }
}

/// A tank that is to be simulated.
#[derive(Clone, Debug)]
struct Joint {
    from: usize,
    to: usize,
    marks: Marks,
    overflow: Overflow,
    shares_budget: bool,
}

/// A pipeline that is to be simulated: stages, and tanks between them.
#[derive(Clone, Debug)]
pub struct Sim {
    seed: u64,
    items: u64,
    stages: Vec<Stage>,
    joints: Vec<Joint>,
    publish: Publish,
    drive: Drive,
    wake_ns: u64,
    /// For the tanks that share it.
    budget: Option<usize>,
}

impl Sim {
    /// Nothing yet. Each source brings `items` items.
    #[must_use]
    pub const fn new(seed: u64, items: u64) -> Self {
        Self {
            seed,
            items,
            stages: Vec::new(),
            joints: Vec::new(),
            publish: Publish::Each,
            drive: Drive::Each,
            wake_ns: 0,
            budget: None,
        }
    }

    /// Stages in a row with a tank between each two.
    ///
    /// # Panics
    /// If there is not one pair of marks for each two neighbours.
    #[must_use]
    pub fn line(seed: u64, items: u64, stages: Vec<Stage>, marks: &[Marks]) -> Self {
        assert_eq!(stages.len(), marks.len().saturating_add(1), "a tank between each two stages");
        let mut sim = Self::new(seed, items);
        sim.stages = stages;
        for (from, marks) in marks.iter().enumerate() {
            sim.join(from, from.saturating_add(1), *marks);
        }
        sim
    }

    /// Adds a stage; returns its position. Stages without a tank before them
    /// are sources, those without one behind them sinks.
    pub fn stage(&mut self, stage: Stage) -> usize {
        self.stages.push(stage);
        self.stages.len().saturating_sub(1)
    }

    /// Adds a tank between two stages; returns its position.
    ///
    /// # Panics
    /// If there are no such stages, or `to` does not come after `from`.
    pub fn join(&mut self, from: usize, to: usize, marks: Marks) -> usize {
        assert!(from < to && to < self.stages.len(), "a tank leads from a stage to a later one");
        let (overflow, shares_budget) = (Overflow::Wait, false);
        self.joints.push(Joint { from, to, marks, overflow, shares_budget });
        self.joints.len().saturating_sub(1)
    }

    /// What becomes of items at a shut tank.
    #[must_use]
    pub fn overflow(mut self, tank: usize, overflow: Overflow) -> Self {
        if let Some(joint) = self.joints.get_mut(tank) {
            joint.overflow = overflow;
        }
        self
    }

    /// One limit over these tanks, as a [`Budget`](crate::Budget) is.
    #[must_use]
    pub fn budget(mut self, limit: usize, tanks: &[usize]) -> Self {
        self.budget = Some(limit);
        for (tank, joint) in self.joints.iter_mut().enumerate() {
            joint.shares_budget = tanks.contains(&tank);
        }
        self
    }

    /// When output is seen.
    #[must_use]
    pub const fn publish(mut self, publish: Publish) -> Self {
        self.publish = publish;
        self
    }

    /// Who polls.
    #[must_use]
    pub const fn drive(mut self, drive: Drive) -> Self {
        self.drive = drive;
        self
    }

    /// How long it takes from a wake-up to running.
    #[must_use]
    pub const fn wake_latency(mut self, span_ns: u64) -> Self {
        self.wake_ns = span_ns;
        self
    }

    /// The stage at a position, to be changed.
    pub fn stage_mut(&mut self, position: usize) -> Option<&mut Stage> {
        self.stages.get_mut(position)
    }

    /// Ready to begin, at time 0.
    #[must_use]
    pub fn start(&self) -> Trial {
        Trial::new(self)
    }

    /// Runs it to its end, or to where nothing moves any more.
    #[must_use]
    pub fn run(&self) -> Trial {
        let mut run = self.start();
        run.until(u64::MAX);
        run
    }
}

#[cfg(test)]
mod tests;
