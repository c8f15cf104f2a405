//! What does the help say?
//!
//! The short help is one screen, written by hand; the flags of the long help are the table. Both
//! name only what is built.

use super::flag::{FLAGS, Flag, Group};

const COLUMNS: usize = 80;
const TEXT_COLUMN: usize = 27;

const USAGE: &str = "\
Move data through a pipeline with constant memory and see which stage is slow.

Usage:
  standpipe [OPTIONS] -c 'CMD | CMD | CMD'     run a shell pipeline, metered
  standpipe [OPTIONS] -- STAGE [:: STAGE]...   the same without a shell
  standpipe [OPTIONS] -f PIPELINE.toml         run a saved pipeline
  producer | standpipe [OPTIONS] | consumer    one tank in an ordinary pipe
";

const SHORT: &str = r#"
Most used options:
  -i, --from <END>     File, - or URI to read      -o, --to <END>   ... to write
  -m, --memory <SIZE>  Limit for all tanks [64M]   -t, --tank <SIZE>  Each tank
  -r, --rate <RATE>    Limit the source            --total <SIZE>   For the ETA
      --strict         Early close is a failure    --stall <TIME>   Give up
      --view <VIEW>    auto line plain none
  -q, -v, -h, --help, -V

Example: standpipe -c 'pg_dump shop | zstd -3 | ssh backup "cat > shop.zst"'
More:    standpipe --help
"#;

const EXAMPLES: &str = r#"  standpipe run [OPTIONS] ...                  any of these, spelled out

Examples:
  standpipe -c 'pg_dump shop | zstd -3 | ssh backup "cat > shop.zst"'
  standpipe --from huge.dat --to tcp://127.0.0.1:9000 -- gzip
  standpipe -o shop.zst -- pg_dump shop :: zstd -3
"#;

const ENDS: &str = "
  An <END> is a PATH or file:///PATH, - or fd:N for an open descriptor,
  tcp://HOST:PORT, tcp-listen://ADDRESS:PORT, unix:///PATH, null:, and to read
  zero:SIZE or random:SIZE?seed=N. After --, the first or last STAGE may be one
  with a scheme. A file gets its name only when the whole run has succeeded.
";

const EXIT_CODES: &str = "
Sizes: 64K and 64KiB are 1024^n bytes, 64kB is 1000^n, 2% is of the memory (with
--low: of the high-water mark). Times: 250ms, 1.5s, 2m, 1h30m.

Exit codes: 0 all data delivered; 1-123 the failed stage's own code; 124 timeout
or stall; 125 standpipe or an end failed; 126/127 a command could not be run or
found; 128+N signal N.
";

/// Writes the help of `-h`: at most 24 lines of 80 columns.
pub(crate) fn short_help() -> String {
    format!("{USAGE}{SHORT}")
}

/// Writes the help of `--help`: at most 80 columns.
pub(crate) fn long_help() -> String {
    let mut text = format!("{USAGE}{EXAMPLES}");
    for group in [Group::Ends, Group::Tanks, Group::Stopping, Group::Display, Group::Last] {
        text.push('\n');
        if let Some(title) = group.title() {
            text += &format!("{title}\n");
        }
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            text += &row(flag);
        }
        if group == Group::Ends {
            text += ENDS;
        }
    }
    text + EXIT_CODES
}

fn row(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "   ".to_owned(), |short| format!("-{short},"));
    let long = flag.long.unwrap_or_default();
    let value = match (flag.value, flag.long) {
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
        for text in [short, long_help()] {
            for line in text.lines() {
                assert!(line.chars().count() <= COLUMNS, "{line}");
                assert_eq!(line.trim_end(), line);
            }
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
