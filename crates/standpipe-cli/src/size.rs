//! How is `64KiB`, `10MB/s`, `1m30s` read and written?
//!
//! Read strictly, written loosely. What could be meant in two ways (`64kb`: bits or bytes?) is
//! refused with both ways as the hint. Numbers are read as integers, so `1.5M` is exact.
//!
//! # Knows / never knows
//! Knows units. Never knows which option a word belongs to: `args` says that in its message.

use std::time::Duration;

mod read;
mod write;

pub(crate) use read::{read_amount, read_rate, read_time};
pub(crate) use write::{clock, count, mark, part, percent, rate, size, time, typed};

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

/// Whether nothing at all is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    /// It is, as in `--low 0`.
    Allowed,
    /// It is not.
    Refused,
}

/// Why a word is no size, rate or time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What to write instead.
    pub(crate) hint: String,
}

impl Refusal {
    fn new(hint: impl Into<String>) -> Self {
        Self { hint: hint.into() }
    }
}

#[cfg(test)]
mod tests;
