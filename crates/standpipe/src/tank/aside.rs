//! What does a tank have only once somebody needs it?
//!
//! A name of its own, writers that wait, observers, whoever waits for the end,
//! and why it came early. A tank that nobody waits at has none of it, and most
//! of many tanks idle: so all of it is one allocation, made at first use and
//! kept.
//!
//! # Knows / never knows
//! Knows what is kept. Never knows when it is used: `queue` and `entry` do.

use std::sync::Arc as StdArc;

use crate::budget::Grant;
use crate::error::Cause;
use crate::snapshot::Unit;
use crate::tank::budget::{Spot, Waiter};
use crate::tank::events::Observers;
use crate::tank::seats::Seats;

/// See the module.
#[derive(Default)]
pub(crate) struct Aside {
    /// Unless it is called [`UNNAMED`].
    pub(super) name: Option<StdArc<str>>,
    /// Writers that wait for the drain.
    pub(super) seats: Seats,
    /// Those who wait for the last item to leave, or for an early end.
    pub(super) finishing: Option<Box<Seats>>,
    /// Those who observe, if anybody does, and what the tank is called there.
    pub(super) observers: Option<Box<Observed>>,
    /// Told, in a pipeline, when a wait ends here, and when that was.
    pub(super) relay: Option<Box<Relayed>>,
    /// What it has of a budget, if it shares one.
    pub(super) grant: Option<Box<Grant<Waiter>>>,
    /// Who is to be woken once the lock is free, since something came back to
    /// the budget.
    pub(super) called: Vec<Waiter>,
    /// Who waits for the budget may not be who should.
    pub(super) line_moved: bool,
    /// Somebody was called, or observers were told something, or the line
    /// moved, and nobody has looked yet who is to be woken.
    pub(super) news: bool,
    /// Why the data ended early, if there is more to it than its kind.
    pub(super) cause: Option<Box<Cause>>,
}

impl Aside {
    /// Before the lock is free somebody sees who waits for the budget.
    pub(super) const fn looks_at_line(&mut self) {
        self.line_moved = true;
        self.news = true;
    }
}

/// What a tank is called that nobody named.
pub(super) const UNNAMED: &str = "tank";

/// What somebody who is parked at a tank waited for, and has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// An item, or the end of the data.
    Item,
    /// The drain.
    Drain,
    /// Nothing yet: a writer begins to wait for a budget, and whoever returns
    /// some may be of another pipeline.
    Nothing,
    /// What came back to the budget, at another tank.
    Grant(Spot),
}

/// Who is told, in a pipeline, of a wait that ends at a tank.
pub(crate) struct Relayed {
    pub(crate) spot: Spot,
    pub(crate) told: Box<dyn Fn(Ended, u64) + Send>,
}

/// See [`Aside::observers`].
pub(super) struct Observed {
    pub(super) by: Observers,
    pub(super) name: StdArc<str>,
    pub(super) unit: Unit,
    pub(super) finished: bool,
    pub(super) closed: bool,
}
