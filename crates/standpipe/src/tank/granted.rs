//! How does a tank shut, open and wait that shares a budget?
//!
//! As any other, by its gate; the grant sets the marks of it. Asked for more is
//! where a gate shuts, and by whoever finds it shut; given back is where a level
//! falls. A writer that waits for the drain waits for the budget as well, if
//! that keeps the gate shut: whichever comes first.
//!
//! # Knows / never knows
//! Knows the tank's gate, its seats and its grant, under its lock. Never knows
//! other tanks: who waits there is woken as a waker, once the lock is free.

use std::task::Waker;

use crate::budget::Grant;
use crate::gate::{Gate, Marks, Turn};
use crate::tank::aside::Ended;
use crate::tank::budget::Waiter;
use crate::tank::events::EventKind;
use crate::tank::queue::State;

impl<T> State<T> {
    /// The tank's own marks. It goes by lower ones where a budget grants no
    /// more.
    pub(super) fn marks(&self) -> Marks {
        self.grant().map_or_else(|| self.gate.marks(), Grant::own)
    }

    #[inline]
    pub(super) fn grant(&self) -> Option<&Grant<Waiter>> {
        self.aside.as_ref()?.grant.as_deref()
    }

    /// Whether the shut gate is open after all, since a budget has more for it.
    pub(super) fn is_granted_more(&mut self) -> bool {
        self.with_grant(|grant, gate, called| grant.opens(gate, called)).unwrap_or(false)
    }

    /// So much is about to be written: it is asked for at once, and not by the
    /// first item of it.
    #[cold]
    pub(super) fn expects(&mut self, weight: usize) {
        self.with_grant(|grant, gate, called| grant.expects(gate, weight, called));
    }

    /// The same for a gate that somebody has seen shut.
    #[cold]
    pub(super) fn opens_by_grant(&mut self) -> bool {
        let opens = self.is_granted_more();
        if opens {
            self.drained_by_grant();
        }
        opens
    }

    fn drained_by_grant(&mut self) {
        self.meter.waits_for_budget(false);
        self.tell_flow(&EventKind::Drained);
    }

    /// A writer sits down at the shut gate. If a budget keeps it shut, whoever
    /// sits longest is called when there is more; if that is so by now the gate
    /// is open (true). Returns wakers that are not needed, to be dropped without
    /// the lock.
    pub(super) fn sit(
        &mut self,
        ticket: &mut Option<u64>,
        waker: &Waker,
    ) -> (bool, [Option<Waker>; 2]) {
        let old = self.aside_mut().seats.sit(ticket, waker);
        if !self.grant().is_some_and(Grant::is_short) {
            return (false, [old, None]);
        }
        let (opens, waited) = self.wait_for_grant(waker);
        (opens, [old, waited])
    }

    /// Has whoever sits longest called when a budget has more for this tank,
    /// or `waker` if he was notified already.
    #[cold]
    fn wait_for_grant(&mut self, waker: &Waker) -> (bool, Option<Waker>) {
        self.pass_on(Ended::Nothing);
        let Some(aside) = &self.aside else { return (false, None) };
        let at = aside.relay.as_ref().map(|relay| relay.spot);
        let waiter = Waiter { waker: aside.seats.first().unwrap_or(waker).clone(), at };
        let asked =
            self.with_grant(|grant, gate, called| grant.opens_or_waits(gate, waiter, called));
        let Some((opens, unneeded)) = asked else { return (false, None) };
        if opens {
            self.drained_by_grant();
        }
        (opens, unneeded.map(|waiter| waiter.waker))
    }

    /// A writer has left its seat. If a budget keeps the gate shut, another one
    /// waits for that in its place, or nobody. Returns a waker that is not
    /// needed.
    #[cold]
    pub(super) fn waits_no_more(&mut self) -> Option<Waker> {
        let first = self.aside.as_ref().and_then(|aside| aside.seats.first()).cloned();
        if let Some(waker) = first.filter(|_| self.grant().is_some_and(Grant::is_short)) {
            return self.wait_for_grant(&waker).1;
        }
        let gone = self.with_grant(|grant, _, called| grant.give_up(called))??;
        Some(gone.waker)
    }

    /// Does something with the grant, if there is one. Who is called by that is
    /// woken with the rest, once the lock is free.
    fn with_grant<R>(
        &mut self,
        what: impl FnOnce(&mut Grant<Waiter>, &mut Gate, &mut Vec<Waiter>) -> R,
    ) -> Option<R> {
        let aside = self.aside.as_mut()?;
        let before = aside.called.len();
        let result = what(aside.grant.as_mut()?, &mut self.gate, &mut aside.called);
        aside.news |= !aside.called.is_empty();
        for called in before..aside.called.len() {
            let spot = self.aside.as_ref().and_then(|aside| aside.called.get(called)?.at);
            if let Some(spot) = spot {
                self.pass_on(Ended::Grant(spot));
            }
        }
        Some(result)
    }

    /// The level of a tank with a budget fell, and its gate may have turned.
    pub(super) fn fell_by_grant(&mut self, turn: Turn) -> Turn {
        let was_shut = turn == Turn::Opened || self.gate.is_shut();
        self.with_grant(|grant, gate, called| grant.fell(gate, called));
        Turn::between(was_shut, self.gate.is_shut())
    }

    pub(super) fn set_marks(&mut self, marks: Marks) -> Turn {
        let was_shut = self.gate.is_shut();
        match self.with_grant(|grant, gate, called| grant.set_own(gate, marks, called)) {
            Some(()) => Turn::between(was_shut, self.gate.is_shut()),
            None => self.gate.set_marks(marks),
        }
    }
}
