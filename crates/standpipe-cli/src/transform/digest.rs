//! What is the digest of the bytes that pass?

use std::fmt::Write as _;
use std::io::Write;

use sha2::Digest;

use crate::plan::Algorithm;
use crate::transform::{Fault, Finding, Intake};

/// Passes all bytes; the digest is told at the end.
pub(super) fn pass(
    algorithm: Algorithm,
    input: &mut dyn Intake,
    output: &mut dyn Write,
) -> Result<Vec<Finding>, Fault> {
    let mut hasher = Hasher::new(algorithm)?;
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        output.write_all(bytes)?;
        let count = bytes.len();
        input.consume(count);
    }
    Ok(vec![Finding { name: algorithm.name(), value: hasher.finish() }])
}

enum Hasher {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    #[cfg(feature = "blake3")]
    Blake3(Box<blake3::Hasher>),
    Md5(md5::Md5),
    Crc32(crc32fast::Hasher),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Result<Self, Fault> {
        Ok(match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
            #[cfg(feature = "blake3")]
            Algorithm::Blake3 => Self::Blake3(Box::default()),
            #[cfg(not(feature = "blake3"))]
            Algorithm::Blake3 => return Err(Fault::data("this build has no blake3")),
            Algorithm::Md5 => Self::Md5(md5::Md5::new()),
            Algorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            #[cfg(feature = "blake3")]
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Crc32(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::Sha512(hasher) => hex(&hasher.finalize()),
            #[cfg(feature = "blake3")]
            Self::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
            Self::Md5(hasher) => hex(&hasher.finalize()),
            Self::Crc32(hasher) => format!("{:08x}", hasher.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
