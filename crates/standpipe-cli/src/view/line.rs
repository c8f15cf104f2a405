//! How does a run look in one line?
//!
//! `1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s tank [#######-] 92% output is slower (71%)`

use std::time::Duration;

use crate::size;

use super::{Progress, Slowest, Style, TankLevel, Who, float, terminal};

/// Cells of the drawn tank.
const CELLS: u64 = 8;

/// Writes the line for a terminal of so many columns. Less important parts are left out before
/// anything is cut; the last column stays free, or some terminals would wrap.
pub(super) fn render(progress: &Progress, columns: usize, style: Style) -> String {
    let columns = columns.saturating_sub(1);
    let moved = moved(progress);
    let rates = rates(progress);
    let tank = fullest(&progress.tanks);
    let drawn =
        tank.map(|tank| format!("{} [{}] {}", name(progress, tank), bar(tank), level(tank)));
    let told = tank.map(|tank| format!("{} {}", name(progress, tank), level(tank)));
    let sure = progress.slowest.as_ref().map(|slowest| verdict(slowest, style));
    let who = progress.slowest.as_ref().map(|slowest| who(&slowest.who, style));
    let variants: [[Option<&str>; 4]; 6] = [
        [Some(&moved), Some(&rates), drawn.as_deref(), sure.as_deref()],
        [Some(&moved), Some(&rates), drawn.as_deref(), who.as_deref()],
        [Some(&moved), Some(&rates), told.as_deref(), who.as_deref()],
        [Some(&moved), Some(&rates), told.as_deref(), None],
        [Some(&moved), Some(&rates), None, None],
        [Some(&moved), None, None, None],
    ];
    let mut lines = variants
        .iter()
        .map(|parts| parts.iter().flatten().copied().collect::<Vec<&str>>().join(" "));
    let fitting = lines.find(|line| terminal::columns(line) <= columns);
    fitting.unwrap_or_else(|| terminal::cut(&moved, columns).to_owned())
}

/// Writes what was moved, the time, and what is to come if that is known.
pub(super) fn moved(progress: &Progress) -> String {
    moved_by(progress, " ")
}

/// The same with room between the parts.
pub(super) fn moved_parts(progress: &Progress) -> String {
    moved_by(progress, "  ")
}

fn moved_by(progress: &Progress, gap: &str) -> String {
    let about = if progress.about { "about " } else { "" };
    let moved = format!("{about}{}", size::size(progress.bytes_in));
    let time = size::clock(progress.elapsed);
    let Some(total) = progress.total_bytes.filter(|total| *total > 0) else {
        return [moved, time].join(gap);
    };
    let percent = u128::from(progress.bytes_in) * 100 / u128::from(total);
    let eta = eta(progress, total).map_or_else(|| "-".to_owned(), size::clock);
    let moved = format!("{moved} of {}", size::size(total));
    [moved, format!("{percent}%"), time, format!("ETA {eta}")].join(gap)
}

pub(super) fn eta(progress: &Progress, total: u64) -> Option<Duration> {
    let left = total.checked_sub(progress.bytes_in)?;
    let rate = progress.rate_in.filter(|rate| *rate >= 1.0)?;
    let eta = Duration::try_from_secs_f64(float(left) / rate).ok()?;
    (eta < Duration::from_secs(1000 * 3600)).then_some(eta)
}

/// Writes both rates in the unit of the larger.
pub(super) fn rates(progress: &Progress) -> String {
    let [rate_in, rate_out, unit] = rate_parts(progress);
    let out = if progress.into.is_some() { "taken" } else { "out" };
    format!("in {rate_in} {out} {rate_out} {unit}")
}

/// Both rates, and the unit of the larger.
pub(super) fn rate_parts(progress: &Progress) -> [String; 3] {
    let known = |rate: Option<f64>| rate.filter(|rate| rate.is_finite() && *rate >= 0.0);
    let (rate_in, rate_out) = (known(progress.rate_in), known(progress.rate_out));
    let largest = rate_in.unwrap_or(0.0).max(rate_out.unwrap_or(0.0));
    let written = size::rate(largest);
    let unit = written.split_once(' ').map_or("B/s", |(_, unit)| unit);
    let scale = largest / written.split_once(' ').and_then(|(n, _)| n.parse().ok()).unwrap_or(1.0);
    let number = |rate: Option<f64>| match rate {
        None => "-".to_owned(),
        Some(rate) if scale > 0.0 => {
            if unit == "B/s" {
                format!("{rate:.0}")
            } else {
                format!("{:.1}", rate / scale)
            }
        }
        Some(_) => "0".to_owned(),
    };
    [number(rate_in), number(rate_out), unit.to_owned()]
}

/// Picks the tank to show: the fullest.
pub(super) fn fullest(tanks: &[TankLevel]) -> Option<&TankLevel> {
    tanks.iter().max_by_key(|tank| (tank.percent(), std::cmp::Reverse(&tank.id)))
}

/// Names the tank, if there is more than one.
pub(super) fn name(progress: &Progress, tank: &TankLevel) -> String {
    if progress.tanks.len() > 1 { format!("tank {}", tank.id) } else { "tank".to_owned() }
}

pub(super) fn level(tank: &TankLevel) -> String {
    tank.percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))
}

fn bar(tank: &TankLevel) -> String {
    let full = tank.percent().unwrap_or(0).min(100) * CELLS / 100;
    (0..CELLS).map(|cell| if cell < full { '#' } else { '-' }).collect()
}

pub(super) fn who(who: &Who, style: Style) -> String {
    match who {
        Who::Input => "input is slower".to_owned(),
        Who::Output => "output is slower".to_owned(),
        Who::Stage(label) => format!("slowest: {}", style.safe(label)),
        // so short that no view has to cut it
        Who::Rate => "slowest: --rate".to_owned(),
        Who::Key => "slowest: a key".to_owned(),
        Who::Nobody => "no single slowest stage".to_owned(),
    }
}

pub(super) fn verdict(slowest: &Slowest, style: Style) -> String {
    let who = who(&slowest.who, style);
    match slowest.confidence {
        Some(share) if share.is_finite() => format!("{who} ({})", size::percent(share)),
        _ => who,
    }
}
