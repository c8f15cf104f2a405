//! Is a command blamed for a stream that is not ours?
//!
//! A run in somebody else's pipe has no tank before its first command, nor after its last. These were once taken to be
//! busy all the time, so a pipeline that waited for its input was told that its own first stage was slow.

use crate::rig::{run, shell, standpipe};

/// Brings a little, then waits.
const TRICKLE: &str =
    r"perl -e '$| = 1; for (1..80) { print q(x) x 10000; select(undef, undef, undef, 0.02) }'";
/// Reads 64 KiB, then waits.
const SLEEPER: &str =
    r"perl -e 'while (sysread(STDIN, $x, 65536)) { select(undef, undef, undef, 0.02) }'";

#[test]
fn a_first_stage_that_waits_for_its_input_is_starved_by_the_input() {
    let done =
        run(shell(&format!("{TRICKLE} | $S --summary always -c 'cat | gzip -1 | wc -c' >&2")));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.err.contains("SLOWEST: the input\n"), "{}", done.err);
    assert!(done.err.contains("why: 1 cat is starved "), "{}", done.err);
}

#[test]
fn a_last_stage_that_waits_for_its_reader_is_paused_by_the_output() {
    let script = format!("$S --summary always -c 'head -c 8000000 /dev/zero | cat' | {SLEEPER}");
    let done = run(shell(&script));
    assert!(done.err.contains("SLOWEST: the output\n"), "{}", done.err);
    assert!(done.err.contains("why: 2 cat is paused"), "{}", done.err);
}

#[test]
fn a_stage_that_is_slow_between_streams_of_others_is_still_named() {
    let script =
        "head -c 200000000 /dev/zero | $S --summary always -c 'gzip -6 | cat' | cat >/dev/null";
    let done = run(shell(script));
    assert!(done.err.contains("SLOWEST: 1 gzip -6, busy"), "{}", done.err);
}

#[test]
fn a_source_that_waits_for_its_own_is_not_starved_by_a_stdin_it_does_not_read() {
    // its stdin is a pipe in which nothing is, as in a job that ssh has started
    let (idle, _writer) = std::io::pipe().expect("there are pipes");
    let mut command =
        standpipe(&["--summary", "always", "-c", &format!("{TRICKLE} | cat >/dev/null")]);
    command.stdin(idle);
    let done = run(command);
    assert!(done.err.contains("SLOWEST: 1 perl"), "{}", done.err);
}
