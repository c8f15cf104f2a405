//! Two sides in memory, and pipes that are put on and taken off.

mod hand;

use futures::executor::block_on;
use hand::{Hand, now};
use standpipe::error::{Cause, CauseKind};
use standpipe::stage::{collect, iter};
use standpipe::tank::{Duplex, PipeError, duplex_pair};
use standpipe::{Flow, Pipeline, Readable, Tank, WriteError};

fn sides() -> (Duplex<u32, &'static str>, Duplex<&'static str, u32>) {
    duplex_pair(Tank::items(2), Tank::items(2))
}

#[test]
fn each_side_reads_what_the_other_writes() {
    let (mut near, mut far) = sides();
    assert_eq!(near.write("ask").ok(), Some(Flow::Ready));
    assert_eq!(far.write(7).ok(), Some(Flow::Ready));
    assert_eq!(now(far.next()).map(Result::ok), Some(Some("ask")));
    assert_eq!(now(near.next()).map(Result::ok), Some(Some(7)));
}

#[test]
fn pressure_is_of_one_direction() {
    let (near, mut far) = sides();
    now(near.send("a")).unwrap();
    now(near.send("b")).unwrap();
    assert!(near.write("c").is_err_and(|error| error.is_full()));
    assert_eq!(far.write(1).ok(), Some(Flow::Ready), "the way back is open");
    let mut waits = Hand::new(near.drained());
    waits.waits();
    assert!(now(far.next()).is_some());
    assert_eq!(waits.wakes(), 1);
    assert!(waits.ready().is_ok());
}

#[test]
fn a_half_close_either_way_leaves_the_other_way_open() {
    let (near, mut far) = sides();
    let mut near = near.end();
    assert!(now(far.next()).is_none());
    now(far.send(1)).unwrap();
    assert_eq!(now(near.next()).map(Result::ok), Some(Some(1)));

    let (mut near, far) = sides();
    let far = far.stop(Cause::new(CauseKind::Expired));
    let Err(WriteError::Closed(item, cause)) = near.write("lost?") else {
        unreachable!("nobody reads");
    };
    assert_eq!((item, cause.kind()), ("lost?", CauseKind::Expired));
    now(far.send(1)).unwrap();
    assert_eq!(now(near.next()).map(Result::ok), Some(Some(1)));
}

#[test]
fn a_side_that_is_dropped_is_abandoned_and_stopped() {
    let (mut near, far) = sides();
    drop(far);
    let cause = now(near.next()).unwrap().unwrap_err();
    assert_eq!(cause.kind(), CauseKind::Abandoned);
    let error = near.write("anybody there?").unwrap_err();
    assert_eq!(error.cause().map(Cause::kind), Some(CauseKind::Stopped));
}

#[test]
fn its_halves_work_in_two_tasks_and_join_again() {
    let (near, far) = sides();
    let (mut near_out, near_in) = near.split();
    let echo = async {
        let (mut questions, answers) = far.split();
        let mut n = 0;
        while let Some(question) = questions.next().await {
            assert_eq!(question.unwrap(), "more");
            answers.send(n).await.unwrap();
            n += 1;
        }
        answers.end();
    };
    let write = async {
        for _ in 0..50 {
            near_in.send("more").await.unwrap();
        }
        near_in
    };
    let read = async {
        for n in 0..50 {
            assert_eq!(near_out.next().await.unwrap().unwrap(), n);
        }
        near_out
    };
    let both = async {
        let (near_in, near_out) = futures::join!(write, read);
        Duplex::new(near_out, near_in).end()
    };
    let (mut rest, ()) = block_on(async { futures::join!(both, echo) });
    assert!(now(rest.next()).is_none());
}

#[test]
fn a_pipeline_leaves_through_one_side_and_comes_back() {
    use standpipe::adapt::tank::{from_readable, into_writable};

    let (near, far) = duplex_pair(Tank::items(2), Tank::items(2));
    let (back, forth) = near.split();
    let outside = Pipeline::from("in", from_readable(far.readable))
        .map("double", |n: u32| n * 2)
        .to("out", into_writable(far.writable));
    let inside = Pipeline::from("numbers", iter(0..20_u32))
        .through("outside", into_writable(forth), from_readable(back))
        .to("all", collect(100));
    let (outside, inside) = block_on(async { futures::join!(outside.run(), inside.run()) });
    assert_eq!(outside.unwrap().done, 20);
    assert_eq!(inside.unwrap().done, (0..20).map(|n| n * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn it_is_a_socket_for_code_that_wants_one() {
    use standpipe::adapt::io::DuplexDoor;
    use standpipe::{KIB, Tank};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};

    let (near, far) = duplex_pair(Tank::bytes(KIB), Tank::bytes(KIB));
    let echo = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(DuplexDoor::new(far));
        copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let (mut read, mut write) = DuplexDoor::new(near).into_split();
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let copy = sent.clone();
    let writes = tokio::spawn(async move {
        write.write_all(&copy).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    read.read_to_end(&mut got).await.unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    writes.await.unwrap();
    echo.await.unwrap();
}

// ---- pipes -------------------------------------------------------------------

/// A tank with these items in it, and no end.
fn holding(items: std::ops::Range<u32>) -> (standpipe::Writable<u32>, Readable<u32>) {
    let (writable, readable) = Tank::items(8).build();
    for item in items {
        now(writable.send(item)).expect("it has room");
    }
    (writable, readable)
}

fn rest(readable: &mut Readable<u32>) -> Vec<u32> {
    std::iter::from_fn(|| readable.try_next()).collect()
}

#[test]
fn taking_a_pipe_off_loses_nothing_wherever_it_waits() {
    // at the shut destination: two went over, four are left
    let (_writable, mut from) = holding(0..6);
    let (to, mut sink) = Tank::items(2).build();
    let mut pipe = Hand::new(from.pipe_to(&to));
    pipe.waits();
    drop(pipe);
    assert_eq!((rest(&mut from), rest(&mut sink)), ((2..6).collect(), vec![0, 1]));

    // at the empty source
    let (writable, mut from) = holding(0..1);
    let mut pipe = Hand::new(from.pipe_to(&to));
    pipe.waits();
    drop(pipe);
    now(writable.send(9)).unwrap();
    assert_eq!((rest(&mut from), rest(&mut sink)), (vec![9], vec![0]));

    // where another writer was faster: the item goes back to the front
    let (_writable, mut from) = holding(3..6);
    let (to, mut sink) = Tank::items(1).build();
    let faster = to.clone();
    now(faster.send(0)).unwrap();
    let mut pipe = Hand::new(from.pipe_to(&to));
    pipe.waits();
    assert_eq!(sink.try_next(), Some(0));
    now(faster.send(1)).unwrap();
    pipe.waits();
    drop(pipe);
    assert_eq!((rest(&mut from), rest(&mut sink)), ((3..6).collect(), vec![1]));
}

#[test]
fn what_was_piped_goes_on_elsewhere() {
    let (writable, mut from) = holding(0..6);
    let (first, mut sink) = Tank::items(2).build();
    let mut pipe = Hand::new(from.pipe_to(&first));
    pipe.waits();
    drop(pipe);
    assert!(!writable.is_shut(), "its writer was let go on");
    writable.end();
    let (second, mut other) = Tank::items(8).build();
    assert_eq!(now(from.pipe_to(&second)).unwrap(), 4);
    assert_eq!((rest(&mut sink), rest(&mut other)), (vec![0, 1], (2..6).collect()));
    // the first one is released: its own writer may use it
    assert_eq!(first.write(7).ok(), Some(Flow::Ready));
}

#[test]
fn pipes_one_after_another_keep_one_destination_open() {
    let (to, mut sink) = Tank::items(16).build();
    for part in [0..3, 3..3, 3..6] {
        let (writable, mut from) = holding(part.clone());
        writable.end();
        assert_eq!(now(from.pipe_to(&to)).unwrap(), u64::from(part.end - part.start));
        assert!(to.write(100).is_ok(), "still open at the end of its source");
    }
    to.end();
    let mut all = Vec::new();
    while let Some(item) = now(sink.next()) {
        all.push(item.unwrap());
    }
    assert_eq!(all, [0, 1, 2, 100, 100, 3, 4, 5, 100]);
}

#[test]
fn pipes_side_by_side_share_one_destination() {
    let (to, mut sink) = Tank::items(1).build();
    let (one, mut from_one) = holding(0..4);
    let (two, mut from_two) = holding(10..14);
    drop((one.end(), two.end()));
    let pipes = async {
        let both = futures::join!(from_one.pipe_to(&to), from_two.pipe_to(&to));
        to.end();
        both
    };
    let read = async {
        let mut all = Vec::new();
        while let Some(item) = sink.next().await {
            all.push(item.unwrap());
        }
        all
    };
    let ((one, two), all) = block_on(async { futures::join!(pipes, read) });
    assert_eq!((one.unwrap(), two.unwrap()), (4, 4));
    let (low, high): (Vec<u32>, Vec<u32>) = all.iter().partition(|n| **n < 10);
    assert_eq!((low, high), ((0..4).collect(), (10..14).collect()), "each in its order");
}

#[test]
fn a_failure_stays_on_its_side_of_a_pipe_that_keeps_both() {
    let (writable, mut from) = holding(0..2);
    let (to, mut sink) = Tank::items(8).build();
    writable.fail("gone");
    let error = now(from.pipe_to(&to)).unwrap_err();
    assert!(matches!(&error, PipeError::Source(cause) if cause.to_string() == "gone"));
    assert!(to.write(7).is_ok(), "the destination is none the wiser");
    assert_eq!(rest(&mut sink), [0, 1, 7]);

    let (writable, mut from) = holding(0..2);
    drop(sink);
    let error = now(from.pipe_to(&to)).unwrap_err();
    assert!(matches!(error, PipeError::Destination(_)));
    assert!(writable.write(2).is_ok(), "the source is none the wiser");
    assert_eq!(rest(&mut from), [0, 1, 2]);
}

#[test]
fn dropping_a_pipe_that_owns_both_sides_lets_both_go() {
    let (writable, from) = holding(0..6);
    let (to, mut sink) = Tank::items(2).build();
    let mut pipe = Hand::new(from.pipe(to));
    pipe.waits();
    drop(pipe);
    let error = writable.write(7).unwrap_err();
    assert_eq!(error.cause().map(Cause::kind), Some(CauseKind::Stopped));
    assert_eq!(writable.gauge().snapshot().dropped.unread.items, 4, "and counted");
    assert_eq!(rest(&mut sink), [0, 1]);
    assert_eq!(now(sink.next()).unwrap().unwrap_err().kind(), CauseKind::Abandoned);
}
