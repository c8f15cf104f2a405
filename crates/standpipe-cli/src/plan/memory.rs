//! Do the tanks fit into the memory?

use crate::{
    args::UsageError,
    size::{mark, typed},
};

use super::{LowMark, TankPlan, TankSize};

const AUTO_BYTES: u64 = 1 << 20;
const LEAST_BYTES: u64 = 64 << 10;
/// More tanks than these are not listed in an error.
const LISTED: usize = 8;

/// Plans `count` equal tanks, all marks together within `memory_bytes`.
///
/// # Errors
/// If they do not fit, with the sum; if the low-water mark is not below the high one.
pub(super) fn tanks(
    count: usize,
    memory_bytes: u64,
    tank: TankSize,
    low: Option<LowMark>,
) -> Result<Vec<TankPlan>, UsageError> {
    let Some(number) = u64::try_from(count).ok().filter(|count| *count > 0) else {
        return Ok(Vec::new());
    };
    let share = memory_bytes / number;
    let high_bytes = match tank {
        TankSize::Auto => share.clamp(LEAST_BYTES, AUTO_BYTES),
        TankSize::Bytes(bytes) => bytes,
    };
    let sum = high_bytes.saturating_mul(number);
    if sum > memory_bytes {
        let list = |at: usize| format!("{} {}", id(at), mark(high_bytes));
        let mut listed = (0..count.min(LISTED)).map(list).collect::<Vec<_>>().join(", ");
        if count > LISTED {
            listed += &format!(" and {} more", count - LISTED);
        }
        let mut hint = format!("`--memory {}`", typed(sum));
        if share >= LEAST_BYTES {
            let whole = if share >= AUTO_BYTES { AUTO_BYTES } else { 1024 };
            hint += &format!(", or `--tank {}`", typed(share / whole * whole));
        }
        return Err(UsageError {
            what: format!("tanks need {} but `--memory` is {}", mark(sum), mark(memory_bytes)),
            details: vec![format!("tank {listed}")],
            hint: Some(hint),
        });
    }
    let low_bytes = match low {
        None => None,
        Some(LowMark::Percent(percent)) => {
            let part = u128::from(high_bytes) * u128::from(percent) / 100;
            Some(u64::try_from(part).unwrap_or(high_bytes))
        }
        Some(LowMark::Bytes(bytes)) if bytes >= high_bytes => {
            let what = format!(
                "`--low` is {}, not below the high-water mark of {}",
                mark(bytes),
                mark(high_bytes)
            );
            let least =
                bytes.checked_mul(2).filter(|tank| tank.saturating_mul(number) <= memory_bytes);
            let hint = match least {
                Some(tank) => format!("`--low 50%`, or `--tank {}`", typed(tank)),
                None => "`--low 50%`".to_owned(),
            };
            return Err(UsageError::new(what, hint));
        }
        Some(LowMark::Bytes(bytes)) => Some(bytes),
    };
    Ok((0..count).map(|at| TankPlan { id: id(at), high_bytes, low_bytes }).collect())
}

fn id(at: usize) -> String {
    format!("{}>{}", at + 1, at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn high(count: usize, memory_bytes: u64, tank: TankSize) -> u64 {
        tanks(count, memory_bytes, tank, None).expect("they fit")[0].high_bytes
    }

    #[track_caller]
    fn refused(
        result: Result<Vec<TankPlan>, UsageError>,
        what: &str,
        details: &[&str],
        hint: &str,
    ) {
        let error = result.expect_err(what);
        assert_eq!(error.what, what);
        assert_eq!(error.details, details);
        assert_eq!(error.hint.as_deref(), Some(hint));
    }

    #[test]
    fn auto_tanks_fit_themselves() {
        assert_eq!(high(1, 64 * MIB, TankSize::Auto), MIB);
        assert_eq!(high(64, 64 * MIB, TankSize::Auto), MIB);
        assert_eq!(high(4, MIB, TankSize::Auto), MIB / 4);
        assert_eq!(high(3, 3 * 65_536, TankSize::Auto), 65_536);
        assert_eq!(tanks(0, 1, TankSize::Auto, None), Ok(Vec::new()));
        refused(
            tanks(2, 100_000, TankSize::Auto, None),
            "tanks need 128 KiB but `--memory` is 97.7 KiB",
            &["tank 1>2 64 KiB, 2>3 64 KiB"],
            "`--memory 128K`",
        );
    }

    #[test]
    fn tanks_that_do_not_fit_are_refused_with_the_sum() {
        assert_eq!(high(2, 64 * MIB, TankSize::Bytes(32 * MIB)), 32 * MIB);
        refused(
            tanks(2, 64 * MIB, TankSize::Bytes(48 * MIB), None),
            "tanks need 96 MiB but `--memory` is 64 MiB",
            &["tank 1>2 48 MiB, 2>3 48 MiB"],
            "`--memory 96M`, or `--tank 32M`",
        );
        refused(
            tanks(10, 64 * MIB, TankSize::Bytes(7 * MIB), None),
            "tanks need 70 MiB but `--memory` is 64 MiB",
            &["tank 1>2 7 MiB, 2>3 7 MiB, 3>4 7 MiB, 4>5 7 MiB, 5>6 7 MiB, 6>7 7 MiB, 7>8 7 MiB, \
               8>9 7 MiB and 2 more"],
            "`--memory 70M`, or `--tank 6M`",
        );
        let much = tanks(2, 64 * MIB, TankSize::Bytes(u64::MAX), None).expect_err("too much");
        assert!(much.what.starts_with("tanks need 16.0 EiB"), "{}", much.what);
    }

    #[test]
    fn the_low_mark_is_below_the_high_mark() {
        let low = |low| tanks(1, 64 * MIB, TankSize::Auto, Some(low)).map(|t| t[0].low_bytes);
        assert_eq!(low(LowMark::Percent(50)), Ok(Some(MIB / 2)));
        assert_eq!(low(LowMark::Bytes(0)), Ok(Some(0)));
        assert_eq!(low(LowMark::Bytes(MIB - 1)), Ok(Some(MIB - 1)));
        refused(
            tanks(1, 64 * MIB, TankSize::Auto, Some(LowMark::Bytes(MIB))),
            "`--low` is 1 MiB, not below the high-water mark of 1 MiB",
            &[],
            "`--low 50%`, or `--tank 2M`",
        );
        refused(
            tanks(1, MIB, TankSize::Auto, Some(LowMark::Bytes(MIB))),
            "`--low` is 1 MiB, not below the high-water mark of 1 MiB",
            &[],
            "`--low 50%`",
        );
    }
}
