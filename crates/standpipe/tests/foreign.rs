//! The traits of other crates: `Sink`, `AsyncRead` and `AsyncWrite` of
//! `futures_io`, and the bodies of requests and answers.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::executor::block_on;
use futures::io::{AsyncReadExt, AsyncWriteExt, Cursor};
use futures::{FutureExt, SinkExt, TryStreamExt, stream};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use standpipe::adapt::http::{BodyDoor, from_body};
use standpipe::adapt::io::{DuplexDoor, Futures, ReadDoor, WriteDoor, reader, writer};
use standpipe::adapt::sink::{SinkDoor, into_sink};
use standpipe::adapt::stream::from_stream;
use standpipe::error::CauseKind;
use standpipe::stage::{collect, fold, iter};
use standpipe::tank::duplex_pair;
use standpipe::{KIB, Overflow, Pipeline, Tank};

/// Bytes that differ everywhere.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i * 31 % 251).expect("below 251")).collect()
}

// ---- Sink

#[test]
fn a_sink_door_waits_for_the_drain_and_takes_one_item_at_the_mark() {
    let (writable, mut readable) = Tank::items(2).build();
    let mut door = SinkDoor::new(writable);
    assert!(door.send(1).now_or_never().is_some());
    assert!(door.send(2).now_or_never().is_some());
    assert!(door.send(3).now_or_never().is_none(), "the tank is shut");
    assert_eq!(readable.try_next(), Some(1));
    assert!(door.send(4).now_or_never().is_some());
    block_on(door.close()).unwrap();
    assert_eq!(block_on(readable.try_collect::<Vec<_>>()).unwrap(), [2, 4]);
}

#[test]
fn a_sink_that_closes_ends_the_data_and_one_that_is_dropped_abandons_it() {
    let (writable, mut readable) = Tank::items(2).build();
    let mut door = SinkDoor::new(writable.clone());
    block_on(door.close()).unwrap();
    let error = block_on(door.send(7)).unwrap_err();
    assert_eq!(error.kind(), CauseKind::Misused, "a write after the end");
    drop(SinkDoor::new(writable));
    let cause = block_on(readable.next()).unwrap().unwrap_err();
    assert_eq!(cause.kind(), CauseKind::Abandoned);
}

#[test]
fn a_sink_learns_why_its_reader_stopped() {
    let (writable, readable) = Tank::items(1).build();
    let mut door = SinkDoor::new(writable);
    block_on(door.send(1)).unwrap();
    readable.stop(standpipe::Cause::failed("disk full"));
    assert_eq!(block_on(door.send(2)).unwrap_err().to_string(), "disk full");
}

#[test]
fn an_item_that_another_writer_was_quicker_than_is_kept_and_sent_later() {
    let (writable, mut readable) = Tank::items(1).build();
    let mut door = SinkDoor::new(writable.clone());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(door.poll_ready_unpin(&mut cx).is_ready());
    assert!(writable.write("quicker").is_ok());
    door.start_send_unpin("later").unwrap();
    assert!(door.poll_flush_unpin(&mut cx).is_pending());
    assert!(door.start_send_unpin("unasked").is_err(), "`poll_ready` was left out");
    assert_eq!(readable.try_next(), Some("quicker"));
    assert!(door.poll_flush_unpin(&mut cx).is_ready());
    assert_eq!(readable.try_next(), Some("later"));
}

/// It had said that it took the item; dropped with it, nothing said that it was
/// lost.
#[test]
fn an_item_that_is_kept_for_later_and_lost_is_counted() {
    let (writable, readable) = Tank::bytes(1).build();
    let mut door = SinkDoor::new(writable.clone());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(door.poll_ready_unpin(&mut cx).is_ready());
    assert!(writable.write("quicker").is_ok());
    door.start_send_unpin("later").unwrap();
    drop(door);
    let seen = readable.gauge().snapshot();
    assert_eq!((seen.written.items, seen.written.weight), (2, 12));
    assert_eq!((seen.dropped.unread.items, seen.dropped.unread.weight), (1, 5));
}

#[test]
fn a_sink_into_a_tank_that_drops_never_waits() {
    let (writable, readable) = Tank::items(2).overflow(Overflow::DropOldest).build();
    let mut door = SinkDoor::new(writable);
    for n in 0..10 {
        assert!(door.send(n).now_or_never().is_some());
    }
    block_on(door.close()).unwrap();
    assert_eq!(block_on(readable.try_collect::<Vec<_>>()).unwrap(), [8, 9]);
}

/// Notes what is asked of it.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl ToString) {
        self.0.lock().expect("no panic").push(note.to_string());
    }
}

impl futures::Sink<u32> for Notes {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: u32) -> io::Result<()> {
        if item == 13 {
            return Err(io::Error::other("not that one"));
        }
        self.add(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.add("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.add("close");
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_pipeline_flushes_a_sink_after_each_batch_and_closes_it_at_the_end() {
    let notes = Notes::default();
    let run = Pipeline::from("numbers", iter(1..=4))
        .tank(Tank::items(2))
        .to("notes", into_sink(notes.clone()))
        .run();
    assert_eq!(block_on(run).unwrap().done, 4);
    let notes = notes.0.lock().unwrap();
    assert_eq!(*notes, ["1", "2", "flush", "3", "4", "flush", "close"]);
}

#[test]
fn a_pipeline_that_fails_does_not_close_the_sink() {
    let notes = Notes::default();
    let run =
        Pipeline::from("numbers", iter([1, 13, 2])).to("notes", into_sink(notes.clone())).run();
    assert_eq!(block_on(run).unwrap_err().to_string(), "stage 1 `notes`: not that one");
    assert!(!notes.0.lock().unwrap().contains(&"close".to_owned()));
}

#[test]
fn a_sink_and_its_stream_are_a_stage_in_the_middle() {
    let (there, back) = mpsc::channel(1);
    let run = Pipeline::from("numbers", iter(0..500_u64))
        .tank(Tank::items(4))
        .through("echo", into_sink(there), from_stream(back))
        .tank(Tank::items(4))
        .to("sum", fold(0, |sum, n| sum + n))
        .run();
    assert_eq!(block_on(run).unwrap().done, 499 * 250);
}

// ---- futures_io

#[test]
fn bytes_survive_readers_and_writers_of_futures_io() {
    let data = pattern(300 * KIB + 7);
    for (chunk, mark) in [(1 << 20, 64 * KIB), (1_000, 16), (1_000, 1), (64 * KIB, 256 * KIB)] {
        let (near, far) = duplex_pair(Tank::bytes(5_000), Tank::bytes(1));
        let (near, mut far) = (DuplexDoor::new(near), DuplexDoor::new(far));
        let run = Pipeline::from("memory", reader(Futures(Cursor::new(data.clone()))).chunk(chunk))
            .tank(Tank::bytes(mark))
            .to("duplex", writer::<_, Bytes>(Futures(near)))
            .run();
        let mut got = Vec::new();
        let (completed, read) = block_on(async { futures::join!(run, far.read_to_end(&mut got)) });
        read.unwrap();
        assert_eq!(completed.unwrap().done, data.len() as u64);
        assert!(got == data, "chunk {chunk}, mark {mark}");
    }
}

#[test]
fn a_tank_stands_in_for_the_traits_of_futures_io() {
    let data = pattern(200 * KIB);
    let (writable, readable) = Tank::bytes(10_000).build();
    let (mut write, mut read) = (WriteDoor::new(writable), ReadDoor::new(readable));
    let send = async {
        write.write_all(&data).await?;
        write.close().await
    };
    let mut got = Vec::new();
    let (sent, read) = block_on(async { futures::join!(send, read.read_to_end(&mut got)) });
    sent.unwrap();
    assert_eq!(read.unwrap(), data.len());
    assert!(got == data);
}

#[test]
fn an_abandoned_tank_is_an_unexpected_end_to_readers_of_futures_io() {
    let (writable, readable) = Tank::bytes(64).build();
    assert!(writable.write(Bytes::from_static(b"half")).is_ok());
    drop(writable);
    let mut got = Vec::new();
    let error = block_on(ReadDoor::new(readable).read_to_end(&mut got)).unwrap_err();
    assert_eq!((error.kind(), got.as_slice()), (io::ErrorKind::UnexpectedEof, &b"half"[..]));
}

// ---- http_body

/// A body whose data comes in these frames.
fn frames<E>(frames: Vec<Result<&'static str, E>>) -> impl Body<Data = Bytes, Error = E> {
    let frames = frames.into_iter().map(|data| data.map(|data| Frame::data(Bytes::from(data))));
    StreamBody::new(stream::iter(frames))
}

#[test]
fn a_body_is_a_source_that_fails_with_the_error_of_the_body() {
    let body = frames(vec![Ok("one "), Ok("two "), Err(io::Error::other("reset by peer"))]);
    let run = Pipeline::from("upload", from_body(body)).to("all", collect(9)).run();
    assert_eq!(block_on(run).unwrap_err().to_string(), "stage 0 `upload`: reset by peer");
}

#[test]
fn a_body_is_read_no_further_ahead_than_the_tank_allows() {
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let parts = stream::repeat_with(move || {
        *count.lock().unwrap() += 1;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; KIB])))
    });
    let ready = Pipeline::from("upload", from_body(StreamBody::new(parts)))
        .tank(Tank::bytes(4 * KIB))
        .to("stuck", into_sink(Stuck));
    assert!(ready.run().now_or_never().is_none());
    let asked = *asked.lock().unwrap();
    assert!(asked <= 4 + 4 + 1, "{asked} frames for a tank of four and a batch in hand");
}

/// Is never ready.
struct Stuck;

impl futures::Sink<Bytes> for Stuck {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn start_send(self: Pin<&mut Self>, _: Bytes) -> Result<(), Infallible> {
        unreachable!("it was not ready")
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }
}

#[test]
fn the_data_of_a_pipeline_is_a_body() {
    let (writable, readable) = Tank::bytes(16).build();
    let parts: Vec<_> = pattern(5_000).chunks(100).map(Bytes::copy_from_slice).collect();
    let run = Pipeline::from("parts", iter(parts))
        .to("answer", standpipe::adapt::tank::into_writable(writable))
        .run();
    let (run, body) = block_on(async { futures::join!(run, BodyDoor::new(readable).collect()) });
    run.unwrap();
    assert!(body.unwrap().to_bytes() == pattern(5_000));
}

#[test]
fn an_early_end_is_an_error_of_the_body() {
    let (writable, readable) = Tank::bytes(64).build();
    assert!(writable.write(Bytes::from_static(b"half")).is_ok());
    writable.fail("the disk is gone");
    let error = block_on(BodyDoor::new(readable).collect()).unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
}

#[test]
fn the_size_of_a_body_is_known_when_it_was_promised_or_all_is_in_the_tank() {
    let (writable, readable) = Tank::bytes(64).build();
    assert!(writable.write(Bytes::from_static(b"12345")).is_ok());
    let mut door = BodyDoor::new(readable);
    assert_eq!(door.size_hint().exact(), None, "more may come");
    writable.end();
    assert_eq!(door.size_hint().exact(), Some(5));
    assert!(!door.is_end_stream());
    assert!(block_on(door.frame()).unwrap().is_ok());
    assert_eq!(door.size_hint().exact(), Some(0));
    assert!(door.is_end_stream());

    let (_writable, readable) = Tank::bytes(64).build();
    assert_eq!(BodyDoor::new(readable).with_length(9).size_hint().exact(), Some(9));
}

#[test]
fn a_body_that_breaks_its_promised_length_is_an_error() {
    for (length, message) in [
        (4, "the body is longer than the length that was promised"),
        (7, "the body ended 2 bytes before the length that was promised"),
    ] {
        let (writable, readable) = Tank::bytes(64).build();
        assert!(writable.write(Bytes::from_static(b"12345")).is_ok());
        writable.end();
        let body = BodyDoor::new(readable).with_length(length);
        let error = block_on(body.collect()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
