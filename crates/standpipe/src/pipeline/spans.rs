//! What is the log of a service told of a pipeline?
//!
//! A span for the pipeline, inside the one it is begun in, and below it one
//! for each segment, current while that is polled: what a stage logs is then
//! under its name. Events when the pipeline begins and ends, when a stage
//! ends, and, as traces, when a stage is paused and goes on. Nothing is told
//! per item, and an error is told as what happened: whose failure it is, the
//! caller decides who gets it.

use tracing::span::Entered;
use tracing::{Span, debug, info_span, trace};

use crate::snapshot::StageSnapshot;
use crate::stage::line::Outcome;
use crate::sync::{Arc, AtomicBool, Ordering};

const TARGET: &str = "standpipe";

/// The span of a pipeline.
pub(super) struct PipelineSpan {
    span: Span,
    has_told: AtomicBool,
}

impl PipelineSpan {
    pub(super) fn begin(names: &[Arc<str>]) -> Self {
        let span = info_span!(target: TARGET, "pipeline", stages = names.join(" | "));
        debug!(target: TARGET, parent: &span, "begins");
        Self { span, has_told: AtomicBool::new(false) }
    }

    pub(super) fn segment(&self, index: usize, name: &str) -> SegmentSpan {
        SegmentSpan(info_span!(target: TARGET, parent: &self.span, "stage", index, name))
    }

    /// Tells of the end, once.
    pub(super) fn end(&self, outcome: Option<&Outcome>) {
        if self.has_told.swap(true, Ordering::Relaxed) {
            return;
        }
        match outcome {
            Some(Outcome::Failed(cause, _)) => {
                let stage = cause.stage().map(tracing::field::display);
                debug!(target: TARGET, parent: &self.span, stage, %cause, "ends early");
            }
            _ => debug!(target: TARGET, parent: &self.span, "ends"),
        }
    }
}

/// The span of a segment.
pub(super) struct SegmentSpan(Span);

impl SegmentSpan {
    /// Current until this is dropped.
    pub(super) fn enter(&self) -> Entered<'_> {
        self.0.enter()
    }

    pub(super) fn pauses(&self) {
        trace!(target: TARGET, parent: &self.0, "is paused");
    }

    pub(super) fn goes_on(&self, paused_ns: u64) {
        trace!(target: TARGET, parent: &self.0, paused_ns, "goes on");
    }

    pub(super) fn ends(&self, stage: &StageSnapshot) {
        debug!(
            target: TARGET,
            parent: &self.0,
            busy_ns = stage.busy_ns,
            paused_ns = stage.paused_ns,
            starved_ns = stage.starved_ns,
            "stage ends"
        );
    }
}
