//! What is known of a session when it has ended: it is logged, and what it counted for is given back.

use std::cell::Cell;
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
use crate::snapshot::group::Group;
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

/// Lines that a worker writes in a second about clients that get no session: each of their datagrams would have one, and
/// whoever sends them may do so under any address. All of them are counted as dropped.
const MAX_UNSERVED_LINES: u32 = 10;

/// How many lines about clients without a session were written in this second.
#[derive(Default)]
pub(super) struct UnservedLines {
    second: Cell<u64>,
    written: Cell<u32>,
}

impl UnservedLines {
    /// Whether there may be one more in this second.
    fn acquire(&self, second: u64) -> bool {
        let written = if self.second.replace(second) == second { self.written.get() } else { 0 };
        self.written.set(written.saturating_add(1));
        written < MAX_UNSERVED_LINES
    }

    /// Writes the line of a client that no backend could be found for, unless there were many in this second.
    pub(super) fn log(&self, reason: Reason, endpoints: &Endpoints<'_>, group: &Group, worker: &Worker) {
        let now = worker.clock.now();
        if !self.acquire(worker.clock.wall(now).as_secs()) {
            return;
        }
        let record = Record {
            is_connection: true,
            status: reason.status(),
            reason,
            datagrams: Some(DatagramCounts { received: 0, sent: 0 }),
            ..Record::default()
        };
        relay::log((&record, now), endpoints, (None, Some(group), &[]), b"", worker);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_few_lines_about_clients_without_a_session() {
        let lines = UnservedLines::default();
        let written = |second| (0..1000).filter(|_| lines.acquire(second)).count();
        assert_eq!([written(7), written(7), written(8)], [10, 0, 10]);
    }
}
