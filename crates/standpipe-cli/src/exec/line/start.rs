//! How is a line built?
//!
//! Stage by stage, upstream first; each gets its pipes when the one before it has. Bytes flow only when all have been
//! started: then the pumps are.
//!
//! # Knows / never knows
//! Knows how each kind of stage begins. Never knows how a line is watched, nor how it ends: `exec/line` does.

use std::io;
use std::iter::Peekable;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

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

/// What has been started of a line that was called off is looked at this often.
const LOOK: Duration = Duration::from_millis(100);
/// What it has left may still hold a stderr: this long is listened on.
const LISTEN: Duration = Duration::from_millis(500);

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
    /// Asked before each stage: many of them take a while to start.
    pub(crate) wish: &'run dyn Fn() -> Wish,
}

/// What is to become of a line while it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It is wanted.
    GoOn,
    /// It is not to be: what has been started of it is told to end.
    End,
    /// The same, and nobody wants to wait for that.
    EndNow,
}

impl Setup<'_> {
    /// Says whether a tank is one of several behind a stage, or may do something else than wait.
    pub(super) fn fans(&self, tank: usize) -> bool {
        let from = self.tanks[tank].from;
        // those behind one stage lie together, and this is asked for every tank
        let first = self.tanks.partition_point(|other| other.from < from);
        let all = || self.tanks[first..].iter().take_while(|other| other.from == from);
        all().nth(1).is_some() || all().any(|tank| tank.full != Full::Wait)
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

/// Why a line has not been started.
#[derive(Debug)]
pub(crate) enum StartError {
    /// A stage would not start.
    Failed {
        /// Its index.
        stage: usize,
        /// What the system said.
        error: io::Error,
    },
    /// It was not wanted any more when so many stages had been started. All of them have ended.
    CalledOff {
        /// So many.
        stages: usize,
    },
}

impl Line {
    /// Joins `parts` and starts all of it.
    ///
    /// # Errors
    /// The first stage that would not start; those started before it are killed. Or that it was called off.
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
        match line.join(parts, setup) {
            Ok(()) => Ok(line),
            Err(error) => {
                if matches!(error, StartError::CalledOff { .. }) {
                    line.call_off(setup.wish);
                }
                Err(error)
            }
        }
    }

    /// Starts one stage after the other, and then the pumps.
    fn join(&mut self, parts: Vec<Part>, setup: &Setup<'_>) -> Result<(), StartError> {
        let mut seams = Seams::new(setup);
        let mut parts = parts.into_iter().peekable();
        let begun = self.begin_all(&mut parts, &mut seams, setup);
        self.cramped = seams.cramped;
        self.look_aside();
        let mut joints = seams.joints.into_iter();
        let pumped = begun.and_then(|()| self.pump_all(&mut joints, setup));
        if pumped.is_err() {
            // A peer must not take what it never got for an empty whole.
            joints.flat_map(|joint| joint.to).for_each(|to| to.reset());
            parts.for_each(|part| {
                if let Part::Sink(port) = part {
                    port.reset()
                }
            });
        }
        pumped
    }

    fn begin_all(
        &mut self,
        parts: &mut Peekable<IntoIter<Part>>,
        seams: &mut Seams<'_>,
        setup: &Setup<'_>,
    ) -> Result<(), StartError> {
        while parts.peek().is_some() {
            self.ask(setup)?;
            let Some(part) = parts.next() else { break };
            let next = match parts.peek() {
                None => Next::Nothing,
                Some(Part::Command(..) | Part::Builtin(_)) => Next::Command,
                Some(_) => Next::End,
            };
            let stage = self.stages.len();
            let begun = begin(stage, part, (seams, next), setup);
            self.stages.push(begun.map_err(|error| StartError::Failed { stage, error })?);
        }
        Ok(())
    }

    fn pump_all(
        &mut self,
        joints: &mut IntoIter<Joint>,
        setup: &Setup<'_>,
    ) -> Result<(), StartError> {
        while joints.len() > 0 {
            self.ask(setup)?;
            let Some(joint) = joints.next() else { break };
            let tank = self.tanks.len();
            let pumps = self.pumps(tank, joint, setup);
            self.tanks.extend(pumps.map_err(|error| StartError::Failed { stage: tank, error })?);
        }
        Ok(())
    }

    /// Says no if it is not wanted any more.
    fn ask(&self, setup: &Setup<'_>) -> Result<(), StartError> {
        match (setup.wish)() {
            Wish::GoOn => Ok(()),
            Wish::End | Wish::EndNow => Err(StartError::CalledOff { stages: self.stages.len() }),
        }
    }

    /// Ends what has been started, as an abort does, and waits for that.
    fn call_off(&mut self, wish: &dyn Fn() -> Wish) {
        let at = now();
        // An end without a pump has nothing to do, and nobody would say that it is done.
        for stage in self.stages.iter_mut().filter(|stage| stage.is_end()) {
            stage.ended = Some(at);
        }
        self.abort();
        let mut over_since = None;
        loop {
            if self.look() {
                // Last words may still be on their way.
                let since = *over_since.get_or_insert_with(now);
                if self.is_silent() || now().saturating_duration_since(since) >= LISTEN {
                    break;
                }
            }
            if wish() == Wish::EndNow {
                self.kill();
            }
            if self.wait(LOOK).is_err() {
                self.kill();
            }
        }
        (0..self.stages.len()).filter_map(|stage| self.sink(stage)).for_each(Port::reset);
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

/// Starts a stage, with the tanks beside it.
fn begin(
    stage: usize,
    part: Part,
    (seams, next): (&mut Seams<'_>, Next),
    setup: &Setup<'_>,
) -> io::Result<Stage> {
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
            let ends = seams.between(stage, next)?;
            worker = Some(Worker::start(work, ends, &setup.bell)?);
            None
        }
        Part::Command(command, words) => {
            let streams = seams.command(stage, next, words)?;
            let hear = Arc::clone(&setup.hear);
            let heard = move |line: &[u8]| hear(stage, line);
            Some(Child::start(&command, streams, heard, &setup.bell)?)
        }
    };
    if stage == 0 && child.is_some() {
        // It has its own; a second read end would keep the writer from seeing it go.
        let_go_of_stdin();
    }
    let tally = child.as_ref().map(|child| Tally::new(child.pid(), now()));
    Ok(Stage {
        child,
        tally,
        worker,
        ended: None,
        status: None,
        term_at: None,
        kill_at: None,
        family: Vec::new(),
    })
}
