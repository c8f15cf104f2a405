//! A pipeline: pressure, errors and cleanup in one.
//!
//! The guide's "Using pipeline() (Better)". It runs twice: through, and with a
//! line that cannot be parsed. The error names the stage; every stage is
//! cleaned up once and told why; nothing that was accepted is lost uncounted.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use std::error::Error;
use std::fmt;

use standpipe::stage::{Emit, More, Sink, Source, Transform};
use standpipe::{Batch, Cause, Pipeline, Tank};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let good: Vec<&str> = vec!["1", "2", "3", "4", "5", "6"];
    let mut bad = good.clone();
    bad[3] = "four";
    for lines in [good, bad] {
        println!("{}:", lines.join(" "));
        let run = Pipeline::from("read", Lines(lines.into_iter()))
            .tank(Tank::items(2))
            .transform("parse", Parse)
            .tank(Tank::items(2))
            .to("sum", Sum(0))
            .run();
        match run.await {
            Ok(completed) => println!("  succeeded: the sum is {}", completed.done),
            Err(error) => {
                println!("  failed: {error}");
                println!("  kind {:?}, at {:?}", error.kind(), error.stage().map(|at| &*at.name));
                println!("  consequences: {}", error.consequences().len());
                let read = error.report().tanks[0].written.items;
                let lost = error.report().undelivered().items;
                println!("  {read} lines were read, {lost} items were not delivered");
            }
        }
    }
}

struct Lines(std::vec::IntoIter<&'static str>);

impl Source for Lines {
    type Item = &'static str;
    type Error = BadLine;

    async fn read(&mut self, out: &mut impl Emit<&'static str>) -> Result<More, BadLine> {
        let Some(line) = self.0.next() else { return Ok(More::No) };
        out.send(line).await;
        Ok(More::Yes)
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        cleaned_up("read", why);
    }
}

struct Parse;

impl Transform for Parse {
    type In = &'static str;
    type Out = u64;
    type Error = BadLine;

    async fn transform(
        &mut self,
        line: &'static str,
        out: &mut impl Emit<u64>,
    ) -> Result<(), BadLine> {
        let number = line.parse().map_err(|_| BadLine(line))?;
        out.send(number).await;
        Ok(())
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        cleaned_up("parse", why);
    }
}

struct Sum(u64);

impl Sink for Sum {
    type In = u64;
    type Done = u64;
    type Error = BadLine;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, BadLine> {
        self.0 += batch.drain().sum::<u64>();
        Ok(More::Yes)
    }

    async fn finish(&mut self) -> Result<u64, BadLine> {
        Ok(self.0)
    }

    fn destroy(&mut self, why: Option<&Cause>) {
        cleaned_up("sum", why);
    }
}

fn cleaned_up(stage: &str, why: Option<&Cause>) {
    let why = why.map_or_else(|| String::from("the end"), Cause::to_string);
    println!("  cleaned up {stage}: {why}");
}

#[derive(Debug)]
struct BadLine(&'static str);

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a number", self.0)
    }
}

impl Error for BadLine {}
