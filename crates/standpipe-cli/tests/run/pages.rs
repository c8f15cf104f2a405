//! Does what the documents tell the reader to type do what they say?
//!
//! Every `sh` block of a page is run, one after the other in one shell, in a directory of its own and under `set -e`;
//! what a block says has to be that of the `output` block behind it, if there is one. A `…` there stands for any text,
//! and alone on a line for any lines. The far side of a recipe is here: `ssh` runs its command in `$HOME/far`, a port
//! of a page is a free one of this machine, and `https://data.example` is a server of the test.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::record;
use crate::rig::{BIN, Done, Scratch, feed, run};

/// Said by the shell after each block.
const MARK: char = '\u{1e}';

/// What a machine of the reader has and the test has not. `cargo` has built the command already.
const PRELUDE: &str = r#"
set -e
exec 2>&1
cargo() { case "$*" in "run --release -- "*) shift 3; standpipe "$@" ;; esac; }
"#;

/// An `ssh HOST COMMAND` whose host is a directory.
const SSH: &str = "#!/bin/sh\nshift\ncd \"$HOME/far\" && exec sh -c \"$*\"\n";

/// A fenced block of a page.
struct Block {
    /// Its first line within the page.
    line: usize,
    kind: String,
    text: String,
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::read_to_string(&path).expect(name)
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (at, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(kind) => {
                inside = true;
                let (line, text) = (at + 2, String::new());
                blocks.push(Block { line, kind: kind.to_owned(), text });
            }
            None if inside => {
                let block = blocks.last_mut().expect("one was opened");
                block.text += line;
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// The fields of an object of the schema, each by its path: `memory.used`, `stages[].id`.
fn fields(of: &Value, above: &str, into: &mut Vec<String>) {
    for (name, schema) in of["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}{name}");
        fields(schema, &format!("{path}."), into);
        fields(&schema["items"], &format!("{path}[]."), into);
        into.push(path);
    }
}

/// Whether lines are those that were expected.
fn alike(expected: &[&str], said: &[&str]) -> bool {
    match expected {
        [] => said.is_empty(),
        ["…", rest @ ..] => (0..=said.len()).any(|skipped| alike(rest, &said[skipped..])),
        [line, rest @ ..] => said
            .split_first()
            .is_some_and(|(first, others)| fits(line, first) && alike(rest, others)),
    }
}

/// Whether a line is as expected, with any text in place of each `…`.
fn fits(expected: &str, said: &str) -> bool {
    let Some((head, tail)) = expected.split_once('…') else { return expected == said };
    let Some(rest) = said.strip_prefix(head) else { return false };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| fits(tail, &rest[at..]))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Runs the page; `place` puts what is here in place of what is elsewhere.
#[track_caller]
fn follow(name: &str, place: impl Fn(String) -> String) {
    let blocks = blocks(&page(name));
    let mut script = PRELUDE.to_owned();
    for block in blocks.iter().filter(|block| block.kind == "sh") {
        script += &format!("{}printf '{MARK}\\n'\n", block.text);
    }
    assert!(script.contains(MARK), "{name} has no `sh` block");
    for port in ["9000", "9001"] {
        script = script.replace(port, &free_port().to_string());
    }
    let script = place(script);
    let scratch = Scratch::new();
    for dir in ["bin", "home", "home/far", "here"] {
        fs::create_dir(scratch.path(dir)).expect("it is new");
    }
    symlink(BIN, scratch.path("bin/standpipe")).expect("it is new");
    let ssh = scratch.file("bin/ssh", SSH.as_bytes());
    fs::set_permissions(ssh, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let path = std::env::var("PATH").expect("there is one");
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "120", "sh", "-c", &script])
        .current_dir(scratch.path("here"))
        .env("PATH", format!("{}:{path}", scratch.arg("bin")))
        .env("HOME", scratch.arg("home"))
        .env("TMPDIR", scratch.arg("here"))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let done = run(command);
    compare(name, &blocks, &done);
}

#[track_caller]
fn compare(name: &str, blocks: &[Block], done: &Done) {
    let text = done.text();
    let end = format!("{MARK}\n");
    let mut said = text.split(&end);
    let mut last: Option<&Block> = None;
    let mut output = "";
    for block in blocks {
        match block.kind.as_str() {
            "sh" => {
                output = said.next().unwrap_or_default();
                last = Some(block);
                let whole = text.matches(MARK).count();
                let index = blocks.iter().filter(|b| b.kind == "sh" && b.line < block.line).count();
                assert!(
                    index < whole,
                    "{name}:{}: the shell stopped here with {}:\n{output}{}",
                    block.line,
                    done.status,
                    done.err
                );
            }
            "output" => {
                let of = last.map_or(0, |block| block.line);
                let expected: Vec<&str> = block.text.lines().collect();
                let said: Vec<&str> = output.lines().collect();
                assert!(
                    alike(&expected, &said),
                    "{name}:{}: not what the block at {of} says:\n{output}",
                    block.line
                );
            }
            _ => {}
        }
    }
    assert_eq!(done.code(), 0, "{name}: {}", done.err);
}

#[test]
fn output_is_compared_as_it_is_written() {
    let check = |expected: &str, said: &str, result: bool| {
        let (expected, said): (Vec<&str>, Vec<&str>) =
            (expected.lines().collect(), said.lines().collect());
        assert_eq!(alike(&expected, &said), result, "{expected:?} {said:?}");
    };
    check("a\nb\n", "a\nb\n", true);
    check("a\n", "a\nb\n", false);
    check("a\nb\n", "a\n", false);
    check("a … c … e\n", "a b c d e\n", true);
    check("a … c\n", "a b c d\n", false);
    check("…\nz\n", "a\nb\nz\n", true);
    check("a\n…\n", "a\n", true);
    check("a\n…\nz\n", "a\nb\n", false);
}

#[test]
fn every_block_of_a_page_is_of_a_kind_that_is_tested_or_shows_a_picture() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let entries = fs::read_dir(docs).expect("it is there");
    let mut names: Vec<String> = entries
        .map(|entry| format!("docs/{}", entry.expect("it is readable").file_name().display()))
        .collect();
    names.push("README.md".to_owned());
    let doctests = page("crates/standpipe/src/lib.rs");
    for name in names {
        for block in blocks(&page(&name)) {
            let (line, kind) = (block.line, block.kind.as_str());
            let tested = ["sh", "output", "js", "json"].contains(&kind)
                || (kind.starts_with("rust") && doctests.contains(&format!("../{name}\"")));
            assert!(tested || kind == "text", "{name}:{line}: nobody tests `{kind}`");
        }
    }
}

#[test]
fn what_the_readme_says_can_be_typed() {
    follow("README.md", |script| script);
}

#[test]
fn what_the_page_on_the_command_says_can_be_typed() {
    follow("docs/command.md", |script| script);
}

/// The cells of a row of a table.
fn row(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// Written anew from that page by `STANDPIPE_SNAPSHOTS=write cargo test -p standpipe-cli --test run ratios`.
#[test]
fn the_ratios_in_the_readme_are_those_that_were_measured() {
    let measured = page("docs/performance.md");
    let ratio = |wanted: &[&str]| {
        let sections = measured.split("\n## ").filter(|text| text.starts_with(wanted[0]));
        let tables = sections.flat_map(|text| text.split("\n\n"));
        let found =
            tables.filter(|table| table.starts_with("| case | setting |")).find_map(|table| {
                let heads = row(table.lines().next()?);
                let [against, ratio] = ["against", "ratio"]
                    .map(|head| heads.iter().position(|known| *known == head).expect("a column"));
                let mut rows = table.lines().map(row);
                let is_it = |row: &Vec<&str>| row[..2] == wanted[1..3] && row[against] == wanted[3];
                rows.find(is_it).map(|row| row[ratio])
            });
        assert!(found.is_some(), "no bench measured {wanted:?}");
        found.expect("as asserted")
    };
    let readme = page("README.md");
    let head = "| bench | standpipe | setting | against | ratio |\n";
    let (before, table) = readme.split_once(head).expect("there is a table");
    let end = table.find("\n\n").expect("it ends");
    let lines = table[..end].lines().map(|line| match row(line).as_slice() {
        rule if rule[0].starts_with("---") => line.to_owned(),
        cells => format!("| {} | {} |", cells[..4].join(" | "), ratio(cells)),
    });
    let expected = lines.collect::<Vec<_>>().join("\n");
    if crate::captures::writes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        let text = format!("{before}{head}{expected}{}", &table[end..]);
        fs::write(path, text).expect("it is written");
        return;
    }
    assert_eq!(&table[..end], expected, "docs/performance.md says otherwise");
}

#[test]
fn what_is_said_to_those_who_come_from_pv_and_mbuffer_can_be_typed() {
    follow("docs/from-pv-and-mbuffer.md", |script| script);
}

#[test]
fn what_node_is_said_to_do_it_does() {
    let blocks = blocks(&page("docs/from-node-streams.md"));
    let programs: Vec<&Block> = blocks.iter().filter(|block| block.kind == "js").collect();
    assert!(!programs.is_empty(), "there are programs on that page");
    for block in programs {
        let mut node = Command::new("node");
        node.args(["--input-type=module", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let done = feed(node, block.text.clone().into_bytes());
        assert_eq!(done.code(), 0, "docs/from-node-streams.md:{}: {}", block.line, done.err);
    }
}

#[cfg(feature = "http")]
#[test]
fn the_recipes_can_be_typed() {
    use crate::http::{ETAG, begun, part};
    use crate::server::Server;
    let bytes = crate::rig::noise(3_000_000);
    let (first, second) = (1_000_000, 2_000_000);
    let server = Server::start(vec![
        begun(bytes.clone(), first, ETAG),
        part(bytes.clone(), second),
        part(bytes.clone(), bytes.len()),
    ]);
    follow("docs/cookbook.md", |script| script.replace("https://data.example", &server.uri("")));
    assert_eq!(server.heads().len(), 3, "it was cut twice");
}

#[test]
fn what_the_page_on_json_says_can_be_typed() {
    follow("docs/json.md", |script| script);
}

#[test]
fn the_page_on_json_names_every_event_and_field_of_the_schema_and_no_other() {
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    let mut want = |event: &str, of: &Value| {
        let mut paths = Vec::new();
        fields(of, "", &mut paths);
        expected.extend(paths.into_iter().map(|path| (event.to_owned(), path)));
    };
    let schema: Value = serde_json::from_str(record::SCHEMA).expect("the schema is JSON");
    want("Every line", &schema);
    for part in schema["allOf"].as_array().expect("one for each event") {
        let event = part["if"]["properties"]["event"]["const"].as_str().expect("a name");
        want(&format!("`{event}`"), &part["then"]);
    }
    let events = schema["properties"]["event"]["enum"].as_array().expect("all events").len();
    let page = page("docs/json.md");
    let mut found = BTreeSet::new();
    for section in page.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        let table = section.split("| field | is | meaning |").nth(1).unwrap_or_default();
        for row in table.trim_start().lines().take_while(|line| line.starts_with('|')) {
            let name = row.strip_prefix("| `").and_then(|rest| rest.split_once('`'));
            found.extend(name.map(|(name, _)| (title.to_owned(), name.to_owned())));
        }
    }
    let named: BTreeSet<&String> = found.iter().map(|(event, _)| event).collect();
    assert_eq!(named.len(), events + 1, "a section for each event: {named:?}");
    let missing: Vec<_> = expected.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

#[test]
fn the_page_on_json_names_every_code_of_a_warning_and_every_kind_of_failure() {
    let schema: Value = serde_json::from_str(record::SCHEMA).expect("the schema is JSON");
    let of = |event: &str| {
        let mut parts = schema["allOf"].as_array().into_iter().flatten();
        let part = parts.find(|part| part["if"]["properties"]["event"]["const"] == event);
        part.expect("it is an event")["then"]["properties"].clone()
    };
    let page = page("docs/json.md");
    let rows = |starts: &str| -> String {
        let lines = page.lines().skip_while(|line| !line.starts_with(starts));
        lines.take_while(|line| line.starts_with('|')).collect::<Vec<_>>().join("\n")
    };
    for (table, listed) in [
        (rows("| code | about |"), &of("warning")["code"]["description"]),
        (rows("| `failed.kind` |"), &of("end")["failed"]["properties"]["kind"]["description"]),
    ] {
        let listed = listed.as_str().expect("it is described");
        let names: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        assert!(names.len() > 5, "{listed}");
        for name in names {
            assert!(table.contains(&format!("`{name}`")), "{name} is missing in\n{table}");
        }
    }
}

#[test]
fn the_run_on_the_page_on_json_is_one() {
    let shown = blocks(&page("docs/json.md")).into_iter().find(|block| block.kind == "json");
    let events = record::valid(&shown.expect("there is an example").text);
    let named = |at: usize| events[at]["event"].as_str().unwrap_or_default();
    assert_eq!((named(0), named(events.len() - 1)), ("start", "end"));
    assert!(events.iter().all(|event| event["run"] == events[0]["run"]));
}
