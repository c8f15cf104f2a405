//! What do the gauges cost?
//!
//! A pipeline hands on numbers, or copies chunks of 1 KiB or 64 KiB into a tank and out of it, in two builds of this program: as it is,
//! and with a library in which the functions that only count and time return at once. What a tank has taken in and given out is counted
//! in both: it says as well when a tank is empty.
//!
//! # Knows / never knows
//! Knows which functions only count and time, by their text. Never knows what they count.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{KIB, Pipeline, Tank};

use crate::callgrind::{between, me, present};
use crate::measure::{Case, median};
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
    /// Items of a run on the machine itself, which is to take about a quarter of a second.
    timed: u64,
    /// The most that the gauges may add.
    most: Most,
}

#[derive(Clone, Copy)]
enum Most {
    Percent(f64),
    Instructions(f64),
}

const FLOWS: [Flow; 3] = [
    Flow {
        name: "chunks of 64 KiB",
        size: 64 * KIB,
        n: 512,
        timed: 40_000,
        most: Most::Percent(2.0),
    },
    Flow {
        name: "chunks of 1 KiB",
        size: KIB,
        n: 8192,
        timed: 1_500_000,
        most: Most::Percent(5.0),
    },
    Flow { name: "numbers", size: 0, n: 20_480, timed: 50_000_000, most: Most::Instructions(6.0) },
];
/// Runs of each build on the machine itself, in turn.
const ROUNDS: usize = 7;
/// Files of the library, and how functions in them begin that only count and time, or read the clock; and what they answer instead.
const GAUGES: [(&str, &[&str], &str); 5] = [
    (
        "meter.rs",
        &[
            "fn paused(&mut self)",
            "fn oversized(&mut self, items: u64)",
            "fn woke_reader(&mut self)",
            "fn woke_writer(&mut self)",
            "fn start_timing(&mut self, now_ns: u64, level: usize)",
            "fn before(&mut self, now_ns: Option<u64>, level: usize, high: usize)",
            "fn after(&mut self, timed_change: bool, level: usize)",
            "fn fell(&mut self, level: usize)",
            "fn drained(&mut self)",
            "fn waits_for_budget(&mut self, waits: bool)",
            "fn wrote(&mut self)",
            "fn reader_began(&mut self, level: usize)",
            "fn own_wait(&self, span_ns: u64)",
            "fn not_running(&self, span_ns: u64)",
            "fn polled(&self, now_ns: u64)",
            "fn busy_as(&self, what: BusyAs, now_ns: u64)",
            "fn poll_took(&self, span_ns: u64)",
            "fn keeps(&self, items: u64)",
            "fn done_with(&self, batch: Tally, now_ns: u64)",
            "fn took(&self, tally: Tally)",
            "fn gave(&self, tally: Tally)",
            "fn close_interval(&self, now_ns: u64)",
        ],
        "return;",
    ),
    ("meter.rs", &["fn transition(&self, write: impl FnOnce())"], "return write();"),
    (
        "pipeline/relay.rs",
        &[
            "fn hand_over(&self, tank: usize, ended: Ended, now_ns: u64)",
            "fn waits(&self, segment: usize, now_ns: u64)",
            "fn goes_on(&self, segment: usize, after: StageState, now_ns: u64)",
            "fn works(&self, segment: usize, now_ns: u64)",
            "fn polled(&mut self, segment: usize, polled: &Polled)",
        ],
        "return;",
    ),
    ("pipeline/turn.rs", &["fn waits_for_its_own(&self, watch: &Watch) -> bool"], "return false;"),
    ("pipeline.rs", &["fn machine_clock() -> Clock"], "return Arc::new(|| 0);"),
];

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
    let without = build_without();
    let mut table = "\n## What the gauges cost, per item\n\nOne thread, `run()`, a tank of 1 MiB or of 1024 numbers. Chunks are copied in \
                     and out, as a kernel would. *Without*: the same source, in which what only counts and times returns at once.\n\n\
                     | item | instructions | without | more | target | met | CPU of without | readings of the clock | copies |\n\
                     | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |\n"
        .to_owned();
    let mut missed = false;
    for flow in FLOWS {
        let named = Named { workload: "overhead", setting: "overhead", case: flow.name };
        let with = named.instructions(flow.n);
        let less = named.instructions_of(&without, flow.n);
        let more = with - less;
        let percent = 100.0 * more / less;
        let (is_met, target) = match flow.most {
            Most::Percent(most) => (percent < most, format!("< {most} %")),
            Most::Instructions(most) => (more <= most, format!("<= {most} instructions")),
        };
        missed |= !is_met;
        let met = if is_met { "met" } else { "**not met**" };
        let calls = between(&named.profile(flow.n), &named.profile(2 * flow.n), flow.n);
        let cpu = cpu_ratio(named, &without, flow.timed);
        let _ = writeln!(
            table,
            "| {} | {with:.1} | {less:.1} | {more:.1}, {percent:.2} % | {target} | {met} | {cpu:.3} | {:.3} | {:.3} |",
            flow.name, calls.clock, calls.copies
        );
    }
    (table, missed)
}

/// The CPU time of this build by that of the other, in runs that take turns.
fn cpu_ratio(named: Named, without: &Path, n: u64) -> f64 {
    let me = me();
    let spent = |program: &Path| named.usage_of(program, n).cpu.as_secs_f64();
    let rounds = (0..ROUNDS).map(|_| (spent(&me), spent(without)));
    let (with, less): (Vec<f64>, Vec<f64>) = rounds.unzip();
    median(&with) / median(&less)
}

/// Builds this program with a library without gauges, in a copy of the source; its path.
fn build_without() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/without-gauges");
    fs::create_dir_all(&place).expect("the target directory can be written");
    for part in ["Cargo.toml", "Cargo.lock", "README.md", "bench", "crates", "docs", "xtask"] {
        copy(&root.join(part), &place.join(part));
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--target-dir"]).arg(place.join("target"));
    cargo.env("RUSTFLAGS", "-Aunreachable_code -Adead_code -Aunused");
    cargo.arg("--manifest-path").arg(place.join("bench/Cargo.toml"));
    assert!(cargo.status().expect("cargo is there").success(), "the build without gauges fails");
    place.join("target/release/standpipe-bench")
}

/// Copies source, without what was built. What has not changed is left alone, so that it need not be built again.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("the target directory can be written");
        for entry in fs::read_dir(from).expect("it is there") {
            let name = entry.expect("it is there").file_name();
            if name != "target" {
                copy(&from.join(&name), &to.join(&name));
            }
        }
        return;
    }
    let mut content = fs::read(from).expect("it is there");
    let of_library = |file: &str| from.ends_with(Path::new("crates/standpipe/src").join(file));
    for (_, functions, answer) in GAUGES.iter().filter(|(file, ..)| of_library(file)) {
        let mut text = String::from_utf8(content).expect("source is text");
        for function in *functions {
            let begins = text.find(&format!("{function} {{"));
            let at = begins.unwrap_or_else(|| panic!("{} has no `{function}`", from.display()));
            text.insert_str(at + function.len() + 2, answer);
        }
        content = text.into_bytes();
    }
    if fs::read(to).ok().as_ref() != Some(&content) {
        fs::write(to, content).expect("the target directory can be written");
    }
}
