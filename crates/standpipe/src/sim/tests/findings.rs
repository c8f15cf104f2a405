//! A scenario for each finding, which has that one and no other; stalls whose
//! culprit is known; healthy lines, which have none.

use crate::diagnose::{FindingKind, Holder, Place, Stall, findings, stall};
use crate::gate::Marks;
use crate::overflow::Overflow;
use crate::sim::{Drive, Fate, Publish, Service, Shape, Sim, Spread, Stage, Trial, Weights};
use crate::snapshot::{Report, Unit};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

fn half(high: usize) -> Marks {
    Marks::half(high).expect("not zero")
}

fn constant(name: &str, span_ns: u64) -> Stage {
    Stage::new(name, Service::Constant(span_ns))
}

fn line(items: u64, stages: Vec<Stage>, high: usize) -> Sim {
    let marks = vec![half(high); stages.len() - 1];
    Sim::line(7, items, stages, &marks)
}

/// The run has exactly this finding, with this text.
#[track_caller]
fn check(report: &Report, kind: FindingKind, place: Place, text: &str) {
    let found = findings(None, report);
    let kinds: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{kinds:?}");
    assert_eq!((found[0].kind, found[0].place), (kind, place), "{kinds:?}");
    assert_eq!(found[0].text, text);
    assert!(!found[0].advice.is_empty() && !found[0].numbers.is_empty());
}

#[test]
fn a_poll_that_keeps_the_thread() {
    let stages = vec![constant("read", MS), constant("parse", 41 * MS), constant("write", MS)];
    let report = line(100, stages, 8).drive(Drive::OneTask).run().report();
    let text = "`parse` kept its thread for 41 ms";
    check(&report, FindingKind::BlocksExecutor, Place::Stage(1), text);
}

#[test]
fn a_tank_that_drops() {
    let stages = vec![constant("fast", 10), constant("slow", 100)];
    let report = line(1_000, stages, 8).overflow(0, Overflow::DropOldest).run().report();
    let dropped = report.tanks[0].dropped.oldest.items;
    assert!(dropped > 500, "{dropped}");
    let text = format!("tank `fast→slow` dropped {dropped} items");
    check(&report, FindingKind::Dropping, Place::Tank(0), &text);
}

#[test]
fn a_writer_that_never_waits() {
    let stages = vec![constant("fast", 10), constant("slow", 100)];
    let mut sim = line(1_000, stages, 8);
    sim = sim.overflow(0, Overflow::Grow);
    let report = sim.run().report();
    let past = report.tanks[0].past_mark[0].clone();
    let text = format!(
        "{} wrote {} items past the mark of tank `fast→slow`",
        past.line, past.written.items
    );
    check(&report, FindingKind::NeverDrained, Place::Tank(0), &text);
}

#[test]
fn items_heavier_than_the_mark() {
    let stages =
        vec![constant("frames", 100).weights(Weights::Between(1, 100)), constant("sink", 10)];
    let report = line(1_000, stages, 64).run().report();
    assert_eq!(report.tanks[0].unit, Unit::Weight);
    let items = report.tanks[0].oversize;
    let text = format!("{items} items weigh more than tank `frames→sink` with its 64");
    check(&report, FindingKind::OversizeItems, Place::Tank(0), &text);
}

#[test]
fn a_tank_that_delays_everything_by_seconds() {
    let seen = |slow_ns: u64| {
        let stages = vec![constant("fast", slow_ns / 100), constant("slow", slow_ns)];
        let mut trial = line(5_000, stages, 128).start();
        trial.until(slow_ns * 500);
        let older = trial.report();
        trial.until(slow_ns * 2_000);
        findings(Some(&older), &trial.report())
    };
    let found = seen(100 * MS);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].place), (FindingKind::TankTooLarge, Place::Tank(0)));
    assert_eq!(found[0].text, "64 weight never leave tank `fast→slow`: 6.2 s of pure latency");
    // the same tank is right where items take a thousandth of that
    assert!(seen(100_000).is_empty());
}

#[test]
fn a_tank_that_swings_from_full_to_empty() {
    let bursty = Service::Stalls { mean_ns: 1_000, every: 50 };
    let stages = vec![Stage::new("bursty", bursty.clone()), Stage::new("too", bursty)];
    let sim = line(20_000, stages, 4);
    let report = sim.run().report();
    let gain = report.verdict().gain;
    let text = format!(
        "tank `bursty→too` swings from full to empty; tanks can gain at most {:.0}%",
        gain * 100.0
    );
    check(&report, FindingKind::TankTooSmall, Place::Tank(0), &text);
}

#[test]
fn a_low_water_mark_that_lets_the_reader_run_dry() {
    let stages = vec![constant("read", 50), constant("work", 100)];
    let marks = |low| [Marks::new(64, low).expect("below")];
    let sim = |low| Sim::line(7, 5_000, stages.clone(), &marks(low)).wake_latency(3_000);
    let found = findings(None, &sim(0).run().report());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].place), (FindingKind::LowMarkTooLow, Place::Tank(0)));
    assert_eq!(found[0].text, "the reader of tank `read→work` runs dry before its writer is back");
    assert!(sim(40).run().now_ns() * 100 < sim(0).run().now_ns() * 85, "raising it helps");
    assert!(findings(None, &sim(40).run().report()).is_empty());
}

/// Twelve lines that do what they should.
fn healthy() -> Vec<(&'static str, Sim)> {
    let exponential = |name: &str, mean_ns| Stage::new(name, Service::Exponential(mean_ns));
    let three = |a, b, c| vec![exponential("a", a), exponential("b", b), exponential("c", c)];
    let diamond = |spread, shape| {
        let mut sim = Sim::new(7, 10_000);
        for stage in [
            exponential("split", 1_000).spread(spread),
            exponential("left", 3_000),
            exponential("right", 300),
            exponential("join", 300).shape(shape),
        ] {
            sim.stage(stage);
        }
        for (from, to) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
            sim.join(from, to, half(64));
        }
        sim
    };
    vec![
        ("slow source", line(10_000, three(3_000, 300, 300), 64)),
        ("slow middle", line(10_000, three(300, 3_000, 300), 64)),
        ("slow sink", line(10_000, three(300, 300, 3_000), 64)),
        ("large tanks", line(10_000, three(1_000, 1_000, 1_000), 1_024)),
        ("small tanks beside a clear bottleneck", line(10_000, three(10, 3_000, 10), 2)),
        ("gathered", line(10_000, three(300, 3_000, 300), 64).publish(Publish::Gathered)),
        ("one task", line(10_000, three(1_000, 1_000, 1_000), 8).drive(Drive::OneTask)),
        (
            "a rate limit",
            line(
                10_000,
                vec![
                    constant("a", 10),
                    Stage::new("limit", Service::Paced(1_000)).waits(),
                    exponential("c", 100),
                ],
                16,
            ),
        ),
        (
            "an idle source",
            line(
                100,
                vec![
                    constant("tail", SECOND).waits(),
                    constant("parse", 1_000),
                    constant("write", 1_000),
                ],
                16,
            ),
        ),
        (
            "workers",
            line(
                10_000,
                vec![
                    exponential("a", 300),
                    exponential("b", 3_000).workers(4),
                    exponential("c", 300),
                ],
                64,
            ),
        ),
        ("broadcast and zip", diamond(Spread::Broadcast, Shape::Zip)),
        ("partition and merge", diamond(Spread::Partition, Shape::Merge)),
    ]
}

#[test]
fn a_healthy_line_has_no_finding() {
    for (name, sim) in healthy() {
        let mut trial = sim.start();
        trial.until(4 * MS);
        let early = trial.report();
        trial.until(12 * MS);
        for (older, newer) in [(None, &early), (Some(&early), &trial.report())] {
            let found = findings(older, newer);
            assert!(found.is_empty(), "{name}: {:?}", found[0].to_string());
        }
        trial.until(u64::MAX);
        let found = findings(None, &trial.report());
        assert!(found.is_empty(), "{name}: {:?}", found[0].to_string());
    }
}

/// What is said of a run that stands still, less than a second after it began
/// to.
fn stalled(sim: &Sim, began_ns: u64) -> (Stall, Report) {
    let mut trial: Trial = sim.start();
    trial.until(began_ns + 100 * MS);
    let older = trial.report();
    trial.until(began_ns + 700 * MS);
    let newer = trial.report();
    let stall = stall(&older, &newer).expect("nothing moves");
    let found = findings(Some(&older), &newer);
    assert_eq!(found.first().map(|found| found.kind), Some(FindingKind::Stalled), "{found:?}");
    (stall, newer)
}

#[test]
fn a_sink_whose_write_never_completes() {
    let stages =
        vec![constant("a", 10), constant("b", 10), constant("c", 10).fate(50, Fate::Stall)];
    let (stall, _) = stalled(&line(1_000, stages, 8), 2_000);
    assert_eq!((stall.holder, stall.stage, &*stall.waiting), (Holder::Holds, 2, &[][..]));
    assert!(stall.since_ns > 690 * MS, "{stall:?}");
    let text = stall.to_string();
    assert_eq!(
        text,
        "nothing moves for 0.7 s: `c` holds an item and waits for something of its own"
    );
}

#[test]
fn a_stage_in_the_middle_that_holds_an_item_holds_both_sides() {
    let stages =
        vec![constant("a", 10), constant("b", 10).fate(50, Fate::Stall), constant("c", 10)];
    let (stall, _) = stalled(&line(1_000, stages, 8), 2_000);
    assert_eq!((stall.holder, stall.stage, &*stall.waiting), (Holder::Holds, 1, &[2][..]));
}

#[test]
fn a_branch_that_nobody_reads() {
    let mut sim = Sim::new(7, 1_000);
    for stage in
        [constant("all", 10), constant("read", 10), constant("unread", 10).fate(0, Fate::Stall)]
    {
        sim.stage(stage);
    }
    sim.join(0, 1, half(8));
    sim.join(0, 2, half(8));
    let (stall, _) = stalled(&sim, 2_000);
    assert_eq!((stall.holder, stall.stage), (Holder::Holds, 2), "{stall:?}");
    assert_eq!(stall.waiting, [1, 0], "the read branch waits for the source, it for the other");
}

#[test]
fn a_diamond_without_room() {
    // whoever joins one of each waits for the right branch, whose writer waits
    // at the left one, which is full
    let mut sim = Sim::new(7, 1_000);
    for stage in [
        constant("split", 10).spread(Spread::Partition),
        constant("left", 10),
        constant("right", 10),
        constant("join", 10).shape(Shape::Zip),
    ] {
        sim.stage(stage);
    }
    for (from, to) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        sim.join(from, to, half(2));
    }
    let (stall, _) = stalled(&sim, 100_000);
    assert_eq!(stall.holder, Holder::Cycle, "{stall:?}");
    assert!(stall.waiting.contains(&3) && stall.waiting.contains(&0), "{stall:?}");
}

/// A stall of the last stage of three, changed by `plant` to what a bug would
/// leave behind.
fn planted(plant: impl Fn(&mut Report)) -> Stall {
    let stages =
        vec![constant("a", 10), constant("b", 10).fate(50, Fate::Stall), constant("c", 10)];
    let mut trial = line(1_000, stages, 8).start();
    trial.until(100 * MS);
    let mut older = trial.report();
    trial.until(700 * MS);
    let mut newer = trial.report();
    plant(&mut older);
    plant(&mut newer);
    stall(&older, &newer).expect("nothing moves")
}

#[test]
fn wakes_that_were_lost_and_polls_that_never_came() {
    // `c` is starved though its tank has something
    let lost = planted(|report| report.tanks[1].level = 3);
    assert_eq!((lost.holder, lost.stage), (Holder::LostWake, 2));
    let woken = planted(|report| {
        report.tanks[1].level = 3;
        report.tanks[1].reader_parked = false;
    });
    assert_eq!((woken.holder, woken.stage), (Holder::NotPolled, 2));
    // `b` is paused though its tank is open: the drain's wake was lost
    let drain = |parked| {
        planted(move |report| {
            report.stages[1].state = crate::snapshot::StageState::Paused;
            report.tanks[1].writers_parked = parked;
        })
    };
    assert_eq!((drain(1).holder, drain(1).stage), (Holder::LostWake, 1));
    assert_eq!((drain(0).holder, drain(0).stage), (Holder::NotPolled, 1));
}

#[test]
fn a_pause_without_a_resume_and_a_clone_that_never_ends() {
    let held = planted(|report| report.tanks[1].held = true);
    assert_eq!((held.holder, held.stage), (Holder::Held, 2));
    let no_end = planted(|report| report.stages[1].state = crate::snapshot::StageState::Done);
    assert_eq!((no_end.holder, no_end.stage), (Holder::NoEnd, 2));
}

#[test]
fn a_stage_that_blocks_its_thread() {
    let runs = planted(|report| report.stages[1].busy_as = Some(crate::snapshot::BusyAs::Runs));
    assert_eq!((runs.holder, runs.stage), (Holder::Runs, 1));
}

#[test]
fn an_idle_source_and_a_line_that_is_over_are_no_stall() {
    let stages = vec![constant("a", 10 * SECOND).waits(), constant("b", 10), constant("c", 10)];
    let mut trial = line(2, stages, 8).start();
    trial.until(SECOND);
    let older = trial.report();
    trial.until(2 * SECOND);
    assert_eq!(stall(&older, &trial.report()), None);
    trial.until(u64::MAX);
    let over = trial.report();
    assert_eq!(stall(&over, &over), None);
}
