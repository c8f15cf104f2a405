//! What becomes of an item at a shut tank?
//!
//! The strategies, and for each the action it asks the tank for. Waiting is
//! the default and the only one under which nothing is ever lost or refused.
//!
//! # Knows / never knows
//! Knows the strategy. Never knows the item or the rule that shut the tank.
//! So a new strategy that needs no new action is a variant here: its line in
//! `at_shut`, its place in `ALL`, by which the model test finds it.

/// What a tank does with an item that arrives while it is shut.
#[doc(alias("BufferOverflow", "OverflowStrategy"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Backpressure: `write` hands the item back, `send` waits for the drain.
    /// Nothing is lost; the writer is slowed to the reader's speed.
    #[default]
    Wait,
    /// Load shedding by the caller: `write` and `send` both hand the item back
    /// at once.
    Refuse,
    /// The arriving item is dropped and counted: the reader sees an
    /// uninterrupted old stretch, then a gap.
    DropNewest,
    /// Queued items are dropped from the front, oldest first, and counted, and
    /// the new one is taken: the reader sees recent items with gaps before.
    DropOldest,
    /// All queued items are dropped and counted and the new one is taken: the
    /// reader sees the latest state only.
    KeepLatest,
    /// The tank fails: the reader gets what is queued and then the error.
    /// For streams in which a gap is worse than an end.
    Fail,
    /// Node's soft mark: the item is taken past the mark and **memory has no
    /// bound**. Every write past the mark is counted by source line, and
    /// reports name the line.
    Grow,
}

/// What the tank has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Hand the item back; whoever can wait may wait.
    HandBack,
    /// Hand the item back; nobody waits.
    Refuse,
    /// Drop the arriving item.
    DropArriving,
    /// Drop queued items from the front until the tank is below its mark, then
    /// take it.
    EvictOldest,
    /// Drop every queued item, then take it.
    EvictAll,
    /// Fail the tank.
    Break,
    /// Take it past the mark.
    TakePastMark,
}

impl Overflow {
    /// Every strategy there is, in the order in which they are declared.
    ///
    /// ```
    /// use standpipe::Overflow;
    ///
    /// let unbounded: Vec<_> = Overflow::ALL.iter().filter(|how| !how.is_bounded()).collect();
    /// assert_eq!(unbounded, [&Overflow::Grow]);
    /// ```
    pub const ALL: &[Self] = &[
        Self::Wait,
        Self::Refuse,
        Self::DropNewest,
        Self::DropOldest,
        Self::KeepLatest,
        Self::Fail,
        Self::Grow,
    ];

    /// The action for an item that arrives while the tank is shut.
    pub(crate) const fn at_shut(self) -> Action {
        match self {
            Self::Wait => Action::HandBack,
            Self::Refuse => Action::Refuse,
            Self::DropNewest => Action::DropArriving,
            Self::DropOldest => Action::EvictOldest,
            Self::KeepLatest => Action::EvictAll,
            Self::Fail => Action::Break,
            Self::Grow => Action::TakePastMark,
        }
    }

    /// Whether memory stays below `high-water mark + one item`.
    #[must_use]
    pub const fn is_bounded(self) -> bool {
        !matches!(self, Self::Grow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_the_default_and_only_grow_is_unbounded() {
        assert_eq!(Overflow::default(), Overflow::Wait);
        for &strategy in Overflow::ALL {
            let grows = strategy == Overflow::Grow;
            assert_eq!(strategy.is_bounded(), !grows, "{strategy:?}");
            assert_eq!(strategy.at_shut() == Action::TakePastMark, grows, "{strategy:?}");
        }
    }

    /// A variant that `ALL` lacks would be tried by no test.
    #[test]
    fn all_has_every_strategy() {
        for (place, strategy) in Overflow::ALL.iter().enumerate() {
            assert_eq!(*strategy as usize, place, "{strategy:?}");
        }
        // the compiler asks for a new one here: add it to `ALL` as well
        let last = match Overflow::Grow {
            Overflow::Wait
            | Overflow::Refuse
            | Overflow::DropNewest
            | Overflow::DropOldest
            | Overflow::KeepLatest
            | Overflow::Fail
            | Overflow::Grow => Overflow::Grow,
        };
        assert_eq!(last as usize + 1, Overflow::ALL.len());
    }
}
