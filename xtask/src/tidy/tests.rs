//! Is every kind of breach caught, and is the tree itself clean?

use super::*;

/// A small house that keeps every law, in paths relative to `crates/`.
const CLEAN: [(&str, &str); 13] = [
    (
        "standpipe/src/lib.rs",
        "//! Q?\nmod pipeline;\nmod adapt;\nmod tank;\nmod gate;\nmod overflow;\nmod snapshot;\n",
    ),
    (
        "standpipe/src/pipeline.rs",
        "//! Q?\nuse crate::{gate::Flow, tank::{self, Tank}};\nfn f() { tokio::spawn(async {}); std::thread::spawn(g); }\n",
    ),
    ("standpipe/src/adapt.rs", "//! Q?\nmod fs;\n"),
    ("standpipe/src/adapt/fs.rs", "//! Q?\nfn f() { tokio::task::spawn_blocking(g); }\n"),
    (
        "standpipe/src/tank.rs",
        "//! Q?\nmod queue;\n#[cfg(test)]\nmod tests;\nuse crate::gate::Flow;\nuse crate::overflow::Overflow;\n\
         /// Waits.\n///\n/// # Cancel safety\n/// Loses nothing.\n#[must_use]\npub async fn drained() {}\n",
    ),
    ("standpipe/src/tank/queue.rs", "//! Q?\npub(in crate::tank) use super::super::gate::Gate;\n"),
    (
        "standpipe/src/tank/tests.rs",
        "//! Q?\nuse crate::pipeline::X;\nuse crate::Flow;\nfn f() { println!(); }\n",
    ),
    (
        "standpipe/src/gate.rs",
        "//! Knows no `tokio` and no crate::tank.\n/* crate::pipeline, /* async */ Waker */\n// std::io\n\
         const T: &str = \"tokio\"; const Q: char = '\"'; const R: &str = r#\"crate::tank \" \"#;\n\
         fn f<'a>(now: Instant) {}\n#[cfg(test)]\nmod tests { use crate::tank::Tank; fn g() { Instant::now(); } }\n",
    ),
    ("standpipe/src/overflow.rs", "//! Q?\n"),
    (
        "standpipe/src/snapshot.rs",
        "//! Q?\n/// S.\npub struct S {\n    /// L.\n    pub level: u64,\n    hidden: u64,\n}\n",
    ),
    ("standpipe-cli/src/main.rs", "//! Q?\nmod view;\nmod plan;\nfn main() {}\n"),
    (
        "standpipe-cli/src/view.rs",
        "//! Q?\nfn f() { println!(\"{}\", std::io::stdout().lock()); }\n",
    ),
    (
        "standpipe-cli/src/plan.rs",
        "//! Q?\nfn f() { std::io::stderr().is_terminal(); c.stdout(piped()); }\n",
    ),
];

fn clean() -> Tree {
    let mut tree = Tree::default();
    for (path, text) in CLEAN {
        tree.texts.insert(format!("crates/{path}"), text.to_owned());
    }
    tree.texts.insert(
        laws::METRICS.to_owned(),
        "| name | unit |\n|---|---|\n| `level` | bytes |\n".to_owned(),
    );
    tree
}

/// Adds `planted` at the end of a file (a new one if there is none) and expects this one complaint.
#[track_caller]
fn planted(file: &str, planted: &str, line: usize, complaint: &str) {
    let mut tree = clean();
    let path = format!("crates/{file}");
    tree.texts.entry(path.clone()).or_default().push_str(planted);
    let faults: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 1, "one fault was planted: {faults:#?}");
    let start = format!("{path}:{line}: {complaint}");
    assert!(faults[0].starts_with(&start), "\n  found {}\nwanted {start}", faults[0]);
    assert!(faults[0].contains("; "), "says what to do instead: {}", faults[0]);
}

#[test]
fn this_tree_is_tidy() {
    let faults: Vec<String> =
        check_workspace().expect("the tree is readable").iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_clean_tree_passes() {
    assert_eq!(check(&clean()), []);
}

#[test]
fn law_1_a_module_names_only_what_is_below() {
    planted(
        "standpipe/src/gate.rs",
        "use crate::tank::Tank;\n",
        8,
        "`gate` names `tank`, which stands above it",
    );
    planted(
        "standpipe/src/gate.rs",
        "use crate::{snapshot::S,\n  tank};\n",
        9,
        "`gate` names `tank`",
    );
    planted("standpipe/src/tank/queue.rs", "use super::super::adapt;\n", 3, "`tank` names `adapt`");
    planted("standpipe/src/gate.rs", "use super::{snapshot, tank};\n", 8, "`gate` names `tank`");
    planted(
        "standpipe/src/gate.rs",
        "mod a { use super::super::tank; }\n",
        8,
        "`gate` names `tank`",
    );
    planted(
        "standpipe-cli/src/plan.rs",
        "mod a { use super::Y; }\nuse crate::Z;\n",
        4,
        "`plan` names `crate::Z`",
    );
}

#[test]
fn law_1_a_module_names_rooms_not_the_hall() {
    planted(
        "standpipe/src/tank.rs",
        "use crate::Flow;\n",
        13,
        "`tank` names `crate::Flow`, which is no room of lib.rs",
    );
    planted(
        "standpipe/src/tank.rs",
        "use crate::*;\n",
        13,
        "`tank` takes the whole hall (`crate::*`)",
    );
}

#[test]
fn law_1_code_after_a_test_module_is_still_code() {
    let text = "#[cfg(test)]\nfn helper() {}\nuse crate::tank::Tank;\n";
    planted("standpipe/src/gate.rs", text, 10, "`gate` names `tank`");
}

#[test]
fn law_2_the_floor_is_pure() {
    for (code, what) in [
        ("fn f(w: &std::task::Waker) {}\n", "`Waker`"),
        ("use tokio::time;\n", "`tokio`"),
        ("async fn f() {}\n", "`async`"),
        ("fn f() { g().await }\n", "`await`"),
        ("fn f() { std::time::Instant::now(); }\n", "`Instant::now`"),
        ("use std::{fmt, io};\n", "`std::io`"),
        ("use std::fs::File;\n", "`std::fs`"),
        ("use std::net;\n", "`std::net`"),
    ] {
        planted(
            "standpipe/src/gate.rs",
            code,
            8,
            &format!("{what} in `gate`, which is part of the floor"),
        );
    }
}

#[test]
fn law_3_only_the_pipeline_spawns() {
    for (code, what) in [
        ("fn f() { tokio::spawn(g()); }\n", "`spawn` in `tank`"),
        ("use tokio::task::{self, spawn};\n", "`spawn` in `tank`"),
        ("fn f() { thread::Builder::new(); }\n", "`Builder` in `tank`"),
        ("fn f() { task::spawn_blocking(g); }\n", "`spawn_blocking` in `tank`"),
    ] {
        planted("standpipe/src/tank.rs", code, 13, what);
    }
    planted(
        "standpipe/src/adapt/fs.rs",
        "fn h() { tokio::spawn(g()); }\n",
        3,
        "`spawn` in `adapt`",
    );
    planted(
        "standpipe/src/adapt.rs",
        "fn h() { spawn_blocking(g); }\n",
        3,
        "`spawn_blocking` in `adapt`",
    );
    planted(
        "standpipe-cli/src/view.rs",
        "fn h() { std::thread::spawn(g); }\n",
        3,
        "`spawn` in `view`",
    );
}

#[test]
fn law_4_only_view_prints() {
    for (code, what) in [
        ("fn f() { eprintln!(); }\n", "`eprintln!` in `plan`"),
        ("fn f() { std::io::stdout().write_all(b); }\n", "`stdout()` in `plan`"),
        ("fn f() { let mut e = io::stderr(); }\n", "`stderr()` in `plan`"),
    ] {
        planted("standpipe-cli/src/plan.rs", code, 3, what);
    }
    planted("standpipe-cli/src/main.rs", "fn f() { println!(); }\n", 5, "`println!` in `main`");
    planted("standpipe/src/pipeline.rs", "fn g() { print!(); }\n", 4, "`print!` in `pipeline`");
}

#[test]
fn law_5_a_rooms_name_is_its_question() {
    let mut tree = clean();
    tree.texts
        .entry("crates/standpipe/src/lib.rs".to_owned())
        .or_default()
        .push_str("mod utils;\n");
    tree.texts.insert("crates/standpipe/src/utils.rs".to_owned(), "//! Q?\n".to_owned());
    let faults = check(&tree);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].to_string().starts_with("crates/standpipe/src/lib.rs:8: a room called `utils`")
    );
}

#[test]
fn law_6_strangers_stay_strangers() {
    planted(
        "standpipe/src/gate.rs",
        "use crate::overflow::Overflow;\n",
        8,
        "`gate` names `overflow`: the two are",
    );
    planted(
        "standpipe-cli/src/view.rs",
        "use crate::plan::Plan;\n",
        3,
        "`view` names `plan`: the two are strangers",
    );
}

#[test]
fn law_7_a_file_has_a_question_and_a_door() {
    planted("standpipe/src/tank/lost.rs", "//! Q?\n", 1, "no `mod` line reaches this file");
    planted("standpipe/src/mod.rs", "//! Q?\n", 1, "a `mod.rs`");
    let mut tree = clean();
    tree.texts
        .insert("crates/standpipe/src/overflow.rs".to_owned(), "/// Q?\nfn f() {}\n".to_owned());
    let faults = check(&tree);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].what.contains("does not open with `//!`"));
}

#[test]
fn law_8_a_file_can_be_held_in_the_head() {
    let long = |n: usize| "const A: u8 = 1; // counts\n\n// does not\n/// nor this\n".repeat(n);
    let mut tree = clean();
    let path = "crates/standpipe/src/overflow.rs";
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", long(900));
    tree.texts.insert(path.to_owned(), format!("//! Q?\n{}{tests}", long(600)));
    assert_eq!(check(&tree), [], "600 lines are allowed, tests are not counted");
    planted("standpipe/src/overflow.rs", &long(601), 600, "601 lines of code, the limit is 600");
    planted(
        "standpipe/src/overflow.rs",
        &format!("const A: &str = \"{}\";", "\n".repeat(600)),
        600,
        "601 lines",
    );
}

#[test]
fn law_9_who_waits_says_what_a_cancelled_wait_loses() {
    let bare = "/// Waits.\n#[inline]\npub async fn wait() {}\n";
    planted("standpipe/src/tank.rs", bare, 15, "`wait` returns a future");
    let plain = "pub fn wait<F: Fn() -> u8>(f: F) -> impl Future<Output = ()> + Send {}\n";
    planted("standpipe/src/tank.rs", plain, 13, "`wait` returns a future");
    let named = "impl<T> Future for W<T> {}\npub fn wait() -> W<u8> {}\n";
    planted("standpipe/src/tank.rs", named, 14, "`wait` returns a future");
    let mut tree = clean();
    let harmless = "pub(crate) async fn a() {}\npub fn b(f: impl Future) -> u8 {}\npub struct C { f: fn() }\n\
                    pub mod m { async fn d() {} }\n/// # Cancel safety\npub fn e() -> impl Future {}\n";
    tree.texts.entry("crates/standpipe/src/tank.rs".to_owned()).or_default().push_str(harmless);
    assert_eq!(check(&tree), []);
}

#[test]
fn law_9_every_number_of_a_snapshot_is_explained() {
    let text = "/// T.\npub struct T<A> { pub paused_ns: u64 }\n";
    planted(
        "standpipe/src/snapshot.rs",
        text,
        9,
        "the field `paused_ns` has no row in docs/metrics.md",
    );
}

#[test]
fn what_a_bench_takes_out_of_the_library_has_to_be_there() {
    let list = |function: &str| {
        format!(
            "//! Q?\nconst GAUGES: [(&str, &[&str], &str); 1] = [\n    (\n        \"gate.rs\",\n        \
             &[\n            \"fn f<'a>(now: Instant)\",\n            \"{function}\",\n        ],\n        \
             \"return;\",\n    ),\n];\n/// \"fn gone()\"\n"
        )
    };
    let complaints = |text: String| {
        let mut tree = clean();
        tree.texts.insert(benches::BENCH.to_owned(), text);
        check(&tree).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(complaints(list("fn f<'a>(now: Instant)")), [] as [&str; 0]);
    let gone = complaints(list("fn admit(&mut self)"));
    assert_eq!(gone.len(), 1, "{gone:?}");
    let said =
        "bench/src/overhead.rs:7: `fn admit(&mut self)` is not in crates/standpipe/src/gate.rs; ";
    assert!(gone[0].starts_with(said), "{gone:?}");
    assert_eq!(complaints("//! Q?\n".to_owned()).len(), 1, "a list under another name is not seen");
}
