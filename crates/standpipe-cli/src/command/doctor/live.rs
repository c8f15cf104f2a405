//! What does a run of ours say of itself while it goes on?
//!
//! It is asked at its own door and tells what it tells its record. The first thing it says is how things are when
//! somebody comes: from there on is counted.
//!
//! # Knows / never knows
//! Knows a run's door, the lines that come out of it, and how much its processes compute. Never knows what they
//! wait for: the run has said that.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Known;
use super::record::{Beside, Got, LONGEST_BYTES, Record};
use crate::command::door::knock;
use crate::exec::now;
use crate::watch::{Doing, Pid, Stat, Table};

/// A run that says nothing for so long is looked at from outside.
const SILENT: Duration = Duration::from_secs(3);

/// The run that this process is, or that has started it, if it opens its door.
pub(super) fn run_of(pid: Pid) -> Option<UnixStream> {
    knock(pid).or_else(|| knock(Stat::of(pid)?.parent))
}

/// Listens for that long and until it is told how things are then, or to the end of the run. `None` if it does
/// not say enough, or nothing but its ends works in it.
pub(super) fn listen(run: UnixStream, time: Duration) -> Option<Known> {
    run.set_read_timeout(Some(SILENT)).ok()?;
    let begun = now();
    let mut record = Record::default();
    let mut lines = BufReader::new(run);
    let mut line = Vec::new();
    let mut used = None;
    loop {
        line.clear();
        let read = lines.by_ref().take(LONGEST_BYTES).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || !line.ends_with(b"\n") {
            return None;
        }
        match (record.line(line.trim_ascii()).ok()?, &used) {
            (Got::Start, _) if !record.has_commands() => return None,
            (Got::Sample, None) => {
                record.count_from_here();
                used = Some(cpu_seconds(&record));
            }
            (Got::Sample, Some(before)) if now().duration_since(begun) >= time => {
                let beside = beside(&record, before);
                return Some(record.seen_beside(beside));
            }
            (Got::End, Some(before)) => {
                let beside = beside(&record, before);
                return Some(record.seen_beside(beside));
            }
            (Got::End, None) => return None,
            _ => {}
        }
    }
}

/// Each stage's process and what descends from it.
fn families(record: &Record) -> Vec<Option<Vec<(Pid, Stat)>>> {
    let table = Table::read();
    let family = |pid: Pid| {
        let mut family = vec![(pid, table.get(pid)?)];
        family.extend(table.below(&[pid]));
        Some(family)
    };
    record.pids().map(|pid| family(pid?)).collect()
}

fn cpu_seconds(record: &Record) -> Vec<f64> {
    let of = |family: Vec<(Pid, Stat)>| family.iter().map(|(_, stat)| stat.cpu_seconds()).sum();
    families(record).into_iter().map(|family| family.map_or(0.0, of)).collect()
}

/// What the processes of each stage have done since then.
fn beside(record: &Record, before: &[f64]) -> Vec<Option<Beside>> {
    let of = |(family, before): (Option<Vec<(Pid, Stat)>>, &f64)| {
        let family = family?;
        let used: f64 = family.iter().map(|(_, stat)| stat.cpu_seconds()).sum();
        let is_stopped = |(pid, stat): &&(Pid, Stat)| stat.doing(*pid) == Doing::Stopped;
        let pids: Vec<Pid> = family.iter().filter(is_stopped).map(|(pid, _)| *pid).collect();
        let is_stopped = !pids.is_empty();
        Some(Beside { pids, cpu_seconds: (used - before).max(0.0), is_stopped })
    };
    families(record).into_iter().zip(before).map(of).collect()
}
