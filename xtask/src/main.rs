//! Chores of the project: `cargo xtask tidy`.
#![forbid(unsafe_code)]

mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy    check the laws of the house (ARCHITECTURE.md)";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the terminal")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => match tidy::check_workspace() {
            Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
            Ok(faults) => {
                for fault in &faults {
                    println!("{fault}");
                }
                eprintln!("tidy: {} to mend", faults.len());
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("tidy: cannot read the tree: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
