//! How are numbers written down that no format has as they are?
//!
//! Everything else is written under the name it has here. The words are those
//! of the command's JSON where both say the same.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::snapshot::{Costs, CriticalPath};

/// A duration as whole milliseconds.
pub(super) fn ms<S: Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).serialize(to)
}

/// An integral as a float: few formats have integers of 128 bits, and its
/// growth is what is read from it.
#[expect(clippy::cast_precision_loss, reason = "a mean needs three digits, not nineteen")]
pub(super) fn area<S: Serializer>(area: &Option<u128>, to: S) -> Result<S::Ok, S::Error> {
    area.map(|area| area as f64).serialize(to)
}

/// The list of its waypoints.
impl Serialize for CriticalPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.waypoints())
    }
}

/// The list of its sums.
impl Serialize for Costs {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.sums().serialize(to)
    }
}
