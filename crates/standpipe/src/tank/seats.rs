//! The writers that wait, and whose turn it is.
//!
//! A writer that waits takes a *seat*. The drain notifies the oldest seat
//! only; a write that leaves the gate open notifies the next one, with at most
//! one notified at a time: the baton. A woken writer that finds the gate shut
//! again keeps its seat, hence its turn; one that finds it open, or is dropped,
//! passes the baton, whether it writes then or not. So beside an open gate
//! somebody is always notified. Notifying all would cost wakes per item and
//! starve late comers. A notified writer may never be polled, so a reader that
//! parks, or is parked, beside an open gate with seats taken notifies
//! everybody: a waiter owns nothing.
//!
//! Whoever waits for an end, of a tank or of a group, sits like that as well:
//! there it is told to all.

use std::collections::VecDeque;
use std::task::Waker;

/// Waiting writers, oldest first.
#[derive(Default)]
pub(crate) struct Seats {
    /// Ordered by ticket.
    seats: VecDeque<Seat>,
    notified: usize,
    next_ticket: u64,
}

pub(crate) struct Seat {
    ticket: u64,
    /// Taken when it is woken: then the baton is here.
    waker: Option<Waker>,
}

impl Seat {
    /// Whether whoever sat here had been notified and not come yet.
    pub(super) const fn had_baton(&self) -> bool {
        self.waker.is_none()
    }
}

impl Seats {
    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// How many are left to notify.
    pub(super) fn not_notified(&self) -> usize {
        self.seats.len().saturating_sub(self.notified)
    }

    /// Sits down, or stays in the seat one has. Returns a waker that is no
    /// longer needed, to be dropped without a lock: its destructor is foreign
    /// code.
    #[must_use]
    pub(crate) fn sit(&mut self, ticket: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let Some(ticket) = *ticket else {
            let mine = self.next_ticket;
            self.next_ticket = mine.wrapping_add(1);
            self.seats.push_back(Seat { ticket: mine, waker: Some(waker.clone()) });
            *ticket = Some(mine);
            return None;
        };
        let index = self.find(ticket)?;
        let seat = &mut self.seats[index];
        if seat.had_baton() {
            self.notified = self.notified.saturating_sub(1);
        } else if seat.waker.as_ref().is_some_and(|mine| mine.will_wake(waker)) {
            return None;
        }
        seat.waker.replace(waker.clone())
    }

    /// How the oldest is woken that has not been.
    pub(super) fn first(&self) -> Option<&Waker> {
        self.seats.iter().find_map(|seat| seat.waker.as_ref())
    }

    /// Whether a seat was called.
    pub(super) fn is_notified(&self, ticket: u64) -> bool {
        self.find(ticket).is_some_and(|index| self.seats[index].had_baton())
    }

    /// Gives a seat up. Its waker is in what is returned, to be dropped without
    /// a lock.
    #[must_use]
    pub(crate) fn leave(&mut self, ticket: u64) -> Option<Seat> {
        // most often it is the oldest who comes
        let seat = match self.seats.front() {
            Some(seat) if seat.ticket == ticket => self.seats.pop_front()?,
            _ => self.seats.remove(self.find(ticket)?)?,
        };
        if seat.had_baton() {
            self.notified = self.notified.saturating_sub(1);
        }
        Some(seat)
    }

    /// Hands the baton to the oldest, unless someone has it already.
    #[must_use]
    pub(super) fn notify_next(&mut self) -> Option<Waker> {
        if self.notified > 0 {
            return None;
        }
        let waker = self.seats.front_mut()?.waker.take();
        self.notified = 1;
        waker
    }

    /// Notifies everyone who is not notified yet.
    pub(crate) fn notify_all(&mut self) -> impl Iterator<Item = Waker> {
        self.notified = self.seats.len();
        self.seats.iter_mut().filter_map(|seat| seat.waker.take())
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.seats.binary_search_by_key(&ticket, |seat| seat.ticket).ok()
    }
}
