//! TERM, INT and QUIT: nothing that was begun is lost.

use crate::support::{Backend, Client, PATIENCE, Scenario, Wire, eventually, now};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Answers after a while.
fn slow(pause: Duration) -> Backend {
    Backend::per_request(move |peer, head, _| {
        std::thread::sleep(pause);
        peer.respond("200 OK", head.start_line.as_bytes())
    })
}

#[test]
fn what_is_in_flight_is_finished_and_the_connection_closed() {
    for signal in ["TERM", "INT"] {
        let backend = slow(Duration::from_millis(600));
        let mut ringway = Scenario::of(&backend).start();
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("the backend has it", || backend.requests() == 1);
        ringway.signal(signal);
        let response = client.read_response();
        assert_eq!((response.status, response.field("connection")), (200, Some("close")));
        client.expect_closed();
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    }
}

#[test]
fn a_client_that_stays_does_not_hold_the_end_up() {
    let backend = slow(Duration::from_millis(700));
    let mut ringway = Scenario::of(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // By then the client is watched.
    std::thread::sleep(Duration::from_millis(400));
    ringway.signal("TERM");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(ringway.wait_for_exit(Duration::from_secs(4)).code(), Some(0));
}

#[test]
fn an_upload_in_flight_is_finished() {
    let backend = Backend::echo_body();
    let mut ringway = Scenario::of(&backend).start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    eventually("the backend has it", || backend.requests() == 1);
    ringway.signal("TERM");
    std::thread::sleep(Duration::from_millis(1500));
    client.send("world");
    assert_eq!(client.read_response().text(), "helloworld");
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

#[test]
fn idle_connections_are_closed_soon() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).start();
    let fresh = Client::connect(ringway.address());
    let mut client = Client::connect(ringway.address());
    client.get("/");
    let start = now();
    ringway.signal("TERM");
    client.expect_closed();
    let mut fresh = fresh;
    fresh.expect_closed();
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}

#[test]
fn connections_that_wait_to_be_accepted_are_served() {
    let backend = Backend::echo_head();
    for workers in [1, 2] {
        let mut ringway = Scenario::of(&backend).workers(workers).start();
        ringway.signal("STOP");
        let mut clients: Vec<_> = (0..20).map(|_| Client::connect(ringway.address())).collect();
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        ringway.signal("TERM");
        let start = now();
        ringway.signal("CONT");
        for client in &mut clients {
            assert_eq!(client.read_response().status, 200);
            client.expect_closed();
        }
        drop(clients);
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    }
}

#[test]
fn connections_accepted_while_draining_do_not_hold_it_up() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).start();
    ringway.signal("STOP");
    // They say nothing, or not all.
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(ringway.address())).collect();
    ringway.signal("TERM");
    let start = now();
    ringway.signal("CONT");
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.expect_closed());
        }
    });
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn connections_beyond_the_limit_are_served_while_draining() {
    let backend = slow(Duration::from_millis(100));
    let mut ringway = Scenario::of(&backend).listener("max_connections = 1").start();
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(ringway.address())).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    eventually("the first is being served", || backend.requests() == 1);
    let start = now();
    ringway.signal("TERM");
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                assert_eq!(client.read_response().status, 200);
                client.expect_closed();
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().expect("served"));
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// How a client under load ended.
#[derive(Default)]
struct Tally {
    served: AtomicUsize,
    failed: AtomicUsize,
}

fn ask_until_told_to_stop(address: std::net::SocketAddr, tally: &Tally) {
    let Ok(stream) = std::net::TcpStream::connect_timeout(&address, PATIENCE) else { return };
    drop(stream);
    let mut client = Client::connect(address);
    loop {
        if client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_err() {
            tally.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match client.try_read_response() {
            Ok(response) if response.status == 200 => {
                tally.served.fetch_add(1, Ordering::Relaxed);
                if response.field("connection") == Some("close") {
                    return;
                }
            }
            result => {
                let kind = result.as_ref().err().map(std::io::Error::kind);
                eprintln!("{:?} {:?}", kind == Some(ErrorKind::UnexpectedEof), result);
                tally.failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

#[test]
fn no_request_fails_when_term_comes_under_load() {
    let backend = Backend::echo_head();
    for workers in [1, 2] {
        let mut ringway = Scenario::of(&backend).workers(workers).start();
        let tally = Arc::new(Tally::default());
        let clients: Vec<_> = (0..50)
            .map(|_| {
                let (tally, address) = (tally.clone(), ringway.address());
                std::thread::spawn(move || ask_until_told_to_stop(address, &tally))
            })
            .collect();
        eventually("the load is there", || tally.served.load(Ordering::Relaxed) > 1000);
        let start = now();
        assert_eq!(ringway.terminate().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        clients.into_iter().for_each(|client| client.join().expect("no panic"));
        assert_eq!(tally.failed.load(Ordering::Relaxed), 0);
    }
}

/// Opens a connection for each request. False when one that came about was not served.
fn ask_on_new_connections(address: std::net::SocketAddr, served: &AtomicUsize) -> bool {
    use std::io::{Read, Write};
    loop {
        let Ok(mut stream) = Wire::try_connect(address, b"") else { return true };
        let mut answer = Vec::new();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        if stream.write_all(request).is_err() || stream.read_to_end(&mut answer).is_err() {
            return false;
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return false;
        }
        served.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_connection_that_came_about_is_served() {
    let backend = Backend::echo_head();
    for workers in [1, 2] {
        let mut ringway = Scenario::of(&backend).workers(workers).start();
        let served = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let (served, address) = (served.clone(), ringway.address());
                std::thread::spawn(move || ask_on_new_connections(address, &served))
            })
            .collect();
        eventually("the load is there", || served.load(Ordering::Relaxed) > 300);
        assert_eq!(ringway.terminate().code(), Some(0));
        let lost = clients.into_iter().filter_map(|client| client.join().ok()).filter(|fine| !fine).count();
        assert_eq!(lost, 0, "{workers} workers");
    }
}

#[test]
fn a_second_signal_stops_now() {
    for second in ["TERM", "QUIT", "INT"] {
        let backend = Backend::silent();
        let mut ringway = Scenario::of(&backend).start();
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("the backend has it", || backend.open_connections() == 1);
        ringway.signal("TERM");
        std::thread::sleep(Duration::from_millis(300));
        assert!(ringway.is_running());
        ringway.signal(second);
        // Far below the 30 s of a graceful stop.
        assert_eq!(ringway.wait_for_exit(Duration::from_secs(10)).code(), Some(0));
    }
}

#[test]
fn shutdown_timeout_bounds_term_but_not_quit() {
    for (signal, status) in [("TERM", None), ("QUIT", Some(200))] {
        let backend = slow(Duration::from_millis(2000));
        let mut ringway = Scenario::of(&backend).process("shutdown_timeout = \"1s\"").start();
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("the backend has it", || backend.requests() == 1);
        let start = now();
        ringway.signal(signal);
        assert_eq!(client.try_read_response().ok().map(|response| response.status), status, "{signal}");
        drop(client);
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
        let bound = if status.is_none() { 1700 } else { 4000 };
        assert!(start.elapsed() < Duration::from_millis(bound), "{signal}: {:?}", start.elapsed());
    }
}

#[test]
fn the_port_is_free_for_a_successor() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).start();
    let address = ringway.address();
    Client::connect(address).get("/");
    assert_eq!(ringway.terminate().code(), Some(0));
    let successor = Scenario::of(&backend).address(&format!("\"{address}\"")).start();
    assert_eq!(Client::connect(successor.address()).get("/").status, 200);
}

#[test]
fn a_stop_tells_what_is_left_and_how_it_ended() {
    let backend = slow(Duration::from_millis(400));
    let mut ringway = Scenario::of(&backend).process("shutdown_timeout = \"20s\"").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has it", || backend.requests() == 1);
    ringway.signal("TERM");
    ringway.wait_for_line("stopping: 1 client connection left, at most 20s");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    ringway.wait_for_line("stopped");

    let silent = Backend::silent();
    let mut ringway = Scenario::of(&silent).process("shutdown_timeout = \"300ms\"").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the backend has it", || silent.open_connections() == 1);
    assert_eq!(ringway.terminate().code(), Some(0));
    ringway.wait_for_line("shutdown_timeout is over: 1 client connection cut off");
}
