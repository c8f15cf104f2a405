//! What goes in comes out again, whatever the sizes; what is not whole is never taken for whole.

use std::io::Read;

use super::*;
use crate::plan::{Algorithm, Builtin};

/// Bytes that come in parts of a size, with nothing for a while after each.
struct Parts<'data> {
    left: &'data [u8],
    part: usize,
    /// What is left of the part that has come.
    open: usize,
    idle: bool,
}

impl<'data> Parts<'data> {
    fn of(left: &'data [u8], part: usize) -> Self {
        Self { left, part, open: 0, idle: false }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Parts<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.open == 0 {
            self.open = self.part.min(self.left.len());
        }
        Ok(&self.left[..self.open])
    }

    fn consume(&mut self, count: usize) {
        self.left = &self.left[count..];
        self.open -= count;
    }
}

impl Intake for Parts<'_> {
    fn comes(&mut self, _: Duration) -> io::Result<bool> {
        Ok(self.open > 0 || !self.idle)
    }
}

fn through(builtin: Builtin, bytes: &[u8], part: usize) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    match run(builtin, &mut Parts::of(bytes, part), &mut output) {
        Ok(_) => Ok(output),
        Err(Fault::Data(what)) => Err(what),
        Err(Fault::Io(error)) => panic!("memory does not fail: {error}"),
    }
}

/// The bytes of text that packs well and of noise that does not.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let byte = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if (at / 1000).is_multiple_of(2) {
            b"the quick brown fox\n"[at % 20]
        } else {
            state.to_le_bytes()[3]
        }
    };
    (0..len).map(byte).collect()
}

fn pairs() -> Vec<(Builtin, Builtin)> {
    let mut pairs = vec![
        (Builtin::Gzip(6), Builtin::Gunzip),
        (Builtin::Gzip(0), Builtin::Gunzip),
        (Builtin::Lz4, Builtin::Unlz4),
    ];
    if cfg!(feature = "zstd") {
        pairs.push((Builtin::Zstd { level: 3, threads: 0 }, Builtin::Unzstd));
        pairs.push((Builtin::Zstd { level: -5, threads: 2 }, Builtin::Unzstd));
    }
    if cfg!(feature = "xz") {
        pairs.push((Builtin::Xz(1), Builtin::Unxz));
    }
    pairs
}

#[test]
fn what_is_packed_comes_out_again_at_every_boundary() {
    let edge = BUFFER;
    let sizes = [0, 1, 2, 4095, 4096, edge - 1, edge, edge + 1, 2 * edge, 3 * edge + 17];
    for (pack, unpack) in pairs() {
        for size in sizes {
            let data = sample(size);
            let packed = through(pack, &data, edge).expect("any data can be packed");
            for part in [1, 7, 4096, edge] {
                if part < 4096 && size > 5000 {
                    continue;
                }
                let unpacked = through(unpack, &packed, part);
                assert!(
                    unpacked.as_ref() == Ok(&data),
                    "{pack:?}, {size} bytes in parts of {part}"
                );
            }
        }
    }
}

/// A reader that looks, each time it is asked for more, at what has come out so far.
struct Watched<'a> {
    parts: Parts<'a>,
    out: std::rc::Rc<std::cell::RefCell<Vec<u8>>>,
    seen: Vec<Vec<u8>>,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.parts.read(into)
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.seen.push(self.out.borrow().clone());
        self.parts.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.parts.consume(count);
    }
}

impl Intake for Watched<'_> {
    fn comes(&mut self, within: Duration) -> io::Result<bool> {
        self.parts.comes(within)
    }
}

struct Shared(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn all_is_given_out_when_nothing_comes() {
    for (pack, unpack) in pairs() {
        let data = sample(50_000);
        let out = std::rc::Rc::default();
        let parts = Parts { idle: true, ..Parts::of(&data, 10_000) };
        let mut input = Watched { parts, out: std::rc::Rc::clone(&out), seen: Vec::new() };
        run(pack, &mut input, &mut Shared(out)).expect("any data can be packed");
        // Before the end is known, the far side has been given all that went in.
        let last = input.seen.last().expect("it was asked for more");
        let mut unpacked = Vec::new();
        let cut = run(unpack, &mut Parts::of(last, BUFFER), &mut unpacked);
        assert!(matches!(cut, Err(Fault::Data(_))), "{pack:?}: the end has not been written");
        assert!(unpacked == data, "{pack:?}: {} bytes", unpacked.len());
    }
}

#[test]
fn members_may_follow_each_other() {
    for (pack, unpack) in pairs() {
        let (one, two) = (sample(70_000), sample(3));
        let parts = [&one[..], &[], &two[..]];
        let packed = parts.map(|part| through(pack, part, BUFFER).expect("any data can be packed"));
        let all = packed.concat();
        for part in [1, 1000, BUFFER] {
            let unpacked = through(unpack, &all, part);
            assert!(unpacked.as_ref() == Ok(&parts.concat()), "{pack:?} in parts of {part}");
        }
    }
}

#[test]
fn what_is_cut_off_anywhere_is_an_error() {
    for (pack, unpack) in pairs() {
        let data = sample(3000);
        let packed = through(pack, &data, BUFFER).expect("any data can be packed");
        for end in 1..packed.len() {
            for part in [end, 1] {
                let cut = through(unpack, &packed[..end], part);
                let what = cut.expect_err("it is not whole");
                assert!(
                    what.ends_with("is cut off"),
                    "{pack:?}, {end} bytes in parts of {part}: {what}"
                );
            }
        }
        assert_eq!(through(unpack, &[], 1), Ok(Vec::new()), "nothing is nothing");
    }
}

#[test]
fn what_follows_and_is_no_member_is_an_error() {
    for (pack, unpack) in pairs() {
        let mut packed = through(pack, b"data", BUFFER).expect("any data can be packed");
        packed.extend(b"garbage that is long enough");
        for part in [1, packed.len()] {
            let what = through(unpack, &packed, part).expect_err("it is no data");
            assert!(what.contains("what follows"), "{pack:?} in parts of {part}: {what}");
        }
        let what = through(unpack, b"no such data at all", 19).expect_err("it is no data");
        assert!(what.starts_with("this is no "), "{pack:?}: {what}");
    }
    let padded = [through(Builtin::Gzip(6), b"tape", 4).expect("it packs"), vec![0; 999]].concat();
    for part in [1, 100, 2000] {
        assert_eq!(through(Builtin::Gunzip, &padded, part).as_deref(), Ok(&b"tape"[..]));
    }
}

#[test]
fn one_wrong_byte_is_noticed() {
    for (pack, unpack) in pairs() {
        let data = sample(2500);
        let packed = through(pack, &data, BUFFER).expect("any data can be packed");
        for at in 0..packed.len() {
            let mut wrong = packed.clone();
            wrong[at] ^= 0x10;
            // A header may say less than it could: what comes out is right all the same.
            let came = through(unpack, &wrong, BUFFER);
            assert!(came.is_err() || came.as_ref() == Ok(&data), "{pack:?}: byte {at}");
        }
    }
}

#[test]
fn digests_are_those_of_everybody_else() {
    let expected = [
        (Algorithm::Crc32, "352441c2"),
        (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Algorithm::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (Algorithm::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ];
    for (algorithm, digest) in expected {
        if missing(Builtin::Hash(algorithm)).is_some() {
            continue;
        }
        let mut output = Vec::new();
        let found = run(Builtin::Hash(algorithm), &mut Parts::of(b"abc", 2), &mut output);
        let found = found.expect("it passes all");
        assert_eq!((found[0].name, found[0].value.as_str()), (algorithm.name(), digest));
        assert_eq!(output, b"abc");
    }
}

#[test]
fn lines_are_counted_and_kept_whole() {
    for (text, lines) in [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2), ("ab\ncd\n", 2)]
    {
        for part in 1..=text.len().max(1) {
            for builtin in [Builtin::Lines, Builtin::Count] {
                let mut output = Vec::new();
                let found = run(builtin, &mut Parts::of(text.as_bytes(), part), &mut output);
                let found = found.expect("it is text");
                let found = found.last().map(|found| (found.name, found.value.clone()));
                assert_eq!(
                    found,
                    Some(("lines", lines.to_string())),
                    "{text:?} in parts of {part}"
                );
                assert_eq!(output, text.as_bytes());
            }
        }
    }
    /// Every write is a whole number of lines.
    struct Whole;
    impl Write for Whole {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "{bytes:?}");
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let text = "one\ntwo three\n\nfour\n".repeat(100);
    for part in [1, 2, 3, 5, 8, 1000] {
        run(Builtin::Lines, &mut Parts::of(text.as_bytes(), part), &mut Whole).expect("it is text");
    }
    let endless = vec![b'x'; (1 << 20) + BUFFER];
    let what = through(Builtin::Lines, &endless, BUFFER).expect_err("it is no line");
    assert!(what.contains("longer than 1 MiB"), "{what}");
}
