//! How is a line built?
//!
//! Stage by stage, upstream first; each gets its pipes when the one before it has. Bytes flow only when all have been
//! started: then the pumps are.
//!
//! # Knows / never knows
//! Knows how each kind of stage begins. Never knows how a line is watched, nor how it ends: `exec/line` does.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::seams::{Joint, Next, Seams};
use super::{Line, Pump, Stage};
use crate::args::Full;
use crate::exec::bucket::{Bucket, Ration};
use crate::exec::child::{Child, Hear, Words};
use crate::exec::copy::Feed;
use crate::exec::fan::{Branch, Fan};
use crate::exec::gauge::Gauge;
use crate::exec::kin;
use crate::exec::now;
use crate::exec::port::{PIPE_MOST, Port, inode};
use crate::exec::relay::Tank;
use crate::exec::stdio::let_go_of_stdin;
use crate::exec::stop::{Bell, Stop};
use crate::exec::tally::Tally;
use crate::exec::valve::Valve;
use crate::exec::worker::{Work, Worker};
use crate::plan::{CommandLine, TankPlan};
use crate::watch::Side;

/// One stage to be joined.
#[derive(Debug)]
pub(crate) enum Part {
    /// Where the bytes come from, and how many at most.
    Source(Feed, Option<u64>),
    /// A command, and where its words go.
    Command(CommandLine, Words),
    /// Something done to the bytes in this process.
    Builtin(Work),
    /// Where the bytes go.
    Sink(Port),
}

/// How a line is to be built.
pub(crate) struct Setup<'run> {
    /// One per tank, upstream first.
    pub(crate) tanks: &'run [TankPlan],
    /// Whether the kernel may move the bytes.
    pub(crate) fast: bool,
    /// Limits the source.
    pub(crate) valve: Arc<Valve>,
    /// When the run began.
    pub(crate) start: Instant,
    /// Rung when something ended.
    pub(crate) bell: Arc<Bell>,
    /// Rung when a tank shuts or opens, if somebody wants to know at once.
    pub(crate) turns: Option<Arc<Bell>>,
    /// Who hears the commands' stderr.
    pub(crate) hear: Hear,
}

impl Setup<'_> {
    /// Says whether a tank is one of several behind a stage, or may do something else than wait.
    pub(super) fn fans(&self, tank: usize) -> bool {
        let from = self.tanks[tank].from;
        let all = || self.tanks.iter().filter(|other| other.from == from);
        all().count() > 1 || all().any(|tank| tank.full != Full::Wait)
    }

    /// Says whether the kernel may hold what is in a tank: it has no low-water mark, leads to one place, and two pipes
    /// hold so much.
    pub(super) fn kernel(&self, tank: usize) -> bool {
        let marks = &self.tanks[tank];
        self.fast
            && !self.fans(tank)
            && marks.low_bytes.is_none()
            && marks.high_bytes <= 2 * PIPE_MOST
    }
}

/// A line that could not be started, and which stage was to blame.
#[derive(Debug)]
pub(crate) struct StartError {
    /// Its index.
    pub(crate) stage: usize,
    /// What the system said.
    pub(crate) error: io::Error,
}

impl Line {
    /// Joins `parts` and starts all of it.
    ///
    /// # Errors
    /// The first stage that would not start; those started before it are killed.
    pub(crate) fn start(parts: Vec<Part>, setup: &Setup<'_>) -> Result<Self, StartError> {
        kin::adopt();
        let mut line = Self {
            stages: Vec::with_capacity(parts.len()),
            tanks: Vec::with_capacity(setup.tanks.len()),
            bell: Arc::clone(&setup.bell),
            start: setup.start,
            ends: Vec::new(),
            strays: Vec::new(),
            strays_kill_at: None,
            sides: Vec::new(),
            cramped: false,
        };
        let mut seams = Seams::new(setup);
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            let stage = line.stages.len();
            let fail = |error| StartError { stage, error };
            let next = match parts.peek() {
                None => Next::Nothing,
                Some(Part::Command(..) | Part::Builtin(_)) => Next::Command,
                Some(_) => Next::End,
            };
            let mut worker = None;
            let child = match part {
                Part::Source(feed, limit) => {
                    seams.source(feed, limit);
                    None
                }
                Part::Sink(port) => {
                    seams.sink(stage, port);
                    None
                }
                Part::Builtin(work) => {
                    let ends = seams.between(stage, next).map_err(fail)?;
                    let started = Worker::start(work, ends, &setup.bell);
                    worker = Some(started.map_err(fail)?);
                    None
                }
                Part::Command(command, words) => {
                    let streams = seams.command(stage, next, words).map_err(fail)?;
                    let hear = Arc::clone(&setup.hear);
                    let heard = move |line: &[u8]| hear(stage, line);
                    let child = Child::start(&command, streams, heard, &setup.bell);
                    Some(child.map_err(fail)?)
                }
            };
            if stage == 0 && child.is_some() {
                // It has its own; a second read end would keep the writer from seeing it go.
                let_go_of_stdin();
            }
            let tally = child.as_ref().map(|child| Tally::new(child.pid(), now()));
            line.stages.push(Stage {
                child,
                tally,
                worker,
                ended: None,
                term_at: None,
                kill_at: None,
                family: Vec::new(),
            });
        }
        line.cramped = seams.cramped;
        line.look_aside();
        for joint in seams.joints {
            let tank = line.tanks.len();
            let pumps = line.pumps(tank, joint, setup);
            line.tanks.extend(pumps.map_err(|error| StartError { stage: tank, error })?);
        }
        Ok(line)
    }

    /// Begins to look at the commands whose input or output is not ours.
    fn look_aside(&mut self) {
        let (at, last) = (now(), self.stages.len().saturating_sub(1));
        let pid = |stage: usize| Some((stage, self.stages.get(stage)?.child.as_ref()?.pid()));
        let input = pid(0).map(|(stage, pid)| (stage, Side::input(pid, at)));
        let output = pid(last).map(|(stage, pid)| (stage, Side::output(pid, at)));
        self.sides = input.into_iter().chain(output).collect();
    }

    /// Starts the pumps between the two sides of a joint, the first of which is that of `tank`.
    fn pumps(&self, tank: usize, joint: Joint, setup: &Setup<'_>) -> io::Result<Vec<Pump>> {
        let Joint { from, limit, mut to, inner } = joint;
        let stop = Stop::new()?;
        let inode = from.port().map_or(0, |port| inode(port.as_fd()));
        let behind = setup.tanks[tank].from;
        let valve = (behind == 0).then(|| Arc::clone(&setup.valve));
        let limited = valve.as_ref().and_then(|valve| valve.limit());
        let rate = limited.map(|rate| Bucket::new(rate, now()));
        let ration = Ration { rate, left: limit, valve };
        let gauge = || Arc::new(Gauge::ringing(setup.turns.clone()));
        let gauges: Vec<Arc<Gauge>> = to.iter().map(|_| gauge()).collect();
        let threads = if setup.fans(tank) {
            let branch = |((to, gauge), marks): ((Port, &Arc<Gauge>), &TankPlan)| Branch {
                to,
                gauge: Arc::clone(gauge),
                marks: marks.clone(),
            };
            let branches = to.into_iter().zip(&gauges).zip(&setup.tanks[tank..]).map(branch);
            let fan = Fan { from, ration, stop: stop.clone(), start: self.start };
            fan.start(branches.collect(), &self.bell)?
        } else {
            let to = to.pop().ok_or_else(|| io::Error::other("a tank leads nowhere"))?;
            let tank = Tank {
                from,
                to,
                inner,
                gauge: Arc::clone(&gauges[0]),
                stop: stop.clone(),
                start: self.start,
                ration,
                kernel: setup.kernel(tank),
                marks: setup.tanks[tank].clone(),
                keep: self.stages.get(tank + 1).is_some_and(Stage::is_end),
            };
            tank.introduce();
            let bell = Arc::clone(&self.bell);
            let builder = std::thread::Builder::new().name("pump".to_owned());
            let thread = builder.stack_size(256 << 10).spawn(move || {
                let done = tank.pump();
                bell.ring();
                done
            })?;
            vec![thread]
        };
        let pump = |(gauge, thread)| Pump {
            from: behind,
            gauge,
            stop: stop.clone(),
            thread: Some(thread),
            done: None,
            inode,
        };
        Ok(gauges.into_iter().zip(threads).map(pump).collect())
    }
}
