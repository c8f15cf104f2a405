//! How are bytes made an lz4 file, and back?
//!
//! The frame format, with blocks of 64 KiB that refer to each other and a checksum of the whole. Frames may follow
//! each other, and frames for others to skip are skipped. The decoder at hand takes an end of data between two
//! blocks for the end of the frame; here it is shown no end at all, so that what is cut off is seen to be.

use std::io::{self, Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::transform::{BUFFER, Fault, Intake, PATIENCE};

const MAGIC: u32 = 0x184d_2204;
/// The last four bits are free.
const SKIPPED: u32 = 0x184d_2a50;

pub(super) fn encode(input: &mut dyn Intake, output: &mut dyn Write) -> Result<(), Fault> {
    let frame = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Linked)
        .content_checksum(true);
    let mut codec = FrameEncoder::with_frame_info(frame, output);
    let mut held_back = false;
    loop {
        if held_back && !input.comes(PATIENCE)? {
            codec.flush()?;
        }
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        codec.write_all(bytes)?;
        let count = bytes.len();
        input.consume(count);
        held_back = true;
    }
    codec.finish().map(|_| ()).map_err(|error| Fault::Io(error.into()))
}

pub(super) fn decode(input: &mut dyn Intake, output: &mut dyn Write) -> Result<(), Fault> {
    let mut room = vec![0; BUFFER];
    let mut frames = 0_u64;
    while !input.fill_buf()?.is_empty() {
        let mut endless = Endless { input };
        let mut magic = [0; 4];
        endless.read_exact(&mut magic).map_err(fault)?;
        match u32::from_le_bytes(magic) {
            MAGIC => {
                let mut codec = FrameDecoder::new(magic.chain(endless));
                loop {
                    match codec.read(&mut room).map_err(fault)? {
                        0 => break,
                        count => output.write_all(&room[..count])?,
                    }
                }
            }
            skipped if skipped & !0xf == SKIPPED => {
                let mut length = [0; 4];
                endless.read_exact(&mut length).map_err(fault)?;
                let mut left = endless.take(u32::from_le_bytes(length).into());
                io::copy(&mut left, &mut io::sink()).map_err(fault)?;
            }
            _ if frames == 0 => return Err(Fault::data("this is no lz4 data")),
            _ => return Err(Fault::data("what follows the lz4 data is no lz4 data")),
        }
        frames += 1;
    }
    Ok(())
}

/// The input without its end: that is an error.
struct Endless<'input> {
    input: &'input mut dyn Intake,
}

/// What an end of data within a frame is told by.
#[derive(Debug)]
struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the lz4 data is cut off")
    }
}

impl std::error::Error for CutOff {}

impl Read for Endless<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() && !into.is_empty() {
            return Err(io::Error::other(CutOff));
        }
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        self.input.consume(count);
        Ok(count)
    }
}

/// Sorts out what is wrong with the data from what is wrong with the input.
fn fault(error: io::Error) -> Fault {
    match error.get_ref() {
        Some(inner) if inner.is::<CutOff>() => Fault::Data(CutOff.to_string()),
        Some(inner) if inner.is::<lz4_flex::frame::Error>() => {
            Fault::Data(format!("the lz4 data is damaged ({inner})"))
        }
        _ => Fault::Io(error),
    }
}
