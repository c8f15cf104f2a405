//! What a mark costs and what it saves: one load through small and large tanks.
//!
//! The guide's "Tuning highWaterMark". The consumer takes a line each
//! millisecond, so 1024 ms is the best there is; after a drain the producer
//! needs 5 ms to get going again, as a disk or a peer would. A tank that is
//! empty before is a consumer that waits.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use standpipe::tank::Measure;
use standpipe::{Flow, KIB, MIB, Readable, Tank, Writable};
use tokio::time::Instant;

/// What the producer needs after a drain.
const RESTART: Duration = Duration::from_millis(5);
/// What the consumer needs for a line.
const WORK: Duration = Duration::from_millis(1);
/// The file: 1 MiB in lines of 1 KiB; as objects, 1024 of them.
const ITEMS: usize = 1024;

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<24} {:>8} {:>6} {:>6} {:>7}", "mark", "peak", "pauses", "wakes", "time");
    run("4 KiB: many streams", Tank::bytes(4 * KIB)).await?;
    run("16 KiB: the default", Tank::bytes(16 * KIB)).await?;
    run("64 KiB: files", Tank::bytes(64 * KIB)).await?;
    run("128 KiB: large files", Tank::bytes(128 * KIB)).await?;
    run("100 MiB: no bound left", Tank::bytes(100 * MIB)).await?;
    run("16 objects: the default", Tank::items(16)).await?;
    run("100 objects", Tank::items(100)).await?;
    // between the marks lies what one wake moves; below the low one, what the
    // consumer lives on until then
    run("16 KiB, low 15 KiB", Tank::bytes(16 * KIB).low(15 * KIB)).await?;
    run("16 KiB, low 0", Tank::bytes(16 * KIB).low(0)).await?;
    Ok(())
}

async fn run<M: Measure<Bytes>>(mark: &str, tank: Tank<M>) -> Result<(), Box<dyn Error>> {
    let (writable, readable) = tank.build::<Bytes>();
    let gauge = writable.gauge();
    let begun = Instant::now();
    tokio::try_join!(produce(writable), consume(readable))?;
    let tank = gauge.snapshot();
    println!(
        "{mark:<24} {:>8} {:>6} {:>6} {:>4} ms",
        tank.peak,
        tank.pauses,
        tank.wakes_writer,
        begun.elapsed().as_millis()
    );
    Ok(())
}

async fn produce(writable: Writable<Bytes>) -> Result<(), Box<dyn Error>> {
    let line = Bytes::from(vec![b'x'; KIB]);
    for _ in 0..ITEMS {
        if writable.write(line.clone())? == Flow::Wait {
            writable.drained().await?;
            tokio::time::sleep(RESTART).await;
        }
    }
    writable.end();
    Ok(())
}

async fn consume(mut readable: Readable<Bytes>) -> Result<(), Box<dyn Error>> {
    while let Some(line) = readable.next().await {
        line?;
        tokio::time::sleep(WORK).await;
    }
    Ok(())
}
