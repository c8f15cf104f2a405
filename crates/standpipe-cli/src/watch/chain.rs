//! Which processes are one pipeline?
//!
//! Two processes are neighbours if one writes the pipe that the other reads. From one of them the line is followed
//! up along what it reads and down along what it writes, by descriptors 0 and 1 where they are pipes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::process::{self, Pid, Way};
use super::table::Table;

/// Stages beyond this are not followed: a ring of pipes must end somewhere.
const LONGEST: usize = 64;

/// The name of our own processes.
const OURS: &str = "standpipe";

/// A pipeline, upstream first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) links: Vec<Link>,
    /// The last one writes a pipe that nobody reads any more.
    pub(crate) unread: bool,
    /// It is what a run of standpipe has started.
    pub(crate) is_of_ours: bool,
}

/// One stage of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The processes that have its pipes: the one that works first, then a shell that waits for it.
    pub(crate) pids: Vec<Pid>,
    pub(crate) label: String,
    /// It is a run of standpipe.
    pub(crate) is_ours: bool,
    /// The pipe it reads, if it reads one.
    pub(crate) input: Option<Input>,
}

/// A pipe, by who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) inode: u64,
    pub(crate) reader: Pid,
    pub(crate) fd: i32,
}

/// Why no pipeline was found.
#[derive(Debug)]
pub(crate) enum Unseen {
    /// No such process.
    Gone,
    /// It belongs to somebody else, or hides itself.
    Forbidden,
    /// Neither it nor anything it started has a pipe on its stdin or stdout.
    NoPipe,
    /// The system refused.
    System(io::Error),
}

/// Who has which pipe open, and at which descriptor.
type Holders = BTreeMap<u64, Vec<(Pid, i32)>>;
/// Which pipe a process has as its input or output, and at which descriptor.
type Streams = BTreeMap<Pid, (u64, i32)>;

/// Every pipe and who has it open, as far as we may see.
#[derive(Debug, Default)]
struct Map {
    readers: Holders,
    writers: Holders,
    parents: BTreeMap<Pid, Pid>,
    /// Those that are runs of standpipe.
    ours: BTreeSet<Pid>,
    /// What each process reads as its input and writes as its output, where these are pipes.
    inputs: Streams,
    outputs: Streams,
}

impl Map {
    fn look() -> Self {
        let mut map = Self::default();
        for (pid, stat) in Table::read().iter() {
            let Ok(pipes) = process::pipes(pid) else { continue };
            map.parents.insert(pid, stat.parent);
            for (fd, (inode, way)) in pipes {
                let side = match way {
                    Way::Reads => &mut map.readers,
                    Way::Writes => &mut map.writers,
                };
                side.entry(inode).or_default().push((pid, fd));
            }
            if process::name(pid).as_deref() == Some(OURS) {
                map.ours.insert(pid);
            }
        }
        map.inputs = map.streams(&map.readers, &map.writers, 0);
        map.outputs = map.streams(&map.writers, &map.readers, 1);
        map
    }

    /// What each process has at one of its usual descriptors. We put what we were given there elsewhere: of a run of
    /// ours it is the pipe at whose other side somebody is that it has not started.
    fn streams(&self, side: &Holders, other: &Holders, usual: i32) -> Streams {
        let all = || {
            let each = |(inode, holders): (&u64, &Vec<(Pid, i32)>)| {
                holders.iter().map(|(pid, fd)| (*pid, (*inode, *fd))).collect::<Vec<_>>()
            };
            side.iter().flat_map(each)
        };
        let mut found: Streams = all().filter(|(_, (_, fd))| *fd == usual).collect();
        let is_joined = |pid: Pid, inode: u64| {
            let mut peers = other.get(&inode).into_iter().flatten();
            peers.any(|(peer, _)| *peer != pid && !self.has_ancestor(*peer, pid))
        };
        for (pid, (inode, fd)) in all().filter(|(pid, _)| self.ours.contains(pid)) {
            if fd > 2 && is_joined(pid, inode) {
                found.entry(pid).or_insert((inode, fd));
            }
        }
        found
    }

    /// Leaves only what this process has started.
    fn keep_below(&mut self, pid: Pid) {
        let below: BTreeSet<Pid> =
            self.parents.keys().copied().filter(|child| self.has_ancestor(*child, pid)).collect();
        for side in [&mut self.readers, &mut self.writers] {
            for holders in side.values_mut() {
                holders.retain(|(holder, _)| below.contains(holder));
            }
            side.retain(|_, holders| !holders.is_empty());
        }
        for streams in [&mut self.inputs, &mut self.outputs] {
            streams.retain(|holder, _| below.contains(holder));
        }
    }

    fn has_ancestor(&self, pid: Pid, wanted: Pid) -> bool {
        let mut seen = BTreeSet::new();
        let mut at = pid;
        while let Some(parent) = self.parents.get(&at) {
            if *parent == wanted {
                return true;
            }
            if !seen.insert(*parent) {
                return false;
            }
            at = *parent;
        }
        false
    }

    /// Those that write a pipe as their output, and those that read it as their input.
    fn writers_of(&self, inode: u64) -> Vec<(Pid, i32)> {
        self.at(&self.writers, &self.outputs, inode)
    }

    fn readers_of(&self, inode: u64) -> Vec<(Pid, i32)> {
        self.at(&self.readers, &self.inputs, inode)
    }

    /// Those at one side of a pipe: as the usual stream, or if nobody has it so at any descriptor. A shell that waits
    /// for what it started comes behind it: in a loop it is the one that stays.
    fn at(&self, side: &Holders, streams: &Streams, inode: u64) -> Vec<(Pid, i32)> {
        let all = side.get(&inode).map_or(&[][..], Vec::as_slice);
        let is_usual = |(pid, fd): &(Pid, i32)| streams.get(pid) == Some(&(inode, *fd));
        let mut workers: Vec<(Pid, i32)> = all.iter().copied().filter(is_usual).collect();
        if workers.is_empty() {
            workers = all.to_vec();
        }
        let pids: Vec<Pid> = workers.iter().map(|(pid, _)| *pid).collect();
        let waits =
            |pid: Pid| pids.iter().any(|other| *other != pid && self.has_ancestor(*other, pid));
        workers.sort_by_key(|(pid, fd)| (waits(*pid), *pid, *fd));
        workers.dedup_by_key(|(pid, _)| *pid);
        workers
    }

    fn reads(&self, pid: Pid) -> Option<(u64, i32)> {
        self.inputs.get(&pid).copied()
    }

    fn writes(&self, pid: Pid) -> Option<(u64, i32)> {
        self.outputs.get(&pid).copied()
    }

    /// Where to begin: this process if it reads a pipe that somebody writes, else the first of a pipeline it started,
    /// else itself if it writes one. A script whose output is collected is asked for the pipeline in it, not for who
    /// collects; nor does the pipe count that it was given as an empty stdin.
    fn entry(&self, pid: Pid) -> Option<Pid> {
        let is_below = |other: Pid| self.has_ancestor(other, pid);
        let inner = || {
            let mut pipes = self.readers.iter().filter_map(|(inode, readers)| {
                let writers = self.writers.get(inode)?;
                let inside = |holders: &[(Pid, i32)], streams: &Streams| {
                    let is_usual = |pid: &Pid| streams.get(pid).is_some_and(|(at, _)| at == inode);
                    holders.iter().map(|(pid, _)| *pid).find(|pid| is_usual(pid) && is_below(*pid))
                };
                inside(writers, &self.outputs)?;
                inside(readers, &self.inputs)
            });
            pipes.next()
        };
        let itself = || self.writes(pid).map(|_| pid);
        let has = |other: Pid| self.reads(other).is_some() || self.writes(other).is_some();
        let any = || self.parents.keys().copied().find(|other| has(*other) && is_below(*other));
        let reads = || self.reads(pid).map(|_| pid);
        let is_fed = self.reads(pid).is_some_and(|(inode, _)| self.writers.contains_key(&inode));
        let fed = Some(pid).filter(|_| is_fed);
        fed.or_else(inner).or_else(itself).or_else(reads).or_else(any)
    }
}

/// Finds the pipeline that a process is part of, or has started.
///
/// # Errors
/// If there is none to be seen.
pub(crate) fn find(pid: Pid) -> Result<Chain, Unseen> {
    look(pid, |_| {})
}

/// Finds the pipeline that a process has started, and nothing that is joined to it outside.
///
/// # Errors
/// If there is none to be seen.
pub(crate) fn find_below(pid: Pid) -> Result<Chain, Unseen> {
    look(pid, |map| map.keep_below(pid))
}

fn look(pid: Pid, narrow: impl FnOnce(&mut Map)) -> Result<Chain, Unseen> {
    match process::pipes(pid) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Unseen::Forbidden);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unseen::Gone),
        Err(error) => return Err(Unseen::System(error)),
    }
    let mut map = Map::look();
    narrow(&mut map);
    let entry = map.entry(pid).ok_or(Unseen::NoPipe)?;
    if let Some(chain) =
        [Some(pid), map.parents.get(&entry).copied(), map.parents.get(&pid).copied()]
            .into_iter()
            .flatten()
            .find_map(|run| run_of_ours(&map, run))
    {
        return Ok(chain);
    }
    let mut links = vec![link(&map, &siblings(&map, entry))];
    let mut seen: BTreeSet<Pid> = links[0].pids.iter().copied().collect();
    while let Some(input) = links[0].input.filter(|_| links.len() < LONGEST) {
        let above: Vec<Pid> = pids(map.writers_of(input.inode), &seen);
        if above.is_empty() {
            break;
        }
        seen.extend(&above);
        links.insert(0, link(&map, &above));
    }
    while let Some(last) = links.last().filter(|_| links.len() < LONGEST) {
        let Some((inode, _)) = last.pids.iter().find_map(|pid| map.writes(*pid)) else { break };
        let below: Vec<Pid> = pids(map.readers_of(inode), &seen);
        if below.is_empty() {
            break;
        }
        seen.extend(&below);
        let mut next = link(&map, &below);
        if next.input.is_none_or(|input| input.inode != inode) {
            next.input = map.readers_of(inode).first().map(|(reader, fd)| Input {
                inode,
                reader: *reader,
                fd: *fd,
            });
        }
        links.push(next);
    }
    let last = links
        .last()
        .and_then(|link| link.pids.iter().find_map(|pid| Some((*pid, map.writes(*pid)?))));
    let unread = last.is_some_and(|(pid, (inode, fd))| {
        !map.readers.contains_key(&inode) && process::is_unread(pid, fd, inode)
    });
    Ok(Chain { links, unread, is_of_ours: false })
}

/// The stages of a run of standpipe. It stands between each two of them, so no pipe joins them; but it started them in
/// their order, and what it pumps is what each of them reads.
fn run_of_ours(map: &Map, run: Pid) -> Option<Chain> {
    if !map.ours.contains(&run) {
        return None;
    }
    let has = |pid: Pid| map.reads(pid).is_some() || map.writes(pid).is_some();
    let children = map.parents.iter().filter(|(pid, parent)| **parent == run && has(**pid));
    let links: Vec<Link> = children.map(|(pid, _)| link(map, &siblings(map, *pid))).collect();
    (links.len() > 1).then_some(Chain { links, unread: false, is_of_ours: true })
}

fn pids(holders: Vec<(Pid, i32)>, seen: &BTreeSet<Pid>) -> Vec<Pid> {
    holders.into_iter().map(|(pid, _)| pid).filter(|pid| !seen.contains(pid)).collect()
}

/// The processes that share both pipes of this one.
fn siblings(map: &Map, pid: Pid) -> Vec<Pid> {
    let same =
        |other: Pid| map.reads(other) == map.reads(pid) && map.writes(other) == map.writes(pid);
    let at = match (map.reads(pid), map.writes(pid)) {
        (Some((inode, _)), _) => map.readers_of(inode),
        (None, Some((inode, _))) => map.writers_of(inode),
        (None, None) => Vec::new(),
    };
    let found: Vec<Pid> = at.into_iter().map(|(pid, _)| pid).filter(|other| same(*other)).collect();
    if found.is_empty() { vec![pid] } else { found }
}

fn link(map: &Map, pids: &[Pid]) -> Link {
    let label = pids.first().map(|pid| process::label(*pid)).unwrap_or_default();
    let input = pids
        .iter()
        .find_map(|pid| map.reads(*pid).map(|(inode, fd)| Input { inode, reader: *pid, fd }));
    let is_ours = pids.first().is_some_and(|pid| map.ours.contains(pid));
    Link { pids: pids.to_vec(), label, is_ours, input }
}
