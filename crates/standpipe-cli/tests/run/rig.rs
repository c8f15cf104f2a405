//! How are the tests' processes started, fed, watched and cleaned up?

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::record;

/// The command under test.
pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_standpipe");

/// The command with these arguments and nothing on stdin.
pub(crate) fn standpipe<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(BIN);
    // A subcommand is no run.
    if args.first().is_none_or(|word| word.as_ref().as_encoded_bytes().starts_with(b"-")) {
        let events = record::fresh();
        command.arg(option(&events)).env(record::VARIABLE, &events);
    }
    command
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR")
        .env_remove("FORCE_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same command under `strace`, which injects faults into its calls.
pub(crate) fn traced(inject: &str, command: &Command) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
    traced.arg(command.get_program()).args(command.get_args());
    traced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    traced
}

fn option(events: &Path) -> String {
    format!("--json={}", events.display())
}

/// A shell script in which `"$S"` is the command.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    let events = record::fresh();
    let script = script.replace("\"$S\"", &format!("\"$S\" '{}'", option(&events)));
    command
        .args(["-c", &script])
        .env(record::VARIABLE, &events)
        .env("S", BIN)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a process did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    /// What it reported; empty if the command was another.
    pub(crate) events: Vec<Value>,
}

impl Done {
    #[track_caller]
    fn new(command: &Command, output: Output) -> Self {
        let Output { status, stdout: out, stderr } = output;
        let err = String::from_utf8_lossy(&stderr).into_owned();
        let own = (command.get_program() == BIN).then_some(status);
        let events = record::of(command).map(|file| record::check(&file, own));
        Self { status, out, err, events: events.unwrap_or_default() }
    }

    /// The events of this name.
    pub(crate) fn events(&self, name: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["event"] == name).collect()
    }

    /// The last event.
    #[track_caller]
    pub(crate) fn end(&self) -> &Value {
        self.events.last().expect("it reported")
    }

    /// Its exit code; panics if a signal ended it.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        assert!(self.status.code().is_some(), "died by signal: {self:?}");
        self.status.code().expect("as asserted")
    }

    /// The signal that ended it.
    #[track_caller]
    pub(crate) fn signal(&self) -> i32 {
        assert!(self.status.signal().is_some(), "no death by signal: {self:?}");
        self.status.signal().expect("as asserted")
    }

    /// Its output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Asserts that it failed with this code and said all of these things.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code(), code, "{}", self.err);
        for said in said {
            assert!(self.err.contains(said), "{said:?} is missing in:\n{}", self.err);
        }
    }
}

/// Runs to the end.
#[track_caller]
pub(crate) fn run(mut command: Command) -> Done {
    let output = command.output().expect("it starts");
    Done::new(&command, output)
}

/// Runs to the end with these bytes on stdin.
#[track_caller]
pub(crate) fn feed(mut command: Command, bytes: Vec<u8>) -> Done {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let feeder = std::thread::spawn(move || {
        // A reader that leaves early is a case under test.
        stdin.write_all(&bytes).ok();
    });
    let output = child.wait_with_output().expect("it ends");
    feeder.join().expect("it does not panic");
    Done::new(&command, output)
}

/// A process that is watched while it runs. Killed if the test fails first.
pub(crate) struct Live {
    command: Command,
    child: Child,
    pub(crate) stdin: Option<std::process::ChildStdin>,
    pub(crate) stdout: Option<std::process::ChildStdout>,
    err: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Live {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let err = BufReader::new(child.stderr.take().expect("it is piped"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self { command, child, stdin, stdout, err, heard: String::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads stderr until a line has this in it; that line.
    #[track_caller]
    pub(crate) fn hear(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.err.read_line(&mut line).expect("stderr is readable");
            assert!(count > 0, "stderr ended without {what:?}:\n{}", self.heard);
            self.heard.push_str(&line);
            if line.contains(what) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it lives or is not reaped");
    }

    /// Reads exactly so many bytes of stdout.
    #[track_caller]
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stdout.as_mut().expect("it is piped").read_exact(&mut bytes).expect("so much comes");
        bytes
    }

    /// Closes stdin and waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Done {
        drop(self.stdin.take());
        let mut out = Vec::new();
        let reader: Option<JoinHandle<Vec<u8>>> = self.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                let mut out = Vec::new();
                stdout.read_to_end(&mut out).expect("stdout is readable");
                out
            })
        });
        self.err.read_to_string(&mut self.heard).expect("stderr is readable");
        if let Some(reader) = reader {
            out = reader.join().expect("it does not panic");
        }
        let status = self.child.wait().expect("it ends");
        let stderr = std::mem::take(&mut self.heard).into_bytes();
        Done::new(&self.command, Output { status, stdout: out, stderr })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It has ended long ago unless the test failed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A directory of a test's own, removed with all that is in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// One in a place of the test's choice.
    pub(crate) fn within(place: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!("standpipe-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("the directory is new");
        Self(path)
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The path as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().expect("temporary directories are UTF-8")
    }

    /// Makes a file.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).expect("it is writable");
        self.arg(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("it is readable")
    }

    /// The names in it, hidden ones too, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("it is readable");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("it is readable").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Bytes that do not repeat.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Reads a little of a stream at a time, with a pause after each: a peer that is slow.
pub(crate) fn read_slowly(stream: &mut impl Read, pause_ns: i64) {
    let pause = Timespec { tv_sec: 0, tv_nsec: pause_ns };
    let mut some = vec![0; 16 * 1024];
    while stream.read(&mut some).is_ok_and(|read| read > 0) {
        poll(&mut [], Some(&pause)).expect("nothing is polled");
    }
}
