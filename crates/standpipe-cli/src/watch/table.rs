//! Who is there at this moment, and who started whom?

use std::collections::BTreeMap;

use super::process::{self, Pid, Stat};

/// Shells that wait for shells are followed so far.
const DEEPEST: usize = 64;

/// All processes but this one, as they were found.
#[derive(Debug, Default)]
pub(crate) struct Table {
    stats: BTreeMap<Pid, Stat>,
    /// Those that each has started, by number.
    children: BTreeMap<Pid, Vec<Pid>>,
}

impl Table {
    /// Reads it. What ends meanwhile may be in it or not.
    pub(crate) fn read() -> Self {
        Self::new(process::all().filter_map(|pid| Some((pid, Stat::of(pid)?))).collect())
    }

    fn new(stats: BTreeMap<Pid, Stat>) -> Self {
        let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
        for (pid, stat) in &stats {
            children.entry(stat.parent).or_default().push(*pid);
        }
        Self { stats, children }
    }

    pub(crate) fn get(&self, pid: Pid) -> Option<Stat> {
        self.stats.get(&pid).copied()
    }

    /// All of it, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Pid, Stat)> + '_ {
        self.stats.iter().map(|(pid, stat)| (*pid, *stat))
    }

    /// What a process has started itself, by number.
    pub(crate) fn children(&self, pid: Pid) -> impl Iterator<Item = (Pid, Stat)> + '_ {
        let children = self.children.get(&pid).into_iter().flatten();
        children.filter_map(|pid| Some((*pid, self.get(*pid)?)))
    }

    /// All that descends from some processes, nearest first: a parent that is told first makes no more children.
    pub(crate) fn below(&self, roots: &[Pid]) -> Vec<(Pid, Stat)> {
        let mut found = Vec::new();
        let mut parents = roots.to_vec();
        // nobody is its own descendant, but the lines were read one after the other
        while !parents.is_empty() && found.len() <= self.stats.len() {
            let start = found.len();
            found.extend(parents.iter().flat_map(|parent| self.children(*parent)));
            parents = found[start..].iter().map(|(pid, _)| *pid).collect();
        }
        found
    }

    /// The last of those that descend from one in an unbroken line: who works for a shell that waits.
    pub(crate) fn youngest_below(&self, pid: Pid) -> Option<Pid> {
        youngest(pid, |of| self.children(of).map(|(pid, _)| pid).max(), self.stats.len())
    }
}

/// The same of one that lives, where the kernel tells who has started whom: to read the whole table is dear where
/// thousands run.
pub(crate) fn youngest_below(pid: Pid) -> Option<Pid> {
    match process::children(pid) {
        Some(_) => youngest(pid, |of| process::children(of)?.into_iter().max(), DEEPEST),
        None => Table::read().youngest_below(pid),
    }
}

/// Follows the last child of each, no further than so many.
fn youngest(pid: Pid, child: impl Fn(Pid) -> Option<Pid>, most: usize) -> Option<Pid> {
    let last = (0..most).try_fold(pid, |at, _| child(at).ok_or(at)).err();
    last.filter(|found| *found != pid)
}

#[cfg(test)]
impl Table {
    /// One with such processes: number, parent, group.
    pub(crate) fn of(processes: &[(Pid, Pid, Pid)]) -> Self {
        let line = |pid, parent, group| {
            format!("{pid} (x) S {parent} {group} 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 0 0")
        };
        let stat = |(pid, parent, group): &(Pid, Pid, Pid)| {
            (*pid, Stat::read(&line(*pid, *parent, *group)).expect("it is well formed"))
        };
        Self::new(processes.iter().map(stat).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_children() {
        let table = Table::of(&[(1, 0, 1), (9, 11, 5), (10, 1, 5), (11, 10, 5), (15, 1, 5)]);
        let below: Vec<Pid> = table.below(&[10]).into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(below, [11, 9]);
        assert!(table.below(&[15]).is_empty());
        assert_eq!(table.youngest_below(1), Some(15));
        assert_eq!(table.youngest_below(10), Some(9));
        assert_eq!(table.youngest_below(15), None);
    }

    #[test]
    fn a_circle_that_was_read_as_one_ends() {
        let table = Table::of(&[(2, 3, 1), (3, 2, 1)]);
        assert!(table.below(&[2]).len() <= 4);
        assert!(table.youngest_below(2).is_none_or(|pid| pid < 4));
    }

    #[test]
    fn the_kernel_and_the_table_agree_on_who_works_for_a_shell() {
        let mut child = std::process::Command::new("bash")
            .args(["-c", "bash -c 'echo; read -r x; :'; :"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = child.stdout.take().expect("it is piped");
        std::io::Read::read_exact(&mut said, &mut [0]).expect("it says one word");
        let (told, found) = (youngest_below(child.id()), Table::read().youngest_below(child.id()));
        assert!(told.is_some() && process::children(child.id()).is_some());
        assert_eq!(told, found);
        assert_eq!(youngest_below(told.expect("as asserted")), None);
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }
}
