//! How does a run begin, and how is it certain that its end is told?
//!
//! What was typed becomes a plan, and the record is opened before anything can fail. Whatever comes of the run, a
//! panic included, comes back here, where the last line is written and waited for.
//!
//! # Knows / never knows
//! Knows the order of beginning and end. Never knows what happens between: `command/run` does.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::args::{Environment, EventsTo, Typed, UsageError, ViewChoice};
use crate::command::door;
use crate::command::record::{HURRIED, Record};
use crate::command::run::run;
use crate::command::screen::{Failure, Screen};
use crate::command::signals::Inbox;
use crate::end::{self, EndError};
use crate::exec::stdio::share_a_terminal;
use crate::exit::Exit;
use crate::plan::{Plan, StageKind};
use crate::view::{Report, Severity, View};

/// Runs what was typed; all that is to be said has been said when it returns.
pub(crate) fn begin(typed: Typed, environment: &Environment) -> Exit {
    let (events, mut display) = (typed.events.clone(), typed.display);
    let plan = typed.load().and_then(|typed| Plan::new(typed, environment));
    let name = plan.as_ref().ok().and_then(|plan| plan.name.clone());
    let mixes = |plan: &Plan| plan.writes_stdout() && share_a_terminal();
    if let (ViewChoice::Auto, Ok(plan)) = (display.view, &plan) {
        display.view = match plan {
            // What is redrawn would get between the lines of the data.
            plan if mixes(plan) => ViewChoice::None,
            plan if plan.filter => ViewChoice::Line,
            _ => ViewChoice::Tanks,
        };
    }
    let screen_with = |record| Screen::new(&display, name.as_deref(), record);
    let clash = events.as_ref().zip(plan.as_ref().ok()).map(|(to, plan)| check_events(plan, to));
    if let Some(Err(error)) = clash {
        return refuse(&screen_with(None), error);
    }
    let is_wanted = events.is_some() || door::is_possible();
    let record = match is_wanted.then(|| Record::open(events.as_ref())).transpose() {
        Ok(record) => record.map(Arc::new),
        Err(error) => return screen_with(None).refuse(None, error),
    };
    let screen = screen_with(record.clone());
    if display.events_on_stderr {
        // What a panic says would get between the events; it is told as the cause of the end.
        std::panic::set_hook(Box::new(|_| {}));
    }
    if let Some(glass) = screen.whole() {
        // What a panic says is to be read.
        let say = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            glass.give_back();
            say(panic);
        }));
    }
    let inbox = match (Inbox::open(screen.whole()), plan) {
        (_, Err(error)) => Err(refuse(&screen, error)),
        (Err(error), _) => {
            Err(screen.refuse(None, EndError::of_start("cannot handle signals", &error)))
        }
        (Ok(inbox), Ok(plan)) => Ok((inbox, plan)),
    };
    if inbox.is_ok() {
        screen.keep_going();
    }
    let exit = match &inbox {
        Err(exit) => *exit,
        Ok((inbox, plan)) => guarded(&screen, || run(plan, inbox, &screen)),
    };
    screen.show(View::close);
    let inbox = inbox.as_ref().ok().map(|(inbox, _)| inbox);
    if let Some(record) = &record {
        record.close(exit);
    }
    finish(&screen, inbox, exit);
    if let Some(record) = record {
        record.wait(inbox);
        if let (Some(error), Some(to)) = (record.failure(), &events) {
            // The data is what it would have been; but who looks at the record takes the run for one that was killed.
            screen.show(|view| view.report(&record_cut(to, &error, exit)));
            finish(&screen, inbox, exit);
        }
    }
    exit
}

/// Waits until stderr has taken all that was said. Who wanted the run to end does not want to wait for its words.
fn finish(screen: &Screen, inbox: Option<&Inbox>, exit: Exit) {
    let is_cut = matches!(exit, Exit::Signal(_) | Exit::Timeout);
    if let Some(inbox) = inbox {
        screen.finish(inbox, is_cut.then_some(HURRIED));
    }
}

/// Says that the record ends before the run did.
fn record_cut(to: &EventsTo, error: &io::Error, exit: Exit) -> Report {
    let name = match to {
        EventsTo::Stderr => "stderr".to_owned(),
        EventsTo::Fd(number) => format!("`fd:{number}`"),
        EventsTo::File(path) => end::shown(path),
    };
    let error = EndError::of(format!("cannot write events to {name}"), error);
    let code = exit.code();
    let details =
        vec![format!("they have no `end`; the run went on without them, its exit code is {code}")];
    Report { severity: Severity::Warning, what: error.what, details, hint: error.hint }
}

/// Refuses events that would get into the data, whatever the file is called there.
fn check_events(plan: &Plan, to: &EventsTo) -> Result<(), UsageError> {
    plan.check_events(to)?;
    let EventsTo::File(path) = to else { return Ok(()) };
    let mut ends = plan.stages.iter().filter_map(|stage| match &stage.kind {
        StageKind::Source(end) => Some((end, 0)),
        StageKind::Sink { end, .. } | StageKind::Tee { end, .. } => Some((end, 1)),
        StageKind::Command(_) | StageKind::Builtin(_) => None,
    });
    match ends.find(|(end, standard)| end::is_at(end, *standard, path)) {
        Some((end, _)) => Err(UsageError::new(
            format!("the events of `--json` would get into `{}`", end.label()),
            "write the events to another FILE, or to stderr with `--json` alone",
        )),
        None => Ok(()),
    }
}

fn refuse(screen: &Screen, error: UsageError) -> Exit {
    screen.fail(Failure { kind: "usage", stage: None }, &error.into());
    Exit::Standpipe
}

/// Makes a panic of ours an exit like any other.
fn guarded(screen: &Screen, run: impl FnOnce() -> Exit) -> Exit {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let what = format!("a bug in standpipe ended the run: {}", said.unwrap_or("it panicked"));
        let report = Report::new(Severity::Error, what);
        screen.fail(Failure { kind: "internal", stage: None }, &report);
        Exit::Standpipe
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Display, EventsTo};

    #[test]
    fn a_panic_has_its_end_too() {
        let file = std::env::temp_dir().join(format!("standpipe-panic-{}", std::process::id()));
        let record = Record::open(Some(&EventsTo::File(file.clone()))).expect("it is writable");
        let record = Arc::new(record);
        let display = Display { events_on_stderr: true, ..Display::default() };
        let screen = Screen::new(&display, None, Some(Arc::clone(&record)));
        let exit = guarded(&screen, || panic!("stage {} of 2", 3));
        record.close(exit);
        record.wait(None);
        let text = std::fs::read_to_string(&file).expect("it is there");
        std::fs::remove_file(&file).expect("it is ours");
        assert_eq!(exit, Exit::Standpipe);
        assert_eq!(text.lines().count(), 1);
        for part in
            ["\"event\":\"end\"", "\"exit_code\":125", "\"kind\":\"internal\"", "stage 3 of 2"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
