//! Which options and stages does a text hold?

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    super::{Full, Limit, UsageError, shown},
    Saved, SavedStage, Stderr, Work,
    page::{Field, Keys, Page},
};
use crate::size::{Amount, Zero, read_rate};

/// The keys above the first stage.
const OPTIONS: [&str; 10] =
    ["version", "name", "memory", "total", "rate", "stall", "timeout", "drain", "strict", "stage"];
/// The keys of a stage.
const STAGE: [&str; 12] = [
    "id",
    "exec",
    "shell",
    "from",
    "to",
    "input",
    "tank",
    "low",
    "stderr",
    "overwrite",
    "append",
    "full",
];
/// The longest id: it stands in every line of a display.
const ID_COLUMNS: usize = 40;

/// Reads a pipeline file.
///
/// # Errors
/// The first thing that is wrong with it, with its line and what to write instead.
pub(super) fn read(text: &str, name: &str) -> Result<Saved, UsageError> {
    let page = &Page::new(text, name);
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let what = format!("{name} is no TOML: {}", error.message());
        let hint = "the format is that of https://toml.io, with texts in quotes";
        page.refuse(at, what, hint)
    })?;
    let keys = Keys { page, table: document.get_ref(), at: 0 };
    // before anything else: another version may have other keys
    version(&keys)?;
    keys.only(&OPTIONS, (&STAGE, "`{}` belongs to a stage: write it below its `[[stage]]`"))?;
    let amount = |key| keys.get(key).map(|field| field.amount(Zero::Refused)).transpose();
    let time = |key, zero| keys.get(key).map(|field: Field<'_>| field.time(zero)).transpose();
    let saved = Saved {
        name: text_of(&keys, "name", "nightly")?.map(str::to_owned),
        memory: amount("memory")?,
        total: keys.get("total").map(|field| total(&field)).transpose()?,
        rate: keys.get("rate").map(|field| rate(&field)).transpose()?,
        stall: time("stall", Zero::Refused)?,
        timeout: time("timeout", Zero::Refused)?,
        drain: time("drain", Zero::Allowed)?,
        strict: switch(&keys, "strict")?,
        stages: stages(&keys)?,
    };
    Ok(saved)
}

fn version(keys: &Keys<'_>) -> Result<(), UsageError> {
    let Some(field) = keys.get("version") else {
        let name = keys.page.name;
        return Err(UsageError::new(
            format!("`version` is missing in {name}"),
            "begin a pipeline file with `version = 1`",
        ));
    };
    match field.value.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 && number.as_str() == "1" => Ok(()),
        DeValue::Integer(number) => Err(field.refuse(
            format!("version {number} of pipeline files is unknown"),
            "this standpipe reads `version = 1`",
        )),
        _ => Err(field.refuse("invalid value for `version`", "write `version = 1`")),
    }
}

fn total(field: &Field<'_>) -> Result<Amount, UsageError> {
    match field.amount(Zero::Refused)? {
        Amount::Percent(_) => {
            Err(field.refuse("invalid size for `total`: a part", "write bytes, e.g. \"2GiB\""))
        }
        amount => Ok(amount),
    }
}

fn rate(field: &Field<'_>) -> Result<Limit, UsageError> {
    Ok(field.number("rate", "10MB/s", read_rate)?.map_or(Limit::Max, Limit::Rate))
}

fn stages(keys: &Keys<'_>) -> Result<Vec<SavedStage>, UsageError> {
    let example = "write `[[stage]]`, and below it one of `exec`, `shell`, `from`, `to`";
    let Some(field) = keys.get("stage") else {
        return Err(UsageError::new(format!("{} has no stage", keys.page.name), example));
    };
    let DeValue::Array(tables) = field.value.get_ref() else {
        return Err(field.refuse("`stage` is no list of tables", example));
    };
    if tables.is_empty() {
        return Err(field.refuse(format!("{} has no stage", keys.page.name), example));
    }
    let mut stages: Vec<SavedStage> = Vec::with_capacity(tables.len());
    let mut ids: HashMap<String, usize> = HashMap::new();
    for (at, table) in tables.iter().enumerate() {
        let stage = stage(keys.page, at, table)?;
        if let Some(first) = ids.insert(stage.id.clone(), at) {
            return Err(UsageError {
                what: format!("two stages have the id `{}`", stage.id),
                details: vec![
                    format!("stage {} in {}", first + 1, stages[first].place),
                    format!("stage {} in {}", at + 1, stage.place),
                ],
                hint: Some("give each stage an id of its own".to_owned()),
            });
        }
        stages.push(stage);
    }
    Ok(stages)
}

fn stage<'page>(
    page: &'page Page<'page>,
    at: usize,
    value: &'page Spanned<DeValue<'page>>,
) -> Result<SavedStage, UsageError> {
    let start = value.span().start;
    let DeValue::Table(table) = value.get_ref() else {
        return Err(page.refuse(start, "a stage is no table", "a stage begins with `[[stage]]`"));
    };
    let keys = Keys { page, table, at: start };
    keys.only(&STAGE, (&OPTIONS[..9], "`{}` is for the whole run: write it above all stages"))?;
    let id = match keys.get("id") {
        None => (at + 1).to_string(),
        Some(field) => id(&field)?,
    };
    let work = work(&keys, at)?;
    let stage = SavedStage {
        id,
        place: page.place(start),
        input: text_of(&keys, "input", "ID")?.map(str::to_owned),
        tank: keys.get("tank").map(|field| tank(&field)).transpose()?.flatten(),
        low: keys.get("low").map(|field| field.amount(Zero::Allowed)).transpose()?,
        stderr: keys.get("stderr").map(|field| stderr(&field)).transpose()?.unwrap_or_default(),
        overwrite: switch(&keys, "overwrite")?,
        append: switch(&keys, "append")?,
        full: keys.get("full").map(|field| full(&field)).transpose()?,
        work,
    };
    fitting(&keys, &stage)?;
    Ok(stage)
}

/// Refuses keys that say nothing about such a stage.
fn fitting(keys: &Keys<'_>, stage: &SavedStage) -> Result<(), UsageError> {
    let (unfit, why): (&[&'static str], &str) = match &stage.work {
        Work::Exec(words) if words.first().is_some_and(|word| word == "@tee") => {
            (&["full"], "is for a stage with `to`")
        }
        Work::Exec(_) | Work::Shell(_) => {
            (&["overwrite", "append", "full"], "is for a stage with `to`")
        }
        Work::From(_) => (
            &["overwrite", "append", "stderr", "input", "tank", "low", "full"],
            "is not for a stage with `from`",
        ),
        Work::To(_) => (&["stderr"], "is for a stage with `exec` or `shell`"),
    };
    match unfit.iter().find_map(|key| keys.get(key)) {
        None => Ok(()),
        Some(field) => {
            Err(field
                .refuse(format!("`{}` {why}", field.key), format!("leave out `{}`", field.key)))
        }
    }
}

/// Reads an id. It stands in displays, in events and between `>`, so it is one plain word.
fn id(field: &Field<'_>) -> Result<String, UsageError> {
    let text = field.text("pack")?;
    let plain = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    if text.is_empty() || text.chars().count() > ID_COLUMNS || !text.chars().all(plain) {
        return Err(field.refuse(
            format!("invalid id `{}`", shown(OsStr::new(text))),
            format!("write up to {ID_COLUMNS} letters, digits, `-`, `_` and `.`"),
        ));
    }
    Ok(text.to_owned())
}

fn work(keys: &Keys<'_>, at: usize) -> Result<Work, UsageError> {
    let kinds = ["exec", "shell", "from", "to"];
    let mut given = kinds.into_iter().filter_map(|kind| keys.get(kind));
    let hint = "write one of `exec`, `shell`, `from`, `to`";
    let Some(field) = given.next() else {
        return Err(keys.page.refuse(keys.at, format!("stage {} does nothing", at + 1), hint));
    };
    if let Some(second) = given.next() {
        let what = format!("stage {} has `{}` and `{}`", at + 1, field.key, second.key);
        return Err(second.refuse(what, format!("{hint}; two things are two stages")));
    }
    let filled = |text: &str| match text.trim().is_empty() {
        true => Err(field.refuse(format!("`{}` is empty", field.key), "leave out the stage")),
        false => Ok(OsString::from(text)),
    };
    Ok(match field.key {
        "exec" => {
            let words = field.texts("[\"zstd\", \"-3\"]")?;
            filled(words.first().copied().unwrap_or_default())?;
            Work::Exec(words.into_iter().map(OsString::from).collect())
        }
        "shell" => Work::Shell(filled(field.text("sort | uniq -c")?)?),
        "from" => Work::From(filled(field.text("PATH")?)?),
        _ => Work::To(filled(field.text("PATH")?)?),
    })
}

fn tank(field: &Field<'_>) -> Result<Option<Amount>, UsageError> {
    match field.value.get_ref() {
        DeValue::Table(_) => Err(field.refuse(
            "tanks of commands count bytes, not items",
            "write a size, e.g. `tank = \"8MiB\"`",
        )),
        DeValue::String(text) if text == "auto" => Ok(None),
        _ => field.amount(Zero::Refused).map(Some),
    }
}

fn full(field: &Field<'_>) -> Result<Full, UsageError> {
    let text = field.text("wait")?;
    let known = Full::NAMES.into_iter().find(|(name, _)| *name == text);
    known
        .map(|(_, full)| full)
        .ok_or_else(|| field.unknown_word(text, &Full::NAMES.map(|(name, _)| name)))
}

fn stderr(field: &Field<'_>) -> Result<Stderr, UsageError> {
    let text = field.text("prefix")?;
    Ok(match (text, text.strip_prefix("file:")) {
        ("prefix", _) => Stderr::Prefix,
        ("inherit", _) => Stderr::Inherit,
        ("drop", _) => Stderr::Drop,
        (_, Some("")) => {
            return Err(field.refuse("`file:` has no path", "write `stderr = \"file:PATH\"`"));
        }
        (_, Some(path)) => Stderr::File(PathBuf::from(path)),
        _ => return Err(field.unknown_word(text, &["prefix", "inherit", "drop", "file:PATH"])),
    })
}

fn text_of<'page>(
    keys: &Keys<'page>,
    key: &'static str,
    example: &str,
) -> Result<Option<&'page str>, UsageError> {
    keys.get(key).map(|field| field.text(example)).transpose()
}

fn switch(keys: &Keys<'_>, key: &'static str) -> Result<bool, UsageError> {
    keys.get(key).map_or(Ok(false), |field| field.switch())
}
