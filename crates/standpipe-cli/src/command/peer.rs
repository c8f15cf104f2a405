//! Who is slow where a stage sends to another machine: the peer, the buffer or the way?

use std::time::Duration;

use crate::size::{percent, time};
use crate::watch::{Limit, Wire};

/// What held a connection up, in words.
pub(super) struct Held {
    /// The finding's name.
    pub(super) name: &'static str,
    pub(super) says: String,
    pub(super) advice: &'static str,
}

/// Says what held up the connection of `who` for most of the time that it was looked at.
pub(super) fn held_up(who: &str, wire: &Wire, watched: Duration) -> Option<Held> {
    let of_time = |part: Duration| percent(part.as_secs_f64() / watched.as_secs_f64());
    Some(match wire.limit(watched)? {
        Limit::Peer => Held {
            name: "remote-slow",
            says: format!(
                "the peer of {who} kept its window shut {} of the time",
                of_time(wire.window)
            ),
            advice: "the slow one is on the other machine: ask the doctor there",
        },
        Limit::Buffer => Held {
            name: "send-buffer-small",
            says: format!(
                "the send buffer of {who} was too small {} of the time",
                of_time(wire.buffer)
            ),
            advice: "raise the third number of net.ipv4.tcp_wmem, or its own setting",
        },
        Limit::Network => Held {
            name: "network-slow",
            says: format!(
                "the network takes what {who} sends too slowly: {} there and back, {} segments sent again",
                time(wire.round_trip),
                wire.resent
            ),
            advice: "send less (compress before it), or see what shares the way",
        },
    })
}
