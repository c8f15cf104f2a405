//! Is standpipe fast enough? Its claims, each as a ratio to a peer in the same run.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- w1` prints one markdown table; see README.md in this folder.
#![allow(
    clippy::disallowed_methods,
    reason = "what measures reads clocks, and a stage that is slow on purpose sleeps"
)]

#[path = "../counts/src/callgrind.rs"]
mod callgrind;
mod budget;
mod ceiling;
mod doctor;
mod heap;
mod measure;
mod named;
mod node;
mod overhead;
mod page;
mod pair;
mod planted;
mod queues;
mod scale;
mod setting;
mod table;
mod threads;
mod w1;
mod w10;
mod w2;
mod w3;
mod w4;
mod w5;
mod w6;
mod w7;
mod w8;
mod w9;

use std::process::ExitCode;
use std::time::Duration;

use measure::{Case, Plan, Unit, measure};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const USAGE: &str = "usage: bench WORKLOAD|all|… [--rounds N] [--filter TEXT] [--json] [--gate]

  w1           one hop: a producer, a tank, a consumer
  w2           three transforms, fused and with four tanks
  w3           chunks of bytes through two tanks
  w4           relays of bytes: file to file, pipe to pipe
  w5           packing 128 MiB
  w6           peak memory with a slow consumer
  w7           relays of TCP connections, 1 and 1,000
  w8           idle tanks: bytes, time to make one, what a burst leaves
  w9           how often a producer is polled
  w10          instructions per item, under callgrind
  pair         the README's example and the tokio code for it
  budget       one limit over many queues: cost, what is held, fairness
  all          all above, overhead and scale; writes docs/performance.md
  ceiling      is the ceiling that a report tells ever beaten? (3 rounds)
  doctor       what it costs a pipeline to be looked at (9 rounds)
  overhead     what the gauges cost, in instructions
  scale        instructions per item against tanks, stages, producers, items
  planted      is the slow stage named that was planted? (3 rounds, 10 minutes)
  --rounds N   interleaved rounds (7; heavy ones 5 or 3; exact ones always 1)
  --filter T   only cases whose name and setting contain T, and their peers
  --json       a JSON line per case with every reading, instead of the table
  --gate       exit 1 if a gate is missed";

/// A question that is answered by one table.
struct Workload {
    name: &'static str,
    title: &'static str,
    cases: fn() -> Vec<Case>,
    unit: Unit,
    rounds: usize,
    round_time: Option<Duration>,
}

const SHORT: Option<Duration> = Some(Duration::from_millis(250));

/// Commands first: a child of a process that has grown inherits its peak.
const WORKLOADS: &[Workload] = &[
    Workload {
        name: "w4",
        title: "W4 relays, 1 GiB, cached",
        cases: w4::cases,
        unit: Unit::GibPerSecond,
        rounds: 5,
        round_time: None,
    },
    Workload {
        name: "w5",
        title: "W5 packing 128 MiB on tmpfs; the count is the bytes that come out",
        cases: w5::cases,
        unit: Unit::GibPerSecond,
        rounds: 3,
        round_time: None,
    },
    Workload {
        name: "w6",
        title: "W6 a slow consumer, 64 MiB in chunks of 64 KiB, one per 1.2 ms",
        cases: w6::cases,
        unit: Unit::GibPerSecond,
        rounds: 3,
        round_time: None,
    },
    Workload {
        name: "w7",
        title: "W7 relays of TCP, 1 GiB over loopback; CPU and peak of the relay",
        cases: w7::cases,
        unit: Unit::GibPerSecond,
        rounds: 3,
        round_time: None,
    },
    Workload {
        name: "w1",
        title: "W1 one hop, u64, low-water mark half",
        cases: w1::cases,
        unit: Unit::NsPerItem,
        rounds: 7,
        round_time: SHORT,
    },
    Workload {
        name: "w2",
        title: "W2 source, three transforms, sink, u64",
        cases: w2::cases,
        unit: Unit::NsPerItem,
        rounds: 5,
        round_time: SHORT,
    },
    Workload {
        name: "w3",
        title: "W3 chunks of bytes through two tanks of 256 KiB, per chunk",
        cases: w3::cases,
        unit: Unit::NsPerItem,
        rounds: 7,
        round_time: SHORT,
    },
    Workload {
        name: "w8",
        title: "W8 idle queues, each: time to make it, bytes with both ends",
        cases: w8::cases,
        unit: Unit::NsAndBytes,
        rounds: 5,
        round_time: None,
    },
    Workload {
        name: "w9",
        title: "W9 polls of a producer that is always ready, 500,000 items",
        cases: w9::cases,
        unit: Unit::Count("polls"),
        rounds: 1,
        round_time: None,
    },
    Workload {
        name: "w10",
        title: "W10 instructions",
        cases: w10::cases,
        unit: Unit::Count("instructions/item"),
        rounds: 1,
        round_time: None,
    },
    Workload {
        name: "pair",
        title: "The README's example and the tokio code for it, per number",
        cases: pair::cases,
        unit: Unit::NsPerItem,
        rounds: 7,
        round_time: SHORT,
    },
    Workload {
        name: "budget",
        title: "One limit over many queues, pieces of 1 KiB, queues of 64 KiB, per piece",
        cases: budget::cases,
        unit: Unit::NsPerItem,
        rounds: 7,
        round_time: None,
    },
];

/// What prints a table of its own.
const OTHERS: [&str; 5] = ["planted", "ceiling", "doctor", "overhead", "scale"];

/// What was asked for.
#[derive(Default)]
struct Options {
    workloads: Vec<&'static str>,
    rounds: Option<usize>,
    filter: String,
    json: bool,
    gate: bool,
    /// Collects what is printed, to be written down.
    page: Option<page::Page>,
}

fn main() -> ExitCode {
    let Some(mut options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (mut missed, mut page) = (false, options.page.take());
    for workload in &options.workloads {
        let (table, misses) = run(workload, &options);
        print!("{table}");
        missed |= misses;
        if let Some(page) = &mut page {
            page.add(&table);
        }
    }
    if let Some(page) = page.filter(|_| options.filter.is_empty() && !options.json) {
        page.write();
    }
    if missed && options.gate { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn named(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

fn parse(words: impl Iterator<Item = String>) -> Option<Options> {
    let (mut options, mut words) = (Options::default(), words);
    while let Some(word) = words.next() {
        match word.as_str() {
            "planted" | "ceiling" | "doctor" | "overhead" | "scale" => {
                let known = OTHERS.iter().find(|other| **other == word)?;
                options.workloads.push(known);
            }
            "deflate" | "slow" | "relay" | "drawn" => {
                let words = words.collect::<Vec<_>>();
                let done = match word.as_str() {
                    "deflate" => w5::deflate(&words),
                    "slow" => w6::slow(&words),
                    "relay" => w7::relay(&words),
                    _ => ceiling::stage(&words),
                };
                std::process::exit(if done.is_some() { 0 } else { 1 });
            }
            "stage" => {
                planted::stage(&words.collect::<Vec<_>>());
                std::process::exit(0);
            }
            "count" => {
                let cases = match words.next()?.as_str() {
                    "overhead" => overhead::cases(),
                    "scale" => scale::cases(),
                    name => (named(name)?.cases)(),
                };
                named::count(cases, &words.collect::<Vec<_>>())?;
                std::process::exit(0);
            }
            "all" => {
                options.workloads.extend(WORKLOADS.iter().map(|workload| workload.name));
                options.workloads.extend(["overhead", "scale"]);
                options.page = Some(page::Page::default());
            }
            "--rounds" => {
                options.rounds = Some(words.next()?.parse().ok().filter(|rounds| *rounds > 0)?)
            }
            "--filter" => options.filter = words.next()?,
            "--json" => options.json = true,
            "--gate" => options.gate = true,
            name => options.workloads.push(named(name)?.name),
        }
    }
    (!options.workloads.is_empty()).then_some(options)
}

/// Runs one workload; its table, unless it has printed one itself, and whether a gate was missed.
fn run(name: &str, options: &Options) -> (String, bool) {
    let Some(workload) = named(name) else {
        let rounds = options.rounds.unwrap_or(3);
        let missed = match name {
            "ceiling" => ceiling::run(rounds),
            "doctor" => doctor::run(options.rounds.unwrap_or(9)),
            "overhead" => return overhead::run(),
            "scale" => return (scale::run(), false),
            _ => planted::run(rounds),
        };
        return (String::new(), missed);
    };
    let exact = matches!(workload.unit, Unit::Count(_));
    let rounds = options.rounds.filter(|_| !exact).unwrap_or(workload.rounds);
    let plan = Plan { rounds, round_time: workload.round_time };
    let rows = measure(chosen((workload.cases)(), &options.filter), plan);
    let missed = rows.iter().any(|row| row.verdicts(&rows).iter().any(measure::Verdict::fails));
    if options.json {
        table::json(name, &rows);
        return (String::new(), missed);
    }
    let table = table::markdown(&rows, workload.unit);
    let (more, misses) = match name {
        "pair" => (pair::lengths(), false),
        "budget" if options.filter.is_empty() => budget::bounds(),
        _ => (String::new(), false),
    };
    let (title, load) = (workload.title, page::load());
    (format!("\n## {title}\n\n{rounds} rounds, load {load}.\n\n{table}{more}"), missed | misses)
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
