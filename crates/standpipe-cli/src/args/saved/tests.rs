//! Pipeline files that are read, and refused.

use super::*;
use crate::{args::Limit, size::Rate};

const FULL: &str = r#"
version = 1
name = "nightly"
memory = "64MiB"
total = "2GiB"
rate = "10MB/s"
stall = "30s"
timeout = "1h"
drain = "0s"
strict = true

[[stage]]
id = "dump"
shell = "pg_dump shop"
stderr = "file:log"

[[stage]]
id = "pack"
exec = ["zstd", "-3"]
tank = "8MiB"
low = "50%"
stderr = "drop"

[[stage]]
input = "pack"
to = "shop.zst"
overwrite = true
tank = "auto"
"#;

fn read(text: &str) -> Result<Saved, UsageError> {
    read::read(text, "`p.toml`")
}

#[test]
fn every_key_is_read() {
    let saved = read(FULL).expect("it is right");
    let stage = |id: &str, place: &str, work| SavedStage {
        id: id.into(),
        place: place.into(),
        work,
        input: None,
        tank: None,
        low: None,
        stderr: Stderr::Prefix,
        overwrite: false,
        append: false,
        full: None,
    };
    let expected = Saved {
        name: Some("nightly".into()),
        memory: Some(Amount::Bytes(64 << 20)),
        total: Some(Amount::Bytes(2 << 30)),
        rate: Some(Limit::Rate(Rate { bytes: 10_000_000, per: Duration::from_secs(1) })),
        stall: Some(Duration::from_secs(30)),
        timeout: Some(Duration::from_secs(3600)),
        drain: Some(Duration::ZERO),
        strict: true,
        stages: vec![
            SavedStage {
                stderr: Stderr::File("log".into()),
                ..stage("dump", "`p.toml`, line 12: [[stage]]", Work::Shell("pg_dump shop".into()))
            },
            SavedStage {
                tank: Some(Amount::Bytes(8 << 20)),
                low: Some(Amount::Percent(50)),
                stderr: Stderr::Drop,
                ..stage(
                    "pack",
                    "`p.toml`, line 17: [[stage]]",
                    Work::Exec(vec!["zstd".into(), "-3".into()]),
                )
            },
            SavedStage {
                input: Some("pack".into()),
                overwrite: true,
                ..stage("3", "`p.toml`, line 24: [[stage]]", Work::To("shop.zst".into()))
            },
        ],
    };
    assert_eq!(saved, expected);
    let windows = FULL.replace('\n', "\r\n");
    assert_eq!(read(&windows).expect("the ends of lines do not matter"), expected);
    assert_eq!(read(&format!("\u{feff}{FULL}")).map(|saved| saved.stages.len()), Ok(3), "a BOM");
}

#[test]
fn the_file_in_the_help_is_right() {
    let help = super::super::help::TOPICS.iter().find(|(topic, _)| *topic == "files");
    let indented = help.expect("it is there").1.lines().filter(|line| line.starts_with("  "));
    let saved = read(&indented.collect::<Vec<_>>().join("\n")).expect("it is right");
    assert_eq!(
        saved.stages.iter().map(|stage| &stage.id).collect::<Vec<_>>(),
        ["dump", "pack", "3", "4"]
    );
}

/// The text has `version = 1` above it; the line counts from there.
#[track_caller]
fn refused(text: &str, what: &str, place: &str, hint: &str) {
    let error = read(&format!("version = 1\n{text}")).expect_err(what);
    assert_eq!(error.what, what, "{text}");
    let details = error.details.join("; ");
    assert!(details.contains(place), "{text}: {details:?}, expected {place:?}");
    let given = error.hint.unwrap_or_default();
    assert!(given.contains(hint), "{text}: {given:?}, expected {hint:?}");
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let stage = "[[stage]]\nshell = \"a\"\n";
    refused(
        "strcit = true",
        "unknown key `strcit`",
        "in `p.toml`, line 2: strcit = true",
        "did you mean `strict`?",
    );
    refused(
        &format!("{stage}tnak = \"8MiB\""),
        "unknown key `tnak`",
        "line 4: tnak",
        "did you mean `tank`?",
    );
    refused("zzz = 1\nabc = 1", "unknown key `zzz`", "line 2", "`version`, `name`, `memory`");
    refused("tank = \"8M\"", "unknown key `tank`", "line 2", "below its `[[stage]]`");
    refused(
        &format!("{stage}memory = \"8M\""),
        "unknown key `memory`",
        "line 4",
        "above all stages",
    );
    refused("[stages]", "unknown key `stages`", "line 2", "begins with `[[stage]]`");
    refused("\"\\u001b[31m\" = 1", "unknown key `\\u{1b}[31m`", "line 2", "the keys here");
}

#[test]
fn values_are_refused_with_what_to_write() {
    let top = |line: &str, what: &str, hint: &str| refused(line, what, "line 2", hint);
    top("memory = \"64kb\"", "invalid size `64kb` for `memory`", "write `64KiB`");
    top("memory = 64", "invalid value for `memory`: a number, not a text", "`memory = \"64MiB\"`");
    top("memory = \"0\"", "invalid size `0` for `memory`", "at least 1");
    top("total = \"2%\"", "invalid size for `total`: a part", "2GiB");
    top("stall = \"5\"", "invalid time `5` for `stall`", "write `5s`");
    top("rate = \"10MBps\"", "invalid rate `10MBps` for `rate`", "write `10MB/s`");
    top("strict = \"yes\"", "invalid value for `strict`: a text, not a switch", "`strict = true`");
    top("name = [\"a\"]", "invalid value for `name`: a list, not a text", "`name = \"nightly\"`");
    top("stage = 1", "`stage` is no list of tables", "`[[stage]]`");
    top("stage = []", "`p.toml` has no stage", "`[[stage]]`");
    top("stage = [1]", "a stage is no table", "`[[stage]]`");
    top("[stage]", "`stage` is no list of tables", "`[[stage]]`");
    refused("", "`p.toml` has no stage", "", "`[[stage]]`");
}

#[test]
fn stages_are_refused_with_what_to_write() {
    let stage = |lines: &str, what: &str, hint: &str| {
        refused(&format!("[[stage]]\n{lines}"), what, "`p.toml`, line ", hint);
    };
    stage("", "stage 1 does nothing", "one of `exec`, `shell`");
    stage("shell = \"a\"\nto = \"b\"", "stage 1 has `shell` and `to`", "two things are two");
    stage("shell = \" \"", "`shell` is empty", "leave out");
    stage("exec = []", "`exec` is empty", "leave out");
    stage("exec = \"a b\"", "invalid value for `exec`: a text, not a list", "[\"zstd\", \"-3\"]");
    stage("exec = [\"a\", 3]", "invalid value for `exec`: a number in it", "write texts");
    stage("exec = [\"a\\u0000b\"]", "a NUL byte in `exec`", "no argument");
    stage("to = \"a\\u0000b\"", "a NUL byte in `to`", "no name");
    stage("shell = \"a\"\nid = \"a>b\"", "invalid id `a>b`", "letters, digits");
    stage("shell = \"a\"\nid = \"\"", "invalid id ``", "letters, digits");
    stage("shell = \"a\"\noverwrite = true", "`overwrite` is for a stage with `to`", "leave out");
    stage("from = \"a\"\ntank = \"1M\"", "`tank` is not for a stage with `from`", "leave out");
    stage("to = \"a\"\nstderr = \"drop\"", "`stderr` is for a stage with `exec` or `shell`", "");
    stage("shell = \"a\"\nstderr = \"dorp\"", "invalid value `dorp` for `stderr`", "mean `drop`?");
    stage("shell = \"a\"\nstderr = \"file:\"", "`file:` has no path", "file:PATH");
    stage("to = \"a\"\ntank = { items = 9 }", "tanks of commands count bytes, not items", "8MiB");
    refused(
        "[[stage]]\nid = \"a\"\nshell = \"x\"\n[[stage]]\nid = \"a\"\nshell = \"y\"",
        "two stages have the id `a`",
        "stage 1 in `p.toml`, line 2: [[stage]]; stage 2 in `p.toml`, line 5: [[stage]]",
        "an id of its own",
    );
    // the number of a stage without an id is an id, too
    refused(
        "[[stage]]\nid = \"2\"\nshell = \"x\"\n[[stage]]\nshell = \"y\"",
        "two stages have the id `2`",
        "line 5",
        "an id of its own",
    );
}

#[test]
fn another_version_is_refused_before_its_keys() {
    for (text, what) in [
        ("", "`version` is missing in `p.toml`"),
        ("brand_new = 1", "`version` is missing in `p.toml`"),
        ("version = 2\nbrand_new = 1", "version 2 of pipeline files is unknown"),
        ("version = 0x1", "version 0x1 of pipeline files is unknown"),
        ("version = \"1\"", "invalid value for `version`"),
    ] {
        let error = read(text).expect_err(what);
        assert_eq!(error.what, what);
        assert!(error.hint.unwrap_or_default().contains("`version = 1`"), "{text}");
    }
}

#[test]
fn what_is_no_toml_is_refused_and_bounded() {
    let deep = |open: &str, close: &str| {
        let nested = format!("a = {}1{}", open.repeat(100_000), close.repeat(100_000));
        read(&nested).expect_err("nobody nests like that")
    };
    for error in [deep("[", "]"), deep("{a=", "}")] {
        assert!(error.what.starts_with("`p.toml` is no TOML: "), "{}", error.what);
        assert!(error.details[0].len() < 200, "{}", error.details[0]);
    }
    for text in ["version = 1\nversion = 1", "a = ", "\0", "a = \"\u{1}\"", "[[stage]", "= 1", "{}"]
    {
        let error = read(text).expect_err(text);
        assert!(error.what.starts_with("`p.toml` is no TOML: "), "{}", error.what);
        assert!(error.details[0].starts_with("in `p.toml`, line "), "{:?}", error.details);
    }
}

#[test]
fn stdin_holds_the_pipeline_or_the_data() {
    let saved = |work: Work| Saved {
        stages: vec![SavedStage { work, ..read(FULL).expect("right").stages.remove(0) }],
        ..Saved::default()
    };
    let typed = |from: Option<&str>| Typed { from: from.map(Into::into), ..Typed::default() };
    let shell = saved(Work::Shell("cat".into()));
    assert!(check_stdin(&typed(None), &shell).is_err());
    assert!(check_stdin(&typed(Some("-")), &shell).is_err());
    assert!(check_stdin(&typed(Some("x")), &shell).is_ok());
    assert!(check_stdin(&typed(None), &saved(Work::From("fd:0".into()))).is_err());
    assert!(check_stdin(&typed(None), &saved(Work::From("x".into()))).is_ok());
}

#[test]
fn no_text_is_too_strange_to_be_read_or_refused() {
    // equal seeds give equal texts
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % 1_000_003).expect("it is small") % limit
    };
    let marks =
        ["[[", "]", "{", "}", "\"", "'", "\n", ",", ".", "=", "#", "\\", "\u{feff}", "é", "1"];
    let (mut good, mut bad) = (0, 0);
    for _ in 0..5000 {
        let mut text: Vec<char> = FULL.chars().collect();
        for _ in 0..=below(3) {
            let at = below(text.len());
            match below(3) {
                0 => drop(text.drain(at..(at + 1 + below(6)).min(text.len()))),
                1 => drop(text.splice(at..at, marks[below(marks.len())].chars())),
                _ => {
                    let copied: Vec<char> =
                        text[below(at + 1)..].iter().copied().take(20).collect();
                    drop(text.splice(at..at, copied));
                }
            }
        }
        match read(&text.into_iter().collect::<String>()) {
            Ok(saved) => {
                assert!(!saved.stages.is_empty());
                good += 1;
            }
            Err(error) => {
                assert!(!error.what.is_empty() && error.hint.is_some(), "{error:?}");
                bad += 1;
            }
        }
    }
    assert!(good > 100 && bad > 1000, "{good} are read, {bad} refused");
}
