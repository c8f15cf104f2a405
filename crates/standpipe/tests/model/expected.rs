//! The model: what a tank has to do, with queues and integers alone.

use std::collections::VecDeque;
use std::task::Poll;

use standpipe::error::CauseKind;
use standpipe::snapshot::Tally;
use standpipe::{Flow, Gauge, Overflow};

/// An item with a name and a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) id: u32,
    pub(crate) weight: usize,
}

/// What came of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ready,
    Wait,
    Sent,
    Full(Item),
    Heavier(Item),
    Closed(Item, CauseKind),
}

impl From<Flow> for Answer {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Ready => Self::Ready,
            Flow::Wait => Self::Wait,
        }
    }
}

/// What a task waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Drained,
    Send(Item),
    Reserve(usize),
    /// Not any more: room is reserved.
    Permit(usize),
    SendBatch,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Flowing,
    Ended,
    Failed(CauseKind),
    Told(CauseKind),
    Stopped(CauseKind),
}

/// Items in somebody's hands, and the credit for those that left.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    items: VecDeque<Item>,
    /// How many of the first ones are charged.
    charged: usize,
    earned: Tally,
    /// Since credit was last looked at, the level fell by what left here alone.
    exact: bool,
    of_the_tank: bool,
}

impl InHand {
    pub(crate) fn earned(&self) -> usize {
        usize::try_from(self.earned.weight).expect("small")
    }

    fn fill(&mut self, items: VecDeque<Item>) {
        (self.charged, self.items, self.exact) = (items.len(), items, true);
    }
}

/// When credit goes back is the tank's affair, within limits: so the model
/// asks the tank how much was, and holds that against the limits.
#[derive(Debug)]
pub(crate) struct Expected {
    tank: Gauge,
    high: usize,
    low: usize,
    overflow: Overflow,
    pub(crate) level: usize,
    pub(crate) shut: bool,
    queue: VecDeque<Item>,
    pub(crate) hand: InHand,
    batch: InHand,
    end: End,
    pub(crate) writers: usize,
    abandoned: bool,
    pub(crate) held: bool,
    /// More than one writer may be notified.
    pub(crate) herd: bool,
    pub(crate) written: Tally,
    pub(crate) read: Tally,
    /// Newest, oldest, replaced, unread.
    pub(crate) dropped: [Tally; 4],
    pub(crate) peak: usize,
    pub(crate) pauses: u64,
    pub(crate) refused: u64,
    pub(crate) oversize: u64,
    pub(crate) past_mark: u64,
}

const NEWEST: usize = 0;
const OLDEST: usize = 1;
const REPLACED: usize = 2;
const UNREAD: usize = 3;

impl Expected {
    pub(crate) fn new(tank: Gauge, high: usize, low: usize, overflow: Overflow) -> Self {
        Self {
            tank,
            high,
            low,
            overflow,
            level: 0,
            shut: false,
            queue: VecDeque::new(),
            hand: InHand { of_the_tank: true, ..InHand::default() },
            batch: InHand::default(),
            end: End::Flowing,
            writers: 1,
            abandoned: false,
            held: false,
            herd: false,
            written: Tally::default(),
            read: Tally::default(),
            dropped: [Tally::default(); 4],
            peak: 0,
            pauses: 0,
            refused: 0,
            oversize: 0,
            past_mark: 0,
        }
    }

    // ---- the gate -------------------------------------------------------

    fn charge(&mut self, weight: usize) {
        self.level += weight;
        self.peak = self.peak.max(self.level);
        if self.level >= self.high {
            self.pauses += u64::from(!self.shut);
            self.shut = true;
        }
    }

    fn release(&mut self, weight: usize) {
        self.level -= weight;
        self.shut &= self.level > self.low;
        if weight > 0 {
            (self.hand.exact, self.batch.exact) = (false, false);
        }
    }

    pub(crate) fn set_marks(&mut self, high: usize, low: usize) {
        (self.high, self.low) = (high, low);
        (self.hand.exact, self.batch.exact) = (false, false);
        if self.level >= high {
            self.pauses += u64::from(!self.shut);
            self.shut = true;
        } else if self.level <= low {
            self.shut = false;
        }
    }

    fn flow(&self) -> Answer {
        if self.level >= self.high { Answer::Wait } else { Answer::Ready }
    }

    // ---- writers --------------------------------------------------------

    fn cause(&self) -> Option<CauseKind> {
        match self.end {
            End::Flowing => None,
            End::Ended => Some(CauseKind::Stopped),
            End::Failed(kind) | End::Told(kind) | End::Stopped(kind) => Some(kind),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.end != End::Flowing
    }

    fn enqueue(&mut self, item: Item) {
        self.queue.push_back(item);
        self.written.add(item.weight);
        self.oversize += u64::from(item.weight > self.high);
    }

    fn admit(&mut self, item: Item) -> Answer {
        self.charge(item.weight);
        self.enqueue(item);
        self.flow()
    }

    fn drop_arriving(&mut self, item: Item) -> Answer {
        self.written.add(item.weight);
        self.dropped[NEWEST].add(item.weight);
        Answer::Wait
    }

    pub(crate) fn write(&mut self, item: Item) -> Answer {
        if let Some(cause) = self.cause() {
            return Answer::Closed(item, cause);
        }
        if !self.shut {
            assert!(self.level < self.high, "one item over the mark and no more");
            return self.admit(item);
        }
        match self.overflow {
            Overflow::DropNewest => self.drop_arriving(item),
            Overflow::DropOldest | Overflow::KeepLatest => {
                let all = self.overflow == Overflow::KeepLatest;
                while all || self.level >= self.high {
                    let Some(old) = self.queue.pop_front() else { break };
                    self.dropped[if all { REPLACED } else { OLDEST }].add(old.weight);
                    self.release(old.weight);
                }
                if self.level >= self.high { self.drop_arriving(item) } else { self.admit(item) }
            }
            Overflow::Fail => {
                self.end = End::Failed(CauseKind::Overflowed);
                Answer::Closed(item, CauseKind::Overflowed)
            }
            Overflow::Grow => {
                self.past_mark += u64::from(self.level >= self.high);
                self.admit(item)
            }
            Overflow::Wait | Overflow::Refuse => {
                self.refused += 1;
                Answer::Full(item)
            }
            other => unreachable!("say here what {other:?} does at a shut tank"),
        }
    }

    pub(crate) fn send(&mut self, item: Item) -> Poll<Answer> {
        if self.overflow == Overflow::Wait && self.drained().is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(match self.write(item) {
            Answer::Ready | Answer::Wait => Answer::Sent,
            other => other,
        })
    }

    /// Ready with a cause, or with none if the tank is open.
    pub(crate) fn drained(&self) -> Poll<Option<CauseKind>> {
        match self.cause() {
            None if self.shut => Poll::Pending,
            cause => Poll::Ready(cause),
        }
    }

    pub(crate) fn reserve(&mut self, weight: usize) -> Poll<Option<CauseKind>> {
        let drained = self.drained();
        if drained == Poll::Ready(None) {
            self.charge(weight);
        }
        drained
    }

    pub(crate) fn unreserve(&mut self, weight: usize) {
        self.release(weight);
    }

    pub(crate) fn redeem(&mut self, item: Item, reserved: usize) -> Answer {
        let answer = match self.cause() {
            Some(cause) => Answer::Closed(item, cause),
            None if item.weight > reserved => Answer::Heavier(item),
            None => {
                self.enqueue(item);
                self.release(reserved - item.weight);
                return if self.shut { Answer::Wait } else { Answer::Ready };
            }
        };
        self.release(reserved);
        answer
    }

    pub(crate) fn send_batch(&mut self) -> Poll<Option<CauseKind>> {
        if self.batch.items.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(cause) = self.cause() {
            return Poll::Ready(Some(cause));
        }
        while !self.shut {
            let Some(item) = Self::take(&mut self.batch) else { break };
            self.admit(item);
        }
        let waits = !self.batch.items.is_empty();
        self.settle_batch();
        if waits { Poll::Pending } else { Poll::Ready(None) }
    }

    pub(crate) fn leave(&mut self, ended: bool) {
        self.writers -= 1;
        self.abandoned |= !ended;
        if self.writers == 0 && self.end == End::Flowing {
            let abandoned = End::Failed(CauseKind::Abandoned);
            self.end = if self.abandoned { abandoned } else { End::Ended };
        }
    }

    pub(crate) fn fail(&mut self, kind: CauseKind) {
        if self.end == End::Flowing {
            self.end = End::Failed(kind);
        }
    }

    pub(crate) fn finished(&self) -> Poll<Option<CauseKind>> {
        match self.end {
            End::Ended if self.inside() == 0 => Poll::Ready(None),
            End::Flowing | End::Ended => Poll::Pending,
            End::Failed(kind) | End::Told(kind) | End::Stopped(kind) => Poll::Ready(Some(kind)),
        }
    }

    // ---- the reader -----------------------------------------------------

    fn take(hand: &mut InHand) -> Option<Item> {
        let item = hand.items.pop_front()?;
        if hand.charged > 0 {
            hand.charged -= 1;
            hand.earned.add(item.weight);
        }
        Some(item)
    }

    /// Takes back the credit of what left, if the tank did; it has to if
    /// nothing more will leave, or if that opens the gate.
    fn settle(&mut self, mut hand: InHand) -> InHand {
        let earned = hand.earned;
        if earned.items == 0 {
            return hand;
        }
        if self.tank.snapshot().read.items >= self.read.items + earned.items {
            self.read = self.read.plus(earned);
            self.release(hand.earned());
            hand.earned = Tally::default();
            hand.exact = true;
        } else {
            assert!(hand.charged > 0, "credit is kept back though nothing more will leave");
            let opens = self.shut && hand.earned() + self.low >= self.level;
            assert!(!opens || !hand.exact, "credit is kept back that opens the tank");
        }
        hand
    }

    fn settle_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.batch = self.settle(batch);
    }

    fn pop_hand(&mut self) -> Option<Item> {
        let item = Self::take(&mut self.hand)?;
        let hand = std::mem::take(&mut self.hand);
        self.hand = self.settle(hand);
        Some(item)
    }

    pub(crate) fn try_next(&mut self) -> Option<Item> {
        if self.held {
            return None;
        }
        if self.hand.items.is_empty() {
            if self.queue.is_empty() {
                self.herd |= !self.shut;
                return None;
            }
            self.hand.fill(std::mem::take(&mut self.queue));
        }
        self.pop_hand()
    }

    /// What a reader finds that has nothing in hand and nothing queued.
    fn nothing(&mut self) -> Poll<Option<CauseKind>> {
        match self.end {
            End::Flowing => {
                self.herd |= !self.shut;
                Poll::Pending
            }
            End::Failed(kind) => {
                self.end = End::Told(kind);
                Poll::Ready(Some(kind))
            }
            End::Ended | End::Told(_) | End::Stopped(_) => Poll::Ready(None),
        }
    }

    pub(crate) fn next(&mut self) -> Poll<Option<Result<Item, CauseKind>>> {
        if self.held {
            return Poll::Pending;
        }
        match self.next_is_item() {
            true => Poll::Ready(self.try_next().map(Ok)),
            false => self.nothing().map(|kind| kind.map(Err)),
        }
    }

    pub(crate) fn next_is_item(&self) -> bool {
        !self.hand.items.is_empty() || !self.queue.is_empty()
    }

    /// A batch may be filled if it is empty or came from this tank.
    pub(crate) fn batch_may_be_filled(&self) -> bool {
        self.batch.items.is_empty() || self.batch.of_the_tank
    }

    pub(crate) fn next_batch(&mut self) -> Poll<Result<bool, CauseKind>> {
        self.batch.of_the_tank = true;
        if !self.batch.items.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.held {
            return Poll::Pending;
        }
        if !self.hand.items.is_empty() {
            std::mem::swap(&mut self.hand, &mut self.batch);
            return Poll::Ready(Ok(true));
        }
        if !self.queue.is_empty() {
            self.batch.fill(std::mem::take(&mut self.queue));
            return Poll::Ready(Ok(true));
        }
        self.nothing().map(|kind| kind.map_or(Ok(false), Err))
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.batch.items.push_back(item);
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        let item = Self::take(&mut self.batch)?;
        self.settle_batch();
        Some(item)
    }

    pub(crate) fn drop_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let batch = self.settle(batch);
        for item in batch.items.iter().take(batch.charged) {
            self.dropped[UNREAD].add(item.weight);
            self.release(item.weight);
        }
    }

    pub(crate) fn unshift(&mut self, item: Item) {
        self.charge(item.weight);
        self.written.add(item.weight);
        self.hand.items.push_front(item);
        self.hand.charged += 1;
        self.hand.exact = true;
    }

    pub(crate) fn stop(&mut self, kind: CauseKind) {
        let hand = std::mem::take(&mut self.hand);
        let mut lost = self.settle(hand).items;
        lost.extend(self.queue.drain(..));
        if self.end == End::Flowing || (self.end == End::Ended && !lost.is_empty()) {
            self.end = End::Stopped(kind);
        }
        for item in lost {
            self.dropped[UNREAD].add(item.weight);
            self.release(item.weight);
        }
    }

    // ---- anyone ---------------------------------------------------------

    /// Items that were written and have neither left nor been dropped.
    pub(crate) fn inside(&self) -> u64 {
        (self.queue.len() + self.hand.charged + self.batch.charged) as u64
            + self.hand.earned.items
            + self.batch.earned.items
    }

    /// Whether a reader that waits should not.
    pub(crate) fn reader_may_go_on(&self) -> bool {
        !self.held && (self.next_is_item() || self.is_closed())
    }

    /// Follows whether more than one writer may be notified.
    pub(crate) fn everybody_may_come(&mut self, reader_parked: bool, woken: usize) {
        if self.is_closed() || reader_parked {
            self.herd = true;
        } else if woken <= 1 {
            self.herd = false;
        }
    }
}
