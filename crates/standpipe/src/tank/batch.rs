//! Items that move under one lock.
//!
//! A batch is a queue of items that left a tank together, or that a writer
//! gathers to enter one together. What came out of a tank stays charged there
//! until it leaves the batch, so items in flight count (as in Node's
//! `writableLength`); the credit goes back in bulk: when the tank would open,
//! and when the batch is empty.

use std::collections::VecDeque;
use std::fmt;
use std::mem;

use crate::snapshot::Tally;
use crate::tank::exit::InHand;
use crate::tank::queue::Shared;
use crate::weigh::Scale;

/// Items that enter or leave a tank under one lock and one wake.
///
/// # Memory
/// Holds what one [`next_batch`](crate::tank::Readable::next_batch) took: at
/// most the tank's high-water mark and one item, all of it charged to the tank
/// until popped. What you `push` yourself is bounded by you.
///
/// # Examples
/// ```
/// use standpipe::tank::Batch;
///
/// let mut batch = Batch::new();
/// batch.push(1);
/// batch.push(2);
/// assert_eq!(batch.pop(), Some(1));
/// assert_eq!(batch.len(), 1);
/// ```
pub struct Batch<T> {
    items: VecDeque<T>,
    /// Its tank counts items: no weights are added up.
    counted: bool,
    /// The items in here that are charged to `home`; they are the first ones,
    /// what is pushed comes behind.
    charged: InHand,
    /// What left and is not returned yet.
    earned: InHand,
    /// Return the credit once it reaches this.
    return_at: usize,
    /// The tank the items are charged to.
    home: Option<Shared<T>>,
    /// Credit goes back when the driver says so: what a stage popped is still
    /// in its hands.
    held: bool,
}

impl<T> Batch<T> {
    /// An empty batch. Allocates when the first item comes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: VecDeque::new(),
            counted: false,
            charged: InHand { items: 0, weight: 0 },
            earned: InHand { items: 0, weight: 0 },
            return_at: 0,
            home: None,
            held: false,
        }
    }

    /// A batch whose credit goes back by [`settle`](Self::settle) only.
    pub(crate) const fn held() -> Self {
        let mut batch = Self::new();
        batch.held = true;
        batch
    }

    /// Adds an item at the back, charged to no tank.
    pub fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    /// Takes the first item. Returns credit to the tank it came from when
    /// enough has gathered for that tank to open, or when this was the last.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let item = self.take()?;
        if !self.held && self.is_due() {
            self.settle(None);
        }
        Some(item)
    }

    /// How many items are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The first item, left where it is.
    #[must_use]
    pub fn peek(&self) -> Option<&T> {
        self.items.front()
    }

    /// Goes over the items without taking them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Takes all items in order, returning the credit at the end.
    pub fn drain(&mut self) -> Drain<'_, T> {
        Drain { batch: self }
    }

    /// Takes the first item and keeps the credit back, until [`settle`].
    ///
    /// [`settle`]: Self::settle
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.charged.items == 0 {
            return self.items.pop_front();
        }
        if !self.counted {
            self.earn()?;
        }
        let item = self.items.pop_front()?;
        self.charged.items = self.charged.items.saturating_sub(1);
        self.earned.items = self.earned.items.saturating_add(1);
        Some(item)
    }

    /// Takes the first item, or what `split` leaves of it: what that splits off
    /// stays in front. Returns the credit at once.
    pub(crate) fn take_part(&mut self, split: impl FnOnce(&mut T) -> Option<T>) -> Option<T> {
        let mut item = self.items.pop_front()?;
        let rest = split(&mut item);
        if self.charged.items > 0 {
            let whole = rest.is_none();
            let last = whole && self.charged.items == 1;
            let weight = match &self.home {
                Some(home) if !self.counted && !last => {
                    home.scale.weigh(&item).min(self.charged.weight)
                }
                // the last one gives all that is left
                _ => self.charged.weight,
            };
            if !self.counted {
                self.charged.weight = self.charged.weight.saturating_sub(weight);
                self.earned.weight = self.earned.weight.saturating_add(weight);
            }
            // an item until its last part leaves
            if whole {
                self.charged.items = self.charged.items.saturating_sub(1);
                self.earned.items = self.earned.items.saturating_add(1);
            }
        }
        if let Some(rest) = rest {
            self.items.push_front(rest);
        }
        let left = self.take_left();
        if let Some(home) = &self.home {
            self.return_at = home.credit(left, None);
        }
        Some(item)
    }

    /// Hands up to `most` items to `into`, of the same tank and empty, and
    /// their charge with them.
    pub(crate) fn give(&mut self, most: usize, into: &mut Self) {
        into.return_at = self.return_at;
        for _ in 0..most {
            let Some(front) = self.items.front() else { break };
            let weight = match &self.home {
                Some(home) if !self.counted && self.charged.items > 1 => {
                    home.scale.weigh(front).min(self.charged.weight)
                }
                _ => self.charged.weight,
            };
            let Some(item) = self.items.pop_front() else { break };
            into.items.push_back(item);
            self.charged.items = self.charged.items.saturating_sub(1);
            into.charged.items = into.charged.items.saturating_add(1);
            if !self.counted {
                self.charged.weight = self.charged.weight.saturating_sub(weight);
                into.charged.weight = into.charged.weight.saturating_add(weight);
            }
        }
    }

    /// Moves the weight of the first item from what is charged to what is
    /// earned. Weighed where it lies: a scale that panics loses nothing.
    fn earn(&mut self) -> Option<()> {
        let weight = match (&self.home, self.charged.items) {
            // the last one gives all that is left, and none more than that: a
            // scale that changes its mind cannot unbalance the level
            (None, _) | (_, 1) => self.charged.weight,
            (Some(home), _) => home.scale.weigh(self.items.front()?).min(self.charged.weight),
        };
        self.charged.weight = self.charged.weight.saturating_sub(weight);
        self.earned.weight = self.earned.weight.saturating_add(weight);
        Some(())
    }

    /// Items with their weight, which is their count in a tank that counts.
    const fn weighed(&self, hand: InHand) -> InHand {
        if self.counted { InHand { items: hand.items, weight: hand.items } } else { hand }
    }

    /// Whether keeping the credit any longer could keep its tank shut: enough
    /// has left to open it, or nothing more will leave.
    #[inline]
    pub(crate) const fn is_due(&self) -> bool {
        let left = self.left();
        left.items > 0 && (left.weight >= self.return_at || self.charged.items == 0)
    }

    /// What is in it and charged.
    pub(crate) fn tally(&self) -> Tally {
        let charged = self.weighed(self.charged);
        let mut tally = Tally::default();
        tally.add_many(charged.items, charged.weight);
        tally
    }

    /// What left and was not returned.
    #[inline]
    pub(crate) const fn left(&self) -> InHand {
        self.weighed(self.earned)
    }

    /// What left and was not returned; it is the caller's to return now.
    pub(crate) fn take_left(&mut self) -> InHand {
        let left = self.left();
        self.earned = InHand::default();
        left
    }

    /// Returns the credit of everything that left.
    pub(crate) fn settle(&mut self, now_ns: Option<u64>) {
        let left = self.take_left();
        if let (Some(home), true) = (&self.home, left.items > 0) {
            self.return_at = home.credit(left, now_ns);
        }
    }

    /// Makes this the batch of `home`. It has to be empty or of that tank.
    pub(crate) fn belong(&mut self, home: &Shared<T>) {
        if !self.home.as_ref().is_some_and(|mine| Shared::ptr_eq(mine, home)) {
            assert!(
                self.items.is_empty(),
                "a batch that holds items of one tank, or of none, was given to another"
            );
            self.settle(None);
            self.counted = matches!(home.scale, Scale::One);
            self.home = Some(home.clone());
        }
    }

    /// Swaps the whole queue of its tank in; the batch is empty before.
    pub(crate) fn fill(&mut self, queue: &mut VecDeque<T>, charged: usize, return_at: usize) {
        mem::swap(&mut self.items, queue);
        self.charged = InHand { items: self.items.len(), weight: charged };
        self.return_at = return_at;
    }

    /// Exchanges the items and what is owed for them with another batch of the
    /// same tank.
    pub(crate) fn swap(&mut self, other: &mut Self) {
        mem::swap(self, other);
        // when credit goes back is the affair of whoever holds the batch
        mem::swap(&mut self.held, &mut other.held);
    }

    /// Puts a charged item in front.
    pub(crate) fn put_back(&mut self, item: T, weight: usize, return_at: usize) {
        self.items.push_front(item);
        self.charged.items = self.charged.items.saturating_add(1);
        self.charged.weight = self.charged.weight.saturating_add(weight);
        self.return_at = return_at;
    }

    /// Gives all items up, unread, with what they were charged.
    pub(crate) fn forfeit(&mut self) -> (InHand, VecDeque<T>) {
        self.settle(None);
        let charged = self.weighed(self.charged);
        self.charged = InHand::default();
        (charged, mem::take(&mut self.items))
    }

    /// The bare queue, if its items are charged to no tank.
    pub(crate) fn uncharged(&mut self) -> Option<&mut VecDeque<T>> {
        (self.charged.items == 0).then_some(&mut self.items)
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Batch<T> {
    fn drop(&mut self) {
        self.settle(None);
        if let (Some(home), true) = (&self.home, self.charged.items > 0) {
            home.unread(self.weighed(self.charged));
        }
    }
}

impl<T> Extend<T> for Batch<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.items.extend(items);
    }
}

impl<T> FromIterator<T> for Batch<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut batch = Self::new();
        batch.extend(items);
        batch
    }
}

impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.items.len())
            .field("charged", &self.charged.weight)
            .finish()
    }
}

/// The iterator of [`Batch::drain`]. What it does not take stays in the batch.
pub struct Drain<'a, T> {
    batch: &'a mut Batch<T>,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.batch.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.batch.len(), Some(self.batch.len()))
    }
}

impl<T> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.batch.len()).finish()
    }
}
