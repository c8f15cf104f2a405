//! What would a run build, and can it?
//!
//! A plan is put into words; programs, outputs and files to read are looked up as a run does it. Nothing is
//! started, written or connected.

use std::fmt::Write;

use crate::args::{Display, Full};
use crate::command::run::vet;
use crate::command::screen::Screen;
use crate::end;
use crate::exit::Exit;
use crate::plan::{CommandLine, Plan, Publish, StageKind, StagePlan};
use crate::size::{mark, time};

/// Looks everything up and describes the plan.
///
/// # Errors
/// The exit of a run that could not start. What is wrong has been told.
pub(crate) fn check(plan: &Plan) -> Result<String, Exit> {
    // It is no run, and has no events.
    let display = Display { events_on_stderr: false, ..plan.display };
    let screen = Screen::new(&display, plan.name.as_deref(), None);
    vet(plan, &screen)?;
    for stage in &plan.stages {
        if let StageKind::Source(end) = &stage.kind {
            end::check_source(end).map_err(|error| screen.refuse(Some(&stage.id), error))?;
        }
    }
    Ok(describe(plan))
}

fn describe(plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text += line.trim_end();
        text.push('\n');
    };
    if let Some(name) = &plan.name {
        line(format!("{name}:"));
    }
    let ids = plan.stages.iter().map(|stage| stage.id.chars().count());
    let ids = ids.max().unwrap_or_default();
    for stage in &plan.stages {
        let padding = " ".repeat(ids - stage.id.chars().count());
        let (kind, more) = kind(stage);
        line(format!("stage {}{padding}  {kind:4}  {}{more}", stage.id, stage.label));
    }
    let ids = plan.tanks.iter().map(|tank| tank.id.chars().count()).max().unwrap_or_default();
    for tank in &plan.tanks {
        let padding = " ".repeat(ids - tank.id.chars().count());
        let low = tank.low_bytes.map(|low| format!(", opens again at {}", mark(low)));
        let low = low.unwrap_or_default();
        let full = match tank.full {
            Full::Wait => String::new(),
            full => format!(", when full: {}", full.name()),
        };
        line(format!("tank  {}{padding}  {}{low}{full}", tank.id, mark(tank.high_bytes)));
    }
    let most = plan.tanks.iter().fold(0_u64, |sum, tank| sum.saturating_add(tank.high_bytes));
    line(format!(
        "memory: at most {} in tanks, of {} allowed",
        mark(most),
        mark(plan.memory_bytes)
    ));
    let limits = limits(plan);
    if !limits.is_empty() {
        line(format!("limits:{limits}"));
    }
    text
}

/// Says what a stage is, and what there is to add behind its label.
fn kind(stage: &StagePlan) -> (&'static str, &'static str) {
    match &stage.kind {
        StageKind::Command(CommandLine::Shell(_)) => ("sh", ""),
        StageKind::Command(CommandLine::Argv(_)) => ("run", ""),
        StageKind::Builtin(_) => ("in", ""),
        StageKind::Tee { publish, .. } => ("in", replaces(*publish)),
        StageKind::Source(_) => ("from", ""),
        StageKind::Sink { publish, .. } => ("to", replaces(*publish)),
    }
}

fn replaces(publish: Publish) -> &'static str {
    match publish {
        Publish::Refuse => "",
        Publish::Overwrite => " (replaces what is there)",
        Publish::Append => " (adds to what is there)",
    }
}

fn limits(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some(rate) = plan.rate {
        let per = match rate.per.as_secs() {
            1 => "s".to_owned(),
            60 => "m".to_owned(),
            3600 => "h".to_owned(),
            _ => time(rate.per),
        };
        write!(text, " rate {}/{per},", mark(rate.bytes)).ok();
    }
    for (name, limit) in [("timeout", plan.timeout), ("stall", plan.stall)] {
        if let Some(limit) = limit {
            write!(text, " {name} {},", time(limit)).ok();
        }
    }
    write!(text, " drain {}", time(plan.drain)).ok();
    if plan.strict {
        text += ", strict";
    }
    text
}
