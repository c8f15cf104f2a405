//! What has a process or thread spent that is not its own work?
//!
//! Two things make a stage look busy that is not: it could run and another one had the core, and the kernel moved
//! bytes for it, which takes longer the smaller the pieces are. Both are known of a thread until it has ended, and of a
//! process until somebody has waited for it. So a stage of several has to be looked at while it lives.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::{Pid, Stat};

/// CPU of other threads that tells of no work shared: what it takes to start some.
const SLACK_NS: u64 = 20_000_000;

/// More threads and processes than these are not looked at.
const MOST: usize = 64;

/// What a process or thread has spent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// CPU of all its threads, and of the children it has waited for.
    pub(crate) cpu_ns: u64,
    /// No less than the kernel computed for it, and for the children it has waited for.
    pub(crate) system_ns: u64,
    /// Its first thread could run and did not.
    pub(crate) delayed_ns: u64,
    /// That thread does all its work, so this is all there is.
    pub(crate) is_alone: bool,
}

/// One thread of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    /// Its process, and when that began.
    pub(crate) process: (Pid, u64),
    /// Its own number.
    pub(crate) number: Pid,
    /// It could run and did not.
    pub(crate) delayed_ns: u64,
    /// CPU of its process, if it is the first one there, and how much of that was the kernel's at least.
    pub(crate) cpu_ns: u64,
    pub(crate) system_ns: u64,
}

/// All threads of a process and of what descends from it; `None` if there are too many, or it is gone.
pub(crate) fn threads(root: Pid) -> Option<Vec<Thread>> {
    let mut found: Vec<Thread> = Vec::new();
    let mut processes = vec![root];
    while let Some(pid) = processes.pop() {
        let place = PathBuf::from(format!("/proc/{pid}"));
        let stat = fs::read_to_string(place.join("stat")).ok().and_then(|line| Stat::read(&line));
        let Some(stat) = stat else { continue }; // it has just ended
        for task in fs::read_dir(place.join("task")).into_iter().flatten().flatten() {
            let number = task.file_name().to_str().and_then(|name| name.parse().ok());
            let line = fs::read_to_string(task.path().join("schedstat")).ok();
            let scheduled = line.and_then(|line| Scheduled::read(&line));
            let (Some(number), Some(scheduled)) = (number, scheduled) else { continue };
            let is_first = number == pid;
            found.push(Thread {
                process: (pid, stat.begun_ticks),
                number,
                delayed_ns: scheduled.delayed_ns,
                cpu_ns: if is_first { stat.cpu_ns() } else { 0 },
                system_ns: if is_first { stat.system_ns() } else { 0 },
            });
            let children = fs::read_to_string(task.path().join("children")).ok()?;
            processes.extend(children.split_ascii_whitespace().flat_map(str::parse::<Pid>));
        }
        if found.len().max(processes.len()) > MOST {
            return None;
        }
    }
    Some(found).filter(|found| !found.is_empty())
}

impl Spent {
    /// Of a process that has ended and was not waited for.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let (stat, spent) = Self::read(&PathBuf::from(format!("/proc/{pid}")))?;
        let others_ns = stat.cpu_ns().saturating_sub(spent.leader_ns);
        let system_ns = stat.system_ns().min(stat.cpu_ns().max(spent.leader_ns));
        Some(Self {
            cpu_ns: stat.cpu_ns().saturating_add(stat.children_cpu_ns()),
            system_ns: system_ns.saturating_add(stat.children_system_ns()),
            delayed_ns: spent.delayed_ns,
            is_alone: !stat.has_waited() && others_ns <= SLACK_NS,
        })
    }

    /// Of a thread of ours; that which asks, if none is named.
    pub(crate) fn of_thread(thread: Option<Pid>) -> Option<Self> {
        let place = match thread {
            Some(thread) => PathBuf::from(format!("/proc/self/task/{thread}")),
            None => PathBuf::from("/proc/thread-self"),
        };
        let (stat, spent) = Self::read(&place)?;
        Some(Self {
            cpu_ns: spent.leader_ns,
            system_ns: stat.system_ns().min(spent.leader_ns),
            delayed_ns: spent.delayed_ns,
            is_alone: true,
        })
    }

    fn read(place: &Path) -> Option<(Stat, Scheduled)> {
        let stat = Stat::read(&fs::read_to_string(place.join("stat")).ok()?)?;
        let line = fs::read_to_string(place.join("schedstat")).ok()?;
        Some((stat, Scheduled::read(&line)?))
    }
}

/// The line of `schedstat`: what one thread got of the cores, and how long it waited for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scheduled {
    leader_ns: u64,
    delayed_ns: u64,
}

impl Scheduled {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().map(str::parse);
        Some(Self { leader_ns: words.next()?.ok()?, delayed_ns: words.next()?.ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_got_of_the_cores_is_read() {
        let read = Scheduled::read("5492670 10633487 101\n");
        assert_eq!(read, Some(Scheduled { leader_ns: 5_492_670, delayed_ns: 10_633_487 }));
        assert_eq!(Scheduled::read("5492670"), None);
    }

    #[test]
    fn all_that_descends_from_a_process_is_seen_and_who_has_waited_is_not_alone() {
        let mut child = std::process::Command::new("bash")
            .args(["-c", "(exit 0); (echo; read -r x); read -r y"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = child.stdout.take().expect("it is piped");
        std::io::Read::read_exact(&mut said, &mut [0]).expect("it says one word");
        let threads = threads(child.id()).expect("it lives");
        let processes: Vec<Pid> = threads.iter().map(|thread| thread.process.0).collect();
        assert_eq!((processes.len(), processes[0]), (2, child.id()), "{threads:?}");
        assert!(!Spent::of(child.id()).expect("it lives").is_alone);
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert_eq!(super::threads(child.id()), None);
    }

    #[test]
    fn a_thread_of_ours_is_found_by_its_number() {
        let me = Pid::try_from(rustix::thread::gettid().as_raw_pid()).expect("it is one");
        let (this, named) = (Spent::of_thread(None), Spent::of_thread(Some(me)));
        let (this, named) = (this.expect("it lives"), named.expect("it lives"));
        assert!(named.cpu_ns >= this.cpu_ns && this.system_ns <= this.cpu_ns, "{this:?} {named:?}");
    }
}
