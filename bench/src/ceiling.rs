//! Is the ceiling that a report tells ever beaten?
//!
//! A report says by how much other water marks can gain at most. Ten real pipelines, five of threads and five of processes, whose stages
//! take the same drawn times in every run, go through a sweep of marks from 4 KiB to 4 MiB; no run of the sweep may be faster than any
//! other run said was possible, by more than 1 %.
//!
//! # Knows / never knows
//! Knows the sweep and what was foretold. Never knows how that is found.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use standpipe::stage::{for_each, iter};
use standpipe::{KIB, Pipeline, Tank};

use crate::measure::median;

const MARKS_KIB: [usize; 6] = [4, 16, 64, 256, 1024, 4096];
const SLACK: f64 = 1.01;
const ITEMS: usize = 300;
const ITEM: usize = 4 * KIB;
/// What goes through a stage of a process at a time.
const CHUNK: usize = 64 * KIB;

/// One run: seconds, and the gain that other marks might bring.
#[derive(Clone, Copy)]
struct Seen {
    seconds: f64,
    gain: f64,
}

/// A line of stages, the mean time of each in microseconds, and how far the times spread.
struct Line {
    means: [u64; 3],
    spread: Spread,
}

/// How a stage's times differ.
#[derive(Clone, Copy)]
enum Spread {
    Constant,
    /// From nothing to twice the mean.
    Uniform,
    /// Each twentieth takes ten times as long as the rest.
    Stalls,
}

const LINES: [Line; 5] = [
    Line { means: [500, 1000, 500], spread: Spread::Constant },
    Line { means: [900, 1000, 950], spread: Spread::Uniform },
    Line { means: [600, 800, 1000], spread: Spread::Stalls },
    Line { means: [1000, 900, 1000], spread: Spread::Stalls },
    Line { means: [1000, 300, 700], spread: Spread::Uniform },
];

/// Lets this thread, and what it starts, sleep no longer than it asks for: Linux adds up to 50 us so that it can wake several at once, and
/// then how long the stages take depends on the marks.
fn sleep_exactly() {
    std::fs::write("/proc/self/timerslack_ns", "1").expect("the slack is ours to set");
}

/// Sweeps and prints; says whether a ceiling was beaten.
pub(crate) fn run(rounds: usize) -> bool {
    sleep_exactly();
    println!("\nThe ceiling against a sweep of marks, 4 KiB to 4 MiB; {rounds} rounds, medians\n");
    println!("| line | seconds by mark | said: at best | best seen | beaten by at most |");
    println!("| --- | --- | ---: | ---: | ---: |");
    let mut worst = f64::NEG_INFINITY;
    for (number, line) in LINES.iter().enumerate() {
        worst = worst.max(sweep(&format!("threads {}", number + 1), rounds, |mark| {
            threads(line, number, mark)
        }));
        worst = worst.max(sweep(&format!("processes {}", number + 1), rounds, |mark| {
            processes(number, mark)
        }));
    }
    let met = worst <= 100.0 * (SLACK - 1.0);
    println!(
        "\nBeaten by at most {worst:.2} % (gate: 1 %): {}",
        if met { "met" } else { "**not met**" }
    );
    !met
}

/// One line through all marks; by how many percent the lowest ceiling was beaten.
fn sweep(name: &str, rounds: usize, run: impl Fn(usize) -> Seen) -> f64 {
    let mut seen = MARKS_KIB.map(|_| Vec::new());
    for _ in 0..rounds {
        for (runs, mark) in seen.iter_mut().zip(MARKS_KIB) {
            runs.push(run(mark * KIB));
        }
    }
    let seconds =
        seen.each_ref().map(|runs| median(&runs.iter().map(|run| run.seconds).collect::<Vec<_>>()));
    // what a mark's runs said that the best of all marks may take at least
    let said = seen.each_ref().map(|runs| {
        median(&runs.iter().map(|run| run.seconds / (1.0 + run.gain)).collect::<Vec<_>>())
    });
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let boldest = said.iter().copied().fold(0.0, f64::max);
    let beaten = 100.0 * (boldest / best - 1.0);
    let shown = seconds.map(|seconds| format!("{seconds:.3}")).join(", ");
    println!("| {name} | {shown} | {boldest:.3} s | {best:.3} s | {beaten:.2} % |");
    beaten
}

/// The time of an item in a stage: drawn from line, stage and item alone, so it is the same in every run.
fn drawn(line: &Line, seed: usize, stage: usize, item: usize) -> Duration {
    let mut state = (seed * 7 + stage * 131 + item * 8191 + 1) as u64;
    for _ in 0..8 {
        state ^= state << 13; // xorshift
        state ^= state >> 7;
        state ^= state << 17;
    }
    let mean = line.means[stage];
    Duration::from_micros(match line.spread {
        Spread::Constant => mean,
        Spread::Uniform => state % (2 * mean),
        Spread::Stalls if state.is_multiple_of(20) => mean * 200 / 29,
        Spread::Stalls => mean * 20 / 29,
    })
}

/// One stage's work. What a sleep takes too long is taken off the next, so that the whole takes as long in every run: else the runs differ
/// by more than what is to be shown.
struct Work {
    line: &'static Line,
    seed: usize,
    stage: usize,
    due: Duration,
    spent: Duration,
}

impl Work {
    fn new(line: &'static Line, seed: usize, stage: usize) -> Self {
        Self { line, seed, stage, due: Duration::ZERO, spent: Duration::ZERO }
    }

    fn on(&mut self, item: usize) {
        self.due += drawn(self.line, self.seed, self.stage, item);
        let begun = Instant::now();
        sleep(self.due.saturating_sub(self.spent));
        self.spent += begun.elapsed();
    }
}

fn threads(line: &'static Line, seed: usize, mark: usize) -> Seen {
    let [mut first, mut second, mut third] = [0, 1, 2].map(|stage| Work::new(line, seed, stage));
    let items = (0..ITEMS).map(move |item| {
        first.on(item);
        (item, vec![7_u8; ITEM])
    });
    let tank = || Tank::weighed(mark, |(_, bytes): &(usize, Vec<u8>)| bytes.len());
    let running = Pipeline::from("first", iter(items))
        .tank(tank())
        .map("second", move |(item, bytes)| {
            second.on(item);
            (item, bytes)
        })
        .tank(tank())
        .to("third", for_each(move |(item, _)| third.on(item)))
        .threads();
    let report = running.expect("there are threads").wait().expect("no stage fails").report;
    Seen { seconds: report.elapsed.as_secs_f64(), gain: report.verdict().gain }
}

/// A stage as a process of its own: `drawn LINE STAGE`. The first makes chunks, the others pass on what they read.
pub(crate) fn stage(words: &[String]) -> Option<()> {
    use std::io::{Read, Write};
    let [line, stage] = words else { return None };
    let (seed, stage): (usize, usize) = (line.parse().ok()?, stage.parse().ok()?);
    let mut work = Work::new(LINES.get(seed)?, seed, stage);
    let mut chunk = vec![7; CHUNK];
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    for item in 0..ITEMS {
        if stage > 0 {
            stdin.read_exact(&mut chunk).ok()?;
        }
        work.on(item);
        stdout.write_all(&chunk).ok()?;
    }
    Some(())
}

/// The command with three such stages, and what its record says at the end: how long it took, and its ceiling, where it knows one.
fn processes(seed: usize, mark: usize) -> Seen {
    let me = std::env::current_exe().expect("Linux knows");
    let me = me.to_str().expect("the target directory is UTF-8");
    let line = seed.to_string();
    let mut command =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/standpipe"));
    command.args(["--json", "--tank", &mark.to_string(), "--"]);
    for stage in ["0", "1", "2"] {
        if stage != "0" {
            command.arg("::");
        }
        command.args([me, "drawn", &line, stage]);
    }
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let output = output.expect("target/release/standpipe is built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "a swept run fails:\n{said}");
    let end = said.lines().last().expect("a record ends");
    let seconds = number(end, "\"elapsed_ms\":").expect("an end says how long it took") / 1000.0;
    let gain = end.split_once("\"ceiling\":").and_then(|(_, told)| number(told, "\"gain\":"));
    // a run that knows no ceiling promises nothing
    Seen { seconds, gain: gain.unwrap_or(f64::INFINITY) }
}

/// The first number behind these words.
fn number(line: &str, words: &str) -> Option<f64> {
    let (_, behind) = line.split_once(words)?;
    behind.split([',', '}']).next()?.parse().ok()
}
