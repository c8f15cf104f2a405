//! Where shall bytes go, and what if that is slow?

use std::ffi::{OsStr, OsString};

use super::{UsageError, choice, flag::Flag, shown};

/// One `--to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outward {
    /// The end it names.
    pub(crate) word: OsString,
    /// The `--full` that followed.
    pub(crate) full: Option<Full>,
}

/// What becomes of bytes that come to a full tank, where several ends read from one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Full {
    /// They wait, and so do all other branches.
    #[default]
    Wait,
    /// The run fails.
    Fail,
    /// They are dropped, whole lines of them.
    DropNewest,
    /// Those that have waited longest are dropped, whole lines of them.
    DropOldest,
}

impl Full {
    /// Its names, as they are typed.
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("wait", Self::Wait),
        ("fail", Self::Fail),
        ("drop-newest", Self::DropNewest),
        ("drop-oldest", Self::DropOldest),
    ];

    /// Whether it may leave bytes out.
    pub(crate) fn drops(self) -> bool {
        matches!(self, Self::DropNewest | Self::DropOldest)
    }

    /// Its name, as it is typed.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, full)| *full == self).map_or("wait", |(name, _)| *name)
    }
}

/// Reads a `--full`, which is for the `--to` before it.
///
/// # Errors
/// If there is none, or it has one; if there is no such word.
pub(super) fn read_full(flag: &Flag, to: &mut [Outward], value: &OsStr) -> Result<(), UsageError> {
    let wanted = choice(flag, value, &Full::NAMES)?;
    match to.last_mut() {
        Some(Outward { full: full @ None, .. }) => *full = Some(wanted),
        Some(Outward { word, .. }) => {
            let what = format!("`--full` is given twice for `--to {}`", shown(word));
            return Err(UsageError::new(what, "leave out one of them"));
        }
        None => {
            let name = wanted.name();
            let what = format!("`--full {name}` follows no `--to`");
            return Err(UsageError::new(what, format!("write `--to END --full {name}`")));
        }
    }
    Ok(())
}
