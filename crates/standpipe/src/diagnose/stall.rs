//! Nothing moves: who holds whom?
//!
//! From the sink the open waits are followed: a starved stage waits for the
//! writer of its tank, a paused one for the reader of its. The chain ends at
//! who waits for nobody in the pipeline, or comes back to where it was.

use std::fmt;
use std::sync::Arc;

use crate::snapshot::{BusyAs, Report, StageState, TankSnapshot};

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
    let sum = |report: &Report| {
        let tanks = report.tanks.iter().map(|t| t.written.items.wrapping_add(t.read.items));
        let stages = report.stages.iter().map(|s| s.taken.items.wrapping_add(s.given.items));
        tanks.chain(stages).fold(0, u64::wrapping_add)
    };
    if sum(older) != sum(newer) || older.elapsed == newer.elapsed {
        return None;
    }
    let mut sinks = (0..newer.stages.len()).filter(|s| newer.joins.iter().all(|j| j.from != *s));
    let still = newer.elapsed.saturating_sub(older.elapsed).as_nanos();
    let still_ns = u64::try_from(still).unwrap_or(u64::MAX);
    let mut stall = sinks.find_map(|sink| follow(newer, sink))?;
    // who tries again and again changes its state, and moves nothing
    stall.since_ns = stall.since_ns.max(still_ns);
    Some(stall)
}

/// Where a stage's wait leads.
enum Leads {
    To(usize),
    Ends(Holder),
    /// To where it belongs: an idle source, the end.
    Nowhere,
}

fn follow(report: &Report, sink: usize) -> Option<Stall> {
    let mut waiting = Vec::new();
    let mut stage = sink;
    loop {
        let circle = waiting.contains(&stage);
        match if circle { Leads::Ends(Holder::Cycle) } else { leads(report, stage) } {
            Leads::To(next) => {
                waiting.push(stage);
                stage = next;
            }
            Leads::Nowhere => return None,
            Leads::Ends(holder) => {
                let seen = report.stages.get(stage)?;
                let (name, since_ns) = (seen.name.clone(), seen.in_state_ns);
                return Some(Stall { holder, stage, name, since_ns, waiting });
            }
        }
    }
}

fn leads(report: &Report, stage: usize) -> Leads {
    let Some(seen) = report.stages.get(stage) else { return Leads::Nowhere };
    let mut before = report.joins.iter().zip(&report.tanks).filter(|(join, _)| join.to == stage);
    let mut behind = report.joins.iter().zip(&report.tanks).filter(|(join, _)| join.from == stage);
    match seen.state {
        StageState::Waiting | StageState::Done => Leads::Nowhere,
        StageState::Busy => match seen.busy_as {
            // a source that waits for its input is idle, and no fault
            Some(BusyAs::OwnWait) if before.next().is_none() => Leads::Nowhere,
            Some(BusyAs::OwnWait) => Leads::Ends(Holder::Holds),
            Some(BusyAs::LetsOthers) => Leads::Ends(Holder::NotPolled),
            Some(BusyAs::Runs) | None => Leads::Ends(Holder::Runs),
        },
        StageState::Paused => match behind.find(|(_, tank)| tank.shut) {
            Some((join, _)) => Leads::To(join.to),
            None => {
                let parked = behind_any(report, stage, |tank| tank.writers_parked > 0);
                Leads::Ends(if parked { Holder::LostWake } else { Holder::NotPolled })
            }
        },
        StageState::Starved => {
            let Some((join, tank)) = before.clone().find(|(_, tank)| tank.level == 0 || tank.held)
            else {
                let parked = before.any(|(_, tank)| tank.reader_parked);
                return Leads::Ends(if parked { Holder::LostWake } else { Holder::NotPolled });
            };
            let writer_is_over =
                report.stages.get(join.from).is_some_and(|stage| stage.state == StageState::Done);
            if tank.held {
                Leads::Ends(Holder::Held)
            } else if writer_is_over && !tank.ended {
                Leads::Ends(Holder::NoEnd)
            } else if tank.ended {
                Leads::Ends(if tank.reader_parked { Holder::LostWake } else { Holder::NotPolled })
            } else {
                Leads::To(join.from)
            }
        }
    }
}

fn behind_any(report: &Report, stage: usize, what: impl Fn(&TankSnapshot) -> bool) -> bool {
    let mut tanks = report.joins.iter().zip(&report.tanks).filter(|(join, _)| join.from == stage);
    tanks.any(|(_, tank)| what(tank))
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
            Self::Cycle => "waits for stages that wait for it: one of the tanks needs more room",
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since_ns.checked_div(100_000_000).unwrap_or(0);
        let (whole, tenth) =
            (seconds.checked_div(10).unwrap_or(0), seconds.checked_rem(10).unwrap_or(0));
        write!(f, "nothing moves for {whole}.{tenth} s: `{}` {}", self.name, self.holder.says())
    }
}
