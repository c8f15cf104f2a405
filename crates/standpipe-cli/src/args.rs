//! What was typed?
//!
//! # Knows / never knows
//! Knows flags and the shape of the command line. Never knows what they mean together: `plan`
//! does. Words stay `OsString`, byte for byte.

use std::fmt;

/// Which display is wanted on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ViewChoice {
    /// What suits stderr and the form of the run.
    #[default]
    Auto,
    /// One line, redrawn in place.
    Line,
    /// A line each 10 s, for logs.
    Plain,
    /// Nothing but errors.
    None,
}

/// When to do what needs no asking otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// When it seems useful; each option says how that is judged.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// Whether the kernel may move the bytes itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fast {
    /// Wherever it can.
    #[default]
    Auto,
    /// Nowhere: every tank is in user memory.
    Never,
}

/// How a run wants to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Display {
    /// `--view`.
    pub(crate) view: ViewChoice,
    /// `--summary`; `Auto` prints it at a terminal and after a failure.
    pub(crate) summary: When,
    /// `--color`.
    pub(crate) color: When,
    /// `--ascii`.
    pub(crate) ascii: bool,
    /// `-q`: errors only.
    pub(crate) quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
}

/// A command line that cannot be run. Its exit code is 125.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsageError {
    /// What is wrong, with the refused value; no `error:` in front, no full stop.
    pub(crate) what: String,
    /// Lines that add numbers, each shown indented.
    pub(crate) details: Vec<String>,
    /// The cure, no `hint:` in front.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for UsageError {}
