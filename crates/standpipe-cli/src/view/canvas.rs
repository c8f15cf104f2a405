//! What is on the whole screen right now?
//!
//! The screen as it was sent last, what happened in the run, and what was said meanwhile: the other screen takes
//! that with it when it goes, so it is kept to be written where it stays.
//!
//! # Knows / never knows
//! Knows what was shown. Never knows whether the terminal is ours.

use std::collections::VecDeque;
use std::time::Duration;

use crossterm::{
    cursor::MoveTo,
    terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate},
};
use ratatui::{buffer::Buffer, layout::Rect};

use super::{Phase, Progress, Style, full, ink::Sent, story::Story};

/// A frame follows the last one after this long at the earliest, unless a key was pressed.
const FRAME: Duration = Duration::from_millis(100);
/// Lines that are kept for later.
const KEPT: usize = 200;

/// The whole screen.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    shown: Option<Buffer>,
    story: Story,
    kept: VecDeque<String>,
    next: Duration,
    help: bool,
    /// What a key changes: seen at once.
    keyed: (bool, Phase, Option<f64>),
}

impl Canvas {
    /// Takes note of where the run is, whether or not it is drawn.
    pub(super) fn note(&mut self, progress: &Progress) {
        self.story.note(progress);
    }

    /// Draws; what to send for that.
    pub(super) fn draw(
        &mut self,
        progress: &Progress,
        (name, keys): (Option<&str>, bool),
        size: [u16; 2],
        style: Style,
    ) -> String {
        let keyed = (self.help, progress.phase, progress.limit);
        let same = self.shown.as_ref().is_some_and(|shown| shown.area == area(size));
        if same && keyed == self.keyed && progress.elapsed < self.next {
            return String::new();
        }
        (self.keyed, self.next) = (keyed, progress.elapsed + FRAME);
        let scene = full::Scene { progress, name, story: &self.story, keys, help: self.help };
        let cells = full::render(&scene, size, style);
        let mut sent = Sent::default();
        sent.put(BeginSynchronizedUpdate);
        let before = self.shown.take().filter(|_| same).unwrap_or_else(|| {
            sent.put(Clear(ClearType::All));
            Buffer::empty(area(size))
        });
        let drawn = sent.len();
        sent.changes(&before, &cells);
        let is_new = sent.len() > drawn || !same;
        self.shown = Some(cells);
        if !is_new {
            return String::new();
        }
        // a question of somebody else's begins here, on the line of the keys
        sent.put(MoveTo(0, size[1].saturating_sub(1)));
        sent.put(EndSynchronizedUpdate);
        sent.finish()
    }

    /// The screen is no longer what it was.
    pub(super) fn forget(&mut self) {
        self.shown = None;
    }

    /// Shows the help, or takes it away.
    pub(super) fn help(&mut self) {
        self.help = !self.help;
    }

    /// Takes note of lines that were said.
    pub(super) fn tell(&mut self, plain: &str) {
        for line in plain.lines().filter(|line| !line.is_empty()) {
            self.story.tell(line.to_owned());
        }
    }

    /// Keeps what was said for the screen that stays.
    pub(super) fn keep(&mut self, text: &str) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(text.to_owned());
    }

    /// What was kept.
    pub(super) fn kept(&mut self) -> String {
        self.kept.drain(..).collect()
    }
}

fn area([columns, rows]: [u16; 2]) -> Rect {
    Rect::new(0, 0, columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_what_changed_and_nothing_if_nothing_did() {
        let mut canvas = Canvas::default();
        let mut progress = Progress::default();
        let mut draw =
            |progress: &Progress| canvas.draw(progress, (None, true), [80, 24], Style::default());
        let first = draw(&progress);
        assert!(first.starts_with("\x1b[?2026h\x1b[2J") && first.contains("SLOWEST"), "{first:?}");
        progress.elapsed = FRAME;
        assert_eq!(draw(&progress), "");
        progress.elapsed = Duration::from_secs(1);
        assert_eq!(draw(&progress), "\x1b[?2026h\x1b[1;80H1\x1b[24;1H\x1b[?2026l");
        progress.phase = Phase::Paused;
        assert!(draw(&progress).contains("by you"), "a key is answered at once");
    }

    #[test]
    fn a_frame_in_which_numbers_change_is_a_few_numbers() {
        let (mut canvas, mut progress) = (Canvas::default(), Progress::default());
        let stage = |label: &str| crate::view::StageNow {
            shares: crate::view::StageShares { label: label.to_owned(), ..Default::default() },
            ended: None,
        };
        progress.stages = ["1 tar c /usr", "2 xz", "3 usr.tar.xz"].map(stage).to_vec();
        let mut frames = Vec::new();
        for frame in 0..100_u32 {
            progress.elapsed = FRAME * frame;
            progress.bytes_in += 300_000;
            for (at, stage) in progress.stages.iter_mut().enumerate() {
                let share = f64::from(frame % 7) / 100.0;
                stage.shares.busy = Some(if at == 1 { 1.0 - share } else { share });
            }
            canvas.note(&progress);
            frames.push(canvas.draw(&progress, (None, true), [120, 40], Style::default()).len());
        }
        let (first, rest) = frames.split_first().expect("there are frames");
        let most = rest.iter().max().expect("there are more");
        // a row of 120 columns would be more than that
        assert!(*first > 1_000 && *most < 200, "{first} bytes, then at most {most}");
    }

    #[test]
    fn what_was_said_is_kept_and_bounded() {
        let mut canvas = Canvas::default();
        for line in 0..=KEPT {
            canvas.keep(&format!("{line}\n"));
        }
        let kept = canvas.kept();
        assert_eq!((kept.lines().count(), kept.lines().next()), (KEPT, Some("1")));
        assert_eq!(canvas.kept(), "");
    }
}
