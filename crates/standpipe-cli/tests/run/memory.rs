//! How much memory does it take, whichever way the bytes go, into a consumer that sleeps?

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::event::{Timespec, poll};
use rustix::io::ioctl_fionread;

use crate::record::valid;
use crate::rig::{BIN, Live, Scratch, feed, noise, run, standpipe};

/// What the command may take besides its tanks, in KiB.
const OWN_KIB: u64 = 16 << 10;
/// So much is sent.
const BYTES: usize = 96 << 20;
/// The peak is read before the last of them, for then the process is still there: no pipe holds as much.
const REST: usize = 2 << 20;
/// In pieces of this size.
const BLOCK: usize = 64 << 10;

/// Where the bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Stdin,
    File,
    #[cfg(feature = "http")]
    Get,
}

/// The peak in KiB of a run that sends [`BYTES`] to a stdout that nobody reads until all stands still.
#[track_caller]
fn peak_kib(from: From, args: &[&str]) -> u64 {
    let scratch = Scratch::new();
    let sent = Arc::new(AtomicUsize::new(0));
    let uri = match from {
        From::Stdin => String::new(),
        From::File => {
            let file = File::create(scratch.path("source")).expect("it is new");
            file.set_len(BYTES as u64).expect("it takes no room");
            scratch.arg("source")
        }
        #[cfg(feature = "http")]
        From::Get => endless(&sent),
    };
    let mut words = vec!["--from", &uri];
    if from == From::Stdin {
        words.clear();
    }
    words.extend(args);
    let mut command = standpipe(&words);
    if from == From::Stdin {
        command.stdin(Stdio::piped());
    }
    let mut live = Live::start(command);
    let pour = |stdin| pour(stdin, Arc::clone(&sent));
    let feeder = live.stdin.take().map(pour);
    stand_still(&live, || match from {
        From::File => position(&live, &uri),
        _ => sent.load(Ordering::Acquire),
    });
    let mut left = BYTES - REST;
    while left > 0 {
        let part = left.min(1 << 20);
        live.read(part);
        left -= part;
    }
    let peak = high_water_kib(&live);
    let done = live.end();
    assert_eq!((done.code(), done.out.len()), (0, REST), "{args:?}: {}", done.err);
    if let Some(feeder) = feeder {
        feeder.join().expect("it does not panic");
    }
    peak
}

/// Sends them, and says how far it has come.
fn pour(mut to: impl Write + Send + 'static, sent: Arc<AtomicUsize>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let block = vec![b'x'; BLOCK];
        for _ in 0..BYTES / BLOCK {
            to.write_all(&block).expect("it takes all");
            sent.fetch_add(BLOCK, Ordering::Release);
        }
    })
}

/// A server that sends them.
#[cfg(feature = "http")]
fn endless(sent: &Arc<AtomicUsize>) -> String {
    use crate::server::{Server, answer};
    let sent = Arc::clone(sent);
    let server = Server::start(vec![answer(move |exchange| {
        exchange.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n"));
        let block = vec![b'x'; BLOCK];
        for _ in 0..BYTES / BLOCK {
            exchange.send(&block);
            sent.fetch_add(BLOCK, Ordering::Release);
        }
    })]);
    server.uri("/x")
}

/// How far it has read this file.
fn position(live: &Live, path: &str) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", live.pid())).expect("it lives").flatten();
    let is_it = |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == path);
    let Some(fd) = open.filter(is_it).last() else { return 0 };
    let info = format!("/proc/{}/fdinfo/{}", live.pid(), fd.file_name().to_string_lossy());
    let info = fs::read_to_string(info).expect("it lives");
    let position = info.lines().find_map(|line| line.strip_prefix("pos:"));
    position.and_then(|position| position.trim().parse().ok()).expect("the kernel says so")
}

/// Waits until nothing moves any more: what was sent, and what lies in the output, is the same five times.
fn stand_still(live: &Live, sent: impl Fn() -> usize) {
    let while_idle = Timespec { tv_sec: 0, tv_nsec: 60_000_000 };
    let (mut before, mut same) = ((0, None), 0);
    while same < 5 || before.0 == 0 {
        let lies = live.stdout.as_ref().and_then(|stdout| ioctl_fionread(stdout).ok());
        let at = (sent(), lies);
        same = if at == before { same + 1 } else { 0 };
        before = at;
        poll(&mut [], Some(&while_idle)).expect("nothing is polled");
    }
}

fn high_water_kib(live: &Live) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", live.pid())).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.expect("the kernel says so").trim().trim_end_matches(" kB");
    peak.parse().expect("a number")
}

#[test]
fn the_peak_is_within_the_memory_and_sixteen_mebibytes() {
    let scratch = Scratch::new();
    let saved = "version = 1\n[[stage]]\nexec = ['cat']\n[[stage]]\nexec = ['cat']\ntank = '24M'\n";
    let saved = scratch.file("saved.toml", saved.as_bytes());
    let cases: &[(From, &[&str], u64)] = &[
        (From::Stdin, &[], 0),
        (From::Stdin, &["-c", "cat | cat | cat"], 0),
        (From::Stdin, &["--", "cat", "::", "cat"], 0),
        (From::Stdin, &["--fast", "never", "-c", "cat | cat | cat"], 2),
        (From::Stdin, &["-m", "64M", "-t", "48M"], 48),
        (From::Stdin, &["-m", "64M", "-t", "24M", "-c", "cat | cat | cat"], 48),
        (From::Stdin, &["-f", &saved], 24),
        (From::Stdin, &["--to", "-", "--to", "null:", "--to", "/dev/null"], 3),
        (From::Stdin, &["-m", "48M", "-t", "24M", "--to", "null:", "--to", "-", "-c", "cat"], 48),
        (From::File, &["--to", "-", "--to", "null:"], 2),
        (From::File, &[], 0),
        (From::File, &["--fast", "never", "-c", "cat"], 2),
        (From::File, &["--low", "25%", "-t", "8M", "--", "cat"], 16),
        #[cfg(feature = "http")]
        (From::Get, &[], 0),
        #[cfg(feature = "http")]
        (From::Get, &["--low", "25%", "-t", "24M"], 24),
    ];
    for (from, args, tanks_mib) in cases {
        let peak = peak_kib(*from, args);
        assert!(peak <= OWN_KIB + (tanks_mib << 10), "{from:?} {args:?}: {peak} KiB");
    }
}

#[cfg(feature = "http")]
#[test]
fn an_upload_to_a_server_that_sleeps_takes_no_more() {
    use crate::server::{Server, answer};
    use std::sync::mpsc::sync_channel;
    for (args, tanks_mib) in [(&[][..], 0), (&["--low", "50%", "-t", "16M"][..], 16)] {
        let (go, slept) = sync_channel(1);
        let (tell, got) = sync_channel(1);
        let (looked, look) = sync_channel(1);
        let server = Server::start(vec![answer(move |exchange| {
            exchange.say("HTTP/1.1 100 Continue\r\n\r\n");
            slept.recv().expect("the test goes on");
            let bytes = exchange.body().expect("the upload has its end").len();
            tell.send(bytes).expect("the test goes on");
            look.recv().expect("the test goes on");
            exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        })]);
        let mut command = standpipe(&["--to", &server.uri("/x")]);
        command.args(args).stdin(Stdio::piped());
        let mut live = Live::start(command);
        let stdin = live.stdin.take().expect("it is piped");
        let sent = Arc::new(AtomicUsize::new(0));
        let feeder = pour(stdin, Arc::clone(&sent));
        stand_still(&live, || sent.load(Ordering::Acquire));
        go.send(()).expect("the server waits");
        assert_eq!(got.recv(), Ok(BYTES));
        let peak = high_water_kib(&live);
        looked.send(()).expect("the server waits");
        let done = live.end();
        assert_eq!(done.code(), 0, "{}", done.err);
        assert!(peak <= OWN_KIB + (tanks_mib << 10), "{args:?}: {peak} KiB");
        feeder.join().expect("it does not panic");
    }
}

#[test]
fn a_trickle_into_a_shut_tank_is_bounded_too() {
    let count = "3000000";
    let text = format!("dd if=/dev/zero bs=1 count={count} status=none | (sleep 1; exec wc -c)");
    let done = run(standpipe(&["--fast", "never", "-t", "4M", "-c", &text]));
    assert_eq!(done.text().trim(), count, "{}", done.err);
}

/// Past 64 MiB the kernel gives an unprivileged user pipes of two pages, and lets none grow.
#[test]
fn a_user_whose_pipe_memory_is_spent_gets_small_pipes_a_note_and_the_same_bytes() {
    let scratch = Scratch::new();
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    };
    open(&scratch.path(""), 0o777);
    // Wherever the tests run, that user may run this one.
    fs::copy(BIN, scratch.path("bin")).expect("it is readable");
    open(&scratch.path("bin"), 0o755);
    // As root the budget does not count, so it is a user that nobody is; who is no root spends its own.
    let user: &[&str] = match rustix::process::getuid().is_root() {
        true => &["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"],
        false => &["env"],
    };
    let command = |args: &[&str]| {
        let mut command = std::process::Command::new(user[0]);
        command.args(&user[1..]).args(args).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    // 1031 is F_SETPIPE_SZ.
    let spend =
        "for (1..80) { pipe(my $r, my $w) or last; fcntl($w, 1031, 1 << 20); push @k, $r, $w }
        print STDERR \"spent\\n\"; <STDIN>";
    let mut holder = Live::start(command(&["perl", "-e", spend]));
    holder.hear("spent");
    let (bin, log, data) = (scratch.arg("bin"), scratch.arg("log"), noise(1_000_003));
    let args = [&bin, "-v", &format!("--json={log}"), "-t", "2M", "-c", "cat | cat | cat"];
    let done = feed(command(&args), data.clone());
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.out == data, "{} bytes", done.out.len());
    assert!(done.err.contains("warning: some pipes stayed small"), "{}", done.err);
    let events = valid(&String::from_utf8_lossy(&scratch.read("log")));
    assert!(events.iter().any(|event| event["code"] == "pipe-budget"));
    let tanks = events[0]["tanks"].as_array().expect("the schema says so");
    let high = |tank: &serde_json::Value| tank["high"].as_u64().expect("the schema says so");
    assert!(tanks.len() == 2 && tanks.iter().all(|tank| high(tank) <= 128 << 10), "{tanks:?}");
    assert_eq!(holder.end().code(), 0);
}
