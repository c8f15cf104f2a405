//! Is the slow stage of a pipeline named that standpipe did not start?

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};

use crate::rig::{BIN, Scratch, read_slowly, run, standpipe};

/// A shell pipeline of somebody else's, in a process group of its own. It ends with the test.
struct Foreign {
    shell: Child,
}

impl Foreign {
    /// Starts it, and waits until every stage is there: each names itself on stderr by `up`.
    fn start(script: &str, stages: usize) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Self::with(command, stages)
    }

    fn with(mut command: Command, stages: usize) -> Self {
        let mut shell = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let mut up = vec![0; stages];
        shell
            .stderr
            .as_mut()
            .expect("it is piped")
            .read_exact(&mut up)
            .expect("every stage comes up");
        Self { shell }
    }

    fn group(&self) -> Pid {
        i32::try_from(self.shell.id()).ok().and_then(Pid::from_raw).expect("a process")
    }

    /// The doctor's words about it, and its exit code.
    fn seen(&self, time: &str) -> (String, i32) {
        let done = run(standpipe(&["doctor", "--for", time, &self.shell.id().to_string()]));
        (done.text() + &done.err, done.code())
    }

    /// Has to be named slow, without findings.
    #[track_caller]
    fn is_slow_at(&self, stage: &str) {
        let (said, code) = self.seen("1s");
        assert!(
            said.starts_with(&format!("SLOWEST: {stage}")),
            "{stage:?} is not named in:\n{said}"
        );
        assert!(said.contains("findings: none\n"), "{said}");
        assert_eq!(code, 0, "{said}");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        kill_process_group(self.group(), Signal::KILL).ok();
        self.shell.wait().ok();
    }
}

/// Says that a stage is up, then becomes the command.
fn up(command: &str) -> String {
    format!("sh -c 'printf . >&2; exec {command}'")
}

fn line(stages: &[&str]) -> Foreign {
    let stages: Vec<String> = stages.iter().map(|stage| up(stage)).collect();
    Foreign::start(&stages.join(" | "), stages.len())
}

/// Reads 64 KiB, then waits: a consumer that is slow without using the processor.
const SLEEPER: &str =
    r"perl -e '\''while (sysread(STDIN, $x, 65536)) { select(undef, undef, undef, 0.02) }'\''";
/// Brings a little, then waits.
const TRICKLE: &str =
    r"perl -e '\''$| = 1; while (print(q(x) x 1000)) { select(undef, undef, undef, 0.005) }'\''";

/// A pipeline that was started in the same moment was no pipeline: its shell had not come to it yet.
#[test]
fn a_pipeline_that_is_only_being_started_is_waited_for() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo up >&2; sleep 0.1; yes | cat"]);
    let shell = Foreign::with(command, 1);
    let (said, code) = shell.seen("300ms");
    assert!(!said.contains("no pipeline") && code == 0, "{said}");
}

/// A shell that was started with an empty pipe as its stdin, as by a script that is a here-document, was taken for a
/// pipeline of one stage.
#[test]
fn a_shell_that_nobody_feeds_is_asked_for_the_pipeline_in_it() {
    let mut shell = Command::new("sh")
        .args(["-c", "yes | { echo up >&2; cat; }"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("sh starts");
    drop(shell.stdin.take());
    let mut up = [0; 2];
    shell.stderr.as_mut().expect("it is piped").read_exact(&mut up).expect("it comes up");
    let (said, code) = Foreign { shell }.seen("300ms");
    assert!(!said.contains("no pipeline") && said.contains("yes") && code == 0, "{said}");
}

#[test]
fn a_compressor_between_two_cats_is_named() {
    line(&["cat /dev/urandom", "gzip -6", "cat"]).is_slow_at("2 gzip -6, busy ");
}

#[test]
fn a_compressor_at_the_end_is_named() {
    line(&["cat /dev/urandom", "cat", "gzip -9"]).is_slow_at("3 gzip -9");
}

#[test]
fn a_slow_first_stage_is_named() {
    line(&[TRICKLE, "cat", "cat"]).is_slow_at("1 perl");
}

#[test]
fn a_consumer_that_sleeps_is_named_and_so_is_that_it_does_not_compute() {
    let foreign = line(&["cat /dev/zero", "cat", SLEEPER]);
    foreign.is_slow_at("3 perl");
    let (said, _) = foreign.seen("500ms");
    assert!(said.contains("waits for something of its own"), "{said}");
}

#[test]
fn of_four_stages_the_one_that_is_not_fast_is_named() {
    line(&["cat /dev/urandom", "cat", "xz -1", "cat"]).is_slow_at("3 xz -1");
}

#[test]
fn a_program_that_waits_in_select_is_judged_by_its_pipes() {
    // it waits for its input and for a timer at once, as an event loop does, and the kernel says neither
    let waiter = r"perl -e '\''while (1) { vec($r = q(), 0, 1) = 1; select($r, undef, undef, 1); sysread(STDIN, $x, 65536) or last }'\''";
    let (said, code) = line(&[TRICKLE, waiter]).seen("1s");
    assert!(said.starts_with("SLOWEST: 1 perl"), "{said}");
    assert!(said.contains("did not tell what it waits for"), "{said}");
    assert_eq!(code, 0);
}

#[test]
fn a_loop_of_a_shell_is_one_stage_though_its_processes_change() {
    let script = format!(
        "{} | (printf . >&2; while head -c 65536 >/dev/null; do sleep 0.02; done) | {}",
        up("cat /dev/zero"),
        up("cat")
    );
    let foreign = Foreign::start(&script, 3);
    let (said, code) = foreign.seen("1s");
    assert!(said.starts_with("SLOWEST: 2 "), "{said}");
    assert_eq!(code, 0, "a child that comes and goes is no stage that ended: {said}");
}

#[test]
fn a_reader_that_is_stuck_is_a_stall_and_an_idle_source_is_none() {
    let (said, code) = line(&["yes", "sleep 60"]).seen("500ms");
    assert!(said.contains("findings:\n  stalled: nothing moved for 5"), "{said}");
    assert!(said.contains("2 sleep 60 does not read"), "{said}");
    assert_eq!(code, 1);
    let (said, code) = line(&["sleep 60", "cat"]).seen("500ms");
    assert!(said.contains("cannot tell: 1 sleep 60 brings nothing"), "{said}");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_stopped_stage_is_named_with_what_lets_it_go_on() {
    let foreign = line(&["yes", "cat", "cat"]);
    let (said, _) = foreign.seen("100ms");
    assert!(!said.contains("is stopped"), "{said}");
    kill_process_group(foreign.group(), Signal::STOP).expect("they live");
    let (said, code) = foreign.seen("500ms");
    assert!(said.contains("is stopped by a signal") && said.contains("`kill -CONT "), "{said}");
    assert_eq!(code, 1);
}

#[test]
fn a_writer_whose_reader_is_gone_is_found_before_it_writes_again() {
    let script = format!("{} | sh -c 'exec <&-; printf . >&2'", up("sleep 60"));
    let foreign = Foreign::start(&script, 2);
    let done = run(standpipe(&["doctor", "--for", "300ms", &foreign.shell.id().to_string()]));
    assert!(done.text().contains("nobody reads what 1 sleep 60 writes"), "{}", done.text());
    assert_eq!(done.code(), 1);
    let allowed =
        ["doctor", "--for", "300ms", "--allow", "stopped-early", &foreign.shell.id().to_string()];
    assert_eq!(run(standpipe(&allowed)).code(), 0);
}

#[test]
fn a_writer_still_learns_that_its_reader_left_while_it_is_watched() {
    let scratch = Scratch::new();
    let file = scratch.arg("status");
    let script = format!(
        "(printf . >&2; yes; echo $? >{file}) | (printf . >&2; head -c 300000000 >/dev/null)"
    );
    let mut foreign = Foreign::start(&script, 2);
    let (said, _) = foreign.seen("60s");
    foreign.shell.wait().expect("it ends by itself");
    assert_eq!(scratch.read("status"), b"141\n", "the shell's word for SIGPIPE; {said}");
}

#[test]
fn an_ordinary_user_may_look_at_what_is_his_and_at_nothing_else() {
    if !geteuid().is_root() {
        return; // every other test is this test
    }
    let scratch = Scratch::new();
    std::fs::set_permissions(scratch.path(""), PermissionsExt::from_mode(0o755))
        .expect("it is ours");
    let bin = scratch.arg("standpipe");
    std::fs::copy(BIN, &bin).expect("there is room");
    let as_nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(words);
        command
    };
    let script = [up("cat /dev/urandom"), up("gzip -6"), up("cat")].join(" | ");
    let theirs = Foreign::with(as_nobody(&["sh", "-c", &script]), 3);
    let done = run({
        let mut command =
            as_nobody(&[&bin, "doctor", "--for", "1s", &theirs.shell.id().to_string()]);
        command.current_dir("/").stdin(Stdio::null());
        command
    });
    assert!(done.text().starts_with("SLOWEST: 2 gzip -6"), "{}{}", done.text(), done.err);
    let me = std::process::id().to_string();
    let done = run(as_nobody(&[&bin, "doctor", &me]));
    done.failed(125, &[&format!("process {me} belongs to another user")]);
}

#[test]
fn whoever_cannot_be_looked_at_is_named() {
    let gone = {
        let mut child = Command::new("true").spawn().expect("it starts");
        child.wait().expect("it ends");
        child.id().to_string()
    };
    run(standpipe(&["doctor", &gone])).failed(125, &[&format!("no process has the PID {gone}")]);
    let me = {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let done = run(standpipe(&["doctor", &child.id().to_string()]));
        kill_process(Pid::from_child(&child), Signal::KILL).expect("it lives");
        child.wait().expect("it ends");
        done
    };
    me.failed(125, &["is part of no pipeline", "no pipe on its stdin or stdout"]);
    run(standpipe(&["doctor", "no-such-program"]))
        .failed(125, &["no process is called `no-such-program`"]);
}

#[test]
fn a_pipeline_is_started_and_watched_to_its_end() {
    let text = "head -c 400000000 /dev/zero | gzip -6 | cat >/dev/null";
    let done = run(standpipe(&["doctor", "--for", "1s", "--json", "-c", text]));
    let said: serde_json::Value = serde_json::from_str(&done.text()).expect("one object");
    assert_eq!(said["slowest"]["stage"], "2 gzip -6", "{said}");
    assert_eq!((&said["event"], &said["findings"]), (&"doctor".into(), &serde_json::json!([])));
    let done = run(standpipe(&["doctor", "-c", "true | true"]));
    done.failed(125, &["over before it could be looked at"]);
}

/// The command with no record of the rig's.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn the_record_of_a_run_is_judged_afterwards() {
    let scratch = Scratch::new();
    let (slow, bad) = (scratch.arg("slow.jsonl"), scratch.arg("bad.jsonl"));
    let text = "head -c 300000000 /dev/zero | gzip -6 | cat >/dev/null";
    let done = run(bare(&[&format!("--json={slow}"), "-c", text]));
    assert_eq!(done.code(), 0, "{}", done.err);
    let said = run(standpipe(&["doctor", &slow]));
    assert!(said.text().starts_with("SLOWEST: 2 gzip -6, busy "), "{}{}", said.text(), said.err);
    assert_eq!(said.code(), 0);
    run(bare(&[&format!("--json={bad}"), "-c", "exit 3 | cat"]));
    let said = run(standpipe(&["doctor", &bad]));
    assert!(said.text().contains("failed: the run failed with code 3: stage 1"), "{}", said.text());
    assert_eq!(said.code(), 1);
    assert_eq!(run(standpipe(&["doctor", "--allow", "failed", &bad])).code(), 0);
    run(standpipe(&["doctor", "/nowhere.jsonl"])).failed(125, &["cannot read `/nowhere.jsonl`"]);
    let text = scratch.file("x", b"hello\n");
    run(standpipe(&["doctor", &text]))
        .failed(125, &["is no record of a run: line 1", "--json=FILE"]);
}

#[test]
fn the_stages_of_a_run_of_standpipe_are_looked_at_and_not_its_tanks() {
    let text = "cat /dev/urandom | gzip -6 | cat >/dev/null";
    let script = format!("printf . >&2; exec {BIN} -q -c '{text}'");
    let foreign = Foreign::start(&script, 1);
    let named = |said: &str| said.starts_with("SLOWEST: 2 gzip -6, busy ");
    let (said, code) = foreign.seen("1s");
    // it may have to be started yet
    let (said, code) = if named(&said) { (said, code) } else { foreign.seen("1s") };
    assert!(named(&said), "{said}");
    assert_eq!(code, 0, "{said}");
}

/// A filter puts its descriptors elsewhere, so the stage above it was not found; and what it moves inside the kernel
/// nobody counts, so it seemed to bring nothing.
#[test]
fn a_filter_is_one_stage_between_those_that_it_joins() {
    let script = format!(
        "{} | sh -c 'printf . >&2; exec {BIN} -q --rate 2MB/s' | {}",
        up("cat /dev/zero"),
        up("gzip -1")
    );
    let foreign = Foreign::start(&script, 3);
    let joined = |said: &str| said.contains("1 cat /dev/zero") && said.contains("3 gzip -1");
    let (said, code) = foreign.seen("1s");
    // it may have to be started yet
    let (said, code) = if joined(&said) { (said, code) } else { foreign.seen("1s") };
    assert!(said.starts_with("SLOWEST: 2 ") && joined(&said), "{said}");
    assert!(said.contains("  try: a higher `--rate`, or none"), "{said}");
    let (_, moved) = said.split_once("of a core, about ").expect("what went through");
    assert!(moved.contains("MiB went through") || moved.contains("KiB went through"), "{said}");
    assert_eq!(code, 0, "{said}");
}

/// The compressor was named, for sure, which was busy for 16% of the time.
#[test]
fn a_limit_of_rate_that_is_not_seen_from_outside_makes_no_stage_slow() {
    let script = format!("printf . >&2; exec {BIN} -q --rate 2MB/s -c 'cat /dev/zero | gzip -1'");
    let foreign = Foreign::start(&script, 1);
    let found = |said: &str| said.contains("1 cat /dev/zero") && said.contains("2 gzip -1");
    let (said, code) = foreign.seen("1s");
    let (said, code) = if found(&said) { (said, code) } else { foreign.seen("1s") };
    assert!(said.starts_with("cannot tell: 1 cat /dev/zero is paused"), "{said}");
    assert!(said.contains("a limit of rate"), "{said}");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_record_of_a_run_with_a_limit_of_rate_says_so_as_its_summary_does() {
    let scratch = Scratch::new();
    let file = scratch.arg("limit.jsonl");
    let done = run(bare(&[
        "--rate",
        "2MB/s",
        "--summary=always",
        &format!("--json={file}"),
        "-c",
        "head -c 1500000 /dev/zero | gzip -6 >/dev/null",
    ]));
    assert_eq!(done.code(), 0, "{}", done.err);
    let said = run(standpipe(&["doctor", &file]));
    let first = "SLOWEST: the limit of `--rate`";
    let advice = "  try: a higher `--rate`, or none";
    assert!(done.err.contains(first) && done.err.contains(advice), "{}", done.err);
    assert!(said.text().contains(advice), "{}", said.text());
    assert!(said.text().starts_with(first), "{}{}", said.text(), said.err);
    assert!(said.text().contains("  why: it holds 1 head -c 1500000 /dev/zero back"));
    assert_eq!(said.code(), 0);
}

#[test]
fn a_stage_whose_peer_reads_slowly_is_told_from_a_slow_stage() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it is connected");
        read_slowly(&mut stream, 2_000_000);
    });
    let send = format!(
        "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\"127.0.0.1:{port}\") or die; \
         print STDERR 1; while (sysread STDIN, $b, 65536) {{ $s->print($b) or exit }}'"
    );
    let foreign = Foreign::start(&format!("{} | {send}", up("cat /dev/zero")), 2);
    let (said, code) = foreign.seen("1s");
    assert!(said.contains("remote-slow: the peer of 2 perl"), "{said}");
    assert!(said.contains("kept its window shut"), "{said}");
    assert_eq!(code, 1);
    drop(foreign);
    peer.join().expect("it ends with the connection");
}
