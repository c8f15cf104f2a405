//! What do Node's streams take for the same?
//!
//! `node.mjs` is run by `node`, and times its flow itself, so that its start-up and warm-up are left out; CPU is that of all its threads.
//!
//! # Knows / never knows
//! Knows how Node is asked and what it answers. Never knows what it is compared with.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::measure::{Case, Reading};
use crate::w4::present;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/node.mjs");

/// What Node is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flow {
    /// Numbers from a `Readable` to a `Writable`.
    Hop,
    /// With three `Transform`s between.
    Transforms,
    /// Chunks of so many bytes, with a `PassThrough` between.
    Chunks(usize),
}

/// A case; absent without Node. `mark` is the `highWaterMark` of each stream.
pub(crate) fn case(
    flow: Flow,
    setting: String,
    mark: usize,
    expected: impl Fn(u64) -> u64 + 'static,
) -> Case {
    let (name, word, size, most) = match flow {
        Flow::Hop => ("node Readable, Writable", "hop", 0, 1_000_000),
        Flow::Transforms => ("node, three Transforms", "transforms", 0, 500_000),
        Flow::Chunks(size) => ("node PassThrough", "chunks", size, 500_000),
    };
    let work = move |n: u64| {
        let numbers = [mark.to_string(), n.to_string(), size.to_string()];
        let mut node = Command::new("node");
        node.arg(PROGRAM).arg(word).args(numbers).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = node.output().expect("node starts");
        assert!(output.status.success(), "node fails at {flow:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        let said: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [sum, wall_ns, cpu_ns] = said[..] else { panic!("node says three numbers") };
        assert_eq!(sum, expected(n), "{name} loses or invents items");
        let (wall, cpu) = (Duration::from_nanos(wall_ns), Duration::from_nanos(cpu_ns));
        Reading { wall, cpu, ..Reading::default() }
    };
    let run = present("node").then(|| -> crate::measure::Run { Box::new(work) });
    Case { name, setting, run, most, targets: vec![] }
}
