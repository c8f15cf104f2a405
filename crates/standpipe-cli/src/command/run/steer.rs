//! What do keys do to a run?
//!
//! Two of them are signals by another way; others turn the valve before the first tank, or ask the tanks for another
//! size. A run that is paused is not stalled.
//!
//! # Knows / never knows
//! Knows a run and its valve. Never knows how a key is read.

use std::time::Instant;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::Run;
use crate::command::keys::Key;
use crate::exec::sizes;
use crate::exec::valve::{Step, step};
use crate::view::{Phase, Progress, View};

impl Run<'_> {
    /// Does what was asked for by keys.
    pub(super) fn steer(&mut self, at: Instant) {
        let keys = self.keys.as_ref().map(super::Keys::take).unwrap_or_default();
        for key in keys {
            match key {
                Key::Quit => self.on_signal(SIGINT, at),
                Key::Drain => {
                    self.valve.open();
                    self.on_signal(SIGTERM, at);
                }
                Key::Pause if self.cut.is_none() => {
                    self.valve.turn();
                }
                Key::Pause => {}
                Key::Slower => self.limit(Step::Lower, at),
                Key::Faster => self.limit(Step::Higher, at),
                Key::Free => self.valve.set_limit(None),
                Key::Smaller => sizes::halve(self.line.gauges()),
                Key::Larger => sizes::double(self.line.gauges(), self.plan.memory_bytes),
                Key::Help => self.screen.show(View::help),
            }
        }
        if self.valve.is_shut() {
            self.progress.1 = at;
        }
    }

    /// Sets the next limit; without one, it is counted from what passes now.
    fn limit(&self, to: Step, at: Instant) {
        let from = match (self.valve.limit(), to) {
            (Some(limit), _) => limit,
            // without a limit there is nothing higher
            (None, Step::Higher) => return,
            (None, Step::Lower) => match self.progress(at).rate_in.filter(|rate| *rate >= 1.0) {
                Some(rate) => rate,
                None => return,
            },
        };
        self.valve.set_limit(Some(step(from, to)));
    }

    /// Where the run is, for the view.
    pub(super) fn progress(&self, at: Instant) -> Progress {
        let phase = match self.cut {
            None if self.valve.is_shut() => Phase::Paused,
            None => Phase::Running,
            Some(_) if self.drain_until.is_some() => Phase::Draining,
            Some(_) => Phase::Stopping,
        };
        let progress = self.past.progress(self.plan, &self.line, at, self.ran(at));
        Progress { phase, limit: self.valve.limit(), ..progress }
    }
}
