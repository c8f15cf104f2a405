//! What does an exit code mean?
//!
//! One table of codes, and the rule that picks the one stage whose code the whole run gets: the
//! first failure that is not the consequence of another. Both are numbers only, so every order of
//! events can be written down as a test.
//!
//! # Knows / never knows
//! Knows stages by their position, 0 the most upstream, and which one each reads from. Never knows their names, nor time: the
//! order of the list is the order of events.

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every stage ended well; every byte was accepted by the sink and flushed.
    Success,
    /// The code of the stage that failed first by cause; 128 + N if signal N killed it.
    Stage(u8),
    /// `doctor` found something that is wrong.
    Findings,
    /// `--timeout` or `--stall`.
    Timeout,
    /// standpipe itself or an end failed, usage errors included; an early stop under `--strict`.
    Standpipe,
    /// A command is not executable.
    NotExecutable,
    /// A command is not found.
    NotFound,
    /// We were told to end by this signal.
    Signal(i32),
}

/// The signals whose default action we restore and raise again, so that our parent sees a real
/// death by signal: HUP, INT, PIPE, TERM. Their numbers are the same on every Unix.
const RAISED_AGAIN: [i32; 4] = [1, 2, 13, 15];

impl Exit {
    /// Gives the number the parent sees, or would see if the signal of [`Exit::raise`] failed to
    /// end us.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Stage(code) => code,
            Self::Findings => 1,
            Self::Timeout => 124,
            Self::Standpipe => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(signal) => code_of_signal(signal),
        }
    }

    /// Names the signal to raise again with its default action, instead of exiting with a code.
    pub(crate) fn raise(self) -> Option<i32> {
        match self {
            Self::Signal(signal) if RAISED_AGAIN.contains(&signal) => Some(signal),
            _ => None,
        }
    }
}

fn code_of_signal(signal: i32) -> u8 {
    u8::try_from(signal).ok().and_then(|signal| signal.checked_add(128)).unwrap_or(u8::MAX)
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// A command exited with this code.
    Code(u8),
    /// A command was killed by this signal.
    Signal(i32),
    /// An end was done, and all it took is flushed.
    EndDone,
    /// An end failed.
    EndFailed,
}

impl Status {
    /// Tells whether the stage did its work.
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Code(0) | Self::EndDone)
    }

    fn exit(self) -> Exit {
        match self {
            Self::Code(0) | Self::EndDone => Exit::Success,
            Self::Code(code) => Exit::Stage(code),
            Self::Signal(signal) => Exit::Stage(code_of_signal(signal)),
            Self::EndFailed => Exit::Standpipe,
        }
    }
}

/// The end of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StageEnd {
    /// Position, 0 the most upstream.
    pub(crate) stage: usize,
    /// How it ended.
    pub(crate) status: Status,
    /// The stage whose going left this one without a reader before it ended.
    pub(crate) downstream_gone_before: Option<usize>,
    /// Set if the stage stopped reading before the end of its input: what it left unread.
    pub(crate) unread_bytes: Option<u64>,
}

/// Whether an early stop counts as a failure (`--strict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlyStop {
    /// It is success and a note.
    Noted,
    /// It is a failure, 125, if nothing else failed.
    Fails,
}

/// Why a stage ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// By itself, well or not.
    Own,
    /// Because this stage below it was gone (`downstream:ID`).
    Downstream(usize),
    /// Because this stage above it failed (`upstream:ID`).
    Upstream(usize),
}

/// A stage that stopped reading early, and ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoppedEarly {
    /// Position, 0 the most upstream.
    pub(crate) stage: usize,
    /// What it left unread; `None` if only the death of its upstream tells.
    pub(crate) unread_bytes: Option<u64>,
}

/// What the ends of all stages mean together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// The exit of the run.
    pub(crate) exit: Exit,
    /// The stage that failed first by cause; `None` if none did.
    pub(crate) failed: Option<usize>,
    /// One per end, in the order given.
    pub(crate) causes: Vec<Cause>,
    /// One per stage that stopped early, in the order of the ends that told.
    pub(crate) stopped_early: Vec<StoppedEarly>,
}

/// Finds the first cause in `ends`, given in the order they happened; `above` holds the stage that each stage reads
/// from.
///
/// A failure whose own downstream was already gone is a consequence of that downstream's end, and
/// so is what failed above it in turn. A later failure below the first cause is a consequence of
/// the cause. If the downstream ended well, the consequence is not a failure but an early stop. A
/// downstream whose end is not in the list excuses nobody: better a failure too many than a 0 on
/// an incomplete copy.
pub(crate) fn judge(
    ends: &[StageEnd],
    above: &[Option<usize>],
    early_stop: EarlyStop,
) -> Judgement {
    let mut causes: Vec<Cause> = Vec::with_capacity(ends.len());
    let mut failed: Option<StageEnd> = None;
    let mut stopped_early: Vec<StoppedEarly> = Vec::new();
    for end in ends {
        let below = root(ends, end);
        let cause = match (below, failed) {
            _ if end.status.is_success() => Cause::Own,
            (Some(below), _) => Cause::Downstream(below.stage),
            (None, Some(first)) if is_below(above, end.stage, first.stage) => {
                Cause::Upstream(first.stage)
            }
            (None, _) => Cause::Own,
        };
        if cause == Cause::Own && !end.status.is_success() {
            failed.get_or_insert(*end);
        }
        if let Some(stop) = early(end, below)
            && !stopped_early.iter().any(|known| known.stage == stop.stage)
        {
            stopped_early.push(stop);
        }
        causes.push(cause);
    }
    let exit = match failed {
        Some(end) => end.status.exit(),
        None if early_stop == EarlyStop::Fails && !stopped_early.is_empty() => Exit::Standpipe,
        None => Exit::Success,
    };
    Judgement { exit, failed: failed.map(|end| end.stage), causes, stopped_early }
}

/// Tells whether the bytes of `stage` have passed `other`. Two that read from the same stage are strangers.
fn is_below(above: &[Option<usize>], stage: usize, other: usize) -> bool {
    let next = |at: &usize| above.get(*at).copied().flatten().filter(|next| next < at);
    std::iter::successors(next(&stage), next).any(|at| at == other)
}

/// Follows missing readers down to the stage that began them. The list may hold its end later: a
/// stage can close its input long before it ends.
fn root<'ends>(ends: &'ends [StageEnd], end: &StageEnd) -> Option<&'ends StageEnd> {
    let mut at = end;
    let mut found = None;
    while !at.status.is_success()
        && let Some(below) = at.downstream_gone_before
        && let Some(next) = ends.iter().find(|other| other.stage == below && below > at.stage)
    {
        found = Some(next);
        at = next;
    }
    found
}

/// Tells whether no later end can change what `end` is the consequence of.
pub(crate) fn settled(ends: &[StageEnd], end: &StageEnd) -> bool {
    let mut at = end;
    loop {
        let Some(below) = at.downstream_gone_before.filter(|below| *below > at.stage) else {
            return true;
        };
        if at.status.is_success() {
            return true;
        }
        match ends.iter().find(|other| other.stage == below) {
            Some(next) => at = next,
            None => return false,
        }
    }
}

fn early(end: &StageEnd, below: Option<&StageEnd>) -> Option<StoppedEarly> {
    let by = if end.status.is_success() {
        end.unread_bytes.map(|_| end)
    } else {
        below.filter(|below| below.status.is_success())
    };
    by.map(|by| StoppedEarly { stage: by.stage, unread_bytes: by.unread_bytes })
}

#[cfg(test)]
mod tests;
