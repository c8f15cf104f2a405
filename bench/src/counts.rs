//! Did a change make an item dearer?
//!
//! The instructions per item of a few cases, compared with those written down in `counts.txt`: more than 3 % above fails. A count is
//! exact, but it belongs to a compiler: where that is another one, only the ratios to tokio in the same run are judged.
//!
//! # Knows / never knows
//! Knows cases, what they cost when that was last written down, and ratios. Never knows how to count.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;

use standpipe::gate::{Flow, Gate, Marks};

use crate::callgrind::{Named, instructions, present};
use crate::measure::{Case, in_process};

/// How much dearer an item may become, in percent.
const SLACK: f64 = 3.0;
/// Items of the smaller run.
const ITEMS: u64 = 10_240;
const TOKIO: Named = Named { workload: "w1", setting: "ct 1024", case: "tokio recv" };
const MANY: Named = Named { workload: "w1", setting: "ct 1024", case: "tokio recv_many" };
const HOPS: Named = Named { workload: "w2", setting: "ct 1024", case: "tokio recv" };

/// A case that is watched, and at most how much it may cost of what tokio costs.
struct Watched {
    named: Named,
    against: Option<(Named, f64)>,
}

/// The cases. A limit of a ratio is what is reached and some room, not a wish: it has to hold for any compiler.
fn watched() -> Vec<Watched> {
    let w1 = |case, against| Watched {
        named: Named { workload: "w1", setting: "ct 1024", case },
        against: Some(against),
    };
    let w2 = |setting, case, against| Watched {
        named: Named { workload: "w2", setting, case },
        against,
    };
    vec![
        w1("standpipe write + next", (TOKIO, 0.70)),
        w1("standpipe send_batch + next_batch", (MANY, 0.35)),
        w1("standpipe spawn()", (TOKIO, 0.10)),
        w1("standpipe run()", (TOKIO, 0.10)),
        w2("ct 1024", "standpipe spawn()", Some((HOPS, 0.25))),
        w2("ct 1024", "standpipe run()", Some((HOPS, 0.25))),
        w2("fused", "standpipe map", None),
        Watched {
            named: Named { workload: "gate", setting: "", case: "admit + release" },
            against: None,
        },
    ]
}

/// The gate alone.
pub(crate) fn gate_cases() -> Vec<Case> {
    let work = |n| {
        let mut gate = Gate::new(Marks::half(1024).expect("1024 is a mark"));
        let mut waits = 0_u64;
        for _ in 0..n {
            if gate.admit(black_box(1)) == Flow::Wait {
                waits += 1;
                for _ in 0..512 {
                    let _ = black_box(gate.release(black_box(1)));
                }
            }
        }
        waits
    };
    let run = in_process(work, |n, waits| {
        assert!(n < 2048 || waits > 0, "the gate shuts");
        0.0
    });
    let setting = String::new();
    vec![Case { name: "admit + release", setting, run: Some(run), most: 1, targets: vec![] }]
}

/// Counts and compares, or writes down; says whether something became too dear.
pub(crate) fn run(write: Writes) -> bool {
    if !present() {
        println!("counts: skipped, there is no valgrind");
        return false;
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    let compiler = compiler();
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let same = known.lines().next() == Some(&compiler);
    let mut now = format!("{compiler}\n");
    let mut failed = false;
    for case in watched() {
        let Named { workload, setting, case: name } = case.named;
        let id = format!("{workload} | {setting} | {name}");
        let count = instructions(case.named, ITEMS);
        let _ = writeln!(now, "{id} | {count:.1}");
        let before = known.lines().filter_map(|line| line.rsplit_once(" | "));
        let before = before
            .filter(|(known, _)| *known == id)
            .find_map(|(_, count)| count.parse::<f64>().ok());
        let mut said = format!("{id}: {count:.1} instructions an item");
        if let Some(before) = before.filter(|_| same) {
            let percent = 100.0 * (count / before - 1.0);
            let _ = write!(said, ", {percent:+.1} % of {before:.1} (limit +{SLACK} %)");
            failed |= percent > SLACK && write == Writes::No;
        } else if same && write == Writes::No {
            said.push_str(", which is not written down");
            failed = true;
        }
        if let Some((peer, at_most)) = case.against {
            let ratio = count / instructions(peer, ITEMS);
            let _ = write!(said, ", {ratio:.2} of {} (limit {at_most})", peer.case);
            failed |= ratio > at_most;
        }
        println!("{said}");
    }
    if write == Writes::Yes {
        std::fs::write(&file, now).expect("counts.txt can be written");
    } else if !same {
        println!("counts: {} is of another compiler; only ratios were judged", file.display());
    }
    if failed {
        println!(
            "counts: dearer than allowed. If that is what the change is worth: `bench counts --write`"
        );
    }
    failed
}

/// Whether what is counted becomes what is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Yes,
    No,
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc built this");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
