//! What is this program, and what does the kernel under it support?

use std::fmt::Write;

use crate::args::Detail;
use crate::exec::probe::{self, Answer};
use crate::plan::schemes;
use crate::size::size;

/// Writes the version; its last newline included.
pub(crate) fn version(detail: Detail) -> String {
    let mut text = format!("standpipe {}\n", env!("CARGO_PKG_VERSION"));
    if detail == Detail::Number {
        return text;
    }
    // Writing to a String cannot fail.
    writeln!(text, "ends: PATH - {}", schemes().join(" ")).ok();
    writeln!(text, "kernel: {}", probe::release().as_deref().unwrap_or("unknown")).ok();
    for (name, answer) in probe::calls() {
        let told = match answer {
            Answer::Yes => "yes".to_owned(),
            Answer::No(why) => format!("no ({})", crate::end::reason(&why)),
        };
        writeln!(text, "  {name:16} {told}").ok();
    }
    for (name, bytes) in probe::pipe_limits() {
        let told = bytes.map_or_else(|| "unknown".to_owned(), size);
        writeln!(text, "  {name:16} {told}").ok();
    }
    text
}
