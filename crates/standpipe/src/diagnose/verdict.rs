//! What limits the flow, how sure is that, and what would change it?

use std::fmt;
use std::sync::Arc;

use super::stretch::Stretch;
use super::{Times, because, limit};
use crate::critical::{Window, ceiling, clarity, largest, what_if};
use crate::snapshot::{Confidence, Report, Slowest, ratio};

/// A stage with so much of the critical path, and twice the next, is the
/// bottleneck.
const BOTTLENECK: f64 = 0.5;
/// Waiting that costs less than this is none of the tanks' business.
const LOSS: f64 = 0.05;
/// Crossings per item that tell of a tank that is too small.
const CROSSINGS: f64 = 0.001;
/// Sub-windows are long enough to be certain if they are so many times as long
/// as an item is in the tanks.
const SOJOURNS: f64 = 10.0;
/// Time that the two sides of a tank both wait, and is no accident.
const BOTH_WAIT: f64 = 0.05;
/// So much of what the cores can do is all they can do.
const CORES: f64 = 0.9;

/// What kind of limit there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerdictKind {
    /// The source waits for its own input, and all others for it.
    Source,
    /// One stage, clearly.
    Bottleneck,
    /// Wake-ups and transport take more of the time than any stage.
    HandOver,
    /// Several stages within twice of each other.
    Balanced,
    /// The numbers do not say, or contradict each other.
    Unclear,
}

/// What limits the flow over a stretch of time.
///
/// `Display` is a sentence; the numbers it rests on are the fields.
///
/// # Examples
/// ```
/// # use standpipe::stage::{count, iter};
/// # use standpipe::{Pipeline, Tank};
/// # futures::executor::block_on(async {
/// let report = Pipeline::from("numbers", iter(0..10_000_u64))
///     .tank(Tank::items(64))
///     .map("square", |n| n.wrapping_mul(n))
///     .tank(Tank::items(64))
///     .to("count", count())
///     .run()
///     .await?
///     .report;
/// let verdict = report.verdict();
/// println!("{verdict}");
/// assert_eq!(verdict.busy.len(), 3);
/// # Ok::<(), standpipe::PipelineError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// Which of the kinds.
    pub kind: VerdictKind,
    /// The stage with the largest share, whatever the kind; `None` if nobody
    /// ever waited or there is only one stage.
    pub slowest: Option<Slowest>,
    /// By how many percent the line gains per percent that a stage gets
    /// faster, one per stage; empty where only times are known.
    pub shares: Vec<f64>,
    /// Critical time outside every stage.
    pub hand_over: f64,
    /// Share of the time each stage worked or waited for something of its own.
    pub busy: Vec<f64>,
    /// Share of the possible throughput that waiting costs.
    pub loss: f64,
    /// The most that any setting of marks can gain over now.
    pub gain: f64,
    /// Tanks that are too small, by position.
    pub too_small: Vec<usize>,
    /// Tanks whose writer is paused while the reader is starved.
    pub transport: Vec<usize>,
    /// The cores are busy: speeding up any stage speeds up the others.
    pub machine_bound: bool,
    names: Vec<Arc<str>>,
    tanks: Vec<Arc<str>>,
}

/// What a line would be with one stage faster.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Forecast {
    /// Throughput over throughput now, less 1.
    pub gain: f64,
    /// The stage that is the limit then, if it is another one.
    pub next: Option<usize>,
}

/// Says what limited the flow between two reports of a pipeline; without an
/// older one, since its start.
#[must_use]
pub fn diagnose(older: Option<&Report>, newer: &Report) -> Verdict {
    let stretch = Stretch::new(older, newer);
    let busy = stretch.busy();
    let window = stretch.window();
    let times = stretch.times();
    let slowest = slowest_of(&stretch, &times, window.as_ref());
    let cores = cores_used(&stretch);
    // one task can do no more than be busy all the time, nor can the cores
    let possible = ceiling(&[&busy[..], &[cores.unwrap_or(0.0)]].concat());
    let too_small = match &window {
        Some(window) if possible.loss > LOSS => too_small(&stretch, window),
        _ => Vec::new(),
    };
    Verdict {
        kind: kind(&stretch, window.as_ref(), slowest.as_ref(), &times),
        slowest,
        shares: window.as_ref().map_or_else(Vec::new, Window::shares),
        hand_over: window.as_ref().map_or(0.0, Window::hand_over),
        busy,
        loss: possible.loss,
        gain: possible.gain,
        too_small,
        transport: transport(&stretch, &times),
        machine_bound: cores.is_some_and(|used| used >= CORES),
        names: newer.stages.iter().map(|stage| stage.name.clone()).collect(),
        tanks: newer.tanks.iter().map(|tank| tank.name.clone()).collect(),
    }
}

impl Report {
    /// What limited the flow from the start up to this report.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        diagnose(None, self)
    }
}

impl Verdict {
    /// What the line would be if a stage took the part `faster` less time for
    /// each item. An estimate: the larger that part, the more it overstates.
    ///
    /// Without shares it is `None`.
    #[must_use]
    pub fn what_if(&self, stage: usize, faster: f64) -> Option<Forecast> {
        if stage >= self.shares.len() {
            return None;
        }
        let (factor, next) = what_if(&self.shares, &self.busy, stage, faster);
        Some(Forecast { gain: 1.0 / factor.max(f64::MIN_POSITIVE) - 1.0, next })
    }

    fn name(&self, stage: usize) -> &str {
        self.names.get(stage).map_or("?", |name| name)
    }
}

/// The stage to name and how sure: by shares if they are known, never by both.
fn slowest_of(stretch: &Stretch<'_>, times: &[Times], window: Option<&Window>) -> Option<Slowest> {
    let name = |stage: usize| stretch.newer.stages.get(stage).map_or("", |seen| &seen.name);
    if times.len() < 2 || times.iter().all(|t| t.paused_ns == 0 && t.starved_ns == 0) {
        return None;
    }
    let by_share = window.and_then(|window| largest(&window.shares())).filter(|best| best.1 > 0.0);
    let (position, confidence, share) = match by_share {
        Some((position, share)) => (position, confidence(stretch, position), Some(share)),
        None if window.is_some() => return None,
        None => limit(times).map(|(position, sure)| (position, sure, None))?,
    };
    let mut words = because(times, position, name);
    if let Some(share) = share {
        words.push_str(&format!("; {:.0}% of the critical path", share * 100.0));
    }
    let name = stretch.newer.stages.get(position)?.name.clone();
    Some(Slowest { position, name, confidence, because: words })
}

/// How clearly it comes first in each third of the time.
fn confidence(stretch: &Stretch<'_>, position: usize) -> Confidence {
    let thirds = stretch.thirds();
    if thirds.len() < 3 {
        return Confidence::Unsure;
    }
    #[expect(clippy::cast_precision_loss, reason = "a bound needs three digits")]
    let long = thirds.iter().all(|t| t.span_ns as f64 >= SOJOURNS * stretch.sojourn_ns());
    let clarity = clarity(&thirds, position);
    if clarity >= 2.0 / 3.0 && long {
        Confidence::Certain
    } else if clarity >= 0.5 {
        Confidence::Likely
    } else {
        Confidence::Unsure
    }
}

fn kind(
    stretch: &Stretch<'_>,
    window: Option<&Window>,
    slowest: Option<&Slowest>,
    times: &[Times],
) -> VerdictKind {
    let Some(slowest) = slowest else { return VerdictKind::Unclear };
    if slowest.position == 0 && waits_for_the_source(stretch, times) {
        return VerdictKind::Source;
    }
    let Some(window) = window else {
        return if slowest.confidence > Confidence::Unsure {
            VerdictKind::Bottleneck
        } else {
            VerdictKind::Unclear
        };
    };
    let mut shares = window.shares();
    let share = shares.get_mut(slowest.position).map_or(0.0, std::mem::take);
    let next = largest(&shares).map_or(0.0, |(_, share)| share);
    if share >= BOTTLENECK && share >= 2.0 * next {
        VerdictKind::Bottleneck
    } else if window.hand_over() > share {
        VerdictKind::HandOver
    } else {
        VerdictKind::Balanced
    }
}

/// The source is mostly in a wait of its own, and all others in one for items.
fn waits_for_the_source(stretch: &Stretch<'_>, times: &[Times]) -> bool {
    let own_ns = stretch.stage(0, |source| source.own_wait_ns);
    ratio(own_ns, stretch.span_ns) >= 0.5
        && times.iter().skip(1).all(|t| t.starved_ns > t.busy_ns.saturating_add(t.paused_ns))
}

/// Tanks at which the chain of waits turns back more than once in 1,000 items.
fn too_small(stretch: &Stretch<'_>, window: &Window) -> Vec<usize> {
    let swings = |(tank, crossings): (usize, &u64)| {
        let items = stretch.tank(tank, |seen| seen.read.items);
        (ratio(*crossings, items) > CROSSINGS).then_some(tank)
    };
    window.crossings.iter().enumerate().filter_map(swings).collect()
}

/// Tanks whose two sides wait at the same time, for more of it than an
/// accident would.
fn transport(stretch: &Stretch<'_>, times: &[Times]) -> Vec<usize> {
    let waits = |tank: &usize| {
        let join = stretch.newer.joins.get(*tank);
        let of = |stage: usize, ns: fn(&Times) -> u64| {
            times.get(stage).map_or(0.0, |times| ratio(ns(times), stretch.span_ns))
        };
        join.is_some_and(|join| {
            of(join.from, |t| t.paused_ns) + of(join.to, |t| t.starved_ns) > 1.0 + BOTH_WAIT
        })
    };
    (0..stretch.newer.tanks.len()).filter(waits).collect()
}

/// The part of what the cores can do that the stages did, if it is known how
/// many may run at once.
fn cores_used(stretch: &Stretch<'_>) -> Option<f64> {
    let cores = u64::try_from(stretch.newer.cores?).ok()?;
    let ran = |stage: usize| {
        let idle_ns = stretch
            .stage(stage, |seen| seen.own_wait_ns)
            .saturating_add(stretch.stage(stage, |seen| seen.not_running_ns));
        stretch.stage(stage, |seen| seen.busy_ns).saturating_sub(idle_ns)
    };
    let ran_ns = (0..stretch.newer.stages.len()).map(ran).fold(0, u64::saturating_add);
    Some(ratio(ran_ns, stretch.span_ns.saturating_mul(cores)))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(slowest) = &self.slowest else { return f.write_str("nobody waited for anybody") };
        let percent = |part: f64| format!("{:.0}%", part * 100.0);
        let share = |stage: usize| self.shares.get(stage).copied().unwrap_or(0.0);
        match self.kind {
            VerdictKind::Source => write!(f, "`{}` waits for its input", slowest.name)?,
            VerdictKind::Bottleneck if self.shares.is_empty() => {
                write!(f, "`{}` is the slowest", slowest.name)?;
            }
            VerdictKind::Bottleneck => {
                let share = percent(share(slowest.position));
                write!(f, "`{}` is the bottleneck: {share} of the critical path", slowest.name)?;
            }
            VerdictKind::HandOver => {
                write!(f, "hand-over takes {} of the time", percent(self.hand_over))?;
            }
            VerdictKind::Balanced => {
                let first = share(slowest.position);
                let mut order: Vec<usize> =
                    (0..self.shares.len()).filter(|i| share(*i) * 2.0 >= first).collect();
                order.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
                let names: Vec<String> = order
                    .into_iter()
                    .map(|stage| format!("`{}` {}", self.name(stage), percent(share(stage))))
                    .collect();
                write!(f, "balanced: {}", names.join(", "))?;
            }
            VerdictKind::Unclear => write!(f, "perhaps `{}`", slowest.name)?,
        }
        let sure = match slowest.confidence {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Unsure => "unsure",
        };
        write!(f, " ({sure})")?;
        for tank in &self.too_small {
            let name = self.tanks.get(*tank).map_or("?", |name| name);
            let gain = percent(self.gain);
            write!(f, "; tank `{name}` is too small, tanks can gain at most {gain}")?;
        }
        if self.machine_bound {
            f.write_str("; the cores are busy")?;
        }
        Ok(())
    }
}
