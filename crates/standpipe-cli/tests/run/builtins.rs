//! Do the built-in stages do what the programs do, and fail as stages do?

use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::rig::{Live, Scratch, feed, noise, run, shell, standpipe};

/// What packs and what unpacks, as built-ins and as programs of everybody else.
const FORMATS: [[&str; 4]; 5] = [
    ["@gzip 1", "@gunzip", "gzip -c", "gzip -dc"],
    ["@zstd", "@unzstd", "zstd -qc", "zstd -dqc"],
    ["@zstd 4 threads=2", "@unzstd", "zstd -qc -T2", "zstd -dqc"],
    ["@lz4", "@unlz4", "lz4 -qc", "lz4 -dqc"],
    ["@xz 0", "@unxz", "xz -qc -0", "xz -dqc"],
];

fn words(stage: &str) -> Vec<&str> {
    std::iter::once("--").chain(stage.split(' ')).collect()
}

fn program(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("it has a name"));
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn what_a_built_in_packs_a_program_unpacks_and_the_other_way() {
    // Noise, text that packs well, and nothing; two MiB are many buffers.
    let text = "the quick brown fox jumps over the lazy dog\n".repeat(20_000);
    for data in [noise(1_000_003), text.into_bytes(), vec![0; 2 << 20], Vec::new()] {
        for [pack, unpack, packer, unpacker] in FORMATS {
            let packed = feed(standpipe(&words(pack)), data.clone());
            assert_eq!(packed.code(), 0, "{pack}: {}", packed.err);
            let unpacked = feed(program(unpacker), packed.out);
            assert_eq!(unpacked.code(), 0, "{unpacker}: {}", unpacked.err);
            assert!(unpacked.out == data, "{pack} | {unpacker}: {}", unpacked.out.len());

            let packed = feed(program(packer), data.clone());
            assert_eq!(packed.code(), 0, "{packer}: {}", packed.err);
            // Two members, as `cat` makes them.
            let twice = [&packed.out[..], &packed.out[..]].concat();
            let unpacked = feed(standpipe(&words(unpack)), twice);
            assert_eq!(unpacked.code(), 0, "{unpack}: {}", unpacked.err);
            assert!(unpacked.out == [&data[..], &data[..]].concat(), "{packer} | {unpack}");
        }
    }
}

#[test]
fn a_line_of_built_ins_is_a_line_of_stages() {
    let line =
        "@gzip :: @gunzip :: @zstd 19 :: @unzstd :: @lz4 :: @unlz4 :: @xz 0 :: @unxz :: @count";
    let data = noise(300_001);
    for path in [&[][..], &["--fast", "never"], &["-t", "64K", "--low", "0"]] {
        let done = feed(standpipe(&[path, &words(line)].concat()), data.clone());
        assert_eq!(done.code(), 0, "{path:?}: {}", done.err);
        assert!(done.out == data, "{path:?}: {} bytes", done.out.len());
    }
}

#[test]
fn what_goes_in_is_out_before_more_comes() {
    for [pack, unpack, ..] in FORMATS {
        let line = format!("{pack} :: {unpack} :: @lines");
        let mut command = standpipe(&words(&line));
        command.stdin(Stdio::piped());
        let mut live = Live::start(command);
        for text in [&b"one\n"[..], b"two\nthree\n", b"four\n"] {
            live.stdin.as_mut().expect("it is piped").write_all(text).expect("it is taken");
            assert_eq!(live.read(text.len()), text, "{pack}");
        }
        assert_eq!(live.end().code(), 0, "{pack}");
    }
}

#[test]
fn a_line_waits_until_it_is_whole() {
    let mut command = standpipe(&["--", "@lines"]);
    command.stdin(Stdio::piped());
    let mut live = Live::start(command);
    let stdin = live.stdin.as_mut().expect("it is piped");
    stdin.write_all(b"whole\nhal").expect("it is taken");
    assert_eq!(live.read(6), b"whole\n");
    // The rest comes with its newline, in one piece; were it out before, it would be here twice.
    live.stdin.as_mut().expect("it is piped").write_all(b"f\n").expect("it is taken");
    assert_eq!(live.read(5), b"half\n");
    let done = live.end();
    assert!(done.err.contains("stage 2 `@lines`: lines = 2\n"), "{}", done.err);
}

#[test]
fn what_was_found_is_told_even_quietly_and_only_of_a_whole_run() {
    let line = ["-q", "--", "@count", "::", "@hash", "sha256", "::", "@hash", "crc32"];
    let done = feed(standpipe(&line), b"abc\ndef".to_vec());
    assert_eq!(done.out, b"abc\ndef");
    assert!(done.err.contains("stage 2 `@count`: bytes = 7, lines = 2\n"), "{}", done.err);
    let sum = feed(program("sha256sum"), b"abc\ndef".to_vec()).text();
    let sum = sum.split(' ').next().expect("a sum").to_owned();
    assert!(done.err.contains(&format!("sha256 = {sum}\n")), "{}", done.err);

    let cut = run(standpipe(&["--", "sh", "-c", "echo abc; exit 3", "::", "@hash", "md5"]));
    assert_eq!(cut.code(), 3);
    assert!(!cut.err.contains("md5 ="), "{}", cut.err);
}

#[test]
fn data_that_is_not_whole_is_named_and_not_published() {
    let scratch = Scratch::new();
    for [pack, unpack, ..] in FORMATS {
        let packed = feed(standpipe(&words(pack)), noise(100_000)).out;
        let cut = scratch.file("cut", &packed[..packed.len() - 1]);
        let output = scratch.arg("out");
        let done = run(standpipe(&[&["-i", &cut, "-o", &output][..], &words(unpack)].concat()));
        let length = packed.len() - 1;
        let thousands = format!("{},{:03}", length / 1000, length % 1000);
        done.failed(
            125,
            &[
                &format!("stage 2 `{unpack}`"),
                "is cut off",
                &format!("at byte {thousands}"),
                "was not written",
            ],
        );
        assert_eq!(scratch.names(), ["cut"], "{unpack}");
    }
    let done = feed(standpipe(&["--", "@gunzip"]), b"plain text".to_vec());
    done.failed(125, &["stage 2 `@gunzip`: this is no gzip data"]);
}

#[test]
fn the_first_cause_is_named_among_built_ins_too() {
    // Above: what it left is cut off, and that is a consequence.
    for _ in 0..10 {
        let done = run(standpipe(&["--", "sh", "-c", "exit 3", "::", "@gunzip", "::", "cat"]));
        done.failed(3, &["stage 1", "exited with code 3"]);
    }
    let half = "gzip -c /etc/passwd | head -c 60; exit 4";
    run(standpipe(&["--", "sh", "-c", half, "::", "@gunzip"])).failed(4, &["exited with code 4"]);
    // Below: whoever reads has left.
    let done = run(standpipe(&["--", "@gzip", "::", "sh", "-c", "exit 5"]));
    assert!(done.code() == 5 || done.err.contains("stopped reading"), "{}", done.err);
    let done = run(standpipe(&["--", "zero:", "::", "@gzip", "0", "::", "sh", "-c", "exit 5"]));
    done.failed(5, &["stage 3", "exited with code 5"]);
    // A reader that has enough is no failure; strictly it is one.
    let enough = ["--", "yes", "::", "@gzip", "0", "::", "head", "-c", "1000"];
    let done = run(standpipe(&enough));
    assert_eq!((done.code(), done.out.len()), (0, 1000), "{}", done.err);
    assert_eq!(run(standpipe(&[&["--strict"][..], &enough].concat())).code(), 125);
    // A built-in in the middle fails: what is above stops, what is below gets an end of data.
    let done = run(standpipe(&["--", "yes", "::", "@unxz", "::", "cat"]));
    done.failed(125, &["stage 2 `@unxz`: this is no xz data"]);
}

#[test]
fn a_slow_built_in_is_named_as_slow() {
    let done = run(standpipe(&["--", "zero:3M", "::", "@rate", "8MB/s", "::", "wc", "-c"]));
    assert_eq!(done.text().trim(), (3 << 20).to_string(), "{}", done.err);
    assert!(done.err.starts_with("SLOWEST: 2 @rate 8MB/s, busy"), "{}", done.err);
    let packs = ["--", "random:8M", "::", "@xz", "6", "::", "wc", "-c"];
    let done = run(standpipe(&packs));
    assert!(done.err.starts_with("SLOWEST: 2 @xz, busy"), "{}", done.err);
    assert!(done.err.contains("  try: a lower level (@xz 1)"), "{}", done.err);
}

#[test]
fn a_rate_in_lines_passes_whole_lines() {
    let text = "0123456789\n".repeat(200);
    let done = feed(
        standpipe(&["--summary", "never", "--", "@rate", "2000lines/s"]),
        text.clone().into_bytes(),
    );
    assert_eq!(done.text(), text);
}

#[test]
fn signals_end_built_ins_at_any_place() {
    let scratch = Scratch::new();
    let output = scratch.arg("out");
    for (signal, left) in [(Signal::INT, &[][..]), (Signal::TERM, &["out.partial"])] {
        let line = ["-o", &output, "--", "@count", "::", "@gzip", "::", "@rate", "9G"];
        let mut command = standpipe(&line);
        command.stdin(Stdio::piped());
        let mut live = Live::start(command);
        // Open until it has ended: an end of data would be another reason to end.
        let mut stdin = live.stdin.take().expect("it is piped");
        stdin.write_all(b"begun").expect("it is taken");
        // All of it is there when the hidden file has more than a header.
        let arrived =
            |name: &String| scratch.path(name).metadata().is_ok_and(|meta| meta.len() > 10);
        while !scratch.names().iter().any(arrived) {
            std::thread::yield_now();
        }
        live.signal(signal);
        let done = live.end();
        drop(stdin);
        assert_eq!(done.signal(), signal.as_raw(), "{}", done.err);
        assert_eq!(scratch.names(), left, "{}", done.err);
    }
    // What was drained is a whole gzip file.
    let partial = std::fs::File::open(scratch.path("out.partial")).expect("it is there");
    let mut unpacked = Command::new("gzip");
    let output = unpacked.arg("-dc").stdin(partial).output().expect("it starts");
    assert_eq!(output.stdout, b"begun");
}

#[test]
fn built_ins_stand_in_pipeline_files() {
    let scratch = Scratch::new();
    let text =
        "version = 1\n[[stage]]\nexec = [\"@gzip\", \"9\"]\n[[stage]]\nexec = [\"@gunzip\"]\n";
    let file = scratch.file("p.toml", text.as_bytes());
    let done = feed(standpipe(&["-f", &file]), b"through a file".to_vec());
    assert_eq!((done.code(), done.text().as_str()), (0, "through a file"), "{}", done.err);
    let checked = run(standpipe(&["check", &file]));
    assert!(checked.text().contains("in    @gzip 9\n"), "{}", checked.text());
    let wrong = scratch.file("w.toml", text.replace("9", "11").as_bytes());
    run(standpipe(&["-f", &wrong])).failed(125, &["it has no such level", "line 2"]);
}

#[test]
fn memory_stays_within_bounds() {
    // What a codec takes besides the 16 MiB of the command and its tanks, in KiB.
    for (line, codec_kib) in [("@gzip", 1 << 10), ("@zstd", 6 << 10), ("@lz4", 1 << 10)] {
        let line = format!(
            "exec \"$S\" -i zero:1G -- {line} :: sh -c 'cat >/dev/null; exec cat /proc/$PPID/status'"
        );
        let done = run(shell(&line));
        let peak = done.text();
        let peak =
            peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says so");
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(peak <= (16 << 10) + codec_kib, "{line}: {peak} KiB");
    }
}

#[test]
fn zeros_unpack_in_constant_memory() {
    // A few hundred bytes become 256 MiB.
    let mut packed = Vec::new();
    for member in 0..4 {
        let zeros = standpipe(&["-i", "zero:64M", "--", "@zstd"]);
        let one = run(zeros);
        assert_eq!(one.code(), 0, "{member}: {}", one.err);
        packed.extend(one.out);
    }
    let line = ["--", "@unzstd", "::", "sh", "-c", "wc -c; exec cat /proc/$PPID/status"];
    let text = feed(standpipe(&line), packed).text();
    assert!(text.starts_with(&(256_u64 << 20).to_string()), "{text}");
    let peak =
        text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says so");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak <= (16 << 10) + (10 << 10), "{peak} KiB");
}
