//! What does a pipeline file do, and what is refused before anything starts?

use std::os::unix::fs::PermissionsExt;

use crate::rig::{Done, Scratch, feed, run, shell, standpipe};

/// Runs this text as a pipeline file, with `DIR` in it for the scratch directory.
#[track_caller]
fn run_file(scratch: &Scratch, text: &str, args: &[&str]) -> Done {
    let text = text.replace("DIR", &scratch.arg(""));
    let file = scratch.file("p.toml", text.as_bytes());
    let done = run(standpipe(&[&["-f", &file], args].concat()));
    std::fs::remove_file(&file).expect("it is still there");
    done
}

#[test]
fn a_file_is_run_as_the_command_line_would_be() {
    let scratch = Scratch::new();
    let text = r#"
        version = 1
        [[stage]]
        id = "count"
        exec = ["seq", "1000"]
        [[stage]]
        id = "sum"
        shell = "awk '{ s += $1 } END { print s }'"
        tank = "128KiB"
        low = "50%"
        [[stage]]
        to = "DIR/out"
    "#;
    let done = run_file(&scratch, text, &["--summary", "never"]);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    assert_eq!(
        (scratch.names(), scratch.read("out")),
        (vec!["out".to_owned()], b"500500\n".to_vec())
    );
    // the output exists by now; the command line beats the file, on either side of it
    run_file(&scratch, text, &[]).failed(125, &["it already exists"]);
    assert_eq!(run_file(&scratch, text, &["--overwrite"]).code(), 0);
    let done = run_file(&scratch, text, &["--to", "-"]);
    assert_eq!((done.code(), done.text().as_str()), (0, "500500\n"), "{}", done.err);
    let other = scratch.arg("other");
    assert_eq!(run_file(&scratch, text, &["--to", &other]).code(), 0);
    assert_eq!(scratch.read("other"), b"500500\n");
}

#[test]
fn what_the_file_leaves_open_is_stdin_and_stdout() {
    let scratch = Scratch::new();
    let file = scratch.file("p.toml", b"version = 1\n[[stage]]\nexec = ['tr', 'a-z', 'A-Z']\n");
    let done = feed(standpipe(&["-f", &file]), b"loud".to_vec());
    assert_eq!((done.code(), done.text().as_str()), (0, "LOUD"), "{}", done.err);
    let input = scratch.file("in", b"from a file");
    let done = run(standpipe(&["--from", &input, "run", "-f", &file, "-q"]));
    assert_eq!((done.code(), done.text().as_str()), (0, "FROM A FILE"), "{}", done.err);
    // no stage but ends: the file is a filter
    let file = scratch.file("p.toml", b"version = 1\n[[stage]]\nfrom = 'zero:5'\n");
    let done = run(standpipe(&["-f", &file]));
    assert_eq!((done.code(), done.out.as_slice()), (0, &[0; 5][..]), "{}", done.err);
    let file = scratch.file("p.toml", b"version = 1\n[[stage]]\nto = 'null:'\n");
    assert_eq!(feed(standpipe(&["-f", &file]), vec![1; 100_000]).code(), 0);
}

#[test]
fn stages_are_joined_by_their_inputs_and_named_by_their_ids() {
    let scratch = Scratch::new();
    let text = r#"
        version = 1
        [[stage]]
        id = "last"
        input = "middle"
        shell = "cat"
        [[stage]]
        id = "first"
        from = "zero:3M"
        [[stage]]
        id = "middle"
        input = "first"
        shell = "cat; exit 3"
    "#;
    let done = run_file(&scratch, text, &["--summary", "always"]);
    done.failed(3, &["error: stage middle `cat; exit 3` exited with code 3", "  first zero:3M"]);
    assert_eq!(done.out.len(), 3 << 20);
}

#[test]
fn options_of_the_file_hold_unless_the_command_line_says_otherwise() {
    let scratch = Scratch::new();
    let text = "version = 1\nstrict = true\ndrain = '1s'\n[[stage]]\nshell = 'yes'\n[[stage]]\nshell = 'head -n 1'\n";
    run_file(&scratch, text, &[]).failed(125, &["stopped reading"]);
    let text = "version = 1\ntimeout = '200ms'\n[[stage]]\nexec = ['sleep', '30']\n[[stage]]\nexec = ['cat']\n";
    run_file(&scratch, text, &[]).failed(124, &["not done after 200ms"]);
    let text = text.replace("timeout", "stall");
    run_file(&scratch, &text, &[]).failed(124, &["nothing moved for 200ms"]);
    run_file(&scratch, &text, &["--stall", "300ms"]).failed(124, &["nothing moved for 300ms"]);
    let text = "version = 1\nmemory = '64K'\n[[stage]]\nid = 'a'\nshell = 'seq 3'\n[[stage]]\nid = 'b'\nshell = 'cat'\ntank = '1M'\n";
    run_file(&scratch, text, &[])
        .failed(125, &["tanks need 1 MiB but `--memory` is 64 KiB", "tank a>b 1 MiB"]);
    assert_eq!(run_file(&scratch, text, &["-m", "2M"]).text(), "1\n2\n3\n");
    assert_eq!(run_file(&scratch, text, &["-t", "auto"]).text(), "1\n2\n3\n");
}

#[test]
fn what_a_stage_says_goes_where_the_file_says() {
    let scratch = Scratch::new();
    let text = |stderr: &str| {
        format!(
            "version = 1\n[[stage]]\nshell = 'echo words >&2; exit 4'\nstderr = '{stderr}'\n[[stage]]\nshell='cat'\n"
        )
    };
    let done = run_file(&scratch, &text("prefix"), &[]);
    done.failed(4, &["exit 4| words\n", "its last words: words"]);
    let done = run_file(&scratch, &text("inherit"), &[]);
    done.failed(4, &["words\nerror: stage 1"]);
    assert!(!done.err.contains("last words"), "{}", done.err);
    let done = run_file(&scratch, &text("drop"), &[]);
    done.failed(4, &["its last words: words"]);
    assert!(!done.err.contains("| words"), "{}", done.err);
    for _ in 0..2 {
        let done = run_file(&scratch, &text("file:DIR/log"), &[]);
        done.failed(4, &["error: stage 1"]);
        assert!(!done.err.contains("| words") && !done.err.contains("last words"), "{}", done.err);
    }
    assert_eq!(scratch.read("log"), b"words\nwords\n");
    run_file(&scratch, &text("file:DIR/no/log"), &[])
        .failed(125, &["/no/log`, for `stderr`: no such file"]);
}

#[test]
fn ends_of_the_command_line_get_names_of_their_own() {
    let scratch = Scratch::new();
    let text =
        "version = 1\n[[stage]]\nid = 'to'\nshell = 'cat'\n[[stage]]\nid = 'from'\nshell = 'cat'\n";
    let (input, out) = (scratch.file("in", b"x"), scratch.arg("out"));
    let file = scratch.file("p.toml", text.as_bytes());
    let done = run(standpipe(&["check", &file, "--from", &input, "--to", &out]));
    assert!(done.text().contains("tank  from_>to  1 MiB\n"), "{}", done.text());
    assert!(done.text().contains("tank  from>to_  1 MiB\n"), "{}", done.text());
}

#[test]
fn ends_of_lines_of_another_system_are_no_part_of_a_command() {
    let scratch = Scratch::new();
    let text = "version = 1\r\n[[stage]]\r\nshell = \"\"\"\r\nseq 2\r\nseq 1\"\"\"\r\n";
    let done = run_file(&scratch, text, &[]);
    assert_eq!((done.code(), done.text().as_str()), (0, "1\n2\n1\n"), "{}", done.err);
}

#[test]
fn nothing_is_started_before_the_whole_file_is_understood() {
    let scratch = Scratch::new();
    let touch = "version = 1\n[[stage]]\nshell = 'touch DIR/mark'\n[[stage]]\nid = 'b'\n";
    for (rest, code, said) in [
        ("shell = 'cat'\ntnak = '8M'", 125, &["unknown key `tnak`", "line 7: tnak", "`tank`"][..]),
        ("shell = 'cat'\ninput = 'c'", 125, &["no stage has the id `c`", "line 4: [[stage]]"]),
        ("from = 'zero:1'", 125, &["`b` is a second source", "line 4"]),
        ("to = 'foo://x'", 125, &["unknown scheme `foo`", "in `", "line 4"]),
        ("to = 'x'\noverwrite = true\nappend = true", 125, &["`overwrite` and `append`", "line 4"]),
        ("to = 'null:'\nappend = true", 125, &["append` is for a file, not for `null:`"]),
        ("to = 'DIR/no/x'", 125, &["there is no directory"]),
        ("exec = ['no-such-program-here']", 127, &["(stage b)", "nothing was started"]),
        ("exec = ['/']", 126, &["is not executable (stage b)"]),
        ("exec = ['cat'", 125, &["is no TOML"]),
    ] {
        run_file(&scratch, &format!("{touch}{rest}"), &[]).failed(code, said);
        assert_eq!(scratch.names(), [""; 0], "{rest}");
    }
}

#[test]
fn a_tank_before_the_first_stage_is_refused_unless_there_is_one() {
    let scratch = Scratch::new();
    for key in ["tank = '1M'", "low = '10%'"] {
        let text = format!("version = 1\n[[stage]]\nshell = 'cat'\n{key}\n");
        let name = &key[..key.find(' ').expect("there is a space")];
        let what = format!("error: `{name}` is of the tank before a stage");
        run_file(&scratch, &text, &[]).failed(125, &[&what, "line 2: [[stage]]"]);
        let done = run_file(&scratch, &text, &["--from", "zero:3"]);
        assert_eq!((done.code(), done.out.len()), (0, 3), "{}", done.err);
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let scratch = Scratch::new();
    let refused = |file: &str, said: &[&str]| run(standpipe(&["-f", file])).failed(125, said);
    refused(
        &scratch.arg("none"),
        &["cannot read `", "no such file", "a pipeline file is read here"],
    );
    refused(&scratch.arg(""), &["is a directory"]);
    refused("/dev/zero", &["`/dev/zero` has more than 1 MiB"]);
    refused(&scratch.file("big", &vec![b'#'; 10 << 20]), &["more than 1 MiB"]);
    refused(&scratch.file("empty", b""), &["`version` is missing"]);
    refused(&scratch.file("latin", b"version = 1\n# caf\xe9\n"), &["is not UTF-8", "at line 2"]);
    refused(&scratch.file("nul", b"version = 1\nname = \"a\0b\"\n"), &["is no TOML", "line 2"]);
    let locked = scratch.file("locked", b"version = 1\n");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).expect("it is ours");
    // root may read it; then it has no stage
    let done = run(standpipe(&["-f", &locked]));
    let expected = if done.err.contains("permission denied") { "cannot read" } else { "no stage" };
    done.failed(125, &[expected]);
    run(standpipe(&["-f"])).failed(125, &["`-f` needs a pipeline file"]);
    run(standpipe(&["-f", "a", "-c", "b"]))
        .failed(125, &["stages are given twice, by `-f` and by `-c`"]);
    run(standpipe(&["-f", "a", "--", "b"])).failed(125, &["twice, by `-f` and after `--`"]);
    run(standpipe(&["-f", "a", "-f", "b"])).failed(125, &["`-f` is given twice, `a` and `b`"]);
}

#[test]
fn a_very_large_file_within_the_limit_is_refused_quickly() {
    let scratch = Scratch::new();
    let many = format!("version = 1\n{}", "[[stage]]\nto='x'\n".repeat(60_000));
    run(standpipe(&["-f", &scratch.file("many", many.as_bytes())]))
        .failed(125, &["`2` reads from `1`, which gives nothing"]);
    let many = format!("version = 1\n{}", "[[stage]]\nshell='x'\n".repeat(50_000));
    run(standpipe(&["-f", &scratch.file("many", many.as_bytes())]))
        .failed(125, &["tanks need 3.05 GiB but `--memory` is 64 MiB", "and 49991 more"]);
}

#[test]
fn a_file_may_come_on_stdin_if_the_data_does_not() {
    let text = b"version = 1\n[[stage]]\nfrom = 'zero:7'\n[[stage]]\nshell = 'wc -c'\n";
    let done = feed(standpipe(&["-f", "-"]), text.to_vec());
    assert_eq!((done.code(), done.text().trim()), (0, "7"), "{}", done.err);
    let text = b"version = 1\n[[stage]]\nshell = 'wc -c'\n";
    feed(standpipe(&["-f", "-"]), text.to_vec())
        .failed(125, &["stdin is the pipeline file, so the first stage cannot read it"]);
    let done = feed(standpipe(&["-f", "-", "--from", "zero:9"]), text.to_vec());
    assert_eq!((done.code(), done.text().trim()), (0, "9"), "{}", done.err);
    let done = run(shell("\"$S\" -f - <&-"));
    done.failed(125, &["stdin"]);
}

#[test]
fn check_prints_the_plan_and_starts_nothing() {
    let scratch = Scratch::new();
    let text = r#"
        version = 1
        name = "nightly"
        rate = "10MiB/s"
        stall = "30s"
        strict = true
        [[stage]]
        id = "dump"
        shell = "touch DIR/mark; seq 10"
        [[stage]]
        exec = ["tr", "1 2", "x"]
        tank = "8MiB"
        low = "50%"
        [[stage]]
        id = "disk"
        to = "DIR/out"
        overwrite = true
    "#;
    let file = scratch.file("p.toml", text.replace("DIR", &scratch.arg("")).as_bytes());
    let done = run(standpipe(&["check", &file]));
    let expected = "\
nightly:
stage dump  sh    touch DIR/mark; seq 10
stage 2     run   tr '1 2' x
stage disk  to    DIR/out (replaces what is there)
tank  dump>2  8 MiB, opens again at 4 MiB
tank  2>disk  1 MiB
memory: at most 9 MiB in tanks, of 64 MiB allowed
limits: rate 10 MiB/s, stall 30s, drain 10s, strict
";
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    assert_eq!(done.text(), expected.replace("DIR", &scratch.arg("")));
    assert_eq!(scratch.names(), ["p.toml"]);
    // the command line beats the file in a check as in a run
    let done = run(standpipe(&["check", &file, "-t", "1M", "--to", "tcp://127.0.0.1:1"]));
    assert_eq!(done.code(), 0, "nothing is connected: {}", done.err);
    assert!(done.text().contains("at most 2 MiB"), "{}", done.text());
    let done = run(standpipe(&["check", "-c", "seq 3 | sort"]));
    assert_eq!((done.code(), done.text().lines().count()), (0, 5), "{}", done.err);
}

#[test]
fn check_refuses_what_a_run_would_refuse() {
    let scratch = Scratch::new();
    let old = scratch.file("old", b"old");
    let missing = scratch.arg("missing");
    for (args, code, said) in [
        (&["--", "no-such-program-here"][..], 127, "not found on PATH"),
        (&["--", "/"], 126, "is not executable"),
        (&["-c", "cat", "-o", &old], 125, "it already exists"),
        (&["-i", &missing], 125, "no such file"),
        (&["-i", "/"], 125, "is a directory"),
        (&["-c", "cat", "-t", "1G"], 0, ""),
        (&["-c", "cat | cat", "-t", "1G"], 125, "`--memory` is 64 MiB"),
        (&[&missing], 125, "no such file"),
        (&[], 125, "`check` needs a pipeline"),
    ] {
        let done = run(standpipe(&[&["check"], args].concat()));
        assert_eq!(done.text().is_empty(), code != 0, "{args:?}: {}", done.text());
        done.failed(code, &[said]);
    }
    let fifo = scratch.arg("fifo");
    let done = run(shell(&format!("mkfifo {fifo}; \"$S\" check -i {fifo}")));
    assert_eq!(done.code(), 0, "nobody is waited for: {}", done.err);
    assert_eq!(scratch.read("old"), b"old");
}

#[test]
fn the_version_tells_what_the_kernel_supports() {
    let version = run(standpipe(&["--version"])).text();
    assert_eq!(version, concat!("standpipe ", env!("CARGO_PKG_VERSION"), "\n"));
    let more = run(standpipe(&["-V", "-v"])).text();
    assert!(more.starts_with(&version));
    // a kernel that runs these tests has them all: the others in this directory splice and reap
    for call in ["splice", "copy_file_range", "pidfd", "renameat2"] {
        let told = more.lines().find(|line| line.trim_start().starts_with(call));
        assert!(told.is_some_and(|line| line.ends_with(" yes")), "{call}: {more}");
    }
    for fact in ["ends: PATH - file://", "kernel: Linux ", "  a pipe "] {
        assert!(more.contains(fact), "{fact} is missing in {more}");
    }
}
