//! How connections of HTTP/3 begin and end, and that no request is lost with them.

use crate::support::h3_frames::{GOAWAY, H3_NO_ERROR, H3_REQUEST_REJECTED, HEADERS, frame};
use crate::support::{
    Backend, Closed, Http3, PATIENCE, QuicTls, Scenario, encode_section, eventually, log_entries, now,
    tls::own_pair,
};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The id of the first GOAWAY of an end in steps (RFC 9114 §5.2).
const LAST_REQUEST: u64 = (1 << 62) - 4;

/// Answers `/slow` after a while.
fn backend() -> Backend {
    Backend::per_request(|peer, head, _| {
        if head.start_line.contains("/slow") {
            std::thread::sleep(Duration::from_millis(1300));
        }
        peer.respond("200 OK", head.start_line.as_bytes())
    })
}

/// The ids of all GOAWAY, once the server has closed in order.
fn farewell(client: &mut Http3) -> Vec<u64> {
    let ended = client.receive_until(|_| None::<()>);
    assert!(matches!(ended, Ok(None)), "{ended:?}");
    assert!(matches!(client.quic.closed(), Closed::Application { code: H3_NO_ERROR, .. }));
    let told = client.seen.iter().filter(|frame| frame.kind == GOAWAY);
    told.map(|frame| crate::support::h3_frames::only_varint(&frame.payload)).collect()
}

#[test]
fn a_stop_finishes_what_was_begun_and_says_goaway_in_two_steps() {
    let backend = backend();
    let mut ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    let mut idle = Http3::connect(ringway.address());
    assert_eq!(idle.get("/").status, 200);
    let streams: Vec<u64> = (0..3).map(|_| client.request("GET", "/slow", &[], true)).collect();
    eventually("the backend has them", || backend.requests() == 4);
    ringway.signal("TERM");
    assert_eq!(farewell(&mut idle), [LAST_REQUEST, 4]);
    for stream in &streams {
        assert_eq!(client.response(*stream).status, 200);
    }
    assert_eq!(farewell(&mut client), [LAST_REQUEST, streams[2] + 4]);
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

/// With requests all the time, too: nothing else would end such a connection before the time is up.
#[test]
fn a_connection_that_is_never_idle_is_told_to_end() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    ringway.signal("TERM");
    let start = now();
    while client.try_request("GET", "/", &[], true).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(5), "it goes on and on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(farewell(&mut client).first(), Some(&LAST_REQUEST));
}

/// As one that is removed, a listener whose HTTP/3 is switched off ends its connections.
#[test]
fn connections_end_when_http3_is_switched_off() {
    let backend = Backend::echo_head();
    let scenario = || Scenario::of(&backend).http3();
    let ringway = scenario().start();
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    ringway.reload(&scenario().text().replace("http3 = true", "http3 = false"));
    assert_eq!(farewell(&mut client).first(), Some(&LAST_REQUEST));
}

/// The port is bound as long as connections from before are not over: nobody could bind it anew.
#[test]
fn http3_that_is_switched_on_again_goes_on_at_its_port() {
    let (backend, may_answer) = Backend::holding();
    let on = Scenario::of(&backend).http3().text();
    let off = on.replace("http3 = true", "http3 = false");
    let ringway = Scenario::of(&backend).http3().start();
    let address = ringway.address();
    for _ in 0..2 {
        may_answer.store(false, Ordering::Release);
        let mut old = Http3::connect(address);
        let served = backend.requests();
        let stream = old.request("GET", "/held", &[], true);
        eventually("the backend has it", || backend.requests() == served + 1);
        ringway.reload(&off);
        let told = old.receive_until(|client| client.go_away());
        assert!(matches!(told, Ok(Some(_))), "{told:?}");
        assert!(Http3::with(address, &Default::default()).is_err(), "nobody begins any more");
        ringway.reload(&on);
        let mut new = Http3::connect(address);
        assert_eq!(new.get("/").status, 200);
        may_answer.store(true, Ordering::Release);
        assert_eq!(old.response(stream).status, 200);
        farewell(&mut old);
        assert_eq!(new.get("/").status, 200);
    }
    ringway.reload(&off);
    eventually("the port is free", || std::net::UdpSocket::bind(address).is_ok());
    ringway.reload(&on);
    assert_eq!(Http3::connect(address).get("/").status, 200);
}

/// Whichever listener comes to the address of one that is gone.
#[test]
fn another_listener_takes_sockets_over_that_close() {
    let backend = backend();
    let listener = |name: &str, address: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = \"{address}\"\nprotocol = \"quic\"\n\
             certificates = [\"kit\"]\ndefault_group = \"app\"\n"
        )
    };
    let scenario = Scenario::of(&backend).http3();
    let ringway = scenario.start();
    // A port that the kernel has chosen: what is bound there later has it by number.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = free.expect("a port");
    let with = |name: &str| scenario.clone().table(&listener(name, &address.to_string())).text();
    ringway.reload(&with("first"));
    let mut old = Http3::connect(address);
    let stream = old.request("GET", "/slow", &[], true);
    eventually("the backend has it", || backend.requests() == 1);
    ringway.reload(&scenario.text());
    ringway.reload(&with("second"));
    assert_eq!(Http3::connect(address).get("/").status, 200);
    assert_eq!(old.response(stream).status, 200);
    farewell(&mut old);
}

#[test]
fn a_request_that_meets_the_goaway_is_answered_or_may_be_sent_again() {
    let backend = backend();
    let mut ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let slow = client.request("GET", "/slow", &[], true);
    eventually("the backend has it", || backend.requests() == 2);
    ringway.signal("TERM");
    let mut sent = Vec::new();
    let end = now() + Duration::from_millis(800);
    while now() < end {
        match client.try_request("GET", "/", &[], true) {
            Ok(stream) => sent.push(stream),
            Err(_) => break,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.response(slow).status, 200);
    let first_refused = *farewell(&mut client).last().expect("a GOAWAY");
    assert!(first_refused > slow);
    for stream in sent {
        let its = client.stream(stream);
        if stream < first_refused {
            assert!(its.ended, "stream {stream} below {first_refused} is answered");
        } else {
            assert!(matches!(its.reset, None | Some(H3_REQUEST_REJECTED)), "{stream}: {:?}", its.reset);
            assert!(!its.ended);
        }
    }
    assert_eq!(ringway.wait_for_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_listener_that_is_gone_lets_its_connections_finish() {
    let backend = backend();
    let second = "[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\nhttp3 = true\n\
                  certificates = [\"kit\"]\ndefault_group = \"app\"\n";
    let scenario = Scenario::of(&backend).http3();
    let ringway = scenario.clone().table(second).start();
    let mut stays = Http3::connect(ringway.address_of("web"));
    let mut client = Http3::connect(ringway.address_of("other"));
    let mut idle = Http3::connect(ringway.address_of("other"));
    assert!(stays.get("/").status == 200 && idle.get("/").status == 200);
    let stream = client.request("GET", "/slow", &[], true);
    eventually("the backend has it", || backend.requests() == 3);
    ringway.reload(&scenario.text());
    assert_eq!(farewell(&mut idle).last(), Some(&4));
    assert_eq!(client.response(stream).status, 200);
    assert_eq!(farewell(&mut client).last(), Some(&(stream + 4)));
    assert_eq!(stays.get("/").status, 200);
}

#[test]
fn other_terms_count_for_the_next_stream() {
    let backend = Backend::echo_body();
    let scenario = Scenario::of(&backend).http3();
    let ringway = scenario.start();
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.post("/", b"hello").status, 200);
    ringway.reload(&scenario.listener("max_body_bytes = 4").text());
    assert_eq!(client.post("/", b"hello").status, 413);
    assert_eq!(client.post("/", b"hell").status, 200);
}

#[test]
fn keepalive_requests_ends_a_connection_in_order() {
    let backend = backend();
    let ringway = Scenario::of(&backend).http3().listener("keepalive_requests = 3").start();
    let mut client = Http3::connect(ringway.address());
    let streams: Vec<u64> = (0..3).map(|_| client.request("GET", "/", &[], true)).collect();
    for stream in &streams {
        assert_eq!(client.response(*stream).status, 200);
    }
    assert_eq!(farewell(&mut client).last(), Some(&(streams[2] + 4)));
    assert_eq!(Http3::connect(ringway.address()).get("/").status, 200);
}

#[test]
fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let backend = backend();
    let ringway = Scenario::of(&backend).http3().listener("idle_timeout = \"1s\"").start();
    let mut client = Http3::connect(ringway.address());
    // A stream that waits for its backend is no idleness.
    assert_eq!(client.get("/slow").status, 200);
    let start = now();
    assert_eq!(farewell(&mut client).last(), Some(&4));
    let took = start.elapsed();
    assert!((Duration::from_millis(700)..Duration::from_millis(4000)).contains(&took), "{took:?}");
}

/// Its number is below that of the GOAWAY, so nobody else could serve it.
#[test]
fn a_request_that_is_begun_before_the_end_is_served() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().listener("idle_timeout = \"1s\"").start();
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/late")];
    let head = frame(HEADERS, &encode_section(&fields));
    let (begin, rest) = head.split_at(head.len() / 2);
    let stream = client.next_id();
    client.send(stream, begin).expect("it is taken");
    let final_word = client.receive_until(|client| client.go_away().filter(|id| *id != LAST_REQUEST));
    assert_eq!(final_word.ok(), Some(Some(stream + 4)));
    client.receive_within(Duration::from_millis(1200)).expect("it is waited for");
    client.send(stream, rest).and_then(|()| client.finish(stream)).expect("it is taken");
    assert_eq!(client.response(stream).status, 200);
    farewell(&mut client);
}

#[test]
fn a_head_that_does_not_come_may_be_sent_again() {
    let backend = Backend::echo_head();
    let lines = "idle_timeout = \"1s\"\nclient_header_timeout = \"3s\"";
    let ringway = Scenario::of(&backend).http3().listener(lines).start();
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let stream = client.next_id();
    client.send(stream, &[1, 40, 0, 0]).expect("it is taken");
    farewell(&mut client);
    assert_eq!(client.stream(stream).reset, Some(H3_REQUEST_REJECTED));
}

#[test]
fn a_connection_without_a_request_ends_soon_whatever_else_comes() {
    let backend = backend();
    let ringway = Scenario::of(&backend).http3().listener("client_header_timeout = \"1s\"").start();
    let mut client = Http3::connect(ringway.address());
    let start = now();
    while client.quic.is_closed().is_none() {
        assert!(start.elapsed() < Duration::from_secs(5), "it is still open");
        client.quic.ping();
        std::thread::sleep(Duration::from_millis(100));
    }
    farewell(&mut client);
    // A head that does not come to its end holds no stream for longer.
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    let stream = client.next_id();
    client.send(stream, &[1, 40, 0, 0]).expect("it is taken");
    let start = now();
    assert!(client.message(stream).is_err());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(client.get("/").status, 200, "the connection goes on");
}

#[test]
fn a_client_that_says_goaway_still_gets_its_answers() {
    let backend = backend();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    let stream = client.request("GET", "/slow", &[], true);
    client.send_go_away(0).expect("it is taken");
    assert_eq!(client.response(stream).status, 200);
    farewell(&mut client);
}

/// Nobody closes a connection whose client has lost its power.
#[test]
fn a_client_that_vanishes_is_forgotten() {
    let backend = backend();
    let scenario = Scenario::of(&backend).http3().listener("idle_timeout = \"1s\"");
    let ringway = scenario.listener("max_connections = 1").start();
    let mut client = Http3::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    client.quic.vanish();
    let start = now();
    eventually("there is a place for the next", || {
        Http3::with(ringway.address(), &Default::default()).is_ok_and(|mut next| next.get("/").status == 200)
    });
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn who_speaks_no_http3_is_told_so() {
    let backend = backend();
    let ringway = Scenario::of(&backend).http3().logged("json").start();
    for protocols in [&["h2", "http/1.1"][..], &["hq-interop"], &[]] {
        let tls = QuicTls::trusting(&own_pair().certificate, None, protocols);
        let refused = Http3::secured(ringway.address(), &tls, "test.example");
        // no_application_protocol (RFC 7301 §3.2) as an error of QUIC.
        let error = refused.err().expect("the handshake fails").to_string();
        assert!(error.contains("120"), "{protocols:?}: {error}");
    }
    // The log tells QUIC from TLS over TCP.
    for entry in log_entries(&ringway, 3) {
        assert_eq!(
            (&entry["scheme"], &entry["server_protocol"]),
            (&"https".into(), &"HTTP/3.0".into()),
            "{entry}"
        );
    }
    let tls = QuicTls::trusting(&own_pair().certificate, None, &["hq-interop", "h3"]);
    let client = Http3::secured(ringway.address(), &tls, "test.example");
    assert_eq!(client.expect("they agree").get("/").status, 200);
}
