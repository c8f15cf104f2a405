//! What do the gauges cost?
//!
//! A pipeline copies items of 64 KiB or 1 KiB into a tank and out of it, under callgrind with line numbers. Every instruction belongs to a
//! line of source, inlined or not: those of the rooms that only count and time are the gauges', the rest is what a build without them
//! would do. Reading the clock counts as theirs.

use std::hint::black_box;
use std::process::{Command, Stdio};

use bytes::Bytes;
use standpipe::stage::{fold, iter};
use standpipe::{KIB, Pipeline, Tank};

use crate::callgrind::present;
use crate::measure::Case;
use crate::setting::{Place, Setting};

const ITEMS: u64 = 512;
/// Size of an item, and the most that the gauges may add, in percent.
const SIZES: [(&str, usize, f64); 2] = [("64 KiB", 64 * KIB, 2.0), ("1 KiB", KIB, 5.0)];
/// The files whose lines count and time: rooms of the library, and the standard library's clock.
const GAUGES: [&str; 6] = [
    "standpipe/src/meter",
    "standpipe/src/critical",
    "standpipe/src/snapshot",
    "std/src/time",
    "unix/time.rs",
    "core/src/time.rs",
];

/// The cases, to be counted.
pub(crate) fn cases() -> Vec<Case> {
    let setting = Setting::new(Place::Ct, 0);
    let case = |(name, size, _): (&'static str, usize, f64)| {
        let here = setting.clone();
        let work = move |n| {
            let template = vec![7_u8; size];
            let items = (0..n).map(move |_| Bytes::from(template.clone()));
            let mut to = vec![0; size];
            let sink = fold(0, move |sum, item: Bytes| {
                to.copy_from_slice(&item);
                sum + black_box(&to).len() as u64
            });
            let ready = Pipeline::from("copy in", iter(items))
                .tank(Tank::bytes(1024 * KIB))
                .to("copy out", sink);
            here.runtime.block_on(ready.run()).expect("no stage fails").done
        };
        let case = setting.case(name, 1, vec![], work, move |n| n * size as u64);
        Case { setting: "overhead".to_owned(), ..case }
    };
    SIZES.map(case).into()
}

/// Counts and prints; says whether the gauges cost too much.
pub(crate) fn run() -> bool {
    if !present() {
        println!("overhead: skipped, there is no valgrind");
        return false;
    }
    println!(
        "\nWhat gauges cost, in instructions per item; one thread, `run()`, a tank of 1 MiB\n"
    );
    println!("| item | all | of the gauges | more than without | target | met |");
    println!("| --- | ---: | ---: | ---: | ---: | --- |");
    let mut missed = false;
    for (name, _, most) in SIZES {
        let (once, twice) = (counted(name, ITEMS), counted(name, 2 * ITEMS));
        let all = (twice.0 - once.0) as f64 / ITEMS as f64;
        let gauges = (twice.1 - once.1) as f64 / ITEMS as f64;
        let percent = 100.0 * gauges / (all - gauges);
        let met = if percent < most { "met" } else { "**not met**" };
        println!("| {name} | {all:.0} | {gauges:.1} | {percent:.2} % | < {most} % | {met} |");
        missed |= percent >= most;
    }
    missed
}

/// All instructions of a run, and those of the gauges.
fn counted(case: &str, n: u64) -> (u64, u64) {
    let out = std::env::temp_dir().join(format!("standpipe-overhead-{}.out", std::process::id()));
    let status = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("Linux knows"))
        .args(["count", "overhead", "overhead", case, &n.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "a counted run fails");
    let text = std::fs::read_to_string(&out).expect("it was written");
    let _ = std::fs::remove_file(&out);
    by_file(&text)
}

/// Adds up a profile: `fl=`, `fi=` and `fe=` name the file that the lines after them belong to, with a number that stands for the name
/// from then on; the line after `calls=` is what was spent in the callee, and is counted there.
fn by_file(text: &str) -> (u64, u64) {
    let mut gauges = std::collections::HashMap::new();
    let (mut here, mut called, mut all, mut theirs) = (false, false, 0, 0);
    for line in text.lines() {
        if let Some(file) = ["fl=", "fi=", "fe="].iter().find_map(|kind| line.strip_prefix(kind)) {
            let (number, name) = file.split_once(' ').unwrap_or((file, ""));
            if !name.is_empty() {
                gauges.insert(number, GAUGES.iter().any(|part| name.contains(part)));
            }
            here = gauges.get(number).copied().unwrap_or(false);
        } else if line.starts_with("calls=") {
            called = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost =
                line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
            if !std::mem::take(&mut called) {
                all += cost;
                theirs += if here { cost } else { 0 };
            }
        }
    }
    (all, theirs)
}
