//! How do a few rows stay below everything else that is written to a terminal?
//!
//! The cursor rests on an empty line below the rows, so what others write there, a question at `/dev/tty` for one,
//! begins on a line of its own. To draw, it goes up and comes back; no terminal has to be asked where it is.
//!
//! # Knows / never knows
//! Knows the rows it has drawn last. Never knows what they show.

use std::time::Duration;

use crossterm::{
    cursor::MoveUp,
    terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate},
};
use ratatui::buffer::Buffer;

use super::ink::{self, Sent};

/// All rows are drawn anew this often: somebody may have typed or written over them.
const HEAL: Duration = Duration::from_secs(1);

/// Rows at the bottom of a terminal.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// What is there; `None`: nothing.
    shown: Option<Buffer>,
    /// Columns of the terminal when that was drawn.
    columns: u16,
    heal_at: Duration,
}

impl Block {
    /// Shows `rows` on a terminal of so many columns; what to send for that.
    pub(super) fn draw(&mut self, rows: Buffer, columns: u16, at: Duration) -> String {
        let mut sent = Sent::default();
        match self.shown.take() {
            Some(shown) if shown.area == rows.area && columns == self.columns => {
                let heals = at >= self.heal_at;
                if shown == rows && !heals {
                    self.shown = Some(shown);
                    return String::new();
                }
                self.heal_at = if heals { at + HEAL } else { self.heal_at };
                let same = |row| {
                    !heals
                        && (0..rows.area.width)
                            .all(|column| shown.cell((column, row)) == rows.cell((column, row)))
                };
                sent.put(BeginSynchronizedUpdate);
                sent.text("\r");
                sent.put(MoveUp(rows.area.height));
                for row in 0..rows.area.height {
                    if !same(row) {
                        sent.row(&rows, row);
                        sent.put(Clear(ClearType::UntilNewLine));
                    }
                    sent.text("\r\n");
                }
                sent.put(EndSynchronizedUpdate);
            }
            shown => {
                sent.put(BeginSynchronizedUpdate);
                if let Some(shown) = shown {
                    erase(&mut sent, &shown, columns);
                }
                below(&mut sent, &rows);
                sent.put(EndSynchronizedUpdate);
                self.heal_at = at + HEAL;
            }
        }
        (self.shown, self.columns) = (Some(rows), columns);
        sent.finish()
    }

    /// Writes `text`, whole lines, above the rows; what to send for that.
    pub(super) fn above(&mut self, text: &str, columns: u16) -> String {
        let Some(rows) = self.shown.take() else { return text.to_owned() };
        let mut sent = Sent::default();
        sent.put(BeginSynchronizedUpdate);
        erase(&mut sent, &rows, columns);
        sent.text(text);
        below(&mut sent, &rows);
        sent.put(EndSynchronizedUpdate);
        (self.shown, self.columns) = (Some(rows), columns);
        sent.finish()
    }

    /// Takes the rows away; what to send for that.
    pub(super) fn erase(&mut self, columns: u16) -> String {
        let Some(rows) = self.shown.take() else { return String::new() };
        let mut sent = Sent::default();
        erase(&mut sent, &rows, columns);
        sent.finish()
    }

    /// Lets the rows stay where they are; nothing is to be sent.
    pub(super) fn leave(&mut self) {
        self.shown = None;
    }
}

/// Goes up to the first row and clears from there. A terminal that became narrower has broken the rows.
fn erase(sent: &mut Sent, rows: &Buffer, columns: u16) {
    let lines = |row| ink::width(rows, row).div_ceil(columns.max(1)).max(1);
    sent.text("\r");
    sent.put(MoveUp((0..rows.area.height).map(lines).sum()));
    sent.put(Clear(ClearType::FromCursorDown));
}

fn below(sent: &mut Sent, rows: &Buffer) {
    for row in 0..rows.area.height {
        sent.row(rows, row);
        sent.text("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&str]) -> Buffer {
        Buffer::with_lines(rows.iter().copied())
    }

    fn frame(text: &str) -> String {
        format!("\x1b[?2026h{text}\x1b[?2026l")
    }

    #[test]
    fn rows_are_drawn_once_and_then_where_they_change() {
        let (mut block, second) = (Block::default(), Duration::from_secs(1));
        let first = rows(&["a  ", "b  "]);
        assert_eq!(block.draw(first.clone(), 80, Duration::ZERO), frame("a\r\nb\r\n"));
        assert_eq!(block.draw(first, 80, second / 2), "");
        let next = rows(&["a  ", "c  "]);
        assert_eq!(block.draw(next.clone(), 80, second / 2), frame("\r\x1b[2A\r\nc\x1b[K\r\n"));
        // the user pressed Enter: a second later all is where it belongs again
        assert_eq!(block.draw(next, 80, second), frame("\r\x1b[2Aa\x1b[K\r\nc\x1b[K\r\n"));
    }

    #[test]
    fn what_others_say_goes_above_and_the_rows_come_back() {
        let mut block = Block::default();
        assert_eq!(block.above("x\n", 80), "x\n");
        block.draw(rows(&["abcdef"]), 80, Duration::ZERO);
        assert_eq!(block.above("x\n", 80), frame("\r\x1b[1A\x1b[Jx\nabcdef\r\n"));
        // a terminal of two columns shows six letters on three lines
        assert_eq!(block.erase(2), "\r\x1b[3A\x1b[J");
        assert_eq!(block.erase(2), "");
    }

    #[test]
    fn a_row_that_is_left_stays() {
        let mut block = Block::default();
        block.draw(rows(&["a"]), 80, Duration::ZERO);
        block.leave();
        assert_eq!(block.above("x\n", 80), "x\n");
    }
}
