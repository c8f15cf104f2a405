//! One limit over many tanks.
//!
//! What a user has of the room [`budget`](crate::budget), and who waits for one:
//! tasks.
//!
//! # Knows / never knows
//! Knows wakers, and to which tank of which pipeline they belong. Never knows
//! who gets how much.

use std::fmt;
use std::task::Waker;

use crate::budget::{Called, Common, Grant};
use crate::gate::Marks;
use crate::snapshot::Unit;
use crate::sync::Arc;

/// One limit over many tanks, of one pipeline or of many: what they hold
/// together.
///
/// Each tank keeps its own marks, and is granted what it fills of them: up to
/// three quarters of the limit whatever it asks for, above that no more than a
/// fair share, by max-min, to within a sixteenth. From 95 % on, tanks that have
/// more than their share give it back as they are read; what comes back goes to
/// the poorest that waits. An empty tank has nothing granted. A tank that begins
/// to fill is granted at once what it filled the last time. A tank
/// that gets no more shuts early, at a level below its mark, and its writers
/// wait as ever; reports count that apart
/// ([`TankBudget`](crate::snapshot::TankBudget)), and the finding
/// [`BudgetFull`](crate::diagnose::FindingKind::BudgetFull) says so.
///
/// Within what is granted a tank works as without a budget. A clone is the same
/// budget. It keeps no tank alive, and a tank that is dropped gives back what
/// it had.
///
/// # Memory
/// All its tanks hold at most `limit + the heaviest item of each`: an open tank
/// takes an item of any weight, so each can always hold one, and no line of
/// stages stops for want of a budget. A graph that needs more than one item in a
/// tank before it goes on, as one whose branches meet again may, needs that much
/// of the limit; if it is granted to others, [`stall`](crate::diagnose::stall())
/// says so. Beside that, as without one, is what a stage has in hand. Of its own
/// it takes about 300 bytes a tank, and 272 for each power of two up to the
/// largest high-water mark.
///
/// # Examples
/// ```
/// use standpipe::{Budget, Flow, Tank};
///
/// let budget = Budget::items(4);
/// let (one, mut reader) = Tank::items(16).budget(&budget).build();
/// let (two, _other) = Tank::items(16).budget(&budget).build();
/// while one.write("a")? == Flow::Ready {}
/// assert_eq!(one.level(), 4); // all there is
/// assert_eq!(two.write("b")?, Flow::Wait); // one item is always its own
/// while reader.try_next().is_some() {}
/// assert_eq!(one.level() + two.level(), 1);
/// # Ok::<(), standpipe::WriteError<&str>>(())
/// ```
#[doc(alias("memory limit", "quota", "global limit", "semaphore"))]
#[derive(Clone)]
pub struct Budget {
    unit: Unit,
    common: Arc<Common<Waiter>>,
}

impl Budget {
    /// A limit in bytes, for tanks of bytes.
    #[must_use]
    pub fn bytes(limit: usize) -> Self {
        Self::new(Unit::Bytes, limit)
    }

    /// A limit in items, for tanks of items.
    #[must_use]
    pub fn items(limit: usize) -> Self {
        Self::new(Unit::Items, limit)
    }

    fn new(unit: Unit, limit: usize) -> Self {
        Self { unit, common: Arc::new(Common::new(limit)) }
    }

    /// What its tanks may hold together.
    #[doc(alias = "capacity")]
    #[must_use]
    pub fn limit(&self) -> usize {
        self.common.look(|pool| pool.limit())
    }

    /// What is granted to its tanks now: they may hold so much, and most of it
    /// they do.
    #[doc(alias = "used")]
    #[must_use]
    pub fn granted(&self) -> usize {
        self.common.look(|pool| pool.granted())
    }

    /// The most that was ever granted.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.common.look(|pool| pool.peak())
    }

    /// A part in it for a tank that counts in `unit`; none if the two do not
    /// count the same.
    pub(crate) fn grant(&self, unit: Unit, own: Marks) -> Option<Grant<Waiter>> {
        let alike = unit == Unit::Weight || unit == self.unit;
        alike.then(|| Grant::new(self.common.clone(), own))
    }

    /// What it counts.
    pub(crate) const fn unit(&self) -> Unit {
        self.unit
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.limit())
            .field("granted", &self.granted())
            .finish_non_exhaustive()
    }
}

/// A writer that waits at a tank for want of a budget.
pub(crate) struct Waiter {
    pub(super) waker: Waker,
    /// Where, if it is in a pipeline.
    pub(super) at: Option<Spot>,
}

impl Called for Waiter {
    fn call(self) {
        self.waker.wake();
    }
}

/// A tank of a pipeline, both by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) pipeline: usize,
    pub(crate) tank: usize,
}
