//! The right way without `async`: write while there is room, stop, be called
//! again after the drain.
//!
//! The guide's "Respecting Backpressure". The producer is a plain struct; who
//! waits for the drain, and how, is the caller's affair.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;

use standpipe::{Flow, KIB, Readable, Tank, Writable, WriteError};

const LINES: usize = 100_000;

/// Remembers where it stopped.
struct GoodProducer {
    next: usize,
}

impl GoodProducer {
    /// Writes until the tank is shut (`Wait`: call again after the drain) or
    /// nothing is left (`Ready`).
    fn write_next(&mut self, writable: &Writable<String>) -> Result<Flow, WriteError<String>> {
        while self.next < LINES {
            let flow = writable.write(format!("Line {}\n", self.next))?;
            self.next += 1;
            if flow == Flow::Wait {
                return Ok(Flow::Wait);
            }
        }
        Ok(Flow::Ready)
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let (writable, readable) = Tank::bytes(16 * KIB).build();
    let gauge = writable.gauge();
    let (waits, lines) = tokio::try_join!(produce(writable), consume(readable))?;

    let tank = gauge.snapshot();
    println!("{lines} lines arrived, {} bytes", tank.read.weight);
    println!("peak {} bytes at a mark of {}", tank.peak, tank.high);
    println!("{waits} waits for a drain, {} lines handed back", tank.refused);
    Ok(())
}

async fn produce(writable: Writable<String>) -> Result<usize, Box<dyn Error>> {
    let mut producer = GoodProducer { next: 0 };
    let mut waits = 0;
    while producer.write_next(&writable)? == Flow::Wait {
        waits += 1;
        writable.drained().await?;
    }
    writable.end().await?; // every line has left the reader's hands
    Ok(waits)
}

async fn consume(mut readable: Readable<String>) -> Result<usize, Box<dyn Error>> {
    let mut lines = 0;
    while let Some(line) = readable.next().await {
        line?;
        lines += 1;
    }
    Ok(lines)
}
