//! What can stderr show?

use std::{
    borrow::Cow,
    env,
    ffi::{OsStr, OsString},
    io::{IsTerminal as _, stderr},
};

use ratatui::style::{Color, Modifier, Style as Dress};
use unicode_width::UnicodeWidthChar as _;

use crate::args::{Display, ViewChoice, When, shown};

/// Columns and rows of a terminal that does not tell.
const COLUMNS: usize = 80;
const ROWS: usize = 24;

/// Columns of a label that is one of many things to read.
const LABEL: usize = 40;

/// What is drawn while a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nothing.
    Nothing,
    /// One line, redrawn.
    Line,
    /// Three rows, redrawn.
    Tanks,
    /// The whole screen.
    Full,
    /// A line now and then.
    Plain,
}

/// How text is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether colour may be used; it never carries a meaning alone.
    pub(crate) color: bool,
    /// Whether all but ASCII is escaped.
    pub(crate) ascii: bool,
}

/// Stderr, as far as drawing cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Whether it is one.
    pub(crate) is_terminal: bool,
    /// Its width.
    pub(crate) columns: usize,
    /// Its height.
    pub(crate) rows: usize,
    /// What is drawn.
    pub(crate) shape: Shape,
    /// How it is drawn.
    pub(crate) style: Style,
}

impl Terminal {
    /// Looks at stderr and the environment variables.
    pub(crate) fn look(display: &Display) -> Self {
        let size = rustix::termios::tcgetwinsize(stderr())
            .map_or([0, 0], |size| [usize::from(size.ws_col), usize::from(size.ws_row)]);
        Self::new(display, stderr().is_terminal(), size, &|name| env::var_os(name))
    }

    /// Decides by what was asked for, then by `variable`, then by what stderr is.
    pub(super) fn new(
        display: &Display,
        is_terminal: bool,
        [columns, rows]: [usize; 2],
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        // whoever does not say what it understands may understand nothing
        let is_dumb = set("TERM").is_none_or(|term| term == "dumb");
        let shape = match display.view {
            _ if display.quiet => Shape::Nothing,
            ViewChoice::None => Shape::Nothing,
            ViewChoice::Plain => Shape::Plain,
            _ if !is_terminal => Shape::Nothing,
            _ if is_dumb => Shape::Plain,
            ViewChoice::Auto | ViewChoice::Line => Shape::Line,
            ViewChoice::Tanks => Shape::Tanks,
            ViewChoice::Full => Shape::Full,
        };
        let is_forced = |name: &str| set(name).is_some_and(|value| value != "0");
        let color = match display.color {
            When::Always => true,
            When::Never => false,
            When::Auto if set("NO_COLOR").is_some() => false,
            When::Auto if is_forced("FORCE_COLOR") || is_forced("CLICOLOR_FORCE") => true,
            When::Auto => is_terminal && !is_dumb,
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(name));
        let ascii = display.ascii || !locale.is_some_and(|locale| is_utf8(&locale));
        let columns = if columns == 0 { COLUMNS } else { columns };
        let rows = if rows == 0 { ROWS } else { rows };
        Self { is_terminal, columns, rows, shape, style: Style { color, ascii } }
    }
}

fn is_utf8(locale: &OsStr) -> bool {
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// A colour, by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Bad,
    Careful,
    Helpful,
    Strong,
}

/// How cells are drawn, by what they say; words say it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Faint,
    /// What limits the flow.
    Slow,
    /// How full a tank is.
    Water,
    Bad,
}

impl Style {
    /// The dress of a cell. All colours can be read on dark and on light.
    pub(super) fn tone(self, tone: Tone) -> Dress {
        let dress = Dress::default();
        match tone {
            _ if !self.color => dress,
            Tone::Plain => dress,
            Tone::Strong => dress.add_modifier(Modifier::BOLD),
            Tone::Faint => dress.add_modifier(Modifier::DIM),
            Tone::Slow => dress.fg(Color::Magenta).add_modifier(Modifier::BOLD),
            Tone::Water => dress.fg(Color::Cyan),
            Tone::Bad => dress.fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// Writes text somebody else wrote so that it cannot steer the terminal.
    pub(super) fn safe(self, text: &str) -> String {
        self.safe_bytes(text.as_bytes())
    }

    /// Writes bytes somebody else wrote likewise; what is not UTF-8 is escaped.
    pub(super) fn safe_bytes(self, text: &[u8]) -> String {
        let text = shown(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(text));
        if !self.ascii || text.is_ascii() {
            return text;
        }
        let mut ascii = String::new();
        for letter in text.chars() {
            if letter.is_ascii() {
                ascii.push(letter);
            } else {
                ascii.extend(letter.escape_default());
            }
        }
        ascii
    }

    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Bad => "1;31",
            Paint::Careful => "1;33",
            Paint::Helpful => "1;36",
            Paint::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Cuts a line to so many columns; wide letters count twice, half a letter is left out.
pub(super) fn cut(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, letter) in text.char_indices() {
        used += letter.width().unwrap_or(0);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

/// The same of a name; what is left out is marked.
pub(crate) fn clipped(text: &str, columns: usize) -> Cow<'_, str> {
    match cut(text, columns) {
        all if all.len() == text.len() => text.into(),
        _ => format!("{}...", cut(text, columns.saturating_sub(3)).trim_end()).into(),
    }
}

/// Writes a label as it stands in a table and between other words: what follows it has to be found.
pub(crate) fn brief(label: &str) -> Cow<'_, str> {
    clipped(label, LABEL)
}

/// Counts the columns of a line.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}
