//! What meters of other systems got wrong, each with the report it came from and what is seen here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use standpipe::diagnose::{VerdictKind, diagnose};
use standpipe::gate::Flow;
use standpipe::sim::{Draw, Service, Shape, Sim, Spread, Stage};
use standpipe::snapshot::{Confidence, CriticalPath, Report, StageSnapshot, StageState};
use standpipe::stage::{Emit, Transform, count, fold, iter};
use standpipe::{Budget, Marks, Pipeline, Tank};

type Bare = std::convert::Infallible;

fn stage<'a>(report: &'a Report, name: &str) -> &'a StageSnapshot {
    report.stages.iter().find(|stage| &*stage.name == name).expect("it is in the line")
}

/// Nanoseconds of tokio's clock, which stands still while anybody can run.
fn paused_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let origin = tokio::time::Instant::now();
    move || u64::try_from(origin.elapsed().as_nanos()).expect("a short test")
}

/// Passes items on after a wait of its own.
async fn wait_ms(item: u64, span_ms: u64) -> Result<u64, Bare> {
    tokio::time::sleep(Duration::from_millis(span_ms)).await;
    Ok(item)
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_slow_sink_is_no_work() {
    // vector #24641: the stages before a slow sink seemed to be busy
    let finished = Pipeline::from_with_clock("read", iter(0..500_u64), paused_clock())
        .tank(Tank::items(8))
        .map("parse", |item| item)
        .tank(Tank::items(8))
        .ordered("send", 1, |item| wait_ms(item, 2))
        .to("count", count())
        .spawn()
        .await
        .unwrap();
    let parse = stage(&finished.report, "parse");
    assert!(parse.paused() > 0.95, "{parse:?}");
    assert!(parse.busy() < 0.01 && parse.starved() < 0.05, "{parse:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_metrics_that_stands_still_holds_nobody_up() {
    // vector #23641: metrics went through a channel, which was full
    let run = |watched: bool| async move {
        let ready = Pipeline::from_with_clock("read", iter(0..500_u64), paused_clock())
            .tank(Tank::items(8))
            .ordered("send", 1, |item| wait_ms(item, 1))
            .to("sum", fold(0, |sum, item: u64| sum + item));
        let monitor = ready.monitor();
        let events = watched.then(|| monitor.events(2)); // nobody ever reads them
        let finished = ready.spawn().await.unwrap();
        let missed = events.map_or(0, |events| events.missed());
        (finished.done, finished.report.elapsed, missed)
    };
    let (alone, watched) = (run(false).await, run(true).await);
    assert_eq!((alone.0, alone.1), (watched.0, watched.1), "the same, in the same time");
    assert!(watched.2 > 50, "and what was not read is counted: {watched:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_has_not_ended_is_seen_while_it_lasts() {
    // risingwave #13481: backpressure was counted when it was over
    let never = |item: u64| async move {
        std::future::pending::<()>().await;
        Ok::<u64, Bare>(item)
    };
    let ready = Pipeline::from_with_clock("read", iter(0..500_u64), paused_clock())
        .tank(Tank::items(8))
        .ordered("stuck", 1, never)
        .to("count", count());
    let monitor = ready.monitor();
    let running = ready.spawn();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let report = monitor.report();
    let read = stage(&report, "read");
    assert_eq!(read.state, StageState::Paused);
    assert!(read.paused_ns > 59_000_000_000 && read.paused() > 0.98, "{read:?}");
    drop(running);
}

#[tokio::test]
async fn work_that_another_thread_does_for_a_stage_is_its_work() {
    // Flink's autoscaler #686: a stage that works on a pool seemed to be idle
    let clock = Arc::new(AtomicU64::new(0));
    let works = clock.clone();
    let on_a_pool = move |item: u64| {
        let works = works.clone();
        tokio::task::spawn_blocking(move || {
            works.fetch_add(2_000_000, Ordering::SeqCst); // only there time passes
            item
        })
    };
    let now_ns = move || clock.load(Ordering::SeqCst);
    let finished = Pipeline::from_with_clock("read", iter(0..100_u64), now_ns)
        .tank(Tank::items(8))
        .ordered("pool", 1, on_a_pool)
        .to("count", count())
        .spawn()
        .await
        .unwrap();
    let report = &finished.report;
    let pool = report.stages.last().expect("two segments");
    assert!(pool.busy() > 0.95 && pool.wall_ns() == 200_000_000, "{pool:?}");
    assert_eq!(report.slowest.as_ref().map(|slowest| slowest.position), Some(1), "{report:?}");
}

fn constant(name: impl Into<String>, span_ns: u64) -> Stage {
    Stage::new(name, Service::Constant(span_ns))
}

#[test]
fn one_slow_worker_of_eight_is_not_averaged_away() {
    // Flink #505: the mean of eight, of which seven idle, looks well
    let half = Marks::half(16).unwrap();
    let mut sim = Sim::new(3, 20_000);
    let source = sim.stage(constant("read", 50).spread(Spread::Partition));
    let workers: Vec<usize> = (0..8)
        .map(|worker| {
            let span_ns = if worker == 5 { 2_000 } else { 200 };
            sim.stage(constant(format!("worker {worker}"), span_ns))
        })
        .collect();
    let sink = sim.stage(constant("write", 10).shape(Shape::Merge));
    for worker in workers {
        sim.join(source, worker, half);
        sim.join(worker, sink, half);
    }
    let report = sim.run().report();
    let verdict = report.verdict();
    assert_eq!(verdict.kind, VerdictKind::Bottleneck);
    assert_eq!(verdict.slowest.map(|slowest| slowest.name), Some("worker 5".into()));
    assert!(stage(&report, "worker 5").busy() > 0.95, "{report:?}");
    assert!(stage(&report, "worker 4").busy() < 0.2, "{report:?}");
}

#[test]
fn a_gauge_that_is_read_between_two_bursts_has_seen_them() {
    // Flink #774: what a gauge shows at the moment it is read misses the rest
    let clock = Arc::new(AtomicU64::new(0));
    let burst = {
        let clock = clock.clone();
        move |item: u64| {
            clock.fetch_add(if item.is_multiple_of(64) { 1_000_000 } else { 0 }, Ordering::SeqCst);
            item
        }
    };
    let now = { move || clock.load(Ordering::SeqCst) };
    let ready = Pipeline::from_with_clock("bursts", iter(0..640_u64), now)
        .map("now and then", burst)
        .tank(Tank::items(64))
        .to("count", count());
    let report = futures::executor::block_on(ready.run()).unwrap().report;
    let tank = &report.tanks[0];
    assert_eq!((tank.level, tank.written.items, tank.read.items), (0, 640, 640));
    assert!(tank.peak > 1, "{tank:?}");
}

#[test]
fn two_kinds_of_evidence_are_never_blended() {
    // Flink #1078: of two estimates, one was used for a part of the numbers
    let marks = Marks::half(16).unwrap();
    let stages = vec![constant("a", 100), constant("b", 900), constant("c", 300)];
    let mut report = Sim::line(1, 5_000, stages, &[marks; 2]).run().report();
    let by_path = diagnose(None, &report);
    // by times alone another stage would be the one
    report.stages[0].busy_ns = report.stages[1].wall_ns();
    for stage in &mut report.stages {
        stage.paused_ns = 0;
        stage.starved_ns = stage.id.index as u64 * 1_000;
    }
    let same_path = diagnose(None, &report);
    assert_eq!(same_path.shares, by_path.shares);
    assert_eq!(same_path.slowest.map(|slowest| slowest.position), Some(1));
    report.path = CriticalPath::default();
    let by_times = diagnose(None, &report);
    let slowest = by_times.slowest.expect("somebody waited");
    assert_eq!(slowest.position, 0);
    assert_ne!(slowest.confidence, Confidence::Certain, "times alone are never certain");
    assert!(by_times.shares.is_empty(), "and there is no share without a path");
}

#[tokio::test(start_paused = true)]
async fn no_tank_grows_for_a_slow_reader() {
    // Linux ea33537: the receive buffer was enlarged for an application that did not read
    let budget = Budget::items(1_000);
    let run = Pipeline::from_with_clock("read", iter(0..2_000_u64), paused_clock())
        .tank(Tank::items(8))
        .map("pass", |item| item)
        .tank(Tank::items(8).budget(&budget))
        .ordered("slow", 1, |item| wait_ms(item, 5))
        .to("count", count());
    let report = run.spawn().await.unwrap().report;
    for tank in &report.tanks {
        assert_eq!((tank.high, tank.peak), (8, 8), "{tank:?}");
    }
    assert_eq!(budget.peak(), 8);
}

#[test]
fn of_the_branches_of_a_tee_the_slowest_is_named() {
    // whatwg/streams #1233: a tee went by the fastest, and filled memory for the other
    let marks = Marks::half(16).unwrap();
    let mut sim = Sim::new(3, 5_000);
    let read = sim.stage(constant("read", 10).spread(Spread::Broadcast));
    for (name, span_ns) in [("fast", 20), ("slow", 400)] {
        let branch = sim.stage(constant(name, span_ns));
        sim.join(read, branch, marks);
    }
    let report = sim.run().report();
    assert_eq!(report.verdict().slowest.map(|slowest| slowest.name), Some("slow".into()));
    let peak = |tank: usize| report.tanks[tank].peak;
    assert!(peak(0) <= 16 && peak(1) <= 17, "nothing gathers for the slow one");
    assert!(stage(&report, "read").paused() > 0.9, "{report:?}");
}

#[test]
fn a_limit_acts_before_the_memory_is_gone() {
    // OTel collector #8632: a limiter looked now and then, and it was too late
    let mut draw = Draw::new(8_632, 0);
    let budget = Budget::bytes(1_000);
    let tanks: Vec<_> = (0..50)
        .map(|_| Tank::weighed(500, |weight: &usize| *weight).budget(&budget).build())
        .collect();
    let mut refused = 0;
    for _ in 0..5_000 {
        let (writable, _) = &tanks[draw.below(50)];
        match writable.write(1 + draw.below(20)) {
            Ok(Flow::Ready | Flow::Wait) => {}
            Err(_) => refused += 1,
        }
        let held: usize = tanks.iter().map(|(writable, _)| writable.level()).sum();
        assert!(held <= 1_000 + 50 * 20, "{held}: the limit, and an item a tank");
    }
    assert!(refused > 4_000, "{refused}");
    let (small, _) = tanks.iter().max_by_key(|(writable, _)| writable.level()).expect("50");
    assert!(small.is_shut());
}

/// Uses up tokio's budget of what a task may do in one poll.
struct Spends;

impl Transform for Spends {
    type In = u64;
    type Out = u64;
    type Error = Bare;

    async fn transform(&mut self, item: u64, out: &mut impl Emit<u64>) -> Result<(), Bare> {
        tokio::task::coop::consume_budget().await;
        out.feed(item).await;
        Ok(())
    }
}

#[tokio::test]
async fn the_runtimes_own_yield_is_not_taken_for_pressure() {
    // apollo router #9034: `Pending` for the sake of others was read as overload
    let clock = Arc::new(AtomicU64::new(0));
    let (now, works) = (clock.clone(), clock);
    let others = tokio::spawn(async move {
        for _ in 0..10_000 {
            works.fetch_add(1_000, Ordering::SeqCst); // what others do takes time
            tokio::task::yield_now().await;
        }
    });
    let now_ns = move || now.load(Ordering::SeqCst);
    let finished = Pipeline::from_with_clock("read", iter(0..5_000_u64), now_ns)
        .tank(Tank::items(8_192))
        .transform("spends", Spends)
        .tank(Tank::items(8_192))
        .to("count", count())
        .spawn()
        .await
        .unwrap();
    let spends = stage(&finished.report, "spends");
    assert!(spends.not_running_ns > 0, "it let others run: {spends:?}");
    assert_eq!((spends.own_wait_ns, spends.paused_ns), (0, 0), "{spends:?}");
    let shut: u64 = finished.report.tanks.iter().map(|tank| tank.pauses).sum();
    assert_eq!(shut, 0);
    others.abort();
}
