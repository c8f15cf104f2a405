//! What does the record of a run tell, as `--json` wrote it?
//!
//! Of several runs in a file the last one counts. Lines it does not know are passed over, so a record of a later
//! version can be read.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::mem::take;
use std::time::Duration;

use serde_json::Value;
use standpipe::diagnose::Times;

use super::Known;
use crate::command::ceiling::{Ceiling, Spell};
use crate::command::figures::Held;
use crate::end;
use crate::view::{self, Finding, Twice};
use crate::watch::{Doing, LinkSeen, Pid, Seen};

/// No event is longer; what is, is no record.
pub(super) const LONGEST_BYTES: u64 = 1 << 20;

/// What went through is so many times what the tanks held, or the time was too short.
const LONG: u64 = 10;

/// What a record says of its last run.
#[derive(Debug, Default)]
pub(super) struct Record {
    stages: Vec<Stage>,
    watched_ms: u64,
    /// The most that the tanks have held.
    peak_bytes: u64,
    /// What it said that its source may bring.
    rate_limit: Option<u64>,
    /// How long the source had to wait before the first tank, and had when counting began.
    held: Held,
    held_before: Held,
    samples: u32,
    findings: Vec<Finding>,
    end: Option<Value>,
    begun: bool,
    /// Its name.
    run: String,
    /// Runs that began before it and have not ended.
    earlier: BTreeSet<String>,
}

/// Why a line is none of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Version(String),
    Nonsense,
}

/// What the processes of a stage did while it told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Beside {
    /// Those that are to be let go on, if it is stopped.
    pub(super) pids: Vec<Pid>,
    pub(super) cpu_seconds: f64,
    /// They were stopped by a signal.
    pub(super) is_stopped: bool,
}

/// What a line told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Start,
    Sample,
    End,
    Other,
}

#[derive(Debug, Default)]
struct Stage {
    id: String,
    label: String,
    kind: String,
    pid: Option<Pid>,
    /// Milliseconds in each state.
    times: [f64; 3],
    moved_bytes: (u64, u64),
    /// The stage that it reads from.
    from: Option<String>,
    /// It may leave bytes out, so it holds nobody up.
    drops: bool,
    /// The least that it has worked, in milliseconds, and had when counting began.
    work_ms: Option<u64>,
    before_ms: Option<u64>,
    /// What had moved when counting began.
    before_bytes: (u64, u64),
    /// What its processes did while it told.
    beside: Option<Beside>,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub(super) fn read(from: impl Read) -> Result<Self, String> {
        let mut record = Self::default();
        let mut lines = BufReader::new(from);
        let mut bytes = Vec::new();
        for number in 1_u64.. {
            bytes.clear();
            let read = lines.by_ref().take(LONGEST_BYTES).read_until(b'\n', &mut bytes);
            if read.map_err(|why| end::reason(&why))? == 0 {
                break;
            }
            let line = bytes.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match record.line(line) {
                Ok(_) => {}
                Err(Fault::Version(version)) => {
                    return Err(format!(
                        "line {number} is of version {version}, this reads version 1"
                    ));
                }
                // a run that was killed may have left half a line
                Err(Fault::Nonsense) if !bytes.ends_with(b"\n") && record.begun => {}
                Err(Fault::Nonsense) => return Err(format!("line {number} is no event of a run")),
            }
        }
        if record.begun { Ok(record) } else { Err("no run begins in it".to_owned()) }
    }

    /// Takes a line that is whole.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Got, Fault> {
        match serde_json::from_slice::<Value>(line) {
            Ok(event) if event["v"] == 1 && event["event"].is_string() => Ok(self.take(event)),
            Ok(event) if event["v"].as_u64().is_some_and(|version| version != 1) => {
                Err(Fault::Version(event["v"].to_string()))
            }
            _ => Err(Fault::Nonsense),
        }
    }

    fn take(&mut self, event: Value) -> Got {
        let run = event["run"].as_str().unwrap_or_default().to_owned();
        if event["event"] != "start" && run != self.run {
            // Runs can share a file, also at the same time; the one that began last is judged.
            let is_refused = event["event"] == "end" && !self.earlier.remove(&run);
            if !is_refused {
                return Got::Other;
            }
            *self = Self { run: run.clone(), earlier: take(&mut self.earlier), ..Self::default() };
        }
        match event["event"].as_str() {
            Some("start") => {
                let mut earlier = take(&mut self.earlier);
                if self.begun && self.end.is_none() {
                    earlier.insert(take(&mut self.run));
                }
                let rate_limit = event["rate_limit"].as_u64();
                *self = Self { begun: true, run, earlier, rate_limit, ..Self::default() };
                for stage in event["stages"].as_array().into_iter().flatten() {
                    let text = |name: &str| stage[name].as_str().unwrap_or_default().to_owned();
                    self.stages.push(Stage {
                        id: text("id"),
                        label: text("label"),
                        kind: text("kind"),
                        pid: stage["pid"].as_u64().and_then(|pid| Pid::try_from(pid).ok()),
                        ..Stage::default()
                    });
                }
                event["tanks"].as_array().into_iter().flatten().for_each(|tank| self.tank(tank));
                Got::Start
            }
            Some("sample") => {
                self.sample(&event);
                Got::Sample
            }
            Some("warning") => {
                self.warning(&event);
                Got::Other
            }
            // a run that was refused has nothing but an end
            Some("end") => {
                (self.begun, self.end) = (true, Some(event));
                Got::End
            }
            _ => Got::Other,
        }
    }

    fn tank(&mut self, tank: &Value) {
        let to = self.stages.iter_mut().find(|stage| tank["to"] == stage.id.as_str());
        if let Some(to) = to {
            to.from = tank["from"].as_str().map(str::to_owned);
            to.drops = tank["full"].as_str().is_some_and(|full| full.starts_with("drop"));
        }
    }

    /// The stages on the way to the end that held them up: of several that read from one stage that which was starved
    /// the least.
    fn route(&mut self) -> Vec<Stage> {
        let all = take(&mut self.stages);
        let shared = all.last().and_then(|last| last.from.clone());
        let (mut branches, mut route): (Vec<Stage>, Vec<Stage>) =
            all.into_iter().partition(|stage| shared.is_some() && stage.from == shared);
        if branches.iter().any(|branch| !branch.drops) {
            branches.retain(|branch| !branch.drops);
        }
        let limit =
            branches.into_iter().min_by(|one, other| one.times[2].total_cmp(&other.times[2]));
        route.extend(limit);
        route
    }

    /// Whether something other than its ends works in it.
    pub(super) fn has_commands(&self) -> bool {
        self.stages.iter().any(Stage::works)
    }

    /// Forgets the times and bytes so far.
    pub(super) fn count_from_here(&mut self) {
        (self.watched_ms, self.samples) = (0, 0);
        self.held_before = self.held;
        for stage in &mut self.stages {
            stage.times = [0.0; 3];
            stage.before_bytes = stage.moved_bytes;
            stage.before_ms = stage.work_ms;
        }
    }

    /// The processes of the stages, as far as they have one.
    pub(super) fn pids(&self) -> impl Iterator<Item = Option<Pid>> {
        self.stages.iter().map(|stage| stage.pid)
    }

    /// What was told by a run that may still go on; beside each stage what its processes did meanwhile.
    pub(super) fn seen_beside(mut self, beside: Vec<Option<Beside>>) -> Known {
        for (stage, beside) in self.stages.iter_mut().zip(beside) {
            // an end has no process, and does not compute
            stage.beside = if stage.works() { beside } else { Some(Beside::default()) };
        }
        let ceiling = self.ceiling();
        self.told(ceiling)
    }

    fn sample(&mut self, sample: &Value) {
        let Some(interval_ms) = sample["interval_ms"].as_u64() else { return };
        self.samples += 1;
        self.watched_ms += interval_ms;
        self.peak_bytes = sample["memory"]["peak"].as_u64().unwrap_or(u64::MAX);
        let waited = |name: &str| sample["tanks"][0][name].as_u64().unwrap_or(0);
        let [held_ns, full_ns] =
            ["held_ms", "full_ms"].map(|name| waited(name).saturating_mul(1_000_000));
        self.held = Held { held_ns, full_ns };
        for seen in sample["stages"].as_array().into_iter().flatten() {
            let Some(stage) = self.stages.iter_mut().find(|stage| seen["id"] == stage.id.as_str())
            else {
                continue;
            };
            let bytes = |name: &str| seen[name].as_u64().unwrap_or(0);
            stage.moved_bytes = (bytes("in_bytes"), bytes("out_bytes"));
            stage.work_ms = seen["work_ms"].as_u64();
            for (sum, name) in stage.times.iter_mut().zip(["busy", "paused", "starved"]) {
                *sum += seen[name].as_f64().unwrap_or(0.0) * milliseconds(interval_ms);
            }
        }
    }

    fn warning(&mut self, warning: &Value) {
        let known = super::judge::RECORDED.iter().find(|name| warning["code"] == **name);
        if let Some(name) = known {
            let says = warning["message"].as_str().unwrap_or_default().to_owned();
            self.findings.push(Finding { name, says, advice: None, allowed: false });
        }
    }

    /// What was seen, and what was found beside it; the run should be over.
    pub(super) fn seen(mut self) -> Known {
        if self.end.is_none() {
            let says = "the record has no end: the run was killed, is still going on, or could not write it";
            self.findings.push(failed(says.to_owned()));
        }
        let ceiling = self.end.as_ref().and_then(|end| self.recorded(&end["ceiling"]));
        self.told(ceiling)
    }

    /// What was told of the whole run at its end.
    fn recorded(&self, ceiling: &Value) -> Option<view::Ceiling> {
        let twice = ceiling["twice"].as_array()?;
        let twice = twice.iter().find(|twice| twice["stage"] == ceiling["stage"])?;
        let label = |id: &Value| {
            let stage = self.stages.iter().find(|stage| *id == stage.id.as_str())?;
            Some(stage.shown())
        };
        Some(view::Ceiling {
            gain: ceiling["gain"].as_f64()?,
            twice: Twice {
                who: label(&ceiling["stage"])?,
                gain: twice["gain"].as_f64()?,
                next: label(&twice["next"]),
            },
        })
    }

    /// What follows from the part that was listened to: it has to be long, as what lay in the tanks before and after
    /// belongs to other times.
    fn ceiling(&self) -> Option<view::Ceiling> {
        let out = self.stages.last()?;
        let moved_bytes = out.moved_bytes.0.saturating_sub(out.before_bytes.0);
        if moved_bytes < self.peak_bytes.saturating_mul(LONG) {
            return None;
        }
        let since =
            |stage: &Stage| stage.work_ms?.checked_sub(stage.before_ms?)?.checked_mul(1_000_000);
        let work: Vec<Option<u64>> = self.stages.iter().map(since).collect();
        let busy: Vec<u64> = self.stages.iter().map(|stage| nanoseconds(stage.times[0])).collect();
        let cpu = self.stages.iter().map(|stage| Some(stage.beside.as_ref()?.cpu_seconds));
        let cpu_seconds: f64 = cpu.sum::<Option<f64>>()?;
        let found = Ceiling::of(&Spell {
            ran_ns: self.watched_ms.checked_mul(1_000_000)?,
            work_ns: &work,
            busy_ns: &busy,
            cpu_ns: nanoseconds(cpu_seconds * 1e3),
        })?;
        let twice = found.twice[found.stage];
        Some(view::Ceiling {
            gain: found.gain,
            twice: Twice {
                who: self.stages[found.stage].shown(),
                gain: twice.gain,
                next: twice.next.map(|next| self.stages[next].shown()),
            },
        })
    }

    fn told(mut self, ceiling: Option<view::Ceiling>) -> Known {
        if let Some(end) = self.end.take().filter(|end| end["status"] != "ok") {
            let why = end["failed"]["message"].as_str().unwrap_or("it did not say why");
            let says = format!("the run failed with code {}: {why}", end["exit_code"]);
            self.findings.push(failed(says));
        }
        let links = self.route().into_iter().map(|stage| {
            let [busy_ns, paused_ns, starved_ns] = stage.times.map(nanoseconds);
            LinkSeen {
                id: Some(stage.id),
                label: stage.label,
                pids: stage.beside.as_ref().map_or_else(Vec::new, |beside| beside.pids.clone()),
                times: Times { busy_ns, paused_ns, starved_ns },
                by_level: 0.0,
                doing: match &stage.beside {
                    Some(beside) if beside.is_stopped => Doing::Stopped,
                    _ => Doing::Runs,
                },
                cpu_seconds: stage.beside.as_ref().map(|beside| beside.cpu_seconds),
                moved_bytes: Some((
                    stage.moved_bytes.0.saturating_sub(stage.before_bytes.0),
                    stage.moved_bytes.1.saturating_sub(stage.before_bytes.1),
                )),
                level: None,
                wire: None,
                is_ours: false,
            }
        });
        let watched = Duration::from_millis(self.watched_ms);
        let links = links.collect();
        let seen = Seen { links, unread: false, watched, looks: None, told: true };
        let held = self.held.since(self.held_before);
        let held = Some((held, Held::by(self.rate_limit.as_ref())));
        Known { seen, findings: self.findings, ceiling, held }
    }
}

impl Stage {
    /// As it is shown.
    fn shown(&self) -> String {
        format!("{} {}", self.id, self.label)
    }

    /// Whether it is more than an end.
    fn works(&self) -> bool {
        matches!(self.kind.as_str(), "exec" | "builtin")
    }
}

fn failed(says: String) -> Finding {
    Finding { name: "failed", says, advice: None, allowed: false }
}

#[expect(clippy::cast_precision_loss, reason = "shown in percent")]
fn milliseconds(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
fn nanoseconds(milliseconds: f64) -> u64 {
    (milliseconds * 1e6) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str =
        r#"{"v":1,"event":"start","stages":[{"id":"1","label":"cat"},{"id":"2","label":"gzip"}]}"#;
    const SAMPLE: &str = r#"{"v":1,"event":"sample","interval_ms":1000,"stages":[
        {"id":"1","in_bytes":0,"out_bytes":9,"busy":0.1,"paused":0.9,"starved":0.0},
        {"id":"2","in_bytes":9,"out_bytes":1,"busy":1.0,"paused":0.0,"starved":0.0}]}"#;
    const END: &str = r#"{"v":1,"event":"end","status":"ok","exit_code":0,"failed":null}"#;

    fn record(lines: &[&str]) -> Result<Record, String> {
        let text: Vec<String> = lines.iter().map(|line| line.replace('\n', "")).collect();
        Record::read((text.join("\n") + "\n").as_bytes())
    }

    #[test]
    fn times_are_added_up_over_the_samples_of_the_last_run() {
        let Known { seen, findings, .. } =
            record(&[START, SAMPLE, END, START, SAMPLE, "", SAMPLE, END]).expect("a record").seen();
        assert_eq!(seen.watched, Duration::from_secs(2));
        let times = Times { busy_ns: 200_000_000, paused_ns: 1_800_000_000, starved_ns: 0 };
        assert_eq!((seen.links[0].label.as_str(), seen.links[0].times), ("cat", times));
        assert!(findings.is_empty());
    }

    /// Lines of runs that went on at the same time were taken for those of one.
    #[test]
    fn runs_that_share_a_file_at_the_same_time_are_kept_apart() {
        let of = |run: &str, line: &str| line.replacen('{', &format!("{{\"run\":\"{run}\","), 1);
        let bad = r#"{"v":1,"event":"end","status":"failed","exit_code":3,"failed":{"message":"A fell"}}"#;
        let mut lines = vec![of("a", START), of("a", SAMPLE), of("b", START), of("b", SAMPLE)];
        lines.extend([of("a", SAMPLE), of("b", END), of("a", SAMPLE), of("a", bad)]);
        let read = |lines: &[String]| {
            record(&lines.iter().map(String::as_str).collect::<Vec<_>>()).expect("a record").seen()
        };
        let Known { seen, findings, .. } = read(&lines);
        assert_eq!((seen.watched, findings.len()), (Duration::from_secs(1), 0));
        // a run that was refused has an end alone, and is the last one too
        lines.push(of("c", bad));
        let Known { seen, findings, .. } = read(&lines);
        assert_eq!((seen.links.len(), findings.len()), (0, 1));
    }

    #[test]
    fn of_several_outputs_the_slow_one_counts() {
        let start = r#"{"v":1,"event":"start","stages":[{"id":"1","label":"cat"},
            {"id":"a","label":"null:"},{"id":"b","label":"slow"},{"id":"c","label":"live"}],
            "tanks":[{"from":"1","to":"a"},{"from":"1","to":"b"},
            {"from":"1","to":"c","full":"drop-oldest"}]}"#;
        let sample = r#"{"v":1,"event":"sample","interval_ms":1000,"stages":[
            {"id":"1","busy":0.1,"paused":0.9,"starved":0},
            {"id":"a","busy":0.1,"paused":0,"starved":0.9},
            {"id":"b","busy":0.9,"paused":0,"starved":0.1},
            {"id":"c","busy":1,"paused":0,"starved":0}]}"#;
        let Known { seen, .. } = record(&[start, sample, END]).expect("a record").seen();
        let ids: Vec<&str> = seen.links.iter().filter_map(|link| link.id.as_deref()).collect();
        assert_eq!(ids, ["1", "b"]);
    }

    #[test]
    fn a_run_without_an_end_or_with_a_bad_one_failed() {
        let Known { findings, .. } = record(&[START, SAMPLE]).expect("a record").seen();
        assert!(findings[0].says.contains("has no end"));
        let bad = r#"{"v":1,"event":"end","status":"failed","exit_code":3,"failed":{"message":"stage 1 fell"}}"#;
        let Known { findings, .. } = record(&[START, SAMPLE, bad]).expect("a record").seen();
        assert_eq!(findings[0].says, "the run failed with code 3: stage 1 fell");
    }

    #[test]
    fn half_a_line_at_the_end_is_forgiven_and_nonsense_is_not() {
        let cut = format!("{START}\n{{\"v\":1,\"ev");
        assert!(Record::read(cut.as_bytes()).is_ok());
        assert!(record(&["hello"]).is_err_and(|why| why == "line 1 is no event of a run"));
        assert!(record(&[START, "{}"]).is_err_and(|why| why.contains("line 2")));
        assert!(record(&[r#"{"v":2}"#]).is_err_and(|why| why.contains("version 2")));
        assert!(record(&[r#"{"v":1}"#]).is_err_and(|why| why == "line 1 is no event of a run"));
        assert!(record(&[]).is_err_and(|why| why == "no run begins in it"));
        let directory = std::fs::File::open("/").expect("it is there");
        assert!(Record::read(directory).is_err_and(|why| why == "is a directory"));
    }
}
