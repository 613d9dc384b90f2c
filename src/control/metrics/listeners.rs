//! Metrics of listeners: connections, handshakes, bytes.

use crate::control::metrics::exposition::Exposition;
use crate::control::metrics::exposition::Family;
use crate::control::metrics::families;
use crate::net::traffic::ByteTotals;
use crate::snapshot::Listener;
use crate::snapshot::Snapshot;
use crate::telemetry::listener_counters::HandshakeVersion;
use crate::telemetry::listener_counters::ListenerTotals;
use crate::telemetry::quic_counters::QuicEvent;

/// The values of the label `direction`.
pub(super) fn directions(bytes: ByteTotals) -> [(&'static str, u64); 2] {
    [("received", bytes.received), ("sent", bytes.sent)]
}

type CountedListener<'s> = (&'s Listener, ListenerTotals);

pub(super) fn collect(snapshot: &Snapshot, out: &mut Exposition) {
    let counted: Vec<CountedListener<'_>> = snapshot
        .listeners
        .iter()
        .flatten()
        .filter_map(|listener| Some((&**listener, listener.counters.as_ref()?.totals())))
        .collect();
    of_connections(&counted, out);
    of_handshakes(&counted, out);
    of_requests(&counted, out);
    of_datagrams(&counted, out);
    of_quic(&counted, out);
}

fn of_datagrams(counted: &[CountedListener<'_>], out: &mut Exposition) {
    let of_udp = || counted.iter().filter(|(listener, _)| listener.datagram().is_some());
    let mut datagrams = out.family(&families::DATAGRAMS);
    for (listener, totals) in of_udp() {
        datagrams.count(&[&listener.name, "received"], totals.datagrams.received);
        datagrams.count(&[&listener.name, "sent"], totals.datagrams.sent);
    }
    let mut dropped = out.family(&families::DATAGRAMS_DROPPED);
    for (listener, totals) in of_udp() {
        let each = totals.datagrams.dropped.iter();
        each.for_each(|(reason, count)| dropped.count(&[&listener.name, reason], *count));
    }
}

fn of_quic(counted: &[CountedListener<'_>], out: &mut Exposition) {
    let kinds: [(&'static Family, &[QuicEvent]); 4] = [
        (&families::QUIC_DATAGRAMS, &QuicEvent::DATAGRAMS),
        (&families::QUIC_HANDED_ON, &QuicEvent::HANDED_ON),
        (&families::QUIC_LOST, &QuicEvent::LOST),
        (&families::QUIC_HANDSHAKES, &QuicEvent::HANDSHAKES),
    ];
    for (family, events) in kinds {
        let mut samples = out.family(family);
        for (listener, totals) in counted.iter().filter(|(listener, _)| speaks_quic(listener)) {
            let each = events.iter();
            each.for_each(|event| samples.count(&[&listener.name, event.as_str()], totals.quic.of(*event)));
        }
    }
}

fn speaks_quic(listener: &Listener) -> bool {
    listener.http().is_some_and(|http| http.quic.is_some())
}

fn of_connections(counted: &[CountedListener<'_>], out: &mut Exposition) {
    let mut connections = out.family(&families::CONNECTIONS);
    for (listener, _) in counted {
        connections.count(&[&listener.name], listener.connections.used() as u64);
    }
    let mut accepted = out.family(&families::ACCEPTED);
    for (listener, totals) in counted {
        accepted.count(&[&listener.name], totals.accepted);
    }
    let mut refused = out.family(&families::REFUSED);
    for (listener, _) in counted {
        let each = listener.refused.each();
        each.for_each(|(refusal, count)| refused.count(&[&listener.name, refusal.as_str()], count));
    }
    of_bytes(&families::CLIENT_BYTES, |totals| totals.traffic, counted, out);
}

fn of_bytes(
    family: &'static Family,
    value: fn(&ListenerTotals) -> ByteTotals,
    counted: &[CountedListener<'_>],
    out: &mut Exposition,
) {
    let mut samples = out.family(family);
    for (listener, totals) in counted {
        for (direction, bytes) in directions(value(totals)) {
            samples.count(&[&listener.name, direction], bytes);
        }
    }
}

fn of_handshakes(counted: &[CountedListener<'_>], out: &mut Exposition) {
    let mut handshakes = out.family(&families::HANDSHAKES);
    for (listener, totals) in counted {
        for (version, counts) in HandshakeVersion::ALL.into_iter().zip(totals.handshakes) {
            for (resumed, count) in ["false", "true"].into_iter().zip(counts).filter(|(_, count)| *count > 0)
            {
                handshakes.count(&[&listener.name, version.as_str(), resumed], count);
            }
        }
    }
    let secured = || counted.iter().filter(|(listener, _)| listener.tls.is_some());
    let mut durations = out.family(&families::HANDSHAKE_DURATION);
    secured().for_each(|(listener, totals)| durations.histogram(&[&listener.name], &totals.handshake_time));
    of_bytes(&families::HANDSHAKE_BYTES, |totals| totals.handshake_traffic, counted, out);
    let mut ticket_keys = out.family(&families::TICKET_KEY);
    for (listener, _) in secured() {
        if let Some(since) = listener.tls.as_ref().and_then(|tls| tls.terms.load().ticket_key_since()) {
            ticket_keys.number(&[&listener.name], since.as_secs_f64());
        }
    }
    let mut failed = out.family(&families::FAILED_HANDSHAKES);
    for (listener, totals) in counted {
        let words = &totals.failed_handshakes;
        words.iter().for_each(|(reason, count)| failed.count(&[&listener.name, reason], *count));
    }
}

fn of_requests(counted: &[CountedListener<'_>], out: &mut Exposition) {
    let mut in_flight = out.family(&families::IN_FLIGHT);
    for (listener, totals) in counted {
        in_flight.count(&[&listener.name], totals.in_flight);
    }
    let mut reasons = out.family(&families::REASONS);
    for (listener, totals) in counted {
        totals.reasons.iter().for_each(|(reason, count)| reasons.count(&[&listener.name, reason], *count));
    }
}
