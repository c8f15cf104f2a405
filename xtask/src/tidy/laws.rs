//! What are the laws, one function each?
//!
//! Every function takes the house and adds the faults it finds. The numbers are those of the table in ARCHITECTURE.md.
//!
//! # Knows / never knows
//! Knows which room may do what. Never knows how a file is read or scanned: `source` and `tidy` do.

use super::source::{Kind, Token, closing, heads, past_colons};
use super::{Fault, File, House, Role};

/// Where every number of a snapshot is explained.
pub(super) const METRICS: &str = "docs/metrics.md";

const MAX_LINES: usize = 600;

/// Rooms without runtime, waker, clock and I/O.
const FLOOR: [&str; 9] =
    ["sim", "tune", "diagnose", "critical", "meter", "gate", "overflow", "weigh", "snapshot"];

/// Names that answer no question.
const EMPTY_NAMES: [&str; 10] = [
    "utils",
    "common",
    "types",
    "traits",
    "helpers",
    "prelude",
    "clock",
    "config",
    "metrics",
    "backpressure",
];

/// Checks one crate against every law it is under.
pub(super) fn check(house: &House<'_>, metrics: Option<&str>, faults: &mut Vec<Fault>) {
    names(house, faults);
    doors(house, faults);
    let futures = named_futures(house);
    for file in house.working() {
        order(house, file, faults);
        size(file, faults);
        if house.role != Role::Chores {
            strangers(house, file, faults);
            spawning(house.role, file, faults);
            printing(house.role, file, faults);
            cancel_safety(file, &futures, faults);
        }
        if house.role == Role::Library && FLOOR.contains(&file.room()) {
            floor(file, faults);
        }
        if house.role == Role::Library && file.room() == "snapshot" {
            explained(file, metrics, faults);
        }
    }
}

/// Law 1: a module names only modules below it, by room.
fn order(house: &House<'_>, file: &File<'_>, faults: &mut Vec<Fault>) {
    if file.path == house.root {
        return; // the root is the list, and stands above all
    }
    let own = file.room();
    let place = |room: &str| house.rooms.iter().position(|r| *r == room);
    let root = super::stem(house.root);
    for named in rooms_named(file) {
        match (place(own), place(named.text)) {
            (_, None) if named.is("*") || named.is("self") => faults.push(file.fault(
                named.line,
                format!("`{own}` takes the whole hall (`crate::{}`)", named.text),
                "name the rooms it needs, as in `crate::gate::Flow`",
            )),
            (_, None) => faults.push(file.fault(
                named.line,
                format!("`{own}` names `crate::{}`, which is no room of {root}.rs", named.text),
                format!("name it by its room: `crate::<room>::{}`", named.text),
            )),
            (Some(mine), Some(other)) if other < mine => faults.push(file.fault(
                named.line,
                format!("`{own}` names `{}`, which stands above it in {root}.rs", named.text),
                format!(
                    "take what it needs as an argument, or move this code up to `{}`",
                    named.text
                ),
            )),
            _ => {}
        }
    }
}

/// Law 2: the floor has no runtime, no waker, no clock, no I/O.
fn floor(file: &File<'_>, faults: &mut Vec<Fault>) {
    let source = &file.source;
    let mut found: Vec<(usize, String)> = Vec::new();
    for (at, token) in source.code.iter().enumerate() {
        let word =
            token.kind == Kind::Word && ["tokio", "Waker", "async", "await"].contains(&token.text);
        let field = at > 0 && source.code[at - 1].is(".") && !token.is("await"); // `.tokio` is a field
        if word && !field {
            found.push((token.line, token.text.to_owned()));
        }
    }
    for clock in ["Instant", "SystemTime"] {
        let reads = source.after(clock).into_iter().filter(|t| t.is("now"));
        found.extend(reads.map(|t| (t.line, format!("{clock}::now"))));
    }
    let outside = source.after("std").into_iter().filter(|t| ["io", "net", "fs"].contains(&t.text));
    found.extend(outside.map(|t| (t.line, format!("std::{}", t.text))));
    for (line, what) in found {
        let room = file.room();
        faults.push(file.fault(
            line,
            format!("`{what}` in `{room}`, which is part of the floor"),
            "take time and numbers as arguments and leave waiting to `tank`, doing to `pipeline` or `adapt`",
        ));
    }
}

/// Law 3: only those who clean up may spawn.
fn spawning(role: Role, file: &File<'_>, faults: &mut Vec<Fault>) {
    let (free, instead) = match role {
        Role::Library => {
            (["pipeline"].as_slice(), "return a future and let `pipeline` drive and end it")
        }
        _ => (["command", "exec"].as_slice(), "return a future and let `command` drive and end it"),
    };
    if free.contains(&file.room()) {
        return;
    }
    let source = &file.source;
    let mut found: Vec<Token<'_>> = Vec::new();
    let words = ["spawn_blocking", "spawn_local", "JoinSet"];
    found.extend(source.code.iter().filter(|t| t.kind == Kind::Word && words.contains(&t.text)));
    for prefix in ["tokio", "task", "thread"] {
        let names = ["spawn", "Builder", "scope"];
        found.extend(source.after(prefix).into_iter().filter(|t| names.contains(&t.text)));
    }
    let blocking_file_calls = role == Role::Library && file.modules == ["adapt", "fs"];
    for token in found {
        if !(blocking_file_calls && token.is("spawn_blocking")) {
            let what = format!(
                "`{}` in `{}`, which does not clean up after tasks",
                token.text,
                file.room()
            );
            faults.push(file.fault(token.line, what, instead));
        }
    }
}

/// Law 4: only `view` prints.
fn printing(role: Role, file: &File<'_>, faults: &mut Vec<Fault>) {
    if role == Role::Command && file.room() == "view" {
        return;
    }
    let code = &file.source.code;
    let mark = |at: usize, text: &str| code.get(at).is_some_and(|t| t.is(text));
    for (at, token) in code.iter().enumerate().filter(|(_, t)| t.kind == Kind::Word) {
        let prints = ["print", "println", "eprint", "eprintln", "dbg"].contains(&token.text)
            && mark(at + 1, "!");
        let handle =
            ["stdout", "stderr"].contains(&token.text) && mark(at + 1, "(") && mark(at + 2, ")");
        // a question to the handle is no print, nor is a descriptor of `rustix::stdio`, nor a method of that name
        let asks = ["is_terminal", "as_fd", "as_raw_fd"];
        let asked = mark(at + 3, ".") && code.get(at + 4).is_some_and(|t| asks.contains(&t.text));
        let before = |back: usize, text: &str| at >= back && code[at - back].is(text);
        let other = before(1, ".") || before(1, "fn") || (before(1, ":") && before(3, "stdio"));
        if prints || (handle && !asked && !other) {
            let shown =
                if prints { format!("{}!", token.text) } else { format!("{}()", token.text) };
            let instead = match role {
                Role::Library => "return it: whoever calls decides what is shown",
                _ => "hand it to `view`; bytes of the stream go through a descriptor",
            };
            faults.push(file.fault(token.line, format!("`{shown}` in `{}`", file.room()), instead));
        }
    }
}

/// Law 5: a room's name is its question.
fn names(house: &House<'_>, faults: &mut Vec<Fault>) {
    let Some(root) = house.files.iter().find(|f| f.path == house.root) else { return };
    for child in root.source.children.iter().filter(|c| EMPTY_NAMES.contains(&c.name)) {
        faults.push(root.fault(
            child.line,
            format!("a room called `{}` answers no question", child.name),
            "name it after the one question its contents answer",
        ));
    }
}

/// Law 6: rooms that must never hear of each other.
fn strangers(house: &House<'_>, file: &File<'_>, faults: &mut Vec<Fault>) {
    let pairs: &[(&str, &[&str])] = match house.role {
        Role::Library => &[("gate", &["overflow"])],
        _ => &[("view", &["end", "exec", "transform", "plan"])],
    };
    for named in rooms_named(file) {
        let (own, other) = (file.room(), named.text);
        let met = |a: &str, b: &str| pairs.iter().any(|(one, many)| *one == a && many.contains(&b));
        if met(own, other) || met(other, own) {
            faults.push(file.fault(
                named.line,
                format!("`{own}` names `{other}`: the two are strangers"),
                "let the room above both carry what passes between them",
            ));
        }
    }
}

/// Law 7: a file opens with its question, and a `mod` line reaches it.
fn doors(house: &House<'_>, faults: &mut Vec<Fault>) {
    for file in &house.files {
        let opening = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        if !opening.starts_with("//!") {
            faults.push(file.fault(
                1,
                "the file does not open with `//!`",
                "begin with the one question it answers",
            ));
        }
        if file.path.ends_with("/mod.rs") {
            let room = file.modules.iter().rev().nth(1).copied().unwrap_or("room");
            faults.push(file.fault(
                1,
                "a `mod.rs`",
                format!("call it `{room}.rs`, beside the folder `{room}/`"),
            ));
        } else if !house.reached.contains(file.path) {
            faults.push(file.fault(
                1,
                "no `mod` line reaches this file, so nobody compiles it",
                "add the line to the module above it, or remove the file",
            ));
        }
    }
}

/// Law 8: a file can be held in the head.
fn size(file: &File<'_>, faults: &mut Vec<Fault>) {
    let lines = file.source.code_lines();
    if lines > MAX_LINES {
        faults.push(file.fault(
            MAX_LINES,
            format!("{lines} lines of code, the limit is {MAX_LINES}"),
            "split the question in two and give each part a file",
        ));
    }
}

/// Law 9, first half: who waits, says what a cancelled wait loses.
fn cancel_safety(file: &File<'_>, futures: &[&str], faults: &mut Vec<Fault>) {
    let tokens = &file.source.documented;
    for (at, token) in tokens.iter().enumerate().filter(|(_, t)| t.is("pub")) {
        let after = &tokens[at + 1..];
        let Some(begin) = after.iter().position(|t| t.is("fn")) else { continue };
        let qualifiers = &after[..begin];
        let allowed = ["const", "unsafe", "async", "extern"];
        let is_function =
            qualifiers.iter().all(|t| t.kind == Kind::Literal || allowed.contains(&t.text));
        let waits = qualifiers.iter().any(|t| t.is("async"))
            || returns_future(&after[begin + 1..], futures);
        if is_function
            && waits
            && !docs_above(tokens, at).any(|doc| doc.contains("# Cancel safety"))
        {
            let name = after.get(begin + 1).map_or("?", |t| t.text);
            faults.push(file.fault(
                token.line,
                format!("`{name}` returns a future and does not say what a cancelled wait loses"),
                "add a `# Cancel safety` section to its docs",
            ));
        }
    }
}

/// Law 9, second half: every number of a snapshot is explained.
fn explained(file: &File<'_>, metrics: Option<&str>, faults: &mut Vec<Fault>) {
    let rows: Vec<&str> =
        metrics.unwrap_or_default().lines().filter(|l| l.trim_start().starts_with('|')).collect();
    for field in public_fields(&file.source.code) {
        let quoted = format!("`{}`", field.text);
        if !rows.iter().any(|row| row.contains(&quoted)) {
            faults.push(file.fault(
                field.line,
                format!("the field {quoted} has no row in {METRICS}"),
                "add one: name, unit, meaning",
            ));
        }
    }
}

/// Lists the names of rooms a file mentions: after `crate::`, and after as many `super::` as lead to the crate root.
fn rooms_named<'a>(file: &File<'a>) -> Vec<Token<'a>> {
    let code = &file.source.code;
    let mut found = file.source.after("crate");
    let mut inline: Vec<usize> = Vec::new(); // where the `mod name { .. }` around us end
    for (at, token) in code.iter().enumerate() {
        inline.retain(|end| *end > at);
        if token.is("mod") && code.get(at + 2).is_some_and(|t| t.is("{")) {
            inline.push(closing(code, at + 2));
        }
        if !token.is("super") || (at > 0 && code[at - 1].is(":")) {
            continue;
        }
        let (mut ups, mut next) = (0, at);
        while code.get(next).is_some_and(|t| t.is("super")) {
            let Some(past) = past_colons(code, next + 1) else { break };
            (ups, next) = (ups + 1, past);
        }
        if ups > 0 && ups >= file.modules.len() + inline.len() {
            found.extend(heads(code, next));
        }
    }
    found
}

/// Lists the public fields of public structs.
fn public_fields<'a>(code: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut fields = Vec::new();
    for at in 0..code.len() {
        if !(code[at].is("pub") && code.get(at + 1).is_some_and(|t| t.is("struct"))) {
            continue;
        }
        let body =
            code.iter().enumerate().skip(at).find(|(_, t)| t.is("{") || t.is("(") || t.is(";"));
        let Some((open, _)) = body.filter(|(_, t)| t.is("{")) else { continue };
        let inside = &code[open..closing(code, open)];
        let public =
            inside.windows(3).filter(|w| w[0].is("pub") && w[1].kind == Kind::Word && w[2].is(":"));
        fields.extend(public.map(|w| w[1]));
    }
    fields
}

/// Lists the types of a crate that are futures: `impl<T> Future for Drained<T>`.
fn named_futures<'a>(house: &House<'a>) -> Vec<&'a str> {
    let triples = house.working().flat_map(|file| file.source.code.windows(3));
    triples.filter(|w| w[0].is("Future") && w[1].is("for")).map(|w| w[2].text).collect()
}

/// Says whether the function whose name stands first returns `impl Future` or one of the named futures.
fn returns_future(tokens: &[Token<'_>], futures: &[&str]) -> bool {
    let mut angles = 0_usize;
    let parameters = tokens.iter().enumerate().position(|(at, t)| {
        let arrow = at > 0 && tokens[at - 1].is("-");
        match t.text {
            "<" => angles += 1,
            ">" if !arrow => angles = angles.saturating_sub(1),
            _ => {}
        }
        angles == 0 && t.is("(")
    });
    let Some(open) = parameters else { return false };
    let answer = &tokens[closing(tokens, open) + 1..];
    if !(answer.first().is_some_and(|t| t.is("-")) && answer.get(1).is_some_and(|t| t.is(">"))) {
        return false;
    }
    let end =
        answer.iter().position(|t| t.is("{") || t.is(";") || t.is("where")).unwrap_or(answer.len());
    let says = |word: &str| answer[..end].iter().any(|t| t.is(word));
    (says("impl") && says("Future")) || futures.iter().any(|name| says(name))
}

/// Lists the doc comments directly above a token, past its attributes.
fn docs_above<'a>(tokens: &'a [Token<'a>], at: usize) -> impl Iterator<Item = &'a str> {
    let mut docs = Vec::new();
    let mut here = at;
    while let Some(before) = here.checked_sub(1).map(|b| &tokens[b]) {
        if before.kind == Kind::Doc {
            docs.push(before.text);
            here -= 1;
        } else if before.is("]") {
            // back to the `#` that opens the attribute
            let hash = (0..here).rev().find(|&h| {
                let opens = tokens.get(h + 1).is_some_and(|t| t.is("["));
                tokens[h].is("#") && opens && closing(tokens, h + 1) == here - 1
            });
            let Some(hash) = hash else { break };
            here = hash;
        } else {
            break;
        }
    }
    docs.into_iter()
}
