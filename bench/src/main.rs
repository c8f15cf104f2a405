//! Is standpipe fast enough? Its claims, each as a ratio to a peer in the same run.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- w1` prints one markdown table; see README.md in this folder.

mod measure;
mod planted;
mod table;
mod w1;
mod w4;

use std::process::ExitCode;
use std::time::Duration;

use measure::{Case, Plan, Unit, measure};

const USAGE: &str = "usage: bench w1|w4|planted|all [--rounds N] [--filter TEXT] [--json] [--gate]

  w1           one hop: a producer, a tank, a consumer
  w4           relays of bytes: file to file, pipe to pipe
  planted      is the slow stage named that was planted? (3 rounds, 10 minutes)
  --rounds N   interleaved rounds (7; w4: 5)
  --filter T   only cases whose name and setting contain T, and their peers
  --json       a JSON line per case with every reading, instead of the table
  --gate       exit 1 if a gate is missed";

/// What was asked for.
#[derive(Default)]
struct Options {
    workloads: Vec<&'static str>,
    rounds: Option<usize>,
    filter: String,
    json: bool,
    gate: bool,
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut missed = false;
    for workload in &options.workloads {
        missed |= run(workload, &options);
    }
    if missed && options.gate { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn parse(words: impl Iterator<Item = String>) -> Option<Options> {
    let (mut options, mut words) = (Options::default(), words);
    while let Some(word) = words.next() {
        match word.as_str() {
            "w1" => options.workloads.push("w1"),
            "w4" => options.workloads.push("w4"),
            "planted" => options.workloads.push("planted"),
            "stage" => {
                planted::stage(&words.collect::<Vec<_>>());
                std::process::exit(0);
            }
            // commands first: a child of a process that has grown inherits its peak
            "all" => options.workloads.extend(["w4", "w1"]),
            "--rounds" => {
                options.rounds = Some(words.next()?.parse().ok().filter(|rounds| *rounds > 0)?)
            }
            "--filter" => options.filter = words.next()?,
            "--json" => options.json = true,
            "--gate" => options.gate = true,
            _ => return None,
        }
    }
    (!options.workloads.is_empty()).then_some(options)
}

/// Runs one workload and prints it; says whether a gate was missed.
fn run(workload: &str, options: &Options) -> bool {
    if workload == "planted" {
        return planted::run(options.rounds.unwrap_or(3));
    }
    let (title, cases, unit, plan) = match workload {
        "w1" => {
            let plan = Plan { rounds: 7, round_time: Some(Duration::from_millis(400)) };
            ("W1 one hop, u64, low-water mark half", w1::cases(), Unit::NsPerItem, plan)
        }
        _ => {
            let plan = Plan { rounds: 5, round_time: None };
            ("W4 relays, 1 GiB, cached", w4::cases(), Unit::GibPerSecond, plan)
        }
    };
    let plan = Plan { rounds: options.rounds.unwrap_or(plan.rounds), ..plan };
    let rows = measure(chosen(cases, &options.filter), plan);
    if options.json {
        table::json(workload, &rows);
    } else {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown").to_owned();
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        println!("\n{title}; {} rounds, {cpus} CPUs, load {load}\n", plan.rounds);
        table::markdown(&rows, unit);
    }
    rows.iter().any(|row| row.verdicts(&rows).iter().any(measure::Verdict::fails))
}

/// Keeps the cases that match, and the peers they are compared with.
fn chosen(cases: Vec<Case>, filter: &str) -> Vec<Case> {
    let matches = |case: &Case| format!("{} {}", case.name, case.setting).contains(filter);
    let wanted: Vec<(String, Vec<&str>)> = cases
        .iter()
        .filter(|case| matches(case))
        .map(|case| {
            let peers = case.targets.iter().flat_map(|t| &t.peers).copied();
            (case.setting.clone(), peers.chain([case.name]).collect())
        })
        .collect();
    let keep = |case: &Case| {
        wanted.iter().any(|(setting, names)| *setting == case.setting && names.contains(&case.name))
    };
    cases.into_iter().filter(keep).collect()
}
