use std::cell::Cell;
use std::cell::RefCell;
use std::net::SocketAddr;
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
use crate::quic::connection_id::SocketPlace;
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
    bound: BoundUdp,
    place: SocketPlace,
    (group, keys): (&SteeredGroup, &Arc<QuicKeys>),
    admit: Admit,
) -> QuicEndpoint {
    let server = QuicServer::new(kit::server(None), keys, QuicLimits::default()).unwrap();
    let parts = EndpointParts {
        socket: ListeningUdp::new(bound.socket).unwrap().without_fragments().unwrap(),
        ids: ConnectionIds::new(place, 0, keys),
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
    let count = bound.len() as u32;
    let (group, keys) = (SteeredGroup::new(count).unwrap(), Arc::new(QuicKeys::new(None)));
    let places = (0..).map(|index| SocketPlace { index, count });
    let numbered = bound.into_iter().zip(places);
    numbered.map(|(bound, place)| endpoint(bound, place, (&group, &keys), echoing(&spawn()))).collect()
}

fn client_endpoint() -> QuicEndpoint {
    let (group, keys) = (SteeredGroup::new(1).unwrap(), Arc::new(QuicKeys::new(None)));
    let bound = BoundUdp::new("127.0.0.1:0".parse().unwrap(), false, SharedPort::No).unwrap();
    endpoint(bound, SocketPlace { index: 0, count: 1 }, (&group, &keys), Box::new(|_| Admission::Ignore))
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
