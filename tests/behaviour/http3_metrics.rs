//! What metrics tell of HTTP/3.

use crate::metrics::samples;
use crate::support::{Backend, Http3, PATIENCE, Ringway, Scenario, eventually};
use std::collections::BTreeMap;
use std::net::UdpSocket;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

const HERE: &str = "[[ip_group]]\nname = \"here\"\nentries = [\"127.0.0.0/8\"]";

fn scenario(backend: &Backend) -> Scenario {
    Scenario::of(backend).http3().table(ADMIN)
}

fn handshakes(outcome: &str) -> String {
    format!("ringway_quic_handshakes_total{{listener=\"web\",outcome=\"{outcome}\"}}")
}

/// The samples once this one is as large.
fn samples_with(ringway: &Ringway, name: &str, least: f64) -> BTreeMap<String, f64> {
    eventually(name, || samples(ringway).get(name).is_some_and(|value| *value >= least));
    samples(ringway)
}

#[test]
fn datagrams_and_handshakes_are_counted() {
    let backend = Backend::echo_body();
    let ringway = scenario(&backend).start();
    let before = samples(&ringway);
    assert_eq!(before.get(&handshakes("accepted")), Some(&0.0), "they are there from the start");
    let mut clients = [(); 2].map(|()| Http3::connect(ringway.address()));
    let content = vec![b'x'; 100_000];
    assert!(clients.iter_mut().all(|client| client.post("/", &content).status == 200));
    let bytes =
        |direction| format!("ringway_client_bytes_total{{listener=\"web\",direction=\"{direction}\"}}");
    let datagrams =
        |direction| format!("ringway_quic_datagrams_total{{listener=\"web\",direction=\"{direction}\"}}");
    let after = samples_with(&ringway, &bytes("sent"), 200_000.0);
    assert_eq!(after[&handshakes("accepted")], 2.0);
    assert_eq!(after["ringway_connections{listener=\"web\"}"], 2.0);
    for direction in ["received", "sent"] {
        let (bytes, datagrams) = (after[&bytes(direction)], after[&datagrams(direction)]);
        // The longest that there may be, and many that only acknowledge.
        assert!((200_000.0..400_000.0).contains(&bytes), "{direction}: {bytes}");
        assert!(datagrams >= bytes / 65_527.0 && datagrams <= bytes / 20.0, "{direction}: {datagrams}");
    }
    let lost = after.iter().filter(|(name, _)| name.starts_with("ringway_quic_datagrams_lost_total"));
    assert_eq!(lost.count(), 4);
    // As many as `ringway check` expects of a listener with HTTP/3.
    assert_eq!(after.keys().filter(|name| name.starts_with("ringway_quic_")).count(), 13);
}

#[test]
fn who_does_not_get_in_is_counted() {
    let backend = Backend::echo_body();
    let ringway = scenario(&backend).listener("deny = [\"here\"]").table(HERE).start();
    // What offers another version is answered before anybody is asked.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.set_read_timeout(Some(PATIENCE)).expect("it takes a time");
    let of_another_version = [&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8][..], &[7; 8], &[0], &[0; 1200]].concat();
    socket.send_to(&of_another_version, ringway.address()).expect("it is sent");
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer).expect("version negotiation");
    assert_eq!(answer.get(1..5), Some(&[0; 4][..]), "{:?}", answer.get(..length));
    let sent =
        samples_with(&ringway, "ringway_quic_datagrams_total{listener=\"web\",direction=\"sent\"}", 1.0);
    assert_eq!(sent[&handshakes("ignored")], 0.0);
    let address = ringway.address();
    let client = std::thread::spawn(move || std::panic::catch_unwind(|| Http3::connect(address)).is_ok());
    let ignored = samples_with(&ringway, &handshakes("ignored"), 1.0);
    assert_eq!(ignored[&handshakes("accepted")], 0.0);
    drop(ringway);
    assert!(!client.join().expect("it has ended"), "it is not let in");
}

/// A client that may be lying about its address takes no place from others.
#[test]
fn where_places_are_few_clients_show_their_address_first() {
    let backend = Backend::echo_body();
    let ringway = scenario(&backend).listener("max_connections = 10").start();
    assert_eq!(Http3::connect(ringway.address()).get("/").status, 200);
    let after = samples_with(&ringway, &handshakes("retried"), 1.0);
    assert_eq!(after[&handshakes("accepted")], 1.0);
}
