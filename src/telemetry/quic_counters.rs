//! What is counted at sockets of QUIC: datagrams, those that were lost here, and what became of clients that began.

use std::collections::BTreeMap;

use crate::telemetry::counters::Counter;

/// Something that happens at a socket of QUIC, to a datagram or to a client that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuicEvent {
    /// A datagram of a client has reached who serves it.
    Received,
    /// A datagram was given to the kernel.
    Sent,
    /// The queue of the socket was full.
    LostReceiving,
    /// The kernel did not take a datagram.
    LostSending,
    /// A datagram came at the socket of another worker and was handed on, or was lost on the way there.
    Forwarded,
    LostForwarding,
    /// A datagram for a connection of the process before was handed to it, or was lost on the way there.
    HandedBack,
    LostHandingBack,
    /// A handshake begins.
    Accepted,
    /// The client has to show first that it receives at its address (RFC 9000 §8.1.2).
    Retried,
    /// The client is told that it may not connect.
    Refused,
    /// The client hears nothing.
    Ignored,
    /// The first message of a handshake was not good enough.
    Rejected,
}

impl QuicEvent {
    pub const ALL: [QuicEvent; 13] = [
        QuicEvent::Received,
        QuicEvent::Sent,
        QuicEvent::LostReceiving,
        QuicEvent::LostSending,
        QuicEvent::Forwarded,
        QuicEvent::LostForwarding,
        QuicEvent::HandedBack,
        QuicEvent::LostHandingBack,
        QuicEvent::Accepted,
        QuicEvent::Retried,
        QuicEvent::Refused,
        QuicEvent::Ignored,
        QuicEvent::Rejected,
    ];

    pub const DATAGRAMS: [QuicEvent; 2] = [QuicEvent::Received, QuicEvent::Sent];

    /// Datagrams that were handed on.
    pub const HANDED_ON: [QuicEvent; 2] = [QuicEvent::Forwarded, QuicEvent::HandedBack];

    pub const LOST: [QuicEvent; 4] = [
        QuicEvent::LostReceiving,
        QuicEvent::LostSending,
        QuicEvent::LostForwarding,
        QuicEvent::LostHandingBack,
    ];

    pub const HANDSHAKES: [QuicEvent; 5] = [
        QuicEvent::Accepted,
        QuicEvent::Retried,
        QuicEvent::Refused,
        QuicEvent::Ignored,
        QuicEvent::Rejected,
    ];

    /// The value of the label that tells it from others of its kind.
    pub fn as_str(self) -> &'static str {
        match self {
            QuicEvent::Received => "received",
            QuicEvent::Sent => "sent",
            QuicEvent::LostReceiving => "receive_queue_full",
            QuicEvent::LostSending => "unreachable",
            QuicEvent::Forwarded => "worker",
            QuicEvent::LostForwarding => "worker_queue_full",
            QuicEvent::HandedBack => "process_before",
            QuicEvent::LostHandingBack => "process_before_queue_full",
            QuicEvent::Accepted => "accepted",
            QuicEvent::Retried => "retried",
            QuicEvent::Refused => "refused",
            QuicEvent::Ignored => "ignored",
            QuicEvent::Rejected => "rejected",
        }
    }
}

/// How often each happened at the sockets of one listener on one worker.
#[derive(Default)]
pub(super) struct QuicCounters([Counter; QuicEvent::ALL.len()]);

impl QuicCounters {
    pub(super) fn add(&self, event: QuicEvent, count: u64) {
        if let Some(counter) = self.0.get(event as usize) {
            counter.add(count);
        }
    }

    /// Adds what a process before this one has counted, under the word that the event has.
    pub(super) fn add_carried(&self, word: &str, count: u64) {
        let known = QuicEvent::ALL.into_iter().find(|event| event.as_str() == word);
        known.into_iter().for_each(|event| self.add(event, count));
    }

    pub(super) fn add_to(&self, totals: &mut QuicTotals) {
        for (event, counter) in QuicEvent::ALL.into_iter().zip(&self.0) {
            *totals.0.entry(event).or_default() += counter.get();
        }
    }
}

/// How often each happened; empty where nothing was counted yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuicTotals(pub(super) BTreeMap<QuicEvent, u64>);

impl QuicTotals {
    pub fn of(&self, event: QuicEvent) -> u64 {
        self.0.get(&event).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_a_place_a_word_and_a_kind() {
        let counters = QuicCounters::default();
        for (place, event) in QuicEvent::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, place);
            counters.add(event, 1 << place);
            counters.add_carried(event.as_str(), 1 << place);
        }
        let mut totals = QuicTotals::default();
        counters.add_to(&mut totals);
        assert!(QuicEvent::ALL.into_iter().all(|event| totals.of(event) == 2 << event as usize));
        let kinds =
            [&QuicEvent::DATAGRAMS[..], &QuicEvent::LOST, &QuicEvent::HANDED_ON, &QuicEvent::HANDSHAKES];
        let mut sorted = kinds.concat();
        sorted.sort_unstable();
        assert_eq!(sorted, QuicEvent::ALL);
    }
}
