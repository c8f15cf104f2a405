//! Who is to blame, and what is said of it?

use std::os::unix::fs::PermissionsExt;

use crate::rig::{Scratch, run, shell, standpipe};

#[test]
fn a_pipeline_gives_what_the_shell_gives() {
    let text = "seq 300000 | gzip -6 | gzip -d | wc -c";
    let done = run(standpipe(&["--summary", "always", "-c", text]));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert_eq!(done.text(), run(shell(text)).text());
    let words = run(standpipe(&["-q", "--", "seq", "3", "::", "tr", "\\n", " ", "::", "cat"]));
    assert_eq!((words.code(), words.text().as_str(), words.err.as_str()), (0, "1 2 3 ", ""));
}

#[test]
fn the_first_stage_fails_and_nothing_is_published() {
    let scratch = Scratch::new();
    let text = r#"sh -c "head -c 1000000 /dev/zero; exit 3" | cat"#;
    let out = scratch.arg("out");
    let done = run(standpipe(&["-c", text, "--to", &out]));
    done.failed(
        3,
        &["stage 1 `sh -c \"head", "exited with code 3 after 977 KiB", "was not written"],
    );
    assert_eq!(scratch.names(), [""; 0], "neither `out` nor a hidden file");
    scratch.file("out", b"old");
    let done = run(standpipe(&["-c", text, "--overwrite", "--to", &out]));
    done.failed(3, &["nothing was published", "is untouched"]);
    assert_eq!((scratch.names(), scratch.read("out")), (vec!["out".to_owned()], b"old".to_vec()));
}

#[test]
fn the_middle_stage_fails_and_the_first_dies_of_it() {
    let done = run(standpipe(&["-c", "yes | sh -c 'head -c 100; exit 5' | cat >/dev/null"]));
    done.failed(5, &["error: stage 2 ", "exited with code 5", "stage 1 ended because of it"]);
    let exits = done.events("stage_exit");
    let of = |id: &str| exits.iter().find(|exit| exit["stage"] == id).expect("each is told");
    assert_eq!((&of("2")["cause"], &of("2")["exit_code"]), (&"self".into(), &5.into()));
    assert_eq!(of("1")["cause"], "downstream:2");
}

#[test]
fn the_first_stage_fails_and_the_second_chokes_on_the_rest() {
    let done =
        run(standpipe(&["-c", "sh -c 'echo half; exit 3' | sh -c 'cat >/dev/null; exit 5'"]));
    done.failed(3, &["error: stage 1 ", "exited with code 3", "stage 2 ended because of it"]);
    let exits = done.events("stage_exit");
    assert_eq!(exits.iter().map(|exit| &exit["cause"]).collect::<Vec<_>>(), ["self", "upstream:1"]);
}

#[test]
fn every_order_of_two_failures_is_judged_right() {
    // The kernel may tell of both ends at once and in either order.
    for _ in 0..40 {
        let done = run(standpipe(&["-c", "exit 3 | sh -c 'read x; exit 5'"]));
        done.failed(3, &["error: stage 1 "]);
    }
}

#[test]
fn a_stage_without_output_above_a_failure_is_told_to_end() {
    let done = run(standpipe(&["-c", "exec sleep 30 | exit 7"]));
    done.failed(7, &["error: stage 2 ", "stage 1 ended because of it"]);
}

#[test]
fn codes_of_a_stage_pass_through() {
    for code in [1, 123, 124, 125, 200, 255] {
        run(standpipe(&["-c", &format!("exit {code} | cat")])).failed(code, &["stage 1 "]);
    }
    run(standpipe(&["--", "sh", "-c", "exit 9"])).failed(9, &["stage 1 "]);
}

#[test]
fn a_killed_stage_is_named() {
    let scratch = Scratch::new();
    let text = "kill -9 $$ | cat";
    let done = run(standpipe(&["-c", text, "--to", &scratch.arg("out")]));
    done.failed(137, &["stage 1 ", "was killed by SIGKILL"]);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn an_early_end_of_reading_is_a_note_and_strict_makes_it_a_failure() {
    let done = run(standpipe(&["-c", "yes | head -n 1"]));
    assert_eq!((done.code(), done.text().as_str()), (0, "y\n"));
    assert!(
        done.err.starts_with("note: stage 2 `head -n 1` stopped reading after "),
        "{}",
        done.err
    );
    let quiet = run(standpipe(&["-q", "-c", "yes | head -n 1"]));
    assert_eq!((quiet.code(), quiet.err.as_str()), (0, ""));
    let scratch = Scratch::new();
    let done = run(standpipe(&["--strict", "-c", "yes | head -n 1", "--to", &scratch.arg("out")]));
    done.failed(125, &["error: stage 2 `head -n 1` stopped reading", "was not written"]);
    assert_eq!(scratch.names(), [""; 0]);
}

/// `--strict` took `seq 5 | true` for a success: all five numbers fitted into the pipe, so `seq` had ended well
/// before `true` left without reading them.
#[test]
fn bytes_that_nobody_reads_are_an_early_end_although_they_fitted_into_the_pipe() {
    for path in [&[][..], &["--fast", "never"], &["-t", "4M"]] {
        // Who is first is chance here, so it is either none of the bytes or all that were left.
        let said = "stage 2 `true` stopped reading after 0 bytes and exited 0";
        let done = run(standpipe(&[path, &["--strict", "-c", "seq 5 | true"]].concat()));
        done.failed(125, &["error: ", said]);
        // Here the bytes have come, all at once, before it leaves.
        let said = "stopped reading after 4 bytes and exited 0; 6 bytes were left unread";
        let text = "seq 5 | dd bs=4 count=1 status=none";
        let done = run(standpipe(&[path, &["-c", text]].concat()));
        assert_eq!((done.code(), done.text().as_str()), (0, "1\n2\n"), "{}", done.err);
        assert!(done.err.contains(said), "{path:?}: {}", done.err);
        let [warning] = done.events("warning")[..] else { panic!("{:?}", done.events) };
        let (code, unread) = (&warning["code"], &warning["unread_bytes"]);
        assert_eq!((code, unread), (&"stopped-early".into(), &6.into()));
        assert_eq!(done.end()["complete"], false);
        let done = run(standpipe(&[path, &["--strict", "-c", text]].concat()));
        done.failed(125, &["error: stage 2 ", said]);
        let done = run(standpipe(&[path, &["--strict", "-c", "seq 5 | cat | wc -l"]].concat()));
        assert_eq!((done.code(), done.text().trim()), (0, "5"), "{}", done.err);
        assert_eq!(done.end()["complete"], true);
    }
}

#[test]
fn nothing_is_started_if_a_program_is_missing() {
    let scratch = Scratch::new();
    let mark = scratch.arg("mark");
    let done = run(standpipe(&["-c", &format!("touch {mark} | sortt")]));
    done.failed(127, &["error: `sortt` not found on PATH (stage 2)", "did you mean `sort`?"]);
    let done = run(standpipe(&["--", "touch", &mark, "::", "no-such-program-here"]));
    done.failed(
        127,
        &["error: `no-such-program-here` not found on PATH (stage 2)", "nothing was started"],
    );
    let plain = scratch.file("plain", b"#!/bin/sh\n");
    std::fs::set_permissions(&plain, PermissionsExt::from_mode(0o644)).expect("it is ours");
    let done = run(standpipe(&["--", "touch", &mark, "::", &plain]));
    done.failed(126, &["is not executable (stage 2)", "chmod +x"]);
    run(standpipe(&["--", "touch", &mark, "::", "/"]))
        .failed(126, &["`/` is not executable (stage 2)"]);
    assert_eq!(scratch.names(), ["plain"]);
}

#[test]
fn words_that_only_the_shell_knows_are_no_missing_programs() {
    let done = run(standpipe(&["-c", ": | A=1 true | (exit 0) | { exec echo hello; }"]));
    assert_eq!((done.code(), done.text().as_str()), (0, "hello\n"), "{}", done.err);
}

#[test]
fn stderr_is_labelled_escaped_and_its_end_kept_as_last_words() {
    let script = r"printf 'first\nsecond \033[31mred\nlast words' >&2; exit 1";
    let done = run(standpipe(&["--", "sh", "-c", script, "::", "cat"]));
    done.failed(
        1,
        &["| first\n", "| second \\u{1b}[31mred\n", "| last words\n", "its last words: last words"],
    );
}

#[test]
fn a_pipe_that_somebody_still_holds_is_named() {
    // The grandchild outlives its parent by six seconds; from the fifth on it is named.
    let script = "sleep 6 2>/dev/null & echo pid=$! >&2";
    let done = run(standpipe(&["--", "sh", "-c", script, "::", "cat"]));
    assert_eq!(done.code(), 0, "{}", done.err);
    let said = done.err.lines().find_map(|line| line.split("| pid=").nth(1));
    let pid = said.expect("it was said");
    assert!(done.err.contains(&format!("still held open by process {pid}\n")), "{}", done.err);
}

/// Whoever limited the rate was told that somebody holds the output of a stage that had long ended.
#[test]
fn a_pipe_that_only_the_rate_keeps_from_its_end_is_held_by_nobody() {
    let done = run(standpipe(&["--rate", "1kB/s", "--", "seq", "1500", "::", "wc", "-l"]));
    assert_eq!((done.code(), done.text().trim()), (0, "1500"), "{}", done.err);
    let elapsed_ms = done.end()["elapsed_ms"].as_u64().expect("the schema says so");
    assert!(elapsed_ms > 5500, "it was over before anybody would have been suspected");
    assert!(!done.err.contains("held open"), "{}", done.err);
}
