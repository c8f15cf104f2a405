//! Where do bytes come from and go to, and what is left behind when that fails?

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;

use crate::rig::{Live, Scratch, feed, noise, read_slowly, run, shell, standpipe};

#[test]
fn a_source_that_cannot_be_read_is_named_and_nothing_is_started() {
    let scratch = Scratch::new();
    let (missing, out, mark) = (scratch.arg("missing"), scratch.arg("out"), scratch.arg("mark"));
    let why = format!("error: cannot read `{missing}`: no such file or directory");
    run(standpipe(&["--from", &missing, "--to", &out])).failed(125, &[&why]);
    run(standpipe(&["--from", &missing, "--to", &out, "-c", &format!("tee {mark}")]))
        .failed(125, &[&why]);
    run(standpipe(&["--from", &missing, "--", "tee", &mark])).failed(125, &[&why]);
    run(standpipe(&["--from", "/"])).failed(125, &["error: cannot read `/`: is a directory"]);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_sink_that_cannot_be_written_is_named_and_nothing_is_started() {
    let scratch = Scratch::new();
    let mark = scratch.arg("mark");
    let text = format!("touch {mark} | cat");
    run(standpipe(&["-c", &text, "--to", "/"]))
        .failed(125, &["error: cannot write `/`: is a directory"]);
    for end in ["new/", "new/."] {
        let new = scratch.arg(end);
        run(standpipe(&["-c", &text, "--to", &new])).failed(125, &["there is no such directory"]);
    }
    let nowhere = scratch.arg("nowhere/out");
    run(standpipe(&["-c", &text, "--to", &nowhere])).failed(125, &["there is no directory"]);
    let old = scratch.file("old", b"old");
    run(standpipe(&["-c", &text, "--to", &old])).failed(125, &["it already exists", "--overwrite"]);
    assert_eq!((scratch.names(), scratch.read("old")), (vec!["old".to_owned()], b"old".to_vec()));
}

#[test]
fn names_that_are_not_utf_8_are_used_as_they_are_and_shown_escaped() {
    let scratch = Scratch::new();
    let name = OsStr::from_bytes(b"caf\xe9");
    std::fs::write(scratch.path(name), b"coffee").expect("it is writable");
    let mut command = standpipe(&["--from"]);
    command.arg(scratch.path(name)).arg("--to").arg(scratch.path(OsStr::from_bytes(b"\xff")));
    let done = run(command);
    assert_eq!(done.code(), 0, "{}", done.err);
    let copy = std::fs::read(scratch.path(OsStr::from_bytes(b"\xff"))).expect("it is there");
    assert_eq!(copy, b"coffee");
    let mut command = standpipe(&["--from"]);
    command.arg(scratch.path(OsStr::from_bytes(b"no\xfe")));
    run(command).failed(125, &["/no\\xfe`: no such file"]);
}

#[test]
fn a_full_device_names_itself_and_what_was_written() {
    for args in [&["--to", "/dev/full"][..], &["--to", "/dev/full", "-c", "cat | cat"]] {
        let done = feed(standpipe(args), vec![b'x'; 100_000]);
        done.failed(
            125,
            &["error: cannot write `/dev/full`: no space left on device", "after 0 B"],
        );
    }
}

#[test]
fn a_file_that_may_not_grow_leaves_the_old_one_and_no_hidden_one() {
    let scratch = Scratch::new();
    let old = scratch.file("old", b"old");
    for form in ["--from zero:4M", "-c 'head -c 4M /dev/zero | cat'", "--fast never --from zero:4M"]
    {
        let done = run(shell(&format!("ulimit -f 1024; \"$S\" {form} --overwrite --to {old}")));
        done.failed(
            125,
            &["cannot write `", "file too large", "nothing was published", "is untouched"],
        );
        assert_eq!(
            (scratch.names(), scratch.read("old")),
            (vec!["old".to_owned()], b"old".to_vec())
        );
    }
}

/// A file system of our own needs a user namespace. Where there is none the limit of a file's size has to do, which
/// the test above has, too; the words then differ.
#[test]
fn a_file_system_that_is_full_leaves_the_old_file_and_no_hidden_one() {
    let scratch = Scratch::new();
    let disk = scratch.arg("disk");
    std::fs::create_dir(&disk).expect("it is new");
    let mount = format!("mount -t tmpfs -o size=16m none {disk}");
    let has_mounts = run(shell(&format!("unshare -rm sh -c '{mount}'"))).status.success();
    let (before, reason) = match has_mounts {
        true => (format!("{mount} && "), "no space left on device"),
        false => ("ulimit -f 32768 && ".to_owned(), "file too large"),
    };
    let wrap = if has_mounts { "unshare -rm " } else { "" };
    for form in ["--from zero:32M", "--from zero:32M --fast never", "--from zero:32M -- cat"] {
        let script = format!(
            "{before} echo old >{disk}/old && {{ \"$S\" --overwrite --to {disk}/old {form}; code=$?; }};
             ls -A {disk}; cat {disk}/old; exit $code"
        );
        // The command is named in the script, which is handed on as it is.
        let done = run(shell(&format!("{wrap}sh -c '{}'", script.replace('\'', "'\\''"))));
        let (what, where_) = (format!("cannot write `{disk}/old`: {reason}"), "after 1");
        done.failed(125, &[&what, where_, "nothing was published", "is untouched"]);
        assert_eq!(done.text(), "old\nold\n", "{form}");
        assert_eq!(done.end()["failed"]["kind"], "end");
    }
}

#[test]
fn a_file_that_came_up_during_the_run_is_untouched() {
    let scratch = Scratch::new();
    let out = scratch.arg("out");
    let done =
        run(standpipe(&["-c", &format!("sh -c 'echo mine > {out}; echo ours'"), "--to", &out]));
    done.failed(125, &["it was created during the run", "untouched"]);
    assert_eq!(
        (scratch.names(), scratch.read("out")),
        (vec!["out".to_owned()], b"mine\n".to_vec())
    );
}

/// It was told as a file that does not exist, and the hidden one stayed where the directory had gone.
#[test]
fn a_directory_that_is_moved_during_the_run_is_told_and_nothing_stays_in_it() {
    for publish in [&[][..], &["--overwrite"]] {
        let scratch = Scratch::new();
        let [here, there] = ["here", "there"].map(|name| scratch.arg(name));
        std::fs::create_dir(&here).expect("it is new");
        let script = format!("echo data; mv {here} {there}");
        let out = format!("{here}/out");
        let args = [publish, &["--to", &out, "--", "sh", "-c", &script]].concat();
        run(standpipe(&args)).failed(125, &["its directory was moved", "nothing was published"]);
        let left = std::fs::read_dir(&there).expect("it is there").count();
        assert_eq!((left, scratch.names()), (0, vec!["there".to_owned()]));
    }
}

#[test]
fn overwrite_replaces_and_keeps_the_mode_append_adds() {
    let scratch = Scratch::new();
    let out = scratch.file("out", b"old");
    std::fs::set_permissions(&out, PermissionsExt::from_mode(0o600)).expect("it is ours");
    assert_eq!(feed(standpipe(&["--overwrite", "--to", &out]), b"new".to_vec()).code(), 0);
    assert_eq!(scratch.read("out"), b"new");
    assert_eq!(std::fs::metadata(&out).expect("it is there").permissions().mode() & 0o777, 0o600);
    for args in [&["--append", "--to", &out][..], &["--append", "--to", &out, "-c", "cat"]] {
        let done = feed(standpipe(args), b"+".to_vec());
        assert_eq!(done.code(), 0, "{}", done.err);
    }
    assert_eq!((scratch.read("out"), scratch.names()), (b"new++".to_vec(), vec!["out".to_owned()]));
    let done = run(standpipe(&["--append", "--to", &out, "-c", "sh -c 'echo 12; exit 1'"]));
    done.failed(1, &["3 bytes were added in place; `", "out` had 5 before"]);
}

#[test]
fn a_symlink_stays_and_its_target_is_replaced() {
    let scratch = Scratch::new();
    scratch.file("target", b"old");
    std::os::unix::fs::symlink("target", scratch.path("link")).expect("it is new");
    let link = scratch.arg("link");
    run(standpipe(&["--to", &link])).failed(125, &["it already exists"]);
    assert_eq!(feed(standpipe(&["--overwrite", "--to", &link]), b"new".to_vec()).code(), 0);
    assert!(scratch.path("link").is_symlink());
    assert_eq!(scratch.read("target"), b"new");
    std::os::unix::fs::symlink("later", scratch.path("dangling")).expect("it is new");
    assert_eq!(feed(standpipe(&["--to", &scratch.arg("dangling")]), b"x".to_vec()).code(), 0);
    assert_eq!(scratch.names(), ["dangling", "later", "link", "target"]);
}

#[test]
fn a_fifo_is_written_in_place() {
    let scratch = Scratch::new();
    let fifo = scratch.arg("fifo");
    let script = format!("mkfifo {fifo}; cat {fifo} & echo through | \"$S\" --to {fifo}; wait");
    let done = run(shell(&script));
    assert_eq!((done.code(), done.text().as_str()), (0, "through\n"), "{}", done.err);
    let done = run(shell(&format!("echo back > {fifo} & \"$S\" --from {fifo}; wait")));
    assert_eq!((done.code(), done.text().as_str()), (0, "back\n"), "{}", done.err);
    assert_eq!(scratch.names(), ["fifo"]);
}

#[test]
fn a_fifo_without_a_peer_is_waited_for_until_a_signal_ends_the_run() {
    for (side, other) in [(["--from", "zero:1"], "--to"), (["--to", "null:"], "--from")] {
        let scratch = Scratch::new();
        let fifo = scratch.arg("fifo");
        assert!(run(shell(&format!("mkfifo {fifo}"))).status.success());
        let live = Live::start(standpipe(&[&side[..], &[other, &fifo]].concat()));
        let tasks = std::path::PathBuf::from(format!("/proc/{}/task", live.pid()));
        for look in 0.. {
            if opens_a_fifo(&tasks) {
                break;
            }
            assert!(look < 1_000_000, "no thread waits to open it, or the kernel does not say so");
            std::thread::yield_now();
        }
        live.signal(Signal::INT);
        let done = live.end();
        assert_eq!(done.signal(), 2, "{}", done.err);
        assert_eq!(scratch.names(), ["fifo"]);
    }
}

/// Says whether a thread waits for the other side of a FIFO.
fn opens_a_fifo(tasks: &std::path::Path) -> bool {
    let tasks = std::fs::read_dir(tasks).expect("it lives or is not reaped");
    let waits = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("wchan"));
    tasks.flatten().any(|task| waits(task).is_ok_and(|call| call.contains("wait_for_partner")))
}

#[test]
fn descriptors_that_are_open_at_start_are_used_where_they_stand() {
    let scratch = Scratch::new();
    let (input, output) = (scratch.file("in", b"one\ntwo\n"), scratch.arg("out"));
    let script = format!(
        "exec 3<{input} 4>{output}; read line <&3; echo first >&4; \"$S\" --from fd:3 --to fd:4; echo last >&4"
    );
    assert_eq!(run(shell(&script)).code(), 0);
    assert_eq!(String::from_utf8_lossy(&scratch.read("out")), "first\ntwo\nlast\n");
    run(standpipe(&["--from", "fd:9"])).failed(125, &["cannot read `fd:9`", "9<FILE"]);
    run(shell(&format!("\"$S\" --to fd:3 3<{input}"))).failed(125, &["not open for writing"]);
}

#[test]
fn a_closed_stream_that_is_needed_is_an_error_at_once() {
    for form in ["", "--to null:", "--from - -- wc -c"] {
        run(shell(&format!("\"$S\" {form} <&-"))).failed(125, &["cannot read stdin: it is closed"]);
    }
    for form in ["--from zero:1M", "--to - -c 'seq 3'"] {
        run(shell(&format!("\"$S\" {form} >&-")))
            .failed(125, &["cannot write stdout: it is closed"]);
    }
    assert_eq!(run(shell("\"$S\" -c 'seq 3 | wc -l' <&-")).text().trim(), "3");
    assert_eq!(run(shell("\"$S\" --from zero:1M --to null: >&-")).code(), 0);
    assert_eq!(run(shell("\"$S\" -c 'seq 3 | wc -l' 2>&-")).text().trim(), "3");
}

/// A caller that passed `/dev/null` open both ways, as Python's `subprocess.DEVNULL` is, was told that its streams
/// are closed.
#[test]
fn a_stream_that_is_dev_null_both_ways_is_not_closed() {
    let null = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    for args in [&[][..], &["--from", "-", "--", "cat"], &["--to", "-", "-c", "seq 3"]] {
        let mut command = standpipe(args);
        command.stdin(null().expect("it is there")).stdout(null().expect("it is there"));
        let done = run(command);
        assert_eq!(done.code(), 0, "{args:?}: {}", done.err);
    }
    let scratch = Scratch::new();
    let mark = scratch.arg("mark");
    let script = format!("{} --json -- touch {mark} 2>&-", crate::rig::BIN);
    assert_eq!(run(shell(&script)).code(), 125, "events have nowhere to go");
    assert_eq!(scratch.names(), [""; 0], "and nothing is started");
}

#[test]
fn bytes_are_made_up_and_thrown_away() {
    let done = run(standpipe(&["--", "zero:3M", "::", "wc", "-c"]));
    assert_eq!(done.text().trim(), "3145728", "{}", done.err);
    let sum = |seed: &str| {
        run(standpipe(&["--", &format!("random:1M?seed={seed}"), "::", "cksum"])).text()
    };
    assert_eq!(sum("1"), sum("1"));
    assert_ne!(sum("1"), sum("2"));
    assert_eq!(run(standpipe(&["--from", "null:"])).text(), "");
    assert_eq!(run(standpipe(&["-c", "seq 1000", "--to", "null:"])).code(), 0);
}

#[test]
fn a_connection_is_made_and_half_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let data = noise(3_000_001);
    let expected = data.clone();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("it ends well");
        got
    });
    let done = feed(standpipe(&["-c", "cat | cat", "--to", &uri]), data);
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(peer.join().expect("it does not panic") == expected);
    run(standpipe(&["--from", &uri]))
        .failed(125, &["cannot connect to `tcp://127", "connection refused"]);
}

#[test]
fn a_peer_that_has_sent_all_may_still_listen() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let live = Live::start(standpipe(&["--from", &uri, "--", "cat"]));
    let (mut stream, _) = listener.accept().expect("the command connects");
    stream.write_all(b"all there is").expect("it is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    // it does not wait for the other half, which is open until it ends
    let done = live.end();
    assert_eq!((done.code(), done.text().as_str()), (0, "all there is"), "{}", done.err);
    assert_eq!(stream.read(&mut [0; 1]).expect("it ended well"), 0);
}

#[test]
fn a_peer_may_answer_when_it_has_all() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        let mut got = String::new();
        stream.read_to_string(&mut got).expect("it ends well");
        stream.write_all(b"thanks").map(|()| got).expect("nobody has reset it")
    });
    let done = run(standpipe(&["-c", "seq 3", "--to", &uri]));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert_eq!(peer.join().expect("it does not panic"), "1\n2\n3\n");
}

#[test]
fn of_a_slow_output_the_connection_says_that_the_peer_is_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        read_slowly(&mut stream, 1_000_000);
    });
    let scratch = Scratch::new();
    let json = format!("--json={}", scratch.arg("record"));
    let args = [&json, "--summary", "always", "--from", "zero:20M", "--to", &uri, "--", "cat"];
    let done = run(standpipe(&args));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.err.contains("SLOWEST: 3 tcp://"), "{}", done.err);
    assert!(done.err.contains("kept its window shut"), "{}", done.err);
    assert!(done.err.contains("try: the slow one is on the other machine"), "{}", done.err);
    let record = std::fs::read_to_string(scratch.path("record")).expect("it is written");
    assert!(record.contains("\"code\":\"remote-slow\""), "{record}");
    peer.join().expect("it ends with the connection");
}

#[test]
fn a_connection_is_waited_for() {
    let free = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let live =
        Live::start(standpipe(&["--from", &format!("tcp-listen://{address}"), "--", "cksum"]));
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(_) => std::thread::yield_now(),
        }
    };
    let data = noise(1_000_000);
    stream.write_all(&data).expect("it is taken");
    drop(stream);
    let done = live.end();
    assert_eq!(done.code(), 0, "{}", done.err);
    let mut cksum = std::process::Command::new("cksum");
    cksum.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    assert_eq!(done.text(), feed(cksum, data).text());
}

#[test]
fn a_peer_does_not_take_a_cut_stream_for_a_whole_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind())
    });
    run(standpipe(&["-c", "sh -c 'echo half; exit 4'", "--to", &uri])).failed(4, &["stage 1 "]);
    assert_eq!(peer.join().expect("it does not panic"), Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_unix_socket_takes_bytes() {
    let scratch = Scratch::new();
    let path = scratch.arg("socket");
    let listener = UnixListener::bind(&path).expect("the name is free");
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        let mut got = String::new();
        stream.read_to_string(&mut got).expect("it ends well");
        got
    });
    let done = run(standpipe(&["-c", "seq 3", "--to", &format!("unix://{path}")]));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert_eq!(peer.join().expect("it does not panic"), "1\n2\n3\n");
}

#[test]
fn a_path_too_long_for_a_socket_is_told_with_what_fits() {
    let long = format!("unix:///{}", "x".repeat(120));
    run(standpipe(&["--from", &long])).failed(125, &["a socket has a shorter path", "107 bytes"]);
}

#[test]
fn a_peer_that_leaves_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let peer = std::thread::spawn(move || drop(listener.accept().expect("the command connects")));
    run(standpipe(&["-c", "yes | cat", "--to", &uri]))
        .failed(125, &["cannot write `tcp://127", "closed"]);
    peer.join().expect("it does not panic");
}

/// It was asked all the time whether it had left, by a loop that heard the answer and asked again; and the run ended
/// well, though nobody had taken what was sent.
#[test]
fn a_peer_that_leaves_while_nothing_comes_is_a_failure_at_once() {
    for path in [&[][..], &["--fast", "never"]] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
        let quiet = ["--to", &uri, "--", "sh", "-c", "echo x; exec sleep 60"];
        let live = Live::start(standpipe(&[path, &quiet].concat()));
        let (mut stream, _) = listener.accept().expect("the command connects");
        stream.read_exact(&mut [0; 2]).expect("it comes");
        set_socket_linger(&stream, Some(Duration::ZERO)).expect("a TCP socket can");
        drop(stream);
        live.end().failed(125, &["cannot write `tcp://127", "the other side closed it"]);
    }
}

/// A run that added to the file it read, by another name, read what it had written, and went on by luck.
#[test]
fn a_file_is_not_read_and_added_to_by_whatever_names() {
    let scratch = Scratch::new();
    let input = scratch.arg("in");
    scratch.file("in", b"abc\n");
    std::os::unix::fs::symlink(&input, scratch.path("link")).expect("the name is free");
    std::fs::hard_link(&input, scratch.path("twin")).expect("the name is free");
    for name in ["in", "./in", "link", "twin"] {
        let to = scratch.arg(name);
        run(standpipe(&["--append", "--from", &input, "--to", &to]))
            .failed(125, &["is read and appended to at once", "write to another file"]);
    }
    let open = |append: bool| {
        let mut options = std::fs::OpenOptions::new();
        options.read(!append).append(append).open(scratch.path("in")).expect("it is there")
    };
    let mut to_stdout = standpipe(&["--from", &input]);
    to_stdout.stdout(open(true));
    assert_eq!(to_stdout.status().expect("it runs").code(), Some(125));
    let mut from_stdin = standpipe(&["--append", "--to", &input]);
    from_stdin.stdin(open(false));
    assert_eq!(from_stdin.status().expect("it runs").code(), Some(125));
    assert_eq!(scratch.read("in"), b"abc\n");
    // another name alone is no reason, and a new file is none
    run(standpipe(&["--append", "--from", &input, "--to", &scratch.arg("new")])).failed(0, &[]);
    run(standpipe(&["--overwrite", "--from", &input, "--to", &scratch.arg("link")])).failed(0, &[]);
    assert_eq!((scratch.read("new"), scratch.read("in")), (b"abc\n".to_vec(), b"abc\n".to_vec()));
}

/// The first event was delivered as data, and the run called complete.
#[test]
fn events_do_not_get_into_what_is_read_or_written() {
    let scratch = Scratch::new();
    scratch.file("in", b"abc\n");
    std::os::unix::fs::symlink(scratch.path("in"), scratch.path("link")).expect("the name is free");
    std::os::unix::fs::symlink(scratch.path("out"), scratch.path("later"))
        .expect("the name is free");
    let (input, out) = (scratch.arg("in"), scratch.arg("out"));
    for (events, into) in [("in", "in`"), ("link", "in`"), ("later", "out`")] {
        let events = format!("--json={}", scratch.arg(events));
        run(standpipe(&[&events, "--from", &input, "--to", &out]))
            .failed(125, &["the events of `--json` would get into", into]);
    }
    assert_eq!(scratch.read("in"), b"abc\n");
    assert_eq!(scratch.names(), ["in", "later", "link"]);
}
