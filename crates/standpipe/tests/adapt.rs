//! Foreign streams in and out: streams, tanks, readers, writers, files, TCP,
//! child processes.

use std::io;

use bytes::Bytes;
use futures::StreamExt;
use standpipe::adapt::io::{ReadDoor, WriteDoor, reader, tcp, writer};
use standpipe::adapt::{fs, process, stream, tank};
use standpipe::error::CauseKind;
use standpipe::stage::{collect, fold, iter};
use standpipe::{KIB, Pipeline, Tank};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Bytes that differ everywhere.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i * 31 % 251).expect("below 251")).collect()
}

#[tokio::test]
async fn a_stream_is_a_source_and_a_readable_is_a_stream() {
    let (writable, readable) = Tank::items(2).build();
    let source = stream::from_stream(futures::stream::iter(0..20));
    let run = Pipeline::from("stream", source).to("tank", tank::into_writable(writable)).run();
    let (completed, items) = tokio::join!(run, readable.map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(completed.unwrap().done, 20);
    assert_eq!(items, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_of_results_fails_the_pipeline_with_its_error() {
    let items = [Ok(1), Err(io::Error::other("line noise")), Ok(2)];
    let source = stream::from_try_stream(futures::stream::iter(items));
    let error = Pipeline::from("radio", source).to("all", collect(9)).run().await.unwrap_err();
    assert_eq!(error.to_string(), "stage 0 `radio`: line noise");
}

#[tokio::test]
async fn a_failed_pipeline_fails_the_tank_it_writes_to() {
    let (writable, mut readable) = Tank::items(8).build();
    let items = [Ok(1), Err(io::Error::other("line noise"))];
    let source = stream::from_try_stream(futures::stream::iter(items));
    let error = Pipeline::from("radio", source)
        .to("tank", tank::into_writable(writable))
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), CauseKind::Failed);
    assert_eq!(readable.next().await.unwrap().unwrap(), 1);
    let cause = readable.next().await.unwrap().unwrap_err();
    assert!(cause.to_string().contains("line noise"), "{cause}");
    assert!(readable.next().await.is_none());
}

#[tokio::test]
async fn a_reader_that_had_enough_ends_the_pipeline_that_writes_to_it_well() {
    let (writable, mut readable) = Tank::items(2).build();
    let ready = Pipeline::from("numbers", iter(0_u64..)).to("tank", tank::into_writable(writable));
    let reader = async {
        assert_eq!(readable.next().await.unwrap().unwrap(), 0);
        drop(readable);
    };
    let (completed, ()) = tokio::join!(ready.run(), reader);
    assert!(completed.unwrap().done >= 1);
}

#[tokio::test]
async fn a_failed_pipeline_tells_the_writers_of_the_tank_it_reads_why() {
    let (writable, readable) = Tank::items(8).build();
    for item in 0..3 {
        assert!(writable.write(item).is_ok());
    }
    let error = Pipeline::from("tank", tank::from_readable(readable))
        .to("two", collect(2))
        .run()
        .await
        .unwrap_err();
    assert_eq!(&*error.stage().unwrap().name, "two");
    let cause = writable.write(4).unwrap_err().cause().cloned().unwrap();
    assert!(cause.to_string().contains("limit of 2"), "{cause}");
}

#[tokio::test]
async fn a_tank_that_was_abandoned_fails_the_pipeline_that_reads_it() {
    let (writable, readable) = Tank::items(8).build();
    assert!(writable.write(1).is_ok());
    drop(writable);
    let error = Pipeline::from("tank", tank::from_readable(readable))
        .to("all", collect(9))
        .run()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("dropped without end()"), "{error}");
}

#[tokio::test]
async fn bytes_survive_readers_tanks_and_writers_of_any_size() {
    let data = pattern(300 * KIB + 7);
    for (chunk, mark) in [(1 << 20, 64 * KIB), (1_000, 16), (7 * KIB, 1), (64 * KIB, 256 * KIB)] {
        let (near, mut far) = tokio::io::duplex(5_000);
        let from = io::Cursor::new(data.clone());
        let run = Pipeline::from("memory", reader(from).chunk(chunk))
            .tank(Tank::bytes(mark))
            .to("duplex", writer::<_, Bytes>(near))
            .run();
        let mut got = Vec::new();
        let (completed, read) = tokio::join!(run, far.read_to_end(&mut got));
        read.unwrap();
        assert_eq!(completed.unwrap().done, data.len() as u64);
        assert_eq!(got, data, "chunk {chunk}, mark {mark}");
    }
}

#[tokio::test]
async fn a_tank_stands_in_for_async_read_and_async_write() {
    let data = pattern(200 * KIB);
    let (writable, readable) = Tank::bytes(10_000).build();
    let mut write = WriteDoor::new(writable);
    let mut read = ReadDoor::new(readable);
    let mut got = Vec::new();
    let (wrote, read) = tokio::join!(
        async {
            write.write_all(&data).await?;
            write.shutdown().await
        },
        read.read_to_end(&mut got)
    );
    wrote.unwrap();
    read.unwrap();
    assert_eq!(got, data);
}

#[tokio::test]
async fn a_write_door_dropped_without_shutdown_is_an_unexpected_end() {
    let (writable, readable) = Tank::bytes(100).build();
    let mut write = WriteDoor::new(writable);
    write.write_all(b"half a mess").await.unwrap();
    drop(write);
    let mut got = Vec::new();
    let error = ReadDoor::new(readable).read_to_end(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(got, b"half a mess");
}

#[tokio::test]
async fn a_file_is_copied_through_a_tank_whatever_its_length() {
    let dir = tempfile::tempdir().unwrap();
    for length in [0, 1, 256 * KIB, 256 * KIB + 1, 3 << 20] {
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let data = pattern(length);
        std::fs::write(&from, &data).unwrap();
        let completed = Pipeline::from("from", fs::read(&from))
            .tank(Tank::bytes(512 * KIB))
            .to("to", fs::create::<Bytes>(&to))
            .spawn()
            .await
            .unwrap();
        assert_eq!(completed.done, length as u64);
        assert_eq!(std::fs::read(&to).unwrap(), data);
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let error = Pipeline::from("from", fs::read("no/such/file"))
        .to("all", collect(9))
        .run()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no/such/file"), "{error}");
}

#[tokio::test]
async fn tcp_ends_each_direction_by_itself() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // an echo that answers only once it has seen the end of what was sent
    let echo = async {
        let (mut peer, _) = listener.accept().await?;
        let mut got = Vec::new();
        peer.read_to_end(&mut got).await?;
        peer.write_all(&got).await
    };
    let client = async {
        let (source, sink) = tcp(tokio::net::TcpStream::connect(address).await.unwrap());
        let items: Vec<Bytes> = (0..50).map(|i| Bytes::from(vec![i; 1_000])).collect();
        Pipeline::from("items", iter(items))
            .tank(Tank::bytes(4_000))
            .through("echo", sink, source)
            .tank(Tank::bytes(4_000))
            .to("count", fold(0, |sum, bytes: Bytes| sum + bytes.len()))
            .run()
            .await
    };
    let (echoed, completed) = tokio::join!(echo, client);
    echoed.unwrap();
    assert_eq!(completed.unwrap().done, 50_000);
}

#[tokio::test]
async fn a_connection_that_is_drained_while_it_waits_has_lost_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let (source, _sink) = tcp(listener.accept().await.unwrap().0);
    let (came, mut seen) = tokio::sync::watch::channel(0);
    let run = Pipeline::from("in", source)
        .tank(Tank::bytes(4_000))
        .to(
            "all",
            fold(Vec::new(), move |mut all, bytes: Bytes| {
                all.extend_from_slice(&bytes);
                came.send_replace(all.len());
                all
            }),
        )
        .spawn();
    client.write_all(b"before").await.unwrap();
    seen.wait_for(|all| *all == 6).await.unwrap();
    run.monitor().drain();
    assert_eq!(run.await.unwrap().done, b"before");
    drop(client);
}

#[tokio::test]
async fn a_connection_that_breaks_is_named_and_no_end_of_data() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = tokio::net::TcpStream::connect(address).await.unwrap();
    let (source, _sink) = tcp(listener.accept().await.unwrap().0);
    client.set_zero_linger().unwrap(); // to close it is to reset it
    drop(client);
    let error = Pipeline::from("peer", source).to("all", collect(9)).run().await.unwrap_err();
    assert_eq!(error.to_string(), "stage 0 `peer`: Connection reset by peer (os error 104)");
}

#[tokio::test]
async fn a_child_process_is_a_stage() {
    let (stdin, stdout) = process::command(Command::new("cat")).unwrap();
    let data = pattern(1 << 20);
    let items: Vec<Bytes> = data.chunks(10_000).map(Bytes::copy_from_slice).collect();
    let completed = Pipeline::from("items", iter(items))
        .tank(Tank::bytes(64 * KIB))
        .through("cat", stdin, stdout)
        .tank(Tank::bytes(64 * KIB))
        .to(
            "all",
            fold(Vec::new(), |mut all, bytes: Bytes| {
                all.extend_from_slice(&bytes);
                all
            }),
        )
        .run()
        .await
        .unwrap();
    assert_eq!(completed.done, data);
}

#[test]
fn what_failed_at_the_pipes_of_a_child_is_the_source_of_its_error() {
    use std::error::Error as _;
    let error = process::ChildError::from(io::Error::other("the pipe burst"));
    assert_eq!(error.source().expect("a source").to_string(), "the pipe burst");
}

#[tokio::test]
async fn a_child_that_fails_is_named_and_one_that_had_enough_is_not_a_failure() {
    let run = |program: &str, script: &str| {
        let mut command = Command::new(program);
        command.arg("-c").arg(script);
        let (stdin, stdout) = process::command(command).unwrap();
        let items = std::iter::repeat_n(Bytes::from_static(&[b'x'; 1_000]), 10_000);
        Pipeline::from("items", iter(items))
            .tank(Tank::bytes(64 * KIB))
            .through("child", stdin, stdout)
            .to("count", fold(0, |sum, bytes: Bytes| sum + bytes.len()))
            .run()
    };
    let error = run("sh", "cat >/dev/null; exit 3").await.unwrap_err();
    assert_eq!(&*error.stage().unwrap().name, "→child");
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    let completed = run("sh", "head -c 5000").await.unwrap();
    assert_eq!(completed.done, 5_000);
}
