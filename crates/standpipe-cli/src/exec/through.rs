//! How do bytes get into a socket without being touched, where no pipe leads to it?
//!
//! The kernel splices from or to a pipe. Where a tank has none on either side, one of our own is the tank: filled
//! from the input, emptied into the socket, by one thread that never waits for one side while the other can go on.
//!
//! ```text
//! socket or file --> [pipe of our own] --> socket
//!                    \____ the tank ____/
//! ```
//!
//! # Knows / never knows
//! Knows an input, the pipe and a socket. Never knows why they were put together: `line` does.

use std::io;

use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::exec::copy;
use crate::exec::now;
use crate::exec::port::{Kind, Port, pipe, pipe_share};
use crate::exec::relay::{AT_ONCE, Flow, Outcome, Way};
use crate::exec::vigil::{For, is_dry};

/// A pipe that is a whole tank.
#[derive(Debug)]
pub(crate) struct Inner {
    read: Port,
    write: Port,
    /// The most that is let in. By itself it would take a page of any size in each of its places.
    most: u64,
}

/// What a try to fill the pipe came to.
enum Filled {
    /// So many bytes.
    Bytes(u64),
    /// It can take no more, or there is no more right now.
    Nothing,
    /// A rate limit was waited for.
    Held,
}

impl Inner {
    /// Makes one of this size; none if the kernel refuses.
    pub(crate) fn of(size: usize) -> Option<Self> {
        let (read, write) = pipe().ok()?;
        let (read, write) = (Port::own(read).ok()?, Port::own(write).ok()?);
        let most = write.resize(size).then(|| write.capacity())?;
        Some(Self { read, write, most })
    }

    /// Says whether it helps between these two. A file takes what was read, but not every file takes a splice.
    pub(crate) fn helps(from: &Port, to: &Port) -> bool {
        matches!(from.kind(), Kind::Socket | Kind::File) && to.kind() == Kind::Socket
    }

    /// Bytes it can hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.most
    }
}

impl Flow {
    /// Moves bytes through the pipe until the tank is done or the kernel refuses; then the pipe is empty, unless
    /// nobody takes what is in it.
    pub(crate) fn through(&mut self, from: &Port, inner: &Inner) -> Way {
        let (mut inside, mut most) = (0_u64, inner.most);
        // Why nothing more goes in.
        let mut last = None;
        loop {
            if let Some(high) = self.vigil.gauge().asked_high() {
                if !inner.write.reshape(pipe_share(high, false)) {
                    self.vigil.gauge().ask_again(high); // when what it holds is less
                }
                most = inner.write.capacity();
                self.vigil.gauge().set_pipes(most);
                self.vigil.gauge().set_high(most);
            }
            match self.empty(inner, &mut inside) {
                Ok(()) => {}
                Err(Way::Refused) => {
                    return match copy::remains(self, &inner.read, inside) {
                        Ok(()) => last.unwrap_or(Way::Refused),
                        Err(outcome) => Way::Done(outcome),
                    };
                }
                Err(way) => return way,
            }
            // What is inside now is there because the socket takes no more.
            self.vigil.set_inside(inside);
            if last.is_none() {
                match self.fill(from, inner, most.saturating_sub(inside)) {
                    Ok(Filled::Bytes(bytes)) => {
                        inside += bytes;
                        continue;
                    }
                    Ok(Filled::Held) => continue,
                    Ok(Filled::Nothing) => {}
                    Err(way @ Way::Done(Outcome::Ended | Outcome::Unreadable(_)))
                    | Err(way @ Way::Refused) => last = Some(way),
                    Err(way) => return way,
                }
            }
            let what = match (inside, last.take()) {
                (0, Some(way)) => return way,
                (0, None) => For::Input,
                (_, way @ Some(_)) => {
                    last = way;
                    For::Rest
                }
                (_, None) if inside < most && is_dry(from) => For::Either,
                (_, None) => For::Room,
            };
            if let Err(outcome) = self.wait(what, Some(from)) {
                return Way::Done(outcome);
            }
        }
    }

    /// Empties the pipe into the socket, as far as that goes without waiting.
    fn empty(&self, inner: &Inner, inside: &mut u64) -> Result<(), Way> {
        while *inside > 0 {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match splice(&inner.read, None, &self.to, None, AT_ONCE, flags) {
                Ok(0) => {
                    let error = io::ErrorKind::WriteZero.into();
                    return Err(Way::Done(Outcome::Unwritable(error)));
                }
                Ok(bytes) => {
                    *inside = inside.saturating_sub(bytes as u64);
                    self.vigil.gauge().add_out(bytes as u64);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) if is_refusal(error) => return Err(Way::Refused),
                Err(error) => return Err(Way::Done(Outcome::of_write(error.into(), &self.to))),
            }
        }
        Ok(())
    }

    /// Fills the pipe with what is there, up to so many bytes. `Err` says why nothing more will go in.
    fn fill(&mut self, from: &Port, inner: &Inner, room: u64) -> Result<Filled, Way> {
        let room = usize::try_from(room).map_or(AT_ONCE, |room| room.min(AT_ONCE));
        if room == 0 {
            return Ok(Filled::Nothing);
        }
        let Some(want) = self.portion(room).map_err(Way::Done)? else {
            return Ok(Filled::Held);
        };
        let began = (from.kind() == Kind::File).then(now);
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        loop {
            match splice(from, None, &inner.write, None, want, flags) {
                Ok(0) => return Err(Way::Done(Outcome::Ended)),
                Ok(bytes) => {
                    if let Some(began) = began {
                        self.vigil.called(For::Input, began, from, &self.to);
                    }
                    self.vigil.gauge().add_in(bytes as u64);
                    self.ration.spend(bytes);
                    return Ok(Filled::Bytes(bytes as u64));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Filled::Nothing),
                Err(error) if is_refusal(error) => return Err(Way::Refused),
                Err(error) => return Err(Way::Done(Outcome::Unreadable(error.into()))),
            }
        }
    }
}

/// Says whether an error means that the kernel does not splice these two, not that one of them fails.
fn is_refusal(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::exec::bucket::Ration;
    use crate::exec::gauge::Gauge;
    use crate::exec::stop::{Order, Stop};
    use crate::exec::valve::Valve;
    use crate::exec::vigil::Vigil;

    /// A valve that is shut holds back what has not been read. What lies in the tank went nowhere either.
    #[test]
    fn what_was_let_in_gets_out_while_a_valve_is_shut() {
        let pair = || UnixStream::pair().expect("there are sockets");
        let ((mut source, from), (to, mut sink)) = (pair(), pair());
        let port = |stream: UnixStream| Port::own(stream.into()).expect("it is a socket");
        let (from, to) = (port(from), port(to));
        let (gauge, valve) = (Arc::new(Gauge::default()), Arc::new(Valve::new(None)));
        let stop = Stop::new().expect("there are descriptors");
        let vigil = Vigil::new(Arc::clone(&gauge), stop.clone(), now());
        let ration = Ration { valve: Some(Arc::clone(&valve)), ..Ration::default() };
        let pump = std::thread::spawn(move || {
            let inner = Inner::of(1 << 20).expect("there is memory for a pipe");
            Flow { to, vigil, ration }.through(&from, &inner)
        });
        // more than both sockets hold: when all is taken, some of it lies in the tank; it takes less than a MiB if the
        // kernel has put little into each of its pages
        source.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket can");
        source.write_all(&[7; 900_000]).ok();
        valve.turn();
        sink.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket can");
        let mut got = 0;
        while got < gauge.counted().bytes_in {
            let read = sink.read(&mut [0; 50_000]).expect("it comes though nothing more is let in");
            got += read as u64;
        }
        assert!(got > 0);
        stop.raise(Order::Abort);
        let end = pump.join().expect("it does not panic");
        assert!(matches!(end, Way::Done(Outcome::Aborted)));
    }
}
