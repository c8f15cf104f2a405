//! How much may all tanks hold together?
//!
//! A pool of weight, of which each member, a tank, has a *grant*: so much it
//! may hold, and no more than its own high-water mark. A grant is a mark, not a
//! charge: within it the gate of the tank decides alone, so what flows costs
//! nothing here. Only where a gate shuts below the tank's own mark is more
//! asked for, and only where a level falls is some given back.
//!
//! ```text
//!   0 ................ 75 % ............ 95 % ..... limit
//!   whoever asks gets    no more than     who has more than his
//!   what he asks for     his fair share   share gives it back
//! ```
//!
//! What is asked for is twice the level, or what the tank filled the last time;
//! an empty tank has nothing, and one that fell below a quarter of its grant
//! gives half of it back. So weight that idles is never more than three times
//! that which does not. The fair share is max-min: nobody gets more by wanting
//! more than somebody has who wants it as well.
//!
//! Beside its grant each member owns one item, for an open gate takes an item
//! of any weight: nobody waits for ever, however small the pool. The bound is
//! therefore `limit + the heaviest item of each tank`.
//!
//! # Knows / never knows
//! Knows weights, and who asked first. Never knows tanks, tasks or time: who
//! waits is a `W`, handed back when there may be something for him. So the
//! simulator and loom run this very code.

use std::collections::VecDeque;
use std::mem;

use crate::gate::Marks;

mod grant;

pub(crate) use grant::{Called, Common, Grant};

/// See the module.
pub(crate) struct Pool<W> {
    limit: usize,
    granted: usize,
    peak: usize,
    members: Vec<Option<Member<W>>>,
    vacant: Vec<usize>,
    /// Slots of those that wait, oldest first.
    line: VecDeque<usize>,
    /// The fair share, unless somebody has changed his mind since.
    share: Option<usize>,
    /// Counts whatever may let somebody have more than before.
    changes: u64,
}

struct Member<W> {
    /// Its own high-water mark.
    high: usize,
    grant: usize,
    /// What it would have: its grant, unless it is short.
    want: usize,
    /// What it filled before it was last empty, halved each time it did not.
    filled_before: usize,
    /// Its level has reached its grant since it was empty.
    filled: bool,
    waits: Option<W>,
    /// It was called, and has not asked since: what is free is spoken for.
    called: bool,
}

impl<W> Member<W> {
    const fn is_short(&self) -> bool {
        self.grant < self.want
    }
}

impl<W> Pool<W> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            granted: 0,
            peak: 0,
            members: Vec::new(),
            vacant: Vec::new(),
            line: VecDeque::new(),
            share: None,
            changes: 0,
        }
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// What all members have together.
    pub(crate) const fn granted(&self) -> usize {
        self.granted
    }

    /// The most that they ever had.
    pub(crate) const fn peak(&self) -> usize {
        self.peak
    }

    /// Another number whenever somebody may have more than before.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    /// A new member, which has nothing yet. Returns its slot.
    pub(crate) fn join(&mut self, high: usize) -> usize {
        let member = Member {
            high,
            grant: 0,
            want: 0,
            filled_before: 0,
            filled: false,
            waits: None,
            called: false,
        };
        if let Some(slot) = self.vacant.pop()
            && let Some(place) = self.members.get_mut(slot)
        {
            *place = Some(member);
            return slot;
        }
        self.members.push(Some(member));
        self.members.len().saturating_sub(1)
    }

    /// A member goes. Those in `called` may have what it had.
    pub(crate) fn leave(&mut self, slot: usize, called: &mut Vec<W>) {
        let Some(member) = self.members.get_mut(slot).and_then(Option::take) else { return };
        self.granted = self.granted.saturating_sub(member.grant);
        self.vacant.push(slot);
        if let Some(waits) = member.waits {
            self.line.retain(|other| *other != slot);
            called.push(waits); // the last thing it hears
        }
        self.changed();
        self.call(called);
    }

    /// What a member may hold.
    pub(crate) fn grant(&self, slot: usize) -> usize {
        self.member(slot).map_or(0, |member| member.grant)
    }

    /// Whether it would have more.
    pub(crate) fn is_short(&self, slot: usize) -> bool {
        self.member(slot).is_some_and(Member::is_short)
    }

    /// A member whose level has reached its grant asks for more. If it stays
    /// short, `waiter` waits until there may be some. Returns a waiter that is
    /// not needed: this one, or the one before him. Those in `called` may have
    /// what this one was called for and did not take.
    pub(crate) fn ask(
        &mut self,
        slot: usize,
        level: usize,
        waiter: Option<W>,
        called: &mut Vec<W>,
    ) -> Option<W> {
        let (limit, granted) = (self.limit, self.granted);
        let Some(member) = self.members.get_mut(slot).and_then(Option::as_mut) else {
            return waiter;
        };
        member.filled = true;
        let was_called = mem::take(&mut member.called);
        let want = level.saturating_mul(2).max(member.filled_before).min(member.high);
        if want > member.want {
            member.want = want;
            self.share = None;
        }
        let missing = member.want.saturating_sub(member.grant);
        let (grant, free) = (member.grant, limit.saturating_sub(granted));
        if missing > 0 && free > 0 {
            let calm = calm_below(limit).saturating_sub(granted);
            let fair = if missing <= calm { 0 } else { self.share().saturating_sub(grant) };
            let more = missing.min(free).min(calm.max(fair));
            self.granted = granted.saturating_add(more);
            self.peak = self.peak.max(self.granted);
            if let Some(member) = self.member_mut(slot) {
                member.grant = grant.saturating_add(more);
            }
        }
        if self.is_short(slot) {
            self.share(); // those who have more than it are told
        }
        let unneeded = self.wait(slot, waiter, called);
        if was_called {
            self.call(called);
        }
        unneeded
    }

    /// Puts a waiter in line, if the member is short; else the one that is there
    /// has what he waits for.
    fn wait(&mut self, slot: usize, waiter: Option<W>, called: &mut Vec<W>) -> Option<W> {
        let Some(member) = self.members.get_mut(slot).and_then(Option::as_mut) else {
            return waiter;
        };
        if !member.is_short() {
            if let Some(waits) = member.waits.take() {
                self.line.retain(|other| *other != slot);
                called.push(waits);
            }
            return waiter;
        }
        let waiter = waiter?;
        let before = member.waits.replace(waiter);
        if before.is_none() {
            self.line.push_back(slot);
        }
        before
    }

    /// Nobody waits at this member any more. Whoever is called instead is in
    /// `called`. Returns the waiter.
    pub(crate) fn give_up(&mut self, slot: usize, called: &mut Vec<W>) -> Option<W> {
        let member = self.member_mut(slot)?;
        member.called = false;
        let waited = member.waits.take();
        if waited.is_some() {
            self.line.retain(|other| *other != slot);
        }
        self.call(called);
        waited
    }

    /// Whether a fall to this level lets a member keep what it has, seen from
    /// outside: `has` and `short` are what it was told last.
    pub(crate) const fn keeps(has: usize, short: bool, level: usize) -> bool {
        if level == 0 { has == 0 && !short } else { has >> 2 <= level }
    }

    /// The level of a member fell: it may have to give back. Those in `called`
    /// may have some.
    pub(crate) fn fell(&mut self, slot: usize, level: usize, called: &mut Vec<W>) {
        let share = if self.is_tight() { self.share() } else { usize::MAX };
        let Some(member) = self.members.get_mut(slot).and_then(Option::as_mut) else { return };
        let (had, wanted) = (member.grant, member.want);
        if level == 0 {
            member.filled_before = if member.filled { had } else { had >> 1 };
            member.filled = false;
            member.called = false;
            member.want = 0;
            member.grant = 0;
        } else if !Self::keeps(had, false, level) {
            member.filled = false;
            member.grant = level.saturating_mul(2);
            member.want = member.grant;
        } else {
            // what is in the tank is granted, whatever is fair
            member.grant = had.min(share.min(member.high).max(level));
            member.want = wanted.min(member.high.max(member.grant));
        }
        if !member.is_short()
            && let Some(waits) = member.waits.take()
        {
            self.line.retain(|other| *other != slot);
            called.push(waits);
        }
        let Some(member) = self.member(slot) else { return };
        if member.grant == had && member.want == wanted {
            return;
        }
        self.granted = self.granted.saturating_sub(had.saturating_sub(member.grant));
        self.changed();
        self.call(called);
    }

    /// A member has another mark of its own from now on.
    pub(crate) fn set_high(&mut self, slot: usize, high: usize, level: usize, called: &mut Vec<W>) {
        if let Some(member) = self.member_mut(slot) {
            member.high = high;
            self.fell(slot, level, called);
        }
    }

    /// Whether more than a fair share has to be given back.
    const fn is_tight(&self) -> bool {
        self.granted >= tight_from(self.limit)
    }

    /// What a member may keep, if that has changed.
    pub(crate) const fn most(&self) -> Option<usize> {
        if self.is_tight() { self.share } else { Some(usize::MAX) }
    }

    /// The fair share of those who want more than it: as much for each as is
    /// left by those who want less.
    pub(crate) fn share(&mut self) -> usize {
        if let Some(share) = self.share {
            return share;
        }
        let mut share = 0_usize;
        loop {
            let (mut left, mut others) = (self.limit, 0_usize);
            for member in self.members.iter().flatten() {
                if member.want <= share {
                    left = left.saturating_sub(member.want);
                } else {
                    others = others.saturating_add(1);
                }
            }
            // it only ever rises: whoever wants no more than it leaves no less
            let next = left.checked_div(others).unwrap_or(usize::MAX);
            if next <= share || others == 0 {
                let share = if others == 0 { usize::MAX } else { share };
                self.share = Some(share);
                return share;
            }
            share = next;
        }
    }

    const fn changed(&mut self) {
        self.share = None;
        self.changes = self.changes.wrapping_add(1);
    }

    /// Calls those who wait, oldest first, until what is free is spoken for.
    fn call(&mut self, called: &mut Vec<W>) {
        let mut free = self.limit.saturating_sub(self.granted);
        if free == 0 || self.line.is_empty() {
            return;
        }
        let share = self.share();
        let mut skipped = 0;
        while free > 0
            && let Some(slot) = self.line.get(skipped).copied()
        {
            let member = self.members.get_mut(slot).and_then(Option::as_mut);
            let needs = |member: &Member<W>| member.want.min(share).saturating_sub(member.grant);
            match member {
                Some(member) if needs(member) > 0 => {
                    free = free.saturating_sub(needs(member));
                    called.extend(member.waits.take());
                    member.called = true;
                    self.line.remove(skipped);
                }
                _ => skipped = skipped.saturating_add(1), // it has its share
            }
        }
    }

    fn member(&self, slot: usize) -> Option<&Member<W>> {
        self.members.get(slot)?.as_ref()
    }

    fn member_mut(&mut self, slot: usize) -> Option<&mut Member<W>> {
        self.members.get_mut(slot)?.as_mut()
    }
}

/// Up to here whoever asks gets what he asks for: what is left is there for
/// whoever comes next.
const fn calm_below(limit: usize) -> usize {
    limit.saturating_sub(limit / 4)
}

/// From here on it is given back.
const fn tight_from(limit: usize) -> usize {
    limit.saturating_sub(limit / 20)
}

/// The marks a tank goes by that has marks of its own and such a grant: both
/// smaller by as much, and one item is always its own.
pub(crate) fn within(own: Marks, grant: usize) -> Marks {
    if grant >= own.high() {
        return own;
    }
    let high = grant.max(1);
    let low = match own.low().checked_mul(high) {
        Some(low) => low.checked_div(own.high()).unwrap_or(0),
        // such marks are not measured to the unit
        None => own.low().checked_div(own.high().checked_div(high).unwrap_or(1)).unwrap_or(0),
    };
    // below `high`, since the own low is below the own high
    Marks::new(high, low.min(high.saturating_sub(1))).unwrap_or(own)
}

#[cfg(all(test, not(loom)))]
mod tests;
