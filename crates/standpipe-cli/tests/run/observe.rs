//! What does `--observe` do to a pipeline, and what does it say of it?

use std::process::Stdio;

use rustix::process::Signal;

use crate::rig::{BIN, Live, Scratch, run, standpipe};

fn observe(text: &str) -> std::process::Command {
    standpipe(&["run", "--summary", "always", "--observe", "-c", text])
}

#[test]
fn the_shell_runs_the_text_as_it_is() {
    let text = "for i in 1 2 3; do echo $i; done | { read x; cat; } && echo done; exit 7";
    let done = run(observe(text));
    assert_eq!((done.code(), done.text().as_str()), (7, "2\n3\ndone\n"), "{}", done.err);
    assert!(done.err.contains("error: the shell exited with code 7\n"), "{}", done.err);
    let done = run(observe("kill -9 $$"));
    assert_eq!(done.code(), 137, "{}", done.err);
    // and what a stage says goes straight to stderr
    let done = run(standpipe(&["run", "--observe", "-qc", "echo words >&2 | cat"]));
    assert_eq!((done.code(), done.err.as_str()), (0, "words\n"));
}

#[test]
fn the_slowest_stage_is_named() {
    for (text, slowest) in [
        ("cat /dev/zero | (sleep 1; head -c 1M) | cat >/dev/null", "SLOWEST: 2 "),
        ("(sleep 1; head -c 1M /dev/zero) | cat | cat >/dev/null", "SLOWEST: 1 "),
        ("true && cat /dev/zero | cat | (sleep 1; head -c 1M >/dev/null)", "SLOWEST: 3 "),
    ] {
        let done = run(observe(text));
        assert_eq!(done.code(), 0, "{}", done.err);
        assert!(done.err.starts_with(slowest), "{text}:\n{}", done.err);
        assert!(done.err.contains("\nabout ") && !done.err.contains("tanks"), "{}", done.err);
    }
}

#[test]
fn bytes_are_about_what_was_moved() {
    // what a process moves between the last look at it and its end is not seen: the last hundredth of a second, or
    // on a busy machine as much as a second, which is less than half
    let slow = format!("{BIN} --fast never -r 12MB/s");
    let done = run(observe(&format!("head -c 30M /dev/zero | {slow} | cat >/dev/null")));
    let line = done.err.lines().find_map(|line| line.strip_prefix("about "));
    assert!(line.is_some(), "{}", done.err);
    let line = line.expect("as asserted");
    for part in line.split(", ").take(2) {
        let mebibytes: f64 =
            part.split(' ').next().and_then(|number| number.parse().ok()).expect(part);
        assert!((15.0..31.0).contains(&mebibytes) && part.contains(" MiB "), "{}", done.err);
    }
}

#[test]
fn a_signal_reaches_all_that_the_shell_started() {
    let number = |signal| if signal == Signal::INT { 2 } else { 15 };
    for signal in [Signal::INT, Signal::TERM] {
        let scratch = Scratch::new();
        let file = scratch.arg("late");
        let text = format!("(echo ready >&2; sleep 30; echo late >{file}) | (trap '' TERM; cat)");
        let mut live = Live::start(standpipe(&["run", "--observe", "-c", &text]));
        live.hear("ready");
        live.signal(signal);
        // it ends although nobody lets go of stdout before all of them have ended
        let done = live.end();
        assert_eq!(done.signal(), number(signal), "{}", done.err);
        assert_eq!(scratch.names(), [""; 0]);
    }
    let done =
        run(standpipe(&["run", "--observe", "--timeout", "200ms", "-c", "sleep 30 | cat; true"]));
    done.failed(124, &["not done after 200ms"]);
}

#[test]
fn usr1_gives_one_line_and_the_shell_goes_on() {
    let mut command =
        standpipe(&["run", "--observe", "-n", "asked", "--summary", "never", "-c", "cat | cat"]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    let write = |live: &mut Live, words: &[u8]| {
        use std::io::Write;
        live.stdin.as_mut().expect("it is piped").write_all(words).expect("it is taken");
        assert_eq!(live.read(words.len()), words);
    };
    write(&mut live, b"one");
    live.signal(Signal::USR1);
    assert!(live.hear("asked: ").starts_with("asked: about "));
    write(&mut live, b"two");
    assert_eq!(live.end().code(), 0);
}

#[test]
fn what_only_a_run_can_do_is_refused() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    run(standpipe(&["run", "--observe", "-c", "echo x", "--to", &out]))
        .failed(125, &["`--observe` only watches"]);
    run(standpipe(&["-c", "true && echo x"])).failed(125, &["add `--observe` to run it as it is"]);
    assert_eq!(scratch.names(), [""; 0]);
}
