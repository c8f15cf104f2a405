//! Plans of typed command lines, and what is refused.

use super::*;
use crate::args::{Request, parse};

const ENVIRONMENT: Environment =
    Environment { stdin_is_terminal: true, memory_limit_bytes: Some(1_000_000_000) };

fn plan(line: &[&str]) -> Result<Plan, UsageError> {
    match parse(line.iter().map(OsString::from), &ENVIRONMENT)? {
        Request::Run(typed) => Plan::new(*typed, &ENVIRONMENT),
        other => panic!("{line:?}: {other:?}"),
    }
}

/// Writes the stages as `from:LABEL`, `sh:LABEL`, `run:LABEL`, `to:LABEL`.
#[track_caller]
fn check(line: &[&str], expected: &[&str]) {
    let plan = plan(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let told = |stage: &StagePlan| match &stage.kind {
        StageKind::Builtin(_) | StageKind::Tee { .. } => format!("in:{}", stage.label),
        StageKind::Source(_) => format!("from:{}", stage.label),
        StageKind::Sink { .. } => format!("to:{}", stage.label),
        StageKind::Command(CommandLine::Shell(_)) => format!("sh:{}", stage.label),
        StageKind::Command(CommandLine::Argv(_)) => format!("run:{}", stage.label),
    };
    assert_eq!(plan.stages.iter().map(told).collect::<Vec<_>>(), expected, "{line:?}");
    assert_eq!(plan.tanks.len(), plan.stages.len() - 1);
    let is_end =
        |stage: &StagePlan| matches!(stage.kind, StageKind::Source(_) | StageKind::Sink { .. });
    assert_eq!(plan.filter, plan.stages.iter().all(is_end));
}

#[track_caller]
fn refused(line: &[&str], what: &str, hint: &str) {
    let error = plan(line).expect_err(what);
    assert_eq!(error.what, what, "{line:?}");
    let given = error.hint.unwrap_or_default();
    assert!(given.contains(hint), "{line:?}: {given:?}, expected {hint:?}");
}

#[test]
fn stages_are_put_in_order() {
    check(&["run"], &["from:stdin", "to:stdout"]);
    check(&["-i", "a"], &["from:a", "to:stdout"]);
    check(&["-i", "a", "-o", "b"], &["from:a", "to:b"]);
    check(&["-i", "-", "-o", "-"], &["from:stdin", "to:stdout"]);
    check(&["-c", "a"], &["sh:a"]);
    check(&["-c", "a | b -x"], &["sh:a", "sh:b -x"]);
    check(&["-i", "f", "-o", "null:", "-c", "a"], &["from:f", "sh:a", "to:null:"]);
    check(&["--", "a", "b", "::", "c"], &["run:a b", "run:c"]);
}

#[test]
fn ends_may_be_stages() {
    check(&["--", "tcp://h:1", "::", "a"], &["from:tcp://h:1", "run:a"]);
    check(&["--", "a", "::", "null:"], &["run:a", "to:null:"]);
    check(&["--", "zero:5", "::", "file:///x"], &["from:zero:5", "to:/x"]);
    check(&["--", "zero:5"], &["from:zero:5", "to:stdout"]);
    check(&["-i", "f", "--", "null:"], &["from:f", "to:null:"]);
    check(&["--", "a", "tcp://h:1"], &["run:a tcp://h:1"]);
    check(&["--", "./tcp://h:1", "::", "a:b"], &["run:./tcp://h:1", "run:a:b"]);
    refused(
        &["-i", "f", "--", "zero:5", "::", "a"],
        "stage 1 `zero:5` is an end, and `--from` is another",
        "leave out",
    );
    refused(
        &["-o", "f", "--", "a", "::", "null:"],
        "stage 2 `null:` is an end, and `--to` is another",
        "leave out",
    );
    refused(
        &["--", "a", "::", "null:", "::", "b"],
        "stage 2 `null:` is an end in the middle",
        "the first or the last",
    );
    refused(&["--", "foo://x", "::", "a"], "unknown scheme `foo` in `foo://x`", "`tcp://`");
    refused(&["--", "a", "::", "zero:"], "`zero:` can only be read", "`null:`");
}

#[test]
fn programs_have_names() {
    refused(&["--", ""], "the program of stage 1 is empty", "name or path");
}

#[test]
fn built_ins_stand_between_two_tanks() {
    check(&["--", "@gzip"], &["from:stdin", "in:@gzip", "to:stdout"]);
    check(&["--", "a", "::", "@gzip", "9"], &["run:a", "in:@gzip 9", "to:stdout"]);
    check(&["--", "@gzip", "::", "a"], &["from:stdin", "in:@gzip", "run:a"]);
    check(&["-i", "f", "-o", "g", "--", "@lz4"], &["from:f", "in:@lz4", "to:g"]);
    check(&["--", "./@gzip"], &["run:./@gzip"]);
    check(&["-c", "@gzip"], &["sh:@gzip"]);
    refused(&["--", "a", "::", "@gzpi"], "stage 2: there is no built-in `@gzpi`", "`@gzip`?");
}

#[test]
fn labels_are_safe_to_show() {
    check(&["--", "ssh", "backup", "cat > x"], &["run:ssh backup 'cat > x'"]);
    check(&["--", "a", ""], &["run:a ''"]);
    check(&["-c", "echo '\x1b[31m' \u{202e}"], &["sh:echo '\\u{1b}[31m' \\u{202e}"]);
    check(&["-c", "curl ftp://me:pw@h/x"], &["sh:curl ftp://***@h/x"]);
    check(&["-i", "a\nb"], &["from:a\\nb", "to:stdout"]);
    let plan = plan(&["-n", "x\x07", "run"]).expect("a plan");
    assert_eq!(plan.name.as_deref(), Some("x\\u{7}"));
}

#[test]
fn files_are_published_as_asked() {
    let publish = |line: &[&str]| match plan(line)?.stages.pop().map(|stage| stage.kind) {
        Some(StageKind::Sink { publish, .. }) => Ok::<_, UsageError>(publish),
        other => panic!("{other:?}"),
    };
    assert_eq!(publish(&["-o", "x"]), Ok(Publish::Refuse));
    assert_eq!(publish(&["-o", "x", "--overwrite"]), Ok(Publish::Overwrite));
    assert_eq!(publish(&["--append", "--", "a", "::", "file:///x"]), Ok(Publish::Append));
    refused(
        &["-o", "x", "--overwrite", "--append"],
        "`--overwrite` and `--append` contradict each other",
        "leave out",
    );
    refused(&["--append", "-c", "a"], "`--append` needs `--to`", "`--to FILE`");
    refused(
        &["--overwrite", "-o", "null:"],
        "`--overwrite` is for a file, not for `null:`",
        "leave out",
    );
    refused(&["-i", "x", "-o", "x", "--append"], "`x` is read and appended to at once", "another");
}

#[test]
fn numbers_are_resolved() {
    let made = plan(&["-m", "2%", "-t", "4M", "--low", "25%", "--total", "1G", "-c", "a | b | c"])
        .expect("a plan");
    assert_eq!(made.memory_bytes, 20_000_000);
    assert_eq!(made.total_bytes, Some(1 << 30));
    assert_eq!(made.tanks[1].id, "2>3");
    assert_eq!(made.tanks[1].high_bytes, 4 << 20);
    assert_eq!(made.tanks[1].low_bytes, Some(1 << 20));
    let made = plan(&["-c", "a | b"]).expect("a plan");
    assert_eq!((made.memory_bytes, made.drain), (64 << 20, Duration::from_secs(10)));
    assert_eq!((made.tanks[0].high_bytes, made.tanks[0].low_bytes), (1 << 20, None));
    refused(
        &["-m", "64M", "-t", "48M", "-c", "a | b | c"],
        "tanks need 96 MiB but `--memory` is 64 MiB",
        "`--memory 96M`",
    );
    let unknown = Environment { memory_limit_bytes: None, ..ENVIRONMENT };
    let typed = Typed { memory: Some(Amount::Percent(2)), ..Typed::default() };
    let error = Plan::new(typed, &unknown).expect_err("no memory to take a part of");
    assert_eq!(error.what, "invalid size `2%` for `--memory`: the memory here is unknown");
}
