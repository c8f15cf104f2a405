//! How much memory does it take?

use std::io::Write;
use std::process::Stdio;

use crate::rig::{Live, standpipe};

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
