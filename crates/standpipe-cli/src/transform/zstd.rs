//! How are bytes made a zstd file, and back?
//!
//! A checksum is written, as the command of that name does; frames may follow each other. With threads the work is
//! cut into jobs of several MiB each, which is what the threads' memory goes to.

use std::io::{self, Write};

use zstd::stream::raw::{CParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

use crate::transform::coder::{self, Ask, Step};
use crate::transform::{Fault, Intake};

pub(super) fn encode(
    level: i32,
    threads: u32,
    input: &mut dyn Intake,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let made = |level, threads| -> io::Result<Encoder<'static>> {
        let mut codec = Encoder::new(level)?;
        codec.set_parameter(CParameter::ChecksumFlag(true))?;
        codec.set_parameter(CParameter::NbWorkers(threads))?;
        Ok(codec)
    };
    let failed = |error: io::Error| Fault::Data(format!("zstd failed: {error}"));
    let mut codec = made(level, threads).map_err(failed)?;
    let call = |bytes: &[u8], room: &mut [u8], ask| {
        let mut from = InBuffer::around(bytes);
        let mut to = OutBuffer::around(room);
        let left = match ask {
            Ask::Go => codec.run(&mut from, &mut to),
            Ask::Flush => codec.flush(&mut to),
            Ask::Finish => codec.finish(&mut to, true),
        };
        let left = left.map_err(failed)?;
        Ok(Step { read: from.pos(), wrote: to.pos(), done: left == 0 })
    };
    coder::encode(call, input, output)
}

pub(super) fn decode(input: &mut dyn Intake, output: &mut dyn Write) -> Result<(), Fault> {
    let mut codec = Decoder::new().map_err(|error| Fault::Data(format!("zstd failed: {error}")))?;
    let mut began = false;
    let call = |bytes: &[u8], room: &mut [u8]| {
        let mut from = InBuffer::around(bytes);
        let mut to = OutBuffer::around(room);
        let left =
            codec.run(&mut from, &mut to).map_err(|error| match (error.to_string(), began) {
                (text, false) if text.contains("Unknown frame") => {
                    Fault::data("this is no zstd data")
                }
                (text, true) if text.contains("Unknown frame") => {
                    Fault::data("what follows the zstd data is no zstd data")
                }
                (text, _) => Fault::Data(format!("the zstd data is damaged ({text})")),
            })?;
        began |= left == 0;
        Ok(Step { read: from.pos(), wrote: to.pos(), done: left == 0 })
    };
    coder::decode("zstd", call, input, output)
}
