//! Messages that are too long in every way.

use crate::support::{Backend, Client, Ringway, Scenario};

/// Sends as much as is taken and gives the status of the answer; none when the connection was just ended.
fn status_of(ringway: &Ringway, bytes: &[u8]) -> Option<u16> {
    let mut client = Client::connect(ringway.address());
    for piece in bytes.chunks(16 * 1024) {
        if client.try_send(piece).is_err() {
            break;
        }
    }
    client.try_read_response().ok().map(|response| response.status)
}

fn peak_kib(ringway: &Ringway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ringway.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn endless_heads_end_in_an_answer_and_cost_no_memory() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    assert_eq!(status_of(&ringway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(200));
    let before = peak_kib(&ringway);
    let megabyte = |start: &str, piece: &str| {
        [start.as_bytes(), &piece.repeat((1 << 20) / piece.len()).into_bytes()].concat()
    };
    for (name, bytes, status) in [
        ("target", megabyte("GET /", "a"), 414),
        ("query", megabyte("GET /?", "a=b&"), 414),
        ("fields", megabyte("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n"), 400),
        ("value", megabyte("GET / HTTP/1.1\r\nHost: a\r\nX: ", "y"), 400),
        ("name", megabyte("GET / HTTP/1.1\r\nHost: a\r\n", "x"), 400),
        ("method", megabyte("", "A"), 400),
    ] {
        let answered = status_of(&ringway, &bytes);
        // More than what is read and thrown away after the answer resets the connection.
        assert!(answered == Some(status) || answered.is_none(), "{name}: {answered:?}");
    }
    assert_eq!(backend.requests(), 1);
    assert!(peak_kib(&ringway) - before < 1024, "{} KiB", peak_kib(&ringway) - before);
    // Just beyond the limits, the answer always arrives.
    for (bytes, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(33_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(33_000)), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(300)), 400),
    ] {
        assert_eq!(status_of(&ringway, bytes.as_bytes()), Some(status));
    }
}

#[test]
fn leading_empty_lines_are_bounded() {
    let backend = Backend::echo_head();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let answered = status_of(&ringway, "\r\n".repeat(1 << 20).as_bytes());
    assert!(matches!(answered, Some(400) | None), "{answered:?}");
}

#[test]
fn trailers_and_chunk_extensions_are_bounded() {
    let backend = Backend::echo_body();
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, body) in [
        ("trailer value", format!("0\r\nX: {}", "y".repeat(300_000))),
        ("trailer fields", format!("0\r\n{}", "X: y\r\n".repeat(50_000))),
        ("extension", format!("1;{}", "x".repeat(300_000))),
        ("size", "0".repeat(300_000)),
        ("many extensions", format!("1;{}\r\nx\r\n", "y".repeat(200)).repeat(5_000) + "0\r\n\r\n"),
    ] {
        let answered = status_of(&ringway, [post, &body].concat().as_bytes());
        let is_harmless = name == "many extensions" && answered == Some(200);
        assert!(matches!(answered, Some(400) | None) || is_harmless, "{name}: {answered:?}");
    }
}

#[test]
fn responses_are_bounded_too() {
    let responses = [
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(200_000)),
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(1_000)),
        format!("HTTP/1.1 200 {}\r\nContent-Length: 0\r\n\r\n", "O".repeat(200_000)),
    ];
    for response in responses {
        let backend = Backend::fixed(response);
        let ringway = Ringway::in_front_of(&[backend.address()]);
        assert_eq!(status_of(&ringway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(502));
    }
    // Long trailers and extensions break the response off, visibly.
    for rest in [
        format!("0\r\nX: {}\r\n\r\n", "y".repeat(300_000)),
        format!("1;{}\r\nx\r\n0\r\n\r\n", "y".repeat(300_000)),
    ] {
        let backend =
            Backend::fixed(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n{rest}"));
        let ringway = Ringway::in_front_of(&[backend.address()]);
        let mut client = Client::connect(ringway.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if let Ok(response) = client.try_read_response() {
            assert_eq!(response.status, 502, "{}", response.text().len());
        }
    }
}

#[test]
fn heads_at_their_largest_still_pass() {
    let backend = Backend::per_request(|peer, head, _| {
        let length = head.bytes.len();
        let fields = "X-B: y\r\n".repeat(200);
        peer.write(
            format!("HTTP/1.1 200 OK\r\n{fields}X-A: {}\r\nContent-Length: 2\r\n\r\nok", "z".repeat(length))
                .as_bytes(),
        )
    });
    let ringway = Scenario::of(&backend).listener("max_headers = 250").start();
    let mut client = Client::connect(ringway.address());
    for _ in 0..3 {
        let filler = "a".repeat(30_000);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {filler}\r\n{}\r\n", "Y: z\r\n".repeat(240)));
        let response = client.read_response();
        assert_eq!((response.status, response.text().as_str()), (200, "ok"));
        assert!(response.field("x-a").is_some_and(|value| value.len() > 30_000));
    }
}
