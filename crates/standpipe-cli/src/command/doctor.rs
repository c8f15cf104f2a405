//! Which stage of a pipeline is slow that we did not start?
//!
//! # Knows / never knows
//! Knows whom to watch and for how long. Never knows how a verdict is found (`judge`) nor how it is drawn.

use std::ffi::OsStr;
use std::process::{Child, Command};
use std::time::Duration;

use crate::args::{Display, Doctor, Target, shown};
use crate::command::figures::{Held, Limit};
use crate::end;
use crate::exec::now;
use crate::exit::Exit;
use crate::view::{self, Ceiling, Finding, Report, Severity, View};
use crate::watch::{self, Chain, Doing, Pid, Sampler, Seen, Unseen};

mod judge;
mod live;
mod record;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(10);

/// What is no pipeline after so long is none that is only being started.
const STARTED: Duration = Duration::from_secs(1);

/// Watches, and tells what it found.
pub(crate) fn doctor(asked: &Doctor) -> Exit {
    let seen = match &asked.target {
        Target::Pid(pid) => look_at(*pid, asked.watch),
        Target::Name(name) => by_name(name).and_then(|pid| look_at(pid, asked.watch)),
        Target::Shell(text) => {
            start(text).and_then(|shell| shell.watch(asked.watch)).map(Known::watched)
        }
        Target::File(path) => look_back(path),
    };
    let known = match seen {
        Ok(known) => known,
        Err(report) => {
            View::on_stderr(&Display::default(), None).report(&report);
            return Exit::Standpipe;
        }
    };
    let diagnosis = judge::judge(known, &asked.allowed);
    let text = if asked.json { diagnosis.json() } else { view::diagnosis(&diagnosis) };
    match view::print(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Standpipe,
        _ if diagnosis.findings.iter().any(|finding| !finding.allowed) => Exit::Findings,
        _ => Exit::Success,
    }
}

/// What is known of a pipeline before it is judged.
#[derive(Debug)]
struct Known {
    seen: Seen,
    findings: Vec<Finding>,
    ceiling: Option<Ceiling>,
    /// How long its source was held back on purpose, and by what.
    held: Option<(Held, Limit)>,
}

impl Known {
    /// Of one that was looked at from outside.
    const fn watched(seen: Seen) -> Self {
        Self { seen, findings: Vec::new(), ceiling: None, held: None }
    }
}

fn error(what: impl Into<String>, hint: &str) -> Report {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    Report { severity: Severity::Error, what: what.into(), details: Vec::new(), hint }
}

/// The one process of this name that is part of a pipeline.
fn by_name(name: &str) -> Result<Pid, Report> {
    let all = watch::named(name);
    let piped: Vec<Pid> = all.iter().copied().filter(|pid| watch::find(*pid).is_ok()).collect();
    match (piped.as_slice(), all.as_slice()) {
        ([one], _) | ([], [one]) => Ok(*one),
        ([], []) => Err(error(
            format!("no process is called `{name}`"),
            "`ps` lists them; a PID is fine too",
        )),
        (several, _) => {
            let pids = if several.is_empty() { &all } else { several };
            let list: Vec<String> = pids.iter().map(Pid::to_string).collect();
            let what = format!("several processes are called `{name}`");
            Err(error(what, &format!("write one of their PIDs: {}", list.join(", "))))
        }
    }
}

/// Reads what a run has put on record.
fn look_back(path: &OsStr) -> Result<Known, Report> {
    let name = shown(path);
    let file = std::fs::File::open(path)
        .map_err(|why| error(format!("cannot read `{name}`: {}", end::reason(&why)), ""))?;
    let record = record::Record::read(file).map_err(|why| {
        error(
            format!("`{name}` is no record of a run: {why}"),
            "`standpipe --json=FILE` writes one",
        )
    })?;
    Ok(record.seen())
}

/// Asks a run of ours; what is none, or does not answer, is looked at from outside.
fn look_at(pid: Pid, time: Duration) -> Result<Known, Report> {
    let told = || live::run_of(pid).and_then(|run| live::listen(run, time));
    if let Some(told) = told() {
        return Ok(told);
    }
    let chain = find(pid)?;
    // one that was only being started had not opened its door yet
    let told = if chain.is_of_ours { told() } else { None };
    Ok(told.unwrap_or_else(|| Known::watched(watch_chain(chain, time, || false))))
}

/// The pipeline that a process is part of. One that is only being started is waited for: at first its shell has no
/// pipes, then there is one stage.
fn find(pid: Pid) -> Result<Chain, Report> {
    let begun = now();
    let mut last = None;
    loop {
        let found = watch::find(pid);
        let (is_whole, is_final) = match &found {
            Ok(chain) => (chain.links.len() > 1 && last.as_ref() == Some(chain), false),
            Err(unseen) => (false, !matches!(unseen, Unseen::NoPipe)),
        };
        if is_whole || is_final || now().saturating_duration_since(begun) >= STARTED {
            return found.map_err(|unseen| unseen_report(pid, unseen));
        }
        last = found.ok();
        watch::nap(EVERY);
    }
}

fn unseen_report(pid: Pid, unseen: Unseen) -> Report {
    match unseen {
        Unseen::Gone => error(
            format!("no process has the PID {pid}"),
            "it may have ended; `ps` lists those that run",
        ),
        Unseen::Forbidden => error(
            format!("process {pid} belongs to another user"),
            "look at your own processes, or as root",
        ),
        Unseen::NoPipe => error(
            format!("process {pid} is part of no pipeline"),
            "it has no pipe on its stdin or stdout, nor has anything it started",
        ),
        Unseen::System(why) => error(format!("cannot look at process {pid}: {why}"), ""),
    }
}

/// Looks until the time is over, fewer than two stages live, or `is_over`.
fn watch_chain(chain: Chain, time: Duration, mut is_over: impl FnMut() -> bool) -> Seen {
    let begun = now();
    let mut sampler = Sampler::new(chain, begun);
    let mut next = begun;
    loop {
        next += EVERY;
        watch::nap(next.saturating_duration_since(now()));
        let at = now();
        if at > next + EVERY {
            next = at; // it was late, and does not catch up
        }
        if !sampler.look(at) || at.duration_since(begun) >= time || is_over() {
            return sampler.seen();
        }
    }
}

/// A shell that runs a pipeline for us.
struct Shell {
    child: Child,
}

fn start(text: &OsStr) -> Result<Shell, Report> {
    let mut command = Command::new("sh");
    // stdout is for what the doctor says
    command.args(["-c", "exec >&2; eval \"$1\"", "sh"]).arg(text);
    match command.spawn() {
        Ok(child) => Ok(Shell { child }),
        Err(why) => Err(error(format!("cannot start `sh -c {}`: {why}", shown(text)), "")),
    }
}

impl Shell {
    /// Waits for its pipeline to be there, then watches it; it is left to run to its end.
    fn watch(mut self, time: Duration) -> Result<Seen, Report> {
        let pid = self.child.id();
        let mut sleep = Duration::from_millis(1);
        let mut last = None;
        let chain = loop {
            // twice the same: the shell has started all it will
            let chain = watch::find_below(pid).ok().filter(|chain| chain.links.len() > 1);
            match chain {
                Some(chain) if last.as_ref() == Some(&chain) => break chain,
                chain => last = chain,
            }
            if self.is_over() {
                return Err(error(
                    "the pipeline was over before it could be looked at",
                    "watch one that runs longer",
                ));
            }
            watch::nap(sleep);
            sleep = (sleep * 2).min(EVERY);
        };
        let seen = watch_chain(chain, time, || self.is_over());
        // Its exit is its own affair: the doctor's tells of findings.
        self.child.wait().ok();
        Ok(seen)
    }

    fn is_over(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }
}

/// Whether a process works or waits somewhere it does not tell of.
const fn is_silent(doing: Doing) -> bool {
    matches!(doing, Doing::Waits)
}
