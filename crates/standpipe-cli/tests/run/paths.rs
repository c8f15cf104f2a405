//! Is it the same by whichever path the bytes go?

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::rig::{BIN, Scratch, feed, noise, run, shell, standpipe, traced};

/// Options that select the kernel tank, the user-memory tank, and marks of either.
const PATHS: [&[&str]; 5] =
    [&[], &["--fast", "never"], &["--low", "50%"], &["-t", "8M"], &["-t", "128K", "--low", "0"]];

#[test]
fn equal_bytes_in_every_form() {
    let data = noise(5_000_003);
    let scratch = Scratch::new();
    let input = scratch.file("in", &data);
    for path in PATHS {
        let forms: [&[&str]; 4] = [
            &[],
            &["-c", "cat | cat | cat"],
            &["--", "cat", "::", "cat"],
            &["--from", "-", "--", "cat"],
        ];
        for form in forms {
            let done = feed(standpipe(&[path, form].concat()), data.clone());
            assert_eq!(done.code(), 0, "{path:?} {form:?}: {}", done.err);
            assert!(done.out == data, "{path:?} {form:?}: {} bytes", done.out.len());
        }
        let output = scratch.arg("out");
        for form in [&[][..], &["-c", "cat"]] {
            let ends = ["--overwrite", "--from", &input, "--to", &output];
            let done = run(standpipe(&[path, &ends, form].concat()));
            assert_eq!(done.code(), 0, "{path:?} {form:?}: {}", done.err);
            assert!(scratch.read("out") == data, "{path:?} {form:?}");
        }
    }
}

#[test]
fn a_refused_splice_goes_on_as_a_copy() {
    // Nothing can be spliced to a file that is open for appending.
    let scratch = Scratch::new();
    let data = noise(2_000_003);
    let (input, output) = (scratch.file("in", &data), scratch.arg("out"));
    let done = run(shell(&format!("\"$S\" --to - -c 'cat {input} | cat' >>{output}")));
    assert_eq!(done.code(), 0, "{}", done.err);
    let done = run(shell(&format!("\"$S\" --from {input} >>{output}")));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(scratch.read("out") == [data.clone(), data].concat());
}

#[test]
fn a_splice_that_is_refused_in_the_middle_loses_no_byte() {
    let data = noise(3_000_003);
    let scratch = Scratch::new();
    let (input, output) = (scratch.file("in", &data), scratch.arg("out"));
    for error in ["EINVAL", "ENOSYS"] {
        for form in [&[][..], &["--", "cat", "::", "cat"]] {
            let from = ["--overwrite", "--to", &output, "--from", &input];
            // Each thread may splice four times; from file to file there is nothing to splice.
            let inject = match form {
                [] => format!("copy_file_range:error={error}:when=1+"),
                _ => format!("splice:error={error}:when=5+"),
            };
            let done = run(traced(&inject, &standpipe(&[&from[..], form].concat())));
            assert_eq!(done.code(), 0, "{}", done.err);
            assert!(scratch.read("out") == data, "{inject}");
            let changed: Vec<_> = done
                .events("warning")
                .into_iter()
                .filter(|told| told["code"] == "path-changed")
                .collect();
            // a tank that went on before the run was told to have started says so there
            let start = done.events("start").pop().expect("it started");
            let tanks = start["tanks"].as_array().expect("the schema says so");
            let early = tanks.iter().filter(|tank| tank["path"] == "copy").count();
            assert_eq!(changed.len() + early, if form.is_empty() { 1 } else { 3 }, "{tanks:?}");
            let sample = done.events("sample").pop().expect("there is a last one");
            let tanks = sample["tanks"].as_array().expect("the schema says so");
            assert!(tanks.iter().all(|tank| tank["path"] == "copy"), "{tanks:?}");
        }
    }
}

#[test]
fn every_tank_says_which_way_its_bytes_take() {
    let scratch = Scratch::new();
    let (input, output) = (scratch.file("in", &noise(100_000)), scratch.arg("out"));
    let ends = ["--overwrite", "--from", &input, "--to", &output];
    for (path, form, expected) in [
        (&[][..], &[][..], &["copy_file_range"][..]),
        (&[], &["--", "cat", "::", "cat"], &["splice", "splice", "splice"]),
        (&["--fast", "never"], &["--", "cat"], &["copy", "copy"]),
        (&["--low", "50%"], &[], &["copy"]),
        (&["-t", "3M"], &["--", "cat"], &["copy", "copy"]),
        (&["--rate", "100MB/s"], &[], &["copy"]),
        (&["--rate", "max"], &[], &["copy_file_range"]),
    ] {
        let done = run(standpipe(&[&["-v"], path, &ends[..], form].concat()));
        assert_eq!(done.code(), 0, "{}", done.err);
        let [start] = done.events("start")[..] else { panic!("{:?}", done.events) };
        let tanks = start["tanks"].as_array().expect("the schema says so");
        let told: Vec<&str> = tanks.iter().filter_map(|tank| tank["path"].as_str()).collect();
        assert_eq!(told, expected);
        for tank in tanks {
            assert_eq!(tank["low"].is_null(), tank["path"] != "copy", "{tank}");
        }
        let note =
            done.err.lines().find(|line| line.starts_with("note: tank ")).expect("it is shown");
        assert!(expected.iter().all(|way| note.contains(&format!(" by {way}"))), "{note}");
    }
}

#[test]
fn a_file_that_is_added_to_is_copied_from_the_start() {
    let scratch = Scratch::new();
    let data = noise(1_000_003);
    let (input, output) = (scratch.file("in", &data), scratch.file("out", b"before"));
    let done = run(standpipe(&["-v", "--append", "--from", &input, "--to", &output]));
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(scratch.read("out") == [&b"before"[..], &data].concat());
    assert_eq!(done.events("start")[0]["tanks"][0]["path"], "copy");
    assert!(done.events("warning").is_empty(), "{:?}", done.events);
}

#[test]
fn a_file_goes_whole_to_its_own_file_system_and_to_another() {
    let (disk, memory) = (Scratch::new(), Scratch::within("/dev/shm".as_ref()));
    for data in [Vec::new(), vec![7], noise(9_000_001)] {
        for (from, to) in [(&disk, &disk), (&disk, &memory), (&memory, &disk), (&memory, &memory)] {
            let (input, output) = (from.file("in", &data), to.arg("out"));
            // What is expected is for the percent alone: more or less of it is no end.
            let total = ["--total", "1M", "--overwrite"];
            let done = run(standpipe(&[&total[..], &["--from", &input, "--to", &output]].concat()));
            assert_eq!(done.code(), 0, "{}", done.err);
            assert!(to.read("out") == data, "{} bytes from {input} to {output}", data.len());
            assert_eq!(done.end()["bytes_out"], data.len());
        }
    }
}

#[test]
fn files_of_proc_that_say_they_are_empty_are_read() {
    let done = run(standpipe(&["--from", "/proc/self/status", "--", "grep", "-c", "^Pid:"]));
    assert_eq!(done.text().trim(), "1", "{}", done.err);
    let scratch = Scratch::new();
    assert_eq!(
        run(standpipe(&["--from", "/proc/self/status", "--to", &scratch.arg("out")])).code(),
        0
    );
    assert!(scratch.read("out").starts_with(b"Name:\tstandpipe"));
}

#[test]
fn small_writes_arrive_one_by_one() {
    for path in PATHS {
        let mut command = standpipe(path);
        command.stdin(std::process::Stdio::piped());
        let mut live = crate::rig::Live::start(command);
        for byte in b"abc" {
            use std::io::Write;
            live.stdin.as_mut().expect("it is piped").write_all(&[*byte]).expect("it is taken");
            assert_eq!(live.read(1), [*byte], "{path:?}");
        }
        assert_eq!(live.end().code(), 0, "{path:?}");
    }
}

#[test]
fn the_same_stage_is_slowest_on_every_path() {
    // the tanks together hold a small part of it, and starting up takes a small part of the time
    let slow = [BIN, "-r", "16MB/s"];
    for path in [&[][..], &["--fast", "never"], &["-t", "3M"]] {
        for position in 1..=3 {
            let mut args = vec!["--summary", "always"];
            args.extend(path);
            args.push("--");
            for stage in 1..=3 {
                if stage > 1 {
                    args.push("::");
                }
                match (stage, stage == position) {
                    (1, true) => args.extend([BIN, "-r", "16MB/s", "--from", "zero:24M"]),
                    (1, false) => args.extend(["head", "-c", "24M", "/dev/zero"]),
                    (_, true) => args.extend(slow),
                    (_, false) => args.push("cat"),
                }
            }
            args.extend(["::", "wc", "-c"]);
            let done = run(standpipe(&args));
            assert_eq!(done.text().trim(), "25165824", "{}", done.err);
            let named =
                done.err.starts_with(&format!("SLOWEST: {position} {}", &BIN[..BIN.len().min(20)]));
            assert!(named, "{path:?}, slow is {position}:\n{}", done.err);
            let told = done.events("slowest");
            assert_eq!(told.last().expect("it is told")["stage"], position.to_string());
            assert_eq!(done.end()["slowest"][0]["stage"], position.to_string());
        }
    }
}

#[test]
fn many_small_writes_are_shown_as_full() {
    let text = "dd if=/dev/zero bs=1 count=700000 status=none | (sleep 5; cat) | wc -c";
    let done = run(standpipe(&["--summary", "always", "-c", text]));
    assert_eq!(done.text().trim(), "700000");
    assert!(done.err.starts_with("SLOWEST: 2 (sleep 5; cat)"), "{}", done.err);
    assert!(done.err.contains("1 dd if=/dev/zero bs=1 is paused"), "{}", done.err);
}

#[test]
fn a_rate_limit_holds_and_is_named() {
    let done = run(standpipe(&[
        "--summary",
        "always",
        "-r",
        "4MB/s",
        "--from",
        "zero:2M",
        "--to",
        "null:",
    ]));
    assert!(done.err.starts_with("SLOWEST: the limit of `--rate`\n"), "{}", done.err);
}

#[test]
fn holes_of_a_file_stay_holes() {
    let scratch = Scratch::new();
    // data at both ends and in the middle of 3 GiB; and a file that is nothing but a hole
    let whole = fs::File::create(scratch.path("disk")).expect("the name is free");
    for at in [0, 1 << 30, (3_u64 << 30) - 9] {
        whole.write_all_at(b"something", at).expect("there is room");
    }
    let (from, to) = (scratch.arg("disk"), scratch.arg("copy"));
    assert_eq!(run(standpipe(&["--from", &from, "--to", &to])).code(), 0);
    let copy = fs::metadata(&to).expect("it is there");
    assert_eq!(copy.len(), 3 << 30);
    assert!(copy.blocks() <= 64, "{} blocks are on the disk", copy.blocks());
    for at in [0, 1 << 30, (3_u64 << 30) - 9] {
        let mut read = [0; 9];
        fs::File::open(&to)
            .and_then(|file| file.read_exact_at(&mut read, at))
            .expect("it is there");
        assert_eq!(&read, b"something");
    }
    let hole = fs::File::create(scratch.path("hole")).expect("the name is free");
    hole.set_len(5 << 30).expect("it takes no room");
    let done = run(standpipe(&["--from", &scratch.arg("hole"), "--to", &to, "--overwrite"]));
    let copy = fs::metadata(&to).expect("it is there");
    assert_eq!((done.code(), copy.len(), copy.blocks()), (0, 5 << 30, 0));
    // what is added to has something there already
    let before = scratch.file("log", b"x");
    let hole = fs::File::create(scratch.path("small")).expect("the name is free");
    hole.set_len(1 << 20).expect("it takes no room");
    let small = scratch.arg("small");
    assert_eq!(run(standpipe(&["--from", &small, "--to", &before, "--append"])).code(), 0);
    assert_eq!(fs::metadata(&before).expect("it is there").len(), (1 << 20) + 1);
}

#[test]
fn a_part_of_a_file_is_read_and_one_that_is_not_there_is_refused() {
    let scratch = Scratch::new();
    let data = noise(300_000);
    let file = scratch.file("data", &data);
    let part = |query: &str| format!("file://{file}?{query}");
    for form in [&["--", "cat"][..], &["--fast", "never", "--", "cat"], &["--to", "-"]] {
        let from = part("offset=1000&length=200000");
        let done = run(standpipe(&[&["--from", from.as_str()], form].concat()));
        assert_eq!(done.code(), 0, "{form:?}: {}", done.err);
        assert!(done.out == data[1000..201_000], "{form:?}");
    }
    let done = run(standpipe(&["--from", &part("offset=299990"), "--", "cat"]));
    assert!(done.code() == 0 && done.out == data[299_990..], "{}", done.err);
    let done = run(standpipe(&["--from", &part("offset=300000"), "--", "cat"]));
    assert!(done.code() == 0 && done.out.is_empty(), "{}", done.err);
    let to = scratch.arg("out");
    for query in ["offset=300001", "offset=1&length=300000", "length=1M"] {
        run(standpipe(&["--from", &part(query), "--to", &to]))
            .failed(125, &["cannot read", "it has 293 KiB"]);
        assert!(!scratch.path("out").exists());
    }
}

/// A log that was cut off while it was read was published as whole, with what had been read until then.
#[test]
fn a_file_that_shrinks_while_it_or_a_part_of_it_is_read_is_no_complete_copy() {
    let scratch = Scratch::new();
    let [file, to] = ["data", "out"].map(|name| scratch.arg(name));
    for from in [&file, &format!("file://{file}?length=40M")] {
        shrinks(&scratch, from, &file, &to);
    }
    // those of /sys claim to be longer than they are, and always did
    let address = "/sys/class/net/lo/address";
    let done = run(standpipe(&["--from", address]));
    assert_eq!((done.code(), done.out), (0, fs::read(address).expect("there is a loopback")));
}

fn shrinks(scratch: &Scratch, from: &str, file: &str, to: &str) {
    fs::write(file, noise(40 << 20)).expect("it is ours");
    // the stage that reads the first bytes cuts the file off before it reads on
    let cut = format!("sh -c 'dd bs=1000 count=1 status=none; : > {file}; cat'");
    let done = run(standpipe(&["--from", from, "--to", to, "-c", &cut]));
    done.failed(125, &["cannot read", "before it should"]);
    assert!(!scratch.path("out").exists());

    // the same with several ends: one of them cuts the file off when it has the first bytes
    fs::write(file, noise(40 << 20)).expect("it is ours");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let uri = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let data = file.to_owned();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the command connects");
        stream.read_exact(&mut [0; 1000]).expect("it begins");
        fs::write(data, "").expect("it is ours");
        stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind())
    });
    let done = run(standpipe(&["--from", from, "--to", to, "--to", &uri]));
    done.failed(125, &["cannot read", "before it should"]);
    assert!(!scratch.path("out").exists());
    assert_eq!(peer.join().expect("it does not panic"), Err(ErrorKind::ConnectionReset));
}
