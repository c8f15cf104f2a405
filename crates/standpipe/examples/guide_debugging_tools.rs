//! What to look at when something is wrong: levels, answers, ends, and the
//! three symptoms with their signs.
//!
//! The guide's "Listen to Events", "Symptoms of Backpressure Problems" and
//! "Debugging Tools". Everything shown is in `Gauge::snapshot`, whose counters
//! never go back: two snapshots tell what happened in between.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;

use standpipe::{Cause, Flow, KIB, Overflow, Readable, Tank, Writable};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    levels_and_answers().await?;
    ends().await;
    memory_grows()?;
    slower_than_expected().await?;
    nothing_moves()
}

async fn levels_and_answers() -> Result<(), Box<dyn Error>> {
    println!("levels and answers:");
    let (writable, mut readable) = Tank::items(4).build();
    let mut backpressure = 0;
    for i in 0..12 {
        match writable.write(i)? {
            Flow::Ready => {}
            Flow::Wait => {
                backpressure += 1;
                println!("  shut at level {}", writable.level());
                while writable.is_shut() {
                    readable.next().await.transpose()?;
                }
                writable.drained().await?;
                println!("  drained at level {}", readable.level());
            }
        }
    }
    println!("  {backpressure} answers were Wait");
    let tank = writable.gauge().snapshot();
    println!("  written {}, read {}", tank.written.items, tank.read.items);
    println!("  pauses {}, refused {}, peak {}", tank.pauses, tank.refused, tank.peak);
    writable.end();
    Ok(())
}

/// Where Node has events, a wait returns: `finish` is `end().await`, `end` is
/// `None`, `error` is a `Cause` on both sides.
async fn ends() {
    println!("ends:");
    let (writable, mut readable) = Tank::items(4).build::<u32>();
    let (finished, ended) = tokio::join!(writable.end(), readable.next());
    println!("  finish: {finished:?}, end: {}", ended.is_none());

    let (writable, mut readable) = Tank::items(4).build::<u32>();
    writable.fail("the disk is full");
    let error: Option<Cause> = readable.next().await.and_then(Result::err);
    println!("  error downstream: {error:?}");

    let (writable, readable) = Tank::items(4).build::<u32>();
    drop(readable);
    let error: Option<Cause> = writable.drained().await.err();
    println!("  error upstream: {error:?}");
    writable.end();
}

/// The sign: a peak far above the mark, and lines in `past_mark`.
fn memory_grows() -> Result<(), Box<dyn Error>> {
    println!("memory grows:");
    let (writable, readable) = Tank::items(16).overflow(Overflow::Grow).build();
    for i in 0..1000 {
        if writable.write(i)? == Flow::Wait {
            // nothing: this is the bug
        }
    }
    let tank = readable.gauge().snapshot();
    println!("  peak {} at a mark of {}", tank.peak, tank.high);
    for past in &tank.past_mark {
        let line = past.line.rsplit('/').next().unwrap_or_default();
        println!("  {} items past the mark from {line}", past.written.items);
    }
    writable.end();
    Ok(())
}

/// The sign: a pause for every few items. Raise the mark, live if need be.
async fn slower_than_expected() -> Result<(), Box<dyn Error>> {
    println!("slower than expected:");
    for high in [KIB, 64 * KIB] {
        let (writable, readable) = Tank::bytes(high).build();
        let gauge = writable.gauge();
        tokio::try_join!(write_lines(writable), read_lines(readable))?;
        let tank = gauge.snapshot();
        let per_pause = tank.written.items / tank.pauses.max(1);
        println!("  mark {high}: {} pauses, {per_pause} lines from one to the next", tank.pauses);
    }
    Ok(())
}

async fn write_lines(writable: Writable<String>) -> Result<(), Box<dyn Error>> {
    for _ in 0..2000 {
        writable.send("x".repeat(100)).await?;
    }
    writable.end();
    Ok(())
}

async fn read_lines(mut readable: Readable<String>) -> Result<(), Box<dyn Error>> {
    while let Some(line) = readable.next().await {
        line?;
    }
    Ok(())
}

/// The sign: shut, and not an item read from one snapshot to the next. Here a
/// reader was paused and forgotten.
fn nothing_moves() -> Result<(), Box<dyn Error>> {
    println!("nothing moves:");
    let (writable, mut readable) = Tank::items(4).build();
    readable.pause();
    while writable.write("item")? == Flow::Ready {}
    let before = writable.gauge().snapshot();
    let none = readable.try_next().is_none(); // whatever the consumer does now
    let after = writable.gauge().snapshot();
    let moved = after.read.items - before.read.items;
    println!("  shut {}, {moved} items read since, consumer got none: {none}", after.shut);
    readable.resume();
    println!("  after resume: {:?}", readable.try_next());
    writable.end();
    Ok(())
}
