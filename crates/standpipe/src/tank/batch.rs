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

/// Slots that an empty batch keeps whatever came through it lately.
const KEPT_SLOTS: usize = 64;

/// Items that enter or leave a tank under one lock and one wake.
///
/// # Memory
/// Holds what one [`next_batch`](crate::tank::Readable::next_batch) took: at
/// most the tank's high-water mark and one item, all of it charged to the tank
/// until popped. What you `push` yourself is bounded by you.
///
/// What was popped is returned to the tank when that would open it, by the marks
/// at the last return or when it was filled, and when the batch is empty. Each
/// batch counts for itself: of several that are begun and put aside, each may
/// keep back up to a [`span`](crate::gate::Gate::span), so empty one before the
/// next.
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
    /// The items in here that are charged to no tank: the last ones. All
    /// others are charged to `home`.
    pushed: usize,
    /// Items that `home` has not been credited for: those in here that are
    /// charged, and those that left. So an item that leaves changes nothing
    /// but the queue.
    owed: usize,
    /// Weight of the charged items in here, unless they are counted.
    charged_weight: usize,
    /// Weight of what left and is not returned yet, unless counted.
    earned_weight: usize,
    /// Return the credit once it reaches this.
    return_at: usize,
    /// The tank the items are charged to.
    home: Option<Shared<T>>,
    /// The most that came at once since it was last empty, and what came so
    /// before: a lasting flow keeps its room, a burst does not.
    most: usize,
    usual: usize,
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
            pushed: 0,
            owed: 0,
            charged_weight: 0,
            earned_weight: 0,
            return_at: 0,
            home: None,
            most: 0,
            usual: 0,
            held: false,
        }
    }

    /// An empty batch of this tank.
    pub(crate) fn of(home: &Shared<T>) -> Self {
        let mut batch = Self::new();
        batch.belong(home);
        batch
    }

    /// A batch whose credit goes back by [`settle`](Self::settle) only.
    pub(crate) const fn held() -> Self {
        let mut batch = Self::new();
        batch.held = true;
        batch
    }

    /// Adds an item at the back, charged to no tank.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.items.push_back(item);
        self.pushed = self.pushed.saturating_add(1);
    }

    /// Takes the first item. Returns credit to the tank it came from when
    /// enough has gathered for that tank to open, or when this was the last.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let item = self.take()?;
        if !self.held {
            self.settle_if_due();
        }
        Some(item)
    }

    /// The same, of a batch that is nobody's but a reader's.
    #[inline]
    pub(crate) fn pop_own(&mut self) -> Option<T> {
        let item = self.take()?;
        self.settle_if_due();
        Some(item)
    }

    #[inline]
    fn settle_if_due(&mut self) {
        if self.is_due() {
            self.settle(None);
        }
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
        if self.items.len() <= self.pushed {
            let item = self.items.pop_front()?;
            self.pushed = self.items.len();
            return Some(item);
        }
        if !self.counted {
            self.earn()?;
        }
        self.items.pop_front()
    }

    /// Takes so many items from the front together, and keeps the credit back.
    /// They are weighed where they lie: a scale that panics loses nothing.
    pub(crate) fn let_go(&mut self, count: usize) -> impl Iterator<Item = T> {
        let (count, charged) = (count.min(self.items.len()), self.charged_items());
        if !self.counted {
            let weight = match &self.home {
                Some(home) if count < charged => {
                    let weights = self.items.iter().take(count).map(|item| home.scale.weigh(item));
                    weights.fold(0, usize::saturating_add).min(self.charged_weight)
                }
                // the last one gives all that is left
                _ => self.charged_weight,
            };
            self.charged_weight = self.charged_weight.saturating_sub(weight);
            self.earned_weight = self.earned_weight.saturating_add(weight);
        }
        self.pushed = self.pushed.min(self.items.len().saturating_sub(count));
        self.items.drain(..count)
    }

    /// Takes items from the front and keeps the credit back, until
    /// [`settle`](Self::settle): all of them, or until it is due.
    pub(crate) fn taking(&mut self, until_due: bool) -> Taking<'_, T> {
        let is_bare = self.counted && self.pushed == 0;
        let most = if is_bare && until_due {
            self.return_at.saturating_sub(self.left().items).max(1)
        } else {
            usize::MAX
        };
        Taking { batch: self, is_bare, until_due, most }
    }

    /// Takes the first item, or what `split` leaves of it: what that splits off
    /// stays in front. Returns the credit at once.
    ///
    /// It is split and weighed where it lies: whichever of the two panics, all
    /// of it is still there and charged.
    pub(crate) fn take_part(&mut self, split: impl FnOnce(&mut T) -> Option<T>) -> Option<T> {
        let charged_items = self.charged_items();
        let rest = split(self.items.front_mut()?);
        let last = rest.is_none() && charged_items == 1;
        if let Some(rest) = rest {
            self.items.insert(1, rest);
        }
        if charged_items > 0 && !self.counted {
            let weight = match (&self.home, self.items.front()) {
                (Some(home), Some(item)) if !last => {
                    home.scale.weigh(item).min(self.charged_weight)
                }
                // the last one gives all that is left
                _ => self.charged_weight,
            };
            self.charged_weight = self.charged_weight.saturating_sub(weight);
            self.earned_weight = self.earned_weight.saturating_add(weight);
        }
        // what is left of it counts as an item until its last part leaves
        let item = self.items.pop_front()?;
        self.pushed = self.pushed.min(self.items.len());
        self.look_again();
        Some(item)
    }

    /// Returns what left, and learns anew when credit is due: another batch of
    /// the tank may have returned some since.
    pub(crate) fn look_again(&mut self) {
        let left = self.take_left();
        if let Some(home) = &self.home {
            self.return_at = home.credit(left, None);
        }
    }

    /// Hands up to `most` charged items to `into`, of the same tank and empty,
    /// and their charge with them.
    pub(crate) fn give(&mut self, most: usize, into: &mut Self) {
        into.return_at = self.return_at;
        for _ in 0..most.min(self.charged_items()) {
            let Some(front) = self.items.front() else { break };
            let weight = match &self.home {
                Some(home) if !self.counted && self.charged_items() > 1 => {
                    home.scale.weigh(front).min(self.charged_weight)
                }
                _ => self.charged_weight,
            };
            let Some(item) = self.items.pop_front() else { break };
            into.items.push_back(item);
            self.owed = self.owed.saturating_sub(1);
            into.owed = into.owed.saturating_add(1);
            self.charged_weight = self.charged_weight.saturating_sub(weight);
            into.charged_weight = into.charged_weight.saturating_add(weight);
        }
    }

    /// Moves the weight of the first item from what is charged to what is
    /// earned. Weighed where it lies: a scale that panics loses nothing.
    fn earn(&mut self) -> Option<()> {
        let weight = match (&self.home, self.charged_items()) {
            // the last one gives all that is left, and none more than that: a
            // scale that changes its mind cannot unbalance the level
            (None, _) | (_, 1) => self.charged_weight,
            (Some(home), _) => home.scale.weigh(self.items.front()?).min(self.charged_weight),
        };
        self.charged_weight = self.charged_weight.saturating_sub(weight);
        self.earned_weight = self.earned_weight.saturating_add(weight);
        Some(())
    }

    #[inline]
    fn charged_items(&self) -> usize {
        self.items.len().saturating_sub(self.pushed)
    }

    /// What is in it and charged.
    fn charged(&self) -> InHand {
        let items = self.charged_items();
        InHand { items, weight: if self.counted { items } else { self.charged_weight } }
    }

    /// Whether keeping the credit any longer could keep its tank shut: enough
    /// has left to open it, or nothing more will leave.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        let left = self.left();
        left.items > 0 && (left.weight >= self.return_at || self.charged_items() == 0)
    }

    /// The same as a tally.
    pub(crate) fn tally(&self) -> Tally {
        let charged = self.charged();
        let mut tally = Tally::default();
        tally.add_many(charged.items, charged.weight);
        tally
    }

    /// What left and was not returned.
    #[inline]
    pub(crate) fn left(&self) -> InHand {
        let items = self.owed.saturating_sub(self.charged_items());
        InHand { items, weight: if self.counted { items } else { self.earned_weight } }
    }

    /// What left and was not returned; it is the caller's to return now.
    pub(crate) fn take_left(&mut self) -> InHand {
        let left = self.left();
        self.owed = self.charged_items();
        self.earned_weight = 0;
        left
    }

    /// Returns the credit of everything that left.
    pub(crate) fn settle(&mut self, now_ns: Option<u64>) {
        let left = self.take_left();
        if let (Some(home), true) = (&self.home, left.items > 0) {
            self.return_at = home.credit(left, now_ns);
        }
        if self.items.is_empty() && self.items.capacity() > KEPT_SLOTS {
            self.slim();
        }
    }

    /// Gives back room that was taken for more than what usually comes at once.
    /// After a single burst that is all of it; in a flow that comes and goes,
    /// none, since what was usual fades by half each time.
    #[inline(never)]
    fn slim(&mut self) {
        if self.items.capacity() >> 2 > self.usual.max(KEPT_SLOTS >> 2) {
            self.items = VecDeque::new();
        }
        self.usual = mem::take(&mut self.most).max(self.usual >> 1);
    }

    /// Makes this the batch of `home`. It has to be empty or of that tank.
    pub(crate) fn belong(&mut self, home: &Shared<T>) {
        if !self.home.as_ref().is_some_and(|mine| Shared::ptr_eq(mine, home)) {
            assert!(
                self.items.is_empty(),
                "a batch that holds items of one tank, or of none, was given to another"
            );
            self.settle(None);
            self.charge_to(home);
        }
    }

    /// What came out of this tank is in it: charged to it from now on.
    pub(crate) fn charge_to(&mut self, home: &Shared<T>) {
        self.counted = matches!(home.scale, Scale::One);
        self.home = Some(home.clone());
    }

    /// Swaps the whole queue of its tank in; the batch is empty before.
    pub(crate) fn fill(&mut self, queue: &mut VecDeque<T>, charged: usize, return_at: usize) {
        mem::swap(&mut self.items, queue);
        self.owed = self.owed.saturating_add(self.items.len());
        self.most = self.most.max(self.items.len());
        self.charged_weight = charged;
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
        self.owed = self.owed.saturating_add(1);
        self.charged_weight = self.charged_weight.saturating_add(weight);
        self.return_at = return_at;
    }

    /// Gives all items up, unread, with what they were charged.
    pub(crate) fn forfeit(&mut self) -> (InHand, VecDeque<T>) {
        self.settle(None);
        let charged = self.charged();
        self.owed = 0;
        self.pushed = 0;
        self.charged_weight = 0;
        (charged, mem::take(&mut self.items))
    }

    /// Pushes at most so many items of an iterator; how many it gave. Only for
    /// a batch of which nothing is charged.
    #[inline]
    pub(crate) fn push_many(&mut self, most: usize, items: &mut impl Iterator<Item = T>) -> usize {
        let before = self.items.len();
        // all of them are uncharged, also if the iterator panics
        self.pushed = usize::MAX;
        self.items.extend(items.take(most));
        self.pushed = self.items.len();
        self.pushed.saturating_sub(before)
    }

    /// Lets `take` have items out of the bare queue, if none is charged.
    pub(crate) fn bare(&mut self, take: impl FnOnce(&mut VecDeque<T>)) -> bool {
        if self.charged_items() > 0 {
            return false;
        }
        take(&mut self.items);
        self.pushed = self.items.len();
        true
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
        if let (Some(home), true) = (&self.home, self.charged_items() > 0) {
            home.unread(self.charged());
        }
    }
}

impl<T> Extend<T> for Batch<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        let items = items.into_iter();
        self.items.reserve(items.size_hint().0);
        for item in items {
            self.push(item); // one by one: an iterator may panic
        }
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
            .field("charged", &self.charged().weight)
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

    /// The same as a loop over `next`, which has to look after each item
    /// whether credit is due; where that is somebody else's affair this does
    /// not.
    #[inline]
    fn fold<B, F: FnMut(B, T) -> B>(self, start: B, mut with: F) -> B {
        let batch = self.batch;
        let mut sum = start;
        if batch.held && batch.counted && batch.pushed == 0 {
            while let Some(item) = batch.items.pop_front() {
                sum = with(sum, item);
            }
        }
        while let Some(item) = batch.pop() {
            sum = with(sum, item);
        }
        sum
    }
}

/// The iterator of [`Batch::taking`]. What it does not take stays.
pub(crate) struct Taking<'a, T> {
    batch: &'a mut Batch<T>,
    /// All items count one and are charged: taking one is only taking one.
    is_bare: bool,
    until_due: bool,
    /// If it is bare.
    most: usize,
}

impl<T> Iterator for Taking<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.is_bare {
            self.most = self.most.checked_sub(1)?;
            return self.batch.items.pop_front();
        }
        if self.until_due && self.batch.is_due() {
            return None;
        }
        self.batch.take()
    }
}

impl<T> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.batch.len()).finish()
    }
}
