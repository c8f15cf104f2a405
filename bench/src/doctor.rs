//! What does it cost a pipeline to be looked at?
//!
//! The same work, `head | gzip -1 | cat`, alone and with the doctor beside it from its beginning to its end, by turns: how much longer it
//! takes, how much more CPU it uses itself, and what the doctor uses of a core.
//!
//! # Knows / never knows
//! Knows two ways to run a pipeline. Never knows what the doctor says of it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::measure::{Reading, median, reap};

/// About two seconds of work.
const WORK: &str = "head -c 600000000 /dev/zero | gzip -1 | cat > /dev/null";
const STAGES: usize = 3;
/// A pipeline may take so much more for being looked at: CPU is the gate, wall the goal, since on a busy machine wall says little.
const MOST: f64 = 1.02;

/// Prints the medians, and says whether the gate was missed.
#[expect(clippy::zombie_processes, reason = "`reap` waits, since only wait4 tells what was used")]
pub(crate) fn run(rounds: usize) -> bool {
    let home = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let standpipe = home.join("../target/release/standpipe");
    assert!(standpipe.exists(), "`cargo build --release` makes {}", standpipe.display());
    let (mut alone, mut watched, mut doctors) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // whoever comes first is another one each time
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                alone.push(Work::start().finish());
                continue;
            }
            let work = Work::start();
            let mut doctor = doctor(&standpipe, work.child.id());
            watched.push(work.finish());
            let _ = doctor.kill(); // it may have seen that all is over
            doctors.push(reap(doctor.id()).1.cpu.as_secs_f64());
        }
    }
    let seconds = |of: fn(&Reading) -> Duration, readings: &[Reading]| -> Vec<f64> {
        readings.iter().map(|reading| of(reading).as_secs_f64()).collect()
    };
    println!("\nThe doctor's cost, `{WORK}`; {rounds} rounds, load {}\n", crate::page::load());
    println!("| | alone | looked at | ratio, median of rounds | target | met |");
    println!("| --- | ---: | ---: | ---: | ---: | --- |");
    let row = |name: &str, target: &str, of: fn(&Reading) -> Duration| {
        let (alone, watched) = (seconds(of, &alone), seconds(of, &watched));
        let ratios = watched.iter().zip(&alone).map(|(with, without)| with / without);
        let ratio = median(&ratios.collect::<Vec<_>>());
        let met = if ratio <= MOST { "met" } else { "**not met**" };
        let (alone, watched) = (median(&alone), median(&watched));
        println!(
            "| {name} | {alone:.3} s | {watched:.3} s | {ratio:.3} | <= {MOST}{target} | {met} |"
        );
        ratio > MOST
    };
    let missed = row("its CPU", "", |reading| reading.cpu);
    row("wall", " (goal)", |reading| reading.wall);
    let walls = seconds(|reading| reading.wall, &watched);
    let shares: Vec<f64> = doctors.iter().zip(&walls).map(|(cpu, wall)| cpu / wall).collect();
    println!("\nThe doctor's own CPU: {:.2} % of a core", 100.0 * median(&shares));
    missed
}

fn doctor(standpipe: &PathBuf, pid: u32) -> Child {
    let mut doctor = Command::new(standpipe);
    doctor.args(["doctor", "--for", "1h", &pid.to_string()]);
    doctor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    doctor.spawn().expect("it starts")
}

/// The pipeline, under way.
struct Work {
    child: Child,
    begun: Instant,
}

impl Work {
    /// Starts it, and waits until all its stages are there.
    fn start() -> Self {
        let begun = Instant::now();
        let mut shell = Command::new("sh");
        let child = shell.args(["-c", WORK]).stdin(Stdio::null()).spawn().expect("sh starts");
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let there =
            || std::fs::read_to_string(&children).map_or(0, |all| all.split_whitespace().count());
        while there() < STAGES {
            sleep(Duration::from_millis(1));
        }
        Self { child, begun }
    }

    /// What it took, wall and CPU of all stages.
    fn finish(self) -> Reading {
        let (status, usage) = reap(self.child.id());
        assert_eq!(status, 0, "`{WORK}` failed");
        Reading { wall: self.begun.elapsed(), ..usage }
    }
}
