//! How does a run stay on record, to its very end?
//!
//! A record begins when the arguments have been read, and is closed by whoever began it: whichever way a run comes
//! to its end, the last line says so. What that line needs is noted here as it becomes known, the first failure
//! above all.
//!
//! # Knows / never knows
//! Knows events and where they go. Never knows when they happen: `command/chronicle` and `command/run` do.

use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::args::EventsTo;
use crate::command::outbox::Outbox;
use crate::command::signals::Inbox;
use crate::end::{self, EndError};
use crate::exec::stdio::{Stream, was_closed};
use crate::exec::stop::wait;
use crate::exec::wall_clock;
use crate::exit::Exit;
use crate::view::event::{Ceiling, End, Event, Failed, Output, Sample, Share, Start, Warning};
use rustix::event::{PollFd, PollFlags};

/// A reader that takes at once is worth this much, even to those who asked twice: on a busy machine our own thread
/// may not have come to write for a while.
pub(super) const HURRIED: Duration = Duration::from_millis(500);
/// Guests are worth less: they see that we are gone.
const GUEST: Duration = Duration::from_millis(20);

/// So many may look at a run at once.
const SEATS: usize = 4;

/// What has become of a run so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Running time.
    pub(super) elapsed_ms: u64,
    /// Bytes the first stage has put out.
    pub(super) bytes_in: u64,
    /// Bytes the last stage has taken.
    pub(super) bytes_out: u64,
    /// The most all tanks have held together.
    pub(super) peak_bytes: u64,
    /// Who was the slowest for how long.
    pub(super) slowest: Vec<Share>,
}

/// The events of one run.
#[derive(Debug)]
pub(crate) struct Record {
    /// Where it was asked to go.
    outbox: Option<Outbox>,
    guests: Mutex<Guests>,
    /// A guest has come since the last sample.
    is_asked: AtomicBool,
    run: String,
    known: Mutex<Known>,
    /// Held while the line is started, so that nothing a command says comes before that is told.
    beginning: Mutex<()>,
    /// Nobody wants to wait for the reader.
    hurried: AtomicBool,
}

/// Those who look at the run from outside.
#[derive(Debug, Default)]
struct Guests {
    /// What whoever comes is told first.
    start: Option<String>,
    seats: Vec<Outbox>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    failed: Option<Failed>,
    figures: Figures,
    outputs: Vec<Output>,
    ceiling: Option<Ceiling>,
    /// Some stage left bytes unread although it ended well.
    stopped_early: bool,
    /// A branch left bytes out on purpose.
    left_out: bool,
}

impl Record {
    /// Opens the destination; without one it is for guests alone.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(crate) fn open(to: Option<&EventsTo>) -> Result<Self, EndError> {
        let outbox = to.map(|to| {
            Outbox::open(destination(to)?)
                .map_err(|error| EndError::of("cannot write events", &error))
        });
        Ok(Self {
            outbox: outbox.transpose()?,
            guests: Mutex::default(),
            is_asked: AtomicBool::new(false),
            run: name(),
            known: Mutex::default(),
            beginning: Mutex::default(),
            hurried: AtomicBool::new(false),
        })
    }

    /// Keeps the lines of commands back until the guard is dropped.
    pub(super) fn hold_back(&self) -> MutexGuard<'_, ()> {
        self.beginning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it goes where it was asked to, beside guests.
    pub(super) fn is_kept(&self) -> bool {
        self.outbox.is_some()
    }

    fn is_heard(&self) -> bool {
        self.is_kept() || !self.guests().seats.is_empty()
    }

    /// Lets somebody hear what is told from now on; false if all seats are taken, or the run has not begun.
    pub(super) fn admit(&self, guest: OwnedFd) -> bool {
        let mut guests = self.guests();
        guests.seats.retain(|seat| !seat.is_closed());
        let Some(start) = guests.start.clone().filter(|_| guests.seats.len() < SEATS) else {
            return false;
        };
        let Ok(seat) = Outbox::open(guest) else { return false };
        seat.keep(start);
        guests.seats.push(seat);
        self.is_asked.store(true, Ordering::Relaxed);
        true
    }

    /// Whether a guest waits to hear how things are.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Takes note of the start, for whoever comes later too.
    pub(super) fn begin(&self, start: Start) {
        let line = Event::Start(start).render(&self.run, wall_clock());
        self.guests().start = Some(line.clone());
        if let Some(outbox) = &self.outbox {
            outbox.keep(line);
        }
    }

    /// Takes note of something that must not be missed. A guest that does not read may miss it.
    pub(super) fn keep(&self, event: &Event) {
        if self.is_heard() {
            let line = event.render(&self.run, wall_clock());
            self.guests().seats.iter().for_each(|seat| seat.offer(line.clone()));
            if let Some(outbox) = &self.outbox {
                outbox.keep(line);
            }
        }
    }

    /// Takes note of something that can be missed.
    pub(super) fn offer(&self, event: &Event) {
        if self.is_heard() {
            let line = event.render(&self.run, wall_clock());
            let guests = self.guests();
            guests.seats.iter().chain(&self.outbox).for_each(|to| to.offer(line.clone()));
        }
    }

    /// Takes note of how things are, instead of how they were if nobody has read that yet.
    pub(super) fn sample(&self, mut sample: Sample) {
        self.is_asked.store(false, Ordering::Relaxed);
        let mut guests = self.guests();
        guests.seats.retain(|seat| !seat.is_closed());
        for to in guests.seats.iter().chain(&self.outbox) {
            to.sample(|lost| {
                sample.dropped_samples = lost.samples;
                sample.dropped_events = lost.lines;
                Event::Sample(sample.clone()).render(&self.run, wall_clock())
            });
        }
    }

    /// Takes note of a line that a command wrote to its stderr.
    pub(super) fn child_line(&self, stage: &str, line: &[u8]) {
        if !self.is_heard() {
            return;
        }
        drop(self.hold_back());
        self.offer(&Event::Warning(Warning {
            code: "stderr",
            stage: Some(stage.to_owned()),
            message: OsStr::from_bytes(line).into(),
            unread_bytes: None,
        }));
    }

    /// Takes note of why the run fails; the first cause stands.
    pub(super) fn failed(&self, failed: Failed) {
        self.known().failed.get_or_insert(failed);
    }

    /// Takes note of where the run is.
    pub(super) fn figures(&self, figures: Figures) {
        self.known().figures = figures;
    }

    /// Takes note of what can be gained.
    pub(super) fn ceiling(&self, ceiling: Ceiling) {
        self.known().ceiling = Some(ceiling);
    }

    /// Takes note of a file that was to be written.
    pub(super) fn output(&self, output: Output) {
        self.known().outputs.push(output);
    }

    /// Takes note that not all bytes were read.
    pub(super) fn stopped_early(&self) {
        self.known().stopped_early = true;
    }

    /// Notes that a branch left bytes out on purpose.
    pub(super) fn left_out(&self) {
        self.known().left_out = true;
    }

    /// Says that the end is not to be waited for long.
    pub(super) fn hurry(&self) {
        self.hurried.store(true, Ordering::Relaxed);
    }

    /// Writes the last line.
    pub(super) fn close(&self, exit: Exit) {
        let known = std::mem::take(&mut *self.known());
        let failed = known.failed.clone();
        let kind = failed.as_ref().map(|failed| failed.kind);
        let status = match exit {
            Exit::Success => "ok",
            Exit::Signal(_) => "interrupted",
            Exit::Timeout if kind == Some("stall") => "stalled",
            Exit::Timeout => "timeout",
            _ => "failed",
        };
        let guests = self.guests();
        for to in guests.seats.iter().chain(&self.outbox) {
            let (known, failed) = (known.clone(), failed.clone());
            to.close(|lost| {
                let end = End {
                    status,
                    exit_code: exit.code(),
                    failed: failed.filter(|_| exit != Exit::Success),
                    elapsed_ms: known.figures.elapsed_ms,
                    bytes_in: known.figures.bytes_in,
                    bytes_out: known.figures.bytes_out,
                    memory_peak: known.figures.peak_bytes,
                    complete: exit == Exit::Success && !known.stopped_early && !known.left_out,
                    outputs: known.outputs,
                    slowest: known.figures.slowest,
                    ceiling: known.ceiling,
                    dropped_samples: lost.samples,
                    dropped_events: lost.lines,
                };
                Event::End(end).render(&self.run, wall_clock())
            });
        }
    }

    /// Why the record has no end, once that has been waited for: it could not be written.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.outbox.as_ref()?.failure()
    }

    /// Waits until the reader has taken the last line; after a signal not for long. Guests have a moment for theirs.
    pub(super) fn wait(&self, inbox: Option<&Inbox>) {
        let guests = std::mem::take(&mut self.guests().seats);
        for seat in guests {
            wait(&mut [PollFd::from_borrowed_fd(seat.done().as_fd(), PollFlags::IN)], Some(GUEST))
                .ok();
        }
        let Some(outbox) = &self.outbox else { return };
        loop {
            let mut on = vec![PollFd::from_borrowed_fd(outbox.done().as_fd(), PollFlags::IN)];
            on.extend(
                inbox.map(|inbox| PollFd::from_borrowed_fd(inbox.bell().as_fd(), PollFlags::IN)),
            );
            let patience = self.hurried.load(Ordering::Relaxed).then_some(HURRIED);
            match wait(&mut on, patience) {
                Ok(0) | Err(_) => return,
                Ok(_) if outbox.done().hush() => return,
                Ok(_) => {}
            }
            // it may have come before anybody had a chance to read
            if inbox.is_some_and(Inbox::ends) {
                self.hurry();
            }
        }
    }
}

fn destination(to: &EventsTo) -> Result<OwnedFd, EndError> {
    match to {
        EventsTo::Stderr if was_closed(Stream::Err) => {
            Err(EndError::new("cannot write events to stderr: it is closed"))
        }
        EventsTo::Stderr => io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| EndError::of("cannot write events to stderr", &error)),
        EventsTo::Fd(number) => end::fd::writable_copy(*number),
        EventsTo::File(path) => {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            file.map(OwnedFd::from).map_err(|error| {
                let (name, why) = (end::shown(path), end::reason(&error));
                EndError::new(format!("cannot write events to {name}: {why}"))
            })
        }
    }
}

/// A name for a run that no other run of this machine has, as far as chance goes.
fn name() -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    // Each hasher starts from random keys; five bits make a letter.
    let mut random = RandomState::new().build_hasher().finish();
    let mut name = String::with_capacity(12);
    for _ in 0..12 {
        name.push(char::from(LETTERS[usize::from(random.to_le_bytes()[0] & 31)]));
        random >>= 5;
    }
    name
}
