//! 100-continue in both directions, and other 1xx responses.

use crate::support::{Backend, Client, Pair, Ringway, Scenario, now};
use std::time::Duration;

/// Sends 100, reads the body and echoes it.
fn continuing() -> Backend {
    Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            if head.field("expect").is_some() {
                peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let body = peer.read_body(&head)?;
            peer.respond("200 OK", &body)?;
        }
        Ok(())
    })
}

#[test]
fn a_client_that_waits_is_told_to_continue() {
    let backend = continuing();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        let interim = client.read_response();
        assert_eq!(interim.status, 100);
        client.send("hello");
        assert_eq!(client.read_response().text(), "hello");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_client_that_does_not_wait_is_served_too() {
    let backend = continuing();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    let first = client.read_response();
    let last = if first.status == 100 { client.read_response() } else { first };
    assert_eq!((last.status, last.text().as_str()), (200, "hello"));
}

#[test]
fn a_refusal_instead_of_100_ends_the_connection_or_keeps_it_in_step() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        peer.respond("401 Unauthorized", b"no")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.field("connection")), (401, Some("close")));
    client.expect_closed();
}

#[test]
fn a_client_that_was_told_to_continue_and_does_not_gets_408() {
    let backend = continuing();
    let ringway = Scenario::of(&backend).listener("client_body_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_response().status, 100);
    let start = now();
    assert_eq!(client.read_response().status, 408);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    client.expect_closed();
}

#[test]
fn told_to_continue_a_client_may_take_longer_than_the_backend_may() {
    let backend = continuing();
    let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_response().status, 100);
    std::thread::sleep(Duration::from_millis(1500));
    client.send("hello");
    assert_eq!(client.read_response().text(), "hello");
}

fn passing(backend: &Backend) -> Ringway {
    Scenario::of(backend).listener("early_hints = \"pass\"").start()
}

#[test]
fn who_gets_early_hints_is_for_the_listener_to_say() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            let content = exchange.read_all()?;
            exchange.interim(102, &[])?;
            exchange.interim(103, &[("link", "</a.css>")])?;
            exchange.respond(200, &content)
        });
        for (key, to_http1, to_http2) in [
            ("", false, true),
            ("early_hints = \"http2\"", false, true),
            ("early_hints = \"pass\"", true, true),
            ("early_hints = \"off\"", false, false),
        ] {
            let ringway = pair.scenario(&backend).listener(key).start();
            let mut client = pair.connect(ringway.address());
            let passes = if pair.client.is_multiplexed() { to_http2 } else { to_http1 };
            for _ in 0..2 {
                let answer = client.get("/");
                assert_eq!(answer.status, 200);
                let expected: &[u16] = if passes { &[102, 103] } else { &[] };
                assert_eq!(answer.interim, expected, "{key}");
            }
        }
    });
}

#[test]
fn a_flood_of_interim_responses_that_nobody_gets_ends_too() {
    let backend = Backend::script(|peer| {
        peer.read_request()?;
        loop {
            peer.write(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        }
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
}

#[test]
fn early_hints_pass_with_their_fields() {
    let backend = Backend::fixed(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let ringway = passing(&backend);
    let mut client = Client::connect(ringway.address());
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let one = client.read_response();
        assert_eq!((one.status, one.field("link")), (103, Some("</a.css>")));
        assert_eq!(client.read_response().field("link"), Some("</b.css>"));
        assert_eq!(client.read_response().text(), "ok");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn early_hints_come_before_the_response_is_there() {
    let backend = Backend::per_request(|peer, _, _| {
        peer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")?;
        std::thread::sleep(Duration::from_millis(600));
        peer.respond("200 OK", b"ok")
    });
    let ringway = passing(&backend);
    let mut client = Client::connect(ringway.address());
    let start = now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status, 103);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(client.read_response().text(), "ok");
}

#[test]
fn http10_gets_no_interim_response_and_expects_nothing() {
    let backend = Backend::per_request(|peer, head, _| {
        assert_eq!(head.field("expect"), None);
        peer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")?;
        peer.respond("200 OK", b"ok")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx");
    assert_eq!(client.read_response().status, 200);
    client.expect_closed();
}

#[test]
fn an_unknown_expectation_is_417() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: miracles\r\n\r\nx");
    assert_eq!(client.read_response().status, 417);
    assert_eq!(backend.requests(), 0);
}

#[test]
fn a_flood_of_interim_responses_ends() {
    let backend = Backend::script(|peer| {
        peer.read_request()?;
        loop {
            peer.write(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        }
    });
    let ringway = passing(&backend);
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let status = (0..200).map(|_| client.read_response().status).find(|&status| status != 102);
    assert_eq!(status, Some(502));
}
