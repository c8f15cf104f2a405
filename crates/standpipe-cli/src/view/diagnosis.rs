//! How is what the doctor found put on the screen?

use std::time::Duration;

use serde_json::json;

use super::{Ceiling, Slowest, Style, Who, event, summary};
use crate::size;

/// What a look at a running pipeline found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Diagnosis {
    /// The verdict; with none `cannot_tell` says why.
    pub(crate) slowest: Option<Slowest>,
    /// Why there is no verdict.
    pub(crate) cannot_tell: Option<String>,
    /// What can be gained at most, where that is certain.
    pub(crate) ceiling: Option<Ceiling>,
    /// How far it can be trusted.
    pub(crate) notes: Vec<String>,
    /// How long it was looked at.
    pub(crate) watched: Duration,
    /// Times and bytes are those that the run itself has counted.
    pub(crate) exact: bool,
    /// What is wrong; a slow stage is not.
    pub(crate) findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Its name, the same for ever.
    pub(crate) name: &'static str,
    /// What was seen.
    pub(crate) says: String,
    /// What to do next.
    pub(crate) advice: Option<String>,
    /// It was said to be known.
    pub(crate) allowed: bool,
}

impl Diagnosis {
    /// Writes it as one line of JSON.
    pub(crate) fn json(&self) -> String {
        let who = |slowest: &Slowest| match &slowest.who {
            Who::Stage(label) if slowest.busy.is_some() => Some(label.clone()),
            _ => None,
        };
        // what is no stage has no name but in the reason
        let because = |slowest: &Slowest| match (&slowest.who, &slowest.why) {
            (Who::Stage(limit), Some(why)) if slowest.busy.is_none() => {
                Some(format!("{limit}: {why}"))
            }
            (_, why) => why.clone(),
        };
        let slowest = self.slowest.as_ref().map(|slowest| {
            json!({
                "stage": who(slowest),
                "busy": slowest.busy,
                "confidence": slowest.confidence,
                "because": because(slowest),
                "advice": slowest.advice,
            })
        });
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "name": finding.name,
                    "says": finding.says,
                    "advice": finding.advice,
                    "allowed": finding.allowed,
                })
            })
            .collect();
        let object = json!({
            "v": 1,
            "event": "doctor",
            "watched_ms": u64::try_from(self.watched.as_millis()).unwrap_or(u64::MAX),
            "exact": self.exact,
            "slowest": slowest,
            "ceiling": self.ceiling.as_ref().map(|ceiling| {
                json!({
                    "gain": event::thousandths(ceiling.gain),
                    "twice": {
                        "stage": ceiling.twice.who,
                        "gain": event::thousandths(ceiling.twice.gain),
                        "next": ceiling.twice.next,
                    },
                })
            }),
            "cannot_tell": self.cannot_tell,
            "notes": self.notes,
            "findings": findings,
        });
        format!("{object}\n")
    }

    /// Writes it in words.
    pub(super) fn render(&self, style: Style) -> String {
        let mut lines = Vec::new();
        match (&self.slowest, &self.cannot_tell) {
            (Some(slowest), _) => {
                let [head, rest @ ..] = &summary::verdict(slowest, style)[..] else {
                    return String::new();
                };
                let by = if self.exact { ", by its own count" } else { "" };
                lines.push(format!("{head} (last {}{by})", size::time(self.watched)));
                lines.extend(rest.iter().cloned());
                let ceiling = self.ceiling.iter();
                lines.extend(ceiling.flat_map(|ceiling| summary::prospects(ceiling, style)));
            }
            (None, Some(why)) => lines.push(format!("cannot tell: {}", style.safe(why))),
            (None, None) => {}
        }
        lines.extend(self.notes.iter().map(|note| format!("  note: {}", style.safe(note))));
        if self.findings.is_empty() {
            lines.push("findings: none".to_owned());
        } else {
            lines.push("findings:".to_owned());
        }
        for finding in &self.findings {
            let allowed = if finding.allowed { " (allowed)" } else { "" };
            lines.push(format!("  {}{allowed}: {}", finding.name, style.safe(&finding.says)));
            lines.extend(
                finding.advice.iter().map(|advice| format!("    try: {}", style.safe(advice))),
            );
        }
        lines.join("\n") + "\n"
    }
}
