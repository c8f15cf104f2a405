//! Whole jobs as people do them, from real files through real tools back to real files.

use std::path::Path;
use std::process::Command;

use crate::rig::{Scratch, noise};

mod backup;
#[cfg(feature = "http")]
mod download;
mod network;

/// A directory as there are many: text that compresses, noise that does not, empty things, modes, a link.
fn tree(scratch: &Scratch, name: &str) -> String {
    let root = scratch.path(name);
    let write = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
        std::fs::write(path, bytes).expect("there is room");
    };
    let lines: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
    write("text/lines", lines.as_bytes());
    write("data/noise", &noise(3_000_001));
    write("data/a name with spaces", b"x");
    write("empty", b"");
    std::fs::create_dir(root.join("nothing in it")).expect("there is room");
    std::os::unix::fs::symlink("text/lines", root.join("link")).expect("it is new");
    scratch.arg(name)
}

/// What is in a directory: names, modes, sizes, targets of links, and a checksum of each file.
#[track_caller]
fn contents(root: impl AsRef<Path>) -> String {
    let script = "find . -mindepth 1 ! -type d -printf '%p %m %s %l\\n' | LC_ALL=C sort; \
                  find . -type d -printf '%p %m\\n' | LC_ALL=C sort; \
                  find . -type f -exec sha256sum {} + | LC_ALL=C sort";
    let output = Command::new("sh").args(["-c", script]).current_dir(root).output();
    let output = output.expect("it starts");
    assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("names are text")
}
