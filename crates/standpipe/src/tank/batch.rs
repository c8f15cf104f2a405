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
    /// Its tank counts items: what left is then what it was filled with less
    /// what is here, and nothing is added up per item.
    counted: bool,
    /// Counted: items that were here when credit was last returned. Else the
    /// weight of the items in here that is charged to `home`.
    charged: usize,
    /// Not counted: what left and is not returned yet.
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
            charged: 0,
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
        let item = self.items.pop_front()?;
        if !self.counted {
            self.earn(&item);
        }
        Some(item)
    }

    /// Takes the first item, or what `split` leaves of it: what that splits off
    /// stays in front. Returns the credit at once.
    pub(crate) fn take_part(&mut self, split: impl FnOnce(&mut T) -> Option<T>) -> Option<T> {
        let mut item = self.items.pop_front()?;
        let rest = split(&mut item);
        match (&self.home, rest) {
            (Some(home), Some(rest)) => {
                if !self.counted {
                    let weight = home.scale.weigh(&item).min(self.charged);
                    self.charged = self.charged.saturating_sub(weight);
                    self.earned.weight = self.earned.weight.saturating_add(weight);
                }
                self.items.push_front(rest); // an item until its last part leaves
            }
            (None, Some(rest)) => self.items.push_front(rest),
            (_, None) if !self.counted => self.earn(&item),
            (_, None) => {}
        }
        let left = self.take_left();
        if let Some(home) = &self.home {
            self.return_at = home.credit(left, None);
        }
        Some(item)
    }

    /// Adds up what an item that leaves gives back.
    fn earn(&mut self, item: &T) {
        let Some(home) = &self.home else { return };
        // the last one gives all that is left: see `Core::leaving`
        let weight = if self.items.is_empty() {
            self.charged
        } else {
            home.scale.weigh(item).min(self.charged)
        };
        self.charged = self.charged.saturating_sub(weight);
        self.earned.weight = self.earned.weight.saturating_add(weight);
        self.earned.items = self.earned.items.saturating_add(1);
    }

    /// Whether keeping the credit any longer would keep its tank shut.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        let left = self.left();
        left.items > 0 && (left.weight >= self.return_at || self.items.is_empty())
    }

    /// What is in it, as it was charged.
    pub(crate) fn tally(&self) -> Tally {
        let items = self.items.len();
        let mut tally = Tally::default();
        tally.add_many(items, if self.counted { items } else { self.charged });
        tally
    }

    /// What left and was not returned.
    #[inline]
    pub(crate) fn left(&self) -> InHand {
        if self.counted {
            let items = self.charged.saturating_sub(self.items.len());
            return InHand { items, weight: items };
        }
        self.earned
    }

    /// What left and was not returned; it is the caller's to return now.
    pub(crate) fn take_left(&mut self) -> InHand {
        let left = self.left();
        if self.counted {
            self.charged = self.items.len();
        }
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
        self.charged = self.charged.saturating_add(charged);
        self.return_at = return_at;
    }

    /// Hands up to `most` items to `into`, of the same tank and empty, and
    /// their charge with them.
    pub(crate) fn give(&mut self, most: usize, into: &mut Self) {
        into.return_at = self.return_at;
        for _ in 0..most {
            let Some(item) = self.items.pop_front() else { break };
            let weight = match &self.home {
                _ if self.counted => 1,
                // the last one takes all that is left: see `Core::leaving`
                Some(home) if !self.items.is_empty() => home.scale.weigh(&item).min(self.charged),
                _ => self.charged,
            };
            self.charged = self.charged.saturating_sub(weight);
            into.charged = into.charged.saturating_add(weight);
            into.items.push_back(item);
        }
    }

    /// Puts a charged item in front.
    pub(crate) fn put_back(&mut self, item: T, weight: usize) {
        self.items.push_front(item);
        self.charged = self.charged.saturating_add(weight);
        if self.return_at > 0 {
            self.return_at = self.return_at.saturating_add(weight);
        }
    }

    /// The bare queue, if its items are charged to no tank.
    pub(crate) fn uncharged(&mut self) -> Option<&mut VecDeque<T>> {
        self.home.is_none().then_some(&mut self.items)
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
        if let (Some(home), false) = (&self.home, self.items.is_empty()) {
            // after settling, what is charged is what is here
            home.unread(InHand { items: self.items.len(), weight: self.charged });
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
            .field("charged", &self.charged)
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
