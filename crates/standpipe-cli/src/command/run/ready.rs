//! What has to be there before anything is started?
//!
//! Outputs are checked, programs looked up, ends opened, in this order: what can be refused is refused before the work
//! of anybody is lost. An end that waits for a peer is waited for where signals still reach us.
//!
//! # Knows / never knows
//! Knows a plan and what it is to be opened as. Never knows how a line is started from it: `command/run` does.

use std::time::Instant;

use crate::args::{Full, Stderr};
use crate::command::patience::{Patience, Undone, attend};
use crate::command::report;
use crate::command::screen::{Failure, Remark, Screen};
use crate::command::signals::Inbox;
use crate::end::{self, EndError, Finish, Sink, Source, Unfinished};
use crate::exec::child::Words;
use crate::exec::line::Part;
use crate::exec::now;
use crate::exec::port::Port;
use crate::exec::resolve::resolve;
use crate::exec::worker::Work;
use crate::exit::Exit;
use crate::plan::{EndPlan, Plan, StageKind, StagePlan};
use crate::transform;
use crate::view::{Report, Severity};

/// What a line is started from.
pub(super) struct Ready {
    pub(super) parts: Vec<Part>,
    /// The outputs, of which something remains to be done.
    pub(super) unfinished: Vec<Unfinished>,
    pub(super) total: Option<u64>,
    /// What was said while it was opened.
    pub(super) remarks: Vec<(Remark, Report)>,
}

/// Looks the outputs and the programs up; nothing is opened.
///
/// # Errors
/// The exit of a run that cannot start. What is wrong has been told.
pub(crate) fn vet(plan: &Plan, screen: &Screen) -> Result<(), Exit> {
    let mut places = Vec::new();
    let source = plan.stages.first().and_then(|stage| match &stage.kind {
        StageKind::Source(end) => Some(end),
        _ => None,
    });
    for (index, stage) in plan.stages.iter().enumerate() {
        match &stage.kind {
            StageKind::Sink { end, publish } | StageKind::Tee { end, publish } => {
                let full = index.checked_sub(1).map_or(Full::Wait, |tank| plan.tanks[tank].full);
                end::check_sink(end, *publish, full)
                    .and_then(|()| end::check_place(end, &mut places))
                    .and_then(|()| {
                        source.map_or(Ok(()), |read| end::check_loop(read, end, *publish))
                    })
                    .map_err(|error| screen.refuse(Some(&stage.id), error))?;
            }
            StageKind::Command(line) => resolve(line).map_err(|missing| {
                let (message, exit) = report::missing(plan, index, &missing);
                screen.fail(Failure { kind: "start", stage: Some(&stage.id) }, &message);
                exit
            })?,
            StageKind::Builtin(builtin) => {
                if let Some(what) = transform::missing(*builtin) {
                    let (id, label) = (&stage.id, report::label(plan, index));
                    let error =
                        EndError::new(format!("stage {id} {label}: this build has no {what}"));
                    let hint = "use the program of that name; nothing was started";
                    return Err(screen.refuse(Some(id), error.hint(hint)));
                }
            }
            StageKind::Source(_) => {}
        }
    }
    Ok(())
}

/// Checks and opens all that the line needs, before any of it is started.
pub(super) fn prepare(
    plan: &Plan,
    inbox: &Inbox,
    screen: &Screen,
    begun: Instant,
) -> Result<Ready, Exit> {
    vet(plan, screen)?;
    let mut ready = Ready {
        parts: Vec::new(),
        unfinished: Vec::new(),
        total: plan.total_bytes,
        remarks: Vec::new(),
    };
    let mut length = None;
    for (index, stage) in plan.stages.iter().enumerate() {
        ready.parts.push(match &stage.kind {
            StageKind::Command(line) => {
                let wanted = match &stage.stderr {
                    // Nothing gets between the events.
                    Stderr::Inherit if plan.display.events_on_stderr => &Stderr::Prefix,
                    wanted => wanted,
                };
                let words = words(wanted).map_err(|error| screen.refuse(Some(&stage.id), error))?;
                Part::Command(line.clone(), words)
            }
            StageKind::Builtin(builtin) => Part::Builtin(Work::Transform(*builtin)),
            StageKind::Tee { end, publish } => {
                let publish = *publish;
                let open = move |end: &EndPlan| end::open_sink(end, publish, None);
                let (port, unfinished) = patiently(plan, end, open, (inbox, begun))
                    .and_then(|sink| beside(index, sink))
                    .map_err(|undone| undone.exit(&stage.id, screen))?;
                ready.unfinished.extend(unfinished);
                Part::Builtin(Work::Tee(port, format!("`{}`", end.label())))
            }
            StageKind::Source(end) => {
                ready.remarks.extend(warn(screen, plan, stage, end.warnings()));
                let source: Source = patiently(plan, end, end::open_source, (inbox, begun))
                    .map_err(|undone| undone.exit(&stage.id, screen))?;
                ready.remarks.extend(warn(screen, plan, stage, source.notes));
                ready.total = ready.total.or(source.total);
                length = source.total.filter(|_| plan.filter);
                Part::Source(source.feed, source.limit)
            }
            StageKind::Sink { end, publish } => {
                ready.remarks.extend(warn(screen, plan, stage, end.warnings()));
                let publish = *publish;
                let open = move |end: &EndPlan| end::open_sink(end, publish, length);
                let sink: Sink = patiently(plan, end, open, (inbox, begun))
                    .map_err(|undone| undone.exit(&stage.id, screen))?;
                ready.unfinished.push(Unfinished { stage: index, finish: sink.finish, port: None });
                Part::Sink(sink.port)
            }
        });
    }
    Ok(ready)
}

/// Divides a sink that a stage writes beside its output: what the stage takes, and what remains to be done.
fn beside(stage: usize, sink: Sink) -> Result<(Port, Option<Unfinished>), Undone> {
    let Sink { port, finish } = sink;
    if matches!(finish, Finish::Tell) {
        // A FIFO has its end when the stage has.
        return Ok((port, None));
    }
    let twin = port.twin().map_err(|error| {
        let why = end::reason(&error);
        Undone::Failed(EndError::new(format!("cannot open the output twice: {why}")))
    })?;
    Ok((port, Some(Unfinished { stage, finish, port: Some(twin) })))
}

/// Says what should be known about an end; the record hears of it after the start.
fn warn(
    screen: &Screen,
    plan: &Plan,
    stage: &StagePlan,
    notes: Vec<String>,
) -> impl Iterator<Item = (Remark, Report)> {
    let warnings = notes.into_iter().map(|note| Report::new(Severity::Warning, note));
    let warnings: Vec<Report> = warnings.collect();
    for warning in warnings.iter().filter(|_| !plan.display.quiet) {
        screen.show(|view| view.report(warning));
    }
    let id = stage.id.clone();
    warnings.into_iter().map(move |warning| (Remark::stage("end", &id), warning))
}

/// Opens where a command's words go. A file is added to: what earlier runs said may still be wanted.
fn words(wanted: &Stderr) -> Result<Words, EndError> {
    match wanted {
        Stderr::Prefix => Ok(Words::Heard),
        Stderr::Drop => Ok(Words::Dropped),
        Stderr::Inherit => Ok(Words::Ours),
        Stderr::File(path) => {
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
            opened.map(|file| Words::File(file.into())).map_err(|error| {
                let (path, why) = (end::shown(path.as_ref()), end::reason(&error));
                EndError::new(format!("cannot write {path}, for `stderr`: {why}"))
            })
        }
    }
}

/// Opens an end. One that waits for a peer does so where signals still reach us.
fn patiently<T: Send + 'static>(
    plan: &Plan,
    end: &EndPlan,
    open: impl FnOnce(&EndPlan) -> Result<T, EndError> + Send + 'static,
    (inbox, begun): (&Inbox, Instant),
) -> Result<T, Undone> {
    if !end::may_wait(end) {
        return open(end).map_err(Undone::Failed);
    }
    let patience = Patience {
        stall: plan.stall.filter(|_| end::must_answer(end)),
        timeout: plan
            .timeout
            .map(|limit| (limit, limit.saturating_sub(now().saturating_duration_since(begun)))),
    };
    let end = end.clone();
    attend(inbox, patience, move || open(&end))
}
