//! Is the slow stage named that was planted?
//!
//! Pipelines of 3 to 5 stages in which one takes five times as long as any other, by sleeping or by computing, in every position: as
//! real processes through the command, on the path through the kernel and on the one through user memory; with a throttled file writer
//! and a throttled network peer as the sink; and as threads through the library, with tanks of 1, 8 and 64 items. In the library the
//! named stage is then really made a tenth faster, and the gain is compared with the one foretold.
//!
//! # Knows / never knows
//! Knows what it planted. Never knows how a verdict is found.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use standpipe::stage::{for_each, iter};
use standpipe::{Pipeline, Report, Tank};

use crate::measure::median;

/// What goes through a stage at a time.
const CHUNK: usize = 64 << 10;
/// Chunks a run.
const CHUNKS: usize = 300;
const SLOW: Duration = Duration::from_micros(3000);
const FAST: Duration = Duration::from_micros(600);

/// How a stage spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    Sleep,
    Compute,
}

impl Cost {
    fn spend(self, time: Duration) {
        match self {
            Self::Sleep => sleep(time),
            Self::Compute => {
                let end = Instant::now() + time;
                while Instant::now() < end {
                    black_box((0..100_u64).sum::<u64>());
                }
            }
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Compute => "compute",
        }
    }
}

/// A stage of a planted pipeline, as a process of its own: `stage sleep|compute MICROSECONDS CHUNKS|-`. With a number of chunks it is
/// the source, else it passes on what it reads.
pub(crate) fn stage(words: &[String]) -> Option<()> {
    let [kind, time, chunks] = words else { return None };
    let cost = if kind == "sleep" { Cost::Sleep } else { Cost::Compute };
    let time = Duration::from_micros(time.parse().ok()?);
    let mut chunk = vec![7; CHUNK];
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut left = chunks.parse::<usize>().ok();
    loop {
        match &mut left {
            Some(0) => return Some(()),
            Some(left) => *left -= 1,
            None => match stdin.read_exact(&mut chunk) {
                Ok(()) => {}
                Err(_) => return Some(()),
            },
        }
        cost.spend(time);
        // a reader that left ends the stage, as it ends any other
        stdout.write_all(&chunk).ok()?;
        stdout.flush().ok()?;
    }
}

/// Runs everything, prints the table, and says whether a gate was missed.
pub(crate) fn run(rounds: usize) -> bool {
    println!(
        "\nPlanted bottlenecks, one stage five times as slow as the others; {rounds} rounds\n"
    );
    println!("| where | runs | named | others |");
    println!("| --- | ---: | ---: | --- |");
    let mut all = Tally::default();
    for path in ["auto", "never"] {
        for cost in [Cost::Sleep, Cost::Compute] {
            let mut tally = Tally::default();
            for _ in 0..rounds {
                for count in 3..=5 {
                    for slow in 0..count {
                        tally.add(&format!("{}", slow + 1), processes(count, slow, cost, path));
                    }
                }
            }
            tally.print(&format!("processes, {}, --fast {path}", cost.word()));
            all.merge(tally);
        }
        let (mut disk, mut net) = (Tally::default(), Tally::default());
        for _ in 0..rounds {
            disk.add("3", throttled_disk(path));
            net.add("3", throttled_peer(path));
        }
        disk.print(&format!("a writer that is slow, --fast {path}"));
        net.print(&format!("a network peer that is slow, --fast {path}"));
        all.merge(disk);
        all.merge(net);
    }
    let mut errors = Vec::new();
    for mark in [1, 8, 64] {
        for cost in [Cost::Sleep, Cost::Compute] {
            let mut tally = Tally::default();
            for count in 3..=5 {
                for slow in 0..count {
                    let (named, error) = threads(count, slow, cost, mark, rounds);
                    tally.add(&format!("s{}", slow + 1), named);
                    errors.extend(error);
                }
            }
            tally.print(&format!("threads, {}, mark {mark}", cost.word()));
            all.merge(tally);
        }
    }
    let share = 100.0 * all.right as f64 / all.runs as f64;
    let worst = errors.iter().copied().fold(0.0, f64::max);
    let within = 100.0 * errors.iter().filter(|error| **error <= 3.0).count() as f64
        / errors.len().max(1) as f64;
    println!(
        "\nNamed: {share:.1} % of {} runs (gate: 95). Gain of a tenth, foretold and measured: {:.2} points apart in the",
        all.runs,
        median(&errors)
    );
    println!("median, {worst:.2} at most, {within:.0} % within 3 points (gate: all).");
    share < 95.0 || worst > 3.0
}

#[derive(Default)]
struct Tally {
    runs: usize,
    right: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, planted: &str, named: Option<String>) {
        self.runs += 1;
        match named {
            Some(named) if named == planted => self.right += 1,
            named => {
                self.wrong.push(format!("{} for {planted}", named.as_deref().unwrap_or("nobody")))
            }
        }
    }

    fn print(&self, name: &str) {
        println!("| {name} | {} | {} | {} |", self.runs, self.right, self.wrong.join(", "));
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.right += other.right;
    }
}

// ---- processes -------------------------------------------------------------

fn ours(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../target/release").join(name)
}

fn stage_words(cost: Cost, time: Duration, chunks: Option<usize>) -> Vec<String> {
    let me = std::env::current_exe().expect("Linux knows");
    let chunks = chunks.map_or("-".to_owned(), |chunks| chunks.to_string());
    let me = me.to_str().expect("the target directory is UTF-8").to_owned();
    vec![me, "stage".to_owned(), cost.word().to_owned(), time.as_micros().to_string(), chunks]
}

/// The command with these stages; whom its last event names.
fn named_by_command(path: &str, stages: &[Vec<String>], more: &[&str]) -> Option<String> {
    let record =
        std::env::temp_dir().join(format!("standpipe-planted-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&record);
    let mut command = Command::new(ours("standpipe"));
    command
        .arg(format!("--json={}", record.display()))
        .args(["--fast", path, "--tank", "256K", "-q"])
        .args(more)
        .arg("--");
    for (at, stage) in stages.iter().enumerate() {
        if at > 0 {
            command.arg("::");
        }
        command.args(stage);
    }
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.expect("target/release/standpipe is built").success(), "a planted run fails");
    let text = std::fs::read_to_string(&record).expect("it was written");
    let _ = std::fs::remove_file(&record);
    let end = text.lines().last()?;
    // the one field that is wanted; a parser is not worth its build time here
    let slowest = end.split("\"slowest\":[{\"stage\":\"").nth(1)?;
    slowest.split('"').next().map(str::to_owned)
}

fn line(count: usize, slow: Option<usize>, cost: Cost) -> Vec<Vec<String>> {
    let stage = |at: usize| {
        // others sleep: whoever shares a core with the slow one would be slow too
        let (cost, time) = if Some(at) == slow { (cost, SLOW) } else { (Cost::Sleep, FAST) };
        stage_words(cost, time, (at == 0).then_some(CHUNKS))
    };
    (0..count).map(stage).collect()
}

fn processes(count: usize, slow: usize, cost: Cost, path: &str) -> Option<String> {
    named_by_command(path, &line(count, Some(slow), cost), &[])
}

/// The last stage writes to a file slowly, as a disk does that is slow.
fn throttled_disk(path: &str) -> Option<String> {
    let mut stages = line(2, None, Cost::Sleep);
    let file = std::env::temp_dir().join(format!("standpipe-planted-{}.out", std::process::id()));
    let writer = "perl -e 'while (sysread(STDIN, $x, 65536)) { syswrite(STDOUT, $x); select(undef, undef, undef, 0.003) }'";
    stages.push(vec![
        "sh".to_owned(),
        "-c".to_owned(),
        format!("exec {writer} > {}", file.display()),
    ]);
    let named = named_by_command(path, &stages, &[]);
    let _ = std::fs::remove_file(file);
    named
}

/// A peer on the network that reads slowly: the sink is the slowest.
fn throttled_peer(path: &str) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let to = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    scope(|scope| {
        scope.spawn(move || {
            let (mut peer, _) = listener.accept().expect("the command connects");
            let mut chunk = vec![0; CHUNK];
            while peer.read(&mut chunk).is_ok_and(|count| count > 0) {
                sleep(SLOW);
            }
        });
        // more than the buffers of two sockets hold
        let mut stages = line(2, None, Cost::Sleep);
        stages[0] = stage_words(Cost::Sleep, FAST, Some(CHUNKS * 3));
        named_by_command(path, &stages, &["--to", &to])
    })
}

// ---- threads ---------------------------------------------------------------

/// Whom the library names, and by how many points the gain that it foretells is off.
fn threads(
    count: usize,
    slow: usize,
    cost: Cost,
    mark: usize,
    rounds: usize,
) -> (Option<String>, Option<f64>) {
    let (mut gains, mut foretold, mut named) = (Vec::new(), Vec::new(), None);
    for _ in 0..rounds.max(3) {
        let now = thread_line(count, slow, SLOW, cost, mark);
        let faster = thread_line(count, slow, SLOW * 9 / 10, cost, mark);
        let verdict = now.verdict();
        gains.push(now.elapsed.as_secs_f64() / faster.elapsed.as_secs_f64() - 1.0);
        foretold.extend(verdict.what_if(slow, 0.1).map(|forecast| forecast.gain));
        named = verdict.slowest.map(|slowest| slowest.name.to_string());
    }
    let error = (!foretold.is_empty()).then(|| 100.0 * (median(&gains) - median(&foretold)).abs());
    (named, error)
}

fn thread_line(count: usize, slow: usize, slow_time: Duration, cost: Cost, mark: usize) -> Report {
    let spend = move |at: usize| {
        move |item: u64| {
            let (cost, time) = if at == slow { (cost, slow_time) } else { (Cost::Sleep, FAST) };
            cost.spend(time);
            item
        }
    };
    let items = (0..CHUNKS as u64).map(spend(0));
    let start = || Pipeline::from("s1", iter(items)).tank(Tank::items(mark));
    let last = count - 1;
    let sink = for_each(move |item| {
        spend(last)(item);
    });
    let end = format!("s{count}");
    let running = match count {
        3 => start().map("s2", spend(1)).tank(Tank::items(mark)).to(&end, sink).threads(),
        4 => {
            let middle = start().map("s2", spend(1)).tank(Tank::items(mark)).map("s3", spend(2));
            middle.tank(Tank::items(mark)).to(&end, sink).threads()
        }
        _ => {
            let middle = start().map("s2", spend(1)).tank(Tank::items(mark)).map("s3", spend(2));
            let middle = middle.tank(Tank::items(mark)).map("s4", spend(3));
            middle.tank(Tank::items(mark)).to(&end, sink).threads()
        }
    };
    running.expect("there are threads").wait().expect("no stage fails").report
}
