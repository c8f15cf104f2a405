//! How is a level drawn as a bar?
//!
//! Eighths of a cell where the terminal has them; the part that is empty has a pattern of its own, so nothing rests
//! on colour. A mark in the empty part shows where a paused stage goes on.

use super::{Style, TankLevel};

const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Draws the level of a tank in so many cells.
pub(super) fn level(tank: &TankLevel, cells: usize, style: Style) -> String {
    let share = |bytes: u64| (tank.high_bytes > 0).then(|| part(bytes, tank.high_bytes, cells * 8));
    let mark = tank.low_bytes.and_then(share).map(|eighths| eighths / 8);
    draw(share(tank.level_bytes).unwrap_or(0), cells, mark, style)
}

/// Draws a part of a whole in so many cells.
pub(super) fn done(bytes: u64, of_bytes: u64, cells: usize, style: Style) -> String {
    draw(part(bytes, of_bytes, cells * 8), cells, None, style)
}

/// The part in `steps`, rounded down: only what is full is drawn full.
fn part(bytes: u64, of_bytes: u64, steps: usize) -> usize {
    let steps = u128::try_from(steps).unwrap_or(0);
    let part = u128::from(bytes) * steps / u128::from(of_bytes.max(1));
    usize::try_from(part.min(steps)).unwrap_or(0)
}

fn draw(eighths: usize, cells: usize, mark: Option<usize>, style: Style) -> String {
    let (full, empty, line) = if style.ascii { ('#', '-', ':') } else { ('█', '░', '┊') };
    let cell = |cell: usize| match eighths.saturating_sub(cell * 8) {
        8.. => full,
        filled @ 1.. if !style.ascii => EIGHTHS[filled - 1],
        4.. => full,
        _ if mark == Some(cell) => line,
        _ => empty,
    };
    (0..cells).map(cell).collect()
}

/// Draws percents of the past as a line of columns, the latest at the right; what is unknown is a gap.
pub(super) fn history(percents: &[Option<u64>], style: Style) -> String {
    let levels: &[char] = if style.ascii {
        &['_', '.', '-', '=', '#']
    } else {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    };
    let column = |percent: &Option<u64>| {
        let percent = percent.as_ref()?;
        let step = usize::try_from(*percent.min(&100)).ok()? * levels.len() / 101;
        levels.get(step).copied()
    };
    percents.iter().map(|percent| column(percent).unwrap_or(' ')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_only_when_the_tank_is() {
        let tank = |level_bytes, low_bytes| TankLevel {
            level_bytes,
            high_bytes: 64,
            low_bytes,
            ..TankLevel::default()
        };
        let wide = Style::default();
        let ascii = Style { ascii: true, ..wide };
        for (level_bytes, low_bytes, expected, plain) in [
            (0, None, "░░░░░░░░", "--------"),
            (1, None, "▏░░░░░░░", "--------"),
            (12, Some(32), "█▌░░┊░░░", "##--:---"),
            (63, Some(32), "███████▉", "########"),
            (64, None, "████████", "########"),
            (99, None, "████████", "########"),
        ] {
            let tank = tank(level_bytes, low_bytes);
            assert_eq!(level(&tank, 8, wide), expected);
            assert_eq!(level(&tank, 8, ascii), plain);
        }
        assert_eq!(level(&TankLevel::default(), 2, wide), "░░");
        assert_eq!(done(1, 0, 2, wide), "██");
    }

    #[test]
    fn the_past_has_a_column_a_number() {
        let past = [None, Some(0), Some(50), Some(99), Some(100), Some(400)];
        assert_eq!(history(&past, Style::default()), " ▁▄███");
        assert_eq!(history(&past, Style { ascii: true, color: false }), " _-###");
    }
}
