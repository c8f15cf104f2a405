//! How full is it? Levels beside each write and each slow read.
//!
//! The guide's "Monitor Buffer Size". Level, mark and percentage can be asked
//! at both doors at any time; here the clock is virtual, so a slow consumer
//! takes no real time.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;
use std::time::Duration;

use standpipe::{Flow, Readable, Tank, Writable};

const ITEMS: usize = 20;
const HIGH: usize = 8;

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let (writable, readable) = Tank::items(HIGH).build::<String>();
    tokio::try_join!(produce(writable), consume(readable))?;
    Ok(())
}

async fn produce(writable: Writable<String>) -> Result<(), Box<dyn Error>> {
    for i in 0..ITEMS {
        let flow = writable.write(format!("item {i}"))?;
        let percent = writable.occupancy() * 100.0;
        println!("write {i}: {flow:?} ({}/{HIGH}, {percent:.1}% full)", writable.level());
        if flow == Flow::Wait {
            writable.drained().await?;
            println!("drained at level {}", writable.level());
        }
    }
    writable.end();
    Ok(())
}

async fn consume(mut readable: Readable<String>) -> Result<(), Box<dyn Error>> {
    while let Some(item) = readable.next().await {
        println!("    took `{}`, {} left", item?, readable.level());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
