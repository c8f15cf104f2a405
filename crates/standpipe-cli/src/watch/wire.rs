//! What limits a TCP connection?
//!
//! The kernel counts for each how long data was on the way, and how much of that the peer's closed window and the own
//! small buffer cost. It tells any user about any connection of the same network namespace (`sock_diag`, see
//! `man 7 sock_diag`), so a process need not be asked for its socket.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

/// Of the address families the two that speak TCP.
const FAMILIES: [u8; 2] = [2, 10];
const TCP: u8 = 6;
/// The length of a request and of what stands before one.
const REQUEST_BYTES: u32 = 72;
const HEADER_BYTES: usize = 16;
const BY_FAMILY: u16 = 20;
/// A request for all of them.
const REQUEST_ALL: u16 = 0x301;
/// An answer ends with one of these.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// A connection's own numbers, behind what is said of every socket.
const INFO: u16 = 2;
const SOCKET_BYTES: usize = 72;
/// A full answer has more than one piece of at most this.
const PIECE_BYTES: usize = 64 * 1024;

/// What the kernel has counted of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wire {
    /// What the peer has confirmed.
    pub(crate) acked_bytes: u64,
    /// How long data was on the way,
    pub(crate) busy: Duration,
    /// how long of that the peer's window was shut,
    pub(crate) window: Duration,
    /// and how long the send buffer was too small.
    pub(crate) buffer: Duration,
    /// The way there and back, as it was last.
    pub(crate) round_trip: Duration,
    /// Segments sent again.
    pub(crate) resent: u32,
    /// What lies in the send buffer and was not sent yet.
    pub(crate) unsent_bytes: u32,
}

/// What has slowed a connection down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The peer does not read as fast.
    Peer,
    /// The send buffer is smaller than what is on the way.
    Buffer,
    /// The way itself.
    Network,
}

impl Wire {
    /// What was counted since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            acked_bytes: self.acked_bytes.saturating_sub(earlier.acked_bytes),
            busy: self.busy.saturating_sub(earlier.busy),
            window: self.window.saturating_sub(earlier.window),
            buffer: self.buffer.saturating_sub(earlier.buffer),
            round_trip: self.round_trip,
            resent: self.resent.saturating_sub(earlier.resent),
            unsent_bytes: self.unsent_bytes,
        }
    }

    /// What has slowed it down, if it was on the way for most of a time.
    pub(crate) fn limit(&self, time: Duration) -> Option<Limit> {
        let is_most = |part: Duration, whole: Duration| part.saturating_mul(2) >= whole;
        if self.busy.is_zero() || !is_most(self.busy, time) {
            None
        } else if is_most(self.window, self.busy) {
            Some(Limit::Peer)
        } else if is_most(self.buffer, self.busy) {
            Some(Limit::Buffer)
        } else {
            // all was sent that there was: who writes is the slow one
            (self.unsent_bytes > 0).then_some(Limit::Network)
        }
    }
}

/// Reads the connections with these inodes. What the kernel does not tell is left out.
pub(crate) fn wires(inodes: &[u64]) -> BTreeMap<u64, Wire> {
    let mut found = BTreeMap::new();
    if inodes.is_empty() {
        return found;
    }
    for family in FAMILIES {
        ask(family, |inode, wire| {
            if inodes.contains(&inode) {
                found.insert(inode, wire);
            }
        })
        .ok();
    }
    found
}

/// Goes through all connections of a family.
fn ask(family: u8, mut each: impl FnMut(u64, Wire)) -> rustix::io::Result<()> {
    let socket: OwnedFd = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &request(family), SendFlags::empty(), &kernel)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let (read, _) = recv(&socket, piece.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &piece[..read];
        while let Some((kind, body, next)) = message(rest) {
            match kind {
                DONE | ERROR => return Ok(()),
                BY_FAMILY => {
                    if let Some((inode, wire)) = connection(body) {
                        each(inode, wire);
                    }
                }
                _ => {}
            }
            rest = next;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn request(family: u8) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST_BYTES as usize);
    request.extend(REQUEST_BYTES.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(REQUEST_ALL.to_ne_bytes());
    request.extend([0; 8]); // number and sender: there is one request
    request.extend([family, TCP, 1 << (INFO - 1), 0]);
    request.extend(u32::MAX.to_ne_bytes()); // in any state
    request.resize(REQUEST_BYTES as usize, 0); // at any address
    request
}

/// Cuts one message off: its kind, what is in it, and the rest.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = number::<4>(bytes, 0).map(u32::from_ne_bytes)? as usize;
    let kind = number::<2>(bytes, 4).map(u16::from_ne_bytes)?;
    let body = bytes.get(HEADER_BYTES..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, next))
}

/// Reads one connection: its inode and its numbers.
fn connection(body: &[u8]) -> Option<(u64, Wire)> {
    let inode = number::<4>(body, SOCKET_BYTES - 4).map(u32::from_ne_bytes)?;
    let mut rest = body.get(SOCKET_BYTES..)?;
    loop {
        let length = usize::from(number::<2>(rest, 0).map(u16::from_ne_bytes)?);
        let kind = number::<2>(rest, 2).map(u16::from_ne_bytes)?;
        if kind == INFO {
            return Some((u64::from(inode), numbers(rest.get(4..length)?)?));
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}

/// The numbers of `struct tcp_info`, which only ever grows at its end. Older kernels (before 4.10) lack the last.
fn numbers(info: &[u8]) -> Option<Wire> {
    let short = |at: usize| number::<4>(info, at).map(u32::from_ne_bytes);
    let long = |at: usize| number::<8>(info, at).map(u64::from_ne_bytes);
    Some(Wire {
        round_trip: Duration::from_micros(u64::from(short(68)?)),
        resent: short(100)?,
        acked_bytes: long(120)?,
        unsent_bytes: short(144)?,
        busy: Duration::from_micros(long(168)?),
        window: Duration::from_micros(long(176)?),
        buffer: Duration::from_micros(long(184)?),
    })
}

fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<[u8; BYTES]> {
    bytes.get(at..at + BYTES)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use rustix::fs::fstat;

    use super::*;

    fn inode(stream: &TcpStream) -> u64 {
        fstat(stream.as_fd()).expect("it is open").st_ino
    }

    #[test]
    fn a_peer_that_does_not_read_shuts_its_window_and_that_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let mut stream = TcpStream::connect(address).expect("it listens");
        let (mut peer, _) = listener.accept().expect("it is connected");
        stream.write_all(b"hello").expect("there is room");
        peer.read_exact(&mut [0; 5]).expect("it came");
        let inode = inode(&stream);
        let before = wires(&[inode])[&inode];
        stream.set_nonblocking(true).expect("it can be");
        let full = std::io::copy(&mut std::io::repeat(0), &mut stream).expect_err("it is full");
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        // the kernel counts by its own clock, which goes on between two readings
        let mut wire = before;
        while wire.window == Duration::ZERO {
            wire = wires(&[inode])[&inode].since(&before);
            std::thread::yield_now();
        }
        assert!(wire.busy >= wire.window && wire.acked_bytes > 0, "{wire:?}");
        assert!(wires(&[]).is_empty() && wires(&[1]).is_empty());
    }

    #[test]
    fn both_families_are_asked() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        let address = listener.local_addr().expect("it is bound");
        let stream = TcpStream::connect(address).expect("it listens");
        let inode = inode(&stream);
        assert!(wires(&[inode]).contains_key(&inode));
    }

    #[test]
    fn what_took_most_of_the_time_is_the_limit() {
        let seconds = Duration::from_secs;
        let wire = |busy, window, buffer, unsent_bytes| Wire {
            busy: seconds(busy),
            window: seconds(window),
            buffer: seconds(buffer),
            unsent_bytes,
            ..Wire::default()
        };
        for (wire, limit) in [
            (wire(9, 8, 0, 1), Some(Limit::Peer)),
            (wire(9, 1, 5, 1), Some(Limit::Buffer)),
            (wire(9, 1, 1, 1), Some(Limit::Network)),
            (wire(9, 1, 1, 0), None),
            (wire(4, 4, 0, 1), None),
            (wire(0, 0, 0, 1), None),
        ] {
            assert_eq!(wire.limit(seconds(10)), limit, "{wire:?}");
        }
        assert_eq!(Wire::default().limit(Duration::ZERO), None);
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        assert!(message(&[]).is_none() && message(&[255; 15]).is_none());
        assert!(message(&[32, 0, 0, 0, 20, 0, 0, 0]).is_none(), "its length is beyond the end");
        assert!(connection(&[0; 75]).is_none() && connection(&[0; 400]).is_none());
        assert!(numbers(&[0; 191]).is_none() && numbers(&[0; 192]).is_some());
    }
}
