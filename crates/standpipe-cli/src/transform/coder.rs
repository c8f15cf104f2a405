//! How does any codec turn one stream into another?
//!
//! The codecs of C libraries and their heirs share one shape: a call takes some of the input, gives some output, and
//! says when it has come to an end. Here is the loop around that call, once for compressing and once for the way
//! back, so that flushing, members that follow each other, and truncated input are treated alike.
//!
//! # Knows / never knows
//! Knows the shape of a call. Never knows a format.

use std::io::Write;

use crate::transform::{BUFFER, Fault, Intake, PATIENCE};

/// What a call is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// To take input; it may hold back what comes of it.
    Go,
    /// To give out all that the input so far has come to.
    Flush,
    /// To end the stream.
    Finish,
}

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes of the input it took.
    pub(super) read: usize,
    /// Bytes of the output it gave.
    pub(super) wrote: usize,
    /// What was asked for is done: all is flushed, the stream or member has ended.
    pub(super) done: bool,
}

/// Compresses all there is.
///
/// # Errors
/// Those of both sides and of the codec.
pub(super) fn encode(
    mut call: impl FnMut(&[u8], &mut [u8], Ask) -> Result<Step, Fault>,
    input: &mut dyn Intake,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mut room = vec![0; BUFFER];
    let mut held_back = false;
    loop {
        if held_back && !input.comes(PATIENCE)? {
            drain(&mut call, Ask::Flush, &mut room, output)?;
        }
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        let step = call(bytes, &mut room, Ask::Go)?;
        input.consume(step.read);
        output.write_all(&room[..step.wrote])?;
        held_back = true;
    }
    drain(&mut call, Ask::Finish, &mut room, output)
}

fn drain(
    call: &mut impl FnMut(&[u8], &mut [u8], Ask) -> Result<Step, Fault>,
    ask: Ask,
    room: &mut [u8],
    output: &mut dyn Write,
) -> Result<(), Fault> {
    loop {
        let step = call(&[], room, ask)?;
        output.write_all(&room[..step.wrote])?;
        if step.done {
            return Ok(());
        }
    }
}

/// Decompresses one member after the other.
///
/// `call` begins the next member by itself when it is given input after one has ended. `padding` tells whether what
/// follows a member is no member but filling that goes on to the end of data.
///
/// # Errors
/// Those of both sides; what is wrong with the data, the end of data within a member included.
pub(super) fn decode(
    format: &str,
    mut call: impl FnMut(&[u8], &mut [u8]) -> Result<Step, Fault>,
    input: &mut dyn Intake,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mut room = vec![0; BUFFER];
    let mut inside = false;
    let mut full = false;
    loop {
        // A decoder that has filled the room may have more to give without any input.
        let bytes = if full && inside { &[] } else { input.fill_buf()? };
        if bytes.is_empty() && !full {
            return match inside {
                true => Err(Fault::data(format!("the {format} data is cut off"))),
                false => Ok(()),
            };
        }
        if bytes.is_empty() && !inside {
            full = false;
            continue;
        }
        let step = call(bytes, &mut room)?;
        let starved = bytes.is_empty();
        if !starved {
            input.consume(step.read);
        }
        output.write_all(&room[..step.wrote])?;
        inside = !step.done;
        full = step.wrote == room.len();
    }
}
