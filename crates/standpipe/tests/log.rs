//! What the log of a service is told of a pipeline.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::executor::block_on;
use standpipe::stage::{collect, fold, iter};
use standpipe::{Pipeline, Tank};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes every span and event down, with the spans it is in.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<String>>>,
    current: Arc<Mutex<Vec<u64>>>,
    entered: Arc<AtomicU64>,
}

impl Log {
    /// What is told while `run` runs.
    fn of(run: impl FnOnce()) -> Self {
        let log = Self::default();
        tracing::subscriber::with_default(log.clone(), run);
        log
    }

    fn path_of(&self, id: u64) -> String {
        let index = usize::try_from(id).expect("few spans") - 1;
        self.spans.lock().expect("no panic")[index].clone()
    }

    fn place(&self, parent: Option<&Id>) -> String {
        let current = self.current.lock().expect("no panic").last().copied();
        parent.map(Id::into_u64).or(current).map_or_else(String::new, |id| self.path_of(id))
    }

    fn has(&self, line: &str) -> bool {
        self.lines.lock().expect("no panic").iter().any(|known| known == line)
    }

    fn count(&self, end: &str) -> usize {
        let lines = self.lines.lock().expect("no panic");
        lines.iter().filter(|line| line.ends_with(end)).count()
    }
}

/// Fields as `name=value`; numbers of nanoseconds differ from run to run.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name if name.ends_with("_ns") => write!(self.0, " {name}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("memory is left");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        let path = format!("{}/{}", self.place(span.parent()), fields.0);
        let mut spans = self.spans.lock().expect("no panic");
        spans.push(path);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let line = format!("{}:{}", self.place(event.parent()), fields.0);
        self.lines.lock().expect("no panic").push(line);
    }

    fn enter(&self, id: &Id) {
        self.current.lock().expect("no panic").push(id.into_u64());
        self.entered.fetch_add(1, Ordering::Relaxed);
    }

    fn exit(&self, _: &Id) {
        self.current.lock().expect("no panic").pop();
    }
}

const LINE: &str = r#"/pipeline stages="numbers+double | sum""#;

fn sum(items: u64, mark: usize) {
    let run = Pipeline::from("numbers", iter(0..items))
        .map("double", |n| n * 2)
        .tank(Tank::items(mark))
        .to("sum", fold(0, |sum, n| sum + n))
        .run();
    block_on(run).expect("it ends well");
}

#[test]
fn a_pipeline_and_its_stages_tell_of_their_begin_and_end() {
    let log = Log::of(|| sum(9, 16));
    assert!(log.has(&format!("{LINE}: begins")));
    assert!(log.has(&format!("{LINE}: ends")));
    for stage in [r#"index=0 name="numbers+double""#, r#"index=2 name="sum""#] {
        let ends = format!("{LINE}/stage {stage}: stage ends busy_ns paused_ns starved_ns");
        assert!(log.has(&ends), "{ends}");
    }
}

#[test]
fn a_pipeline_is_inside_the_span_it_was_begun_in() {
    let log = Log::of(|| tracing::info_span!("request").in_scope(|| sum(1, 1)));
    assert!(log.has(&format!("/request{LINE}: ends")));
}

#[test]
fn what_a_stage_logs_is_inside_its_span() {
    let log = Log::of(|| {
        let run = Pipeline::from("numbers", iter([7]))
            .tank(Tank::items(1))
            .map("look", |n| tracing::info!(n, "seen"))
            .to("all", collect(1))
            .run();
        block_on(run).expect("it ends well");
    });
    assert_eq!(log.count(r#"/stage index=1 name="look+all": seen n=7"#), 1);
    assert!(log.current.lock().unwrap().is_empty(), "every span that was entered was left");
}

#[test]
fn pauses_are_told_and_items_are_not() {
    let [few, many] =
        [(100, 1_000), (900, 1_000)].map(|(items, mark)| Log::of(|| sum(items, mark)));
    assert_eq!(few.lines.lock().unwrap().len(), many.lines.lock().unwrap().len());
    assert_eq!(many.count("is paused"), 0);

    let log = Log::of(|| sum(1_000, 100));
    let pauses = log.count("is paused");
    assert!((9..=20).contains(&pauses), "{pauses} pauses for ten tanks full of items");
    assert_eq!(log.count("goes on paused_ns"), pauses);
}

#[test]
fn an_early_end_is_told_with_its_stage_and_cause() {
    let log = Log::of(|| {
        let run = Pipeline::from("numbers", iter(0..9)).to("two", collect(2)).run();
        assert!(block_on(run).is_err());
    });
    let lines = log.lines.lock().unwrap();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("ends early")).collect();
    assert_eq!(told.len(), 1, "{lines:?}");
    assert!(told[0].contains("stage=stage 1 `two`"), "{told:?}");
    assert!(told[0].contains("cause=stage 1 `two`: "), "{told:?}");
}

#[test]
fn a_pipeline_that_is_dropped_is_told_as_cancelled() {
    let log = Log::of(|| {
        let source = standpipe::adapt::stream::from_stream(futures::stream::pending::<u8>());
        let mut run = Pipeline::from("never", source).to("all", collect(1)).run();
        assert!((&mut run).now_or_never().is_none());
    });
    assert_eq!(log.count("ends early cause=cancelled"), 1, "{:?}", log.lines);
}
