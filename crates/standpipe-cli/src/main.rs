//! The command `standpipe`.
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the rooms above `view` are not built yet")]
#![cfg_attr(not(test), expect(unused_imports, reason = "as above"))]

mod view;
mod plan;
mod args;
mod size;
mod exit;

fn main() {}
