//! How is `64KiB`, `10MB/s`, `1m30s` read and written?
//!
//! # Knows / never knows
//! Knows units. Never knows which option a word belongs to: `args` says that in its message.

use std::time::Duration;

/// What a size option asks for, before it is known what it is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// A number of bytes.
    Bytes(u64),
    /// Whole percents, 1 to 90; of what, the option says.
    Percent(u8),
    /// A number of items.
    Items(u64),
}

/// A speed limit: so many bytes in each such period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Bytes a period, never 0.
    pub(crate) bytes: u64,
    /// The period: a second, a minute or an hour.
    pub(crate) per: Duration,
}
