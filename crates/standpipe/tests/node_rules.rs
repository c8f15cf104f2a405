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

/// The rows of the page whose first cell is this letter and a number.
fn rows<'a>(page: &'a str, letter: &str) -> Vec<Vec<&'a str>> {
    page.lines()
        .filter(|line| line.starts_with(&format!("| {letter}")))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// Names of the functions in a source that are tests, whoever runs them.
fn tests_in(source: &str) -> Vec<&str> {
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")
            && std::mem::take(&mut is_test)
        {
            tests.extend(name.split('(').next());
        }
    }
    tests
}

/// What is between back quotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A page of tests is right only as long as something compares it.
#[test]
fn the_page_names_every_test_and_no_other() {
    let page = read("../../docs/node.md");
    let mut named: Vec<String> = rows(&page, "R")
        .iter()
        .flat_map(|row| quoted(row.last().expect("a row has cells")))
        .map(str::to_owned)
        .collect();
    let mut tests = Vec::new();
    for module in ["better", "same_chain", "same_readable", "same_tank", "same_writable"] {
        let source = read(&format!("tests/node/{module}.rs"));
        tests.extend(tests_in(&source).iter().map(|name| format!("{module}::{name}")));
    }
    named.sort_unstable();
    named.dedup();
    tests.sort_unstable();
    assert_eq!(named, tests);
}

/// Every rule is there once, in order, with what its marker promises: a test of
/// the rule's own number where the behaviour is Node's, one in `better` where it
/// is not, a sentence and no test where there can be none.
#[test]
fn the_page_shows_each_rule_as_its_marker_says() {
    let page = read("../../docs/node.md");
    let rows = rows(&page, "R");
    let ids: Vec<String> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(ids, (1..=121).map(|n| format!("R{n}")).collect::<Vec<_>>());
    let cannot = page.split("## What cannot be written").nth(1).expect("the section");
    for row in rows {
        let [id, marker, says, tests] = row[..] else { panic!("four cells: {row:?}") };
        assert!(says.len() > 10, "{id} says something");
        let tests = quoted(tests);
        let number = format!("r{:0>2}_", &id[1..]);
        let shows = |test: &str| {
            let name = test.split("::").nth(1).unwrap_or_default();
            // one test may show several rules, and says so in its name
            name.starts_with(&number) || name.contains(&format!("_{number}"))
        };
        let same = tests.iter().any(|test| test.starts_with("same_") && shows(test));
        let better = tests.iter().any(|test| test.starts_with("better::"));
        let own = tests.iter().any(|test| shows(test));
        match marker {
            "same" => assert!(same, "{id} has no test that shows Node's behaviour"),
            "same+better" => assert!(same && better, "{id} needs a test of either"),
            "better" => assert!(own, "{id} has no test that shows what is better"),
            "type" => {
                let told = cannot.contains(&format!("**{id}**"));
                assert!(tests.is_empty() && told, "{id}: why can it not be written?");
            }
            "js" => assert!(tests.is_empty(), "{id} is out of scope"),
            other => panic!("{id}: no marker `{other}`"),
        }
    }
}

/// A wish is answered by a test that is there.
#[test]
fn the_page_names_a_test_for_each_wish() {
    let page = read("../../docs/node.md");
    let rows = rows(&page, "W");
    let ids: Vec<String> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(ids, (1..=25).map(|n| format!("W{n}")).collect::<Vec<_>>());
    for row in rows {
        let [id, complaint, file, test] = row[..] else { panic!("four cells: {row:?}") };
        assert!(!complaint.is_empty(), "{id}");
        let source = read(&format!("tests/{file}"));
        // the programs of the guide are tests by a macro
        let by_macro =
            file == "guide.rs" && source.contains(&format!("    {test}: \"../examples/"));
        assert!(by_macro || tests_in(&source).contains(&test), "{id}: {file} has no test `{test}`");
    }
}
