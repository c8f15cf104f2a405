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
//! What is asked for is twice the level, or what the tank filled the last time:
//! half as much each time that it does not, and twice as much each time that it
//! runs empty while it is refused more. An empty tank has nothing, and one
//! that fell below a quarter of its grant gives back all but twice its level.
//! The fair share is max-min: nobody gets more by wanting more than somebody
//! has who wants it as well. What comes back goes to the poorest of those who
//! wait.
//!
//! Beside its grant each member owns one item, for an open gate takes an item
//! of any weight: nobody waits for ever, however small the pool. The bound is
//! therefore `limit + the heaviest item of each tank`.
//!
//! # Knows / never knows
//! Knows weights, and who asked first. Never knows tanks, tasks or time: who
//! waits is a `W`, handed back when there may be something for him. So the
//! simulator and loom run this very code.

use std::collections::BTreeSet;
use std::mem;

use crate::gate::Marks;

mod grant;
mod wants;

pub(crate) use grant::{Called, Common, Grant, call_all};
use wants::Wants;

/// See the module.
pub(crate) struct Pool<W> {
    limit: usize,
    /// Up to here whoever asks gets what he asks for: what is left is there for
    /// whoever comes next.
    calm_below: usize,
    /// From here on more than a fair share is given back.
    tight_from: usize,
    granted: usize,
    peak: usize,
    /// What those who were called, and have not asked since, were called for.
    spoken_for: usize,
    members: Vec<Option<Member<W>>>,
    vacant: Vec<usize>,
    /// Those that wait: the poorest first, of equals who asked first.
    line: BTreeSet<Place>,
    turns: u64,
    wants: Wants,
    /// Slots of those that want something else than `wants` counts: nobody
    /// needs the share while there is enough.
    uncounted: Vec<usize>,
    /// The fair share, unless somebody has changed his mind since.
    share: Option<usize>,
    /// Counts whatever may let somebody have more than before.
    changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    grant: usize,
    turn: u64,
    slot: usize,
}

struct Member<W> {
    /// Its own high-water mark.
    high: usize,
    grant: usize,
    /// What it would have: its grant, unless it is short.
    want: usize,
    /// What it wanted when that was last counted.
    counted: usize,
    /// Where it is among the uncounted, if it is there.
    uncounted_at: Option<usize>,
    waits: Option<W>,
    /// When it began to wait, if it does. Kept if it is called in vain.
    turn: Option<u64>,
    /// It was called for so much, and has not asked since.
    called_for: usize,
}

/// What a member is told that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) grant: usize,
    /// Whether it would have more.
    pub(crate) short: bool,
    /// What had changed when it was told.
    pub(crate) changes: u64,
}

impl<W> Member<W> {
    const fn is_short(&self) -> bool {
        self.grant < self.want
    }

    /// Where it stands in line, if it waits.
    fn place(&self, slot: usize) -> Option<Place> {
        self.waits.as_ref()?;
        Some(Place { grant: self.grant, turn: self.turn?, slot })
    }
}

impl<W> Pool<W> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            calm_below: limit.saturating_sub(limit / 4),
            tight_from: limit.saturating_sub(limit / 20),
            granted: 0,
            peak: 0,
            spoken_for: 0,
            members: Vec::new(),
            vacant: Vec::new(),
            line: BTreeSet::new(),
            turns: 0,
            wants: Wants::new(),
            uncounted: Vec::new(),
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
            counted: 0,
            uncounted_at: None,
            waits: None,
            turn: None,
            called_for: 0,
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
        self.set_want(slot, 0);
        self.set_grant(slot, 0);
        called.extend(self.leave_line(slot)); // the last thing it hears
        self.heard(slot);
        if let Some(member) = self.members.get_mut(slot).and_then(Option::take) {
            self.wants.change(member.counted, 0);
            self.share = None;
            if let Some(at) = member.uncounted_at {
                self.uncounted.swap_remove(at);
                if let Some(moved) = self.uncounted.get(at).copied()
                    && let Some(moved) = self.member_mut(moved)
                {
                    moved.uncounted_at = Some(at);
                }
            }
            self.vacant.push(slot);
        }
        self.changed();
        self.call(called);
    }

    /// What a member may hold, and whether it would have more.
    pub(crate) fn told(&self, slot: usize) -> (usize, bool) {
        self.member(slot).map_or((0, false), |member| (member.grant, member.is_short()))
    }

    fn is_short(&self, slot: usize) -> bool {
        self.told(slot).1
    }

    /// A member would have so much, or its mark. If it stays short, `waiter`
    /// waits until there may be some. Returns as well a waiter that is not
    /// needed: this one, or the one before him. Those in `called` may have what
    /// this one was called for and did not take.
    pub(crate) fn ask(
        &mut self,
        slot: usize,
        want: usize,
        waiter: Option<W>,
        called: &mut Vec<W>,
    ) -> (Answer, Option<W>) {
        let was_called = self.heard(slot);
        let Some(member) = self.member_mut(slot) else { return (self.answer(slot), waiter) };
        let had = member.grant;
        let want = want.min(member.high).max(member.want);
        self.set_want(slot, want);
        let more = self.may_have(slot, 0);
        self.set_grant(slot, had.saturating_add(more));
        let unneeded = if self.is_short(slot) {
            self.share(); // those who have more than it are told
            self.wait(slot, waiter)
        } else {
            called.extend(self.leave_line(slot)); // he has what he waits for
            waiter
        };
        if was_called {
            self.call(called);
        }
        (self.answer(slot), unneeded)
    }

    fn answer(&self, slot: usize) -> Answer {
        let (grant, short) = self.told(slot);
        Answer { grant, short, changes: self.changes }
    }

    /// Nobody is in line, and nobody comes who was called.
    fn nobody_waits(&self) -> bool {
        self.spoken_for == 0 && self.line.is_empty()
    }

    /// The plain case of [`ask`](Self::ask): there is enough for whoever comes,
    /// and nobody waits. Returns what it has now.
    #[inline]
    pub(crate) fn takes_all(&mut self, slot: usize, want: usize) -> Option<Answer> {
        if !self.nobody_waits() {
            return None;
        }
        let calm = self.calm_below.saturating_sub(self.granted);
        let member = self.members.get_mut(slot)?.as_mut()?;
        let want = want.min(member.high).max(member.want);
        let more = want.saturating_sub(member.grant);
        if more > calm {
            return None;
        }
        let grant = member.grant.saturating_add(more);
        (member.want, member.grant, member.turn) = (want, grant, None);
        self.granted = self.granted.saturating_add(more);
        self.peak = self.peak.max(self.granted);
        self.uncount(slot);
        Some(Answer { grant, short: false, changes: self.changes })
    }

    /// The plain case of [`fell`](Self::fell): a tank runs empty, and nobody
    /// waits.
    #[inline]
    fn empties(&mut self, slot: usize) {
        let Some(member) = self.members.get_mut(slot).and_then(Option::as_mut) else { return };
        (member.want, member.turn) = (0, None);
        self.granted = self.granted.saturating_sub(mem::take(&mut member.grant));
        self.uncount(slot);
        self.changed();
    }

    /// What is given to a member that asks, or would be if what is spoken for
    /// were `taken` as well. That is not kept from anybody who has less than his
    /// share: who was called may never come.
    fn may_have(&mut self, slot: usize, taken: usize) -> usize {
        let Some(member) = self.member(slot) else { return 0 };
        let (grant, missing) = (member.grant, member.want.saturating_sub(member.grant));
        let free = self.limit.saturating_sub(self.granted).saturating_sub(taken);
        if missing == 0 || free == 0 {
            return 0;
        }
        let spoken_for = self.granted.saturating_add(self.spoken_for);
        let calm = self.calm_below.saturating_sub(spoken_for);
        let fair = if missing <= calm { 0 } else { self.fair().saturating_sub(grant) };
        missing.min(free).min(calm.max(fair))
    }

    /// Puts a waiter of a short member in line. Returns the one before him.
    fn wait(&mut self, slot: usize, waiter: Option<W>) -> Option<W> {
        let waiter = waiter?;
        let next = self.turns;
        let member = self.member_mut(slot)?;
        let before = member.waits.replace(waiter);
        let turn = *member.turn.get_or_insert(next);
        if before.is_none() {
            let grant = member.grant;
            self.line.insert(Place { grant, turn, slot });
            self.turns = next.wrapping_add(1);
        }
        before
    }

    /// Nobody of this member waits any more, or comes for what he was called
    /// for, so it wants no more than it has. Whoever is called instead is in
    /// `called`. Returns the waiter.
    pub(crate) fn give_up(&mut self, slot: usize, called: &mut Vec<W>) -> Option<W> {
        let grant = self.member(slot)?.grant;
        let was_called = self.heard(slot);
        let waited = self.leave_line(slot);
        let was_short = self.is_short(slot);
        self.set_want(slot, grant);
        if was_short {
            self.changed();
        }
        if was_short || was_called {
            self.call(called);
        }
        waited
    }

    /// Whether a fall to this level lets a member keep what it has, seen from
    /// outside: `has` and `short` are what it was told last.
    pub(crate) const fn keeps(has: usize, short: bool, level: usize) -> bool {
        if level == 0 { has == 0 && !short } else { has >> 2 <= level }
    }

    /// The level of a member fell: it may have to give back. Those in `called`
    /// may have some.
    #[inline]
    pub(crate) fn fell(&mut self, slot: usize, level: usize, called: &mut Vec<W>) {
        if level == 0 && self.nobody_waits() {
            self.empties(slot);
        } else {
            self.gives_back(slot, level, called);
        }
    }

    #[inline(never)]
    fn gives_back(&mut self, slot: usize, level: usize, called: &mut Vec<W>) {
        let share = if self.is_tight() { self.fair() } else { usize::MAX };
        let Some(member) = self.member_mut(slot) else { return };
        let (had, wanted, high) = (member.grant, member.want, member.high);
        let (grant, want) = if level == 0 {
            (0, 0)
        } else if !Self::keeps(had, false, level) {
            let half = level.saturating_mul(2);
            (half, half)
        } else {
            // what is in the tank is granted, whatever is fair
            let grant = had.min(share.min(high).max(level));
            (grant, wanted.min(high.max(grant)))
        };
        self.set_want(slot, want);
        self.set_grant(slot, grant);
        let mut turns = (grant, want) != (had, wanted);
        if grant >= want {
            called.extend(self.leave_line(slot));
            turns |= self.heard(slot);
        }
        if turns {
            self.changed();
            self.call(called);
        }
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
        self.granted >= self.tight_from
    }

    /// What a member may keep, if that has changed.
    pub(crate) fn most(&self) -> Option<usize> {
        if self.is_tight() { self.share.map(|share| share.max(1)) } else { Some(usize::MAX) }
    }

    /// The fair share of those who want more than it.
    pub(crate) fn share(&mut self) -> usize {
        if let Some(share) = self.share {
            return share;
        }
        let mut uncounted = mem::take(&mut self.uncounted);
        for slot in uncounted.drain(..) {
            let Some(member) = self.members.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            member.uncounted_at = None;
            let before = mem::replace(&mut member.counted, member.want);
            if before != member.want {
                self.wants.change(before, member.want);
            }
        }
        self.uncounted = uncounted; // empty, and with its room
        *self.share.insert(self.wants.share(self.limit))
    }

    /// What this member wants is to be counted before the share is needed.
    #[inline]
    fn uncount(&mut self, slot: usize) {
        self.share = None;
        let next = self.uncounted.len();
        if let Some(member) = self.member_mut(slot)
            && member.uncounted_at.is_none()
        {
            member.uncounted_at = Some(next);
            self.uncounted.push(slot);
        }
    }

    /// The same, where there is less than one for each: one, for who comes
    /// first.
    fn fair(&mut self) -> usize {
        self.share().max(1)
    }

    const fn changed(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    /// Calls those who wait until what is free is spoken for.
    #[inline]
    fn call(&mut self, called: &mut Vec<W>) {
        if !self.line.is_empty() {
            self.call_first(called);
        }
    }

    #[cold]
    fn call_first(&mut self, called: &mut Vec<W>) {
        while let Some(Place { slot, .. }) = self.line.first().copied() {
            let more = self.may_have(slot, self.spoken_for);
            if more == 0 {
                return; // and nobody has less than he
            }
            self.line.pop_first();
            self.spoken_for = self.spoken_for.saturating_add(more);
            if let Some(member) = self.member_mut(slot) {
                called.extend(member.waits.take());
                member.called_for = more;
            }
        }
    }

    /// A member that was called needs it no more: whether it was.
    #[inline]
    fn heard(&mut self, slot: usize) -> bool {
        if self.spoken_for == 0 {
            return false; // nobody was
        }
        let Some(member) = self.member_mut(slot) else { return false };
        let called_for = mem::take(&mut member.called_for);
        self.spoken_for = self.spoken_for.saturating_sub(called_for);
        called_for > 0
    }

    /// Nobody waits at this member from now on.
    #[inline]
    fn leave_line(&mut self, slot: usize) -> Option<W> {
        self.member(slot)?.turn?; // or it never was there
        self.leave_place(slot)
    }

    #[cold]
    fn leave_place(&mut self, slot: usize) -> Option<W> {
        let place = self.member(slot)?.place(slot);
        if let Some(place) = place {
            self.line.remove(&place);
        }
        let member = self.member_mut(slot)?;
        member.turn = None;
        member.waits.take()
    }

    #[inline]
    fn set_want(&mut self, slot: usize, want: usize) {
        let Some(member) = self.member_mut(slot) else { return };
        if mem::replace(&mut member.want, want) != want {
            self.uncount(slot);
        }
    }

    #[inline]
    fn set_grant(&mut self, slot: usize, grant: usize) {
        let Some(member) = self.members.get_mut(slot).and_then(Option::as_mut) else { return };
        if member.grant == grant {
            return;
        }
        let place = member.place(slot);
        let before = mem::replace(&mut member.grant, grant);
        self.granted = self.granted.saturating_sub(before).saturating_add(grant);
        self.peak = self.peak.max(self.granted);
        if let Some(place) = place {
            self.line.remove(&place);
            self.line.insert(Place { grant, ..place });
        }
    }

    #[inline]
    fn member(&self, slot: usize) -> Option<&Member<W>> {
        self.members.get(slot)?.as_ref()
    }

    #[inline]
    fn member_mut(&mut self, slot: usize) -> Option<&mut Member<W>> {
        self.members.get_mut(slot)?.as_mut()
    }
}

/// The marks a tank goes by that has marks of its own and such a grant: both
/// smaller by as much, and one item is always its own.
#[inline]
pub(crate) fn within(own: Marks, grant: usize) -> Marks {
    if grant >= own.high() {
        return own;
    }
    if grant <= 1 {
        return Marks::ONE;
    }
    let high = grant;
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
