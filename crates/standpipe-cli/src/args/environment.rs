//! What do the surroundings say about a command line?

use std::{
    fs,
    io::{IsTerminal as _, stdin},
    path::Path,
};

/// What the surroundings say about a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    /// A stdin that is none selects a run.
    pub(crate) stdin_is_terminal: bool,
    /// Memory of the machine or of the cgroup, the lower; `None` if unknown.
    pub(crate) memory_limit_bytes: Option<u64>,
}

impl Environment {
    /// Looks around. What cannot be seen is unknown, never an error.
    pub(crate) fn look() -> Self {
        let read = |path: &Path| fs::read_to_string(path).ok();
        Self {
            stdin_is_terminal: stdin().is_terminal(),
            memory_limit_bytes: memory_limit_bytes(&read),
        }
    }
}

fn memory_limit_bytes(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    });
    machine.into_iter().chain(cgroup_limits_bytes(read)).min()
}

/// Lists the limits of our cgroup and of those above it: all of them hold.
fn cgroup_limits_bytes(read: &dyn Fn(&Path) -> Option<String>) -> Vec<u64> {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mut limits = Vec::new();
    for group in groups.lines() {
        let mut fields = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let directory = Path::new(root).join(path.trim_start_matches('/'));
        for above in directory.ancestors().take_while(|above| above.starts_with(root)) {
            // `max` is no number and no limit.
            limits.extend(read(&above.join(file)).and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path)?;
            Some(found.1.to_owned())
        };
        assert_eq!(memory_limit_bytes(&read), expected);
    }

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemFree: 1 kB\nMemTotal:  2048 kB\n");

    #[test]
    fn the_lowest_limit_holds() {
        check(&[], None);
        check(&[MACHINE], Some(2 << 20));
        check(
            &[
                MACHINE,
                ("/proc/self/cgroup", "0::/a/b\n"),
                ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ],
            Some(1000),
        );
        check(
            &[
                MACHINE,
                ("/proc/self/cgroup", "4:cpu:/x\n3:memory,hugetlb:/y\n"),
                ("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "9223372036854771712\n"),
            ],
            Some(2 << 20),
        );
        check(&[("/proc/meminfo", "MemTotal: many"), ("/proc/self/cgroup", "nonsense")], None);
    }
}
