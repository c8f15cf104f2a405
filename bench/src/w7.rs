//! W7: what does relaying TCP connections cost?
//!
//! Over loopback: 1 GiB through one connection in writes of 256 KiB, or through 1,000 in writes of 64 KiB. The relay is a process of its
//! own, whose CPU time and peak are taken; source and drain are in this one.

use std::net::TcpListener as Bound;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use standpipe::adapt::io::tcp;
use standpipe::{KIB, Pipeline, Tank};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::measure::{Case, Metric, Reading, Run, Target, Weight, reap};
use crate::w4::present;

const BYTES: u64 = 1 << 30;
/// How often the peak of a relay is read.
const LOOK: Duration = Duration::from_millis(20);

/// What relays.
#[derive(Clone, Copy)]
enum Relay {
    /// This program: `relay KIND KIB …`.
    Own(&'static str, usize),
    Socat,
    Command,
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let two = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = Arc::new(two.expect("threads can be started"));
    let case = |name, connections, relay, targets| {
        let there = match relay {
            Relay::Own(..) => true,
            Relay::Socat => present("socat"),
            Relay::Command => present(OURS),
        };
        let setting = if connections == 1 { "1 connection" } else { "1,000 connections" };
        let runtime = Arc::clone(&runtime);
        let run = there
            .then(|| -> Run { Box::new(move |bytes| round(&runtime, relay, connections, bytes)) });
        Case { name, setting: setting.to_owned(), run, most: BYTES, targets }
    };
    let (small, middle, large) = (
        "tokio copy_bidirectional 8 KiB",
        "tokio copy_bidirectional 64 KiB",
        "tokio copy_bidirectional 256 KiB",
    );
    let cpu = |peer, at_most| Target::cpu(peer, at_most, Weight::Gate);
    let memory = Target {
        peers: vec![middle],
        metric: Metric::PeakMib,
        at_most: 0.25,
        weight: Weight::Gate,
    };
    vec![
        case(small, 1, Relay::Own("copy", 8), vec![]),
        case(middle, 1, Relay::Own("copy", 64), vec![]),
        case(large, 1, Relay::Own("copy", 256), vec![]),
        case("socat -b 65536", 1, Relay::Socat, vec![]),
        case("standpipe pipeline", 1, Relay::Own("tank", 256), vec![cpu(large, 1.05)]),
        case("standpipe command", 1, Relay::Command, vec![cpu(large, 0.75)]),
        case(small, 1000, Relay::Own("copy", 8), vec![]),
        case(middle, 1000, Relay::Own("copy", 64), vec![]),
        case("standpipe pipeline", 1000, Relay::Own("tank", 64), vec![cpu(middle, 1.05), memory]),
    ]
}

const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/standpipe");

/// The child's part: `relay copy|tank KIB CONNECTIONS PORT TO`. Ends when all connections have.
pub(crate) fn relay(words: &[String]) -> Option<()> {
    let [kind, size, connections, port, to] = words else { return None };
    let size = size.parse::<usize>().ok()? * KIB;
    let connections: usize = connections.parse().ok()?;
    let (port, to): (u16, u16) = (port.parse().ok()?, to.parse().ok()?);
    let tanks = kind == "tank";
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().ok()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.ok()?;
        let mut all = Vec::new();
        for _ in 0..connections {
            let (mut from, _) = listener.accept().await.ok()?;
            all.push(tokio::spawn(async move {
                let mut to =
                    TcpStream::connect(("127.0.0.1", to)).await.expect("the drain listens");
                if tanks {
                    through_tanks(from, to, size).await;
                } else {
                    let copied = copy_bidirectional_with_sizes(&mut from, &mut to, size, size);
                    copied.await.expect("both ends are there");
                }
            }));
        }
        for one in all {
            one.await.ok()?;
        }
        Some(())
    })
}

/// Both directions, a pipeline each.
async fn through_tanks(from: TcpStream, to: TcpStream, high: usize) {
    let ((near_read, near_write), (far_read, far_write)) = (tcp(from), tcp(to));
    let forth = Pipeline::from("near", near_read.chunk(high.min(256 * KIB)))
        .tank(Tank::bytes(high))
        .to("far", far_write);
    let back = Pipeline::from("far", far_read).tank(Tank::bytes(high)).to("near", near_write);
    let (forth, back) = tokio::join!(forth.run(), back.run());
    forth.expect("both ends are there");
    back.expect("both ends are there");
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
#[expect(clippy::zombie_processes, reason = "`reap` waits")]
fn round(runtime: &Runtime, relay: Relay, connections: u64, bytes: u64) -> Reading {
    let drain = Bound::bind("127.0.0.1:0").expect("loopback has ports");
    drain.set_nonblocking(true).expect("sockets can");
    let to = drain.local_addr().expect("it is bound").port();
    // free again when this statement ends, and nobody else asks for it on purpose
    let port =
        Bound::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("it has ports").port();
    let child = start(relay, connections, port, to);
    let start = Instant::now();
    let (came, peak_kib) = runtime.block_on(async {
        let (peak, pid) = (Arc::new(AtomicU64::new(0)), child.id());
        let seen = Arc::clone(&peak);
        let looks = tokio::spawn(async move {
            loop {
                seen.fetch_max(peak_kib(pid).unwrap_or(0), Ordering::Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        });
        let listener = TcpListener::from_std(drain).expect("it is a listener");
        let drained = tokio::spawn(drained(listener, connections));
        for _ in 0..connections {
            let to = connect(port).await;
            tokio::spawn(send(
                to,
                bytes / connections,
                if connections == 1 { 256 } else { 64 } * KIB,
            ));
        }
        let came = drained.await.expect("the drain does not panic");
        looks.abort();
        (came, peak.load(Ordering::Relaxed))
    });
    let wall = start.elapsed();
    let (code, usage) = reap(child.id());
    assert_eq!(code, 0, "the relay fails");
    assert_eq!(came, bytes / connections * connections, "the relay loses bytes");
    Reading { wall, peak_kib, ..usage }
}

/// The peak of a process that is there. wait4 tells no less than what this process had when it started that one.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.split_whitespace().next()?.parse().ok()
}

fn start(relay: Relay, connections: u64, port: u16, to: u16) -> Child {
    let mut command = match relay {
        Relay::Own(kind, size) => {
            let mut command = Command::new(std::env::current_exe().expect("Linux knows"));
            let words = [size as u64, connections, port.into(), to.into()].map(|it| it.to_string());
            command.args(["relay", kind]).args(words);
            command
        }
        Relay::Socat => {
            let mut command = Command::new("socat");
            command.args(["-b", "65536", &format!("TCP-LISTEN:{port},bind=127.0.0.1")]);
            command.arg(format!("TCP:127.0.0.1:{to}"));
            command
        }
        Relay::Command => {
            let mut command = Command::new(OURS);
            command.args(["-q", "--from", &format!("tcp-listen://127.0.0.1:{port}")]);
            command.args(["--to", &format!("tcp://127.0.0.1:{to}")]);
            command
        }
    };
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    child.expect("the relay can be started")
}

/// Connects as soon as the relay listens.
async fn connect(port: u16) -> TcpStream {
    for _ in 0..10_000 {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    panic!("the relay does not listen within 10 seconds");
}

async fn send(mut to: TcpStream, mut left: u64, size: usize) {
    let chunk = vec![7; size];
    while left > 0 {
        let now = left.min(size as u64);
        to.write_all(&chunk[..now as usize]).await.expect("the relay is there");
        left -= now;
    }
    to.shutdown().await.expect("the relay is there");
    // the relay ends the other direction when the drain has left; one that does not relay it resets
    let _ = to.read(&mut [0]).await;
}

async fn drained(listener: TcpListener, connections: u64) -> u64 {
    let mut all = Vec::new();
    for _ in 0..connections {
        let (mut from, _) = listener.accept().await.expect("the relay connects");
        all.push(tokio::spawn(async move {
            let (mut buffer, mut came) = (vec![0; 64 * KIB], 0);
            loop {
                match from.read(&mut buffer).await.expect("the relay is there") {
                    0 => return came,
                    count => came += count as u64,
                }
            }
        }));
    }
    let mut came = 0;
    for one in all {
        came += one.await.expect("it does not panic");
    }
    came
}
