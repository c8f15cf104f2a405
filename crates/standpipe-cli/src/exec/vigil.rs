//! Who is being waited for, and what does the other side look like meanwhile?
//!
//! While a pump waits for its input and the output is empty, the stage after the tank is starved. While it waits
//! for room and the input is full, the stage before is paused. What the other side looks like is sampled on a
//! clock of its own: a tick that falls into a wait decides what all waiting since the last tick counts for.
//! Long waits are seen more often than short ones in just the right proportion, and the price does not depend on
//! how many waits there are. An open wait is counted as it lasts, for a tick ends the poll.
//!
//! A tick that finds the sides as only this pump can change them (nothing to read, and nothing left in the output; no
//! room, and the input full) is the last for a while: the wait is noted as open, the gauge lets it grow with the clock,
//! and the thread sleeps. So hundreds of tanks in which nothing flows cost nothing.
//!
//! Beside that goes a bound: what the other side looks like at the end of a wait says whether it can have waited at
//! all, since meanwhile nobody but the stage there has touched its pipe. The sum is never less than it waited.
//!
//! # Knows / never knows
//! Knows one input, one output, their gauge. Never knows how bytes are moved: `exec/relay` and `exec/copy` do.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::exec::gauge::{Gauge, Waits};
use crate::exec::port::{Kind, Port};
use crate::exec::stop::{Order, Stop, ready, wait};
use crate::exec::{nanos, now};
use crate::watch::Spent;

/// Ticks come this often at first, so that a short run is judged too,
const EARLY_TICK: Duration = Duration::from_millis(2);
/// and then this often,
const TICK: Duration = Duration::from_millis(10);
/// unless nothing has moved for many of them.
const IDLE_TICK: Duration = Duration::from_millis(100);
/// An open wait is looked at this often: a pipe of others may be written or read by somebody else.
const REST: Duration = Duration::from_secs(5);

/// What we spend ourselves is looked up this often.
const ACCOUNT: Duration = Duration::from_millis(250);
/// Whether the input is full costs several calls: after a shorter wait it is taken to be.
const WORTH_ASKING: Duration = Duration::from_micros(200);

/// What a pump waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// Bytes in the input.
    Input,
    /// Room in the output.
    Room,
    /// Either, whichever comes first: the tank can take more, and has some to give.
    Either,
    /// Room in the output for what the tank still has: the input has ended.
    Rest,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What was waited for may be there.
    Ready,
    /// An order came.
    Told(Order),
    /// Nobody reads the output any more.
    ReaderGone,
}

/// The watch a pump keeps over the two sides of its tank.
#[derive(Debug)]
pub(crate) struct Vigil {
    gauge: Arc<Gauge>,
    stop: Stop,
    start: Instant,
    next_tick: Instant,
    quiet_ticks: u32,
    /// Whose wait the last tick has found to last.
    lasts: Option<Waits>,
    next_account: Instant,
    accounted_ns: u64,
    inside: u64,
    waited_input: Duration,
    waited_room: Duration,
}

impl Vigil {
    /// Begins at the start of the run.
    pub(crate) fn new(gauge: Arc<Gauge>, stop: Stop, start: Instant) -> Self {
        Self {
            gauge,
            stop,
            start,
            next_tick: start + EARLY_TICK,
            quiet_ticks: 0,
            lasts: None,
            next_account: start + ACCOUNT,
            accounted_ns: 0,
            inside: 0,
            waited_input: Duration::ZERO,
            waited_room: Duration::ZERO,
        }
    }

    /// The counters of the tank.
    pub(crate) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Bytes that are in neither side, but in between.
    pub(crate) fn set_inside(&mut self, bytes: u64) {
        self.inside = bytes;
    }

    fn level(&self, from: Option<&Port>, to: &Port) -> u64 {
        from.map_or(0, Port::level) + self.inside + to.level()
    }

    /// The order as it stands; a plain load.
    pub(crate) fn order(&self) -> Order {
        self.stop.order()
    }

    /// Nanoseconds since the start of the run.
    pub(crate) fn since_start(&self) -> u64 {
        nanos(now().saturating_duration_since(self.start))
    }

    /// Waits until `what` may be there, an order comes, or the reader leaves.
    ///
    /// # Errors
    /// Those of `poll`.
    pub(crate) fn wait(&mut self, what: For, from: Option<&Port>, to: &Port) -> io::Result<Wake> {
        let order = self.stop.heed();
        if order == Order::Abort || (order == Order::Drain && what == For::Input) {
            return Ok(Wake::Told(order));
        }
        if order == Order::Drain && what == For::Either {
            return Ok(Wake::Ready); // what is in the tank has to get out, and nothing more in
        }
        let stop = self.stop.clone();
        let mut since = now();
        // what the last wait was found to be says nothing of this one
        self.lasts = None;
        self.aim(since);
        self.gauge.set_level(self.level(from, to));
        loop {
            // One side only, or a pipe that is ready for the other thing would end every poll at once. Asking for
            // no event still tells of an output that nobody reads any more.
            let (side, events) = match (what, from) {
                (For::Input, Some(from)) => (from, PollFlags::IN),
                _ => (to, PollFlags::OUT),
            };
            let mut on = [
                PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(side.as_fd(), events),
                match (what, from) {
                    (For::Either, Some(from)) => {
                        PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)
                    }
                    _ => PollFd::from_borrowed_fd(to.as_fd(), PollFlags::empty()),
                },
            ];
            let at = self.watch(what, (from, to), &mut on, since)?;
            since = at;
            let [told, side, other] = on.map(|polled| polled.revents());
            if at >= self.next_tick {
                self.tick(what, from, to, at);
            }
            if told.intersects(PollFlags::IN) {
                match self.stop.heed() {
                    Order::Go => {}
                    Order::Drain if matches!(what, For::Room | For::Rest) => {}
                    Order::Drain if what == For::Either => return Ok(Wake::Ready),
                    order => return Ok(Wake::Told(order)),
                }
            }
            if what == For::Either {
                if !side.is_empty() || !other.is_empty() {
                    self.quiet_ticks = 0;
                    return Ok(Wake::Ready);
                }
                continue;
            }
            if to.is_gone(other) {
                return Ok(Wake::ReaderGone);
            }
            if !side.is_empty() {
                self.quiet_ticks = 0;
                return Ok(Wake::Ready);
            }
        }
    }

    /// Waits until something comes or it is time to look around, counts that, and says when it was over.
    fn watch(
        &mut self,
        what: For,
        (from, to): (Option<&Port>, &Port),
        on: &mut [PollFd<'_>],
        since: Instant,
    ) -> io::Result<Instant> {
        let ns = |at: Instant| nanos(at.saturating_duration_since(self.start));
        if let Some(who) = self.lasts.take() {
            self.gauge.open(who, ns(since));
            let polled = wait(on, Some(REST));
            let at = now();
            self.gauge.close(ns(at));
            return polled.map(|_| at);
        }
        wait(on, Some(self.next_tick.saturating_duration_since(since)))?;
        let at = now();
        let waited = at.saturating_duration_since(since);
        match what {
            For::Input => self.waited_input += waited,
            For::Room => self.waited_room += waited,
            For::Either | For::Rest => {} // no stage waits for this tank
        }
        self.bound(what, waited, from, to);
        Ok(at)
    }

    /// Notes a wait in which the other side may have waited, too.
    fn bound(&self, what: For, waited: Duration, from: Option<&Port>, to: &Port) {
        match what {
            For::Input if to.level() == 0 => self.gauge.bound_empty(nanos(waited)),
            For::Room if waited < WORTH_ASKING || from.is_none_or(Port::is_full) => {
                self.gauge.bound_full(nanos(waited));
            }
            _ => {}
        }
    }

    /// Waits out a rate limit, or until what is in between can leave.
    pub(crate) fn hold(&self, time: Duration, to: &Port) -> io::Result<Wake> {
        let begin = now();
        let leave = if self.inside > 0 { PollFlags::OUT } else { PollFlags::empty() };
        let mut on = [
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(to.as_fd(), leave),
        ];
        wait(&mut on, Some(time))?;
        let [told, output] = on.map(|polled| polled.revents());
        let held = nanos(now().saturating_duration_since(begin));
        self.gauge.add_held(held);
        if self.level(None, to) == 0 {
            self.gauge.add_empty(held);
        }
        if told.intersects(PollFlags::IN) {
            return Ok(Wake::Told(self.stop.heed()));
        }
        if to.is_gone(output) {
            return Ok(Wake::ReaderGone);
        }
        Ok(Wake::Ready)
    }

    /// Counts a call that blocked in the file `what` names. The stage on the other side of the tank waited for it
    /// if its pipe was empty before the call, or is full after it.
    pub(crate) fn called(&mut self, what: For, began: Instant, from: &Port, to: &Port) {
        let at = now();
        let took = at.saturating_duration_since(began);
        match what {
            For::Input => {
                self.waited_input += took;
                self.gauge.bound_empty(nanos(took));
            }
            For::Room => {
                self.waited_room += took;
                self.gauge.bound_full(nanos(took));
            }
            For::Either | For::Rest => {}
        }
        if at >= self.next_tick {
            self.tick(what, Some(from), to, at);
        }
    }

    /// Counts what no tick has decided, and notes that the data ended.
    pub(crate) fn end(&mut self) {
        self.gauge.count_empty(nanos(std::mem::take(&mut self.waited_input)));
        self.gauge.count_full(nanos(std::mem::take(&mut self.waited_room)));
        self.account();
        self.gauge.set_level(0);
        self.gauge.set_shut(false);
        self.gauge.set_ended(self.since_start());
    }

    fn account(&mut self) {
        if let Some(spent) = Spent::of_thread(None) {
            let all_ns = spent.cpu_ns.saturating_add(spent.delayed_ns);
            self.gauge.add_pump(all_ns.saturating_sub(self.accounted_ns));
            self.accounted_ns = all_ns;
        }
    }

    /// A tick that passed unseen is void: it fell between two waits.
    fn aim(&mut self, at: Instant) {
        if self.next_tick <= at {
            self.next_tick = at + self.period(at);
        }
    }

    fn period(&self, at: Instant) -> Duration {
        if at.saturating_duration_since(self.start) < Duration::from_millis(500) {
            EARLY_TICK
        } else if self.quiet_ticks > 200 {
            IDLE_TICK
        } else {
            TICK
        }
    }

    fn tick(&mut self, what: For, from: Option<&Port>, to: &Port, at: Instant) {
        match what {
            For::Input => {
                let empty = to.level() == 0;
                self.lasts = empty.then_some(Waits::Reader);
                let waited = nanos(self.waited_input);
                self.gauge.count_empty(if empty { waited } else { 0 });
                self.waited_input = Duration::ZERO;
                self.gauge.set_shut(false);
            }
            For::Room => {
                let full = from.is_none_or(Port::is_full);
                self.lasts = full.then_some(Waits::Writer);
                let waited = nanos(self.waited_room);
                self.gauge.count_full(if full { waited } else { 0 });
                self.waited_room = Duration::ZERO;
                self.gauge.set_shut(full);
            }
            For::Either | For::Rest => {
                self.lasts = None;
                self.gauge.set_shut(false);
            }
        }
        self.gauge.set_level(self.level(from, to));
        let is_unknown = self.accounted_ns == 0 && self.lasts.is_some();
        if at >= self.next_account || is_unknown {
            self.next_account = at + ACCOUNT;
            self.account();
        }
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        self.next_tick = at + self.period(at);
    }
}

/// Says whether `from` has nothing to read right now.
pub(crate) fn is_dry(from: &Port) -> bool {
    match from.kind() {
        Kind::Pipe => from.level() == 0,
        Kind::File | Kind::Null => false,
        _ => !ready(from.as_fd(), PollFlags::IN),
    }
}
