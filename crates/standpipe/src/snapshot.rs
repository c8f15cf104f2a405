//! What is said of a tank or stage?
//!
//! Plain data: a closed list of numbers that meters fill, diagnoses read and
//! views show. Counters are totals that never go back, so a rate is the
//! difference of two snapshots over the time between them.
//!
//! # Knows / never knows
//! Knows numbers. Never knows behaviour: no field here decides anything. So a
//! new view needs nothing but this list, and every field has a row in
//! `docs/metrics.md`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StageId;

#[cfg(feature = "serde")]
mod written;

/// What a tank's numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Unit {
    /// Payload bytes.
    Bytes,
    /// Items, each weighing 1.
    Items,
    /// The weight that a closure of the user's gave.
    Weight,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Items => "items",
            Self::Weight => "weight",
        })
    }
}

/// A count of items and their weight.
#[expect(clippy::exhaustive_structs, reason = "what is counted has a number and a weight")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tally {
    /// How many items.
    pub items: u64,
    /// Their weight, in the tank's unit.
    pub weight: u64,
}

impl Tally {
    /// Counts one item of this weight.
    pub const fn add(&mut self, weight: usize) {
        self.add_many(1, weight);
    }

    /// Counts several items of this weight together.
    pub const fn add_many(&mut self, items: usize, weight: usize) {
        self.items = self.items.saturating_add(items as u64);
        self.weight = self.weight.saturating_add(weight as u64);
    }

    /// Both tallies together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_add(other.items),
            weight: self.weight.saturating_add(other.weight),
        }
    }
}

/// Items that a tank took and did not deliver, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Drops {
    /// Arrived at a shut tank and were dropped themselves (`DropNewest`).
    pub newest: Tally,
    /// Were pushed out by newer ones (`DropOldest`).
    pub oldest: Tally,
    /// Were replaced by the latest (`KeepLatest`).
    pub replaced: Tally,
    /// Were accepted and still queued when the reader went away: lost.
    pub unread: Tally,
}

impl Drops {
    /// All reasons together.
    #[must_use]
    pub const fn total(&self) -> Tally {
        self.newest.plus(self.oldest).plus(self.replaced).plus(self.unread)
    }
}

/// Writes past the mark from one line of source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PastMark {
    /// `file:line` of the call that wrote.
    pub line: String,
    /// What it wrote while the level was at or above the mark.
    pub written: Tally,
}

/// One tank at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TankSnapshot {
    /// Its name, `a→b` if none was given in a pipeline.
    pub name: Arc<str>,
    /// What its weights count.
    pub unit: Unit,
    /// Weight in the tank now, a batch in the reader's hands included.
    pub level: usize,
    /// Highest level ever.
    pub peak: usize,
    /// Lowest level since the reader first took something, until the data
    /// ended: what never leaves the tank is pure latency.
    pub lowest: usize,
    /// High-water mark.
    pub high: usize,
    /// Low-water mark.
    pub low: usize,
    /// Whether its gate is shut.
    pub shut: bool,
    /// Taken in.
    pub written: Tally,
    /// Taken out and done with: it counts no more. What the reader still has in
    /// hand is in `level`.
    pub read: Tally,
    /// Taken in and not delivered, by reason.
    pub dropped: Drops,
    /// Items heavier than the high-water mark.
    pub oversize: u64,
    /// Times it went from open to shut.
    pub pauses: u64,
    /// Writes that were answered `Full`.
    pub refused: u64,
    /// Times a parked reader was woken.
    pub wakes_reader: u64,
    /// Times a parked writer was woken.
    pub wakes_writer: u64,
    /// Whether its reader is parked.
    pub reader_parked: bool,
    /// Writers that are parked, and nobody has notified.
    pub writers_parked: usize,
    /// Whether its reader was told to pause, or a writer has corked it.
    pub held: bool,
    /// Whether nothing more can be written.
    pub ended: bool,
    /// Writes past the mark by source line (`Overflow::Grow` only), in the order
    /// in which they were first seen; lines beyond 16 are summed in one.
    pub past_mark: Vec<PastMark>,
    /// The integral of the level over time, in weight times ns: the mean of any
    /// stretch is its growth divided by the time; known in a pipeline only.
    #[cfg_attr(feature = "serde", serde(serialize_with = "written::area"))]
    pub level_area: Option<u128>,
    /// In 99 of 100 cases a writer that was let go on wrote again after at most
    /// this; known in a pipeline only.
    pub drain_p99_ns: Option<u64>,
    /// Time-weighted mean level; known in a pipeline only, where somebody
    /// reads the clock.
    pub mean_level: Option<f64>,
    /// Time spent empty, with the lowest level of an interval in each eighth
    /// of the mark, and at or above the mark; known in a pipeline only.
    pub fill_ns: Option<[u64; 10]>,
    /// What it has of the budget that it shares with others, if it does.
    pub budget: Option<TankBudget>,
}

/// A tank's part in a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TankBudget {
    /// Which budget: the same for all its tanks, as long as it lives.
    pub id: usize,
    /// What all its tanks may hold together.
    pub limit: usize,
    /// What they may hold as it stands.
    pub granted_to_all: usize,
    /// What this one may hold as it stands: it shuts there if that is below its
    /// high-water mark.
    pub granted: usize,
    /// Times it shut, or stayed shut, where its own marks would have had it open.
    pub waits: u64,
    /// How long it was shut for that, whether anybody wanted to write or not;
    /// known in a pipeline only.
    pub wait_ns: Option<u64>,
}

impl TankSnapshot {
    /// Level divided by the high-water mark: 1.0 is a shut tank.
    #[must_use]
    pub fn occupancy(&self) -> f64 {
        ratio(self.level as u64, self.high as u64)
    }
}

/// What a stage is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StageState {
    /// Its first poll is still to come.
    Waiting,
    /// It holds an item: computing, or waiting for its own resource.
    Busy,
    /// It waits to write: the tank after it is shut.
    Paused,
    /// It waits to read: the tank before it is empty.
    Starved,
    /// It is over.
    Done,
}

/// What a busy stage does with the item it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BusyAs {
    /// It is inside a poll: it computes, or blocks its thread.
    Runs,
    /// It is pending on something of its own.
    OwnWait,
    /// It could run, and lets others.
    LetsOthers,
}

/// One stage, or several fused into one segment, at one moment.
///
/// `busy + paused + starved` is the time since its start, to the nanosecond.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StageSnapshot {
    /// The first stage of the segment.
    pub id: StageId,
    /// Names of all its stages joined by `+`.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: StageState,
    /// For how long it has been doing that.
    pub in_state_ns: u64,
    /// What it does with the item it holds, if it holds one.
    pub busy_as: Option<BusyAs>,
    /// Working or waiting for its own resource.
    pub busy_ns: u64,
    /// Waiting to write.
    pub paused_ns: u64,
    /// Waiting to read.
    pub starved_ns: u64,
    /// The part of `busy_ns` in which it waited for its own resource.
    pub own_wait_ns: u64,
    /// The part of `busy_ns` in which it could have run and had let others.
    pub not_running_ns: u64,
    /// Longest single wait to write, an open one included.
    pub paused_longest_ns: u64,
    /// Longest single wait to read, an open one included.
    pub starved_longest_ns: u64,
    /// How often it was polled.
    pub polls: u64,
    /// Longest single poll, one that goes on included.
    pub poll_longest_ns: u64,
    /// Items it had taken and given nothing for when its input last idled,
    /// though it was told: what a transform of yours keeps, or has dropped.
    pub kept_items: u64,
    /// What its items cost, and what their weight has to do with it.
    pub costs: Costs,
    /// Taken in; a source takes in nothing.
    pub taken: Tally,
    /// Given out; a sink gives out nothing.
    pub given: Tally,
}

impl StageSnapshot {
    /// Time since its start.
    #[must_use]
    pub const fn wall_ns(&self) -> u64 {
        self.busy_ns.saturating_add(self.paused_ns).saturating_add(self.starved_ns)
    }

    /// Share of its time spent busy, 0 if it has not started.
    #[must_use]
    pub fn busy(&self) -> f64 {
        ratio(self.busy_ns, self.wall_ns())
    }

    /// Share of its time spent paused.
    #[must_use]
    pub fn paused(&self) -> f64 {
        ratio(self.paused_ns, self.wall_ns())
    }

    /// Share of its time spent starved.
    #[must_use]
    pub fn starved(&self) -> f64 {
        ratio(self.starved_ns, self.wall_ns())
    }
}

/// Sums over the batches of a stage, from which the cost of an item follows as
/// a fixed part and one for its weight, and how sure that is.
///
/// With n items of weight w that took y ns: of 1, n, w, y, w²/n, wy/n, y²/n.
/// They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    bits: [u64; Self::SUMS],
}

impl Costs {
    /// How many sums there are.
    pub(crate) const SUMS: usize = 7;

    /// From the bits of each sum.
    pub(crate) const fn from_bits(bits: [u64; Self::SUMS]) -> Self {
        Self { bits }
    }

    /// The sums of one batch.
    pub(crate) fn of_batch(batch: Tally, spent_ns: u64) -> Option<[f64; Self::SUMS]> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs three digits")]
        let [n, w, y] = [batch.items as f64, batch.weight as f64, spent_ns as f64];
        (batch.items > 0).then(|| [1.0, n, w, y, w * w / n, w * y / n, y * y / n])
    }

    /// The sums.
    pub(crate) fn sums(&self) -> [f64; Self::SUMS] {
        self.bits.map(f64::from_bits)
    }

    /// Both together.
    #[cfg(all(feature = "sim", not(loom)))]
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        let mut sums = self.sums();
        for (sum, more) in sums.iter_mut().zip(other.sums()) {
            *sum += more;
        }
        Self { bits: sums.map(f64::to_bits) }
    }
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Confidence {
    /// The evidence contradicts itself, or changes with time.
    Unsure,
    /// First in each third of the time; or, where only times are known, two
    /// rules agree.
    Likely,
    /// Twice the next one in each third of a time that is long against the
    /// items' stay in the tanks.
    Certain,
}

/// The stage that limits the flow.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Slowest {
    /// Its position among the stages of the report.
    pub position: usize,
    /// Its name.
    pub name: Arc<str>,
    /// How sure.
    pub confidence: Confidence,
    /// The numbers it rests on, in words.
    pub because: String,
}

/// Whose time the result waited for, from the start up to a moment: the chain
/// of last arrivals that led to what the sink does.
///
/// Not a counter: when another chain comes to be the last, numbers may go
/// back. Their growth over a stretch of time, divided by it, is each stage's
/// share of the critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Waypoint<'a> {
    /// When, in nanoseconds of the pipeline's clock.
    pub at_ns: u64,
    /// Time in each stage.
    pub stage_ns: &'a [u64],
    /// Times the chain went from a writer that waited back to the reader whose
    /// credit let it go on, by tank.
    pub crossings: &'a [u64],
}

/// The critical path at moments spread over the run, the oldest first; a
/// bounded number of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CriticalPath {
    stages: usize,
    /// Of one waypoint: when, then stages, then tanks. 0 if nothing is known.
    width: usize,
    values: Vec<u64>,
}

impl CriticalPath {
    /// An empty one, with room for so many waypoints.
    pub(crate) fn with_room(stages: usize, tanks: usize, points: usize) -> Self {
        let width = stages.saturating_add(tanks).saturating_add(1);
        Self { stages, width, values: Vec::with_capacity(width.saturating_mul(points)) }
    }

    /// A copy with the same room.
    pub(crate) fn roomy_clone(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.capacity());
        values.extend_from_slice(&self.values);
        Self { stages: self.stages, width: self.width, values }
    }

    /// Makes room for one more: twice what there is, up to so many waypoints.
    pub(crate) fn make_room(&mut self, points: usize) {
        let (length, room) = (self.values.len(), self.values.capacity());
        let needed = length.saturating_add(self.width);
        if needed > room {
            let most = self.width.saturating_mul(points);
            let room = room.saturating_mul(2).min(most).max(needed);
            self.values.reserve_exact(room.saturating_sub(length));
        }
    }

    /// Adds a waypoint: stages, then tanks. Allocates nothing while there is
    /// room.
    pub(crate) fn push(&mut self, at_ns: u64, path: &[u64]) {
        self.values.push(at_ns);
        self.values.extend_from_slice(path);
    }

    /// Drops every other waypoint; the first one stays.
    pub(crate) fn thin_out(&mut self) {
        let mut at: usize = 0;
        let width = self.width;
        self.values.retain(|_| {
            let row = at.checked_div(width).unwrap_or(0);
            at = at.saturating_add(1);
            row.is_multiple_of(2)
        });
    }

    /// The waypoints, the oldest first.
    pub fn waypoints(&self) -> impl DoubleEndedIterator<Item = Waypoint<'_>> {
        // a width of 0 goes with no values
        self.values.chunks_exact(self.width.max(1)).map(|row| self.waypoint(row))
    }

    fn waypoint<'a>(&self, row: &'a [u64]) -> Waypoint<'a> {
        let (at_ns, path) = row.split_first().map_or((0, row), |(at_ns, path)| (*at_ns, path));
        let (stage_ns, crossings) = path.split_at(self.stages.min(path.len()));
        Waypoint { at_ns, stage_ns, crossings }
    }

    /// The waypoint in this place.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Waypoint<'_>> {
        let from = index.checked_mul(self.width)?;
        let row = self.values.get(from..from.checked_add(self.width)?)?;
        (self.width > 0).then(|| self.waypoint(row))
    }

    /// The latest waypoint.
    #[must_use]
    pub fn last(&self) -> Option<Waypoint<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether the path is not known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for CriticalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.waypoints()).finish()
    }
}

/// The stages on both sides of a tank, by position in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Join {
    /// Writes it.
    pub from: usize,
    /// Reads it.
    pub to: usize,
}

/// What a stage does with a tank that is not one of its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "a tank has two doors")]
pub enum Side {
    /// Takes items from it.
    Reads,
    /// Gives items to it.
    Writes,
}

/// A tank of somebody's own that an end of a pipeline reads or writes, as the
/// branches of a `tee`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OwnTank {
    /// Which end, by position among the stages of the report.
    pub stage: usize,
    /// What it does with the tank.
    pub side: Side,
    /// Which tank: two reports, of two pipelines, say the same of the same one
    /// as long as it lives.
    pub id: usize,
    /// Its numbers.
    pub tank: TankSnapshot,
}

/// A whole pipeline: the numbers of one moment, or of its end.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Time since the start.
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_ms", serialize_with = "written::ms"))]
    pub elapsed: Duration,
    /// One per segment, upstream first.
    pub stages: Vec<StageSnapshot>,
    /// One per tank, upstream first.
    pub tanks: Vec<TankSnapshot>,
    /// The stage that limits the flow, if one can be named.
    pub slowest: Option<Slowest>,
    /// The two stages that each tank joins, by position.
    pub joins: Vec<Join>,
    /// Tanks of somebody's own that its ends read and write.
    pub own_tanks: Vec<OwnTank>,
    /// How many stages may run at once, if that is known.
    pub cores: Option<usize>,
    /// Whether stages run as tasks, so that one that keeps its thread keeps it
    /// from others.
    pub shares_threads: bool,
    /// Whose time the result waited for, the last waypoint now.
    pub path: CriticalPath,
}

impl Report {
    /// Items that were accepted and will never be delivered: dropped on purpose,
    /// or unread when their reader went away. What is in a tank while the
    /// pipeline runs is not among them.
    #[must_use]
    pub fn undelivered(&self) -> Tally {
        self.tanks.iter().fold(Tally::default(), |sum, tank| sum.plus(tank.dropped.total()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs three digits, not nineteen")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
