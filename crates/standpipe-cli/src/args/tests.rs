//! The grammar of the command line, and its refusals.

use super::*;
use help::long_help;

const TERMINAL: Environment = Environment { stdin_is_terminal: true, memory_limit_bytes: None };
const PIPED: Environment = Environment { stdin_is_terminal: false, memory_limit_bytes: None };

fn words(line: &[&str]) -> Vec<OsString> {
    line.iter().map(OsString::from).collect()
}

#[track_caller]
fn typed(line: &[&str]) -> Typed {
    match parse(words(line), &TERMINAL) {
        Ok(Request::Run(typed)) => *typed,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[track_caller]
fn refused(line: &[&str], what: &str, hint: &str) {
    match parse(words(line), &TERMINAL) {
        Ok(request) => panic!("{line:?}: {request:?}"),
        Err(error) => {
            assert_eq!(error.what, what, "{line:?}");
            let given = error.hint.unwrap_or_default();
            assert!(given.contains(hint), "{line:?}: {given:?}, expected {hint:?}");
        }
    }
}

fn argv(stages: &[&[&str]]) -> Form {
    Form::Argv(stages.iter().map(|stage| words(stage)).collect())
}

#[test]
fn what_selects_a_run() {
    let asked = |line: &[&str], environment| parse(words(line), environment);
    assert_eq!(asked(&[], &TERMINAL), Ok(Request::Nothing));
    assert_eq!(asked(&["-q"], &TERMINAL), Ok(Request::Nothing));
    assert!(matches!(asked(&[], &PIPED), Ok(Request::Run(_))));
    assert_eq!(asked(&["-h"], &PIPED), Ok(Request::Print(short_help())));
    assert_eq!(asked(&["--help"], &TERMINAL), Ok(Request::Print(long_help())));
    assert_eq!(asked(&["-V"], &TERMINAL), Ok(Request::Version(Detail::Number)));
    let version = asked(&["--version", "--nonsense"], &TERMINAL);
    assert_eq!(version, Ok(Request::Version(Detail::Number)));
    for line in [&["-V", "-v"][..], &["-v", "-V"], &["-vV"], &["--version", "--verbose"]] {
        assert_eq!(asked(line, &TERMINAL), Ok(Request::Version(Detail::Kernel)), "{line:?}");
    }
    assert_eq!(asked(&["-qvh"], &TERMINAL), Ok(Request::Print(short_help())));
    for line in [&["run"][..], &["-c", "a"], &["--", "a"], &["-i", "f"], &["-o", "f"]] {
        typed(line);
    }
}

/// `doctor --help` was an unknown option.
#[test]
fn a_command_tells_what_it_is_wherever_it_is_asked() {
    let print = |line: &[&str]| match parse(words(line), &PIPED) {
        Ok(Request::Print(text)) => text,
        other => panic!("{line:?}: {other:?}"),
    };
    for command in ["run", "check", "doctor", "completions", "help"] {
        let help = print(&["help", command]);
        for asks in ["-h", "--help"] {
            assert_eq!(print(&[command, asks]), help);
            assert_eq!(print(&["help", command, asks]), help);
        }
    }
    let doctor = print(&["help", "doctor"]);
    assert_eq!(print(&["doctor", "--for", "2s", "gzip", "--help"]), doctor);
    assert_eq!(print(&["completions", "bash", "-h"]), print(&["help", "completions"]));
    assert_eq!(print(&["check", "-q", "x.toml", "-h"]), print(&["help", "check"]));
    let asked = parse(words(&["doctor", "-c", "--help"]), &PIPED);
    assert!(matches!(asked, Ok(Request::Doctor(_))), "it is a pipeline: {asked:?}");
    assert!(parse(words(&["run", "--", "a", "--help"]), &PIPED).is_ok_and(is_run));
    let error = parse(words(&["doctor"]), &PIPED).expect_err("it needs one");
    assert!(error.hint.is_some_and(|hint| hint.contains("PID") && hint.contains("NAME")));
}

fn is_run(request: Request) -> bool {
    matches!(request, Request::Run(_))
}

#[test]
fn stages_after_dashes_are_kept_byte_for_byte() {
    assert_eq!(typed(&["--", "gzip", "-9"]).form, argv(&[&["gzip", "-9"]]));
    assert_eq!(
        typed(&["--", "a", "--help", "::", "b", "||", "::", "c", "--"]).form,
        argv(&[&["a", "--help"], &["b", "||"], &["c", "--"]])
    );
    assert_eq!(
        typed(&["--", "a", "\\::", "\\\\::", ":::", "x::", "x\\::"]).form,
        argv(&[&["a", "::", "\\::", ":::", "x::", "x\\::"]])
    );
    let bytes = OsStr::from_bytes(b"caf\xe9").to_owned();
    let line = [OsString::from("--from"), bytes.clone(), "--".into(), bytes.clone()];
    let Ok(Request::Run(run)) = parse(line, &TERMINAL) else { panic!("a run") };
    assert_eq!(run.from, Some(bytes.clone()));
    assert_eq!(run.form, Form::Argv(vec![vec![bytes.clone()]]));
    let mut glued = OsString::from("--to=");
    glued.push(&bytes);
    let Ok(Request::Run(run)) = parse([glued], &TERMINAL) else { panic!("a run") };
    assert_eq!(run.to, [Outward { word: bytes, full: None }]);
}

#[test]
fn a_shell_pipeline_is_cut() {
    assert_eq!(typed(&["-c", "a | b"]).form, Form::Shell(words(&["a", "b"])));
    assert_eq!(typed(&["-ca|b"]).form, Form::Shell(words(&["a", "b"])));
    assert_eq!(typed(&["run", "-qc", "a"]).form, Form::Shell(words(&["a"])));
    assert_eq!(typed(&["-c", "a", "-o", "f"]).to, [Outward { word: "f".into(), full: None }]);
}

#[test]
fn options_are_read() {
    let run = typed(&[
        "-i",
        "-",
        "-o=x",
        "--overwrite",
        "--append",
        "--total",
        "2GiB",
        "-m64M",
        "-t",
        "1M",
        "--low=50%",
        "-r",
        "10MB/s",
        "--fast",
        "never",
        "--strict",
        "--timeout",
        "1h",
        "--stall",
        "30s",
        "--drain",
        "0s",
        "-n",
        "nightly",
    ]);
    assert_eq!(
        run,
        Typed {
            form: Form::Filter,
            from: Some("-".into()),
            to: vec![Outward { word: "=x".into(), full: None }],
            overwrite: true,
            append: true,
            total: Some(Amount::Bytes(2 << 30)),
            memory: Some(Amount::Bytes(64 << 20)),
            tank: Some(Mark::Amount(Amount::Bytes(1 << 20))),
            low: Some(Amount::Percent(50)),
            rate: Some(Limit::Rate(Rate { bytes: 10_000_000, per: Duration::from_secs(1) })),
            fast: Fast::Never,
            strict: true,
            timeout: Some(Duration::from_secs(3600)),
            stall: Some(Duration::from_secs(30)),
            drain: Some(Duration::ZERO),
            events: None,
            name: Some("nightly".into()),
            display: Display::default(),
        }
    );
}

#[test]
fn display_options_are_read() {
    let display = typed(&[
        "run",
        "--view",
        "plain",
        "--summary=always",
        "--color",
        "never",
        "--ascii",
        "-qvv",
        "-v",
    ])
    .display;
    assert_eq!(
        display,
        Display {
            view: ViewChoice::Plain,
            summary: When::Always,
            color: When::Never,
            ascii: true,
            quiet: true,
            verbose: 3,
            events_on_stderr: false,
        }
    );
    assert_eq!(typed(&["run", "-t", "4M", "-t", "auto"]).tank, Some(Mark::Auto));
    assert_eq!(typed(&["run", "-r", "max"]).rate, Some(Limit::Max));
    assert_eq!(typed(&["run", "-m", "2%"]).memory, Some(Amount::Percent(2)));
}

#[test]
fn words_that_are_no_command_are_refused() {
    refused(
        &["gzip"],
        "unknown command `gzip`",
        "to run a program put `--` before it: `standpipe -- gzip`",
    );
    refused(&["seq 3"], "unknown command `seq 3`", "`standpipe -c 'A | B'`");
    refused(&["my file.dat"], "unknown command `my file.dat`", "`standpipe --from my file.dat`");
    refused(&["tar c x | gzip"], "unknown command `tar c x | gzip`", "`standpipe -c 'A | B'`");
    refused(&["rnu"], "unknown command `rnu`", "did you mean `run`?");
    refused(&["run", "run"], "unknown command `run`", "");
    refused(&["huge.dat"], "unknown command `huge.dat`", "`standpipe --from huge.dat`");
    refused(&["a\x1bb"], "unknown command `a\\u{1b}b`", "`--`");
    refused(&["-c", "a", "b"], "unexpected word `b` after `-c`", "`-c 'CMD | CMD'`");
}

#[test]
fn commands_are_read() {
    let asked = |line: &[&str]| parse(words(line), &PIPED);
    let checked = |line: &[&str]| match asked(line) {
        Ok(Request::Check(typed)) => *typed,
        other => panic!("{line:?}: {other:?}"),
    };
    for line in [
        &["check", "p"][..],
        &["check", "-f", "p"],
        &["check", "-q", "p", "-m1M"],
        &["check", "--json", "p"],
    ] {
        assert_eq!(checked(line).form, Form::File("p".into()), "{line:?}");
    }
    assert_eq!(checked(&["check", "--", "check"]).form, argv(&[&["check"]]));
    assert_eq!(checked(&["check", "-i", "f"]).from, Some("f".into()));
    assert_eq!(typed(&["-f", "p", "-q"]).form, Form::File("p".into()));
    assert_eq!(typed(&["run", "-qfp"]).form, Form::File("p".into()));
    let print = |line: &[&str]| match asked(line) {
        Ok(Request::Print(text)) => text,
        other => panic!("{line:?}: {other:?}"),
    };
    assert_eq!(print(&["help"]), long_help());
    assert!(print(&["help", "sizes"]).starts_with("Sizes\n"));
    assert!(print(&["help", "check"]).contains("standpipe check [OPTIONS] PIPELINE.toml\n"));
    assert!(print(&["help", "--man"]).starts_with(".TH STANDPIPE 1"));
    assert!(print(&["help", "json"]).contains("`standpipe help json --schema`"));
    assert!(print(&["help", "json", "--schema"]).starts_with("{\n \"$schema\": "));
    refused(&["help", "json", "x"], "unexpected word `x`", "leave it out");
    refused(&["help", "uris", "--schema"], "unexpected word `--schema`", "leave it out");
    assert!(print(&["completions", "bash"]).starts_with("# bash"));
    refused(&["help", "szies"], "no help for `szies`", "did you mean `sizes`?");
    refused(&["help", "zzz"], "no help for `zzz`", "`run`, `check`");
    refused(&["help", "uris", "x"], "unexpected word `x`", "leave it out");
    refused(&["completions"], "`completions` needs a shell", "`bash`, `zsh`, `fish`");
    refused(&["completions", "zhs"], "no completions for `zhs`", "did you mean `zsh`?");
    refused(&["completions", "tcl"], "no completions for `tcl`", "`bash`, `zsh`, `fish`");
    refused(&["check"], "`check` needs a pipeline", "`standpipe check PIPELINE.toml`");
    refused(&["check", "--json=p"], "`check` needs a pipeline", "`--json=FILE` is where events go");
    refused(&["check", "a", "b"], "stages are given twice, by `-f` and by `-f`", "leave out");
    refused(&["chekc"], "unknown command `chekc`", "did you mean `check`?");
    refused(&["-f", "a", "b"], "unexpected word `b` after `-f`", "one pipeline file");
}

#[test]
fn a_watched_text_is_left_whole() {
    for line in [&["--observe", "-c", "a && b | c"][..], &["run", "-c", "a && b | c", "--observe"]]
    {
        match parse(words(line), &TERMINAL) {
            Ok(Request::Observe(observed)) => assert_eq!(observed.text, "a && b | c"),
            other => panic!("{line:?}: {other:?}"),
        }
    }
    let Ok(Request::Observe(observed)) =
        parse(words(&["--observe", "-qn", "x", "--timeout", "1s", "-c", "a"]), &TERMINAL)
    else {
        panic!("it is to be watched")
    };
    assert_eq!((observed.name, observed.timeout), (Some("x".into()), Some(Duration::from_secs(1))));
    assert!(observed.display.quiet);
    refused(&["--observe"], "`--observe` needs `-c`", "`--observe -c TEXT`");
    refused(&["--observe", "--", "a"], "`--observe` needs `-c`", "");
    refused(&["check", "--observe", "-c", "a"], "`--observe` has no plan to check", "");
    for more in [&["-o", "f"][..], &["-i", "f"], &["-t", "1M"], &["--strict"], &["-r", "1M"]] {
        let line = [&["--observe", "-c", "a"], more].concat();
        let what = "`--observe` only watches: it has no ends, no tanks, no limits and no events";
        refused(&line, what, "`--timeout`");
    }
}

#[test]
fn the_table_offers_the_words_that_are_read() {
    let names = |known: &[&str], of: Id| {
        let flag = flag::FLAGS.iter().find(|flag| flag.id == of).expect("it is there");
        let flag::Values::Words(words) = flag.values else { panic!("{of:?} has words") };
        assert_eq!(words, known, "{of:?}");
    };
    names(&VIEWS.map(|(name, _)| name), Id::View);
    names(&WHENS.map(|(name, _)| name), Id::Summary);
    names(&WHENS.map(|(name, _)| name), Id::Color);
    names(&["auto", "never"], Id::Fast);
}

#[test]
fn stages_given_wrongly_are_refused() {
    refused(&["--"], "no stage follows `--`", "`-- STAGE [:: STAGE]...`");
    refused(&["--", "a", "::"], "stage 2 after `--` is empty", "`\\::`");
    refused(&["--", "::", "a"], "stage 1 after `--` is empty", "`\\::`");
    // tar packed what it had, complained of a missing file `|`, and gzip's options became its own
    for line in
        [&["--", "tar", "cf", "-", "x", "|", "gzip"][..], &["--", "|"], &["check", "--", "a", "|"]]
    {
        refused(
            line,
            "a word after `--` is `|`, which no shell reads here",
            "`::` separates stages here, or use `-c '…'`",
        );
    }
    assert_eq!(typed(&["--", "sh", "-c", "echo '|'"]).form, argv(&[&["sh", "-c", "echo '|'"]]));
    refused(&["-c", "a", "--", "b"], "stages are given twice, by `-c` and after `--`", "leave out");
    refused(&["-c", "a", "-c", "b"], "`-c` is given twice", "`-c 'A | B'`");
    refused(&["-c"], "`-c` needs a pipeline", "`-c 'CMD | CMD'`");
    refused(&["-c", "a && b"], "cannot cut this at its pipes: it contains `&&`", "`::` after `--`");
}

#[test]
fn each_end_has_what_follows_it() {
    let to = typed(&["-o", "a", "-o", "b", "--full=drop-oldest", "-o", "c", "--full", "fail"]).to;
    let to: Vec<_> = to.iter().map(|to| (to.word.to_str(), to.full)).collect();
    let expected =
        [(Some("a"), None), (Some("b"), Some(Full::DropOldest)), (Some("c"), Some(Full::Fail))];
    assert_eq!(to, expected);
}

#[test]
fn options_given_wrongly_are_refused() {
    refused(&["--form", "x"], "unknown option `--form`", "did you mean `--from`?");
    refused(&["--xyzzy"], "unknown option `--xyzzy`", "`standpipe --help`");
    refused(&["-x"], "unknown option `-x`", "`standpipe -h`");
    refused(&["-qé"], "unknown option `-é`", "`standpipe -h`");
    refused(&["--strict=yes"], "`--strict` takes no value", "write `--strict`");
    refused(&["--from"], "`--from` needs a value", "write `--from END`");
    refused(&["-i", "--to", "x"], "`--from` needs a value, not `--to`", "`--from=--to`");
    refused(
        &["-i", "a", "-i", "b"],
        "`--from` is given twice, `a` and `b`",
        "a pipeline reads from one end",
    );
    refused(
        &["-o", "a", "--full", "drop"],
        "invalid value `drop` for `--full`",
        "write one of `wait`, `fail`, `drop-newest`, `drop-oldest`",
    );
    refused(
        &["--full", "fail", "-o", "a"],
        "`--full fail` follows no `--to`",
        "write `--to END --full fail`",
    );
    refused(
        &["-o", "a", "--full", "fail", "--full", "wait"],
        "`--full` is given twice for `--to a`",
        "leave out one of them",
    );
    refused(
        &["-t", "64kb"],
        "invalid size `64kb` for `--tank`",
        "write `64KiB` (65,536 bytes) or `64kB` (64,000 bytes)",
    );
    refused(&["-m", "-1"], "invalid size `-1` for `--memory`", "negative");
    refused(&["-m", "0"], "invalid size `0` for `--memory`", "at least 1");
    refused(&["-t", "16 items"], "invalid size `16 items` for `--tank`", "write bytes");
    refused(&["--total", "2%"], "invalid size `2%` for `--total`", "write bytes");
    refused(&["-r", "10MBps"], "invalid rate `10MBps` for `--rate`", "write `10MB/s`");
    refused(&["--stall", "5"], "invalid time `5` for `--stall`", "write `5s`");
    refused(&["--timeout", "0s"], "invalid time `0s` for `--timeout`", "at least");
    refused(&["--view", "lien"], "invalid value `lien` for `--view`", "did you mean `line`?");
    refused(
        &["--view", "x"],
        "invalid value `x` for `--view`",
        "`auto`, `line`, `tanks`, `full`, `plain`, `none`",
    );
    refused(&["--fast", "always"], "invalid value `always` for `--fast`", "`auto`, `never`");
}

#[cfg(feature = "http")] // with all that a build can have
#[test]
fn help_is_as_it_was_read_last() {
    // A changed help is copied to the snapshots by `STANDPIPE_SNAPSHOTS=write cargo test`.
    let commands = commands::COMMANDS.iter();
    let commands = commands.map(|command| (command.name, help::command_help(command)));
    let topics = help::TOPICS.iter().map(|(topic, text)| (*topic, (*text).to_owned()));
    let more: String = commands
        .chain(topics)
        .map(|(name, text)| format!("$ standpipe help {name}\n{text}\n"))
        .collect();
    let texts =
        [("help-short.txt", short_help()), ("help.txt", long_help()), ("help-more.txt", more)];
    for (name, text) in texts {
        let path = std::path::Path::new("tests/snapshots").join(name);
        if std::env::var_os("STANDPIPE_SNAPSHOTS").is_some() {
            std::fs::write(&path, &text).expect("the snapshot is written");
        }
        let snapshot = std::fs::read_to_string(&path).expect("the snapshot is there");
        assert_eq!(text, snapshot, "{name}");
    }
}

#[test]
fn events_go_where_they_are_sent() {
    let to = |line: &[&str]| {
        let typed = typed(line);
        (typed.events, typed.display.events_on_stderr)
    };
    assert_eq!(to(&["run"]), (None, false));
    assert_eq!(to(&["--json", "-c", "a"]), (Some(EventsTo::Stderr), true));
    assert_eq!(to(&["--json=fd:2", "run"]), (Some(EventsTo::Stderr), true));
    assert_eq!(to(&["--json=fd:3", "run"]), (Some(EventsTo::Fd(3)), false));
    assert_eq!(to(&["--json=a b", "run"]), (Some(EventsTo::File("a b".into())), false));
    assert_eq!(to(&["--json", "--json=x", "run"]), (Some(EventsTo::File("x".into())), false));
    // the events were missed, and the hint was about data
    for (line, what) in [
        (&["--json", "r.jsonl"][..], "unknown command `r.jsonl`"),
        (&["run", "--json", "r.jsonl", "-c", "a"], "unknown command `r.jsonl`"),
        (&["-c", "a", "--json", "r.jsonl"], "unexpected word `r.jsonl` after `-c`"),
        (&["-f", "p.toml", "--json", "r.jsonl"], "unexpected word `r.jsonl` after `-f`"),
    ] {
        refused(line, what, "did you mean `--json=r.jsonl`?");
    }
    let what = "unknown command `r.jsonl`";
    refused(&["--json", "-q", "r.jsonl"], what, "`standpipe --from r.jsonl`");
    refused(&["--json", "rnu"], "unknown command `rnu`", "did you mean `run`?");
    refused(&["--json=-", "run"], "invalid value `-` for `--json`", "`fd:1` if no data");
    refused(&["--json=", "run"], "invalid value `` for `--json`", "write a FILE");
    for word in ["fd:", "fd:x", "fd:0", "fd:99999999999"] {
        let what = format!("invalid value `{word}` for `--json`");
        refused(&[&format!("--json={word}"), "run"], &what, "`fd:3`");
    }
    refused(&["--json=tcp://x", "run"], "invalid value `tcp://x` for `--json`", "`./NAME`");
}
