//! Runs scenarios of Node's stream rules on standpipe and prints their traces.
//!
//! ```sh
//! cargo run --release -p standpipe --example node_trace -- [--level A|B] FILE.jsonl
//! ```
//!
//! A scenario (a line of JSON) describes a few streams, what their ends do and
//! a script of operations; its trace is what could be seen of them, step by
//! step, on a manual clock. The same scenarios were run on Node's streams, so
//! equal traces mean equal behaviour, level by level and answer by answer.
//!
//! # What is the library's
//! Queues, levels, marks, the answer of a write, owed drains, held inputs,
//! requests (a source's wait for the drain of its own tank), corks, ends
//! ([`Tank::node`](standpipe::Tank::node)); whom a failure reaches, and when
//! the result is due ([`Group`](standpipe::pipeline::Group)).
//!
//! # What is done here
//! The ends of the streams, the script, the producer, the consumer, the clock,
//! the printing; and what a library of typed handles has no word for: a write
//! or a cork after the end, a push after it, a second end, a write on a
//! dropped handle. Opening and the wait for an asynchronous cleanup are plain
//! awaits before and after a node's work; the pipe is a loop over `next`,
//! `write` and `drained`, since it leaves both sides alone on failure and may
//! lose a destination while it runs.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

mod data;
mod edge;
mod node;
pub(crate) mod run;
mod scenario;
mod script;
mod world;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    match run_files(&args, &mut out).and_then(|()| out.flush().map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let told = writeln!(io::stderr(), "{reason}");
            drop((out.flush(), told));
            ExitCode::FAILURE
        }
    }
}

/// Runs the files named by the arguments.
///
/// # Errors
/// The line for the standard error: `FILE:LINE: reason` for a malformed
/// scenario.
pub(crate) fn run_files(args: &[String], out: &mut dyn Write) -> Result<(), String> {
    let mut level = run::Level::B;
    let mut files = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match (arg.as_str(), arg.strip_prefix("--level=")) {
            ("--level", _) => level = parse_level(args.next().map(String::as_str))?,
            (_, Some(name)) => level = parse_level(Some(name))?,
            (option, None) if option.starts_with("--") => {
                return Err(format!(
                    "unknown option {option}; usage: node_trace [--level A|B] FILE"
                ));
            }
            _ => files.push(arg),
        }
    }
    if files.is_empty() {
        return Err(String::from("no file; usage: node_trace [--level A|B] FILE"));
    }
    for file in files {
        let text = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        run_text(file, &text, level, out)?;
    }
    Ok(())
}

/// Runs the scenarios in `text`, the content of `file`.
///
/// # Errors
/// As [`run_files`].
pub(crate) fn run_text(
    file: &str,
    text: &[u8],
    level: run::Level,
    out: &mut dyn Write,
) -> Result<(), String> {
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let malformed = |reason: String| format!("{file}:{number}: {reason}");
        let line = std::str::from_utf8(line).map_err(|error| malformed(error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let scenario = scenario::Scenario::parse(line).map_err(malformed)?;
        run::run(&scenario, level, out).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn parse_level(name: Option<&str>) -> Result<run::Level, String> {
    match name {
        Some("A") => Ok(run::Level::A),
        Some("B") => Ok(run::Level::B),
        _ => Err(String::from("--level wants A or B")),
    }
}
