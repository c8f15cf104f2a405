//! How is a program started, heard and reaped?
//!
//! A child stays in our process group, so that a terminal signal and a password prompt reach it as they would in
//! a shell. It inherits its three streams and nothing else of ours: every other descriptor closes with the
//! `exec`. Its stderr passes through a pump of bounded lines, and the last of them are kept: when the child
//! fails, they are the best explanation there is.
//!
//! # Knows / never knows
//! Knows one process. Never knows its neighbours, nor what its end means for the run: `exit` does.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::exec::stop::{Bell, ready, wait};
use crate::exit::Status;
use crate::plan::CommandLine;
use crate::watch::Spent;

/// The longest line of stderr that is passed on in one piece.
const LINE: usize = 4096;
/// How many lines of stderr are kept as last words.
const LAST_LINES: usize = 8;
/// After this long without a newline what is there is passed on: it may be a question.
const QUESTION: Duration = Duration::from_millis(300);

/// Who hears what a stage says on stderr: its index, and one line without the newline.
pub(crate) type Hear = Arc<dyn Fn(usize, &[u8]) + Send + Sync>;

/// The three streams a child is given.
#[derive(Debug)]
pub(crate) struct Streams {
    /// `None`: it inherits ours.
    pub(crate) stdin: Option<OwnedFd>,
    /// `None`: it inherits ours.
    pub(crate) stdout: Option<OwnedFd>,
    /// Where its words go.
    pub(crate) stderr: Words,
}

/// Where a child's words on stderr go.
#[derive(Debug)]
pub(crate) enum Words {
    /// To whoever hears; the last of them are kept.
    Heard,
    /// To nobody; the last of them are kept.
    Dropped,
    /// To our own stderr, straight.
    Ours,
    /// To this file.
    File(OwnedFd),
}

/// A started program.
pub(crate) struct Child {
    process: std::process::Child,
    pidfd: OwnedFd,
    status: Option<Status>,
    /// What it had spent when it ended.
    spent: Option<Spent>,
    words: Arc<Mutex<VecDeque<String>>>,
    pump: Option<JoinHandle<()>>,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.pid())
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Makes sure that a process can be told to end and is heard.
///
/// # Errors
/// Those of the system, which may have no descriptor or no thread left.
fn watch_over(
    process: &mut std::process::Child,
    mut hear: impl FnMut(&[u8]) + Send + 'static,
    bell: &Arc<Bell>,
) -> io::Result<(OwnedFd, Option<JoinHandle<()>>)> {
    let pid =
        i32::try_from(process.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::Other)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let Some(stderr) = process.stderr.take() else { return Ok((pidfd, None)) };
    let bell = Arc::clone(bell);
    let thread = std::thread::Builder::new().name("words".to_owned()).stack_size(512 << 10);
    let pump = thread.spawn(move || {
        listen(stderr.as_fd(), &mut hear);
        bell.ring();
    })?;
    Ok((pidfd, Some(pump)))
}

impl Child {
    /// Starts `line`; `heard` gets every line of its stderr, and `bell` rings when that ends.
    ///
    /// # Errors
    /// Those of the system when it would not start the program.
    pub(crate) fn start(
        line: &CommandLine,
        streams: Streams,
        heard: impl Fn(&[u8]) + Send + 'static,
        bell: &Arc<Bell>,
    ) -> io::Result<Self> {
        let mut command = match line {
            CommandLine::Shell(text) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(text);
                command
            }
            CommandLine::Argv(words) => {
                let (program, arguments) =
                    words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        };
        if let Some(stdin) = streams.stdin {
            command.stdin(stdin);
        }
        if let Some(stdout) = streams.stdout {
            command.stdout(stdout);
        }
        let is_heard = matches!(streams.stderr, Words::Heard);
        command.stderr(match streams.stderr {
            Words::Heard | Words::Dropped => Stdio::piped(),
            Words::Ours => Stdio::inherit(),
            Words::File(file) => file.into(),
        });
        let mut process = command.spawn()?;
        // The command holds the far ends of the pipes; they must not outlive the start.
        drop(command);
        let words: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let kept = Arc::clone(&words);
        let hear = move |line: &[u8]| {
            let mut words = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if words.len() == LAST_LINES {
                words.pop_front();
            }
            words.push_back(String::from_utf8_lossy(line).into_owned());
            drop(words);
            if is_heard {
                heard(line);
            }
        };
        match watch_over(&mut process, hear, bell) {
            Ok((pidfd, pump)) => {
                Ok(Self { process, pidfd, status: None, spent: None, words, pump })
            }
            Err(error) => {
                // Nobody else knows of it, so nobody else would end it.
                process.kill().and_then(|()| process.wait()).ok();
                Err(error)
            }
        }
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Becomes readable when the process has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended, if it is known to have ended.
    pub(crate) fn status(&self) -> Option<Status> {
        self.status
    }

    /// Reaps it if it has ended.
    pub(crate) fn reap(&mut self) -> Option<Status> {
        if self.status.is_some() || !ready(self.pidfd.as_fd(), PollFlags::IN) {
            return self.status;
        }
        // Who was waited for is gone, and its numbers with it.
        self.spent = Spent::of(self.pid());
        if let Ok(Some(status)) = self.process.try_wait() {
            self.status = Some(match (status.code(), status.signal()) {
                (_, Some(signal)) => Status::Signal(signal),
                (code, None) => {
                    Status::Code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
                }
            });
        }
        self.status
    }

    /// What it had spent when it ended.
    pub(crate) fn spent(&self) -> Option<Spent> {
        self.spent
    }

    /// Sends a signal, if it still lives. The number cannot hit a stranger: it goes by descriptor.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            // A process that ended meanwhile is what was wanted.
            pidfd_send_signal(&self.pidfd, signal).ok();
        }
    }

    /// Says whether its stderr has been heard to the end.
    pub(crate) fn is_silent(&self) -> bool {
        self.pump.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The last lines it wrote to stderr.
    pub(crate) fn last_words(&self) -> Vec<String> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Reads lines until the end, in bounded pieces.
fn listen(stderr: BorrowedFd<'_>, say: &mut dyn FnMut(&[u8])) {
    let mut line = Vec::with_capacity(LINE);
    let mut buffer = [0_u8; LINE];
    loop {
        let patience = (!line.is_empty()).then_some(QUESTION);
        let mut on = [PollFd::from_borrowed_fd(stderr, PollFlags::IN)];
        let count = match wait(&mut on, patience) {
            Ok(0) => {
                say(&line);
                line.clear();
                continue;
            }
            Ok(_) => rustix::io::read(stderr, &mut buffer).unwrap_or(0),
            Err(_) => 0,
        };
        if count == 0 {
            break;
        }
        for &byte in &buffer[..count] {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() == LINE {
                // ssh ends its lines as a terminal in raw mode wants them
                say(line.strip_suffix(b"\r").filter(|_| byte == b'\n').unwrap_or(&line));
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        say(&line);
    }
}

/// The word a person knows the program by: `argv[0]`, or the first word of a shell piece if it is plain.
pub(crate) fn first_word(line: &CommandLine) -> Option<OsString> {
    match line {
        CommandLine::Argv(words) => words.first().cloned(),
        CommandLine::Shell(text) => {
            let text = text.to_str()?.trim_start();
            let word = text.split([' ', '\t']).next().filter(|word| !word.is_empty())?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-+./@%,:".contains(c);
            word.chars().all(plain).then(|| word.into())
        }
    }
}
