//! What becomes of connections when another process receives on their socket: they stay, and their datagrams are handed on.
//!
//! The successor knows whose a datagram is by the generation in its connection ID. A client that has not heard of our ID yet uses
//! one of its own choice; those are told.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use quinn_proto::ConnectionId;

use crate::net::udp::handed::Handed;
use crate::net::udp::handed::HandedDatagram;
use crate::net::udp::handed::HandedSender;
use crate::quic::connection_id::destination_of;
use crate::quic::forwarding::ReceivedDatagram;

/// How long a client may go on using the ID that it has chosen.
const BEGINNING_TIME: Duration = Duration::from_secs(10);

/// Beginnings that are known; of who floods us, not all are.
const MAX_BEGINNINGS: usize = 1_024;

/// IDs that clients have chosen for connections that were begun a moment ago.
#[derive(Default)]
pub(super) struct Beginnings(VecDeque<(Instant, ConnectionId)>);

impl Beginnings {
    pub(super) fn note(&mut self, now: Instant, id: ConnectionId) {
        while self.0.len() >= MAX_BEGINNINGS || self.0.front().is_some_and(|known| is_over(known.0, now)) {
            self.0.pop_front();
        }
        self.0.push_back((now, id));
    }

    /// Notes one whose datagram goes on to an endpoint that does not receive: the successor hears of it from who does.
    pub(super) fn note_passed_on(&mut self, now: Instant, id: ConnectionId) {
        // What a client says first may take several datagrams.
        if self.0.back().is_none_or(|known| known.1 != id) {
            self.note(now, id);
        }
    }

    /// Those that may still be in use.
    pub(super) fn current(&self, now: Instant) -> Vec<Vec<u8>> {
        let current = self.0.iter().filter(|known| !is_over(known.0, now));
        current.map(|(_, id)| id.to_vec()).collect()
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= BEGINNING_TIME
}

/// The process that received on our socket before.
pub(super) struct QuicPredecessor {
    way: HandedSender,
    beginnings: HashSet<Vec<u8>>,
    since: Instant,
}

impl QuicPredecessor {
    pub(super) fn new(way: HandedSender, beginnings: Vec<Vec<u8>>, now: Instant) -> QuicPredecessor {
        QuicPredecessor { way, beginnings: beginnings.into_iter().take(MAX_BEGINNINGS).collect(), since: now }
    }

    /// Whether a datagram with an ID that is none of ours belongs to a connection that it has just begun.
    pub(super) fn has_begun(&self, datagram: &[u8], now: Instant) -> bool {
        !is_over(self.since, now) && destination_of(datagram).is_some_and(|id| self.beginnings.contains(id))
    }

    pub(super) fn is_gone(&self) -> bool {
        self.way.is_closed()
    }

    /// Hands a datagram to it.
    pub(super) fn take(&self, datagram: &ReceivedDatagram) -> Handed {
        let ReceivedDatagram { bytes, peer, local, ecn } = datagram;
        self.way.send(&HandedDatagram { bytes, peer: *peer, local: *local, ecn: *ecn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::instant_now;

    #[test]
    fn beginnings_are_forgotten() {
        let mut beginnings = Beginnings::default();
        let now = instant_now();
        for number in 0..2_000_u16 {
            beginnings.note(now, ConnectionId::new(&number.to_be_bytes()));
        }
        assert_eq!(beginnings.current(now).len(), MAX_BEGINNINGS);
        let later = now + BEGINNING_TIME;
        assert!(beginnings.current(later).is_empty());
        beginnings.note(later, ConnectionId::new(b"late"));
        assert_eq!(beginnings.current(later), [b"late"]);
        for id in [b"late", b"more", b"more"] {
            beginnings.note_passed_on(later, ConnectionId::new(id));
        }
        assert_eq!(beginnings.current(later), [b"late", b"more"]);
    }
}
