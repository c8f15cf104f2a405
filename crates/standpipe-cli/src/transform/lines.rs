//! How are lines counted and kept whole?

use std::io::Write;

use crate::transform::{Fault, Finding, Intake};

/// The longest line that is kept whole. What is longer is no text, and would be memory without a bound.
pub(super) const LINE_MOST: usize = 1 << 20;

/// Passes all bytes, and counts them.
pub(super) fn count(input: &mut dyn Intake, output: &mut dyn Write) -> Result<Vec<Finding>, Fault> {
    let (mut bytes, mut lines) = (0_u64, 0_u64);
    let mut last = b'\n';
    loop {
        let came = input.fill_buf()?;
        let Some(end) = came.last() else { break };
        last = *end;
        bytes += came.len() as u64;
        lines += newlines(came);
        output.write_all(came)?;
        let count = came.len();
        input.consume(count);
    }
    lines += u64::from(last != b'\n');
    Ok(vec![
        Finding { name: "bytes", value: bytes.to_string() },
        Finding { name: "lines", value: lines.to_string() },
    ])
}

/// Passes whole lines only; the last one need not end in a newline. What belongs to a line that has not ended waits.
pub(super) fn whole(input: &mut dyn Intake, output: &mut dyn Write) -> Result<Vec<Finding>, Fault> {
    let mut lines = 0_u64;
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let came = input.fill_buf()?;
        if came.is_empty() {
            break;
        }
        let count = came.len();
        match came.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => {
                lines += newlines(came);
                if begun.is_empty() {
                    output.write_all(&came[..=at])?;
                } else {
                    begun.extend_from_slice(&came[..=at]);
                    output.write_all(&begun)?;
                    begun.clear();
                }
                begun.extend_from_slice(&came[at + 1..]);
            }
            None => begun.extend_from_slice(came),
        }
        input.consume(count);
        if begun.len() > LINE_MOST {
            return Err(Fault::data("a line is longer than 1 MiB, which is kept whole no longer"));
        }
    }
    lines += u64::from(!begun.is_empty());
    output.write_all(&begun)?;
    Ok(vec![Finding { name: "lines", value: lines.to_string() }])
}

fn newlines(bytes: &[u8]) -> u64 {
    // In parts whose count fits a byte, which is what makes it fast.
    let part = |part: &[u8]| part.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>();
    bytes.chunks(255).map(|bytes| u64::from(part(bytes))).sum()
}
