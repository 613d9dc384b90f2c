//! What is known of a session when it has ended: it is logged, and what it counted for is given back.

use std::net::IpAddr;

use crate::datagram::session::ClientSession;
use crate::datagram::session_table::SessionTable;
use crate::datagram::session_table::SessionToken;
use crate::datagram::upstream;
use crate::net::udp::datagrams::Datagrams;
use crate::relay;
use crate::relay::Endpoints;
use crate::snapshot::Listener;
use crate::snapshot::bandwidth::Direction;
use crate::snapshot::bandwidth::ListenerBandwidth;
use crate::snapshot::bandwidth::PaceLimits;
use crate::snapshot::bandwidth::PacedRequest;
use crate::telemetry::reason::Reason;
use crate::telemetry::record::DatagramCounts;
use crate::telemetry::record::Record;
use crate::telemetry::relay_counters::EndedRelay;
use crate::worker::Worker;

/// Ends a session, for this reason.
pub(super) fn end(table: &mut SessionTable, token: SessionToken, reason: Reason, worker: &Worker) {
    let Some(mut session) = table.remove(token) else { return };
    // One whose backend refused and that nothing followed has not just been silent.
    let reason = match (&session.upstream, reason) {
        (None, Reason::IdleTimeout) => Reason::ConnectRefused,
        _ => reason,
    };
    log(&session, reason, worker);
    session.upstream.take().into_iter().for_each(|known| upstream::close(known, worker));
}

fn log(session: &ClientSession, reason: Reason, worker: &Worker) {
    let snapshot = worker.snapshot();
    let Some(listener) = snapshot.listener(session.counted.listener()) else { return };
    let duration = worker.clock.now_after(session.began).since(session.began);
    let ended = EndedRelay { reason, retries: session.moves, duration };
    relay::count(&ended, session.counters.as_deref(), listener, worker);
    let record = Record {
        is_connection: true,
        status: reason.status(),
        reason,
        request_length: session.from_client.bytes,
        body_bytes_sent: session.from_backend.bytes,
        bytes_sent: session.from_backend.bytes,
        request_time: duration,
        retries: session.moves,
        datagrams: Some(DatagramCounts {
            received: session.from_client.datagrams,
            sent: session.from_backend.datagrams,
        }),
        ..Record::default()
    };
    let endpoints = Endpoints { listener, peer: session.client, port: session.socket.port };
    let slot = session.upstream.as_ref().map(|known| known.group);
    let group = match slot {
        Some(slot) => snapshot.groups.iter().find(|group| group.slot == slot).map(|group| &**group),
        None => listener.default_group.and_then(|index| listener.group(index)),
    };
    let identity =
        session.upstream.as_ref().map(|known| known.backend.identity as u32).or(session.refused_by);
    let asked = group.zip(identity).and_then(|(group, identity)| group.by_identity(identity));
    relay::log((&record, session.began), &endpoints, (None, group, asked.as_slice()), b"", worker);
}

/// Whether limits let these datagrams of a client, or to it, pass. Nothing waits, so what goes beyond is lost.
pub(super) fn admits(
    datagrams: &Datagrams<'_>,
    client: IpAddr,
    (limits, direction): (Option<&ListenerBandwidth>, Direction),
    worker: &Worker,
) -> bool {
    limits.is_none_or(|limits| {
        let now_ns = worker.clock.shared_ns(worker.clock.now());
        let limits = PaceLimits { rule: None, listener: Some(limits) };
        limits.admit(PacedRequest::new(None, client), datagrams.bytes.len(), direction, now_ns)
    })
}

pub(super) fn count_received(datagrams: &Datagrams<'_>, listener: &Listener, worker: usize) {
    if let Some(counters) = &listener.counters {
        counters.datagrams_received(worker, datagrams.count(), datagrams.bytes.len());
    }
}

pub(super) fn count_sent((datagrams, bytes): (usize, usize), listener: &Listener, worker: usize) {
    if let Some(counters) = &listener.counters {
        counters.datagrams_sent(worker, datagrams, bytes);
    }
}

pub(super) fn count_dropped(datagrams: u64, reason: &'static str, listener: &Listener, worker: usize) {
    if let Some(counters) = &listener.counters {
        counters.datagrams_dropped(worker, reason, datagrams);
    }
}
