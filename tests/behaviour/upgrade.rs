//! 101 and the tunnel behind it.

use crate::support::{Backend, Client, Peer, Ringway, Scenario, eventually, now};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Switches every connection and hands it to `tunnel`.
fn switching(tunnel: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Backend {
    Backend::script(move |peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        assert_eq!(head.field("upgrade"), Some("websocket"));
        assert!(head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
        assert!(head.field("sec-websocket-key").is_some());
        peer.write(SWITCH)?;
        tunnel(peer)
    })
}

fn upgraded(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(ASK);
    let response = client.read_response();
    assert_eq!((response.status, response.field("upgrade")), (101, Some("websocket")));
    assert!(response.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    client
}

fn echo(peer: &mut Peer) -> io::Result<()> {
    loop {
        let bytes = peer.read_some()?;
        if bytes.is_empty() {
            return Ok(());
        }
        peer.write(&bytes)?;
    }
}

#[test]
fn bytes_pass_both_ways() {
    let backend = switching(echo);
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = upgraded(ringway.address());
    for text in ["one", "GET / HTTP/1.1\r\n\r\n", "\0\0\0"] {
        client.send(text);
        assert_eq!(client.read_exactly(text.len()), text.as_bytes());
    }
    client.finish_sending();
    client.expect_closed();
}

#[test]
fn data_sent_with_the_101_arrives() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        peer.write(&[SWITCH, b"first words"].concat())?;
        echo(peer)
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = upgraded(ringway.address());
    assert_eq!(client.read_exactly(11), b"first words");
    client.send("x");
    assert_eq!(client.read_exactly(1), b"x");
}

#[test]
fn data_sent_with_the_request_arrives() {
    let backend = switching(echo);
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send([ASK, "early"].concat());
    assert_eq!(client.read_response().status, 101);
    assert_eq!(client.read_exactly(5), b"early");
}

#[test]
fn the_101_arrives_before_any_data() {
    let backend = switching(|peer| {
        std::thread::sleep(Duration::from_secs(2));
        peer.write(b"late")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    // Would fail by the patience of the kit only after the data; the test's own bound is the drop.
    upgraded(ringway.address()).expect_silence(Duration::from_millis(50));
}

#[test]
fn the_client_may_end_its_half_first() {
    let backend = switching(|peer| {
        while !peer.read_some()?.is_empty() {}
        std::thread::sleep(Duration::from_millis(100));
        peer.write(b"farewell")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = upgraded(ringway.address());
    client.send("bye");
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"farewell");
}

#[test]
fn the_backend_may_end_its_half_first() {
    let (sender, received) = std::sync::mpsc::channel();
    let backend = switching(move |peer| {
        peer.write(b"that is all")?;
        peer.finish_sending()?;
        let mut all = Vec::new();
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                let _ = sender.send(all);
                return Ok(());
            }
            all.extend(bytes);
        }
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = upgraded(ringway.address());
    assert_eq!(client.read_to_end(), b"that is all");
    std::thread::sleep(Duration::from_millis(100));
    client.send("still here");
    client.finish_sending();
    assert_eq!(received.recv_timeout(Duration::from_secs(2)).expect("the tunnel's bytes"), b"still here");
}

#[test]
fn a_quiet_tunnel_outlives_the_timeouts_of_requests() {
    let backend = switching(|peer| {
        // Only the backend speaks, and then only after a while.
        peer.write(b"tick")?;
        std::thread::sleep(Duration::from_millis(1600));
        peer.write(b"tock")?;
        echo(peer)
    });
    let ringway = Scenario::of(&backend)
        .listener("client_body_timeout = \"1s\"")
        .listener("client_header_timeout = \"1s\"")
        .listener("idle_timeout = \"1s\"")
        .group("response_timeout = \"1s\"")
        .start();
    let mut client = upgraded(ringway.address());
    assert_eq!(client.read_exactly(8), b"ticktock");
    client.send("x");
    assert_eq!(client.read_exactly(1), b"x");
}

#[test]
fn a_tunnel_in_which_nobody_speaks_is_closed() {
    let backend = switching(echo);
    let ringway = Scenario::of(&backend).listener("tunnel_idle_timeout = \"1s\"").start();
    let mut client = upgraded(ringway.address());
    let start = now();
    // Whoever speaks keeps it open.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(400));
        client.send("x");
        assert_eq!(client.read_exactly(1), b"x");
    }
    client.expect_closed();
    let took = start.elapsed();
    assert!(took > Duration::from_millis(2400) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_tunnel_without_a_limit_stays() {
    let backend = switching(echo);
    let ringway = Scenario::of(&backend)
        .listener("tunnel_idle_timeout = \"0s\"")
        .group("response_timeout = \"500ms\"")
        .start();
    let mut client = upgraded(ringway.address());
    for _ in 0..2 {
        client.send("x");
        assert_eq!(client.read_exactly(1), b"x");
        std::thread::sleep(Duration::from_millis(900));
    }
    client.send("y");
    assert_eq!(client.read_exactly(1), b"y");
}

/// The timer of the connection of TCP from this port of this host to that one, as the kernel shows it: 2 is keepalive.
fn timer(from: u16, to: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("it can be read");
    let line = table.lines().find(|line| {
        let mut words = line.split_whitespace().skip(1);
        let mut is_at = |port| words.next().is_some_and(|word| word.ends_with(&format!(":{port:04X}")));
        is_at(from) && is_at(to)
    })?;
    Some(line.split_whitespace().nth(5)?.to_owned())
}

#[test]
fn tcp_asks_whether_the_ends_of_a_tunnel_are_still_there() {
    let (sender, ports) = channel();
    let backend = switching(move |peer| {
        let _ = sender.send(peer.stream().peer_addr()?.port());
        echo(peer)
    });
    let ringway = Scenario::of(&backend).start();
    let mut client = upgraded(ringway.address());
    client.send("x");
    assert_eq!(client.read_exactly(1), b"x");
    let client_port = client.local_address().port();
    let upstream_port = ports.recv_timeout(Duration::from_secs(2)).expect("the port");
    for (from, to) in [(ringway.address().port(), client_port), (upstream_port, backend.address().port())] {
        eventually("the timer of keepalive runs", || {
            let timer = timer(from, to).expect("the connection is there");
            let ticks = timer.strip_prefix("02:").and_then(|rest| u32::from_str_radix(rest, 16).ok());
            // In hundredths of a second.
            ticks.is_some_and(|ticks| (11_000..=12_000).contains(&ticks))
        });
    }
}

#[test]
fn backpressure_holds_a_tunnel_together() {
    let size = 32 << 20;
    let backend = switching(echo);
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = upgraded(ringway.address());
    let mut sending = client.wire();
    let sender = std::thread::spawn(move || {
        use std::io::Write;
        let piece: Vec<u8> = (0..1 << 20).map(|n: u32| n as u8).collect();
        (0..size >> 20).try_for_each(|_| sending.write_all(&piece))
    });
    // Nobody reads for a while, so that every buffer on the way is full.
    std::thread::sleep(Duration::from_millis(300));
    let bytes = client.read_exactly(size);
    assert!(bytes.iter().enumerate().all(|(index, &byte)| byte == index as u8));
    sender.join().expect("the sender ends").expect("all is sent");
}

#[test]
fn a_refused_upgrade_is_a_normal_response() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"plain"));
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send(ASK);
    assert_eq!(client.read_response().text(), "plain");
    assert_eq!(client.get("/").text(), "plain");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_101_that_nobody_asked_for_is_502() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        peer.write(&[SWITCH, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat())?;
        echo(peer)
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 502);
    assert_eq!(client.get("/").status, 502);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn an_upgrade_to_h2c_is_not_passed_on() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    );
    let seen = client.read_response().text().to_ascii_lowercase();
    assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
}

#[test]
fn a_client_that_leaves_ends_the_tunnel() {
    let backend = switching(echo);
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let client = upgraded(ringway.address());
    assert_eq!(backend.open_connections(), 1);
    drop(client);
    crate::support::eventually("the backend's side ends", || backend.open_connections() == 0);
}

#[test]
fn a_late_word_does_not_keep_a_tunnel_whose_backend_has_ended() {
    let backend = switching(|_| Ok(()));
    let scenario =
        Scenario::of(&backend).listener("client_body_timeout = \"1s\"").group("response_timeout = \"1s\"");
    let ringway = scenario.start();
    let mut client = upgraded(ringway.address());
    client.send("late");
    client.expect_closed();
}
