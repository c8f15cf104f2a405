//! W4: what does it cost to move bytes from a file to a file, or between two pipes?
//!
//! A file of 1 GiB, read once before so that it is cached. Whole commands are measured: what the feeder and the drain spend counts too,
//! for a relay can shift work to them. Before the rounds every relay has to hand the file through unchanged.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::measure::{Case, Metric, Target, Weight, command};

const BYTES: u64 = 1 << 30;

/// Above the tanks; kernel pipes are not in it.
const PEAK_MIB: f64 = 16.0;

/// The places this workload uses.
struct Places {
    source: String,
    copy: String,
    standpipe: String,
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let home = std::env::var_os("CARGO_MANIFEST_DIR")
        .expect("started by `cargo run`, which says where we are");
    let home = PathBuf::from(home);
    let dir = home.join("target/w4");
    fs::create_dir_all(&dir).expect("the target folder can be written");
    let word = |path: PathBuf| path.to_str().expect("the path is UTF-8").to_owned();
    let places = Places {
        source: word(dir.join("source")),
        copy: word(dir.join("copy")),
        standpipe: word(home.join("../target/release/standpipe")),
    };
    fill(&places.source);
    let mut cases = files(&places);
    cases.extend(pipes(&places, "| cat > /dev/null"));
    cases.extend(pipes(&places, "> /dev/null"));
    cases
}

fn files(places: &Places) -> Vec<Case> {
    let Places { source, copy, standpipe } = places;
    let case = |name, tool: &str, arguments: String, targets| {
        let run = present(tool).then(|| {
            let (before, after) = (copy.clone(), copy.clone());
            let remove = move || drop(fs::remove_file(&before)); // missing the first time
            let check = move || {
                let length = fs::metadata(&after).map_or(0, |file| file.len());
                assert_eq!(length, BYTES, "{name} does not copy every byte");
                fs::remove_file(&after).expect("it was just written");
            };
            command(format!("{} {arguments}", quote(tool)), remove, check)
        });
        Case { name, setting: "file to file".to_owned(), run, most: BYTES, targets }
    };
    let (from, to) = (quote(source), quote(copy));
    let targets = vec![
        Target::cpu("cat", 1.1, Weight::Gate),
        // what we do: on disk before it has its name
        Target::cpu(SYNCED, 1.1, Weight::Gate),
        Target {
            peers: vec!["cat", "cp", "pv"],
            metric: Metric::Wall,
            at_most: 1.1,
            weight: Weight::Goal,
        },
        peak(),
    ];
    vec![
        case("cat", "cat", format!("{from} > {to}"), vec![]),
        case(SYNCED, "cat", format!("{from} > {to} && sync {to}"), vec![]),
        case("cp", "cp", format!("--reflink=never {from} {to}"), vec![]),
        case("pv", "pv", format!("-q {from} > {to}"), vec![]),
        case("standpipe", standpipe, format!("-q --from {from} --to {to}"), targets),
    ]
}

const SYNCED: &str = "cat, then sync";

fn pipes(places: &Places, drain: &str) -> Vec<Case> {
    let source = quote(&places.source);
    let to_cat = drain.starts_with('|');
    let case = |name, tool: &str, arguments: &str, targets| {
        let run = present(tool).then(|| {
            let relay = format!("{} {arguments}", quote(tool));
            unchanged(&source, &relay);
            command(format!("cat {source} | {relay} {drain}"), || (), || ())
        });
        let setting = if to_cat { "pipe to cat" } else { "pipe to null" };
        Case { name, setting: setting.to_owned(), run, most: BYTES, targets }
    };
    let best = |at_most, weight| Target {
        peers: vec!["cat", "pv"],
        metric: Metric::Wall,
        at_most,
        weight,
    };
    // All that is counted is counted in any case; here it is also shown and recorded.
    let watched = vec![best(1.0, Weight::Gate), Target::cpu("pv", 1.0, Weight::Goal), peak()];
    let shown = "--view plain --summary always --json=/dev/null 2> /dev/null";
    let mut targets = vec![best(1.0, Weight::Gate), Target::cpu("pv", 1.0, Weight::Goal), peak()];
    if to_cat {
        targets.insert(1, best(0.5, Weight::Goal)); // pipes of a MiB on both sides
    }
    let buffered = vec![Target::cpu("cat", 1.2, Weight::Gate), peak()];
    vec![
        case("cat", "cat", "", vec![]),
        case("pv", "pv", "-q", vec![]),
        case("mbuffer", "mbuffer", "-q", vec![]),
        case("standpipe", &places.standpipe, "-q", targets),
        case("standpipe, all shown", &places.standpipe, shown, watched),
        case("standpipe --fast never", &places.standpipe, "-q --fast never", buffered),
    ]
}

fn peak() -> Target {
    Target::limit(Metric::PeakMib, PEAK_MIB, Weight::Gate)
}

/// Says whether a tool is installed.
pub(crate) fn present(tool: &str) -> bool {
    let line = format!("command -v {} > /dev/null", quote(tool));
    Command::new("sh").arg("-c").arg(line).status().is_ok_and(|status| status.success())
}

/// Writes the source, unless it is there, and reads it into the cache.
fn fill(path: &str) {
    if fs::metadata(path).map_or(0, |file| file.len()) != BYTES {
        let mut file = File::create(path).expect("the target folder can be written");
        let (mut block, mut state) = (vec![0_u8; 1 << 20], 1_u64);
        for _ in 0..BYTES >> 20 {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13; // xorshift: no two blocks are alike, nothing compresses
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block).expect("there is room for 1 GiB");
        }
        file.sync_all().expect("the disk works");
    }
    let mut file = File::open(path).expect("it was just written");
    std::io::copy(&mut file, &mut std::io::sink()).expect("the disk works");
}

/// Sends the source through a relay and compares what comes out.
fn unchanged(source: &str, relay: &str) {
    let line = format!("cat {source} | {relay} | cmp - {source}");
    let status = Command::new("sh").arg("-c").arg(line).stdin(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "`{relay}` changes what it relays");
}

/// Quotes a word for the shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
