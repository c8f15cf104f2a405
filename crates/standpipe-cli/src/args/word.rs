//! How is a word shown that somebody else wrote, and which known word is it close to?

use std::{ffi::OsStr, fmt::Write as _, os::unix::ffi::OsStrExt};

/// Writes a word so that it cannot steer a terminal or pass for another one: control and bidi
/// characters and bytes that are not UTF-8 are escaped.
pub(crate) fn shown(word: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for chunk in word.as_ref().as_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_safe(letter) {
                text.push(letter);
            } else {
                text.extend(letter.escape_default());
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a string cannot fail");
        }
    }
    text
}

fn is_safe(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        && !matches!(letter, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        && !matches!(letter, '\u{e0000}'..='\u{e0fff}')
}

/// Finds the known word that was probably meant.
pub(crate) fn nearest<'known>(
    word: &str,
    known: impl IntoIterator<Item = &'known str>,
) -> Option<&'known str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the letters to insert, delete, replace or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(64).collect();
    let right: Vec<char> = right.chars().take(64).collect();
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for (row, a) in left.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let replaced = rows[row][column] + usize::from(a != b);
            let mut best = replaced.min(rows[row][column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b {
                best = best.min(rows[row - 1][column - 1] + 1);
            }
            next.push(best);
        }
        rows.push(next);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        for (word, expected) in [
            (&b"pg_dump shop"[..], "pg_dump shop"),
            ("naïve 日本".as_bytes(), "naïve 日本"),
            (b"a\x1b[31mb", "a\\u{1b}[31mb"),
            (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
            (b"caf\xe9", "caf\\xe9"),
            ("x\u{202e}y\u{2066}z".as_bytes(), "x\\u{202e}y\\u{2066}z"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            (b"", ""),
        ] {
            assert_eq!(shown(OsStr::from_bytes(word)), expected);
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let known = ["--from", "--timeout", "--total", "--tank"];
        for (word, expected) in [
            ("--form", Some("--from")),
            ("--tiemout", Some("--timeout")),
            ("--totl", Some("--total")),
            ("--from", Some("--from")),
            ("--quite-different", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest("zzz", ["abc"]), None);
    }
}
