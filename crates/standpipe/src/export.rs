//! How do the numbers reach what watches a service already?
//!
//! A report is read field by field into the `metrics` facade, behind which
//! sits whatever exporter the program has chosen. Each metric is named after
//! the field it comes from: `standpipe_tank_level` is `level` of
//! [`TankSnapshot`]; a tally becomes two, `_items` and `_weight`. The table
//! that names them is the one that is described and recorded from.
//!
//! # Knows / never knows
//! Knows snapshots and the facade. Never knows tanks or stages: it is fed, as
//! often as somebody asks for a report, and costs nothing in between.

use metrics::{Label, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::snapshot::{Report, StageSnapshot, Tally, TankSnapshot, ratio};

/// Records a report. `pipeline` tells it from others; every metric has it as
/// a label, and besides it `tank` or `stage` (the name) and `index`, the
/// position in the report.
///
/// Totals are counters, levels and states of the moment gauges. The labels of
/// a pipeline do not change while it runs.
///
/// # Examples
/// ```
/// use standpipe::stage::{count, iter};
/// use standpipe::{Pipeline, Tank, export};
///
/// export::describe(); // once, after the recorder is installed
/// let ready = Pipeline::from("numbers", iter(0..100)).tank(Tank::items(8)).to("count", count());
/// let monitor = ready.monitor();
/// let running = ready.threads()?;
/// export::record(&monitor.report(), "nightly"); // by a timer of yours
/// export::record(&running.wait()?.report, "nightly"); // and once at the end
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "prometheus")]
#[doc(alias = "opentelemetry")]
pub fn record(report: &Report, pipeline: &str) {
    let whole = [Label::new("pipeline", pipeline.to_owned())];
    gauge!(ELAPSED, whole.iter()).set(report.elapsed.as_secs_f64());
    for (index, tank) in report.tanks.iter().enumerate() {
        let labels = labels(pipeline, "tank", &tank.name, index);
        for row in TANK {
            row.record(tank, &labels);
        }
        let drops = tank.dropped;
        for (reason, tally) in [
            ("newest", drops.newest),
            ("oldest", drops.oldest),
            ("replaced", drops.replaced),
            ("unread", drops.unread),
        ] {
            let labels = labels.iter().cloned().chain([Label::new("reason", reason)]);
            let labels: Vec<Label> = labels.collect();
            counter!(DROPPED_ITEMS, labels.iter()).absolute(tally.items);
            counter!(DROPPED_WEIGHT, labels.iter()).absolute(tally.weight);
        }
    }
    let slowest = report.slowest.as_ref().map(|slowest| slowest.position);
    for (index, stage) in report.stages.iter().enumerate() {
        let labels = labels(pipeline, "stage", &stage.name, index);
        for row in STAGE {
            row.record(stage, &labels);
        }
        gauge!(SLOWEST, labels.iter()).set(f64::from(u8::from(slowest == Some(index))));
    }
}

/// Tells the recorder the units and meanings of all metrics.
pub fn describe() {
    describe_gauge!(ELAPSED, Unit::Seconds, "Time since the pipeline began.");
    describe_gauge!(SLOWEST, "1 for the stage that limits the flow, as far as one can be named.");
    let reasons = "Taken in, or arrived, and not delivered, by reason.";
    describe_counter!(DROPPED_ITEMS, Unit::Count, reasons);
    describe_counter!(DROPPED_WEIGHT, reasons);
    TANK.iter().for_each(Row::describe);
    STAGE.iter().for_each(Row::describe);
}

const ELAPSED: &str = "standpipe_elapsed_seconds";
const SLOWEST: &str = "standpipe_stage_slowest";
const DROPPED_ITEMS: &str = "standpipe_tank_dropped_items";
const DROPPED_WEIGHT: &str = "standpipe_tank_dropped_weight";

/// One metric of a tank or a stage.
struct Row<S> {
    name: &'static str,
    unit: Option<Unit>,
    means: &'static str,
    read: Read<S>,
}

/// How it is read from a snapshot.
enum Read<S> {
    Total(fn(&S) -> u64),
    Now(fn(&S) -> u64),
    /// Not known in all tanks.
    Known(fn(&S) -> Option<f64>),
}

impl<S> Row<S> {
    const fn total(
        name: &'static str,
        unit: Option<Unit>,
        means: &'static str,
        read: fn(&S) -> u64,
    ) -> Self {
        Self { name, unit, means, read: Read::Total(read) }
    }

    const fn now(
        name: &'static str,
        unit: Option<Unit>,
        means: &'static str,
        read: fn(&S) -> u64,
    ) -> Self {
        Self { name, unit, means, read: Read::Now(read) }
    }

    fn record(&self, snapshot: &S, labels: &[Label]) {
        match self.read {
            Read::Total(read) => counter!(self.name, labels.iter()).absolute(read(snapshot)),
            Read::Now(read) => gauge!(self.name, labels.iter()).set(ratio(read(snapshot), 1)),
            Read::Known(read) => {
                if let Some(known) = read(snapshot) {
                    gauge!(self.name, labels.iter()).set(known);
                }
            }
        }
    }

    fn describe(&self) {
        match (&self.read, self.unit) {
            (Read::Total(_), Some(unit)) => describe_counter!(self.name, unit, self.means),
            (Read::Total(_), None) => describe_counter!(self.name, self.means),
            (_, Some(unit)) => describe_gauge!(self.name, unit, self.means),
            (_, None) => describe_gauge!(self.name, self.means),
        }
    }
}

const COUNT: Option<Unit> = Some(Unit::Count);
const NS: Option<Unit> = Some(Unit::Nanoseconds);
/// A tank's own unit: bytes, items, or what a closure says.
const WEIGHT: Option<Unit> = None;

const TANK: &[Row<TankSnapshot>] = &[
    Row::now("standpipe_tank_level", WEIGHT, "Weight in the tank.", |t| t.level as u64),
    Row::now("standpipe_tank_peak", WEIGHT, "Highest level ever.", |t| t.peak as u64),
    Row::now("standpipe_tank_high", WEIGHT, "High-water mark.", |t| t.high as u64),
    Row::now("standpipe_tank_low", WEIGHT, "Low-water mark.", |t| t.low as u64),
    Row::now("standpipe_tank_shut", None, "1 while a write has to wait.", |t| t.shut.into()),
    Row::now("standpipe_tank_ended", None, "1 once nothing can be written.", |t| t.ended.into()),
    Row::now("standpipe_tank_writers_parked", COUNT, "Writers that wait for the drain.", |t| {
        t.writers_parked as u64
    }),
    Row {
        name: "standpipe_tank_mean_level",
        unit: WEIGHT,
        means: "Mean level over time.",
        read: Read::Known(|t| t.mean_level),
    },
    Row {
        name: "standpipe_tank_budget_granted",
        unit: WEIGHT,
        means: "What it may hold of the limit that it shares.",
        read: Read::Known(|t| t.budget.map(|budget| ratio(budget.granted as u64, 1))),
    },
    Row::total("standpipe_tank_budget_waits", COUNT, "Times it shut for want of a budget.", |t| {
        t.budget.map_or(0, |budget| budget.waits)
    }),
    Row::total("standpipe_tank_written_items", COUNT, "Items taken in.", |t| t.written.items),
    Row::total("standpipe_tank_written_weight", WEIGHT, "Weight taken in.", |t| t.written.weight),
    Row::total("standpipe_tank_read_items", COUNT, "Items the reader is done with.", |t| {
        t.read.items
    }),
    Row::total("standpipe_tank_read_weight", WEIGHT, "Weight the reader is done with.", |t| {
        t.read.weight
    }),
    Row::total("standpipe_tank_oversize", COUNT, "Items heavier than the mark.", |t| t.oversize),
    Row::total("standpipe_tank_pauses", COUNT, "Times it went from open to shut.", |t| t.pauses),
    Row::total("standpipe_tank_refused", COUNT, "Writes that were answered `Full`.", |t| t.refused),
    Row::total("standpipe_tank_wakes_reader", COUNT, "Times a parked reader was woken.", |t| {
        t.wakes_reader
    }),
    Row::total("standpipe_tank_wakes_writer", COUNT, "Times a parked writer was woken.", |t| {
        t.wakes_writer
    }),
    Row::total("standpipe_tank_past_mark_items", COUNT, "Items written past the mark.", |t| {
        past_mark(t).items
    }),
    Row::total("standpipe_tank_past_mark_weight", WEIGHT, "Weight written past the mark.", |t| {
        past_mark(t).weight
    }),
];

const STAGE: &[Row<StageSnapshot>] = &[
    Row::total("standpipe_stage_busy_ns", NS, "Time with an item in hand.", |s| s.busy_ns),
    Row::total("standpipe_stage_paused_ns", NS, "Time waiting to write.", |s| s.paused_ns),
    Row::total("standpipe_stage_starved_ns", NS, "Time waiting to read.", |s| s.starved_ns),
    Row::total("standpipe_stage_own_wait_ns", NS, "Busy time waiting for its own resource.", |s| {
        s.own_wait_ns
    }),
    Row::total("standpipe_stage_not_running_ns", NS, "Busy time letting others run.", |s| {
        s.not_running_ns
    }),
    Row::total("standpipe_stage_polls", COUNT, "Times it was polled.", |s| s.polls),
    Row::total("standpipe_stage_taken_items", COUNT, "Items taken in.", |s| s.taken.items),
    Row::total("standpipe_stage_taken_weight", WEIGHT, "Weight taken in.", |s| s.taken.weight),
    Row::total("standpipe_stage_given_items", COUNT, "Items given out.", |s| s.given.items),
    Row::total("standpipe_stage_given_weight", WEIGHT, "Weight given out.", |s| s.given.weight),
    Row::now("standpipe_stage_in_state_ns", NS, "How long it has done what it does.", |s| {
        s.in_state_ns
    }),
    Row::now("standpipe_stage_paused_longest_ns", NS, "Longest wait to write.", |s| {
        s.paused_longest_ns
    }),
    Row::now("standpipe_stage_starved_longest_ns", NS, "Longest wait to read.", |s| {
        s.starved_longest_ns
    }),
    Row::now("standpipe_stage_poll_longest_ns", NS, "Longest single poll.", |s| s.poll_longest_ns),
];

fn past_mark(tank: &TankSnapshot) -> Tally {
    tank.past_mark.iter().fold(Tally::default(), |sum, line| sum.plus(line.written))
}

fn labels(pipeline: &str, kind: &'static str, name: &str, index: usize) -> [Label; 3] {
    [
        Label::new("pipeline", pipeline.to_owned()),
        Label::new(kind, name.to_owned()),
        Label::new("index", index.to_string()),
    ]
}
