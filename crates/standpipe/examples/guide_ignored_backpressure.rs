//! The wrong way: a producer that looks at no answer.
//!
//! The guide's "Ignoring Backpressure". With the default tank it loses its own
//! speed, not your memory: what finds the tank shut comes back. With
//! `Overflow::Grow`, Node's soft mark, memory grows, and the numbers name the
//! line that did it.
#![cfg_attr(not(test), expect(clippy::print_stdout, reason = "an example prints"))]

use standpipe::{KIB, Overflow, Tank, Writable};

const LINES: usize = 100_000;
const HIGH: usize = 16 * KIB;

pub(crate) fn main() {
    let (writable, readable) = Tank::bytes(HIGH).build();
    let handed_back = bad_producer(&writable);
    let tank = readable.gauge().snapshot();
    println!("default: {} lines taken, {handed_back} handed back", tank.written.items);
    println!("  peak {} bytes at a mark of {}", tank.peak, tank.high);
    println!("  {} writes were answered `Full`", tank.refused);

    let (writable, readable) = Tank::bytes(HIGH).overflow(Overflow::Grow).build();
    let handed_back = bad_producer(&writable);
    let tank = readable.gauge().snapshot();
    println!("grow: {} lines taken, {handed_back} handed back", tank.written.items);
    println!("  peak {} bytes, {} times the mark", tank.peak, tank.peak / tank.high);
    for past in &tank.past_mark {
        let line = past.line.rsplit('/').next().unwrap_or_default();
        println!("  {line} wrote {} lines past the mark", past.written.items);
    }
}

/// Writes on and on. Both the `Result` and the `Flow` in it are
/// `#[must_use]`, so it has to go out of its way to look at neither.
fn bad_producer(writable: &Writable<String>) -> usize {
    (0..LINES).filter(|i| writable.write(format!("Line {i}\n")).is_err()).count()
}
