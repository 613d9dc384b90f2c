//! Limits on requests per second and on what each client may have.

use crate::support::{Ask, Backend, Client, Pair, Ringway, Scenario, eventually, log_entries, now, over_tls};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

fn rule(name: &str, lines: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nlistener = \"web\"\npriority = 10\n{lines}\n")
}

fn ok() -> Backend {
    Backend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

/// The status of a request on behalf of this client.
fn status_for(client: &mut Client, address: &str) -> u16 {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n"));
    client.read_response().status
}

#[test]
fn what_is_beyond_a_rule_is_refused() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        let limited = "path = \"/limited\"\nlimit = { requests_per_second = 1, burst = 2 }\ngroup = \"app\"";
        let scenario = pair.scenario(&backend).logged("json").table(&rule("api", limited));
        let ringway = scenario.start();
        let mut client = pair.connect(ringway.address());
        let start = now();
        let answers: Vec<_> = (0..5).map(|_| client.get("/limited")).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        // A second may have passed on a busy machine.
        if start.elapsed() < Duration::from_secs(1) {
            assert_eq!(statuses, [200, 200, 200, 503, 503]);
        }
        let refused = answers.iter().find(|answer| answer.status == 503).expect("one is refused");
        assert_eq!(refused.field("x-lb-qps-limited"), Some("Limited"));
        assert_eq!(refused.field("retry-after"), Some("1"));
        assert_eq!(client.get("/other").status, 200);
        let entries = log_entries(&ringway, 6);
        let entry = entries.iter().find(|entry| entry["status"] == 503).expect("it is told");
        assert_eq!((&entry["reason"], &entry["rule"]), (&"rule_rate_limit".into(), &"api".into()), "{entry}");
    });
}

#[test]
fn a_listener_can_say_429() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        let scenario = pair
            .scenario(&backend)
            .listener("requests_per_second = 1")
            .listener("limit_status = 429")
            .logged("json");
        let ringway = scenario.start();
        let mut client = pair.connect(ringway.address());
        let answers: Vec<_> = (0..5).map(|_| client.get("/")).collect();
        let refused = answers.iter().find(|answer| answer.status == 429).expect("one is refused");
        assert_eq!(refused.field("x-lb-qps-limited"), Some("Limited"));
        assert_eq!(answers[0].status, 200);
        let entries = log_entries(&ringway, 5);
        assert!(entries.iter().any(|entry| entry["reason"] == "listener_rate_limit"), "{entries:?}");
    });
}

#[test]
fn each_client_has_its_own_limit() {
    let backend = ok();
    let ringway = Scenario::of(&backend)
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .listener("per_client = { requests_per_second = 1, burst = 1 }")
        .table(&rule(
            "few",
            "path = \"/few\"\nlimit = { per_client_requests_per_second = 1 }\ngroup = \"app\"",
        ))
        .logged("json")
        .start();
    let mut client = Client::connect(ringway.address());
    let start = now();
    let statuses: Vec<u16> = [
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.2",
        // One network of 64 bits.
        "2001:db8::1",
        "2001:db8::2",
        "2001:db8::3",
        "2001:db8:0:1::1",
    ]
    .map(|address| status_for(&mut client, address))
    .to_vec();
    if start.elapsed() < Duration::from_secs(1) {
        assert_eq!(statuses, [200, 200, 503, 200, 200, 200, 503, 200]);
    }
    let few = |client: &mut Client| {
        client.send("GET /few HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n");
        client.read_response().status
    };
    let start = now();
    let statuses = [few(&mut client), few(&mut client)];
    if start.elapsed() < Duration::from_secs(1) {
        assert_eq!(statuses, [200, 503]);
    }
    let entries = log_entries(&ringway, 10);
    for reason in ["client_rate_limit", "rule_client_rate_limit"] {
        assert!(entries.iter().any(|entry| entry["reason"] == reason), "{reason}: {entries:?}");
    }
}

/// What eight clients get on two workers within two seconds is what the limit says.
#[test]
fn a_limit_holds_over_all_workers() {
    let backend = ok();
    let ringway = Scenario::of(&backend).workers(2).listener("requests_per_second = 400").start();
    let address = ringway.address();
    let start = now();
    let of_client = || {
        let mut client = Client::connect(address);
        let mut count = 0;
        while start.elapsed() < Duration::from_secs(2) {
            count += u32::from(client.get("/").status == 200);
            std::thread::sleep(Duration::from_millis(2));
        }
        count
    };
    let count: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(of_client)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    });
    let expected = start.elapsed().as_secs_f64() * 400.0;
    assert!(f64::from(count) <= expected * 1.05, "{count} of {expected}");
    // A machine that is busy with other tests stands still now and then, and what is not used is lost.
    assert!(f64::from(count) >= 2.0 * 400.0 * 0.7, "{count} of {expected}");
}

#[test]
fn counts_stay_over_a_reload() {
    let backend = ok();
    let limits = "limit = { requests_per_second = 1, burst = 9 }\ngroup = \"app\"";
    let scenario = Scenario::of(&backend)
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .listener("per_client = { requests_per_second = 1, burst = 5 }")
        .table(&rule("api", limits));
    let ringway = scenario.start();
    let start = now();
    let mut client = Client::connect(ringway.address());
    let mut count = |address: &str| (0..12).filter(|_| status_for(&mut client, address) == 200).count();
    let before = (count("192.0.2.1"), count("192.0.2.2"));
    ringway.reload(&scenario.listener("keepalive_requests = 1000").text());
    let after = (count("192.0.2.1"), count("192.0.2.2"), count("192.0.2.3"));
    let seconds = start.elapsed().as_secs() as usize + 1;
    assert!((6..6 + seconds).contains(&before.0), "{before:?} in {seconds} s");
    assert!((4..4 + seconds).contains(&before.1), "the rest of the rule: {before:?}");
    assert!(after.0 + after.1 + after.2 <= seconds, "{after:?} in {seconds} s");
}

/// Whether a connection stays open, and if so the connection.
fn open(address: SocketAddr) -> Option<TcpStream> {
    let mut client = TcpStream::connect(address).expect("the kernel accepts");
    client.set_read_timeout(Some(Duration::from_millis(300))).expect("it can be set");
    match client.read(&mut [0]) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(client),
        _ => None,
    }
}

#[test]
fn each_client_has_so_many_connections() {
    let backend = ok();
    let ringway =
        Scenario::of(&backend).listener("per_client = { max_connections = 2 }").logged("json").start();
    let address = ringway.address();
    let (first, second) = (open(address), open(address));
    assert!(first.is_some() && second.is_some());
    assert!(open(address).is_none());
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "client_connection_limit");
    ringway.wait_for_line("127.0.0.1 is refused at listener \"web\" (per_client.max_connections)");
    drop(first);
    eventually("the place is free again", || open(address).is_some());
    drop(second);
}

#[test]
fn each_client_may_open_so_many_connections() {
    let backend = ok();
    let ringway = Scenario::of(&backend)
        .listener("per_client = { connections_per_second = 1 }")
        .listener("proxy_protocol = \"accept\"")
        .logged("json")
        .start();
    let is_served = |source: &str| {
        if over_tls() {
            return Client::connect_behind(ringway.address(), header(source).as_bytes()).get("/").status
                == 200;
        }
        let mut client = Client::connect(ringway.address());
        client.send(format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", header(source)));
        client.try_read_response().is_ok_and(|response| response.status == 200)
    };
    assert!(is_served("192.0.2.1") && is_served("192.0.2.2"));
    if !over_tls() {
        assert!((0..5).any(|_| !is_served("192.0.2.1")));
        let reason = |ringway: &Ringway| {
            let entries = log_entries(ringway, 3);
            entries.iter().any(|entry| entry["reason"] == "client_connection_rate_limit")
        };
        eventually("it is told", || reason(&ringway));
    }
}

fn header(source: &str) -> String {
    format!("PROXY TCP4 {source} 127.0.0.1 1111 80\r\n")
}

/// Callers of gRPC get a status of theirs, and the fields that say why.
#[test]
fn a_call_beyond_a_limit_is_told_in_its_own_words() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| exchange.respond(200, b"app"));
        let ringway = pair.scenario(&backend).listener("requests_per_second = 1").start();
        let mut client = pair.connect(ringway.address());
        let call = || Ask::get("/a.B/C").method("POST").fields(&[("content-type", "application/grpc")]);
        let answers: Vec<_> = (0..4)
            .map(|_| {
                let begun = client.begin(call());
                client.response(begun)
            })
            .collect();
        let refused = answers.iter().find(|answer| answer.field("grpc-status").is_some());
        let refused = refused.expect("one is refused");
        assert_eq!((refused.status, refused.field("grpc-status")), (200, Some("14")));
        assert_eq!(refused.field("grpc-message"), Some("503 Service Unavailable: listener_rate_limit"));
        assert_eq!(refused.field("x-lb-qps-limited"), Some("Limited"));
    });
}
