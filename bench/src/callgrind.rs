//! How many instructions does an item cost, exactly?
//!
//! A case of another workload runs in a process of its own under callgrind, once with n and once with 2n items; the difference over n is
//! what an item costs, and all that happens once cancels. One thread, so the count is the same on a busy machine.
//!
//! # Knows / never knows
//! Knows cases by workload, setting and name. Never knows what they do.

use std::process::{Child, Command, Stdio};

use crate::measure::{Case, Reading, Run};

/// Items of the smaller run: the tank of 1024 fills 20 times.
const ITEMS: u64 = 20_480;

/// A case by name: workload, setting, case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) workload: &'static str,
    pub(crate) setting: &'static str,
    pub(crate) case: &'static str,
}

/// Says whether callgrind is installed.
pub(crate) fn present() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// A run whose reading is the instructions per item of that case; none without callgrind.
pub(crate) fn run(named: Named) -> Option<Run> {
    present().then(|| -> Run {
        Box::new(move |_| Reading { count: instructions(named, ITEMS), ..Reading::default() })
    })
}

/// The instructions per item, between n and 2n.
pub(crate) fn instructions(named: Named, n: u64) -> f64 {
    let (once, twice) = (start(named, n), start(named, 2 * n));
    let (once, twice) = (collected(named, once), collected(named, twice));
    (twice as f64 - once as f64) / n as f64
}

/// The child's part: runs one of these cases once.
pub(crate) fn count(cases: Vec<Case>, words: &[String]) -> Option<()> {
    let [setting, name, n] = words else { return None };
    let mut chosen =
        cases.into_iter().find(|case| case.setting == *setting && case.name == name)?;
    let run = chosen.run.as_mut()?;
    run(n.parse().ok()?);
    Some(())
}

fn start(named: Named, n: u64) -> Child {
    let me = std::env::current_exe().expect("Linux knows");
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["count", named.workload, named.setting, named.case, &n.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    child.expect("valgrind can be started")
}

fn collected(named: Named, child: Child) -> u64 {
    let output = child.wait_with_output().expect("the child is ours");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{named:?} fails under callgrind:\n{said}");
    let line = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = line.and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("callgrind does not say what it collected:\n{said}"))
}
