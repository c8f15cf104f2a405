//! How is an error, a warning or a note shown?
//!
//! What, where, what is safe, then the cure:
//!
//! ```text
//! error: cannot write `/backup/shop.zst`: no space left on device
//!   stage 3 of 3 (file), after 16.0 MiB
//!
//! hint: use `--to` on another disk
//! ```

use crate::args::UsageError;

use super::{Style, terminal::Paint};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The run fails.
    Error,
    /// The run goes on, and somebody should know.
    Warning,
    /// Worth a line.
    Note,
}

/// Something to tell, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// One line, literals in backticks, no full stop.
    pub(crate) what: String,
    /// Where it was, and what is safe; a line each.
    pub(crate) details: Vec<String>,
    /// The cure.
    pub(crate) hint: Option<String>,
}

impl Report {
    /// Begins a report of one line.
    pub(crate) fn new(severity: Severity, what: impl Into<String>) -> Self {
        Self { severity, what: what.into(), details: Vec::new(), hint: None }
    }

    /// Writes the report, its last newline included.
    pub(crate) fn render(&self, style: Style) -> String {
        let (paint, word) = match self.severity {
            Severity::Error => (Paint::Bad, "error:"),
            Severity::Warning => (Paint::Careful, "warning:"),
            Severity::Note => (Paint::Strong, "note:"),
        };
        let mut text = format!("{} {}\n", style.paint(paint, word), style.safe(&self.what));
        for detail in &self.details {
            text += &format!("  {}\n", style.safe(detail));
        }
        if let Some(hint) = &self.hint {
            if !self.details.is_empty() {
                text.push('\n');
            }
            text += &format!("{} {}\n", style.paint(Paint::Helpful, "hint:"), style.safe(hint));
        }
        text
    }
}

impl From<UsageError> for Report {
    fn from(error: UsageError) -> Self {
        Self {
            severity: Severity::Error,
            what: error.what,
            details: error.details,
            hint: error.hint,
        }
    }
}
