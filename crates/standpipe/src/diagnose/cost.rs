//! How much of what an item costs has nothing to do with its weight?
//!
//! Cost is taken as `a + b x weight` and fitted to the batches of a stage by
//! least squares. A batch of n items weighs in by n, as the spread of a sum of
//! n does; so seven sums are all it takes.

use crate::snapshot::Costs;

/// Fewer batches tell nothing.
const LEAST_BATCHES: f64 = 30.0;
/// Items that differ in weight by less than this, as variance over the square
/// of the mean, do not tell the two parts apart.
const LEAST_SPREAD: f64 = 0.01;
/// The estimate may be off by so many standard errors.
const DOUBT: f64 = 3.0;

/// The part of a cost that each item has, whatever it weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fixed {
    /// Time for each item.
    pub(super) item_ns: f64,
    /// That as a part of the whole.
    pub(super) share: f64,
    /// What that part is at the least, all but certainly.
    pub(super) at_least: f64,
}

/// Fits the two parts to what is known of the batches; `None` if they are too
/// few, or too much alike.
pub(super) fn fixed_cost(sums: &[f64; Costs::SUMS]) -> Option<Fixed> {
    let [batches, n, w, y, ww, wy, yy] = *sums;
    let det = n * ww - w * w;
    if batches < LEAST_BATCHES || y <= 0.0 || w <= 0.0 || det < LEAST_SPREAD * w * w {
        return None;
    }
    let by_weight = (n * wy - w * y) / det;
    let item_ns = (y - by_weight * w) / n;
    let unexplained = (yy - item_ns * y - by_weight * wy).max(0.0);
    let error_ns = (unexplained / (batches - 2.0) * ww / det).sqrt();
    let share = |ns: f64| (ns * n / y).clamp(0.0, 1.0);
    Some(Fixed { item_ns, share: share(item_ns), at_least: share(item_ns - DOUBT * error_ns) })
}

#[cfg(not(loom))] // the simulator is not there under it
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Draw;
    use crate::snapshot::Tally;

    /// Batches of items that weigh up to 100 and cost what is said, give or
    /// take half of it.
    fn fitted(batches: usize, cost_ns: impl Fn(u64) -> u64) -> Option<Fixed> {
        let mut draw = Draw::new(7, 0);
        let mut sums = [0.0; Costs::SUMS];
        for _ in 0..batches {
            let (mut batch, mut spent_ns) = (Tally::default(), 0);
            for _ in 0..=draw.below(8) {
                let weight = 1 + draw.below(100);
                batch.add(weight);
                let cost_ns = cost_ns(weight as u64);
                let noise = draw.below(usize::try_from(cost_ns + 1).unwrap()) as u64;
                spent_ns += cost_ns / 2 + noise;
            }
            for (sum, more) in sums.iter_mut().zip(Costs::of_batch(batch, spent_ns).unwrap()) {
                *sum += more;
            }
        }
        fixed_cost(&sums)
    }

    #[test]
    fn the_two_parts_of_a_cost_are_told_apart() {
        for (fixed_ns, weight_ns) in [(0, 100), (500, 100), (5_000, 100), (5_000, 0)] {
            let fixed = fitted(10_000, |weight| fixed_ns + weight_ns * weight).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let (known_ns, mean_ns) = (fixed_ns as f64, fixed_ns as f64 + weight_ns as f64 * 50.5);
            assert!((fixed.item_ns - known_ns).abs() < 0.02 * mean_ns, "{fixed_ns}: {fixed:?}");
            assert!((fixed.share - known_ns / mean_ns).abs() < 0.02, "{fixed_ns}: {fixed:?}");
            assert!(fixed.at_least <= fixed.share, "{fixed:?}");
        }
        assert!(fitted(10_000, |weight| 100 * weight).unwrap().at_least < 0.01);
    }

    #[test]
    fn few_batches_or_equal_items_tell_nothing() {
        assert_eq!(fitted(20, |weight| 500 + weight), None);
        let equal = Costs::of_batch(Tally { items: 4, weight: 4 }, 100).unwrap();
        assert_eq!(fixed_cost(&equal.map(|sum| sum * 1_000.0)), None);
    }

    #[test]
    fn what_a_few_noisy_batches_say_is_held_in_doubt() {
        let few = fitted(40, |weight| 300 + 100 * weight).unwrap();
        let many = fitted(40_000, |weight| 300 + 100 * weight).unwrap();
        assert!(many.share - many.at_least < few.share - few.at_least, "{few:?} {many:?}");
    }
}
