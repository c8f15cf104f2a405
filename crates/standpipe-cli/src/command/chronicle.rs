//! Which events does a running line give rise to?
//!
//! The run looks around many times a second; here it is decided what of that is worth a line. Samples come once a
//! second and at the end. An exit is told when it is certain whose consequence it is, which may be later than it
//! was seen. Another stage is called the slowest only after it has been that for a while.
//!
//! # Knows / never knows
//! Knows a plan, a line, and what was told of them already. Never knows where events go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use standpipe::diagnose::Times;

use crate::args::Full;
use crate::command::figures::{Past, Ruling, totals};
use crate::command::record::{Figures, Record};
use crate::exec::gauge::{Path, Reading};
use crate::exec::line::Line;
use crate::exec::millis;
use crate::exec::times::{share, since};
use crate::exit::{Cause, EarlyStop, Status, judge, settled};
use crate::plan::Plan;
use crate::view::Who;
use crate::view::event::{
    Drain, Event, Memory, Sample, SampleStage, SampleTank, Share, SlowestChange, StageExit, Start,
    StartStage, StartTank, TankTurn, Verdict, Warning, rounded,
};

/// A sample is taken this often.
const EVERY: Duration = Duration::from_secs(1);
/// Another stage is called the slowest when it has been that for so long.
const HYSTERESIS: Duration = Duration::from_secs(5);
/// The last words of a stage that has ended are waited for as long as this.
const WORDS: Duration = Duration::from_millis(500);

/// What has been told of a run.
#[derive(Debug)]
pub(crate) struct Chronicle<'plan> {
    plan: &'plan Plan,
    record: Arc<Record>,
    seq: u64,
    last: Instant,
    last_times: Vec<Times>,
    /// Exits that were told.
    exits: usize,
    paths: Vec<Path>,
    pauses: Vec<u64>,
    shut: Vec<bool>,
    tell_turns: bool,
    /// The slowest stage as it was told; the outer `None`: nothing was told yet.
    told: Option<Option<usize>>,
    /// A stage that is the slowest now, and since when.
    rival: Option<(Option<usize>, Instant)>,
    /// How long each stage was the slowest.
    reigns: Vec<Duration>,
}

impl<'plan> Chronicle<'plan> {
    /// Tells that everything has been started.
    pub(crate) fn begin(
        plan: &'plan Plan,
        record: Arc<Record>,
        line: &Line,
        total_bytes: Option<u64>,
        at: Instant,
    ) -> Self {
        let readings = line.readings();
        let stages = plan.stages.iter().enumerate().map(|(index, stage)| StartStage {
            id: stage.id.clone(),
            kind: stage.kind.name(),
            label: stage.label.as_str().into(),
            pid: line.child(index).map(crate::exec::child::Child::pid),
        });
        let tank = |(index, reading): (usize, &Reading)| StartTank {
            id: plan.tanks[index].id.clone(),
            from: plan.stages[plan.tanks[index].from].id.clone(),
            to: plan.stages[index + 1].id.clone(),
            unit: "bytes",
            high: reading.high,
            low: match reading.path {
                // the library's own rule where none was asked for
                Path::Copy => Some(plan.tanks[index].low_bytes.unwrap_or(reading.high / 2)),
                _ => None,
            },
            path: reading.path.name(),
            full: Some(plan.tanks[index].full).filter(|full| *full != Full::Wait).map(Full::name),
        };
        record.begin(Start {
            name: plan.name.as_deref().map(Into::into),
            pid: std::process::id(),
            memory_limit: plan.memory_bytes,
            total_bytes,
            rate_limit: plan.rate.map(|rate| rate.bytes.div_ceil(rate.per.as_secs().max(1))),
            stages: stages.collect(),
            tanks: readings.iter().enumerate().map(tank).collect(),
        });
        Self {
            plan,
            record,
            seq: 0,
            last: at,
            last_times: vec![Times::default(); plan.stages.len()],
            exits: 0,
            paths: readings.iter().map(|reading| reading.path).collect(),
            pauses: vec![0; readings.len()],
            shut: vec![false; readings.len()],
            tell_turns: plan.display.verbose >= 2,
            told: None,
            rival: None,
            reigns: vec![Duration::ZERO; plan.stages.len()],
        }
    }

    /// How long the run may wait before it looks again.
    pub(crate) fn patience(&self, at: Instant) -> Duration {
        EVERY.saturating_sub(at.saturating_duration_since(self.last))
    }

    /// Tells what has become of the line since the last look.
    pub(crate) fn look(&mut self, line: &Line, past: &Past, at: Instant, ran: Duration) {
        let readings = line.readings();
        self.turns(&readings);
        self.changed_paths(&readings);
        self.ends(line, at, false);
        if at.saturating_duration_since(self.last) >= EVERY || self.record.is_asked() {
            self.sample(line, past, at, ran);
        }
    }

    /// Takes a sample now, whether or not its time has come.
    pub(crate) fn sample(&mut self, line: &Line, past: &Past, at: Instant, ran: Duration) {
        let interval = at.saturating_duration_since(self.last);
        self.last = at;
        self.seq += 1;
        let readings = line.readings();
        let times = line.times(at);
        let ruling = past.ruling(self.plan, line, at);
        let (bytes_in, bytes_out) = totals(self.plan, &readings);
        let sample = Sample {
            seq: self.seq,
            elapsed_ms: millis(ran),
            interval_ms: millis(interval),
            bytes_in,
            bytes_out,
            eta_ms: past.eta(bytes_in, at).map(millis),
            memory: Memory {
                used: readings.iter().map(|tank| tank.level).sum(),
                kernel: readings.iter().map(|tank| tank.pipes).sum(),
                peak: past.peak_bytes(),
            },
            stages: self.stages(&readings, &times, &line.work(at)),
            tanks: self
                .plan
                .tanks
                .iter()
                .zip(&readings)
                .map(|(plan, r)| tank(plan.id.clone(), r))
                .collect(),
            slowest: ruling.as_ref().map(|ruling| Verdict {
                stage: ruling.stage.map(|stage| self.id(stage)),
                confidence: ruling.slowest.confidence.map(rounded),
            }),
            dropped_samples: 0,
            dropped_events: 0,
        };
        self.last_times = times;
        let figures = (sample.bytes_in, sample.bytes_out, sample.memory.peak);
        self.record.sample(sample);
        if let Some(ruling) = ruling {
            self.rule(ruling, past, at, interval);
        }
        let (bytes_in, bytes_out, peak_bytes) = figures;
        self.record.figures(Figures {
            elapsed_ms: millis(ran),
            bytes_in,
            bytes_out,
            peak_bytes,
            slowest: self.shares(),
        });
    }

    /// Tells that the tanks run dry.
    pub(crate) fn drain(&self, line: &Line) {
        let bytes_left = line.readings().iter().map(|tank| tank.level).sum();
        self.record.keep(&Event::Drain(Drain { bytes_left }));
    }

    /// Tells what was not told yet; the line is over.
    pub(crate) fn close(&mut self, line: &Line, past: &Past, at: Instant, ran: Duration) {
        let readings = line.readings();
        self.turns(&readings);
        self.changed_paths(&readings);
        self.sample(line, past, at, ran);
        self.ends(line, at, true);
    }

    fn stages(
        &self,
        readings: &[Reading],
        times: &[Times],
        work: &[Option<u64>],
    ) -> Vec<SampleStage> {
        let stage = |(index, (now, then)): (usize, (&Times, &Times))| {
            let window = since(now, then);
            let of = |part_ns| {
                if window == Times::default() { 0.0 } else { rounded(share(part_ns, &window)) }
            };
            let (paused, starved) = (of(window.paused_ns), of(window.starved_ns));
            let before = index.checked_sub(1).and_then(|tank| readings.get(tank));
            SampleStage {
                id: self.id(index),
                in_bytes: before.map_or(0, |tank| tank.bytes_out),
                out_bytes: self.plan.behind(index).next().map_or(0, |tank| readings[tank].bytes_in),
                busy: of(window.busy_ns),
                paused,
                starved,
                work_ms: work[index].map(|ns| millis(Duration::from_nanos(ns))),
            }
        };
        times.iter().zip(&self.last_times).enumerate().map(stage).collect()
    }

    /// Every pause is told, also one that was over before anybody looked.
    fn turns(&mut self, readings: &[Reading]) {
        if !self.tell_turns {
            return;
        }
        for (index, reading) in readings.iter().enumerate() {
            let turn = || TankTurn { tank: self.plan.tanks[index].id.clone() };
            while self.pauses[index] < reading.pauses {
                if self.shut[index] {
                    self.record.offer(&Event::Resume(turn()));
                }
                self.record.offer(&Event::Pause(turn()));
                self.pauses[index] += 1;
                self.shut[index] = true;
            }
            if self.shut[index] && !reading.shut {
                self.record.offer(&Event::Resume(turn()));
                self.shut[index] = false;
            }
        }
    }

    fn changed_paths(&mut self, readings: &[Reading]) {
        for (index, reading) in readings.iter().enumerate() {
            let old = std::mem::replace(&mut self.paths[index], reading.path);
            if old != reading.path {
                let (id, old, new) = (&self.plan.tanks[index].id, old.name(), reading.path.name());
                self.record.keep(&Event::Warning(Warning {
                    code: "path-changed",
                    stage: None,
                    message: format!("tank {id} went on by {new}: the kernel refused {old}").into(),
                    unread_bytes: None,
                }));
            }
        }
    }

    /// Tells of ends, in their order, up to the first of which it is not certain yet what it means.
    fn ends(&mut self, line: &Line, at: Instant, over: bool) {
        let ends = line.ends();
        let causes = judge(ends, &self.plan.above(), EarlyStop::Noted).causes;
        for (end, cause) in ends.iter().zip(&causes).skip(self.exits) {
            let child = line.child(end.stage);
            let spoken = child.is_none_or(crate::exec::child::Child::is_silent);
            let patient = line
                .ended(end.stage)
                .is_none_or(|ended| at.saturating_duration_since(ended) < WORDS);
            if !over && (!settled(ends, end) || (!spoken && patient)) {
                return;
            }
            let (exit_code, signal) = match end.status {
                Status::Code(code) => (Some(code), None),
                Status::Signal(signal) => {
                    (None, Some(signal_hook::low_level::signal_name(signal).unwrap_or("unknown")))
                }
                Status::EndDone => (Some(0), None),
                Status::EndFailed => (Some(crate::exit::Exit::Standpipe.code()), None),
            };
            self.record.keep(&Event::StageExit(StageExit {
                stage: self.id(end.stage),
                exit_code,
                signal,
                cause: match cause {
                    Cause::Own => "self".to_owned(),
                    Cause::Downstream(stage) => format!("downstream:{}", self.id(*stage)),
                    Cause::Upstream(stage) => format!("upstream:{}", self.id(*stage)),
                },
                stderr_tail: crate::view::event::Safe::lines(
                    &child.map(crate::exec::child::Child::last_words).unwrap_or_default(),
                ),
            }));
            self.exits += 1;
        }
    }

    /// Takes note of who is the slowest now, and tells if that is somebody else than was told.
    fn rule(&mut self, ruling: Ruling, past: &Past, at: Instant, interval: Duration) {
        if let Some(stage) = ruling.stage {
            self.reigns[stage] += interval;
        }
        let since = match self.rival {
            Some((rival, since)) if rival == ruling.stage => since,
            _ => at,
        };
        self.rival = Some((ruling.stage, since));
        let previous = match self.told {
            Some(told) if told == ruling.stage => return,
            Some(_) if at.saturating_duration_since(since) < HYSTERESIS => return,
            told => told.flatten(),
        };
        self.told = Some(ruling.stage);
        let because = match (&ruling.slowest.who, ruling.slowest.why) {
            // What is no stage has no id to be named by.
            (Who::Stage(who), Some(why)) if ruling.stage.is_none() => format!("{who}: {why}"),
            (_, why) => why.unwrap_or_else(|| "no stage waited for another".to_owned()),
        };
        self.record.offer(&Event::Slowest(SlowestChange {
            stage: ruling.stage.map(|stage| self.id(stage)),
            previous: previous.map(|stage| self.id(stage)),
            window_ms: millis(past.window(at)),
            confidence: ruling.slowest.confidence.map(rounded),
            because: because.into(),
        }));
    }

    fn shares(&self) -> Vec<Share> {
        let all: Duration = self.reigns.iter().sum();
        let mut shares: Vec<(usize, f64)> = self
            .reigns
            .iter()
            .enumerate()
            .filter(|(_, reign)| !reign.is_zero())
            .map(|(stage, reign)| (stage, rounded(reign.div_duration_f64(all))))
            .collect();
        shares.sort_by(|one, other| other.1.total_cmp(&one.1));
        shares.into_iter().map(|(stage, share)| Share { stage: self.id(stage), share }).collect()
    }

    fn id(&self, stage: usize) -> String {
        self.plan.stages[stage].id.clone()
    }
}

fn tank(id: String, reading: &Reading) -> SampleTank {
    let millis = |ns| millis(Duration::from_nanos(ns));
    SampleTank {
        id,
        level: reading.level,
        in_bytes: reading.bytes_in,
        out_bytes: reading.bytes_out,
        pauses: reading.pauses,
        full_ms: millis(reading.full_ns),
        empty_ms: millis(reading.empty_ns),
        path: reading.path.name(),
        held_ms: Some(millis(reading.held_ns)).filter(|held_ms| *held_ms > 0),
        dropped_bytes: (reading.dropped > 0).then_some(reading.dropped),
    }
}
