//! A source with flow control of its own: it pushes, and pauses itself.
//!
//! The guide's "Implementing Custom Flow Control". `push` does not wait; it
//! answers. After `Wait` the source returns, as Node's `_read` does, and is
//! called again when there is room.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::convert::Infallible;
use std::error::Error;

use standpipe::stage::{Emit, More, Source, collect};
use standpipe::{Cause, Flow, Pipeline, Tank};

const ITEMS: u32 = 100;
const HIGH: usize = 30;

struct SmartReadable {
    counter: u32,
}

impl Source for SmartReadable {
    type Item = u32;
    type Error = Infallible;

    async fn read(&mut self, out: &mut impl Emit<u32>) -> Result<More, Infallible> {
        println!("called at item {}", self.counter);
        while self.counter < ITEMS {
            match out.push(self.counter) {
                Ok(Flow::Ready) => self.counter += 1,
                Ok(Flow::Wait) => {
                    self.counter += 1;
                    println!("  pausing at item {}", self.counter);
                    return Ok(More::Yes); // stop producing
                }
                // nothing is known yet of what lies behind: hand it on and wait
                Err(item) => {
                    out.send(item).await;
                    self.counter += 1;
                }
            }
        }
        Ok(More::No)
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        println!("cleaned up, early: {}", why.is_some());
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let completed = Pipeline::from("smart", SmartReadable { counter: 0 })
        .tank(Tank::items(HIGH))
        .to("all", collect(100))
        .run()
        .await?;
    let tank = &completed.report.tanks[0];
    println!("{} items, peak {} of {}", completed.done.len(), tank.peak, tank.high);
    Ok(())
}
