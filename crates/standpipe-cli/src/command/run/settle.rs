//! What is to be told of a run that is over, and may its output have its name?
//!
//! The ends of all stages are judged together. Only a run without a cause publishes; of any other it is said what
//! became of its output.
//!
//! # Knows / never knows
//! Knows a line that is over and what was cut short. Never knows how it was watched.

use std::io;
use std::path::PathBuf;

use signal_hook::consts::{SIGPIPE, SIGTERM};

use super::Run;
use crate::command::patience::Undone;
#[cfg(feature = "http")]
use crate::command::patience::{Patience, attend};
use crate::command::report::{self, Cut};
use crate::command::screen::{Failure, Remark};
use crate::end::{self, EndError, Finish, Unfinished};
use crate::exec::now;
use crate::exec::port::Port;
use crate::exec::relay::Outcome;
use crate::exec::stdio::stdout_reader_gone;
use crate::exit::{EarlyStop, Exit, Judgement, Status, judge};
use crate::plan::{EndPlan, StageKind};
use crate::size;
use crate::view::event::Output;
use crate::view::{Outcome as Ending, Report, Severity, View};

impl Run<'_> {
    /// Judges the ends and finishes the outputs accordingly.
    pub(super) fn settle(mut self, unfinished: Vec<Unfinished>) -> Exit {
        self.screen.let_go();
        let at = now();
        let ran = self.ran(at);
        if let Some(chronicle) = &mut self.chronicle {
            self.past.note(self.plan, &self.line, at);
            chronicle.close(&self.line, &self.past, at, ran);
        }
        let early = if self.plan.strict { EarlyStop::Fails } else { EarlyStop::Noted };
        let judged = judge(self.line.ends(), &self.plan.above(), early);
        let path = |one: &Unfinished| Some((one.stage, one.finish.path()?.to_owned()));
        let paths: Vec<(usize, PathBuf)> = unfinished.iter().filter_map(path).collect();
        // The stages whose output has its name.
        let mut published = Vec::new();
        let verdict = self.verdict(at, ran);
        let exit = match self.cut {
            Some(cut) => self.settle_cut(cut, &judged, unfinished),
            None if self.reader_left(&judged) => self.settle_left(&judged, &unfinished),
            None => self.settle_whole(&judged, unfinished, &mut published),
        };
        if exit != Exit::Success && exit != Exit::Signal(SIGPIPE) {
            self.tell_shell_written();
        }
        let ceiling = if exit == Exit::Success && judged.stopped_early.is_empty() {
            self.ceiling(at, ran)
        } else {
            None
        };
        if let (Some(record), Some(ceiling)) = (self.screen.record(), &ceiling) {
            record.ceiling(self.told(ceiling));
        }
        if let Some(record) = self.screen.record() {
            for (stage, path) in paths {
                let (path, published) = (path.as_os_str().into(), published.contains(&stage));
                record.output(Output { path, published });
            }
        }
        if exit != Exit::Signal(SIGPIPE) {
            let ending = if exit == Exit::Success { Ending::Succeeded } else { Ending::Failed };
            let mut summary = self.past.summary(self.plan, &self.line, at, ran);
            summary.slowest = verdict.map(|ruling| ruling.slowest);
            summary.ceiling = ceiling.as_ref().map(|found| self.shown(found));
            self.screen.show(|view| view.summary(&summary, &self.plan.display, ending));
        }
        exit
    }

    /// Settles a run that came to its end by itself.
    fn settle_whole(
        &self,
        judged: &Judgement,
        unfinished: Vec<Unfinished>,
        published: &mut Vec<usize>,
    ) -> Exit {
        if let Some(stage) = judged.failed {
            self.reset_sinks();
            let report = report::stage_failed(self.plan, &self.line, judged, stage, &unfinished);
            let kind = match self.line.status(stage) {
                Some(Status::Signal(_)) => "signal",
                Some(Status::Code(_)) => "exit",
                _ => "end",
            };
            let failure = Failure { kind, stage: Some(&self.plan.stages[stage].id) };
            self.screen.fail(failure, &report);
            return judged.exit;
        }
        for stop in &judged.stopped_early {
            let what = report::stopped_early(self.plan, &self.line, stop.stage, stop.unread_bytes);
            let id = &self.plan.stages[stop.stage].id;
            let remark =
                Remark { unread_bytes: stop.unread_bytes, ..Remark::stage("stopped-early", id) };
            if let Some(record) = self.screen.record() {
                record.stopped_early();
            }
            self.screen.record_remark(remark, &report::note(what.clone()));
            if self.plan.strict {
                self.reset_sinks();
                let details = report::published(&unfinished, &self.line.readings());
                let report = Report { severity: Severity::Error, what, details, hint: None };
                self.screen.fail(Failure { kind: "stopped-early", stage: Some(id) }, &report);
                return judged.exit;
            }
            if !self.plan.display.quiet {
                self.screen.show(|view| view.report(&report::note(what)));
            }
        }
        if let Some(torn) = self.torn(&unfinished) {
            self.reset_sinks();
            let stage = &self.plan.stages[torn];
            let label = report::label(self.plan, torn);
            let what =
                format!("the copy of stage {} {label} is not whole: who reads it left", stage.id);
            let details = report::published(&unfinished, &self.line.readings());
            let hint = Some("let the last stage read to the end".to_owned());
            let report = Report { severity: Severity::Error, what, details, hint };
            let failure = Failure { kind: "stopped-early", stage: Some(&stage.id) };
            self.screen.fail(failure, &report);
            return Exit::Standpipe;
        }
        match self.finish(unfinished, published) {
            Ok(()) => {
                self.tell_findings();
                self.tell_drops();
                judged.exit
            }
            Err((stage, mut undone)) => {
                self.reset_sinks();
                if let Undone::Failed(error) = &mut undone {
                    error.details.push(self.told_published(published));
                }
                undone.exit(&self.plan.stages[stage].id, &self.screen)
            }
        }
    }

    /// A stage that copies what passes and did not come to the end of it.
    fn torn(&self, unfinished: &[Unfinished]) -> Option<usize> {
        let ended_well = |stage| self.line.status(stage).is_some_and(Status::is_success);
        unfinished.iter().map(|one| one.stage).find(|stage| !ended_well(*stage))
    }

    /// What has its name although the run has failed.
    fn told_published(&self, published: &[usize]) -> String {
        let names: Vec<String> =
            published.iter().map(|stage| report::label(self.plan, *stage)).collect();
        match names.as_slice() {
            [] => "nothing was published".to_owned(),
            names => format!("published before that: {}", names.join(", ")),
        }
    }

    /// Tells of the files that a shell has written itself.
    fn tell_shell_written(&self) {
        for (stage, what) in report::shell_written(self.plan) {
            let (remark, note) =
                (Remark::stage("note", &self.plan.stages[stage].id), report::note(what));
            self.screen.record_remark(remark, &note);
            if !self.plan.display.quiet {
                self.screen.show(|view| view.report(&note));
            }
        }
    }

    /// Tells what branches left out on purpose.
    fn tell_drops(&self) {
        for (stage, (tank, reading)) in (1..).zip(self.plan.tanks.iter().zip(self.line.readings()))
        {
            if reading.dropped == 0 {
                continue;
            }
            let (id, label) = (&self.plan.stages[stage].id, report::label(self.plan, stage));
            let (dropped, all) = (size::count(reading.dropped), size::count(reading.bytes_in));
            let what = format!(
                "stage {id} {label} was slow: {dropped} of {all} bytes were dropped (full = {})",
                tank.full.name()
            );
            if let Some(record) = self.screen.record() {
                record.left_out();
            }
            self.screen.record_remark(Remark::stage("dropped", id), &report::note(what.clone()));
            if !self.plan.display.quiet {
                self.screen.show(|view| view.report(&report::note(what)));
            }
        }
    }

    /// Tells what built-ins found out; of a run that failed it would be of data that nobody has.
    fn tell_findings(&self) {
        for (index, stage) in self.plan.stages.iter().enumerate() {
            let Some(worker) = self.line.worker(index) else { continue };
            let report = report::findings(self.plan, index, worker.findings());
            if let Some(report) = report {
                // It is what the stage is there for, so `-q` does not mean it.
                self.screen.remark(Remark::stage("finding", &stage.id), &report);
            }
        }
    }

    fn settle_cut(&self, cut: Cut, judged: &Judgement, unfinished: Vec<Unfinished>) -> Exit {
        let told = report::cut(self.plan, cut, self.ran(now()), self.delivered());
        // Drained: all that was read has been delivered, and nothing failed but the source we told to end.
        let drained = cut == Cut::Signal(SIGTERM)
            && judged.failed.is_none_or(|stage| stage == 0)
            && self.line.drained();
        let (whole, cut): (Vec<Unfinished>, Vec<Unfinished>) = unfinished
            .into_iter()
            .partition(|one| drained && matches!(one.finish, Finish::Publish(_)));
        let mut details: Vec<String> =
            whole.into_iter().filter_map(|one| self.keep_partial(one)).collect();
        if details.is_empty() || !cut.is_empty() {
            self.reset_sinks();
        }
        details.extend(report::published(&cut, &self.line.readings()));
        let details = self.waited_for.iter().cloned().chain(details).collect();
        let report = Report { severity: told.severity, what: told.what, details, hint: None };
        self.screen.fail(Failure { kind: told.kind, stage: None }, &report);
        told.exit
    }

    fn keep_partial(&self, one: Unfinished) -> Option<String> {
        let port = one.port.as_ref().or_else(|| self.line.sink(one.stage))?;
        let Finish::Publish(publication) = one.finish else { return None };
        Some(match publication.keep_partial(port) {
            Ok(name) => format!("what came until then is in {name}"),
            Err(error) => error.what,
        })
    }

    /// Settles a run whose output nobody reads any more. That is no news, unless there are other outputs.
    fn settle_left(&self, judged: &Judgement, unfinished: &[Unfinished]) -> Exit {
        self.reset_sinks();
        self.screen.show(View::close_line);
        let details = report::published(unfinished, &self.line.readings());
        let what = "whoever read the output has left".to_owned();
        let stage = judged.failed.map(|stage| self.plan.stages[stage].id.as_str());
        let failure = Failure { kind: "reader-gone", stage };
        if details.is_empty() {
            self.screen.record_failure(failure, &report::note(what));
        } else {
            let report = Report { severity: Severity::Error, what, details, hint: None };
            self.screen.fail(failure, &report);
        }
        Exit::Signal(SIGPIPE)
    }

    /// Says whether the run ended because nobody reads our stdout any more.
    fn reader_left(&self, judged: &Judgement) -> bool {
        let Some(stage) = judged.failed else { return false };
        match &self.plan.stages[stage].kind {
            StageKind::Sink { end: EndPlan::Stdio | EndPlan::Fd(1), .. } => {
                matches!(self.line.outcome(stage - 1), Some(Outcome::ReaderGone))
            }
            StageKind::Command(_) if stage + 1 == self.plan.stages.len() => {
                let broken = Some(Status::Signal(SIGPIPE));
                let status = self.line.status(stage);
                (status == broken || status == Some(Status::Code(141))) && stdout_reader_gone()
            }
            _ => false,
        }
    }

    /// A peer must not take a cut stream for a whole one.
    fn reset_sinks(&self) {
        let sinks = (0..self.plan.stages.len()).filter_map(|stage| self.line.sink(stage));
        sinks.for_each(Port::reset);
    }

    /// Finishes all outputs: each is made to last before the first one gets its name, and a peer hears of the end
    /// when all have theirs. Of the error the stage is told.
    fn finish(
        &self,
        unfinished: Vec<Unfinished>,
        published: &mut Vec<usize>,
    ) -> Result<(), (usize, Undone)> {
        let lost = || EndError::new("the output was lost");
        let fail = |error: io::Error| EndError::of("cannot finish the output", &error);
        for Unfinished { stage, finish, port } in &unfinished {
            let port = port.as_ref().or_else(|| self.line.sink(*stage));
            let made_sure = port.ok_or_else(lost).and_then(|port| match finish {
                Finish::Publish(publication) => publication.make_sure(port),
                Finish::Appended { .. } => end::file::sync(port).map_err(fail),
                _ => Ok(()),
            });
            made_sure.map_err(|error| (*stage, Undone::Failed(error)))?;
        }
        let mut names = Vec::new();
        for one in unfinished {
            match one.finish {
                #[cfg(feature = "http")]
                Finish::Upload(upload) => {
                    let left = self.plan.timeout.zip(self.time_left(now()));
                    let patience = Patience { stall: self.plan.stall, timeout: left };
                    attend(self.inbox, patience, move || upload.conclude())
                        .map_err(|undone| (one.stage, undone))?;
                    published.push(one.stage);
                }
                _ => names.push(one),
            }
        }
        let mut told = Vec::new();
        for one in names {
            match one.finish {
                Finish::Publish(publication) => {
                    let done = publication.publish();
                    done.map_err(|error| (one.stage, Undone::Failed(error)))?;
                    published.push(one.stage);
                }
                Finish::Appended { .. } => published.push(one.stage),
                _ => told.push(one.stage),
            }
        }
        for stage in told {
            let done =
                self.line.sink(stage).ok_or_else(lost).and_then(|port| port.finish().map_err(fail));
            done.map_err(|error| (stage, Undone::Failed(error)))?;
        }
        Ok(())
    }
}
