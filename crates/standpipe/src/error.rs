//! How did it fail, at which stage?
//!
//! A [`Cause`] is why a stream ended early. It is cheap to clone, because the
//! first cause goes to everyone it concerns: downstream as an error, upstream
//! as the reason to stop, and to the caller as the pipeline's result.
//!
//! # Knows / never knows
//! Knows stages by name and the kinds of early end. Never knows recovery.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Any error that can be sent between tasks.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What kind of early end a [`Cause`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CauseKind {
    /// A writer was dropped without `end()`: the data may be cut short.
    Abandoned,
    /// The reader went away or had enough.
    Stopped,
    /// A stage, or a writer's `fail`, gave an error.
    Failed,
    /// Somebody cancelled, or dropped the pipeline.
    Cancelled,
    /// A stage panicked.
    Panicked,
    /// A write came to a shut tank whose overflow strategy is to fail.
    Overflowed,
    /// A stage broke a rule of its contract.
    Misused,
    /// The time given for it was over.
    Expired,
}

impl CauseKind {
    const fn describe(self) -> &'static str {
        match self {
            Self::Abandoned => "a writer was dropped without end()",
            Self::Stopped => "the reader stopped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
            Self::Overflowed => "a write came to a shut tank",
            Self::Misused => "broke its contract",
            Self::Expired => "the time given was over",
        }
    }
}

/// Which stage of a pipeline.
#[expect(clippy::exhaustive_structs, reason = "a place and a name say which")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StageId {
    /// Position in the pipeline, the source is 0.
    pub index: usize,
    /// The name the pipeline gave it.
    pub name: Arc<str>,
}

impl StageId {
    pub(crate) const fn new(index: usize, name: Arc<str>) -> Self {
        Self { index, name }
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {} `{}`", self.index, self.name)
    }
}

/// Why a stream ended early.
///
/// Cloning is one or two reference counts. [`Error::source`] is the stage's own
/// error, if there is one.
#[derive(Clone)]
pub struct Cause {
    kind: CauseKind,
    stage: Option<StageId>,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

impl Cause {
    /// A cause without an error of its own.
    #[must_use]
    pub const fn new(kind: CauseKind) -> Self {
        Self { kind, stage: None, error: None }
    }

    /// A failure with the error that tells of it. A cause that comes out of
    /// another pipeline keeps its kind: a cancel there is none of the failures
    /// here.
    #[must_use]
    pub fn failed(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(cause) if cause.stage.is_none() => *cause,
            Ok(cause) => Self::with_error(cause.kind, cause),
            Err(error) => Self::with_error(CauseKind::Failed, error),
        }
    }

    /// A cause of any kind with the error that tells of it.
    #[must_use]
    pub fn with_error(kind: CauseKind, error: impl Into<BoxError>) -> Self {
        Self { kind, stage: None, error: Some(error.into().into()) }
    }

    /// Whether its kind is all there is to it.
    pub(crate) const fn is_bare(&self) -> bool {
        self.stage.is_none() && self.error.is_none()
    }

    /// The same cause, at this stage; a stage that is set already stays, since
    /// the first place is the true one.
    #[must_use]
    pub fn at(mut self, stage: StageId) -> Self {
        self.stage.get_or_insert(stage);
        self
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> CauseKind {
        self.kind
    }

    /// The stage where it happened, if it happened in a pipeline.
    #[must_use]
    pub const fn stage(&self) -> Option<&StageId> {
        self.stage.as_ref()
    }

    /// The stage's own error.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Cause");
        out.field("kind", &self.kind);
        if let Some(stage) = &self.stage {
            out.field("stage", &format_args!("{stage}"));
        }
        if let Some(error) = &self.error {
            out.field("error", &format_args!("{error}"));
        }
        out.finish()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = &self.stage {
            write!(f, "{stage}: ")?;
        }
        match (&self.error, self.kind) {
            (Some(error), CauseKind::Failed) => write!(f, "{error}"),
            (Some(error), kind) => write!(f, "{}: {error}", kind.describe()),
            (None, kind) => f.write_str(kind.describe()),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_ref().map(|error| -> &(dyn Error + 'static) { error.as_ref() })
    }
}

/// Why an item was not taken. The item always comes back.
#[doc(alias("SendError", "TrySendError"))]
#[derive(Clone)]
#[non_exhaustive]
pub enum WriteError<T> {
    /// The tank is shut: wait for [`drained`](crate::tank::Writable::drained)
    /// and write again.
    Full(T),
    /// The item is heavier than the permit it was sent with.
    Heavier(T),
    /// The tank takes nothing any more; the second field says why.
    Closed(T, Cause),
}

impl<T> WriteError<T> {
    /// The item that was not taken.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Heavier(item) | Self::Closed(item, _) => item,
        }
    }

    /// Why the tank is closed, if that is the reason.
    #[must_use]
    pub const fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Closed(_, cause) => Some(cause),
            Self::Full(_) | Self::Heavier(_) => None,
        }
    }

    /// Whether the tank was merely shut, so that a later write may succeed.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

// not derived: an error must be printable whatever it carries
impl<T> fmt::Debug for WriteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Heavier(_) => f.write_str("Heavier(..)"),
            Self::Closed(_, cause) => write!(f, "Closed(.., {cause:?})"),
        }
    }
}

impl<T> fmt::Display for WriteError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the tank is shut; wait for the drain and write again"),
            Self::Heavier(_) => f.write_str("the item is heavier than its permit"),
            Self::Closed(_, cause) => write!(f, "the tank is closed: {cause}"),
        }
    }
}

impl<T> Error for WriteError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed(_, cause) => Some(cause),
            Self::Full(_) | Self::Heavier(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_names_the_stage_once_and_keeps_the_first() {
        let first = StageId { index: 1, name: "gzip".into() };
        let later = StageId { index: 2, name: "disk".into() };
        let cause = Cause::failed("no space left").at(first).at(later);
        assert_eq!(cause.to_string(), "stage 1 `gzip`: no space left");
        assert_eq!(cause.source().unwrap().to_string(), "no space left");
        assert_eq!(
            Cause::new(CauseKind::Abandoned).to_string(),
            "a writer was dropped without end()"
        );
    }

    #[test]
    fn a_cause_from_another_pipeline_keeps_its_kind() {
        let there = Cause::new(CauseKind::Cancelled);
        assert_eq!(Cause::failed(there.clone()).kind(), CauseKind::Cancelled);
        let there = there.at(StageId { index: 2, name: "disk".into() });
        let here = Cause::failed(there).at(StageId { index: 0, name: "tank".into() });
        assert_eq!(here.kind(), CauseKind::Cancelled);
        assert_eq!(here.to_string(), "stage 0 `tank`: cancelled: stage 2 `disk`: cancelled");
    }

    #[test]
    fn every_write_error_gives_the_item_back() {
        let closed = WriteError::Closed(7, Cause::new(CauseKind::Stopped));
        for error in [WriteError::Full(7), WriteError::Heavier(7), closed] {
            assert_eq!(error.into_inner(), 7);
        }
    }
}
