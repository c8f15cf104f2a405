//! The command `standpipe`.
#![forbid(unsafe_code)]

fn main() {}
