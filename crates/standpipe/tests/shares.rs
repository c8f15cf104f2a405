//! Whose time the result waited for, in pipelines that really run: on a clock
//! of the test's, or tokio's paused one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use standpipe::diagnose::{VerdictKind, diagnose};
use standpipe::pipeline::Monitor;
use standpipe::sim::{Publish, Service, Sim, Stage};
use standpipe::snapshot::{Confidence, Report, StageSnapshot, StageState};
use standpipe::stage::{Emit, Sink, Transform, fold, iter};
use standpipe::{Batch, Budget, Marks, Pipeline, Tank};

type Bare = std::convert::Infallible;

/// A clock that only moves when somebody works.
#[derive(Clone, Default)]
struct Manual {
    now_ns: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

impl Manual {
    fn clock(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let clock = self.clone();
        move || {
            clock.read.fetch_add(1, Ordering::SeqCst);
            clock.now_ns.load(Ordering::SeqCst)
        }
    }

    fn spend(&self, cost_ns: u64) -> impl FnMut(u64) -> u64 + Send + 'static {
        let clock = self.clone();
        move |item| {
            clock.now_ns.fetch_add(cost_ns, Ordering::SeqCst);
            item
        }
    }
}

fn shares(report: &Report) -> Vec<f64> {
    report.verdict().shares
}

/// Items of three to five stages that compute, by a manual clock.
fn computing(clock: &Manual, costs: &[u64], items: u64) -> standpipe::pipeline::Ready<u64> {
    let count = fold(0, |count, _: u64| count + 1);
    let tank = || Tank::items(8);
    let at = |stage: usize| clock.spend(costs[stage]);
    let first = Pipeline::from_with_clock("source", iter(0..items), clock.clock())
        .map("s0", at(0))
        .tank(tank())
        .map("s1", at(1))
        .tank(tank())
        .map("s2", at(2));
    match costs.len() {
        3 => first.to("count", count),
        4 => first.tank(tank()).map("s3", at(3)).to("count", count),
        _ => first.tank(tank()).map("s3", at(3)).tank(tank()).map("s4", at(4)).to("count", count),
    }
}

/// Every position of a slow stage in lines of three to five.
fn positions() -> impl Iterator<Item = (usize, usize)> {
    (3..=5).flat_map(|count| (0..count).map(move |slow| (count, slow)))
}

fn slow_at(count: usize, slow: usize, slow_cost: u64, cost: u64) -> Vec<u64> {
    (0..count).map(|stage| if stage == slow { slow_cost } else { cost }).collect()
}

#[tokio::test]
async fn in_one_task_the_share_is_the_time_a_stage_ran() {
    for costs in [vec![10, 1, 1], vec![5, 5, 5], vec![1, 2, 30, 4], vec![3, 1, 4, 1, 5]] {
        let clock = Manual::default();
        let report = computing(&clock, &costs, 2_000).run().await.unwrap().report;
        let all: u64 = costs.iter().sum();
        let verdict = report.verdict();
        for (share, cost) in verdict.shares.iter().zip(&costs) {
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let ran = *cost as f64 / all as f64;
            assert!((share - ran).abs() < 0.001, "{costs:?}: {:?}", verdict.shares);
        }
        assert!(verdict.hand_over < 0.001 && verdict.machine_bound, "{verdict:?}");
        assert!(verdict.loss < 0.001, "one task is busy all the time: {verdict:?}");
    }
}

#[tokio::test]
async fn a_slow_stage_is_named_in_every_position_of_one_task() {
    for (count, slow) in positions() {
        let clock = Manual::default();
        let costs = slow_at(count, slow, 50, 5);
        let verdict = computing(&clock, &costs, 4_000).run().await.unwrap().report.verdict();
        let slowest = verdict.slowest.clone().unwrap();
        assert_eq!((verdict.kind, slowest.position), (VerdictKind::Bottleneck, slow), "{verdict}");
        assert_eq!(slowest.confidence, Confidence::Certain, "{verdict}");
    }
}

/// Moves the clock when all others wait: what they cost is nothing.
fn spend_alone(
    clock: &Manual,
    monitor: &Arc<OnceLock<Monitor>>,
    alone: usize,
) -> impl FnMut(u64) -> u64 + Send + 'static {
    let (clock, monitor) = (clock.clone(), monitor.clone());
    move |item| {
        let waits = |stage: &StageSnapshot| {
            matches!(stage.state, StageState::Starved | StageState::Paused | StageState::Done)
        };
        let others_wait = || {
            let stages = monitor.get().expect("set before it runs").report().stages;
            stages.iter().enumerate().all(|(index, stage)| index == alone || waits(stage))
        };
        while !others_wait() {
            std::thread::yield_now();
        }
        clock.now_ns.fetch_add(1_000, Ordering::SeqCst);
        item
    }
}

#[test]
fn a_slow_stage_is_named_in_every_position_of_threads() {
    for slow in 0..3 {
        let clock = Manual::default();
        let monitor = Arc::new(OnceLock::new());
        let stage = |stage: usize| -> Box<dyn FnMut(u64) -> u64 + Send> {
            if stage == slow {
                Box::new(spend_alone(&clock, &monitor, slow))
            } else {
                Box::new(|item| item)
            }
        };
        let ready = Pipeline::from_with_clock("source", iter(0..300), clock.clock())
            .map("s0", stage(0))
            .tank(Tank::items(8))
            .map("s1", stage(1))
            .tank(Tank::items(8))
            .map("s2", stage(2))
            .to("count", fold(0, |count, _: u64| count + 1));
        monitor.set(ready.monitor()).expect("once");
        let done = ready.threads().unwrap().wait().unwrap();
        let verdict = done.report.verdict();
        let slowest = verdict.slowest.clone().unwrap();
        assert_eq!(slowest.position, slow, "{verdict} {:?}", verdict.shares);
        // the rest is hand-over: threads that are woken late
        let others: f64 = verdict.shares.iter().sum::<f64>() - verdict.shares[slow];
        assert!(verdict.shares[slow] > 2.0 * others, "{verdict} {:?}", verdict.shares);
    }
}

/// Takes so many milliseconds for each item, waiting for something of its own.
struct Takes {
    spans_ms: Vec<u64>,
    nth: usize,
}

impl Takes {
    const fn new(spans_ms: Vec<u64>) -> Self {
        Self { spans_ms, nth: 0 }
    }

    async fn work(&mut self) {
        let span_ms = self.spans_ms[self.nth % self.spans_ms.len()];
        self.nth += 1;
        tokio::time::sleep(Duration::from_millis(span_ms)).await;
    }
}

impl Transform for Takes {
    type In = u64;
    type Out = u64;
    type Error = Bare;

    async fn transform(&mut self, item: u64, out: &mut impl Emit<u64>) -> Result<(), Bare> {
        self.work().await;
        out.send(item).await;
        Ok(())
    }
}

impl Sink for Takes {
    type In = u64;
    type Done = ();
    type Error = Bare;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<standpipe::stage::More, Bare> {
        if batch.pop().is_some() {
            self.work().await;
        }
        Ok(standpipe::stage::More::Yes)
    }

    async fn finish(&mut self) -> Result<(), Bare> {
        Ok(())
    }
}

/// Nanoseconds of tokio's clock, which stands still while anybody can run.
fn paused_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let origin = tokio::time::Instant::now();
    move || u64::try_from(origin.elapsed().as_nanos()).expect("a short test")
}

/// A line of stages that wait for resources of their own.
fn waiting(spans_ms: [Vec<u64>; 3], tank: &Tank, items: u64) -> standpipe::pipeline::Ready<()> {
    let [first, second, third] = spans_ms;
    Pipeline::from_with_clock("source", iter(0..items), paused_clock())
        .transform("s0", Takes::new(first))
        .tank(tank.clone())
        .transform("s1", Takes::new(second))
        .tank(tank.clone())
        .to("s2", Takes::new(third))
}

#[tokio::test(start_paused = true)]
async fn a_slow_stage_is_named_in_every_position_of_tasks() {
    for slow in 0..3 {
        for one_task in [false, true] {
            let mut spans = [vec![3], vec![3], vec![3]];
            spans[slow] = vec![10];
            let ready = waiting(spans, &Tank::items(4), 400);
            let report = if one_task {
                ready.run().await.unwrap().report
            } else {
                ready.spawn().await.unwrap().report
            };
            let verdict = report.verdict();
            let slowest = verdict.slowest.clone().unwrap();
            assert_eq!(slowest.position, slow, "{one_task}: {verdict}");
            assert!(verdict.shares[slow] > 0.9, "{one_task}: {:?}", verdict.shares);
        }
    }
}

/// Spans that follow no simple pattern, of this mean.
fn spans(seed: u64, mean_ms: u64) -> Vec<u64> {
    let mut draw = standpipe::sim::Draw::new(seed, 0);
    let most = usize::try_from(2 * mean_ms - 1).expect("small");
    (0..997).map(|_| 1 + draw.below(most) as u64).collect()
}

#[tokio::test(start_paused = true)]
async fn the_simulator_foretells_what_tasks_do() {
    for (seed, means, high, limit) in [
        (1, [5, 5, 5], 4, None),
        (2, [4, 6, 5], 8, None),
        (3, [9, 8, 9], 16, None),
        (4, [5, 6, 7], 2, None),
        (5, [8, 7, 6], 1, None),
        (6, [5, 5, 5], 16, Some(8)),
        (7, [5, 6, 7], 16, Some(12)),
        (8, [8, 7, 6], 16, Some(3)),
    ] {
        const ITEMS: u64 = 3_000;
        let spans: Vec<Vec<u64>> =
            (0..3).map(|s| spans(seed * 10 + s, means[usize::try_from(s).unwrap()])).collect();
        let mut tank = Tank::items(high);
        if let Some(limit) = limit {
            tank = tank.budget(&Budget::items(limit));
        }
        let live = waiting([spans[0].clone(), spans[1].clone(), spans[2].clone()], &tank, ITEMS);
        let live = live.spawn().await.unwrap().report;
        let stage = |index: usize| {
            let ns: Vec<u64> = spans[index].iter().map(|ms| ms * 1_000_000).collect();
            Stage::new(format!("s{index}"), Service::Recorded(ns.into())).waits()
        };
        let marks = [Marks::half(high).unwrap(); 2];
        // what is sent, not fed, is seen at once
        let mut sim = Sim::line(seed, ITEMS, vec![stage(0), stage(1), stage(2)], &marks)
            .publish(Publish::Each);
        if let Some(limit) = limit {
            sim = sim.budget(limit, &[0, 1]);
        }
        let simulated = sim.run().report();
        let ratio = live.elapsed.as_secs_f64() / simulated.elapsed.as_secs_f64();
        assert!((ratio - 1.0).abs() < 0.05, "{means:?} {high}: {ratio}");
        for (one, other) in shares(&live).iter().zip(shares(&simulated)) {
            let (live, simulated) = (shares(&live), shares(&simulated));
            assert!((one - other).abs() < 0.05, "{means:?} {high}: {live:?} {simulated:?}");
        }
    }
}

/// Four stages: always the same, exponential, with rare long stalls, and one
/// that is quick. Milliseconds; `faster` is a stage and how much less it takes.
fn mixed(faster: Option<(usize, f64)>) -> [Vec<u64>; 4] {
    let mut draw = standpipe::sim::Draw::new(11, 0);
    let mut exponential = || 40.0 - 130.0 * (1.0 - draw.unit()).ln();
    let mut spans: [Vec<f64>; 4] = [
        vec![150.0; 1_000],
        (0..1_000).map(|_| exponential()).collect(),
        (0..1_000).map(|n| if n % 60 == 59 { 2_500.0 } else { 135.0 }).collect(),
        vec![120.0; 1_000],
    ];
    if let Some((stage, part)) = faster {
        spans[stage].iter_mut().for_each(|span| *span *= 1.0 - part);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some ms")]
    let whole = |span: &f64| span.round() as u64;
    spans.map(|spans| spans.iter().map(whole).collect())
}

async fn four_stages(spans_ms: [Vec<u64>; 4], high: usize) -> Report {
    let [first, second, third, fourth] = spans_ms;
    Pipeline::from_with_clock("source", iter(0..1_000), paused_clock())
        .transform("s0", Takes::new(first))
        .tank(Tank::items(high))
        .transform("s1", Takes::new(second))
        .tank(Tank::items(high))
        .transform("s2", Takes::new(third))
        .tank(Tank::items(high))
        .to("s3", Takes::new(fourth))
        .spawn()
        .await
        .expect("nothing fails")
        .report
}

#[tokio::test(start_paused = true)]
async fn what_a_faster_stage_gains_is_foretold_and_the_one_that_gains_most_is_named() {
    for high in [1, 8, 64] {
        let base = four_stages(mixed(None), high).await;
        let verdict = base.verdict();
        let mut gains = [0.0; 4];
        for (part, points) in [(0.2, 0.04), (0.1, 0.03)] {
            for (stage, gain) in gains.iter_mut().enumerate() {
                let faster = four_stages(mixed(Some((stage, part))), high).await;
                let took = faster.elapsed.as_secs_f64() / base.elapsed.as_secs_f64();
                let foretold = 1.0 / (1.0 + verdict.what_if(stage, part).unwrap().gain);
                let error = (took - foretold).abs();
                assert!(error < points, "{high}, {stage} {part}: {took} {foretold}");
                *gain = 1.0 - took;
            }
        }
        let best = (0..4).max_by(|a, b| gains[*a].total_cmp(&gains[*b]));
        let named = verdict.slowest.as_ref().map(|slowest| slowest.position);
        assert_eq!(named, best, "{high}: {verdict} {gains:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn shares_and_hand_over_are_the_whole_time() {
    // on a clock that stands still while anybody can run nothing is hand-over
    let report = waiting([spans(1, 5), spans(2, 5), spans(3, 5)], &Tank::items(4), 2_000)
        .spawn()
        .await
        .unwrap()
        .report;
    let verdict = report.verdict();
    let sum: f64 = verdict.shares.iter().sum();
    assert!((sum - 1.0).abs() < 0.01 && verdict.hand_over < 0.01, "{verdict:?}");
    assert!(!verdict.too_small.is_empty() && verdict.loss > 0.1, "{verdict}");
}

#[tokio::test(start_paused = true)]
async fn a_verdict_while_it_runs_is_of_the_time_between_two_reports() {
    // first the middle is slow, then the sink
    let turns = |first: u64, then: u64| {
        (0..800).map(|n| if n < 400 { first } else { then }).collect::<Vec<u64>>()
    };
    for one_task in [false, true] {
        let ready = waiting([vec![2], turns(10, 2), turns(2, 10)], &Tank::items(4), 800);
        let monitor = ready.monitor();
        let watch = async {
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            let early = monitor.report();
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            let middle = monitor.report();
            tokio::time::sleep(Duration::from_millis(3_000)).await;
            (early, middle, monitor.report())
        };
        let (early, middle, late) = if one_task {
            let (done, seen) = tokio::join!(ready.run(), watch);
            done.unwrap();
            seen
        } else {
            let (done, seen) = tokio::join!(ready.spawn(), watch);
            done.unwrap();
            seen
        };
        let named = |verdict: standpipe::diagnose::Verdict| verdict.slowest.unwrap().position;
        assert_eq!(named(early.verdict()), 1, "{one_task}");
        assert_eq!(named(diagnose(Some(&middle), &late)), 2, "{one_task}");
    }
}

#[tokio::test]
async fn the_clock_is_read_for_batches_not_for_items() {
    const ITEMS: u64 = 20_000;
    let clock = Manual::default();
    let done = Pipeline::from_with_clock("source", iter(0..ITEMS), clock.clock())
        .tank(Tank::items(512))
        .map("work", |n: u64| n + 1)
        .tank(Tank::items(512))
        .to("sum", fold(0, |sum, n: u64| sum + n))
        .run()
        .await
        .unwrap();
    assert_eq!(done.done, (1..=ITEMS).sum::<u64>());
    let read = clock.read.load(Ordering::SeqCst);
    assert!(read < ITEMS / 16, "{read} readings for {ITEMS} items");
}
