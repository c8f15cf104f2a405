//! How is the outcome of a run put into words?
//!
//! # Knows / never knows
//! Knows a plan, a line that is over and what was judged. Never knows colours or terminals.

use std::fmt::Write;
use std::time::Duration;

use crate::args::redirected;
use crate::end::{EndError, Finish, Unfinished, cure, reason, shown};
use crate::exec::gauge::Reading;
use crate::exec::line::Line;
use crate::exec::relay::Outcome;
use crate::exec::resolve::Missing;
use crate::exec::wall_clock;
use crate::exec::worker::Worker;
use crate::exit::{Cause, Exit, Judgement, Status};
use crate::plan::{CommandLine, EndPlan, Plan, StageKind, TankPlan};
use crate::size;
use crate::transform::Finding;
use crate::view::{Report, Severity, clipped};

/// A longer name of a stage is cut in a sentence.
const LABEL_COLUMNS: usize = 120;

/// A remark that is no failure.
pub(crate) fn note(what: String) -> Report {
    Report::new(Severity::Note, what)
}

/// How the bytes get through each tank.
pub(crate) fn paths(plan: &Plan, line: &Line) -> Report {
    let readings = line.readings();
    let tank = |(tank, reading): (&TankPlan, &Reading)| {
        format!("{} {} by {}", tank.id, size::mark(reading.high), reading.path.name())
    };
    let tanks: Vec<String> = plan.tanks.iter().zip(&readings).map(tank).collect();
    note(match tanks.as_slice() {
        [] => "no tank: the only stage has our stdin and stdout".to_owned(),
        tanks => format!("tank {}", tanks.join(", ")),
    })
}

/// An end that could not be opened or finished.
pub(crate) fn end_failed(error: EndError) -> Report {
    Report { severity: Severity::Error, what: error.what, details: error.details, hint: error.hint }
}

/// A program that cannot be started, and the exit that means.
pub(crate) fn missing(plan: &Plan, stage: usize, missing: &Missing) -> (Report, Exit) {
    let id = &plan.stages[stage].id;
    let (what, hint, exit) = match missing {
        Missing::NotFound { word, path: true, .. } => {
            (format!("{} does not exist (stage {id})", shown(word.as_ref())), None, Exit::NotFound)
        }
        Missing::NotFound { word, similar, .. } => {
            let hint = similar.as_ref().map(|similar| format!("did you mean `{similar}`?"));
            (
                format!("{} not found on PATH (stage {id})", shown(word.as_ref())),
                hint,
                Exit::NotFound,
            )
        }
        Missing::NotExecutable { path } => {
            let name = shown(path);
            let hint = match path.is_dir() {
                true => "it is a directory;".to_owned(),
                false => format!("`chmod +x {}` makes it so;", name.trim_matches('`')),
            };
            (format!("{name} is not executable (stage {id})"), Some(hint), Exit::NotExecutable)
        }
    };
    let hint = hint.map_or_else(String::new, |hint| hint + " ") + "nothing was started";
    (Report { severity: Severity::Error, what, details: Vec::new(), hint: Some(hint) }, exit)
}

/// The stage that failed first by cause.
pub(crate) fn stage_failed(
    plan: &Plan,
    line: &Line,
    judged: &Judgement,
    stage: usize,
    unfinished: &[Unfinished],
) -> Report {
    let finish = unfinished.iter().find(|one| one.stage == stage).map(|one| &one.finish);
    let mut details = Vec::new();
    let mut hint = None;
    let before = stage.checked_sub(1).and_then(|tank| line.outcome(tank));
    let what = match &plan.stages[stage].kind {
        StageKind::Command(_) => {
            let words = line.child(stage).and_then(|child| last_words(&child.last_words()));
            details.extend(words.map(|words| format!("its last words: {words}")));
            command_failed(plan, line, stage)
        }
        StageKind::Builtin(_) | StageKind::Tee { .. } => {
            details.push(place(plan, line, stage));
            builtin_failed(plan, line, stage)
        }
        StageKind::Source(end) => {
            let why = line.unreadable().map_or_else(|| "it ended".to_owned(), reason);
            details.push(place(plan, line, stage));
            format!("cannot read {}: {why}", end_name(end, "stdin"))
        }
        StageKind::Sink { end, .. } => {
            let why = match before {
                Some(Outcome::Unwritable(error)) => reason(error),
                Some(Outcome::ReaderGone) => "the other side closed it".to_owned(),
                _ => "it ended".to_owned(),
            };
            #[cfg(feature = "http")]
            if let Some(Finish::Upload(upload)) = finish
                && let Some(error) = upload.failure()
            {
                details.extend(error.details);
                details.push(place(plan, line, stage));
                details.extend(consequences(plan, line, judged));
                details.extend(published(unfinished, &line.readings()));
                let (what, hint) = (error.what, error.hint);
                return Report { severity: Severity::Error, what, details, hint };
            }
            let mut place = place(plan, line, stage);
            let unwritable = match before {
                Some(Outcome::Unwritable(error)) => Some(error),
                _ => None,
            };
            hint = unwritable.and_then(cure);
            // Who met a limit of another kind looks for it in vain there.
            if hint.is_none()
                && let Some(Finish::Publish(publication)) = finish
                && let Some(free) = publication.free_bytes()
            {
                // Writing to a String cannot fail.
                write!(place, "; {} free there", size::size(free)).ok();
            }
            details.push(place);
            format!("cannot write {}: {why}", end_name(end, "stdout"))
        }
    };
    details.extend(consequences(plan, line, judged));
    details.extend(published(unfinished, &line.readings()));
    Report { severity: Severity::Error, what, details, hint: hint.map(str::to_owned) }
}

fn command_failed(plan: &Plan, line: &Line, stage: usize) -> String {
    let mut text = format!("stage {} {}", plan.stages[stage].id, label(plan, stage));
    // Writing to a String cannot fail.
    match line.status(stage) {
        Some(Status::Signal(signal)) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("an unknown signal");
            write!(text, " was killed by {name}").ok();
        }
        Some(Status::Code(code)) => {
            write!(text, " exited with code {code}").ok();
        }
        _ => text.push_str(" failed"),
    }
    let readings = line.readings();
    let after = plan.behind(stage).next().map(|tank| readings[tank].bytes_in);
    let before =
        stage.checked_sub(1).and_then(|tank| readings.get(tank)).map(|tank| tank.bytes_out);
    if let Some(moved) = after.or(before) {
        write!(text, " after {}", size::size(moved)).ok();
    }
    text
}

fn builtin_failed(plan: &Plan, line: &Line, stage: usize) -> String {
    let named = format!("stage {} {}", plan.stages[stage].id, label(plan, stage));
    match line.worker(stage).and_then(Worker::failure) {
        Some(failure) if failure.at_bytes > 0 => {
            format!("{named}: {} at byte {}", failure.what(), size::count(failure.at_bytes))
        }
        Some(failure) => format!("{named}: {}", failure.what()),
        None => format!("{named} failed"),
    }
}

/// What a built-in found out: `sha256 = e3b0…`.
pub(crate) fn findings(plan: &Plan, stage: usize, findings: &[Finding]) -> Option<Report> {
    let told: Vec<String> =
        findings.iter().map(|found| format!("{} = {}", found.name, found.value)).collect();
    let named = format!("stage {} {}", plan.stages[stage].id, label(plan, stage));
    (!told.is_empty()).then(|| note(format!("{named}: {}", told.join(", "))))
}

fn place(plan: &Plan, line: &Line, stage: usize) -> String {
    let readings = line.readings();
    let moved = readings.get(stage.saturating_sub(1)).map_or(0, |tank| tank.bytes_out);
    let (id, number) = (&plan.stages[stage].id, (stage + 1).to_string());
    let named = if *id == number { String::new() } else { format!("{id}, ") };
    format!("stage {named}{number} of {}, after {}", plan.stages.len(), size::size(moved))
}

fn consequences(plan: &Plan, line: &Line, judged: &Judgement) -> Option<String> {
    let ends = line.ends().iter().zip(&judged.causes);
    let because = ends.filter(|(end, cause)| !end.status.is_success() && **cause != Cause::Own);
    let mut after: Vec<usize> = because.map(|(end, _)| end.stage).collect();
    after.sort_unstable();
    let ids: Vec<&str> = after.iter().map(|stage| plan.stages[*stage].id.as_str()).collect();
    let (last, rest) = ids.split_last()?;
    Some(match rest {
        [] => format!("stage {last} ended because of it"),
        rest => format!("stages {} and {last} ended because of it", rest.join(", ")),
    })
}

/// Why a run is ended before its data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A signal came.
    Signal(i32),
    /// `--timeout` is over.
    Timeout,
    /// `--stall` is over.
    Stall,
}

/// The same as it is told.
pub(crate) struct ToldCut {
    pub(crate) severity: Severity,
    /// What kind of failure, as in the schema.
    pub(crate) kind: &'static str,
    pub(crate) what: String,
    pub(crate) exit: Exit,
}

/// Tells why a run was cut short that ran for so long and moved so much.
pub(crate) fn cut(plan: &Plan, cut: Cut, ran: Duration, moved_bytes: u64) -> ToldCut {
    let limit = |limit: Option<Duration>| limit.map_or_else(String::new, size::time);
    let (severity, kind, what, exit) = match cut {
        Cut::Timeout => {
            let limit = limit(plan.timeout);
            let what = format!("not done after {limit}, the limit of `--timeout`");
            (Severity::Error, "timeout", what, Exit::Timeout)
        }
        Cut::Stall => {
            let limit = limit(plan.stall);
            let what = format!("nothing moved for {limit}, the limit of `--stall`");
            (Severity::Error, "stall", what, Exit::Timeout)
        }
        Cut::Signal(signal) => {
            let (ran, moved) = (size::time(ran), size::size(moved_bytes));
            let what = format!("stopped after {ran}; {moved} moved");
            (Severity::Note, "signal", what, Exit::Signal(signal))
        }
    };
    ToldCut { severity, kind, what, exit }
}

/// What became of the outputs of a run that failed.
pub(crate) fn published(unfinished: &[Unfinished], tanks: &[Reading]) -> Vec<String> {
    unfinished.iter().filter_map(|one| became(one, tanks)).collect()
}

fn became(one: &Unfinished, tanks: &[Reading]) -> Option<String> {
    match &one.finish {
        Finish::Tell => None,
        Finish::Publish(publication) if publication.previous_exists() => {
            Some(format!("nothing was published; the previous {} is untouched", publication.name()))
        }
        Finish::Publish(publication) => Some(format!("{} was not written", publication.name())),
        #[cfg(feature = "http")]
        Finish::Upload(upload) => {
            Some(format!("`{}` was not written: its end was not sent", upload.name()))
        }
        Finish::Appended { path, before } => {
            let tank = one.stage.checked_sub(1);
            let moved = tank.and_then(|tank| Some(tanks.get(tank)?.bytes_out));
            let (moved, before) = (size::count(moved.unwrap_or(0)), size::count(*before));
            let name = shown(path);
            Some(format!("{moved} bytes were added in place; {name} had {before} before"))
        }
    }
}

/// What a shell has written itself, of which nobody knows whether it is whole. By the index of the stage.
pub(crate) fn shell_written(plan: &Plan) -> Vec<(usize, String)> {
    let stages = plan.stages.iter().enumerate();
    let texts = stages.filter_map(|(stage, planned)| match &planned.kind {
        StageKind::Command(CommandLine::Shell(text)) => Some((stage, text)),
        _ => None,
    });
    texts
        .flat_map(|(stage, text)| {
            let mut files = redirected(text);
            // not a FIFO, and not one that was never opened
            files.retain(|one| std::fs::metadata(&one.file).is_ok_and(|found| found.is_file()));
            let is_last = stage + 1 == plan.stages.len() && files.len() == 1;
            files.into_iter().map(move |one| {
                let (sign, file) = (if one.appends { ">>" } else { ">" }, one.file);
                let what = format!("`{sign} {file}` is written by the shell and may be incomplete");
                let cure = match is_last && !one.appends {
                    true => format!("; `-o {file}` writes it only on success"),
                    false => String::new(),
                };
                (stage, what + &cure)
            })
        })
        .collect()
}

/// A stage that stopped reading early and ended well.
pub(crate) fn stopped_early(plan: &Plan, line: &Line, stage: usize, unread: Option<u64>) -> String {
    let mut text =
        format!("stage {} {} stopped reading", plan.stages[stage].id, label(plan, stage));
    let readings = line.readings();
    if let Some(tank) = stage.checked_sub(1).and_then(|tank| readings.get(tank)) {
        let took = tank.bytes_in.saturating_sub(unread.unwrap_or(0));
        // Writing to a String cannot fail.
        write!(text, " after {} bytes and exited 0", size::count(took)).ok();
    }
    if let Some(unread) = unread {
        write!(text, "; {} bytes were left unread", size::count(unread)).ok();
    }
    text
}

/// Whom a line in which nothing moves is waiting for: the last stage that leaves bytes in the tank before it, or the
/// first one, if there are none.
pub(crate) fn waited_for(plan: &Plan, line: &Line, idle: Duration) -> Option<(usize, String)> {
    let readings = line.readings();
    let since = wall_clock().checked_sub(idle)?;
    // The time of day alone: `2026-11-23T09:14:13Z`.
    let since = humantime::format_rfc3339_seconds(since).to_string();
    let since = since.get(11..19)?;
    let tank = readings.iter().rposition(|reading| reading.level > 0);
    let (stage, verb, id, state) = match tank {
        Some(tank) => {
            let full = readings[tank].shut || readings[tank].level >= readings[tank].high;
            let held = format!("holds {}", size::size(readings[tank].level));
            (tank + 1, "read", &plan.tanks[tank].id, if full { "is full".to_owned() } else { held })
        }
        None => (0, "written", &plan.tanks.first()?.id, "is empty".to_owned()),
    };
    let who = format!("stage {} {}", plan.stages[stage].id, label(plan, stage));
    Some((stage, format!("{who} has not {verb} since {since} UTC (tank {id} {state})")))
}

/// A stage as it is named in a sentence. One may be a script of many lines, and the sentence goes on behind it.
pub(crate) fn label(plan: &Plan, stage: usize) -> String {
    format!("`{}`", clipped(&plan.stages[stage].label, LABEL_COLUMNS))
}

/// An end as it is named in a sentence.
fn end_name(end: &EndPlan, stdio: &str) -> String {
    match end {
        EndPlan::Stdio => stdio.to_owned(),
        other => format!("`{}`", other.label()),
    }
}

/// The last line with something in it.
fn last_words(lines: &[String]) -> Option<String> {
    let line = lines.iter().rev().find(|line| !line.trim().is_empty())?;
    Some(line.clone())
}
