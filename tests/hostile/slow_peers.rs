//! Peers that are slow on purpose.

use crate::support::{Backend, Client, Ringway, Scenario, Wire, now, over_tls};
use std::io::Write;
use std::time::Duration;

fn memory_kib(ringway: &Ringway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn connect(ringway: &Ringway) -> Wire {
    Wire::connect(ringway.address())
}

/// Another client is served at once.
fn is_served(ringway: &Ringway) {
    let start = now();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[test]
fn five_hundred_dripping_heads_cost_little_and_delay_nobody() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("client_header_timeout = \"3s\"").start();
    is_served(&ringway);
    let before = memory_kib(&ringway);
    let mut slow: Vec<_> = (0..500).map(|_| connect(&ringway)).collect();
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaa";
    for &byte in head {
        for stream in &mut slow {
            let _ = stream.write_all(&[byte]);
        }
    }
    is_served(&ringway);
    let growth = memory_kib(&ringway).saturating_sub(before);
    // The head so far, the state of a connection, and memory of the last peak, but no buffer each.
    assert!(growth < 500 * 12, "{growth} KiB for 500 connections");
    // All of them are told and let go.
    let mut client = Client::connect(ringway.address());
    client.send("GET / HT");
    assert_eq!(client.read_response().status, 408);
    is_served(&ringway);
}

#[test]
fn dripping_bodies_hold_no_further_buffers() {
    let backend = Backend::script(|peer| {
        while let Some((_, body)) = peer.read_request()? {
            peer.respond("200 OK", &body)?;
        }
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    is_served(&ringway);
    let mut slow: Vec<_> = (0..200).map(|_| connect(&ringway)).collect();
    let before = memory_kib(&ringway);
    for stream in &mut slow {
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
            .expect("it is taken");
    }
    for _ in 0..20 {
        for some in slow.chunks_mut(10) {
            for stream in some {
                stream.write_all(b"x").expect("it is taken");
            }
            // All at once, they would have a buffer each for a moment, whose memory is not given back at once.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    is_served(&ringway);
    let growth = memory_kib(&ringway).saturating_sub(before);
    // The state of the exchange, the request's head and room for the response's; handshakes have touched all of
    // the memory of both, requests in cleartext the first page.
    let most = if over_tls() { 28 } else { 20 };
    assert!(growth < 200 * most, "{growth} KiB for 200 uploads");
}

#[test]
fn clients_that_do_not_read_hold_one_buffer_each() {
    let backend = Backend::per_request(|peer, head, _| {
        if !head.start_line.contains("/long") {
            return peer.respond("200 OK", b"ok");
        }
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")?;
        (0..1000).try_for_each(|_| peer.write(&[b'x'; 100_000]))
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    is_served(&ringway);
    let before = memory_kib(&ringway);
    let mut slow: Vec<_> = (0..50).map(|_| connect(&ringway)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is taken");
    }
    std::thread::sleep(Duration::from_millis(700));
    is_served(&ringway);
    let growth = memory_kib(&ringway).saturating_sub(before);
    assert!(growth < 50 * 300, "{growth} KiB for 50 clients");
}

#[test]
fn a_backend_that_drips_delays_only_its_own_client() {
    let backend = Backend::per_request(|peer, head, _| {
        if head.start_line.contains("/slow") {
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
                std::thread::sleep(Duration::from_millis(20));
                peer.write(&[*byte])?;
            }
            return Ok(());
        }
        peer.respond("200 OK", b"ok")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut slow: Vec<_> = (0..20).map(|_| Client::connect(ringway.address())).collect();
    slow.iter_mut().for_each(|client| client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"));
    is_served(&ringway);
    slow.iter_mut().for_each(|client| assert_eq!(client.read_response().text(), "ok"));
}
