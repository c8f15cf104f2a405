//! How do typed words become a plan?

use std::{ffi::OsString, os::unix::ffi::OsStrExt, time::Duration};

use crate::{
    args::{
        Environment, EventsTo, Form, Full, Limit, Mark, Outward, SavedStage, Stderr, Typed,
        UsageError, Work, shown,
    },
    size::Amount,
};

use super::{
    CommandLine, EndPlan, LowMark, Plan, Publish, StageKind, StagePlan, TankSize, Wanted, builtin,
    ends::{self, Side, shown_uri},
    graph, memory,
};

const MEMORY_BYTES: u64 = 64 << 20;
const DRAIN: Duration = Duration::from_secs(10);

impl Plan {
    /// Says whether data goes to our own stdout.
    pub(crate) fn writes_stdout(&self) -> bool {
        let is_stdout = |stage: &StagePlan| match &stage.kind {
            StageKind::Sink { end, .. } => is_stdout(end),
            _ => false,
        };
        let last = self.stages.last().map(|stage| &stage.kind);
        matches!(last, Some(StageKind::Command(_))) || self.stages.iter().any(is_stdout)
    }

    /// Refuses events that would get into the data.
    ///
    /// # Errors
    /// They go to the file that is written, or to stdout with it.
    pub(crate) fn check_events(&self, to: &EventsTo) -> Result<(), UsageError> {
        let goes_to = |wanted: &EndPlan| {
            let is_it = |stage: &StagePlan| match &stage.kind {
                StageKind::Sink { end, .. } | StageKind::Tee { end, .. } => end == wanted,
                _ => false,
            };
            self.stages.iter().any(is_it)
        };
        let clash = match to {
            EventsTo::Stderr => false,
            EventsTo::Fd(1) => self.writes_stdout(),
            EventsTo::Fd(number) => goes_to(&EndPlan::Fd(*number)),
            EventsTo::File(path) => goes_to(&EndPlan::File(path.clone())),
        };
        if clash {
            return Err(UsageError::new(
                "the events of `--json` and the data would go to the same place",
                "write the events to another FILE, or to stderr with `--json` alone",
            ));
        }
        Ok(())
    }

    /// Makes sense of a command line.
    ///
    /// # Errors
    /// If it contradicts itself, names no end, or its tanks do not fit into the memory.
    pub(crate) fn new(typed: Typed, environment: &Environment) -> Result<Self, UsageError> {
        let publish = publish(typed.overwrite, typed.append, "--")?;
        let name = typed.name.as_ref().map(shown);
        let drafts = drafts(typed.form, typed.from, typed.to, publish)?;
        let works =
            |draft: &Draft| !matches!(draft.kind, StageKind::Source(_) | StageKind::Sink { .. });
        let filter = !drafts.iter().any(works);
        let bytes = |amount, flag| bytes(amount, flag, environment);
        let memory_bytes = match typed.memory {
            None => MEMORY_BYTES,
            Some(amount) => bytes(amount, "--memory")?,
        };
        let stages: Vec<StagePlan> =
            drafts.iter().enumerate().map(|(at, draft)| draft.stage(at)).collect();
        let trunk = drafts.iter().filter(|draft| !is_sink(draft)).count().max(1);
        let wanted = |(at, draft): (usize, &Draft)| {
            let size = match (typed.tank, draft.tank) {
                (Some(Mark::Auto), _) | (None, None) => TankSize::Auto,
                (Some(Mark::Amount(amount)), _) => TankSize::Bytes(bytes(amount, "--tank")?),
                (None, Some(amount)) => TankSize::Bytes(bytes(amount, "tank")?),
            };
            let low = typed.low.or(draft.low).map(|amount| match amount {
                Amount::Percent(percent) => LowMark::Percent(percent),
                Amount::Bytes(bytes) | Amount::Items(bytes) => LowMark::Bytes(bytes),
            });
            // All ends that bytes go to read from the last stage that is none.
            let from = (at - 1).min(trunk - 1);
            let id = format!("{}>{}", stages[from].id, stages[at].id);
            Ok(Wanted { id, from, full: draft.full.unwrap_or_default(), size, low })
        };
        let wanted: Result<Vec<Wanted>, UsageError> =
            drafts.iter().enumerate().skip(1).map(wanted).collect();
        let tanks = memory::tanks(wanted?, memory_bytes)?;
        Ok(Self {
            name,
            stages,
            tanks,
            memory_bytes,
            rate: match typed.rate {
                Some(Limit::Rate(rate)) => Some(rate),
                Some(Limit::Max) | None => None,
            },
            total_bytes: typed.total.and_then(|total| match total {
                Amount::Bytes(bytes) => Some(bytes),
                Amount::Percent(_) | Amount::Items(_) => None,
            }),
            strict: typed.strict,
            fast: typed.fast,
            timeout: typed.timeout,
            stall: typed.stall,
            drain: typed.drain.unwrap_or(DRAIN),
            display: typed.display,
            filter,
        })
    }
}

/// A stage on its way into a plan.
struct Draft {
    /// What the file calls it; otherwise it is numbered.
    id: Option<String>,
    kind: StageKind,
    /// The tank before it, and that tank's low-water mark, if the file says so.
    tank: Option<Amount>,
    low: Option<Amount>,
    stderr: Stderr,
    /// What becomes of bytes that come to that tank while it is full.
    full: Option<Full>,
}

impl Draft {
    fn new(kind: StageKind) -> Self {
        Self { id: None, kind, tank: None, low: None, stderr: Stderr::default(), full: None }
    }

    fn stage(&self, at: usize) -> StagePlan {
        StagePlan {
            id: self.id.clone().unwrap_or_else(|| (at + 1).to_string()),
            label: label(&self.kind),
            kind: self.kind.clone(),
            stderr: self.stderr.clone(),
        }
    }
}

/// Says what becomes of an existing file; `dashes` stand before the names of the switches.
fn publish(overwrite: bool, append: bool, dashes: &str) -> Result<Publish, UsageError> {
    match (overwrite, append) {
        (false, false) => Ok(Publish::Refuse),
        (true, false) => Ok(Publish::Overwrite),
        (false, true) => Ok(Publish::Append),
        (true, true) => Err(UsageError::new(
            format!("`{dashes}overwrite` and `{dashes}append` contradict each other"),
            "leave out one of them",
        )),
    }
}

fn bytes(amount: Amount, flag: &str, environment: &Environment) -> Result<u64, UsageError> {
    match (amount, environment.memory_limit_bytes) {
        (Amount::Percent(percent), Some(limit)) => Ok((limit / 100 * u64::from(percent)).max(1)),
        (Amount::Percent(percent), None) => Err(UsageError::new(
            format!("invalid size `{percent}%` for `{flag}`: the memory here is unknown"),
            "write bytes, e.g. `64M`",
        )),
        (Amount::Bytes(bytes) | Amount::Items(bytes), _) => Ok(bytes),
    }
}

/// Puts the stages in order, ends included.
fn drafts(
    form: Form,
    from: Option<OsString>,
    to: Vec<Outward>,
    publish: Publish,
) -> Result<Vec<Draft>, UsageError> {
    let drafts = match form {
        Form::Saved(stages) => saved(stages, from, to, publish),
        form => typed(form, from, to, publish),
    }?;
    check_sinks(&drafts)?;
    Ok(drafts)
}

/// Puts the stages of a file in order; the command line beats its ends.
fn saved(
    stages: Vec<SavedStage>,
    from: Option<OsString>,
    to: Vec<Outward>,
    publish: Publish,
) -> Result<Vec<Draft>, UsageError> {
    let mut drafts = Vec::with_capacity(stages.len() + 2);
    let mut place = None;
    for (at, stage) in graph::order(stages)?.into_iter().enumerate() {
        let its_place = stage.place.clone();
        place.get_or_insert_with(|| its_place.clone());
        drafts.push(draft(at, stage, publish).map_err(|mut error| {
            error.details.push(format!("in {its_place}"));
            error
        })?);
    }
    let taken: Vec<Option<String>> = drafts.iter().map(|draft| draft.id.clone()).collect();
    let end = |kind, name: &str| {
        let mut id = Some(name.to_owned());
        while taken.contains(&id) {
            id = id.map(|id| id + "_");
        }
        Draft { id, ..Draft::new(kind) }
    };
    let is_source = |draft: &Draft| matches!(draft.kind, StageKind::Source(_));
    let is_builtin =
        |draft: &Draft| matches!(draft.kind, StageKind::Builtin(_) | StageKind::Tee { .. });
    if let Some(word) = from {
        let kind = StageKind::Source(ends::read(&word, Side::From)?);
        match drafts.first_mut().filter(|first| is_source(first)) {
            Some(first) => first.kind = kind,
            None => drafts.insert(0, end(kind, "from")),
        }
    }
    if let [Outward { word, full }] = to.as_slice()
        && drafts.iter().filter(|draft| is_sink(draft)).count() == 1
        && let Some(last) = drafts.last_mut()
    {
        last.kind = StageKind::Sink { end: ends::read(word, Side::To)?, publish };
        last.full = full.or(last.full);
    } else if !to.is_empty() {
        drafts.retain(|draft| !is_sink(draft));
        for (at, Outward { word, full }) in to.into_iter().enumerate() {
            let kind = StageKind::Sink { end: ends::read(&word, Side::To)?, publish };
            let name = if at == 0 { "to".to_owned() } else { format!("to{}", at + 1) };
            drafts.push(Draft { full, ..end(kind, &name) });
        }
    }
    let only_ends = drafts.iter().all(|draft| is_source(draft) || is_sink(draft));
    let is_bare = |draft: &Draft| is_builtin(draft) || (only_ends && !is_source(draft));
    if drafts.first().is_some_and(is_bare) {
        drafts.insert(0, end(StageKind::Source(EndPlan::Stdio), "from"));
    }
    let is_bare = |draft: &Draft| is_builtin(draft) || (only_ends && !is_sink(draft));
    if drafts.last().is_some_and(is_bare) {
        drafts.push(end(StageKind::Sink { end: EndPlan::Stdio, publish }, "to"));
    }
    if let Some(first) = drafts.first().filter(|first| first.tank.is_some() || first.low.is_some())
    {
        let key = if first.tank.is_some() { "tank" } else { "low" };
        return Err(UsageError {
            what: format!(
                "`{key}` is of the tank before a stage, and before the first there is none"
            ),
            details: place.map(|place| format!("in {place}")).into_iter().collect(),
            hint: Some(format!("write `{key}` in the stage behind that tank")),
        });
    }
    check_saved(&drafts, publish)?;
    Ok(drafts)
}

fn draft(at: usize, stage: SavedStage, publish: Publish) -> Result<Draft, UsageError> {
    let own = self::publish(stage.overwrite, stage.append, "")?;
    let publish = if publish == Publish::Refuse { own } else { publish };
    let kind = match stage.work {
        Work::Exec(words) => work(at, words, publish)?,
        Work::Shell(text) => StageKind::Command(CommandLine::Shell(text)),
        Work::From(word) => StageKind::Source(ends::read(&word, Side::From)?),
        Work::To(word) => StageKind::Sink { end: ends::read(&word, Side::To)?, publish },
    };
    Ok(Draft {
        id: Some(stage.id),
        kind,
        tank: stage.tank,
        low: stage.low,
        stderr: stage.stderr,
        full: stage.full,
    })
}

fn typed(
    form: Form,
    from: Option<OsString>,
    to: Vec<Outward>,
    publish: Publish,
) -> Result<Vec<Draft>, UsageError> {
    let given = (from.is_some(), !to.is_empty());
    let mut source = from.map(|word| ends::read(&word, Side::From)).transpose()?;
    let sink = |Outward { word, full }| Ok((ends::read(&word, Side::To)?, full));
    let sinks: Result<Vec<(EndPlan, Option<Full>)>, UsageError> =
        to.into_iter().map(sink).collect();
    let mut sinks = sinks?;
    let mut stages = Vec::new();
    match form {
        Form::Filter | Form::File(_) | Form::Saved(_) => {}
        Form::Shell(pieces) => {
            let command = |piece| StageKind::Command(CommandLine::Shell(piece));
            stages.extend(pieces.into_iter().map(command));
        }
        Form::Argv(line) => {
            let last = line.len() - 1;
            for (at, words) in line.into_iter().enumerate() {
                let [word] = words.as_slice() else {
                    stages.push(work(at, words, publish)?);
                    continue;
                };
                if !ends::has_scheme(word) {
                    stages.push(work(at, words, publish)?);
                } else if at == 0 && !(last == 0 && given.0) {
                    refuse_second(given.0, at, word, "--from")?;
                    source = Some(ends::read(word, Side::From)?);
                } else if at == last {
                    refuse_second(given.1, at, word, "--to")?;
                    sinks = vec![(ends::read(word, Side::To)?, None)];
                } else {
                    let what =
                        format!("stage {} `{}` is an end in the middle", at + 1, shown_uri(word));
                    return Err(UsageError::new(what, "an end is the first or the last stage"));
                }
            }
        }
    }
    // Only a program can read and write our own streams without a tank between.
    let bare = |stage: Option<&StageKind>| !matches!(stage, Some(StageKind::Command(_)));
    if bare(stages.first()) {
        source = source.or(Some(EndPlan::Stdio));
    }
    if bare(stages.last()) && sinks.is_empty() {
        sinks.push((EndPlan::Stdio, None));
    }
    let tees = stages.iter().filter_map(|stage| match stage {
        StageKind::Tee { end, .. } => Some(end),
        _ => None,
    });
    let ends: Vec<&EndPlan> = tees.chain(sinks.iter().map(|(end, _)| end)).collect();
    check_publish(source.as_ref(), &ends, publish)?;
    let source = source.map(StageKind::Source);
    let stages = source.into_iter().chain(stages).map(Draft::new);
    let sinks = sinks
        .into_iter()
        .map(|(end, full)| Draft { full, ..Draft::new(StageKind::Sink { end, publish }) });
    Ok(stages.chain(sinks).collect())
}

/// Refuses switches that do not fit the ends: those of the command line are for any of them, those of the file each
/// for its own.
fn check_saved(drafts: &[Draft], publish: Publish) -> Result<(), UsageError> {
    let source = drafts.first().and_then(|draft| match &draft.kind {
        StageKind::Source(end) => Some(end),
        _ => None,
    });
    let sinks = drafts.iter().filter_map(|draft| match &draft.kind {
        StageKind::Sink { end, publish } | StageKind::Tee { end, publish } => Some((end, *publish)),
        _ => None,
    });
    let sinks: Vec<(&EndPlan, Publish)> = sinks.collect();
    if publish == Publish::Refuse {
        for (end, own) in &sinks {
            check_publish(source, &[end], *own)?;
        }
    } else {
        let ends: Vec<&EndPlan> = sinks.iter().map(|(end, _)| *end).collect();
        check_publish(source, &ends, publish)?;
    }
    Ok(())
}

/// Reads the words of a stage that is no end.
fn work(at: usize, words: Vec<OsString>, publish: Publish) -> Result<StageKind, UsageError> {
    let program = words.first().map(|word| word.as_bytes()).unwrap_or_default();
    if program.is_empty() {
        let what = format!("the program of stage {} is empty", at + 1);
        return Err(UsageError::new(what, "write its name or path"));
    }
    if program.starts_with(b"@") {
        return builtin::read(at, &words, publish);
    }
    Ok(StageKind::Command(CommandLine::Argv(words)))
}

fn refuse_second(given: bool, at: usize, word: &OsString, flag: &str) -> Result<(), UsageError> {
    if !given {
        return Ok(());
    }
    let what = format!("stage {} `{}` is an end, and `{flag}` is another", at + 1, shown_uri(word));
    Err(UsageError::new(what, "leave out one of them"))
}

fn check_publish(
    source: Option<&EndPlan>,
    sinks: &[&EndPlan],
    publish: Publish,
) -> Result<(), UsageError> {
    let flag = match publish {
        Publish::Refuse => return Ok(()),
        Publish::Overwrite => "--overwrite",
        Publish::Append => "--append",
    };
    let fits = |end: &&EndPlan| match end {
        EndPlan::File(_) => true,
        #[cfg(feature = "http")]
        EndPlan::Http { .. } => publish == Publish::Overwrite,
        _ => false,
    };
    // Of several ends it is for those that it fits.
    match (sinks.iter().copied().any(|end| fits(&end)), sinks.first()) {
        (true, _) => {}
        (false, Some(end)) => {
            return Err(UsageError::new(
                format!("`{flag}` is for a file, not for `{}`", end.label()),
                format!("leave out `{flag}`"),
            ));
        }
        (false, None) => {
            return Err(UsageError::new(
                format!("`{flag}` needs `--to`"),
                "write `--to FILE`; what a command writes itself is its own affair",
            ));
        }
    }
    if publish == Publish::Append
        && let Some(read @ EndPlan::File(path)) = source
        && sinks.contains(&read)
    {
        let what = format!("`{}` is read and appended to at once", shown(path));
        return Err(UsageError::new(what, "write to another file"));
    }
    Ok(())
}

/// Refuses two ends that are one: their bytes would be mixed, or one would replace the other.
fn check_sinks(drafts: &[Draft]) -> Result<(), UsageError> {
    let mut seen: Vec<&EndPlan> = Vec::new();
    for draft in drafts {
        let (StageKind::Sink { end, .. } | StageKind::Tee { end, .. }) = &draft.kind else {
            continue;
        };
        let is_same = |other: &&EndPlan| *other == end || (is_stdout(other) && is_stdout(end));
        if *end != EndPlan::Null && seen.iter().any(is_same) {
            let what = format!("`{}` is written twice", end.label());
            return Err(UsageError::new(what, "leave out one of them"));
        }
        seen.push(end);
    }
    Ok(())
}

fn is_stdout(end: &EndPlan) -> bool {
    *end == EndPlan::Stdio || *end == EndPlan::Fd(1)
}

fn is_sink(draft: &Draft) -> bool {
    matches!(draft.kind, StageKind::Sink { .. })
}

fn label(kind: &StageKind) -> String {
    match kind {
        StageKind::Command(CommandLine::Shell(text)) => shown_uri(text),
        StageKind::Command(CommandLine::Argv(words)) => {
            let words = words.iter().map(|word| {
                let plain = !word.is_empty()
                    && !word.as_bytes().iter().any(|byte| b" \t\n\"'|&;<>()$`\\".contains(byte));
                if plain { shown_uri(word) } else { format!("'{}'", shown_uri(word)) }
            });
            words.collect::<Vec<_>>().join(" ")
        }
        StageKind::Builtin(builtin) => builtin.label(),
        StageKind::Tee { end, .. } => format!("@tee {}", end.label()),
        StageKind::Source(EndPlan::Stdio) => "stdin".to_owned(),
        StageKind::Sink { end: EndPlan::Stdio, .. } => "stdout".to_owned(),
        StageKind::Source(end) | StageKind::Sink { end, .. } => end.label(),
    }
}

#[cfg(test)]
mod tests;
