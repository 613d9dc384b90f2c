//! How connections of HTTP/2 begin and end, and that no request is lost with them.

use crate::support::frames::{GOAWAY, PING, RST_STREAM, frame};
use crate::support::tls::{client_config, own_pair};
use crate::support::{Backend, Client, Http2, PATIENCE, Scenario, Wire, eventually, now};
use std::sync::Arc;
use std::time::Duration;

const NO_ERROR: u32 = 0;

/// Answers `/slow` after a while.
fn backend() -> Backend {
    Backend::per_request(|peer, head, _| {
        if head.start_line.contains("/slow") {
            std::thread::sleep(Duration::from_millis(1300));
        }
        peer.respond("200 OK", head.start_line.as_bytes())
    })
}

/// The last stream of the final GOAWAY, once the peer has closed.
fn farewell(client: &mut Http2) -> u32 {
    client.receive_to_end();
    let (last, code) = client.go_away.expect("GOAWAY comes before the end");
    assert_eq!(code, NO_ERROR);
    last
}

#[test]
fn a_stop_finishes_what_was_begun_and_says_goaway() {
    for prior_knowledge in [false, true] {
        let backend = backend();
        let scenario = Scenario::of(&backend);
        let scenario = if prior_knowledge { scenario.prior_knowledge() } else { scenario.secured() };
        let mut ringway = scenario.start();
        let mut client = Http2::connect(ringway.address());
        let mut idle = Http2::connect(ringway.address());
        assert_eq!(idle.get("/").status, 200);
        let streams: Vec<u32> = (0..3).map(|_| client.request("GET", "/slow", &[], true)).collect();
        eventually("the backend has them", || backend.requests() == 4);
        let start = now();
        ringway.signal("TERM");
        farewell(&mut idle);
        assert!(start.elapsed() < Duration::from_millis(1200), "{:?}", start.elapsed());
        for stream in &streams {
            assert_eq!(client.response(*stream).status, 200);
        }
        assert_eq!(farewell(&mut client), streams[2]);
        // Who stays is waited for a while.
        drop((client, idle));
        assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    }
}

#[test]
fn a_request_that_meets_the_goaway_is_answered_or_may_be_sent_again() {
    let backend = backend();
    let mut ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let slow = client.request("GET", "/slow", &[], true);
    eventually("the backend has it", || backend.requests() == 2);
    ringway.signal("TERM");
    let mut sent = Vec::new();
    let end = now() + Duration::from_millis(500);
    while now() < end {
        match client.try_request("GET", "/", &[], true) {
            Ok(stream) => sent.push(stream),
            Err(_) => break,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.response(slow).status, 200);
    let last = farewell(&mut client);
    assert!(last >= slow);
    let answered = sent.iter().filter(|stream| client.stream(**stream).ended);
    let taken: Vec<_> = sent.iter().filter(|stream| **stream <= last).collect();
    assert_eq!(answered.count(), taken.len(), "what is not above the last stream is answered");
    drop(client);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

#[test]
fn the_end_is_told_in_two_steps() {
    let backend = backend();
    let mut ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let stream = client.request("GET", "/slow", &[], true);
    eventually("the backend has it", || backend.requests() == 1);
    ringway.signal("TERM");
    client.response(stream);
    client.receive_to_end();
    let lasts = client.seen.iter().filter(|frame| frame.kind == GOAWAY);
    let lasts: Vec<_> = lasts.map(|frame| frame.payload[..4].to_vec()).collect();
    assert_eq!(lasts.first().map(Vec::as_slice), Some(&[0x7f, 0xff, 0xff, 0xff][..]), "{lasts:?}");
    assert_eq!(lasts.last().map(Vec::as_slice), Some(&stream.to_be_bytes()[..]), "{lasts:?}");
    drop(client);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_listener_that_is_gone_lets_its_connections_finish() {
    let backend = backend();
    let second = "[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\n\
                  certificates = [\"kit\"]\ndefault_group = \"app\"\n";
    let scenario = Scenario::of(&backend).secured();
    let ringway = scenario.clone().table(second).start();
    let mut stays = Http2::connect(ringway.address_of("web"));
    let mut client = Http2::connect(ringway.address_of("other"));
    let mut idle = Http2::connect(ringway.address_of("other"));
    assert!(stays.get("/").status == 200 && idle.get("/").status == 200);
    let stream = client.request("GET", "/slow", &[], true);
    eventually("the backend has it", || backend.requests() == 3);
    ringway.reload(&scenario.text());
    farewell(&mut idle);
    assert_eq!(client.response(stream).status, 200);
    assert_eq!(farewell(&mut client), stream);
    assert_eq!(stays.get("/").status, 200);
}

#[test]
fn other_terms_count_for_the_next_stream() {
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend).secured();
    let ringway = scenario.start();
    let mut client = Http2::connect(ringway.address());
    assert_eq!(client.post("/", b"hello").status, 200);
    ringway.reload(&scenario.listener("max_body_bytes = 4").text());
    assert_eq!(client.post("/", b"hello").status, 413);
    assert_eq!(client.post("/", b"hell").status, 200);
}

#[test]
fn keepalive_requests_ends_a_connection_in_order() {
    let backend = backend();
    let ringway = Scenario::of(&backend).secured().listener("keepalive_requests = 3").start();
    let mut client = Http2::connect(ringway.address());
    let streams: Vec<u32> = (0..3).map(|_| client.request("GET", "/slow", &[], true)).collect();
    for stream in &streams {
        assert_eq!(client.response(*stream).status, 200);
    }
    assert!(farewell(&mut client) >= streams[2]);
    assert_eq!(Http2::connect(ringway.address()).get("/").status, 200);
}

#[test]
fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let backend = backend();
    let ringway = Scenario::of(&backend).secured().listener("idle_timeout = \"1s\"").start();
    let mut client = Http2::connect(ringway.address());
    // A stream that waits for its backend is no idleness.
    assert_eq!(client.get("/slow").status, 200);
    let start = now();
    farewell(&mut client);
    let took = start.elapsed();
    assert!((Duration::from_millis(700)..Duration::from_millis(3000)).contains(&took), "{took:?}");
}

/// The client is asked to reconnect and does not even answer PING: neither an idle connection nor a stop waits
/// for it.
#[test]
fn the_last_stream_numbers_do_not_outlive_the_others() {
    let backend = backend();
    let ask = |client: &mut Http2| {
        client.auto_replies.answers_pings = false;
        client.stream_number((1 << 31) - 1);
        assert_eq!(client.get("/").status, 200);
    };
    let scenario = Scenario::of(&backend).secured();
    let ringway = scenario.clone().listener("idle_timeout = \"1s\"").start();
    let mut client = Http2::connect(ringway.address());
    ask(&mut client);
    let start = now();
    farewell(&mut client);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());

    let mut ringway = scenario.start();
    let mut client = Http2::connect(ringway.address());
    ask(&mut client);
    let start = now();
    ringway.signal("TERM");
    farewell(&mut client);
    drop(client);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn pings_are_answered_and_keep_nothing_open() {
    let backend = backend();
    let ringway = Scenario::of(&backend).secured().listener("client_header_timeout = \"1s\"").start();
    let mut client = Http2::connect(ringway.address());
    let start = now();
    let ended = loop {
        let sent = client.send(&frame(PING, 0, 0, b"12345678"));
        let mut is_open = sent.is_ok();
        while let Ok(Some(_)) = client.receive_within(Duration::from_millis(200)) {}
        is_open &= client.go_away.is_none();
        if !is_open || start.elapsed() > PATIENCE {
            break start.elapsed();
        }
    };
    let answers = client.seen.iter().filter(|frame| frame.kind == PING && frame.flags == 1);
    assert!(answers.count() > 0, "PING is answered");
    assert!(ended < Duration::from_secs(4), "{ended:?}");
}

#[test]
fn a_client_that_says_goaway_still_gets_its_answers() {
    let backend = backend();
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let stream = client.request("GET", "/slow", &[], true);
    client.send_go_away(0, NO_ERROR).expect("it is taken");
    assert_eq!(client.response(stream).status, 200);
    client.receive_to_end();
}

#[test]
fn a_stop_is_told_to_a_client_that_never_pauses() {
    let backend = Backend::echo_body();
    let mut ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let stream = client.request("POST", "/", &[], false);
    let start = now();
    ringway.signal("TERM");
    while client.go_away.is_none() {
        assert!(start.elapsed() < Duration::from_secs(5), "no GOAWAY");
        client.send_content(stream, b"x", false).expect("it is taken");
        while let Ok(Some(_)) = client.receive_within(Duration::from_millis(50)) {}
    }
    client.send_content(stream, b"end", true).expect("it is taken");
    let answer = client.response(stream);
    assert!(answer.status == 200 && answer.body.ends_with(b"xend"), "{answer:?}");
    drop(client);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_client_that_says_goaway_may_still_speak_but_not_stay() {
    let backend = backend();
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    client.send_go_away(0, 0xff).expect("it is taken");
    for _ in 0..3 {
        // Long enough for the server to have nothing else to do.
        std::thread::sleep(Duration::from_millis(200));
        let stream = client.request("GET", "/", &[], true);
        assert_eq!(client.response(stream).status, 200);
    }
    let start = now();
    client.receive_to_end();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn alpn_chooses_http2_unless_the_listener_does_not_want_it() {
    let backend = backend();
    for (line, expected) in [("", "h2"), ("http2 = true", "h2"), ("http2 = false", "http/1.1")] {
        let ringway = Scenario::of(&backend).secured().listener(line).start();
        let mut config = client_config(&[&own_pair().certificate]);
        config.alpn_protocols = ["h2", "http/1.1"].map(|name| name.as_bytes().to_vec()).into();
        let client = Client::secured(ringway.address(), &Arc::new(config.clone()), "test.example");
        let client = client.expect("the handshake succeeds");
        let agreed = client.wire().session(|session| session.alpn_protocol().map(<[u8]>::to_vec));
        assert_eq!(agreed.as_deref(), Some(expected.as_bytes()), "{line}");
        // Who does not speak of it, or knows no HTTP/2, gets HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = Client::secured(ringway.address(), &Arc::new(config), "test.example");
        assert_eq!(client.expect("the handshake succeeds").get("/").status, 200, "{line}");
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200, "{line}");
    }
}

#[test]
fn prior_knowledge_is_for_listeners_that_want_it() {
    let backend = backend();
    let ringway = Scenario::of(&backend).prior_knowledge().start();
    assert_eq!(Http2::connect(ringway.address()).get("/").status, 200);
    // HTTP/1.1 is served there as before, and its h2c upgrade ignored (RFC 9113 §3.1).
    let mut client = Client::connect(ringway.address());
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    );
    assert_eq!(client.read_response().status, 200);
    assert_eq!(client.get("/").status, 200);

    let ringway = Scenario::of(&backend).start();
    let wire = Wire::connect(ringway.address());
    let mut refused = Http2::over(wire, &[]).expect("bytes are taken");
    assert!(refused.receive().is_err(), "no frame of HTTP/2 comes");
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
}

/// To some clients the connection is over with a GOAWAY, and any frame behind it an error.
fn frames_of_the_end(client: &Http2) -> Vec<(u8, Vec<u8>)> {
    let is_end = |frame: &&crate::support::Frame| matches!(frame.kind, GOAWAY | PING | RST_STREAM);
    client.seen.iter().filter(is_end).map(|frame| (frame.kind, frame.payload.clone())).collect()
}

#[test]
fn an_idle_connection_ends_with_one_goaway_and_nothing_else() {
    let backend = backend();
    for scenario in [Scenario::of(&backend).secured(), Scenario::of(&backend).prior_knowledge()] {
        let ringway = scenario.listener("idle_timeout = \"1s\"").start();
        let mut client = Http2::connect(ringway.address());
        let mut fresh = Http2::connect(ringway.address());
        assert_eq!(client.get("/").status, 200);
        assert_eq!(client.get("/").status, 200);
        farewell(&mut client);
        assert_eq!(frames_of_the_end(&client), [(GOAWAY, vec![0, 0, 0, 3, 0, 0, 0, 0])]);
        // A process that stops says the same to who is idle, with or without a request before.
        fresh.settle();
        ringway.signal("TERM");
        farewell(&mut fresh);
        assert_eq!(frames_of_the_end(&fresh), [(GOAWAY, vec![0; 8])]);
    }
}

/// With a response in flight there are two steps, but no PING between them.
#[test]
fn the_last_goaway_follows_the_last_response_at_once() {
    let backend = backend();
    let mut ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    client.auto_replies.answers_pings = false;
    let stream = client.request("GET", "/slow", &[], true);
    eventually("the backend has it", || backend.requests() == 1);
    ringway.signal("TERM");
    assert_eq!(client.response(stream).status, 200);
    let start = now();
    farewell(&mut client);
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    let first = (GOAWAY, vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let ends = frames_of_the_end(&client);
    assert!(ends == [first, (GOAWAY, vec![0, 0, 0, 1, 0, 0, 0, 0])], "{ends:?}");
    drop(client);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

/// A client that asks for one thing after the other never has a request in flight when the GOAWAY comes.
#[test]
fn keepalive_requests_ends_a_connection_between_two_requests() {
    let backend = backend();
    let ringway = Scenario::of(&backend).secured().listener("keepalive_requests = 3").start();
    let mut client = Http2::connect(ringway.address());
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    farewell(&mut client);
    assert_eq!(frames_of_the_end(&client), [(GOAWAY, vec![0, 0, 0, 5, 0, 0, 0, 0])]);
    // Who never pauses is served on for a second, and then asked to leave behind a response.
    let mut client = Http2::connect(ringway.address());
    let start = now();
    while client.go_away.is_none() {
        assert!(start.elapsed() < Duration::from_secs(3), "no GOAWAY");
        assert_eq!(client.get("/").status, 200);
        let _ = client.receive_within(Duration::from_millis(1));
    }
    farewell(&mut client);
    assert_eq!(frames_of_the_end(&client).len(), 1);
    // Several at a time all get their answers, too.
    let mut client = Http2::connect(ringway.address());
    let streams: Vec<u32> = (0..5).map(|_| client.request("GET", "/slow", &[], true)).collect();
    for stream in streams {
        assert_eq!(client.response(stream).status, 200);
    }
    farewell(&mut client);
}
