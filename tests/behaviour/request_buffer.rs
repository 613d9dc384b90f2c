//! Requests that are received before a backend is chosen.

use crate::support::{
    Ask, Backend, Client, Content, Pair, Ringway, Scenario, eventually, log_entries, now, recording,
};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(300);

/// Sends half of some content, waits, and gives the number of requests that the backend has seen by then.
fn seen_within(pair: Pair, backend: &Backend, limit: &str, half: usize, content: Content) -> usize {
    let ringway = pair.scenario(backend).group(limit).start();
    let mut client = pair.connect(ringway.address());
    let call = client.begin(Ask::post("/", content));
    client.write(call, &vec![b'a'; half]).expect("it is taken");
    std::thread::sleep(PAUSE);
    let seen = backend.requests();
    client.write(call, &vec![b'b'; half]).expect("it is taken");
    client.end(call, &[]).expect("it is taken");
    let response = client.response(call);
    assert_eq!((response.status, response.body), (200, [vec![b'a'; half], vec![b'b'; half]].concat()));
    // The connection goes on: its request was read to the end.
    let second = client.begin(Ask::post("/", Content::Sized(2)));
    client.write(second, b"hi").expect("it is taken");
    client.end(second, &[]).expect("it is taken");
    assert_eq!(client.response(second).body, b"hi");
    seen
}

fn echoing(pair: Pair) -> Backend {
    pair.backend(|exchange| {
        let mut content = Vec::new();
        while let Some(piece) = exchange.read_some()? {
            content.extend(piece);
        }
        exchange.respond(200, &content)
    })
}

#[test]
fn no_backend_is_asked_before_the_content_is_there() {
    Pair::each(|pair| {
        for half in [10, 20_000] {
            for content in [Content::Sized(2 * half), Content::Open] {
                let backend = echoing(pair);
                let seen = seen_within(pair, &backend, "request_buffer = \"64KiB\"", half, content);
                assert_eq!(seen, 0, "{half} {content:?}");
            }
        }
    });
}

#[test]
fn without_it_or_beyond_it_content_flows() {
    Pair::each(|pair| {
        for (limit, half) in [("request_buffer = 0", 1000), ("request_buffer = \"4KiB\"", 20_000)] {
            for content in [Content::Sized(2 * half), Content::Open] {
                assert_eq!(seen_within(pair, &echoing(pair), limit, half, content), 1, "{limit} {content:?}");
            }
        }
    });
}

/// Bytes of requests that the process holds.
fn held(ringway: &Ringway) -> u64 {
    crate::admin::status(ringway)["request_buffer_bytes"]["in_use"].as_u64().expect("a number")
}

/// What the process may hold is shared by all: beyond it, requests flow as if there were no buffer.
#[test]
fn memory_for_requests_is_bounded() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend)
        .process("request_buffer_memory = \"1MiB\"")
        .table("[admin]\nsocket = \"admin.sock\"")
        .group("request_buffer = \"512KiB\"")
        .start();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 401_000);
    let mut clients: Vec<_> = (1..=6)
        .map(|count: u64| {
            let mut client = Client::connect(ringway.address());
            let seen_before = backend.requests();
            client.send([head.as_bytes(), &[b'x'; 400_000]].concat());
            // One by one, or each would hold a part. While a request comes, more may be held for a moment than it has.
            eventually("it is held, or flows", || {
                held(&ringway) >= count * 400_000 || backend.requests() > seen_before
            });
            client
        })
        .collect();
    eventually("some flow", || backend.requests() > 0);
    std::thread::sleep(PAUSE);
    assert!(backend.requests() < clients.len(), "some are held");
    for client in &mut clients {
        client.send(vec![b'y'; 1000]);
        assert_eq!(client.read_response().body.len(), 401_000);
    }
    eventually("what was held is given back", || {
        let status = crate::admin::status(&ringway);
        status["request_buffer_bytes"] == serde_json::json!({"in_use": 0, "limit": 1 << 20})
    });
}

#[test]
fn a_client_that_waits_to_continue_is_told_so_without_a_backend() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).group("request_buffer = \"64KiB\"").start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_response().status, 100);
    assert_eq!(backend.connections(), 0);
    client.send("hi");
    assert_eq!(client.read_response().status, 200);
    let (head, body) = received.recv().expect("the request");
    assert_eq!((head.field("expect"), body.as_slice()), (None, &b"hi"[..]));
}

/// A request that is held whole can be sent again, whatever its size.
#[test]
fn a_held_request_goes_to_another_backend() {
    let failures = AtomicUsize::new(0);
    let dying = Backend::script(move |peer| {
        peer.read_head()?;
        failures.fetch_add(1, Ordering::SeqCst);
        Err(io::ErrorKind::ConnectionAborted.into())
    });
    let whole = Backend::echo_body();
    let ringway = Scenario::of(&dying)
        .backend(whole.address())
        .group("request_buffer = \"1MiB\"")
        .logged("json")
        .start();
    let body = vec![b'x'; 600_000];
    for _ in 0..4 {
        let mut client = Client::connect(ringway.address());
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        assert_eq!(client.read_response().body, body);
    }
    let retried = log_entries(&ringway, 4).iter().filter(|entry| entry["retry_count"] == 1).count();
    assert!(retried >= 1 && dying.requests() >= 1, "{retried}");
}

/// Two that drip keep two workers of an application busy; a visitor beside them does not wait.
#[test]
fn slow_uploads_keep_no_backend_busy() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend)
        .listener("client_body_timeout = \"1s\"")
        .group("request_buffer = \"64KiB\"")
        .logged("json")
        .start();
    let mut slow = Client::connect(ringway.address());
    slow.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
    let start = now();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    assert!(start.elapsed() < PAUSE);
    assert_eq!(slow.read_response().status, 408);
    assert_eq!(backend.requests(), 1, "nothing of the slow one");
    assert_eq!(log_entries(&ringway, 2)[1]["reason"], "client_body_timeout");
}

/// The end of chunked content comes late, and the head leaves no room behind it.
#[test]
fn a_late_end_finds_its_place_behind_any_head() {
    let backend = Backend::echo_body();
    let scenario =
        Scenario::of(&backend).group("request_buffer = \"64KiB\"").group("response_timeout = \"1s\"");
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    for length in 7930..8200 {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "p".repeat(length));
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"));
        std::thread::sleep(Duration::from_millis(2));
        client.send("0\r\n\r\n");
        assert_eq!(client.read_response().text(), "hi", "{length}");
    }
}

/// What was sent and will not be sent again counts no longer, however long the answer takes.
#[test]
fn memory_is_given_back_when_the_answer_begins() {
    let backend = Backend::script(|peer| {
        peer.read_request()?;
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")?;
        peer.read_some().map(drop)
    });
    let ringway = Scenario::of(&backend)
        .table("[admin]\nsocket = \"admin.sock\"")
        .group("request_buffer = \"1MiB\"")
        .start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    client.send(vec![b'x'; 300_000]);
    assert!(client.read_exactly(15).starts_with(b"HTTP/1.1 200 OK"));
    eventually("what was held is given back", || {
        crate::admin::status(&ringway)["request_buffer_bytes"]["in_use"] == 0
    });
}

#[test]
fn a_call_that_waits_to_continue_is_passed_on() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).group("request_buffer = \"64KiB\"").start();
    let mut client = Client::connect(ringway.address());
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nExpect: 100-continue\r\n";
    client.send(format!("{head}Content-Length: 2\r\n\r\nhi"));
    client.read_response();
    let (head, _) = received.recv().expect("the request");
    assert_eq!(head.field("expect"), Some("100-continue"));
}
