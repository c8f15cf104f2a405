//! Are the verdicts right? A small number of the random lines of the example
//! `verdict_gates`, which draws as many as you like with any seed.

#[expect(dead_code, reason = "the example asks for more")]
#[path = "../examples/verdict_gates/gates.rs"]
mod gates;
#[expect(dead_code, reason = "the example asks for more")]
#[path = "../examples/verdict_gates/lines.rs"]
mod lines;
#[path = "../examples/verdict_gates/rules.rs"]
mod rules;

use gates::{Asked, Ceilings, Draws, Forecasts, Judged, Score, judge};
use lines::{Line, Low, Set};

const SEED: u64 = 501;
const LINES: u64 = 80;
const ITEMS: u64 = 1_000;

fn judged(set: Set) -> Vec<Judged> {
    (0..LINES)
        .map(|number| {
            let line = Line::draw(set, Low::Half, SEED, number);
            judge(&line, SEED + number, Draws::Same, ITEMS, Asked::Plainly)
        })
        .collect()
}

/// A rule may not be better in anything.
fn above_every_other_rule(judged: &[Judged]) {
    let share = Score::of(judged, "share");
    for rule in rules::ALL.iter().filter(|rule| rule.name != "share") {
        let other = Score::of(judged, rule.name);
        assert!(share.all > other.all && share.regret < other.regret, "{}: {other}", rule.name);
    }
}

fn forecasts_and_ceilings_hold(judged: &[Judged]) {
    let forecasts = Forecasts::of(judged);
    assert!(forecasts.mean <= 0.5 && forecasts.within >= 99.0, "{forecasts}");
    let ceilings = Ceilings::of(judged);
    assert_eq!(ceilings.beaten, 0, "{ceilings}");
}

#[test]
fn the_share_names_the_stage_that_matters_most_in_lines_of_unequal_stages() {
    let judged = judged(Set::Spread);
    let share = Score::of(&judged, "share");
    assert!(share.all >= 93.0 && share.clear >= 95.0 && share.regret <= 2.0, "{share}");
    above_every_other_rule(&judged);
    forecasts_and_ceilings_hold(&judged);
}

#[test]
fn the_share_names_the_stage_that_matters_most_in_lines_of_nearly_equal_stages() {
    let judged = judged(Set::Balanced);
    let share = Score::of(&judged, "share");
    assert!(share.all >= 80.0 && share.clear >= 90.0 && share.regret <= 4.0, "{share}");
    above_every_other_rule(&judged);
    forecasts_and_ceilings_hold(&judged);
}
