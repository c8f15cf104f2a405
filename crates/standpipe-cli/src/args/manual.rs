//! What does the manual page say?
//!
//! The same tables as the help, in roff: `standpipe help --man | man -l -`.

use super::{
    commands::COMMANDS,
    flag::{FLAGS, Flag, Group, Values},
    help::{EXAMPLES, TOPICS},
};

/// The day on which the text was last looked over; a page without one is incomplete.
const DAY: &str = "2026-11-25";

const DESCRIPTION: &str = "\
Between each two stages of a pipeline stands a tank, a bounded buffer with a
gauge. All tanks together hold no more than
.B \\-\\-memory
says, and who waits for whom tells which stage is slow.
The display is on stderr; stdout carries data only.
A file gets its name only when the whole run has succeeded.
";

/// Writes the manual page.
pub(super) fn manual() -> String {
    let mut page = format!(
        ".TH STANDPIPE 1 {DAY} \"standpipe {}\" \"User Commands\"\n",
        env!("CARGO_PKG_VERSION")
    );
    page += ".SH NAME\nstandpipe \\- move data through a pipeline with constant memory\n";
    page += ".SH SYNOPSIS\n.nf\n";
    for command in &COMMANDS {
        for usage in command.usage {
            page += &format!("{}\n", escaped(usage));
        }
    }
    page += ".fi\n.SH DESCRIPTION\n";
    page += DESCRIPTION;
    page += ".SH COMMANDS\n";
    for command in &COMMANDS {
        page += &format!(".TP\n.B {}\n{}.\n.RS\n.PP\n.nf\n", command.name, escaped(command.text));
        for line in command.details.lines() {
            page += &format!("{}\n", escaped(line));
        }
        page += ".fi\n.RE\n";
    }
    page += ".SH OPTIONS\n";
    for group in Group::ALL {
        if let Some(title) = group.title() {
            page += &format!(".SS {}\n", escaped(title.trim_end_matches(':')));
        }
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            page += &option(flag);
        }
    }
    for (topic, text) in TOPICS {
        let title = match topic {
            "uris" => "ENDS",
            "sizes" => "SIZES, RATES AND TIMES",
            "exit-codes" => "EXIT STATUS",
            "json" => "EVENTS",
            "built-ins" => "BUILT-IN STAGES",
            "views" => "VIEWS",
            _ => "PIPELINE FILES",
        };
        page += &format!(".SH {title}\n.nf\n");
        for line in text.lines() {
            page += &format!("{}\n", escaped(line));
        }
        page += ".fi\n";
    }
    page += ".SH ENVIRONMENT\n";
    for (name, text) in [
        ("NO_COLOR", "If it is not empty, no colour is used unless --color says so."),
        (
            "FORCE_COLOR, CLICOLOR_FORCE",
            "If not empty and not 0, colour is used where stderr is no terminal.",
        ),
        ("TERM", "If it is dumb, nothing is redrawn and no colour is used."),
        ("LC_ALL, LC_CTYPE, LANG", "The first that is set says whether more than ASCII is drawn."),
    ] {
        page += &format!(".TP\n.B {}\n{}\n", escaped(name), escaped(text));
    }
    page += ".SH EXAMPLES\n";
    page += ".nf\n";
    for example in EXAMPLES {
        page += &format!("{}\n", escaped(example));
    }
    page + ".fi\n"
}

fn option(flag: &Flag) -> String {
    let value = flag.value.map_or_else(String::new, |value| match flag.values {
        Values::Glued => format!("[=\\fI{}\\fR]", escaped(value)),
        _ => format!(" \\fI{}\\fR", escaped(value)),
    });
    let names: Vec<String> =
        flag.names().iter().map(|name| format!("\\fB{}\\fR", escaped(name))).collect();
    let default = flag.default.map_or_else(String::new, |default| format!(" {}", escaped(default)));
    format!(".TP\n{}{value}\n{}.{default}\n", names.join(", "), escaped(flag.text))
}

/// Writes text so that roff takes none of it as a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
