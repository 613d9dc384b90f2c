//! How much a client of HTTP/3 may have and do.

use crate::support::h3_frames::{
    DATA, H3_EXCESSIVE_LOAD, H3_NO_ERROR, H3_REQUEST_CANCELLED, HEADERS, PRIORITY_UPDATE, frame, varint,
};
use crate::support::{
    Backend, Closed, Http3, Quic, Ringway, Scenario, encode_section, eventually, log_entries, log_lines, now,
};
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn streams_beyond_the_limit_wait_for_those_before() {
    for (line, most) in [("", 100), ("http2_max_concurrent_streams = 10", 10)] {
        let (backend, may_answer) = Backend::holding();
        let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/held")];
        let ringway = Scenario::of(&backend).http3().listener(line).start();
        let mut client = Http3::connect(ringway.address());
        client.settle();
        let mut open = Vec::new();
        let mut open_all = |client: &mut Http3| {
            // All that are allowed before the first request is seen.
            let allowed: Vec<_> = std::iter::from_fn(|| client.next_id_at_once()).collect();
            for stream in allowed {
                client.send_fields(stream, &fields, true).expect("it is taken");
                open.push(stream);
            }
            client.receive_within(Duration::from_millis(20)).expect("the connection goes on");
            open.len()
        };
        assert_eq!(open_all(&mut client), most.min(20), "{line}");
        // A client that opens many may open more, up to the limit.
        eventually("all streams are open", || open_all(&mut client) == most);
        assert_eq!(open_all(&mut client), most, "{line}");
        // One more is allowed as soon as one of them is over.
        may_answer.store(true, Ordering::Release);
        let extra = client.request("GET", "/", &[], true);
        for stream in open.into_iter().chain([extra]) {
            assert_eq!(client.response(stream).status, 200, "{line} {stream}");
        }
    }
}

#[test]
fn large_heads_are_refused_and_the_connection_goes_on() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).http3().logged("json").start();
    let mut client = Http3::connect(ringway.address());
    for (size, method) in [(34_000, "GET"), (36_000, "POST"), (60_000, "HEAD"), (150_000, "GET")] {
        let value = "&Z".repeat(size / 2);
        let more = [("x-before", "1"), ("x-big", value.as_str()), ("x-after", "2")];
        let stream = client.request(method, "/big", &more, method != "POST");
        let refused = client.response(stream);
        assert!(matches!(refused.status, 400 | 431), "{size}: {}", refused.status);
        assert_eq!(refused.body.is_empty(), method == "HEAD");
        // Its content is not wanted.
        let _ = client.finish(stream);
    }
    assert_eq!(client.post("/", b"fine").text(), "fine");
    let lines = log_lines(&ringway, 5);
    assert_eq!(lines.iter().filter(|line| line.contains("header_too_large")).count(), 4, "{lines:?}");
}

/// Ends with this code and this word in the log, while another client goes on.
fn is_too_much(ringway: &Ringway, reason: &str, flood: impl Fn(&mut Http3) -> io::Result<()>) {
    let mut other = Http3::connect(ringway.address());
    let mut client = Http3::connect(ringway.address());
    client.settle();
    let start = now();
    while client.quic.is_closed().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "{reason}: nobody minds");
        if flood(&mut client).is_err() {
            break;
        }
    }
    let closed = client.quic.closed();
    assert!(matches!(closed, Closed::Application { code: H3_EXCESSIVE_LOAD, .. }), "{reason}: {closed:?}");
    eventually("the log tells it", || log_lines(ringway, 1).iter().any(|line| line.contains(reason)));
    assert_eq!(other.get("/").status, 200);
}

fn post_head() -> Vec<u8> {
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/silent")];
    frame(HEADERS, &encode_section(&fields))
}

#[test]
fn floods_end_the_connection() {
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"ok"));
    let ringway = Scenario::of(&backend).http3().logged("json").start();
    is_too_much(&ringway, "h3_priority_flood", |client| {
        let update = frame(PRIORITY_UPDATE, &[varint(0), b"u=1".to_vec()].concat());
        client.send(client.control, &update.repeat(100))
    });
    is_too_much(&ringway, "h3_useless_frame_flood", |client| {
        client.send(client.control, &frame(0x21, b"").repeat(100))
    });
    is_too_much(&ringway, "h3_empty_data_flood", |client| {
        let stream = client.try_next_id()?;
        client.send(stream, &[post_head(), frame(DATA, b"").repeat(200)].concat())
    });
    is_too_much(&ringway, "h3_reset_flood", |client| {
        for _ in 0..20 {
            let stream = client.try_next_id()?;
            client.send(stream, &post_head())?;
            client.reset(stream, H3_REQUEST_CANCELLED)?;
            client.stop(stream, H3_REQUEST_CANCELLED)?;
        }
        client.receive_within(Duration::from_millis(5))
    });
}

/// Heads that find no room cost what other requests cost that end early.
#[test]
fn heads_without_end_are_too_much() {
    let backend = Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            if !head.start_line.contains("/never") {
                peer.respond("200 OK", b"")?;
            }
        }
        Ok(())
    });
    let lines = "max_header_bytes = \"64KiB\"\nhttp2_max_resets = 20\nhttp2_resets_per_second = 1";
    let ringway = Scenario::of(&backend).http3().listener(lines).logged("json").start();
    let value = "x".repeat(30_000);
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/never")];
    let head = frame(HEADERS, &encode_section(&[&fields[..], &[("x-big", value.as_str())]].concat()));
    is_too_much(&ringway, "h3_reset_flood", |client| {
        for _ in 0..10 {
            let stream = client.try_next_id()?;
            client.send(stream, &head)?;
            client.finish(stream)?;
        }
        client.receive_within(Duration::from_millis(5))
    });
}

/// Answers `/slow` after more than a second, everything else never.
fn silent_backend() -> Backend {
    Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            if head.start_line.contains("/slow") {
                std::thread::sleep(Duration::from_millis(1300));
                peer.respond("200 OK", b"slow")?;
            }
        }
        Ok(())
    })
}

#[test]
fn requests_by_the_hundred_may_be_cancelled() {
    let backend = silent_backend();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    let slow = client.request("GET", "/slow", &[], true);
    for _ in 0..5 {
        let streams: Vec<u64> = (0..60).map(|_| client.request("GET", "/never", &[], true)).collect();
        client.receive_within(Duration::from_millis(200)).expect("it is open");
        streams.into_iter().for_each(|stream| client.cancel(stream));
    }
    assert_eq!(client.response(slow).body, b"slow");
    assert_eq!(client.go_away(), None);
}

#[test]
fn a_client_that_cancels_too_much_is_asked_to_leave_before_it_is_made_to() {
    let backend = silent_backend();
    let scenario = Scenario::of(&backend).http3().listener("http2_max_resets = 20");
    let ringway = scenario.listener("http2_resets_per_second = 1").start();
    let mut client = Http3::connect(ringway.address());
    let slow = client.request("GET", "/slow", &[], true);
    client.receive_within(Duration::from_millis(150)).expect("it is open");
    for _ in 0..15 {
        let stream = client.request("GET", "/never", &[], true);
        client.cancel(stream);
    }
    let told = client.receive_until(|client| client.go_away());
    assert!(matches!(told, Ok(Some(_))), "{told:?}");
    assert_eq!(client.response(slow).body, b"slow");
    assert!(matches!(client.quic.closed(), Closed::Application { code: H3_NO_ERROR, .. }));
}

/// Who comes too late is told so (CONNECTION_REFUSED of RFC 9000 §20.1), and goes on by TCP or comes again.
#[test]
fn connections_beyond_the_limit_are_refused() {
    let backend = Backend::per_request(|peer, _, _| {
        std::thread::sleep(Duration::from_secs(2));
        peer.respond("200 OK", b"")
    });
    let ringway = Scenario::of(&backend).http3().listener("max_connections = 2").start();
    let mut clients: Vec<_> = (0..2).map(|_| Http3::connect(ringway.address())).collect();
    let streams: Vec<_> = clients.iter_mut().map(|client| client.request("GET", "/", &[], true)).collect();
    let extra = Quic::begin(ringway.address(), &Default::default()).expect("a socket");
    assert!(matches!(extra.closed(), Closed::Transport { code: 2, .. }));
    for (client, stream) in clients.iter_mut().zip(streams) {
        assert_eq!(client.response(stream).status, 200);
    }
}

#[test]
fn idle_connections_of_http3_give_way() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().listener("max_connections = 2").workers(1).start();
    let mut idle: Vec<_> = (0..2).map(|_| Http3::connect(ringway.address())).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    std::thread::sleep(Duration::from_millis(700));
    let mut extra = Http3::connect(ringway.address());
    assert_eq!(extra.get("/").status, 200);
    assert!(matches!(idle[0].quic.closed(), Closed::Application { code: 0x100, .. }), "H3_NO_ERROR");
    assert_eq!(idle[1].get("/").status, 200);
}

#[test]
fn rates_and_lists_hold_for_clients_of_quic() {
    let backend = Backend::echo_head();
    let group = "[[ip_group]]\nname = \"here\"\nentries = [\"127.0.0.0/8\"]\n";
    let scenario = Scenario::of(&backend).http3().listener("deny = [\"here\"]").table(group).logged("json");
    let ringway = scenario.start();
    let quic = Quic::begin(ringway.address(), &Default::default()).expect("a socket");
    assert!(!quic.is_connected_within(Duration::from_millis(300)));
    let entry = &log_entries(&ringway, 1)[0];
    assert_eq!((&entry["reason"], &entry["status"]), (&"access_denied".into(), &403.into()), "{entry}");
}
