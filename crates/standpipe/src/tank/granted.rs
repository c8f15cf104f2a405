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
use crate::tank::queue::{State, Wakes};

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
    #[inline]
    pub(super) fn opens_by_grant(&mut self) -> bool {
        self.grant().is_some() && self.opens_by_the_grant()
    }

    #[cold]
    fn opens_by_the_grant(&mut self) -> bool {
        let opens = self.is_granted_more();
        if opens {
            self.drained_by_grant();
        } else {
            self.stays_shut();
        }
        opens
    }

    fn drained_by_grant(&mut self) {
        self.meter.waits_for_budget(false);
        self.tell_flow(&EventKind::Drained);
    }

    /// The gate is shut and stays so, perhaps for want of the budget: then that
    /// is counted, and if writers have sat down, one waits for the budget.
    pub(super) fn stays_shut(&mut self) {
        let Some(aside) = &mut self.aside else { return };
        let Some(grant) = &mut aside.grant else { return };
        if grant.begins_to_wait(&self.gate) {
            self.meter.waits_for_budget(true);
            if !aside.seats.is_empty() {
                aside.looks_at_line();
            }
        } else if !grant.waits() {
            self.meter.waits_for_budget(false);
        }
    }

    /// Somebody has come, gone, or was let in: who waits for the budget now?
    /// That is seen to before the lock is free.
    pub(super) fn line_moves(&mut self) {
        if let Some(aside) = &mut self.aside
            && let Some(grant) = &aside.grant
            && (grant.is_in_line() || !aside.seats.is_empty())
        {
            aside.looks_at_line();
        }
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
        if !self.grant().is_some_and(|grant| grant.keeps_shut(&self.gate)) {
            return (false, [old, None]);
        }
        let (opens, waited) = self.wait_for_grant();
        (opens, [old, waited])
    }

    /// Has whoever sits longest and was not notified called when a budget has
    /// more for this tank.
    #[cold]
    fn wait_for_grant(&mut self) -> (bool, Option<Waker>) {
        let Some(aside) = &mut self.aside else { return (false, None) };
        aside.line_moved = false;
        let at = aside.relay.as_ref().map(|relay| relay.spot);
        let Some(waker) = aside.seats.first().cloned() else { return (false, None) };
        self.pass_on(Ended::Nothing);
        let waiter = Waiter { waker, at };
        let asked =
            self.with_grant(|grant, gate, called| grant.opens_or_waits(gate, waiter, called));
        let Some((opens, unneeded)) = asked else { return (false, None) };
        if opens {
            self.drained_by_grant();
        }
        (opens, unneeded.map(|waiter| waiter.waker))
    }

    /// Sees to it that somebody waits for the budget exactly if it keeps the
    /// gate shut and a writer waits. Returns a waker that is not needed.
    #[cold]
    pub(super) fn keep_in_line(&mut self, wakes: &mut Wakes) -> Option<Waker> {
        let aside = self.aside.as_ref()?;
        let grant = aside.grant.as_ref()?;
        if !aside.line_moved {
            return None;
        }
        let is_in_line = grant.is_in_line();
        if self.is_flowing() && grant.keeps_shut(&self.gate) && aside.seats.first().is_some() {
            let (opens, unneeded) = self.wait_for_grant();
            if opens {
                self.opened(wakes);
            }
            return unneeded;
        }
        self.aside_mut().line_moved = false;
        if !is_in_line {
            return None;
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
        let aside = self.aside.as_deref_mut()?;
        let before = aside.called.len();
        let result = what(aside.grant.as_deref_mut()?, &mut self.gate, &mut aside.called);
        if aside.called.len() > before {
            self.calls_since(before);
        }
        Some(result)
    }

    /// Behind so many, somebody was called: he is woken, and goes on from the
    /// path of who called him.
    #[cold]
    fn calls_since(&mut self, before: usize) {
        let Some(aside) = &mut self.aside else { return };
        aside.news = true;
        for called in before..aside.called.len() {
            let spot = self.aside.as_ref().and_then(|aside| aside.called.get(called)?.at);
            if let Some(spot) = spot {
                self.pass_on(Ended::Grant(spot));
            }
        }
    }

    /// The level of a tank with a budget fell, and its gate may have turned.
    pub(super) fn fell_by_grant(&mut self, turn: Turn) -> Turn {
        let was_shut = turn == Turn::Opened || self.gate.is_shut();
        self.with_grant(|grant, gate, called| grant.fell(gate, called));
        self.turned(was_shut)
    }

    pub(super) fn set_marks(&mut self, marks: Marks) -> Turn {
        let was_shut = self.gate.is_shut();
        match self.with_grant(|grant, gate, called| grant.set_own(gate, marks, called)) {
            Some(()) => self.turned(was_shut),
            None => self.gate.set_marks(marks),
        }
    }

    fn turned(&mut self, was_shut: bool) -> Turn {
        let turn = Turn::between(was_shut, self.gate.is_shut());
        if turn == Turn::Stayed && was_shut {
            self.stays_shut(); // maybe for another reason than before
        }
        turn
    }
}
