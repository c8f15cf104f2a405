//! Is a fault at an end of ours the same in every form: `-c`, `--`, `-f`, filter?
//!
//! One pipeline is written down in all four, and each situation is one test over them.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustix::process::Signal;

use crate::rig::{BIN, Live, Scratch, feed, run, standpipe};

const HUP: i32 = 1;
const INT: i32 = 2;
const PIPE: i32 = 13;
const TERM: i32 = 15;

/// How a pipeline is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Shell,
    Argv,
    File,
    Filter,
}

const FORMS: [Form; 4] = [Form::Shell, Form::Argv, Form::File, Form::Filter];

/// Options that select the kernel tank and the user-memory tank.
const PATHS: [&[&str]; 2] = [&[], &["--fast", "never"]];

/// Writes `from`, one stage that runs `program`, and `to` in a form; a filter has no stage.
///
/// The pipeline file lies in a directory of its own, and so not beside what a test looks at. An end
/// that is not UTF-8 cannot stand in it and is given on the command line.
fn written(
    form: Form,
    own: &Scratch,
    options: &[&str],
    ends: [&OsStr; 2],
    program: &[&str],
) -> Vec<OsString> {
    let mut args: Vec<OsString> = options.iter().map(OsString::from).collect();
    let mut stages = String::from("version = 1\n");
    for (at, (flag, key)) in [("--from", "from"), ("--to", "to")].into_iter().enumerate() {
        match ends[at].to_str().filter(|_| form == Form::File) {
            Some(text) => stages += &format!("[[stage]]\n{key} = '{text}'\n"),
            None => args.extend([flag.into(), ends[at].to_owned()]),
        }
        if at == 0 {
            let words: Vec<String> = program.iter().map(|word| format!("'{word}'")).collect();
            stages += &format!("[[stage]]\nexec = [{}]\n", words.join(", "));
        }
    }
    match form {
        Form::Shell => args.extend(["-c".into(), program.join(" ").into()]),
        Form::Argv => {
            args.push("--".into());
            args.extend(program.iter().map(OsString::from));
        }
        Form::File => args.extend(["-f".into(), own.file("p.toml", stages.as_bytes()).into()]),
        Form::Filter => {}
    }
    args
}

/// The command in a form, with nothing on stdin.
fn command(
    form: Form,
    own: &Scratch,
    options: &[&str],
    ends: [&str; 2],
    program: &[&str],
) -> Command {
    standpipe(&written(form, own, options, ends.map(OsStr::new), program))
}

/// The same, started by a shell after `before`: `exec`, with a stream closed or a signal ignored.
fn started(before: &str, after: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{before}exec \"$0\" \"$@\" {after}"))
        .arg(BIN)
        .args(command.get_args())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell
}

/// Looks again and again until it is so, for a minute.
#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    let (_sender, receiver) = sync_channel::<()>(0);
    let came = (0..30_000).any(|_| {
        so() || {
            receiver.recv_timeout(Duration::from_millis(2)).expect_err("nobody sends");
            false
        }
    });
    assert!(came, "it never came to be so");
}

#[test]
fn a_source_that_cannot_be_read_starts_nothing() {
    for form in FORMS {
        let (own, scratch) = (Scratch::new(), Scratch::new());
        let (out, mark, missing) =
            (scratch.arg("out"), scratch.arg("mark"), scratch.arg("missing"));
        for (from, why) in
            [(missing.as_str(), "no such file or directory"), ("/", "is a directory")]
        {
            let done = run(command(form, &own, &[], [from, &out], &["tee", &mark]));
            done.failed(125, &[&format!("error: cannot read `{from}`: {why}")]);
            assert_eq!(scratch.names(), [""; 0], "{form:?}");
        }
    }
}

#[test]
fn a_name_that_is_not_utf_8_is_used_as_it_is_and_shown_escaped() {
    for form in FORMS {
        let (own, scratch) = (Scratch::new(), Scratch::new());
        let [from, to] =
            [b"caf\xe9", b"\xff\xfeto"].map(|name| scratch.path(OsStr::from_bytes(name)));
        let ends = [from.as_os_str(), to.as_os_str()];
        let missing = run(standpipe(&written(form, &own, &[], ends, &["cat"])));
        missing.failed(125, &["/caf\\xe9`: no such file"]);
        std::fs::write(&from, b"coffee").expect("it is writable");
        let done = run(standpipe(&written(form, &own, &["--summary", "always"], ends, &["cat"])));
        assert_eq!(done.code(), 0, "{form:?}: {}", done.err);
        assert_eq!(std::fs::read(&to).expect("it is there"), b"coffee", "{form:?}");
        // a label has an end, and how much of the name that leaves depends on where it is; the record has all of it
        let told = done.events("start")[0].to_string();
        assert!(told.contains("/\\\\xff\\\\xfeto"), "{form:?}: {told}");
    }
}

#[test]
fn a_full_device_is_named_with_what_was_written() {
    for form in FORMS {
        for path in PATHS {
            let own = Scratch::new();
            let command = command(form, &own, path, ["-", "/dev/full"], &["cat"]);
            let done = feed(command, vec![b'x'; 100_000]);
            let why = "error: cannot write `/dev/full`: no space left on device";
            done.failed(125, &[why, "after 0 B"]);
        }
    }
}

#[test]
fn a_file_that_may_not_grow_leaves_the_old_one() {
    for form in FORMS {
        for path in PATHS {
            let (own, scratch) = (Scratch::new(), Scratch::new());
            let old = scratch.file("old", b"old");
            let options = [path, &["--overwrite"]].concat();
            let command = command(form, &own, &options, ["zero:4M", &old], &["cat"]);
            let done = run(started("ulimit -f 1024; ", "", &command));
            let said =
                ["cannot write `", "file too large", "after ", "the previous `", "is untouched"];
            done.failed(125, &said);
            assert_eq!(scratch.names(), ["old"], "{form:?} {path:?}");
            assert_eq!(scratch.read("old"), b"old", "{form:?} {path:?}");
        }
    }
}

#[test]
fn a_reader_of_stdout_that_leaves_is_a_silent_death_by_sigpipe() {
    for form in FORMS {
        for path in PATHS {
            for before in ["", "trap '' PIPE; "] {
                let own = Scratch::new();
                let command = command(form, &own, path, ["zero:100G", "-"], &["cat"]);
                let mut live = Live::start(started(before, "", &command));
                live.read(1);
                drop(live.stdout.take());
                let done = live.end();
                assert_eq!(done.signal(), PIPE, "{form:?} {path:?} {before}: {}", done.err);
                assert_eq!(done.err, "", "{form:?} {path:?} {before}");
            }
        }
    }
}

/// A run from stdin into the file `out` that has written one line and waits for more.
fn idle(form: Form, path: &[&str], own: &Scratch, scratch: &Scratch) -> Live {
    let out = scratch.arg("out");
    let mut command = command(form, own, path, ["-", &out], &["cat"]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.stdin.as_mut().expect("it is piped").write_all(b"data\n").expect("it is taken");
    until(|| scratch.names().first().is_some_and(|name| scratch.read(name) == b"data\n"));
    live
}

#[test]
fn a_signal_reaches_a_run_that_waits_for_its_input() {
    for form in FORMS {
        for path in PATHS {
            for (signal, number, left) in [
                (Signal::INT, INT, &[][..]),
                (Signal::HUP, HUP, &[]),
                (Signal::TERM, TERM, &["out.partial"]),
            ] {
                let (own, scratch) = (Scratch::new(), Scratch::new());
                let mut live = idle(form, path, &own, &scratch);
                live.signal(signal);
                let stdin = live.stdin.take(); // its end would be an end of the run, too
                let done = live.end();
                drop(stdin);
                assert_eq!(done.signal(), number, "{form:?} {path:?}: {}", done.err);
                assert!(done.err.contains("note: stopped after"), "{form:?}: {}", done.err);
                assert_eq!(scratch.names(), left, "{form:?} {path:?} {number}");
                if let [partial] = left {
                    assert_eq!(scratch.read(partial), b"data\n", "{form:?} {path:?}");
                }
            }
        }
    }
}

#[test]
fn a_signal_reaches_a_run_that_waits_for_its_output() {
    for form in FORMS {
        for path in PATHS {
            for (signal, number) in [(Signal::INT, INT), (Signal::HUP, HUP), (Signal::TERM, TERM)] {
                let own = Scratch::new();
                let options = [path, &["--drain", "50ms"]].concat();
                let mut live =
                    Live::start(command(form, &own, &options, ["zero:100G", "-"], &["cat"]));
                live.read(1);
                live.signal(signal);
                let stdout = live.stdout.take(); // nobody reads it, and nobody has left
                let done = live.end();
                drop(stdout);
                assert_eq!(done.signal(), number, "{form:?} {path:?}: {}", done.err);
            }
        }
    }
}

#[test]
fn a_run_under_nohup_goes_on() {
    for form in FORMS {
        let own = Scratch::new();
        let command = command(form, &own, &["--summary", "never"], ["-", "-"], &["cat"]);
        let mut command = started("trap '' HUP; ", "", &command);
        command.stdin(Stdio::piped());
        let mut live = Live::start(command);
        live.stdin.as_mut().expect("it is piped").write_all(b"still").expect("it is taken");
        assert_eq!(live.read(5), b"still", "{form:?}");
        live.signal(Signal::HUP);
        live.stdin.as_mut().expect("it is piped").write_all(b" here").expect("it is taken");
        let done = live.end();
        assert_eq!((done.code(), done.text().as_str()), (0, " here"), "{form:?}: {}", done.err);
    }
}

#[test]
fn a_closed_stdin_is_an_error_at_once_if_it_is_needed() {
    for form in FORMS {
        let (own, scratch) = (Scratch::new(), Scratch::new());
        let (out, mark) = (scratch.arg("out"), scratch.arg("mark"));
        let needed = command(form, &own, &[], ["-", &out], &["tee", &mark]);
        run(started("", "<&-", &needed)).failed(125, &["cannot read stdin: it is closed"]);
        assert_eq!(scratch.names(), [""; 0], "{form:?}");
        let done = run(started("", "<&-", &command(form, &own, &[], ["zero:9", &out], &["cat"])));
        assert_eq!((done.code(), scratch.read("out")), (0, vec![0; 9]), "{form:?}: {}", done.err);
    }
}

#[test]
fn a_closed_stdout_is_an_error_before_a_byte_moves_if_it_is_needed() {
    for form in FORMS {
        let (own, scratch) = (Scratch::new(), Scratch::new());
        let (out, mark) = (scratch.arg("out"), scratch.arg("mark"));
        let needed = command(form, &own, &[], ["zero:9", "-"], &["tee", &mark]);
        run(started("", ">&-", &needed)).failed(125, &["cannot write stdout: it is closed"]);
        assert_eq!(scratch.names(), [""; 0], "{form:?}");
        let done = run(started("", ">&-", &command(form, &own, &[], ["zero:9", &out], &["cat"])));
        assert_eq!((done.code(), scratch.read("out")), (0, vec![0; 9]), "{form:?}: {}", done.err);
    }
}

#[test]
fn usr1_gives_one_line_and_the_run_goes_on() {
    for form in FORMS {
        for path in PATHS {
            let own = Scratch::new();
            let options = [path, &["--summary", "never", "--name", "asked"]].concat();
            let mut command = command(form, &own, &options, ["-", "-"], &["cat"]);
            command.stdin(Stdio::piped());
            let mut live = Live::start(command);
            for word in [b"one", b"two"] {
                live.stdin.as_mut().expect("it is piped").write_all(word).expect("it is taken");
                assert_eq!(live.read(3), word, "{form:?}");
                live.signal(Signal::USR1);
                let line = live.hear("asked: ");
                assert!(line.contains(" B 0:00:") && line.contains(" in "), "{form:?}: {line}");
            }
            let done = live.end();
            assert_eq!((done.code(), done.err.lines().count()), (0, 2), "{form:?}: {}", done.err);
        }
    }
}
