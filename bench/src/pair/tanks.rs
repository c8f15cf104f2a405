//! The pipeline of the README: how many digits have the numbers up to n?

use standpipe::stage::{fold, iter};
use standpipe::{KIB, Pipeline, PipelineError, Tank};

pub(crate) async fn digits(n: u64) -> Result<usize, PipelineError> {
    let run = Pipeline::from("read", iter((1..=n).map(|n: u64| n.to_string())))
        .tank(Tank::bytes(4 * KIB))
        .map("measure", |line: String| line.len())
        .tank(Tank::items(16))
        .to("sum", fold(0, |sum, length| sum + length))
        .spawn()
        .await?;
    Ok(run.done)
}
