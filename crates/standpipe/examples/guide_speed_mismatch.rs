//! Why at all: one second of a fast producer and a slow consumer, without
//! backpressure and with it.
//!
//! The guide's "The Problem: Speed Mismatch": 100 MB/s in, 1 MB/s out. Every
//! item is a view of one block, so that the example itself needs no 99 MB.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use standpipe::{KIB, Overflow, Readable, Tank, Writable};
use tokio::time::{Instant, sleep, timeout_at};

/// 100 kB: a millisecond of the producer, a tenth of a second of the consumer.
const BLOCK: usize = 100_000;

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let file = Tank::bytes(64 * KIB);
    second("without", file.clone().overflow(Overflow::Grow)).await?;
    second("with", file).await
}

/// Lets both run for a second and looks at what is in between.
async fn second(
    backpressure: &str,
    tank: Tank<standpipe::tank::ByBytes>,
) -> Result<(), Box<dyn Error>> {
    let (writable, readable) = tank.build();
    let gauge = writable.gauge();
    let end = Instant::now() + Duration::from_secs(1);
    let both = async { tokio::try_join!(fast(writable), slow(readable)) };
    if let Ok(ended) = timeout_at(end, both).await {
        ended?;
    }
    let tank = gauge.snapshot();
    println!("{backpressure} backpressure, after 1 s:");
    println!("  {:>9} bytes produced", tank.written.weight);
    println!("  {:>9} bytes consumed", tank.read.weight);
    println!("  {:>9} bytes in memory at most, at a mark of {}", tank.peak, tank.high);
    println!("  {:>9} times the tank shut", tank.pauses);
    Ok(())
}

/// A growing tank lets every `send` pass; any other makes it wait.
async fn fast(writable: Writable<Bytes>) -> Result<(), Box<dyn Error>> {
    let block = Bytes::from(vec![0; BLOCK]);
    loop {
        sleep(Duration::from_millis(1)).await;
        writable.send(block.clone()).await?;
    }
}

async fn slow(mut readable: Readable<Bytes>) -> Result<(), Box<dyn Error>> {
    while let Some(block) = readable.next().await {
        block?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
