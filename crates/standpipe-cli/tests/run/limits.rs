//! What does a run say and leave when the system gives it nothing more?

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::rig::{BIN, Scratch, run, shell, standpipe, traced};

/// Neither a word about a bug nor silence: the limit is named, and what lifts it.
#[test]
fn a_run_without_descriptors_names_the_limit_and_leaves_nothing() {
    let mut refused = 0;
    for most in 4..40 {
        let scratch = Scratch::new();
        let out = scratch.arg("out");
        let script = format!("ulimit -n {most}; exec {BIN} -o {out} -- seq 10 :: @gzip :: cat");
        let done = run(shell(&script));
        if done.code() == 0 {
            assert_eq!(scratch.names(), ["out"], "{most}: {}", done.err);
            continue;
        }
        refused += 1;
        done.failed(125, &["error: cannot ", "too many open files", "`ulimit -n 4096`"]);
        assert_eq!(scratch.names(), [""; 0], "{most}");
    }
    assert!((3..36).contains(&refused), "{refused} of 36 were refused");
}

/// A user without a process to spare was told of a bug in standpipe.
#[test]
fn a_run_without_threads_names_the_limit_and_leaves_nothing() {
    let mut refused = 0;
    for which in 1..24 {
        let scratch = Scratch::new();
        let out = scratch.arg("out");
        let inject = format!("clone,clone3,fork,vfork:error=EAGAIN:when={which}");
        let done = run(traced(&inject, &standpipe(&["-o", &out, "--", "seq", "10", "::", "cat"])));
        if done.code() == 0 {
            assert_eq!(scratch.names(), ["out"], "{which}: {}", done.err);
            continue;
        }
        refused += 1;
        done.failed(125, &["resource temporarily unavailable"]);
        assert!(!done.err.contains("bug"), "{which}: {}", done.err);
        assert_eq!(scratch.names(), [""; 0], "{which}");
    }
    assert!((3..23).contains(&refused), "{refused} of 23 were refused");
}

/// A full disk under the record was no news to anybody: the lines were lost, and with them the `end`.
#[test]
fn a_record_that_cannot_be_written_is_told_at_the_end_and_the_data_goes_on() {
    for to in ["--json=/dev/full", "--json=fd:9"] {
        let scratch = Scratch::new();
        let out = scratch.arg("out");
        let script = format!("{BIN} -q {to} -o {out} -- seq 3 9>/dev/full");
        let done = run(shell(&script));
        assert_eq!((done.code(), scratch.read("out")), (0, b"1\n2\n3\n".to_vec()), "{}", done.err);
        for part in
            ["warning: cannot write events to `", "no space left on device", "exit code is 0"]
        {
            assert!(done.err.contains(part), "{part:?} is missing in:\n{}", done.err);
        }
        let script = format!("{BIN} -q {to} -- sh -c 'exit 3' 9>/dev/full");
        run(shell(&script)).failed(3, &["exited with code 3", "exit code is 3"]);
    }
}

#[test]
fn a_file_that_may_not_grow_names_that_limit_and_not_the_disk() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let done = run(shell(&format!("ulimit -f 8; exec {BIN} --from zero:1M --to {out}")));
    done.failed(125, &["file too large", "hint: see `ulimit -f`"]);
    assert!(!done.err.contains("free there"), "{}", done.err);
}

/// `standpipe -o backup -- gzip <&-` published the archive of an empty input: in the place of the closed stream the
/// command found `/dev/null`.
#[test]
fn a_command_that_inherits_a_closed_stream_fails_as_it_does_in_a_shell() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    for (script, code) in [
        (format!("\"$S\" -o {out} -- cat <&-"), 1),
        (format!("\"$S\" -o {out} -- cat :: gzip <&-"), 1),
        ("\"$S\" -- seq 3 >&-".to_owned(), 1),
        ("\"$S\" -- seq 3 :: cat >&-".to_owned(), 1),
    ] {
        let done = run(shell(&script));
        done.failed(code, &["ad file descriptor"]);
        assert_eq!(scratch.names(), [""; 0], "{script}");
    }
    // another name of it was taken for the `/dev/null` in its place: an empty input, a copy to nowhere
    for (way, name, closed) in [
        ("i", "/dev/stdin", "<&-"),
        ("i", "/dev/fd/0", "<&-"),
        ("i", "/proc/self/fd/0", "<&-"),
        ("o", "/dev/stdout", ">&-"),
        ("o", "/dev/fd/1", ">&-"),
    ] {
        let done = run(shell(&format!("\"$S\" -{way} {name} -- cat {closed}")));
        done.failed(125, &[&format!(" `{name}`: it is closed")]);
    }
    // who does not use it does not miss it
    assert_eq!(run(shell("\"$S\" -- seq 3 :: wc -l <&-")).text().trim(), "3");
    assert_eq!(run(shell(&format!("\"$S\" -- seq 3 :: dd of={out} >&-"))).code(), 0);
    let mut command = standpipe(&["--", "cat"]);
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").expect("it is there");
    command.stdin(Stdio::from(null));
    assert_eq!(run(command).code(), 0);
}
