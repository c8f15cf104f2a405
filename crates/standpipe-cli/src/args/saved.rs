//! What does a pipeline file say?
//!
//! A file is the command line written down: its options are read by the same rules as flags, its
//! stages become words for the plan. Nothing is guessed: an unknown key is an error with its line,
//! because a misspelled `strict` that is silently ignored costs data. Options of the command line
//! beat the file's.
//!
//! # Knows / never knows
//! Knows keys, lines and types. Never knows what stages mean together: `plan` does.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, stdin},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::size::Amount;

use super::{Form, Full, Limit, Typed, UsageError, shown};

mod page;
mod read;

/// A pipeline file larger than this is something else.
const MOST_BYTES: u64 = 1 << 20;

/// What a pipeline file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    /// `name`.
    pub(crate) name: Option<String>,
    /// `memory`.
    pub(crate) memory: Option<Amount>,
    /// `total`.
    pub(crate) total: Option<Amount>,
    /// `rate`.
    pub(crate) rate: Option<Limit>,
    /// `stall`.
    pub(crate) stall: Option<Duration>,
    /// `timeout`.
    pub(crate) timeout: Option<Duration>,
    /// `drain`.
    pub(crate) drain: Option<Duration>,
    /// `strict`.
    pub(crate) strict: bool,
    /// The stages as they stand in the file; never empty.
    pub(crate) stages: Vec<SavedStage>,
}

/// One `[[stage]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedStage {
    /// `id`, or its number in the file; no two are equal.
    pub(crate) id: String,
    /// Where it stands, for errors: `` `p.toml`, line 7: [[stage]] ``.
    pub(crate) place: String,
    /// What it is.
    pub(crate) work: Work,
    /// `input`: the stage it reads from; without it, the one above.
    pub(crate) input: Option<String>,
    /// `tank`, before this stage; `None` is `auto`.
    pub(crate) tank: Option<Amount>,
    /// `low`.
    pub(crate) low: Option<Amount>,
    /// `stderr`.
    pub(crate) stderr: Stderr,
    /// `overwrite`.
    pub(crate) overwrite: bool,
    /// `append`.
    pub(crate) append: bool,
    /// `full`.
    pub(crate) full: Option<Full>,
}

/// What a stage of a file does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// `exec`: a program and its arguments, never empty.
    Exec(Vec<OsString>),
    /// `shell`: for `sh -c`.
    Shell(OsString),
    /// `from`.
    From(OsString),
    /// `to`.
    To(OsString),
}

/// What becomes of what a command says on stderr.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stderr {
    /// Each line is shown behind the command's name.
    #[default]
    Prefix,
    /// The command writes to our stderr itself.
    Inherit,
    /// It is not shown; its end still explains a failure.
    Drop,
    /// It is added to this file.
    File(PathBuf),
}

impl Typed {
    /// Reads the pipeline file, if one was given, and adds what it says.
    ///
    /// # Errors
    /// If it cannot be read or understood; nothing in it is used then.
    pub(crate) fn load(mut self) -> Result<Self, UsageError> {
        let Form::File(path) = &self.form else { return Ok(self) };
        // what an editor of another system put at the ends of lines is no part of a command
        let text = contents(path)?.replace("\r\n", "\n");
        let saved = read::read(&text, &name(path))?;
        self.name = self.name.or_else(|| saved.name.clone().map(OsString::from));
        self.memory = self.memory.or(saved.memory);
        self.total = self.total.or(saved.total);
        self.rate = self.rate.or(saved.rate);
        self.stall = self.stall.or(saved.stall);
        self.timeout = self.timeout.or(saved.timeout);
        self.drain = self.drain.or(saved.drain);
        self.strict |= saved.strict;
        if path == "-" {
            check_stdin(&self, &saved)?;
        }
        self.form = Form::Saved(saved.stages);
        Ok(self)
    }
}

/// Names the file as it is shown.
fn name(path: &OsStr) -> String {
    if path == "-" { "stdin".to_owned() } else { format!("`{}`", shown(path)) }
}

/// Reads all of a file, unless that is too much for a pipeline.
fn contents(path: &OsStr) -> Result<String, UsageError> {
    let mut bytes = Vec::new();
    let limited = |from: &mut dyn Read, bytes: &mut Vec<u8>| {
        from.take(MOST_BYTES + 1).read_to_end(bytes).map(|_| ())
    };
    let result = if path == "-" {
        limited(&mut stdin().lock(), &mut bytes)
    } else {
        File::open(Path::new(path)).and_then(|mut file| limited(&mut file, &mut bytes))
    };
    result.map_err(|error| unreadable(path, &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST_BYTES {
        return Err(UsageError::new(
            format!("{} has more than 1 MiB: it is no pipeline file", name(path)),
            "`-f` takes the file that describes the pipeline; data is read by `--from`",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        UsageError::new(
            format!("{} is not UTF-8, as a pipeline file has to be, at line {line}", name(path)),
            "a name with other bytes can only be given on the command line",
        )
    })
}

fn unreadable(path: &OsStr, error: &io::Error) -> UsageError {
    let text = error.to_string().to_lowercase();
    let reason = text.split(" (os error").next().unwrap_or_default();
    UsageError {
        what: format!("cannot read {}: {reason}", name(path)),
        details: Vec::new(),
        hint: (error.kind() == io::ErrorKind::NotFound).then(|| {
            "a pipeline file is read here; its path is relative to the working directory".to_owned()
        }),
    }
}

/// Stdin cannot hold the pipeline and the data.
fn check_stdin(typed: &Typed, saved: &Saved) -> Result<(), UsageError> {
    let reads = |word: &OsString| word == "-" || word == "fd:0";
    let from = match (&typed.from, saved.stages.first().map(|stage| &stage.work)) {
        (Some(word), _) | (None, Some(Work::From(word))) => Some(word),
        _ => None,
    };
    if from.is_some_and(|word| !reads(word)) {
        return Ok(());
    }
    Err(UsageError::new(
        "stdin is the pipeline file, so the first stage cannot read it, too",
        "begin the file with a stage that has `from`, or give `--from`",
    ))
}

#[cfg(test)]
mod tests;
