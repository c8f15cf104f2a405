//! How do the processes of a pipeline spend their time?
//!
//! Looked at a hundred times a second. Between two looks a stage is taken to have done what the later one finds, so
//! the times add up to what was watched.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant};

use standpipe::diagnose::Times;

use super::chain::{Chain, Input, Link};
use super::process::{self, Doing, Level, Pid, Stat};
use super::wire::{Wire, wires};

/// What processes have moved is read every so many looks: it only grows, and is shown to nobody more often.
const COUNT_EVERY: u32 = 5;

/// Levels that only show how full a pipe is are read as often.
const LEVEL_EVERY: u32 = 5;

/// Watches one pipeline.
#[derive(Debug)]
pub(crate) struct Sampler {
    links: Vec<LinkSampler>,
    unread: bool,
    /// The connections of all stages, as they were at the beginning.
    wires: BTreeMap<u64, Wire>,
    begun: Instant,
    last: Instant,
    looks: u32,
}

#[derive(Debug)]
struct LinkSampler {
    link: Link,
    /// Where each of its processes tells: an open file is of that process alone, its number may be given to another one.
    stats: Vec<Option<File>>,
    sockets: Vec<u64>,
    looks: u32,
    times: Times,
    /// What was judged by the levels on both sides, as the process did not tell.
    by_level_ns: u64,
    level_sum: f64,
    levels: u32,
    level: Option<Level>,
    doing: Doing,
    cpu_before: f64,
    moved_before: Option<(u64, u64)>,
    cpu_now: f64,
    moved_now: Option<(u64, u64)>,
}

/// What was seen of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) links: Vec<LinkSeen>,
    /// The last one writes a pipe that nobody reads any more.
    pub(crate) unread: bool,
    pub(crate) watched: Duration,
    /// How often it was looked at; `None` if it was not.
    pub(crate) looks: Option<u32>,
    /// It has told its times and bytes itself, and they are exact.
    pub(crate) told: bool,
}

/// What was seen of a stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LinkSeen {
    /// What its run calls it; `None`: by its place.
    pub(crate) id: Option<String>,
    pub(crate) label: String,
    pub(crate) pids: Vec<Pid>,
    pub(crate) times: Times,
    /// The share of the time in which it did not tell, 0 to 1.
    pub(crate) by_level: f64,
    /// What it does now.
    pub(crate) doing: Doing,
    /// CPU seconds used, where that is known.
    pub(crate) cpu_seconds: Option<f64>,
    /// Bytes read and written, by any descriptor: about what went through. `None` of who lets the kernel move them, for
    /// that is not counted.
    pub(crate) moved_bytes: Option<(u64, u64)>,
    /// How full the pipe before it was on average, 0 to 1.
    pub(crate) level: Option<f64>,
    /// The TCP connection of it that was busiest.
    pub(crate) wire: Option<Wire>,
    /// It is a run of standpipe, all of whose processes are one stage here.
    pub(crate) is_ours: bool,
}

impl Sampler {
    pub(crate) fn new(chain: Chain, now: Instant) -> Self {
        let links: Vec<LinkSampler> = chain.links.into_iter().map(LinkSampler::new).collect();
        let sockets: Vec<u64> =
            links.iter().flat_map(|link| link.sockets.iter().copied()).collect();
        let wires = wires(&sockets);
        Self { links, unread: chain.unread, wires, begun: now, last: now, looks: 0 }
    }

    /// Looks once. Whether there is still something to watch: at least two stages live.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let span = now.saturating_duration_since(self.last);
        let span_ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        // while all tell what they wait for, levels are shown and decide nothing
        let is_due = self.looks.is_multiple_of(LEVEL_EVERY)
            || self.links.iter().any(|link| link.doing == Doing::Waits);
        for link in self.links.iter_mut().filter(|_| is_due) {
            link.look_at_level();
        }
        let levels: Vec<Option<Level>> = self.links.iter().map(|link| link.level).collect();
        for (at, link) in self.links.iter_mut().enumerate() {
            link.look(levels[at], levels.get(at + 1).copied().flatten(), span_ns);
        }
        self.last = now;
        self.looks += 1;
        let live = self.links.iter().filter(|link| link.doing != Doing::Gone).count();
        live >= 2.min(self.links.len())
    }

    pub(crate) fn seen(&self) -> Seen {
        let watched = self.last.saturating_duration_since(self.begun);
        let sockets: Vec<Vec<u64>> = self.links.iter().map(LinkSampler::sockets).collect();
        let now = wires(&sockets.concat());
        // one that has come up meanwhile has counted nothing before
        let earlier = |inode: &u64| self.wires.get(inode).copied().unwrap_or_default();
        let wire = |sockets: &[u64]| {
            let grown = sockets.iter().filter_map(|at| Some(now.get(at)?.since(&earlier(at))));
            grown.max_by_key(|wire| wire.busy)
        };
        Seen {
            links: self
                .links
                .iter()
                .zip(&sockets)
                .map(|(link, sockets)| LinkSeen { wire: wire(sockets), ..link.seen(watched) })
                .collect(),
            unread: self.unread,
            watched,
            told: false,
            looks: Some(self.looks),
        }
    }
}

impl LinkSampler {
    fn new(link: Link) -> Self {
        let stats = link.pids.iter().map(|pid| Stat::open(*pid)).collect();
        let sockets = link.pids.iter().flat_map(|pid| process::sockets(*pid)).collect();
        let mut sampler = Self {
            link,
            sockets,
            stats,
            looks: 0,
            times: Times::default(),
            by_level_ns: 0,
            level_sum: 0.0,
            levels: 0,
            level: None,
            doing: Doing::Waits,
            cpu_before: 0.0,
            moved_before: None,
            cpu_now: 0.0,
            moved_now: None,
        };
        let live = sampler.live();
        sampler.count(&live);
        sampler.cpu_before = sampler.cpu_now;
        sampler.moved_before = sampler.moved_now;
        sampler
    }

    /// Reads what only ever grows; what a process had when it was last alive stays.
    fn count(&mut self, live: &[(Pid, Stat)]) {
        if live.is_empty() {
            return;
        }
        self.cpu_now = live.iter().map(|(_, stat)| stat.cpu_seconds()).sum();
        if self.looks.is_multiple_of(COUNT_EVERY) {
            let moved: Option<Vec<(u64, u64)>> =
                live.iter().map(|(pid, _)| process::moved_bytes(*pid)).collect();
            let moved =
                moved.map(|all| all.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)));
            // one that ends or begins at this very moment does not tell: what was seen before stays
            self.moved_now = moved.or(self.moved_now);
            self.moved_before = self.moved_before.or(self.moved_now);
        }
    }

    /// Those of its processes that live, and are not later ones with the same number.
    fn live(&self) -> Vec<(Pid, Stat)> {
        let known = self.link.pids.iter().zip(&self.stats);
        known.filter_map(|(pid, stat)| Some((*pid, Stat::again(stat.as_ref()?)?))).collect()
    }

    /// The sockets it has had at the beginning, and those it has now.
    fn sockets(&self) -> Vec<u64> {
        let now = self.live().into_iter().flat_map(|(pid, _)| process::sockets(pid));
        let mut all: Vec<u64> = now.chain(self.sockets.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn look_at_level(&mut self) {
        let Some(Input { inode, reader, fd }) = self.link.input else { return };
        self.level = process::level(reader, fd, inode).ok();
        if let Some(Level { bytes, high_bytes }) = self.level
            && high_bytes > 0
        {
            self.level_sum += share(bytes, high_bytes).min(1.0);
            self.levels += 1;
        }
    }

    fn look(&mut self, before: Option<Level>, after: Option<Level>, span_ns: u64) {
        let live = self.live();
        if self.looks == 0
            && let Some((first, _)) = live.first()
        {
            // what a shell had started may have been the shell itself yet
            self.link.label = process::label(*first);
        }
        self.looks = self.looks.wrapping_add(1);
        self.doing =
            process::first(live.iter().map(|(pid, stat)| stat.doing(*pid))).unwrap_or(Doing::Gone);
        let told = match self.doing {
            Doing::Waits => {
                self.by_level_ns += span_ns;
                process::by_levels(before, after)
            }
            told => told,
        };
        match told {
            Doing::Gone => return,
            Doing::Runs | Doing::Disk | Doing::Stopped | Doing::Waits => {
                self.times.busy_ns += span_ns;
            }
            Doing::Paused => self.times.paused_ns += span_ns,
            Doing::Starved => self.times.starved_ns += span_ns,
        }
        self.count(&live);
    }

    fn seen(&self, watched: Duration) -> LinkSeen {
        let watched_ns = u64::try_from(watched.as_nanos()).unwrap_or(u64::MAX);
        let counted = self.moved_now.filter(|_| !self.link.is_ours);
        let moved = counted
            .zip(self.moved_before)
            .map(|(now, before)| (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1)));
        LinkSeen {
            id: None,
            label: self.link.label.clone(),
            pids: self.link.pids.clone(),
            times: self.times,
            by_level: share(self.by_level_ns, watched_ns),
            doing: self.doing,
            cpu_seconds: Some((self.cpu_now - self.cpu_before).max(0.0)),
            moved_bytes: moved,
            level: (self.levels > 0).then(|| self.level_sum / f64::from(self.levels)),
            wire: None,
            is_ours: self.link.is_ours,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown in percent")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A stage that was reaped between the look at it and the reading of what it had moved was said to have moved
    /// nothing.
    #[test]
    fn what_a_stage_has_moved_stays_when_it_ends_at_the_moment_of_looking() {
        let mut cat = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat starts");
        let link = Link { pids: vec![cat.id()], label: String::new(), is_ours: false, input: None };
        let mut sampler = LinkSampler::new(link);
        let mut input = cat.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut input, &[0; 1000]).expect("it reads");
        let mut output = cat.stdout.take().expect("it is piped");
        std::io::Read::read_exact(&mut output, &mut [0; 1000]).expect("it writes");
        let live = sampler.live();
        sampler.count(&live);
        let moved = sampler.seen(Duration::ZERO).moved_bytes;
        assert!(moved.is_some_and(|(read, _)| read >= 1000), "{moved:?}");
        drop(input);
        cat.wait().expect("it ends");
        sampler.count(&live); // as it was found
        assert_eq!(sampler.seen(Duration::ZERO).moved_bytes, moved);
    }
}
