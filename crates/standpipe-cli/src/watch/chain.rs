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
}

/// One stage of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The processes that have its pipes: the one that works first, then a shell that waits for it.
    pub(crate) pids: Vec<Pid>,
    pub(crate) label: String,
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

/// Every pipe and who has it open, as far as we may see.
#[derive(Debug, Default)]
struct Map {
    readers: BTreeMap<u64, Vec<(Pid, i32)>>,
    writers: BTreeMap<u64, Vec<(Pid, i32)>>,
    parents: BTreeMap<Pid, Pid>,
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
        }
        map
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

    /// Those at one side of a pipe: at the usual descriptor, or if nobody has it there at any. A shell that waits for
    /// what it started comes behind it: in a loop it is the one that stays.
    fn at(&self, side: &BTreeMap<u64, Vec<(Pid, i32)>>, inode: u64, usual: i32) -> Vec<(Pid, i32)> {
        let all = side.get(&inode).map_or(&[][..], Vec::as_slice);
        let mut workers: Vec<(Pid, i32)> =
            all.iter().copied().filter(|(_, fd)| *fd == usual).collect();
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
        one(&self.readers, pid, 0)
    }

    fn writes(&self, pid: Pid) -> Option<(u64, i32)> {
        one(&self.writers, pid, 1)
    }

    /// Where to begin: this process if it reads a pipe that somebody writes, else the first of a pipeline it started,
    /// else itself if it writes one. A script whose output is collected is asked for the pipeline in it, not for who
    /// collects; nor does the pipe count that it was given as an empty stdin.
    fn entry(&self, pid: Pid) -> Option<Pid> {
        let is_below = |other: Pid| self.has_ancestor(other, pid);
        let inner = || {
            let mut pipes = self.readers.iter().filter_map(|(inode, readers)| {
                let writers = self.writers.get(inode)?;
                let inside = |holders: &[(Pid, i32)], usual: i32| {
                    holders.iter().find(|(other, fd)| *fd == usual && is_below(*other)).copied()
                };
                inside(writers, 1)?;
                inside(readers, 0).map(|(reader, _)| reader)
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

/// The pipe that a process has at this descriptor.
fn one(side: &BTreeMap<u64, Vec<(Pid, i32)>>, pid: Pid, fd: i32) -> Option<(u64, i32)> {
    side.iter().find(|(_, holders)| holders.contains(&(pid, fd))).map(|(inode, _)| (*inode, fd))
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
        let above: Vec<Pid> = pids(map.at(&map.writers, input.inode, 1), &seen);
        if above.is_empty() {
            break;
        }
        seen.extend(&above);
        links.insert(0, link(&map, &above));
    }
    while let Some(last) = links.last().filter(|_| links.len() < LONGEST) {
        let Some((inode, _)) = last.pids.iter().find_map(|pid| map.writes(*pid)) else { break };
        let below: Vec<Pid> = pids(map.at(&map.readers, inode, 0), &seen);
        if below.is_empty() {
            break;
        }
        seen.extend(&below);
        let mut next = link(&map, &below);
        if next.input.is_none_or(|input| input.inode != inode) {
            next.input = map.at(&map.readers, inode, 0).first().map(|(reader, fd)| Input {
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
    Ok(Chain { links, unread })
}

/// The stages of a run of standpipe. It stands between each two of them, so no pipe joins them; but it started them in
/// their order, and what it pumps is what each of them reads.
fn run_of_ours(map: &Map, run: Pid) -> Option<Chain> {
    if process::name(run).as_deref() != Some(OURS) {
        return None;
    }
    let has = |pid: Pid| map.reads(pid).is_some() || map.writes(pid).is_some();
    let children = map.parents.iter().filter(|(pid, parent)| **parent == run && has(**pid));
    let links: Vec<Link> = children.map(|(pid, _)| link(map, &siblings(map, *pid))).collect();
    (links.len() > 1).then_some(Chain { links, unread: false })
}

fn pids(holders: Vec<(Pid, i32)>, seen: &BTreeSet<Pid>) -> Vec<Pid> {
    holders.into_iter().map(|(pid, _)| pid).filter(|pid| !seen.contains(pid)).collect()
}

/// The processes that share both pipes of this one.
fn siblings(map: &Map, pid: Pid) -> Vec<Pid> {
    let same =
        |other: Pid| map.reads(other) == map.reads(pid) && map.writes(other) == map.writes(pid);
    let at = match (map.reads(pid), map.writes(pid)) {
        (Some((inode, _)), _) => map.at(&map.readers, inode, 0),
        (None, Some((inode, _))) => map.at(&map.writers, inode, 1),
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
    Link { pids: pids.to_vec(), label, input }
}
