//! How do bytes come and go over TCP?
//!
//! One connection, one direction: what we do not use stays open until the end, and the end of our data is a
//! half-close, so that the peer can still answer.
//!
//! # Knows / never knows
//! Knows addresses. Never knows what the peer is.

use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::end::{EndError, own};
use crate::exec::port::Port;

/// Connects; tries all addresses of a name.
pub(crate) fn connect(host: &str, port: u16) -> Result<Port, EndError> {
    let shown = match host.contains(':') {
        true => format!("`tcp://[{host}]:{port}`"),
        false => format!("`tcp://{host}:{port}`"),
    };
    let stream = TcpStream::connect((host, port)).map_err(|error| {
        let failed = EndError::of(format!("cannot connect to {shown}"), &error);
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                failed.hint("nobody listens there; start the receiver first")
            }
            _ => failed,
        }
    })?;
    own(stream, &shown)
}

/// Waits for one connection; others are refused once it is there.
pub(crate) fn accept(address: SocketAddr) -> Result<Port, EndError> {
    let shown = format!("`tcp-listen://{address}`");
    let fail = |error| EndError::of(format!("cannot listen on {shown}"), &error);
    let listener = TcpListener::bind(address).map_err(fail)?;
    let (stream, _) = listener.accept().map_err(fail)?;
    own(stream, &shown)
}
