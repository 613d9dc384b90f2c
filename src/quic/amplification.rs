//! What may be sent to an address before it is known that somebody receives there: at most three times what came from it
//! (RFC 9000 §8.1).
//!
//! quinn-proto begins a datagram as long as one byte more may be sent, so its last one may pass the limit. That one is left out
//! here; QUIC sends again what it held.

use quinn_proto::ConnectionId;
use quinn_proto::ConnectionStats;
use quinn_proto::Transmit;

use crate::quic::connection_id::ConnectionIds;
use crate::quic::connection_id::destination_of;

/// "three times the amount of data received from that address".
const FACTOR: u64 = 3;

/// A client that may have forged its address.
pub(super) struct UnprovenPeer {
    /// The ID that it has chosen itself.
    first_id: ConnectionId,
    /// Bytes of its first datagram, which the statistics of the connection leave out.
    first_bytes: u64,
    /// Bytes that these statistics count and that were left out.
    withheld: u64,
}

impl UnprovenPeer {
    pub(super) fn new(first_id: ConnectionId, first_bytes: usize) -> UnprovenPeer {
        UnprovenPeer { first_id, first_bytes: first_bytes as u64, withheld: 0 }
    }

    /// Whether a datagram shows that it receives: it is for an ID of ours, which only who receives knows.
    pub(super) fn is_proven_by(&self, datagram: &[u8], ids: &ConnectionIds) -> bool {
        destination_of(datagram).is_some_and(|id| *id != *self.first_id && ids.owner_of(id).is_some())
    }

    /// Leaves as many datagrams of what is about to be sent, and counted already, as may be; false if that is none.
    pub(super) fn trim(&mut self, transmit: &mut Transmit, stats: &ConnectionStats) -> bool {
        let limit = FACTOR * (self.first_bytes + stats.udp_rx.bytes);
        let sent = stats.udp_tx.bytes.saturating_sub(self.withheld);
        let Some(excess @ 1..) = sent.checked_sub(limit) else { return true };
        let size = transmit.size as u64;
        let segment = transmit.segment_size.map_or(size, |segment| segment as u64).max(1);
        let left = size.saturating_sub(excess) / segment * segment;
        self.withheld += size - left;
        transmit.size = left as usize;
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::connection_id::EndpointPlace;
    use crate::tls::quic_keys::QuicKeys;
    use quinn_proto::ConnectionIdGenerator as _;

    fn transmit(size: usize, segment_size: Option<usize>) -> Transmit {
        let destination = "192.0.2.1:443".parse().unwrap();
        Transmit { destination, ecn: None, size, segment_size, src_ip: None }
    }

    #[test]
    fn what_passes_the_limit_is_left_out() {
        let mut peer = UnprovenPeer::new(ConnectionId::new(&[1; 8]), 1_200);
        let mut stats = ConnectionStats::default();
        let mut check = |received, size, segment, expected| {
            stats.udp_rx.bytes += received;
            stats.udp_tx.bytes += size as u64;
            let mut transmit = transmit(size, segment);
            let is_sent = peer.trim(&mut transmit, &stats);
            assert_eq!((transmit.size, is_sent), (expected, expected > 0));
        };
        check(0, 1_300, None, 1_300);
        check(0, 1_300, None, 1_300);
        // There is room for 1,000 bytes.
        check(0, 1_300, None, 0);
        check(0, 900, None, 900);
        check(100, 600, Some(200), 400);
        check(1_200, 3_600, Some(1_200), 3_600);
        check(0, 1, None, 0);
    }

    #[test]
    fn an_id_of_ours_shows_that_somebody_receives() {
        let place = EndpointPlace { index: 0, sockets: 1, endpoints: 1 };
        let mut ids = ConnectionIds::new(place, 0, &QuicKeys::new(None));
        // One that it knows from another connection shows nothing.
        let (known, own) = (ids.generate_cid(), ids.generate_cid());
        let peer = UnprovenPeer::new(known, 1_200);
        let datagram = |id: &[u8]| [&[0xc0, 0, 0, 0, 1, id.len() as u8][..], id, b"rest"].concat();
        assert!(peer.is_proven_by(&datagram(&own), &ids));
        assert!(!peer.is_proven_by(&datagram(&known), &ids));
        assert!(!peer.is_proven_by(&datagram(&[9; 12]), &ids));
    }
}
