//! What do the keys do, and what do the words mean?

use super::{Page, Scene, Tone};
use crate::view::Phase;

/// Said instead where keys are not read.
pub(super) const NO_KEYS: &str = "Ctrl-C stops the run; this terminal's keys are not read";

const KEYS: [(&str, &str); 8] = [
    ("q", "quit: the run is aborted, as Ctrl-C does; nothing is published"),
    ("d", "drain and stop: read no more, deliver what the tanks hold"),
    ("p", "pause the source, and go on"),
    ("- +", "limit the source, a step lower or higher: 1, 2, 5, 10 ... MiB/s"),
    ("r", "no limit any more"),
    ("t T", "tanks of half or twice the size; a full pipe shrinks when it is read"),
    ("?", "this help, and back"),
    ("Ctrl-Z", "suspend; the time is left out of rates and limits"),
];

const WORDS: [(&str, &str); 5] = [
    ("busy", "working: neither waiting to read nor to write"),
    ("paused", "waiting to write, because the tank after it is full"),
    ("starved", "waiting to read, because the tank before it is empty"),
    ("tank", "what waits between two stages; 100% of its mark pauses the writer"),
    ("slowest", "the stage the others wait for: a faster one would help"),
];

/// The last line.
pub(super) fn hint(scene: &Scene<'_>) -> String {
    let pause = if scene.progress.phase == Phase::Paused { "p go on" } else { "p pause" };
    let help = if scene.help { "? back" } else { "? help" };
    let free = if scene.progress.limit.is_some() { "  r no limit" } else { "" };
    format!("q quit (abort)  d drain and stop  {pause}  -/+ rate limit{free}  {help}")
}

/// Fills the screen with what there is to know.
pub(super) fn explain(page: &mut Page, keys: bool) {
    if keys {
        page.line("KEYS", Tone::Strong);
        for (key, what) in KEYS {
            page.line(&format!("  {key:<8} {what}"), Tone::Plain);
        }
        page.line("", Tone::Plain);
    }
    page.line("WORDS", Tone::Strong);
    for (word, what) in WORDS {
        page.line(&format!("  {word:<8} {what}"), Tone::Plain);
    }
}
