//! How is a case of any workload counted?
//!
//! By its name: this program starts itself under callgrind with `count WORKLOAD SETTING CASE N`, and that process runs the case once.
//!
//! # Knows / never knows
//! Knows cases by workload, setting and name. Never knows what they do.

use std::path::Path;
use std::process::Command;

use crate::callgrind;
use crate::measure::{Case, Reading, Run, reap};

/// Items of the smaller run: the tank of 1024 fills 20 times.
const ITEMS: u64 = 20_480;

/// A case by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) workload: &'static str,
    pub(crate) setting: &'static str,
    pub(crate) case: &'static str,
}

impl Named {
    fn words(self) -> [&'static str; 4] {
        ["count", self.workload, self.setting, self.case]
    }

    /// A run whose reading is the instructions per item; none without callgrind.
    pub(crate) fn run(self) -> Option<Run> {
        callgrind::present().then(|| -> Run {
            Box::new(move |_| Reading { count: self.instructions(ITEMS), ..Reading::default() })
        })
    }

    /// The instructions per item, between n and 2n.
    pub(crate) fn instructions(self, n: u64) -> f64 {
        self.instructions_of(&callgrind::me(), n)
    }

    /// The same for another build of this program.
    pub(crate) fn instructions_of(self, program: &Path, n: u64) -> f64 {
        callgrind::instructions(program, &self.words(), n)
    }

    /// What a run of such a build uses, without callgrind.
    pub(crate) fn usage_of(self, program: &Path, n: u64) -> Reading {
        let child = Command::new(program).args(self.words()).arg(n.to_string()).spawn();
        let (status, usage) = reap(child.expect("it was built").id());
        assert_eq!(status, 0, "{self:?} fails");
        usage
    }

    /// What callgrind writes about a run.
    pub(crate) fn profile(self, n: u64) -> String {
        callgrind::profile(&self.words(), n, &[])
    }
}

/// The counted process's part: runs one of these cases once.
pub(crate) fn count(cases: Vec<Case>, words: &[String]) -> Option<()> {
    let [setting, name, n] = words else { return None };
    let mut chosen =
        cases.into_iter().find(|case| case.setting == *setting && case.name == name)?;
    let run = chosen.run.as_mut()?;
    run(n.parse().ok()?);
    Some(())
}
