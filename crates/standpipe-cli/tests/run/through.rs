//! What becomes of bytes that come by one connection and leave by another, with no program between?

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{SendFlags, send};
use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Done, Live, Scratch, noise, read_slowly, run, standpipe, traced};

const TERM: i32 = 15;

/// A place to connect to.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    (listener, uri)
}

/// A run from one peer to another, and both.
struct Between {
    live: Live,
    source: TcpStream,
    sink: TcpStream,
}

impl Between {
    fn start(options: &[&str]) -> Self {
        let ((near, from), (far, to)) = (listener(), listener());
        let live = Live::start(standpipe(&[options, &["--from", &from, "--to", &to]].concat()));
        let accept = |listener: TcpListener| listener.accept().expect("the command connects").0;
        Self { live, source: accept(near), sink: accept(far) }
    }
}

/// Sends all of it and half-closes.
fn pour(mut to: TcpStream, bytes: Vec<u8>) -> JoinHandle<TcpStream> {
    std::thread::spawn(move || {
        to.write_all(&bytes).expect("it is taken");
        to.shutdown(Shutdown::Write).expect("it is connected");
        to
    })
}

/// Reads to a good end.
fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut got = Vec::new();
        from.read_to_end(&mut got).expect("it ends well");
        got
    })
}

/// Ends a connection as a crash does.
fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("a TCP socket can");
    drop(stream);
}

/// Sends until nothing has been taken for a while: how many bytes were.
#[track_caller]
fn fill(to: &TcpStream, bytes: &[u8]) -> usize {
    to.set_nonblocking(true).expect("sockets can");
    let a_while = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
    let mut sent = 0;
    loop {
        match send(to, &bytes[sent..], SendFlags::NOSIGNAL) {
            Ok(wrote) => sent += wrote,
            Err(error) => {
                assert_eq!(error, Errno::AGAIN);
                let mut on = [PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT)];
                if poll(&mut on, Some(&a_while)).expect("it can be polled") == 0 {
                    return sent;
                }
            }
        }
        assert!(sent < bytes.len(), "somebody holds all of it");
    }
}

/// The one tank of the last sample.
#[track_caller]
fn tank(done: &Done) -> &Value {
    &done.events("sample").pop().expect("there is a last one")["tanks"][0]
}

/// Asserts that a run ended well, and counted these bytes everywhere.
#[track_caller]
fn counted(done: &Done, bytes: usize, path: &str) {
    assert_eq!(done.code(), 0, "{}", done.err);
    assert_eq!(done.events("start")[0]["tanks"][0]["path"], path);
    assert_eq!((&done.end()["bytes_in"], &done.end()["bytes_out"]), (&bytes.into(), &bytes.into()));
    let tank = tank(done);
    assert_eq!((&tank["in_bytes"], &tank["out_bytes"]), (&bytes.into(), &bytes.into()), "{tank}");
    assert_eq!(tank["level"], 0, "{tank}");
}

#[test]
fn every_byte_passes_by_splice_and_is_counted_once() {
    for (options, path) in [
        (&[][..], "splice"),
        (&["-t", "64K"], "splice"),
        (&["-t", "4M"], "copy"),
        (&["--low", "50%"], "copy"),
        (&["--fast", "never"], "copy"),
    ] {
        let data = noise(9_000_001);
        let options = [&["--summary", "always"], options].concat();
        let Between { live, source, sink } = Between::start(&options);
        let (got, sent) = (collect(sink), pour(source, data.clone()));
        let done = live.end();
        assert!(got.join().expect("it does not panic") == data, "{options:?}");
        drop(sent.join().expect("it does not panic"));
        counted(&done, data.len(), path);
        assert!(done.err.contains("8.58 MiB in, 8.58 MiB out"), "{options:?}: {}", done.err);
    }
}

#[test]
fn single_bytes_arrive_as_they_come() {
    let Between { live, mut source, mut sink } = Between::start(&[]);
    source.set_nodelay(true).expect("a TCP socket can");
    for byte in 0..100_u8 {
        source.write_all(&[byte]).expect("it is taken");
        let mut got = [0];
        sink.read_exact(&mut got).expect("it comes");
        assert_eq!(got, [byte]);
    }
    drop(source);
    counted(&live.end(), 100, "splice");
    assert_eq!(sink.read(&mut [0]).expect("it ends well"), 0);
}

#[test]
fn unix_sockets_and_files_go_into_a_socket_the_same_way() {
    let scratch = Scratch::new();
    let data = noise(5_000_003);
    let (near, far) = (scratch.arg("near"), scratch.arg("far"));
    let file = scratch.file("file", &data);
    let (near_uri, far_uri) = (format!("unix://{near}"), format!("unix://{far}"));
    let source = UnixListener::bind(&near).expect("the name is free");
    let sink = UnixListener::bind(&far).expect("the name is free");
    for from in [near_uri.as_str(), &file, &format!("file://{file}?offset=3&length=4000000")] {
        let live = Live::start(standpipe(&["--from", from, "--to", &far_uri]));
        let sent = (from == near_uri).then(|| {
            let (mut stream, _): (UnixStream, _) = source.accept().expect("the command connects");
            let data = data.clone();
            std::thread::spawn(move || stream.write_all(&data).expect("it is taken"))
        });
        let got = collect(sink.accept().expect("the command connects").0);
        let done = live.end();
        sent.map(JoinHandle::join).transpose().expect("it does not panic");
        let expected = if from.contains('?') { &data[3..4_000_003] } else { &data[..] };
        assert!(got.join().expect("it does not panic") == expected, "{from}");
        counted(&done, expected.len(), "splice");
    }
}

#[test]
fn nothing_at_all_is_an_end_too() {
    let Between { live, source, mut sink } = Between::start(&["--summary", "always"]);
    source.shutdown(Shutdown::Write).expect("it is connected");
    let done = live.end();
    counted(&done, 0, "splice");
    assert!(done.err.contains("0 B in, 0 B out"), "{}", done.err);
    assert_eq!(sink.read(&mut [0]).expect("it ends well"), 0);
}

#[test]
fn each_half_of_both_connections_ends_by_itself() {
    let Between { live, mut source, mut sink } = Between::start(&[]);
    // that the sink has nothing to say is no end of what it reads
    sink.shutdown(Shutdown::Write).expect("it is connected");
    source.write_all(b"after that").expect("it is taken");
    let mut got = [0; 10];
    sink.read_exact(&mut got).expect("it comes");
    assert_eq!(&got, b"after that");
    // that the source has said all is no end of the other half
    source.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(sink.read(&mut [0]).expect("it ends well"), 0);
    counted(&live.end(), 10, "splice");
    assert_eq!(source.read(&mut [0]).expect("nobody has reset it"), 0);

    let Between { live, source, mut sink } = Between::start(&[]);
    drop(pour(source, b"question".to_vec()).join().expect("it does not panic"));
    let mut got = String::new();
    sink.read_to_string(&mut got).expect("it ends well");
    sink.write_all(b"answer").expect("nobody has reset it");
    assert_eq!((got.as_str(), live.end().code()), ("question", 0));
}

#[test]
fn a_source_that_crashes_is_a_failure_and_the_sink_is_told() {
    let Between { live, mut source, mut sink } = Between::start(&[]);
    source.write_all(&[7; 1000]).expect("it is taken");
    sink.read_exact(&mut [0; 1000]).expect("it comes");
    reset(source);
    let done = live.end();
    done.failed(125, &["cannot read `tcp://", "connection reset by peer"]);
    assert_eq!(tank(&done)["out_bytes"], 1000);
    let end = sink.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "it would take it for all there is");
}

#[test]
fn what_a_source_sent_before_it_crashed_is_delivered() {
    let Between { live, source, sink } = Between::start(&[]);
    let data = noise(64 << 20);
    let sent = fill(&source, &data);
    reset(source);
    // The connection of the source breaks while the tank is full. What is in it still gets to the sink, which
    // then hears that it is not all.
    let reader = std::thread::spawn(move || {
        let (mut sink, mut got) = (sink, Vec::new());
        let end = sink.read_to_end(&mut got).map_err(|error| error.kind());
        (got, end)
    });
    let done = live.end();
    done.failed(125, &["cannot read `tcp://", "connection reset by peer"]);
    let (got, end) = reader.join().expect("it does not panic");
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(got.len() <= sent && got == data[..got.len()], "{} of {sent}", got.len());
    let tank = tank(&done);
    assert_eq!(tank["in_bytes"], tank["out_bytes"], "{tank}");
}

#[test]
fn a_sink_that_crashes_is_a_failure_whatever_is_waited_for() {
    let data = noise(64 << 20);
    for full in [false, true] {
        let Between { live, mut source, sink } = Between::start(&[]);
        let sent = if full { fill(&source, &data) } else { 0 };
        reset(sink);
        let done = live.end();
        done.failed(125, &["cannot write `tcp://"]);
        let taken = tank(&done)["in_bytes"].as_u64().expect("the schema says so");
        assert!(taken <= sent as u64 && (taken > 0) == full, "{taken} of {sent}");
        source.set_nonblocking(false).expect("sockets can");
        // It is not told that all was well, unless it never sent anything.
        let end = source.read(&mut [0]);
        assert!(end.is_err() || !full, "{end:?}");
    }
}

#[test]
fn term_brings_what_was_read_to_the_sink() {
    let Between { live, source, sink } = Between::start(&[]);
    let data = noise(64 << 20);
    fill(&source, &data);
    live.signal(Signal::TERM);
    let reader = std::thread::spawn(move || {
        let (mut sink, mut got) = (sink, Vec::new());
        sink.read_to_end(&mut got).map_err(|error| error.kind()).err();
        got
    });
    let done = live.end();
    assert_eq!((done.signal(), done.events("drain").len()), (TERM, 1), "{}", done.err);
    let tank = tank(&done);
    assert_eq!(tank["in_bytes"], tank["out_bytes"], "{tank}");
    let got = reader.join().expect("it does not panic");
    assert!(got == data[..got.len()], "{} bytes", got.len());
    drop(source);
}

#[test]
fn int_ends_it_whatever_it_waits_for() {
    let data = noise(64 << 20);
    for full in [false, true] {
        let Between { live, source, sink } = Between::start(&[]);
        if full {
            fill(&source, &data);
        }
        live.signal(Signal::INT);
        assert_eq!(live.end().signal(), 2);
        drop((source, sink));
    }
}

#[test]
fn of_two_peers_the_slow_one_is_named() {
    let Between { live, source, mut sink } = Between::start(&["--summary", "always"]);
    let sent = pour(source, vec![7; 20 << 20]);
    read_slowly(&mut sink, 1_000_000);
    let done = live.end();
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.err.contains("SLOWEST: the output, "), "{}", done.err);
    assert!(done.err.contains("kept its window shut"), "{}", done.err);
    assert!(tank(&done)["pauses"].as_u64() > Some(0), "{}", tank(&done));
    let samples = done.events("sample");
    let peak = &samples.last().expect("there is one")["memory"]["peak"];
    let high = &done.events("start")[0]["tanks"][0]["high"];
    assert!(peak.as_u64() > Some(0) && peak.as_u64() <= high.as_u64(), "{peak} of {high}");
    drop(sent.join().expect("it does not panic"));

    let Between { live, mut source, sink } = Between::start(&["--summary", "always"]);
    let got = collect(sink);
    let pause = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    for _ in 0..100 {
        source.write_all(&[7; 20_000]).expect("it is taken");
        poll(&mut [], Some(&pause)).expect("nothing is polled");
    }
    drop(source);
    let done = live.end();
    assert_eq!((done.code(), got.join().expect("it does not panic").len()), (0, 2_000_000));
    assert!(done.err.contains("SLOWEST: the input, "), "{}", done.err);
    assert_eq!(tank(&done)["pauses"], 0, "{}", tank(&done));
}

#[test]
fn a_rate_limit_holds_and_is_named_between_sockets() {
    let Between { live, source, sink } = Between::start(&["--summary", "always", "-r", "4MB/s"]);
    let (got, sent) = (collect(sink), pour(source, vec![7; 2_000_000]));
    let done = live.end();
    counted(&done, 2_000_000, "splice");
    assert!(done.err.starts_with("SLOWEST: the limit of `--rate`\n"), "{}", done.err);
    // the limit holds from the first byte
    let took_ms = done.end()["elapsed_ms"].as_u64().expect("the schema says so");
    assert!(took_ms >= 450, "{took_ms} ms at 4 MB/s");
    assert_eq!(got.join().expect("it does not panic").len(), 2_000_000);
    drop(sent.join().expect("it does not panic"));
}

#[test]
fn a_kernel_that_refuses_in_the_middle_costs_no_byte() {
    let data = noise(3_000_003);
    for (error, when) in [("EINVAL", 1), ("EINVAL", 2), ("ENOSYS", 3), ("EINVAL", 4), ("EPERM", 7)]
    {
        let ((near, from), (far, to)) = (listener(), listener());
        let (bytes, expected) = (data.clone(), data.len());
        let peers = std::thread::spawn(move || {
            let sent = pour(near.accept().expect("the command connects").0, bytes);
            let got = collect(far.accept().expect("the command connects").0);
            let got = got.join().expect("it does not panic");
            drop(sent.join().expect("it does not panic"));
            got
        });
        let command = standpipe(&["--from", &from, "--to", &to]);
        let done = run(traced(&format!("splice:error={error}:when={when}+"), &command));
        assert_eq!(done.code(), 0, "{}", done.err);
        assert!(peers.join().expect("it does not panic") == data, "{error} from {when} on");
        assert_eq!(
            (&done.end()["bytes_out"], &tank(&done)["path"]),
            (&expected.into(), &"copy".into())
        );
    }
}
