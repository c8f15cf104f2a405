//! What has one tank seen?
//!
//! Plain counters in atomics, each with one writer, the pump of the tank; anybody reads them at any time. None
//! ever goes back. Waits that are still open are counted too: the pump adds to them as it waits, or, of one whose sides
//! stay as they are, has noted when it began.
//!
//! # Knows / never knows
//! Knows numbers. Never knows pipes, stages or verdicts: `exec/times` turns the gauges on both sides of a stage
//! into its shares.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::exec::stop::Bell;

/// How bytes get through a tank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Path {
    /// Spliced from one pipe to the next, inside the kernel.
    Splice,
    /// Copied from file to file, inside the kernel or on the disk.
    CopyRange,
    /// Read into this process and written from it.
    #[default]
    Copy,
}

impl Path {
    /// The name by which it is shown: that of the system call, or `copy`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Splice => "splice",
            Self::CopyRange => "copy_file_range",
            Self::Copy => "copy",
        }
    }
}

/// Whose wait it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The stage after the tank: it is empty.
    Reader,
    /// The stage before it: it is full.
    Writer,
}

/// A wait that lasts, since so many nanoseconds after the start of the run.
#[derive(Clone, Copy, Debug)]
struct Open {
    who: Waits,
    since_ns: u64,
}

/// The counters of one tank.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Rung when the tank shuts or opens, if somebody wants to know at once.
    turns: Option<Arc<Bell>>,
    /// Held also while a wait goes from here to the counters, so that nobody finds it in both or in neither.
    open: Mutex<Option<Open>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    empty_ns: AtomicU64,
    full_ns: AtomicU64,
    empty_most_ns: AtomicU64,
    full_most_ns: AtomicU64,
    held_ns: AtomicU64,
    pump_ns: AtomicU64,
    pauses: AtomicU64,
    level: AtomicU64,
    high: AtomicU64,
    /// The mark that somebody asked for and the pump has not looked at; 0 is none.
    asked: AtomicU64,
    pipes: AtomicU64,
    shut: AtomicBool,
    path: AtomicU8,
    ended_ns: AtomicU64,
    reader_gone_ns: AtomicU64,
    unread: AtomicU64,
    dropped: AtomicU64,
}

/// A reading of a [`Gauge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Bytes that entered the tank.
    pub(crate) bytes_in: u64,
    /// Bytes that left it.
    pub(crate) bytes_out: u64,
    /// Time the stage after it found nothing, in nanoseconds.
    pub(crate) empty_ns: u64,
    /// Time the stage before it had to wait, in nanoseconds.
    pub(crate) full_ns: u64,
    /// No less than the stage after it waited: time in which it may have found nothing.
    pub(crate) empty_most_ns: u64,
    /// No less than the stage before it waited: time in which it may have found no room.
    pub(crate) full_most_ns: u64,
    /// Time a rate limit held the bytes back, in nanoseconds.
    pub(crate) held_ns: u64,
    /// What its pump has computed, or waited for a core; 0 if that is not known.
    pub(crate) pump_ns: u64,
    /// How often it became full.
    pub(crate) pauses: u64,
    /// Bytes in it when last looked at.
    pub(crate) level: u64,
    /// High-water mark in bytes.
    pub(crate) high: u64,
    /// Full when last looked at.
    pub(crate) shut: bool,
    /// What the pipes on both sides can hold.
    pub(crate) pipes: u64,
    /// How the bytes pass.
    pub(crate) path: Path,
    /// When the data ended, in nanoseconds since the start of the run, if it has.
    pub(crate) ended_ns: Option<u64>,
    /// When the reader was found gone, in nanoseconds since the start of the run, if it was.
    pub(crate) reader_gone_ns: Option<u64>,
    /// Bytes that a reader who left did not take.
    pub(crate) unread: Option<u64>,
    /// Bytes that were dropped on purpose, because the tank was full.
    pub(crate) dropped: u64,
}

impl Gauge {
    /// A gauge that rings when the tank shuts or opens.
    pub(crate) fn ringing(turns: Option<Arc<Bell>>) -> Self {
        Self { turns, ..Self::default() }
    }

    /// Reads all counters, so many nanoseconds after the start of the run. They are not of one instant: each is right
    /// by itself.
    pub(crate) fn read(&self, at_ns: u64) -> Reading {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reading = self.counted();
        if let Some(Open { who, since_ns }) = *open {
            let lasts_ns = at_ns.saturating_sub(since_ns);
            let (counted, most) = match who {
                Waits::Reader => (&mut reading.empty_ns, &mut reading.empty_most_ns),
                Waits::Writer => (&mut reading.full_ns, &mut reading.full_most_ns),
            };
            *counted += lasts_ns;
            *most += lasts_ns;
        }
        reading
    }

    /// Notes that a wait lasts: while nobody adds to it, time does.
    pub(crate) fn open(&self, who: Waits, since_ns: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(open.is_none(), "a tank has one wait");
        *open = Some(Open { who, since_ns });
    }

    /// Counts the wait that lasted until now, if one did.
    pub(crate) fn close(&self, at_ns: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Open { who, since_ns }) = open.take() else { return };
        let lasted_ns = at_ns.saturating_sub(since_ns);
        match who {
            Waits::Reader => self.add_empty(lasted_ns),
            Waits::Writer => self.add_full(lasted_ns),
        }
    }

    /// What is counted, without a wait that lasts.
    pub(crate) fn counted(&self) -> Reading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let when = |counter: &AtomicU64| match counter.load(Ordering::Acquire) {
            0 => None,
            stamp => Some(stamp - 1),
        };
        Reading {
            bytes_out: get(&self.bytes_out),
            bytes_in: get(&self.bytes_in),
            empty_ns: get(&self.empty_ns),
            full_ns: get(&self.full_ns),
            empty_most_ns: get(&self.empty_most_ns),
            full_most_ns: get(&self.full_most_ns),
            held_ns: get(&self.held_ns),
            pump_ns: get(&self.pump_ns),
            pauses: get(&self.pauses),
            level: get(&self.level),
            high: get(&self.high),
            shut: self.shut.load(Ordering::Relaxed),
            pipes: get(&self.pipes),
            path: match self.path.load(Ordering::Relaxed) {
                0 => Path::Splice,
                1 => Path::CopyRange,
                _ => Path::Copy,
            },
            ended_ns: when(&self.ended_ns),
            reader_gone_ns: when(&self.reader_gone_ns),
            unread: when(&self.unread),
            dropped: get(&self.dropped),
        }
    }

    /// Bytes that have left the tank, the measure of progress.
    pub(crate) fn moved(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    /// Bytes that have entered it.
    pub(crate) fn taken(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    pub(crate) fn add_in(&self, bytes: u64) {
        add(&self.bytes_in, bytes);
    }

    pub(crate) fn add_out(&self, bytes: u64) {
        add(&self.bytes_out, bytes);
    }

    /// Counts a wait of the reader.
    pub(crate) fn add_empty(&self, ns: u64) {
        self.count_empty(ns);
        self.bound_empty(ns);
    }

    /// Counts a wait of the writer.
    pub(crate) fn add_full(&self, ns: u64) {
        self.count_full(ns);
        self.bound_full(ns);
    }

    /// Counts what is taken for a wait of the reader: right on average.
    pub(crate) fn count_empty(&self, ns: u64) {
        add(&self.empty_ns, ns);
    }

    /// Counts what is taken for a wait of the writer: right on average.
    pub(crate) fn count_full(&self, ns: u64) {
        add(&self.full_ns, ns);
    }

    /// Notes time in which the reader may have waited; the sum is never less than it did.
    pub(crate) fn bound_empty(&self, ns: u64) {
        add(&self.empty_most_ns, ns);
    }

    /// Notes time in which the writer may have waited; the sum is never less than it did.
    pub(crate) fn bound_full(&self, ns: u64) {
        add(&self.full_most_ns, ns);
    }

    pub(crate) fn add_held(&self, ns: u64) {
        add(&self.held_ns, ns);
    }

    /// Counts what a thread of the pump has spent; there may be several.
    pub(crate) fn add_pump(&self, ns: u64) {
        self.pump_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Notes what the level is, and whether the writer has to wait.
    pub(crate) fn set_level(&self, level: u64) {
        self.level.store(level, Ordering::Relaxed);
    }

    /// Notes whether the writer has to wait; the change to full is a pause.
    pub(crate) fn set_shut(&self, shut: bool) {
        if shut == self.shut.load(Ordering::Relaxed) {
            return;
        }
        if shut {
            add(&self.pauses, 1);
        }
        self.shut.store(shut, Ordering::Relaxed);
        if let Some(turns) = &self.turns {
            turns.ring();
        }
    }

    /// Notes how many bytes were dropped on purpose.
    pub(crate) fn set_dropped(&self, bytes: u64) {
        self.dropped.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_high(&self, high: u64) {
        self.high.store(high, Ordering::Relaxed);
    }

    /// Asks the pump for another high-water mark: it obeys with the next bytes.
    pub(crate) fn ask_high(&self, high: u64) {
        self.asked.store(high, Ordering::Relaxed);
    }

    /// The mark that the pump has, or was asked for and has not looked at.
    pub(crate) fn wanted_high(&self) -> u64 {
        match self.asked.load(Ordering::Relaxed) {
            0 => self.high.load(Ordering::Relaxed),
            asked => asked,
        }
    }

    /// The pump could not obey yet, and is to be asked again, unless somebody has asked for something else.
    pub(crate) fn ask_again(&self, high: u64) {
        self.asked.compare_exchange(0, high, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// The mark that was asked for since the last time, if one was.
    pub(crate) fn asked_high(&self) -> Option<u64> {
        // most often none was, and a load is cheaper than a swap
        let asked = self.asked.load(Ordering::Relaxed) > 0;
        asked.then(|| self.asked.swap(0, Ordering::Relaxed)).filter(|high| *high > 0)
    }

    pub(crate) fn set_pipes(&self, pipes: u64) {
        self.pipes.store(pipes, Ordering::Relaxed);
    }

    pub(crate) fn set_path(&self, path: Path) {
        self.path.store(path as u8, Ordering::Relaxed);
    }

    /// Notes that the data ended, `ns` after the start of the run; only the first time counts.
    pub(crate) fn set_ended(&self, ns: u64) {
        stamp(&self.ended_ns, ns);
    }

    /// Notes how much a reader who left did not take.
    pub(crate) fn set_unread(&self, bytes: u64) {
        stamp(&self.unread, bytes);
    }

    /// Notes that the reader was found gone. The pump says so before it lets go of its input, so that a writer
    /// that dies of it is always seen to die later.
    pub(crate) fn set_reader_gone(&self, ns: u64) {
        stamp(&self.reader_gone_ns, ns);
    }
}

/// Adds with a plain store: the counter has one writer.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

fn stamp(counter: &AtomicU64, ns: u64) {
    // Failing means that an earlier stamp stands, which is what is wanted.
    counter.compare_exchange(0, ns + 1, Ordering::AcqRel, Ordering::Acquire).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_lasts_is_counted_as_long_as_it_does_and_once() {
        let gauge = Gauge::default();
        gauge.add_empty(5);
        gauge.open(Waits::Reader, 100);
        let at = |at_ns| {
            let reading = gauge.read(at_ns);
            (reading.empty_ns, reading.empty_most_ns, reading.full_ns)
        };
        assert_eq!((at(90), at(100), at(130)), ((5, 5, 0), (5, 5, 0), (35, 35, 0)));
        gauge.close(140);
        gauge.close(150);
        assert_eq!(at(200), (45, 45, 0));
        gauge.open(Waits::Writer, 200);
        assert_eq!(at(203), (45, 45, 3));
    }
}
