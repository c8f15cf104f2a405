//! What do processes do that we did not start?
//!
//! A pipeline of a shell is looked at from outside: `/proc` says which processes share which pipes, what each of
//! them is waiting for, and how full the pipes are. Nothing is attached to and nothing is changed; a pipe is open
//! for a few microseconds while its level is read, so its writer still learns of a reader that went away.
//!
//! # Knows / never knows
//! Knows `/proc` of Linux. Never knows verdicts, nor how anything is shown.

use std::time::Duration;

use rustix::event::Timespec;

mod chain;
mod family;
mod process;
mod sampler;
mod side;
mod spent;
mod stages;
mod table;
mod wire;

pub(crate) use chain::{Chain, Unseen, find, find_below};
pub(crate) use family::{Family, Member};
pub(crate) use process::{Doing, Pid, Stat, holder, is_held, named};
pub(crate) use sampler::{LinkSeen, Sampler, Seen};
pub(crate) use side::Side;
pub(crate) use spent::{Spent, Thread, threads};
pub(crate) use table::Table;
pub(crate) use wire::{Limit, Wire, wires};

/// Waits, on a thread that has nothing else to do.
pub(crate) fn nap(time: Duration) {
    let time = Timespec::try_from(time).unwrap_or_default();
    // an interrupted nap is a short one
    rustix::event::poll(&mut [], Some(&time)).ok();
}
