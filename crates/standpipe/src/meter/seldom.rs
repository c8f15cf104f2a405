//! What does a tank count where the flow turns or goes wrong?
//!
//! Never per item, so a tank that idles has none of it: it is made when the
//! first of these numbers is no longer 0.
//!
//! # Knows / never knows
//! Knows counts and lines of source. Never knows levels or time.

use std::panic::Location;

use crate::snapshot::{Drops, PastMark, Tally};

/// Lines told apart in `past_mark`; more are summed under one name.
const PAST_MARK_LINES: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    pub(super) dropped: Drops,
    pub(super) oversize: u64,
    pub(super) pauses: u64,
    pub(super) refused: u64,
    pub(super) wakes_reader: u64,
    pub(super) wakes_writer: u64,
    past_mark: Option<Box<PastMarks>>,
}

#[derive(Debug, Default)]
struct PastMarks {
    lines: Vec<(&'static Location<'static>, Tally)>,
    elsewhere: Tally,
}

impl Seldom {
    /// Counts a write past the mark from this line.
    pub(super) fn past_mark(&mut self, line: &'static Location<'static>, weight: usize) {
        let marks = self.past_mark.get_or_insert_default();
        if let Some((_, tally)) = marks.lines.iter_mut().find(|(seen, _)| *seen == line) {
            tally.add(weight);
        } else if marks.lines.len() < PAST_MARK_LINES {
            let mut tally = Tally::default();
            tally.add(weight);
            marks.lines.push((line, tally));
        } else {
            marks.elsewhere.add(weight);
        }
    }

    /// The lines that wrote past the mark.
    pub(super) fn past_marks(&self) -> Vec<PastMark> {
        let Some(marks) = &self.past_mark else { return Vec::new() };
        let named = marks.lines.iter().map(|(line, written)| PastMark {
            line: format!("{}:{}", line.file(), line.line()),
            written: *written,
        });
        let rest = (marks.elsewhere.items > 0)
            .then(|| PastMark { line: String::from("elsewhere"), written: marks.elsewhere });
        named.chain(rest).collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_mark_are_told_apart_up_to_a_bound() {
        let mut seldom = Seldom::default();
        let here = [
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
        ];
        assert_eq!(here.len(), PAST_MARK_LINES + 2);
        for line in here.iter().chain(&here) {
            seldom.past_mark(line, 2);
        }
        let lines = seldom.past_marks();
        assert_eq!(lines.len(), PAST_MARK_LINES + 1, "and one for the rest");
        assert!(lines[0].line.contains("seldom.rs:"), "{}", lines[0].line);
        assert_eq!(lines[0].written, Tally { items: 2, weight: 4 });
        let rest = &lines[PAST_MARK_LINES];
        assert_eq!((&*rest.line, rest.written), ("elsewhere", Tally { items: 4, weight: 8 }));
    }
}
