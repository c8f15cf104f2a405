//! Does anything grow, leak or get lost if it runs for long?
//!
//! Two pipelines run side by side at full speed, one through the kernel and one through user memory, each through two
//! stages that pause at random, for STANDPIPE_SOAK_SECONDS (5 if it is not set). Their events go to readers that
//! pause, too. Then the last half must not have taken more memory or descriptors than the half before, every byte must
//! have arrived in order, and every event that is missing must have been counted.
//!
//! The stages are this program itself, called with the name of a role.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const BLOCK: usize = 256 << 10;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// What the command may take besides its tanks.
const OWN_KIB: u64 = 16 << 10;
/// What the second half may take more: a tank need not have been full in the first, and the allocator keeps some.
const SLACK_KIB: u64 = 4 << 10;
/// A tank opens its pipe anew to ask whether it is full, so each may hold one descriptor more for a moment.
const SLACK_FDS: u64 = 3;

/// The forms that are run, with the memory of their three tanks.
const FORMS: [(&str, &[&str], u64); 2] =
    [("kernel", &[], 0), ("memory", &["--low", "50%", "--tank", "4M"], 12 << 10)];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["source", seconds, note] => source(seconds.parse().expect("seconds"), note),
        ["pause", seed] => pause(Random(seed.parse().expect("a seed"))),
        ["sink"] => sink(),
        // Of `cargo test`: another test is wanted, or a list.
        words if words.contains(&"--list") => {}
        words if words.iter().any(|word| !word.starts_with('-') && !"soak".contains(word)) => {}
        _ => soak(),
    }
}

fn soak() {
    let seconds = std::env::var("STANDPIPE_SOAK_SECONDS");
    let seconds = seconds.map_or(5, |seconds| seconds.parse().expect("a number of seconds"));
    thread::scope(|scope| {
        for (name, args, tanks_kib) in FORMS {
            scope.spawn(move || Soak::start(name, args, seconds).judge(tanks_kib));
        }
    });
}

/// One pipeline that is watched.
struct Soak {
    name: &'static str,
    seconds: u64,
    note: PathBuf,
    child: Child,
}

/// What was seen of a process at one moment.
#[derive(Clone, Copy, Debug)]
struct Sight {
    rss_kib: u64,
    fds: usize,
}

/// What the events said.
#[derive(Debug)]
struct Heard {
    samples: u64,
    lines: u64,
    end: Value,
}

impl Soak {
    fn start(name: &'static str, args: &[&str], seconds: u64) -> Self {
        let own = std::env::current_exe().expect("a program knows itself");
        let own = own.to_str().expect("the target folder is UTF-8");
        let note =
            std::env::temp_dir().join(format!("standpipe-soak-{}-{name}", std::process::id()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_standpipe"));
        command.args(["--json", "-vv"]).args(args).arg("--");
        command.args([own, "source", &seconds.to_string()]).arg(&note);
        command.args(["::", own, "pause", "1", "::", own, "pause", "2", "::", own, "sink"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        Self { name, seconds, note, child }
    }

    fn judge(mut self, tanks_kib: u64) {
        let stderr = self.child.stderr.take().expect("it is piped");
        let mut stdout = self.child.stdout.take().expect("it is piped");
        let over = AtomicBool::new(false);
        let (pid, seconds) = (self.child.id(), self.seconds);
        let (heard, sights, got) = thread::scope(|scope| {
            let over = &over;
            let heard = scope.spawn(|| hear(stderr));
            let sights = scope.spawn(move || watch(pid, seconds, over));
            let mut got = String::new();
            stdout.read_to_string(&mut got).expect("it is text");
            over.store(true, Ordering::Release);
            let sights = sights.join().expect("it does not panic");
            (heard.join().expect("it does not panic"), sights, got)
        });
        let status = self.child.wait().expect("it ends");
        let sent = fs::read_to_string(&self.note).expect("the source has left a note");
        fs::remove_file(&self.note).expect("it is ours");

        let name = self.name;
        assert!(status.success(), "{name}: {status}, {}", heard.end);
        assert_eq!(got, sent, "{name}: bytes and their sum");
        assert_eq!(heard.end["complete"], true, "{name}: {}", heard.end);
        let bytes: u64 =
            sent.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
        assert_eq!(heard.end["bytes_out"], bytes, "{name}: {}", heard.end);
        assert!(bytes > 0, "{name}: nothing was sent");

        let (first, second) = halves(&sights);
        let most = |sights: &[Sight], of: fn(&Sight) -> u64| sights.iter().map(of).max();
        let rss = |sight: &Sight| sight.rss_kib;
        let fds = |sight: &Sight| sight.fds as u64;
        let (rss_before, rss_after) = (most(first, rss), most(second, rss));
        let (fds_before, fds_after) = (most(first, fds), most(second, fds));
        let lost = &heard.end["dropped_samples"];
        let lost_lines = &heard.end["dropped_events"];
        say(&format!(
            "soak {name}: {seconds} s, {bytes} bytes; RSS at most {} KiB, then {} KiB; descriptors {}, then {}; \
             {} samples and {lost} counted as lost, {} other events and {lost_lines} lost\n",
            rss_before.unwrap_or(0),
            rss_after.unwrap_or(0),
            fds_before.unwrap_or(0),
            fds_after.unwrap_or(0),
            heard.samples,
            heard.lines,
        ));
        assert!(
            rss_after <= rss_before.map(|kib| kib + SLACK_KIB),
            "{name}: memory grew: {sights:?}"
        );
        assert!(rss_after <= Some(OWN_KIB + tanks_kib), "{name}: too much memory: {sights:?}");
        assert!(
            fds_after <= fds_before.map(|fds| fds + SLACK_FDS),
            "{name}: descriptors grew: {sights:?}"
        );
    }
}

/// After the first fifth, in which all that is ever needed is allocated.
fn halves(sights: &[Sight]) -> (&[Sight], &[Sight]) {
    assert!(sights.len() >= 20, "it did not live long enough to be seen: {sights:?}");
    let warm = &sights[sights.len() / 5..];
    warm.split_at(warm.len() / 2)
}

/// Looks at a process until it is over.
fn watch(pid: u32, seconds: u64, over: &AtomicBool) -> Vec<Sight> {
    let every = Duration::from_millis((seconds * 10).clamp(20, 1000));
    let mut sights = Vec::new();
    while !over.load(Ordering::Acquire) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        let fds = fs::read_dir(format!("/proc/{pid}/fd"));
        // A process that has just ended has neither.
        if let (Some(rss_kib), Ok(fds)) = (rss, fds) {
            sights.push(Sight { rss_kib, fds: fds.count() });
        }
        rest(every);
    }
    sights
}

/// Reads events, with pauses.
fn hear(stderr: ChildStderr) -> Heard {
    let mut random = Random(7);
    let mut heard = Heard { samples: 0, lines: 0, end: Value::Null };
    for line in BufReader::new(stderr).lines() {
        let event: Value =
            serde_json::from_str(&line.expect("events are text")).expect("an event is JSON");
        match event["event"].as_str() {
            Some("sample") => {
                heard.samples += 1;
                let missing = event["seq"].as_u64().expect("it has one") - heard.samples;
                assert_eq!(
                    event["dropped_samples"], missing,
                    "a sample is lost, not counted: {event}"
                );
            }
            Some("end") => heard.end = event,
            _ => heard.lines += 1,
        }
        if random.below(2000) == 0 {
            rest(Duration::from_millis(random.below(500)));
        }
    }
    assert!(!heard.end.is_null(), "there is no last event");
    heard
}

/// Writes a stream that everybody can make again, and notes how long it was.
fn source(seconds: u64, note: &str) {
    let until = now() + Duration::from_secs(seconds);
    let (mut stream, mut block) = (Stream::new(), vec![0; BLOCK]);
    let mut out = std::io::stdout().lock();
    while now() < until {
        stream.fill(&mut block);
        out.write_all(&block).expect("it takes all");
    }
    fs::write(note, stream.verdict()).expect("there is room for a note");
}

/// Passes bytes on, and rests now and then.
fn pause(mut random: Random) {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut buffer = vec![0; BLOCK];
    loop {
        let mut left = random.below(16 << 20);
        while left > 0 {
            let count = input.read(&mut buffer).expect("it is a pipe");
            if count == 0 {
                return;
            }
            output.write_all(&buffer[..count]).expect("it takes all");
            left = left.saturating_sub(count as u64);
        }
        rest(Duration::from_millis(random.below(20)));
    }
}

/// Compares what arrives with what was sent, byte by byte.
fn sink() {
    let mut input = std::io::stdin().lock();
    let (mut stream, mut got, mut expected) = (Stream::new(), vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let mut count = 0;
        while count < BLOCK {
            match input.read(&mut got[count..]).expect("it is a pipe") {
                0 => break,
                more => count += more,
            }
        }
        if count == 0 {
            break;
        }
        assert_eq!(count, BLOCK, "the source writes whole blocks");
        stream.fill(&mut expected);
        assert!(got == expected, "other bytes before byte {}", stream.bytes);
    }
    say(&stream.verdict());
}

/// Bytes that do not repeat, with their number and sum.
struct Stream {
    random: Random,
    bytes: u64,
    sum: u64,
}

impl Stream {
    fn new() -> Self {
        Self { random: Random(SEED), bytes: 0, sum: 0 }
    }

    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            let next = self.random.next();
            self.sum = (self.sum.rotate_left(5) ^ next).wrapping_mul(SEED);
            word.copy_from_slice(&next.to_le_bytes());
        }
        self.bytes += block.len() as u64;
    }

    fn verdict(&self) -> String {
        format!("{} {:016x}\n", self.bytes, self.sum)
    }
}

/// The xorshift of Marsaglia.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("somebody listens");
}

#[expect(clippy::disallowed_methods, reason = "a soak is as long as the clock says")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "pauses are what is tried out")]
fn rest(time: Duration) {
    thread::sleep(time);
}
