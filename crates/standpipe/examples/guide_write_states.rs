//! The states of a tank as its writer sees them: open, shut, drained.
//!
//! The guide's "State Transitions" and "Check write() Return Value". The answer
//! to a write says what to do next; at a shut tank the item comes back.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;

use standpipe::{Flow, KIB, Tank, WriteError};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let (writable, mut readable) = Tank::bytes(16 * KIB).build::<String>();

    // state 1: below the high-water mark
    let flow = writable.write("data".into())?;
    println!("open: {flow:?}, level {} of {}", writable.level(), writable.high_water_mark());

    // state 2: the write that reaches the mark is taken too, and answered `Wait`
    let line = "x".repeat(1000);
    let mut written = 1;
    while writable.write(line.clone())? == Flow::Ready {
        written += 1;
    }
    println!("shut: Wait after {written} lines more, level {}", writable.level());

    // one more is not taken, and not lost
    match writable.write("one too many".into()) {
        Err(WriteError::Full(item)) => println!("shut: `{item}` was handed back"),
        answer => println!("unexpected: {answer:?}"),
    }

    // state 3: the tank opens at its low-water mark, here the default: half
    let low = writable.gauge().gate().marks().low();
    let mut taken = 0;
    while writable.is_shut() {
        readable.next().await.transpose()?;
        taken += 1;
    }
    writable.drained().await?; // open already: returns at once, no drain can be missed
    println!("drained: {taken} items taken, level {} (low-water mark {low})", writable.level());

    let flow = writable.write("data".into())?;
    println!("open: {flow:?}");
    writable.end();
    Ok(())
}
