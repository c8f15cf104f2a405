//! Can every program of the line be started?
//!
//! All programs are looked up before any is started: a typing error in the last stage must not cost the work of
//! the first. Programs are searched as `execvp` does; the first word of a shell piece may also be something only
//! the shell knows, so that the shell is asked (`command -v`) about words that no directory of PATH holds.
//!
//! # Knows / never knows
//! Knows PATH and file modes. Never knows how a program is started: `exec/child` does.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};

use crate::exec::child::first_word;
use crate::plan::CommandLine;

/// Why a program cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is no such program; a similar name exists.
    NotFound {
        /// The word as written.
        word: OsString,
        /// The most similar name on PATH.
        similar: Option<String>,
        /// A path was given, not a name.
        path: bool,
    },
    /// The file is there, but may not be executed, or is a directory.
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
}

/// Looks the program of `line` up.
///
/// # Errors
/// What stands in the way.
pub(crate) fn resolve(line: &CommandLine) -> Result<(), Missing> {
    let Some(word) = first_word(line) else { return Ok(()) };
    if word.as_bytes().contains(&b'/') {
        let path = PathBuf::from(&word);
        return match path.metadata() {
            Ok(meta) if meta.is_file() && access(&path, Access::EXEC_OK).is_ok() => Ok(()),
            Ok(_) => Err(Missing::NotExecutable { path }),
            Err(_) => Err(Missing::NotFound { word, similar: None, path: true }),
        };
    }
    let mut refused = None;
    for directory in directories() {
        let path = directory.join(&word);
        match path.metadata() {
            Ok(meta) if meta.is_file() && access(&path, Access::EXEC_OK).is_ok() => return Ok(()),
            Ok(meta) if meta.is_file() && refused.is_none() => refused = Some(path),
            _ => {}
        }
    }
    if matches!(line, CommandLine::Shell(_)) && shell_knows(&word) {
        return Ok(());
    }
    match refused {
        Some(path) => Err(Missing::NotExecutable { path }),
        None => Err(Missing::NotFound { similar: similar(&word), word, path: false }),
    }
}

fn directories() -> Vec<PathBuf> {
    std::env::var_os("PATH").map_or_else(Vec::new, |path| std::env::split_paths(&path).collect())
}

fn shell_knows(word: &OsStr) -> bool {
    Command::new("sh")
        .args(["-c", "command -v -- \"$1\"", "sh"])
        .arg(word)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The name on PATH that is fewest typing errors away, if that is few enough to be meant.
fn similar(word: &OsStr) -> Option<String> {
    let word = word.to_str()?;
    let most = match word.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let mut best: Option<(usize, String)> = None;
    for directory in directories() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let errors = typing_errors(word, &name, most);
            let better = match &best {
                None => errors <= most,
                Some((fewest, known)) => errors < *fewest || (errors == *fewest && name < *known),
            };
            if better && is_program(&entry.path()) {
                best = Some((errors, name));
            }
        }
    }
    best.map(|(_, name)| name)
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// Insertions, deletions, changes and swaps of neighbours; more than `most` is only known to be more.
fn typing_errors(one: &str, other: &str, most: usize) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().abs_diff(other.len()) > most {
        return most + 1;
    }
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=other.len()).collect();
    for i in 1..=one.len() {
        for j in 1..=other.len() {
            let change = usize::from(one[i - 1] != other[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_counted() {
        for (one, other, errors) in [
            ("zstdd", "zstd", 1),
            ("gizp", "gzip", 1),
            ("gzip", "gzip", 0),
            ("seq", "sed", 1),
            ("abc", "x", 3),
        ] {
            assert_eq!(typing_errors(one, other, 3), errors, "{one} {other}");
        }
    }

    #[test]
    fn what_only_the_shell_knows_is_found() {
        let shell = |text: &str| resolve(&CommandLine::Shell(text.into()));
        assert_eq!(shell("cat x"), Ok(()));
        assert_eq!(shell("printf x"), Ok(()));
        assert_eq!(shell("exec cat"), Ok(()));
        assert_eq!(shell("FOO=1 nothing-here"), Ok(()), "not plain, left to the shell");
        assert_eq!(shell("$X"), Ok(()));
        assert!(matches!(
            shell("no-such-program-at-all x"),
            Err(Missing::NotFound { path: false, .. })
        ));
        assert!(matches!(shell("/no/such/program"), Err(Missing::NotFound { path: true, .. })));
        assert!(matches!(shell("/etc/passwd"), Err(Missing::NotExecutable { .. })));
    }
}
