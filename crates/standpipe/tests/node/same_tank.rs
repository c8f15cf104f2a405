//! Node's rules that the Node mode shares, on tanks, groups and pipelines
//! directly, and those whose scenarios are too long to be written out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::executor::block_on;
use standpipe::adapt::tank::from_readable;
use standpipe::pipeline::Group;
use standpipe::stage::{More, Sink, collect, fold, for_each, iter};
use standpipe::tank::{DEFAULT_BYTES, DEFAULT_FILE_BYTES, DEFAULT_ITEMS};
use standpipe::{Batch, BoxError, CauseKind, Flow, KIB, Pipeline, Tank};

use super::{check_end, now};

#[test]
fn r05_nothing_is_refused() {
    let (writable, _readable) = Tank::items(1).node().build();
    for item in 0..5000 {
        assert_eq!(writable.write(item).unwrap(), Flow::Wait);
    }
    assert_eq!(writable.level(), 5000);
}

#[test]
fn r07_at_a_mark_of_0_every_write_is_false() {
    let (writable, mut readable) = Tank::items(0).node().build();
    assert_eq!(writable.write(1).unwrap(), Flow::Wait);
    assert!(writable.is_shut());
    assert_eq!(readable.try_next(), Some(1));
    assert!(!writable.is_shut());
    assert_eq!(writable.write(2).unwrap(), Flow::Wait);
}

#[test]
fn r60_unread_a_transform_stalls() {
    check_end(
        "transform",
        "transform 16/16 obj",
        &format!("flood {}; idle", "1 ".repeat(40)),
        "idle w25!r16
         final open",
    );
}

#[test]
fn r62_a_chunk_that_gives_nothing_is_never_held() {
    check_end(
        "transform",
        "transform 1/1 obj out=[[0],[],[],[],[],[],[],[],[]]",
        "flood 1 2 3 4 5 6 7 8 9; idle; read; idle",
        "idle w0r0
         final open",
    );
    check_end(
        "transform",
        "transform 9/1 obj out=[[0,0],[],[],[]]",
        "write 1; tick 1; read; read; write 2; write 3; write 4; idle",
        "idle w0r0
         final open",
    );
}

#[test]
fn r64_many_outputs_of_one_input_are_not_refused() {
    let out = vec!["7"; 100].join(",");
    check_end(
        "transform",
        &format!("transform 2/2 obj out=[[{out}]]"),
        "write 1; idle",
        "idle w1r100
         final open",
    );
}

#[test]
fn r70_the_halves_of_a_duplex_end_by_themselves() {
    let group = Group::new();
    let (write_half, read_half) = (group.join("writable"), group.join("readable"));
    let (out, mut far_in) = Tank::bytes(9).node().build::<Vec<u8>>();
    let (far_out, mut inward) = Tank::bytes(9).node().build::<Vec<u8>>();
    let finished = out.end();
    assert!(now(far_in.next()).unwrap().is_none());
    assert!(now(finished).unwrap().is_ok());
    write_half.done();
    write_half.closed();
    assert!(now(group.outcome()).is_none(), "the readable half has not ended");
    far_out.end();
    assert!(now(inward.next()).unwrap().is_none());
    read_half.done();
    read_half.closed();
    assert!(now(group.outcome()).unwrap().is_ok());
}

#[test]
fn r71_the_end_of_one_half_may_end_the_other() {
    let (out, mut far_in) = Tank::bytes(9).node().build::<Vec<u8>>();
    let (far_out, mut inward) = Tank::bytes(9).node().build::<Vec<u8>>();
    far_out.end();
    if now(inward.next()).unwrap().is_none() {
        out.end();
    }
    assert!(now(far_in.next()).unwrap().is_none(), "a clean end");
}

#[test]
fn r72_a_failed_half_stops_the_other_with_one_error() {
    let group = Group::new();
    let (write_half, read_half) = (group.join("writable"), group.join("readable"));
    write_half.fail("reset");
    write_half.closed();
    assert!(read_half.is_over());
    read_half.closed();
    assert_eq!(now(group.outcome()).unwrap().unwrap_err().error().unwrap().to_string(), "reset");
}

#[test]
fn r77_a_pipe_into_a_tank_that_owes_a_drain_starts_paused() {
    let (to, mut sink) = Tank::items(1).node().build();
    let (writable, mut readable) = Tank::items(4).node().build();
    assert_eq!(to.write(0).unwrap(), Flow::Wait);
    assert_eq!(writable.write(1).unwrap(), Flow::Ready);
    {
        let mut pipe = Box::pin(readable.pipe_to(&to));
        assert!(now(pipe.as_mut()).is_none());
        assert_eq!((to.level(), writable.level()), (1, 1));
        assert_eq!(sink.try_next(), Some(0));
        assert!(now(pipe.as_mut()).is_none());
        assert_eq!((to.level(), writable.level()), (1, 0));
    }
    assert_eq!(sink.try_next(), Some(1), "taken off, nothing is lost");
}

#[test]
fn r89_functions_are_stages() {
    let doubled =
        Pipeline::from("numbers", iter(1..=3)).map("double", |n| n * 2).to("all", collect(9)).run();
    assert_eq!(block_on(doubled).unwrap().done, [2, 4, 6]);
    let joined = Pipeline::from("letters", iter(["a", "b"]))
        .to("join", fold(String::new(), |all, letter| all + letter))
        .run();
    assert_eq!(block_on(joined).unwrap().done, "ab");
}

#[test]
fn r92_a_result_is_told_also_to_who_asks_late() {
    let group = Group::new();
    let member = group.join("stream");
    assert!(now(group.outcome()).is_none());
    member.done();
    member.closed();
    assert!(now(group.outcome()).unwrap().is_ok());
    assert!(now(group.outcome()).unwrap().is_ok(), "as often as asked");
    let early = Group::new();
    early.join("stream").stop(); // and dropped: closed before it was done
    assert_eq!(now(early.outcome()).unwrap().unwrap_err().kind(), CauseKind::Abandoned);
}

#[test]
fn r94_a_writable_half_reports_by_itself() {
    let (writable, mut readable) = Tank::items(4).node().build();
    assert_eq!(writable.write(1).unwrap(), Flow::Ready);
    let mut finished = writable.end();
    assert!(now(&mut finished).is_none());
    assert_eq!(readable.try_next(), Some(1));
    assert!(now(finished).unwrap().is_ok(), "nobody has read the end");
}

#[test]
fn r95_a_cancellation_keeps_its_reason() {
    let running = Pipeline::from("endless", iter(0..)).to("sink", for_each(drop));
    let monitor = running.monitor();
    let cause = standpipe::Cause::with_error(CauseKind::Cancelled, "too late");
    monitor.cancel_with(cause);
    let error = block_on(running.run()).unwrap_err();
    assert_eq!(error.kind(), CauseKind::Cancelled);
    assert_eq!(error.cause().error().unwrap().to_string(), "too late");
}

/// A sink that has enough after three.
struct Three(Vec<u64>);

impl Sink for Three {
    type In = u64;
    type Done = Vec<u64>;
    type Error = BoxError;

    async fn write(&mut self, batch: &mut Batch<u64>) -> Result<More, BoxError> {
        self.0.extend(batch.pop());
        Ok(if self.0.len() < 3 { More::Yes } else { More::No })
    }

    async fn finish(&mut self) -> Result<Vec<u64>, BoxError> {
        Ok(std::mem::take(&mut self.0))
    }
}

#[test]
fn r99_who_has_enough_stops_the_source() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let source = iter((1..).inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    let taken =
        Pipeline::from("endless", source).tank(Tank::items(1)).to("three", Three(Vec::new()));
    assert_eq!(block_on(taken.run()).unwrap().done, [1, 2, 3]);
    assert!(pulled.load(Ordering::Relaxed) <= 5);
}

#[test]
fn r100_the_default_marks_are_nodes() {
    assert_eq!((DEFAULT_BYTES, DEFAULT_ITEMS, DEFAULT_FILE_BYTES), (16 * KIB, 16, 64 * KIB));
    let bytes: Tank<standpipe::tank::ByBytes> = Tank::default();
    let (writable, _readable) = bytes.build::<Vec<u8>>();
    assert_eq!(writable.high_water_mark(), 16 * KIB);
}

#[test]
fn r108_a_stalled_sink_holds_up_what_the_marks_say() {
    let chunks = vec!["1"; 200].join(",");
    let transform = "transform 16/16 obj |".repeat(3);
    let nodes = format!("source 16 obj chunks=[{chunks}] | {transform} sink 16 obj hangAt=0");
    // 16 * 8, less one chunk per transform that counts on both of its sides
    check_end(
        "pipeline",
        &nodes,
        "idle",
        "idle r16 w16!r16 w16!r16 w16!r16 w16!
         final open open open open open in=0 pl=pending",
    );
    let steps = super::play("pipeline", &nodes, "idle");
    assert_eq!(steps.iter().filter(|step| step.contains("chunk:")).count(), 125);
}

#[test]
fn r110_a_pipeline_over_a_stream_that_is_gone_fails() {
    let (writable, readable) = Tank::items(4).node().build::<u64>();
    drop(writable);
    let run = Pipeline::from("gone", from_readable(readable)).to("all", collect(9)).run();
    let error = block_on(run).unwrap_err();
    assert_eq!(error.to_string(), "stage 0 `gone`: a writer was dropped without end()");
}

#[test]
fn r111_a_drain_lets_everyone_write() {
    let (writable, mut readable) = Tank::items(2).node().build();
    let _shut = (writable.write(0).unwrap(), writable.write(0).unwrap());
    {
        let mut waits: Vec<_> = (0..5).map(|_| Box::pin(writable.drained())).collect();
        assert!(waits.iter_mut().all(|wait| now(wait.as_mut()).is_none()));
        assert_eq!((readable.try_next(), readable.try_next()), (Some(0), Some(0)));
        for wait in &mut waits {
            assert!(now(wait.as_mut()).unwrap().is_ok());
            let _flow = writable.write(1).unwrap();
        }
    }
    assert_eq!(writable.level(), 5);
}

#[test]
fn r114_the_first_error_is_kept() {
    let group = Group::new();
    let member = group.join("stream");
    assert!(!member.is_over());
    member.fail("1");
    member.fail("2");
    assert!(member.is_over());
    assert_eq!(now(member.over()).unwrap().unwrap().error().unwrap().to_string(), "1");
}
