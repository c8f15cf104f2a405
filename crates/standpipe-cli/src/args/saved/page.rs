//! How is a key of the file read, and where does an error say it stands?
//!
//! A page is the text with the file's name; a table on it hands out fields, and a field is read as
//! one type or refused with its line.

use std::{ffi::OsStr, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::super::{UsageError, nearest, shown};
use crate::size::{Amount, Refusal, Zero, read_amount, read_time};

/// So much of a line is quoted in an error.
const QUOTED: usize = 72;

/// A file's text, for errors that say where.
#[derive(Debug)]
pub(super) struct Page<'page> {
    text: &'page str,
    /// As it is shown.
    pub(super) name: &'page str,
    /// Where each line begins: a place is looked up for every stage.
    lines: Vec<usize>,
}

impl<'page> Page<'page> {
    pub(super) fn new(text: &'page str, name: &'page str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, name, lines }
    }

    /// Names a place: `` `p.toml`, line 7: tank = "8MiB" ``.
    pub(super) fn place(&self, at: usize) -> String {
        let number = self.lines.partition_point(|start| *start <= at);
        let start = number.checked_sub(1).and_then(|line| self.lines.get(line)).copied();
        let rest = &self.text[start.unwrap_or_default()..];
        let line = rest.split('\n').next().unwrap_or_default().trim();
        let quoted: String = line.chars().take(QUOTED).collect();
        let more = if quoted.len() < line.len() { " ..." } else { "" };
        let name = self.name;
        if quoted.is_empty() {
            return format!("{name}, line {number}");
        }
        format!("{name}, line {number}: {}{more}", shown(OsStr::new(&quoted)))
    }

    /// Refuses what stands at a place.
    pub(super) fn refuse(
        &self,
        at: usize,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> UsageError {
        UsageError {
            what: what.into(),
            details: vec![format!("in {}", self.place(at))],
            hint: Some(hint.into()),
        }
    }
}

/// The keys of one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys<'page> {
    pub(super) page: &'page Page<'page>,
    pub(super) table: &'page DeTable<'page>,
    /// Where the table itself stands.
    pub(super) at: usize,
}

impl<'page> Keys<'page> {
    /// Refuses the first key that is not `known`; `elsewhere` are those that belong to another
    /// table, with where they go.
    pub(super) fn only(
        &self,
        known: &[&str],
        elsewhere: (&[&str], &str),
    ) -> Result<(), UsageError> {
        let unknown = self.table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        let Some((key, value)) = unknown.min_by_key(|(key, _)| key.span().start) else {
            return Ok(());
        };
        let name = key.get_ref().as_ref();
        let hint = if elsewhere.0.contains(&name) {
            elsewhere.1.replace("{}", name)
        } else if name == "stages"
            || name == "stage" && matches!(value.get_ref(), DeValue::Table(_))
        {
            "a stage begins with `[[stage]]`".to_owned()
        } else if let Some(meant) = nearest(name, known.iter().copied()) {
            format!("did you mean `{meant}`?")
        } else {
            format!("the keys here are `{}`", known.join("`, `"))
        };
        let what = format!("unknown key `{}`", shown(OsStr::new(name)));
        Err(self.page.refuse(key.span().start, what, hint))
    }

    /// Finds a key.
    pub(super) fn get(&self, key: &'static str) -> Option<Field<'page>> {
        let value = self.table.get(key)?;
        Some(Field { page: self.page, key, value })
    }
}

/// A key with its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'page> {
    page: &'page Page<'page>,
    pub(super) key: &'static str,
    pub(super) value: &'page Spanned<DeValue<'page>>,
}

impl<'page> Field<'page> {
    pub(super) fn refuse(&self, what: impl Into<String>, hint: impl Into<String>) -> UsageError {
        self.page.refuse(self.value.span().start, what, hint)
    }

    /// Reads a text; NUL is in none, for no name and no argument can hold it.
    pub(super) fn text(&self, example: &str) -> Result<&'page str, UsageError> {
        match self.value.get_ref() {
            DeValue::String(text) => self.without_nul(text),
            other => Err(self.wrong(other, "a text", &format!("`{} = \"{example}\"`", self.key))),
        }
    }

    /// Reads a switch.
    pub(super) fn switch(&self) -> Result<bool, UsageError> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            other => {
                let hint = format!("`{} = true` or `{} = false`", self.key, self.key);
                Err(self.wrong(other, "a switch", &hint))
            }
        }
    }

    /// Reads a list of texts.
    pub(super) fn texts(&self, example: &str) -> Result<Vec<&'page str>, UsageError> {
        let example = format!("`{} = {example}`", self.key);
        let DeValue::Array(items) = self.value.get_ref() else {
            return Err(self.wrong(self.value.get_ref(), "a list", &example));
        };
        let text = |item: &'page Spanned<DeValue<'page>>| match item.get_ref() {
            DeValue::String(text) => self.without_nul(text),
            other => {
                let what = format!("invalid value for `{}`: {} in it", self.key, kind(other));
                Err(self.page.refuse(item.span().start, what, format!("write texts, {example}")))
            }
        };
        items.iter().map(text).collect()
    }

    /// Reads a size.
    pub(super) fn amount(&self, zero: Zero) -> Result<Amount, UsageError> {
        match self.number("size", "64MiB", |text| read_amount(text, zero))? {
            Amount::Items(_) => Err(self.refuse(
                format!("invalid size for `{}`: items", self.key),
                "write bytes, e.g. \"64KiB\"",
            )),
            amount => Ok(amount),
        }
    }

    /// Reads a time.
    pub(super) fn time(&self, zero: Zero) -> Result<Duration, UsageError> {
        self.number("time", "30s", |text| read_time(text, zero))
    }

    /// Reads what has a number and a unit.
    pub(super) fn number<T>(
        &self,
        kind: &str,
        example: &str,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<T, UsageError> {
        let text = self.text(example)?;
        read(text).map_err(|refusal| {
            let text = shown(OsStr::new(text));
            self.refuse(format!("invalid {kind} `{text}` for `{}`", self.key), refusal.hint)
        })
    }

    /// Refuses a word that is none of the known.
    pub(super) fn unknown_word(&self, text: &str, known: &[&str]) -> UsageError {
        let hint = match nearest(text, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write one of `{}`", known.join("`, `")),
        };
        self.refuse(format!("invalid value `{}` for `{}`", shown(OsStr::new(text)), self.key), hint)
    }

    fn without_nul(&self, text: &'page str) -> Result<&'page str, UsageError> {
        if text.contains('\0') {
            return Err(self.refuse(
                format!("a NUL byte in `{}`", self.key),
                "no name and no argument of a program can hold one",
            ));
        }
        Ok(text)
    }

    fn wrong(&self, value: &DeValue<'_>, wanted: &str, example: &str) -> UsageError {
        let what = format!("invalid value for `{}`: {}, not {wanted}", self.key, kind(value));
        self.refuse(what, format!("write {example}"))
    }
}

/// Says what a value is.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a switch",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
