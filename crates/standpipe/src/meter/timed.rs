//! How long was a tank how full?
//!
//! Only in a pipeline, where somebody reads the clock. Between two readings the
//! level is a straight line, and the lowest one picks the cell.
//!
//! # Knows / never knows
//! Knows levels and readings of a clock. Never knows a clock, or what flows.

#[derive(Debug)]
pub(super) struct Timed {
    pub(super) begun_ns: u64,
    pub(super) seen_ns: u64,
    /// The level right after the last change that came with a time.
    pub(super) level: usize,
    /// The lowest level since then.
    pub(super) lowest: usize,
    pub(super) area: u128,
    pub(super) fill_ns: [u64; 10],
    /// A drain that nobody has written after.
    pub(super) drained_ns: Option<u64>,
    /// From drains to the writes that followed, by powers of two.
    pub(super) drains: [u32; 64],
    pub(super) budget: BudgetWait,
    /// How long it was so.
    pub(super) budget_ns: u64,
}

/// Whether a tank is shut for want of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BudgetWait {
    No,
    Yes,
    /// It was, up to the next reading of the clock.
    WasUntilNow,
}

impl Timed {
    /// Adds the interval since the last reading. `area` holds twice the
    /// integral, so that the straight line between two levels stays whole.
    pub(super) fn advance(&mut self, now_ns: u64, level: usize, high: usize) {
        let span_ns = now_ns.saturating_sub(self.seen_ns);
        let levels = (self.level as u128).saturating_add(level as u128);
        self.area = self.area.saturating_add(levels.saturating_mul(u128::from(span_ns)));
        if let Some(cell) = self.fill_ns.get_mut(cell(self.lowest.min(level), high)) {
            *cell = cell.saturating_add(span_ns);
        }
        if self.budget != BudgetWait::No {
            self.budget_ns = self.budget_ns.saturating_add(span_ns);
            if self.budget == BudgetWait::WasUntilNow {
                self.budget = BudgetWait::No;
            }
        }
        self.seen_ns = self.seen_ns.max(now_ns);
        self.level = level;
        self.lowest = level;
    }

    pub(super) fn count_drain(&mut self, span_ns: u64) {
        let cell = span_ns.checked_ilog2().map_or(0, |log| log as usize);
        if let Some(count) = self.drains.get_mut(cell) {
            *count = count.saturating_add(1);
        }
    }

    /// The upper end of the cell in which the 99th of 100 lies.
    pub(super) fn drain_p99_ns(&self) -> u64 {
        let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let all = sum(&self.drains);
        let below = |cells: &usize| {
            let counted = self.drains.get(..*cells).map_or(0, sum);
            counted.saturating_mul(100) >= all.saturating_mul(99)
        };
        let cells = (0..=self.drains.len()).find(below).unwrap_or(0);
        if all == 0 {
            0
        } else {
            1_u64.checked_shl(u32::try_from(cells).unwrap_or(0)).unwrap_or(u64::MAX)
        }
    }
}

/// 0 empty, 1 to 8 the eighths below the mark, 9 at or above it.
fn cell(level: usize, high: usize) -> usize {
    if level == 0 {
        0
    } else if level >= high {
        9
    } else {
        level.saturating_mul(8).checked_div(high).unwrap_or(0).saturating_add(1).min(8)
    }
}
