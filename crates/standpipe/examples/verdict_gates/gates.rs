//! Who is right: the judge runs the line again with each stage 10 % faster.

use std::fmt;

use standpipe::snapshot::{Confidence, Report};

use crate::lines::Line;
use crate::rules;

const FASTER: f64 = 0.1;

/// One line: what each rule names, and what each stage would gain.
pub(crate) struct Judged {
    report: Report,
    named: Vec<(&'static str, usize)>,
    /// Gain of each stage, on draws that no rule has seen.
    gains: Vec<f64>,
    /// Time on infinite tanks over time, on the draws that were seen.
    boundless: f64,
    /// Errors of the forecasts for each stage, in points.
    errors: Vec<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs three digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Whether the line is also asked what no rule can know: what each stage would
/// have gained on the draws that were seen. How often that names the right
/// stage of other draws is the most that any rule could reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No.
    Plainly,
    /// Yes, which costs a run more for each stage.
    WithOracle,
}

/// On which draws a line is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draws {
    /// On others than those the rules have seen: in long runs, since chance
    /// makes another stage the one that matters in short ones.
    Other,
    /// On the same.
    Same,
}

pub(crate) const ORACLE: &str = "(oracle)";

pub(crate) fn judge(line: &Line, seen: u64, draws: Draws, items: u64, asked: Asked) -> Judged {
    let judge = if draws == Draws::Same { seen } else { !seen };
    let run = line.sim(seen, items, None).run();
    let report = run.report();
    let mut named: Vec<(&str, usize)> =
        rules::ALL.iter().map(|rule| (rule.name, (rule.names)(&report))).collect();
    if let Asked::WithOracle = asked {
        let now_ns = run.now_ns();
        let gain =
            |stage| ratio(now_ns, line.sim(seen, items, Some((stage, FASTER))).run().now_ns());
        named.push((ORACLE, best(&(0..line.services.len()).map(gain).collect::<Vec<f64>>()).0));
    }
    let base_ns = line.sim(judge, items, None).run().now_ns();
    let faster = |stage| line.sim(judge, items, Some((stage, FASTER))).run().now_ns();
    let gains: Vec<f64> =
        (0..line.services.len()).map(|stage| ratio(base_ns, faster(stage)) - 1.0).collect();
    let boundless = {
        let mut line = line.clone();
        line.marks.fill(standpipe::Marks::half(1 << 20).expect("not zero"));
        ratio(line.sim(seen, items, None).run().now_ns(), run.now_ns())
    };
    let errors = forecast_errors(&report, &gains);
    Judged { report, named, gains, boundless, errors }
}

/// What the library foretells against what came true.
fn forecast_errors(report: &Report, gains: &[f64]) -> Vec<f64> {
    let verdict = report.verdict();
    let one = |(stage, gain): (usize, &f64)| {
        let forecast = verdict.what_if(stage, FASTER).expect("the path is known");
        (1.0 / (1.0 + forecast.gain) - 1.0 / (1.0 + gain)) * 100.0
    };
    gains.iter().enumerate().map(one).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a count of lines")]
fn number(count: usize) -> f64 {
    count as f64
}

/// How often a rule is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    pub(crate) all: f64,
    pub(crate) clear: f64,
    pub(crate) regret: f64,
}

/// How often verdicts of one confidence are right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surety {
    lines: usize,
    right: usize,
}

impl Surety {
    pub(crate) fn of(judged: &[Judged], confidence: Confidence) -> Self {
        let (mut lines, mut right) = (0, 0);
        for line in judged {
            let slowest = line.report.slowest.as_ref();
            if let Some(slowest) = slowest.filter(|slowest| slowest.confidence == confidence) {
                lines += 1;
                right += usize::from(slowest.position == best(&line.gains).0);
            }
        }
        Self { lines, right }
    }
}

impl fmt::Display for Surety {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * number(self.right) / number(self.lines.max(1));
        write!(f, "right in {percent:.1} % of {} lines", self.lines)
    }
}

impl Score {
    pub(crate) fn of(judged: &[Judged], rule: &str) -> Self {
        let (mut right, mut clear, mut clear_right, mut regret) = (0, 0, 0, 0.0);
        for line in judged {
            let named = line.named.iter().find(|(name, _)| *name == rule).expect("a rule").1;
            let (best, most) = best(&line.gains);
            let next = (0..line.gains.len()).filter(|&i| i != best).map(|i| line.gains[i]);
            let is_clear = most > 0.02 && most >= 2.0 * next.fold(f64::MIN, f64::max);
            right += u64::from(named == best);
            clear += u64::from(is_clear);
            clear_right += u64::from(is_clear && named == best);
            regret += (most - line.gains[named]) / most;
        }
        let lines = judged.len() as u64;
        Self {
            all: 100.0 * ratio(right, lines),
            clear: 100.0 * ratio(clear_right, clear.max(1)),
            regret: 100.0 * regret / ratio(lines, 1),
        }
    }
}

fn best(gains: &[f64]) -> (usize, f64) {
    let best = (0..gains.len()).rev().max_by(|&a, &b| gains[a].total_cmp(&gains[b]));
    let best = best.expect("it has stages");
    (best, gains[best])
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5.1} / {:5.1}   {:4.1}", self.all, self.clear, self.regret)
    }
}

/// Forecasts against what came true, in points of the line's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forecasts {
    pub(crate) mean: f64,
    /// Percent of all that err by 3 points at most.
    pub(crate) within: f64,
    worst: f64,
}

impl Forecasts {
    pub(crate) fn of(judged: &[Judged]) -> Self {
        let errors: Vec<f64> = judged.iter().flat_map(|line| &line.errors).copied().collect();
        let count = number(errors.len());
        Self {
            mean: errors.iter().map(|error| error.abs()).sum::<f64>() / count,
            within: 100.0 * number(errors.iter().filter(|error| error.abs() <= 3.0).count())
                / count,
            worst: errors.iter().fold(0.0, |worst, error| error.abs().max(worst)),
        }
    }
}

impl fmt::Display for Forecasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, within, worst } = self;
        write!(f, "what if: mean error {mean:.2} points, within 3: {within:.1} %, worst {worst:.1}")
    }
}

/// Whether tanks without a limit ever gain more than the ceiling says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceilings {
    /// Lines in which they do, by over 1 %.
    pub(crate) beaten: usize,
    too_high: f64,
}

impl Ceilings {
    pub(crate) fn of(judged: &[Judged]) -> Self {
        let (mut beaten, mut too_high) = (0, 0.0);
        for line in judged {
            let ceiling = 1.0 + line.report.verdict().gain;
            let reached = 1.0 / line.boundless;
            beaten += usize::from(reached > 1.01 * ceiling);
            too_high += 100.0 * (ceiling / reached - 1.0) / number(judged.len());
        }
        Self { beaten, too_high }
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beaten, too_high } = self;
        write!(
            f,
            "ceiling: beaten by over 1 % in {beaten} lines, too high by {too_high:.2} % on average"
        )
    }
}
