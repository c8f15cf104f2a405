//! Does the tree still keep the laws of the house?
//!
//! Takes the rooms of each crate from the `mod` lines of its root file, scans every file into tokens and holds them against
//! the laws that neither rustc nor clippy can see. It complains as `file:line: what; what instead`. Runs as
//! `cargo xtask tidy` and as a unit test, so that no change can land without it.
//!
//! # Knows / never knows
//! Knows rooms, their order and names of things. Never knows types: a fault that hides behind an alias is not found, review
//! has to. So it needs no compiler and takes no time.

mod benches;
mod laws;
mod pages;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;

use source::Source;

/// A breach of a law, where it is, and what to do instead.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    file: String,
    line: usize,
    what: String,
    instead: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.instead)
    }
}

/// The texts that are checked, by path from the root of the workspace (`crates/standpipe/src/gate.rs`).
#[derive(Debug, Default)]
struct Tree {
    texts: BTreeMap<String, String>,
    /// Every file and directory, whether or not its text is here.
    places: BTreeSet<String>,
}

/// Which laws a crate is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Library,
    Command,
    Chores,
}

/// One file of a crate.
#[derive(Debug)]
struct File<'a> {
    path: &'a str,
    text: &'a str,
    source: Source<'a>,
    /// Modules from the crate root down: `["tank", "queue"]`; empty for the root file.
    modules: Vec<&'a str>,
}

impl File<'_> {
    /// The room this file belongs to; the root file is a room of its own, named `main` or `lib`.
    fn room(&self) -> &str {
        self.modules.first().copied().unwrap_or_else(|| stem(self.path))
    }

    fn fault(&self, line: usize, what: impl Into<String>, instead: impl Into<String>) -> Fault {
        Fault { file: self.path.to_owned(), line, what: what.into(), instead: instead.into() }
    }
}

/// A crate: its rooms in the order of the `mod` lines, and its files.
#[derive(Debug)]
struct House<'a> {
    role: Role,
    root: &'a str,
    rooms: Vec<&'a str>,
    files: Vec<File<'a>>,
    /// Files that a `mod` line reaches.
    reached: BTreeSet<String>,
    /// Files that only test modules reach.
    tests: BTreeSet<String>,
}

impl<'a> House<'a> {
    fn new(tree: &'a Tree, source_dir: &'a str, role: Role) -> Option<Self> {
        let inside =
            |path: &str| path.strip_prefix(source_dir).is_some_and(|rest| rest.starts_with('/'));
        let root_is = |path: &&String| {
            let rest = path.strip_prefix(source_dir).unwrap_or_default();
            rest == "/lib.rs" || rest == "/main.rs"
        };
        let root = tree.texts.keys().find(root_is)?.as_str();
        let files: Vec<File<'a>> = tree
            .texts
            .iter()
            .filter(|(path, _)| inside(path) && path.ends_with(".rs"))
            .map(|(path, text)| {
                let inner = path[source_dir.len() + 1..].trim_end_matches(".rs");
                let modules = if path == root { Vec::new() } else { inner.split('/').collect() };
                File { path, text, source: Source::new(text), modules }
            })
            .collect();
        let rooms = files.iter().filter(|f| f.path == root).flat_map(|f| &f.source.children);
        let rooms = rooms.filter(|c| !c.test).map(|c| c.name).collect();
        let mut house =
            Self { role, root, rooms, files, reached: BTreeSet::new(), tests: BTreeSet::new() };
        house.follow(root.to_owned(), source_dir, false);
        Some(house)
    }

    /// Walks the `mod` lines from one file down; `dir` is where its children lie.
    fn follow(&mut self, path: String, dir: &str, test: bool) {
        let Some(file) = self.files.iter().find(|f| f.path == path) else { return };
        let test = test || file.source.all_test;
        let children = file.source.children.clone();
        if !self.reached.insert(path.clone()) {
            return;
        }
        if test {
            self.tests.insert(path);
        }
        for child in children {
            let below = format!("{dir}/{}", child.name);
            self.follow(format!("{below}.rs"), &below, test || child.test);
        }
    }

    /// The files under all laws: no test code.
    fn working(&self) -> impl Iterator<Item = &File<'a>> {
        self.files.iter().filter(|f| !self.tests.contains(f.path))
    }
}

/// Checks the workspace that cargo runs us in.
///
/// The place is read at run time: `env!` would freeze the directory this program was built in.
///
/// # Errors
/// A file cannot be read, or cargo did not say where the workspace is.
pub(crate) fn check_workspace() -> io::Result<Vec<Fault>> {
    let home = std::env::var_os("CARGO_MANIFEST_DIR");
    let home = home.ok_or_else(|| {
        io::Error::other("CARGO_MANIFEST_DIR is not set; start with `cargo xtask tidy`")
    })?;
    let root = Path::new(&home)
        .parent()
        .ok_or_else(|| io::Error::other("xtask lies at the root of the disk"))?;
    let mut tree = Tree::default();
    for dir in ["crates/standpipe/src", "crates/standpipe-cli/src", "xtask/src"] {
        read_sources(root, dir, &mut tree)?;
    }
    read_places(root, "", &mut tree)?;
    tree.texts
        .insert(benches::BENCH.to_owned(), std::fs::read_to_string(root.join(benches::BENCH))?);
    let page = |path: &&String| {
        path.ends_with(".md") && (path.starts_with("docs/") || !path.contains('/'))
    };
    for path in tree.places.iter().filter(page) {
        tree.texts.insert(path.clone(), std::fs::read_to_string(root.join(path))?);
    }
    Ok(check(&tree))
}

/// Checks a tree; the faults come sorted by file and line.
fn check(tree: &Tree) -> Vec<Fault> {
    let crates = [
        ("crates/standpipe/src", Role::Library),
        ("crates/standpipe-cli/src", Role::Command),
        ("xtask/src", Role::Chores),
    ];
    let mut faults = Vec::new();
    for (dir, role) in crates {
        if let Some(house) = House::new(tree, dir, role) {
            laws::check(&house, tree.texts.get(laws::METRICS).map(String::as_str), &mut faults);
        }
    }
    pages::check(tree, &mut faults);
    benches::check(tree, &mut faults);
    faults.sort();
    faults.dedup();
    faults
}

fn read_sources(root: &Path, dir: &str, tree: &mut Tree) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let path = format!("{dir}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_sources(root, &path, tree)?;
        } else if path.ends_with(".rs") {
            let text = std::fs::read_to_string(entry.path())?;
            tree.texts.insert(path, text);
        }
    }
    Ok(())
}

/// Takes note of everything below a directory but what is built or hidden.
fn read_places(root: &Path, dir: &str, tree: &mut Tree) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        if entry.file_type()?.is_dir() {
            read_places(root, &path, tree)?;
        }
        tree.places.insert(path);
    }
    Ok(())
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.trim_end_matches(".rs")
}
