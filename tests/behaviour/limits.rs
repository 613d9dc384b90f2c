//! Limits of listeners and of the process.

use crate::support::h2::INITIAL_WINDOW_SIZE;
use crate::support::{Backend, Client, Http2, Scenario, eventually, log_entries, now, recording};
use std::time::Duration;

const CANCEL: u32 = 8;

fn waits_for_a_place(backend: &Backend, scenario: &Scenario) {
    let ringway = scenario.start();
    let before = backend.requests();
    let ask = |path: &str| {
        let mut client = Client::connect(ringway.address());
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx"));
        client
    };
    // In the midst of a request, so that neither is idle.
    let mut held: Vec<_> = (0..2).map(|_| ask("/held")).collect();
    eventually("the backend has them", || backend.requests() == before + 2);
    let mut extra = Client::connect(ringway.address());
    extra.send("GET /extra HTTP/1.1\r\nHost: a\r\n\r\n");
    extra.expect_silence(Duration::from_millis(900));
    let start = now();
    let mut first = held.swap_remove(0);
    first.send("y");
    assert_eq!(first.read_response().status, 200);
    // Now it is idle, and gives way.
    assert_eq!(extra.read_response().status, 200);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    first.expect_closed();
    held[0].send("y");
    assert_eq!(held[0].read_response().status, 200);
}

/// The longest idle of three connections gives way to a fourth, and another to a fifth.
fn the_longest_idle_gives_way(scenario: &Scenario) {
    let ringway = scenario.start();
    let mut idle: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Client::connect(ringway.address());
            assert_eq!(client.get("/").status, 200);
            std::thread::sleep(Duration::from_millis(150));
            client
        })
        .collect();
    for _ in 0..2 {
        let start = now();
        let mut extra = Client::connect(ringway.address());
        assert_eq!(extra.get("/").status, 200);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        idle.push(extra);
    }
    idle.drain(..2).for_each(|mut client| client.expect_closed());
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
}

#[test]
fn idle_connections_give_way_at_a_limit() {
    let backend = Backend::echo_head();
    the_longest_idle_gives_way(&Scenario::of(&backend).listener("max_connections = 3"));
    the_longest_idle_gives_way(&Scenario::of(&backend).process("max_connections = 3"));
}

/// Idle connections of one worker give way to clients of another: who comes where is the kernel's choice.
#[test]
fn idle_connections_of_all_workers_give_way() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("max_connections = 8").workers(2).start();
    let mut clients = Vec::new();
    for count in 0..24 {
        let start = now();
        let mut client = Client::connect(ringway.address());
        assert_eq!(client.get("/").status, 200, "{count}");
        assert!(start.elapsed() < Duration::from_secs(2), "{count}: {:?}", start.elapsed());
        clients.push(client);
    }
}

#[test]
fn idle_connections_of_http2_give_way() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).secured().listener("max_connections = 2").start();
    let mut idle: Vec<_> = (0..2).map(|_| Http2::connect(ringway.address())).collect();
    idle.iter_mut().for_each(|end| assert_eq!(end.get("/").status, 200));
    let start = now();
    let mut extra = Http2::connect(ringway.address());
    assert_eq!(extra.get("/").status, 200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    idle[0].receive_to_end();
    assert!(idle[0].go_away.is_some_and(|(_, code)| code == 0), "{:?}", idle[0].go_away);
    assert_eq!(idle[1].get("/").status, 200);
}

/// A request that comes in the moment in which its connection is to give way is served, and the next idle one gives
/// way instead.
#[test]
fn requests_that_come_while_connections_give_way_keep_nobody_out() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("max_connections = 20").workers(1).start();
    let address = ringway.address();
    let mut idle: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    std::thread::sleep(Duration::from_millis(700));
    // As on a host that has other things to do.
    ringway.signal("STOP");
    let extra = std::thread::spawn(move || Client::connect(address).get("/").status);
    std::thread::sleep(Duration::from_millis(150));
    idle.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    std::thread::sleep(Duration::from_millis(250));
    ringway.signal("CONT");
    let start = now();
    assert_eq!(extra.join().expect("it is let in"), 200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_client_of_http2_that_does_not_read_keeps_nobody_out() {
    let backend = Backend::per_request(|peer, head, _| {
        let size = if head.start_line.contains("/long") { 40_000_000 } else { 2 };
        peer.respond("200 OK", &vec![b'x'; size])
    });
    let ringway = Scenario::of(&backend).secured().listener("max_connections = 3").workers(1).start();
    let mut stuck = Http2::connect_with(ringway.address(), &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    stuck.open_window(0, 0x7000_0000).expect("it is taken");
    let stream = stuck.request("GET", "/long", &[], true);
    std::thread::sleep(Duration::from_millis(500));
    stuck.reset(stream, CANCEL).expect("it is taken");
    let mut idle: Vec<_> = (0..2).map(|_| Http2::connect(ringway.address())).collect();
    idle.iter_mut().for_each(|end| assert_eq!(end.get("/").status, 200));
    for count in 0..2 {
        let start = now();
        let mut extra = Http2::connect(ringway.address());
        assert_eq!(extra.get("/").status, 200, "{count}");
        assert!(start.elapsed() < Duration::from_secs(3), "{count}: {:?}", start.elapsed());
        idle.push(extra);
    }
}

#[test]
fn idle_connections_beyond_a_lowered_limit_give_way_to_the_next_client() {
    let backend = Backend::echo_head();
    let scenario = |limit: u32| Scenario::of(&backend).listener(&format!("max_connections = {limit}"));
    let ringway = scenario(60).start();
    let mut idle: Vec<_> = (0..60).map(|_| Client::connect(ringway.address())).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    ringway.reload(&scenario(4).text());
    let start = now();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn max_connections_of_a_listener_lets_the_others_wait() {
    let backend = Backend::echo_head();
    waits_for_a_place(&backend, &Scenario::of(&backend).listener("max_connections = 2"));
    waits_for_a_place(&backend, &Scenario::of(&backend).listener("max_connections = 2").workers(2));
}

#[test]
fn max_connections_of_the_process_lets_the_others_wait() {
    let backend = Backend::echo_head();
    waits_for_a_place(&backend, &Scenario::of(&backend).process("max_connections = 2"));
}

#[test]
fn places_come_back_however_a_connection_ends() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("max_connections = 1").start();
    for way in 0..24 {
        let mut client = Client::connect(ringway.address());
        match way % 6 {
            0 => drop(client.get("/")),
            1 => client.send("GET / HT"),
            2 => client.send("garbage\r\n\r\n"),
            3 => socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("it can"),
            4 => client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc"),
            _ => client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        }
    }
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
}

#[test]
fn connections_per_second_slows_arrivals_down() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("connections_per_second = 4").start();
    let start = now();
    let mut clients: Vec<_> = (0..10).map(|_| Client::connect(ringway.address())).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let took = start.elapsed();
    assert!((Duration::from_millis(1000)..Duration::from_millis(3500)).contains(&took), "{took:?}");
}

#[test]
fn a_body_that_is_announced_too_large_is_413_before_it_comes() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).listener("max_body_bytes = 10").logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.read_response().status, 200);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.field("connection")), (413, Some("close")));
    client.expect_closed();
    assert_eq!(received.try_iter().count(), 1);
    assert_eq!(log_entries(&ringway, 2)[1]["reason"], "body_too_large");
}

#[test]
fn a_chunked_body_is_413_when_it_grows_too_large() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).listener("max_body_bytes = 10").start();
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["b\r\n01234567890\r\n0\r\n\r\n", "6\r\n012345\r\n5\r\n01234\r\n0\r\n\r\n", "ffffffff\r\n"] {
        let mut client = Client::connect(ringway.address());
        client.send(POST);
        std::thread::sleep(Duration::from_millis(5));
        for piece in body.as_bytes().chunks(3) {
            let _ = client.try_send(piece);
        }
        assert_eq!(client.read_response().status, 413, "{body}");
        let mut client = Client::connect(ringway.address());
        client.send([POST, body].concat());
        assert_eq!(client.read_response().status, 413, "{body}");
    }
    let mut client = Client::connect(ringway.address());
    client.send([POST, "a\r\n0123456789\r\n0\r\n\r\n"].concat());
    assert_eq!(client.read_response().status, 200);
    assert_eq!(received.try_iter().count(), 1, "no body that is too large was complete");
}

#[test]
fn a_long_target_is_414() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("max_uri_bytes = \"1KiB\"").logged("json").start();
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get(&target(1024)).status, 200);
    assert_eq!(client.get(&target(1025)).status, 414);
    client.expect_closed();
    // Without an end of the line as well.
    let mut client = Client::connect(ringway.address());
    client.send(format!("GET {}", target(30_000)));
    assert_eq!(client.read_response().status, 414);
    assert_eq!(log_entries(&ringway, 2)[1]["status"], 414);
}

#[test]
fn the_default_limit_of_a_target_is_32_kib() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"ok"));
    let ringway = Scenario::of(&backend).listener("max_header_bytes = \"64KiB\"").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get(&format!("/{}", "a".repeat(32 * 1024 - 1))).status, 200);
    assert_eq!(client.get(&format!("/{}", "a".repeat(32 * 1024))).status, 414);
}

#[test]
fn heads_beyond_the_limits_are_400() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend)
        .listener("max_headers = 5")
        .listener("max_header_bytes = \"1KiB\"")
        .logged("json")
        .start();
    let request = |fields: usize, filler: usize| {
        let mut text = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
        (0..fields - 2).for_each(|n| text += &format!("X-{n}: y\r\n"));
        text + &format!("X-Filler: {}\r\n\r\n", "z".repeat(filler))
    };
    for (fields, filler, status) in
        [(5, 1, 200), (6, 1, 400), (3, 900, 200), (3, 1100, 400), (3, 100_000, 400)]
    {
        let mut client = Client::connect(ringway.address());
        let _ = client.try_send(request(fields, filler));
        assert_eq!(client.read_response().status, status, "{fields} fields, {filler} bytes");
    }
    let entries = log_entries(&ringway, 5);
    assert!(
        entries.iter().skip(1).filter(|entry| entry["status"] == 400).all(|entry| entry["reason"] != "-")
    );
}

#[test]
fn a_limit_that_keeps_connections_waiting_is_told() {
    // Connections that are busy do not give way.
    let backend = Backend::silent();
    for (scenario, words) in [
        (Scenario::of(&backend).process("max_connections = 2"), "2 client connections of the process"),
        (Scenario::of(&backend).listener("max_connections = 2"), "2 client connections of listener \"web\""),
        (
            Scenario::of(&backend).listener("connections_per_second = 1"),
            "new connections of listener \"web\"",
        ),
    ] {
        let ringway = scenario.start();
        let mut held: Vec<_> = (0..4).map(|_| Client::connect(ringway.address())).collect();
        held.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let line = ringway.wait_for_line("warning: the limit is reached");
        assert!(line.contains(words), "{line}");
    }
}
