//! How does a run look in three rows?
//!
//! ```text
//! nightly-dump  349 MiB of 2.20 GiB  15%  0:01:29  ETA 0:08:16  mem 9.20 of 64 MiB
//! 1 pg_dump shop  ▕███████▉▏ 2 zstd -19  ▕▉░░░░░░░▏ 3 ssh backup  slowest: 2 zstd -19
//! paused 91%          98%    busy 99%        11%    starved 88%   3.9 > 1.0 MiB/s
//! ```

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    Outcome, Phase, Progress, Slowest, StageNow, Style, TankLevel, Who, bar, line,
    terminal::{self, Tone},
};
use crate::size;

/// What a state needs: `starved 88%`.
const STATE: usize = 11;
/// Fewer columns than these have no room for more than one stage and its tanks.
const NARROW: usize = 60;
/// Fewer columns than these have no room for a tank beside the verdict.
pub(super) const LEAST: [u16; 2] = [40, 6];

/// Draws the rows for a terminal of so many columns. The last column stays free, or some would wrap.
pub(super) fn render(
    progress: &Progress,
    name: Option<&str>,
    columns: u16,
    style: Style,
) -> Buffer {
    let columns = columns.saturating_sub(1);
    let mut rows = Buffer::empty(Rect::new(0, 0, columns, 3));
    let width = usize::from(columns);
    if let Some(cells) = narrow(progress, width, style) {
        rows.set_string(0, 0, short(progress, width), style.tone(Tone::Plain));
        set(&mut rows, cells, style);
        return rows;
    }
    rows.set_string(0, 0, head(progress, name, width, style), style.tone(Tone::Plain));
    let label = (width / 4).max(16);
    let who = match progress.phase {
        Phase::Paused => "paused by you".to_owned(),
        _ => verdict(progress.slowest.as_ref(), label, style),
    };
    let rates = passing(progress);
    let right = terminal::columns(&who).max(terminal::columns(&rates));
    let cells = cells(progress, width.saturating_sub(right + 2), style);
    let taken: usize = cells.iter().map(|cell| cell.width + 1).sum();
    set(&mut rows, cells, style);
    let at = column(if taken == 0 { 0 } else { taken + 1 });
    let room = usize::from(columns.saturating_sub(at));
    rows.set_stringn(at, 1, who, room, style.tone(Tone::Strong));
    rows.set_stringn(at, 2, rates, room, style.tone(Tone::Plain));
    rows
}

fn set(rows: &mut Buffer, cells: Vec<Column>, style: Style) {
    let mut at = 0;
    for cell in cells {
        rows.set_string(at, 1, cell.top, style.tone(cell.tone));
        let below = if cell.tone == Tone::Water { Tone::Plain } else { cell.tone };
        rows.set_string(at, 2, cell.bottom, style.tone(below));
        at += column(cell.width + 1);
    }
}

fn column(columns: usize) -> u16 {
    u16::try_from(columns).unwrap_or(u16::MAX)
}

/// What was moved, the time, what is to come, the memory; the least important is left out first.
fn head(progress: &Progress, name: Option<&str>, columns: usize, style: Style) -> String {
    let name = name.map(|name| style.safe(name));
    let phase = (progress.phase != Phase::Running).then(|| progress.phase.word().to_owned());
    let moved = line::moved_parts(progress);
    let held: u64 = progress.tanks.iter().map(|tank| tank.level_bytes).sum();
    let memory = progress.memory_bytes.map(|limit| format!("mem {}", size::part(held, limit)));
    let both = [name, phase.clone(), Some(moved.clone()), memory.clone()];
    let variants = [
        both.clone(),
        [both[0].clone(), phase.clone(), Some(moved.clone()), None],
        [None, phase.clone(), Some(moved.clone()), memory],
        [None, phase.clone(), Some(moved), None],
        [None, phase, Some(size::size(progress.bytes_in)), Some(size::clock(progress.elapsed))],
    ];
    let mut texts =
        variants.map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join("  "));
    let fits = |text: &&mut String| terminal::columns(text) <= columns;
    match texts.iter_mut().find(fits) {
        Some(text) => std::mem::take(text),
        None => terminal::cut(&texts[4], columns).to_owned(),
    }
}

fn verdict(slowest: Option<&Slowest>, columns: usize, style: Style) -> String {
    match slowest {
        None => "slowest: -".to_owned(),
        Some(slowest) => match &slowest.who {
            Who::Stage(label) => format!("slowest: {}", fit(&style.safe(label), columns, style)),
            who => line::who(who, style),
        },
    }
}

/// Both rates: `3.9 > 1.0 MiB/s`.
fn passing(progress: &Progress) -> String {
    let [rate_in, rate_out, unit] = line::rate_parts(progress);
    format!("{rate_in} > {rate_out} {unit}")
}

/// A stage or a tank: what stands in the second row, and in the third.
struct Column {
    top: String,
    bottom: String,
    width: usize,
    tone: Tone,
}

/// Where there is room for one stage: the slowest, with the tanks beside it, that say why.
///
/// ```text
/// 349 MiB  0:01:29  3.9 > 1.0 MiB/s
/// … ▕███▉▏ slowest: 2 zstd -19 ▕▍░┊░▏ …
///     98%  busy 99%              11%
/// ```
fn narrow(progress: &Progress, columns: usize, style: Style) -> Option<Vec<Column>> {
    let at = progress.stages.iter().position(|stage| is_slowest(progress, stage))?;
    if columns >= NARROW {
        return None;
    }
    let slowest = &progress.stages[at];
    let id = slowest.id();
    let tank = |tank: Option<&TankLevel>| tank.map(|tank| tank_cell(tank, 4, style));
    let before = tank(progress.tanks.iter().find(|tank| tank.ids().1 == id));
    let after = tank(tanks_after(progress, slowest).next());
    let more = |is_more: bool| is_more.then(|| more(style));
    let left = [more(at > 1), before];
    let right = [after, more(at + 2 < progress.stages.len())];
    let taken: usize =
        left.iter().chain(&right).flatten().map(|cell: &Column| cell.width + 1).sum();
    let words = "slowest: ";
    let label = columns.checked_sub(taken + words.len()).filter(|room| *room >= STATE)?;
    let top = format!("{words}{}", fit(&style.safe(&slowest.shares.label), label, style));
    let bottom = state(slowest);
    let width = terminal::columns(&top);
    let stage = Column { top, bottom, width, tone: tone(slowest, true) };
    Some(left.into_iter().chain([Some(stage)]).chain(right).flatten().collect())
}

/// What was moved and how fast, for a narrow terminal.
fn short(progress: &Progress, columns: usize) -> String {
    let phase = (progress.phase != Phase::Running).then(|| progress.phase.word().to_owned());
    let (moved, time) = (size::size(progress.bytes_in), size::clock(progress.elapsed));
    let rates = passing(progress);
    let all = [Some(moved.clone()), Some(time.clone()), Some(rates.clone())];
    // an unusual phase takes the place of the time
    let variants = match phase {
        None => [all, [Some(moved.clone()), None, Some(rates)], [None, Some(moved), Some(time)]],
        Some(phase) => [
            [Some(phase.clone()), Some(moved.clone()), Some(rates)],
            [Some(phase.clone()), Some(moved.clone()), Some(time)],
            [Some(phase), Some(moved), None],
        ],
    };
    let mut texts =
        variants.map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join("  "));
    match texts.iter_mut().find(|text| terminal::columns(text) <= columns) {
        Some(text) => std::mem::take(text),
        None => terminal::cut(&texts[2], columns).to_owned(),
    }
}

/// The stages and tanks that fit, whole if possible; else those round the slowest.
fn cells(progress: &Progress, room: usize, style: Style) -> Vec<Column> {
    let widths = |cells: &[Column]| cells.iter().map(|cell| cell.width + 1).sum::<usize>();
    for (label, bar) in [(24, 8), (20, 8), (16, 8), (12, 6), (11, 4)] {
        let all = all(progress, label, bar, style);
        if widths(&all) <= room + 1 {
            return all;
        }
    }
    let mut all: Vec<Option<Column>> = all(progress, 11, 4, style).into_iter().map(Some).collect();
    let is_slow = |cell: &Option<Column>| matches!(cell, Some(cell) if cell.tone == Tone::Slow);
    let focus = all.iter().position(is_slow).unwrap_or(0);
    let fits = |from: usize, to: usize| {
        let cells = all.get(from..to).unwrap_or_default().iter().flatten();
        // both sides may need a sign that there is more
        cells.map(|cell| cell.width + 1).sum::<usize>() + 6 <= room
    };
    let (mut from, mut to) = (focus, focus);
    // the slow stage first, then what fills up above it: that tells more than what lies below
    if fits(from, to + 1) {
        to += 1;
    }
    while to > from && from > 0 && fits(from - 1, to) {
        from -= 1;
    }
    while to > from && to < all.len() && fits(from, to + 1) {
        to += 1;
    }
    if from == to {
        return Vec::new();
    }
    let before = (from > 0).then(|| more(style));
    let after = (to < all.len()).then(|| more(style));
    let middle: Vec<Column> = all[from..to].iter_mut().filter_map(Option::take).collect();
    before.into_iter().chain(middle).chain(after).collect()
}

/// Stands for what is not shown.
fn more(style: Style) -> Column {
    let top = if style.ascii { ".." } else { "…" }.to_owned();
    let width = terminal::columns(&top);
    Column { top, bottom: String::new(), width, tone: Tone::Faint }
}

fn all(progress: &Progress, label: usize, bar: usize, style: Style) -> Vec<Column> {
    let mut cells = Vec::new();
    for stage in &progress.stages {
        let slow = is_slowest(progress, stage);
        let top = fit(&style.safe(&stage.shares.label), label, style);
        let bottom = state(stage);
        let width = terminal::columns(&top).max(terminal::columns(&bottom)).max(STATE);
        let tone = tone(stage, slow);
        cells.push(Column { top, bottom, width, tone });
        cells.extend(tanks_after(progress, stage).map(|tank| tank_cell(tank, bar, style)));
    }
    cells
}

fn tank_cell(tank: &TankLevel, cells: usize, style: Style) -> Column {
    let (left, right) = if style.ascii { ('[', ']') } else { ('▕', '▏') };
    let top = format!("{left}{}{right}", bar::level(tank, cells, style));
    let bottom = format!("{:^width$}", line::level(tank), width = cells + 2);
    Column { top, bottom, width: cells + 2, tone: Tone::Water }
}

/// The tanks a stage writes to.
pub(super) fn tanks_after<'a>(
    progress: &'a Progress,
    stage: &'a StageNow,
) -> impl Iterator<Item = &'a TankLevel> {
    let id = stage.id();
    progress.tanks.iter().filter(move |tank| tank.ids().0 == id)
}

/// Says whether a stage is to be marked; of a run that is paused none holds up anything.
pub(super) fn is_slowest(progress: &Progress, stage: &StageNow) -> bool {
    if progress.phase == Phase::Paused {
        return false;
    }
    let who = progress.slowest.as_ref().map(|slowest| &slowest.who);
    matches!(who, Some(Who::Stage(label)) if *label == stage.shares.label)
}

/// How a stage is drawn; its state is a word as well.
pub(super) fn tone(stage: &StageNow, slow: bool) -> Tone {
    match stage.ended {
        Some(Outcome::Failed) => Tone::Bad,
        Some(Outcome::Succeeded) => Tone::Faint,
        None if slow => Tone::Slow,
        None => Tone::Plain,
    }
}

/// What a stage does most: `paused 91%`.
pub(super) fn state(stage: &StageNow) -> String {
    let shares = &stage.shares;
    let known = [("busy", shares.busy), ("paused", shares.paused), ("starved", shares.starved)];
    let known = known
        .into_iter()
        .filter_map(|(word, share)| Some((word, share.filter(|share| share.is_finite())?)));
    match (stage.ended, known.max_by(|one, other| one.1.total_cmp(&other.1))) {
        (Some(Outcome::Failed), _) => "failed".to_owned(),
        (Some(Outcome::Succeeded), _) => "done".to_owned(),
        (None, Some((word, share))) => format!("{word} {}", size::percent(share)),
        (None, None) => "-".to_owned(),
    }
}

/// Shortens a label to so many columns, at the end of a word if that leaves enough of it.
pub(super) fn fit(label: &str, columns: usize, style: Style) -> String {
    if terminal::columns(label) <= columns {
        return label.to_owned();
    }
    let cut = terminal::cut(label, columns);
    let words = cut.rfind(' ').map_or("", |end| &cut[..end]);
    // an id alone names nothing
    if words.trim_end().contains(' ') {
        return words.trim_end().to_owned();
    }
    let sign = if style.ascii { ".." } else { "…" };
    format!("{}{sign}", terminal::cut(label, columns.saturating_sub(terminal::columns(sign))))
}
