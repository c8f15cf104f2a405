//! Where do the two ends of a queue run, and how large is it?
//!
//! *ct*: tasks on tokio's current-thread runtime; *mt2*: on two workers. A runtime is made when a case first runs.
//!
//! # Knows / never knows
//! Knows runtimes and how a case is named. Never knows what a task does.

use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};

use crate::measure::{Case, Target, Weight, in_process};

/// Where the ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Ct,
    Mt2,
}

/// CPU against a peer: at most so much at mark 16 and at mark 1024.
pub(crate) struct Claim {
    pub(crate) peer: &'static str,
    pub(crate) at_16: f64,
    pub(crate) at_1024: f64,
    pub(crate) weight: Weight,
}

/// One setting.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) place: Place,
    pub(crate) mark: usize,
    pub(crate) runtime: Arc<LazyLock<Runtime>>,
}

impl Setting {
    pub(crate) fn new(place: Place, mark: usize) -> Self {
        let make = match place {
            Place::Ct => || Builder::new_current_thread().build().expect("there is memory"),
            Place::Mt2 => || {
                let two = Builder::new_multi_thread().worker_threads(2).build();
                two.expect("threads can be started")
            },
        };
        Self { place, mark, runtime: Arc::new(LazyLock::new(make)) }
    }

    /// The four that a queue is measured under.
    pub(crate) fn all() -> Vec<Self> {
        let pairs = [(Place::Ct, 16), (Place::Ct, 1024), (Place::Mt2, 16), (Place::Mt2, 1024)];
        pairs.map(|(place, mark)| Self::new(place, mark)).to_vec()
    }

    /// *ct*, and whether CPU per item is steady enough for a gate.
    pub(crate) fn is_ct(&self) -> bool {
        self.place == Place::Ct
    }

    /// A gate where CPU is steady, else a goal.
    pub(crate) fn weight(&self) -> Weight {
        if self.is_ct() { Weight::Gate } else { Weight::Goal }
    }

    pub(crate) fn place_name(&self) -> &'static str {
        match self.place {
            Place::Ct => "ct",
            Place::Mt2 => "mt2",
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.place_name(), self.mark)
    }

    pub(crate) fn target(&self, claim: Claim) -> Target {
        let at_most = if self.mark == 16 { claim.at_16 } else { claim.at_1024 };
        Target::cpu(claim.peer, at_most, claim.weight)
    }

    /// Runs a producer and a consumer, each as a task.
    pub(crate) fn two_tasks<P, C>(&self, producer: P, consumer: C) -> C::Output
    where
        P: Future<Output = ()> + Send + 'static,
        C: Future<Output: Send> + Send + 'static,
    {
        self.runtime.block_on(async {
            let consumer = tokio::spawn(consumer);
            let producer = tokio::spawn(producer);
            producer.await.expect("the producer does not panic");
            consumer.await.expect("the consumer does not panic")
        })
    }

    /// A case that moves 0..n, and what has to come of it.
    #[expect(clippy::too_many_arguments, reason = "two of them are what the case is")]
    pub(crate) fn case(
        &self,
        name: &'static str,
        most: u64,
        targets: Vec<Target>,
        work: impl Fn(u64) -> u64 + 'static,
        expected: impl Fn(u64) -> u64 + 'static,
    ) -> Case {
        let run = in_process(work, move |n, outcome| {
            assert_eq!(outcome, expected(n), "{name} loses or invents items");
            0.0
        });
        Case { name, setting: self.name(), run: Some(run), most, targets }
    }
}
