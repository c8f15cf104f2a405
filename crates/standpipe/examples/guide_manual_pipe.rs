//! A pipe by hand, to see what `pipe` has to do.
//!
//! The guide's "Manual Pipeline (Understanding)". A readable here is pulled, so
//! "pause" is not to pull, and one `await` stands for the pair of listeners.
//! What is left is three ends: of the data, of the source by an error, and of
//! the destination by its reader.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;

use standpipe::{Cause, CauseKind, Flow, Readable, Tank, Writable, WriteError};

const HIGH: usize = 4;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    println!("the data ends:");
    let (source, from) = Tank::items(HIGH).build();
    let (to, received) = Tank::items(HIGH).build();
    let (produced, piped, received) =
        tokio::join!(produce(source), manual_pipe(from, to), consume(received));
    produced?;
    received?;
    println!("  piped: {piped:?}");

    println!("the source fails:");
    let (source, from) = Tank::items(HIGH).build();
    let (to, received) = Tank::items(HIGH).build();
    source.send(0).await?;
    source.fail("the disk is gone");
    let (piped, received) = tokio::join!(manual_pipe(from, to), consume(received));
    println!("  piped: {piped:?}");
    println!("  received: {}", received.err().map_or(String::new(), |error| error.to_string()));

    println!("the destination has enough:");
    let (source, from) = Tank::items(HIGH).build();
    let (to, received) = Tank::items(HIGH).build::<u32>();
    source.send(0).await?;
    drop(received);
    println!("  piped: {:?}", manual_pipe(from, to).await);
    match source.write(1) {
        Err(error) => println!("  the source hears: {error}"),
        Ok(flow) => println!("  unexpected: {flow:?}"),
    }
    Ok(())
}

async fn produce(source: Writable<u32>) -> Result<(), Box<dyn Error>> {
    for i in 0..10 {
        source.send(i).await?;
    }
    source.end();
    Ok(())
}

/// What `Readable::pipe` does, spelled out.
async fn manual_pipe(mut from: Readable<u32>, to: Writable<u32>) -> Result<u64, Cause> {
    let mut moved = 0;
    loop {
        let item = match from.next().await {
            Some(Ok(item)) => item,
            Some(Err(cause)) => {
                to.fail_with(cause.clone()); // the error goes down
                return Err(cause);
            }
            None => {
                to.end(); // the end goes down
                return Ok(moved);
            }
        };
        match to.write(item) {
            Ok(Flow::Ready) => moved += 1,
            Ok(Flow::Wait) => {
                moved += 1;
                println!("  pause at item {item}");
                // the reason to stop, if there is one, is met at the next write
                if to.drained().await.is_ok() {
                    println!("  resume");
                }
            }
            Err(WriteError::Closed(item, cause)) => {
                from.unshift(item); // it was not delivered: let it count as unread
                from.stop(cause.clone()); // the reason to stop goes up
                return Err(cause);
            }
            // it waited for every drain and is the only writer
            Err(error) => return Err(Cause::with_error(CauseKind::Misused, error.to_string())),
        }
    }
}

async fn consume(mut received: Readable<u32>) -> Result<(), Box<dyn Error>> {
    while let Some(item) = received.next().await {
        println!("  received {}", item?);
    }
    println!("  received the end");
    Ok(())
}
