//! What only requests of HTTP/2 have: pseudo-fields, crumbs of cookies, connections for several names.

use crate::support::frames::{END, END_HEADERS, HEADERS, frame};
use crate::support::tls::{Issuer, client_config};
use crate::support::{Backend, Http2, Scenario, log_entries, recording};
use std::sync::Arc;

#[test]
fn crumbs_of_a_cookie_are_one_field_for_http1() {
    let (backend, received) = recording();
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
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
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let options = client.request("OPTIONS", "*", &[("host", "test.example")], true);
    assert_eq!(client.response(options).status, 200);
    let (head, _) = received.try_iter().next().expect("the backend has it");
    assert_eq!((head.start_line.as_str(), head.field("host")), ("OPTIONS * HTTP/1.1", Some("test.example")));
    assert!(head.fields.iter().all(|(name, _)| !name.starts_with(':')), "{}", head.text());

    // Host alone will do (RFC 9113 §8.3.1).
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
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    for (path, more) in [
        ("/", &[("host", "other.example")][..]),
        ("/", &[("connection", "close")]),
        ("/", &[("transfer-encoding", "chunked")]),
        ("/", &[("te", "gzip")]),
        ("/", &[(":path", "/twice")]),
        ("/", &[("x", "y"), (":scheme", "https")]),
        ("/", &[("x", "a\r\nevil: b")]),
        ("/", &[("x\nevil", "b")]),
        ("/a b", &[]),
        ("/ HTTP/1.1\r\nevil: x", &[]),
        ("", &[]),
        ("/", &[("content-length", "5")]),
    ] {
        let stream = client.request("GET", path, more, true);
        let refused = client.message(stream);
        let is_refused =
            refused.as_ref().map_or_else(|_| client.stream(stream).reset.is_some(), |m| m.status == 400);
        assert!(is_refused, "{path:?} {more:?}: {refused:?}");
    }
    // Names in upper case cannot leave by way of an encoder.
    let block = [&[0x82, 0x87, 0x84, 0x01, 1, b'a'][..], b"\0\x01X\x01y"].concat();
    let stream = client.next_id();
    client.send(&frame(HEADERS, END, stream, &block)).expect("it is taken");
    assert!(client.message(stream).is_err());
    // More content than was announced.
    let stream = client.request("POST", "/", &[("content-length", "3")], false);
    let _ = client.send_content(stream, b"four", true);
    let refused = client.message(stream);
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 400));
    assert_eq!(client.get("/").status, 200, "the connection goes on");
    assert_eq!(received.try_iter().filter(|(head, _)| !head.start_line.starts_with("POST")).count(), 1);
}

#[test]
fn a_name_of_another_certificate_is_misdirected() {
    let issuer = Issuer::new("the kit");
    let (one, two) = (issuer.server(&["one.test", "alias.test"]), issuer.server(&["two.test"]));
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).certificate("one", &one).certificate("two", &two).start();
    let mut config = client_config(&[&issuer.pem]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = Http2::secured(ringway.address(), &Arc::new(config), "one.test").expect("it succeeds");
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
    let ringway = Scenario::of(&backend).secured().logged("json").start();
    let mut client = Http2::connect(ringway.address());
    client.get("/logged?x");
    let entries = log_entries(&ringway, 1);
    let text = entries[0].to_string();
    assert!(text.contains("HTTP/2") && text.contains("/logged?x"), "{text}");
}

#[test]
fn padding_priorities_and_unknown_frames_are_taken() {
    let backend = Backend::echo_body();
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let stream = client.next_id();
    let block = client.encode(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "test.example"),
        (":path", "/"),
        ("priority", "u=1, i"),
    ]);
    const PADDED_AND_PRIORITY: u8 = 0x28;
    let payload = [&[3, 0, 0, 0, 0, 15][..], &block, &[0; 3]].concat();
    client.send(&frame(HEADERS, PADDED_AND_PRIORITY | END_HEADERS, stream, &payload)).expect("it is taken");
    client.send(&frame(0xbe, 0xff, 0, b"unknown")).expect("it is taken");
    client.send(&frame(0x10, 0, 0, b"\0\0\0\x01u=2")).expect("PRIORITY_UPDATE of RFC 9218");
    client.send(&frame(0, 0x08, stream, b"\x04hello\0\0\0\0")).expect("it is taken");
    client.send(&frame(0, 0x09, stream, b"\x01!\0")).expect("it is taken");
    assert_eq!(client.response(stream).text(), "hello!");
}

/// The core of gRPC opens the window of every stream by the five bytes in front of a message, however wide it is.
#[test]
fn small_increments_of_wide_windows_are_no_flood() {
    const ROUNDS: usize = 50;
    let backend = Backend::per_request(|peer, _, _| peer.respond("200 OK", b"small"));
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    for round in 0..ROUNDS {
        let streams: Vec<u32> = (0..50).map(|_| client.request("GET", "/", &[], false)).collect();
        for stream in &streams {
            client.open_window(*stream, 5).expect("it is taken");
            client.send_content(*stream, b"", true).expect("it is taken");
        }
        for stream in streams {
            let answer = client.message(stream);
            assert!(answer.is_ok(), "round {round}: {answer:?}, {:?}", client.go_away);
        }
        client.open_window(0, 50 * 5).expect("it is taken");
    }
}

/// The core of gRPC also gives back each small message of a stream by itself.
#[test]
fn small_messages_may_be_given_back_one_by_one() {
    const MESSAGES: usize = 1500;
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while let Ok(message) = peer.read_chunk()? {
            peer.write(&[format!("{:x}\r\n", message.len()).as_bytes(), &message, b"\r\n"].concat())?;
        }
        peer.write(b"0\r\n\r\n")
    });
    let ringway = Scenario::of(&backend).secured().start();
    let mut client = Http2::connect(ringway.address());
    let stream = client.request("POST", "/", &[], false);
    for message in 0..MESSAGES {
        client.send_content(stream, b"0123456789", false).expect("it is taken");
        let echoed = client.receive_until(|end| {
            (end.stream(stream).body.len() == 10 || end.go_away.is_some()).then(|| end.take_content(stream))
        });
        let echoed = echoed.ok().flatten();
        assert_eq!(echoed.as_deref(), Some(&b"0123456789"[..]), "{message}: {:?}", client.go_away);
        client.open_window(stream, 10).expect("it is taken");
        client.open_window(0, 10).expect("it is taken");
    }
    client.send_content(stream, b"", true).expect("it is taken");
    assert!(client.response(stream).body.is_empty());
}

#[test]
fn backends_may_give_back_small_messages_one_by_one() {
    const MESSAGES: usize = 1500;
    let backend = Backend::http2(|end| {
        while let Some(stream) = end.next_request()? {
            end.send_fields(stream, &[(":status", "200")], false)?;
            while let Some(message) = end.receive_until(|end| {
                let ended = end.stream(stream).ended || end.stream(stream).reset.is_some();
                (ended || !end.stream(stream).body.is_empty()).then(|| end.take_content(stream))
            })? {
                if message.is_empty() {
                    end.send_content(stream, b"", true)?;
                    break;
                }
                end.open_window(stream, message.len() as u32)?;
                end.open_window(0, message.len() as u32)?;
                end.send_content(stream, &message, false)?;
            }
        }
        Ok(())
    });
    let ringway = Scenario::of(&backend).secured().group_protocol("h2c").start();
    let mut client = Http2::connect(ringway.address());
    let stream = client.request("POST", "/", &[], false);
    for message in 0..MESSAGES {
        client.send_content(stream, b"0123456789", false).expect("it is taken");
        let echoed = client.receive_until(|end| {
            let its = end.stream(stream);
            (its.body.len() == 10 || its.reset.is_some()).then(|| end.take_content(stream))
        });
        let echoed = echoed.ok().flatten();
        assert_eq!(
            echoed.as_deref(),
            Some(&b"0123456789"[..]),
            "{message}: {:?}",
            client.stream(stream).reset
        );
    }
    client.send_content(stream, b"", true).expect("it is taken");
    assert!(client.response(stream).body.is_empty());
}

/// "Intermediaries MUST use the same representation" (RFC 7541 §6.2.3).
#[test]
fn a_field_that_nobody_may_index_stays_one_both_ways() {
    let secret = [&[0x10, 8][..], b"x-secret", &[2], b"no"].concat();
    let answer = secret.clone();
    let backend = Backend::http2(move |end| {
        while let Some(stream) = end.next_request()? {
            let is_marked = std::mem::take(&mut end.sensitive).contains(&"x-secret".to_owned());
            let mut block = end.encode(&[(":status", if is_marked { "200" } else { "500" })]);
            block.extend(&answer);
            end.send(&frame(HEADERS, END, stream, &block))?;
        }
        Ok(())
    });
    let ringway = Scenario::of(&backend).secured().group_protocol("h2c").start();
    let mut client = Http2::connect(ringway.address());
    for _ in 0..3 {
        let stream = client.next_id();
        let target = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")];
        let mut block = client.encode(&target);
        block.extend(&secret);
        client.send(&frame(HEADERS, END, stream, &block)).expect("it is taken");
        assert_eq!(client.response(stream).status, 200, "the backend sees the mark");
        assert_eq!(std::mem::take(&mut client.sensitive), ["x-secret"]);
    }
}
