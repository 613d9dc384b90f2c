//! What only requests of HTTP/3 have, and how clients learn that there is HTTP/3.

use crate::support::h3_frames::{CONTROL, DATA, HEADERS, PRIORITY_UPDATE, frame, settings, varint};
use crate::support::tls::Issuer;
use crate::support::{
    Backend, EitherClient, Http2, Http3, QuicTls, Scenario, encode_section, eventually, log_entries,
    recording,
};

#[test]
fn crumbs_of_a_cookie_are_one_field_for_http1() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    let crumbs = [("cookie", "a=b"), ("x-between", "y"), ("cookie", "c=d"), ("cookie", "e=f; g=h")];
    let stream = client.request("GET", "/", &crumbs, true);
    assert_eq!(client.response(stream).status, 200);
    let (head, _) = received.try_iter().next().expect("the backend has it");
    assert_eq!(head.field("cookie"), Some("a=b; c=d; e=f; g=h"));
    assert_eq!(head.field("x-between"), Some("y"));
}

#[test]
fn pseudo_fields_become_the_request_line_and_host() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    let options = client.request("OPTIONS", "*", &[("host", "test.example")], true);
    assert_eq!(client.response(options).status, 200);
    let (head, _) = received.try_iter().next().expect("the backend has it");
    assert_eq!((head.start_line.as_str(), head.field("host")), ("OPTIONS * HTTP/1.1", Some("test.example")));
    assert!(head.fields.iter().all(|(name, _)| !name.starts_with(':')), "{}", head.text());

    // Host alone will do (RFC 9114 §4.3.1).
    let stream = client.next_id();
    let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/x"), ("host", "test.example")];
    client.send_fields(stream, &fields, true).expect("they are taken");
    assert_eq!(client.response(stream).status, 200);
    let (head, _) = received.try_iter().next().expect("the backend has it");
    assert_eq!((head.start_line.as_str(), head.field("host")), ("GET /x HTTP/1.1", Some("test.example")));
}

#[test]
fn a_malformed_request_reaches_no_backend_and_ends_its_stream_alone() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    for (path, more) in [
        ("/", &[("host", "other.example")][..]),
        ("/", &[("connection", "close")]),
        ("/", &[("transfer-encoding", "chunked")]),
        ("/", &[("te", "gzip")]),
        ("/", &[(":path", "/twice")]),
        ("/", &[(":status", "200")]),
        ("/", &[("x", "y"), (":scheme", "https")]),
        ("/", &[("X", "y")]),
        ("/", &[("x", "a\r\nevil: b")]),
        ("/", &[("x\nevil", "b")]),
        ("/a b", &[]),
        ("/ HTTP/1.1\r\nevil: x", &[]),
        ("", &[]),
        ("/", &[("content-length", "5")]),
        ("/", &[("content-length", "0"), ("content-length", "00")]),
    ] {
        let stream = client.request("GET", path, more, true);
        let refused = client.message(stream);
        let is_refused =
            refused.as_ref().map_or_else(|_| client.stream(stream).reset.is_some(), |m| m.status == 400);
        assert!(is_refused, "{path:?} {more:?}: {refused:?}");
    }
    // More content than was announced, and less.
    for content in [&b"four"[..], b"2"] {
        let stream = client.request("POST", "/", &[("content-length", "3")], false);
        let _ = client.send_content(stream, content, true);
        let refused = client.message(stream);
        assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 400), "{content:?}");
    }
    assert_eq!(client.get("/").status, 200, "the connection goes on");
    assert_eq!(received.try_iter().filter(|(head, _)| !head.start_line.starts_with("POST")).count(), 1);
}

#[test]
fn a_name_of_another_certificate_is_misdirected() {
    let issuer = Issuer::new("the kit");
    let (one, two) = (issuer.server(&["one.test", "alias.test"]), issuer.server(&["two.test"]));
    let backend = Backend::echo_head();
    let scenario = Scenario::of(&backend).certificate("one", &one).certificate("two", &two);
    let ringway = scenario.listener("http3 = true").start();
    let tls = QuicTls::trusting(&issuer.pem, None, &["h3"]);
    let mut client = Http3::secured(ringway.address(), &tls, "one.test").expect("it succeeds");
    for (authority, status) in
        [("one.test", 200), ("alias.test", 200), ("two.test", 421), ("one.test:443", 200)]
    {
        let stream = client.next_id();
        let fields = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", "/")];
        client.send_fields(stream, &fields, true).expect("they are taken");
        assert_eq!(client.response(stream).status, status, "{authority}");
    }
}

#[test]
fn the_access_log_tells_the_version() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().logged("json").start();
    let mut client = Http3::connect(ringway.address());
    client.get("/logged?x");
    let entry = log_entries(&ringway, 1).remove(0);
    let text = entry.to_string();
    assert!(text.contains("HTTP/3") && text.contains("/logged?x"), "{text}");
    assert_eq!(
        (&entry["client_port"], &entry["ssl_protocol"]),
        (&client.quic.local_address().port().into(), &"TLSv1.3".into()),
        "{text}"
    );
}

/// Grease, as browsers send it (RFC 9114 §7.2.8), and wishes (RFC 9218).
#[test]
fn priorities_and_what_is_unknown_are_taken() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect_with(ringway.address(), &[(0x21, 7), (0x1f * 9 + 0x21, 0)]);
    let grease = frame(0x1f * 3 + 0x21, b"grease");
    let control = client.control;
    client.send(control, &grease).expect("it is taken");
    let unknown = client.open_unidirectional(0x1f * 5 + 0x21).expect("one more may be opened");
    let _ = client.send(unknown, b"nobody reads this");
    let stream = client.next_id();
    let update = [varint(stream), b"u=1, i".to_vec()].concat();
    client.send(control, &frame(PRIORITY_UPDATE, &update)).expect("it is taken");
    client.send(stream, &grease).expect("it is taken");
    let head = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "test.example"),
        (":path", "/"),
        ("priority", "u=7, i=?0, x=\"y\""),
    ];
    client.send_fields(stream, &head, false).expect("they are taken");
    let content =
        [frame(DATA, b"hel"), grease.clone(), frame(DATA, b""), frame(DATA, b"lo!"), grease].concat();
    client.send(stream, &content).expect("it is taken");
    client.finish(stream).expect("it can be");
    assert_eq!(client.response(stream).text(), "hello!");
    eventually("the unknown stream is given up", || {
        let _ = client.receive_within(std::time::Duration::from_millis(20));
        client.send(unknown, b"x").is_err()
    });
}

/// However the bytes are cut, they say the same.
#[test]
fn frames_may_come_byte_by_byte() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::bare(ringway.address());
    let control = client.open_unidirectional(CONTROL).expect("it may be opened");
    for byte in settings(&[(6, 100_000), (0x4444, 1)]) {
        client.send(control, &[byte]).expect("it is taken");
    }
    let stream = client.next_id();
    let head = encode_section(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "test.example"),
        (":path", "/path"),
        ("content-length", "5"),
    ]);
    // Integers need not be as short as they can (RFC 9000 §16).
    let long_data = [&[0x80, 0, 0, 0, 0x40, 5][..], b"hello"].concat();
    for byte in [frame(HEADERS, &head), long_data].concat() {
        client.send(stream, &[byte]).expect("it is taken");
    }
    client.finish(stream).expect("it can be");
    assert_eq!(client.response(stream).text(), "hello");
}

/// Not every client sends the end of a request with its head.
#[test]
fn the_end_of_a_request_may_come_late() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).http3().start();
    let mut client = Http3::connect(ringway.address());
    for pause_ms in [0, 50] {
        let stream = client.request("GET", "/late", &[], false);
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        client.finish(stream).expect("it can be");
        assert_eq!(client.response(stream).text(), "ok");
        let (head, content) = received.try_iter().next().expect("the backend has it");
        assert_eq!((head.start_line.as_str(), content.as_slice()), ("GET /late HTTP/1.1", &b""[..]));
    }
}

#[test]
fn settings_say_that_there_is_no_table_and_how_large_heads_may_be() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().listener("max_header_bytes = \"20KiB\"").start();
    let mut client = Http3::connect(ringway.address());
    client.settle();
    let settings = client.settings().expect("they came");
    let told = [1, 6, 7, 8, 0x33].map(|identifier| settings.get(&identifier).copied().unwrap_or_default());
    assert_eq!(told, [0, 20 * 1024, 0, 0, 0], "{settings:?}");
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn sensitive_fields_stay_sensitive_on_their_way_to_http2() {
    let backend = Backend::http2_echo_head();
    let ringway = Scenario::of(&backend).http3().group_protocol("h2c").start();
    let mut client = Http3::connect(ringway.address());
    let stream = client.request("GET", "/", &[("authorization", "secret"), ("x-y", "z")], true);
    let answer = client.response(stream);
    assert!(answer.text().contains("authorization: secret\n"), "{}", answer.text());
}

/// Who comes by TCP learns of HTTP/3 (RFC 7838).
#[test]
fn responses_by_tcp_tell_where_http3_is() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().start();
    let address = ringway.address();
    let told = format!("h3=\":{}\"; ma=", address.port());
    for mut client in [
        EitherClient::Http1(crate::support::Client::connect(address)),
        EitherClient::Http2(Box::new(Http2::connect(address))),
    ] {
        let answer = client.get("/");
        assert!(answer.field("alt-svc").is_some_and(|value| value.starts_with(&told)), "{:?}", answer.fields);
    }
}

#[test]
fn a_listener_of_quic_alone_serves_http3_and_another_tells_of_it() {
    let backend = Backend::echo_head();
    let fast = "[[listener]]\nname = \"fast\"\naddress = \"127.0.0.1:0\"\nprotocol = \"quic\"\n\
                certificates = [\"kit\"]\ndefault_group = \"app\"\n";
    let ringway = Scenario::of(&backend).secured().listener("quic_listener = \"fast\"").table(fast).start();
    let address = ringway.address_of("fast");
    assert_eq!(Http3::connect(address).get("/").status, 200);
    let answer = Http2::connect(ringway.address_of("web")).get("/");
    let told = format!("h3=\":{}\"; ma=", address.port());
    assert!(answer.field("alt-svc").is_some_and(|value| value.starts_with(&told)), "{:?}", answer.fields);
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens there by TCP");
}
