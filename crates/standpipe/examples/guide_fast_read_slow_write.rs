//! Fast read, slow write: the tank between them fills, and the reader waits.
//!
//! The guide's "Scenario 1". A disk gives 64 KiB in a millisecond, the network
//! takes 50 for them. The report tells who waited for whom.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use standpipe::stage::{Emit, More, Sink, Source};
use standpipe::{Batch, KIB, Pipeline, Tank};
use tokio::time::{Instant, sleep};

const CHUNK: usize = 64 * KIB;
const CHUNKS: usize = 64;

struct FastDisk {
    left: usize,
    block: Bytes,
}

impl Source for FastDisk {
    type Item = Bytes;
    type Error = io::Error;

    async fn read(&mut self, out: &mut impl Emit<Bytes>) -> io::Result<More> {
        sleep(Duration::from_millis(1)).await;
        out.send(self.block.clone()).await;
        self.left -= 1;
        Ok(if self.left > 0 { More::Yes } else { More::No })
    }
}

struct SlowNetwork {
    bytes: usize,
}

impl Sink for SlowNetwork {
    type In = Bytes;
    type Done = usize;
    type Error = io::Error;

    async fn write(&mut self, batch: &mut Batch<Bytes>) -> io::Result<More> {
        while let Some(block) = batch.pop() {
            sleep(Duration::from_millis(50)).await;
            self.bytes += block.len();
        }
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> io::Result<usize> {
        Ok(self.bytes)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let disk = FastDisk { left: CHUNKS, block: Bytes::from(vec![0; CHUNK]) };
    let completed = Pipeline::from_with_clock("read", disk, virtual_clock())
        .tank(Tank::bytes(4 * CHUNK))
        .to("write", SlowNetwork { bytes: 0 })
        .run()
        .await?;

    let report = completed.report;
    println!("{} bytes in {} ms", completed.done, report.elapsed.as_millis());
    for stage in &report.stages {
        let (busy, paused) = (stage.busy() * 100.0, stage.paused() * 100.0);
        let starved = stage.starved() * 100.0;
        println!("{:>5}: busy {busy:.0}%, paused {paused:.0}%, starved {starved:.0}%", stage.name);
    }
    let tank = &report.tanks[0];
    println!("{}: peak {} of {}, shut {} times", tank.name, tank.peak, tank.high, tank.pauses);
    if let Some(slowest) = &report.slowest {
        println!("slowest: {} ({})", slowest.name, slowest.because);
    }
    Ok(())
}

/// The paused clock as a pipeline reads it: nanoseconds since now.
fn virtual_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    let begun = Instant::now();
    move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
