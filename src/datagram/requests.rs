//! From clients to backends.

use crate::datagram::dropped::DropReason;
use crate::datagram::opening::SessionOpening;
use crate::datagram::record;
use crate::datagram::session::ClientSession;
use crate::datagram::session_table::SessionTable;
use crate::datagram::session_table::SessionToken;
use crate::datagram::upstream;
use crate::datagram::upstream::ForWhom;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::receive::ReceivedPiece;
use crate::net::udp::send::SendFailure;
use crate::net::udp::send::SendOutcome;
use crate::snapshot::DatagramListener;
use crate::snapshot::bandwidth::Direction;
use crate::telemetry::reason::Reason;

/// What was received at a socket of clients, on its way.
pub(super) struct RequestRelay<'s> {
    pub(super) opening: SessionOpening<'s>,
    pub(super) terms: &'s DatagramListener,
    pub(super) table: &'s mut SessionTable,
}

impl RequestRelay<'_> {
    /// Passes what one client has sent on to its backend, or to several where each datagram is for itself.
    pub(super) fn pass(&mut self, piece: &ReceivedPiece<'_>) {
        let Some(client) = piece.peer else { return };
        record::count_received(&piece.datagrams, self.opening.listener, self.opening.worker.index);
        let key = (self.opening.socket.number, client, piece.local);
        let mut rest = Some(piece.datagrams);
        while let Some(datagrams) = rest {
            let token = match self.table.find(&key) {
                Some(token) => Ok(token),
                None => self.opening.begin(client, piece.local, &datagrams, self.table),
            };
            // Clients without a session get none for the next datagram either.
            let token = match token {
                Ok(token) => token,
                Err(reason) => {
                    self.opening.log_unserved(client, reason);
                    return self.drop(&datagrams, reason);
                }
            };
            let left = self.table.get_mut(token).map_or(0, |session| session.requests_left(self.terms));
            if left == 0 {
                // A reload has lowered the number.
                self.table.forget_client(token);
                continue;
            }
            let (part, others) = datagrams.split(left);
            rest = others;
            self.pass_in_session(token, &part);
        }
    }

    fn pass_in_session(&mut self, token: SessionToken, datagrams: &Datagrams<'_>) {
        let Some(session) = self.table.get_mut(token) else { return };
        // Who gets no session takes nothing of what others may have.
        let limit = (self.terms.bandwidth.as_deref(), Direction::Up);
        if !record::admits(datagrams, session.client.ip(), limit, self.opening.worker) {
            return self.drop(datagrams, DropReason::Bandwidth);
        }
        session.last_tick = self.opening.worker.timers.ticks();
        let outcome = send(session, token, datagrams, &self.opening);
        let sent = outcome.as_ref().map_or(0, |outcome| outcome.sent);
        let bytes = sent_bytes(datagrams, sent);
        session.from_client.add(sent, bytes);
        if let Some(counters) = &session.counters {
            counters.received(self.opening.worker.index, bytes);
        }
        let all_came = session.requests_left(self.terms) == 0;
        let is_complete = sent > 0 && session.is_complete(self.terms);
        match outcome {
            Ok(SendOutcome { error: Some(failure), .. }) => {
                self.drop_rest(datagrams, sent, (&failure).into())
            }
            Ok(_) => {}
            Err(reason) => self.drop_rest(datagrams, sent, reason),
        }
        if is_complete {
            record::end(self.table, token, Reason::None, self.opening.worker);
        } else if all_came {
            self.table.forget_client(token);
        }
    }

    fn drop_rest(&self, datagrams: &Datagrams<'_>, sent: usize, reason: DropReason) {
        let lost = datagrams.count().saturating_sub(sent);
        record::count_dropped(lost as u64, reason.as_str(), self.opening.listener, self.opening.worker.index);
    }

    fn drop(&self, datagrams: &Datagrams<'_>, reason: DropReason) {
        self.drop_rest(datagrams, 0, reason);
    }
}

/// Bytes of the first of these datagrams.
pub(super) fn sent_bytes(datagrams: &Datagrams<'_>, sent: usize) -> usize {
    datagrams.bytes.len().min(sent.saturating_mul(datagrams.segment))
}

/// Sends to the session's backend, or to another where that one does not serve any more.
fn send(
    session: &mut ClientSession,
    token: SessionToken,
    datagrams: &Datagrams<'_>,
    opening: &SessionOpening<'_>,
) -> Result<SendOutcome, DropReason> {
    let SessionOpening { group, worker, .. } = *opening;
    let has_to_leave = |known: &mut _| upstream::has_to_leave(known, group, worker);
    if let Some(left) = session.upstream.take_if(has_to_leave) {
        upstream::close(left, worker);
    }
    let first = send_to_backend(session, token, datagrams, opening)?;
    if first.error != Some(SendFailure::Refused) || first.sent > 0 {
        return Ok(first);
    }
    // What is told here is what became of a datagram before this one, which has not left.
    record::count_dropped(1, DropReason::BackendRefused.as_str(), opening.listener, opening.worker.index);
    leave_refusing(session, opening);
    send_to_backend(session, token, datagrams, opening)
}

fn send_to_backend(
    session: &mut ClientSession,
    token: SessionToken,
    datagrams: &Datagrams<'_>,
    opening: &SessionOpening<'_>,
) -> Result<SendOutcome, DropReason> {
    let SessionOpening { group, ready, worker, socket, proxied, .. } = *opening;
    let known = match &session.upstream {
        Some(known) => known,
        None => {
            let flow = opening.flow(session.client, datagrams);
            let whom = ForWhom { flow, token, refused_by: session.refused_by.take() };
            let opened = upstream::open(group, whom, ready, worker)?;
            session.moves += 1;
            session.upstream.insert(opened)
        }
    };
    let outcome = match group.proxy_header {
        None => known.socket.send(datagrams),
        Some(terms) => {
            let mut room = proxied.borrow_mut();
            known.socket.send(&room.of((session.client, session.local), socket, terms, datagrams))
        }
    };
    if let Some(counters) = &known.counters {
        counters.datagrams_sent(worker.index, outcome.sent, sent_bytes(datagrams, outcome.sent));
    }
    Ok(outcome)
}

fn leave_refusing(session: &mut ClientSession, opening: &SessionOpening<'_>) {
    if let Some(refusing) = session.upstream.take() {
        upstream::note_failure(&refusing, opening.worker);
        session.refused_by = Some(refusing.backend.identity as u32);
        upstream::close(refusing, opening.worker);
    }
}
