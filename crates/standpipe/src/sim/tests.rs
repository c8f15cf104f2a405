//! The simulator against what can be computed by other means.

mod findings;
mod verdicts;

use super::*;
use crate::snapshot::{Report, StageState};

fn half(high: usize) -> Marks {
    Marks::half(high).unwrap()
}

fn exponential(mean_ns: u64) -> Service {
    Service::Exponential(mean_ns)
}

/// A service of about a second, so that a millionth of it is not lost to
/// rounding.
const SECOND: u64 = 1_000_000_000;

fn line(seed: u64, means: &[u64], high: usize) -> Sim {
    let stages = means
        .iter()
        .enumerate()
        .map(|(index, mean_ns)| Stage::new(format!("s{index}"), exponential(*mean_ns)))
        .collect();
    Sim::line(seed, 600, stages, &vec![half(high); means.len() - 1])
}

/// Every shape there is, one after the other.
fn shapes(seed: u64) -> Vec<(&'static str, Sim)> {
    let means = [SECOND, SECOND * 5 / 4, SECOND * 9 / 8, SECOND];
    let diamond = |spread: Spread, shape: Shape| {
        let mut sim = Sim::new(seed, 400);
        let source = sim.stage(Stage::new("source", exponential(SECOND)).spread(spread));
        let one = sim.stage(Stage::new("one", exponential(SECOND * 5 / 4)));
        let two = sim.stage(Stage::new("two", exponential(SECOND)));
        let sink = sim.stage(Stage::new("sink", exponential(SECOND)).shape(shape));
        for (from, to) in [(source, one), (source, two), (one, sink), (two, sink)] {
            sim.join(from, to, half(4));
        }
        sim
    };
    let workers = |order: fn(Stage) -> Stage| {
        let stages = vec![
            Stage::new("source", exponential(SECOND)),
            order(Stage::new("workers", exponential(SECOND * 3)).workers(3)),
            Stage::new("sink", exponential(SECOND)),
        ];
        Sim::line(seed, 400, stages, &[half(4), half(2)])
    };
    let mut two_sources = Sim::new(seed, 400);
    for name in ["left", "right"] {
        two_sources.stage(Stage::new(name, exponential(SECOND * 3 / 2)));
    }
    let both = two_sources.stage(Stage::new("both", exponential(SECOND)));
    two_sources.join(0, both, half(4));
    two_sources.join(1, both, half(2));
    let mut fan_in = Sim::new(seed, 400);
    for name in ["left", "right"] {
        fan_in.stage(Stage::new(name, exponential(SECOND * 3 / 2)));
    }
    let sink = fan_in.stage(Stage::new("sink", exponential(SECOND)));
    fan_in.join(0, sink, half(4));
    fan_in.join(1, sink, half(4));
    vec![
        ("marks of 1", line(seed, &means, 1)),
        ("marks of 8", line(seed, &means, 8)),
        ("gathered", line(seed, &means, 8).publish(Publish::Gathered)),
        ("wake latency", line(seed, &means, 4).wake_latency(SECOND / 10)),
        ("one task", line(seed, &means, 4).drive(Drive::OneTask)),
        (
            "one task, gathered",
            line(seed, &means, 4).drive(Drive::OneTask).publish(Publish::Gathered),
        ),
        ("broadcast and zip", diamond(Spread::Broadcast, Shape::Zip)),
        ("partition and merge", diamond(Spread::Partition, Shape::Merge)),
        ("workers in order", workers(|stage| stage)),
        ("workers as they come", workers(Stage::unordered)),
        ("two sources", two_sources),
        ("fan-in", fan_in.clone()),
        ("a budget over a line", line(seed, &means, 8).budget(10, &[0, 1, 2])),
        ("a budget over part of it", line(seed, &means, 8).budget(6, &[0, 2])),
        ("a budget of nothing", line(seed, &means, 8).budget(0, &[0, 1, 2])),
        (
            "a budget, gathered",
            line(seed, &means, 8).publish(Publish::Gathered).budget(10, &[0, 1, 2]),
        ),
        ("a budget in one task", line(seed, &means, 8).drive(Drive::OneTask).budget(5, &[0, 1])),
        (
            "a budget over a diamond",
            diamond(Spread::Broadcast, Shape::Zip).budget(7, &[0, 1, 2, 3]),
        ),
        ("a budget and fan-in", fan_in.budget(3, &[0, 1])),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(report: &Report, stage: usize) -> f64 {
    let now = report.path.last().unwrap();
    now.stage_ns[stage] as f64 / now.at_ns as f64
}

#[test]
fn the_share_is_what_the_line_gains_per_gain_of_the_stage() {
    // the definition, by running the line again with one stage a millionth
    // faster: so little that no other chain comes to be the last
    const PART: f64 = 1e-6;
    for seed in 0..3 {
        for (name, sim) in shapes(seed) {
            let run = sim.run();
            let report = run.report();
            for stage in 0..sim.stages.len() {
                let mut faster = sim.clone();
                faster.stages[stage].left *= 1.0 - PART;
                let saved_ns = run.now_ns() - faster.run().now_ns();
                #[expect(clippy::cast_precision_loss, reason = "a share")]
                let gain = saved_ns as f64 / run.now_ns() as f64 / PART;
                let share = share(&report, stage);
                assert!((gain - share).abs() < 2e-3, "{name}, stage {stage}: {share} {gain}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for ((name, one), (_, other)) in shapes(3).into_iter().zip(shapes(3)) {
        assert_eq!(
            format!("{:?}", one.run().report()),
            format!("{:?}", other.run().report()),
            "{name}"
        );
    }
}

#[test]
fn states_add_up_to_wall_time_and_items_are_all_accounted_for() {
    for (name, sim) in shapes(11) {
        let mut run = sim.start();
        // at any moment, open waits included
        for at_ns in [1, SECOND, 77 * SECOND / 3, u64::MAX] {
            run.until(at_ns);
            let report = run.report();
            for stage in &report.stages {
                let open = stage.state != StageState::Done;
                if open && at_ns < u64::MAX && sim.stages[stage.id.index].workers == 1 {
                    assert_eq!(stage.wall_ns(), run.now_ns(), "{name} {stage:?}");
                }
            }
            for tank in &report.tanks {
                let gone = tank.read.plus(tank.dropped.total());
                assert_eq!(tank.written.weight, gone.weight + tank.level as u64, "{name} {tank:?}");
            }
        }
        assert!(run.is_over(), "{name}");
    }
}

#[test]
fn the_mean_level_is_the_rate_times_the_mean_stay() {
    for (name, sim) in shapes(12) {
        let run = sim.run();
        for (index, tank) in run.report().tanks.iter().enumerate() {
            let (Some(mean), Some(stay_ns)) = (tank.mean_level, run.mean_sojourn_ns(index)) else {
                panic!("{name}: nothing went through {}", tank.name);
            };
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let rate = tank.read.items as f64 / run.now_ns() as f64;
            let little = rate * stay_ns;
            assert!((mean - little).abs() < 1e-6 * mean, "{name} {}: {mean} {little}", tank.name);
        }
    }
}

#[test]
fn a_change_to_one_stage_shifts_no_draw_of_another() {
    let busy = |sim: &Sim| sim.run().report().stages.iter().map(|s| s.busy_ns).collect::<Vec<_>>();
    let plain = busy(&line(5, &[SECOND; 3], 4));
    let mut changed = line(5, &[SECOND; 3], 4);
    changed.stages[1].service = Service::Lognormal { mean_ns: SECOND, cv: 2.0 };
    let changed = busy(&changed);
    assert_eq!((plain[0], plain[2]), (changed[0], changed[2]));
    assert_ne!(plain[1], changed[1]);
}

#[test]
fn two_stages_that_are_slow_by_turns_have_half_each() {
    let turns = |first: u64, second: u64| {
        let spans: Vec<u64> = (0..1_000).map(|n| if n < 500 { first } else { second }).collect();
        Service::Recorded(spans.into())
    };
    let stages = vec![
        Stage::new("source", Service::Constant(10)),
        Stage::new("one", turns(1_000, 380)),
        Stage::new("two", turns(380, 1_000)),
        Stage::new("sink", Service::Constant(10)),
    ];
    let report = Sim::line(1, 20_000, stages, &[half(16); 3]).run().report();
    for stage in [1, 2] {
        assert!((share(&report, stage) - 0.5).abs() < 0.01, "{:?}", share(&report, stage));
        assert!((report.stages[stage].busy() - 0.69).abs() < 0.01, "{:?}", report.stages[stage]);
    }
}

#[test]
fn in_one_task_that_computes_the_share_is_the_time_it_ran() {
    for publish in [Publish::Each, Publish::Gathered] {
        let sim =
            line(9, &[SECOND, SECOND * 2, SECOND / 2], 8).drive(Drive::OneTask).publish(publish);
        let run = sim.run();
        let report = run.report();
        for (stage, seen) in report.stages.iter().enumerate() {
            let ran_ns = seen.busy_ns - seen.not_running_ns;
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let ran = ran_ns as f64 / run.now_ns() as f64;
            assert!((share(&report, stage) - ran).abs() < 1e-9, "{publish:?} {seen:?}");
        }
    }
}

#[test]
fn one_task_waits_for_resources_side_by_side() {
    let stages = vec![
        Stage::new("read", Service::Constant(1_000)).waits(),
        Stage::new("write", Service::Constant(900)).waits(),
    ];
    let run = Sim::line(1, 1_000, stages, &[half(8)]).drive(Drive::OneTask).run();
    assert!(run.now_ns() < 1_000 * 1_100, "{}", run.now_ns());
    let report = run.report();
    assert!(share(&report, 0) > 0.95, "{report:?}");
    assert_eq!(report.stages[0].own_wait_ns, 1_000 * 1_000);
}

#[test]
fn a_rate_limit_is_a_stage_that_holds_back() {
    let stages = vec![
        Stage::new("source", Service::Constant(10)),
        Stage::new("limit", Service::Paced(1_000)),
        Stage::new("sink", exponential(300)),
    ];
    let report = Sim::line(4, 2_000, stages, &[half(16); 2]).run().report();
    assert!(share(&report, 1) > 0.9, "{report:?}");
}

#[test]
fn fates_come_true() {
    let sim = |fate| {
        let stages = vec![
            Stage::new("source", Service::Constant(10)),
            Stage::new("middle", Service::Constant(10)).fate(50, fate),
            Stage::new("sink", Service::Constant(10)),
        ];
        Sim::line(4, 1_000, stages, &[half(4); 2])
    };
    let ended = sim(Fate::End).run();
    assert!(ended.is_over() && ended.failed().is_none());
    assert_eq!(ended.report().stages[2].taken.items, 50);
    assert_eq!(sim(Fate::Fail).run().failed(), Some(1));
    let mut stalled = sim(Fate::Stall).start();
    stalled.until(1_000_000);
    let report = stalled.report();
    assert!(!stalled.is_over());
    let states: Vec<StageState> = report.stages.iter().map(|stage| stage.state).collect();
    assert_eq!(states, [StageState::Paused, StageState::Busy, StageState::Starved]);
    assert!(report.stages[2].starved_longest_ns > 990_000, "an open wait counts: {report:?}");
}

#[test]
fn a_tank_that_loses_items_makes_nobody_wait() {
    for (overflow, loses) in [
        (Overflow::DropNewest, true),
        (Overflow::DropOldest, true),
        (Overflow::KeepLatest, true),
        (Overflow::Grow, false),
    ] {
        let stages = vec![
            Stage::new("fast", Service::Constant(10)),
            Stage::new("slow", Service::Constant(100)),
        ];
        let report = Sim::line(4, 1_000, stages, &[half(4)]).overflow(0, overflow).run().report();
        assert_eq!(report.stages[0].paused_ns, 0, "{overflow:?}");
        assert_eq!(report.tanks[0].dropped.total().items > 0, loses, "{overflow:?}");
        assert_eq!(report.tanks[0].peak > 5, !loses, "{overflow:?} {:?}", report.tanks[0]);
    }
}

#[test]
fn weights_fill_a_tank_and_one_item_may_overshoot() {
    let stages = vec![
        Stage::new("source", Service::Constant(10)).weights(Weights::Between(1, 100)),
        Stage::new("sink", Service::Constant(100)),
    ];
    let report = Sim::line(4, 1_000, stages, &[half(256)]).run().report();
    let peak = report.tanks[0].peak;
    assert!((256..256 + 100).contains(&peak), "{peak}");
}
