//! `balance_connections`: workers have equally many connections, whatever the kernel hands them.

use crate::admin::{number, status};
use crate::support::{Backend, Client, Http2, PATIENCE, Ringway, Scenario, eventually};
use serde_json::Value as Json;
use std::io::ErrorKind;

/// Two workers, whose connections are counted.
fn scenario(backend: &Backend) -> Scenario {
    crate::admin::scenario(backend)
}

/// What workers tell of one thing, in their order.
fn each_worker(ringway: &Ringway, key: &str) -> Vec<u64> {
    let status = status(ringway);
    let workers: &Vec<Json> = status["worker_load"].as_array().expect("a list");
    workers.iter().map(|worker| number(&worker[key])).collect()
}

fn connections(ringway: &Ringway) -> Vec<u64> {
    each_worker(ringway, "connections")
}

/// Whether the busiest of two workers has at most 1.1 times its share of all.
fn are_even(connections: &[u64]) -> bool {
    let (busiest, all) = (connections.iter().max().expect("a worker"), connections.iter().sum::<u64>());
    20 * busiest <= 11 * all
}

#[test]
fn connections_come_out_even_in_cleartext_by_tls_and_behind_a_proxy_header() {
    let backend = Backend::echo_head();
    for (terms, header) in [
        (scenario(&backend), &b""[..]),
        (scenario(&backend).secured(), b""),
        (
            scenario(&backend).listener("proxy_protocol = \"accept\""),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1111 80\r\n",
        ),
    ] {
        let ringway = terms.start();
        let mut clients: Vec<_> =
            (0..64).map(|_| Client::connect_behind(ringway.address(), header)).collect();
        // Each is served where it has gone, again and again.
        for _ in 0..2 {
            clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
        }
        let told = connections(&ringway);
        assert_eq!(told.iter().sum::<u64>(), 64);
        assert!(are_even(&told), "{told:?}");
        assert_eq!(number(&status(&ringway)["listeners"][0]["accepted"]), 64);
        drop(clients);
        eventually("all are closed", || connections(&ringway) == [0, 0]);
        eventually("the limit has them back", || number(&status(&ringway)["connections"]["in_use"]) == 0);
    }
}

#[test]
fn ten_connections_of_http2_are_five_and_five() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).listener("http2 = true").start();
    for _ in 0..5 {
        let mut clients: Vec<_> = (0..10).map(|_| Http2::connect(ringway.address())).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
        assert_eq!(connections(&ringway), [5, 5]);
        drop(clients);
        eventually("all are closed", || connections(&ringway) == [0, 0]);
    }
}

#[test]
fn those_that_come_all_at_once_come_out_even() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    ringway.signal("STOP");
    // The kernel has spread them before a worker runs.
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(ringway.address())).collect();
    ringway.signal("CONT");
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    let told = connections(&ringway);
    assert!(told.iter().sum::<u64>() == 200 && are_even(&told), "{told:?}");
}

#[test]
fn without_it_a_worker_serves_what_it_accepts() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).process("balance_connections = false").start();
    let mut clients: Vec<_> = (0..64).map(|_| Client::connect(ringway.address())).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    assert_eq!(connections(&ringway).iter().sum::<u64>(), 64);
    assert_eq!(each_worker(&ringway, "handed_over"), [0, 0]);
}

#[test]
fn limits_count_connections_wherever_they_are_served() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).listener("per_client = { max_connections = 12 }").start();
    for _ in 0..5 {
        let mut clients: Vec<_> = (0..12).map(|_| Client::connect(ringway.address())).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
        assert_eq!(connections(&ringway), [6, 6]);
        // Refused by the worker that accepts it, whichever that is.
        for _ in 0..4 {
            let mut refused = Client::connect(ringway.address());
            drop(refused.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let kind = refused.try_read_response().expect_err("it is closed").kind();
            assert!(matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{kind}");
        }
        drop(clients);
        // What each client counted for is given back.
        eventually("all are closed", || connections(&ringway) == [0, 0]);
    }
    assert!(each_worker(&ringway, "handed_over").iter().sum::<u64>() > 0);
}

#[test]
fn a_drain_serves_what_was_handed_over() {
    let backend = Backend::echo_head();
    for _ in 0..5 {
        let mut ringway = scenario(&backend).start();
        ringway.signal("STOP");
        let mut clients: Vec<_> = (0..100).map(|_| Client::connect(ringway.address())).collect();
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        // Hand-overs and the end of the workers meet.
        ringway.signal("CONT");
        ringway.signal("TERM");
        for client in &mut clients {
            assert_eq!(client.read_response().status, 200);
        }
        drop(clients);
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    }
}
