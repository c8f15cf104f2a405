//! May I write?
//!
//! A gate is the rule of pressure and nothing else: a level, a high-water
//! mark, a low-water mark, and whether it is shut.
//!
//! ```text
//!   level  0 ............ low ............ high ......
//!          open           keeps its state  shut
//! ```
//!
//! Reaching the high-water mark shuts it, falling to the low-water mark opens
//! it; between the marks it stays as it was (hysteresis, as in .NET's pipe
//! thresholds). Admission asks only whether the gate is open, never whether
//! the weight fits: so one item may overshoot, an item heavier than the whole
//! tank passes alone, and a large item is never starved by small ones. The
//! bound is `high + one item`.
//!
//! # Knows / never knows
//! Knows level and marks. Never knows items, tasks, wakers or time: the tank
//! does. So Node's rules, the simulator and loom all run on this very code.
//!
//! # Terms
//! *shut*: a writer has to wait (Node: a drain is owed). *drain*: the moment a
//! shut gate opens.

use std::fmt;

/// The answer to a write: may the next one follow at once?
#[doc(alias("writableNeedDrain"))]
#[must_use = "a `Wait` that is dropped on the floor is how memory grows"]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The level is below the high-water mark: go on.
    Ready,
    /// The level has reached the high-water mark: wait for the drain.
    Wait,
}

/// What a change of the level did to the gate.
#[must_use = "a gate that opened has someone to wake"]
#[expect(clippy::exhaustive_enums, reason = "a gate stays, opens or shuts")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is as it was.
    Stayed,
    /// It was shut and is open now: the drain.
    Opened,
    /// It was open and is shut now.
    Shut,
}

impl Turn {
    /// What became of a gate that was shut, or was not, and is now, or is not.
    pub(crate) const fn between(was_shut: bool, is_shut: bool) -> Self {
        match (was_shut, is_shut) {
            (true, false) => Self::Opened,
            (false, true) => Self::Shut,
            _ => Self::Stayed,
        }
    }
}

/// A pair of water marks, in the tank's unit.
#[doc(alias("highWaterMark", "lowWaterMark", "watermark"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    high: usize,
    low: usize,
}

/// Why two numbers are not a pair of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarksError {
    /// A high-water mark of 0 would never let anything through.
    HighIsZero,
    /// The low-water mark has to lie below the high-water mark.
    LowNotBelowHigh {
        /// The low-water mark asked for.
        low: usize,
        /// The high-water mark it should be below.
        high: usize,
    },
}

impl fmt::Display for MarksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HighIsZero => f.write_str("the high-water mark must be at least 1"),
            Self::LowNotBelowHigh { low, high } => {
                write!(f, "the low-water mark {low} is not below the high-water mark {high}")
            }
        }
    }
}

impl std::error::Error for MarksError {}

impl Marks {
    /// Checks a pair of marks.
    ///
    /// # Errors
    /// [`MarksError`] if `high` is 0 or `low` is not below it.
    pub const fn new(high: usize, low: usize) -> Result<Self, MarksError> {
        if high == 0 {
            return Err(MarksError::HighIsZero);
        }
        if low >= high {
            return Err(MarksError::LowNotBelowHigh { low, high });
        }
        Ok(Self { high, low })
    }

    /// Marks with the low one at half of the high one, the default.
    ///
    /// Half costs one wake-up per half tank and leaves half a tank to cover
    /// the time in which a woken writer gets going.
    ///
    /// # Errors
    /// [`MarksError::HighIsZero`].
    pub const fn half(high: usize) -> Result<Self, MarksError> {
        Self::new(high, high >> 1)
    }

    /// One, and nothing.
    pub(crate) const ONE: Self = Self { high: 1, low: 0 };

    /// Marks as in Node, where a high-water mark of 0 is allowed: every write
    /// is answered [`Flow::Wait`].
    pub(crate) const fn node(high: usize, low: usize) -> Result<Self, MarksError> {
        if high == 0 && low == 0 {
            return Ok(Self { high, low });
        }
        Self::new(high, low)
    }

    /// The level at which a gate shuts.
    #[must_use]
    pub const fn high(self) -> usize {
        self.high
    }

    /// The level at or below which a shut gate opens.
    #[must_use]
    pub const fn low(self) -> usize {
        self.low
    }
}

/// Level, marks, shut or open.
///
/// # Examples
/// ```
/// use standpipe::gate::{Flow, Gate, Marks, Turn};
///
/// let mut gate = Gate::new(Marks::new(64, 32)?);
/// assert_eq!(gate.admit(63), Flow::Ready);
/// assert_eq!(gate.admit(1), Flow::Wait); // shut at the mark, not past it
/// assert_eq!(gate.release(31), Turn::Stayed);
/// assert_eq!(gate.release(1), Turn::Opened); // opens at the low-water mark
/// # Ok::<(), standpipe::gate::MarksError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    level: usize,
    marks: Marks,
    shut: bool,
}

impl Gate {
    /// An empty, open gate.
    #[must_use]
    pub const fn new(marks: Marks) -> Self {
        Self { level: 0, marks, shut: false }
    }

    /// Charges `weight` and answers by the level that results: [`Flow::Wait`]
    /// exactly when it is at or above the high-water mark.
    ///
    /// Does not ask whether the gate is shut: that is the caller's question
    /// ([`Gate::is_shut`]), because an overflow strategy may admit all the
    /// same. The level saturates.
    pub const fn admit(&mut self, weight: usize) -> Flow {
        self.level = self.level.saturating_add(weight);
        if self.level >= self.marks.high {
            self.shut = true;
        }
        self.flow()
    }

    /// The answer by the level alone: whether it is below the high-water mark.
    pub const fn flow(&self) -> Flow {
        if self.level >= self.marks.high { Flow::Wait } else { Flow::Ready }
    }

    /// Gives `weight` back; opens a shut gate at or below the low-water mark.
    ///
    /// # Panics
    /// If more is released than was admitted: an accounting error that must
    /// not be papered over.
    pub const fn release(&mut self, weight: usize) -> Turn {
        let Some(level) = self.level.checked_sub(weight) else {
            panic_released_more();
        };
        self.level = level;
        if self.shut && level <= self.marks.low {
            self.shut = false;
            return Turn::Opened;
        }
        Turn::Stayed
    }

    /// Changes both marks while everything else goes on.
    ///
    /// A level at or above the new high-water mark shuts the gate, one at or
    /// below the new low-water mark opens it, one between them changes
    /// nothing.
    pub const fn set_marks(&mut self, marks: Marks) -> Turn {
        self.marks = marks;
        let shut = if self.level >= marks.high {
            true
        } else if self.level <= marks.low {
            false
        } else {
            self.shut
        };
        let turn = Turn::between(self.shut, shut);
        self.shut = shut;
        turn
    }

    /// Level and state as they are, with other marks to be seen by.
    pub(crate) const fn seen_with(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    /// How much may be kept back, at most, by whoever returns credit in bulk.
    ///
    /// Above the low-water mark: what lies above it, for that opens a gate that
    /// is shut, or is shut meanwhile. At or below it: a [`span`](Self::span),
    /// since the gate has to be shut before it can open, whatever is admitted
    /// in between.
    #[must_use]
    pub const fn until_open(&self) -> usize {
        match self.level.saturating_sub(self.marks.low) {
            0 => self.span(),
            above => above,
        }
    }

    /// How much more an open gate takes before it shuts; at least 1, since an
    /// open gate always takes something.
    #[must_use]
    pub const fn room(&self) -> usize {
        let room = self.marks.high.saturating_sub(self.level);
        if room == 0 { 1 } else { room }
    }

    /// What flows between a drain and the next shutting: high minus low.
    #[must_use]
    pub const fn span(&self) -> usize {
        self.marks.high.saturating_sub(self.marks.low)
    }

    /// The weight charged and not yet released.
    #[must_use]
    pub const fn level(&self) -> usize {
        self.level
    }

    /// Its marks.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        self.marks
    }

    /// Whether a writer has to wait.
    #[must_use]
    pub const fn is_shut(&self) -> bool {
        self.shut
    }
}

#[cold]
#[expect(clippy::panic, reason = "an accounting error must not be papered over")]
const fn panic_released_more() -> ! {
    panic!("released more weight than was admitted");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script on a gate: `+9r` admits 9 and expects `Ready`, `+9w`
    /// expects `Wait`, `-9.` releases 9 and expects no change, `-9d` expects
    /// the drain; `=8/4o` sets marks and expects it opened, `s` shut, `.` same.
    #[track_caller]
    fn check(low: usize, high: usize, script: &str) {
        let mut gate = Gate::new(Marks::new(high, low).unwrap());
        for step in script.split_whitespace() {
            let (body, want) = step.split_at(step.len() - 1);
            let (what, number) = body.split_at(1);
            let got = match what {
                "+" => match gate.admit(number.parse().unwrap()) {
                    Flow::Ready => "r",
                    Flow::Wait => "w",
                },
                "-" => match gate.release(number.parse().unwrap()) {
                    Turn::Stayed => ".",
                    Turn::Opened => "d",
                    Turn::Shut => "s",
                },
                "=" => {
                    let (high, low) = number.split_once('/').unwrap();
                    let marks = Marks::new(high.parse().unwrap(), low.parse().unwrap()).unwrap();
                    match gate.set_marks(marks) {
                        Turn::Stayed => ".",
                        Turn::Opened => "o",
                        Turn::Shut => "s",
                    }
                }
                other => panic!("unknown step {other}"),
            };
            assert_eq!(got, want, "step {step} of {script}, then {gate:?}");
        }
    }

    #[test]
    fn truth_table() {
        // .NET's thresholds: pause at 64, resume at 32
        check(32, 64, "+63r +1w -31. -1d");
        check(32, 64, "+64w -32d +31r +1w -1. -31d");
        // between the marks it keeps the state it has
        check(32, 64, "+40r -5. +5r");
        check(32, 64, "+64w -20. -11. -1d");
        // one item may overshoot; an oversized item passes alone
        check(32, 64, "+63r +100w -130. -1d");
        check(0, 1, "+1000w -999. -1d");
        // weight 0 never shuts and never opens by itself
        check(0, 2, "+0r +2w +0w -0. -2d");
        // Node: low-water mark 0, writes past the mark answer by the level
        check(0, 10, "+10w +1w -10. +1r -1. -1d");
        // low just below high: the .NET trap of resuming below, not at, low
        check(63, 64, "+64w -1d +1w -1d");
        check(0, 1, "+1w -1d +1w -1d");
    }

    #[test]
    fn marks_change_live() {
        check(32, 64, "+64w =128/64o +63r +1w");
        check(32, 64, "+40r =40/20s -19. -1d");
        check(32, 64, "+64w =128/32. -31. -1d");
        check(32, 64, "+10r =8/4s =64/32o");
        check(32, 64, "+50r =100/10. +49r +1w");
    }

    #[test]
    fn boundary_at_every_threshold() {
        for high in 1..=20 {
            for low in 0..high {
                let marks = Marks::new(high, low).unwrap();
                for level in 0..=high * 2 {
                    let mut gate = Gate::new(marks);
                    let flow = gate.admit(level);
                    assert_eq!(flow == Flow::Wait, level >= high, "{gate:?}");
                    let mut opened = 0;
                    for left in (0..level).rev() {
                        if gate.release(1) == Turn::Opened {
                            assert_eq!(left, low, "opens at the low-water mark, once");
                            opened += 1;
                        }
                    }
                    assert_eq!(opened, usize::from(level >= high));
                }
            }
        }
    }

    #[test]
    fn credit_kept_back_until_it_could_open_never_opens_late() {
        // whatever is admitted while `until_open` has not been released, the
        // gate that got each release at once was shut or never opened before
        for high in 1..12 {
            for low in 0..high {
                for level in 0..=high + 2 {
                    for admitted in 0..=2 * high {
                        let mut gate = Gate::new(Marks::new(high, low).unwrap());
                        gate.admit(level).heed();
                        let kept = gate.until_open();
                        gate.admit(admitted).heed();
                        for released in 1..kept.min(level + admitted + 1) {
                            let turn = gate.release(1);
                            assert_eq!(turn, Turn::Stayed, "{released} of {kept}: {gate:?}");
                        }
                    }
                }
            }
        }
    }

    impl Flow {
        /// Says that a test has seen it.
        fn heed(self) {}
    }

    #[test]
    fn marks_that_make_no_sense_are_refused() {
        assert_eq!(Marks::new(0, 0), Err(MarksError::HighIsZero));
        assert_eq!(Marks::new(4, 4), Err(MarksError::LowNotBelowHigh { low: 4, high: 4 }));
        assert_eq!(Marks::half(1).unwrap().low(), 0);
        assert_eq!(Marks::half(64).unwrap().low(), 32);
    }

    #[test]
    #[should_panic(expected = "released more weight than was admitted")]
    fn releasing_more_than_was_admitted_panics() {
        assert_eq!(Gate::new(Marks::half(8).unwrap()).release(1), Turn::Stayed);
    }

    #[test]
    fn the_level_saturates() {
        let mut gate = Gate::new(Marks::half(8).unwrap());
        assert_eq!(gate.admit(usize::MAX), Flow::Wait);
        assert_eq!(gate.admit(usize::MAX), Flow::Wait);
        assert_eq!(gate.level(), usize::MAX);
    }
}
