//! What does each subcommand do?
//!
//! # Knows / never knows
//! Knows all rooms below: it opens ends, starts lines, watches signals and hands numbers to the view. Never knows
//! how bytes move nor how anything is drawn.

pub(crate) mod begin;
pub(crate) mod run;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod observe;
pub(crate) mod version;
mod chronicle;
mod figures;
mod ceiling;
mod peer;
mod patience;
mod report;
mod screen;
mod door;
mod record;
mod outbox;
mod signals;
mod keys;

pub(crate) use signals::die_of;
