//! Which size shall tanks have that somebody changes while they run?
//!
//! Half of what they have, or twice that; marks that were asked for count as if they were there, since a pump looks at
//! them with the next bytes, and those may be long in coming.
//!
//! # Knows / never knows
//! Knows the gauges of a run and what it may take. Never knows who asks, nor how a tank is made larger.

use crate::exec::gauge::{Gauge, Path};
use crate::exec::port::{PIPE_BUDGET, PIPE_MOST};

/// A tank is made no smaller than this: two pages, one in each of its pipes.
const LEAST: u64 = 8 << 10;

/// Asks each tank to be half as large.
pub(crate) fn halve<'a>(tanks: impl Iterator<Item = &'a Gauge>) {
    tanks.for_each(|tank| tank.ask_high((tank.wanted_high() / 2).max(LEAST)));
}

/// Asks each tank to be twice as large, unless all would then hold more than `memory_bytes`, or their pipes more than
/// one run takes.
pub(crate) fn double<'a>(tanks: impl Iterator<Item = &'a Gauge> + Clone, memory_bytes: u64) {
    let twice = |tank: &Gauge| tank.wanted_high().saturating_mul(2);
    let sum = |bytes: &dyn Fn(&Gauge) -> u64| tanks.clone().map(bytes).fold(0, u64::saturating_add);
    let in_pipes = |tank: &Gauge| match tank.counted().path {
        Path::Copy => 0,
        Path::Splice | Path::CopyRange => twice(tank).min(2 * PIPE_MOST),
    };
    if sum(&twice) <= memory_bytes && sum(&in_pipes) <= PIPE_BUDGET {
        tanks.for_each(|tank| tank.ask_high(twice(tank)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tanks(path: Path, highs: &[u64]) -> Vec<Gauge> {
        let tank = |high: &u64| {
            let gauge = Gauge::default();
            gauge.set_path(path);
            gauge.set_high(*high);
            gauge
        };
        highs.iter().map(tank).collect()
    }

    fn wanted(tanks: &[Gauge]) -> Vec<u64> {
        tanks.iter().map(Gauge::wanted_high).collect()
    }

    /// The check went by the marks that the tanks had: with a pump that waited for its reader each further key doubled
    /// what had been asked for, whatever `--memory` said.
    #[test]
    fn keys_that_come_before_a_pump_looks_stay_within_the_memory() {
        let tanks = tanks(Path::Copy, &[1 << 20, 1 << 20]);
        for _ in 0..5 {
            double(tanks.iter(), 5 << 20);
        }
        assert_eq!(wanted(&tanks), [2 << 20, 2 << 20]);
        halve(tanks.iter());
        halve(tanks.iter());
        assert_eq!(wanted(&tanks), [512 << 10, 512 << 10]);
        assert_eq!(tanks[0].asked_high(), Some(512 << 10), "the pump is asked for the last one");
        assert_eq!(tanks[0].asked_high(), None);
    }

    #[test]
    fn pipes_stay_within_what_one_run_takes() {
        let tanks = tanks(Path::Splice, &[1 << 20; 9]);
        double(tanks.iter(), u64::MAX);
        assert_eq!(wanted(&tanks), [1 << 20; 9], "18 MiB of pipes are too many");
        double(tanks[..8].iter(), u64::MAX);
        assert_eq!(wanted(&tanks)[..8], [2 << 20; 8]);
    }

    #[test]
    fn no_tank_becomes_smaller_than_two_pages() {
        let tanks = tanks(Path::Copy, &[10_000]);
        halve(tanks.iter());
        assert_eq!(wanted(&tanks), [LEAST]);
    }
}
