//! Chunked bodies in both directions.

use crate::support::{Backend, Client, Ringway, recording};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_request_arrives_with_its_trailers_and_without_extensions() {
    let backend = Backend::script(|peer| {
        let Some(head) = peer.read_head()? else { return Ok(()) };
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        let mut raw = Vec::new();
        while !raw.ends_with(b"\r\n\r\n") {
            raw.extend(peer.read_some()?);
        }
        peer.respond("200 OK", &raw)
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send(
        [POST, "5;a=\"b\\\"c\"\r\nhello\r\n1;x\r\n!\r\n0;last\r\nX-Sum: 9\r\nContent-Length: 3\r\nHost: evil\r\n\r\n"]
            .concat(),
    );
    let raw = client.read_response().text();
    assert!(!raw.contains(';') && raw.contains("X-Sum: 9\r\n"), "{raw}");
    assert!(!raw.to_ascii_lowercase().contains("content-length") && !raw.contains("evil"), "{raw}");
}

#[test]
fn empty_chunked_requests_are_valid() {
    let (backend, received) = recording();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for end in ["0\r\n\r\n", "0\r\nX-A: b\r\n\r\n"] {
        client.send([POST, end].concat());
        assert_eq!(client.read_response().text(), "ok");
        let (head, body) = received.recv().expect("a request");
        assert_eq!(head.start_line, "POST / HTTP/1.1");
        assert!(body.is_empty());
    }
    client.send(POST);
    client.send("0\r\n\r\n");
    assert_eq!(client.read_response().text(), "ok");
}

#[test]
fn a_response_passes_with_trailers_and_the_connection_stays() {
    let backend = Backend::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(
            (response.text().as_str(), response.field("transfer-encoding")),
            ("hello", Some("chunked"))
        );
        assert_eq!(response.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn http10_gets_the_content_without_chunks() {
    let backend = Backend::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n",
    );
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.field("transfer-encoding"), None);
    assert_eq!((response.text().as_str(), response.is_close_delimited), ("hello!", true));
}

#[test]
fn a_hundred_thousand_tiny_chunks_pass_both_ways() {
    let count = 100_000;
    let backend = Backend::per_request(move |peer, _, body| {
        assert_eq!(body.len(), count);
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        bytes.extend(b"1\r\ny\r\n".repeat(count));
        bytes.extend(b"0\r\n\r\n");
        peer.write(&bytes)
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send([POST, &"1\r\nx\r\n".repeat(count), "0\r\n\r\n"].concat());
    assert_eq!(client.read_response().body, b"y".repeat(count));
}

#[test]
fn chunks_cut_anywhere_are_joined() {
    let backend = Backend::echo_body();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let body = "3;e\r\nabc\r\n0002\r\nde\r\n0\r\nX: y\r\n\r\n";
    for cut in 0..=body.len() {
        let mut client = Client::connect(ringway.address());
        client.send([POST, &body[..cut]].concat());
        std::thread::sleep(std::time::Duration::from_millis(2));
        client.send(&body[cut..]);
        assert_eq!(client.read_response().text(), "abcde", "cut at {cut}");
    }
}

#[test]
fn the_end_of_a_chunked_body_finishes_the_response_at_once() {
    let backend = Backend::per_request(|peer, _, _| {
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for piece in [&b"2\r\nab\r\n"[..], b"0", b"\r\n", b"\r", b"\n"] {
            std::thread::sleep(std::time::Duration::from_millis(5));
            peer.write(piece)?;
        }
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "ab");
    }
    assert_eq!(backend.connections(), 1);
}
