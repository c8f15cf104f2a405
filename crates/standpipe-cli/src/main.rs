//! The command `standpipe`.
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the rooms above `exec` are not built yet")]
#![expect(unused_imports, reason = "as above")]

mod view;
mod exec;
mod plan;
mod args;
mod size;
mod exit;

fn main() {}
