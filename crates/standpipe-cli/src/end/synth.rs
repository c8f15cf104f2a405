//! How are bytes made up, or thrown away?
//!
//! Zeros come from `/dev/zero` and what is thrown away goes to `/dev/null`, so both can be spliced. Random bytes
//! are equal for equal seeds on every machine, do not compress, and are made faster than a disk reads.
//!
//! # Knows / never knows
//! Knows devices and a generator (xorshift64* of Marsaglia and Vigna, seeded by a splitmix64 step). Never knows
//! who asks.

use std::io::{self, Read};
use std::sync::Mutex;

use crate::end::{EndError, Source, own};
use crate::exec::copy::Feed;
use crate::exec::port::Port;

/// So many zero bytes.
pub(crate) fn zeros(bytes: Option<u64>) -> Result<Source, EndError> {
    let port = device("/dev/zero", false)?;
    Ok(Source { feed: Feed::Port(port), limit: bytes, total: bytes, notes: Vec::new() })
}

/// So many bytes that do not compress.
pub(crate) fn random(bytes: Option<u64>, seed: u64) -> Source {
    Source {
        feed: Feed::Made(Mutex::new(Box::new(Random::new(seed)))),
        limit: bytes,
        total: bytes,
        notes: Vec::new(),
    }
}

/// Takes all bytes and keeps none.
pub(crate) fn nothing() -> Result<Port, EndError> {
    device("/dev/null", true)
}

fn device(path: &str, write: bool) -> Result<Port, EndError> {
    let file = std::fs::OpenOptions::new().read(!write).write(write).open(path);
    let file = file.map_err(|error| EndError::of(format!("cannot open `{path}`"), &error))?;
    own(file, path)
}

/// An endless stream of bytes. Its bytes do not depend on how it is read.
struct Random {
    state: u64,
    /// Bytes of the last word that were not handed out, lowest first.
    rest: [u8; 8],
    left: usize,
}

impl Random {
    fn new(seed: u64) -> Self {
        // Spreads near seeds far apart; a state of 0 would stay 0.
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { state: (state ^ (state >> 31)) | 1, rest: [0; 8], left: 0 }
    }

    fn word(&mut self) -> [u8; 8] {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    }
}

impl Read for Random {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let old = self.left.min(into.len());
        into[..old].copy_from_slice(&self.rest[8 - self.left..8 - self.left + old]);
        self.left -= old;
        let (words, tail) = into[old..].as_chunks_mut::<8>();
        for word in words {
            *word = self.word();
        }
        if !tail.is_empty() {
            self.rest = self.word();
            self.left = 8 - tail.len();
            tail.copy_from_slice(&self.rest[..tail.len()]);
        }
        Ok(into.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_do_not_depend_on_how_they_are_read() {
        let (mut whole, mut parts) = (vec![0; 1000], Vec::new());
        Random::new(7).read_exact(&mut whole).expect("it never fails");
        let mut random = Random::new(7);
        for size in (1..).take_while(|size| size * (size + 1) / 2 <= 1000) {
            let mut part = vec![0; size];
            random.read_exact(&mut part).expect("it never fails");
            parts.extend(part);
        }
        assert_eq!(parts, whole[..parts.len()]);
        let mut other = vec![0; 1000];
        Random::new(8).read_exact(&mut other).expect("it never fails");
        assert_ne!(other, whole);
    }
}
