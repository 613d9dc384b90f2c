//! An endpoint without its socket: datagrams and time in, datagrams out.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::ConnectionHandle;
use quinn_proto::ConnectionId;
use quinn_proto::DatagramEvent;
use quinn_proto::EcnCodepoint;
use quinn_proto::Endpoint;
use quinn_proto::Incoming;
use quinn_proto::Transmit;
use quinn_proto::VarInt;

use crate::net::udp::handed::Handed;
use crate::quic::addressee::Addressee;
use crate::quic::admission::Admission;
use crate::quic::admission::Admit;
use crate::quic::admission::Newcomer;
use crate::quic::amplification::UnprovenPeer;
use crate::quic::connection::QuicConnection;
use crate::quic::connection_id::ConnectionIds;
use crate::quic::connection_id::ID_BYTES;
use crate::quic::counters::EndpointCounters;
use crate::quic::forwarding::ReceivedDatagram;
use crate::quic::outgoing::Outgoing;
use crate::quic::outgoing::PacketSink;
use crate::quic::outgoing::datagrams_of;
use crate::quic::settings;
use crate::quic::settings::ServerOffer;
use crate::quic::shared::QuicShared;
use crate::quic::shared::QuicState;
use crate::quic::shared::WorkList;
use crate::quic::succession::Beginnings;
use crate::quic::succession::QuicPredecessor;
use crate::tls::quic::QuicFacts;
use crate::tls::quic::begin_step;
use crate::tls::quic_keys::QuicKeys;

/// Datagrams of a connection that leave in one system call. quinn-proto paces, and other connections have their turn.
const MAX_SEGMENTS: usize = 32;
/// What may always leave at once: the window of a new connection, which most responses fit in.
const LEAST_SEGMENTS: usize = 10;
/// System calls in which a larger window leaves: a client takes what came with the first ones while the others are encrypted.
const CALLS_PER_WINDOW: u64 = 3;

/// Such calls for one connection before the next one has its turn, and for all before the loop has one.
const CALLS_PER_CONNECTION: usize = 4;
const CALLS_PER_TURN: usize = 64;

/// Where an ID ends that is ours, behind a long header at most.
const MAX_ID_END: usize = 6 + ID_BYTES;

/// See the module.
pub(super) struct EndpointCore {
    endpoint: Endpoint,
    ids: ConnectionIds,
    offer: ServerOffer,
    admit: Admit,
    /// By the number that quinn-proto has given them, which it gives again.
    connections: Vec<Option<Rc<QuicShared>>>,
    pub(super) work: Rc<WorkList>,
    /// Clients whose handshake has not begun, at most as many as the settings say, with the length of their first datagrams.
    incoming: VecDeque<(Incoming, usize)>,
    half_open: usize,
    open: usize,
    /// When each connection is to be looked at: no later than its next timeout.
    timers: BTreeSet<(Instant, usize)>,
    is_draining: bool,
    beginnings: Beginnings,
    predecessor: Option<QuicPredecessor>,
    /// What the endpoint answers by itself.
    answer: Vec<u8>,
    pub(super) outgoing: Outgoing,
    turn: Vec<Rc<QuicShared>>,
    pub(super) counters: EndpointCounters,
}

/// Whether everything has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    All,
    /// Others are to have their turn first.
    More,
    /// The kernel takes no more now.
    Blocked,
}

impl EndpointCore {
    pub(super) fn new(ids: ConnectionIds, keys: &QuicKeys, offer: ServerOffer, admit: Admit) -> EndpointCore {
        let config = Arc::new(settings::endpoint_config(&ids, keys));
        // Retry tokens and what waits for a handshake are the same in all that is offered later.
        let server_config = offer().map(|server| server.config);
        EndpointCore {
            endpoint: Endpoint::new(config, server_config, true, None),
            ids,
            offer,
            admit,
            connections: Vec::new(),
            work: Rc::default(),
            incoming: VecDeque::new(),
            half_open: 0,
            open: 0,
            timers: BTreeSet::new(),
            is_draining: false,
            beginnings: Beginnings::default(),
            predecessor: None,
            answer: Vec::new(),
            outgoing: Outgoing::default(),
            turn: Vec::new(),
            counters: EndpointCounters::default(),
        }
    }

    /// Lets nobody begin any more.
    pub(super) fn begin_drain(&mut self) {
        self.is_draining = true;
    }

    pub(super) fn end_drain(&mut self) {
        self.is_draining = false;
    }

    /// Connections that are not forgotten yet.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn has_incoming(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Whom a datagram is for.
    pub(super) fn addressee(&self, datagram: &[u8], now: Instant) -> Addressee {
        Addressee::of(datagram, now, &self.ids, self.predecessor.as_ref())
    }

    /// Remembers a client that begins at another endpoint.
    pub(super) fn note_beginning(&mut self, now: Instant, id: ConnectionId) {
        self.beginnings.note_passed_on(now, id);
    }

    /// Whether the process before still has connections.
    pub(super) fn has_predecessor(&self) -> bool {
        self.predecessor.as_ref().is_some_and(|known| !known.is_gone())
    }

    /// Hands what comes for connections of the process before to it.
    pub(super) fn follow(&mut self, predecessor: QuicPredecessor) {
        self.predecessor = Some(predecessor);
    }

    /// Hands a datagram to the process before; what it cannot have any more is received here, and answered.
    pub(super) fn hand_back(&mut self, now: Instant, datagram: ReceivedDatagram, sink: &mut impl PacketSink) {
        let handed = self.predecessor.as_ref().map_or(Handed::Closed, |known| known.take(&datagram));
        match handed {
            Handed::Yes => self.counters.handed_back += 1,
            Handed::Lost => self.counters.lost_handing_back += 1,
            Handed::Closed => {
                self.predecessor = None;
                self.receive(now, datagram, sink);
            }
        }
    }

    /// The IDs that clients have chosen for connections that were begun a moment ago.
    pub(super) fn beginnings(&self, now: Instant) -> Vec<Vec<u8>> {
        self.beginnings.current(now)
    }

    /// Takes a datagram that is for this endpoint. What follows is sent by [`EndpointCore::flush`], save answers to clients
    /// that have no connection.
    pub(super) fn receive(&mut self, now: Instant, datagram: ReceivedDatagram, sink: &mut impl PacketSink) {
        self.counters.received_datagrams += 1;
        self.counters.received_bytes += datagram.bytes.len() as u64;
        let local = datagram.local.map(|local| local.ip);
        let ecn = EcnCodepoint::from_bits(datagram.ecn);
        self.answer.clear();
        let (peer, bytes) = (datagram.peer, datagram.bytes);
        let length = bytes.len();
        // Looked at again once it is known whose it is.
        let mut beginning = [0; MAX_ID_END];
        beginning.iter_mut().zip(bytes.iter()).for_each(|(place, byte)| *place = *byte);
        match self.endpoint.handle(now, peer, local, ecn, bytes, &mut self.answer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let Some(connection) = self.connection(handle) else { return };
                let mut state = connection.state.borrow_mut();
                if state.is_half_open {
                    let unproven = state.unproven.as_ref();
                    if unproven.is_some_and(|peer| peer.is_proven_by(&beginning, &self.ids)) {
                        state.unproven = None;
                    }
                    begin_step();
                    state.connection.handle_event(event);
                    state.note();
                } else {
                    state.connection.handle_event(event);
                }
                drop(state);
                connection.touch();
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.meet((incoming, length), sink),
            Some(DatagramEvent::Response(transmit)) => self.send_answer(&transmit, sink),
            None => {}
        }
    }

    fn connection(&self, handle: ConnectionHandle) -> Option<Rc<QuicShared>> {
        self.connections.get(handle.0)?.clone()
    }

    /// Whoever may be lying about his address has to come again while there are many; too many are refused.
    fn meet(&mut self, (incoming, length): (Incoming, usize), sink: &mut impl PacketSink) {
        let waiting = self.half_open + self.incoming.len();
        match (self.offer)().map(|server| server.limits) {
            Some(limits) if !self.is_draining && waiting < limits.refuse_threshold => {
                if waiting < limits.retry_threshold || incoming.remote_address_validated() {
                    self.incoming.push_back((incoming, length));
                    self.work.acceptor.wake();
                    return;
                }
                self.retry(incoming, sink);
            }
            _ => self.refuse(incoming, sink),
        }
    }

    fn retry(&mut self, incoming: Incoming, sink: &mut impl PacketSink) {
        self.counters.retried += 1;
        self.answer.clear();
        match self.endpoint.retry(incoming, &mut self.answer) {
            Ok(transmit) => self.send_answer(&transmit, sink),
            Err(error) => self.endpoint.ignore(error.into_incoming()),
        }
    }

    fn refuse(&mut self, incoming: Incoming, sink: &mut impl PacketSink) {
        self.counters.refused += 1;
        self.answer.clear();
        let transmit = self.endpoint.refuse(incoming, &mut self.answer);
        self.send_answer(&transmit, sink);
    }

    /// Begins the handshake of the client that has waited longest, if one waits.
    pub(super) fn accept_next(&mut self, now: Instant, sink: &mut impl PacketSink) {
        let Some((incoming, length)) = self.incoming.pop_front() else { return };
        let newcomer = Newcomer {
            peer: incoming.remote_address(),
            local: incoming.local_ip(),
            is_validated: incoming.remote_address_validated(),
        };
        let Some(server) = (self.offer)().filter(|_| !self.is_draining) else {
            return self.refuse(incoming, sink);
        };
        let serve = match (self.admit)(&newcomer) {
            Admission::Serve(serve) => serve,
            Admission::Retry => return self.retry(incoming, sink),
            Admission::Refuse => return self.refuse(incoming, sink),
            Admission::Ignore => {
                self.counters.ignored += 1;
                return self.endpoint.ignore(incoming);
            }
        };
        self.answer.clear();
        begin_step();
        let first_id = *incoming.orig_dst_cid();
        self.beginnings.note(now, first_id);
        let accepted =
            self.endpoint.accept(incoming, now, &mut self.answer, Some(Arc::clone(&server.config)));
        let mut noted = QuicFacts::default();
        noted.take_notes();
        match accepted {
            Ok((handle, connection)) => {
                self.counters.accepted += 1;
                let mut state = QuicState::new(connection, Some(server.tls), noted);
                state.unproven = (!newcomer.is_validated).then(|| UnprovenPeer::new(first_id, length));
                state.abandoned = VarInt::from_u32(server.limits.abandoned_connection);
                state.abandoned_stream = VarInt::from_u32(server.limits.abandoned_stream);
                state.stream_limit = server.limits.streams();
                serve(Ok(self.add(handle, state)));
            }
            Err(error) => {
                self.counters.rejected += 1;
                if let Some(transmit) = error.response {
                    self.send_answer(&transmit, sink);
                }
                serve(Err(QuicState::failure_of_first_step(&noted, &error.cause)));
            }
        }
    }

    fn add(&mut self, handle: ConnectionHandle, state: QuicState) -> QuicConnection {
        let connection = QuicShared::new(handle, state, &self.work);
        if self.connections.len() <= handle.0 {
            self.connections.resize_with(handle.0 + 1, || None);
        }
        self.connections[handle.0] = Some(Rc::clone(&connection));
        self.open += 1;
        self.half_open += 1;
        connection.touch();
        QuicConnection::new(connection)
    }

    /// When time has to pass next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Lets time pass for connections that are due.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((due, number)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, number));
            let Some(connection) = self.connection(ConnectionHandle(number)) else { continue };
            let mut state = connection.state.borrow_mut();
            state.queued = None;
            state.connection.handle_timeout(now);
            drop(state);
            connection.touch();
        }
    }

    /// Looks at connections on which something has happened, and sends what they have to send.
    pub(super) fn flush(&mut self, now: Instant, sink: &mut impl PacketSink) -> Flushed {
        if !self.outgoing.send_held(sink) {
            return Flushed::Blocked;
        }
        let mut turn = std::mem::take(&mut self.turn);
        self.work.take(&mut turn);
        let mut calls = 0;
        let mut flushed = Flushed::All;
        for connection in turn.drain(..) {
            if flushed == Flushed::Blocked || calls >= CALLS_PER_TURN {
                connection.touch();
                continue;
            }
            // Of one that is forgotten, the number may be another's.
            let known = self.connections.get(connection.handle.0).and_then(Option::as_ref);
            if !known.is_some_and(|known| Rc::ptr_eq(known, &connection)) {
                continue;
            }
            flushed = self.look_at(&connection, now, &mut calls, sink);
        }
        self.turn = turn;
        self.counters.lost_sending += self.outgoing.take_lost();
        match flushed {
            Flushed::Blocked => Flushed::Blocked,
            _ if self.work.is_empty() => Flushed::All,
            _ => Flushed::More,
        }
    }

    fn look_at(
        &mut self,
        connection: &Rc<QuicShared>,
        now: Instant,
        calls: &mut usize,
        sink: &mut impl PacketSink,
    ) -> Flushed {
        let handle = connection.handle;
        let mut state = connection.state.borrow_mut();
        let state = &mut *state;
        let mut is_drained = self.exchange_events(handle, state, now);
        state.offer_streams();
        let mut flushed = Flushed::All;
        let window = state.connection.congestion_state().window();
        let segments = segments_at_once(window, state.connection.current_mtu());
        for call in 0.. {
            if call == CALLS_PER_CONNECTION {
                connection.touch();
                flushed = Flushed::More;
                break;
            }
            self.outgoing.bytes.clear();
            let next = state.connection.poll_transmit(now, segments, &mut self.outgoing.bytes);
            let Some(mut transmit) = next else { break };
            *calls += 1;
            if let Some(peer) = &mut state.unproven
                && !peer.trim(&mut transmit, &state.connection.stats())
            {
                continue;
            }
            self.count_sent(&transmit);
            if !self.outgoing.send(&transmit, sink) {
                connection.touch();
                flushed = Flushed::Blocked;
                break;
            }
        }
        // To send changes timers, and may be the last thing that is done.
        is_drained |= self.exchange_events(handle, state, now);
        if state.is_half_open && !state.connection.is_handshaking() {
            state.is_half_open = false;
            state.unproven = None;
            self.half_open -= 1;
        }
        let timeout = if is_drained { None } else { state.connection.poll_timeout() };
        self.set_timer(handle, state, timeout);
        if is_drained {
            self.connections[handle.0] = None;
            self.open -= 1;
        }
        flushed
    }

    /// Carries word between a connection and the endpoint, and to its tasks; true if the connection is forgotten.
    fn exchange_events(&mut self, handle: ConnectionHandle, state: &mut QuicState, now: Instant) -> bool {
        let mut is_drained = false;
        while let Some(event) = state.connection.poll_endpoint_events() {
            is_drained |= event.is_drained();
            if let Some(answer) = self.endpoint.handle_event(handle, event) {
                state.connection.handle_event(answer);
            }
        }
        state.absorb_events(now);
        is_drained
    }

    /// The time is moved only if it comes earlier: what comes too early does no harm, and most timers are put off.
    fn set_timer(&mut self, handle: ConnectionHandle, state: &mut QuicState, timeout: Option<Instant>) {
        let is_early_enough = state.queued.is_some_and(|queued| timeout.is_some_and(|due| queued <= due));
        if is_early_enough {
            return;
        }
        if let Some(queued) = state.queued {
            self.timers.remove(&(queued, handle.0));
        }
        state.queued = timeout;
        self.timers.extend(timeout.map(|due| (due, handle.0)));
    }

    fn send_answer(&mut self, transmit: &Transmit, sink: &mut impl PacketSink) {
        self.count_sent(transmit);
        let bytes = self.answer.get(..transmit.size).unwrap_or_default();
        self.outgoing.send_answer(transmit, bytes, sink);
    }

    fn count_sent(&mut self, transmit: &Transmit) {
        self.counters.sent_datagrams += datagrams_of(transmit);
        self.counters.sent_bytes += transmit.size as u64;
    }

    /// Closes all connections with a code of the application; [`EndpointCore::flush`] tells the peers.
    pub(super) fn close_all(&mut self, code: u32, reason: &'static [u8], now: Instant) {
        for connection in self.connections.iter().flatten() {
            if connection.state.borrow().end.is_none() {
                connection.close(VarInt::from_u32(code), reason, now);
            }
        }
    }
}

/// How many datagrams of this size leave in one system call where the window has so many bytes.
fn segments_at_once(window: u64, datagram: u16) -> usize {
    let datagrams = window / u64::from(datagram).max(1);
    let part = datagrams / CALLS_PER_WINDOW;
    usize::try_from(part).map_or(MAX_SEGMENTS, |part| part.clamp(LEAST_SEGMENTS, MAX_SEGMENTS))
}

#[cfg(test)]
impl EndpointCore {
    /// Begins a connection to a server.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        client: quinn_proto::ClientConfig,
        (server, name): (std::net::SocketAddr, &str),
    ) -> QuicConnection {
        let (handle, connection) = self.endpoint.connect(now, client, server, name).unwrap();
        let state = QuicState::new(connection, None, QuicFacts::default());
        self.add(handle, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_windows_leave_in_parts_and_first_ones_at_once() {
        assert_eq!(segments_at_once(12_000, 1_200), 10);
        assert_eq!(segments_at_once(36_000, 1_200), 10);
        assert_eq!(segments_at_once(72_000, 1_200), 20);
        assert_eq!(segments_at_once(10_000_000, 1_200), MAX_SEGMENTS);
    }
}
