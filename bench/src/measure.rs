//! How fast is a case, compared with its peer in the same round?
//!
//! The rounds of all cases are interleaved (A B C A B C), so that a busy neighbour hits them alike, and a ratio is the median over
//! the ratios of single rounds. CPU time is trusted more than wall time: it does not count waiting for a processor.
//!
//! # Knows / never knows
//! Knows cases and their targets. Never knows what a case does; each checks its own sum and panics if it is wrong.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one round of one case took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) wall: Duration,
    /// User and system time of all threads, or of the whole command with its children.
    pub(crate) cpu: Duration,
    /// Voluntary context switches.
    pub(crate) switches: u64,
    /// Peak resident memory of the largest process of a command, in KiB; 0 for what runs in this process.
    pub(crate) peak_kib: u64,
    /// What the case counts itself: instructions an item, polls, bytes a tank; 0 where nothing is counted.
    pub(crate) count: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    Cpu,
    Wall,
    /// Peak memory in MiB.
    PeakMib,
    /// Peak memory in MiB beyond that of the peer.
    PeakOverMib,
    /// What the case counts itself.
    Count,
}

/// How much a missed target matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// A miss fails `--gate`.
    Gate,
    /// A miss is shown.
    Goal,
}

/// A comparison with the best of some peers under the same setting; without peers a limit in the unit of the metric.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) peers: Vec<&'static str>,
    pub(crate) metric: Metric,
    pub(crate) at_most: f64,
    pub(crate) weight: Weight,
}

impl Target {
    pub(crate) fn cpu(peer: &'static str, at_most: f64, weight: Weight) -> Self {
        Self { peers: vec![peer], metric: Metric::Cpu, at_most, weight }
    }

    pub(crate) fn count(peer: &'static str, at_most: f64, weight: Weight) -> Self {
        Self { peers: vec![peer], metric: Metric::Count, at_most, weight }
    }

    /// A limit that is no ratio.
    pub(crate) fn limit(metric: Metric, at_most: f64, weight: Weight) -> Self {
        Self { peers: vec![], metric, at_most, weight }
    }
}

/// How readings are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Nanoseconds an item; `n` is the number of items.
    NsPerItem,
    /// The same, and the bytes that each of `n` takes.
    NsAndBytes,
    /// GiB a second, CPU seconds a GiB, and the peak; `n` is the number of bytes.
    GibPerSecond,
    /// What is counted, and what it is.
    Count(&'static str),
}

/// Runs a case once with `n` items or bytes.
pub(crate) type Run = Box<dyn FnMut(u64) -> Reading>;

/// One row of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Runtime and mark, or the route of the bytes. Peers are looked up under the same setting.
    pub(crate) setting: String,
    /// None: the peer is not installed.
    pub(crate) run: Option<Run>,
    /// Items or bytes a round, at most.
    pub(crate) most: u64,
    pub(crate) targets: Vec<Target>,
}

/// A measured case.
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) n: u64,
    pub(crate) readings: Vec<Reading>,
}

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Cases are sized to this much wall time a round; none: always `most`.
    pub(crate) round_time: Option<Duration>,
}

/// Measures all cases, round by round.
pub(crate) fn measure(cases: Vec<Case>, plan: Plan) -> Vec<Row> {
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|mut case| {
            let n = match (&mut case.run, plan.round_time) {
                (Some(run), Some(time)) => fitting(run, case.most, time),
                _ => case.most,
            };
            Row { case, n, readings: Vec::new() }
        })
        .collect();
    for round in 0..plan.rounds {
        eprint!("\rround {} of {}", round + 1, plan.rounds);
        for row in &mut rows {
            if let Some(run) = &mut row.case.run {
                row.readings.push(run(row.n));
            }
        }
    }
    eprintln!("\r");
    rows
}

/// Sizes a case by a probe of one percent, which also warms it up.
fn fitting(run: &mut Run, most: u64, time: Duration) -> u64 {
    let probe = (most / 100).max(1);
    let took = run(probe).wall.as_secs_f64().max(1e-9);
    let fits = probe as f64 * time.as_secs_f64() / took;
    (fits as u64).clamp(probe, most)
}

/// Makes a run of something in this process; `check` sees the outcome, unmeasured, and says what it counted.
#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
pub(crate) fn in_process<T>(
    mut work: impl FnMut(u64) -> T + 'static,
    check: impl Fn(u64, T) -> f64 + 'static,
) -> Run {
    Box::new(move |n| {
        let (before, start) = (own_usage(), Instant::now());
        let outcome = work(n);
        let (wall, after) = (start.elapsed(), own_usage());
        let count = check(n, outcome);
        Reading {
            wall,
            cpu: after.cpu - before.cpu,
            switches: after.switches - before.switches,
            peak_kib: 0,
            count,
        }
    })
}

/// Makes a run of a shell command; `prepare` runs before it, unmeasured, and `check` after it.
#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
#[expect(
    clippy::zombie_processes,
    reason = "`reap` waits, since only wait4 tells what the child used"
)]
pub(crate) fn command(
    line: String,
    prepare: impl Fn() + 'static,
    check: impl Fn() + 'static,
) -> Run {
    Box::new(move |_| {
        prepare();
        let start = Instant::now();
        let child = Command::new("sh").arg("-c").arg(&line).stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start `sh -c {line:?}`: {error}"));
        let (code, usage) = reap(child.id());
        let wall = start.elapsed();
        assert_eq!(code, 0, "`{line}` failed");
        check();
        Reading { wall, ..usage }
    })
}

fn own_usage() -> Reading {
    // SAFETY: `rusage` is plain numbers, for which zeros are a value, and getrusage writes only into it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0, "RUSAGE_SELF is known");
        usage
    };
    reading(&usage)
}

/// Waits for a child; its wait status, and the usage of it and all it waited for.
pub(crate) fn reap(pid: u32) -> (i32, Reading) {
    let pid = libc::pid_t::try_from(pid).expect("a pid fits its own type");
    // SAFETY: as above; wait4 writes only into the two places given, and nobody else waits for this child.
    let (status, usage) = unsafe {
        let (mut status, mut usage): (i32, libc::rusage) = (0, std::mem::zeroed());
        while libc::wait4(pid, &raw mut status, 0, &raw mut usage) != pid {
            assert_eq!(*libc::__errno_location(), libc::EINTR, "the child is ours");
        }
        (status, usage)
    };
    (status, reading(&usage))
}

fn reading(usage: &libc::rusage) -> Reading {
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
    };
    Reading {
        wall: Duration::ZERO,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        switches: usage.ru_nvcsw as u64,
        peak_kib: usage.ru_maxrss as u64,
        count: 0.0,
    }
}

/// The outcome of one target.
pub(crate) struct Verdict<'a> {
    pub(crate) target: &'a Target,
    /// The peer that was best, if any was there.
    pub(crate) peer: Option<&'static str>,
    /// The ratio to it, or what is limited; none if the case or every peer is absent.
    pub(crate) ratio: Option<f64>,
    /// The case itself did not run.
    absent: bool,
}

impl Verdict<'_> {
    pub(crate) fn met(&self) -> Option<bool> {
        self.ratio.map(|ratio| ratio <= self.target.at_most)
    }

    /// Missed a gate. A peer that is absent proves nothing, but standpipe has to be there.
    pub(crate) fn fails(&self) -> bool {
        self.target.weight == Weight::Gate && (self.absent || self.met() == Some(false))
    }
}

impl Row {
    pub(crate) fn per_item(&self, metric: Metric) -> Vec<f64> {
        let take = |r: &Reading| match metric {
            Metric::Cpu => r.cpu.as_secs_f64() / self.n as f64,
            Metric::Wall => r.wall.as_secs_f64() / self.n as f64,
            Metric::PeakMib | Metric::PeakOverMib => r.peak_kib as f64 / 1024.0,
            Metric::Count => r.count,
        };
        self.readings.iter().map(take).collect()
    }

    pub(crate) fn verdicts<'a>(&'a self, all: &[Row]) -> Vec<Verdict<'a>> {
        self.case.targets.iter().map(|target| self.verdict(target, all)).collect()
    }

    fn verdict<'a>(&'a self, target: &'a Target, all: &[Row]) -> Verdict<'a> {
        let own = self.per_item(target.metric);
        if own.is_empty() {
            return Verdict { target, peer: None, ratio: None, absent: true };
        }
        if target.peers.is_empty() {
            let most = own.iter().copied().fold(0.0, f64::max);
            return Verdict { target, peer: None, ratio: Some(most), absent: false };
        }
        let here = all.iter().filter(|row| row.case.setting == self.case.setting);
        let peers =
            here.filter(|row| target.peers.contains(&row.case.name) && !row.readings.is_empty());
        let typical = |row: &&Row| median(&row.per_item(target.metric));
        let best = peers.min_by(|a, b| typical(a).total_cmp(&typical(b)));
        let ratio = best.map(|peer| {
            let theirs = peer.per_item(target.metric);
            let compare = |(a, b): (&f64, f64)| match target.metric {
                Metric::PeakOverMib => a - b,
                _ => a / b,
            };
            median(&own.iter().zip(theirs).map(compare).collect::<Vec<_>>())
        });
        Verdict { target, peer: best.map(|row| row.case.name), ratio, absent: false }
    }
}

/// The middle value; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
