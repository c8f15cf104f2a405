//! The rules that are compared: the critical path, and four by times alone.

use standpipe::diagnose::{self, Times};
use standpipe::snapshot::Report;

/// A way to name the slowest stage.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) names: fn(&Report) -> usize,
}

pub(crate) const ALL: [Rule; 6] = [
    Rule { name: "share", names: share },
    Rule { name: "turning point", names: turning_point },
    Rule { name: "flink", names: flink },
    Rule { name: "busiest", names: busiest },
    Rule { name: "arrow", names: arrow },
    Rule { name: "without path", names: fallback },
];

fn times(report: &Report) -> Vec<Times> {
    let one = |stage: &standpipe::snapshot::StageSnapshot| Times {
        busy_ns: stage.busy_ns,
        paused_ns: stage.paused_ns,
        starved_ns: stage.starved_ns,
    };
    report.stages.iter().map(one).collect()
}

/// The largest share of the critical path.
fn share(report: &Report) -> usize {
    report.verdict().slowest.map_or(0, |slowest| slowest.position)
}

fn busiest(report: &Report) -> usize {
    let times = times(report);
    (0..times.len()).rev().max_by_key(|&i| times[i].busy_ns).expect("it has stages")
}

fn arrow(report: &Report) -> usize {
    diagnose::slowest(&times(report)).unwrap_or(0)
}

fn fallback(report: &Report) -> usize {
    diagnose::limit(&times(report)).map_or(0, |(stage, _)| stage)
}

/// All above are rather paused, all below rather starved; of several the one
/// that waited least; none: the busiest.
fn turning_point(report: &Report) -> usize {
    let times = times(report);
    (0..times.len())
        .filter(|&i| {
            times[..i].iter().all(|t| t.paused_ns >= t.starved_ns)
                && times[i + 1..].iter().all(|t| t.starved_ns >= t.paused_ns)
        })
        .min_by_key(|&i| times[i].paused_ns + times[i].starved_ns)
        .unwrap_or_else(|| busiest(report))
}

/// The busiest after the last stage that is paused half of its time, as
/// Flink's documents advise.
fn flink(report: &Report) -> usize {
    let stages = &report.stages;
    let from = stages.iter().rposition(|s| s.paused() >= 0.5).map_or(0, |last| last + 1);
    let from = from.min(stages.len() - 1);
    (from..stages.len()).rev().max_by_key(|&i| stages[i].busy_ns).expect("it has stages")
}
