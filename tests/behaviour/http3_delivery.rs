//! A connection of HTTP/3 does not end before the client has what was answered.

use crate::support::{Backend, Http3, PATIENCE, Ringway, Scenario, eventually};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Less than QUIC keeps until the client has it, so that the request is answered at once; much more than leaves at once.
const SIZE: usize = 200_000;
/// Longer than an end in steps takes, with the idle timeout before it.
const SILENCE: Duration = Duration::from_millis(3500);

/// A network between client and server that can lose what the server sends.
struct Network {
    address: SocketAddr,
    loses: Arc<AtomicBool>,
}

impl Network {
    fn to(server: SocketAddr) -> Network {
        let outside = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a port is free"));
        let inside = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a port is free"));
        inside.connect(server).expect("it is an address");
        let address = outside.local_addr().expect("it is bound");
        let loses = Arc::new(AtomicBool::new(false));
        let (client_side, server_side, is_lost) =
            (Arc::clone(&outside), Arc::clone(&inside), Arc::clone(&loses));
        std::thread::spawn(move || {
            let mut datagram = [0; 2048];
            // The first datagram tells where the client is; both threads end with the process.
            while let Ok((length, client)) = outside.recv_from(&mut datagram) {
                let _ = outside.connect(client);
                let _ = inside.send(&datagram[..length]);
            }
        });
        std::thread::spawn(move || {
            let mut datagram = [0; 2048];
            while let Ok(length) = server_side.recv(&mut datagram) {
                if !is_lost.load(Ordering::SeqCst) {
                    let _ = client_side.send(&datagram[..length]);
                }
            }
        });
        Network { address, loses }
    }

    fn lose(&self, loses: bool) {
        self.loses.store(loses, Ordering::SeqCst);
    }
}

/// Has a response on its way that does not arrive while `end` happens and for a while after, and looks whether it does then.
fn arrives_in_spite_of(listener: &str, end: impl Fn(&mut Ringway)) {
    let backend = Backend::per_request(|peer, head, _| {
        let size = if head.start_line.contains("/large") { SIZE } else { 1 };
        peer.respond("200 OK", &vec![b'x'; size])
    });
    let mut ringway = Scenario::of(&backend).http3().listener(listener).start();
    let network = Network::to(ringway.address());
    let mut client = Http3::connect(network.address);
    assert_eq!(client.get("/").status, 200);
    network.lose(true);
    let stream = client.request("GET", "/large", &[], true);
    eventually("the backend has it", || backend.requests() == 2);
    end(&mut ringway);
    std::thread::sleep(SILENCE);
    network.lose(false);
    assert_eq!(client.response(stream).body.len(), SIZE);
    client.quic.close(0x100, "");
}

#[test]
fn a_stop_waits_until_the_client_has_its_response() {
    arrives_in_spite_of("", |ringway| ringway.signal("TERM"));
}

#[test]
fn a_connection_on_which_a_response_is_under_way_is_not_idle() {
    arrives_in_spite_of("idle_timeout = \"2s\"", |_| {});
}

/// The client is there, and takes nothing of its response.
#[test]
fn a_response_that_nobody_takes_is_not_waited_for_without_end() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", &[b'x'; SIZE]));
    let terms = "idle_timeout = \"1s\"\nclient_body_timeout = \"1s\"";
    let mut ringway = Scenario::of(&backend).http3().listener(terms).start();
    let network = Network::to(ringway.address());
    let mut client = Http3::connect(network.address);
    assert_eq!(client.get("/").body.len(), SIZE);
    network.lose(true);
    client.request("GET", "/", &[], true);
    eventually("the backend has it", || backend.requests() == 2);
    ringway.signal("TERM");
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}
