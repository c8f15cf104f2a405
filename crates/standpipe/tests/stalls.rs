//! Pipelines that stand still, each by a bug whose culprit is known: it is
//! named less than a second after nothing moves any more.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use standpipe::diagnose::{FindingKind, Holder, Stall, findings, stall};
use standpipe::pipeline::{Monitor, Ready};
use standpipe::stage::{Emit, More, Sink, Source, Transform, count, iter};
use standpipe::{Batch, Pipeline, Tank};

/// Nanoseconds of tokio's clock, which stands still while anybody can run.
fn paused_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let origin = tokio::time::Instant::now();
    move || u64::try_from(origin.elapsed().as_nanos()).expect("a short test")
}

/// What is said half a second after it stood still.
async fn seen(monitor: Monitor) -> Option<Stall> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    let older = monitor.report();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let newer = monitor.report();
    let stall = stall(&older, &newer);
    let found = findings(Some(&older), &newer);
    let told = found.first().is_some_and(|found| found.kind == FindingKind::Stalled);
    assert_eq!(told, stall.is_some(), "{found:?}");
    monitor.cancel();
    stall
}

/// In one task, then in a task for each segment.
async fn in_tasks<D: Send + 'static>(ready: impl Fn() -> Ready<D>) -> [Option<Stall>; 2] {
    let one = ready();
    let monitor = one.monitor();
    let (ended, alone) = tokio::join!(one.run(), seen(monitor));
    assert!(ended.is_err(), "it was cancelled");
    let each = ready();
    let monitor = each.monitor();
    let (ended, each) = tokio::join!(each.spawn(), seen(monitor));
    assert!(ended.is_err(), "it was cancelled");
    [alone, each]
}

#[track_caller]
fn check(stalls: [Option<Stall>; 2], holder: Holder, stage: usize) {
    for stall in stalls {
        let stall = stall.expect("nothing moves");
        assert_eq!((stall.holder, stall.stage), (holder, stage), "{stall}");
        assert!(stall.since_ns >= 500_000_000, "{stall:?}");
    }
}

/// A peer that never opens its window.
struct NeverTakes;

impl Sink for NeverTakes {
    type In = u64;
    type Done = ();
    type Error = Infallible;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, Infallible> {
        batch.pop();
        pending().await
    }

    async fn finish(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_peer_never_takes_anything() {
    let ready = || {
        Pipeline::from_with_clock("numbers", iter(0..1_000), paused_clock())
            .tank(Tank::items(8))
            .map("same", |n| n)
            .tank(Tank::items(8))
            .to("peer", NeverTakes)
    };
    check(in_tasks(ready).await, Holder::Holds, 2);
}

/// A disk that stays full, tried again and again.
struct TriesForEver;

impl Transform for TriesForEver {
    type In = u64;
    type Out = u64;
    type Error = Infallible;

    async fn transform(&mut self, _: u64, _: &mut impl Emit<u64>) -> Result<(), Infallible> {
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_tries_for_ever() {
    let ready = || {
        Pipeline::from_with_clock("numbers", iter(0..1_000), paused_clock())
            .tank(Tank::items(8))
            .transform("retry", TriesForEver)
            .tank(Tank::items(8))
            .to("count", count())
    };
    check(in_tasks(ready).await, Holder::Holds, 1);
}

/// Nothing comes in at the moment.
struct Idle;

impl Source for Idle {
    type Item = u64;
    type Error = Infallible;

    async fn read(&mut self, _: &mut impl Emit<u64>) -> Result<More, Infallible> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_source_is_no_stall() {
    let ready = || {
        Pipeline::from_with_clock("idle", Idle, paused_clock())
            .tank(Tank::items(8))
            .to("count", count())
    };
    assert_eq!(in_tasks(ready).await, [None, None]);
}

#[test]
fn a_stage_that_blocks_its_thread() {
    let now_ns = Arc::new(AtomicU64::new(0));
    let clock = now_ns.clone();
    let (entered, is_inside) = sync_channel(1);
    let (release, released) = sync_channel::<()>(1);
    let mut blocks = Some((entered, released));
    let ready = Pipeline::from_with_clock("numbers", iter(0..1_000_u64), move || {
        clock.load(Ordering::SeqCst)
    })
    .tank(Tank::items(8))
    .map("parse", move |n| {
        if let Some((entered, released)) = blocks.take() {
            entered.send(()).expect("the test waits");
            released.recv().expect_err("the test lets go by dropping its side");
        }
        n
    })
    .tank(Tank::items(8))
    .to("count", count());
    let monitor = ready.monitor();
    let running = ready.threads().unwrap();
    is_inside.recv().unwrap();
    // the others come to rest by themselves, without any time passing
    let resting = |report: &standpipe::Report| {
        use standpipe::snapshot::StageState::{Paused, Starved};
        report.stages[0].state == Paused && report.stages[2].state == Starved
    };
    while !resting(&monitor.report()) {
        std::thread::yield_now();
    }
    let older = monitor.report();
    now_ns.fetch_add(600_000_000, Ordering::SeqCst);
    let stall = stall(&older, &monitor.report()).expect("nothing moves");
    assert_eq!((stall.holder, stall.stage, &*stall.waiting), (Holder::Runs, 1, &[2][..]));
    drop(release);
    assert_eq!(running.wait().unwrap().done, 1_000);
}

/// Gives one item for each 32, and keeps the rest; or counts them and drops
/// all.
struct ThirtySecond {
    seen: u64,
    drops: bool,
}

impl Transform for ThirtySecond {
    type In = u64;
    type Out = u64;
    type Error = Infallible;

    async fn transform(&mut self, n: u64, out: &mut impl Emit<u64>) -> Result<(), Infallible> {
        self.seen += 1;
        if self.seen.is_multiple_of(32) {
            out.send(n).await;
        }
        Ok(())
    }

    fn keeps(&self) -> bool {
        !self.drops
    }
}

/// Brings 70 items, and then nothing for long.
struct ThenIdle(u64);

impl Source for ThenIdle {
    type Item = u64;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Infallible> {
        if self.0 == 70 {
            pending::<()>().await;
        }
        out.send(self.0).await;
        self.0 += 1;
        Ok(More::Yes)
    }
}

/// What is found two seconds after the input went idle.
async fn found_when_idle(drops: bool) -> Vec<String> {
    let ready = Pipeline::from_with_clock("tail", ThenIdle(0), paused_clock())
        .tank(Tank::items(8))
        .transform("pack", ThirtySecond { seen: 0, drops })
        .tank(Tank::items(8))
        .to("count", count());
    let monitor = ready.monitor();
    let look = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let older = monitor.report();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let found = findings(Some(&older), &monitor.report());
        monitor.cancel();
        found.iter().map(ToString::to_string).collect()
    };
    let (ended, found) = tokio::join!(ready.run(), look);
    assert!(ended.is_err(), "it was cancelled");
    found
}

#[tokio::test(start_paused = true)]
async fn a_transform_that_keeps_items_while_its_input_idles() {
    let found = found_when_idle(false).await;
    let text = "unflushed: `pack` has given nothing for the last 6 items, and its input idles for \
                2.0 s; give on in `idle` what it keeps; if it drops them, say so (`keeps`)";
    assert_eq!(found, [text]);
    assert_eq!(found_when_idle(true).await, [] as [&str; 0], "one that drops has said so");
}
