//! Pressure goes up a chain of pipes by itself, a tank at a time, and so does
//! its release.
//!
//! The guide's "Using pipe() (Automatic)": a source, a transform, a slow
//! destination. Nobody here asks for a level or answers a `Wait`; `send` and
//! `pipe` do.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;
use std::time::Duration;

use standpipe::tank::Gauge;
use standpipe::{Readable, Tank, Writable};

const LINES: usize = 20;
const HIGH: usize = 4;

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let (source, to_shout) = Tank::items(HIGH).named("source→").build();
    let (shout_into, to_pipe) = Tank::items(HIGH).named("shout→").build();
    let (destination, received) = Tank::items(HIGH).named("→destination").build();
    let tanks = [source.gauge(), shout_into.gauge(), destination.gauge()];

    let pipe = async { Ok(to_pipe.pipe(destination).await?) };
    let ((), (), moved, ()) = tokio::try_join!(
        produce(source),
        shout(to_shout, shout_into),
        pipe,
        consume(received, &tanks),
    )?;
    println!("{moved} lines piped");
    for tank in &tanks {
        let tank = tank.snapshot();
        println!("{}: peak {} of {}, shut {} times", tank.name, tank.peak, tank.high, tank.pauses);
    }
    Ok(())
}

async fn produce(source: Writable<String>) -> Result<(), Box<dyn Error>> {
    for i in 0..LINES {
        source.send(format!("line {i}")).await?;
    }
    source.end();
    Ok(())
}

/// The transform: a reader and a writer at once.
async fn shout(mut from: Readable<String>, to: Writable<String>) -> Result<(), Box<dyn Error>> {
    while let Some(line) = from.next().await {
        to.send(line?.to_uppercase()).await?;
    }
    to.end();
    Ok(())
}

/// Takes a line each tenth of a second and looks up the chain.
async fn consume(mut from: Readable<String>, tanks: &[Gauge]) -> Result<(), Box<dyn Error>> {
    let begun = tokio::time::Instant::now();
    loop {
        let chain: Vec<String> = tanks.iter().map(state).collect();
        let written = tanks[0].snapshot().written.items;
        let now_ms = begun.elapsed().as_millis();
        println!("{now_ms:4} ms: {written:2} written  {}", chain.join("  "));
        let Some(line) = from.next().await else { return Ok(()) };
        println!("         took {}", line?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn state(tank: &Gauge) -> String {
    let gate = tank.gate();
    format!("{}/{HIGH} {}", gate.level(), if gate.is_shut() { "shut" } else { "open" })
}
