//! Does what a run reports about itself hold?
//!
//! Every run of the command that the tests start writes its events to a file beside the tests, and that file is
//! held to the schema here: so each situation is one for the events as well.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use std::os::unix::process::ExitStatusExt;

use serde_json::Value;

/// The variable by which a test finds the events of the command it started; the command knows nothing of it.
pub(crate) const VARIABLE: &str = "STANDPIPE_TEST_EVENTS";

pub(crate) const SCHEMA: &str = include_str!("../../events.schema.json");

/// A file that does not exist yet.
pub(crate) fn fresh() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("events-{}-{number}.jsonl", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The events of a run that was started with `command`.
pub(crate) fn of(command: &Command) -> Option<PathBuf> {
    let set = command.get_envs().find(|(name, _)| *name == VARIABLE)?;
    set.1.map(PathBuf::from)
}

/// Parses lines and holds each of them to the schema.
#[track_caller]
pub(crate) fn valid(text: &str) -> Vec<Value> {
    let mut compiler = boon::Compiler::new();
    compiler.enable_format_assertions();
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    compiler.add_resource("events", schema).expect("the name is free");
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("events", &mut schemas).expect("the schema is one");
    let parse = |line: &str| {
        let event: Value = serde_json::from_str(line).expect(line);
        let fault = schemas.validate(&event, index).err().map(|error| error.to_string());
        assert_eq!(fault, None, "{line}");
        event
    };
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole:\n{text}");
    text.lines().map(parse).collect()
}

/// Holds all events in a file to what is promised of them, and removes it. The status is that of the only run.
#[track_caller]
pub(crate) fn check(file: &Path, status: Option<ExitStatus>) -> Vec<Value> {
    let Ok(text) = std::fs::read_to_string(file) else {
        // Only what cannot be read as a run, or is none, leaves no record.
        let code = status.and_then(|status| status.code());
        assert!(matches!(code, None | Some(0 | 125)), "no events, but {status:?}");
        return Vec::new();
    };
    std::fs::remove_file(file).expect("it is ours");
    let killed = status.and_then(|status| status.signal()) == Some(9);
    let events = valid(&text);
    let mut runs: Vec<&Value> = events.iter().map(|event| &event["run"]).collect();
    runs.sort_by_key(|run| run.to_string());
    runs.dedup();
    for run in &runs {
        let of_run: Vec<&Value> = events.iter().filter(|event| event["run"] == **run).collect();
        let ends = of_run.iter().filter(|event| event["event"] == "end").count();
        if killed {
            assert_eq!(ends, 0, "{text}");
            continue;
        }
        let last = of_run.last().expect("a run has a line");
        assert_eq!((ends, &last["event"]), (1, &Value::from("end")), "{status:?}: {text}");
        consistent(&of_run, &text);
    }
    if let (Some(status), [_], false) = (status, runs.as_slice(), killed) {
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        let end = events.last().expect("it was looked at");
        assert_eq!(end["exit_code"].as_i64(), code.map(i64::from), "{text}");
        let expected = match (status.code(), end["status"].as_str()) {
            (Some(0), status) => status == Some("ok"),
            (Some(124), status) => matches!(status, Some("timeout" | "stalled" | "failed")),
            (Some(_), status) => status == Some("failed"),
            (None, status) => status == Some("interrupted"),
        };
        assert!(expected, "{status}, but {end}");
    }
    events
}

/// What the schema cannot say.
#[track_caller]
fn consistent(events: &[&Value], text: &str) {
    let named = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    let end = events.last().expect("a run has a line");
    assert_eq!(end["failed"].is_null(), end["status"] == "ok", "{text}");
    if end["complete"] == true {
        assert_eq!(end["status"], "ok", "{text}");
    }
    let Some(start) = named("start").next() else { return };
    assert_eq!(events[0]["event"], "start", "{text}");
    let ids: Vec<&Value> =
        start["stages"].as_array().into_iter().flatten().map(|stage| &stage["id"]).collect();
    let mut exits: Vec<&Value> = named("stage_exit").map(|exit| &exit["stage"]).collect();
    exits.sort_by_key(|id| ids.iter().position(|known| known == id));
    assert_eq!(exits, ids, "each stage ends once:\n{text}");
    let (mut seq, mut elapsed, mut bytes) = (0, 0, 0);
    for sample in named("sample") {
        let number = |value: &Value| value.as_u64().expect("the schema says so");
        assert!(number(&sample["seq"]) > seq && number(&sample["elapsed_ms"]) >= elapsed, "{text}");
        assert!(number(&sample["bytes_out"]) >= bytes, "{text}");
        (seq, elapsed, bytes) =
            (number(&sample["seq"]), number(&sample["elapsed_ms"]), number(&sample["bytes_out"]));
        for stage in sample["stages"].as_array().into_iter().flatten() {
            let share = |name: &str| stage[name].as_f64().expect("the schema says so");
            let sum = share("busy") + share("paused") + share("starved");
            // A stage that did not run in that interval has no shares.
            assert!((sum - 1.0).abs() < 0.001 || sum == 0.0, "{stage}");
        }
    }
    assert!(seq > 0, "there is a last sample:\n{text}");
    assert_eq!(end["bytes_out"].as_u64(), Some(bytes), "{text}");
}
