//! What do the gauges cost?
//!
//! A pipeline hands on numbers, or copies chunks of 1 KiB or 64 KiB into a tank and out of it, under callgrind. Every instruction has an
//! address, and `addr2line` tells which lines of source it stands for, all the functions that were inlined there included. If one of
//! these is of a room that only counts and times, or reads the clock, the instruction is the gauges'; the rest is what a build without
//! them would do. (There is no such build: what is counted is also what says when a tank is empty.)
//!
//! # Knows / never knows
//! Knows the rooms that count and time. Never knows what they count.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bytes::Bytes;
use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{KIB, Pipeline, Tank};

use crate::callgrind::{Calls, between, present};
use crate::measure::Case;
use crate::named::Named;
use crate::setting::{Place, Setting};

/// What flows.
#[derive(Clone, Copy)]
struct Flow {
    name: &'static str,
    /// Bytes of a chunk; 0 for numbers.
    size: usize,
    /// Items of the smaller run: enough to fill the tank a few times. valgrind takes its time to copy.
    n: u64,
    /// The most that the gauges may add.
    most: Most,
}

#[derive(Clone, Copy)]
enum Most {
    Percent(f64),
    Instructions(f64),
}

const FLOWS: [Flow; 3] = [
    Flow { name: "chunks of 64 KiB", size: 64 * KIB, n: 512, most: Most::Percent(2.0) },
    Flow { name: "chunks of 1 KiB", size: KIB, n: 8192, most: Most::Percent(5.0) },
    Flow { name: "numbers", size: 0, n: 20_480, most: Most::Instructions(6.0) },
];
/// So many functions are named.
const DEAREST: usize = 6;
/// The files whose lines count and time: rooms of the library, and the standard library's clock.
const GAUGES: [&str; 6] = [
    "standpipe/src/meter",
    "standpipe/src/critical",
    "standpipe/src/snapshot",
    "std/src/time",
    "unix/time.rs",
    "core/src/time.rs",
];
/// The functions that read the clock, in files that do more.
const CLOCKS: [&str; 2] = ["machine_clock", "clock_gettime"];

/// The cases, to be counted.
pub(crate) fn cases() -> Vec<Case> {
    let setting = Setting::new(Place::Ct, 0);
    let case = |flow: Flow| {
        let (here, size) = (setting.clone(), flow.size);
        let work =
            move |n| here.runtime.block_on(ready(size, n).run()).expect("no stage fails").done;
        let expected = move |n| if size == 0 { n * (n - 1) / 2 } else { n * size as u64 };
        let case = setting.case(flow.name, 1, vec![], work, expected);
        Case { setting: "overhead".to_owned(), ..case }
    };
    FLOWS.map(case).into()
}

/// The pipeline that is looked at. Chunks are copied at both ends, as a kernel would.
fn ready(size: usize, n: u64) -> Ready<u64> {
    if size == 0 {
        return Pipeline::from("numbers", iter(0..n))
            .tank(Tank::items(1024))
            .to("sum", fold(0, |sum, item: u64| sum + item));
    }
    let template = vec![7_u8; size];
    let items = (0..n).map(move |_| Bytes::from(template.clone()));
    let mut to = vec![0; size];
    let sink = fold(0, move |sum, item: Bytes| {
        to.copy_from_slice(&item);
        sum + black_box(&to).len() as u64
    });
    Pipeline::from("copy in", iter(items)).tank(Tank::bytes(1024 * KIB)).to("copy out", sink)
}

/// The table, and whether the gauges cost too much.
pub(crate) fn run() -> (String, bool) {
    if !present() {
        return ("\noverhead: skipped, there is no valgrind\n".to_owned(), false);
    }
    let mut table = "\n## What the gauges cost, per item\n\nOne thread, `run()`, a tank of 1 MiB or of 1024 numbers. Chunks are copied in \
                     and out, as a kernel would.\n\n| item | instructions | of the gauges | more than without | target | met | \
                     readings of the clock | copies |\n| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |\n"
        .to_owned();
    let (mut missed, mut dearest) = (false, String::new());
    for flow in FLOWS {
        let cost = Cost::of(flow);
        let percent = 100.0 * cost.gauges / (cost.all - cost.gauges);
        let (is_met, target) = match flow.most {
            Most::Percent(most) => (percent < most, format!("< {most} %")),
            Most::Instructions(most) => (cost.gauges <= most, format!("<= {most} instructions")),
        };
        missed |= !is_met;
        let met = if is_met { "met" } else { "**not met**" };
        let Cost { all, gauges, calls: Calls { clock, copies }, .. } = cost;
        let _ = writeln!(
            table,
            "| {} | {all:.1} | {gauges:.1} | {percent:.2} % | {target} | {met} | {clock:.3} | {copies:.3} |",
            flow.name
        );
        let some = cost.dearest.iter().take(DEAREST);
        let some = some.map(|(function, count)| format!("`{function}` {count:.1}"));
        let _ = writeln!(dearest, "- {}: {}", flow.name, some.collect::<Vec<_>>().join(", "));
    }
    (
        format!(
            "{table}\nThe dearest functions of the gauges, instructions per item:\n\n{dearest}"
        ),
        missed,
    )
}

/// What an item costs.
struct Cost {
    all: f64,
    gauges: f64,
    /// By function of the gauges, the dearest first.
    dearest: Vec<(String, f64)>,
    calls: Calls,
}

impl Cost {
    fn of(flow: Flow) -> Self {
        let n = flow.n;
        let named = Named { workload: "overhead", setting: "overhead", case: flow.name };
        let (once, twice) = (named.profile(n), named.profile(2 * n));
        let calls = between(&once, &twice, n);
        let (once, twice) = (Split::of(&once), Split::of(&twice));
        let per_item = |once: u64, twice: u64| (twice as f64 - once as f64) / n as f64;
        let mut dearest: Vec<(String, f64)> = twice
            .gauges
            .iter()
            .map(|(function, cost)| {
                let before = once.gauges.get(function).copied().unwrap_or(0);
                (function.clone(), per_item(before, *cost))
            })
            .collect();
        dearest.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let gauges = per_item(once.gauges.values().sum(), twice.gauges.values().sum());
        Self { all: per_item(once.all, twice.all), gauges, dearest, calls }
    }
}

/// All instructions of a run, and those of the gauges by function.
struct Split {
    all: u64,
    gauges: HashMap<String, u64>,
}

impl Split {
    fn of(profile: &str) -> Self {
        let me = std::env::current_exe().expect("Linux knows").display().to_string();
        let spent = Spent::read(profile, &me);
        let functions = of_gauges(spent.here.keys().copied(), &me);
        let mut gauges = HashMap::from([("the clock of libc".to_owned(), spent.clocks_elsewhere)]);
        for (address, cost) in &spent.here {
            if let Some(function) = functions.get(address) {
                *gauges.entry(function.clone()).or_default() += cost;
            }
        }
        let all = spent.here.values().sum::<u64>() + spent.clocks_elsewhere + spent.elsewhere;
        let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
        assert_eq!(total, Some(all.to_string().as_str()), "every instruction is read once");
        Self { all, gauges }
    }
}

/// Where the instructions of a profile were spent.
#[derive(Default)]
struct Spent {
    /// In this program, by address.
    here: HashMap<u64, u64>,
    /// In libraries, reading the clock.
    clocks_elsewhere: u64,
    elsewhere: u64,
}

impl Spent {
    /// A profile names objects by `ob=(1) PATH`, functions by `fn=(1) NAME`, later the numbers alone. A line of costs is address, line
    /// and instructions; an address may be told as a difference to the one before. The line after `calls=` is what was spent in the
    /// callee, and is counted there.
    fn read(profile: &str, me: &str) -> Self {
        let mut spent = Self::default();
        let (mut is_me, mut is_clock) = (Names::default(), Names::default());
        let (mut address, mut called) = (0_u64, false);
        for line in profile.lines() {
            if let Some(object) = line.strip_prefix("ob=") {
                is_me.enter(object, |name| name == me);
            } else if let Some(function) = line.strip_prefix("fn=") {
                is_clock.enter(function, |name| CLOCKS.iter().any(|part| name.contains(part)));
            } else if let Some(object) = line.strip_prefix("cob=") {
                is_me.learn(object, |name| name == me);
            } else if let Some(function) = line.strip_prefix("cfn=") {
                is_clock.learn(function, |name| CLOCKS.iter().any(|part| name.contains(part)));
            } else if line.starts_with("calls=") {
                called = true;
            } else if let Some((at, cost)) = costs(line, address) {
                address = at;
                match (std::mem::take(&mut called), is_me.here, is_clock.here) {
                    (true, ..) => {}
                    (false, true, _) => *spent.here.entry(address).or_default() += cost,
                    (false, false, true) => spent.clocks_elsewhere += cost,
                    (false, false, false) => spent.elsewhere += cost,
                }
            }
        }
        spent
    }
}

/// Address and instructions of a line of costs.
fn costs(line: &str, before: u64) -> Option<(u64, u64)> {
    let mut words = line.split(' ');
    let at = words.next()?;
    let difference = |text: &str| text.parse::<u64>().ok();
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let address = if at == "*" {
        before
    } else if let Some(more) = at.strip_prefix('+') {
        before + more.strip_prefix("0x").map_or_else(|| difference(more), hexadecimal)?
    } else if let Some(less) = at.strip_prefix('-') {
        before - less.strip_prefix("0x").map_or_else(|| difference(less), hexadecimal)?
    } else {
        hexadecimal(at.strip_prefix("0x")?)?
    };
    Some((address, words.nth(1)?.parse().ok()?))
}

/// Names that a profile tells once and then calls by number: is the one at hand of the kind?
#[derive(Default)]
struct Names {
    kinds: HashMap<String, bool>,
    here: bool,
}

impl Names {
    fn learn(&mut self, text: &str, is_of_kind: impl Fn(&str) -> bool) -> bool {
        let (number, name) = text.split_once(' ').unwrap_or((text, ""));
        if !name.is_empty() {
            self.kinds.insert(number.to_owned(), is_of_kind(name));
        }
        self.kinds.get(number).copied().unwrap_or(false)
    }

    fn enter(&mut self, text: &str, is_of_kind: impl Fn(&str) -> bool) {
        self.here = self.learn(text, is_of_kind);
    }
}

/// The addresses that stand for lines of the gauges, and in which function of theirs.
fn of_gauges(addresses: impl Iterator<Item = u64>, program: &str) -> HashMap<u64, String> {
    let child = Command::new("addr2line")
        .args(["--addresses", "--functions", "--inlines", "--demangle", "--exe", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("addr2line comes with the linker");
    let mut to = child.stdin.take().expect("it is piped");
    let asked: String = addresses.map(|address| format!("{address:#x}\n")).collect();
    let writer = std::thread::spawn(move || to.write_all(asked.as_bytes()));
    let output = child.wait_with_output().expect("the child is ours");
    writer.join().expect("it does not panic").expect("all is asked");
    let (mut gauges, mut address, mut function) = (HashMap::new(), 0, String::new());
    // an address, then a function and its line, that in which it was inlined and its line, and so on
    let mut is_function = true;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(next) = line.strip_prefix("0x") {
            address = u64::from_str_radix(next, 16).expect("it is what was asked");
            is_function = true;
            continue;
        }
        if is_function {
            line.clone_into(&mut function);
        }
        let is_clock = is_function && CLOCKS.iter().any(|part| line.contains(part));
        let is_gauge = !is_function && GAUGES.iter().any(|part| line.contains(part));
        if is_clock || is_gauge {
            gauges.insert(address, function.clone()); // the outermost stays
        }
        is_function = !is_function;
    }
    gauges
}
