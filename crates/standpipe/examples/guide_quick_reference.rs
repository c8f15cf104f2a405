//! The whole of it on a page: produce, watch, pipeline.
//!
//! The guide's "Quick Reference".
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;

use standpipe::stage::{fold, iter};
use standpipe::{Flow, KIB, Pipeline, Tank, Writable, WriteError};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    // produce and consume
    let (writable, mut readable) = Tank::items(8).build();
    let consume = async {
        let mut sum = 0;
        while let Some(item) = readable.next().await {
            sum += item?;
        }
        Ok::<u64, standpipe::Cause>(sum)
    };
    let (produced, sum) = tokio::join!(produce(writable), consume);
    produced?;
    println!("produced and consumed: {}", sum?);

    // watch: any handle will do, a gauge also outlives them
    let (writable, _readable) = Tank::bytes(4 * KIB).build();
    let flow = writable.write("x".repeat(5000))?;
    let backpressure = flow == Flow::Wait; // or, later: writable.is_shut()
    println!(
        "level {} of {}, {:.0}%, backpressure: {backpressure}",
        writable.level(),
        writable.high_water_mark(),
        writable.occupancy() * 100.0
    );

    // pipeline: recommended
    let run = Pipeline::from("numbers", iter(1..=100_u64))
        .map("square", |n| n * n)
        .tank(Tank::items(8))
        .to("sum", fold(0, |sum, n: u64| sum + n))
        .run();
    match run.await {
        Ok(completed) => println!("pipeline: {}", completed.done),
        Err(error) => println!("pipeline error: {error}"),
    }
    Ok(())
}

async fn produce(writable: Writable<u64>) -> Result<(), WriteError<u64>> {
    for item in 1..=100 {
        writable.send(item).await?; // `write`, and `drained` when told to wait
    }
    writable.end(); // without it the reader gets an error
    Ok(())
}
