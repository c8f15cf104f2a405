//! How does a run look in a log?
//!
//! `nightly: 1.21 GiB 0:00:14 in 88.1 out 88.1 MiB/s tank 92% output is slower (71%)`

use super::{Progress, Style, line};

/// Writes one line, never cut: a log has no width.
pub(super) fn render(progress: &Progress, name: &str, style: Style) -> String {
    let mut text =
        format!("{}: {} {}", style.safe(name), line::moved(progress), line::rates(progress));
    if let Some(tank) = line::fullest(&progress.tanks) {
        text += &format!(" {} {}", line::name(progress, tank), line::level(tank));
    }
    if let Some(slowest) = &progress.slowest {
        text += &format!(" {}", line::verdict(slowest, style));
    }
    text
}
