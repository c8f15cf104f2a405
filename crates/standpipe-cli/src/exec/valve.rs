//! What may somebody change about the source while it runs?
//!
//! A valve before the first tank: shut, or open with a limit. Who turns it and who obeys are two threads; the one
//! who obeys looks at it before each portion, which costs one load.
//!
//! # Knows / never knows
//! Knows a limit. Never knows how it is kept (`bucket`), or why it was set.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The valve of one run.
#[derive(Debug)]
pub(crate) struct Valve {
    shut: AtomicBool,
    /// Bytes per second, as bits; 0 is none.
    limit: AtomicU64,
}

impl Valve {
    /// Open, with this limit in bytes per second.
    pub(crate) fn new(limit: Option<f64>) -> Self {
        Self { shut: AtomicBool::new(false), limit: AtomicU64::new(bits(limit)) }
    }

    /// Lets nothing pass, or lets it pass again; whether it is shut then.
    pub(crate) fn turn(&self) -> bool {
        !self.shut.fetch_xor(true, Ordering::Relaxed)
    }

    /// Opens it.
    pub(crate) fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
    }

    /// Says whether nothing may pass.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }

    /// Sets the limit in bytes per second.
    pub(crate) fn set_limit(&self, limit: Option<f64>) {
        self.limit.store(bits(limit), Ordering::Relaxed);
    }

    /// The limit in bytes per second.
    pub(crate) fn limit(&self) -> Option<f64> {
        let limit = f64::from_bits(self.limit.load(Ordering::Relaxed));
        (limit > 0.0).then_some(limit)
    }
}

fn bits(limit: Option<f64>) -> u64 {
    limit.map_or(0, |limit| limit.max(1.0).to_bits())
}

/// The next limit below or above `rate`: 1, 2, 5, 10 … 500 of each unit of bytes per second.
pub(crate) fn step(rate: f64, to: Step) -> f64 {
    let rate = rate.clamp(1.0, 1e15);
    let (mut unit, mut below) = (1.0, 1.0);
    loop {
        for digits in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0] {
            let limit = digits * unit;
            match to {
                Step::Higher if limit > rate * 1.001 => return limit,
                Step::Lower if limit >= rate * 0.999 => return below,
                _ => below = limit,
            }
        }
        unit *= 1024.0;
    }
}

/// Which way a limit is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Less may pass.
    Lower,
    /// More may pass.
    Higher,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    #[test]
    fn a_limit_goes_in_steps_of_one_two_five() {
        for (rate, lower, higher) in [
            (1.0, 1.0, 2.0),
            (3.0, 2.0, 5.0),
            (1024.0, 500.0, 2048.0),
            (5.0 * MIB, 2.0 * MIB, 10.0 * MIB),
            (88.1 * MIB, 50.0 * MIB, 100.0 * MIB),
            (0.0, 1.0, 2.0),
        ] {
            assert!((step(rate, Step::Lower) - lower).abs() < 1e-6 * lower, "{rate}");
            assert!((step(rate, Step::Higher) - higher).abs() < 1e-6 * higher, "{rate}");
        }
        assert!(step(f64::INFINITY, Step::Higher).is_finite());
    }

    #[test]
    fn a_valve_is_turned_and_turned_back() {
        let valve = Valve::new(None);
        assert!(valve.turn() && valve.is_shut());
        assert!(!valve.turn() && !valve.is_shut());
        assert_eq!(valve.limit(), None);
        valve.set_limit(Some(5.0));
        assert_eq!(valve.limit(), Some(5.0));
    }
}
