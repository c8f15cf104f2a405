//! Pipelines of real processes.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::exec::now;

/// A shell that runs this.
fn shell(text: &str) -> Child {
    Command::new("sh")
        .args(["-c", text])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("there is a shell")
}

/// Looks until it is so, for a minute.
fn look_until(watch: &mut Family, so: impl Fn(&Family) -> bool) {
    let begin = now();
    let (_sender, receiver) = std::sync::mpsc::sync_channel::<()>(0);
    while !so(watch) {
        assert!(now().duration_since(begin) < Duration::from_secs(60), "{watch:?}");
        receiver.recv_timeout(Duration::from_millis(5)).expect_err("nobody sends");
        watch.look(now());
    }
}

#[test]
fn a_stage_that_does_not_read_pauses_the_one_above_and_starves_the_one_below() {
    let mut child = shell("cat /dev/zero | (sleep 30; cat) | cat");
    let mut watch = Family::new(child.id());
    let long = |ns: u64| ns > 100_000_000;
    look_until(&mut watch, |watch| {
        let stages = watch.members();
        stages.len() == 3 && long(stages[0].times.paused_ns) && long(stages[2].times.starved_ns)
    });
    let stages = watch.members();
    assert_eq!((stages[0].label.as_str(), stages[1].label.as_str()), ("cat /dev/zero", "sleep 30"));
    assert!(long(stages[1].times.busy_ns), "{stages:?}");
    let pipe = |at: usize| watch.level_before(watch.stages.in_order()[at]).expect("it is there");
    assert!(pipe(1).bytes > 0 && pipe(1).bytes <= pipe(1).high_bytes, "{:?}", pipe(1));
    assert_eq!(pipe(2).bytes, 0);
    // the whole family is ours, and in nobody's way any more
    for pid in watch.pids() {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::KILL).ok();
    }
    child.wait().expect("it was killed");
}

#[test]
fn who_has_gone_is_no_error() {
    let mut child = shell("exit 0");
    let mut watch = Family::new(child.id());
    child.wait().expect("it ends");
    watch.look(now());
    watch.look(now());
    assert_eq!(watch.members(), Vec::new());
}
