//! How do bytes get across when the kernel will not move them itself?
//!
//! One buffer of 256 KiB, filled by one read and emptied before the next: what a short write left over is
//! carried, so that nothing is lost when the output is shut. It starts at whatever byte the relay had reached.
//!
//! # Knows / never knows
//! Knows ports and made-up sources. Never knows why the relay gave up.

use std::fmt;
use std::io::{self, Read};
use std::sync::Mutex;

use crate::exec::gauge::Path;
use crate::exec::now;
use crate::exec::port::{Kind, Port};
use crate::exec::relay::{Flow, Outcome};
use crate::exec::vigil::For;

/// One buffer: far fewer calls per byte than 8 KiB needs, and it still lies in a second-level cache.
pub(crate) const BUFFER: usize = 256 * 1024;

/// Where a tank's bytes come from.
pub(crate) enum Feed {
    /// A descriptor.
    Port(Port),
    /// A pipe that a thread of ours fills; it says whether the end of data was one.
    #[cfg(feature = "http")]
    Brought(Port, crate::exec::errand::Word),
    /// Bytes made up in this process; reading never waits.
    Made(Mutex<Box<dyn Read + Send>>),
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => f.debug_tuple("Port").field(port).finish(),
            #[cfg(feature = "http")]
            Self::Brought(port, _) => f.debug_tuple("Brought").field(port).finish(),
            Self::Made(_) => f.write_str("Made"),
        }
    }
}

impl Feed {
    /// The descriptor, if there is one.
    pub(crate) fn port(&self) -> Option<&Port> {
        match self {
            Self::Port(port) => Some(port),
            #[cfg(feature = "http")]
            Self::Brought(port, _) => Some(port),
            Self::Made(_) => None,
        }
    }

    /// Why the end of data came before its time, if it did.
    pub(crate) fn cut(&self) -> Option<io::Error> {
        match self {
            #[cfg(feature = "http")]
            Self::Brought(_, word) => word.failure(),
            _ => None,
        }
    }

    /// Reads once.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Port(port) => port.read(into),
            #[cfg(feature = "http")]
            Self::Brought(port, _) => port.read(into),
            Self::Made(source) => match source.lock() {
                Ok(mut source) => source.read(into),
                Err(_) => Err(io::Error::other("the source panicked")),
            },
        }
    }
}

/// Copies until the tank is done.
pub(crate) fn run(flow: &mut Flow, from: &Feed) -> Outcome {
    let mut buffer = vec![0_u8; BUFFER];
    loop {
        let want = match flow.allowance(BUFFER) {
            Ok(want) => want,
            Err(outcome) => return outcome,
        };
        let began = now();
        match from.read(&mut buffer[..want]) {
            Ok(0) => return Outcome::Ended,
            Ok(bytes) => {
                if let Some(port) = from.port()
                    && port.kind() == Kind::File
                {
                    flow.vigil.called(For::Input, began, port, &flow.to);
                }
                flow.ration.spend(bytes);
                flow.vigil.gauge().set_path(Path::Copy);
                flow.vigil.gauge().add_in(bytes as u64);
                if let Err(outcome) = deliver(flow, from.port(), &buffer[..bytes]) {
                    return outcome;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(outcome) = flow.wait(For::Input, from.port()) {
                    return outcome;
                }
            }
            Err(error) => return Outcome::Unreadable(error),
        }
    }
}

/// Copies what lies in a pipe of our own, and was counted when it came in.
pub(crate) fn remains(flow: &mut Flow, pipe: &Port, mut bytes: u64) -> Result<(), Outcome> {
    let mut buffer = vec![0_u8; BUFFER];
    flow.vigil.gauge().set_path(Path::Copy);
    while bytes > 0 {
        let got = pipe.read(&mut buffer).map_err(Outcome::Unreadable)?;
        bytes = if got == 0 { 0 } else { bytes.saturating_sub(got as u64) };
        flow.vigil.set_inside(bytes);
        deliver(flow, None, &buffer[..got])?;
    }
    Ok(())
}

/// Writes all of `bytes`, waiting for room as often as needed.
fn deliver(flow: &mut Flow, from: Option<&Port>, mut bytes: &[u8]) -> Result<(), Outcome> {
    while !bytes.is_empty() {
        let began = now();
        match flow.to.write(bytes) {
            Ok(0) => return Err(Outcome::Unwritable(io::ErrorKind::WriteZero.into())),
            Ok(wrote) => {
                bytes = &bytes[wrote..];
                flow.vigil.gauge().add_out(wrote as u64);
                if let Some(port) = from
                    && flow.to.kind() == Kind::File
                {
                    flow.vigil.called(For::Room, began, port, &flow.to);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                flow.wait(For::Room, from)?
            }
            Err(error) => return Err(Outcome::of_write(error, &flow.to)),
        }
    }
    Ok(())
}
