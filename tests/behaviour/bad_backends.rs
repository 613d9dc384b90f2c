//! Backends that break the protocol: the client sees an error or a truncation, never somebody else's bytes.

use crate::support::{Backend, BackendVersion, Client, Pair, Ringway, Scenario, Version, log_entries};
use std::time::Duration;

#[test]
fn a_malformed_head_is_502() {
    let heads: &[&str] = &[
        "garbage\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 000 OK\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
    ];
    for head in heads {
        let backend = Backend::fixed(*head);
        let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").logged("json").start();
        let mut client = Client::connect(ringway.address());
        assert_eq!(client.get("/").status, 502, "{head:?}");
        // The client did nothing wrong and may go on, on another upstream connection.
        assert_eq!(client.get("/").status, 502, "{head:?}");
        assert_eq!(backend.connections(), 2, "{head:?}");
        let entry = &log_entries(&ringway, 1)[0];
        assert!(entry["reason"].as_str().is_some_and(|reason| reason.len() > 1), "{head:?}: {entry}");
    }
}

#[test]
fn a_head_without_end_is_502() {
    let backend = Backend::script(|peer| {
        peer.read_request()?;
        peer.write(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            peer.write(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")?;
        }
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
}

#[test]
fn how_large_a_head_may_be_is_for_the_group_to_say() {
    for backend in [BackendVersion::Http1, BackendVersion::Http2] {
        let pair = Pair { client: Version::Http1, backend };
        let backend = pair.backend(|exchange| {
            let path = exchange.path();
            let (count, bytes) = path[1..].split_once('x').expect("a number of fields, and their length");
            let (count, bytes): (usize, usize) =
                (count.parse().expect("it is"), bytes.parse().expect("it is"));
            let names: Vec<_> = (0..count).map(|number| format!("x-{number}")).collect();
            let value = "v".repeat(bytes);
            let fields: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
            exchange.head(200, &fields, Some(0))?;
            exchange.end(&[])
        });
        for (keys, asked) in [
            ("", [("7x9000", 200), ("8x9000", 502), ("250x9", 200), ("257x9", 502)]),
            (
                "max_response_header_bytes = \"128KiB\"\nmax_response_headers = 20",
                [("8x9000", 200), ("15x9000", 502), ("18x9", 200), ("21x9", 502)],
            ),
        ] {
            let ringway = pair.scenario(&backend).group(keys).logged("json").start();
            let mut client = Client::connect(ringway.address());
            for (path, status) in asked {
                assert_eq!(client.get(&format!("/{path}")).status, status, "{pair:?} {path} {keys}");
            }
            let entries = log_entries(&ringway, asked.len());
            let reasons: Vec<_> = [&entries[1], &entries[3]].map(|entry| entry["reason"].clone()).into();
            match pair.backend {
                BackendVersion::Http1 => assert_eq!(reasons, ["header_too_large", "too_many_headers"]),
                BackendVersion::Http2 => assert_eq!(reasons, ["h2_fields_too_large"; 2]),
            }
        }
    }
}

#[test]
fn bytes_behind_a_response_reach_nobody() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for good in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
    ] {
        let backend = Backend::fixed(format!("{good}{evil}"));
        let ringway = Ringway::in_front_of(&[backend.address()]);
        let mut clients: Vec<_> = (0..4).map(|_| Client::connect(ringway.address())).collect();
        for _ in 0..5 {
            for client in &mut clients {
                client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            for client in &mut clients {
                assert_eq!(client.read_response().text(), "good");
                assert_eq!(client.read_response().text(), "good");
            }
        }
        clients.iter_mut().for_each(|client| client.expect_silence(Duration::from_millis(10)));
    }
}

/// The response ends exactly where a receive buffer is full, so that nothing received tells of more.
#[test]
fn bytes_behind_a_full_buffer_reach_nobody() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for whole in [4096, 4096 + 131_054, 131_072 + 4096, 4096 + 4078, 4096 + 4096] {
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length:06}\r\n\r\n");
        let body = "g".repeat(whole - head(0).len());
        let backend = Backend::fixed(format!("{}{body}{evil}", head(body.len())));
        let ringway = Ringway::in_front_of(&[backend.address()]);
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20));
        for n in 0..20 {
            let response = client.read_response();
            assert_eq!(response.body.len(), body.len(), "{whole} bytes, request {n}: {}", response.text());
        }
    }
}

#[test]
fn an_end_within_a_head_is_502() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for count in [0, 1, 9, 17, 36] {
        let backend = Backend::closes_after(response, count);
        let ringway = Scenario::of(&backend).logged("json").start();
        assert_eq!(Client::connect(ringway.address()).get("/").status, 502, "{count} bytes");
        let entry = &log_entries(&ringway, 1)[0];
        assert_eq!((&entry["status"], &entry["reason"]), (&502.into(), &"upstream_closed".into()));
    }
}

#[test]
fn an_end_within_a_body_is_visible() {
    for (response, cut) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 5),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 5),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 9),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 15),
    ] {
        for version in ["1.1", "1.0"] {
            let backend = Backend::closes_after(response, response.len() - cut);
            let ringway = Scenario::of(&backend).logged("json").start();
            let mut client = Client::connect(ringway.address());
            client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
            match client.try_read_response() {
                // No content came, and the end came with the head, which then was never sent.
                Ok(answer) if response.ends_with("hello") && cut == 5 || cut == 15 => {
                    assert_eq!(answer.status, 502, "{response:?} {cut}");
                }
                answer => drop(answer.expect_err("a truncated response")),
            }
            assert_eq!(log_entries(&ringway, 1)[0]["reason"], "upstream_closed", "{response:?} {cut}");
        }
    }
}

#[test]
fn malformed_chunks_truncate_the_response() {
    for chunks in ["x\r\n", "5\r\nhelloX", "fffffffffffffffff\r\n", "5\nhello", "-1\r\n"] {
        let backend = Backend::fixed(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n{chunks}0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
        ));
        let ringway = Ringway::in_front_of(&[backend.address()]);
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        match client.try_read_response() {
            Ok(response) => assert_eq!(response.status, 502, "{chunks:?}: {}", response.text()),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{chunks:?}"),
        }
    }
}

/// As long as nothing of a response left, the client can still be told what went wrong.
#[test]
fn a_head_with_a_malformed_first_chunk_is_502() {
    let heads = ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 103 Hints\r\n\r\n"];
    for chunk in ["x\r\n", "fffffffffffffffff\r\n", "5\nhello", "-1\r\n"] {
        for head in [heads[0].to_owned(), [heads[1], heads[0]].concat()] {
            let interim = usize::from(head.contains("103"));
            let backend = Backend::fixed([&head, chunk].concat());
            let ringway = Scenario::of(&backend).listener("early_hints = \"pass\"").logged("json").start();
            let mut client = Client::connect(ringway.address());
            for _ in 0..2 {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                (0..interim).for_each(|_| assert_eq!(client.read_response().status, 103));
                let response = client.read_response();
                assert_eq!((response.status, response.field("server")), (502, Some("ringway")), "{chunk:?}");
                assert_eq!(response.field("transfer-encoding"), None);
            }
            for entry in log_entries(&ringway, 2) {
                assert_eq!((&entry["status"], &entry["upstream_status"]), (&502.into(), &200.into()));
                assert!(entry["reason"].as_str().is_some_and(|reason| reason.contains("chunk")), "{entry}");
                assert_eq!(entry["retry_count"], 0);
            }
        }
    }
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let backend = Backend::fixed(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-End: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let response = Client::connect(ringway.address()).get("/");
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(response.head.all(name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(response.field("x-end"), Some("1"));
    assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
    assert!(response.field("date").is_some_and(|date| date.ends_with(" GMT")));
}
