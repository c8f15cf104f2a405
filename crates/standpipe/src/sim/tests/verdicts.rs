//! Verdicts over lines of which it is known what limits them.

use crate::diagnose::{Verdict, VerdictKind, diagnose};
use crate::gate::Marks;
use crate::sim::{Drive, Service, Sim, Stage};
use crate::snapshot::{Confidence, ratio};

fn line(means: &[u64], high: usize) -> Sim {
    let stages = means
        .iter()
        .enumerate()
        .map(|(index, mean_ns)| Stage::new(format!("s{index}"), Service::Exponential(*mean_ns)))
        .collect();
    let marks = Marks::half(high).expect("not zero");
    Sim::line(3, 20_000, stages, &vec![marks; means.len() - 1])
}

#[test]
fn a_slow_stage_is_the_bottleneck_in_every_position_and_certain() {
    for count in 2..6 {
        for slow in 0..count {
            let mut means = vec![300; count];
            means[slow] = 1_000;
            let verdict = line(&means, 16).run().report().verdict();
            let slowest = verdict.slowest.as_ref().unwrap();
            assert_eq!(
                (verdict.kind, slowest.position),
                (VerdictKind::Bottleneck, slow),
                "{verdict}"
            );
            assert_eq!(slowest.confidence, Confidence::Certain, "{verdict}");
            assert!(verdict.too_small.is_empty() && verdict.loss < 0.01, "{verdict:?}");
            let text = verdict.to_string();
            assert!(text.starts_with(&format!("`s{slow}` is the bottleneck: ")), "{text}");
        }
    }
}

#[test]
fn equal_stages_are_balanced_and_small_tanks_between_them_too_small() {
    let verdict = line(&[1_000, 1_000, 1_000], 4).run().report().verdict();
    assert_eq!(verdict.kind, VerdictKind::Balanced, "{verdict}");
    assert_eq!(verdict.too_small, [0, 1], "{verdict}");
    let large = line(&[1_000, 1_000, 1_000], 1 << 15).run();
    let gained = {
        let small_ns = line(&[1_000, 1_000, 1_000], 4).run().now_ns();
        ratio(small_ns, large.now_ns()) - 1.0
    };
    assert!(gained > 0.1 && gained < verdict.gain, "{gained} of {}", verdict.gain);
    assert!(large.report().verdict().too_small.is_empty());
}

#[test]
fn wakes_that_take_longer_than_the_work_are_hand_over() {
    let stages = vec![
        Stage::new("source", Service::Constant(100)),
        Stage::new("sink", Service::Constant(100)),
    ];
    let sim = Sim::line(3, 5_000, stages, &[Marks::half(1).unwrap()]).wake_latency(1_000);
    let verdict = sim.run().report().verdict();
    assert_eq!(verdict.kind, VerdictKind::HandOver, "{verdict}");
    assert_eq!(verdict.transport, [0], "{verdict:?}");
    assert!(verdict.hand_over > 0.8 && verdict.slowest.is_some(), "{verdict:?}");
}

#[test]
fn a_source_that_waits_for_its_own_input_is_told_from_one_that_computes() {
    let sim = |source: Stage| {
        let stages = vec![source, Stage::new("sink", Service::Constant(100))];
        Sim::line(3, 5_000, stages, &[Marks::half(8).unwrap()]).run().report().verdict()
    };
    let slow = || Stage::new("source", Service::Constant(1_000));
    assert_eq!(sim(slow().waits()).kind, VerdictKind::Source);
    assert_eq!(sim(slow()).kind, VerdictKind::Bottleneck);
}

#[test]
fn one_task_that_computes_is_bound_by_its_core_and_no_tank_is_blamed() {
    let verdict = line(&[1_000, 1_000, 1_000], 4).drive(Drive::OneTask).run().report().verdict();
    assert!(verdict.machine_bound && verdict.loss < 1e-9, "{verdict:?}");
    assert!(verdict.too_small.is_empty(), "{verdict}");
}

#[test]
fn a_verdict_is_of_the_time_between_two_reports() {
    let spans = |first: u64, then: u64| {
        let spans: Vec<u64> = (0..2_000).map(|n| if n < 1_000 { first } else { then }).collect();
        Service::Recorded(spans.into())
    };
    let stages = vec![
        Stage::new("source", Service::Constant(10)),
        Stage::new("early", spans(1_000, 100)),
        Stage::new("late", spans(100, 1_000)),
    ];
    let mut run = Sim::line(3, 2_000, stages, &[Marks::half(8).unwrap(); 2]).start();
    run.until(900 * 1_000);
    let early = run.report();
    run.until(1_200 * 1_000);
    let middle = run.report();
    run.until(1_900 * 1_000);
    let late = run.report();
    let named = |verdict: Verdict| verdict.slowest.unwrap().position;
    assert_eq!(named(early.verdict()), 1);
    assert_eq!(named(diagnose(Some(&middle), &late)), 2);
    let whole = late.verdict();
    assert_eq!(whole.slowest.as_ref().unwrap().confidence, Confidence::Unsure, "{whole}");
}

#[test]
fn the_forecast_comes_true() {
    let sim = line(&[500, 1_000, 900], 8);
    let run = sim.run();
    let verdict = run.report().verdict();
    for (stage, faster) in [(0, 0.1), (1, 0.1), (2, 0.1), (1, 0.2)] {
        let mut changed = sim.clone();
        let slot = changed.stage_mut(stage).unwrap();
        *slot = slot.clone().faster(faster);
        let gained = ratio(run.now_ns(), changed.run().now_ns()) - 1.0;
        let forecast = verdict.what_if(stage, faster).unwrap();
        assert!((gained - forecast.gain).abs() < 0.03, "{stage} {faster}: {gained} {forecast:?}");
    }
    let cap = verdict.what_if(1, 0.5).unwrap();
    assert_eq!(cap.next, Some(2));
}

#[test]
fn without_a_path_two_rules_have_to_agree() {
    let mut report = line(&[300, 1_000, 300], 16).run().report();
    report.path = Default::default();
    let verdict = report.verdict();
    let slowest = verdict.slowest.unwrap();
    assert_eq!((slowest.position, slowest.confidence), (1, Confidence::Likely));
    assert!(verdict.shares.is_empty() && verdict.too_small.is_empty());
}
