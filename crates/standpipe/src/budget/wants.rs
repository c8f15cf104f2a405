//! What do all together want, and what is a fair share of less?
//!
//! Wants are counted in cells, sixteen to each power of two: so one that
//! changes costs the same among ten thousand as among ten, and so does the
//! share. Of wants within its own cell the share takes all to be as large as
//! itself: it is too low by a sixteenth at most, and exact below 32.
//!
//! # Knows / never knows
//! Knows how many want how much. Never knows who.

/// Cells of each power of two.
const CELLS: usize = 16;
/// The power of two that they are.
const BITS: u32 = CELLS.ilog2();

/// So many want so much together.
#[derive(Clone, Copy, Default)]
struct Heap {
    members: usize,
    weight: usize,
}

impl Heap {
    const fn add(&mut self, want: usize) {
        self.members = self.members.saturating_add(1);
        self.weight = self.weight.saturating_add(want);
    }

    const fn remove(&mut self, want: usize) {
        self.members = self.members.saturating_sub(1);
        self.weight = self.weight.saturating_sub(want);
    }
}

/// Wants between two powers of two; the first one's are those below 16.
#[derive(Clone, Copy, Default)]
struct Octave {
    all: Heap,
    cells: [Heap; CELLS],
}

/// See the module.
#[derive(Default)]
pub(super) struct Wants {
    all: Heap,
    /// As many as the largest want so far needed.
    octaves: Vec<Octave>,
}

impl Wants {
    pub(super) const fn new() -> Self {
        Self { all: Heap { members: 0, weight: 0 }, octaves: Vec::new() }
    }

    /// Somebody who wanted `before` wants `now`. Who wants nothing is not
    /// counted.
    pub(super) fn change(&mut self, before: usize, now: usize) {
        if before > 0 {
            self.all.remove(before);
            let (octave, cell) = place(before);
            if let Some(octave) = self.octaves.get_mut(octave) {
                octave.all.remove(before);
                octave.cells[cell].remove(before);
            }
        }
        if now > 0 {
            self.all.add(now);
            let (octave, cell) = place(now);
            if octave >= self.octaves.len() {
                self.octaves.resize(octave.saturating_add(1), Octave::default());
            }
            if let Some(octave) = self.octaves.get_mut(octave) {
                octave.all.add(now);
                octave.cells[cell].add(now);
            }
        }
    }

    /// The fair share of those who want more than it: as much for each as is
    /// left of the limit by those who want less.
    pub(super) fn share(&self, limit: usize) -> usize {
        if self.all.weight <= limit {
            return usize::MAX;
        }
        let mut rest = Rest { left: limit, others: self.all.members };
        for (octave, wants) in self.octaves.iter().enumerate() {
            if rest.passes(&wants.all, floor(octave.saturating_add(1), 0)) {
                continue;
            }
            for (cell, wants) in wants.cells.iter().enumerate() {
                if !rest.passes(wants, floor(octave, cell.saturating_add(1))) {
                    break;
                }
            }
            break;
        }
        rest.left.checked_div(rest.others).unwrap_or(usize::MAX)
    }
}

/// What those who want less leave, and to how many.
struct Rest {
    left: usize,
    others: usize,
}

impl Rest {
    /// Whether the share is no less than `next`, above all of these wants: then
    /// they are taken off.
    const fn passes(&mut self, wants: &Heap, next: usize) -> bool {
        let Some(left) = self.left.checked_sub(wants.weight) else { return false };
        let others = self.others.saturating_sub(wants.members);
        if others.saturating_mul(next) > left {
            return false;
        }
        *self = Self { left, others };
        true
    }
}

/// In which cell of which octave a want is.
const fn place(want: usize) -> (usize, usize) {
    match want.checked_ilog2() {
        Some(log) if log >= BITS => {
            let above = log.saturating_sub(BITS);
            let first = match want.checked_shr(above) {
                Some(first) => first,
                None => 0,
            };
            ((above as usize).saturating_add(1), first % CELLS)
        }
        _ => (0, want % CELLS),
    }
}

/// The smallest want of a cell, and of the one behind the last.
fn floor(octave: usize, cell: usize) -> usize {
    let Some(above) = octave.checked_sub(1) else { return cell };
    let scale = u32::try_from(above).ok().and_then(|above| 1_usize.checked_shl(above));
    scale.map_or(usize::MAX, |scale| CELLS.saturating_add(cell).saturating_mul(scale))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_want_is_in_the_cell_between_its_floor_and_the_next() {
        let powers = (0..usize::BITS).map(|bit| 1_usize << bit);
        let wants = powers.flat_map(|power| [power - 1, power, power.saturating_mul(3) / 2]);
        for want in (0..5_000).chain(wants).chain([usize::MAX]) {
            let (octave, cell) = place(want);
            assert!(floor(octave, cell) <= want, "{want}");
            assert!(floor(octave, cell + 1) > want || want == usize::MAX, "{want}");
        }
    }
}
