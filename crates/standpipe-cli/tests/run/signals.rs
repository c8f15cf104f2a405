//! What does a signal, a deadline or a reader that leaves do to a run?

use std::io::Write;
use std::process::Stdio;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustix::process::Signal;

use crate::rig::{Live, Scratch, run, shell, standpipe};

const HUP: i32 = 1;
const INT: i32 = 2;
const KILL: i32 = 9;
const PIPE: i32 = 13;
const TERM: i32 = 15;

/// A source that says when it has put something out, and then waits for a long time.
const SOURCE: &str = "echo data; echo ready >&2; exec sleep 30";

/// A run into `out` whose source waits.
fn waiting(scratch: &Scratch, options: &[&str]) -> Live {
    let out = scratch.arg("out");
    let args = [options, &["--to", &out, "--", "sh", "-c", SOURCE, "::", "cat"]].concat();
    let mut live = Live::start(standpipe(&args));
    live.hear("| ready");
    live
}

/// Lets time pass where nothing happens that could be waited for.
fn pass(time: Duration) {
    let (_sender, receiver) = sync_channel::<()>(0);
    receiver.recv_timeout(time).expect_err("nobody sends");
}

#[test]
fn int_and_hup_abort_and_leave_nothing() {
    for (signal, number) in [(Signal::INT, INT), (Signal::HUP, HUP)] {
        for path in [&[][..], &["--fast", "never"]] {
            let scratch = Scratch::new();
            let live = waiting(&scratch, path);
            live.signal(signal);
            let done = live.end();
            assert_eq!(done.signal(), number, "{}", done.err);
            assert!(done.err.contains("note: stopped after"), "{}", done.err);
            assert_eq!(scratch.names(), [""; 0]);
        }
    }
}

#[test]
fn int_reaches_a_filter_that_waits_on_either_side() {
    for path in [&[][..], &["--fast", "never"]] {
        // On read: a byte went through, no more comes.
        let mut command = standpipe(path);
        command.stdin(Stdio::piped());
        let mut live = Live::start(command);
        live.stdin.as_mut().expect("it is piped").write_all(b"x").expect("it is taken");
        assert_eq!(live.read(1), b"x");
        live.signal(Signal::INT);
        let stdin = live.stdin.take(); // its end would be an end of the run, too
        assert_eq!(live.end().signal(), INT);
        drop(stdin);
        // On write: bytes without end, of which one is read.
        let args = [path, &["--from", "zero:100G"]].concat();
        let mut live = Live::start(standpipe(&args));
        live.read(1);
        live.signal(Signal::INT);
        let stdout = live.stdout.take();
        let done = live.end();
        drop(stdout);
        assert_eq!(done.signal(), INT, "{}", done.err);
    }
}

#[test]
fn a_stage_that_ignores_signals_is_killed() {
    let script = "trap '' INT TERM HUP; echo ready >&2; while :; do sleep 1; done";
    let mut live = Live::start(standpipe(&["--", "sh", "-c", script, "::", "cat"]));
    live.hear("| ready");
    live.signal(Signal::INT);
    assert_eq!(live.end().signal(), INT);
}

/// The number that a stage says is that of a process it made.
fn said_pid(live: &mut Live) -> i32 {
    let line = live.hear("pid=");
    let number = line.trim().rsplit_once('=').expect("it was heard").1;
    number.parse().expect("a number")
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie is dead; whoever inherits it buries it when it likes.
    !stat.is_empty() && !stat.contains(") Z ")
}

/// An abort told the command alone, and what it had made went on: a shell ended, the dump it had started did not.
#[test]
fn what_a_stage_has_made_ends_with_it() {
    for script in [
        "sleep 60 & echo pid=$! >&2; wait",
        // Its parent has gone already.
        "(sleep 60 & echo pid=$! >&2); sleep 60",
        // It does not listen.
        "sh -c 'trap \"\" TERM; echo pid=$$ >&2; while :; do sleep 0.1; done' & wait",
    ] {
        for cut in [Some(Signal::INT), None] {
            let mut args = vec!["--", "sh", "-c", script, "::", "cat"];
            if cut.is_none() {
                args.splice(0..0, ["--stall", "300ms"]);
            }
            let mut live = Live::start(standpipe(&args));
            let pid = said_pid(&mut live);
            assert!(lives(pid), "{script}");
            match cut {
                Some(signal) => {
                    live.signal(signal);
                    assert_eq!(live.end().signal(), INT);
                }
                None => live.end().failed(124, &["nothing moved"]),
            }
            assert!(!lives(pid), "{script}");
        }
    }
}

#[test]
fn a_second_int_kills_what_a_stage_has_made() {
    let script =
        "trap '' INT TERM; (trap '' TERM; echo pid=$$ >&2; while :; do sleep 0.1; done) & wait";
    let mut live = Live::start(standpipe(&["--", "sh", "-c", script, "::", "cat"]));
    let pid = said_pid(&mut live);
    live.signal(Signal::INT);
    while std::fs::read_to_string(format!("/proc/{}/task/{0}/children", live.pid()))
        .is_ok_and(|c| c.split_whitespace().count() > 1)
    {
        std::thread::yield_now();
    }
    live.signal(Signal::INT);
    assert_eq!(live.end().signal(), INT);
    assert!(!lives(pid));
}

/// Two thousand stages are not started in a moment, and until all were, nothing that came was looked at.
#[test]
fn what_comes_while_stages_are_started_ends_those_that_were() {
    for (name, number) in [("INT", INT), ("HUP", HUP), ("TERM", TERM)] {
        let scratch = Scratch::new();
        let out = scratch.arg("out");
        let first = format!("echo pid=$$ >&2; kill -{name} $PPID; exec sleep 60");
        let mut args = vec!["--memory", "1G", "-o", &out, "--", "sh", "-c", &first];
        args.extend(["::", "cat"].into_iter().cycle().take(2 * 1999));
        let mut live = Live::start(standpipe(&args));
        let pid = said_pid(&mut live);
        let done = live.end();
        assert_eq!(done.signal(), number, "{}", done.err);
        assert!(done.err.contains(" of 2,001 stages had been started"), "{}", done.err);
        assert!(done.err.contains("was not written"), "{}", done.err);
        assert_eq!(done.end()["failed"]["kind"], "signal");
        assert!(!lives(pid), "{name}");
        assert_eq!(scratch.names(), [""; 0], "{name}");
    }
}

#[test]
fn a_start_knows_the_timeout() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let mut args = vec!["--timeout", "1ms", "-o", &out, "--", "seq", "9"];
    args.extend(["::", "cat"].into_iter().cycle().take(2 * 99));
    let done = run(standpipe(&args));
    done.failed(124, &["not done after 1ms", " of 101 stages had been started"]);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn what_has_left_the_group_is_left_alone() {
    let script =
        "setsid sh -c 'echo pid=$$ >&2; exec sleep 60 2>/dev/null' >/dev/null & exec sleep 60";
    let mut live = Live::start(standpipe(&["--", "sh", "-c", script, "::", "cat"]));
    let pid = said_pid(&mut live);
    live.signal(Signal::INT);
    assert_eq!(live.end().signal(), INT);
    assert!(lives(pid));
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, Signal::KILL).expect("it lives");
}

#[test]
fn a_background_process_outlives_a_run_that_ends_well() {
    let script = "sleep 60 >/dev/null 2>&1 & echo pid=$! >&2";
    let mut live = Live::start(standpipe(&["--", "sh", "-c", script, "::", "cat"]));
    let pid = said_pid(&mut live);
    assert_eq!(live.end().code(), 0);
    assert!(lives(pid));
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, Signal::KILL).expect("it lives");
}

/// Orphans become our children, and a long run would collect them.
#[test]
fn orphans_that_end_are_no_zombies() {
    let script =
        "i=0; while [ $i -lt 20 ]; do (true &); i=$((i+1)); done; echo ready >&2; exec sleep 60";
    let mut live = Live::start(standpipe(&["--", "sh", "-c", script, "::", "cat"]));
    live.hear("| ready");
    let children = format!("/proc/{}/task/{0}/children", live.pid());
    let count = || std::fs::read_to_string(&children).expect("it lives").split_whitespace().count();
    while count() > 2 {
        std::thread::yield_now();
    }
    live.signal(Signal::INT);
    assert_eq!(live.end().signal(), INT);
}

#[test]
fn term_drains_into_a_partial_file() {
    for path in [&[][..], &["--fast", "never"]] {
        let scratch = Scratch::new();
        let live = waiting(&scratch, path);
        live.signal(Signal::TERM);
        let done = live.end();
        assert_eq!(done.signal(), TERM, "{}", done.err);
        assert!(done.err.contains("out.partial`"), "{}", done.err);
        assert_eq!(scratch.names(), ["out.partial"]);
        assert_eq!(
            (done.events("drain").len(), &done.end()["outputs"][0]["published"]),
            (1, &false.into())
        );
        assert_eq!(scratch.read("out.partial"), b"data\n");
    }
}

#[test]
fn term_drains_a_source_of_our_own() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let mut command = standpipe(&["--to", &out, "--", "sh", "-c", "echo ready >&2; exec cat"]);
    command.args(["::", "cat"]).stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.hear("| ready");
    let mut command =
        standpipe(&["--from", "-", "--to", &scratch.arg("two"), "--", "tee", "/dev/stderr"]);
    command.stdin(Stdio::piped());
    let mut two = Live::start(command);
    two.stdin.as_mut().expect("it is piped").write_all(b"data\n").expect("it is taken");
    two.hear("| data");
    two.signal(Signal::TERM);
    // Its stdin stays open: it is the drain that ends it.
    let stdin = two.stdin.take();
    assert_eq!(two.end().signal(), TERM);
    drop(stdin);
    live.signal(Signal::TERM);
    let stdin = live.stdin.take();
    assert_eq!(live.end().signal(), TERM);
    drop(stdin);
    assert_eq!(scratch.read("two.partial"), b"data\n");
}

#[test]
fn a_drain_that_takes_too_long_becomes_an_abort() {
    let scratch = Scratch::new();
    let (out, sink) = (scratch.arg("out"), "echo ready >&2; exec sleep 30");
    let args = ["--drain", "100ms", "--to", &out, "--", "yes", "::", "sh", "-c", sink];
    let mut live = Live::start(standpipe(&args));
    live.hear("| ready");
    live.signal(Signal::TERM);
    assert_eq!(live.end().signal(), TERM);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn hup_that_was_ignored_at_start_stays_ignored() {
    let script = "trap '' HUP; exec \"$S\" -- sh -c 'echo ready >&2; exec cat'";
    let mut command = shell(script);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.hear("| ready");
    live.signal(Signal::HUP);
    live.stdin.as_mut().expect("it is piped").write_all(b"still here").expect("it is taken");
    let done = live.end();
    assert_eq!((done.code(), done.text().as_str()), (0, "still here"), "{}", done.err);
}

#[test]
fn usr1_gives_one_line_and_goes_on() {
    let mut command = standpipe::<&str>(&[]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.stdin.as_mut().expect("it is piped").write_all(b"abc").expect("it is taken");
    assert_eq!(live.read(3), b"abc");
    live.signal(Signal::USR1);
    // bytes are counted once they have moved: they may be here before they are in the line
    let line = live.hear("standpipe");
    assert!(line.starts_with("standpipe: 3 B ") || line.starts_with("standpipe: 0 B "), "{line}");
    let done = live.end();
    assert_eq!((done.code(), done.err.lines().count()), (0, 1), "{}", done.err);
}

#[test]
fn a_reader_of_stdout_that_leaves_is_a_silent_death_by_sigpipe() {
    for before in ["", "trap '' PIPE; "] {
        for form in
            ["--from zero:100G", "--from zero:100G --fast never", "-c 'yes | cat'", "--to - -c yes"]
        {
            let mut live = Live::start(shell(&format!("{before}exec \"$S\" {form}")));
            live.read(1);
            drop(live.stdout.take());
            let done = live.end();
            if before.is_empty() || !form.starts_with("-c") {
                assert_eq!(done.signal(), PIPE, "{before}{form}: {}", done.err);
                assert_eq!(done.err, "", "{before}{form}");
            }
        }
    }
}

#[test]
fn a_reader_that_leaves_while_nothing_comes_is_noticed() {
    for path in [&[][..], &["--fast", "never"]] {
        let args = [path, &["--to", "-", "--", "sh", "-c", "echo x; exec sleep 30"]].concat();
        let mut live = Live::start(standpipe(&args));
        assert_eq!(live.read(2), b"x\n");
        drop(live.stdout.take());
        let done = live.end();
        assert_eq!((done.signal(), done.err.as_str()), (PIPE, ""));
    }
}

#[test]
fn a_producer_sees_that_the_reader_has_gone() {
    // Were a spare read end kept, `yes` would block until the sleep is over, and not die of SIGPIPE.
    let script = "{ yes; echo $? >&2; } | timeout 20 \"$S\" -c 'head -n 1 | cat' >/dev/null";
    let done = run(shell(script));
    assert_eq!(done.err.trim(), "141", "{}", done.err);
}

#[test]
fn deadlines_are_124() {
    let scratch = Scratch::new();
    let live = waiting(&scratch, &["--timeout", "200ms"]);
    live.end().failed(124, &["error: not done after 200ms", "was not written"]);
    let live = waiting(&scratch, &["--stall", "200ms"]);
    live.end().failed(124, &["error: nothing moved for 200ms"]);
    assert_eq!(scratch.names(), [""; 0]);
}

/// A receiver to which nobody came waited for ever, whatever `--timeout` said.
#[test]
fn a_deadline_counts_from_the_beginning_also_while_an_end_is_waited_for() {
    let scratch = Scratch::new();
    let (fifo, out) = (scratch.arg("fifo"), scratch.arg("out"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("it is new");
    for args in [&["--from", &fifo, "--to", &out][..], &["--from", "zero:1", "--to", &fifo]] {
        let done = run(standpipe(&[&["--timeout", "200ms"], args].concat()));
        done.failed(124, &["error: not done after 200ms", "waited for the end of stage"]);
        assert_eq!(done.end()["failed"]["kind"], "timeout");
    }
    // half of the time is gone when the peer comes
    let script = format!(
        "(sleep 0.5; exec sleep 60 >{fifo}) & \"$S\" --timeout 1s --from {fifo} --to {out}; \
         code=$?; kill $!; exit $code"
    );
    let done = run(shell(&script));
    done.failed(124, &["error: not done after 1s", "was not written"]);
    let elapsed_ms = done.end()["elapsed_ms"].as_u64().expect("the schema says so");
    assert!(elapsed_ms < 900, "{elapsed_ms} ms and those before were more than a second");
    assert_eq!(scratch.names(), ["fifo"]);
}

#[test]
fn a_stall_is_told_before_it_is_the_end_and_names_who_does_not_read() {
    for (path, state) in [(&[][..], "is full)"), (&["--fast", "never"], "is full)")] {
        let text = "yes | sleep 60 | cat";
        let done = run(standpipe(&[path, &["--stall", "1s", "-c", text]].concat()));
        let who = "stage 2 `sleep 60` has not read since ";
        done.failed(124, &["note: stalled ", who, "error: nothing moved for 1s", state]);
        let stalled: Vec<_> =
            done.events("warning").into_iter().filter(|told| told["code"] == "stalled").collect();
        assert_eq!((stalled.len(), &stalled[0]["stage"]), (1, &"2".into()));
        assert_eq!(
            (&done.end()["status"], &done.end()["failed"]["kind"]),
            (&"stalled".into(), &"stall".into())
        );
        let details = done.end()["failed"]["details"].to_string();
        assert!(details.contains(who), "{details}");
    }
    // Nothing waits here: it is idle, which is worth no line, until there is a limit to it.
    let done = run(standpipe(&["--stall", "500ms", "-c", "sleep 60 | cat"]));
    done.failed(124, &["stage 1 `sleep 60` has not written since "]);
    assert!(!done.err.contains("note: stalled"), "{}", done.err);
}

#[test]
fn suspended_time_is_no_stall() {
    let mut command = standpipe(&["--stall", "1s"]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.stdin.as_mut().expect("it is piped").write_all(b"a").expect("it is taken");
    assert_eq!(live.read(1), b"a");
    live.signal(Signal::TSTP);
    let stat = format!("/proc/{}/stat", live.pid());
    while !std::fs::read_to_string(&stat).expect("it lives").contains(") T ") {
        std::thread::yield_now();
    }
    pass(Duration::from_millis(1500));
    live.signal(Signal::CONT);
    live.stdin.as_mut().expect("it is piped").write_all(b"b").expect("it is taken");
    assert_eq!(live.read(1), b"b");
    let done = live.end();
    assert_eq!(done.code(), 0, "{}", done.err);
}

#[test]
fn a_kill_leaves_no_file_under_the_final_name() {
    let scratch = Scratch::new();
    let live = waiting(&scratch, &[]);
    live.signal(Signal::KILL);
    assert_eq!(live.end().signal(), KILL);
    let names = scratch.names();
    assert!(names.iter().all(|name| name.starts_with(".out.standpipe-")), "{names:?}");
    scratch.file("out", b"old");
    let live = waiting(&scratch, &["--overwrite"]);
    live.signal(Signal::KILL);
    assert_eq!(live.end().signal(), KILL);
    assert_eq!(scratch.read("out"), b"old");
}
