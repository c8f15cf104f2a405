//! Are the verdicts right? Draws random lines, asks each rule for the slowest
//! stage, and lets the simulator say what making each stage faster gains.
//!
//! `cargo run --release -p standpipe --features sim --example verdict_gates -- --seed 501 --lines 400`
#![expect(clippy::print_stdout, reason = "a table is what it is for")]

mod gates;
mod lines;
mod rules;

use gates::{Asked, Ceilings, Draws, Forecasts, Judged, Score, Surety, judge};
use lines::{Line, Low, Set};
use standpipe::snapshot::Confidence;

fn main() {
    let (mut seed, mut lines, mut items) = (501, 400, 20_000);
    let (mut asked, mut draws) = (Asked::Plainly, Draws::Other);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--oracle" => asked = Asked::WithOracle,
            "--same-draws" => draws = Draws::Same,
            _ => {}
        }
        if name == "--oracle" || name == "--same-draws" {
            continue;
        }
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (name.as_str(), value) {
            ("--seed", Some(value)) => seed = value,
            ("--lines", Some(value)) => lines = value,
            ("--items", Some(value)) => items = value,
            _ => {
                println!(
                    "usage: verdict_gates [--seed N] [--lines N] [--items N] [--oracle] [--same-draws]"
                );
                return;
            }
        }
    }
    println!(
        "seed {seed}, {lines} lines a set, {items} items each; right: all / clear, regret, in %"
    );
    for set in [Set::Spread, Set::Balanced] {
        for low in [Low::Half, Low::Below] {
            let judged: Vec<Judged> = (0..lines)
                .map(|number| {
                    let line = Line::draw(set, low, seed, number);
                    let seen = seed.wrapping_mul(1_000_003).wrapping_add(number);
                    judge(&line, seen, draws, items, asked)
                })
                .collect();
            println!("\n{set:?}, low-water mark {low:?}");
            for rule in rules::ALL {
                println!("  {:<14} {}", rule.name, Score::of(&judged, rule.name));
            }
            if asked == Asked::WithOracle {
                println!("  {:<14} {}", gates::ORACLE, Score::of(&judged, gates::ORACLE));
            }
            for sure in [Confidence::Certain, Confidence::Likely, Confidence::Unsure] {
                println!("  {:<14} {}", format!("{sure:?}"), Surety::of(&judged, sure));
            }
            println!("  {}", Forecasts::of(&judged));
            println!("  {}", Ceilings::of(&judged));
        }
    }
}
