//! Which built-in stage do words name?
//!
//! ```text
//! @gzip [0-9]  @gunzip   @zstd [LEVEL] [threads=N]  @unzstd   @lz4  @unlz4   @xz [0-9]  @unxz
//! @lines   @rate RATE   @count   @hash sha256|sha512|blake3|md5|crc32   @tee FILE
//! ```
//!
//! A name with `@` is never a program: one of that name is `./@name`.

use std::ffi::OsString;

use crate::{
    args::{UsageError, nearest, shown},
    size::{Rate, read_rate, typed},
};

use super::{
    Algorithm, Builtin, EndPlan, Pace, Publish, StageKind,
    ends::{self, Side},
};

/// The names, as they are typed.
const NAMES: [&str; 13] = [
    "@gzip", "@gunzip", "@zstd", "@unzstd", "@lz4", "@unlz4", "@xz", "@unxz", "@lines", "@rate",
    "@count", "@hash", "@tee",
];

/// What each hash is called.
const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("sha256", Algorithm::Sha256),
    ("sha512", Algorithm::Sha512),
    ("blake3", Algorithm::Blake3),
    ("md5", Algorithm::Md5),
    ("crc32", Algorithm::Crc32),
];

const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = -7..=22;
const ZSTD_THREADS: u32 = 64;
const XZ_LEVEL: u32 = 6;

/// Reads the words of stage number `at`, 0 the first.
///
/// # Errors
/// If there is no such built-in, or it does not take these words.
pub(super) fn read(
    at: usize,
    words: &[OsString],
    publish: Publish,
) -> Result<StageKind, UsageError> {
    match words {
        [name, given @ ..] if name == "@tee" => {
            let hint = "write `@tee FILE`; other ends are reached by more than one `--to`";
            let [file] = given else { return Err(refused(at, words, "takes one file", hint)) };
            match ends::read(file, Side::To)? {
                end @ EndPlan::File(_) => Ok(StageKind::Tee { end, publish }),
                _ => Err(refused(at, words, "takes one file", hint)),
            }
        }
        words => transform(at, words).map(StageKind::Builtin),
    }
}

fn transform(at: usize, words: &[OsString]) -> Result<Builtin, UsageError> {
    let (name, given) = words
        .split_first()
        .map_or(("", &[][..]), |(name, given)| (name.to_str().unwrap_or_default(), given));
    let words_of = |word: &OsString| word.to_str().map(str::to_owned).unwrap_or_default();
    let given: Vec<String> = given.iter().map(words_of).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let builtin = match (name, given.as_slice()) {
        ("@gzip", []) => Builtin::Gzip(GZIP_LEVEL),
        ("@gzip", [level]) => Builtin::Gzip(digit(at, words, level)?),
        ("@zstd", given) => zstd(at, words, given)?,
        ("@xz", []) => Builtin::Xz(XZ_LEVEL),
        ("@xz", [level]) => Builtin::Xz(digit(at, words, level)?),
        ("@gunzip", []) => Builtin::Gunzip,
        ("@unzstd", []) => Builtin::Unzstd,
        ("@lz4", []) => Builtin::Lz4,
        ("@unlz4", []) => Builtin::Unlz4,
        ("@unxz", []) => Builtin::Unxz,
        ("@lines", []) => Builtin::Lines,
        ("@count", []) => Builtin::Count,
        ("@rate", [rate]) => Builtin::Rate(pace(at, words, rate)?),
        ("@rate", _) => {
            return Err(refused(at, words, "takes one rate", "write e.g. `@rate 10MB/s`"));
        }
        ("@hash", [algorithm]) => Builtin::Hash(hash(at, words, algorithm)?),
        ("@hash", _) => {
            return Err(refused(at, words, "takes one algorithm", "write e.g. `@hash sha256`"));
        }
        ("@gzip" | "@xz", _) => {
            return Err(refused(at, words, "takes one level", &format!("write e.g. `{name} 9`")));
        }
        (name, _) if NAMES.contains(&name) => {
            return Err(refused(at, words, "takes nothing", &format!("write `{name}`")));
        }
        _ => return Err(unknown(at, &words[0])),
    };
    Ok(builtin)
}

fn unknown(at: usize, word: &OsString) -> UsageError {
    let word = shown(word);
    let hint = match nearest(&word, NAMES) {
        Some(name) => format!("did you mean `{name}`? "),
        None => format!("there are `{}`; ", NAMES.join("`, `")),
    };
    let what = format!("stage {}: there is no built-in `{word}`", at + 1);
    UsageError::new(what, format!("{hint}a program of that name is `./{word}`"))
}

fn refused(at: usize, words: &[OsString], what: &str, hint: &str) -> UsageError {
    let stage = words.iter().map(shown).collect::<Vec<_>>().join(" ");
    UsageError::new(format!("stage {} `{stage}`: it {what}", at + 1), hint)
}

fn digit(at: usize, words: &[OsString], level: &str) -> Result<u32, UsageError> {
    let plain = level.strip_prefix('-').unwrap_or(level);
    match plain.parse() {
        Ok(level @ 0..=9) if plain.len() == 1 => Ok(level),
        _ => {
            let hint = format!("its level is 0 to 9: `{} 9`", shown(&words[0]));
            Err(refused(at, words, "has no such level", &hint))
        }
    }
}

fn zstd(at: usize, words: &[OsString], given: &[&str]) -> Result<Builtin, UsageError> {
    let (mut level, mut threads) = (None, None);
    for word in given {
        if let Some(number) = word.strip_prefix("threads=") {
            let number = number.parse().ok().filter(|number| *number <= ZSTD_THREADS);
            let Some(number) = number.filter(|_| threads.is_none()) else {
                let hint = format!("write `threads=N` once, N from 0 to {ZSTD_THREADS}");
                return Err(refused(at, words, "cannot have such threads", &hint));
            };
            threads = Some(number);
        } else {
            let number = word.parse().ok().filter(|level| ZSTD_LEVELS.contains(level));
            let Some(number) = number.filter(|_| level.is_none()) else {
                let hint = "its level is 1 to 22, or -1 to -7 to be faster: `@zstd 19`";
                return Err(refused(at, words, "has no such level", hint));
            };
            level = Some(number);
        }
    }
    // Level 0 is zstd's word for its default.
    let level = level.filter(|level| *level != 0).unwrap_or(ZSTD_LEVEL);
    Ok(Builtin::Zstd { level, threads: threads.unwrap_or(0) })
}

fn hash(at: usize, words: &[OsString], name: &str) -> Result<Algorithm, UsageError> {
    if let Some((_, algorithm)) = ALGORITHMS.iter().find(|(known, _)| *known == name) {
        return Ok(*algorithm);
    }
    let names = || ALGORITHMS.iter().map(|(name, _)| *name);
    let hint = match nearest(&name.to_ascii_lowercase().replace('-', ""), names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("it knows `{}`", names().collect::<Vec<_>>().join("`, `")),
    };
    Err(refused(at, words, "has no such algorithm", &hint))
}

/// Reads `10MB/s`, or `500lines/s` with the same periods.
fn pace(at: usize, words: &[OsString], word: &str) -> Result<Pace, UsageError> {
    let lines = ["lines", "line"].iter().find_map(|unit| {
        let (number, period) = word.split_once(unit)?;
        Some(format!("{}B{}", number.trim_end(), period))
    });
    let is_lines = lines.is_some();
    let rate = match read_rate(&lines.unwrap_or_else(|| word.to_owned())) {
        Ok(Some(rate)) => rate,
        Ok(None) => {
            return Err(refused(
                at,
                words,
                "has no limit",
                "leave it out, or write e.g. `@rate 10MB/s`",
            ));
        }
        Err(refusal) => return Err(refused(at, words, "has no such rate", &refusal.hint)),
    };
    Ok(if is_lines { Pace::Lines(rate) } else { Pace::Bytes(rate) })
}

impl Builtin {
    /// Writes the stage as it is typed, what is left to the default left out.
    pub(crate) fn label(self) -> String {
        let level = |name: &str, level: i64, default: i64| match level == default {
            true => name.to_owned(),
            false => format!("{name} {level}"),
        };
        match self {
            Self::Gzip(at) => level("@gzip", at.into(), GZIP_LEVEL.into()),
            Self::Zstd { level: at, threads: 0 } => level("@zstd", at.into(), ZSTD_LEVEL.into()),
            Self::Zstd { level, threads } => format!("@zstd {level} threads={threads}"),
            Self::Xz(at) => level("@xz", at.into(), XZ_LEVEL.into()),
            Self::Gunzip => "@gunzip".to_owned(),
            Self::Unzstd => "@unzstd".to_owned(),
            Self::Lz4 => "@lz4".to_owned(),
            Self::Unlz4 => "@unlz4".to_owned(),
            Self::Unxz => "@unxz".to_owned(),
            Self::Lines => "@lines".to_owned(),
            Self::Count => "@count".to_owned(),
            Self::Rate(Pace::Bytes(rate)) => format!("@rate {}{}", speed(rate.bytes), period(rate)),
            Self::Rate(Pace::Lines(rate)) => format!("@rate {}lines{}", rate.bytes, period(rate)),
            Self::Hash(algorithm) => format!("@hash {}", algorithm.name()),
        }
    }
}

impl Algorithm {
    /// Its name, as it is typed.
    pub(crate) fn name(self) -> &'static str {
        ALGORITHMS.iter().find(|(_, known)| *known == self).map_or("hash", |(name, _)| *name)
    }
}

/// Writes what a size is typed as, in thousands where that is exact.
fn speed(bytes: u64) -> String {
    for (unit, of) in [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)] {
        if bytes >= of && bytes.is_multiple_of(of) {
            return format!("{}{unit}", bytes / of);
        }
    }
    typed(bytes)
}

fn period(rate: Rate) -> &'static str {
    match rate.per.as_secs() {
        3600 => "/h",
        60 => "/m",
        _ => "/s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Builtin, UsageError> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        transform(1, &words)
    }

    #[test]
    fn built_ins_are_labelled_as_they_are_typed() {
        for (line, label) in [
            ("@gzip", "@gzip"),
            ("@gzip 6", "@gzip"),
            ("@gzip -9", "@gzip 9"),
            ("@zstd", "@zstd"),
            ("@zstd 0", "@zstd"),
            ("@zstd -5", "@zstd -5"),
            ("@zstd threads=2 19", "@zstd 19 threads=2"),
            ("@xz 0", "@xz 0"),
            ("@rate 10MB/s", "@rate 10MB/s"),
            ("@rate 4M", "@rate 4M/s"),
            ("@rate 500lines/s", "@rate 500lines/s"),
            ("@rate 1klines/m", "@rate 1000lines/m"),
            ("@hash blake3", "@hash blake3"),
            ("@lines", "@lines"),
        ] {
            let builtin = read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(builtin.label(), label, "{line}");
        }
    }

    #[test]
    fn a_tee_has_one_file() {
        let read = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            super::read(1, &words, Publish::Refuse)
        };
        let file = EndPlan::File("a".into());
        assert_eq!(read("@tee a"), Ok(StageKind::Tee { end: file, publish: Publish::Refuse }));
        for line in ["@tee", "@tee a b", "@tee -", "@tee tcp://a:1"] {
            let error = read(line).expect_err(line);
            assert_eq!(error.what, format!("stage 2 `{line}`: it takes one file"));
        }
    }

    #[test]
    fn what_no_built_in_takes_is_refused_with_the_cure() {
        for (line, what, hint) in [
            (
                "@gzp",
                "stage 2: there is no built-in `@gzp`",
                "did you mean `@gzip`? a program of that name is `./@gzp`",
            ),
            ("@", "stage 2: there is no built-in `@`", "there are `@gzip`"),
            ("@gzip 10", "stage 2 `@gzip 10`: it has no such level", "0 to 9"),
            ("@gzip fast", "stage 2 `@gzip fast`: it has no such level", "0 to 9"),
            ("@gzip 1 2", "stage 2 `@gzip 1 2`: it takes one level", "`@gzip 9`"),
            ("@zstd 23", "stage 2 `@zstd 23`: it has no such level", "1 to 22"),
            ("@zstd 1 2", "stage 2 `@zstd 1 2`: it has no such level", "1 to 22"),
            (
                "@zstd threads=65",
                "stage 2 `@zstd threads=65`: it cannot have such threads",
                "`threads=N`",
            ),
            ("@gunzip -c", "stage 2 `@gunzip -c`: it takes nothing", "write `@gunzip`"),
            ("@hash sha-265", "stage 2 `@hash sha-265`: it has no such algorithm", "`sha256`?"),
            ("@hash", "stage 2 `@hash`: it takes one algorithm", "`@hash sha256`"),
            ("@rate 10MBps", "stage 2 `@rate 10MBps`: it has no such rate", "`10MB/s`"),
            ("@rate max", "stage 2 `@rate max`: it has no limit", "leave it out"),
            ("@rate", "stage 2 `@rate`: it takes one rate", "`@rate 10MB/s`"),
        ] {
            let error = read(line).expect_err(line);
            assert_eq!(error.what, what);
            let given = error.hint.unwrap_or_default();
            assert!(given.contains(hint), "{line}: {given}");
        }
    }
}
