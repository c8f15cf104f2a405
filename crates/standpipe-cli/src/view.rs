//! How is it shown?
//!
//! Renderers are pure: numbers in, text out, so every screen is a golden test. [`View`] alone
//! writes them, to stderr; a stderr that is gone changes nothing but what is seen.
//!
//! # Knows / never knows
//! Knows numbers and labels, in its own small structs. Never knows stages, ends or processes: the
//! room above fills the structs in. Whatever text comes in, control and bidi characters go out
//! escaped.

use std::{
    io::{self, Write},
    time::Duration,
};

use crate::args::{Display, When};

mod canvas;
mod full;
mod story;
mod tanks;
mod block;
mod ink;
mod glass;
mod bar;
mod diagnosis;
pub(crate) mod event;
mod error;
mod plain;
mod line;
mod summary;
mod terminal;
mod voice;

pub(crate) use diagnosis::{Diagnosis, Finding};
pub(crate) use error::{Report, Severity};
pub(crate) use summary::{Ceiling, StageShares, Summary, Twice};
pub(crate) use terminal::{Shape, Style, Terminal, brief, clipped};

pub(crate) use glass::Glass;
pub(crate) use voice::Voice;

use block::Block;
use canvas::Canvas;

/// Columns of a summary that no terminal shows.
const LOG_COLUMNS: usize = 200;
/// A longer name of a stage is cut before a line that it wrote.
const LABEL_COLUMNS: usize = 60;
/// How often a log gets a line.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// Bytes the first stage has put out.
    pub(crate) bytes_in: u64,
    /// Bytes the last stage has taken.
    pub(crate) bytes_out: u64,
    /// That stage, if it is a command: what leaves it nobody here has seen.
    pub(crate) into: Option<String>,
    /// Running time, without what was suspended.
    pub(crate) elapsed: Duration,
    /// Bytes per second, of late.
    pub(crate) rate_in: Option<f64>,
    /// Bytes per second, of late.
    pub(crate) rate_out: Option<f64>,
    /// Expected `bytes_in`.
    pub(crate) total_bytes: Option<u64>,
    /// One per tank, upstream first.
    pub(crate) tanks: Vec<TankLevel>,
    /// The verdict; `None` while there is none.
    pub(crate) slowest: Option<Slowest>,
    /// Whether the bytes are what the system says of whole processes, not what passed us.
    pub(crate) about: bool,
    /// One per stage, upstream first.
    pub(crate) stages: Vec<StageNow>,
    /// What all tanks may hold together; `None`: there are none.
    pub(crate) memory_bytes: Option<u64>,
    /// Whether it goes on.
    pub(crate) phase: Phase,
    /// What the source is limited to, in bytes per second.
    pub(crate) limit: Option<f64>,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does.
    #[default]
    Running,
    /// The source waits until somebody wants it to go on.
    Paused,
    /// The source was stopped, the tanks empty themselves.
    Draining,
    /// It is being ended before its data is.
    Stopping,
}

impl Phase {
    /// The word for it.
    const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}

/// What a stage does of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StageNow {
    /// Where its time goes.
    pub(crate) shares: StageShares,
    /// How it ended, if it has.
    pub(crate) ended: Option<Outcome>,
}

impl StageNow {
    /// Its id: what its label begins with.
    fn id(&self) -> &str {
        self.shares.label.split(' ').next().unwrap_or_default()
    }
}

/// How full a tank is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TankLevel {
    /// `1>2`.
    pub(crate) id: String,
    /// Bytes in it.
    pub(crate) level_bytes: u64,
    /// The level at which it shuts.
    pub(crate) high_bytes: u64,
    /// The level at which it opens again, if that is another.
    pub(crate) low_bytes: Option<u64>,
    /// Bytes per second that enter, of late.
    pub(crate) rate_in: Option<f64>,
    /// Bytes per second that leave, of late.
    pub(crate) rate_out: Option<f64>,
}

impl TankLevel {
    /// The ids of the stages on its two sides.
    fn ids(&self) -> (&str, &str) {
        self.id.split_once('>').unwrap_or((&self.id, ""))
    }

    /// Gives the percent of the high-water mark; 100 is paused.
    fn percent(&self) -> Option<u64> {
        let percent = u128::from(self.level_bytes) * 100 / u128::from(self.high_bytes.max(1));
        u64::try_from(percent).ok().filter(|_| self.high_bytes > 0)
    }
}

/// Which stage is slow, and how sure that is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slowest {
    /// Who.
    pub(crate) who: Who,
    /// Its busy share, 0 to 1.
    pub(crate) busy: Option<f64>,
    /// How sure, 0 to 1.
    pub(crate) confidence: Option<f64>,
    /// The evidence: `1 cat is paused 96% (tank 1>2 98% full)`.
    pub(crate) why: Option<String>,
    /// What would help.
    pub(crate) advice: Option<String>,
}

/// What is slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever writes what the first stage reads.
    Input,
    /// Whoever reads what the last stage writes.
    Output,
    /// A stage, as `2 gzip -6`.
    Stage(String),
    /// `--rate`, which holds the first stage back.
    Rate,
    /// A limit or a pause by key, which does the same.
    Key,
    /// No single stage: they are about equally slow.
    Nobody,
}

/// The display of one run.
#[derive(Debug)]
pub(crate) struct View<W> {
    out: W,
    terminal: Terminal,
    /// `--name`.
    name: Option<String>,
    /// The terminal itself, if stderr is one.
    glass: Option<Glass>,
    /// What `out` is, if it keeps what is not taken at once.
    voice: Option<Voice>,
    /// The rows that are redrawn.
    block: Block,
    /// The whole screen.
    canvas: Canvas,
    /// Whether the cursor stands behind a line that is to be redrawn.
    line_is_open: bool,
    /// The one that is shown.
    line: String,
    next_plain: Duration,
    /// Events have stderr for themselves.
    mute: bool,
}

impl View<Voice> {
    /// Makes the display on stderr.
    pub(crate) fn on_stderr(display: &Display, name: Option<&str>) -> Self {
        let view = Self::new(Voice::default(), Terminal::look(display), name);
        let glass = view.terminal.is_terminal.then(Glass::default);
        Self { glass, mute: display.events_on_stderr, ..view }
    }

    /// What it speaks with.
    pub(crate) fn voice(&self) -> Voice {
        self.out.clone()
    }

    /// From now on waits for nobody.
    pub(crate) fn keep_going(&mut self) {
        self.out.keep();
        self.voice = Some(self.out.clone());
    }
}

impl<W: Write> View<W> {
    /// Makes a display on `out`, which `terminal` describes.
    pub(crate) fn new(out: W, terminal: Terminal, name: Option<&str>) -> Self {
        Self {
            out,
            terminal,
            name: name.map(str::to_owned),
            glass: None,
            voice: None,
            block: Block::default(),
            canvas: Canvas::default(),
            line_is_open: false,
            line: String::new(),
            next_plain: PLAIN_EVERY,
            mute: false,
        }
    }

    /// Whether it would show where a run is that has run for so long: to find that out is not for nothing.
    pub(crate) fn shows_progress(&self, elapsed: Duration) -> bool {
        match self.terminal.shape {
            Shape::Nothing => false,
            Shape::Line | Shape::Tanks | Shape::Full => true,
            Shape::Plain => elapsed >= self.next_plain,
        }
    }

    /// Shows where the run is. Called more often than anybody reads: a log gets a line each 10 s.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        match self.terminal.shape {
            Shape::Nothing => {}
            Shape::Line => {
                let [columns, _] = self.size();
                let line = line::render(progress, columns.into(), self.terminal.style);
                if !self.line_is_open || line != self.line {
                    self.write(&format!("\r{line}\x1b[K"));
                    (self.line_is_open, self.line) = (true, line);
                }
            }
            Shape::Tanks => self.tanks(progress),
            Shape::Full => self.full(progress),
            Shape::Plain if progress.elapsed >= self.next_plain => {
                while self.next_plain <= progress.elapsed {
                    self.next_plain += PLAIN_EVERY;
                }
                self.status(progress);
            }
            Shape::Plain => {}
        }
    }

    /// Shows where the run is as one line of its own, whatever the view: what SIGUSR1 asks for.
    pub(crate) fn status(&mut self, progress: &Progress) {
        let name = self.name.as_deref().unwrap_or("standpipe");
        let line = plain::render(progress, name, self.terminal.style);
        if self.terminal.shape == Shape::Line {
            self.close_line();
        }
        self.say(&format!("{line}\n"));
    }

    /// Shows a line a command wrote to its stderr, above what is redrawn.
    pub(crate) fn child_line(&mut self, label: &str, line: &[u8]) {
        let style = self.terminal.style;
        let text = style.safe_bytes(line);
        let text = format!("{}| {text}\n", style.safe(&clipped(label, LABEL_COLUMNS)));
        self.canvas.tell(&text);
        self.say(&text);
    }

    /// Shows an error, a warning or a note.
    pub(crate) fn report(&mut self, report: &Report) {
        let style = self.terminal.style;
        self.canvas.tell(&report.render(Style { color: false, ..style }));
        self.say(&report.render(style));
    }

    /// Draws the three rows, or one where there is no room for them.
    fn tanks(&mut self, progress: &Progress) {
        if self.glass.as_ref().is_some_and(|glass| !glass.is_ours()) {
            return;
        }
        let [columns, rows] = self.size();
        let style = self.terminal.style;
        let [least_columns, least_rows] = tanks::LEAST;
        let cells = if columns < least_columns || rows < least_rows {
            ratatui::buffer::Buffer::with_lines([line::render(progress, columns.into(), style)])
        } else {
            tanks::render(progress, self.name.as_deref(), columns, style)
        };
        let text = self.block.draw(cells, columns, progress.elapsed);
        self.write(&text);
    }

    /// Draws the whole screen, or three rows where it is too small.
    fn full(&mut self, progress: &Progress) {
        let Some(glass) = self.glass.clone() else { return };
        let size = self.size();
        let style = self.terminal.style;
        self.canvas.note(progress);
        if size[0] < full::LEAST[0] || size[1] < full::LEAST[1] {
            self.leave();
            self.tanks(progress);
            return;
        }
        if !glass.is_ours() {
            self.canvas.forget();
            return;
        }
        if !glass.is_taken() {
            let text = self.block.erase(size[0]);
            self.write(&text);
            if self.mute || !glass.take() {
                return;
            }
            self.canvas.forget();
        }
        let name = self.name.as_deref();
        let text = self.canvas.draw(progress, (name, glass.has_keys()), size, style);
        self.write(&text);
    }

    /// The terminal, if all of its screen is to be ours.
    pub(crate) fn whole(&self) -> Option<Glass> {
        self.glass.clone().filter(|_| self.terminal.shape == Shape::Full && !self.mute)
    }

    /// Explains the keys, or goes back.
    pub(crate) fn help(&mut self) {
        self.canvas.help();
    }

    /// Gives the terminal back before a stop.
    pub(crate) fn suspend(&mut self) {
        self.leave();
        self.block.leave();
    }

    /// Goes on after a stop: the terminal shows something else by now.
    pub(crate) fn resume(&mut self) {
        self.block.leave();
        self.canvas.forget();
        if let Some(glass) = &self.glass {
            glass.retake();
        }
    }

    /// Draws all of the whole screen next time: a terminal that became smaller and is as large as before has lost
    /// what was on it.
    pub(crate) fn resized(&mut self) {
        self.canvas.forget();
    }

    /// Ends the display.
    pub(crate) fn close(&mut self) {
        self.leave();
        self.close_line();
    }

    /// Leaves the whole screen, and writes below what stays what was said on it.
    fn leave(&mut self) {
        if let Some(glass) = self.glass.as_ref().filter(|glass| glass.is_taken()) {
            // what is still to be shown is for the screen that is left
            if let Some(voice) = &self.voice {
                voice.settle();
            }
            glass.give_back();
            self.canvas.forget();
        }
        let kept = self.canvas.kept();
        self.write(&kept);
    }

    /// The columns and rows of the terminal, as they are now.
    fn size(&mut self) -> [u16; 2] {
        if let Some(size) = self.glass.as_ref().and_then(Glass::size) {
            self.terminal.columns = size[0].into();
            self.terminal.rows = size[1].into();
        }
        let cells = |cells| u16::try_from(cells).unwrap_or(u16::MAX);
        [cells(self.terminal.columns), cells(self.terminal.rows)]
    }

    /// Writes lines above whatever is redrawn.
    fn say(&mut self, text: &str) {
        if self.glass.as_ref().is_some_and(Glass::is_taken) {
            self.canvas.keep(text);
            return;
        }
        self.erase_line();
        let [columns, _] = self.size();
        let text = self.block.above(text, columns);
        self.write(&text);
    }

    /// Ends the display, and shows the summary if it is wanted.
    pub(crate) fn summary(&mut self, summary: &Summary, display: &Display, outcome: Outcome) {
        let wanted = match display.summary {
            When::Always => true,
            When::Never => false,
            When::Auto if display.quiet => false,
            // in a script a run that has an answer gives it; a filter, or one that was over at
            // once, keeps quiet
            When::Auto => {
                let answers = !summary.is_filter && summary.slowest.is_some();
                outcome == Outcome::Failed || self.terminal.is_terminal || answers
            }
        };
        self.leave();
        if wanted {
            // it has all that the rows say
            let [columns, _] = self.size();
            let text = self.block.erase(columns);
            self.write(&text);
        }
        self.close_line();
        if wanted {
            // a log has no edge to cut a line at
            let columns =
                if self.terminal.is_terminal { self.terminal.columns } else { LOG_COLUMNS };
            let text = summary.render(columns, self.terminal.style);
            self.write(&text);
        }
    }

    /// Ends what is redrawn, its last state stays.
    pub(crate) fn close_line(&mut self) {
        self.block.leave();
        if std::mem::take(&mut self.line_is_open) {
            self.write("\n");
        }
    }

    /// Removes the line that is redrawn; the next progress draws it below.
    fn erase_line(&mut self) {
        if std::mem::take(&mut self.line_is_open) {
            self.write("\r\x1b[K");
        }
    }

    /// Writes all at once. A display that fails must not fail the run.
    fn write(&mut self, text: &str) {
        if self.mute || text.is_empty() {
            return;
        }
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).ok();
    }
}

/// How a run ended, as far as the summary cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All data was delivered.
    Succeeded,
    /// It was not.
    Failed,
}

/// Puts what the doctor found into words, for stdout.
pub(crate) fn diagnosis(diagnosis: &Diagnosis) -> String {
    diagnosis.render(Style { color: false, ..Terminal::look(&Display::default()).style })
}

/// Prints what was asked for, help or version, to stdout.
///
/// # Errors
/// If stdout does not take it; a reader that left is an error too, which the caller forgives.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints text that is ours to stderr: the short help nobody asked for.
pub(crate) fn print_on_stderr(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

#[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
