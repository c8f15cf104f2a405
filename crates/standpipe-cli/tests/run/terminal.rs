//! What does a run look like at a terminal, a small or a poor one?

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::rig::standpipe;

/// Runs with a terminal of so many columns and rows as stderr; what was drawn on it.
fn drawn(size: [u16; 2], variables: &[(&str, &str)], args: &[&str]) -> String {
    drawn_beside(Beside::Nothing, size, variables, args)
}

/// What stdout is.
#[derive(PartialEq, Eq)]
enum Beside {
    Nothing,
    /// The same terminal.
    Data,
}

fn drawn_beside(
    beside: Beside,
    size: [u16; 2],
    variables: &[(&str, &str)],
    args: &[&str],
) -> String {
    let [ours, theirs] = terminal(size);
    let mut command = standpipe(args);
    let stdout = match beside {
        Beside::Nothing => Stdio::null(),
        Beside::Data => theirs.try_clone().expect("there are descriptors").into(),
    };
    command.env("TERM", "xterm").stdout(stdout).stderr(theirs);
    command.envs(variables.iter().copied());
    let mut child = command.spawn().expect("it starts");
    drop(command); // it holds their side
    // the end is an error: there is nobody on the other side any more
    let mut text = Vec::new();
    let mut ours = ours;
    ours.read_to_end(&mut text).expect_err("the other side is closed");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    String::from_utf8(text).expect("what we draw is UTF-8")
}

/// The two sides of a terminal of so many columns and rows: what is shown is read from the first.
pub(crate) fn terminal([ws_col, ws_row]: [u16; 2]) -> [File; 2] {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("it is ours");
    tcsetwinsize(&ours, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("it has a size");
    let name = ptsname(&ours, Vec::new()).expect("it has a name").into_string().expect("in UTF-8");
    let theirs = File::options().write(true).open(name).expect("it is unlocked");
    [File::from(ours), theirs]
}

/// A run that is long enough to be shown.
const RUN: [&str; 6] = ["-r", "1MB/s", "--from", "zero:400K", "-c", "cat"];

/// Removes what colours and clears.
fn bare(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
    })
}

#[test]
fn a_line_is_redrawn_and_a_summary_follows() {
    let text = drawn([80, 24], &[], &[&["--view", "line"], &RUN[..]].concat());
    assert!(text.contains("\r0 B ") || text.contains(" KiB "), "{text:?}");
    assert!(text.contains("\x1b[K") && text.contains("\x1b[1mSLOWEST: "), "{text:?}");
}

/// The output of the last stage began behind the line that is redrawn, and the next drawing went over it.
#[test]
fn a_line_that_is_redrawn_does_not_get_into_the_data_at_the_same_terminal() {
    let script = "cat >/dev/null; echo the data";
    // long enough for a second frame on a busy machine
    let args = ["-r", "1MB/s", "--from", "zero:1M", "--", "sh", "-c", script];
    let text = drawn_beside(Beside::Data, [80, 24], &[], &args);
    assert!(text.starts_with("the data\r\n\x1b[1mSLOWEST: "), "{text:?}");
    let asked =
        drawn_beside(Beside::Data, [80, 24], &[], &[&["--view", "line"], &args[..]].concat());
    assert!(asked.contains("\x1b[K"), "{asked:?}");
    let elsewhere =
        [&args[..5], &["sh", "-c", "cat >/dev/null", "::", "cat"], &["::", "null:"]].concat();
    assert!(drawn_beside(Beside::Data, [80, 24], &[], &elsewhere).contains("\x1b[K"));
}

#[test]
fn a_tiny_terminal_is_never_made_to_wrap() {
    let text = bare(&drawn([20, 5], &[], &RUN));
    assert!(text.contains("SLOWEST: "), "{text:?}");
    for line in text.split(['\r', '\n']) {
        assert!(line.chars().count() <= 20, "{line:?}");
    }
    // a terminal that does not know its size has 80 columns
    let text = bare(&drawn([0, 0], &[], &RUN));
    assert!(text.split(['\r', '\n']).any(|line| line.chars().count() > 20), "{text:?}");
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() {
    let colours = |variables: &[(&str, &str)], options: &[&str]| {
        drawn([80, 24], variables, &[options, &RUN].concat()).contains("\x1b[1m")
    };
    assert!(colours(&[], &[]));
    assert!(!colours(&[("NO_COLOR", "1")], &[]));
    assert!(colours(&[("NO_COLOR", "1")], &["--color", "always"]));
    assert!(!colours(&[], &["--color=never"]));
    assert!(!colours(&[("TERM", "dumb")], &[]));
}

#[test]
fn a_dumb_terminal_gets_lines_only() {
    let text = drawn([80, 24], &[("TERM", "dumb")], &RUN);
    assert!(!text.contains('\x1b'), "{text:?}");
    // the terminal itself puts a return before each newline
    assert!(!text.replace("\r\n", "\n").contains('\r'), "{text:?}");
}

#[test]
fn other_locales_get_ascii_only() {
    for variables in
        [&[("LC_ALL", "C")][..], &[("LC_ALL", ""), ("LC_CTYPE", ""), ("LANG", "de_DE.ISO-8859-1")]]
    {
        let args = ["--name", "näme", "--from", "zero:1K", "--", "sh", "-c", "cat; : ▶ é", "é"];
        let text = drawn([80, 24], variables, &args);
        assert!(text.is_ascii() && text.contains("\\u{e9}"), "{text:?}");
    }
    let text =
        drawn([80, 24], &[], &["--ascii", "--from", "zero:1K", "--", "sh", "-c", "cat; : é"]);
    assert!(text.is_ascii(), "{text:?}");
}

#[test]
fn words_of_others_cannot_steer_the_terminal() {
    let script = ": \x1b[2J\u{202e}; cat; printf '\\033[31mred \\342\\200\\256bidi\\n\\007' >&2";
    let text = drawn([200, 24], &[], &["--from", "zero:1K", "--", "sh", "-c", script]);
    for raw in ["\x1b[31m", "\x1b[2J", "\u{202e}", "\x07"] {
        assert!(!text.contains(raw), "{raw:?} in {text:?}");
    }
    for escaped in ["\\u{1b}[31mred \\u{202e}bidi", "\\u{7}", "\\u{1b}[2J\\u{202e}"] {
        assert!(text.contains(escaped), "{escaped:?} is missing in {text:?}");
    }
}
