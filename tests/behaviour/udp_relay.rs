//! Datagrams that are relayed: both ways, from the address that was asked, and in pieces of many.

use crate::support::{Relayed, UdpBackend, UdpClient, eventually, log_entries};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

#[test]
fn datagrams_go_both_ways_and_the_line_tells_of_them() {
    let backend = UdpBackend::echo("b:");
    let ringway = Relayed::udp(&[backend.address()]).listener("idle_timeout = \"1s\"").start();
    let client = UdpClient::connect(ringway.address());
    for text in ["a", "", "bc", &"d".repeat(9_000), &"e".repeat(60_000)] {
        assert_eq!(client.ask(text), format!("b:{text}"));
    }
    let line = &log_entries(&ringway, 1)[0];
    assert_eq!(line["request_length"], 69_003, "{line}");
    assert_eq!(line["bytes_sent"], 69_013, "{line}");
    assert_eq!((&line["datagrams_received"], &line["datagrams_sent"]), (&5.into(), &5.into()), "{line}");
    for (field, value) in [
        ("client_ip", "127.0.0.1"),
        ("scheme", "udp"),
        ("server_protocol", "UDP"),
        ("listener", "relay"),
        ("server_group", "app"),
        ("reason", "idle_timeout"),
        ("upstream_addr", &backend.address().to_string()),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    let port = client.local_address().port();
    assert_eq!((&line["client_port"], &line["status"]), (&port.into(), &200.into()), "{line}");
    assert!(line["request_time"].as_f64().is_some_and(|seconds| (1.0..5.0).contains(&seconds)), "{line}");
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let backend = UdpBackend::echo("");
    let ringway = Relayed::udp(&[backend.address()]).address("[::]:0").start();
    let port = ringway.address().port();
    // One socket asks several addresses of the host: each has a session of its own.
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    for host in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        let asked = SocketAddr::new(host.parse().expect("an address"), port);
        client.send_to(host.as_bytes(), asked).expect("it can be sent");
        let mut buffer = [0; 64];
        let (length, from) = client.recv_from(&mut buffer).expect("an answer");
        assert_eq!((&buffer[..length], from), (host.as_bytes(), asked));
    }
    let of_ipv6 = UdpClient::connect(SocketAddr::new("::1".parse().expect("an address"), port));
    assert_eq!(of_ipv6.ask("six"), "six");
}

#[test]
fn what_is_sent_as_one_piece_arrives_datagram_by_datagram() {
    let backend = UdpBackend::answering(|came| vec![came.to_vec()]);
    let ringway = Relayed::udp(&[backend.address()]).start();
    let client = UdpClient::connect(ringway.address());
    client.cut_into(1_000);
    for size in [1_000, 1_001, 64_000, 37_777] {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at / 1_000) as u8).collect();
        client.send(&bytes);
        for part in bytes.chunks(1_000) {
            assert_eq!(client.receive(), part);
        }
    }
}

#[test]
fn a_backend_may_answer_several_times_and_late() {
    let backend = UdpBackend::answering(|came| {
        (0..came.len()).map(|number| format!("{number}").into_bytes()).collect()
    });
    let ringway = Relayed::udp(&[backend.address()]).start();
    let client = UdpClient::connect(ringway.address());
    client.send("xxx");
    let answers: Vec<_> = (0..3).map(|_| client.receive_text()).collect();
    assert_eq!(answers, ["0", "1", "2"]);
}

#[test]
fn clients_have_sessions_of_their_own() {
    let backends = [UdpBackend::echo("1:"), UdpBackend::echo("2:")];
    let ringway = Relayed::udp(&backends.each_ref().map(UdpBackend::address)).start();
    let clients: Vec<_> = (0..8).map(|_| UdpClient::connect(ringway.address())).collect();
    let first: Vec<_> = clients.iter().map(|client| client.ask("x")).collect();
    assert_eq!(first.iter().filter(|answer| *answer == "1:x").count(), 4, "{first:?}");
    // A session stays with its backend.
    for _ in 0..3 {
        assert_eq!(clients.iter().map(|client| client.ask("x")).collect::<Vec<_>>(), first);
    }
}

#[test]
fn an_address_decides_where_its_sessions_go() {
    let backends = [UdpBackend::echo("1:"), UdpBackend::echo("2:"), UdpBackend::echo("3:")];
    for line in ["algorithm = \"source_ip_hash\"", "sticky = { mode = \"source_ip\" }"] {
        let ringway = Relayed::udp(&backends.each_ref().map(UdpBackend::address)).group(line).start();
        for host in 1..12 {
            let from: IpAddr = format!("127.0.0.{host}").parse().expect("an address");
            let ask = || UdpClient::connect_from(from, ringway.address()).ask("x");
            let first = ask();
            assert!((0..4).all(|_| ask() == first), "{line} {host}");
        }
    }
}

#[test]
fn a_connection_id_decides_whoever_sends() {
    let backends = [UdpBackend::echo("1:"), UdpBackend::echo("2:")];
    let addresses = backends.each_ref().map(UdpBackend::address);
    let key = "algorithm = \"consistent_hash\"\nhash_key = { quic_cid = { offset = 1, length = 2 } }";
    let ringway = Relayed::udp(&addresses).group(key).start();
    let mut found = BTreeSet::new();
    for id in 0..20 {
        // Packets with short headers, of clients that differ in the rest of the ID.
        let asked = [format!("@a{id:02}x"), format!("@b{id:02}y")];
        let answers = asked.map(|packet| UdpClient::connect(ringway.address()).ask(packet));
        assert_eq!(answers[0][..2], answers[1][..2], "{id}");
        found.insert(answers[0][..2].to_owned());
    }
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn workers_share_what_comes() {
    let backend = UdpBackend::echo("");
    let ringway = Relayed::udp(&[backend.address()]).process("workers = 2").listener("responses = 1").start();
    for number in 0..40 {
        let client = UdpClient::connect(ringway.address());
        assert_eq!(client.ask(format!("{number}")), number.to_string());
    }
    eventually("both have served", || {
        let entries = log_entries(&ringway, 40);
        [0, 1].iter().all(|worker| entries.iter().any(|entry| entry["worker"] == *worker))
    });
}
