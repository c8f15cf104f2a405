//! What is answered with a text instead of a run?
//!
//! Help, topics, the manual page, completions: made from the tables, and nothing is looked at.

use std::ffi::{OsStr, OsString};

use super::{
    Detail, Request, UsageError, commands,
    commands::Task,
    completions, doctor,
    help::{self, long_help, short_help},
    manual, nearest, shown,
};

/// What is asked for instead of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    ShortHelp,
    LongHelp,
    /// The help of a command.
    Of(Task),
    Version,
    Completions,
    Doctor,
    Help,
}

/// Answers with a text; `rest` are the words behind the question.
pub(super) fn answer_to(
    answer: Answer,
    verbose: u8,
    mut rest: impl Iterator<Item = OsString>,
) -> Result<Request, UsageError> {
    let text = match answer {
        Answer::ShortHelp => short_help(),
        Answer::LongHelp => long_help(),
        Answer::Of(task) => help_of(task),
        Answer::Version => {
            let verbose = verbose > 0 || rest.any(|word| word == "-v" || word == "--verbose");
            return Ok(Request::Version(if verbose { Detail::Kernel } else { Detail::Number }));
        }
        Answer::Doctor => {
            let asked = doctor::parse(rest)?;
            return Ok(asked.map_or_else(|| Request::Print(help_of(Task::Doctor)), Request::Doctor));
        }
        Answer::Completions => {
            let words: Vec<OsString> = rest.by_ref().take(2).collect();
            match words.as_slice() {
                [word] | [_, word] if asks_for_help(word) => help_of(Task::Completions),
                [_, word] => return Err(unexpected(word)),
                _ => completions_for(words.into_iter().next())?,
            }
        }
        Answer::Help => {
            let topic = rest.next();
            if topic.as_deref().is_some_and(asks_for_help) {
                return Ok(Request::Print(help_of(Task::Help)));
            }
            let is_json = topic.as_deref() == Some(OsStr::new("json"));
            let text = help_for(topic)?;
            match rest.next() {
                Some(word) if is_json && word == "--schema" => help::SCHEMA.to_owned(),
                Some(word) if !asks_for_help(&word) => return Err(unexpected(&word)),
                _ => text,
            }
        }
    };
    match rest.next() {
        Some(word) if matches!(answer, Answer::Completions | Answer::Help) => {
            Err(unexpected(&word))
        }
        _ => Ok(Request::Print(text)),
    }
}

/// Whether a word behind a command asks what that is.
pub(super) fn asks_for_help(word: &OsStr) -> bool {
    word == "-h" || word == "--help"
}

fn help_of(task: Task) -> String {
    let commands = commands::COMMANDS.iter().filter(|command| command.task == task);
    commands.map(help::command_help).collect()
}

fn unexpected(word: &OsStr) -> UsageError {
    UsageError::new(format!("unexpected word `{}`", shown(word)), "leave it out")
}

fn completions_for(shell: Option<OsString>) -> Result<String, UsageError> {
    let shells = completions::SHELLS.join("`, `");
    let Some(shell) = shell else {
        let hint = format!("write one of `{shells}` behind it");
        return Err(UsageError::new("`completions` needs a shell", hint));
    };
    let name = shown(&shell);
    completions::script(&name).ok_or_else(|| {
        let hint = match nearest(&name, completions::SHELLS) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("there are completions for `{shells}`"),
        };
        UsageError::new(format!("no completions for `{name}`"), hint)
    })
}

fn help_for(topic: Option<OsString>) -> Result<String, UsageError> {
    let Some(topic) = topic else { return Ok(long_help()) };
    let name = shown(&topic);
    if name == "--man" {
        return Ok(manual::manual());
    }
    if let Some(command) = commands::by_name(&name) {
        return Ok(help::command_help(command));
    }
    if let Some((_, text)) = help::TOPICS.iter().find(|(topic, _)| *topic == name) {
        return Ok((*text).to_owned());
    }
    let known = || commands::names().chain(help::TOPICS.iter().map(|(topic, _)| *topic));
    let hint = match nearest(&name, known()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("there is help for `{}`", known().collect::<Vec<_>>().join("`, `")),
    };
    Err(UsageError::new(format!("no help for `{name}`"), hint))
}
