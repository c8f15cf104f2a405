//! How many bytes may pass now?
//!
//! A token bucket with a tenth of a second of burst: bytes are earned with time and spent as they pass. The limit
//! holds from the first byte, so a short copy is not faster than its rate.
//!
//! # Knows / never knows
//! Knows a rate and the time it is given. Never knows clocks or descriptors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::exec::valve::Valve;

/// A valve that is shut is looked at again after this long.
const SHUT: Duration = Duration::from_millis(100);

/// A rate limit in bytes per second.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    earned: f64,
    since: Instant,
}

impl Bucket {
    /// Starts empty at `now`; `per_second` is in bytes and at least 1.
    pub(crate) fn new(per_second: f64, now: Instant) -> Self {
        let per_second = per_second.max(1.0);
        Self {
            per_second,
            burst: (per_second / 10.0).clamp(1.0, 1_048_576.0),
            earned: 0.0,
            since: now,
        }
    }

    /// Bytes that may pass at `now`, or how long to wait for a reasonable portion of them.
    pub(crate) fn allow(&mut self, now: Instant) -> Result<usize, Duration> {
        let passed = now.saturating_duration_since(self.since);
        self.since = self.since.max(now);
        self.earned = (self.earned + passed.as_secs_f64() * self.per_second).min(self.burst);
        // A portion: not a wake-up per byte, and not a burst per second either.
        let portion = (self.burst / 4.0).max(1.0);
        if self.earned >= portion {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and the burst of at most 1 MiB"
            )]
            return Ok(self.earned as usize);
        }
        Err(Duration::from_secs_f64((portion - self.earned) / self.per_second))
    }

    /// Spends what did pass.
    pub(crate) fn spend(&mut self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "at most what was allowed, 1 MiB")]
        let bytes = bytes as f64;
        self.earned -= bytes;
    }
}

/// What may be read: how fast, and how much in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ration {
    /// How fast; `None`: as fast as it comes.
    pub(crate) rate: Option<Bucket>,
    /// How much is left; `None`: all there is.
    pub(crate) left: Option<u64>,
    /// Where somebody may change the rate meanwhile.
    pub(crate) valve: Option<Arc<Valve>>,
}

/// How much may be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// So many bytes, at least 1.
    Bytes(usize),
    /// Something after this time.
    After(Duration),
    /// Nothing any more.
    Nothing,
}

impl Ration {
    /// How much of `most` may be read at `now`.
    pub(crate) fn allow(&mut self, most: usize, now: Instant) -> Allowed {
        let left = self.left.map_or(most, |left| usize::try_from(left).unwrap_or(most));
        if let Some(valve) = self.valve.as_ref().filter(|_| left > 0) {
            if valve.is_shut() {
                return Allowed::After(SHUT);
            }
            let limit = valve.limit();
            if limit != self.rate.as_ref().map(|rate| rate.per_second) {
                self.rate = limit.map(|limit| Bucket::new(limit, now));
            }
        }
        match (most.min(left), &mut self.rate) {
            (0, _) => Allowed::Nothing,
            (most, None) => Allowed::Bytes(most),
            (most, Some(rate)) => match rate.allow(now) {
                Ok(bytes) => Allowed::Bytes(most.min(bytes)),
                Err(time) => Allowed::After(time),
            },
        }
    }

    /// Spends what was read.
    pub(crate) fn spend(&mut self, bytes: usize) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes as u64);
        }
        if let Some(rate) = &mut self.rate {
            rate.spend(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_a_second_in_small_steps() {
        let start = crate::exec::now();
        let mut bucket = Bucket::new(1_000_000.0, start);
        let (mut now, mut passed) = (start, 0);
        while now < start + Duration::from_secs(1) {
            match bucket.allow(now) {
                Ok(bytes) => {
                    bucket.spend(bytes);
                    passed += bytes;
                }
                Err(wait) => now += wait.max(Duration::from_nanos(1)),
            }
        }
        assert!((975_000..=1_000_000).contains(&passed), "{passed} of 1,000,000 bytes");
    }

    #[test]
    fn a_valve_is_obeyed_before_each_portion() {
        let start = crate::exec::now();
        let valve = Arc::new(Valve::new(None));
        let mut ration = Ration { valve: Some(Arc::clone(&valve)), ..Ration::default() };
        assert_eq!(ration.allow(9, start), Allowed::Bytes(9));
        valve.turn();
        assert_eq!(ration.allow(9, start), Allowed::After(SHUT));
        valve.turn();
        valve.set_limit(Some(10.0));
        assert!(matches!(ration.allow(9, start), Allowed::After(_)), "it begins empty");
        assert_eq!(ration.allow(9, start + Duration::from_secs(1)), Allowed::Bytes(1));
        valve.set_limit(None);
        assert_eq!(ration.allow(9, start), Allowed::Bytes(9));
        ration.left = Some(0);
        valve.turn();
        assert_eq!(ration.allow(9, start), Allowed::Nothing, "what is over is over");
    }

    #[test]
    fn a_pause_earns_one_burst_only() {
        let start = crate::exec::now();
        let mut bucket = Bucket::new(1000.0, start);
        assert!(bucket.allow(start).is_err(), "empty at the start");
        assert_eq!(bucket.allow(start + Duration::from_secs(60)), Ok(100));
    }
}
