//! What does a run take in which nothing flows?

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{BIN, Live};

/// How often the threads of this name have gone to sleep, each of them.
fn sleeps(pid: u32, name: &str) -> Vec<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let count = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).expect("it lives");
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.expect("the kernel tells").trim().to_owned()
        };
        let count = value("voluntary_ctxt_switches:").parse().expect("a number");
        (value("Name:") == name).then_some(count)
    };
    tasks.filter_map(|task| count(task.expect("it is readable"))).collect()
}

fn sample(live: &mut Live) -> Value {
    serde_json::from_str(&live.hear("\"event\":\"sample\"")).expect("an event")
}

/// Each of a thousand tanks looked around a hundred times a second, to see what nobody but itself could have changed:
/// with the looks at the commands that took most of a core. What is not looked at is counted all the same.
#[test]
fn where_nothing_flows_nobody_looks_and_the_waits_are_counted() {
    let mut args = vec!["--json", "--", "sleep", "60"];
    args.extend(["::", "cat"].into_iter().cycle().take(2 * 20));
    let mut command = Command::new(BIN);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut live = Live::start(command);
    // programs that start are busy at first
    let first = sample(&mut live);
    let before = sleeps(live.pid(), "pump");
    let (_, last) = (sample(&mut live), sample(&mut live));
    let after = sleeps(live.pid(), "pump");
    assert_eq!((before.len(), after.len()), (20, 20));
    let most = before.iter().zip(&after).map(|(before, after)| after - before).max();
    assert!(most <= Some(3), "{before:?} {after:?}");
    for (first, last) in first["tanks"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(last["tanks"].as_array().expect("there are some"))
    {
        let grown = last["empty_ms"].as_u64().zip(first["empty_ms"].as_u64());
        assert!(grown.is_some_and(|(last, first)| last - first >= 1500), "{first} {last}");
    }
    for stage in &last["stages"].as_array().expect("there are some")[1..] {
        assert!(stage["starved"].as_f64() > Some(0.95), "{stage}");
    }
    live.signal(Signal::INT);
    assert_eq!(live.end().signal(), 2);
}
