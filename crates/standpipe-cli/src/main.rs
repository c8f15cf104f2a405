//! The command `standpipe`.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the rooms above `view` are not built yet")
)]

mod plan;
mod args;
mod size;
mod exit;

fn main() {}
