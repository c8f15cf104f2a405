//! What is done to bytes?
//!
//! A stage that runs in this process reads from an [`Intake`] and writes to a `Write`, both of which wait when they
//! have to; all it knows of time is that nothing may have come for a while, and then it gives out what it holds
//! back. Whatever the sizes of reads, a stage has a bounded amount of bytes in hand.
//!
//! # Knows / never knows
//! Knows a codec a file. Never knows descriptors, threads or what stands beside it: `exec/worker` runs it.
//! # Terms
//! *finding*: what a stage has to say at its end, as the digest of `@hash`.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use crate::plan::Builtin;

mod coder;
mod gzip;
#[cfg(feature = "zstd")]
mod zstd;
mod lz4;
#[cfg(feature = "xz")]
mod xz;
mod lines;
mod digest;

/// What a stage holds back it gives out when nothing has come for this long: not so soon that a producer that is a
/// little slower pays for it in size, and not so late that a person waits.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// What one call works on: as much as a pipe has by itself.
pub(crate) const BUFFER: usize = 64 << 10;

/// Where a stage reads from.
pub(crate) trait Intake: BufRead {
    /// Waits for bytes or the end of data: false if neither came in this time.
    fn comes(&mut self, within: Duration) -> io::Result<bool>;
}

/// What a stage found out, as `sha256` and the digest in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What it is.
    pub(crate) name: &'static str,
    /// Its value.
    pub(crate) value: String,
}

/// Why a stage could not go on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Reading or writing failed, or is to stop.
    Io(io::Error),
    /// What came is not what it takes, or its end is missing.
    Data(String),
}

impl Fault {
    fn data(what: impl Into<String>) -> Self {
        Self::Data(what.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Tells what is missing, if this build was made without a stage.
pub(crate) fn missing(builtin: Builtin) -> Option<&'static str> {
    match builtin {
        Builtin::Zstd { .. } | Builtin::Unzstd if !cfg!(feature = "zstd") => Some("zstd"),
        Builtin::Xz(_) | Builtin::Unxz if !cfg!(feature = "xz") => Some("xz"),
        Builtin::Hash(crate::plan::Algorithm::Blake3) if !cfg!(feature = "blake3") => {
            Some("blake3")
        }
        _ => None,
    }
}

/// Runs a stage to the end of its data.
///
/// # Errors
/// Those of its two sides, and what is wrong with the data.
pub(crate) fn run(
    builtin: Builtin,
    input: &mut dyn Intake,
    output: &mut dyn Write,
) -> Result<Vec<Finding>, Fault> {
    match builtin {
        Builtin::Gzip(level) => gzip::encode(level, input, output)?,
        Builtin::Gunzip => gzip::decode(input, output)?,
        #[cfg(feature = "zstd")]
        Builtin::Zstd { level, threads } => zstd::encode(level, threads, input, output)?,
        #[cfg(feature = "zstd")]
        Builtin::Unzstd => zstd::decode(input, output)?,
        #[cfg(not(feature = "zstd"))]
        Builtin::Zstd { .. } | Builtin::Unzstd => {
            return Err(Fault::data("this build has no zstd"));
        }
        Builtin::Lz4 => lz4::encode(input, output)?,
        Builtin::Unlz4 => lz4::decode(input, output)?,
        #[cfg(feature = "xz")]
        Builtin::Xz(level) => xz::encode(level, input, output)?,
        #[cfg(feature = "xz")]
        Builtin::Unxz => xz::decode(input, output)?,
        #[cfg(not(feature = "xz"))]
        Builtin::Xz(_) | Builtin::Unxz => return Err(Fault::data("this build has no xz")),
        Builtin::Lines => return lines::whole(input, output),
        Builtin::Count => return lines::count(input, output),
        Builtin::Hash(algorithm) => return digest::pass(algorithm, input, output),
        // It is about time, which the room above has.
        Builtin::Rate(_) => {
            return Err(Fault::data("a rate is kept by the thread that runs the stage"));
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests;
