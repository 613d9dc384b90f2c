//! Many connections, and none of them nice.

use crate::support::{Backend, Client, Ringway, Scenario, Wire, eventually, now};
use std::io::{self, Read, Write};
use std::time::Duration;

fn connect(ringway: &Ringway) -> Wire {
    Wire::connect(ringway.address())
}

fn is_served(ringway: &Ringway) {
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
}

fn reset(stream: Wire) {
    socket2::SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO)).expect("it can");
}

fn first_bytes_of_an_answer(stream: &mut Wire) -> io::Result<[u8; 12]> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn churn_leaves_nothing_behind() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).workers(2).group("keepalive_connections = 10").start();
    is_served(&ringway);
    let before = ringway.descriptors();
    for round in 0..1500 {
        let mut stream = connect(&ringway);
        match round % 6 {
            0 => {}
            1 => reset(stream),
            2 => drop(stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
            3 => {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                reset(stream);
            }
            4 => {
                let _ = stream.write_all(b"GET / HT");
                let _ = stream.finish_sending();
            }
            _ => {
                let _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab");
                reset(stream);
            }
        }
    }
    is_served(&ringway);
    // Upstream connections in the pools may stay.
    eventually("the descriptors come back", || ringway.descriptors() <= before + 10);
    assert_eq!(ringway.terminate().code(), Some(0));
}

#[test]
fn garbage_is_refused_and_forgotten() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).start();
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    for length in 0..300 {
        let bytes: Vec<u8> = (0..length * 7 + 1)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed >> 24) as u8
            })
            .collect();
        let mut stream = connect(&ringway);
        let _ = stream.write_all(&bytes);
        let _ = stream.finish_sending();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.1 5"),
            "{text}"
        );
    }
    is_served(&ringway);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn half_open_connections_end_with_their_timeout() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("client_header_timeout = \"1s\"").start();
    is_served(&ringway);
    let before = ringway.descriptors();
    let held: Vec<_> = (0..300).map(|_| connect(&ringway)).collect();
    eventually("they are accepted", || ringway.descriptors() >= before + 290);
    is_served(&ringway);
    eventually("they are let go", || ringway.descriptors() <= before + 2);
    drop(held);
}

#[test]
fn resets_within_responses_harm_nobody() {
    let backend = Backend::per_request(|peer, head, _| {
        let size = if head.start_line.contains("/long") { 1_000_000 } else { 2 };
        peer.respond("200 OK", &vec![b'x'; size])
    });
    let ringway = Scenario::of(&backend).start();
    for _ in 0..200 {
        let mut stream = connect(&ringway);
        stream.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is taken");
        let _ = stream.read(&mut [0; 100]);
        reset(stream);
    }
    is_served(&ringway);
    eventually("no upstream connection is stuck", || backend.open_connections() <= 200);
    is_served(&ringway);
}

#[test]
fn at_the_descriptor_limit_connections_wait_and_the_process_goes_on() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).start();
    is_served(&ringway);
    let room = 40;
    ringway.limit_descriptors(ringway.descriptors() + room);
    let mut held: Vec<_> = (0..room * 2).map(|_| connect(&ringway)).collect();
    ringway.wait_for_line("cannot accept connections");
    // Those that were accepted are served, or told why they cannot be. Over TLS some have given way by then, idle for
    // as long as the handshakes of the others took.
    let answer = held.iter_mut().find_map(|stream| first_bytes_of_an_answer(stream).ok()).expect("an answer");
    assert!([b"HTTP/1.1 200", b"HTTP/1.1 503"].contains(&&answer), "{answer:?}");
    // The processor rests while connections wait.
    let spent = |ringway: &Ringway| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", ringway.id())).expect("it runs");
        let numbers: Vec<u64> =
            stat.split_whitespace().skip(13).take(2).filter_map(|word| word.parse().ok()).collect();
        numbers.iter().sum::<u64>()
    };
    let before = spent(&ringway);
    std::thread::sleep(Duration::from_millis(500));
    assert!(spent(&ringway) - before <= 10, "{} ticks of 10 ms in half a second", spent(&ringway) - before);
    let start = now();
    held.clear();
    is_served(&ringway);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(ringway.is_running());
    let warnings = ringway.stderr().matches("cannot accept connections").count();
    assert!(warnings < 10, "{warnings} warnings");
}

#[test]
fn a_reader_of_standard_error_that_went_away_ends_nothing() {
    let backend = Backend::echo_head();
    let mut ringway = Scenario::of(&backend).start();
    is_served(&ringway);
    ringway.close_stderr();
    ringway.limit_descriptors(ringway.descriptors() + 10);
    let mut held: Vec<_> = (0..40).map(|_| connect(&ringway)).collect();
    std::thread::sleep(Duration::from_millis(300));
    held.clear();
    assert!(ringway.is_running());
    is_served(&ringway);
    assert_eq!(ringway.terminate().code(), Some(0));
}

#[test]
fn without_descriptors_for_backends_the_answer_is_503() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).group("keepalive_connections = 0").logged("json").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    ringway.limit_descriptors(5);
    let response = client.get("/");
    assert_eq!((response.status, response.field("x-router-code")), (503, Some("50000")));
    ringway.limit_descriptors(1000);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(crate::support::log_entries(&ringway, 3)[1]["reason"], "no_descriptor");
}

#[test]
fn backends_that_reset_at_random_harm_nobody_else() {
    let backend = Backend::script(|peer| {
        while let Some((_, _)) = peer.read_request()? {
            match peer.number % 4 {
                0 => return socket2::SockRef::from(peer.stream()).set_linger(Some(Duration::ZERO)),
                1 => {
                    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")?;
                    return socket2::SockRef::from(peer.stream()).set_linger(Some(Duration::ZERO));
                }
                _ => peer.respond("200 OK", b"ok")?,
            }
            if peer.number % 4 == 2 {
                return Ok(());
            }
        }
        Ok(())
    });
    let mut ringway = Scenario::of(&backend).start();
    for _ in 0..100 {
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if let Ok(response) = client.try_read_response() {
            assert!(response.status == 502 || response.text() == "ok", "{}", response.text());
        }
    }
    assert_eq!(ringway.terminate().code(), Some(0));
}
