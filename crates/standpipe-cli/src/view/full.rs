//! How does a run look on a whole screen?
//!
//! The answer first, in words; then why, and what to try; only then stages and tanks, their past, and what
//! happened. Where the room is short the past goes first, then stages far from the slowest.

use std::time::Duration;

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    Outcome, Phase, Progress, StageNow, Style, TankLevel, bar, line,
    story::Story,
    summary, tanks,
    terminal::{self, Tone},
};
use crate::size;

mod help;

/// Columns and rows below which there is no room for it.
pub(super) const LEAST: [u16; 2] = [80, 24];
/// The verdict rests on this many seconds.
const VERDICT: u64 = 10;
/// Lines of the log that are kept whatever else there is to show.
const LOG: usize = 2;

/// What is to be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) progress: &'a Progress,
    pub(super) name: Option<&'a str>,
    pub(super) story: &'a Story,
    /// Whether keys are read.
    pub(super) keys: bool,
    /// Whether they are explained.
    pub(super) help: bool,
}

/// Draws it on so many columns and rows.
pub(super) fn render(scene: &Scene<'_>, size: [u16; 2], style: Style) -> Buffer {
    let [columns, rows] = size;
    let mut page = Page::new(columns, rows, style);
    header(&mut page, scene);
    page.rule();
    if scene.help {
        help::explain(&mut page, scene.keys);
    } else {
        verdict(&mut page, scene.progress);
        page.rule();
        body(&mut page, scene);
    }
    page.next = rows.saturating_sub(2);
    page.rule();
    let hint = if scene.keys { help::hint(scene) } else { help::NO_KEYS.to_owned() };
    page.line(&hint, Tone::Faint);
    page.cells
}

fn header(page: &mut Page, scene: &Scene<'_>) {
    let progress = scene.progress;
    let dot = if page.style.ascii { '-' } else { '·' };
    let name =
        scene.name.map_or_else(String::new, |name| format!(" {dot} {}", page.style.safe(name)));
    let limit =
        progress.limit.map_or_else(String::new, |rate| format!("limit {}   ", size::rate(rate)));
    let right = format!("{limit}{}   {}", progress.phase.word(), size::clock(progress.elapsed));
    let room = page.width().saturating_sub(terminal::columns(&right) + 2);
    let left = format!("standpipe{name}");
    let left = terminal::cut(&left, room);
    let gap = " "
        .repeat(page.width().saturating_sub(terminal::columns(left) + terminal::columns(&right)));
    page.line(&format!("{left}{gap}{right}"), Tone::Strong);
    let held: u64 = progress.tanks.iter().map(|tank| tank.level_bytes).sum();
    let memory = progress.memory_bytes.map(|limit| format!("mem {}", size::part(held, limit)));
    let written = size::size(progress.bytes_out);
    let written = match progress.into.as_deref().and_then(|label| label.split(' ').next()) {
        Some(id) => format!("{written} into stage {}", page.style.safe(id)),
        None => format!("written {written}"),
    };
    let about = if progress.about { "about " } else { "" };
    let read = format!("read {about}{}", size::size(progress.bytes_in));
    let mut parts = vec![read, written];
    if let Some(total) = progress.total_bytes.filter(|total| *total > 0) {
        let percent = u128::from(progress.bytes_in) * 100 / u128::from(total);
        parts[0] += &format!(" of {} ({percent}%)", size::size(total));
        if page.width() >= 110 {
            parts[0] += &format!("  {}", bar::done(progress.bytes_in, total, 24, page.style));
        }
        let eta = line::eta(progress, total).map(|eta| Duration::from_secs(eta.as_secs()));
        parts.push(format!("ETA {}", eta.map_or_else(|| "-".to_owned(), size::time)));
    }
    parts.extend(memory);
    // what does not fit is left out, the last first: half a number would be a wrong one
    while parts.len() > 1 && terminal::columns(&parts.join("  ")) > page.width() {
        parts.pop();
    }
    page.line(&parts.join("  "), Tone::Plain);
}

/// Three lines: who, why, what to try.
fn verdict(page: &mut Page, progress: &Progress) {
    let mark = if page.style.ascii { '>' } else { '▶' };
    let mut lines = match &progress.slowest {
        _ if progress.phase == Phase::Paused => vec![
            "PAUSED by you: nothing is read from the source".to_owned(),
            "  the stages empty their tanks and then wait; `p` goes on".to_owned(),
        ],
        None => vec!["SLOWEST: not known yet".to_owned()],
        Some(slowest) => {
            let mut lines = summary::verdict(slowest, page.style);
            if slowest.busy.is_some() && progress.elapsed.as_secs() >= VERDICT {
                lines[0] += &format!(" (last {VERDICT} s)");
            }
            lines
        }
    };
    lines.resize(3, String::new());
    page.line(&format!("{mark} {}", lines[0]), Tone::Slow);
    page.line(&lines[1], Tone::Plain);
    page.line(&lines[2], Tone::Plain);
}

/// The table, the past, the log.
fn body(page: &mut Page, scene: &Scene<'_>) {
    let progress = scene.progress;
    let room = usize::from(page.cells.area.height.saturating_sub(page.next + 2));
    let rows = table(page, progress);
    // header of the table, a rule before the log, the log
    let for_table = room.saturating_sub(2 + LOG);
    heads(page);
    let shown = window(&rows, for_table);
    for row in &rows[shown.clone()] {
        page.parts(&row.parts);
    }
    let hidden = rows.iter().filter(|row| row.is_stage).count()
        - rows[shown.clone()].iter().filter(|row| row.is_stage).count();
    if hidden > 0 {
        page.line(
            &format!("   and {hidden} more stages; a taller terminal shows them"),
            Tone::Faint,
        );
    }
    let left = for_table.saturating_sub(shown.len() + usize::from(hidden > 0));
    if left > progress.tanks.len().min(2) && !progress.tanks.is_empty() {
        page.line("", Tone::Plain);
        for (at, tank) in progress.tanks.iter().enumerate().take(left - 1) {
            page.parts(&past(page, scene.story, at, tank));
        }
    }
    page.rule();
    let lines = usize::from(page.cells.area.height.saturating_sub(page.next + 2));
    let told: Vec<String> = scene
        .story
        .lines(lines)
        .map(|(at, text)| format!("{}  {}", size::clock(*at), page.style.safe(text)))
        .collect();
    for text in told {
        page.line(&text, Tone::Plain);
    }
}

fn past(page: &Page, story: &Story, at: usize, tank: &TankLevel) -> Parts {
    let name = format!("tank {}", page.style.safe(&tank.id));
    let room = page.width().saturating_sub(31);
    let levels = bar::history(&story.levels(at, room), page.style);
    let seconds = story.seconds(at).min(room);
    // as wide as it will be when the room is filled
    let width = room.to_string().len();
    vec![
        (format!("   {name:<10} last {seconds:>width$} s  "), Tone::Plain),
        (levels, Tone::Water),
        (format!(" {:>4}", line::level(tank)), Tone::Plain),
    ]
}

/// A line of several tones.
type Parts = Vec<(String, Tone)>;

struct Row {
    parts: Parts,
    is_slow: bool,
    is_stage: bool,
}

/// The rows that fit, round the slowest stage.
fn window(rows: &[Row], most: usize) -> std::ops::Range<usize> {
    if rows.len() <= most {
        return 0..rows.len();
    }
    // a line tells that there is more
    let most = most.saturating_sub(1);
    let focus = rows.iter().position(|row| row.is_slow).unwrap_or(0);
    let from = focus.saturating_sub(most / 2).min(rows.len() - most);
    from..from + most
}

/// Width of each number, and what it is.
fn numbers(page: &Page) -> &'static [(&'static str, usize)] {
    if page.width() >= 100 {
        &[("IN", 13), ("OUT", 13), ("BUSY", 8), ("PAUSED", 9), ("STARVED", 10)]
    } else {
        &[("RATE", 13), ("BUSY", 8), ("PAUSED", 9), ("STARVED", 10)]
    }
}

fn label_columns(page: &Page) -> usize {
    let numbers: usize = numbers(page).iter().map(|(_, width)| width).sum();
    page.width().saturating_sub(numbers + 4)
}

fn heads(page: &mut Page) {
    let mut text = format!("   {:<width$}", "STAGE / TANK", width = label_columns(page));
    for (name, width) in numbers(page) {
        text += &format!("{name:>width$}");
    }
    page.line(&text, Tone::Faint);
}

fn table(page: &Page, progress: &Progress) -> Vec<Row> {
    let mut rows = Vec::new();
    for stage in &progress.stages {
        rows.push(stage_row(page, progress, stage));
        let tanks = tanks::tanks_after(progress, stage);
        rows.extend(tanks.map(|tank| Row {
            parts: tank_row(page, tank),
            is_slow: false,
            is_stage: false,
        }));
    }
    rows
}

fn stage_row(page: &Page, progress: &Progress, stage: &StageNow) -> Row {
    let slow = tanks::is_slowest(progress, stage);
    let mark = match (slow, page.style.ascii) {
        (true, true) => '>',
        (true, false) => '▶',
        (false, _) => ' ',
    };
    let columns = label_columns(page);
    let label =
        tanks::fit(&page.style.safe(&stage.shares.label), columns.saturating_sub(1), page.style);
    let gap = " ".repeat(columns.saturating_sub(terminal::columns(&label)));
    let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), size::rate);
    let sum = |rates: &mut dyn Iterator<Item = Option<f64>>| {
        rates.fold(None, |sum: Option<f64>, rate| Some(sum.unwrap_or(0.0) + rate?))
    };
    let id = stage.id();
    let before = progress.tanks.iter().filter(|tank| tank.ids().1 == id);
    let gets = sum(&mut before.map(|tank| tank.rate_out));
    let gives = sum(&mut tanks::tanks_after(progress, stage).map(|tank| tank.rate_in));
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), size::percent);
    let shares = &stage.shares;
    let shares = match stage.ended {
        Some(Outcome::Failed) => ["failed".to_owned(), String::new(), String::new()],
        Some(Outcome::Succeeded) => ["done".to_owned(), String::new(), String::new()],
        None => [share(shares.busy), share(shares.paused), share(shares.starved)],
    };
    let rates = if page.width() >= 100 {
        vec![rate(gets), rate(gives)]
    } else {
        vec![rate(gives.or(gets))]
    };
    let mut text = format!(" {mark} {label}{gap}");
    for ((_, width), number) in numbers(page).iter().zip(rates.into_iter().chain(shares)) {
        text += &format!("{number:>width$}");
    }
    Row { parts: vec![(text, tanks::tone(stage, slow))], is_slow: slow, is_stage: true }
}

fn tank_row(page: &Page, tank: &TankLevel) -> Parts {
    let pipe = if page.style.ascii { '|' } else { '│' };
    let cells = page.width().saturating_sub(48).clamp(10, 40);
    let level = size::part(tank.level_bytes, tank.high_bytes);
    let low = match tank.low_bytes {
        Some(low) if page.width() >= 100 => format!("  goes on at {}", size::mark(low)),
        _ => String::new(),
    };
    let bar = bar::level(tank, cells, page.style);
    vec![
        (format!("     {pipe} "), Tone::Plain),
        (bar, Tone::Water),
        (format!(" {:>4}  {level}{low}", line::level(tank)), Tone::Plain),
    ]
}

/// A screen that is written from top to bottom; what does not fit is cut.
struct Page {
    cells: Buffer,
    style: Style,
    next: u16,
}

impl Page {
    fn new(columns: u16, rows: u16, style: Style) -> Self {
        Self { cells: Buffer::empty(Rect::new(0, 0, columns, rows)), style, next: 0 }
    }

    fn width(&self) -> usize {
        self.cells.area.width.into()
    }

    fn line(&mut self, text: &str, tone: Tone) {
        self.parts(&[(text, tone)]);
    }

    fn parts(&mut self, parts: &[(impl AsRef<str>, Tone)]) {
        if self.next >= self.cells.area.height {
            return;
        }
        let mut column = 0;
        for (text, tone) in parts {
            let room = self.width().saturating_sub(column.into());
            let tone = self.style.tone(*tone);
            (column, _) = self.cells.set_stringn(column, self.next, text, room, tone);
        }
        self.next += 1;
    }

    fn rule(&mut self) {
        let line = if self.style.ascii { "-" } else { "─" }.repeat(self.width());
        self.line(&line, Tone::Faint);
    }
}
