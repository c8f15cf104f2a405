//! Two producers, one consumer: a clone of the writable is another producer.
//!
//! The guide's "Multiple Producers, One Consumer", its `MergeWriter`. Each
//! waits for its own drains, and as tasks of their own they take turns, half a
//! tank each. The data has ended when both have; one that is dropped without
//! `end` leaves an error, never a clean end.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;
use std::time::Duration;

use standpipe::{Readable, Tank, Writable, WriteError};

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    println!("both end:");
    let (one, readable) = Tank::items(4).build();
    let two = one.clone();
    let first = tokio::spawn(produce("one", 8, one));
    let second = tokio::spawn(produce("two", 5, two));
    println!("  {} lines, and the end", merge(readable).await?);
    first.await??;
    second.await??;

    println!("one breaks off:");
    let (one, readable) = Tank::items(4).build();
    let two = one.clone();
    let first = tokio::spawn(produce("one", 3, one));
    let second = tokio::spawn(break_off("two", two));
    if let Err(cause) = merge(readable).await {
        println!("  and no end: {cause}");
    }
    first.await??;
    second.await??;
    Ok(())
}

async fn produce(
    name: &'static str,
    lines: usize,
    writable: Writable<String>,
) -> Result<(), WriteError<String>> {
    for i in 0..lines {
        writable.send(format!("{name}: line {i}")).await?;
    }
    writable.end();
    Ok(())
}

/// Forgets to say `end`: the writable is dropped as it is.
async fn break_off(
    name: &'static str,
    writable: Writable<String>,
) -> Result<(), WriteError<String>> {
    writable.send(format!("{name}: line 0")).await
}

/// The slow consumer of both.
async fn merge(mut readable: Readable<String>) -> Result<usize, standpipe::Cause> {
    let mut lines = 0;
    while let Some(line) = readable.next().await {
        println!("  {} (level {})", line?, readable.level());
        lines += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(lines)
}
