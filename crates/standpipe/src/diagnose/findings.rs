//! What is amiss, by which numbers, and what might help?
//!
//! Each finding is a symptom that its numbers prove by themselves. A pipeline
//! that does what it should has none, whatever limits it: a full tank is no
//! fault, nor is a slow stage.

use std::fmt;

use super::cost::fixed_cost;
use super::stall::stall;
use super::stretch::Stretch;
use super::verdict::{Verdict, VerdictKind, diagnose};
use crate::snapshot::{Join, Report, StageState, TankSnapshot, Unit};

/// Nothing has to move for so long before it is a stall.
const STALL_NS: u64 = 500_000_000;
/// A poll that takes longer keeps its thread from others.
const LONG_POLL_NS: u64 = 10_000_000;
/// So much time in a tank that is never empty is pure latency.
const STANDING_NS: f64 = 1e9;
/// A stage that keeps items gives them on before its input has idled for so
/// long.
const UNFLUSHED_NS: u64 = 1_000_000_000;
/// So much of an item's cost may be the same for all.
const FIXED: f64 = 0.05;
/// A stage that waits for items for less than this is well supplied.
const STARVED: f64 = 0.05;

/// What kind of finding. `Display` is its name, which does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// Nothing moves.
    Stalled,
    /// A stage keeps items while its input idles.
    Unflushed,
    /// A poll keeps its thread from other tasks.
    BlocksExecutor,
    /// A writer goes on past the mark of a tank that grows.
    NeverDrained,
    /// Items are heavier than the mark of their tank.
    OversizeItems,
    /// Part of a tank never leaves it, and takes long to pass.
    TankTooLarge,
    /// Tanks wait for the budget that they share.
    BudgetFull,
    /// Items are dropped.
    Dropping,
    /// A tank swings from full to empty, and that costs throughput.
    TankTooSmall,
    /// A reader runs dry before its writer is back.
    LowMarkTooLow,
    /// The slowest stage spends a part of its time on items as such, whatever
    /// they weigh.
    SmallItems,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stalled => "stalled",
            Self::Unflushed => "unflushed",
            Self::BlocksExecutor => "blocks-executor",
            Self::NeverDrained => "never-drained",
            Self::OversizeItems => "oversize-items",
            Self::TankTooLarge => "tank-too-large",
            Self::BudgetFull => "budget-full",
            Self::Dropping => "dropping",
            Self::TankTooSmall => "tank-too-small",
            Self::LowMarkTooLow => "low-mark-too-low",
            Self::SmallItems => "small-items",
        })
    }
}

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A stage, by position in the report.
    Stage(usize),
    /// A tank, by position in the report.
    Tank(usize),
}

/// One finding. `Display` is its text and the advice.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// Which.
    pub kind: FindingKind,
    /// Where.
    pub place: Place,
    /// The numbers it rests on.
    pub numbers: Vec<(&'static str, f64)>,
    /// What it says.
    pub text: String,
    /// What to try.
    pub advice: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.kind, self.text, self.advice)
    }
}

/// What is amiss between two reports of a pipeline, the gravest first; without
/// an older one, since its start. A stall takes two reports.
///
/// # Examples
/// ```
/// # use standpipe::diagnose::findings;
/// # use standpipe::stage::{count, iter};
/// # use standpipe::{Overflow, Pipeline, Tank};
/// let finished = Pipeline::from("numbers", iter(0..10_000_u64))
///     .tank(Tank::items(4).overflow(Overflow::DropOldest).named("latest"))
///     .to("count", count())
///     .threads()?
///     .wait()?;
/// for finding in findings(None, &finished.report) {
///     println!("{finding}"); // dropping: tank `latest` dropped … items; …
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn findings(older: Option<&Report>, newer: &Report) -> Vec<Finding> {
    let stretch = Stretch::new(older, newer);
    let verdict = diagnose(older, newer);
    let mut found = Vec::new();
    if stretch.span_ns >= STALL_NS {
        found.extend(older.and_then(|older| stalled(older, newer)));
    }
    found.extend((0..newer.stages.len()).filter_map(|stage| unflushed(newer, stage)));
    found.extend(blocks_executor(&stretch));
    for (index, tank) in newer.tanks.iter().enumerate() {
        found.extend(never_drained(&stretch, index, tank));
        found.extend(oversize_items(&stretch, index, tank));
        found.extend(tank_too_large(&stretch, index, tank));
    }
    found.extend(budget_full(&stretch));
    for (index, tank) in newer.tanks.iter().enumerate() {
        found.extend(dropping(&stretch, index, tank));
    }
    let low = |(index, tank)| low_mark_too_low(&stretch, &verdict, index, tank);
    let low: Vec<Finding> = newer.tanks.iter().enumerate().filter_map(low).collect();
    // where the low-water mark is to blame, or the budget as often as not, the
    // high one is not
    let blamed = |small: &Finding| {
        let pauses = |tank| stretch.tank(tank, |tank| tank.pauses);
        let short = |tank| waits_for_budget(&stretch, tank).saturating_mul(2) >= pauses(tank);
        low.iter().any(|low| low.place == small.place)
            || matches!(small.place, Place::Tank(tank) if pauses(tank) > 0 && short(tank))
    };
    found.extend(tank_too_small(&stretch, &verdict).into_iter().filter(|small| !blamed(small)));
    found.extend(low);
    found.extend(small_items(&stretch, &verdict));
    found
}

#[expect(clippy::cast_precision_loss, reason = "evidence needs three digits")]
const fn number(value: u64) -> f64 {
    value as f64
}

fn stalled(older: &Report, newer: &Report) -> Option<Finding> {
    let stall = stall(older, newer)?;
    Some(Finding {
        kind: FindingKind::Stalled,
        place: Place::Stage(stall.stage),
        numbers: vec![("since_ns", number(stall.since_ns))],
        text: stall.to_string(),
        advice: if stall.short_tank.is_some() {
            "a larger budget, or none for that tank"
        } else {
            "look at that stage: all others wait for it"
        },
    })
}

/// A transform has taken items, was told that nothing more comes, and has
/// given nothing for them since. A sink has nobody to give to.
fn unflushed(newer: &Report, index: usize) -> Option<Finding> {
    let stage = newer.stages.get(index).filter(|stage| stage.kept_items > 0)?;
    let idles = stage.state == StageState::Starved && stage.in_state_ns >= UNFLUSHED_NS;
    let gives = newer.joins.iter().any(|join| join.from == index);
    let tenths = stage.in_state_ns.checked_div(100_000_000).unwrap_or(0);
    (idles && gives).then(|| Finding {
        kind: FindingKind::Unflushed,
        place: Place::Stage(index),
        numbers: vec![
            ("kept_items", number(stage.kept_items)),
            ("idle_ns", number(stage.in_state_ns)),
        ],
        text: format!(
            "`{}` has given nothing for the last {} items, and its input idles for {:.1} s",
            stage.name,
            stage.kept_items,
            number(tenths) / 10.0
        ),
        advice: "give on in `idle` what it keeps; if it drops them, say so (`keeps`)",
    })
}

fn blocks_executor(stretch: &Stretch<'_>) -> Option<Finding> {
    let polls = stretch.newer.stages.iter().enumerate();
    let (index, stage) = polls.max_by_key(|(_, stage)| stage.poll_longest_ns)?;
    if stage.poll_longest_ns <= LONG_POLL_NS || !stretch.newer.shares_threads {
        return None;
    }
    let ms = stage.poll_longest_ns.checked_div(1_000_000).unwrap_or(0);
    Some(Finding {
        kind: FindingKind::BlocksExecutor,
        place: Place::Stage(index),
        numbers: vec![("poll_longest_ns", number(stage.poll_longest_ns))],
        text: format!("`{}` kept its thread for {ms} ms", stage.name),
        advice: "give it a thread (`threads`), or do less between two awaits",
    })
}

fn never_drained(stretch: &Stretch<'_>, index: usize, tank: &TankSnapshot) -> Option<Finding> {
    let past = |tank: &TankSnapshot| tank.past_mark.iter().map(|line| line.written.items).sum();
    let items = stretch.tank(index, past);
    let line = tank.past_mark.iter().max_by_key(|line| line.written.items)?;
    (items > 0).then(|| Finding {
        kind: FindingKind::NeverDrained,
        place: Place::Tank(index),
        numbers: vec![("past_mark_items", number(items))],
        text: format!(
            "{} wrote {} items past the mark of tank `{}`",
            line.line, line.written.items, tank.name
        ),
        advice: "wait for `drained`, use `send`, or let a pipeline do it",
    })
}

fn oversize_items(stretch: &Stretch<'_>, index: usize, tank: &TankSnapshot) -> Option<Finding> {
    let items = stretch.tank(index, |tank| tank.oversize);
    (items > 0 && tank.unit != Unit::Items).then(|| Finding {
        kind: FindingKind::OversizeItems,
        place: Place::Tank(index),
        numbers: vec![("oversize_items", number(items)), ("high", number(tank.high as u64))],
        text: format!("{items} items weigh more than tank `{}` with its {}", tank.name, tank.high),
        advice: "set a mark above the heaviest item, or split the items",
    })
}

/// What is never taken out only delays: too much of it if the items behind it
/// wait for a second.
fn tank_too_large(stretch: &Stretch<'_>, index: usize, tank: &TankSnapshot) -> Option<Finding> {
    let read = stretch.tank(index, |tank| tank.read.weight);
    let lowest = stretch.lowest(index, tank);
    let delay_ns = number(lowest) * number(stretch.span_ns) / number(read.max(1));
    let passed = read >= (tank.high as u64).saturating_mul(8);
    (passed && delay_ns >= STANDING_NS).then(|| Finding {
        kind: FindingKind::TankTooLarge,
        place: Place::Tank(index),
        numbers: vec![("lowest", number(lowest)), ("delay_ns", delay_ns)],
        text: format!(
            "{lowest} {} never leave tank `{}`: {:.1} s of pure latency",
            tank.unit,
            tank.name,
            delay_ns / 1e9
        ),
        advice: "lower its high-water mark by that much",
    })
}

fn waits_for_budget(stretch: &Stretch<'_>, tank: usize) -> u64 {
    stretch.tank(tank, |tank| tank.budget.map_or(0, |budget| budget.waits))
}

/// Tanks shut below their marks because their budget had no more for them: that
/// alone shows that it was three quarters full. A tank that is never empty could
/// do with less of it.
fn budget_full(stretch: &Stretch<'_>) -> Vec<Finding> {
    let tanks = &stretch.newer.tanks;
    let part = |tank: usize| tanks.get(tank).and_then(|tank| tank.budget);
    let mut budgets: Vec<usize> = tanks.iter().filter_map(|tank| Some(tank.budget?.id)).collect();
    budgets.sort_unstable();
    budgets.dedup();
    let of = |id| {
        let shares = move |tank: &usize| part(*tank).is_some_and(|budget| budget.id == id);
        (0..tanks.len()).filter(shares)
    };
    let waits = |tank: &usize| waits_for_budget(stretch, *tank) > 0;
    budgets
        .into_iter()
        .filter_map(|id| {
            let waiting = of(id).filter(waits).count();
            let first = of(id).find(waits)?;
            let limit = part(first)?.limit;
            let standing = |tank: usize| tanks.get(tank).map_or(0, |now| stretch.lowest(tank, now));
            // of equals the first
            let most = of(id).rev().max_by_key(|tank| standing(*tank))?;
            let lowest = standing(most);
            let (many, wait) = if waiting == 1 { ("", "waits") } else { ("s", "wait") };
            let text = format!("{waiting} tank{many} {wait} for the common budget of {limit}");
            let numbers = vec![
                ("waiting_tanks", number(waiting as u64)),
                ("limit", number(limit as u64)),
                ("standing", number(lowest)),
            ];
            let kind = FindingKind::BudgetFull;
            Some(if lowest > 0 {
                let name = tanks.get(most).map_or("?", |tank| &tank.name);
                let text = format!("{text}, and {lowest} of it never leave tank `{name}`");
                let advice = "lower that tank's high-water mark by that much";
                Finding { kind, place: Place::Tank(most), numbers, text, advice }
            } else {
                let advice = "a larger budget, or lower high-water marks of its tanks";
                Finding { kind, place: Place::Tank(first), numbers, text, advice }
            })
        })
        .collect()
}

fn dropping(stretch: &Stretch<'_>, index: usize, tank: &TankSnapshot) -> Option<Finding> {
    let meant = |tank: &TankSnapshot| {
        let drops = &tank.dropped;
        drops.newest.plus(drops.oldest).plus(drops.replaced).items
    };
    let items = stretch.tank(index, meant);
    (items > 0).then(|| Finding {
        kind: FindingKind::Dropping,
        place: Place::Tank(index),
        numbers: vec![("dropped_items", number(items))],
        text: format!("tank `{}` dropped {items} items", tank.name),
        advice: "if that is not meant: `Overflow::Wait`",
    })
}

/// The tank beside the slowest stage on the side where it waits longer comes
/// first, if it is one of those that are too small.
fn tank_too_small(stretch: &Stretch<'_>, verdict: &Verdict) -> Vec<Finding> {
    let worse = verdict.slowest.as_ref().and_then(|slowest| {
        let stage = slowest.position;
        let starved_ns = stretch.stage(stage, |seen| seen.starved_ns);
        let paused_ns = stretch.stage(stage, |seen| seen.paused_ns);
        let before = starved_ns > paused_ns;
        let beside = |join: &Join| {
            if before { join.to == stage } else { join.from == stage }
        };
        stretch.newer.joins.iter().position(beside)
    });
    let mut tanks = verdict.too_small.clone();
    tanks.sort_by_key(|tank| Some(*tank) != worse);
    let name = |tank: usize| stretch.newer.tanks.get(tank).map_or("?", |tank| &tank.name);
    tanks
        .into_iter()
        .map(|tank| Finding {
            kind: FindingKind::TankTooSmall,
            place: Place::Tank(tank),
            numbers: vec![("loss", verdict.loss), ("gain_at_most", verdict.gain)],
            text: format!(
                "tank `{}` swings from full to empty; tanks can gain at most {:.0}%",
                name(tank),
                verdict.gain * 100.0
            ),
            advice: "double its high-water mark",
        })
        .collect()
}

/// What lies below the low-water mark does not last until the writer is back.
fn low_mark_too_low(
    stretch: &Stretch<'_>,
    verdict: &Verdict,
    index: usize,
    tank: &TankSnapshot,
) -> Option<Finding> {
    let drain_ns = tank.drain_p99_ns.filter(|span| *span > 0)?;
    let reader = stretch.newer.joins.get(index)?.to;
    let busy_ns = stretch.stage(reader, |seen| seen.busy_ns).max(1);
    let read = stretch.tank(index, |tank| tank.read.weight);
    let needed = number(read) * number(drain_ns) / number(busy_ns);
    let starved =
        number(stretch.stage(reader, |seen| seen.starved_ns)) / number(stretch.span_ns.max(1));
    // the tank is large enough for that, if only the writer were called earlier
    let wide = number(tank.high as u64) >= 1.25 * needed;
    let dry = starved > STARVED && verdict.too_small.contains(&index);
    (dry && wide && number(tank.low as u64) < needed).then(|| Finding {
        kind: FindingKind::LowMarkTooLow,
        place: Place::Tank(index),
        numbers: vec![("low", number(tank.low as u64)), ("needed", needed)],
        text: format!("the reader of tank `{}` runs dry before its writer is back", tank.name),
        advice: "raise the low-water mark, not the high one",
    })
}

/// Part of what the slowest stage does is done once an item, and not for its
/// weight: fewer and heavier items would need less of it.
fn small_items(stretch: &Stretch<'_>, verdict: &Verdict) -> Option<Finding> {
    if !matches!(verdict.kind, VerdictKind::Bottleneck | VerdictKind::Balanced) {
        return None;
    }
    let stage = verdict.slowest.as_ref()?.position;
    let fixed = fixed_cost(&stretch.costs(stage)?).filter(|fixed| fixed.at_least > FIXED)?;
    let name = stretch.newer.stages.get(stage).map_or("?", |stage| &stage.name);
    Some(Finding {
        kind: FindingKind::SmallItems,
        place: Place::Stage(stage),
        numbers: vec![("fixed", fixed.share), ("fixed_ns", fixed.item_ns)],
        text: format!(
            "{:.0}% of what an item costs `{name}` is the same whatever it weighs",
            fixed.share * 100.0
        ),
        advice: "larger items, or several at a time",
    })
}
