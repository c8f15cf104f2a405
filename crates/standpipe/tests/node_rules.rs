//! Node's rules of streams, one by one: where standpipe's Node mode has the same
//! numbers, and where it is better on purpose.
//!
//! A test is named after its rule in `docs/node.md`. Those in `same` play a
//! small scenario through the runner of the example `node_trace` and compare
//! every step; those in `better` use the library directly.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde_json::{Value, json};

#[path = "../examples/node_trace/main.rs"]
#[expect(dead_code, reason = "its `main` is for the example")]
mod node_trace;

#[path = "node/better.rs"]
mod better;
#[path = "node/same_chain.rs"]
mod same_chain;
#[path = "node/same_readable.rs"]
mod same_readable;
#[path = "node/same_tank.rs"]
mod same_tank;
#[path = "node/same_writable.rs"]
mod same_writable;

/// An op in shorthand: `write 4`, `destroy X@1`, `unpipe 1/0`, `flood 1 2`; `-`
/// is null.
fn op(text: &str) -> Value {
    let mut words = text.split_whitespace();
    let name = words.next().expect("an op has a name");
    let mut op = json!({"op": name});
    let mut set = |key: &str, value: Value| op[key] = value;
    let number = |word: &str| word.parse::<u64>().expect("a number");
    match (name, words.next()) {
        ("flood", Some(first)) => {
            set("sizes", std::iter::once(first).chain(words).map(number).collect());
        }
        ("destroy", Some(word)) => {
            let (message, at) = word.split_once('@').unwrap_or((word, ""));
            set("msg", if message == "-" { Value::Null } else { message.into() });
            if !at.is_empty() {
                set("at", number(at).into());
            }
        }
        ("unpipe", Some(word)) => {
            let (at, from) = word.split_once('/').expect("AT/FROM");
            set("at", number(at).into());
            set("from", number(from).into());
        }
        (_, Some("-")) => set("n", Value::Null),
        (_, Some(word)) => set("n", number(word).into()),
        (_, None) => {}
    }
    op
}

/// A node in shorthand: its type, its marks, `obj` for objects, and fields as
/// in scenarios: `transform 2/4 obj failAt=1`.
fn node(text: &str) -> Value {
    let mut words = text.split_whitespace();
    let mut node = json!({"type": words.next()});
    let marks = words.next().expect("a node has marks");
    let number = |word: &str| Value::from(word.parse::<u64>().expect("a number"));
    match marks.split_once('/') {
        Some((write, read)) => {
            node["whwm"] = number(write);
            node["rhwm"] = number(read);
        }
        None => node["hwm"] = number(marks),
    }
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => node[key] = serde_json::from_str(value).expect("JSON"),
            None => node[word] = true.into(),
        }
    }
    node
}

/// Plays a scenario. `kind` may add how the consumer reads (`readable flow`) or
/// that the last node is kept open (`pipe kept`).
fn play(kind: &str, nodes: &str, ops: &str) -> Vec<String> {
    let mut words = kind.split_whitespace();
    let nodes: Vec<Value> = nodes.split('|').map(node).collect();
    let ops: Vec<Value> = ops.split(';').map(op).collect();
    let mut scenario =
        json!({"id": "x", "class": "B", "kind": words.next(), "nodes": nodes, "ops": ops});
    match words.next() {
        Some("kept") => scenario["end"] = false.into(),
        Some("flow") => scenario["consumer"] = json!({"mode": "flow"}),
        Some("iterate") => scenario["consumer"] = json!({"mode": "iterate", "delays": [99]}),
        _ => {}
    }
    let mut out = Vec::new();
    let text = scenario.to_string();
    node_trace::run_text("x", text.as_bytes(), node_trace::run::Level::B, &mut out)
        .expect("the scenario makes sense");
    let out = String::from_utf8(out).expect("traces are text");
    let parse = |line| serde_json::from_str(line).expect("a trace line is JSON");
    out.lines().skip(1).map(|line| show(&parse(line))).collect()
}

/// A trace line in shorthand: what happened, the states, the events.
fn show(line: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(word).collect()
    };
    let mut words = Vec::new();
    if line["final"] == true {
        words.push(String::from("final"));
        for node in line["nodes"].as_array().into_iter().flatten() {
            words.push(word(&node["outcome"]));
            words.extend(
                node["cbs"].as_str().filter(|cbs| !cbs.is_empty()).map(|cbs| cbs.replace(' ', ",")),
            );
            words.extend(node["in"].as_u64().map(|count| format!("in={count}")));
        }
        words.extend(line["pl"].as_str().map(|result| format!("pl={result}")));
        return words.join(" ");
    }
    let name = line["fire"].as_str().or_else(|| line["op"].as_str()).unwrap_or_default();
    let returned = line.get("ret").map_or_else(String::new, |value| format!("={value}"));
    words.push(format!("{name}{returned}"));
    words.extend(list(&line["st"]));
    for (channel, entries) in line["ev"].as_object().into_iter().flatten() {
        words.push(format!("{channel}({})", list(entries).join(" ")));
    }
    words.join(" ")
}

/// Polls once.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Plays a scenario and compares every step.
#[track_caller]
fn check(kind: &str, nodes: &str, ops: &str, want: &str) {
    let want: Vec<&str> = want.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(play(kind, nodes, ops), want);
}

/// Plays a scenario and compares its end.
#[track_caller]
fn check_end(kind: &str, nodes: &str, ops: &str, want: &str) {
    let want: Vec<&str> = want.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let got = play(kind, nodes, ops);
    assert_eq!(got[got.len() - want.len()..], want);
}

/// A file of this package.
fn read(path: &str) -> String {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let path = std::path::Path::new(&root).join(path);
    std::fs::read_to_string(&path).expect("it is there")
}

/// A page of tests is right only as long as something compares it.
#[test]
fn the_page_names_every_test_and_no_other() {
    let page = read("../../docs/node.md");
    let mut named: Vec<&str> = page.split('`').filter(|part| part.contains("::r")).collect();
    let mut tests = Vec::new();
    for module in ["better", "same_chain", "same_readable", "same_tank", "same_writable"] {
        let source = read(&format!("tests/node/{module}.rs"));
        let names = source.split("#[test]").skip(1).filter_map(|test| {
            test.split_once("fn ")?.1.split('(').next().map(|name| format!("{module}::{name}"))
        });
        tests.extend(names);
    }
    named.sort_unstable();
    named.dedup();
    tests.sort_unstable();
    assert_eq!(named, tests);
    assert_eq!(page.lines().filter(|line| line.starts_with("| R")).count(), 121, "rules");
}

/// A wish is answered by a test that is there.
#[test]
fn the_page_names_a_test_for_each_wish() {
    let page = read("../../docs/node.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| W")).collect();
    assert_eq!(rows.len(), 25, "wishes");
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let source = read(&format!("tests/{}", cells[3]));
        assert!(source.contains(cells[4]), "{row}");
    }
}
