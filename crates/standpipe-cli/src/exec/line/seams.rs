//! Which two sides does each tank get, and how large are the pipes there?
//!
//! Stages are given in order, and each closes the tank before it and opens the one behind it: by a pipe if it is a
//! command or a built-in, by the port of an end otherwise. Pipes get their share of the tank's mark, within what one
//! run may take of the user's pipe memory.
//!
//! # Knows / never knows
//! Knows ports and marks. Never knows what is started at the far ends, nor who pumps.

use std::io;
use std::os::fd::OwnedFd;

use super::Setup;
use crate::exec::child::{Streams, Words};
use crate::exec::copy::Feed;
use crate::exec::port::{PIPE_BUDGET, PIPE_MOST, PIPE_PLAIN, Port, pipe, pipe_share};
use crate::exec::through::Inner;

/// What stands behind a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Command,
    End,
}

/// The two sides of a tank that is not pumped yet.
pub(super) struct Joint {
    pub(super) from: Feed,
    pub(super) limit: Option<u64>,
    /// Several, if several ends read from the same stage.
    pub(super) to: Vec<Port>,
    /// A pipe of our own between the two, where neither is one.
    pub(super) inner: Option<Inner>,
}

/// The tanks of a line while it is joined, upstream first.
pub(super) struct Seams<'run> {
    setup: &'run Setup<'run>,
    /// The upper side of the tank whose lower side comes next.
    upper: Option<(Feed, Option<u64>)>,
    pub(super) joints: Vec<Joint>,
    /// Pipe memory taken so far.
    spent: usize,
    /// Some pipe stayed smaller than planned.
    pub(super) cramped: bool,
}

impl<'run> Seams<'run> {
    pub(super) fn new(setup: &'run Setup<'run>) -> Self {
        Self { setup, upper: None, joints: Vec::new(), spent: 0, cramped: false }
    }

    pub(super) fn source(&mut self, feed: Feed, limit: Option<u64>) {
        if let Some(port) = feed.port() {
            self.grow(port, 0, true);
        }
        self.upper = Some((feed, limit));
    }

    pub(super) fn sink(&mut self, stage: usize, port: Port) {
        if self.upper.is_none()
            && let Some(joint) = self.joints.last_mut()
        {
            // Its tank is in user memory, so the pipe needs no share of it.
            joint.to.push(port);
            return;
        }
        let above = self.upper.as_ref().and_then(|(from, _)| from.port());
        let two = above.is_some_and(|above| above.capacity() > 0);
        self.grow(&port, stage - 1, two);
        if let Some((from, limit)) = self.upper.take() {
            let inner = self.inner(&from, &port, stage - 1);
            self.joints.push(Joint { from, limit, to: vec![port], inner });
        }
    }

    /// Makes a pipe that holds the whole tank, if that helps and the budget has it.
    fn inner(&mut self, from: &Feed, to: &Port, tank: usize) -> Option<Inner> {
        let helps = matches!(from, Feed::Port(from) if Inner::helps(from, to));
        let holds = self.setup.kernel(tank) && self.setup.tanks[tank].high_bytes <= PIPE_MOST;
        let size = self.share(tank, false);
        if helps && holds && self.spend(size) { Inner::of(size) } else { None }
    }

    /// Makes the pipes on both sides of a command, where there are tanks.
    pub(super) fn command(
        &mut self,
        stage: usize,
        next: Next,
        stderr: Words,
    ) -> io::Result<Streams> {
        let (stdin, stdout) = self.pipes(stage, next)?;
        Ok(Streams { stdin, stdout, stderr })
    }

    /// Makes the pipes on both sides of a built-in.
    pub(super) fn between(&mut self, stage: usize, next: Next) -> io::Result<(OwnedFd, OwnedFd)> {
        let (input, output) = self.pipes(stage, next)?;
        // The plan gives each an end at least.
        input.zip(output).ok_or_else(|| io::Error::other("it has no tank on one side"))
    }

    fn pipes(
        &mut self,
        stage: usize,
        next: Next,
    ) -> io::Result<(Option<OwnedFd>, Option<OwnedFd>)> {
        let (mut input, mut output) = (None, None);
        if let Some((from, limit)) = self.upper.take() {
            let (read, write) = pipe()?;
            let to = Port::of_pipe(write)?;
            let two = from.port().is_some_and(|port| port.capacity() > 0);
            self.size(&to, stage - 1, two);
            input = Some(read);
            self.joints.push(Joint { from, limit, to: vec![to], inner: None });
        }
        if next != Next::Nothing {
            let (read, write) = pipe()?;
            let from = Port::of_pipe(read)?;
            self.size(&from, stage, next == Next::Command);
            output = Some(write);
            self.upper = Some((Feed::Port(from), None));
        }
        Ok((input, output))
    }

    /// Gives a pipe of ours its share of the tank, within the budget.
    fn size(&mut self, port: &Port, tank: usize, two: bool) {
        let want = self.share(tank, two);
        self.cramped |= !(self.spend(want) && port.resize(want));
    }

    /// Gives a pipe of others at least its share: it is theirs, so it is never made smaller.
    fn grow(&mut self, port: &Port, tank: usize, two: bool) {
        let has = port.capacity();
        if has > 0 && has < self.share(tank, two) as u64 {
            self.size(port, tank, two);
        }
    }

    fn share(&self, tank: usize, two: bool) -> usize {
        let mark = self.setup.tanks[tank].high_bytes;
        if self.setup.kernel(tank) {
            return pipe_share(mark, two);
        }
        // The rest of the mark is in user memory.
        pipe_share((mark / 4).min(PIPE_PLAIN as u64), false)
    }

    fn spend(&mut self, want: usize) -> bool {
        let fits = want <= PIPE_PLAIN || (self.spent + want) as u64 <= PIPE_BUDGET;
        self.spent += if fits { want } else { 0 };
        fits
    }
}
