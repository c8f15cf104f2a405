//! Did a change make an item dearer?
//!
//! The instructions per item of a few cases, compared with those written down in `counts.txt`: more than 3 % above fails. A count is
//! exact, but it belongs to a compiler: where that is another one, only the ratios to tokio in the same run are judged. Then the calls
//! that must not be there at all: where nobody waits, no clock is read and nothing is copied.
//!
//! # Knows / never knows
//! Knows cases, what they cost when that was last written down, and ratios. Never knows how to count.

mod callgrind;
mod cases;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use callgrind::{Calls, between, instructions, me, present, profile};
use cases::{CASES, LOOKS, NOBODY_WAITS};

/// How much dearer an item may become, in percent.
const SLACK: f64 = 3.0;
/// Items of the smaller run: the tank of 1024 fills ten times.
const ITEMS: u64 = 10_240;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let failed = match words[..] {
        [] => counted(Writes::No) | called(),
        ["--write"] => counted(Writes::Yes) | called(),
        ["case", name, n] => return case(name, n),
        _ => {
            eprintln!("usage: standpipe-counts [--write]");
            return ExitCode::from(2);
        }
    };
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether what is counted becomes what is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Yes,
    No,
}

/// The part of a counted process: one case, once.
fn case(name: &str, n: &str) -> ExitCode {
    let chosen = CASES.iter().chain([&LOOKS]).find(|case| case.name == name);
    match (chosen, n.parse()) {
        (Some(case), Ok(n)) => {
            (case.run)(n);
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(2),
    }
}

/// Counts and compares, or writes down; says whether something became too dear.
fn counted(writes: Writes) -> bool {
    if !present() {
        println!("counts: skipped, there is no valgrind");
        return false;
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    let compiler = compiler();
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let same = known.lines().next() == Some(&compiler);
    let counts: Vec<(&str, f64)> =
        CASES.iter().map(|case| (case.name, instructions(&me(), &["case", case.name], ITEMS))).collect();
    let of = |name: &str| counts.iter().find(|(known, _)| *known == name).map(|(_, count)| *count);
    let mut now = format!("{compiler}\n");
    let mut failed = false;
    for (case, (name, count)) in CASES.iter().zip(&counts) {
        let _ = writeln!(now, "{name} | {count:.1}");
        let before = known.lines().filter_map(|line| line.rsplit_once(" | "));
        let before = before
            .filter(|(known, _)| known == name)
            .find_map(|(_, count)| count.parse::<f64>().ok());
        let mut said = format!("{name}: {count:.1} instructions an item");
        if let Some(before) = before.filter(|_| same) {
            let percent = 100.0 * (count / before - 1.0);
            let _ = write!(said, ", {percent:+.1} % of {before:.1} (limit +{SLACK} %)");
            failed |= percent > SLACK && writes == Writes::No;
        } else if same && writes == Writes::No {
            said.push_str(", which is not written down");
            failed = true;
        }
        if let Some((peer, at_most)) = case.against {
            let ratio = count / of(peer).expect("a peer is a case");
            let _ = write!(said, ", {ratio:.2} of {peer} (limit {at_most})");
            failed |= ratio > at_most;
        }
        println!("{said}");
    }
    if writes == Writes::Yes {
        std::fs::write(&file, now).expect("counts.txt can be written");
    } else if !same {
        println!("counts: {} is of another compiler; only ratios were judged", file.display());
    }
    if failed {
        println!("counts: dearer than allowed. If that is what the change is worth: `--write`");
    }
    failed
}

/// Looks for calls that must not be there, and says whether there is one. A case that has them shows that they would be seen.
fn called() -> bool {
    if !present() {
        return false;
    }
    let mut failed = false;
    for name in NOBODY_WAITS {
        let calls = calls(name);
        println!(
            "{name}: {:.4} readings of the clock and {:.4} copies an item (limit 0)",
            calls.clock, calls.copies
        );
        failed |= calls.clock > 0.0 || calls.copies > 0.0;
    }
    let seen = calls(LOOKS.name);
    assert!(seen.clock > 0.9 && seen.copies > 0.9, "calls are not seen: {seen:?}");
    failed
}

fn calls(name: &str) -> Calls {
    let words = ["case", name];
    between(&profile(&words, ITEMS, &[]), &profile(&words, 2 * ITEMS, &[]), ITEMS)
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc built this");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
