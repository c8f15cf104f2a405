//! What has happened so far that a person may want to know?
//!
//! Levels of tanks, one a second, and lines with the time at which they were true. Both are bounded: what is older
//! than a screen shows is dropped.
//!
//! # Knows / never knows
//! Knows numbers as they come. Never knows how they are drawn.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Phase, Progress, Who};
use crate::size;

/// Seconds of the past that are kept, and lines.
const SECONDS: usize = 240;
const LINES: usize = 200;
/// A stage has to be the slowest for this long to be told.
const LASTS: Duration = Duration::from_secs(2);

/// The past of one run.
#[derive(Debug, Default)]
pub(super) struct Story {
    lines: VecDeque<(Duration, String)>,
    /// A tank each, percents of its high-water mark.
    levels: Vec<VecDeque<Option<u64>>>,
    next: Duration,
    last: Duration,
    has_begun: bool,
    was_full: Vec<bool>,
    slowest: Option<String>,
    /// Who is about to be told as the slowest, and since when.
    rising: Option<(String, Duration)>,
    phase: Phase,
    limit: Option<f64>,
}

impl Story {
    /// Takes note of where the run is.
    pub(super) fn note(&mut self, progress: &Progress) {
        self.last = progress.elapsed;
        if !self.has_begun {
            self.has_begun = true;
            let memory = progress.memory_bytes.map_or_else(String::new, |bytes| {
                format!(", their tanks hold at most {}", size::mark(bytes))
            });
            self.tell(format!("{} stages started{memory}", progress.stages.len()));
        }
        self.levels.resize_with(progress.tanks.len(), VecDeque::new);
        self.was_full.resize(progress.tanks.len(), false);
        let samples = progress.elapsed >= self.next;
        for (at, tank) in progress.tanks.iter().enumerate() {
            let percent = tank.percent();
            if samples {
                let levels = &mut self.levels[at];
                if levels.len() == SECONDS {
                    levels.pop_front();
                }
                levels.push_back(percent);
            }
            // what is nearly full has been full between two looks
            if percent.is_some_and(|percent| percent >= 95) && !self.was_full[at] {
                self.was_full[at] = true;
                self.tell(format!("tank {} is full for the first time", tank.id));
            }
        }
        if samples {
            self.next = progress.elapsed + Duration::from_secs(1);
        }
        self.changes(progress);
    }

    fn changes(&mut self, progress: &Progress) {
        let slowest = progress.slowest.as_ref().and_then(|slowest| match &slowest.who {
            Who::Stage(label) => Some(label.clone()),
            Who::Input => Some("the input".to_owned()),
            Who::Output => Some("the output".to_owned()),
            Who::Rate => Some("--rate".to_owned()),
            Who::Key => Some("a key".to_owned()),
            Who::Nobody => None,
        });
        // a stage that is the slowest for a moment is no news
        let since = match self.rising.take() {
            Some((rising, since)) if Some(&rising) == slowest.as_ref() => since,
            _ => progress.elapsed,
        };
        self.rising = slowest.clone().map(|now| (now, since));
        let lasts = progress.elapsed.saturating_sub(since) >= LASTS;
        if let Some(now) = slowest.filter(|now| lasts && self.slowest.as_ref() != Some(now)) {
            match self.slowest.replace(now.clone()) {
                Some(before) => self.tell(format!("slowest changed: {before} -> {now}")),
                None => self.tell(format!("slowest: {now}")),
            }
        }
        if progress.phase != self.phase {
            self.phase = progress.phase;
            self.tell(progress.phase.word().to_owned());
        }
        if progress.limit != self.limit {
            self.limit = progress.limit;
            self.tell(match progress.limit {
                Some(rate) => format!("source limited to {}", size::rate(rate)),
                None => "source no longer limited".to_owned(),
            });
        }
    }

    /// Takes note of something that was said.
    pub(super) fn tell(&mut self, line: String) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((self.last, line));
    }

    /// The last so many lines, oldest first.
    pub(super) fn lines(&self, most: usize) -> impl Iterator<Item = &(Duration, String)> {
        self.lines.iter().skip(self.lines.len().saturating_sub(most))
    }

    /// How many seconds of the past of a tank are known.
    pub(super) fn seconds(&self, tank: usize) -> usize {
        self.levels.get(tank).map_or(0, VecDeque::len)
    }

    /// The last so many levels of a tank, one a second; unknown ones first if there were not so many.
    pub(super) fn levels(&self, tank: usize, most: usize) -> Vec<Option<u64>> {
        let known = self.levels.get(tank).map_or(0, VecDeque::len).min(most);
        let gap = std::iter::repeat_n(None, most - known);
        let levels = self.levels.get(tank).into_iter().flatten();
        gap.chain(levels.rev().take(known).copied().collect::<Vec<_>>().into_iter().rev()).collect()
    }
}
