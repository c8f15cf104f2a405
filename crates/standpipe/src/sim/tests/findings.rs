//! A scenario for each finding, which has that one and no other; stalls whose
//! culprit is known; healthy lines, which have none.

use crate::diagnose::{FindingKind, Holder, Place, Stall, findings, stall};
use crate::gate::Marks;
use crate::overflow::Overflow;
use crate::sim::{Drive, Fate, Publish, Service, Shape, Sim, Spread, Stage, Trial, Weights};
use crate::snapshot::Report;

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

/// A symptom: what is seen of a line that has it, and all that is said.
struct Row {
    seen: (Option<Report>, Report),
    kind: FindingKind,
    place: Place,
    /// As it is printed, `#` for a number that the scenario draws.
    says: &'static str,
}

/// A whole run.
fn whole(sim: &Sim) -> (Option<Report>, Report) {
    (None, sim.run().report())
}

/// What is seen between two moments.
fn between(sim: &Sim, from_ns: u64, to_ns: u64) -> (Option<Report>, Report) {
    let mut trial = sim.start();
    trial.until(from_ns);
    let older = trial.report();
    trial.until(to_ns);
    (Some(older), trial.report())
}

/// The symptoms there are: something is wrong, or takes too much memory.
fn symptoms() -> Vec<Row> {
    use FindingKind as Kind;
    let row = |kind, place, seen, says| Row { seen, kind, place, says };
    let two = |from: Stage, to: Stage, high| line(1_000, vec![from, to], high);
    let fast_slow = || two(constant("fast", 10), constant("slow", 100), 8);
    vec![
        row(
            Kind::Stalled,
            Place::Stage(2),
            {
                let sink = constant("c", 10).fate(50, Fate::Stall);
                let stages = vec![constant("a", 10), constant("b", 10), sink];
                between(&line(1_000, stages, 8), 100 * MS, 700 * MS)
            },
            "stalled: nothing moves for 0.6 s: `c` holds an item and waits for something of its own; look at that stage: all others wait for it",
        ),
        row(
            Kind::Unflushed,
            Place::Stage(1),
            {
                // a 71st that is long in coming
                let mut spans = vec![10 * MS; 70];
                spans.push(60 * SECOND);
                let source = Stage::new("tail", Service::Recorded(spans.into())).waits();
                let stages = vec![source, constant("gzip", 100).keeps(32), constant("sink", 10)];
                between(&line(71, stages, 8), SECOND, 2 * SECOND)
            },
            "unflushed: `gzip` has given nothing for the last 6 items, and its input idles for 1.2 s; give on in `idle` what it keeps; if it drops them, say so (`keeps`)",
        ),
        row(
            Kind::BlocksExecutor,
            Place::Stage(1),
            {
                let stages =
                    vec![constant("read", MS), constant("parse", 41 * MS), constant("write", MS)];
                whole(&line(100, stages, 8).drive(Drive::OneTask))
            },
            "blocks-executor: `parse` kept its thread for 41 ms; give it a thread (`threads`), or do less between two awaits",
        ),
        row(
            Kind::NeverDrained,
            Place::Tank(0),
            whole(&fast_slow().overflow(0, Overflow::Grow)),
            "never-drained: # wrote # items past the mark of tank `fast→slow`; wait for `drained`, use `send`, or let a pipeline do it",
        ),
        row(
            Kind::OversizeItems,
            Place::Tank(0),
            {
                let frames = constant("frames", 0).per_weight(10).weights(Weights::Between(1, 100));
                whole(&two(frames, constant("sink", 10), 64))
            },
            "oversize-items: # items weigh more than tank `frames→sink` with its 64; set a mark above the heaviest item, or split the items",
        ),
    ]
}

/// It takes too much memory, or is slow.
fn more_symptoms() -> Vec<Row> {
    use FindingKind as Kind;
    let row = |kind, place, seen, says| Row { seen, kind, place, says };
    let dropping = line(1_000, vec![constant("fast", 10), constant("slow", 100)], 8);
    vec![
        row(
            Kind::TankTooLarge,
            Place::Tank(0),
            {
                let stages = vec![constant("fast", MS), constant("slow", 100 * MS)];
                between(&line(5_000, stages, 128), 50 * SECOND, 200 * SECOND)
            },
            "tank-too-large: 64 weight never leave tank `fast→slow`: 6.2 s of pure latency; lower its high-water mark by that much",
        ),
        row(
            Kind::BudgetFull,
            Place::Tank(0),
            {
                // 64 in each tank would stand there: half of that is all there is
                let stages = vec![constant("a", 10), constant("b", 100), constant("c", 110)];
                between(&line(5_000, stages, 64).budget(64, &[0, 1]), 100_000, 400_000)
            },
            "budget-full: 2 tanks wait for the common budget of 64, and # of it never leave tank `a→b`; lower that tank's high-water mark by that much",
        ),
        row(
            Kind::Dropping,
            Place::Tank(0),
            whole(&dropping.overflow(0, Overflow::DropOldest)),
            "dropping: tank `fast→slow` dropped # items; if that is not meant: `Overflow::Wait`",
        ),
        row(
            Kind::TankTooSmall,
            Place::Tank(0),
            {
                let bursty = Service::Stalls { mean_ns: 1_000, every: 50 };
                let stages = vec![Stage::new("bursty", bursty.clone()), Stage::new("too", bursty)];
                whole(&line(20_000, stages, 4))
            },
            "tank-too-small: tank `bursty→too` swings from full to empty; tanks can gain at most #%; double its high-water mark",
        ),
        row(
            Kind::LowMarkTooLow,
            Place::Tank(0),
            {
                let stages = vec![constant("read", 50), constant("work", 100)];
                let marks = [Marks::new(64, 0).expect("below")];
                whole(&Sim::line(7, 5_000, stages, &marks).wake_latency(3_000))
            },
            "low-mark-too-low: the reader of tank `read→work` runs dry before its writer is back; raise the low-water mark, not the high one",
        ),
        row(
            Kind::SmallItems,
            Place::Stage(1),
            {
                let source = constant("read", 100).weights(Weights::Between(1, 99));
                let work = constant("work", 1_400).per_weight(100);
                whole(&line(5_000, vec![source, work, constant("sink", 100)], 1_024))
            },
            "small-items: 22% of what an item costs `work` is the same whatever it weighs; larger items, or several at a time",
        ),
    ]
}

/// Whether a text is the one expected, with `#` for any number or place.
fn is_said(text: &str, expected: &str) -> bool {
    let mut rest = text;
    let parts: Vec<&str> = expected.split('#').collect();
    for (at, part) in parts.iter().enumerate() {
        let Some(found) = rest.find(part) else { return false };
        let skipped = &rest[..found];
        if (at == 0) != skipped.is_empty() || skipped.contains('`') {
            return false;
        }
        rest = &rest[found + part.len()..];
    }
    rest.is_empty()
}

#[test]
fn each_symptom_gives_exactly_its_finding() {
    for Row { seen: (older, newer), kind, place, says } in
        symptoms().into_iter().chain(more_symptoms())
    {
        let found = findings(older.as_ref(), &newer);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{kind}: {told:?}");
        assert_eq!((found[0].kind, found[0].place), (kind, place), "{told:?}");
        assert!(is_said(&told[0], says), "{:?} is not {says:?}", told[0]);
        assert!(found[0].numbers.iter().all(|(_, number)| number.is_finite()), "{found:?}");
        assert!(!found[0].numbers.is_empty() && !found[0].advice.is_empty(), "{found:?}");
    }
}

#[test]
fn a_symptom_is_judged_by_what_it_costs() {
    // the tank that delays by seconds is right where items take a thousandth
    let stages = vec![constant("fast", 1_000), constant("slow", 100_000)];
    let (older, newer) = between(&line(5_000, stages, 128), 50 * MS, 200 * MS);
    assert!(findings(older.as_ref(), &newer).is_empty());
    // the low-water mark is raised, as advised, and that helps
    let stages = vec![constant("read", 50), constant("work", 100)];
    let marks = |low| [Marks::new(64, low).expect("below")];
    let sim = |low| Sim::line(7, 5_000, stages.clone(), &marks(low)).wake_latency(3_000);
    assert!(sim(40).run().now_ns() * 100 < sim(0).run().now_ns() * 85);
    assert!(findings(None, &sim(40).run().report()).is_empty());
    // items as such cost a part of the time, but not of the slowest stage's
    let source = constant("read", 100).weights(Weights::Between(1, 99));
    let work = constant("work", 0).per_weight(100);
    let sink = constant("sink", 1_000);
    let marks = [half(1_024); 2];
    let sim = Sim::line(7, 5_000, vec![source, work, sink], &marks);
    assert!(findings(None, &sim.run().report()).is_empty());
    // a budget in which all tanks find room is none to speak of; in one that is
    // too small the advice helps: without what stands the rest suffices
    let stages = || vec![constant("a", 10), constant("b", 100), constant("c", 110)];
    let sim = |high, limit| line(5_000, stages(), high).budget(limit, &[0, 1]);
    assert!(findings(None, &sim(64, 200).run().report()).is_empty());
    assert!(findings(None, &sim(20, 64).run().report()).is_empty());
    let short = |high| findings(None, &sim(high, 16).run().report());
    assert_eq!(short(64).first().map(|found| found.kind), Some(FindingKind::BudgetFull));
    // a tank that waited for it once is too small all the same
    let bursty = Service::Stalls { mean_ns: 1_000, every: 50 };
    let stages = vec![Stage::new("bursty", bursty.clone()), Stage::new("too", bursty)];
    let mut report = line(20_000, stages, 4).run().report();
    let with = |report: &mut Report, waits| {
        report.tanks[0].budget = Some(crate::snapshot::TankBudget {
            id: 1,
            limit: 4,
            granted_to_all: 4,
            granted: 4,
            waits,
            wait_ns: None,
        });
        findings(None, report).iter().map(|found| found.kind).collect::<Vec<_>>()
    };
    let pauses = report.tanks[0].pauses;
    assert_eq!(with(&mut report, 1), [FindingKind::BudgetFull, FindingKind::TankTooSmall]);
    assert_eq!(with(&mut report, pauses), [FindingKind::BudgetFull]);
    // nobody could gain by that: the tank that swings is not to blame
    let bursty = Service::Stalls { mean_ns: 1_000, every: 50 };
    let stages = vec![Stage::new("bursty", bursty.clone()), Stage::new("too", bursty)];
    let found = findings(None, &line(20_000, stages, 64).budget(4, &[0]).run().report());
    let kinds: Vec<FindingKind> = found.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [FindingKind::BudgetFull], "{found:?}");
    assert!(found[0].text.starts_with("1 tank waits for the common budget of 4"), "{found:?}");
    // what a stage gives for each item is all there is to give
    let stages = vec![constant("tail", 2 * SECOND).waits(), constant("a", 10), constant("b", 10)];
    let (older, newer) = between(&line(9, stages, 8), SECOND, 3 * SECOND);
    assert!(findings(older.as_ref(), &newer).is_empty());
}

/// A stage that works on what items weigh.
fn frames() -> Sim {
    let read = constant("read", 10).weights(Weights::Between(1, 99));
    let pack = constant("pack", 0).per_weight(100);
    line(10_000, vec![read, pack, constant("send", 100)], 1_024)
}

/// Thirteen lines that do what they should.
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
        ("frames of any size", frames()),
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
