//! Connections of clients: kept open, and closed when it is time.

use crate::support::{Backend, BackendVersion, Client, Pair, Ringway, Scenario, Version, now};
use std::time::Duration;

#[test]
fn one_connection_serves_many_requests_over_one_upstream_connection() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for number in 0..20 {
        let response = client.get(&format!("/{number}"));
        assert_eq!(response.status, 200);
        assert!(response.text().starts_with(&format!("GET /{number} HTTP/1.1\r\n")), "{}", response.text());
        assert_eq!(response.field("connection"), None);
    }
    assert_eq!((backend.connections(), backend.requests()), (1, 20));
}

#[test]
fn connection_close_is_honoured_and_answered() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.field("connection"), Some("close"));
    assert!(!response.text().to_ascii_lowercase().contains("connection:"), "{}", response.text());
    client.expect_closed();
    // The hop to the backend is another one, and goes on.
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_idle_connection_ends_in_silence_after_idle_timeout() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("idle_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let start = now();
    client.expect_closed();
    let took = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_millis(1600)).contains(&took), "{took:?}");
}

#[test]
fn idle_timeout_of_zero_closes_after_each_response() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("idle_timeout = \"0s\"").start();
    let mut client = Client::connect(ringway.address());
    let response = client.get("/");
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    client.expect_closed();
}

#[test]
fn keepalive_requests_bounds_the_requests_of_a_connection() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("keepalive_requests = 3").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/1").field("connection"), None);
    assert_eq!(client.get("/2").field("connection"), None);
    assert_eq!(client.get("/3").field("connection"), Some("close"));
    client.expect_closed();
}

#[test]
fn requests_beyond_the_last_one_are_not_served() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("keepalive_requests = 1").start();
    let mut client = Client::connect(ringway.address());
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().field("connection"), Some("close"));
    client.expect_closed();
    assert_eq!(backend.requests(), 1);
}

#[test]
fn http10_closes_unless_it_asks_to_be_kept() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("GET /plain HTTP/1.0\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    // The backend is spoken to in HTTP/1.1, which needs a Host.
    let begin = format!("GET /plain HTTP/1.1\r\nHost: {}\r\n", backend.address());
    assert!(response.text().starts_with(&begin), "{}", response.text());
    client.expect_closed();

    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n");
        let response = client.read_response();
        assert_eq!(response.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
    }
}

/// What a backend of this version gets as host from a client of HTTP/1.0 that sends this Host line, if any.
fn host_for(version: BackendVersion, (listener, group): (&str, &str), line: &str) -> (String, String) {
    let pair = Pair { client: Version::Http1, backend: version };
    let name = if version == BackendVersion::Http1 { "host" } else { ":authority" };
    let backend = pair.backend(move |exchange| {
        let host = exchange.field(name).unwrap_or_default();
        exchange.respond(200, host.as_bytes())
    });
    let ringway = pair.scenario(&backend).listener(listener).group(group).start();
    let mut client = Client::connect(ringway.address());
    client.send(format!("GET / HTTP/1.0\r\n{line}\r\n"));
    let response = client.read_response();
    assert_eq!(response.status, 200, "{line:?}");
    (response.text(), backend.address().to_string())
}

#[test]
fn who_names_no_host_gets_one() {
    let (listeners, groups) = ("default_host = \"www.example.com\"", "default_host = \"app.example.com:81\"");
    for version in [BackendVersion::Http1, BackendVersion::Http2] {
        for line in ["", "Host:\r\n", "Host: \t\r\n"] {
            let (host, address) = host_for(version, ("", ""), line);
            assert_eq!(host, address, "{version:?} {line:?}");
            assert_eq!(host_for(version, (listeners, ""), line).0, "www.example.com", "{version:?} {line:?}");
            assert_eq!(host_for(version, ("", groups), line).0, "app.example.com:81", "{version:?} {line:?}");
            let both = host_for(version, (listeners, groups), line).0;
            assert_eq!(both, "app.example.com:81", "{version:?} {line:?}");
        }
        assert_eq!(host_for(version, (listeners, groups), "Host: own.example\r\n").0, "own.example");
    }
}

#[test]
fn backends_may_be_spoken_to_in_http10() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).group("http10_upstream = \"1.0\"").start();
    let ask = |request: &str| {
        let mut client = Client::connect(ringway.address());
        client.send(request);
        client.read_response().text()
    };
    for _ in 0..2 {
        let text = ask("GET /old HTTP/1.0\r\nHost: a\r\nX-A: b\r\n\r\n");
        assert!(text.starts_with("GET /old HTTP/1.0\r\nHost: a\r\nX-A: b\r\n"), "{text}");
        assert!(text.contains("\r\nConnection: keep-alive\r\n"), "{text}");
        let text = ask("GET /new HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(text.starts_with("GET /new HTTP/1.1\r\n") && !text.contains("\r\nConnection"), "{text}");
    }
    assert_eq!(backend.connections(), 1);
    let text = ask("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
    assert!(text.starts_with("POST / HTTP/1.0\r\n") && text.contains("Content-Length: 2\r\n"), "{text}");
}

#[test]
fn a_second_head_that_stays_incomplete_gets_408() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).listener("client_header_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    client.send("GET / HT");
    let response = client.read_response();
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    client.expect_closed();
}
