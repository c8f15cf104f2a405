//! What happened, how long in each state?
//!
//! A [`TankMeter`] counts under its tank's lock; a [`StageMeter`] is written
//! by one stage and read by anyone, without a lock. Time is integrated, never
//! sampled: a level between two readings of the clock counts for exactly as
//! long as it lasted.
//!
//! # Knows / never knows
//! Knows counts, and `now` as an argument in nanoseconds from any fixed
//! origin. Never knows a clock, a tank or a task. So virtual time and manual
//! clocks run the same code.

use std::panic::Location;
use std::sync::Arc;

use crate::error::StageId;
use crate::gate::Gate;
use crate::snapshot::{BusyAs, Costs, Drops, StageSnapshot, StageState, Tally, TankSnapshot, Unit};
use crate::sync::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};

mod seldom;
mod timed;

use seldom::Seldom;
use timed::{BudgetWait, Timed};

/// What a tank counts. Written and read under the tank's lock.
#[derive(Debug, Default)]
pub(crate) struct TankMeter {
    pub(crate) written: Tally,
    pub(crate) read: Tally,
    pub(crate) peak: usize,
    lowest: Lowest,
    /// Only in a pipeline, where the driver reads the clock.
    timed: Option<Box<Timed>>,
    /// Only once one of them is not 0: a tank that idles has none.
    seldom: Option<Box<Seldom>>,
}

/// The lowest level since the reader began; above all levels until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lowest(usize);

impl Lowest {
    const NOT_BEGUN: Self = Self(usize::MAX);
}

impl Default for Lowest {
    fn default() -> Self {
        Self::NOT_BEGUN
    }
}

impl TankMeter {
    fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// The tank shut.
    pub(crate) fn paused(&mut self) {
        count(&mut self.seldom().pauses);
    }

    /// A write was refused.
    pub(crate) fn refused(&mut self) {
        count(&mut self.seldom().refused);
    }

    /// So many items were heavier than the mark, each by itself.
    #[inline]
    pub(crate) fn oversized(&mut self, items: u64) {
        if items > 0 {
            let oversize = &mut self.seldom().oversize;
            *oversize = oversize.saturating_add(items);
        }
    }

    /// The reader was woken.
    pub(crate) fn woke_reader(&mut self) {
        count(&mut self.seldom().wakes_reader);
    }

    /// A writer was woken.
    pub(crate) fn woke_writer(&mut self) {
        count(&mut self.seldom().wakes_writer);
    }

    /// What was taken in and not delivered, to add to.
    pub(crate) fn drops(&mut self) -> &mut Drops {
        &mut self.seldom().dropped
    }

    /// What was taken in and not delivered.
    pub(crate) fn dropped(&self) -> Tally {
        self.seldom.as_ref().map_or_else(Tally::default, |seldom| seldom.dropped.total())
    }

    /// Starts integrating the level over time.
    pub(crate) fn start_timing(&mut self, now_ns: u64, level: usize) {
        self.timed = Some(Box::new(Timed {
            begun_ns: now_ns,
            seen_ns: now_ns,
            level,
            lowest: level,
            area: 0,
            fill_ns: [0; 10],
            drained_ns: None,
            drains: [0; 64],
            budget: BudgetWait::No,
            budget_ns: 0,
        }));
    }

    /// The last reading of the clock, if there is one.
    pub(crate) fn seen_ns(&self) -> Option<u64> {
        self.timed.as_ref().map(|timed| timed.seen_ns)
    }

    /// The level is about to change at `now_ns`. Without a time (`None`) the
    /// change is folded in at the next reading, as a straight line.
    #[inline]
    pub(crate) fn before(&mut self, now_ns: Option<u64>, level: usize, high: usize) {
        if let (Some(timed), Some(now_ns)) = (&mut self.timed, now_ns) {
            timed.advance(now_ns, level, high);
        }
    }

    /// The level has changed.
    #[inline]
    pub(crate) fn after(&mut self, timed_change: bool, level: usize) {
        self.peak = self.peak.max(level);
        if let Some(timed) = &mut self.timed {
            timed.lowest = timed.lowest.min(level);
            if timed_change {
                timed.level = level;
                timed.lowest = level;
            }
        }
    }

    /// The level fell, and the data goes on: what leaves after its end says
    /// nothing of what the tank needs.
    #[inline]
    pub(crate) fn fell(&mut self, level: usize) {
        if self.lowest != Lowest::NOT_BEGUN {
            self.lowest.0 = self.lowest.0.min(level);
        }
    }

    /// The tank opened, and somebody waited for that.
    pub(crate) fn drained(&mut self) {
        if let Some(timed) = &mut self.timed {
            timed.drained_ns = Some(timed.seen_ns);
        }
    }

    /// The tank shuts, or opens, for want of a budget.
    pub(crate) fn waits_for_budget(&mut self, waits: bool) {
        let Some(timed) = &mut self.timed else { return };
        timed.budget = match (waits, timed.budget) {
            (true, _) => BudgetWait::Yes,
            (false, BudgetWait::No) => BudgetWait::No,
            (false, _) => BudgetWait::WasUntilNow,
        };
    }

    /// For how long it was shut for that.
    pub(crate) fn budget_ns(&self, now_ns: Option<u64>) -> Option<u64> {
        let timed = self.timed.as_ref()?;
        let open_ns = now_ns.map_or(0, |now_ns| now_ns.saturating_sub(timed.seen_ns));
        let open_ns = if timed.budget == BudgetWait::No { 0 } else { open_ns };
        Some(timed.budget_ns.saturating_add(open_ns))
    }

    /// Something was written.
    #[inline]
    pub(crate) fn wrote(&mut self) {
        if let Some(timed) = &mut self.timed
            && let Some(drained_ns) = timed.drained_ns.take()
        {
            timed.count_drain(timed.seen_ns.saturating_sub(drained_ns));
        }
    }

    /// The reader took its first item: from now on a standing level shows.
    pub(crate) fn reader_began(&mut self, level: usize) {
        if self.lowest == Lowest::NOT_BEGUN {
            self.lowest.0 = level;
        }
    }

    /// Counts a write past the mark from this line.
    pub(crate) fn past_mark(&mut self, line: &'static Location<'static>, weight: usize) {
        self.seldom().past_mark(line, weight);
    }

    /// What is said of the tank that has this gate, as of `now_ns`.
    pub(crate) fn snapshot(
        &self,
        name: Arc<str>,
        unit: Unit,
        gate: Gate,
        now_ns: Option<u64>,
    ) -> TankSnapshot {
        let timed = self.time_weighted(now_ns, gate.level(), gate.marks().high());
        let none = Seldom::default();
        let seldom = self.seldom.as_deref().unwrap_or(&none);
        let mean = |timed: &Timed| {
            let wall_ns = timed.seen_ns.saturating_sub(timed.begun_ns);
            #[expect(clippy::cast_precision_loss, reason = "a mean needs three digits")]
            let mean = if wall_ns == 0 { 0.0 } else { timed.area as f64 / 2.0 / wall_ns as f64 };
            mean
        };
        TankSnapshot {
            name,
            unit,
            level: gate.level(),
            peak: self.peak,
            lowest: if self.lowest == Lowest::NOT_BEGUN { 0 } else { self.lowest.0 },
            high: gate.marks().high(),
            low: gate.marks().low(),
            shut: gate.is_shut(),
            written: self.written,
            read: self.read,
            dropped: seldom.dropped,
            oversize: seldom.oversize,
            pauses: seldom.pauses,
            refused: seldom.refused,
            wakes_reader: seldom.wakes_reader,
            wakes_writer: seldom.wakes_writer,
            past_mark: seldom.past_marks(),
            reader_parked: false,
            writers_parked: 0,
            held: false,
            ended: false,
            level_area: timed.as_ref().map(|timed| timed.area >> 1),
            drain_p99_ns: timed.as_ref().map(Timed::drain_p99_ns),
            mean_level: timed.as_ref().map(mean),
            fill_ns: timed.as_ref().map(|timed| timed.fill_ns),
            budget: None,
        }
    }

    /// What depends on time, up to `now_ns`.
    fn time_weighted(&self, now_ns: Option<u64>, level: usize, high: usize) -> Option<Timed> {
        let timed = self.timed.as_ref()?;
        let mut timed = Timed { ..**timed };
        if let Some(now_ns) = now_ns {
            timed.advance(now_ns, level, high);
        }
        Some(timed)
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// What a stage counts and how long it was in each state.
///
/// One writer, any readers. `seq` is odd while a transition is being written;
/// a reader that sees it change reads again.
#[derive(Debug)]
pub(crate) struct StageMeter {
    seq: AtomicUsize,
    state: AtomicU8,
    since_ns: AtomicU64,
    busy_ns: AtomicU64,
    paused_ns: AtomicU64,
    starved_ns: AtomicU64,
    own_wait_ns: AtomicU64,
    not_running_ns: AtomicU64,
    paused_longest_ns: AtomicU64,
    starved_longest_ns: AtomicU64,
    /// What it does while it is busy, and since when.
    busy_as: AtomicU8,
    busy_as_since_ns: AtomicU64,
    polls: AtomicU64,
    poll_longest_ns: AtomicU64,
    /// Whether it is a source: what it waits for is then no cost of an item.
    brings: AtomicU8,
    kept_items: AtomicU64,
    /// What had been spent when the last batch was done.
    spent_ns: AtomicU64,
    /// Bits of [`Costs`].
    costs: [AtomicU64; Costs::SUMS],
    taken_items: AtomicU64,
    taken_weight: AtomicU64,
    given_items: AtomicU64,
    given_weight: AtomicU64,
}

/// A consistent copy of a [`StageMeter`], open interval included.
#[derive(Clone, Copy, Debug)]
struct StageTimes {
    state: StageState,
    in_state_ns: u64,
    busy_as: Option<BusyAs>,
    busy_ns: u64,
    paused_ns: u64,
    starved_ns: u64,
    own_wait_ns: u64,
    not_running_ns: u64,
    paused_longest_ns: u64,
    starved_longest_ns: u64,
    polls: u64,
    poll_longest_ns: u64,
    kept_items: u64,
    costs: Costs,
    taken: Tally,
    given: Tally,
}

const WAITING: u8 = 0;
const BUSY: u8 = 1;
const PAUSED: u8 = 2;
const STARVED: u8 = 3;
const DONE: u8 = 4;

const RUNS: u8 = 0;
const OWN_WAIT: u8 = 1;
const LETS_OTHERS: u8 = 2;

/// Adds to a counter that only one thread writes: a load and a store, no lock
/// prefix.
fn add(counter: &AtomicU64, value: u64) {
    counter.store(counter.load(Ordering::Relaxed).saturating_add(value), Ordering::Relaxed);
}

fn raise(counter: &AtomicU64, value: u64) {
    counter.store(counter.load(Ordering::Relaxed).max(value), Ordering::Relaxed);
}

impl StageMeter {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            seq: AtomicUsize::new(0),
            state: AtomicU8::new(WAITING),
            since_ns: zero(),
            busy_ns: zero(),
            paused_ns: zero(),
            starved_ns: zero(),
            own_wait_ns: zero(),
            not_running_ns: zero(),
            paused_longest_ns: zero(),
            starved_longest_ns: zero(),
            busy_as: AtomicU8::new(RUNS),
            busy_as_since_ns: zero(),
            polls: zero(),
            poll_longest_ns: zero(),
            brings: AtomicU8::new(0),
            kept_items: zero(),
            spent_ns: zero(),
            costs: std::array::from_fn(|_| zero()),
            taken_items: zero(),
            taken_weight: zero(),
            given_items: zero(),
            given_weight: zero(),
        }
    }

    /// Closes the interval that is open and opens one in `state`. One reading
    /// of the clock does both, so nothing falls between two states.
    pub(crate) fn enter(&self, state: StageState, now_ns: u64) {
        let code = match state {
            StageState::Waiting => WAITING,
            StageState::Busy => BUSY,
            StageState::Paused => PAUSED,
            StageState::Starved => STARVED,
            StageState::Done => DONE,
        };
        self.transition(|| {
            self.close_interval(now_ns);
            self.state.store(code, Ordering::Relaxed);
        });
    }

    /// When the open interval began.
    pub(crate) fn since_ns(&self) -> u64 {
        self.since_ns.load(Ordering::Relaxed)
    }

    /// What the stage is doing.
    pub(crate) fn state(&self) -> StageState {
        match self.state.load(Ordering::Relaxed) {
            BUSY => StageState::Busy,
            PAUSED => StageState::Paused,
            STARVED => StageState::Starved,
            DONE => StageState::Done,
            _ => StageState::Waiting,
        }
    }

    /// Whether a wait to read or to write is open.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state.load(Ordering::Relaxed), PAUSED | STARVED)
    }

    /// Adds time spent pending on its own resource, a part of busy.
    pub(crate) fn own_wait(&self, span_ns: u64) {
        add(&self.own_wait_ns, span_ns);
    }

    /// Adds time in which it could have run and others did, a part of busy.
    pub(crate) fn not_running(&self, span_ns: u64) {
        add(&self.not_running_ns, span_ns);
    }

    /// Counts a poll, which begins now.
    pub(crate) fn polled(&self, now_ns: u64) {
        add(&self.polls, 1);
        self.busy_as(BusyAs::Runs, now_ns);
    }

    /// What it does with the item it holds, from now on.
    pub(crate) fn busy_as(&self, what: BusyAs, now_ns: u64) {
        let code = match what {
            BusyAs::Runs => RUNS,
            BusyAs::OwnWait => OWN_WAIT,
            BusyAs::LetsOthers => LETS_OTHERS,
        };
        self.busy_as.store(code, Ordering::Relaxed);
        self.busy_as_since_ns.store(now_ns, Ordering::Relaxed);
    }

    /// A poll took so long.
    pub(crate) fn poll_took(&self, span_ns: u64) {
        raise(&self.poll_longest_ns, span_ns);
    }

    /// It is a source.
    pub(crate) fn brings(&self) {
        self.brings.store(1, Ordering::Relaxed);
    }

    /// Whether it is one.
    pub(crate) fn is_source(&self) -> bool {
        self.brings.load(Ordering::Relaxed) != 0
    }

    /// It was told that its input idles, and has given nothing for so many.
    pub(crate) fn keeps(&self, items: u64) {
        self.kept_items.store(items, Ordering::Relaxed);
    }

    /// A batch is done with: what was spent since the last one is its cost.
    pub(crate) fn done_with(&self, batch: Tally, now_ns: u64) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let open_ns = match self.state.load(Ordering::Relaxed) {
            BUSY => now_ns.saturating_sub(get(&self.since_ns)),
            _ => 0,
        };
        let idle_ns = if self.is_source() { get(&self.own_wait_ns) } else { 0 };
        let spent_ns = get(&self.busy_ns)
            .saturating_add(open_ns)
            .saturating_sub(get(&self.not_running_ns))
            .saturating_sub(idle_ns);
        let batch_ns = spent_ns.saturating_sub(get(&self.spent_ns));
        self.spent_ns.store(spent_ns, Ordering::Relaxed);
        let Some(sums) = Costs::of_batch(batch, batch_ns) else { return };
        for (counter, more) in self.costs.iter().zip(sums) {
            let sum = f64::from_bits(get(counter)) + more;
            counter.store(sum.to_bits(), Ordering::Relaxed);
        }
    }

    /// Counts what was taken in since the last exchange.
    pub(crate) fn took(&self, tally: Tally) {
        add(&self.taken_items, tally.items);
        add(&self.taken_weight, tally.weight);
    }

    /// Counts what was given out since the last exchange.
    pub(crate) fn gave(&self, tally: Tally) {
        add(&self.given_items, tally.items);
        add(&self.given_weight, tally.weight);
    }

    fn close_interval(&self, now_ns: u64) {
        let since_ns = self.since_ns.load(Ordering::Relaxed);
        let span_ns = now_ns.saturating_sub(since_ns);
        match self.state.load(Ordering::Relaxed) {
            BUSY => add(&self.busy_ns, span_ns),
            PAUSED => {
                add(&self.paused_ns, span_ns);
                raise(&self.paused_longest_ns, span_ns);
            }
            STARVED => {
                add(&self.starved_ns, span_ns);
                raise(&self.starved_longest_ns, span_ns);
            }
            _ => {}
        }
        self.since_ns.store(now_ns.max(since_ns), Ordering::Relaxed); // never back
    }

    fn transition(&self, write: impl FnOnce()) {
        let seq = self.seq.load(Ordering::Relaxed);
        self.seq.store(seq.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        write();
        self.seq.store(seq.wrapping_add(2), Ordering::Release);
    }

    /// What is said of the stage or segment of this name, as of `now_ns`.
    pub(crate) fn snapshot(&self, id: StageId, name: Arc<str>, now_ns: u64) -> StageSnapshot {
        let times = self.times(now_ns);
        StageSnapshot {
            id,
            name,
            state: times.state,
            in_state_ns: times.in_state_ns,
            busy_as: times.busy_as,
            busy_ns: times.busy_ns,
            paused_ns: times.paused_ns,
            starved_ns: times.starved_ns,
            own_wait_ns: times.own_wait_ns,
            not_running_ns: times.not_running_ns,
            paused_longest_ns: times.paused_longest_ns,
            starved_longest_ns: times.starved_longest_ns,
            polls: times.polls,
            poll_longest_ns: times.poll_longest_ns,
            kept_items: times.kept_items,
            costs: times.costs,
            taken: times.taken,
            given: times.given,
        }
    }

    /// A copy as of `now_ns`, the open interval included.
    fn times(&self, now_ns: u64) -> StageTimes {
        for _ in 0..64 {
            let before = self.seq.load(Ordering::Acquire);
            let times = self.copy(now_ns);
            fence(Ordering::Acquire);
            let after = self.seq.load(Ordering::Relaxed);
            if before == after && before.is_multiple_of(2) {
                return times;
            }
            std::hint::spin_loop();
        }
        self.copy(now_ns)
    }

    fn copy(&self, now_ns: u64) -> StageTimes {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let open_ns = now_ns.saturating_sub(get(&self.since_ns));
        let mut times = StageTimes {
            state: StageState::Waiting,
            in_state_ns: open_ns,
            busy_as: None,
            busy_ns: get(&self.busy_ns),
            paused_ns: get(&self.paused_ns),
            starved_ns: get(&self.starved_ns),
            own_wait_ns: get(&self.own_wait_ns),
            not_running_ns: get(&self.not_running_ns),
            paused_longest_ns: get(&self.paused_longest_ns),
            starved_longest_ns: get(&self.starved_longest_ns),
            polls: get(&self.polls),
            poll_longest_ns: get(&self.poll_longest_ns),
            kept_items: get(&self.kept_items),
            costs: Costs::from_bits(std::array::from_fn(|at| self.costs.get(at).map_or(0, get))),
            taken: Tally { items: get(&self.taken_items), weight: get(&self.taken_weight) },
            given: Tally { items: get(&self.given_items), weight: get(&self.given_weight) },
        };
        match self.state.load(Ordering::Relaxed) {
            BUSY => {
                times.state = StageState::Busy;
                times.busy_ns = times.busy_ns.saturating_add(open_ns);
                let same_ns = now_ns.saturating_sub(get(&self.busy_as_since_ns));
                times.in_state_ns = same_ns.min(open_ns);
                times.busy_as = Some(match self.busy_as.load(Ordering::Relaxed) {
                    OWN_WAIT => BusyAs::OwnWait,
                    LETS_OTHERS => BusyAs::LetsOthers,
                    _ => {
                        times.poll_longest_ns = times.poll_longest_ns.max(same_ns);
                        BusyAs::Runs
                    }
                });
            }
            PAUSED => {
                times.state = StageState::Paused;
                times.paused_ns = times.paused_ns.saturating_add(open_ns);
                times.paused_longest_ns = times.paused_longest_ns.max(open_ns);
            }
            STARVED => {
                times.state = StageState::Starved;
                times.starved_ns = times.starved_ns.saturating_add(open_ns);
                times.starved_longest_ns = times.starved_longest_ns.max(open_ns);
            }
            DONE => times.state = StageState::Done,
            _ => {}
        }
        times
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_square_wave_level_has_an_exact_mean() {
        // vector #24697: a mean of samples taken at the crests says "full"
        let mut meter = TankMeter::default();
        meter.start_timing(0, 0);
        let mut now = 0;
        for _ in 0..1_000 {
            meter.before(Some(now), 0, 100);
            meter.after(true, 100);
            now += 10;
            meter.before(Some(now), 100, 100);
            meter.after(true, 0);
            now += 90;
        }
        let gate = Gate::new(crate::gate::Marks::half(100).unwrap());
        let seen = meter.snapshot("t".into(), Unit::Items, gate, Some(now));
        let (mean, fill) = (seen.mean_level.unwrap(), seen.fill_ns.unwrap());
        assert!((mean - 10.0).abs() < 1e-9, "{mean}");
        assert_eq!(seen.level_area, Some(u128::from(now) * 10));
        assert_eq!(fill[9], 10 * 1_000);
        assert_eq!(fill[0], 90 * 1_000);
        assert_eq!(meter.peak, 100);
    }

    #[test]
    fn the_lowest_level_of_an_interval_picks_the_cell() {
        let mut meter = TankMeter::default();
        meter.start_timing(0, 64);
        meter.after(false, 9); // unseen by any clock, but lossless all the same
        meter.after(false, 64);
        let fill = meter.time_weighted(Some(5), 64, 64).unwrap().fill_ns;
        assert_eq!(fill[2], 5, "{fill:?}");
    }

    #[test]
    fn the_99th_of_100_drains_is_counted_by_powers_of_two() {
        let mut meter = TankMeter::default();
        meter.start_timing(0, 0);
        let mut now_ns = 0;
        let mut drain = |span_ns: u64| {
            meter.before(Some(now_ns), 1, 2);
            meter.drained();
            now_ns += span_ns;
            meter.before(Some(now_ns), 1, 2);
            meter.wrote();
            meter.wrote(); // only the first one counts
            meter.timed.as_ref().unwrap().drain_p99_ns()
        };
        assert_eq!(drain(1_000_000), 1 << 20);
        let common = (0..99).map(|_| drain(700)).last();
        assert_eq!(common, Some(1 << 10));
    }

    #[test]
    fn a_poll_that_goes_on_counts_and_a_pending_one_says_why() {
        let meter = StageMeter::new();
        meter.enter(StageState::Busy, 100);
        meter.polled(100);
        let times = meter.times(150);
        assert_eq!((times.busy_as, times.in_state_ns), (Some(BusyAs::Runs), 50));
        assert_eq!(times.poll_longest_ns, 50);
        meter.poll_took(60);
        meter.busy_as(BusyAs::OwnWait, 160);
        let times = meter.times(1_160);
        assert_eq!((times.busy_as, times.in_state_ns), (Some(BusyAs::OwnWait), 1_000));
        assert_eq!(times.poll_longest_ns, 60);
        meter.enter(StageState::Starved, 1_200);
        assert_eq!((meter.times(1_300).busy_as, meter.times(1_300).in_state_ns), (None, 100));
    }

    #[test]
    fn states_add_up_to_wall_time_and_an_open_wait_counts() {
        let meter = StageMeter::new();
        meter.enter(StageState::Busy, 100);
        meter.enter(StageState::Starved, 130);
        meter.enter(StageState::Busy, 150);
        meter.enter(StageState::Paused, 160);
        let times = meter.times(1_160);
        assert_eq!((times.busy_ns, times.starved_ns, times.paused_ns), (40, 20, 1_000));
        assert_eq!(times.paused_longest_ns, 1_000);
        assert_eq!(times.state, StageState::Paused);
    }
}
