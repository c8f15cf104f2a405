//! Nothing moves: who holds whom?
//!
//! From the sink the open waits are followed: a starved stage waits for the
//! writer of its tank, a paused one for the reader of its. The chain ends at
//! who waits for nobody in the pipeline, or comes back to where it was. Tanks
//! of somebody's own at the ends of pipelines are followed as well, from one
//! pipeline into the next if the reports of both are there.

use std::sync::Arc;
use std::{fmt, slice};

use crate::snapshot::{BusyAs, Report, Side, StageSnapshot, StageState, TankSnapshot};

/// Why the chain of waits ends where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// It holds an item and waits for something of its own: a peer, a disk, a
    /// process.
    Holds,
    /// It is inside one poll: computes, or blocks its thread.
    Runs,
    /// It could go on and was woken, or lets others run, and nobody polls it.
    NotPolled,
    /// What it waits for is there, and nobody has woken it.
    LostWake,
    /// It was told to pause, or its writer has corked the tank.
    Held,
    /// The stage that writes to it is over, and the data has not ended: some
    /// other writer of the tank still could.
    NoEnd,
    /// It has in hand all that its tank takes, and waits for more of it.
    NoRoom,
    /// Stages wait for each other in a circle: there is no room for what one
    /// of them needs first.
    Cycle,
}

/// A pipeline in which nothing moves.
///
/// `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// Why the chain of waits ends.
    pub holder: Holder,
    /// The stage where it ends, by position.
    pub stage: usize,
    /// Its name.
    pub name: Arc<str>,
    /// The tank of somebody's own that it waits to write to.
    pub tank: Option<Arc<str>>,
    /// The tank without room ([`NoRoom`](Holder::NoRoom), [`Cycle`](Holder::Cycle))
    /// that would have some by its own marks: its budget grants it no more.
    pub short_tank: Option<Arc<str>>,
    /// For how long it has been that way, as far as is known.
    pub since_ns: u64,
    /// The stages that wait for it, from the sink on.
    pub waiting: Vec<usize>,
}

/// Who holds up a pipeline in which nothing moved between two reports; `None`
/// if something did, it is over, or it only waits for the input of its source.
///
/// # Examples
/// ```
/// use standpipe::Pipeline;
/// use standpipe::diagnose::stall;
/// use standpipe::stage::{count, iter};
///
/// let ready = Pipeline::from("numbers", iter(0..10)).to("count", count());
/// let report = ready.monitor().report();
/// assert_eq!(stall(&report, &report), None); // it has not begun
/// ```
#[must_use]
pub fn stall(older: &Report, newer: &Report) -> Option<Stall> {
    stall_among(slice::from_ref(older), slice::from_ref(newer))
}

/// The same of several pipelines that meet in tanks of somebody's own, as the
/// branches of a `tee` do: one report of each, at two moments, in the same
/// order.
///
/// Positions are those of the stages of all reports, one after the other.
///
/// # Examples
/// ```
/// use standpipe::adapt::tank::{from_readable, into_writable};
/// use standpipe::diagnose::stall_among;
/// use standpipe::stage::{count, iter};
/// use standpipe::{Pipeline, Tank};
///
/// let (writable, readable) = Tank::items(8).build();
/// let first = Pipeline::from("numbers", iter(0..10)).to("over", into_writable(writable));
/// let second = Pipeline::from("from", from_readable(readable)).to("count", count());
/// let reports = [first.monitor().report(), second.monitor().report()];
/// assert_eq!(stall_among(&reports, &reports), None); // they have not begun
/// ```
#[must_use]
pub fn stall_among(older: &[Report], newer: &[Report]) -> Option<Stall> {
    let sum = |reports: &[Report]| {
        let own = reports.iter().flat_map(|report| report.own_tanks.iter().map(|own| &own.tank));
        let tanks = reports.iter().flat_map(|report| &report.tanks).chain(own);
        let tanks = tanks.map(|tank| tank.written.items.wrapping_add(tank.read.items));
        let stages = reports.iter().flat_map(|report| &report.stages);
        let stages = stages.map(|stage| stage.taken.items.wrapping_add(stage.given.items));
        tanks.chain(stages).fold(0, u64::wrapping_add)
    };
    let spans =
        older.iter().zip(newer).map(|(older, newer)| newer.elapsed.saturating_sub(older.elapsed));
    let still = spans.max().filter(|span| !span.is_zero())?;
    if sum(older) != sum(newer) {
        return None;
    }
    let web = Web::new(newer);
    let gives =
        |stage: usize| web.ties.iter().any(|tie| tie.from == Some(stage) && tie.to.is_some());
    let mut last = (0..web.stages.len()).filter(|stage| !gives(*stage));
    let mut stall = last.find_map(|stage| web.follow(stage))?;
    // who tries again and again changes its state, and moves nothing
    stall.since_ns = stall.since_ns.max(u64::try_from(still.as_nanos()).unwrap_or(u64::MAX));
    Some(stall)
}

/// A tank and who is at its doors, as far as that is known.
struct Tie<'a> {
    from: Option<usize>,
    to: Option<usize>,
    /// Which tank, if it is somebody's own.
    id: Option<usize>,
    tank: &'a TankSnapshot,
}

/// All stages, and the tanks between them.
struct Web<'a> {
    stages: Vec<&'a StageSnapshot>,
    ties: Vec<Tie<'a>>,
}

/// Where a stage's wait leads.
#[derive(Clone, Copy)]
enum Leads {
    To(usize),
    Ends(Holder),
    /// To where it belongs: an idle source, the end.
    Nowhere,
}

impl<'a> Web<'a> {
    fn new(reports: &'a [Report]) -> Self {
        let mut web = Self { stages: Vec::new(), ties: Vec::new() };
        let mut own = Vec::new();
        for report in reports {
            let base = web.stages.len();
            let at = |stage: usize| base.saturating_add(stage);
            web.stages.extend(&report.stages);
            web.ties.extend(report.joins.iter().zip(&report.tanks).map(|(join, tank)| Tie {
                from: Some(at(join.from)),
                to: Some(at(join.to)),
                id: None,
                tank,
            }));
            own.extend(report.own_tanks.iter().map(|end| (at(end.stage), end)));
        }
        for (stage, end) in &own {
            let there =
                own.iter().filter(|(_, other)| other.id == end.id && other.side != end.side);
            let mut there = there.map(|(stage, _)| *stage).peekable();
            let (alone, id) = (there.peek().is_none(), Some(end.id));
            match end.side {
                // one for each writer; a tank has one reader
                Side::Writes => {
                    let to = there.next();
                    web.ties.push(Tie { from: Some(*stage), to, id, tank: &end.tank });
                }
                Side::Reads if alone => {
                    web.ties.push(Tie { from: None, to: Some(*stage), id, tank: &end.tank });
                }
                Side::Reads => {}
            }
        }
        web
    }

    fn follow(&self, sink: usize) -> Option<Stall> {
        let mut waiting = Vec::new();
        let mut stage = sink;
        loop {
            let circle = waiting.contains(&stage);
            match if circle { Leads::Ends(Holder::Cycle) } else { self.leads(stage) } {
                Leads::To(next) => {
                    waiting.push(stage);
                    stage = next;
                }
                Leads::Nowhere => return None,
                Leads::Ends(holder) => {
                    let seen = self.stages.get(stage)?;
                    let (name, since_ns) = (seen.name.clone(), seen.in_state_ns);
                    let tank = self.full(stage).map(|tie| tie.tank.name.clone());
                    let short_tank = self.short(holder, stage, &waiting);
                    return Some(Stall {
                        holder,
                        stage,
                        name,
                        tank,
                        short_tank,
                        since_ns,
                        waiting,
                    });
                }
            }
        }
    }

    /// The tank that a budget keeps from giving room to who ends there.
    fn short(&self, holder: Holder, stage: usize, waiting: &[usize]) -> Option<Arc<str>> {
        let is_short = |tie: &&Tie<'a>| {
            let granted = tie.tank.budget.map_or(usize::MAX, |budget| budget.granted);
            tie.tank.shut && granted < tie.tank.high && tie.tank.level < tie.tank.high
        };
        let tie = match holder {
            Holder::NoRoom => self.before(stage).find(is_short),
            Holder::Cycle => {
                let circle = waiting.iter().skip_while(|other| **other != stage);
                circle.flat_map(|stage| self.behind(*stage)).find(is_short)
            }
            _ => None,
        };
        tie.map(|tie| tie.tank.name.clone())
    }

    fn before(&self, stage: usize) -> impl Iterator<Item = &Tie<'a>> {
        self.ties.iter().filter(move |tie| tie.to == Some(stage))
    }

    fn behind(&self, stage: usize) -> impl Iterator<Item = &Tie<'a>> {
        self.ties.iter().filter(move |tie| tie.from == Some(stage))
    }

    /// The tank that it waits to write to, and nobody known reads.
    fn full(&self, stage: usize) -> Option<&Tie<'a>> {
        self.behind(stage).find(|tie| tie.tank.shut && tie.tank.writers_parked > 0)
    }

    fn leads(&self, stage: usize) -> Leads {
        let Some(seen) = self.stages.get(stage) else { return Leads::Nowhere };
        match seen.state {
            StageState::Waiting | StageState::Done => Leads::Nowhere,
            StageState::Busy => match seen.busy_as {
                Some(BusyAs::OwnWait) => self.own_wait(stage),
                Some(BusyAs::LetsOthers) => Leads::Ends(Holder::NotPolled),
                Some(BusyAs::Runs) | None => Leads::Ends(Holder::Runs),
            },
            StageState::Paused => match self.behind(stage).find(|tie| tie.tank.shut) {
                Some(tie) => tie.to.map_or(Leads::Ends(Holder::Holds), Leads::To),
                None => {
                    let parked = self.behind(stage).any(|tie| tie.tank.writers_parked > 0);
                    Leads::Ends(if parked { Holder::LostWake } else { Holder::NotPolled })
                }
            },
            StageState::Starved => self.starved(stage),
        }
    }

    /// At a tank of somebody's own, or for something that no tank tells of.
    fn own_wait(&self, stage: usize) -> Leads {
        if let Some(tie) = self.full(stage) {
            return tie.to.map_or(Leads::Ends(Holder::Holds), Leads::To);
        }
        if self.before(stage).any(|tie| tie.id.is_none()) {
            return Leads::Ends(Holder::Holds);
        }
        // a source that waits for its input is idle, and no fault
        let inlets = self.before(stage).map(|tie| self.at_inlet(tie));
        inlets.min_by_key(|leads| leads.rank()).unwrap_or(Leads::Nowhere)
    }

    /// What a source waits for at a tank that it reads.
    fn at_inlet(&self, tie: &Tie<'a>) -> Leads {
        let tank = tie.tank;
        if tank.held {
            return Leads::Ends(Holder::Held);
        }
        if tank.ended || !tank.reader_parked {
            return Leads::Nowhere;
        }
        if tank.level > 0 {
            // no tank lets a reader park beside items that are queued: all
            // that is in it is in the reader's hands
            return if tank.shut { Leads::Ends(Holder::NoRoom) } else { Leads::Nowhere };
        }
        let mut writers =
            self.ties.iter().filter(|other| other.id == tie.id).filter_map(|tie| tie.from);
        if writers.clone().next().is_some() && writers.clone().all(|from| self.is_done(from)) {
            return Leads::Ends(Holder::NoEnd);
        }
        writers.find(|from| !self.is_done(*from)).map_or(Leads::Nowhere, Leads::To)
    }

    fn is_done(&self, stage: usize) -> bool {
        self.stages.get(stage).is_some_and(|seen| seen.state == StageState::Done)
    }

    fn starved(&self, stage: usize) -> Leads {
        let Some(Tie { from, tank, .. }) =
            self.before(stage).find(|tie| tie.tank.level == 0 || tie.tank.held)
        else {
            let parked = self.before(stage).any(|tie| tie.tank.reader_parked);
            return Leads::Ends(if parked { Holder::LostWake } else { Holder::NotPolled });
        };
        if tank.held {
            Leads::Ends(Holder::Held)
        } else if from.is_some_and(|from| self.is_done(from)) && !tank.ended {
            Leads::Ends(Holder::NoEnd)
        } else if tank.ended {
            Leads::Ends(if tank.reader_parked { Holder::LostWake } else { Holder::NotPolled })
        } else {
            from.map_or(Leads::Nowhere, Leads::To)
        }
    }
}

impl Leads {
    /// What is certain comes before what has to be looked into.
    const fn rank(self) -> u8 {
        match self {
            Self::Ends(_) => 0,
            Self::To(_) => 1,
            Self::Nowhere => 2,
        }
    }
}

impl Holder {
    const fn says(self) -> &'static str {
        match self {
            Self::Holds => "holds an item and waits for something of its own",
            Self::Runs => "is inside one poll: it computes, or blocks its thread",
            Self::NotPolled => "could go on, and nobody polls it",
            Self::LostWake => "has what it waits for, and nobody has woken it",
            Self::Held => "has been told to pause, and not to resume",
            Self::NoEnd => "waits for an end that a forgotten writer would have to give",
            Self::NoRoom => "has in hand all that its tank takes, and waits for more of it",
            Self::Cycle => "waits for stages that wait for it: one of the tanks needs more room",
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since_ns.checked_div(100_000_000).unwrap_or(0);
        let (whole, tenth) =
            (seconds.checked_div(10).unwrap_or(0), seconds.checked_rem(10).unwrap_or(0));
        write!(f, "nothing moves for {whole}.{tenth} s: `{}` ", self.name)?;
        match &self.tank {
            Some(tank) if self.holder == Holder::Holds => {
                write!(f, "waits for whoever reads tank `{tank}`")
            }
            _ => f.write_str(self.holder.says()),
        }?;
        match &self.short_tank {
            Some(tank) => write!(f, "; the budget of tank `{tank}` grants it no more"),
            None => Ok(()),
        }
    }
}
