//! How do bytes travel that no descriptor of ours gives or takes?
//!
//! A pump must stay reachable, and code that speaks a protocol blocks where it likes. So such code gets a thread of
//! its own and a pipe between it and the pump: the tank works as between two commands, and a thread that hangs
//! hinders nobody, for the process ends without it.
//!
//! ```text
//! code ==> [pipe] --> pump        (a thing that is read: `bring`)
//! pump --> [pipe] ==> code        (a thing that is written: `send`)
//! ```
//!
//! The end of a pipe does not say why it ended. What is read leaves a [`Word`] before its pipe ends; what is written
//! gets its end of data only from [`Errand::seal`], after the whole run has succeeded, and an error in all other
//! cases: half of an upload cannot be taken for the whole.
//!
//! # Knows / never knows
//! Knows pipes, threads and how they are told. Never knows protocols: `end` brings the code.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags};

use crate::exec::copy::Feed;
use crate::exec::port::{Port, pipe};
use crate::exec::stop::{Order, Stop, ready, wait};

/// What the thread has in hand.
const BUFFER: usize = 64 << 10;

/// What is left behind by a thread that fills a pipe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Word(Arc<Mutex<Option<io::Error>>>);

impl Word {
    /// Why the pipe ended before the data did; told once.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn leave(&self, error: io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Starts to read `code` into a pipe; what comes out of it.
///
/// # Errors
/// No pipe or no thread is to be had.
pub(crate) fn bring(mut code: Box<dyn Read + Send>) -> io::Result<Feed> {
    let (read, write) = pipe()?;
    let word = Word::default();
    let behind = word.clone();
    thread("bring", move || {
        let mut to = io::PipeWriter::from(write);
        if let Err(error) = carry(&mut code, &mut to) {
            // Before the pipe ends: whoever sees the end finds the word.
            behind.leave(error);
        }
    })?;
    Ok(Feed::Brought(Port::own(read)?, word))
}

fn carry(from: &mut dyn Read, to: &mut io::PipeWriter) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => match to.write_all(&buffer[..bytes]) {
                // Nobody wants the rest, and the pump knows why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                done => done?,
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a thread reads that takes data away.
#[derive(Debug)]
pub(crate) struct Parcel {
    pipe: OwnedFd,
    stop: Stop,
    /// Told when the first byte is asked for.
    wanted: Option<SyncSender<()>>,
}

impl Parcel {
    /// Says whether any of it has been asked for.
    pub(crate) fn was_touched(&self) -> bool {
        self.wanted.is_none()
    }

    fn is_sealed(&self) -> bool {
        self.stop.order() == Order::Drain
    }
}

/// Ends well only after [`Errand::seal`].
impl Read for Parcel {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(wanted) = self.wanted.take() {
            // Nobody listens any more if the run was cancelled meanwhile.
            wanted.try_send(()).ok();
        }
        loop {
            // Asked before looking into the pipe: all bytes are in it when it is sealed.
            let sealed = self.is_sealed();
            if ready(self.pipe.as_fd(), PollFlags::IN) {
                match rustix::io::read(&self.pipe, &mut *into)? {
                    0 if self.is_sealed() => return Ok(0),
                    0 => return Err(io::Error::other("the run did not succeed")),
                    bytes => return Ok(bytes),
                }
            }
            match self.stop.order() {
                Order::Abort => return Err(io::Error::other("the run did not succeed")),
                _ if sealed => return Ok(0),
                _ => {}
            }
            let mut on = [
                PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            ];
            wait(&mut on, None)?;
        }
    }
}

/// A thread that takes data away.
#[derive(Debug)]
pub(crate) struct Errand<E> {
    stop: Stop,
    result: Receiver<Result<(), E>>,
}

/// How an errand began.
#[derive(Debug)]
pub(crate) enum Begun<E> {
    /// It asks for data.
    Wants(Errand<E>),
    /// It was over before that.
    Over(Result<(), E>),
}

/// Starts `code` with the far end of the port that is handed back. Waits until it asks for data or is over.
///
/// # Errors
/// No pipe or no thread is to be had; the thread panicked.
pub(crate) fn send<E: Send + 'static>(
    code: impl FnOnce(&mut Parcel) -> Result<(), E> + Send + 'static,
) -> io::Result<(Port, Begun<E>)> {
    let (read, write) = pipe()?;
    let stop = Stop::new()?;
    let (wanted, asks) = sync_channel(1);
    let (tell, result) = sync_channel(1);
    let mut parcel = Parcel { pipe: read, stop: stop.clone(), wanted: Some(wanted) };
    thread("send", move || {
        let done = code(&mut parcel);
        // Before the pipe ends: whoever sees that finds the reason.
        tell.try_send(done).ok();
        drop(parcel);
    })?;
    let port = Port::own(write)?;
    let errand = Errand { stop, result };
    if asks.recv().is_ok() {
        return Ok((port, Begun::Wants(errand)));
    }
    Ok((port, Begun::Over(errand.outcome()?)))
}

impl<E> Errand<E> {
    /// Says that all is in the pipe and the run has succeeded: now, and only now, the data has an end.
    pub(crate) fn seal(&self) {
        self.stop.raise(Order::Drain);
    }

    /// Says that the run has failed.
    pub(crate) fn abandon(&self) {
        self.stop.raise(Order::Abort);
    }

    /// Why it ended before it was sealed, if it did; told once.
    pub(crate) fn failure(&self) -> Option<E> {
        self.result.try_recv().ok()?.err()
    }

    /// Waits until it is over.
    ///
    /// # Errors
    /// The thread panicked.
    pub(crate) fn outcome(self) -> io::Result<Result<(), E>> {
        self.result.recv().map_err(|_| io::Error::other("the thread that sends panicked"))
    }
}

/// It takes nothing along when it is let go before it was sealed.
impl<E> Drop for Errand<E> {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(512 << 10);
    thread.spawn(work).map(drop)
}
