//! How does a screen of cells become what a terminal is sent?
//!
//! A screen is drawn into cells first; what differs from the last one is sent, and nothing else. So a picture that
//! does not change costs nothing, and one that does never flickers.
//!
//! # Knows / never knows
//! Knows cells and control sequences. Never knows what the cells show.

use crossterm::{
    Command,
    cursor::MoveTo,
    style::{Attribute, Color as Ansi, Print, SetAttribute, SetForegroundColor},
};
use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier, Style as Dress},
};
use unicode_width::UnicodeWidthStr as _;

/// Text for a terminal.
#[derive(Debug, Default)]
pub(super) struct Sent {
    text: String,
    worn: Dress,
}

impl Sent {
    /// Appends a command.
    pub(super) fn put(&mut self, command: impl Command) {
        // writing to a string cannot fail
        command.write_ansi(&mut self.text).ok();
    }

    /// Appends text as it is.
    pub(super) fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Letters so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// What is to be sent.
    pub(super) fn finish(mut self) -> String {
        self.wear(Dress::default());
        self.text
    }

    /// Appends a row of a screen; what is blank at its end is left out.
    pub(super) fn row(&mut self, screen: &Buffer, row: u16) {
        let columns = width(screen, row);
        let mut column = 0;
        while column < columns {
            column += self.cell(&screen[(screen.area.x + column, screen.area.y + row)]);
        }
        self.wear(Dress::default());
    }

    /// Appends what `after` shows differently, for a terminal that shows `before`.
    pub(super) fn changes(&mut self, before: &Buffer, after: &Buffer) {
        let mut next = None;
        for (column, row, cell) in before.diff(after) {
            if next != Some((column, row)) {
                self.put(MoveTo(column, row));
            }
            next = Some((column + self.cell(cell), row));
        }
        self.wear(Dress::default());
    }

    /// Appends a cell; how many columns it takes.
    fn cell(&mut self, cell: &Cell) -> u16 {
        self.wear(cell.style());
        self.put(Print(cell.symbol()));
        u16::try_from(cell.symbol().width()).unwrap_or(1).max(1)
    }

    fn wear(&mut self, dress: Dress) {
        let plain = |dress: Dress| Dress {
            fg: dress.fg.filter(|color| *color != Color::Reset),
            add_modifier: dress.add_modifier,
            ..Dress::default()
        };
        let dress = plain(dress);
        if dress == self.worn {
            return;
        }
        self.worn = dress;
        self.put(SetAttribute(Attribute::Reset));
        for (modifier, attribute) in [
            (Modifier::BOLD, Attribute::Bold),
            (Modifier::DIM, Attribute::Dim),
            (Modifier::REVERSED, Attribute::Reverse),
        ] {
            if dress.add_modifier.contains(modifier) {
                self.put(SetAttribute(attribute));
            }
        }
        match dress.fg {
            Some(Color::Red) => self.put(SetForegroundColor(Ansi::DarkRed)),
            Some(Color::Magenta) => self.put(SetForegroundColor(Ansi::DarkMagenta)),
            Some(Color::Cyan) => self.put(SetForegroundColor(Ansi::DarkCyan)),
            _ => {}
        }
    }
}

/// Columns of a row up to the last that is not blank.
pub(super) fn width(screen: &Buffer, row: u16) -> u16 {
    let is_blank = |column: &u16| {
        let cell = &screen[(screen.area.x + column, screen.area.y + row)];
        cell.symbol() == " " && !cell.modifier.contains(Modifier::REVERSED)
    };
    let last = (0..screen.area.width).rev().find(|column| !is_blank(column));
    last.map_or(0, |column| column + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(rows: &[&str]) -> Buffer {
        Buffer::with_lines(rows.iter().copied())
    }

    #[test]
    fn what_did_not_change_is_not_sent() {
        let (before, after) = (screen(&["one two", "same   "]), screen(&["one six", "same   "]));
        let mut sent = Sent::default();
        sent.changes(&before, &after);
        assert_eq!(sent.finish(), "\x1b[1;5Hsix");
        let mut sent = Sent::default();
        sent.changes(&after, &after);
        assert_eq!(sent.finish(), "");
    }

    #[test]
    fn a_row_ends_with_its_last_letter() {
        let mut rows = screen(&["日本 slow   "]);
        rows.set_style(rows.area, Dress::default());
        rows.set_string(5, 0, "slow", Dress::default().fg(Color::Magenta));
        let mut sent = Sent::default();
        sent.row(&rows, 0);
        assert_eq!(sent.finish(), "日本 \x1b[0m\x1b[38;5;5mslow\x1b[0m");
    }
}
