//! The exercise: a rate limiter, as a token bucket by hand and ready-made.
//!
//! A burst may pass at once, then a fixed number per second. The limiter drops
//! nothing and queues nothing: it takes its time, the tank before it fills,
//! and the source waits. That is all there is to limiting a rate where there is
//! backpressure.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use standpipe::stage::{Emit, RateLimit, Sink, Transform, for_each, iter};
use standpipe::{Pipeline, Report, Tank};
use tokio::time::{Instant, sleep_until};

const ITEMS: u32 = 12;

struct TokenBucket {
    burst: u32,
    tokens: u32,
    /// Time in which a token comes.
    every: Duration,
    /// When the last one came.
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket. `per_second` is at least 1.
    fn new(per_second: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1) / per_second;
        Self { burst, tokens: burst, every, filled: Instant::now() }
    }

    /// Waits for a token and takes it. Dropped while it waits, it took none.
    async fn take(&mut self) {
        self.refill();
        if self.tokens == 0 {
            sleep_until(self.filled + self.every).await;
            self.refill();
        }
        self.tokens = self.tokens.saturating_sub(1);
    }

    /// Counts what has come since; what the bucket cannot hold is lost.
    fn refill(&mut self) {
        let now = Instant::now();
        while self.filled + self.every <= now {
            if self.tokens == self.burst {
                self.filled = now;
                return;
            }
            self.tokens += 1;
            self.filled += self.every;
        }
    }
}

impl Transform for TokenBucket {
    type In = u32;
    type Out = u32;
    type Error = Infallible;

    async fn transform(&mut self, item: u32, out: &mut impl Emit<u32>) -> Result<(), Infallible> {
        self.take().await;
        out.send(item).await;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    println!("by hand:");
    let run = Pipeline::from_with_clock("requests", iter(0..ITEMS), virtual_clock())
        .tank(Tank::items(4).named("waiting"))
        .transform("10 a second", TokenBucket::new(10, 5))
        .to("server", server())
        .run();
    print_waits(&run.await?.report);

    println!("ready-made:");
    let limit = RateLimit::new(10, 5); // can be changed while it runs
    let run = Pipeline::from_with_clock("requests", iter(0..ITEMS), virtual_clock())
        .tank(Tank::items(4).named("waiting"))
        .rate_limit("10 a second", &limit)
        .to("server", server())
        .run();
    print_waits(&run.await?.report);
    Ok(())
}

/// Tells when each request came.
fn server() -> impl Sink<In = u32, Done = ()> {
    let begun = Instant::now();
    for_each(move |item| println!("{:4} ms: request {item}", begun.elapsed().as_millis()))
}

fn print_waits(report: &Report) {
    let elapsed_ms = report.elapsed.as_millis();
    let paused_ms = report.stages[0].paused_ns / 1_000_000;
    println!("  {ITEMS} requests in {elapsed_ms} ms, the source paused for {paused_ms} ms");
    println!("  at most {} waited", report.tanks[0].peak);
}

/// The paused clock as a pipeline reads it: nanoseconds since now.
fn virtual_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let begun = Instant::now();
    move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
