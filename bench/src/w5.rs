//! W5: what does packing cost as a stage of ours?
//!
//! 128 MiB that shrink to a bit less than half, from file to file on tmpfs, level 6: `@gzip` beside the programs, and beside a bare loop
//! over the same encoder. The count is the bytes that come out.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;

use crate::measure::{Case, Metric, Reading, Run, Target, Weight, command};
use crate::w4::{present, quote};

const BYTES: u64 = 128 << 20;
const BARE: &str = "bare loop, zlib-rs";

/// A folder on tmpfs for as long as a case may run.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // what is left is only memory that the next boot gives back
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let path = PathBuf::from(format!("/dev/shm/standpipe-bench-{}", std::process::id()));
    fs::create_dir_all(&path).expect("tmpfs can be written");
    let folder = Rc::new(Folder(path));
    let word = |name: &str| folder.0.join(name).to_str().expect("it is UTF-8").to_owned();
    let (source, packed) = (word("source"), word("packed"));
    fill(&source);
    let (from, to) = (quote(&source), quote(&packed));
    let case = |name, tool: &str, arguments: String, targets| {
        let run = present(tool).then(|| {
            let (folder, before, after) = (Rc::clone(&folder), packed.clone(), packed.clone());
            let remove = move || drop(fs::remove_file(&before)); // missing the first time
            let mut run = command(format!("{} {arguments}", quote(tool)), remove, || ());
            Box::new(move |n| {
                let reading = run(n);
                let length = fs::metadata(&after).map_or(0, |file| file.len());
                assert!(length > BYTES / 4, "{name} writes no archive in {}", folder.0.display());
                Reading { count: length as f64, ..reading }
            }) as Run
        });
        Case { name, setting: "level 6".to_owned(), run, most: BYTES, targets }
    };
    let me = std::env::current_exe().expect("Linux knows");
    let me = me.to_str().expect("the target directory is UTF-8");
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/standpipe");
    let targets = vec![
        Target::cpu(BARE, 1.05, Weight::Gate),
        Target::cpu("gzip", 0.65, Weight::Gate),
        Target::count("gzip", 1.02, Weight::Gate),
        Target {
            peers: vec!["pigz -p2"],
            metric: Metric::Wall,
            at_most: 1.1,
            weight: Weight::Goal,
        },
    ];
    vec![
        case("gzip", "gzip", format!("-6 -c {from} > {to}"), vec![]),
        case("pigz -p2", "pigz", format!("-6 -p2 -c {from} > {to}"), vec![]),
        case("zstd -T2 -3", "zstd", format!("-q -T2 -3 -c {from} > {to}"), vec![]),
        case(BARE, me, format!("deflate {from} {to}"), vec![]),
        case("standpipe @gzip", ours, format!("-q --from {from} --to {to} -- @gzip"), targets),
    ]
}

/// The child's part: packs a file with nothing around the encoder.
pub(crate) fn deflate(words: &[String]) -> Option<()> {
    let [from, to] = words else { return None };
    let (mut from, to) = (File::open(from).ok()?, File::create(to).ok()?);
    let level = flate2::Compression::new(6);
    let mut encoder = flate2::write::GzEncoder::new(BufWriter::with_capacity(64 << 10, to), level);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer).ok()? {
            0 => break,
            count => encoder.write_all(&buffer[..count]).ok()?,
        }
    }
    encoder.finish().ok()?.flush().ok()
}

/// Words of a made-up language, and numbers.
fn fill(path: &str) {
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13; // xorshift
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let word = |random: &mut dyn FnMut() -> u64| -> String {
        (0..4 + random() % 6).map(|_| char::from(b'a' + (random() % 26) as u8)).collect()
    };
    let words: Vec<String> = (0..8192).map(|_| word(&mut random)).collect();
    let mut file = BufWriter::new(File::create(path).expect("tmpfs can be written"));
    let mut left = BYTES as usize;
    while left > 0 {
        let mut text = words[(random() % 8192) as usize].clone();
        text.push(' ');
        if random() % 3 == 0 {
            text.push_str(&format!("{} ", random() % 100_000_000));
        }
        let taken = text.len().min(left);
        file.write_all(&text.as_bytes()[..taken]).expect("there is room for 128 MiB");
        left -= taken;
    }
    file.flush().expect("there is room for 128 MiB");
}
