//! What does a run do whose stderr nobody reads?
//!
//! A pager that is not scrolled, a supervisor that hangs: the pipe is full, and whoever writes to it waits.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{BIN, Scratch};
use crate::terminal::terminal;

/// A run whose stderr was full before it began.
struct Unheard {
    child: Child,
    stderr: File,
    filled: usize,
}

impl Unheard {
    fn start(args: &[&str]) -> Self {
        let (stderr, full) = pipe_with(PipeFlags::CLOEXEC).expect("there are pipes");
        rustix::fs::fcntl_setfl(&full, rustix::fs::OFlags::NONBLOCK).expect("it is ours");
        let mut filled = 0;
        for piece in [&[b'#'; 4096][..], b"#"] {
            let refused = loop {
                match rustix::io::write(&full, piece) {
                    Ok(count) => filled += count,
                    Err(error) => break error,
                }
            };
            assert_eq!(refused, Errno::AGAIN);
        }
        rustix::fs::fcntl_setfl(&full, rustix::fs::OFlags::empty()).expect("it is ours");
        let mut command = Command::new(BIN);
        command.args(args).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(full).spawn().expect("it starts");
        Self { child, stderr: File::from(stderr), filled }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it lives or is not reaped");
    }

    /// Its code, or that of the signal it died of; nobody reads what it says.
    fn end(mut self) -> i32 {
        let status = self.child.wait().expect("it ends");
        status.code().or_else(|| status.signal().map(|signal| 128 + signal)).expect("it has ended")
    }

    /// The same, and what it said to whoever listens at last.
    fn heard(mut self) -> (i32, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("it is text");
        let said = said.split_off(self.filled);
        (self.end(), said)
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        // It has ended long ago unless the test failed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn wait_for(scratch: &Scratch, name: &str) {
    while !scratch.path(name).exists() {
        std::thread::yield_now();
    }
}

/// Neither Ctrl-C nor SIGTERM, nor `--timeout`, ended a run that had something to say to nobody.
#[test]
fn a_signal_and_the_clock_end_it() {
    let script = "echo word >&2; : > \"$0\"; exec sleep 60";
    for (signal, code) in [(Signal::INT, 130), (Signal::HUP, 129)] {
        let scratch = Scratch::new();
        let (mark, out) = (scratch.arg("mark"), scratch.arg("out"));
        let run = Unheard::start(&["-v", "-o", &out, "--", "sh", "-c", script, &mark, "::", "cat"]);
        wait_for(&scratch, "mark");
        run.signal(signal);
        assert_eq!(run.end(), code);
        assert_eq!(scratch.names(), ["mark"]);
    }
    let scratch = Scratch::new();
    let mark = scratch.arg("mark");
    for limit in ["--timeout", "--stall"] {
        let args =
            [limit, "300ms", "--view", "plain", "--", "sh", "-c", script, &mark, "::", "cat"];
        assert_eq!(Unheard::start(&args).end(), 124, "{limit}");
    }
    let run = Unheard::start(&["--observe", "-c", &format!(": > {mark}2; sleep 60 | cat")]);
    wait_for(&scratch, "mark2");
    run.signal(Signal::TERM);
    assert_eq!(run.end(), 143);
}

/// Nor did they where the connection to the terminal hung: it takes a while, and then nothing more.
#[test]
fn a_terminal_that_shows_nothing_more_is_not_waited_for() {
    for view in ["line", "tanks", "full"] {
        let [shown, stderr] = terminal([80, 24]);
        let scratch = Scratch::new();
        let script = "while :; do echo word word word word word word; done >&2";
        let limits = ["--timeout", "500ms", "--view", view, "-o", &scratch.arg("out")];
        let mut command = Command::new(BIN);
        command.args(limits).args(["--", "sh", "-c", script, "::", "cat"]);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm").stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("it starts");
        assert_eq!(Unheard { child, stderr: shown, filled: 0 }.end(), 124, "{view}");
        assert_eq!(scratch.names(), [""; 0], "{view}");
    }
}

#[test]
fn its_output_has_its_name_and_its_words_wait() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let script = "echo word >&2; seq 3";
    let args = ["-o", &out, "--summary", "always", "--", "sh", "-c", script, "::", "@count"];
    let run = Unheard::start(&args);
    wait_for(&scratch, "out");
    let (code, said) = run.heard();
    assert_eq!((code, scratch.read("out")), (0, b"1\n2\n3\n".to_vec()), "{said}");
    for part in ["sh -c ", "| word\n", "note: stage 2 `@count`: bytes = 6", "tanks held at"] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
}

/// A command that says much is held up, as it is in a shell, and nothing of it is lost.
#[test]
fn a_command_that_says_more_than_anybody_hears_is_held_up() {
    let scratch = Scratch::new();
    let mark = scratch.arg("mark");
    let run = Unheard::start(&["-q", "--", "sh", "-c", "seq 100000 >&2; : > \"$0\"", &mark]);
    let begun = |run: &Unheard| {
        let path = format!("/proc/{}/task/{0}/children", run.child.id());
        std::fs::read_to_string(path).is_ok_and(|children| !children.trim().is_empty())
    };
    while !begun(&run) {
        std::thread::yield_now();
    }
    let (code, said) = run.heard();
    assert_eq!((code, said.lines().count()), (0, 100_000));
    assert!(said.lines().all(|line| line.starts_with("sh -c ")), "nothing was left out");
    assert!(scratch.path("mark").exists());
}
