//! The right way with `async`: write, and await the drain when told to; or
//! `send`, which is both.
//!
//! The guide's "Async Iterator (Modern Approach)".
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;

use standpipe::{Flow, KIB, Readable, Tank, Writable};

const LINES: usize = 100_000;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let (writable, readable) = Tank::bytes(16 * KIB).named("write and drained").build();
    let gauge = writable.gauge();
    tokio::try_join!(write_and_drained(writable), consume(readable))?;
    print_numbers(&gauge.snapshot());

    let (writable, readable) = Tank::bytes(16 * KIB).named("send").build();
    let gauge = writable.gauge();
    tokio::try_join!(send(writable), consume(readable))?;
    print_numbers(&gauge.snapshot());
    Ok(())
}

/// For a producer that has something else to do while the tank is shut.
async fn write_and_drained(writable: Writable<String>) -> Result<(), Box<dyn Error>> {
    for i in 0..LINES {
        if writable.write(format!("Line {i}\n"))? == Flow::Wait {
            writable.drained().await?;
        }
    }
    writable.end();
    Ok(())
}

/// For one that has not.
async fn send(writable: Writable<String>) -> Result<(), Box<dyn Error>> {
    for i in 0..LINES {
        writable.send(format!("Line {i}\n")).await?;
    }
    writable.end();
    Ok(())
}

async fn consume(mut readable: Readable<String>) -> Result<(), Box<dyn Error>> {
    while let Some(line) = readable.next().await {
        line?;
    }
    Ok(())
}

fn print_numbers(tank: &standpipe::snapshot::TankSnapshot) {
    println!("{}: {} lines, peak {} of {}", tank.name, tank.read.items, tank.peak, tank.high);
    println!("  shut {} times, writer woken {} times", tank.pauses, tank.wakes_writer);
}
