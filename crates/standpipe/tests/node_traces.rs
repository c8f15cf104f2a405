//! Does a tank in Node mode do what Node does, step by step?
//!
//! `node/golden` holds scenarios and what Node's streams did in them. The
//! runner is the example `node_trace`, compiled into this test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[path = "../examples/node_trace/main.rs"]
#[expect(dead_code, reason = "its `main` is for the example")]
mod node_trace;

/// One scenario's trace: the lines, with numbers in one spelling.
type Trace = Vec<Value>;

fn golden(name: &str) -> PathBuf {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    Path::new(&root).join("tests/node/golden").join(name)
}

/// 1.0 is 1, as in any JSON reader with one number type.
fn one_spelling(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_u64().is_none() => {
            let float = number.as_f64().expect("a number");
            if float.fract() == 0.0 { Value::from(format!("{float:.0}")) } else { number.into() }
        }
        Value::Number(number) => Value::from(number.to_string()),
        Value::Array(list) => list.into_iter().map(one_spelling).collect(),
        Value::Object(map) => map.into_iter().map(|(key, v)| (key, one_spelling(v))).collect(),
        other => other,
    }
}

/// Traces by scenario. The order of keys does not matter, all else does.
fn traces(text: &str) -> BTreeMap<String, Trace> {
    let mut traces: BTreeMap<String, Trace> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).expect("a trace line is JSON");
        if let Some(id) = line.get("scenario").and_then(Value::as_str) {
            assert!(!traces.contains_key(id), "scenario {id} for the second time");
            current = Some(id.to_owned());
        }
        let id = current.clone().expect("a header comes first");
        traces.entry(id).or_default().push(one_spelling(line));
    }
    traces
}

fn run(args: &[&str]) -> Result<String, String> {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let mut out = Vec::new();
    node_trace::run_files(&args, &mut out)?;
    Ok(String::from_utf8(out).expect("traces are text"))
}

/// Compares every scenario of a golden file; `kinds` are those it must hold.
#[track_caller]
fn check(name: &str, level: &str, kinds: &[&str]) {
    let scenarios = golden(&format!("{name}.scenarios.jsonl"));
    let expected = std::fs::read_to_string(golden(&format!("{name}.traces.jsonl")));
    let expected = expected.expect("golden traces are there");
    let scenarios = scenarios.to_str().expect("a path in UTF-8");
    let got = run(&["--level", level, scenarios]).expect("golden scenarios make sense");
    let (want, got) = (traces(&expected), traces(&got));
    assert_eq!(
        want.keys().collect::<Vec<_>>(),
        got.keys().collect::<Vec<_>>(),
        "the same scenarios"
    );
    let mut compared: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, want) in &want {
        let kind = want[0]["kind"].as_str().expect("a header names the kind");
        *compared.entry(kind).or_default() += 1;
        if want.last().is_some_and(|last| last["skip"] == true) {
            continue; // nothing is normative there
        }
        let got = &got[id];
        for (index, (want, got)) in want.iter().zip(got).enumerate() {
            assert_eq!(want, got, "{id}, line {} of its trace (left: Node)", index + 1);
        }
        assert_eq!(want.len(), got.len(), "{id}: lines of its trace");
    }
    assert_eq!(compared.into_keys().collect::<Vec<_>>(), kinds, "kinds that are compared");
}

#[test]
fn examples_are_equal_step_by_step() {
    let all = ["merge", "pipe", "pipeline", "readable", "transform", "writable"];
    check("examples", "B", &all);
}

#[test]
fn random_scenarios_are_equal_step_by_step() {
    check("b", "B", &["pipe", "pipeline", "readable", "transform", "writable"]);
}

#[test]
fn random_scenarios_of_loose_timing_have_equal_outcomes() {
    let all = ["merge", "pipe", "pipeline", "readable", "transform", "writable"];
    check("a", "A", &all);
}

#[test]
fn whole_traces_are_cut_to_outcomes_on_request() {
    let scenarios = golden("examples.scenarios.jsonl");
    let out = run(&["--level=A", scenarios.to_str().unwrap()]).unwrap();
    assert_eq!(out.lines().count(), 50, "a header and one line each");
}

/// Runs one line behind a good one and a blank one; expects the reason, and
/// nothing printed for the line.
#[track_caller]
fn malformed(line: &str, reason: &str) {
    let good = r#"{"id":"g","kind":"writable","nodes":[{"type":"sink","hwm":1}],"ops":[]}"#;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("s.jsonl");
    std::fs::write(&file, format!("{good}\n\n{line}\n")).expect("it can be written");
    let file = file.to_str().expect("a path in UTF-8").to_owned();
    let mut out = Vec::new();
    let told = node_trace::run_files(std::slice::from_ref(&file), &mut out);
    assert_eq!(told.expect_err(line), format!("{file}:3: {reason}"));
    assert_eq!(out.split(|byte| *byte == b'\n').count(), 4, "the good one alone");
}

#[test]
fn a_malformed_scenario_is_named_by_file_and_line() {
    let sink = r#"{"type":"sink","hwm":1}"#;
    let ops = |kind: &str, nodes: &str, op: &str| {
        format!(r#"{{"id":"x","kind":"{kind}","nodes":[{nodes}],"ops":[{op}]}}"#)
    };
    malformed("7", "the scenario is not a JSON object");
    malformed(r#"{"id":1}"#, "`id` of the scenario is not a string");
    malformed(r#"{"id":"x"}"#, "the scenario has no `kind`");
    malformed(r#"{"id":"x","kind":"river"}"#, "unknown kind `river`");
    malformed(r#"{"id":"x","kind":"pipe"}"#, "the scenario has no `nodes`");
    malformed(r#"{"id":"x","kind":"pipe","nodes":[]}"#, "the scenario has no `ops`");
    malformed(&ops("pipe", sink, ""), "the nodes do not fit kind pipe");
    malformed(&ops("writable", r#"{"type":"sink"}"#, ""), "node 0 has no `hwm`");
    malformed(&ops("writable", r#"{"type":"tap","hwm":1}"#, ""), "unknown node type `tap`");
    let negative = r#"{"type":"sink","hwm":-1}"#;
    malformed(&ops("writable", negative, ""), "`hwm` of node 0 is not a whole number from 0");
    malformed(&ops("writable", sink, r#"{"op":"jump"}"#), "unknown op `jump`");
    malformed(
        &ops("writable", sink, r#"{"op":"write","n":1.5}"#),
        "`n` of op 0 is not a whole number from 0",
    );
    malformed(
        &ops("writable", sink, r#"{"op":"read"}"#),
        "kind writable has no op `read` here (op 0)",
    );
    malformed(
        &ops("writable", sink, r#"{"op":"destroy","at":1,"msg":null}"#),
        "`at` of op 0 is outside `nodes`",
    );
    malformed(&ops("writable", sink, r#"{"op":"await","ev":"tea"}"#), "unknown ev `tea` of op 0");
    let source = r#"{"type":"source","hwm":1,"mode":"pull"}"#;
    malformed(&ops("readable", source, ""), "unknown mode of node 0");
}

#[test]
fn bad_arguments_are_refused() {
    assert!(run(&[]).unwrap_err().starts_with("no file"));
    assert!(run(&["--level", "C", "x"]).unwrap_err().starts_with("--level wants"));
    assert!(run(&["--depth", "x"]).unwrap_err().starts_with("unknown option"));
    assert!(run(&["no/such/file"]).unwrap_err().starts_with("no/such/file: "));
}
