//! What is `doctor` asked?

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::{UsageError, answer::asks_for_help, nearest, shown};
use crate::size::{self, Zero};

/// How long a pipeline is watched if nothing else is said.
const WATCH: Duration = Duration::from_secs(10);

/// The findings `doctor` knows, by their names.
pub(crate) const FINDINGS: [&str; 8] = [
    "stalled",
    "stopped-early",
    "failed",
    "pipe-held",
    "pipe-budget",
    "remote-slow",
    "send-buffer-small",
    "network-slow",
];

/// What `doctor` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doctor {
    pub(crate) target: Target,
    /// `--for`: how long to watch.
    pub(crate) watch: Duration,
    /// `--json`: one object on stdout instead of words.
    pub(crate) json: bool,
    /// `--allow`: findings that are known and no failure.
    pub(crate) allowed: Vec<String>,
}

/// Whom it looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A process, or what it has started.
    Pid(u32),
    /// A process by its name.
    Name(String),
    /// The record of a run, as `--json=FILE` wrote it.
    File(OsString),
    /// A shell pipeline, which is started.
    Shell(OsString),
}

/// Reads the words behind `doctor`; `None` if it is asked what that is.
///
/// # Errors
/// If they cannot be understood; with the cure.
pub(super) fn parse(
    mut words: impl Iterator<Item = OsString>,
) -> Result<Option<Doctor>, UsageError> {
    let mut doctor =
        Doctor { target: Target::Pid(0), watch: WATCH, json: false, allowed: Vec::new() };
    let mut target = None;
    while let Some(word) = words.next() {
        if asks_for_help(&word) {
            return Ok(None);
        }
        let (name, glued) = match word.as_bytes().split_first_chunk::<2>() {
            Some((b"--", _)) => match word.as_bytes().iter().position(|byte| *byte == b'=') {
                Some(at) => (&word.as_bytes()[..at], Some(&word.as_bytes()[at + 1..])),
                None => (word.as_bytes(), None),
            },
            _ => (word.as_bytes(), None),
        };
        let mut value = |what: &str| match glued {
            Some(value) => Ok(OsStr::from_bytes(value).to_owned()),
            None => words.next().ok_or_else(|| {
                let name = shown(OsStr::from_bytes(name));
                UsageError::new(format!("`{name}` needs a value"), format!("write `{name} {what}`"))
            }),
        };
        let given = match name {
            b"--json" if glued.is_none() => {
                doctor.json = true;
                continue;
            }
            b"--for" => {
                doctor.watch = watch(&value("TIME")?)?;
                continue;
            }
            b"--allow" => {
                doctor.allowed.push(finding(&value("FINDING")?)?);
                continue;
            }
            b"-c" => Target::Shell(value("'CMD | CMD'")?),
            [b'-', ..] => {
                let name = shown(OsStr::from_bytes(name));
                let what = format!("unknown option `{name}` of `doctor`");
                return Err(UsageError::new(what, "`standpipe help doctor` lists them"));
            }
            _ => whom(&word)?,
        };
        if target.replace(given).is_some() {
            let what = "`doctor` is given more than one to look at";
            return Err(UsageError::new(what, "ask for one PID, name or `-c` at a time"));
        }
    }
    doctor.target = target.ok_or_else(|| {
        UsageError::new(
            "`doctor` needs to know whom to look at",
            "write `standpipe doctor PID`, of any stage or of its shell, or the NAME of a stage",
        )
    })?;
    Ok(Some(doctor))
}

fn whom(word: &OsStr) -> Result<Target, UsageError> {
    let text = shown(word);
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let pid = text.parse::<u32>().ok().filter(|pid| *pid > 0);
        return pid.map(Target::Pid).ok_or_else(|| {
            UsageError::new(format!("`{text}` is no PID"), "`ps` and `pgrep` list them")
        });
    }
    let is_file = text.contains('/') || text.ends_with(".jsonl");
    Ok(if is_file { Target::File(word.to_owned()) } else { Target::Name(text) })
}

fn watch(value: &OsStr) -> Result<Duration, UsageError> {
    let text = shown(value);
    size::read_time(&text, Zero::Refused).map_err(|refusal| {
        UsageError::new(format!("invalid time `{text}` for `--for`"), refusal.hint)
    })
}

fn finding(value: &OsStr) -> Result<String, UsageError> {
    let text = shown(value);
    if FINDINGS.contains(&text.as_str()) {
        return Ok(text);
    }
    let hint = match nearest(&text, FINDINGS) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("there are `{}`", FINDINGS.join("`, `")),
    };
    Err(UsageError::new(format!("unknown finding `{text}` for `--allow`"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Doctor, UsageError> {
        parse(words.iter().map(OsString::from)).map(|doctor| doctor.expect("it is no question"))
    }

    #[test]
    fn a_pid_a_name_or_a_pipeline_is_looked_at() {
        let doctor = asked(&["4321"]).expect("a PID");
        assert_eq!((doctor.target, doctor.watch), (Target::Pid(4321), WATCH));
        let doctor = asked(&["--for", "2s", "gzip", "--json"]).expect("a name");
        assert_eq!(doctor.target, Target::Name("gzip".into()));
        assert_eq!((doctor.watch, doctor.json), (Duration::from_secs(2), true));
        for file in ["run.jsonl", "./x", "/tmp/y"] {
            assert_eq!(asked(&[file]).expect("a file").target, Target::File(file.into()));
        }
        let doctor = asked(&["--for=1m", "-c", "a | b", "--allow=stalled"]).expect("a pipeline");
        assert_eq!(doctor.target, Target::Shell("a | b".into()));
        assert_eq!(doctor.allowed, ["stalled"]);
    }

    #[test]
    fn each_finding_is_in_the_help_and_the_completions_and_no_other_is() {
        let help = crate::args::commands::by_name("doctor").expect("a command").details;
        let (_, listed) = help.split_once("Findings:\n").expect("they are listed");
        let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        assert_eq!(names.collect::<Vec<_>>(), FINDINGS);
        for shell in ["bash", "zsh", "fish"] {
            let script = crate::args::completions::script(shell).expect("a shell");
            assert!(script.contains(&FINDINGS.join(" ")), "{shell}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_cure() {
        for (words, what, hint) in [
            (&[][..], "needs to know whom", "standpipe doctor PID"),
            (&["1", "2"], "more than one", "at a time"),
            (&["0"], "`0` is no PID", "pgrep"),
            (&["99999999999"], "is no PID", "pgrep"),
            (&["--for"], "`--for` needs a value", "`--for TIME`"),
            (&["--for", "5", "1"], "invalid time `5`", "5s"),
            (&["--allow", "stale", "1"], "unknown finding `stale`", "`stalled`"),
            (&["--jsn", "1"], "unknown option `--jsn`", "help doctor"),
        ] {
            let error = asked(words).expect_err("it is refused");
            assert!(error.what.contains(what), "{words:?}: {error:?}");
            assert!(error.hint.as_ref().is_some_and(|text| text.contains(hint)), "{error:?}");
        }
    }
}
