//! What do the gauges of a line say in the terms of the view?
//!
//! Rates and verdicts are differences of totals over a window of the recent past, never averages of gauges. The
//! window is kept here, a few numbers a half second.
//!
//! # Knows / never knows
//! Knows a plan and a line. Never knows how its numbers are drawn.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use standpipe::diagnose::Times;

use crate::exec::gauge::Reading;
use crate::exec::line::Line;
use crate::exec::times::{self, share, since};
use crate::exit::Status;
use crate::plan::{Builtin, Plan, StageKind, TankPlan};
use crate::view::{
    Outcome, Phase, Progress, Slowest, StageNow, StageShares, Summary, TankLevel, Who,
};

/// A verdict rests on this much of the past,
const VERDICT: Duration = Duration::from_secs(10);
/// a rate on this much,
const RATE: Duration = Duration::from_secs(2);
/// and the past is kept in steps of this.
const STEP: Duration = Duration::from_millis(500);

/// Letters of a label in a sentence that names several.
const BRIEF: usize = 24;
/// Less than this is too little to judge by: starting a program takes a part of it.
pub(super) const LEAST: Duration = Duration::from_millis(100);

/// The recent past of one run.
#[derive(Debug, Default)]
pub(crate) struct Past {
    moments: VecDeque<Moment>,
    peak_bytes: u64,
    total_bytes: Option<u64>,
}

#[derive(Debug)]
struct Moment {
    at: Instant,
    bytes_in: u64,
    bytes_out: u64,
    times: Vec<Times>,
    /// What entered each tank, and what left it.
    passed: Vec<(u64, u64)>,
    held: Held,
}

/// Why the source had to wait before the first tank, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// For the limit, or whoever paused it.
    pub(crate) held_ns: u64,
    /// For the tank, which was full.
    pub(crate) full_ns: u64,
}

/// What holds a source back that could bring more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The one that was asked for.
    Rate,
    /// Somebody at the keys.
    Key,
}

impl Limit {
    /// As it is named.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "the limit of `--rate`",
            Self::Key => "a limit or pause by key",
        }
    }

    /// What helps against it.
    pub(crate) const fn advice(self) -> Option<&'static str> {
        match self {
            Self::Rate => Some("a higher `--rate`, or none"),
            Self::Key => None,
        }
    }
}

impl Held {
    /// Whether that holds up the line, and not the stage at this place that was busy for so long.
    pub(crate) fn is_limit(self, place: usize, busy_ns: u64) -> bool {
        place <= 1 && self.held_ns > self.full_ns.max(busy_ns)
    }

    /// Who holds it back: the limit that was asked for, or somebody at the keys.
    pub(crate) const fn by<T>(rate: Option<&T>) -> Limit {
        match rate {
            Some(_) => Limit::Rate,
            None => Limit::Key,
        }
    }

    fn of(readings: &[Reading]) -> Self {
        let first = readings.first().copied().unwrap_or_default();
        Self { held_ns: first.held_ns, full_ns: first.full_ns }
    }

    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            held_ns: self.held_ns.saturating_sub(earlier.held_ns),
            full_ns: self.full_ns.saturating_sub(earlier.full_ns),
        }
    }
}

impl Past {
    /// Begins a run that is expected to move so much.
    pub(crate) fn new(total_bytes: Option<u64>) -> Self {
        Self { total_bytes, ..Self::default() }
    }

    /// Takes note of how things are.
    pub(crate) fn note(&mut self, plan: &Plan, line: &Line, at: Instant) {
        let readings = line.readings();
        self.peak_bytes = self.peak_bytes.max(readings.iter().map(|tank| tank.level).sum());
        if self.moments.back().is_some_and(|last| at.saturating_duration_since(last.at) < STEP) {
            return;
        }
        let (bytes_in, bytes_out) = totals(plan, &readings);
        let passed = readings.iter().map(|tank| (tank.bytes_in, tank.bytes_out)).collect();
        let times = line.times(at);
        let held = Held::of(&readings);
        self.moments.push_back(Moment { at, bytes_in, bytes_out, times, passed, held });
        while self.moments.len() > 1 && at.saturating_duration_since(self.moments[0].at) > VERDICT {
            self.moments.pop_front();
        }
    }

    /// Leaves out a time in which we were stopped.
    pub(crate) fn sleep(&mut self, slept: Duration) {
        for moment in &mut self.moments {
            moment.at += slept;
        }
    }

    /// Where the run is.
    pub(crate) fn progress(
        &self,
        plan: &Plan,
        line: &Line,
        at: Instant,
        ran: Duration,
    ) -> Progress {
        let readings = line.readings();
        let (bytes_in, bytes_out) = totals(plan, &readings);
        let passed = |moment: &Moment, tank: usize| moment.passed.get(tank).copied();
        let level = |(index, (tank, reading)): (usize, (&TankPlan, &Reading))| TankLevel {
            id: tank.id.clone(),
            level_bytes: reading.level,
            high_bytes: reading.high,
            low_bytes: tank.low_bytes,
            rate_in: self.rate(at, reading.bytes_in, |then| Some(passed(then, index)?.0)),
            rate_out: self.rate(at, reading.bytes_out, |then| Some(passed(then, index)?.1)),
        };
        Progress {
            bytes_in,
            bytes_out,
            into: into(plan),
            elapsed: ran,
            rate_in: self.rate(at, bytes_in, |moment| Some(moment.bytes_in)),
            rate_out: self.rate(at, bytes_out, |moment| Some(moment.bytes_out)),
            total_bytes: self.total_bytes,
            tanks: plan.tanks.iter().zip(&readings).enumerate().map(level).collect(),
            slowest: self.ruling(plan, line, at).map(|ruling| ruling.slowest),
            about: false,
            stages: self.stages(plan, line, at),
            memory_bytes: Some(plan.memory_bytes),
            phase: Phase::Running,
            limit: None,
        }
    }

    /// What each stage does of late, and how those ended that have.
    fn stages(&self, plan: &Plan, line: &Line, at: Instant) -> Vec<StageNow> {
        let ending = |status| match status {
            Status::Code(0) | Status::EndDone => Outcome::Succeeded,
            _ => Outcome::Failed,
        };
        let now = |(stage, times): (usize, &Times)| StageNow {
            shares: shares(plan, stage, times),
            ended: line.status(stage).map(ending),
        };
        self.of_late(line, at).iter().enumerate().map(now).collect()
    }

    /// Who has been the slowest of late.
    pub(crate) fn ruling(&self, plan: &Plan, line: &Line, at: Instant) -> Option<Ruling> {
        let held = Held::of(&line.readings());
        let before = self.moments.front().map(|first| first.held).unwrap_or_default();
        slowest(plan, &self.of_late(line, at), held.since(before))
    }

    /// Where the time of each stage went of late.
    fn of_late(&self, line: &Line, at: Instant) -> Vec<Times> {
        let times = line.times(at);
        let Some(first) = self.moments.front() else { return times };
        times.iter().zip(&first.times).map(|(later, earlier)| since(later, earlier)).collect()
    }

    /// Who has been the slowest of all the run.
    pub(crate) fn verdict(plan: &Plan, line: &Line, at: Instant) -> Option<Ruling> {
        slowest(plan, &line.times(at), Held::of(&line.readings()))
    }

    /// The past that a ruling rests on.
    pub(crate) fn window(&self, at: Instant) -> Duration {
        self.moments.front().map_or(Duration::ZERO, |first| at.saturating_duration_since(first.at))
    }

    /// The most that all tanks have held together.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// How long the rest will take at the rate of late, if that can be known.
    pub(crate) fn eta(&self, bytes_in: u64, at: Instant) -> Option<Duration> {
        let left = self.total_bytes?.checked_sub(bytes_in)?;
        let rate =
            self.rate(at, bytes_in, |moment| Some(moment.bytes_in)).filter(|rate| *rate >= 1.0)?;
        Duration::try_from_secs_f64(float(left) / rate).ok()
    }

    /// Bytes per second between now and a moment of late.
    fn rate(&self, at: Instant, now: u64, then: impl Fn(&Moment) -> Option<u64>) -> Option<f64> {
        let of_late = self
            .moments
            .iter()
            .rev()
            .find(|moment| at.saturating_duration_since(moment.at) >= RATE);
        let earlier = of_late.or_else(|| self.moments.front())?;
        let seconds = at.saturating_duration_since(earlier.at).as_secs_f64();
        let then = then(earlier)?;
        (seconds > 0.1).then(|| float(now.saturating_sub(then)) / seconds)
    }

    /// What the whole run was like, but for the verdict.
    pub(crate) fn summary(&self, plan: &Plan, line: &Line, at: Instant, ran: Duration) -> Summary {
        let readings = line.readings();
        let (bytes_in, bytes_out) = totals(plan, &readings);
        let times = line.times(at);
        let row = |(index, times): (usize, &Times)| shares(plan, index, times);
        Summary {
            bytes_in,
            bytes_out,
            into: into(plan),
            elapsed: ran,
            peak_bytes: (!readings.is_empty()).then_some(self.peak_bytes),
            memory_bytes: plan.memory_bytes,
            is_filter: plan.filter,
            stages: times.iter().enumerate().map(row).collect(),
            slowest: None,
            about: false,
            ceiling: None,
        }
    }
}

/// Who is the slowest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ruling {
    /// The index of the stage; `None` if no single stage is.
    pub(crate) stage: Option<usize>,
    /// The same in words.
    pub(crate) slowest: Slowest,
}

fn slowest(plan: &Plan, times: &[Times], held: Held) -> Option<Ruling> {
    let nobody =
        || Slowest { who: Who::Nobody, busy: None, confidence: None, why: None, advice: None };
    let none = |slowest| Ruling { stage: None, slowest };
    let ran = times.iter().map(|times| times.busy_ns + times.paused_ns + times.starved_ns).max()?;
    if times.len() < 2 || u128::from(ran) < LEAST.as_nanos() {
        return None;
    }
    let route = route(plan, times);
    let line: Vec<Times> = route.iter().map(|stage| times[*stage]).collect();
    let Some(found) = times::slowest(&line) else { return Some(none(nobody())) };
    let (place, stage) = (found.stage, route[found.stage]);
    let at = &times[stage];
    if held.is_limit(place, at.busy_ns) {
        let limit = Held::by(plan.rate.as_ref());
        return Some(none(Slowest {
            who: if limit == Limit::Rate { Who::Rate } else { Who::Key },
            why: Some(format!("it holds {} back", brief(plan, 0))),
            advice: limit.advice().map(str::to_owned),
            ..nobody()
        }));
    }
    let is_single = route.len() == times.len();
    let who = match &plan.stages[stage].kind {
        StageKind::Source(_) if plan.filter => Who::Input,
        StageKind::Sink { .. } if plan.filter && is_single => Who::Output,
        _ => Who::Stage(label(plan, stage)),
    };
    let mut why = Vec::new();
    let above = place.checked_sub(1).map(|above| route[above]);
    if let Some(above) = above.filter(|above| times[*above].paused_ns > 0) {
        let paused = percent(times[above].paused_ns, &times[above]);
        why.push(format!("{} is paused {paused}", brief(plan, above)));
    }
    let below = route.get(place + 1).copied();
    if let Some(below) = below.filter(|below| times[*below].starved_ns > 0) {
        let starved = percent(times[below].starved_ns, &times[below]);
        why.push(format!("{} is starved {starved}", brief(plan, below)));
    }
    // a command at a stream of somebody else's that waits for it is not to blame
    let is_command = matches!(plan.stages[stage].kind, StageKind::Command(_));
    let outside = if is_command && stage == 0 && at.starved_ns > at.busy_ns {
        Some((
            Who::Input,
            format!("{} is starved {}", brief(plan, stage), percent(at.starved_ns, at)),
        ))
    } else if is_command && below.is_none() && at.paused_ns > at.busy_ns {
        Some((
            Who::Output,
            format!("{} is paused {}", brief(plan, stage), percent(at.paused_ns, at)),
        ))
    } else {
        None
    };
    if let Some((who, waits)) = outside {
        why.insert(0, waits);
        return Some(none(Slowest { who, why: Some(why.join(", ")), ..nobody() }));
    }
    let advice = advice(plan, stage);
    let slowest = Slowest {
        who,
        busy: Some(found.busy),
        confidence: Some(found.confidence()),
        why: (!why.is_empty()).then(|| why.join(", ")),
        advice,
    };
    Some(Ruling { stage: Some(stage), slowest })
}

/// What would help, where that is known.
fn advice(plan: &Plan, stage: usize) -> Option<String> {
    match &plan.stages[stage].kind {
        StageKind::Command(_) => advice_for(&plan.stages[stage].label),
        StageKind::Builtin(Builtin::Gzip(_)) => {
            Some("a lower level (@gzip 1), or @zstd if whoever reads it can".to_owned())
        }
        StageKind::Builtin(Builtin::Zstd { threads: 0, level }) => {
            Some(format!("more threads (@zstd {level} threads=2) or a lower level"))
        }
        StageKind::Builtin(Builtin::Zstd { .. }) => {
            Some("more threads or a lower level".to_owned())
        }
        StageKind::Builtin(Builtin::Xz(_)) => {
            Some("a lower level (@xz 1), or @zstd if whoever reads it can".to_owned())
        }
        _ => None,
    }
}

/// The same for a command by its words.
pub(crate) fn advice_for(label: &str) -> Option<String> {
    let program = label.split_whitespace().next()?;
    match program.rsplit('/').next()? {
        "gzip" => Some("a lower level (gzip -1) or more threads (pigz)".to_owned()),
        "xz" => Some("more threads (xz -T0) or a lower level".to_owned()),
        "bzip2" => Some("more threads (lbzip2, pbzip2)".to_owned()),
        "zstd" => Some("more threads (zstd -T0) or a lower level".to_owned()),
        _ => None,
    }
}

fn shares(plan: &Plan, stage: usize, times: &Times) -> StageShares {
    StageShares {
        label: label(plan, stage),
        busy: Some(share(times.busy_ns, times)),
        paused: Some(share(times.paused_ns, times)),
        starved: Some(share(times.starved_ns, times)),
    }
}

/// The label as it stands between other words: what follows it must not be cut off.
pub(super) fn brief(plan: &Plan, stage: usize) -> String {
    let label = label(plan, stage);
    let Some((end, _)) = label.char_indices().nth(BRIEF) else { return label };
    // an id alone names nothing
    match label[..end].rsplit_once(' ') {
        Some((words, _)) if words.contains(' ') => words.trim_end().to_owned(),
        _ => label[..end].to_owned(),
    }
}

fn label(plan: &Plan, stage: usize) -> String {
    format!("{} {}", plan.stages[stage].id, plan.stages[stage].label)
}

fn percent(part_ns: u64, times: &Times) -> String {
    crate::size::percent(share(part_ns, times))
}

/// The last stage, if it is a command: it writes to our stdout, or to what only it knows.
fn into(plan: &Plan) -> Option<String> {
    let last = plan.stages.len().checked_sub(1)?;
    matches!(plan.stages[last].kind, StageKind::Command(_)).then(|| label(plan, last))
}

/// What the first stage has put out and the last has taken. Of several last ones it is what each has, unless it may
/// leave something out.
pub(crate) fn totals(plan: &Plan, readings: &[Reading]) -> (u64, u64) {
    let first = readings.first().map_or(0, |tank| tank.bytes_in);
    let branches =
        || plan.branches().filter_map(|tank| Some((plan.tanks[tank].full, readings.get(tank)?)));
    let whole = branches().filter(|(full, _)| !full.drops()).map(|(_, tank)| tank.bytes_out).min();
    let last = whole.or_else(|| branches().map(|(_, tank)| tank.bytes_out).min());
    (first, last.unwrap_or(0))
}

/// The stages that bytes pass on the way to the end that holds them up: of several branches the one that was starved
/// the least. One that drops or fails holds nobody up.
fn route(plan: &Plan, times: &[Times]) -> Vec<usize> {
    let mut branches: Vec<usize> = plan.branches().collect();
    if branches.iter().any(|tank| !plan.tanks[*tank].full.drops()) {
        branches.retain(|tank| !plan.tanks[*tank].full.drops());
    }
    let limit = branches.into_iter().min_by_key(|tank| times[tank + 1].starved_ns);
    let trunk = limit.map_or(times.len(), |tank| plan.tanks[tank].from + 1);
    (0..trunk).chain(limit.map(|tank| tank + 1)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown in three digits")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
