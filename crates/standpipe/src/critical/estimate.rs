//! What share of the time is each stage's, and what would change it?

use crate::snapshot::{CriticalPath, ratio};

/// A stretch of the sink's path, from one waypoint to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    /// Its length.
    pub(crate) span_ns: u64,
    /// Share of each stage in it. May be negative: chains switch.
    pub(crate) raw: Vec<f64>,
    /// Crossings at each tank in it.
    pub(crate) crossings: Vec<u64>,
}

impl Window {
    /// The stretch between two moments of a path; `None` if it is empty or
    /// was not logged.
    pub(crate) fn between(path: &CriticalPath, from_ns: u64, to_ns: u64) -> Option<Self> {
        let older = Moment::of(path, from_ns)?;
        let newer = Moment::of(path, to_ns)?;
        let span_ns = newer.at_ns.checked_sub(older.at_ns).filter(|span| *span > 0)?;
        let share = |(new, old): (&u64, &u64)| {
            ratio(new.saturating_sub(*old), span_ns) - ratio(old.saturating_sub(*new), span_ns)
        };
        let grown = |(new, old): (&u64, &u64)| new.saturating_sub(*old);
        Some(Self {
            span_ns,
            raw: newer.stage_ns.iter().zip(&older.stage_ns).map(share).collect(),
            crossings: newer.crossings.iter().zip(&older.crossings).map(grown).collect(),
        })
    }

    /// Share of each stage, 0 to 1.
    pub(crate) fn shares(&self) -> Vec<f64> {
        self.raw.iter().map(|share| share.clamp(0.0, 1.0)).collect()
    }

    /// Critical time outside every stage.
    pub(crate) fn hand_over(&self) -> f64 {
        (1.0 - self.raw.iter().sum::<f64>()).clamp(0.0, 1.0)
    }
}

/// The path at a moment: between two waypoints it grows evenly.
struct Moment {
    at_ns: u64,
    stage_ns: Vec<u64>,
    crossings: Vec<u64>,
}

impl Moment {
    fn of(path: &CriticalPath, at_ns: u64) -> Option<Self> {
        let (first, last) = (path.waypoints().next()?, path.last()?);
        let at_ns = at_ns.clamp(first.at_ns, last.at_ns);
        let after = path.waypoints().position(|point| point.at_ns >= at_ns)?;
        let newer = path.get(after)?;
        let older = after.checked_sub(1).and_then(|before| path.get(before)).unwrap_or(newer);
        let part = at_ns.saturating_sub(older.at_ns);
        let whole = newer.at_ns.saturating_sub(older.at_ns);
        let mix = |older: &[u64], newer: &[u64]| {
            older.iter().zip(newer).map(|(old, new)| between(*old, *new, part, whole)).collect()
        };
        Some(Self {
            at_ns,
            stage_ns: mix(older.stage_ns, newer.stage_ns),
            crossings: mix(older.crossings, newer.crossings),
        })
    }
}

/// `old` and `part / whole` of the way to `new`.
fn between(old: u64, new: u64, part: u64, whole: u64) -> u64 {
    let way = u128::from(new.abs_diff(old)).saturating_mul(u128::from(part));
    let Some(step) = way.checked_div(u128::from(whole)) else { return new };
    let step = u64::try_from(step).unwrap_or(u64::MAX);
    if new >= old { old.saturating_add(step) } else { old.saturating_sub(step) }
}

/// The largest of some numbers and where it is, the first of equals.
pub(crate) fn largest(of: &[f64]) -> Option<(usize, f64)> {
    of.iter().copied().enumerate().fold(None, |best, (index, value)| match best {
        Some((_, highest)) if value <= highest => best,
        _ => Some((index, value)),
    })
}

/// How clearly `stage` comes first in every one of these windows: the least
/// share / (share + largest other). 2/3 is twice the next one in all of them,
/// 1/2 the first in all.
pub(crate) fn clarity(windows: &[Window], stage: usize) -> f64 {
    let one = |window: &Window| {
        let mut shares = window.shares();
        let Some(own) = shares.get_mut(stage).map(std::mem::take) else { return 0.0 };
        let other = largest(&shares).map_or(0.0, |(_, share)| share);
        if own + other > 0.0 { own / (own + other) } else { 0.0 }
    };
    windows.iter().map(one).fold(1.0, f64::min)
}

/// What a line would take if one stage took the fraction `faster` less time
/// per item: its time over its time now, and the stage that caps it then.
///
/// `busy` are shares of wall time, per worker.
pub(crate) fn what_if(
    shares: &[f64],
    busy: &[f64],
    stage: usize,
    faster: f64,
) -> (f64, Option<usize>) {
    let saved = 1.0 - faster * shares.get(stage).copied().unwrap_or(0.0);
    let own = (1.0 - faster) * busy.get(stage).copied().unwrap_or(0.0);
    let mut others = busy.to_vec();
    if let Some(own) = others.get_mut(stage) {
        *own = 0.0;
    }
    match largest(&others) {
        Some((next, cap)) if cap > saved && cap >= own => (cap, Some(next)),
        _ => (saved.max(own), None),
    }
}

/// How much tanks can matter at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ceiling {
    /// Share of the possible throughput that waiting costs.
    pub(crate) loss: f64,
    /// The most that any setting of marks can gain over now.
    pub(crate) gain: f64,
}

/// No stage does more than work all the time: so much, and no more, is to be
/// had from tanks. `busy` are shares of wall time, per worker.
pub(crate) fn ceiling(busy: &[f64]) -> Ceiling {
    let most = largest(busy).map_or(1.0, |(_, busy)| busy.clamp(f64::MIN_POSITIVE, 1.0));
    Ceiling { loss: 1.0 - most, gain: (1.0 - most) / most }
}
