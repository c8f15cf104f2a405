//! Is what a bench names in the library still there?
//!
//! One bench builds the library once more without its gauges, by the text of
//! the functions that are to do nothing. It is rarely run, so it would not tell
//! in time that a function has another name now.
//!
//! # Knows / never knows
//! Knows the bench's list. Never knows what the functions do.

use super::{Fault, Tree};

/// Where the list is, and how it begins and ends.
pub(super) const BENCH: &str = "bench/src/overhead.rs";
const LIST: (&str, &str) = ("const GAUGES", "\n];");

pub(super) fn check(tree: &Tree, faults: &mut Vec<Fault>) {
    let Some(text) = tree.texts.get(BENCH) else { return };
    let fault = |line: usize, what: String, instead: &str| Fault {
        file: BENCH.to_owned(),
        line,
        what,
        instead: instead.to_owned(),
    };
    let Some(begins) = text.find(LIST.0) else {
        faults.push(fault(1, "has no list of gauges".to_owned(), "say here what it is now"));
        return;
    };
    let ends = text[begins..].find(LIST.1).map_or(text.len(), |length| begins + length);
    let mut file = String::new();
    for (at, line) in text.lines().enumerate() {
        let offset = line.as_ptr() as usize - text.as_ptr() as usize;
        if !(begins..ends).contains(&offset) {
            continue;
        }
        for word in line.split('"').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                file = format!("crates/standpipe/src/{word}");
            } else if word.starts_with("fn ") {
                let there =
                    tree.texts.get(&file).is_some_and(|f| f.contains(&format!("{word} {{")));
                if !there {
                    let what = format!("`{word}` is not in {file}");
                    faults.push(fault(at + 1, what, "name it as it is there now"));
                }
            }
        }
    }
}
