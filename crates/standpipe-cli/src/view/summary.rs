//! How did a run go?
//!
//! The answer first, in words; then why, what to try, and the numbers:
//!
//! ```text
//! SLOWEST: 2 zstd -19, busy 99%
//!   why: 1 pg_dump shop is paused 91% (tank 1>2 98% full)
//!   try: fewer levels (zstd -9)
//!   other tanks gain at most 1%; 2 zstd -19 twice as fast at most 101%
//! 349 MiB in, 93.0 MiB out, 0:01:29, in 3.9 MiB/s, out 1.0 MiB/s
//! tanks held at most 9.20 MiB of 64 MiB
//!     stage            busy  paused  starved
//!     1 pg_dump shop     7%     91%       2%
//!   > 2 zstd -19        99%      0%       1%
//! ```

use std::time::Duration;

use crate::size;

use super::{Slowest, Style, Who, float, terminal, terminal::Paint};

/// What a run was like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// Bytes the first stage has put out.
    pub(crate) bytes_in: u64,
    /// Bytes the last stage has taken.
    pub(crate) bytes_out: u64,
    /// That stage, if it is a command: what leaves it nobody here has seen.
    pub(crate) into: Option<String>,
    /// Running time, without what was suspended.
    pub(crate) elapsed: Duration,
    /// The most all tanks have held together.
    pub(crate) peak_bytes: Option<u64>,
    /// What they were allowed.
    pub(crate) memory_bytes: u64,
    /// Whether it was a filter, one part of somebody's own pipe: it keeps quiet in a script.
    pub(crate) is_filter: bool,
    /// One per stage, upstream first.
    pub(crate) stages: Vec<StageShares>,
    /// The verdict.
    pub(crate) slowest: Option<Slowest>,
    /// Whether somebody else moved the bytes: they are counted roughly, and there were no tanks.
    pub(crate) about: bool,
    /// What can be gained at most, where that is certain.
    pub(crate) ceiling: Option<Ceiling>,
}

/// The most that can be gained, in throughput over throughput now, less 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ceiling {
    /// By other tanks.
    pub(crate) gain: f64,
    /// If the stage that is the limit were twice as fast.
    pub(crate) twice: Twice,
}

/// A stage that is twice as fast.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Twice {
    /// Which, as it is shown.
    pub(crate) who: String,
    /// What is gained at most.
    pub(crate) gain: f64,
    /// Who is the limit then, if it is another one.
    pub(crate) next: Option<String>,
}

/// Where the time of a stage went; shares of 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StageShares {
    /// `2 gzip -6`.
    pub(crate) label: String,
    /// Working.
    pub(crate) busy: Option<f64>,
    /// Waiting to write.
    pub(crate) paused: Option<f64>,
    /// Waiting to read.
    pub(crate) starved: Option<f64>,
}

/// Columns of the three shares and the mark.
const SHARES: usize = 2 + 6 + 8 + 9;

impl Summary {
    /// Writes the summary for so many columns, its last newline included.
    pub(crate) fn render(&self, columns: usize, style: Style) -> String {
        let mut lines = Vec::new();
        if let Some(slowest) = &self.slowest {
            lines.extend(verdict(slowest, style));
            lines.extend(self.ceiling.iter().flat_map(|ceiling| prospects(ceiling, style)));
        }
        lines.extend(self.numbers(columns, style));
        if !self.stages.is_empty() {
            self.table(columns, style, &mut lines);
        }
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            let line = terminal::cut(line, columns);
            let is_verdict = at == 0 && self.slowest.is_some();
            text += &if is_verdict { style.paint(Paint::Strong, line) } else { line.to_owned() };
            text.push('\n');
        }
        text
    }

    fn numbers(&self, columns: usize, style: Style) -> Vec<String> {
        let into = self.into.as_ref().map(|label| short(label, style));
        if let (Some(alone), None, false) = (&into, self.peak_bytes, self.about) {
            let time = size::clock(self.elapsed);
            return vec![format!("{time}; what {alone} moved was not counted: it is alone")];
        }
        let rate = |bytes| size::rate(float(bytes) / self.elapsed.as_secs_f64());
        let peak = self.peak_bytes.map_or_else(|| "-".to_owned(), size::size);
        let moved = |taker: &Option<String>| {
            format!(
                "{}{} in, {} {}, {}, in {}, {} {}",
                if self.about { "about " } else { "" },
                size::size(self.bytes_in),
                size::size(self.bytes_out),
                taker.as_ref().map_or_else(|| "out".to_owned(), |label| format!("into {label}")),
                size::clock(self.elapsed),
                rate(self.bytes_in),
                if into.is_some() { "into it" } else { "out" },
                rate(self.bytes_out),
            )
        };
        // what it is comes last, but the numbers have to be there
        let id = into.as_ref().and_then(|label| label.split(' ').next());
        let brief = id.map(|id| format!("stage {id}"));
        let moved = Some(moved(&into))
            .filter(|line| terminal::columns(line) <= columns)
            .unwrap_or_else(|| moved(&brief));
        let tanks = format!("tanks held at most {peak} of {}", size::mark(self.memory_bytes));
        if self.about { vec![moved] } else { vec![moved, tanks] }
    }

    fn table(&self, columns: usize, style: Style, lines: &mut Vec<String>) {
        let labels: Vec<String> =
            self.stages.iter().map(|stage| short(&stage.label, style)).collect();
        let longest = labels.iter().map(|label| terminal::columns(label)).max().unwrap_or(0);
        let width = longest.max(5).min(columns.saturating_sub(SHARES + 2).max(5));
        let row = |mark: &str, label: &str, shares: [&str; 3]| {
            let label = terminal::cut(label, width);
            let padding = " ".repeat(width - terminal::columns(label));
            let [busy, paused, starved] = shares;
            format!("{mark:>3} {label}{padding}{busy:>6}{paused:>8}{starved:>9}")
        };
        lines.push(row("", "stage", ["busy", "paused", "starved"]));
        let slow = match self.slowest.as_ref().map(|slowest| &slowest.who) {
            Some(Who::Stage(label)) => Some(label),
            _ => None,
        };
        let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), size::percent);
        for (stage, label) in self.stages.iter().zip(&labels) {
            let mark = match slow {
                Some(slow) if *slow == stage.label => {
                    if style.ascii {
                        ">"
                    } else {
                        "▶"
                    }
                }
                _ => "",
            };
            let shares = [share(stage.busy), share(stage.paused), share(stage.starved)];
            lines.push(row(mark, label, [&shares[0], &shares[1], &shares[2]]));
        }
    }
}

/// The verdict in words: who, then why and what to try, each indented.
pub(super) fn verdict(slowest: &Slowest, style: Style) -> Vec<String> {
    let who = match &slowest.who {
        Who::Input => "the input".to_owned(),
        Who::Output => "the output".to_owned(),
        Who::Stage(label) => short(label, style),
        Who::Rate => "the limit of `--rate`".to_owned(),
        Who::Key => "a limit or pause by key".to_owned(),
        Who::Nobody => "no single stage".to_owned(),
    };
    let busy = match slowest.busy {
        Some(share) if share.is_finite() => format!(", busy {}", size::percent(share)),
        _ => String::new(),
    };
    let sure = match slowest.confidence {
        Some(share) if share < 0.6 => ", unsure",
        _ => "",
    };
    let mut lines = vec![format!("SLOWEST: {who}{busy}{sure}")];
    lines.extend(slowest.why.as_ref().map(|why| format!("  why: {}", style.safe(why))));
    lines.extend(slowest.advice.as_ref().map(|advice| format!("  try: {}", style.safe(advice))));
    lines
}

/// A label as it is shown here.
fn short(label: &str, style: Style) -> String {
    terminal::brief(&style.safe(label)).into_owned()
}

/// What can be gained, in words.
pub(super) fn prospects(ceiling: &Ceiling, style: Style) -> [String; 1] {
    let Twice { who, gain, next } = &ceiling.twice;
    let next = next
        .as_ref()
        .map_or_else(String::new, |next| format!(", for {} is as slow then", short(next, style)));
    let (tanks, stage) = (size::percent(ceiling.gain), size::percent(*gain));
    [format!(
        "  other tanks gain at most {tanks}; {} twice as fast, at most {stage}{next}",
        short(who, style)
    )]
}
