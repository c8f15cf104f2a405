//! Random lines: 3 to 7 stages, services of five kinds, marks 1 to 256.

use standpipe::Marks;
use standpipe::sim::{Draw, Service, Sim, Stage};

/// How much the means of a line's stages differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// Up to four times.
    Spread,
    /// Up to 1.25 times.
    Balanced,
}

/// Where the low-water mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Low {
    /// At half of the high one.
    Half,
    /// One below it.
    Below,
}

/// A line before it is simulated.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) services: Vec<Service>,
    pub(crate) marks: Vec<Marks>,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of some ns")]
fn whole(value: f64) -> u64 {
    value as u64
}

impl Line {
    /// The line with this number of a set.
    pub(crate) fn draw(set: Set, low: Low, seed: u64, number: u64) -> Self {
        let stream = number * 4 + if set == Set::Spread { 0 } else { 1 };
        let mut draw = Draw::new(seed, stream);
        let spread: f64 = if set == Set::Spread { 4.0 } else { 1.25 };
        let stages = 3 + draw.below(5);
        let services = (0..stages)
            .map(|_| {
                let mean_ns = whole(10_000.0 * spread.powf(draw.unit()));
                match draw.below(5) {
                    0 => Service::Constant(mean_ns),
                    1 => Service::Exponential(mean_ns),
                    2 => Service::Lognormal { mean_ns, cv: 2.0 },
                    3 => Service::Stalls { mean_ns, every: 50 },
                    _ => Service::Stalls { mean_ns, every: 400 },
                }
            })
            .collect();
        let marks = (1..stages)
            .map(|_| {
                let high = [1, 2, 4, 16, 64, 256][draw.below(6)];
                let low = if low == Low::Half { high / 2 } else { high - 1 };
                Marks::new(high, low).expect("low is below high")
            })
            .collect();
        Self { services, marks }
    }

    /// The line with services drawn by `seed`; one stage faster, if one is.
    pub(crate) fn sim(&self, seed: u64, items: u64, faster: Option<(usize, f64)>) -> Sim {
        let stages = self
            .services
            .iter()
            .enumerate()
            .map(|(index, service)| {
                let stage = Stage::new(format!("s{index}"), service.clone());
                match faster {
                    Some((one, part)) if one == index => stage.faster(part),
                    _ => stage,
                }
            })
            .collect();
        Sim::line(seed, items, stages, &self.marks)
    }
}
