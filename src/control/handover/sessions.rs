//! Sessions of UDP as the two processes tell each other of them.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::snapshot::handed_session::HandedQuic;
use crate::snapshot::handed_session::HandedSession;
use crate::snapshot::handed_session::HandedSessions;
use crate::snapshot::handed_session::HandedUpstream;

/// Sessions in one packet: with the longest names, it stays far below what a packet may have.
const MAX_SESSIONS: usize = 64;

/// IDs of connections begun a moment ago that fit into one packet, however long they are. Older ones are hardly in use.
const MAX_BEGINNINGS: usize = 768;

/// Some sessions of one socket; the descriptors of a packet are those of the sessions that have a backend, in their order.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CarriedSessions {
    /// What tells the socket from all others of the host.
    socket: u64,
    lost: u32,
    /// Names of groups.
    groups: Vec<String>,
    sessions: Vec<CarriedSession>,
    /// Of a socket of QUIC: the IDs of connections that were begun a moment ago. The last descriptor is the way of what comes for
    /// connections.
    #[serde(default)]
    beginnings: Option<Vec<Vec<u8>>>,
}

/// See [`HandedSession`].
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct CarriedSession {
    client: SocketAddr,
    #[serde(default)]
    local: Option<(IpAddr, u32)>,
    /// The index of its group, and the backend's identity.
    #[serde(default)]
    backend: Option<(usize, u64)>,
    #[serde(default)]
    refused_by: Option<u32>,
    #[serde(default)]
    moves: u32,
    began_ns: u64,
    silent_ms: u64,
    from_client: (u64, u64),
    from_backend: (u64, u64),
    #[serde(default)]
    has_all_requests: bool,
}

/// The packets for sessions of a socket; at least one, because of what the queue of the socket has lost.
pub fn packets(handed: &HandedSessions) -> Vec<(CarriedSessions, Vec<BorrowedFd<'_>>)> {
    let HandedSessions { socket, lost, sessions, quic, .. } = handed;
    if let Some(HandedQuic { way, beginnings }) = quic {
        let carried = CarriedSessions {
            socket: *socket,
            lost: *lost,
            groups: Vec::new(),
            sessions: Vec::new(),
            beginnings: Some(beginnings[beginnings.len().saturating_sub(MAX_BEGINNINGS)..].to_vec()),
        };
        return vec![(carried, vec![way.as_fd()])];
    }
    let first = sessions.chunks(MAX_SESSIONS).next().unwrap_or_default();
    let others = sessions.chunks(MAX_SESSIONS).skip(1);
    std::iter::once(first).chain(others).map(|part| packet((*socket, *lost), part)).collect()
}

fn packet((socket, lost): (u64, u32), sessions: &[HandedSession]) -> (CarriedSessions, Vec<BorrowedFd<'_>>) {
    let mut groups: Vec<String> = Vec::new();
    let mut index_of = |name: &String| {
        groups.iter().position(|known| known == name).unwrap_or_else(|| {
            groups.push(name.clone());
            groups.len() - 1
        })
    };
    let carried = sessions.iter().map(|session| CarriedSession {
        client: session.client,
        local: session.local,
        backend: session.upstream.as_ref().map(|known| (index_of(&known.group), known.identity)),
        refused_by: session.refused_by,
        moves: session.moves,
        began_ns: session.began_ns,
        silent_ms: session.silent.as_millis() as u64,
        from_client: session.from_client,
        from_backend: session.from_backend,
        has_all_requests: session.has_all_requests,
    });
    let carried = carried.collect();
    let sockets = sessions.iter().filter_map(|session| Some(session.upstream.as_ref()?.socket.as_fd()));
    (CarriedSessions { socket, lost, groups, sessions: carried, beginnings: None }, sockets.collect())
}

/// Adds what a packet has brought to what came before.
pub fn collect(carried: CarriedSessions, descriptors: Vec<OwnedFd>, all: &mut Vec<HandedSessions>) {
    let CarriedSessions { socket, lost, groups, sessions, beginnings } = carried;
    let mut descriptors = descriptors.into_iter();
    if let Some(beginnings) = beginnings {
        let quic = descriptors.next().map(|way| HandedQuic { way, beginnings });
        return all.push(HandedSessions { socket, worker: 0, lost, sessions: Vec::new(), quic });
    }
    let sessions = sessions.into_iter().map(|session| HandedSession {
        client: session.client,
        local: session.local,
        upstream: session.backend.and_then(|(group, identity)| {
            let socket = descriptors.next()?;
            Some(HandedUpstream { group: groups.get(group)?.clone(), identity, socket })
        }),
        refused_by: session.refused_by,
        moves: session.moves,
        began_ns: session.began_ns,
        silent: Duration::from_millis(session.silent_ms),
        from_client: session.from_client,
        from_backend: session.from_backend,
        has_all_requests: session.has_all_requests,
    });
    match all.iter_mut().find(|known| known.socket == socket) {
        Some(known) => known.sessions.extend(sessions),
        None => {
            all.push(HandedSessions { socket, worker: 0, lost, sessions: sessions.collect(), quic: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::control::handover::channel::FromPredecessor;
    use crate::control::handover::channel::HandoverChannel;
    use crate::control::handover::channel::Heard;

    fn session(number: u16, group: Option<&str>) -> HandedSession {
        HandedSession {
            client: ([127, 0, 0, 1], number).into(),
            local: Some(([127, 0, 0, 2].into(), 3)),
            upstream: group.map(|group| HandedUpstream {
                group: group.to_owned(),
                identity: number.into(),
                socket: UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            }),
            refused_by: Some(9),
            moves: 1,
            began_ns: 5,
            silent: Duration::from_millis(700),
            from_client: (2, 20),
            from_backend: (3, 30),
            has_all_requests: number.is_multiple_of(2),
        }
    }

    /// What another process gets.
    fn passed_on(handed: &HandedSessions) -> Vec<HandedSessions> {
        let (own, other) = HandoverChannel::pair().unwrap();
        let other = HandoverChannel::adopt(other.into_descriptor()).unwrap();
        let mut arrived = Vec::new();
        for (message, sockets) in packets(handed) {
            own.send(&FromPredecessor::Sessions(message), &sockets).unwrap();
            let Heard::Message(FromPredecessor::Sessions(message), sockets) = other.hear().unwrap() else {
                panic!()
            };
            collect(message, sockets, &mut arrived);
        }
        arrived
    }

    #[test]
    fn sessions_arrive_with_their_own_sockets() {
        let long = "g".repeat(128);
        let groups = [None, Some("app"), Some(long.as_str())];
        let sessions = (0..200).map(|number| session(number, groups[usize::from(number) % 3])).collect();
        let handed = HandedSessions { socket: 77, worker: 1, lost: 4, sessions, quic: None };
        let arrived = passed_on(&handed);
        let [arrived] = &arrived[..] else { panic!("{arrived:?}") };
        assert_eq!((arrived.socket, arrived.lost, arrived.sessions.len()), (77, 4, 200));
        let port = |session: &HandedSession| {
            let upstream = session.upstream.as_ref()?;
            let socket = UdpSocket::from(upstream.socket.try_clone().unwrap());
            Some((upstream.group.clone(), upstream.identity, socket.local_addr().unwrap()))
        };
        for (sent, arrived) in handed.sessions.iter().zip(&arrived.sessions) {
            assert_eq!(port(sent), port(arrived));
            assert_eq!(
                packet((0, 0), std::slice::from_ref(sent)).0,
                packet((0, 0), std::slice::from_ref(arrived)).0
            );
        }
    }

    #[test]
    fn many_connections_begun_a_moment_ago_fit_into_a_packet() {
        let way = UdpSocket::bind("127.0.0.1:0").unwrap().into();
        let beginnings =
            (0..1_024_u32).map(|number| [&[255; 16][..], &number.to_be_bytes()].concat()).collect();
        let quic = Some(HandedQuic { way, beginnings });
        let handed = HandedSessions { socket: u64::MAX, lost: u32::MAX, quic, ..HandedSessions::default() };
        let arrived = passed_on(&handed);
        let told = &arrived[0].quic.as_ref().unwrap().beginnings;
        assert_eq!(
            (told.len(), &told[MAX_BEGINNINGS - 1][16..]),
            (MAX_BEGINNINGS, &1_023_u32.to_be_bytes()[..])
        );
    }

    #[test]
    fn a_socket_without_sessions_tells_what_it_has_lost() {
        let handed = HandedSessions { socket: 1, lost: 2, ..HandedSessions::default() };
        let [(message, sockets)] = &packets(&handed)[..] else { panic!() };
        assert_eq!((message.lost, message.sessions.len(), sockets.len()), (2, 0, 0));
    }
}
