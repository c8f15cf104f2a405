//! How many instructions does an item cost, exactly, and what does it call?
//!
//! This program runs one of its cases in a process of its own under callgrind, once with n and once with 2n items; the difference over n
//! is what an item costs, and all that happens once cancels. One thread, so the count is the same on a busy machine.
//!
//! # Knows / never knows
//! Knows this program by the words that make it run a case. Never knows what the case does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Says whether callgrind is installed.
pub(crate) fn present() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

const NOWHERE: &str = "--callgrind-out-file=/dev/null";

/// This program.
pub(crate) fn me() -> PathBuf {
    std::env::current_exe().expect("Linux knows")
}

/// The instructions per item between n and 2n; the number of items is the last word of the command.
pub(crate) fn instructions(program: &Path, words: &[&str], n: u64) -> f64 {
    let start = |n| start(program, words, n, &[NOWHERE]);
    let (once, twice) = (start(n), start(2 * n));
    let (once, twice) = (collected(words, once), collected(words, twice));
    (twice as f64 - once as f64) / n as f64
}

/// Calls per item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    /// Readings of the clock. Valgrind hides the kernel's shortcut for them, so each is a call.
    pub(crate) clock: f64,
    /// Copies that are worth a call: `memcpy` and `memmove`.
    pub(crate) copies: f64,
}

/// The calls per item in profiles of n and of 2n.
pub(crate) fn between(once: &str, twice: &str, n: u64) -> Calls {
    let calls = |names: &[&str]| {
        let (once, twice) = (number_of_calls(once, names), number_of_calls(twice, names));
        (twice as f64 - once as f64) / n as f64
    };
    Calls { clock: calls(&["clock_gettime"]), copies: calls(&["memcpy", "memmove"]) }
}

/// What callgrind writes about a run.
pub(crate) fn profile(words: &[&str], n: u64, options: &[&str]) -> String {
    let file = std::env::temp_dir().join(format!("standpipe-{}-{n}.out", std::process::id()));
    let to = format!("--callgrind-out-file={}", file.display());
    collected(words, start(&me(), words, n, &[options, &[to.as_str()]].concat()));
    let text = std::fs::read_to_string(&file).expect("callgrind has written it");
    std::fs::remove_file(&file).expect("it was just read");
    text
}

/// Adds up the calls of functions with such a name: `cfn=(7) name`, from then on `cfn=(7)`, and after it `calls=COUNT …`.
fn number_of_calls(profile: &str, parts: &[&str]) -> u64 {
    let (mut wanted, mut here, mut sum) = (HashMap::new(), false, 0);
    for line in profile.lines() {
        let callee = line.strip_prefix("cfn=");
        if let Some(function) = callee.or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                wanted.insert(number, parts.iter().any(|part| name.contains(part)));
            }
            here = callee.is_some() && wanted.get(number).copied().unwrap_or(false);
        } else if let Some(count) = line.strip_prefix("calls=").filter(|_| here) {
            let count = count.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            sum += count.expect("callgrind writes a number of calls");
        }
    }
    sum
}

fn start(program: &Path, words: &[&str], n: u64, options: &[&str]) -> Child {
    let child = Command::new("valgrind")
        // a copy by `rep movsb` would count an instruction for each byte
        .env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1073741824")
        .arg("--tool=callgrind")
        .args(options)
        .arg(program)
        .args(words)
        .arg(n.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    child.expect("valgrind can be started")
}

fn collected(words: &[&str], child: Child) -> u64 {
    let output = child.wait_with_output().expect("the child is ours");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?} fails under callgrind:\n{said}");
    let line = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = line.and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("callgrind does not say what it collected:\n{said}"))
}
