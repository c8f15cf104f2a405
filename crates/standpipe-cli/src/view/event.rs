//! What does a run say to a program that watches it?
//!
//! One event is one line of JSON; `events.schema.json` beside the crate says what each field means. Text from
//! outside becomes [`Safe`] on its way in, so no line can carry a control character or a byte that is not UTF-8.
//!
//! # Knows / never knows
//! Knows the fields and their names, which are a promise. Never knows where a line goes nor when.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::args::shown;

/// Text somebody else may have written: control and bidi characters are escaped when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Safe(String);

impl Safe {
    /// Escapes each line and keeps them apart: JSON can carry a newline.
    pub(crate) fn lines(lines: &[String]) -> Self {
        Self(lines.iter().map(shown).collect::<Vec<_>>().join("\n"))
    }
}

impl<T: AsRef<std::ffi::OsStr>> From<T> for Safe {
    fn from(text: T) -> Self {
        Self(shown(text))
    }
}

impl Serialize for Safe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Event {
    /// Everything has been started.
    Start(Start),
    /// How things are.
    Sample(Sample),
    /// Another stage is the slowest.
    Slowest(SlowestChange),
    /// A tank shut.
    Pause(TankTurn),
    /// A tank opened again.
    Resume(TankTurn),
    /// The source was told to stop, the tanks run dry.
    Drain(Drain),
    /// Somebody should know.
    Warning(Warning),
    /// A stage has ended.
    StageExit(StageExit),
    /// The run has ended; nothing comes after it.
    End(End),
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Sample(_) => "sample",
            Self::Slowest(_) => "slowest",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Drain(_) => "drain",
            Self::Warning(_) => "warning",
            Self::StageExit(_) => "stage_exit",
            Self::End(_) => "end",
        }
    }

    /// Writes the line, its newline included.
    pub(crate) fn render(&self, run: &str, at: SystemTime) -> String {
        let t = humantime::format_rfc3339_millis(at).to_string();
        let line = Line { v: 1, event: self.name(), t, run, body: self };
        // No map with keys that are not text, no number that is not finite: it cannot fail.
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    }
}

#[derive(Serialize)]
struct Line<'event> {
    v: u8,
    event: &'static str,
    t: String,
    run: &'event str,
    #[serde(flatten)]
    body: &'event Event,
}

/// Everything has been started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Start {
    pub(crate) name: Option<Safe>,
    pub(crate) pid: u32,
    pub(crate) memory_limit: u64,
    pub(crate) total_bytes: Option<u64>,
    /// What the source may bring at most, in bytes per second.
    pub(crate) rate_limit: Option<u64>,
    pub(crate) stages: Vec<StartStage>,
    pub(crate) tanks: Vec<StartTank>,
}

/// A stage that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StartStage {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) label: Safe,
    pub(crate) pid: Option<u32>,
}

/// A tank that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StartTank {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) unit: &'static str,
    pub(crate) high: u64,
    pub(crate) low: Option<u64>,
    /// What becomes of bytes that come while it is full, if they do not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) full: Option<&'static str>,
    pub(crate) path: &'static str,
}

/// How things are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) seq: u64,
    pub(crate) elapsed_ms: u64,
    pub(crate) interval_ms: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) eta_ms: Option<u64>,
    pub(crate) memory: Memory,
    pub(crate) stages: Vec<SampleStage>,
    pub(crate) tanks: Vec<SampleTank>,
    pub(crate) slowest: Option<Verdict>,
    pub(crate) dropped_samples: u64,
    pub(crate) dropped_events: u64,
}

/// What the tanks hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    pub(crate) used: u64,
    pub(crate) kernel: u64,
    pub(crate) peak: u64,
}

/// Where a stage is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SampleStage {
    pub(crate) id: String,
    pub(crate) in_bytes: u64,
    pub(crate) out_bytes: u64,
    pub(crate) busy: f64,
    pub(crate) paused: f64,
    pub(crate) starved: f64,
    /// The least that it has worked since the start.
    pub(crate) work_ms: Option<u64>,
}

/// What a tank has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SampleTank {
    pub(crate) id: String,
    pub(crate) level: u64,
    pub(crate) in_bytes: u64,
    pub(crate) out_bytes: u64,
    pub(crate) pauses: u64,
    pub(crate) full_ms: u64,
    pub(crate) empty_ms: u64,
    /// Time its writer was held back on purpose, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_ms: Option<u64>,
    /// Bytes left out on purpose, because the tank was full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped_bytes: Option<u64>,
    pub(crate) path: &'static str,
}

/// A stage that is the slowest; none if no single one is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) stage: Option<String>,
    pub(crate) confidence: Option<f64>,
}

/// Another stage is the slowest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SlowestChange {
    pub(crate) stage: Option<String>,
    pub(crate) previous: Option<String>,
    pub(crate) window_ms: u64,
    pub(crate) confidence: Option<f64>,
    pub(crate) because: Safe,
}

/// A tank that shut or opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TankTurn {
    pub(crate) tank: String,
}

/// The tanks run dry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Drain {
    pub(crate) bytes_left: u64,
}

/// Somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    pub(crate) code: &'static str,
    pub(crate) stage: Option<String>,
    pub(crate) message: Safe,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unread_bytes: Option<u64>,
}

/// A stage has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StageExit {
    pub(crate) stage: String,
    pub(crate) exit_code: Option<u8>,
    pub(crate) signal: Option<&'static str>,
    pub(crate) cause: String,
    pub(crate) stderr_tail: Safe,
}

/// The run has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct End {
    pub(crate) status: &'static str,
    pub(crate) exit_code: u8,
    pub(crate) failed: Option<Failed>,
    pub(crate) elapsed_ms: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) memory_peak: u64,
    pub(crate) complete: bool,
    pub(crate) outputs: Vec<Output>,
    pub(crate) slowest: Vec<Share>,
    pub(crate) ceiling: Option<Ceiling>,
    pub(crate) dropped_samples: u64,
    pub(crate) dropped_events: u64,
}

/// The first cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failed {
    pub(crate) stage: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) message: Safe,
    pub(crate) details: Vec<Safe>,
    pub(crate) hint: Option<Safe>,
}

/// A file that was to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Output {
    pub(crate) path: Safe,
    pub(crate) published: bool,
}

/// The share of the time in which a stage was the slowest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) stage: String,
    pub(crate) share: f64,
}

/// The most that can be gained, in throughput over throughput now, less 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ceiling {
    /// The stage that is the limit then.
    pub(crate) stage: String,
    /// By other tanks.
    pub(crate) gain: f64,
    pub(crate) twice: Vec<Twice>,
}

/// What can be gained if a stage were twice as fast.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Twice {
    pub(crate) stage: String,
    pub(crate) gain: f64,
    /// The stage that is the limit then, if it is another one.
    pub(crate) next: Option<String>,
}

/// Rounds a gain up to three digits: it is the most, and is to stay that.
pub(crate) fn thousandths(gain: f64) -> f64 {
    if gain.is_finite() { (gain.max(0.0) * 1e3).ceil() / 1e3 } else { 0.0 }
}

/// Rounds a share to what is worth a line: four digits, 0 to 1, and 0 for what is no number.
pub(crate) fn rounded(share: f64) -> f64 {
    if share.is_finite() { (share.clamp(0.0, 1.0) * 1e4).round() / 1e4 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_begins_with_what_every_line_has_and_carries_no_control_characters() {
        let warning = Warning {
            code: "stderr",
            stage: Some("2".to_owned()),
            message: "a \u{1b}[31mred\u{202e} \"word\"\n".into(),
            unread_bytes: None,
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(951_782_400_007);
        assert_eq!(
            Event::Warning(warning).render("abc", at),
            "{\"v\":1,\"event\":\"warning\",\"t\":\"2000-02-29T00:00:00.007Z\",\"run\":\"abc\",\
             \"code\":\"stderr\",\"stage\":\"2\",\
             \"message\":\"a \\\\u{1b}[31mred\\\\u{202e} \\\"word\\\"\\\\n\"}\n"
        );
    }

    #[test]
    fn a_gain_is_rounded_up() {
        for (gain, expected) in [(0.0, 0.0), (0.0301, 0.031), (12.3, 12.3), (-1.0, 0.0)] {
            assert!((thousandths(gain) - expected).abs() < 1e-12, "{gain}");
        }
    }

    #[test]
    fn shares_are_numbers_of_four_digits() {
        for (share, expected) in
            [(0.123_46, 0.1235), (1.5, 1.0), (-0.1, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 0.0)]
        {
            assert!((rounded(share) - expected).abs() < 1e-12, "{share}");
        }
    }
}
