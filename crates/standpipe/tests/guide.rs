//! Every program of the guide: what it prints, against golden text.
//!
//! The examples are compiled into this test as modules, with a `println` that
//! keeps what it is given, so that plain `cargo test` runs what a reader would
//! run. After a wanted change: `GUIDE_BLESS=1 cargo test -p standpipe --test
//! guide`, then read the diff.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

thread_local! {
    static PRINTED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Stands before the examples' modules and so in place of `std`'s.
macro_rules! println {
    ($($text:tt)*) => {
        $crate::keep(format_args!($($text)*))
    };
}

fn keep(text: std::fmt::Arguments<'_>) {
    PRINTED.with_borrow_mut(|printed| {
        printed.push_str(&text.to_string());
        printed.push('\n');
    });
}

/// One module and one test per example, and the list of them all.
macro_rules! examples {
    ($($name:ident: $path:literal,)*) => {
        $(
            #[path = $path]
            mod $name;
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];

        mod prints {
            $(
                #[test]
                fn $name() -> std::process::ExitCode {
                    let ended = std::process::Termination::report(super::$name::main());
                    super::compare(stringify!($name));
                    ended
                }
            )*
        }
    };
}

examples! {
    async_producer: "../examples/guide_async_producer.rs",
    backpressure_monitor: "../examples/guide_backpressure_monitor.rs",
    debugging_tools: "../examples/guide_debugging_tools.rs",
    fast_read_slow_write: "../examples/guide_fast_read_slow_write.rs",
    good_producer: "../examples/guide_good_producer.rs",
    ignored_backpressure: "../examples/guide_ignored_backpressure.rs",
    manual_pipe: "../examples/guide_manual_pipe.rs",
    monitored_writable: "../examples/guide_monitored_writable.rs",
    pipe: "../examples/guide_pipe.rs",
    pipeline: "../examples/guide_pipeline.rs",
    production_monitoring: "../examples/guide_production_monitoring.rs",
    quick_reference: "../examples/guide_quick_reference.rs",
    rate_limiter: "../examples/guide_rate_limiter.rs",
    smart_readable: "../examples/guide_smart_readable.rs",
    speed_mismatch: "../examples/guide_speed_mismatch.rs",
    transform_bottleneck: "../examples/guide_transform_bottleneck.rs",
    tuning: "../examples/guide_tuning.rs",
    two_producers: "../examples/guide_two_producers.rs",
    write_states: "../examples/guide_write_states.rs",
}

fn home() -> PathBuf {
    let home = std::env::var_os("CARGO_MANIFEST_DIR").expect("tests are started by cargo");
    PathBuf::from(home)
}

fn compare(name: &str) {
    let printed = PRINTED.take();
    let golden = home().join(format!("tests/guide/{name}.txt"));
    if std::env::var_os("GUIDE_BLESS").is_some() {
        fs::write(&golden, &printed).expect("the golden text can be written");
    }
    let expected = read(&golden);
    assert!(
        printed == expected,
        "guide_{name} printed\n{printed}\nwhere {} has\n{expected}",
        golden.display()
    );
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("golden text and guide are there: see the head of this file")
}

/// Names of the files in a directory that begin and end like this.
fn names_in(directory: &str, begin: &str, end: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(home().join(directory))
        .expect("the directory is there")
        .filter_map(|entry| {
            let name = entry.expect("it can be read").file_name().into_string().ok()?;
            Some(name.strip_prefix(begin)?.strip_suffix(end)?.to_owned())
        })
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn every_example_is_run_here_and_has_golden_text() {
    assert_eq!(names_in("examples", "guide_", ".rs"), NAMES);
    assert_eq!(names_in("tests/guide", "", ".txt"), NAMES);
}

/// An example that nothing runs is an example that will be wrong.
#[test]
fn every_other_example_is_run_by_the_test_named_here() {
    let runs = [("node_trace", "tests/node_traces.rs"), ("verdict_gates", "tests/verdicts.rs")];
    let mut others = names_in("examples", "", "");
    others.retain(|name| !name.starts_with("guide_"));
    assert_eq!(others, runs.map(|(name, _)| name));
    for (name, test) in runs {
        let source = read(&home().join(test));
        assert!(source.contains(&format!("../examples/{name}")), "{test} does not run {name}");
    }
}

#[test]
fn the_guide_links_every_example_and_no_other_file_that_is_not_there() {
    let docs = home().join("../../docs");
    let guide = read(&docs.join("guide.md"));
    for name in NAMES {
        let link = format!("[guide_{name}](../crates/standpipe/examples/guide_{name}.rs)");
        assert!(guide.contains(&link), "docs/guide.md does not link guide_{name}");
    }
    for link in guide.split("](").skip(1) {
        let link = link.split(')').next().unwrap_or_default();
        assert!(docs.join(link).exists(), "docs/guide.md links {link}, which is not there");
    }
}
