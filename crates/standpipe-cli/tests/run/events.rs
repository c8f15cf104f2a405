//! What does a run tell a program that watches it?
//!
//! That every line holds to the schema, and that `end` is the last and agrees with the exit, is checked for every
//! run of every test, by `record`. Here is what is particular.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::process::Signal;
use serde_json::Value;

use crate::record::valid;
use crate::rig::{BIN, Live, Scratch, feed, run, shell, standpipe};

/// The command without the record that the rig adds.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(BIN);
    command.args(args).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn on_stderr_events_take_the_place_of_all_else() {
    let text = "sh -c 'printf \"a \\033[31mword\\nlast\" >&2; seq 3; exit 3' | cat";
    for args in [&["--json", "-c", text][..], &["--json=fd:2", "--view", "plain", "-v", "-c", text]]
    {
        let done = run(bare(args));
        assert_eq!((done.code(), done.text().as_str()), (3, "1\n2\n3\n"));
        let events = valid(&done.err);
        let said: Vec<_> = events.iter().filter(|event| event["code"] == "stderr").collect();
        assert_eq!(said.len(), 2, "{}", done.err);
        assert_eq!(said[0]["message"], "a \\u{1b}[31mword");
        let is_exit = |event: &&Value| event["event"] == "stage_exit" && event["stage"] == "1";
        let exit = events.iter().find(is_exit).expect("it is told");
        assert_eq!(exit["stderr_tail"], "a \\u{1b}[31mword\nlast");
        let end = events.last().expect("there are events");
        assert_eq!((&end["event"], &end["failed"]["stage"]), (&"end".into(), &"1".into()));
        assert_eq!(end["failed"]["kind"], "exit");
    }
}

#[test]
fn every_refusal_after_the_arguments_has_its_end() {
    let scratch = Scratch::new();
    let old = scratch.file("old", b"old");
    for (args, code, kind) in [
        (&["-t", "1G", "-c", "a | b"][..], 125, "usage"),
        (&["--append", "-c", "a"], 125, "usage"),
        (&["--from", "no-such://x"], 125, "usage"),
        (&["-f", "/no/such/file.toml"], 125, "usage"),
        (&["--from", "/no/such/file"], 125, "end"),
        (&["--to", &old], 125, "end"),
        (&["-c", "no-such-program-here"], 127, "start"),
    ] {
        let done = run(standpipe(args));
        done.failed(code, &["error: "]);
        assert_eq!(
            (done.events.len(), &done.end()["failed"]["kind"]),
            (1, &kind.into()),
            "{args:?}"
        );
        let said = done.end()["failed"]["message"].as_str().expect("the schema says so");
        assert!(done.err.contains(said), "{said}\n{}", done.err);
    }
}

#[test]
fn events_go_to_a_descriptor_and_never_into_the_data() {
    let scratch = Scratch::new();
    let (out, log) = (scratch.arg("out"), scratch.arg("log"));
    let done = run(shell(&format!("S={BIN}; $S --json=fd:3 -c 'seq 3' 3>{log}")));
    assert_eq!((done.code(), done.text().as_str(), done.err.as_str()), (0, "1\n2\n3\n", ""));
    assert!(valid(&String::from_utf8_lossy(&scratch.read("log"))).len() > 2);
    let done = run(bare(&["--json=fd:1", "--to", &out, "-c", "seq 3"]));
    assert_eq!(
        valid(&done.text()).last().expect("there are events")["outputs"][0]["published"],
        true
    );
    for args in
        [&["--json=fd:1", "-c", "seq 3"][..], &["--json", "--json=fd:1", "--from", "zero:1"]]
    {
        run(bare(args)).failed(125, &["would go to the same place"]);
    }
    run(bare(&["--json=new", "--to", "new", "-c", "seq 3"])).failed(125, &["would go to the same"]);
    run(bare(&["--json=fd:9", "-c", "seq 3"])).failed(125, &["cannot write `fd:9`"]);
    run(bare(&["--json=/no/such/log", "-c", "seq 3"]))
        .failed(125, &["cannot write events to `/no/such/log`"]);
    // A second run is added to the first.
    for _ in 0..2 {
        run(bare(&[&format!("--json={log}"), "-c", "true"]));
    }
    let text = String::from_utf8_lossy(&scratch.read("log")).into_owned();
    assert_eq!(valid(&text).iter().filter(|event| event["event"] == "end").count(), 3);
}

#[test]
fn labels_are_escaped_and_secrets_masked() {
    let words = [
        &b"--"[..],
        b"true",
        b"caf\xe9",
        b"\x1b[31m",
        b"http://me:secret@host/x?user=a@b",
        b"::",
        b"true",
    ];
    let mut command = standpipe(&["-n", "a\u{202e}b"]);
    command.args(words.map(OsStr::from_bytes));
    let done = run(command);
    let [start] = done.events("start")[..] else { panic!("{:?}", done.events) };
    assert_eq!(start["name"], "a\\u{202e}b");
    let label = &start["stages"][0]["label"];
    assert_eq!(label, "true caf\\xe9 \\u{1b}[31m http://***@host/x?user=a@b");
    assert!(!done.events.iter().any(|event| event.to_string().contains("secret")));
}

/// A FIFO that holds one page, and its read end.
fn page(scratch: &Scratch) -> (String, File) {
    let path = scratch.arg("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).expect("it is new");
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let read = OpenOptions::new().read(true).custom_flags(flags).open(&path).expect("it is there");
    rustix::pipe::fcntl_setpipe_size(&read, 4096).expect("a page is the least");
    fcntl_setfl(&read, OFlags::empty()).expect("it is open");
    (path, read)
}

/// A filter with events to `fifo`, of which `samples` have been taken while nobody reads them.
fn sampled(fifo: &str, samples: u32) -> Live {
    let mut command = bare(&[&format!("--json={fifo}")]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.stdin.as_mut().expect("it is piped").write_all(b"x").expect("it is taken");
    assert_eq!(live.read(1), b"x");
    for _ in 0..samples {
        live.signal(Signal::USR1);
        live.hear("standpipe: ");
    }
    live
}

#[test]
fn a_slow_reader_costs_samples_but_no_speed_and_gets_the_end() {
    const MIB: usize = 64;
    let scratch = Scratch::new();
    let (fifo, mut read) = page(&scratch);
    let mut live = sampled(&fifo, 20);
    let mut stdin = live.stdin.take().expect("it is piped");
    let feeder = std::thread::spawn(move || stdin.write_all(&vec![7; MIB << 20]));
    assert!(
        live.read(MIB << 20).iter().all(|byte| *byte == 7),
        "all of it, with nobody reading events"
    );
    feeder.join().expect("it does not panic").expect("it is taken");
    // Its data has ended; it stays until its last line is taken.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        read.read_to_string(&mut text).expect("events are text");
        text
    });
    let done = live.end();
    assert_eq!(done.code(), 0, "{}", done.err);
    let events = valid(&reader.join().expect("it does not panic"));
    let end = events.last().expect("there are events");
    assert_eq!((&end["event"], &end["status"]), (&"end".into(), &"ok".into()));
    let samples = events.iter().filter(|event| event["event"] == "sample").count() as u64;
    let lost = end["dropped_samples"].as_u64().expect("it is a number");
    // One at each signal and one at the end; more if it took long.
    assert!(lost >= 10 && samples + lost >= 21, "{samples} came, {lost} were lost");
}

#[test]
fn a_reader_of_events_that_leaves_changes_nothing() {
    let scratch = Scratch::new();
    let (fifo, read) = page(&scratch);
    let live = sampled(&fifo, 20);
    drop(read);
    let done = live.end();
    assert_eq!(done.code(), 0, "{}", done.err);
}

#[test]
fn whoever_asks_twice_does_not_wait_for_the_reader_of_events() {
    let scratch = Scratch::new();
    let (fifo, read) = page(&scratch);
    let mut live = sampled(&fifo, 20);
    live.signal(Signal::INT);
    live.hear("stopped after");
    // With one signal it would wait for ever: nobody reads.
    live.signal(Signal::INT);
    assert_eq!(live.end().signal(), 2);
    drop(read);
}

#[test]
fn a_tank_that_shuts_and_opens_is_told_if_asked_twice() {
    let text = "head -c 8M /dev/zero | (sleep 0.3; wc -c)";
    let done = run(standpipe(&["-vv", "-c", text]));
    let turns: Vec<&str> = done
        .events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .filter(|name| ["pause", "resume"].contains(name))
        .collect();
    assert!(turns.len() >= 2 && turns.len().is_multiple_of(2), "{turns:?}");
    assert!(turns.chunks(2).all(|pair| pair == ["pause", "resume"]), "{turns:?}");
    let pauses = done.events("sample").last().expect("there is one")["tanks"][0]["pauses"].clone();
    assert_eq!(pauses, turns.len() / 2);
    assert!(run(standpipe(&["-v", "-c", text])).events("pause").is_empty());
}

#[test]
fn a_known_total_gives_what_is_left() {
    let done = feed(standpipe(&["--total", "2M", "-r", "1MB/s"]), vec![0; 1_500_000]);
    let [start] = done.events("start")[..] else { panic!("{:?}", done.events) };
    assert_eq!(start["total_bytes"], 2 << 20);
    let samples = done.events("sample");
    assert!(samples.len() >= 2, "one a second, and the last");
    let (left, rest) = (samples[0]["eta_ms"].as_u64().expect("it is known"), 2_097_152 - 1_000_000);
    // A second of a megabyte has passed, more or less.
    assert!((rest / 2000..rest / 500).contains(&left), "{left} ms");
}
