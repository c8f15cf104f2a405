//! How are bytes made an xz file, and back?
//!
//! A flush ends a chunk of LZMA2. Streams may follow each other, with the padding that the format allows between
//! them. Reading takes as much memory as the writer's dictionary, which is refused beyond a limit.

use std::io::Write;

use liblzma::stream::{Action, CONCATENATED, Check, Error, Status, Stream};

use crate::transform::coder::{self, Ask, Step};
use crate::transform::{Fault, Intake};

/// Reading what `xz -9` wrote takes 65 MiB; only odd settings take more than this.
const MEMORY_MOST: u64 = 256 << 20;

pub(super) fn encode(
    level: u32,
    input: &mut dyn Intake,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let failed = |error: Error| Fault::Data(format!("xz failed: {error}"));
    let mut codec = Stream::new_easy_encoder(level, Check::Crc64).map_err(failed)?;
    let call = |bytes: &[u8], room: &mut [u8], ask| {
        let action = match ask {
            Ask::Go => Action::Run,
            Ask::Flush => Action::SyncFlush,
            Ask::Finish => Action::Finish,
        };
        let (status, step) = process(&mut codec, bytes, room, action).map_err(failed)?;
        Ok(Step { done: status == Status::StreamEnd, ..step })
    };
    coder::encode(call, input, output)
}

pub(super) fn decode(input: &mut dyn Intake, output: &mut dyn Write) -> Result<(), Fault> {
    let mut codec = Stream::new_stream_decoder(MEMORY_MOST, CONCATENATED)
        .map_err(|error| Fault::Data(format!("xz failed: {error}")))?;
    let mut room = vec![0; crate::transform::BUFFER];
    let mut full = false;
    loop {
        // A decoder that has filled the room may have more to give without any input.
        let bytes = if full { &[] } else { input.fill_buf()? };
        // Whether the last stream is whole only the end of data tells.
        let at_end = bytes.is_empty() && !full;
        if at_end && codec.total_in() == 0 {
            return Ok(());
        }
        let action = if at_end { Action::Finish } else { Action::Run };
        let (status, step) =
            process(&mut codec, bytes, &mut room, action).map_err(|error| match error {
                Error::Format => Fault::data("this is no xz data"),
                Error::MemLimit => Fault::data("this xz data takes more than 256 MiB to read"),
                // The library tells both alike.
                Error::Data => {
                    Fault::data("the xz data is damaged, or what follows it is no xz data")
                }
                error => Fault::Data(format!("the xz data is damaged ({error})")),
            })?;
        input.consume(step.read);
        output.write_all(&room[..step.wrote])?;
        full = step.wrote == room.len();
        match status {
            Status::StreamEnd => return Ok(()),
            _ if at_end && step.wrote == 0 => return Err(Fault::data("the xz data is cut off")),
            _ => {}
        }
    }
}

fn process(
    codec: &mut Stream,
    bytes: &[u8],
    room: &mut [u8],
    action: Action,
) -> Result<(Status, Step), Error> {
    let (read, wrote) = (codec.total_in(), codec.total_out());
    let status = codec.process(bytes, room, action)?;
    let moved = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (read, wrote) = (moved(codec.total_in() - read), moved(codec.total_out() - wrote));
    Ok((status, Step { read, wrote, done: false }))
}
