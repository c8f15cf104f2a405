//! How long does a service take, how much does an item weigh?
//!
//! The generator is SplitMix64 (Steele, Lea, Flood 2014), ten lines of our
//! own: a seed has to mean the same run in every version of this crate, which
//! no generator that may improve can promise. Every stage has its own stream,
//! so that a change to one shifts no draw of another.

use std::sync::Arc;

/// A stream of random numbers that a seed and a stream number fix for ever.
///
/// # Examples
/// ```
/// use standpipe::sim::Draw;
///
/// let (mut one, mut other) = (Draw::new(7, 0), Draw::new(7, 0));
/// assert_eq!(one.bits(), other.bits());
/// assert!((0.0..1.0).contains(&one.unit()));
/// ```
#[derive(Clone, Debug)]
pub struct Draw {
    state: u64,
}

/// The step of SplitMix64: 2^64 over the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Draw {
    /// The stream with this number under this seed.
    #[must_use]
    pub const fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(seed ^ mix(stream.wrapping_add(GOLDEN))) }
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Evenly from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
        let bits = (self.bits() >> 11) as f64;
        bits / 9_007_199_254_740_992.0 // 2^53
    }

    /// One of `0..count`, or 0.
    pub const fn below(&mut self, count: usize) -> usize {
        let wide = (self.bits() as u128).wrapping_mul(count as u128) >> 64;
        #[expect(clippy::cast_possible_truncation, reason = "less than `count`")]
        let one = wide as usize;
        one
    }

    /// A normal draw, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// How long a stage works on an item.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Service {
    /// Always the same, in ns.
    Constant(u64),
    /// Exponentially distributed around a mean in ns.
    Exponential(u64),
    /// Lognormal: many short, few very long.
    Lognormal {
        /// Mean in ns.
        mean_ns: u64,
        /// Standard deviation over mean.
        cv: f64,
    },
    /// 70 % of the mean, give or take a fifth, and once in `every` items a
    /// stall that brings it to the mean: 30 % of `every` means, by half.
    Stalls {
        /// Mean in ns.
        mean_ns: u64,
        /// Items per stall.
        every: u64,
    },
    /// As measured somewhere, in ns, over and over.
    Recorded(Arc<[u64]>),
    /// A rate limit: holds an item until this many ns after the last one.
    Paced(u64),
}

/// The draws of one stage.
#[derive(Clone, Debug)]
pub(super) struct Services {
    service: Service,
    draw: Draw,
    /// What is left of a service, 1 for all of it.
    left: f64,
    served: usize,
    free_ns: u64,
}

impl Services {
    pub(super) const fn new(service: Service, draw: Draw, left: f64) -> Self {
        Self { service, draw, left, served: 0, free_ns: 0 }
    }

    /// How long the next item takes that comes at `now_ns`.
    pub(super) fn next(&mut self, now_ns: u64) -> u64 {
        let nth = self.served;
        self.served = nth.saturating_add(1);
        let span = match &self.service {
            Service::Constant(span_ns) => float(*span_ns),
            Service::Exponential(mean_ns) => -float(*mean_ns) * (1.0 - self.draw.unit()).ln(),
            Service::Lognormal { mean_ns, cv } => {
                let variance = (cv * cv).ln_1p();
                let scale = float(*mean_ns) * (-variance / 2.0).exp();
                scale * (variance.sqrt() * self.draw.normal()).exp()
            }
            Service::Stalls { mean_ns, every } => {
                let mean = float(*mean_ns);
                let usual = mean * 0.7 * (0.8 + 0.4 * self.draw.unit());
                let stalls = self.draw.unit() * float(*every) < 1.0;
                let length = 0.5 + self.draw.unit();
                usual + if stalls { mean * 0.3 * float(*every) * length } else { 0.0 }
            }
            Service::Recorded(spans) => float(
                nth.checked_rem(spans.len()).and_then(|at| spans.get(at).copied()).unwrap_or(0),
            ),
            Service::Paced(every_ns) => {
                let every_ns = whole(float(*every_ns) * self.left);
                let goes_ns = self.free_ns.max(now_ns);
                self.free_ns = goes_ns.saturating_add(every_ns);
                return goes_ns.saturating_sub(now_ns);
            }
        };
        whole(span * self.left)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a service time needs three digits")]
const fn float(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and no service is negative"
)]
const fn whole(value: f64) -> u64 {
    (value + 0.5) as u64
}

/// How much the items of a source weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weights {
    /// All the same.
    Same(usize),
    /// Evenly between two weights, both included.
    Between(usize, usize),
}

impl Weights {
    pub(super) const fn next(self, draw: &mut Draw) -> usize {
        match self {
            Self::Same(weight) => weight,
            Self::Between(least, most) => {
                least.saturating_add(draw.below(most.saturating_sub(least).saturating_add(1)))
            }
        }
    }
}
