//! From backends to clients.

use std::rc::Rc;

use crate::datagram::dropped::DropReason;
use crate::datagram::record;
use crate::datagram::requests::sent_bytes;
use crate::datagram::session_table::SessionTable;
use crate::datagram::session_table::SessionToken;
use crate::datagram::upstream;
use crate::net::udp::connected::PeerError;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::receive::ReceiveArena;
use crate::snapshot::DatagramListener;
use crate::snapshot::Listener;
use crate::snapshot::bandwidth::Direction;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Pieces that one backend may have passed on before others have their turn.
const PIECES_PER_TURN: usize = 8;

/// Whether a backend may have more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswersLeft {
    None,
    Some,
}

/// Passes what a backend has answered on to its client.
pub(super) fn pass(
    token: SessionToken,
    table: &mut SessionTable,
    arena: &mut ReceiveArena,
    worker: &Rc<Worker>,
) -> AnswersLeft {
    let Some(session) = table.get_mut(token) else { return AnswersLeft::None };
    let Some(upstream) = &session.upstream else { return AnswersLeft::None };
    let received = match upstream.socket.receive(arena, PIECES_PER_TURN) {
        Ok(received) => received,
        Err(error) => return note_error(token, error, table, worker),
    };
    if received == 0 {
        return AnswersLeft::None;
    }
    upstream.backend.health.note_success();
    session.last_tick = worker.timers.ticks();
    let snapshot = worker.snapshot();
    let listener = snapshot.listener(session.counted.listener());
    for piece in (0..received).filter_map(|index| arena.get(index)) {
        if let Some(counters) = &upstream.counters {
            let (datagrams, bytes) = (piece.datagrams.count(), piece.datagrams.bytes.len());
            counters.datagrams_received(worker.index, datagrams, bytes);
        }
        let bandwidth = listener.and_then(Listener::datagram).and_then(|terms| terms.bandwidth.as_deref());
        let limit = (bandwidth, Direction::Down);
        if !record::admits(&piece.datagrams, session.client.ip(), limit, worker) {
            drop_answers(&piece.datagrams, listener, worker);
            continue;
        }
        let outcome = session.socket.socket.send(&piece.datagrams, session.client, session.local);
        let bytes = sent_bytes(&piece.datagrams, outcome.sent);
        session.from_backend.add(outcome.sent, bytes);
        if let Some(counters) = &session.counters {
            counters.sent(worker.index, bytes);
        }
        let Some(listener) = listener else { continue };
        record::count_sent((outcome.sent, bytes), listener, worker.index);
        if let Some(failure) = &outcome.error {
            let lost = piece.datagrams.count().saturating_sub(outcome.sent) as u64;
            record::count_dropped(lost, DropReason::from(failure).as_str(), listener, worker.index);
        }
    }
    let is_complete = |terms: &DatagramListener| session.is_complete(terms);
    if listener.and_then(Listener::datagram).is_some_and(is_complete) {
        record::end(table, token, Reason::None, worker);
        return AnswersLeft::None;
    }
    if received == PIECES_PER_TURN { AnswersLeft::Some } else { AnswersLeft::None }
}

/// Counts answers that go beyond what may be passed.
fn drop_answers(datagrams: &Datagrams<'_>, listener: Option<&Listener>, worker: &Worker) {
    if let Some(listener) = listener {
        let lost = datagrams.count() as u64;
        record::count_dropped(lost, DropReason::Bandwidth.as_str(), listener, worker.index);
    }
}

/// Notes what the network says of what was sent to the backend of a session.
fn note_error(
    token: SessionToken,
    error: PeerError,
    table: &mut SessionTable,
    worker: &Rc<Worker>,
) -> AnswersLeft {
    let Some(session) = table.get_mut(token) else { return AnswersLeft::None };
    let Some(known) = &session.upstream else { return AnswersLeft::None };
    upstream::note_failure(known, worker);
    if error != PeerError::Refused {
        // The error is told once, and what waits behind it is not lost.
        return AnswersLeft::Some;
    }
    let snapshot = worker.snapshot();
    let listener = snapshot.listener(session.counted.listener());
    if let Some(listener) = listener {
        // The one that met it; others may have met it, too, which nobody tells.
        record::count_dropped(1, DropReason::BackendRefused.as_str(), listener, worker.index);
    }
    let refusing = session.upstream.take();
    session.refused_by = refusing.as_ref().map(|refusing| refusing.backend.identity as u32);
    refusing.into_iter().for_each(|refusing| upstream::close(refusing, worker));
    let terms = listener.and_then(Listener::datagram);
    // Without further datagrams of its client, nothing can come any more.
    if terms.is_none_or(|terms| session.requests_left(terms) == 0) {
        record::end(table, token, Reason::ConnectRefused, worker);
    }
    AnswersLeft::None
}
