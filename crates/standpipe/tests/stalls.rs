//! Pipelines in which nothing moves because nothing comes in: that is no
//! stall, and all the same not always right.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use standpipe::diagnose::{FindingKind, Stall, findings, stall};
use standpipe::pipeline::{Monitor, Ready};
use standpipe::stage::{Emit, More, Source, Transform, count};
use standpipe::{Pipeline, Tank};

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
