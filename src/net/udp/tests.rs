use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::time::Duration;

use monoio::IoUringDriver;
use monoio::LegacyDriver;
use monoio::RuntimeBuilder;

use crate::net::address::ConnectSource;
use crate::net::udp::connected::ConnectedUdp;
use crate::net::udp::connected::PeerError;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::listening::BoundUdp;
use crate::net::udp::listening::ListeningUdp;
use crate::net::udp::listening::SharedPort;
use crate::net::udp::readiness::ReadyEvents;
use crate::net::udp::readiness::ReadySet;
use crate::net::udp::receive::ReceiveArena;
use crate::net::udp::send::SendFailure;

/// Runs `test` with each driver that this host has.
fn on_both_drivers<F: Future<Output = ()>>(test: impl Fn() -> F) {
    RuntimeBuilder::<LegacyDriver>::new().build().unwrap().block_on(test());
    if let Ok(mut ring) = RuntimeBuilder::<IoUringDriver>::new().build() {
        ring.block_on(test());
    }
}

fn listening(address: &str) -> (ListeningUdp, SocketAddr) {
    let bound = BoundUdp::new(address.parse().unwrap(), true, SharedPort::No).unwrap();
    assert!(bound.receive_buffer > 0 && bound.send_buffer > 0);
    (ListeningUdp::new(bound.socket).unwrap(), bound.address)
}

fn client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

/// Everything that waits on a socket, one by one.
fn all(arena: &ReceiveArena, received: usize) -> Vec<Vec<u8>> {
    let pieces = (0..received).filter_map(|index| arena.get(index));
    pieces.flat_map(|piece| piece.datagrams.each().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect()
}

#[test]
fn datagrams_are_counted_and_split() {
    let three = Datagrams { bytes: b"aabbc", segment: 2, ecn: 1 };
    assert_eq!(three.count(), 3);
    assert_eq!(three.each().collect::<Vec<_>>(), [&b"aa"[..], b"bb", b"c"]);
    let (first, rest) = three.split(2);
    assert_eq!((first.bytes, rest.map(|rest| rest.bytes)), (&b"aabb"[..], Some(&b"c"[..])));
    assert_eq!(three.split(3), (three, None));
    let empty = Datagrams::single(b"");
    assert_eq!((empty.count(), empty.each().count(), empty.split(1)), (1, 1, (empty, None)));
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    on_both_drivers(|| async {
        for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.7"), ("[::]:0", "127.0.0.9"), ("[::]:0", "::1")] {
            let (socket, address) = listening(wildcard);
            let asked = SocketAddr::new(asked.parse::<IpAddr>().unwrap(), address.port());
            let client = client(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
            client.send_to(b"ask", asked).unwrap();
            socket.ready().await.unwrap();
            let mut arena = ReceiveArena::default();
            assert_eq!(socket.receive(&mut arena, 8).unwrap(), 1);
            let received = arena.get(0).unwrap();
            assert_eq!(received.datagrams.bytes, b"ask");
            assert_eq!(received.peer, Some(client.local_addr().unwrap()));
            assert_eq!(received.local.map(|local| local.ip), Some(asked.ip()));
            let sent = socket.send(&Datagrams::single(b"answer"), received.peer.unwrap(), received.local);
            assert_eq!((sent.sent, sent.error), (1, None));
            let mut buffer = [0; 16];
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&b"answer"[..], asked));
            assert!(arena.get(1).is_none());
        }
    });
}

#[test]
fn many_datagrams_travel_as_one_piece() {
    on_both_drivers(|| async {
        let (socket, address) = listening("127.0.0.1:0");
        let peer = ConnectedUdp::connect(address, ConnectSource::Any).unwrap();
        let bytes: Vec<u8> = (0..10_050).map(|place| (place / 1_000) as u8).collect();
        let sent = peer.send(&Datagrams { bytes: &bytes, segment: 1_000, ecn: 2 });
        assert_eq!((sent.sent, sent.error), (11, None));
        socket.ready().await.unwrap();
        let mut arena = ReceiveArena::default();
        let received = socket.receive(&mut arena, 32).unwrap();
        assert_eq!(all(&arena, received).concat(), bytes);
        let first = arena.get(0).unwrap();
        assert_eq!((first.datagrams.segment, first.datagrams.ecn), (1_000, 2));
        // One piece there, and one piece back.
        assert_eq!((received, first.datagrams.count()), (1, 11));
        let sent = socket.send(&first.datagrams, first.peer.unwrap(), first.local);
        assert_eq!((sent.sent, sent.error), (11, None));
        let mut other = ReceiveArena::default();
        let back = peer.receive(&mut other, 32).unwrap();
        assert_eq!((back, all(&other, back).concat()), (1, bytes));
    });
}

#[test]
fn what_cannot_leave_as_one_piece_leaves_one_by_one() {
    on_both_drivers(|| async {
        let (socket, address) = listening("127.0.0.1:0");
        let peer = ConnectedUdp::connect(address, ConnectSource::Any).unwrap();
        // More segments than the kernel takes at a time, and more bytes.
        for (count, segment) in [(200, 4), (40, 2_000)] {
            let bytes = vec![7; count * segment];
            let sent = peer.send(&Datagrams { bytes: &bytes, segment, ecn: 0 });
            assert_eq!((sent.sent, sent.error), (count, None));
            let mut arena = ReceiveArena::default();
            let mut came = 0;
            while came < count {
                socket.ready().await.unwrap();
                let received = socket.receive(&mut arena, 32).unwrap();
                came += all(&arena, received).len();
            }
            assert_eq!(came, count);
        }
        let sent = peer.send(&Datagrams::single(&[0; 65_508]));
        assert_eq!((sent.sent, sent.error), (0, Some(SendFailure::TooLong)));
    });
}

#[test]
fn empty_datagrams_are_datagrams() {
    on_both_drivers(|| async {
        let (socket, address) = listening("[::1]:0");
        let peer = ConnectedUdp::connect(address, ConnectSource::Any).unwrap();
        assert_eq!(peer.send(&Datagrams::single(b"")).sent, 1);
        socket.ready().await.unwrap();
        let mut arena = ReceiveArena::default();
        assert_eq!(socket.receive(&mut arena, 32).unwrap(), 1);
        assert_eq!(all(&arena, 1), [b""]);
        assert_eq!(socket.receive(&mut arena, 32).unwrap(), 0);
    });
}

#[test]
fn nobody_there_is_noticed() {
    on_both_drivers(|| async {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let peer = ConnectedUdp::connect(nobody, ConnectSource::Any).unwrap();
        let set = ReadySet::new().unwrap();
        set.add(&peer, 7).unwrap();
        assert_eq!(peer.send(&Datagrams::single(b"x")).sent, 1);
        set.ready().await.unwrap();
        let mut events = ReadyEvents::default();
        set.take(&mut events);
        assert_eq!(events.tokens().collect::<Vec<_>>(), [7]);
        let mut arena = ReceiveArena::default();
        assert_eq!(peer.receive(&mut arena, 1), Err(PeerError::Refused));
        assert_eq!(peer.receive(&mut arena, 1), Ok(0));
        // The next sender hears of it, too, where nobody has received meanwhile.
        assert_eq!(peer.send(&Datagrams::single(b"x")).sent, 1);
        assert_eq!(peer.send(&Datagrams::single(b"x")).error, Some(SendFailure::Refused));
    });
}

#[test]
fn each_change_is_told_once() {
    on_both_drivers(|| async {
        let set = ReadySet::new().unwrap();
        let server = client("127.0.0.1:0");
        let peers: Vec<_> = (0..3)
            .map(|_| ConnectedUdp::connect(server.local_addr().unwrap(), ConnectSource::Any).unwrap())
            .collect();
        for (peer, token) in peers.iter().zip(0..) {
            set.add(peer, token).unwrap();
        }
        let mut events = ReadyEvents::default();
        set.take(&mut events);
        assert_eq!(events.tokens().count(), 0);
        for place in [0, 2] {
            server.send_to(b"y", peers[place].local_address().unwrap()).unwrap();
        }
        set.ready().await.unwrap();
        set.take(&mut events);
        assert_eq!((events.tokens().collect::<Vec<_>>(), events.is_full()), (vec![0, 2], false));
        set.take(&mut events);
        assert_eq!(events.tokens().count(), 0);
        drop(peers);
    });
}

#[test]
fn sockets_of_workers_share_a_port() {
    let first = BoundUdp::new("127.0.0.1:0".parse().unwrap(), false, SharedPort::Yes).unwrap();
    assert!(BoundUdp::new(first.address, false, SharedPort::Yes).is_ok());
    assert!(BoundUdp::new(first.address, false, SharedPort::No).is_err());
}

#[test]
fn a_full_queue_tells_what_it_lost() {
    on_both_drivers(|| async {
        let (socket, address) = listening("127.0.0.1:0");
        socket2::SockRef::from(&socket.lend().unwrap()).set_recv_buffer_size(4_096).unwrap();
        let peer = ConnectedUdp::connect(address, ConnectSource::Any).unwrap();
        for _ in 0..100 {
            peer.send(&Datagrams::single(&[0; 1_000]));
        }
        let mut arena = ReceiveArena::default();
        let came = socket.receive(&mut arena, 32).unwrap();
        assert!(came > 0 && came < 32);
        assert_eq!(socket.dropped() as usize, 100 - came);
    });
}
