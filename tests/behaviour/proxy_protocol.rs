//! The PROXY header in front of a connection's first request.

use crate::support::{Client, Ringway, Scenario, log_entries, over_tls, recording};
use std::time::Duration;

fn accepting()
-> (Ringway, std::sync::mpsc::Receiver<(crate::support::Head, Vec<u8>)>, crate::support::Backend) {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend)
        .listener("proxy_protocol = \"accept\"")
        .listener("client_header_timeout = \"1s\"")
        .forwarded("x_forwarded_client_srcport = true")
        .logged("json")
        .start();
    (ringway, received, backend)
}

/// Asks right behind the header, in one segment with it where no handshake comes between.
fn asking_behind(ringway: &Ringway, header: &[u8]) -> Client {
    if over_tls() {
        let mut client = Client::connect_behind(ringway.address(), header);
        client.send(GET);
        return client;
    }
    let mut client = Client::connect(ringway.address());
    client.send([header, GET].concat());
    client
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn version_2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

const FOUR: &[u8] = &[192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0, 80];

#[test]
fn both_versions_name_the_client() {
    let (ringway, received, _backend) = accepting();
    let mut six = [0; 36];
    six[..16].copy_from_slice(&std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9).octets());
    six[32..34].copy_from_slice(&999u16.to_be_bytes());
    let long = [FOUR, &[0x04, 0x0f, 0xf1], &[0; 4081]].concat();
    for (header, client, port) in [
        (b"PROXY TCP4 192.0.2.1 127.0.0.1 1111 80\r\n".to_vec(), "192.0.2.1", "1111"),
        (b"PROXY TCP6 2001:db8::7 ::1 2222 80\r\n".to_vec(), "2001:db8::7", "2222"),
        (version_2(1, 0x11, FOUR), "192.0.2.7", "4660"),
        (version_2(1, 0x21, &six), "2001:db8::9", "999"),
        (version_2(1, 0x11, &long), "192.0.2.7", "4660"),
    ] {
        let mut client_side = asking_behind(&ringway, &header);
        assert_eq!(client_side.read_response().status, 200, "{client}");
        client_side.send(GET);
        assert_eq!(client_side.read_response().status, 200, "the second request has no header");
        for _ in 0..2 {
            let (head, _) = received.recv().expect("a request");
            assert_eq!(head.field("x-forwarded-for"), Some(client));
            assert_eq!(head.field("x-forwarded-client-srcport"), Some(port));
        }
    }
    assert_eq!(log_entries(&ringway, 1)[0]["client_ip"], "192.0.2.1");
}

#[test]
fn local_and_unknown_leave_the_peer_as_it_is() {
    let (ringway, received, _backend) = accepting();
    for header in [version_2(0, 0, &[]), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut client = Client::connect_behind(ringway.address(), &header);
        std::thread::sleep(Duration::from_millis(20));
        client.send(GET);
        assert_eq!(client.read_response().status, 200);
        assert_eq!(received.recv().expect("a request").0.field("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_header_in_pieces_is_read() {
    if over_tls() {
        // What follows the header has a test of its own.
        return;
    }
    let (ringway, _received, _backend) = accepting();
    for header in [version_2(1, 0x11, FOUR), b"PROXY TCP4 192.0.2.1 127.0.0.1 1111 80\r\n".to_vec()] {
        let mut client = Client::connect(ringway.address());
        let all = [&header, GET].concat();
        client.send_slowly(all.chunks(7), Duration::from_millis(2));
        assert_eq!(client.read_response().status, 200);
    }
}

#[test]
fn without_a_valid_header_nothing_is_served_nor_answered() {
    let (ringway, received, _backend) = accepting();
    for bytes in [
        GET.to_vec(),
        [b"PROXY TCP4 1.2.3 127.0.0.1 1 2\r\n", GET].concat(),
        [b"PROXY TCP4 192.0.2.1 127.0.0.1 1111 80\n", GET].concat(),
        [&version_2(1, 0x11, &FOUR[..8]), GET].concat(),
        [&version_2(7, 0x11, FOUR), GET].concat(),
        b"PROXY ".to_vec(),
        Vec::new(),
    ] {
        let mut client = Client::connect_in_the_clear(ringway.address());
        client.send(&bytes);
        client.expect_closed();
    }
    assert!(received.try_recv().is_err());
}

#[test]
fn a_listener_that_does_not_accept_it_refuses_it() {
    if over_tls() {
        // To such a listener, it is a bad handshake.
        return;
    }
    let (backend, received) = recording();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    for header in [version_2(1, 0x11, FOUR), b"PROXY TCP4 192.0.2.1 127.0.0.1 1111 80\r\n".to_vec()] {
        let mut client = Client::connect(ringway.address());
        client.send([&header, GET].concat());
        assert_eq!(client.read_response().status, 400);
        client.expect_closed();
    }
    assert!(received.try_recv().is_err());
}
