//! The command `standpipe`.
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the rooms above `view` are not built yet")]

mod exec;
mod plan;
mod args;
mod size;
mod exit;

fn main() {}
