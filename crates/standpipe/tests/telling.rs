//! What others are told of a pipeline: a report written down, and the
//! `metrics` facade.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::Value;
use standpipe::stage::{fold, iter};
use standpipe::{Overflow, Pipeline, Report, Tank, export};

const METRICS: &str = include_str!("../../../docs/metrics.md");

/// A run in which each tank holds something, and one is written past its mark.
fn report() -> Report {
    let run = Pipeline::from("read", iter(0..1_000_u64))
        .tank(Tank::items(4).named("raw"))
        .map("square", |n| n * n)
        .tank(Tank::items(2).overflow(Overflow::Grow).named("squares"))
        .to("sum", fold(0, |sum, n| sum + n))
        .run();
    block_on(run).expect("it ends well").report
}

/// The names of all fields, however deep.
fn names(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                into.push(name.clone());
                names(value, into);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, into)),
        _ => {}
    }
}

#[test]
fn a_report_is_written_with_the_names_it_has_in_the_documents() {
    let written = serde_json::to_value(report()).expect("it can be written");
    let mut fields = Vec::new();
    names(&written, &mut fields);
    assert!(fields.len() > 100, "{} fields", fields.len());
    for field in fields {
        let row = METRICS.lines().any(|row| row.contains(&format!("`{field}`")));
        assert!(row || field == "index", "`{field}` has no row"); // `id` says index and name
    }
}

#[test]
fn a_report_is_written_with_its_numbers() {
    let report = report();
    let written = serde_json::to_value(&report).expect("it can be written");
    let raw = &written["tanks"][0];
    assert_eq!(raw["name"], "raw");
    assert_eq!(raw["unit"], "items");
    assert_eq!(raw["high"], 4);
    assert_eq!(raw["written"]["items"], 1_000);
    assert_eq!(raw["pauses"], report.tanks[0].pauses);
    assert_eq!(raw["dropped"]["unread"]["items"], 0);
    assert!(raw["level_area"].is_f64(), "not an integer of 128 bits");
    let square = &written["stages"][1];
    assert_eq!(square["id"]["name"], "square");
    assert_eq!(square["state"], "done");
    assert_eq!(square["busy_ns"], report.stages[1].busy_ns);
    assert_eq!(written["path"].as_array().map(Vec::len), Some(report.path.len()));
    assert_eq!(written["joins"][1]["to"], 2);
    let elapsed_ms = u64::try_from(report.elapsed.as_millis()).ok();
    assert_eq!(written["elapsed_ms"].as_u64(), elapsed_ms);
}

#[test]
fn what_the_command_says_too_has_the_same_name_there() {
    let schema = include_str!("../../standpipe-cli/events.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    let mut there = Vec::new();
    names(&schema, &mut there);
    let written = serde_json::to_value(report()).expect("it can be written");
    for (part, shared) in [
        (&written, ["elapsed_ms", "stages", "tanks"].as_slice()),
        (&written["tanks"][0], ["unit", "high", "low", "level", "pauses"].as_slice()),
    ] {
        for name in shared {
            assert!(there.iter().any(|field| field == name), "the command has no `{name}`");
            assert!(part.get(name).is_some(), "the library has no `{name}`");
        }
    }
}

/// What a recorder was told: a number per metric and labels, and what each is.
#[derive(Clone, Default)]
struct Ledger {
    numbers: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    described: Arc<Mutex<BTreeMap<String, &'static str>>>,
}

impl Ledger {
    fn number(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key.labels().map(|l| format!("{}={}", l.key(), l.value()));
        let name = format!("{} {}", key.name(), labels.collect::<Vec<_>>().join(" "));
        self.numbers.lock().expect("no panic").entry(name).or_default().clone()
    }

    fn total(&self, name: &str) -> Option<u64> {
        let numbers = self.numbers.lock().expect("no panic");
        numbers.get(name).map(|number| number.load(Ordering::Relaxed))
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        self.total(name).map(f64::from_bits)
    }

    fn describe(&self, key: &KeyName, kind: &'static str) {
        self.described.lock().expect("no panic").insert(key.as_str().to_owned(), kind);
    }
}

impl Recorder for Ledger {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key, "counter");
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key, "gauge");
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key, "histogram");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_report_is_recorded_by_tank_and_stage() {
    let ledger = Ledger::default();
    let report = report();
    metrics::with_local_recorder(&ledger, || export::record(&report, "nightly"));
    let raw = "pipeline=nightly tank=raw index=0";
    assert_eq!(ledger.total(&format!("standpipe_tank_written_items {raw}")), Some(1_000));
    assert_eq!(ledger.gauge(&format!("standpipe_tank_high {raw}")), Some(4.0));
    assert_eq!(ledger.gauge(&format!("standpipe_tank_ended {raw}")), Some(1.0));
    let dropped = format!("standpipe_tank_dropped_items {raw} reason=unread");
    assert_eq!(ledger.total(&dropped), Some(0));
    let square = "pipeline=nightly stage=square index=1";
    let busy_ns = ledger.total(&format!("standpipe_stage_busy_ns {square}"));
    assert_eq!(busy_ns, Some(report.stages[1].busy_ns));
    assert_eq!(ledger.total(&format!("standpipe_stage_taken_items {square}")), Some(1_000));
}

#[test]
fn exactly_one_stage_is_recorded_as_the_slowest_if_one_is_named() {
    let ledger = Ledger::default();
    let report = report();
    let slowest = report.slowest.as_ref().expect("three segments, and waits").position;
    metrics::with_local_recorder(&ledger, || export::record(&report, "p"));
    for (index, stage) in report.stages.iter().enumerate() {
        let name = format!("standpipe_stage_slowest pipeline=p stage={} index={index}", stage.name);
        assert_eq!(ledger.gauge(&name), Some(f64::from(u8::from(index == slowest))));
    }
}

#[test]
fn totals_that_are_recorded_twice_are_not_added_up() {
    let ledger = Ledger::default();
    let report = report();
    metrics::with_local_recorder(&ledger, || {
        export::record(&report, "p");
        export::record(&report, "p");
    });
    let read = "standpipe_tank_read_items pipeline=p tank=raw index=0";
    assert_eq!(ledger.total(read), Some(1_000));
}

#[test]
fn every_metric_is_described_and_named_after_a_field() {
    let ledger = Ledger::default();
    metrics::with_local_recorder(&ledger, || {
        export::describe();
        export::record(&report(), "p");
    });
    let described = ledger.described.lock().expect("no panic");
    let numbers = ledger.numbers.lock().expect("no panic");
    assert!(described.len() > 30);
    for name in numbers.keys().filter_map(|name| name.split(' ').next()) {
        assert!(described.contains_key(name), "{name} is not described");
        let field = name.trim_start_matches("standpipe_").trim_end_matches("_seconds");
        let field = field.trim_start_matches("tank_").trim_start_matches("stage_");
        let field = field.trim_start_matches("budget_"); // a snapshot in the snapshot
        let field = field.trim_end_matches("_items").trim_end_matches("_weight");
        let row = METRICS.lines().any(|row| row.contains(&format!("`{field}`")));
        assert!(row, "{name}: `{field}` has no row");
    }
}
