//! How long did a stage of several threads or processes wait for a core?
//!
//! Each of them knows until it has ended. So they are looked at again and again while the stage lives, and what may
//! have come after the last look is taken for a wait altogether. Who is born and ends between two looks is missed:
//! a stage that is seen to start one after the other has no number.
//!
//! # Knows / never knows
//! Knows what `/proc` says of the threads of one stage. Never knows what it works on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::exec::nanos;
use crate::watch::{Pid, Spent, Thread, threads};

/// It is looked at this often,
const EVERY: Duration = Duration::from_millis(90);
/// if nothing has happened, after this part of the time for which nothing has,
const PART: u32 = 8;
/// but no later than this.
const REST: Duration = Duration::from_secs(4);
/// and may have lost so many processes: the one that a shell was started for.
const LOST: usize = 1;

/// What the threads of one stage have spent.
#[derive(Debug)]
pub(super) struct Tally {
    root: Pid,
    begun: Instant,
    threads: BTreeMap<(Pid, u64, Pid), Thread>,
    last: Instant,
    /// Bytes that it had taken and given when it was looked at last.
    passed: u64,
    /// When something was last seen to happen.
    stirred: Instant,
    /// Processes that have gone.
    lost: usize,
    /// It could not be followed.
    is_lost: bool,
}

impl Tally {
    pub(super) const fn new(root: Pid, at: Instant) -> Self {
        Self {
            root,
            begun: at,
            threads: BTreeMap::new(),
            last: at,
            passed: 0,
            stirred: at,
            lost: 0,
            is_lost: false,
        }
    }

    /// When it was started.
    pub(super) const fn begun(&self) -> Instant {
        self.begun
    }

    /// Whether it is time to look at a stage that so much has passed: a look is dear, and of one in which nothing
    /// happens it tells nothing.
    pub(super) fn is_due(&self, passed: u64, at: Instant) -> bool {
        let patience = if passed == self.passed {
            (at.saturating_duration_since(self.stirred) / PART).clamp(EVERY, REST)
        } else {
            EVERY
        };
        !self.is_lost && at.saturating_duration_since(self.last) >= patience
    }

    /// Looks at a stage that lives.
    pub(super) fn look(&mut self, passed: u64, at: Instant) {
        let seen = threads(self.root);
        self.take(seen, passed, at);
    }

    fn take(&mut self, seen: Option<Vec<Thread>>, passed: u64, at: Instant) {
        let Some(seen) = seen else {
            self.is_lost = true;
            return;
        };
        let lives = |process: (Pid, u64)| seen.iter().any(|thread| thread.process == process);
        let mut gone: Vec<(Pid, u64)> = self.threads.values().map(|known| known.process).collect();
        gone.dedup();
        gone.retain(|process| !lives(*process));
        self.lost = self.lost.max(gone.len());
        self.is_lost = self.lost > LOST;
        let mut stirs = passed != self.passed;
        for thread in seen {
            let (pid, begun) = thread.process;
            stirs |= self.threads.insert((pid, begun, thread.number), thread) != Some(thread);
        }
        if stirs {
            self.stirred = at;
        }
        (self.last, self.passed) = (at, passed);
    }

    /// What is not its own work until `until`, no less than that; at its end it had spent so much.
    pub(super) fn aside_ns(&self, end: Option<Spent>, until: Instant) -> Option<u64> {
        let delayed = self.threads.values().map(|thread| thread.delayed_ns);
        let unseen_ns = nanos(until.saturating_duration_since(self.last));
        let delayed_ns = delayed.fold(unseen_ns, u64::saturating_add);
        match end {
            Some(end) if end.is_alone => Some(end.system_ns.saturating_add(end.delayed_ns)),
            _ if self.is_lost || self.threads.is_empty() => None,
            Some(end) => Some(end.system_ns.saturating_add(delayed_ns)),
            None => {
                let system = self.threads.values().map(|thread| thread.system_ns);
                Some(system.fold(delayed_ns, u64::saturating_add))
            }
        }
    }

    /// The CPU that it has used, as far as that was seen.
    pub(super) fn cpu_ns(&self, end: Option<Spent>) -> u64 {
        let seen = self.threads.values().map(|thread| thread.cpu_ns);
        end.map_or_else(|| seen.fold(0, u64::saturating_add), |end| end.cpu_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(pid: Pid, number: Pid, delayed_ns: u64) -> Thread {
        Thread { process: (pid, 0), number, delayed_ns, cpu_ns: 5, system_ns: 2 }
    }

    #[test]
    fn what_came_after_the_last_look_is_taken_for_a_wait() {
        let begun = crate::exec::now();
        let after = |ns| begun + Duration::from_nanos(ns);
        let mut tally = Tally::new(1, begun);
        assert_eq!(tally.aside_ns(None, begun), None, "nothing is known yet");
        tally.take(Some(vec![thread(1, 1, 10), thread(1, 2, 20)]), 0, after(100));
        tally.take(Some(vec![thread(1, 1, 15)]), 0, after(200));
        assert_eq!(tally.aside_ns(None, after(200)), Some(15 + 20 + 2 + 2));
        let end = Spent { system_ns: 7, delayed_ns: 16, ..Spent::default() };
        assert_eq!(tally.aside_ns(Some(end), after(250)), Some(15 + 20 + 7 + 50));
        let alone = Spent { is_alone: true, ..end };
        assert_eq!(tally.aside_ns(Some(alone), after(250)), Some(7 + 16), "then it knows itself");
    }

    #[test]
    fn a_stage_in_which_nothing_happens_is_looked_at_less_and_less_and_at_once_when_bytes_pass() {
        let begun = crate::exec::now();
        let mut tally = Tally::new(1, begun);
        let looks = |tally: &mut Tally, from: u64, to: u64| {
            let mut looks = 0;
            for at in (from..to).map(|tenths| begun + Duration::from_millis(tenths * 100)) {
                if tally.is_due(7, at) {
                    tally.take(Some(vec![thread(1, 1, 3)]), 7, at);
                    looks += 1;
                }
            }
            looks
        };
        let (first, then) = (looks(&mut tally, 1, 11), looks(&mut tally, 11, 600));
        assert!(first >= 9 && then < 50, "{first} looks, {then} looks");
        let last = tally.last;
        assert!(!tally.is_due(7, last + Duration::from_secs(3)));
        assert!(tally.is_due(8, last + EVERY) && tally.is_due(7, last + REST));
    }

    #[test]
    fn of_a_stage_that_starts_one_after_the_other_nothing_is_known() {
        let begun = crate::exec::now();
        let mut tally = Tally::new(1, begun);
        let mut take = |seen| {
            tally.take(Some(seen), 0, begun);
            tally.aside_ns(None, begun).map(|_| ())
        };
        take(vec![thread(1, 1, 0), thread(2, 2, 1)]);
        assert_eq!(take(vec![thread(1, 1, 0)]), Some(()), "its worker has ended");
        take(vec![thread(1, 1, 0), thread(3, 3, 1)]);
        assert_eq!(take(vec![thread(1, 1, 0)]), None);
    }
}
