//! Responses compressed for clients that can decode them, and everything that stays as it is.

use crate::support::{Backend, Client, Response, Ringway, Scenario, eventually, log_entries};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const TEXT: &str = "Content-Type: text/plain\r\n";

fn start(backend: &Backend) -> Ringway {
    Scenario::of(backend).listener("compression = true").logged("json").start()
}

/// The same bytes every time: text that repeats itself now and then, with a little noise.
fn content(length: usize) -> Vec<u8> {
    let mut state = 7u32;
    let mut words = Vec::new();
    while words.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        words.extend_from_slice(format!("word{} of the body, ", (state >> 16) % 5000).as_bytes());
    }
    words.truncate(length);
    words
}

/// The same bytes every time, and none shorter when compressed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Answers each request with a status line, these fields and this content.
fn backend(status: &str, fields: &str, content: &[u8]) -> Backend {
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", content.len());
    Backend::fixed([head.as_bytes(), content].concat())
}

fn get(client: &mut Client, accept_encoding: &str) -> Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept_encoding}\r\n\r\n"));
    client.read_response()
}

fn one(backend: &Backend, accept_encoding: &str) -> Response {
    get(&mut Client::connect(start(backend).address()), accept_encoding)
}

fn decode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    match coding {
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content),
        _ => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
    }
    .expect("the whole of a compressed content");
    content
}

#[test]
fn content_of_every_length_survives() {
    for coding in ["br", "gzip"] {
        let lengths = [1025, 1026, 4000, 4096, 16_384, 16_385, 32_767, 131_072, 131_073, 1 << 20];
        for length in lengths {
            let content = content(length);
            let backend = backend("200 OK", TEXT, &content);
            let ringway = start(&backend);
            let mut client = Client::connect(ringway.address());
            for request in 1..=2 {
                let response = get(&mut client, coding);
                assert_eq!(response.field("content-encoding"), Some(coding), "{length}");
                assert_eq!(response.field("vary"), Some("Accept-Encoding"));
                assert_eq!(
                    (response.field("transfer-encoding"), response.field("content-length")),
                    (Some("chunked"), None)
                );
                assert!(decode(coding, &response.body) == content, "{coding} {length}");
                assert!(response.body.len() < length * 2 / 3, "{coding} {length}: {}", response.body.len());
                let entry = &log_entries(&ringway, request)[request - 1];
                assert_eq!(
                    (&entry["body_bytes_sent"], &entry["reason"]),
                    (&response.body.len().into(), &"-".into())
                );
            }
            assert_eq!(backend.connections(), 1);
        }
    }
}

#[test]
fn content_that_cannot_be_compressed_survives() {
    for length in [1025, 16_384, 500_000] {
        let content = noise(length);
        let backend = backend("200 OK", TEXT, &content);
        for coding in ["br", "gzip"] {
            assert!(decode(coding, &one(&backend, coding).body) == content, "{coding} {length}");
        }
    }
}

#[test]
fn short_content_stays_as_it_is() {
    for length in [0, 1, 1024] {
        let content = content(length);
        let response = one(&backend("200 OK", TEXT, &content), "br, gzip");
        assert_eq!((response.field("content-encoding"), response.field("vary")), (None, None), "{length}");
        assert!(response.body == content, "{length}");
    }
}

#[test]
fn content_without_a_length_stays_as_it_is() {
    let content = "a".repeat(5000);
    for response in [
        format!("HTTP/1.1 200 OK\r\n{TEXT}Transfer-Encoding: chunked\r\n\r\n1388\r\n{content}\r\n0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{TEXT}Connection: close\r\n\r\n{content}"),
    ] {
        let backend = Backend::script(move |peer| {
            peer.read_request()?;
            peer.write(response.as_bytes())
        });
        let response = one(&backend, "br, gzip");
        assert_eq!((response.field("content-encoding"), response.field("vary")), (None, None));
        assert_eq!(response.text(), content);
    }
}

#[test]
fn the_client_decides() {
    let content = content(5000);
    let backend = backend("200 OK", "Content-Type: Text/XML; charset=utf-8\r\n", &content);
    let ringway = start(&backend);
    let mut client = Client::connect(ringway.address());
    for (accept_encoding, expected) in [
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip;q=1, br;q=0.1", Some("br")),
        ("GZIP", Some("gzip")),
        ("*", Some("br")),
        ("*;q=0.5, br;q=0", Some("gzip")),
        ("br;q=0, gzip;q=0.001", Some("gzip")),
        ("identity\r\nAccept-Encoding: gzip", Some("gzip")),
        ("gzip;q=0", None),
        ("gzip;q=zero", None),
        ("gzip;q=1.5, br;q=", None),
        ("identity, deflate", None),
        ("", None),
        ("br, gzip\r\nCache-Control: no-transform", None),
    ] {
        let response = get(&mut client, accept_encoding);
        assert_eq!(response.field("content-encoding"), expected, "{accept_encoding}");
        assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{accept_encoding}");
        let plain = expected.map_or(response.body.clone(), |coding| decode(coding, &response.body));
        assert!(plain == content, "{accept_encoding}");
    }
    let response = client.get("/");
    assert_eq!((response.field("content-encoding"), response.field("content-length")), (None, Some("5000")));
}

#[test]
fn the_type_decides_about_gzip() {
    for (fields, gzip) in [
        ("Content-Type: text/xml\r\n", true),
        ("Content-Type: text/css\r\n", true),
        ("Content-Type: Application/JSON ;charset=utf-8\r\n", true),
        ("Content-Type: application/x-javascript\r\n", true),
        ("Content-Type: application/rss+xml\r\n", true),
        ("Content-Type: text/html\r\n", false),
        ("Content-Type: image/png\r\n", false),
        ("Content-Type: application/octet-stream\r\n", false),
        ("", false),
    ] {
        let backend = backend("200 OK", fields, &content(3000));
        let ringway = start(&backend);
        let mut client = Client::connect(ringway.address());
        assert_eq!(get(&mut client, "gzip").field("content-encoding"), gzip.then_some("gzip"), "{fields}");
        assert_eq!(get(&mut client, "gzip").field("vary"), Some("Accept-Encoding"), "{fields}");
        assert_eq!(get(&mut client, "gzip, br").field("content-encoding"), Some("br"), "{fields}");
    }
}

#[test]
fn some_responses_are_never_compressed() {
    for (status, fields) in [
        ("200 OK", "Content-Encoding: gzip\r\n"),
        ("200 OK", "Cache-Control: public, no-transform\r\n"),
        ("200 OK", "Content-Range: bytes 0-4999/9000\r\n"),
        ("206 Partial Content", "Content-Range: bytes 0-4999/9000\r\n"),
        ("200 OK", "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\n"),
        ("200 OK", "Repr-Digest: sha-256=:AA==:\r\n"),
    ] {
        let content = content(5000);
        let fields = format!("{TEXT}ETag: \"a\"\r\nAccept-Ranges: bytes\r\n{fields}");
        let response = one(&backend(status, &fields, &content), "br, gzip");
        assert!(response.body == content, "{fields}");
        assert_eq!((response.field("content-length"), response.field("vary")), (Some("5000"), None));
        assert_eq!((response.field("etag"), response.field("accept-ranges")), (Some("\"a\""), Some("bytes")));
        for line in fields.lines() {
            assert!(response.head.text().contains(line), "{line}");
        }
    }
}

#[test]
fn responses_without_content_stay_as_they_are() {
    let head = "Content-Type: text/plain\r\nETag: \"a\"\r\nContent-Length: 5000\r\n\r\n";
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
        let backend = Backend::fixed(format!("HTTP/1.1 {status}\r\n{head}"));
        let ringway = start(&backend);
        let mut client = Client::connect(ringway.address());
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip\r\n\r\n"));
            let response = client.read_response_to(method);
            assert_eq!(
                (response.field("etag"), response.field("content-length")),
                (Some("\"a\""), Some("5000"))
            );
            assert_eq!(
                (response.field("content-encoding"), response.field("vary")),
                (None, None),
                "{method}"
            );
        }
    }
}

#[test]
fn errors_of_backends_are_compressed_too() {
    let content = content(2000);
    let response = one(&backend("404 Not Found", TEXT, &content), "gzip");
    assert_eq!((response.status, response.field("content-encoding")), (404, Some("gzip")));
    assert!(decode("gzip", &response.body) == content);
}

#[test]
fn the_head_tells_the_truth() {
    for (sent, received) in [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None)] {
        let fields = format!(
            "{TEXT}ETag: {sent}\r\nAccept-Ranges: bytes\r\nContent-Encoding: identity\r\nVary: Cookie\r\nX-A: b\r\n"
        );
        let response = one(&backend("200 OK", &fields, &content(2000)), "br");
        assert_eq!(response.field("etag"), received);
        assert_eq!((response.field("accept-ranges"), response.field("content-encoding")), (None, Some("br")));
        assert_eq!(response.head.all("vary"), ["Cookie", "Accept-Encoding"]);
        assert_eq!(response.field("x-a"), Some("b"));
        assert!(response.field("date").is_some());
    }
    for vary in ["*", "Cookie, accept-encoding"] {
        let fields = format!("{TEXT}Vary: {vary}\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
        let response = one(&backend("200 OK", &fields, &content(2000)), "br");
        assert_eq!(response.head.all("vary"), [vary]);
        assert_eq!(response.field("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    }
}

#[test]
fn http10_gets_the_content_as_it_is() {
    let content = content(5000);
    let backend = backend("200 OK", TEXT, &content);
    let ringway = start(&backend);
    let mut client = Client::connect(ringway.address());
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\nAccept-Encoding: br, gzip\r\n\r\n");
        let response = client.read_response();
        assert_eq!(
            (response.field("content-length"), response.field("content-encoding")),
            (Some("5000"), None)
        );
        assert_eq!(response.field("vary"), Some("Accept-Encoding"));
        assert!(response.body == content);
    }
}

#[test]
fn without_the_key_nothing_changes() {
    let fields = format!("{TEXT}ETag: \"a\"\r\nAccept-Ranges: bytes\r\n");
    let backend = backend("200 OK", &fields, &content(5000));
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let response = get(&mut Client::connect(ringway.address()), "br, gzip");
    assert_eq!((response.field("content-encoding"), response.field("vary")), (None, None));
    assert_eq!((response.field("etag"), response.field("content-length")), (Some("\"a\""), Some("5000")));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let content = content(100_000);
    let backend = backend("200 OK", TEXT, &content);
    let ringway = start(&backend);
    let mut client = Client::connect(ringway.address());
    let request = |coding| format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
    client.send([request("br"), request("identity"), request("gzip"), request("br")].concat());
    for coding in [Some("br"), None, Some("gzip"), Some("br")] {
        let response = client.read_response();
        assert_eq!(response.field("content-encoding"), coding);
        assert!(coding.map_or(response.body.clone(), |coding| decode(coding, &response.body)) == content);
    }
}

#[test]
fn a_request_with_a_long_body_gets_a_compressed_answer() {
    let backend = Backend::echo_body();
    let ringway = start(&backend);
    let mut client = Client::connect(ringway.address());
    let content = content(700_000);
    for _ in 0..2 {
        let length = content.len();
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\nContent-Length: {length}\r\n\r\n");
        client.send([head.as_bytes(), &content].concat());
        assert!(decode("br", &client.read_response().body) == content);
    }
}

#[test]
fn a_truncated_content_stays_truncated() {
    let content = content(300_000);
    let head = format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: {}\r\n\r\n", content.len());
    let response = [head.as_bytes(), &content].concat();
    let mut cut = 0;
    for coding in ["br", "gzip"] {
        for (missing, pause) in [(1, 100), (150_000, 100), (1, 0), (150_000, 0), (299_900, 0)] {
            let (response, pause) = (response.clone(), Duration::from_millis(pause));
            let backend = Backend::script(move |peer| {
                peer.read_request()?;
                peer.write(&response[..response.len() - missing])?;
                std::thread::sleep(pause);
                Ok(())
            });
            let ringway = start(&backend);
            let mut client = Client::connect(ringway.address());
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"));
            match client.try_read_response() {
                // The end came before anything was sent.
                Ok(answer) => assert_eq!(answer.status, 502, "{coding} {missing}"),
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{coding} {missing}");
                    cut += 1;
                }
            }
            assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_closed", "{coding} {missing}");
        }
    }
    assert!(cut > 0, "no end came behind a head that was sent");
}

#[test]
fn what_a_slow_backend_sent_is_not_held_back() {
    let allowed = Arc::new(AtomicUsize::new(0));
    let content = content(6_000);
    let (sent, may_send) = (content.clone(), allowed.clone());
    let backend = Backend::per_request(move |peer, _, _| {
        peer.write(format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: {}\r\n\r\n", sent.len()).as_bytes())?;
        let before = may_send.load(Ordering::SeqCst);
        for (index, piece) in sent.chunks(1500).enumerate() {
            peer.write(piece)?;
            eventually("the client has it", || may_send.load(Ordering::SeqCst) > before + index);
        }
        Ok(())
    });
    let ringway = start(&backend);
    let mut client = Client::connect(ringway.address());
    for coding in ["br", "gzip"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"));
        let mut received = Vec::new();
        for so_far in [1500, 3000, 4500, 6000] {
            while decoded_so_far(coding, &received) < so_far {
                received.extend(client.read_some());
            }
            if so_far < 6000 {
                client.expect_silence(Duration::from_millis(20));
            }
            allowed.fetch_add(1, Ordering::SeqCst);
        }
        assert!(received.ends_with(b"\r\n0\r\n\r\n"));
    }
}

/// How much content can be decoded of the beginning of a chunked response.
fn decoded_so_far(coding: &str, received: &[u8]) -> usize {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return 0 };
    let (mut rest, mut compressed) = (&received[end + 4..], Vec::new());
    while let Some(line_end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line_end]).expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        let chunk = rest.get(line_end + 2..line_end + 2 + size);
        compressed.extend_from_slice(chunk.unwrap_or_default());
        rest = rest.get(line_end + 2 + size + 2..).unwrap_or_default();
    }
    let mut content = Vec::new();
    let _ = match coding {
        "br" => brotli::Decompressor::new(&*compressed, 4096).read_to_end(&mut content),
        _ => flate2::read::GzDecoder::new(&*compressed).read_to_end(&mut content),
    };
    content.len()
}

/// Who comes when all encoders are taken gets the content as it is.
#[test]
fn encoders_are_limited() {
    let content = content(5000);
    let (sent, go_on) = (content.clone(), Arc::new(AtomicUsize::new(0)));
    let may_go_on = go_on.clone();
    let backend = Backend::per_request(move |peer, head, _| {
        peer.write(format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: {}\r\n\r\n", sent.len()).as_bytes())?;
        let (first, second) = sent.split_at(2000);
        peer.write(first)?;
        if head.start_line.contains("/slow") {
            eventually("the test goes on", || may_go_on.load(Ordering::SeqCst) > 0);
        }
        peer.write(second)
    });
    let ringway = start(&backend);
    let mut slow: Vec<_> = (0..64).map(|_| Client::connect(ringway.address())).collect();
    for client in &mut slow {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    }
    eventually("every backend connection is in use", || backend.requests() == 64);
    let mut late = Client::connect(ringway.address());
    eventually("all encoders are taken", || {
        let response = get(&mut late, "gzip");
        assert_eq!(response.field("vary"), Some("Accept-Encoding"));
        response.field("content-encoding").is_none() && response.body == content
    });
    go_on.store(1, Ordering::SeqCst);
    for client in &mut slow {
        assert!(decode("gzip", &client.read_response().body) == content);
    }
    assert_eq!(get(&mut late, "gzip").field("content-encoding"), Some("gzip"));
}

/// Compressing a long content does not keep a worker from its other connections.
#[test]
fn other_requests_are_served_meanwhile() {
    let long = content(20 << 20);
    let backend = Backend::per_request(move |peer, head, _| {
        if head.start_line.contains("/long") {
            peer.respond("200 OK", &long)
        } else {
            peer.respond("200 OK", b"ok")
        }
    });
    let ringway = start(&backend);
    let mut slow = Client::connect(ringway.address());
    let reader = std::thread::spawn(move || {
        slow.send("GET /long HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n");
        slow.read_response().body.len()
    });
    let mut quick = Client::connect(ringway.address());
    let mut answered = 0;
    while !reader.is_finished() {
        assert_eq!(quick.get("/").text(), "ok");
        answered += 1;
    }
    assert!(reader.join().expect("a response") > 0);
    assert!(answered > 30, "{answered} requests beside a long response");
}

#[test]
fn a_table_says_what_is_compressed() {
    let content = content(600);
    let start = |table: &str| {
        let backend = backend("200 OK", "Content-Type: text/html; charset=utf-8\r\n", &content);
        let ringway = Scenario::of(&backend).listener(&format!("compression = {table}")).start();
        (backend, ringway)
    };
    for (table, accepted, expected) in [
        ("{ types = [\"text/*\"], min_bytes = 500 }", "gzip, br", Some("br")),
        (
            "{ types = [\"text/html\"], min_bytes = 600, brotli_level = 0, gzip_level = 9 }",
            "gzip, br",
            Some("gzip"),
        ),
        ("{ types = [\"text/html\"], min_bytes = 601 }", "gzip, br", None),
        ("{ types = [\"application/json\"], min_bytes = 1 }", "gzip, br", None),
        ("{ min_bytes = 1, gzip_level = 0 }", "gzip", None),
    ] {
        let (_backend, ringway) = start(table);
        let response = get(&mut Client::connect(ringway.address()), accepted);
        assert_eq!(response.field("content-encoding"), expected, "{table}");
        let body = expected.map_or(response.body.clone(), |coding| decode(coding, &response.body));
        assert!(body == content, "{table}");
    }
}
