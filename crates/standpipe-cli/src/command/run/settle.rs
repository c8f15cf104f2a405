//! What is to be told of a run that is over, and may its output have its name?
//!
//! The ends of all stages are judged together. Only a run without a cause publishes; of any other it is said what
//! became of its output.
//!
//! # Knows / never knows
//! Knows a line that is over and what was cut short. Never knows how it was watched.

use std::io;
use std::path::Path;
use std::time::Duration;

use signal_hook::consts::{SIGPIPE, SIGTERM};

use super::{Cut, Run};
use crate::command::patience::{Undone, attend};
use crate::command::report;
use crate::command::screen::{Failure, Remark};
use crate::end::{self, EndError, Finish};
use crate::exec::now;
use crate::exec::relay::Outcome;
use crate::exec::stdio::stdout_reader_gone;
use crate::exit::{EarlyStop, Exit, Judgement, Status, judge};
use crate::plan::{EndPlan, StageKind};
use crate::size;
use crate::view::event::Output;
use crate::view::{Outcome as Ending, Report, Severity, View};

impl Run<'_> {
    /// Judges the ends and finishes the sink accordingly.
    pub(super) fn settle(mut self, finish: Option<Finish>) -> Exit {
        let at = now();
        let ran = self.ran(at);
        if let Some(chronicle) = &mut self.chronicle {
            self.past.note(&self.line, at);
            chronicle.close(&self.line, &self.past, at, ran);
        }
        let early = if self.plan.strict { EarlyStop::Fails } else { EarlyStop::Noted };
        let judged = judge(self.line.ends(), early);
        let output = finish.as_ref().and_then(Finish::path).map(Path::to_owned);
        let verdict = self.verdict(at, ran);
        let exit = match self.cut {
            Some(cut) => self.settle_cut(cut, &judged, finish),
            None if self.reader_left(&judged) => {
                self.screen.show(View::close_line);
                let report = report::note("whoever read the output has left".to_owned());
                let last = self.plan.stages.last().map(|stage| stage.id.as_str());
                let failure = Failure { kind: "reader-gone", stage: last };
                self.screen.record_failure(failure, &report);
                Exit::Signal(SIGPIPE)
            }
            None => self.settle_whole(&judged, finish),
        };
        if let (Some(record), Some(path)) = (self.screen.record(), output) {
            let path = path.as_os_str().into();
            record.output(Output { path, published: exit == Exit::Success });
        }
        if exit != Exit::Signal(SIGPIPE) {
            let ending = if exit == Exit::Success { Ending::Succeeded } else { Ending::Failed };
            let mut summary = self.past.summary(self.plan, &self.line, at, ran);
            summary.slowest = verdict.map(|ruling| ruling.slowest);
            self.screen.show(|view| view.summary(&summary, &self.plan.display, ending));
        }
        exit
    }

    /// Settles a run that came to its end by itself.
    fn settle_whole(&self, judged: &Judgement, finish: Option<Finish>) -> Exit {
        if let Some(stage) = judged.failed {
            self.reset_sink();
            let report =
                report::stage_failed(self.plan, &self.line, judged, stage, finish.as_ref());
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
                self.reset_sink();
                let details = report::published(finish.as_ref(), &self.line).into_iter().collect();
                let report = Report { severity: Severity::Error, what, details, hint: None };
                self.screen.fail(Failure { kind: "stopped-early", stage: Some(id) }, &report);
                return judged.exit;
            }
            if !self.plan.display.quiet {
                self.screen.show(|view| view.report(&report::note(what)));
            }
        }
        match self.finish(finish) {
            Ok(()) => {
                self.tell_findings();
                judged.exit
            }
            Err(undone) => {
                let sink = self.plan.stages.last().map_or("", |stage| stage.id.as_str());
                undone.exit(sink, &self.screen)
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

    fn settle_cut(&self, cut: Cut, judged: &Judgement, finish: Option<Finish>) -> Exit {
        let ran = size::time(self.ran(now()));
        let limit = |limit: Option<Duration>| limit.map_or_else(String::new, size::time);
        let (severity, kind, what, exit) = match cut {
            Cut::Timeout => {
                let limit = limit(self.plan.timeout);
                let what = format!("not done after {limit}, the limit of `--timeout`");
                (Severity::Error, "timeout", what, Exit::Timeout)
            }
            Cut::Stall => {
                let limit = limit(self.plan.stall);
                let what = format!("nothing moved for {limit}, the limit of `--stall`");
                (Severity::Error, "stall", what, Exit::Timeout)
            }
            Cut::Signal(signal) => {
                let moved = size::size(self.delivered());
                let what = format!("stopped after {ran}; {moved} moved");
                (Severity::Note, "signal", what, Exit::Signal(signal))
            }
        };
        // Drained: all that was read has been delivered, and nothing failed but the source we told to end.
        let drained = cut == Cut::Signal(SIGTERM)
            && judged.failed.is_none_or(|stage| stage == 0)
            && self.line.drained();
        let details: Vec<String> = match finish {
            Some(Finish::Publish(publication)) if drained => {
                let kept = self.line.sink().map(|port| publication.keep_partial(port));
                match kept {
                    Some(Ok(name)) => vec![format!("what came until then is in {name}")],
                    Some(Err(error)) => vec![error.what],
                    None => Vec::new(),
                }
            }
            finish => {
                self.reset_sink();
                report::published(finish.as_ref(), &self.line).into_iter().collect()
            }
        };
        let details = self.waited_for.iter().cloned().chain(details).collect();
        let report = Report { severity, what, details, hint: None };
        self.screen.fail(Failure { kind, stage: None }, &report);
        exit
    }

    /// Says whether the run ended because nobody reads our stdout any more.
    fn reader_left(&self, judged: &Judgement) -> bool {
        let last = self.plan.stages.len() - 1;
        if judged.failed != Some(last) {
            return false;
        }
        match &self.plan.stages[last].kind {
            StageKind::Sink { end: EndPlan::Stdio | EndPlan::Fd(1), .. } => {
                matches!(self.line.outcome(last - 1), Some(Outcome::ReaderGone))
            }
            StageKind::Command(_) => {
                let broken = Some(Status::Signal(SIGPIPE));
                let status = self.line.status(last);
                (status == broken || status == Some(Status::Code(141))) && stdout_reader_gone()
            }
            _ => false,
        }
    }

    /// A peer must not take a cut stream for a whole one.
    fn reset_sink(&self) {
        if let Some(port) = self.line.sink() {
            port.reset();
        }
    }

    fn finish(&self, finish: Option<Finish>) -> Result<(), Undone> {
        let Some(finish) = finish else { return Ok(()) };
        let Some(port) = self.line.sink() else {
            return Err(Undone::Failed(EndError::new("the output was lost")));
        };
        let fail = |error: io::Error| {
            EndError::new(format!("cannot finish the output: {}", end::reason(&error)))
        };
        match finish {
            Finish::Tell => port.finish().map_err(fail),
            Finish::Appended { .. } => end::file::sync(port).map_err(fail),
            Finish::Publish(publication) => publication.publish(port),
            #[cfg(feature = "http")]
            Finish::Upload(upload) => {
                return attend(self.inbox, self.plan.stall, move || upload.conclude());
            }
        }
        .map_err(Undone::Failed)
    }
}
