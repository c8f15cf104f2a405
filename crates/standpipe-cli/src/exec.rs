//! How is an external command a stage, and how do bytes get from one to the next?
//!
//! Every tank is pumped by one thread that stands between two descriptors: it splices what lies in the input
//! pipe into the output pipe, and when it cannot, it waits for exactly one of the two. Which one it waits for,
//! and what the other pipe looks like meanwhile, is all that is needed to say who holds up whom.
//!
//! # Knows / never knows
//! Knows processes, pipes, splicing, and how bytes wait. Never knows schemes (`end` opens those and hands over a
//! port) nor how anything is shown (`view`). So a tank works alike between any two descriptors.
//! # Terms
//! *port*: one descriptor and how it is moved without blocking. *gauge*: the counters of one tank.

use std::time::{Duration, Instant, SystemTime};

pub(crate) mod line;
mod tally;
pub(crate) mod times;
pub(crate) mod resolve;
pub(crate) mod child;
pub(crate) mod worker;
pub(crate) mod kin;
pub(crate) mod fan;
pub(crate) mod relay;
pub(crate) mod through;
pub(crate) mod holes;
pub(crate) mod rest;
pub(crate) mod store;
pub(crate) mod sides;
#[cfg(feature = "http")]
pub(crate) mod errand;
pub(crate) mod copy;
pub(crate) mod vigil;
pub(crate) mod bucket;
pub(crate) mod valve;
pub(crate) mod sizes;
pub(crate) mod gauge;
pub(crate) mod stdio;
pub(crate) mod outset;
pub(crate) mod port;
pub(crate) mod stop;
pub(crate) mod probe;

/// Reads the clock; the only place of the command that does, so that all else takes `now` as an argument.
#[expect(
    clippy::disallowed_methods,
    reason = "the threads that pump are the drivers, and a driver reads the clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Reads the clock on the wall: for what is told to others, never to measure.
#[expect(clippy::disallowed_methods, reason = "an event says when it happened")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds of a duration.
pub(crate) fn millis(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds of a duration; saturates after 584 years.
pub(crate) fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}
