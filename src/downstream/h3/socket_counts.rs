//! What is counted at a socket of QUIC, on its way to the counters of its listener.

use std::cell::Cell;

use crate::net::traffic::ByteTotals;
use crate::quic::counters::EndpointCounters;
use crate::quic::endpoint::QuicEndpoint;
use crate::snapshot::Listener;
use crate::telemetry::quic_counters::QuicEvent;

/// What the counters of listeners know already.
pub(super) struct SocketCounts {
    told: Cell<EndpointCounters>,
    /// What the socket's queue had lost by then, modulo 2^32.
    lost: Cell<u32>,
}

impl SocketCounts {
    /// What the queue of the socket has lost before counts for nobody: the process before has counted it.
    pub(super) fn new(endpoint: &QuicEndpoint) -> SocketCounts {
        SocketCounts { told: Cell::default(), lost: Cell::new(endpoint.dropped()) }
    }

    /// Adds what has happened since this was last called.
    pub(super) fn tell(&self, endpoint: &QuicEndpoint, listener: &Listener, worker: usize) {
        let Some(counters) = &listener.counters else { return };
        let lost = endpoint.dropped();
        let lost = lost.wrapping_sub(self.lost.replace(lost));
        let now = endpoint.counters();
        let before = self.told.replace(now);
        let events = [
            (QuicEvent::Received, now.received_datagrams - before.received_datagrams),
            (QuicEvent::Sent, now.sent_datagrams - before.sent_datagrams),
            (QuicEvent::LostReceiving, lost.into()),
            (QuicEvent::LostSending, now.lost_sending - before.lost_sending),
            (QuicEvent::Forwarded, now.forwarded - before.forwarded),
            (QuicEvent::LostForwarding, now.lost_forwarding - before.lost_forwarding),
            (QuicEvent::HandedBack, now.handed_back - before.handed_back),
            (QuicEvent::LostHandingBack, now.lost_handing_back - before.lost_handing_back),
            (QuicEvent::Accepted, now.accepted - before.accepted),
            (QuicEvent::Retried, now.retried - before.retried),
            (QuicEvent::Refused, now.refused - before.refused),
            (QuicEvent::Ignored, now.ignored - before.ignored),
            (QuicEvent::Rejected, now.rejected - before.rejected),
        ];
        let bytes = ByteTotals {
            received: now.received_bytes - before.received_bytes,
            sent: now.sent_bytes - before.sent_bytes,
        };
        counters.quic(worker, &events, bytes);
    }
}
