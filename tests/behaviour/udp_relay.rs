//! Datagrams that are relayed: both ways, from the address that was asked, and in pieces of many.

use crate::hand_over::metric;
use crate::support::{PATIENCE, Relayed, UdpBackend, UdpClient, eventually, log_entries};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc;
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

/// The client and the asked address in a header of version 2 of the PROXY protocol for UDP over IPv4, and what is behind it.
fn proxied(datagram: &[u8]) -> ((SocketAddr, SocketAddr), &[u8]) {
    assert_eq!(&datagram[..12], b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(&datagram[12..14], &[0x21, 0x12], "PROXY, and datagrams over IPv4");
    let length = usize::from(u16::from_be_bytes([datagram[14], datagram[15]]));
    let ip = |at: usize| <[u8; 4]>::try_from(&datagram[at..at + 4]).expect("four bytes");
    let port = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    let ends = ((ip(16), port(24)).into(), (ip(20), port(26)).into());
    (ends, &datagram[16 + length..])
}

#[test]
fn each_datagram_tells_the_backend_of_its_client() {
    let backend = UdpBackend::answering(|came| {
        let ((client, asked), payload) = proxied(came);
        vec![format!("{client} {asked} {}", String::from_utf8_lossy(payload)).into_bytes()]
    });
    let relayed = |listener: &str| {
        Relayed::udp(&[backend.address()]).address(listener).group("proxy_protocol = \"v2\"").start()
    };
    let ringway = relayed("127.0.0.1:0");
    let client = UdpClient::connect(ringway.address());
    let (own, asked) = (client.local_address(), ringway.address());
    assert_eq!(client.ask("x"), format!("{own} {asked} x"));
    // Of several that come as one piece, each has a header.
    client.cut_into(2);
    client.send("aabbc");
    for part in ["aa", "bb", "c"] {
        assert_eq!(client.receive_text(), format!("{own} {asked} {part}"));
    }
    // The address that was asked is told, not that of the socket.
    let everywhere = relayed("0.0.0.0:0");
    let asked = SocketAddr::new([127, 0, 0, 3].into(), everywhere.address().port());
    let client = UdpClient::connect(asked);
    assert_eq!(client.ask("y"), format!("{} {asked} y", client.local_address()));
}

#[test]
fn probes_say_that_they_speak_for_nobody() {
    let (sender, probes) = mpsc::channel();
    let backend = UdpBackend::answering(move |came| {
        let _ = sender.send(came.to_vec());
        vec![b"pong".to_vec()]
    });
    let check =
        "[server_group.health_check]\ninterval = \"1s\"\npayload = \"ping\"\nexpect_payload = \"pong\"";
    let _ringway = Relayed::udp(&[backend.address()]).group("proxy_protocol = \"v2\"").table(check).start();
    let came = probes.recv_timeout(PATIENCE).expect("it is probed");
    assert_eq!(came, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0ping");
}

#[test]
fn what_goes_beyond_the_bandwidth_is_lost_and_counted() {
    let backend = UdpBackend::echo("");
    for line in
        ["bandwidth_bytes_per_second = \"10KB\"", "per_client = { bandwidth_bytes_per_second = \"10KB\" }"]
    {
        let admin = "[admin]\nsocket = \"admin.sock\"\naddress = \"127.0.0.1:0\"";
        let ringway = Relayed::udp(&[backend.address()]).listener(line).table(admin).start();
        let client = UdpClient::connect(ringway.address());
        let before = backend.received();
        // Ten times what may pass in a second comes at once.
        (0..100).for_each(|_| client.send([b'x'; 1_000]));
        let mut answers = 0;
        while client.receive_within(Duration::from_millis(300)).is_some() {
            answers += 1;
        }
        // What was not used in a quarter of a second is there, and one more piece.
        assert!((2..=6).contains(&answers), "{line}: {answers}");
        assert_eq!(backend.received() - before, answers, "{line}");
        // It is not for ever.
        assert_eq!(client.ask_again_and_again("y"), "y");
        let lost = "ringway_datagrams_dropped_total{listener=\"relay\",reason=\"bandwidth_limit\"}";
        assert!(metric(&ringway, lost) >= 94, "{line}");
    }
}

#[test]
fn whoever_gets_no_session_takes_no_bandwidth_of_others() {
    let backend = UdpBackend::echo("");
    let ringway = Relayed::udp(&[backend.address()])
        .listener("bandwidth_bytes_per_second = \"20KB\"\ndeny = [\"bad\"]")
        .table("[[ip_group]]\nname = \"bad\"\nentries = [\"127.0.0.66\"]")
        .start();
    let flood = UdpClient::connect_from("127.0.0.66".parse().expect("an address"), ringway.address());
    (0..200).for_each(|_| flood.send([b'x'; 1_000]));
    assert_eq!(UdpClient::connect(ringway.address()).ask("y"), "y");
}
