//! Is the library's example in the README faster than the tokio code for it, and shorter?
//!
//! Two programs with the same promises: memory bounded in bytes, each stage a task, and an error that names the stage. What only one of
//! them has is not asked of the other: the tanks' numbers, the report, cleaning up.

mod channels;
mod tanks;

use crate::measure::{Case, Target};
use crate::setting::{Place, Setting};

const MOST: u64 = 2_000_000;

/// Both, on one thread and on two.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for place in [Place::Ct, Place::Mt2] {
        let setting = Setting::new(place, 16);
        let here = setting.clone();
        cases.push(case(&setting, "tokio channels", vec![], move |n| {
            here.runtime.block_on(async {
                tokio::spawn(channels::digits(n))
                    .await
                    .expect("it does not panic")
                    .expect("nor does a stage")
            })
        }));
        let here = setting.clone();
        let target = Target::cpu("tokio channels", 1.0, setting.weight());
        cases.push(case(&setting, "standpipe", vec![target], move |n| {
            here.runtime.block_on(async {
                tokio::spawn(tanks::digits(n))
                    .await
                    .expect("it does not panic")
                    .expect("nor does a stage")
            })
        }));
    }
    cases
}

/// How long both are, in lines that are code.
pub(crate) fn lengths() -> String {
    let lines = |text: &str| {
        let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        text.lines().filter(code).count()
    };
    let (tanks, channels) =
        (lines(include_str!("pair/tanks.rs")), lines(include_str!("pair/channels.rs")));
    format!("\nLines of code: standpipe {tanks}, tokio channels {channels}\n")
}

fn case(
    setting: &Setting,
    name: &'static str,
    targets: Vec<Target>,
    work: impl Fn(u64) -> usize + 'static,
) -> Case {
    setting.case(name, MOST, targets, move |n| work(n) as u64, digits)
}

/// What has to come out.
fn digits(n: u64) -> u64 {
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    powers.take_while(|power| *power <= n).map(|power| n - power + 1).sum()
}
