//! What does the help say?
//!
//! The short help is one screen, written by hand; the flags of the long help are the table. Both
//! name only what is built.

use super::{
    commands::{COMMANDS, Command},
    flag::{FLAGS, Flag, Group, Values},
};

mod topics;

pub(super) use topics::TOPICS;

/// What every line of `--json` is held to.
pub(super) const SCHEMA: &str = include_str!("../../events.schema.json");

const COLUMNS: usize = 80;
const TEXT_COLUMN: usize = 27;
const COMMAND_COLUMN: usize = 13;

const USAGE: &str = "\
Move data through a pipeline with constant memory and see which stage is slow.

Usage:
  standpipe [OPTIONS] -c 'CMD | CMD | CMD'     run a shell pipeline, metered
  standpipe [OPTIONS] -- STAGE [:: STAGE]...   the same without a shell
  standpipe [OPTIONS] -f PIPELINE.toml         run a saved pipeline
  producer | standpipe [OPTIONS] | consumer    one tank in an ordinary pipe
";

const SHORT: &str = r#"
Commands: run  check  doctor  completions  help

Most used options:
  -i, --from <END>     File, - or URI to read      -o, --to <END>   ... to write
  -m, --memory <SIZE>  Limit for all tanks [64M]   -t, --tank <SIZE>  Each tank
  -r, --rate <RATE>    Limit the source            --total <SIZE>   For the ETA
      --strict         Early close is a failure    --stall <TIME>   Give up
      --view <VIEW>    auto line tanks full plain none
  -q, -v, -h, --help, -V

Example: standpipe -c 'pg_dump shop | zstd -3 | ssh backup "cat > shop.zst"'
More:    --help, standpipe help uris|sizes|exit-codes|files|json|built-ins|views
"#;

/// What to try first.
pub(super) const EXAMPLES: [&str; 5] = [
    r#"standpipe -c 'pg_dump shop | zstd -3 | ssh backup "cat > shop.zst"'"#,
    "standpipe --from huge.dat --to tcp://127.0.0.1:9000 -- gzip",
    "standpipe -o shop.zst -- pg_dump shop :: @zstd 3 :: @hash sha256",
    "standpipe check nightly.toml && standpipe -f nightly.toml",
    "standpipe doctor gzip        which stage of a running shell pipeline is slow?",
];

const EXIT_CODES: &str = "
Exit codes: 0 all data delivered; 1-123 the failed stage's own code; 124 timeout
or stall; 125 standpipe or an end failed; 126/127 a command could not be run or
found; 128+N signal N. `standpipe help exit-codes` has the rest.
";

/// Writes the help of `-h`: at most 24 lines of 80 columns.
pub(crate) fn short_help() -> String {
    format!("{USAGE}{SHORT}")
}

/// Writes the help of `--help`: at most 80 columns.
pub(crate) fn long_help() -> String {
    let mut text = format!("{USAGE}  standpipe COMMAND\n\nExamples:\n");
    for example in EXAMPLES {
        text += &format!("  {example}\n");
    }
    text += "\nCommands:\n";
    for command in &COMMANDS {
        text += &format!("  {:COMMAND_COLUMN$}{}\n", command.name, command.text);
    }
    for group in Group::ALL.into_iter().filter(|group| *group != Group::Usage) {
        text.push('\n');
        if let Some(title) = group.title() {
            text += &format!("{title}\n");
        }
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            text += &row(flag);
        }
    }
    text + EXIT_CODES
}

/// Writes the help of a command: how it is called, and what it does.
pub(super) fn command_help(command: &Command) -> String {
    let mut text = format!("{}.\n\nUsage:\n", command.text);
    for usage in command.usage {
        text += &format!("  {usage}\n");
    }
    format!("{text}\n{}", command.details)
}

fn row(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "   ".to_owned(), |short| format!("-{short},"));
    let long = flag.long.unwrap_or_default();
    let value = match (flag.value, flag.long) {
        (Some(value), _) if flag.values == Values::Glued => format!("[=<{value}>]"),
        (Some(value), _) => format!(" <{value}>"),
        (None, Some("verbose")) => "...".to_owned(),
        (None, _) => String::new(),
    };
    let names = format!("  {short} --{long}{value}");
    let left = format!("{names:TEXT_COLUMN$}{}", flag.text);
    match flag.default {
        None => format!("{left}\n"),
        Some(default) => format!("{left}{default:>width$}\n", width = COLUMNS - left.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_the_screen() {
        let short = short_help();
        assert!(short.lines().count() <= 24, "{}", short.lines().count());
        let commands = COMMANDS.iter().map(command_help);
        let topics = TOPICS.iter().map(|(_, text)| (*text).to_owned());
        for text in [short, long_help()].into_iter().chain(commands).chain(topics) {
            for line in text.lines() {
                assert!(line.chars().count() <= COLUMNS, "{line}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn help_knows_every_command_and_topic() {
        for text in [short_help(), long_help()] {
            for command in &COMMANDS {
                assert!(text.contains(command.name), "{}", command.name);
            }
        }
        let named = super::super::commands::by_name("help").expect("it is there").text;
        for (topic, _) in TOPICS {
            assert!(short_help().contains(topic) && named.contains(topic), "{topic}");
        }
    }

    #[test]
    fn help_knows_every_flag() {
        let text = long_help();
        for flag in FLAGS.iter().filter(|flag| flag.group != Group::Usage) {
            assert!(text.contains(&flag.name()), "{}", flag.name());
        }
    }
}
