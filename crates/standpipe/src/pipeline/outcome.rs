//! What a pipeline gives back.

use std::error::Error;
use std::fmt;

use crate::error::{Cause, CauseKind, StageId};
use crate::snapshot::Report;

/// A pipeline that came to its end: what the sink said, and the numbers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Completed<D> {
    /// What [`Sink::finish`](crate::stage::Sink::finish) returned.
    pub done: D,
    /// The numbers of the whole run.
    pub report: Report,
    /// Errors of stages that came after the sink had finished, as a failed
    /// [`close`](crate::stage::Sink::close) does: what the sink committed
    /// stands. A bounded number is kept.
    pub late: Vec<Cause>,
}

/// A pipeline that did not: the first cause, what followed from it, and the
/// numbers up to then.
pub struct PipelineError {
    inner: Box<Inner>,
}

struct Inner {
    cause: Cause,
    consequences: Vec<Cause>,
    report: Report,
}

impl PipelineError {
    pub(crate) fn new(cause: Cause, consequences: Vec<Cause>, report: Report) -> Self {
        Self { inner: Box::new(Inner { cause, consequences, report }) }
    }

    /// The first cause.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.inner.cause
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> CauseKind {
        self.inner.cause.kind()
    }

    /// The stage where it began; `None` if it came from outside (a cancel).
    #[must_use]
    pub fn stage(&self) -> Option<&StageId> {
        self.inner.cause.stage()
    }

    /// Errors of other stages after the first, in time order. A bounded
    /// number is kept.
    #[must_use]
    pub fn consequences(&self) -> &[Cause] {
        &self.inner.consequences
    }

    /// The numbers up to the end; what was accepted and not delivered is in
    /// [`Report::undelivered`].
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.inner.report
    }
}

impl fmt::Debug for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineError")
            .field("cause", &self.inner.cause)
            .field("consequences", &self.inner.consequences)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner.cause)?;
        match self.inner.report.undelivered().items {
            0 => Ok(()),
            1 => f.write_str(" (1 accepted item was not delivered)"),
            lost => write!(f, " ({lost} accepted items were not delivered)"),
        }
    }
}

impl Error for PipelineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.cause.source()
    }
}
