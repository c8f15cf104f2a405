//! Do the tanks fit into the memory?

use crate::{
    args::UsageError,
    size::{mark, typed},
};

use super::{LowMark, TankPlan, TankSize, Wanted};

const AUTO_BYTES: u64 = 1 << 20;
const LEAST_BYTES: u64 = 64 << 10;
/// More tanks than these are not listed in an error.
const LISTED: usize = 8;

/// Plans the tanks, all marks together within `memory_bytes`. Those without a size share what the
/// others leave.
///
/// # Errors
/// If they do not fit, with the sum; if a low-water mark is not below its high one.
pub(super) fn tanks(wanted: Vec<Wanted>, memory_bytes: u64) -> Result<Vec<TankPlan>, UsageError> {
    let fixed = wanted.iter().fold(0_u64, |sum, tank| match tank.size {
        TankSize::Auto => sum,
        TankSize::Bytes(bytes) => sum.saturating_add(bytes),
    });
    let autos = wanted.iter().filter(|tank| tank.size == TankSize::Auto).count();
    let autos = u64::try_from(autos).unwrap_or(u64::MAX);
    let share = memory_bytes.saturating_sub(fixed).checked_div(autos).unwrap_or(0);
    let auto_bytes = share.clamp(LEAST_BYTES, AUTO_BYTES);
    let high = |tank: &Wanted| match tank.size {
        TankSize::Auto => auto_bytes,
        TankSize::Bytes(bytes) => bytes,
    };
    let sum = wanted.iter().fold(0_u64, |sum, tank| sum.saturating_add(high(tank)));
    if sum > memory_bytes {
        let marks: Vec<(&str, u64)> =
            wanted.iter().map(|tank| (tank.id.as_str(), high(tank))).collect();
        return Err(too_much(&marks, sum, memory_bytes));
    }
    let plan = |tank: Wanted| {
        let high_bytes = high(&tank);
        let room = memory_bytes - sum;
        let low_bytes = tank.low.map(|mark| low(mark, high_bytes, room)).transpose()?;
        Ok(TankPlan { id: tank.id, from: tank.from, high_bytes, low_bytes, full: tank.full })
    };
    wanted.into_iter().map(plan).collect()
}

fn too_much(tanks: &[(&str, u64)], sum: u64, memory_bytes: u64) -> UsageError {
    let list = tanks.iter().take(LISTED).map(|(id, high)| format!("{id} {}", mark(*high)));
    let mut listed = list.collect::<Vec<_>>().join(", ");
    if tanks.len() > LISTED {
        listed += &format!(" and {} more", tanks.len() - LISTED);
    }
    let share = u64::try_from(tanks.len()).ok().and_then(|count| memory_bytes.checked_div(count));
    let mut hint = format!("`--memory {}`", typed(sum));
    if let Some(share) = share.filter(|share| *share >= LEAST_BYTES) {
        let whole = if share >= AUTO_BYTES { AUTO_BYTES } else { 1024 };
        hint += &format!(", or `--tank {}`", typed(share / whole * whole));
    }
    UsageError {
        what: format!("tanks need {} but `--memory` is {}", mark(sum), mark(memory_bytes)),
        details: vec![format!("tank {listed}")],
        hint: Some(hint),
    }
}

/// Finds the level of a low-water mark; `room` is what the memory has left for a higher high one.
fn low(wanted: LowMark, high_bytes: u64, room: u64) -> Result<u64, UsageError> {
    match wanted {
        LowMark::Percent(percent) => {
            let part = u128::from(high_bytes) * u128::from(percent) / 100;
            Ok(u64::try_from(part).unwrap_or(high_bytes))
        }
        LowMark::Bytes(bytes) if bytes >= high_bytes => {
            let what = format!(
                "`--low` is {}, not below the high-water mark of {}",
                mark(bytes),
                mark(high_bytes)
            );
            let least = bytes.checked_mul(2).filter(|tank| tank - high_bytes <= room);
            let hint = match least {
                Some(tank) => format!("`--low 50%`, or `--tank {}`", typed(tank)),
                None => "`--low 50%`".to_owned(),
            };
            Err(UsageError::new(what, hint))
        }
        LowMark::Bytes(bytes) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Full;

    const MIB: u64 = 1 << 20;

    fn id(at: usize) -> String {
        format!("{}>{}", at + 1, at + 2)
    }

    /// So many equal tanks.
    fn tanks(
        count: usize,
        memory_bytes: u64,
        size: TankSize,
        low: Option<LowMark>,
    ) -> Result<Vec<TankPlan>, UsageError> {
        let wanted = (0..count)
            .map(|at| Wanted { id: id(at), from: at, full: Full::Wait, size, low })
            .collect();
        super::tanks(wanted, memory_bytes)
    }

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
    fn auto_tanks_share_what_the_others_leave() {
        let high = |sizes: &[TankSize], memory_bytes| {
            let wanted = |(at, size): (usize, &TankSize)| Wanted {
                id: id(at),
                from: at,
                full: Full::Wait,
                size: *size,
                low: None,
            };
            let planned =
                super::tanks(sizes.iter().enumerate().map(wanted).collect(), memory_bytes);
            planned.expect("they fit").iter().map(|tank| tank.high_bytes).collect::<Vec<_>>()
        };
        let (auto, bytes) = (TankSize::Auto, TankSize::Bytes);
        assert_eq!(high(&[auto, bytes(8 * MIB)], 64 * MIB), [MIB, 8 * MIB]);
        assert_eq!(high(&[auto, bytes(3 * MIB), auto], 4 * MIB), [MIB / 2, 3 * MIB, MIB / 2]);
        assert_eq!(high(&[bytes(MIB), bytes(3 * MIB)], 4 * MIB), [MIB, 3 * MIB]);
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
