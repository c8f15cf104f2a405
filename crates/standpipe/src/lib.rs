//! Bounded, weighed, observable tanks, and the pipelines built from them.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

#[cfg(not(loom))]
pub mod adapt;
#[cfg(not(loom))]
pub mod pipeline;
#[cfg(not(loom))]
pub mod stage;
pub mod tank;
pub mod diagnose;
mod meter;
pub mod gate;
pub mod overflow;
pub mod weigh;
pub mod snapshot;
pub mod error;
mod sync;

pub use error::{BoxError, Cause, CauseKind, WriteError};
pub use gate::{Flow, Marks};
pub use overflow::Overflow;
#[cfg(not(loom))]
pub use pipeline::{Pipeline, PipelineError};
pub use snapshot::Report;
pub use tank::{Batch, Gauge, Readable, Tank, Writable};
pub use weigh::{KIB, MIB, Weigh};
