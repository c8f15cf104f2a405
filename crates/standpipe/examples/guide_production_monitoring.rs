//! Watching a pipeline while it runs: a line a second.
//!
//! The guide's "Monitor buffer levels in production". Counters only grow, so a
//! rate is the difference of two reports. Between 3 s and 6 s the destination
//! is slow: the level tells that something waits, the pauses who.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use standpipe::pipeline::Monitor;
use standpipe::stage::{Emit, More, Source, Transform, count};
use standpipe::{Pipeline, Report, Tank};
use tokio::time::{Instant, sleep};

const ITEMS: u32 = 60;

/// An item each tenth of a second.
struct Steady {
    next: u32,
}

impl Source for Steady {
    type Item = u32;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<u32>) -> Result<More, Infallible> {
        sleep(Duration::from_millis(100)).await;
        out.send(self.next).await;
        self.next += 1;
        Ok(if self.next < ITEMS { More::Yes } else { More::No })
    }
}

/// Fast, but for three bad seconds.
struct Moody {
    begun: Instant,
}

impl Moody {
    fn time_per_item(&self) -> Duration {
        let bad_seconds = 3..6;
        let bad = bad_seconds.contains(&self.begun.elapsed().as_secs());
        Duration::from_millis(if bad { 400 } else { 20 })
    }
}

impl Transform for Moody {
    type In = u32;
    type Out = u32;
    type Error = Infallible;

    async fn transform(&mut self, item: u32, out: &mut impl Emit<u32>) -> Result<(), Infallible> {
        sleep(self.time_per_item()).await;
        out.send(item).await;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let moody = Moody { begun: Instant::now() };
    let running = Pipeline::from_with_clock("steady", Steady { next: 0 }, virtual_clock())
        .tank(Tank::items(8).low(7)) // a low mark close by: numbers move item by item
        .transform("moody", moody)
        .to("count", count())
        .spawn();
    let watching = tokio::spawn(watch(running.monitor()));
    let completed = running.await?;
    watching.await?;

    println!("done: {} items in {} ms", completed.done, completed.report.elapsed.as_millis());
    if let Some(slowest) = &completed.report.slowest {
        println!("slowest over the whole run: {} ({})", slowest.name, slowest.because);
    }
    Ok(())
}

/// Needs nothing but the monitor, holds up nobody, ends with the pipeline.
async fn watch(monitor: Monitor) {
    let mut before = monitor.report();
    while !monitor.is_over() {
        // half a beat off, so that nothing else happens at the same instant
        let begun = before.elapsed.is_zero();
        sleep(Duration::from_millis(if begun { 1050 } else { 1000 })).await;
        let now = monitor.report();
        print_difference(&before, &now);
        before = now;
    }
}

fn print_difference(before: &Report, now: &Report) {
    let tank = &now.tanks[0];
    let span = (now.elapsed - before.elapsed).as_secs_f64();
    if span == 0.0 {
        return; // the last report stands still
    }
    let items = u32::try_from(tank.read.items - before.tanks[0].read.items).unwrap_or(u32::MAX);
    let paused_ms = (now.stages[0].paused_ns - before.stages[0].paused_ns) / 1_000_000;
    println!(
        "{:4} ms: level {}/{} {:5.1}%, {:4.1} items/s, steady paused {paused_ms:3} ms, moody {:?}",
        now.elapsed.as_millis(),
        tank.level,
        tank.high,
        tank.occupancy() * 100.0,
        f64::from(items) / span,
        now.stages[1].state,
    );
}

/// The paused clock as a pipeline reads it: nanoseconds since now.
fn virtual_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let begun = Instant::now();
    move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
