//! What workers count of a listener: connections, handshakes, and why requests ended otherwise than by a backend's response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use crate::net::traffic::ByteTotals;
use crate::net::traffic::Traffic;
use crate::telemetry::carried;
use crate::telemetry::carried::CarriedCounts;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::EachWorker;
use crate::telemetry::counters::Gauge;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::histogram::Histogram;
use crate::telemetry::histogram::micros;
use crate::telemetry::quic_counters::QuicCounters;
use crate::telemetry::quic_counters::QuicEvent;
use crate::telemetry::quic_counters::QuicTotals;
use crate::telemetry::word_counters::WordCounters;

/// What all workers have counted. Each worker writes what is its own.
pub struct ListenerCounters(EachWorker<OwnListenerCounters>);

#[derive(Default)]
struct OwnListenerCounters {
    accepted: Counter,
    /// By version, and whether the session was resumed.
    handshakes: [[Counter; 2]; HandshakeVersion::ALL.len()],
    handshake_time: Histogram,
    failed_handshakes: WordCounters,
    reasons: WordCounters,
    /// Of connections, their handshakes left out.
    traffic: Arc<Traffic>,
    handshake_traffic: Arc<Traffic>,
    in_flight: Gauge,
    /// Only listeners of UDP have them.
    datagrams: OnceLock<Box<OwnDatagramCounters>>,
    /// Only those that speak HTTP/3.
    quic: OnceLock<Box<QuicCounters>>,
}

/// What became of datagrams.
#[derive(Default)]
struct OwnDatagramCounters {
    received: Counter,
    sent: Counter,
    dropped: WordCounters,
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeVersion {
    Tls12,
    Tls13,
}

impl HandshakeVersion {
    pub const ALL: [HandshakeVersion; 2] = [HandshakeVersion::Tls12, HandshakeVersion::Tls13];

    /// The value of the label `version`.
    pub fn as_str(self) -> &'static str {
        match self {
            HandshakeVersion::Tls12 => "TLSv1.2",
            HandshakeVersion::Tls13 => "TLSv1.3",
        }
    }
}

impl ListenerCounters {
    pub fn new(workers: usize) -> ListenerCounters {
        ListenerCounters(EachWorker::new(workers))
    }

    /// Counts a connection that this worker has accepted. Here and below, it alone may count for itself.
    pub fn accepted(&self, worker: usize) {
        if let Some(own) = self.0.own(worker) {
            own.accepted.increment();
        }
    }

    /// Counts a handshake that succeeded, and took so long from its first byte.
    pub fn handshake(&self, worker: usize, version: HandshakeVersion, resumed: bool, took: Duration) {
        let Some(own) = self.0.own(worker) else { return };
        own.handshake_time.record(micros(took));
        let by_version = own.handshakes.get(version as usize);
        if let Some(counter) = by_version.and_then(|by_version| by_version.get(usize::from(resumed))) {
            counter.increment();
        }
    }

    /// Where connections of this worker count their bytes, their handshakes left out.
    pub fn traffic(&self, worker: usize) -> Option<Arc<Traffic>> {
        Some(Arc::clone(&self.0.own(worker)?.traffic))
    }

    /// Where they do so until a TLS handshake is over.
    pub fn handshake_traffic(&self, worker: usize) -> Option<Arc<Traffic>> {
        Some(Arc::clone(&self.0.own(worker)?.handshake_traffic))
    }

    /// Counts a request of this worker until what is returned is dropped.
    pub fn in_flight(&self, worker: usize) -> Option<RequestInFlight<'_>> {
        let gauge = &self.0.own(worker)?.in_flight;
        gauge.increment();
        Some(RequestInFlight(gauge))
    }

    /// Counts datagrams that came from clients, and their bytes.
    pub fn datagrams_received(&self, worker: usize, datagrams: usize, bytes: usize) {
        if let Some(own) = self.0.own(worker) {
            own.datagrams.get_or_init(Box::default).received.add(datagrams as u64);
            own.traffic.received(bytes);
        }
    }

    /// Counts datagrams that left to clients, and their bytes.
    pub fn datagrams_sent(&self, worker: usize, datagrams: usize, bytes: usize) {
        if let Some(own) = self.0.own(worker) {
            own.datagrams.get_or_init(Box::default).sent.add(datagrams as u64);
            own.traffic.sent(bytes);
        }
    }

    /// Counts datagrams of either side that were lost here for this reason.
    pub fn datagrams_dropped(&self, worker: usize, reason: &'static str, datagrams: u64) {
        if let Some(own) = self.0.own(worker) {
            own.datagrams.get_or_init(Box::default).dropped.count_many(reason, datagrams);
        }
    }

    /// Counts what has happened at a socket of QUIC, and the bytes of its datagrams.
    pub fn quic(&self, worker: usize, events: &[(QuicEvent, u64)], bytes: ByteTotals) {
        if let Some(own) = self.0.own(worker) {
            let quic = own.quic.get_or_init(Box::default);
            events.iter().for_each(|(event, count)| quic.add(*event, *count));
            own.traffic.received(bytes.received as usize);
            own.traffic.sent(bytes.sent as usize);
        }
    }

    /// Counts a handshake that failed for this reason.
    pub fn failed_handshake(&self, worker: usize, reason: &'static str) {
        if let Some(own) = self.0.own(worker) {
            own.failed_handshakes.count(reason);
        }
    }

    /// Counts a request that ended for this reason.
    pub fn reason(&self, worker: usize, reason: &'static str) {
        if let Some(own) = self.0.own(worker) {
            own.reasons.count(reason);
        }
    }

    /// The sums of all workers.
    pub fn totals(&self) -> ListenerTotals {
        let mut totals = ListenerTotals::default();
        for own in self.0.all() {
            totals.accepted += own.accepted.get();
            for (by_version, sums) in own.handshakes.iter().zip(&mut totals.handshakes) {
                by_version.iter().zip(sums).for_each(|(counter, sum)| *sum += counter.get());
            }
            own.failed_handshakes.add_to(&mut totals.failed_handshakes);
            own.reasons.add_to(&mut totals.reasons);
            totals.in_flight += u64::from(own.in_flight.get());
            if let Some(own) = own.datagrams.get() {
                totals.datagrams.received += own.received.get();
                totals.datagrams.sent += own.sent.get();
                own.dropped.add_to(&mut totals.datagrams.dropped);
            }
            own.quic.get().into_iter().for_each(|own| own.add_to(&mut totals.quic));
        }
        totals.handshake_time = Distribution::of(self.0.all().map(|own| &own.handshake_time));
        totals.traffic = self.0.all().map(|own| own.traffic.totals()).sum();
        totals.handshake_traffic = self.0.all().map(|own| own.handshake_traffic.totals()).sum();
        totals
    }

    /// What a successor of the process takes over.
    pub fn carried(&self) -> CarriedCounts {
        let totals = self.totals();
        let mut carried = CarriedCounts::default();
        carried.add("accepted", totals.accepted);
        for (version, counts) in totals.handshakes.iter().enumerate() {
            for (resumed, count) in counts.iter().enumerate() {
                carried.add(format!("handshakes.{version}.{resumed}"), *count);
            }
        }
        for (direction, count) in [("received", totals.datagrams.received), ("sent", totals.datagrams.sent)] {
            carried.add(format!("datagrams.{direction}"), count);
        }
        for event in QuicEvent::ALL {
            carried.add(format!("quic.{}", event.as_str()), totals.quic.of(event));
        }
        let words = [
            ("failed", &totals.failed_handshakes),
            ("reasons", &totals.reasons),
            ("lost", &totals.datagrams.dropped),
        ];
        for (name, counts) in words {
            counts.iter().for_each(|(word, count)| carried.add(format!("{name}.{word}"), *count));
        }
        let traffic = [("bytes", totals.traffic), ("handshake_bytes", totals.handshake_traffic)];
        for (name, ByteTotals { received, sent }) in traffic {
            carried.add(format!("{name}.received"), received);
            carried.add(format!("{name}.sent"), sent);
        }
        Histogram::carry("handshake", self.0.all().map(|own| &own.handshake_time), &mut carried);
        carried
    }

    /// Adds what a process before this one has counted. One thread at a time may do so.
    pub fn add_carried(&self, carried: &CarriedCounts) {
        let before = self.0.before();
        for (parts, count) in carried.each() {
            match parts[..] {
                ["accepted"] => before.accepted.add(count),
                ["handshakes", version, resumed] => {
                    let by_version = carried::place(version).and_then(|place| before.handshakes.get(place));
                    let counter =
                        by_version.zip(carried::place(resumed)).and_then(|(all, place)| all.get(place));
                    counter.into_iter().for_each(|counter| counter.add(count));
                }
                ["failed", word] => before.failed_handshakes.add_carried(word, count),
                ["reasons", word] => before.reasons.add_carried(word, count),
                ["datagrams", _] | ["lost", _] if count == 0 => {}
                ["datagrams", direction] => {
                    let datagrams = before.datagrams.get_or_init(Box::default);
                    let counter = if direction == "sent" { &datagrams.sent } else { &datagrams.received };
                    counter.add(count);
                }
                ["lost", word] => {
                    before.datagrams.get_or_init(Box::default).dropped.add_carried(word, count);
                }
                ["quic", word] => before.quic.get_or_init(Box::default).add_carried(word, count),
                ["bytes", direction] => before.traffic.add_carried(direction, count),
                ["handshake_bytes", direction] => before.handshake_traffic.add_carried(direction, count),
                ["handshake", part] => before.handshake_time.add_carried(part, count),
                _ => {}
            }
        }
    }
}

/// A request under way.
pub struct RequestInFlight<'c>(&'c Gauge);

impl Drop for RequestInFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement();
    }
}

/// What was counted of a listener, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerTotals {
    pub accepted: u64,
    /// By the place of the version in [`HandshakeVersion::ALL`]; those of full handshakes stand before those of resumed sessions.
    pub handshakes: [[u64; 2]; HandshakeVersion::ALL.len()],
    pub handshake_time: Distribution,
    pub failed_handshakes: BTreeMap<&'static str, u64>,
    pub reasons: BTreeMap<&'static str, u64>,
    /// Of connections, their handshakes left out.
    pub traffic: ByteTotals,
    pub handshake_traffic: ByteTotals,
    /// Requests under way at present.
    pub in_flight: u64,
    pub datagrams: DatagramTotals,
    pub quic: QuicTotals,
}

/// What became of datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatagramTotals {
    /// From clients.
    pub received: u64,
    /// To clients.
    pub sent: u64,
    /// Of either side, by the reason for which they were lost here.
    pub dropped: BTreeMap<&'static str, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_all_workers() {
        let counters = ListenerCounters::new(2);
        assert_eq!(counters.totals(), ListenerTotals::default());
        let in_flight = [0, 1, 1].map(|worker| counters.in_flight(worker));
        assert_eq!(counters.totals().in_flight, 3);
        drop(in_flight);
        for worker in 0..2 {
            counters.accepted(worker);
            counters.handshake(worker, HandshakeVersion::Tls13, worker == 1, Duration::from_micros(3));
            counters.failed_handshake(worker, "tls_unknown_ca");
            counters.reason(worker, if worker == 0 { "no_route" } else { "no_backend" });
            counters.reason(worker, "no_route");
            counters.datagrams_received(worker, 3, 30);
            counters.datagrams_sent(worker, 2, 20);
            counters.datagrams_dropped(worker, "session_limit", 4);
            counters.quic(worker, &[(QuicEvent::Retried, 5)], ByteTotals { received: 7, sent: 8 });
        }
        let mut quic = QuicTotals::default();
        QuicCounters::default().add_to(&mut quic);
        quic.0.extend([(QuicEvent::Retried, 10)]);
        let expected = ListenerTotals {
            accepted: 2,
            handshakes: [[0, 0], [1, 1]],
            failed_handshakes: BTreeMap::from([("tls_unknown_ca", 2)]),
            reasons: BTreeMap::from([("no_backend", 1), ("no_route", 3)]),
            traffic: ByteTotals { received: 74, sent: 56 },
            datagrams: DatagramTotals {
                received: 6,
                sent: 4,
                dropped: BTreeMap::from([("session_limit", 8)]),
            },
            quic,
            ..ListenerTotals::default()
        };
        let totals = counters.totals();
        let successor = ListenerCounters::new(1);
        successor.add_carried(&counters.carried());
        assert_eq!(successor.totals(), totals);
        assert_eq!((totals.handshake_time.count(), totals.handshake_time.sum_us), (2, 6));
        assert_eq!(ListenerTotals { handshake_time: Distribution::default(), ..totals }, expected);
    }
}
