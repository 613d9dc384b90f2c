use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use monoio::IoUringDriver;
use monoio::LegacyDriver;
use monoio::RuntimeBuilder;

use crate::net::task;
use crate::net::udp::listening::BoundUdp;
use crate::net::udp::listening::ListeningUdp;
use crate::net::udp::listening::SharedPort;
use crate::net::udp::receive::ReceiveArena;
use crate::net::udp::steering::bind_group;
use crate::net::wake::Alarm;
use crate::net::work_budget::WorkBudget;
use crate::quic::admission::Admission;
use crate::quic::admission::Admit;
use crate::quic::connection::QuicConnection;
use crate::quic::connection_id::ConnectionIds;
use crate::quic::end::QuicEnd;
use crate::quic::endpoint::EndpointParts;
use crate::quic::endpoint::QuicEndpoint;
use crate::quic::forwarding::SteeredGroup;
use crate::quic::settings::QuicLimits;
use crate::quic::settings::QuicServer;
use crate::quic::tests::conversation::Spawn;
use crate::quic::tests::conversation::ask_for_echo;
use crate::quic::tests::conversation::client;
use crate::quic::tests::conversation::echoing;
use crate::tls::quic::kit;
use crate::tls::quic_keys::QuicKeys;

/// Runs `test` with each driver that this host has.
fn on_both_drivers<F: Future<Output = ()>>(test: impl Fn() -> F) {
    RuntimeBuilder::<LegacyDriver>::new().build().unwrap().block_on(test());
    if let Ok(mut ring) = RuntimeBuilder::<IoUringDriver>::new().build() {
        ring.block_on(test());
    }
}

fn spawn() -> Spawn {
    Rc::new(task::spawn)
}

async fn sleep(time: Duration) {
    let alarm = Alarm::new().unwrap();
    alarm.set(Some(time));
    alarm.rung().await.unwrap();
}

fn endpoint(
    socket: OwnedFd,
    ids: ConnectionIds,
    (group, keys): (&SteeredGroup, &Arc<QuicKeys>),
    admit: Admit,
) -> QuicEndpoint {
    let server = QuicServer::new(kit::server(None), keys, QuicLimits::default()).unwrap();
    let parts = EndpointParts {
        socket: ListeningUdp::new(socket).unwrap().without_fragments().unwrap(),
        ids,
        keys: Arc::clone(keys),
        offer: Box::new(move || Some(server.clone())),
        group: group.clone(),
        admit,
        handshakes: WorkBudget::new(8).unwrap(),
        arena: Rc::new(RefCell::new(ReceiveArena::default())),
    };
    QuicEndpoint::start(parts).unwrap()
}

/// The endpoints of sockets that share a port.
fn endpoints(bound: Vec<BoundUdp>) -> Vec<QuicEndpoint> {
    let count = bound.len();
    endpoints_of_workers(bound, count)
}

/// The same, where the last of so many have no socket of their own.
fn endpoints_of_workers(bound: Vec<BoundUdp>, workers: usize) -> Vec<QuicEndpoint> {
    let sockets = bound.into_iter().map(|bound| bound.socket).collect();
    endpoints_of_process(sockets, workers, 0, &Arc::new(QuicKeys::new(None)))
}

fn endpoints_of_process(
    mut sockets: Vec<OwnedFd>,
    workers: usize,
    generation: u8,
    keys: &Arc<QuicKeys>,
) -> Vec<QuicEndpoint> {
    let group = SteeredGroup::new(sockets.len() as u32, workers as u32).unwrap();
    let shared: Vec<_> = sockets.iter().cycle().take(workers - sockets.len()).collect();
    let shared: Vec<_> = shared.into_iter().map(|socket| socket.try_clone().unwrap()).collect();
    sockets.extend(shared);
    let numbered = sockets.into_iter().zip(0..);
    let start = |(socket, index)| {
        let ids = ConnectionIds::new(group.place(index), generation, keys);
        endpoint(socket, ids, (&group, keys), echoing(&spawn()))
    };
    numbered.map(start).collect()
}

fn client_endpoint() -> QuicEndpoint {
    let (group, keys) = (SteeredGroup::new(1, 1).unwrap(), Arc::new(QuicKeys::new(None)));
    let bound = BoundUdp::new("127.0.0.1:0".parse().unwrap(), false, SharedPort::No).unwrap();
    let ids = ConnectionIds::new(group.place(0), 0, &keys);
    endpoint(bound.socket, ids, (&group, &keys), Box::new(|_| Admission::Ignore))
}

async fn connected(from: &QuicEndpoint, to: SocketAddr) -> QuicConnection {
    let connection = from.connect(client(), (to, "localhost"));
    connection.handshake().await.map(drop).unwrap();
    connection
}

/// A relay, as a router that translates addresses is: at times, the server sees another one.
struct Router {
    front: ListeningUdp,
    backs: Vec<ListeningUdp>,
    /// Which one is in use.
    current: Cell<usize>,
    client: Cell<Option<SocketAddr>>,
    server: SocketAddr,
}

impl Router {
    fn start(server: SocketAddr, backs: usize) -> Rc<Router> {
        let listening = || {
            let bound = BoundUdp::new("127.0.0.1:0".parse().unwrap(), false, SharedPort::No).unwrap();
            ListeningUdp::new(bound.socket).unwrap()
        };
        let router = Rc::new(Router {
            front: listening(),
            backs: (0..backs).map(|_| listening()).collect(),
            current: Cell::new(0),
            client: Cell::new(None),
            server,
        });
        task::spawn(Rc::clone(&router).relay_requests());
        for number in 0..backs {
            task::spawn(Rc::clone(&router).relay_answers(number));
        }
        router
    }

    async fn relay_requests(self: Rc<Self>) {
        let mut arena = ReceiveArena::default();
        while self.front.ready().await.is_ok() {
            let received = self.front.receive(&mut arena, 8).unwrap();
            for piece in (0..received).filter_map(|index| arena.get(index)) {
                self.client.set(piece.peer);
                self.backs[self.current.get()].send(&piece.datagrams, self.server, None);
            }
        }
    }

    async fn relay_answers(self: Rc<Self>, number: usize) {
        let mut arena = ReceiveArena::default();
        while self.backs[number].ready().await.is_ok() {
            let received = self.backs[number].receive(&mut arena, 8).unwrap();
            for piece in (0..received).filter_map(|index| arena.get(index)) {
                self.front.send(&piece.datagrams, self.client.get().unwrap(), None);
            }
        }
    }
}

#[test]
fn sockets_carry_connections() {
    on_both_drivers(|| async {
        let server = endpoints(bind_group("127.0.0.1:0".parse().unwrap(), false, 1).unwrap());
        let client = client_endpoint();
        let connection = connected(&client, server[0].address()).await;
        ask_for_echo(&connection, 20, 3_000, &spawn()).await;
        ask_for_echo(&connection, 1, 5_000_000, &spawn()).await;
        let counters = server[0].counters();
        assert_eq!((counters.accepted, counters.forwarded, counters.lost_forwarding), (1, 0, 0));
        assert!(counters.received_datagrams > 3_000 && counters.sent_datagrams > 3_000, "{counters:?}");
    });
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    on_both_drivers(|| async {
        let server = endpoints(bind_group("0.0.0.0:0".parse().unwrap(), false, 1).unwrap());
        let client = client_endpoint();
        let asked = SocketAddr::new("127.0.0.9".parse().unwrap(), server[0].address().port());
        let connection = connected(&client, asked).await;
        ask_for_echo(&connection, 1, 100_000, &spawn()).await;
        assert_eq!(connection.peer_address(), asked);
    });
}

#[test]
fn the_kernel_finds_the_worker_of_a_client_that_has_moved() {
    on_both_drivers(|| async {
        let server = endpoints(bind_group("127.0.0.1:0".parse().unwrap(), false, 4).unwrap());
        let router = Router::start(server[0].address(), 8);
        let client = client_endpoint();
        let connection = connected(&client, router.front.address()).await;
        for number in 0..8 {
            router.current.set(number);
            ask_for_echo(&connection, 1, 20_000, &spawn()).await;
        }
        assert!(server.iter().all(|endpoint| endpoint.counters().forwarded == 0));
        // Our client answers what came to an id that it has just given up with a reset, which has no id at all.
        let received = |endpoint: &&QuicEndpoint| endpoint.counters().received_datagrams > 20;
        assert_eq!(server.iter().filter(received).count(), 1);
    });
}

#[test]
fn workers_hand_each_other_what_is_not_theirs() {
    on_both_drivers(|| async {
        // Nothing steers, so the kernel hashes addresses.
        let first = BoundUdp::new("127.0.0.1:0".parse().unwrap(), false, SharedPort::Yes).unwrap();
        let mut bound = vec![];
        for _ in 1..4 {
            bound.push(BoundUdp::new(first.address, false, SharedPort::Yes).unwrap());
        }
        bound.insert(0, first);
        let server = endpoints(bound);
        let router = Router::start(server[0].address(), 16);
        let client = client_endpoint();
        let connection = connected(&client, router.front.address()).await;
        for number in 0..16 {
            router.current.set(number);
            ask_for_echo(&connection, 1, 20_000, &spawn()).await;
        }
        let forwarded: u64 = server.iter().map(|endpoint| endpoint.counters().forwarded).sum();
        assert!(forwarded > 0);
        assert_eq!(server.iter().map(|endpoint| endpoint.counters().accepted).sum::<u64>(), 1);
    });
}

#[test]
fn workers_without_a_socket_have_connections_too() {
    on_both_drivers(|| async {
        let bound = bind_group("127.0.0.1:0".parse().unwrap(), false, 2).unwrap();
        let server = endpoints_of_workers(bound, 5);
        let client = client_endpoint();
        let mut connections = Vec::new();
        for _ in 0..40 {
            let connection = connected(&client, server[0].address()).await;
            ask_for_echo(&connection, 2, 20_000, &spawn()).await;
            connections.push(connection);
        }
        // Content beyond what may be on its way at a time.
        ask_for_echo(&connections[39], 1, 5_000_000, &spawn()).await;
        let accepted: Vec<_> = server.iter().map(|endpoint| endpoint.counters().accepted).collect();
        assert!(accepted.iter().all(|accepted| *accepted > 0), "{accepted:?}");
        assert_eq!(accepted.iter().sum::<u64>(), 40, "each has begun once");
        let counters: Vec<_> = server.iter().map(QuicEndpoint::counters).collect();
        assert!(counters.iter().all(|counters| counters.lost_forwarding == 0), "{counters:?}");
        // Who has no socket counts nothing for it.
        assert_eq!(server.iter().filter(|endpoint| endpoint.has_socket()).count(), 2);
        assert!(server[2..].iter().all(|endpoint| endpoint.counters().forwarded == 0));
    });
}

#[test]
fn connections_of_the_process_before_are_heard_whichever_worker_has_them() {
    on_both_drivers(|| async {
        let keys = Arc::new(QuicKeys::new(None));
        let bound = bind_group("127.0.0.1:0".parse().unwrap(), false, 2).unwrap();
        let sockets: Vec<_> = bound.into_iter().map(|bound| bound.socket).collect();
        let lent = sockets.iter().map(|socket| socket.try_clone().unwrap()).collect();
        let old = endpoints_of_process(sockets, 3, 0, &keys);
        let client = client_endpoint();
        let mut connections = Vec::new();
        for _ in 0..20 {
            connections.push(connected(&client, old[0].address()).await);
        }
        let new = endpoints_of_process(lent, 5, 1, &keys);
        let mut told = HashSet::new();
        for (old, new) in old.iter().zip(&new).filter(|(old, _)| old.has_socket()) {
            let (way, beginnings) = old.hand_over().unwrap();
            told.extend(beginnings.clone());
            new.follow(way, beginnings).unwrap();
        }
        // Whichever endpoint has accepted them.
        assert_eq!(told.len(), 20);
        for connection in &connections {
            ask_for_echo(connection, 2, 20_000, &spawn()).await;
        }
        for _ in 0..40 {
            connections.push(connected(&client, old[0].address()).await);
        }
        let accepted = |endpoints: &[QuicEndpoint]| -> Vec<u64> {
            endpoints.iter().map(|endpoint| endpoint.counters().accepted).collect()
        };
        assert!(old.iter().all(|endpoint| endpoint.counters().accepted > 0), "{:?}", accepted(&old));
        assert!(new.iter().all(|endpoint| endpoint.counters().accepted > 0), "{:?}", accepted(&new));
        let all = accepted(&old).iter().sum::<u64>() + accepted(&new).iter().sum::<u64>();
        assert_eq!(all, 60, "each has begun once");
    });
}

#[test]
fn who_has_a_socket_stays_for_those_who_have_none() {
    on_both_drivers(|| async {
        let bound = bind_group("127.0.0.1:0".parse().unwrap(), false, 1).unwrap();
        let mut server = endpoints_of_workers(bound, 3);
        let is_needed =
            |endpoints: &[QuicEndpoint]| endpoints.iter().map(QuicEndpoint::is_needed).collect::<Vec<_>>();
        assert_eq!(is_needed(&server), [true, false, false]);
        server[1].end(0, b"").await;
        assert_eq!(is_needed(&server), [true, false, false]);
        drop(server.pop());
        assert_eq!(is_needed(&server), [false, false]);
        // Where each has one, nobody does.
        let each = endpoints(bind_group("127.0.0.1:0".parse().unwrap(), false, 2).unwrap());
        assert_eq!(is_needed(&each), [false, false]);
    });
}

#[test]
fn clients_are_told_of_the_end() {
    on_both_drivers(|| async {
        let mut server = endpoints(bind_group("127.0.0.1:0".parse().unwrap(), false, 1).unwrap());
        let client = client_endpoint();
        let mut connections = Vec::new();
        for _ in 0..10 {
            let connection = connected(&client, server[0].address()).await;
            // The server is done with the handshake, too.
            ask_for_echo(&connection, 1, 10, &spawn()).await;
            connections.push(connection);
        }
        let server = server.pop().unwrap();
        assert_eq!(server.connections(), 10);
        server.end(0x100, b"upgrade").await;
        for connection in connections {
            assert_eq!(connection.closed().await, QuicEnd::ClosedByPeer(0x100));
        }
    });
}

#[test]
fn no_alarm_goes_off_without_connections() {
    on_both_drivers(|| async {
        let server = endpoints(bind_group("127.0.0.1:0".parse().unwrap(), false, 1).unwrap());
        let client = client_endpoint();
        let connection = connected(&client, server[0].address()).await;
        assert!(server[0].is_armed());
        connection.close(1, b"");
        while server[0].connections() + client.connections() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        sleep(Duration::from_millis(50)).await;
        assert!(!server[0].is_armed() && !client.is_armed());
    });
}
