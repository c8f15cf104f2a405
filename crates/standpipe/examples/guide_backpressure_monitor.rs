//! A stage that lets everything through and tells what passes: by hand, and
//! ready-made.
//!
//! The guide's "Monitoring Tool". By hand the monitor is a transform between
//! two tanks; what it says of them comes from the pipeline's `Monitor`.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use standpipe::pipeline::Monitor;
use standpipe::stage::{Emit, Transform, count, iter};
use standpipe::{Pipeline, Tank};
use tokio::time::{Instant, sleep};

const ITEMS: u32 = 12;

struct BackpressureMonitor {
    name: &'static str,
    items: u32,
    begun: Instant,
    /// Known once the pipeline is complete.
    pipeline: Arc<OnceLock<Monitor>>,
}

impl BackpressureMonitor {
    fn new(name: &'static str, pipeline: &Arc<OnceLock<Monitor>>) -> Self {
        Self { name, items: 0, begun: Instant::now(), pipeline: pipeline.clone() }
    }
}

impl Transform for BackpressureMonitor {
    type In = u32;
    type Out = u32;
    type Error = Infallible;

    async fn transform(&mut self, item: u32, out: &mut impl Emit<u32>) -> Result<(), Infallible> {
        self.items += 1;
        let percent = |tank: &standpipe::tank::Gauge| tank.snapshot().occupancy() * 100.0;
        let tanks = self.pipeline.get().map(Monitor::tanks).unwrap_or_default();
        if let [before, after] = &tanks[..] {
            let (before, after) = (percent(before), percent(after));
            println!(
                "[{}] item {:2} | before {before:5.1}% | after {after:5.1}%",
                self.name, self.items
            );
        }
        sleep(Duration::from_millis(10)).await; // it works a little, too
        out.send(item).await;
        Ok(())
    }

    async fn finish(&mut self, _out: &mut impl Emit<u32>) -> Result<(), Infallible> {
        let elapsed = self.begun.elapsed();
        let rate = f64::from(self.items) / elapsed.as_secs_f64();
        let elapsed_ms = elapsed.as_millis();
        println!("[{}] {} items in {elapsed_ms} ms ({rate:.2} items/s)", self.name, self.items);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let pipeline = Arc::new(OnceLock::new());
    let ready = Pipeline::from("numbers", iter(0..ITEMS))
        .tank(Tank::items(4))
        .transform("monitor", BackpressureMonitor::new("monitor 1", &pipeline))
        .tank(Tank::items(2))
        .transform("slow", Slow)
        .to("count", count());
    pipeline.get_or_init(|| ready.monitor());
    let completed = ready.run().await?;
    println!("{} items arrived", completed.done);

    let run = Pipeline::from_with_clock("numbers", iter(0..ITEMS), virtual_clock())
        .tank(Tank::items(4))
        .monitored("monitor 2", Duration::from_millis(100), |seen| println!("[{seen}]"))
        .transform("slow", Slow)
        .to("count", count())
        .run();
    println!("{} items arrived", run.await?.done);
    Ok(())
}

/// Three times as slow as the monitor.
struct Slow;

impl Transform for Slow {
    type In = u32;
    type Out = u32;
    type Error = Infallible;

    async fn transform(&mut self, item: u32, out: &mut impl Emit<u32>) -> Result<(), Infallible> {
        sleep(Duration::from_millis(30)).await;
        out.send(item).await;
        Ok(())
    }
}

/// The paused clock as a pipeline reads it: nanoseconds since now.
fn virtual_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let begun = Instant::now();
    move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
