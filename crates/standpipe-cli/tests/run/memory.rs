//! How much memory does it take?

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::record::valid;
use crate::rig::{BIN, Live, Scratch, feed, noise, standpipe};

/// What the command may take besides its tanks, in KiB.
const OWN_KIB: u64 = 16 << 10;

/// Sends `MIB` through it, reading nothing until it has stopped taking; the peak in KiB, read before it ends.
fn peak_kib(args: &[&str]) -> u64 {
    const MIB: usize = 192;
    let mut command = standpipe(args);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    let mut stdin = live.stdin.take().expect("it is piped");
    let (hold, held) = std::sync::mpsc::sync_channel::<()>(1);
    let feeder = std::thread::spawn(move || {
        let block = vec![b'x'; 1 << 20];
        for _ in 0..MIB {
            stdin.write_all(&block).expect("it takes all");
        }
        // Open until the peak has been read: the process must still be there.
        held.recv().ok();
        drop(stdin);
    });
    let mut left = MIB << 20;
    while left > 0 {
        let part = left.min(1 << 20);
        assert!(live.read(part).iter().all(|byte| *byte == b'x'));
        left -= part;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", live.pid())).expect("it lives");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says so");
    let peak = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    drop(hold);
    feeder.join().expect("it does not panic");
    let done = live.end();
    assert_eq!(done.code(), 0, "{}", done.err);
    peak
}

#[test]
fn the_peak_is_within_the_memory_and_sixteen_mebibytes() {
    for (args, memory_kib) in [
        (&[][..], 0),
        (&["-c", "cat | cat | cat"], 0),
        (&["--fast", "never", "-c", "cat | cat | cat"], 2 << 10),
        (&["-m", "64M", "-t", "48M"], 48 << 10),
        (&["-m", "64M", "-t", "24M", "-c", "cat | (sleep 0.3; cat) | cat"], 48 << 10),
    ] {
        let peak = peak_kib(args);
        assert!(peak <= OWN_KIB + memory_kib, "{args:?}: {peak} KiB");
    }
}

#[test]
fn a_trickle_into_a_shut_tank_is_bounded_too() {
    let count = "3000000";
    let text = format!("dd if=/dev/zero bs=1 count={count} status=none | (sleep 1; exec wc -c)");
    let done = crate::rig::run(standpipe(&["--fast", "never", "-t", "4M", "-c", &text]));
    assert_eq!(done.text().trim(), count, "{}", done.err);
}

/// Past 64 MiB the kernel gives an unprivileged user pipes of two pages, and lets none grow.
#[test]
fn a_user_whose_pipe_memory_is_spent_gets_small_pipes_a_note_and_the_same_bytes() {
    let scratch = Scratch::new();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    };
    open(&scratch.path(""), 0o777);
    // Wherever the tests run, that user may run this one.
    std::fs::copy(BIN, scratch.path("bin")).expect("it is readable");
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
