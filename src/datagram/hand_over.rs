//! Sessions go on in another process, or in this one again where that process has failed.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::datagram::client_socket::DatagramSocket;
use crate::datagram::session::ClientSession;
use crate::datagram::session::Passed;
use crate::datagram::session::Upstream;
use crate::datagram::session_table::SessionTable;
use crate::datagram::session_table::SessionToken;
use crate::datagram::upstream;
use crate::net::timer::TICK;
use crate::net::udp::connected::ConnectedUdp;
use crate::net::udp::datagrams::LocalAddress;
use crate::net::udp::readiness::ReadySet;
use crate::relay;
use crate::snapshot::Listener;
use crate::snapshot::handed_session::HandedSession;
use crate::snapshot::handed_session::HandedSessions;
use crate::snapshot::handed_session::HandedUpstream;
use crate::telemetry::reason::Reason;
use crate::telemetry::relay_counters::EndedRelay;
use crate::upstream::balancer::InFlight;
use crate::worker::Worker;

/// Takes the sessions of these sockets, by what tells them from all others, out of the table.
pub(super) fn give_away(
    table: &mut SessionTable,
    given: &mut HashMap<u64, HandedSessions>,
    ready: &ReadySet,
    worker: &Worker,
) {
    let snapshot = worker.snapshot();
    let groups: HashMap<u32, &str> =
        snapshot.groups.iter().map(|group| (group.slot, group.name.as_str())).collect();
    let now = worker.timers.ticks();
    for token in table.tokens() {
        let Some(session) = table.get_mut(token) else { continue };
        let Some(handed) = given.get_mut(&session.socket.cookie) else { continue };
        let key = session.key();
        let has_all_requests = table.find(&key) != Some(token);
        let Some(mut session) = table.remove(token) else { continue };
        let upstream = session.upstream.take().and_then(|known| {
            // Its queue of events would outlive the descriptor here.
            ready.remove(&known.socket);
            let (group, identity) = (groups.get(&known.group).copied(), known.backend.identity);
            let socket = upstream::let_go(known, worker).into_descriptor();
            // A group that a reload has removed is unknown to the other process.
            group.map(|group| HandedUpstream { group: group.to_owned(), identity, socket })
        });
        handed.sessions.push(HandedSession {
            client: session.client,
            local: session.local.map(|local| (local.ip, local.interface)),
            upstream,
            refused_by: session.refused_by,
            moves: session.moves,
            began_ns: worker.clock.shared_ns(session.began),
            silent: TICK.saturating_mul(u32::try_from(now - session.last_tick).unwrap_or(u32::MAX)),
            from_client: (session.from_client.datagrams, session.from_client.bytes),
            from_backend: (session.from_backend.datagrams, session.from_backend.bytes),
            has_all_requests,
        });
    }
}

/// Where sessions go on.
pub(super) struct Adoption<'s> {
    pub(super) worker: &'s Rc<Worker>,
    pub(super) ready: &'s ReadySet,
    pub(super) socket: &'s Rc<DatagramSocket>,
    pub(super) listener: &'s Listener,
    /// After how many ticks of silence they are over.
    pub(super) idle_ticks: u64,
}

impl Adoption<'_> {
    /// Goes on with these sessions. Those that limits of this process do not allow are lost; how many.
    pub(super) fn adopt(&self, mut sessions: Vec<HandedSession>, table: &mut SessionTable) -> usize {
        // Of several of one client, the one that its next datagram belongs to comes last.
        sessions.sort_by_key(|session| !session.has_all_requests);
        let mut lost = 0;
        for session in sessions {
            let (began_ns, moves) = (session.began_ns, session.moves);
            if self.adopt_one(session, table).is_none() {
                lost += 1;
                self.count_lost(began_ns, moves);
            }
        }
        lost
    }

    /// None: limits do not allow it.
    fn adopt_one(&self, handed: HandedSession, table: &mut SessionTable) -> Option<()> {
        let Adoption { worker, socket, listener, idle_ticks, .. } = *self;
        let counted = worker.count_connection(listener)?;
        let share = match &listener.client_connections {
            Some(limit) => limit.go_on(handed.client.ip()).ok()?,
            None => None,
        };
        let upstream = handed.upstream.and_then(|known| self.adopt_upstream(known, table.next_token()));
        let passed = |(datagrams, bytes)| Passed { datagrams, bytes };
        let session = Box::new(ClientSession {
            client: handed.client,
            local: handed.local.map(|(ip, interface)| LocalAddress { ip, interface }),
            socket: Rc::clone(socket),
            upstream,
            refused_by: handed.refused_by,
            moves: handed.moves,
            began: worker.clock.moment_of(handed.began_ns),
            last_tick: worker.timers.ticks().saturating_sub(ticks(handed.silent)),
            from_client: passed(handed.from_client),
            from_backend: passed(handed.from_backend),
            _share: share,
            counted,
            counters: listener.relay_counters(None, listener.default_group).map(Arc::clone),
        });
        let token = table.insert(session, idle_ticks);
        if handed.has_all_requests {
            table.forget_client(token);
        }
        Some(())
    }

    /// The backend of a session, unless the configuration has it no more.
    fn adopt_upstream(&self, handed: HandedUpstream, token: SessionToken) -> Option<Upstream> {
        let Adoption { worker, ready, .. } = *self;
        let snapshot = worker.snapshot();
        let group = snapshot.groups.iter().find(|group| group.name == handed.group)?;
        let member = group.by_identity(handed.identity as u32)?;
        let backend = Arc::clone(&group.member(member as usize)?.backend);
        let socket = ConnectedUdp::adopt(handed.socket).ok()?;
        ready.add(&socket, token.bits()).ok()?;
        let in_flight = worker.balancer.begin(group, member).map(|in_flight| {
            // It was counted where it began.
            in_flight.never_sent();
            InFlight::keep(in_flight)
        });
        let has_room = group.queue.is_some() && group.takes_room(member);
        let counters = group.counters.clone();
        Some(Upstream { socket, backend, group: group.slot, in_flight, has_room, counters })
    }

    fn count_lost(&self, began_ns: u64, moves: u32) {
        let Adoption { worker, listener, .. } = *self;
        let duration = worker.clock.now().since(worker.clock.moment_of(began_ns));
        let ended = EndedRelay { reason: Reason::NotTakenOver, retries: moves, duration };
        let counters = listener.relay_counters(None, listener.default_group);
        relay::count(&ended, counters.map(|counters| &**counters), listener, worker);
    }
}

fn ticks(silent: Duration) -> u64 {
    (silent.as_nanos() / TICK.as_nanos()) as u64
}
