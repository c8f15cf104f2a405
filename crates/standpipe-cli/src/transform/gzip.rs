//! How are bytes made a gzip file, and back?
//!
//! A flush ends a deflate block at a byte boundary, so that a reader of the far side has all that went in. Reading,
//! any number of members may follow each other, as `cat a.gz b.gz` makes them; zeros may follow the last one, as
//! tapes do; anything else is an error, for data that is left unread is data that is lost.

use std::io::Write;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::transform::coder::{self, Ask, Step};
use crate::transform::{Fault, Intake};

/// The window of gzip, 32 KiB.
const WINDOW_BITS: u8 = 15;

pub(super) fn encode(
    level: u32,
    input: &mut dyn Intake,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mut codec = Compress::new_gzip(Compression::new(level), WINDOW_BITS);
    let call = |bytes: &[u8], room: &mut [u8], ask| {
        let (read, wrote) = (codec.total_in(), codec.total_out());
        let how = match ask {
            Ask::Go => FlushCompress::None,
            Ask::Flush => FlushCompress::Sync,
            Ask::Finish => FlushCompress::Finish,
        };
        let status = codec.compress(bytes, room, how).map_err(|error| broken(&error))?;
        let step = Step {
            read: moved(codec.total_in() - read),
            wrote: moved(codec.total_out() - wrote),
            done: false,
        };
        // A flush is done when it did not need all of the room; zlib says no more about it.
        let done = match ask {
            Ask::Finish => status == Status::StreamEnd,
            _ => step.wrote < room.len(),
        };
        Ok(Step { done, ..step })
    };
    coder::encode(call, input, output)
}

pub(super) fn decode(input: &mut dyn Intake, output: &mut dyn Write) -> Result<(), Fault> {
    let mut member: Option<Decompress> = None;
    let mut members = 0_u64;
    let mut zeros = false;
    let call = |bytes: &[u8], room: &mut [u8]| {
        if member.is_none() && members > 0 {
            zeros |= bytes.first() == Some(&0);
            let filling = bytes.iter().take_while(|byte| **byte == 0).count();
            if zeros && filling == bytes.len() {
                return Ok(Step { read: filling, wrote: 0, done: true });
            }
            if zeros || bytes.first() != Some(&0x1f) {
                return Err(Fault::data("what follows the gzip data is no gzip data"));
            }
        }
        let codec = member.get_or_insert_with(|| Decompress::new_gzip(WINDOW_BITS));
        let (read, wrote) = (codec.total_in(), codec.total_out());
        let status = codec.decompress(bytes, room, FlushDecompress::None);
        let step = Step {
            read: moved(codec.total_in() - read),
            wrote: moved(codec.total_out() - wrote),
            done: matches!(status, Ok(Status::StreamEnd)),
        };
        if let Err(error) = status {
            let what = match codec.total_out() {
                0 if codec.total_in() < 10 && members == 0 => "this is no gzip data".to_owned(),
                _ => format!("the gzip data is damaged{}", words(error.message())),
            };
            return Err(Fault::Data(what));
        }
        if step.done {
            member = None;
            members += 1;
        }
        Ok(step)
    };
    coder::decode("gzip", call, input, output)
}

fn broken(error: &flate2::CompressError) -> Fault {
    Fault::Data(format!("gzip failed: {error}"))
}

fn words(message: Option<&str>) -> String {
    message.map(|message| format!(" ({message})")).unwrap_or_default()
}

fn moved(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
