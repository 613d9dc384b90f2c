//! Peers that take too long.

use crate::support::{Backend, Client, Ringway, Scenario, eventually, log_entries, now};
use std::net::TcpListener;
use std::time::Duration;

/// Fails unless `act` takes about a second.
fn takes_a_second(act: impl FnOnce()) {
    let start = now();
    act();
    let took = start.elapsed();
    assert!((Duration::from_millis(950)..Duration::from_millis(1700)).contains(&took), "{took:?}");
}

/// A listener whose queue is full, so that connecting to it takes for ever.
fn unreachable() -> (TcpListener, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&address.into()).expect("a port is free");
    socket.listen(0).expect("it listens");
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().expect("an address");
    let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
    let queued = (0..4).filter_map(connect).collect();
    (listener, queued)
}

#[test]
fn a_backend_that_cannot_be_reached_is_504() {
    let (listener, _queued) = unreachable();
    let address = listener.local_addr().expect("an address");
    let ringway = Scenario::new()
        .backend(address)
        .group("connect_timeout = \"1s\"")
        .group("max_retries = 0")
        .logged("json")
        .start();
    takes_a_second(|| assert_eq!(Client::connect(ringway.address()).get("/").status, 504));
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "connect_timeout");
}

#[test]
fn a_connect_timeout_goes_to_the_next_backend() {
    let (listener, _queued) = unreachable();
    let backend = Backend::echo_head();
    let ringway = Scenario::new()
        .backend(listener.local_addr().expect("an address"))
        .backend(backend.address())
        .group("connect_timeout = \"1s\"")
        .start();
    takes_a_second(|| assert_eq!(Client::connect(ringway.address()).get("/").status, 200));
}

#[test]
fn a_silent_backend_is_504_and_its_connection_is_closed() {
    let backend = Backend::silent();
    let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").logged("json").start();
    let mut client = Client::connect(ringway.address());
    for request in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"]
    {
        takes_a_second(|| {
            client.send(request);
            assert_eq!(client.read_response().status, 504);
        });
    }
    crate::support::eventually("no connection stays", || backend.open_connections() == 0);
    assert_eq!(backend.connections(), 2, "a timeout is not tried again");
    assert_eq!(log_entries(&ringway, 2)[0]["reason"], "response_timeout");
}

#[test]
fn a_backend_that_stops_within_a_body_truncates_it() {
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let backend = Backend::script(move |peer| {
            peer.read_request()?;
            peer.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nabc").as_bytes())?;
            peer.read_some().map(drop)
        });
        let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").logged("json").start();
        let mut client = Client::connect(ringway.address());
        takes_a_second(|| {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.try_read_response().expect_err("a truncated response");
        });
        let entry = &log_entries(&ringway, 1)[0];
        assert_eq!((&entry["status"], &entry["reason"]), (&200.into(), &"response_timeout".into()));
    }
}

#[test]
fn a_backend_may_take_its_time_between_pieces() {
    let backend = Backend::slow_response(
        &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"[..],
        Duration::from_millis(45),
    );
    let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").start();
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "slow");
}

#[test]
fn a_slow_head_is_408() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("client_header_timeout = \"1s\"").logged("json").start();
    let mut client = Client::connect(ringway.address());
    takes_a_second(|| {
        for _ in 0..4 {
            client.send("GET");
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(client.read_response().status, 408);
    });
    client.expect_closed();
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "client_header_timeout");
}

#[test]
fn a_body_that_stalls_is_408_and_one_that_drips_is_not() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).listener("client_body_timeout = \"1s\"").logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    for byte in ["a", "b", "c", "d"] {
        std::thread::sleep(Duration::from_millis(400));
        client.send(byte);
    }
    assert_eq!(client.read_response().text(), "abcd");
    for head in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let mut client = Client::connect(ringway.address());
        takes_a_second(|| {
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n5\r\n"));
            assert_eq!(client.read_response().status, 408);
        });
        client.expect_closed();
    }
    assert_eq!(log_entries(&ringway, 3)[1]["reason"], "client_body_timeout");
    crate::support::eventually("the backend is let go", || backend.open_connections() <= 1);
}

#[test]
fn a_connection_that_sent_nothing_ends_in_silence() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("client_header_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    takes_a_second(|| client.expect_closed());
    drop(ringway);
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let backend = Backend::per_request(|peer, _, _| {
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = [b"10000\r\n", &[b'x'; 65536][..], b"\r\n"].concat();
        loop {
            peer.write(&chunk)?;
        }
    });
    let ringway = Scenario::of(&backend).listener("client_body_timeout = \"1s\"").logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let entry = &log_entries(&ringway, 1)[0];
    assert_eq!((&entry["status"], &entry["reason"]), (&200.into(), &"client_stalled".into()));
    crate::support::eventually("the backend is let go", || backend.open_connections() == 0);
}

#[test]
fn a_client_that_leaves_cancels_the_request() {
    let backend = Backend::silent();
    let ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
    crate::support::eventually("the backend has it", || backend.open_connections() == 1);
    drop(client);
    let entry = &log_entries(&ringway, 1)[0];
    assert_eq!((&entry["status"], &entry["reason"]), (&499.into(), &"client_closed".into()));
    crate::support::eventually("the backend is let go", || backend.open_connections() == 0);
}

#[test]
fn a_client_that_leaves_within_its_body_cancels_the_request() {
    let backend = Backend::silent();
    let ringway = Scenario::of(&backend).logged("json").start();
    let mut client = Client::connect(ringway.address());
    client.send("POST /left HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    crate::support::eventually("the backend has it", || backend.open_connections() == 1);
    drop(client);
    assert_eq!(log_entries(&ringway, 1)[0]["status"], 499);
    crate::support::eventually("the backend is let go", || backend.open_connections() == 0);
}

#[test]
fn the_head_of_a_response_does_not_wait_for_its_body() {
    let backend = Backend::per_request(|peer, _, _| {
        peer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        std::thread::sleep(Duration::from_millis(1000));
        peer.write(b"2\r\nok\r\n0\r\n\r\n")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    let start = now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_exactly(10);
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
}

/// Some clients end their side behind a request and wait; others do so because they leave.
#[test]
fn a_client_that_ends_its_side_is_served_where_the_listener_says_so() {
    let backend = Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        let is_slow = head.start_line.contains("/slow");
        std::thread::sleep(Duration::from_millis(if is_slow { 1600 } else { 100 }));
        if head.start_line.contains("/never") {
            return peer.read_some().map(drop);
        }
        peer.respond("200 OK", b"patience")
    });
    for (half_close, is_served) in [("abort", false), ("serve", true)] {
        let ringway =
            Scenario::of(&backend).listener(&format!("half_close = \"{half_close}\"")).logged("json").start();
        let ask = |path: &str| {
            let mut client = Client::connect(ringway.address());
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.finish_sending();
            client
        };
        assert_eq!(ask("/quick").read_response().text(), "patience", "{half_close}");
        let answer = ask("/slow").try_read_response();
        assert_eq!(answer.is_ok(), is_served, "{half_close}: {answer:?}");
        let entry = log_entries(&ringway, 2).remove(1);
        assert_eq!(entry["reason"], if is_served { "-" } else { "client_closed" }, "{entry}");

        let leaving = ask("/never");
        std::thread::sleep(Duration::from_millis(200));
        socket2::SockRef::from(leaving.stream()).set_linger(Some(Duration::ZERO)).expect("it can");
        drop(leaving);
        eventually("a reset is an abort", || backend.open_connections() == 0);
        assert_eq!(log_entries(&ringway, 3)[2]["reason"], "client_closed");
    }
}
