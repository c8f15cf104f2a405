//! Do several ends get the same bytes, and is it all of them or none that keep them?

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rustix::process::Signal;

use crate::rig::{BIN, Done, Live, Scratch, feed, noise, run, shell, standpipe, traced};

/// Whoever listens on a Unix socket: gets all, once it is told to go on.
struct Peer {
    uri: String,
    go: SyncSender<()>,
    got: JoinHandle<Vec<u8>>,
}

impl Peer {
    fn new(scratch: &Scratch, name: &str) -> Self {
        let listener = UnixListener::bind(scratch.path(name)).expect("the name is free");
        let (go, wait) = sync_channel(1);
        let got = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the command connects");
            // One that is not told to go on leaves.
            let Ok(()) = wait.recv() else { return Vec::new() };
            let mut got = Vec::new();
            // A reset is an end, too.
            stream.read_to_end(&mut got).ok();
            got
        });
        Self { uri: format!("unix://{}", scratch.arg(name)), go, got }
    }

    /// Lets it read, and waits for all that it gets.
    fn take(self) -> Vec<u8> {
        self.go.send(()).expect("it waits");
        self.got.join().expect("it does not panic")
    }
}

/// Lines with their numbers.
fn lines(count: u32) -> Vec<u8> {
    (0..count).flat_map(|number| format!("{number:09}\n").into_bytes()).collect()
}

#[track_caller]
fn outputs(done: &Done) -> Vec<(String, bool)> {
    let outputs = done.end()["outputs"].as_array().expect("the schema says so");
    let output = |output: &serde_json::Value| {
        let path = output["path"].as_str().expect("the schema says so");
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        (name, output["published"].as_bool().expect("the schema says so"))
    };
    outputs.iter().map(output).collect()
}

#[test]
fn all_branches_get_equal_bytes_by_every_path() {
    let data = noise(5_000_003);
    let scratch = Scratch::new();
    let input = scratch.file("in", &data);
    let (one, two) = (scratch.arg("one"), scratch.arg("two"));
    let paths: [&[&str]; 4] = [&[], &["--fast", "never"], &["--low", "25%"], &["-t", "8M"]];
    let forms: [&[&str]; 5] = [
        &[],
        &["--from", &input],
        &["-c", "cat | cat"],
        &["--", "cat"],
        &["--", "@gzip", "1", "::", "@gunzip"],
    ];
    let to = ["--overwrite", "--to", &one, "--to", "-", "--to", &two, "--to", "null:"];
    for form in forms {
        for path in paths {
            let done = feed(standpipe(&[path, &to, form].concat()), data.clone());
            assert_eq!(done.code(), 0, "{path:?} {form:?}: {}", done.err);
            assert!(done.out == data, "{path:?} {form:?}: {} bytes", done.out.len());
            assert!(scratch.read("one") == data && scratch.read("two") == data, "{form:?}");
            let published = [("one".to_owned(), true), ("two".to_owned(), true)];
            assert_eq!(outputs(&done), published);
            assert_eq!(done.end()["complete"], true);
            let start = done.events("start");
            let tanks = start[0]["tanks"].as_array().expect("the schema says so");
            let branches =
                tanks.iter().filter(|tank| tank["from"] == tanks[tanks.len() - 1]["from"]);
            assert!(branches.clone().all(|tank| tank["path"] == "copy"), "{tanks:?}");
            assert_eq!(branches.count(), 4);
        }
    }
}

#[test]
fn connections_descriptors_and_made_up_bytes_fan_out_too() {
    let scratch = Scratch::new();
    let peer = Peer::new(&scratch, "socket");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let tcp = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("it ends well");
        got
    });
    let (uri, three) = (peer.uri.clone(), scratch.arg("three"));
    let taking = std::thread::spawn(move || peer.take());
    let ends = format!("--to {uri} --to {tcp} --to fd:3 --to - 3>{three}");
    let done = run(shell(&format!("\"$S\" --from 'random:3M?seed=5' {ends}")));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert_eq!(done.out.len(), 3 << 20);
    assert!(taking.join().expect("it does not panic") == done.out);
    assert!(reader.join().expect("it does not panic") == done.out);
    assert!(scratch.read("three") == done.out);
}

#[test]
fn no_data_makes_empty_files() {
    let scratch = Scratch::new();
    let args = ["--to", &scratch.arg("a"), "--to", &scratch.arg("b"), "--to", "-"];
    let done = run(standpipe(&args));
    assert_eq!((done.code(), done.out.len()), (0, 0), "{}", done.err);
    assert_eq!((scratch.read("a").len(), scratch.read("b").len()), (0, 0));
}

#[test]
fn a_file_of_stages_fans_out_and_says_what_it_will_do() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.arg("one"), scratch.arg("two"));
    let text = format!(
        "version = 1\n[[stage]]\nid = 'count'\nexec = ['seq', '1000']\n\
         [[stage]]\nid = 'one'\nto = '{one}'\ntank = '8M'\n\
         [[stage]]\nid = 'two'\ninput = 'count'\nto = '{two}'\nfull = 'wait'\n\
         [[stage]]\nid = 'live'\ninput = 'count'\nto = '-'\nfull = 'drop-oldest'\n"
    );
    let file = scratch.file("p.toml", text.as_bytes());
    let told = run(standpipe(&["check", &file])).text();
    for said in [
        &format!("stage two    to    {two}\n"),
        "tank  count>one   8 MiB\n",
        "tank  count>two   1 MiB\n",
        "tank  count>live  1 MiB, when full: drop-oldest\n",
        "memory: at most 10 MiB in tanks",
    ] {
        assert!(told.contains(said), "{said:?} is missing in:\n{told}");
    }
    let done = run(standpipe(&["-f", &file]));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(scratch.read("one") == done.out && scratch.read("two") == done.out);
    assert_eq!(done.text().lines().count(), 1000);
    let start = done.events("start");
    assert_eq!(
        (&start[0]["tanks"][2]["from"], &start[0]["tanks"][2]["full"]),
        (&"count".into(), &"drop-oldest".into())
    );
}

#[test]
fn ends_that_are_one_are_refused_before_anything_starts() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    std::os::unix::fs::symlink(&out, scratch.path("link")).expect("the name is free");
    let (other, link) = (scratch.arg("./out"), scratch.arg("link"));
    for (args, said) in [
        (["--to", &out, "--to", &out], "out` is written twice"),
        (["--to", &out, "--to", &other], "out` is written twice"),
        (["--to", &out, "--to", &link], "link` is written twice"),
        (["--to", "-", "--to", "-"], "`-` is written twice"),
        (["--to", "-", "--to", "fd:1"], "`fd:1` is written twice"),
        (["--to", &out, "--full", "drop-newest"], "out` would look complete with holes in it"),
    ] {
        let args = [&args[..], &["--", "sh", "-c", "echo started >&2"]].concat();
        let done = run(standpipe(&args));
        done.failed(125, &[said]);
        assert!(!done.err.contains("started"), "{}", done.err);
    }
    assert_eq!(scratch.names(), ["link"]);
}

#[test]
fn a_branch_that_fails_leaves_nothing_and_is_named() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let done = run(standpipe(&["-c", "yes", "--to", &out, "--to", "/dev/full"]));
    done.failed(
        125,
        &["cannot write `/dev/full`: no space left on device", "out` was not written"],
    );
    assert_eq!(scratch.names(), [""; 0], "neither `out` nor a hidden file");
    assert_eq!(outputs(&done), [("out".to_owned(), false)]);
    assert_eq!(done.end()["failed"]["stage"], "3");
    let exits = done.events("stage_exit");
    let of =
        |id: &str| &exits.iter().find(|exit| exit["stage"] == id).expect("each is told")["cause"];
    assert_eq!(
        (of("1"), of("2"), of("3")),
        (&"downstream:3".into(), &"self".into(), &"self".into())
    );
}

#[test]
fn a_disk_that_is_full_under_one_branch_keeps_the_old_files_of_all() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.file("one", b"old"), scratch.file("two", b"old"));
    let form = format!("--from zero:8M --overwrite --to {one} --to null: --to {two}");
    let done = run(shell(&format!("ulimit -f 1024; \"$S\" {form}")));
    done.failed(125, &["cannot write `", "file too large", "nothing was published"]);
    assert_eq!(scratch.names(), ["one", "two"]);
    assert_eq!((scratch.read("one"), scratch.read("two")), (b"old".to_vec(), b"old".to_vec()));
}

#[test]
fn a_peer_that_leaves_one_branch_fails_the_run() {
    let scratch = Scratch::new();
    let peer = Peer::new(&scratch, "socket");
    let (uri, out) = (peer.uri.clone(), scratch.arg("out"));
    drop(peer.go);
    let done = run(standpipe(&["--from", "zero:", "--to", &out, "--to", &uri]));
    done.failed(
        125,
        &["cannot write `unix://", "the other side closed it", "out` was not written"],
    );
    assert_eq!(scratch.names(), ["socket"]);
    peer.got.join().expect("it does not panic");
}

#[test]
fn who_leaves_stdout_ends_the_run_and_the_file_is_not_published() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let mut live = Live::start(standpipe(&["-c", "yes", "--to", &out, "--to", "-"]));
    live.read(100);
    drop(live.stdout.take());
    let done = live.end();
    assert_eq!(done.signal(), 13);
    assert!(done.err.contains("whoever read the output has left"), "{}", done.err);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_stage_that_fails_above_all_branches_publishes_none() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.arg("one"), scratch.arg("two"));
    let done = run(standpipe(&["-c", "seq 9; exit 3", "--to", &one, "--to", &two]));
    assert_eq!(done.code(), 125, "`;` is no pipeline: {}", done.err);
    let text = "sh -c 'seq 9; exit 3'";
    let done = run(standpipe(&["-c", text, "--to", &one, "--to", &two, "--to", "-"]));
    done.failed(3, &["exited with code 3", "one` was not written", "two` was not written"]);
    assert_eq!(scratch.names(), [""; 0]);
    let done = run(standpipe(&["--from", &scratch.arg(""), "--to", &one, "--to", &two]));
    done.failed(125, &["is a directory"]);
}

#[test]
fn a_file_that_came_up_during_the_run_keeps_all_of_them_away() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.arg("one"), scratch.arg("two"));
    let text = format!("sh -c 'echo mine > {two}; echo ours'");
    let done = run(standpipe(&["-c", &text, "--to", &one, "--to", &two]));
    done.failed(125, &["two`: it was created during the run", "nothing was published"]);
    assert_eq!(
        (scratch.names(), scratch.read("two")),
        (vec!["two".to_owned()], b"mine\n".to_vec())
    );
}

#[test]
fn a_drain_leaves_what_came_until_then_in_each_file() {
    let scratch = Scratch::new();
    let mut command =
        standpipe(&["--to", "-", "--to", &scratch.arg("a"), "--to", &scratch.arg("b")]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    live.stdin.as_mut().expect("it is piped").write_all(b"half").expect("it reads");
    live.read(4);
    // its input stays open: the end of it would be one more reason to end
    let _input = live.stdin.take();
    live.signal(Signal::TERM);
    let done = live.end();
    assert_eq!(done.signal(), 15, "{}", done.err);
    assert_eq!(scratch.names(), ["a.partial", "b.partial"], "{}", done.err);
    assert_eq!(
        (scratch.read("a.partial"), scratch.read("b.partial")),
        (b"half".to_vec(), b"half".to_vec())
    );
}

#[test]
fn an_abort_reaches_all_branches_also_one_that_sleeps() {
    let scratch = Scratch::new();
    let args = ["--to", &scratch.arg("a"), "--to", "-", "--to", "null:", "--", "yes"];
    let mut live = Live::start(standpipe(&args));
    live.read(1);
    live.signal(Signal::INT);
    let done = live.end();
    assert_eq!(done.signal(), 2, "{}", done.err);
    assert!(done.err.contains("a` was not written"), "{}", done.err);
    assert_eq!(scratch.names(), [""; 0]);
}

/// What a run does that is killed as it enters a call for the so-many-th time; both files.
fn killed(call: &str, when: u32, old: bool) -> (Option<i32>, [Option<Vec<u8>>; 2]) {
    let scratch = Scratch::new();
    let data = scratch.file("in", &[b'n'; 100_000]);
    let (one, two) = (scratch.arg("one"), scratch.arg("two"));
    let mut args = vec!["-q", "--from", &data, "--to", &one, "--to", &two];
    if old {
        scratch.file("one", b"old");
        scratch.file("two", b"old");
        args.push("--overwrite");
    }
    let inject = format!("{call}:signal=KILL:when={when}");
    let mut command = traced(&inject, &standpipe(&args));
    let status = command.status().expect("strace is there: `.ci/run` installs it");
    let read = |name| std::fs::read(scratch.path(name)).ok();
    (status.signal(), [read("one"), read("two")])
}

#[test]
fn a_kill_between_any_two_steps_of_publishing_leaves_each_file_old_or_whole() {
    for old in [false, true] {
        let rename = if old { "rename" } else { "renameat2" };
        let before = old.then(|| b"old".to_vec());
        let whole = Some(vec![b'n'; 100_000]);
        // Two files are synced, and then named, each with its directory synced.
        for (call, when, named) in [
            ("fsync", 1, 0),
            ("fsync", 2, 0),
            (rename, 1, 0),
            ("fsync", 3, 1),
            (rename, 2, 1),
            ("fsync", 4, 2),
        ] {
            let (signal, files) = killed(call, when, old);
            assert_eq!(signal, Some(9), "{call} {when}");
            for (at, file) in files.iter().enumerate() {
                let expected = if at < named { &whole } else { &before };
                assert!(file == expected, "{call} {when}, old {old}: file {at} is another");
            }
        }
        let (signal, files) = killed("fsync", 5, old);
        assert!(signal.is_none() && files.iter().all(|file| *file == whole), "there is no more");
    }
}

/// Feeds lines to a run whose second branch, stdout, is not read until all of them have been taken.
fn past_a_sleeper(full: &str, count: u32) -> (Done, Vec<u8>, Scratch) {
    let scratch = Scratch::new();
    let file = scratch.arg("file");
    let mut command = standpipe(&["--to", &file, "--to", "-", "--full", full]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    let mut stdin = live.stdin.take().expect("it is piped");
    let data = lines(count);
    // A run that has failed takes no more.
    stdin.write_all(&data).ok();
    drop(stdin);
    (live.end(), data, scratch)
}

#[test]
fn a_branch_that_drops_holds_nobody_up_and_tells_what_it_left_out() {
    for full in ["drop-newest", "drop-oldest"] {
        let (done, data, scratch) = past_a_sleeper(full, 2_000_000);
        assert_eq!(done.code(), 0, "{}", done.err);
        assert!(scratch.read("file") == data, "the other one is whole");
        let (got, all) = (done.text(), data.len() / 10);
        let numbers: Vec<usize> =
            got.lines().map(|line| line.parse().expect("a line is whole")).collect();
        assert!(numbers.windows(2).all(|two| two[0] < two[1]) && numbers.len() < all);
        let (first, last) = (numbers.first().copied(), numbers.last().copied());
        // What is left out stands behind what waits, or before it.
        match full {
            "drop-newest" => assert!(numbers.starts_with(&(0..6000).collect::<Vec<_>>())),
            _ => assert_eq!(last, Some(all - 1), "from {first:?}"),
        }
        let left_out = data.len() - done.out.len();
        let samples = done.events("sample");
        let tanks = samples.last().expect("the last is always taken")["tanks"].clone();
        assert_eq!(
            (&tanks[1]["dropped_bytes"], &tanks[0]["dropped_bytes"]),
            (&left_out.into(), &serde_json::Value::Null)
        );
        assert_eq!(done.end()["complete"], false);
        assert!(done.err.contains(&format!("(full = {full})")), "{}", done.err);
        let told = done.events("warning").into_iter().any(|warning| warning["code"] == "dropped");
        assert!(told, "{:?}", done.events);
    }
}

#[test]
fn a_branch_that_must_not_be_slow_fails_the_run() {
    let (done, _, scratch) = past_a_sleeper("fail", 2_000_000);
    done.failed(
        125,
        &["cannot write stdout: it was too slow: tank 1>3 was full", "file` was not written"],
    );
    assert_eq!(scratch.names(), [""; 0]);
    let (done, data, scratch) = past_a_sleeper("fail", 1000);
    assert_eq!((done.code(), scratch.read("file") == data), (0, true), "{}", done.err);
}

#[test]
fn a_single_end_may_drop_too() {
    let mut command = standpipe(&["--to", "-", "--full", "drop-newest"]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    let mut stdin = live.stdin.take().expect("it is piped");
    let data = lines(2_000_000);
    stdin.write_all(&data).expect("nobody is waited for");
    drop(stdin);
    let done = live.end();
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(data.starts_with(&done.out[..60_000]) && done.out.len() < data.len());
}

#[test]
fn the_slow_branch_is_named() {
    let slow = format!("{BIN} -q -r 16MB/s >/dev/null");
    for (ends, name) in [
        ("--to null: --to -", "SLOWEST: 3 stdout, busy"),
        ("--to - --to null:", "SLOWEST: 2 stdout, busy"),
    ] {
        let done = run(shell(&format!("\"$S\" {ends} -c 'head -c 24M /dev/zero' | {slow}")));
        assert!(done.err.starts_with(name), "{}", done.err);
        assert!(done.err.contains("why: 1 head -c 24M /dev/zero is paused"), "{}", done.err);
    }
    let done = run(standpipe(&["--to", "null:", "--to", "-", "--", "sh", "-c", "sleep 1; echo"]));
    assert!(done.err.starts_with("SLOWEST: 1 sh -c"), "{}", done.err);
}

#[cfg(feature = "http")]
#[test]
fn an_upload_and_a_file_are_kept_together_or_not_at_all() {
    use crate::server::{Server, answer};
    for (status, code) in [("201 Created", 0), ("507 Insufficient Storage", 125)] {
        let scratch = Scratch::new();
        let (tell, got) = sync_channel(1);
        let server = Server::start(vec![answer(move |exchange| {
            exchange.say("HTTP/1.1 100 Continue\r\n\r\n");
            tell.send(exchange.body().expect("the upload has its end")).expect("the test goes on");
            exchange.say(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        })]);
        let args = ["--to", &scratch.arg("file"), "--to", &server.uri("/x"), "--", "seq", "50000"];
        let done = run(standpipe(&args));
        assert_eq!(done.code(), code, "{}", done.err);
        let sent = got.recv().expect("the server got it");
        match code {
            0 => assert!(scratch.read("file") == sent && sent.ends_with(b"\n50000\n")),
            _ => {
                assert_eq!(scratch.names(), [""; 0], "the server did not take it");
                done.failed(code, &["nothing was published"]);
            }
        }
    }
}

#[cfg(feature = "http")]
#[test]
fn a_download_that_is_cut_is_kept_by_no_branch() {
    use crate::server::{Server, says};
    let scratch = Scratch::new();
    let server = Server::start(vec![says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")]);
    let args = ["--to", &scratch.arg("a"), "--to", &scratch.arg("b"), "--from", &server.uri("/x")];
    let done = run(standpipe(&args));
    done.failed(125, &["cannot read `http://", "a` was not written", "b` was not written"]);
    assert_eq!((scratch.names(), &done.end()["failed"]["stage"]), (Vec::new(), &"1".into()));
}

#[test]
fn a_tee_copies_what_passes_and_publishes_it_with_the_rest() {
    let scratch = Scratch::new();
    let data = noise(3_000_003);
    let (plain, packed) = (scratch.arg("plain"), scratch.arg("packed"));
    let args = ["--to", &packed, "--", "@tee", &plain, "::", "@gzip", "1"];
    let done = feed(standpipe(&args), data.clone());
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(scratch.read("plain") == data, "the copy");
    assert_eq!(outputs(&done), [("plain".to_owned(), true), ("packed".to_owned(), true)]);
    let unpacked = run(standpipe(&["--from", &packed, "--", "@gunzip"]));
    assert!(unpacked.out == data);
    feed(standpipe(&args), data.clone()).failed(125, &["plain`: it already exists"]);
    let again = [&["--append"], &args[..]].concat();
    assert_eq!(feed(standpipe(&again), b"more".to_vec()).code(), 0);
    assert!(scratch.read("plain") == [&data[..], b"more"].concat());
    let told = run(standpipe(&["check", "--overwrite", "--", "@tee", &plain, "::", "cat"])).text();
    assert!(told.contains(&format!("in    @tee {plain} (replaces what is there)")), "{told}");
    run(standpipe(&["--to", &scratch.arg("x"), "--", "seq", "9", "::", "@tee", &scratch.arg("x")]))
        .failed(125, &["x` is written twice"]);
}

#[test]
fn a_tee_in_a_run_that_fails_leaves_nothing() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let done = run(standpipe(&["--", "sh", "-c", "seq 9; exit 3", "::", "@tee", &out]));
    done.failed(3, &["exited with code 3", "out` was not written"]);
    let done = run(standpipe(&["--", "seq", "9", "::", "@tee", &out, "::", "sh", "-c", "exit 5"]));
    done.failed(5, &["exited with code 5", "out` was not written"]);
    let done = run(standpipe(&["--", "yes", "::", "@tee", "/dev/full"]));
    done.failed(
        125,
        &["stage 2 `@tee /dev/full`: cannot write `/dev/full`: no space left on device"],
    );
    // The copy of what nobody read any more would be a part that looks like the whole.
    let done = run(standpipe(&["--", "yes", "::", "@tee", &out, "::", "head", "-n", "1"]));
    done.failed(125, &["the copy of stage 2 `@tee ", "is not whole", "out` was not written"]);
    assert_eq!((done.text().as_str(), scratch.names()), ("y\n", Vec::new()));
    let script = format!("ulimit -f 1024; \"$S\" --from zero:8M -- @tee {out} :: cat >/dev/null");
    run(shell(&script)).failed(125, &["cannot write `", "file too large", "out` was not written"]);
    assert_eq!(scratch.names(), [""; 0]);
}
