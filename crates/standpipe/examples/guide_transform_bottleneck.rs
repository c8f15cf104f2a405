//! A slow transform between a fast source and a fast sink: the report names it.
//!
//! The guide's "Transform Bottleneck". Upstream of the bottleneck tanks are
//! full and stages paused, downstream tanks are empty and stages starved; that
//! is the whole rule.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use standpipe::stage::{Emit, Transform, collect, iter};
use standpipe::{Pipeline, Tank};
use tokio::time::{Instant, sleep};

const LINES: usize = 40;

/// Takes its time for each line.
struct Shout {
    time: Duration,
}

impl Transform for Shout {
    type In = String;
    type Out = String;
    type Error = Infallible;

    async fn transform(
        &mut self,
        line: String,
        out: &mut impl Emit<String>,
    ) -> Result<(), Infallible> {
        sleep(self.time).await;
        out.send(line.to_uppercase()).await;
        Ok(())
    }
}

/// Lets lines through, a millisecond each: a fast disk.
struct Disk;

impl Transform for Disk {
    type In = String;
    type Out = String;
    type Error = Infallible;

    async fn transform(
        &mut self,
        line: String,
        out: &mut impl Emit<String>,
    ) -> Result<(), Infallible> {
        sleep(Duration::from_millis(1)).await;
        out.send(line).await;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let lines = iter((0..LINES).map(|i| format!("line {i}")));
    let completed = Pipeline::from_with_clock("lines", lines, virtual_clock())
        .transform("read", Disk)
        .tank(Tank::items(8).named("before"))
        .transform("shout", Shout { time: Duration::from_millis(50) })
        .tank(Tank::items(8).named("after"))
        .transform("write", Disk)
        .to("all", collect(LINES))
        .run()
        .await?;

    let report = completed.report;
    println!("{} lines in {} ms", completed.done.len(), report.elapsed.as_millis());
    for stage in &report.stages {
        let (busy, paused) = (stage.busy() * 100.0, stage.paused() * 100.0);
        let starved = stage.starved() * 100.0;
        println!(
            "{:<10} busy {busy:3.0}%  paused {paused:3.0}%  starved {starved:3.0}%",
            stage.name
        );
    }
    for tank in &report.tanks {
        let mean = tank.mean_level.unwrap_or_default();
        println!("{:<10} on average {mean:.1} of {} items", tank.name, tank.high);
    }
    if let Some(slowest) = &report.slowest {
        println!("slowest: {} ({:?}: {})", slowest.name, slowest.confidence, slowest.because);
    }
    Ok(())
}

/// The paused clock as a pipeline reads it: nanoseconds since now.
fn virtual_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let begun = Instant::now();
    move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
