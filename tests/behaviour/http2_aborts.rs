//! Who leaves is noticed on the other side, and what is cut off never looks complete.

use crate::support::frames::{DATA, END_STREAM, frame};
use crate::support::{Ask, Backend, Content, Http2, PATIENCE, Pair, Scenario, log_entries};
use std::sync::mpsc::{Receiver, channel};

/// A backend that tells how the request ended: by an error or in order.
fn reporting_backend(pair: Pair) -> (Backend, Receiver<&'static str>) {
    let (sender, told) = channel();
    let backend = pair.backend(move |exchange| {
        if exchange.path() == "/next" {
            return exchange.respond(200, b"next");
        }
        let _ = sender.send("begun");
        let result = match exchange.path().as_str() {
            "/upload" => exchange.read_all().map(drop),
            _ => exchange.head(200, &[], None).and_then(|()| {
                loop {
                    exchange.write(&[b'x'; 100_000])?;
                }
            }),
        };
        let _ = sender.send(if result.is_err() { "aborted" } else { "ended" });
        result
    });
    (backend, told)
}

#[test]
fn a_backend_notices_a_client_that_leaves() {
    for path in ["/upload", "/download"] {
        Pair::each(|pair| {
            let (backend, told) = reporting_backend(pair);
            let ringway = pair.start(&backend);
            let mut client = pair.connect(ringway.address());
            let content = if path == "/upload" { Content::Sized(1_000_000) } else { Content::None };
            let call = client.begin(Ask::post(path, content));
            if path == "/upload" {
                client.write(call, &[b'x'; 10_000]).expect("it is taken");
            }
            assert_eq!(told.recv_timeout(PATIENCE), Ok("begun"), "{path}");
            let kept = client.abort(call);
            assert_eq!(told.recv_timeout(PATIENCE), Ok("aborted"), "{path}");
            if let Some(mut client) = kept {
                assert_eq!(client.get("/next").body, b"next", "only the stream is over");
            }
        });
    }
}

#[test]
fn an_upload_without_length_that_breaks_off_is_no_whole_request() {
    Pair::each(|pair| {
        let (backend, told) = reporting_backend(pair);
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/upload", Content::Open));
        client.write(call, b"half").expect("it is taken");
        assert_eq!(told.recv_timeout(PATIENCE), Ok("begun"));
        client.abort(call);
        assert_eq!(told.recv_timeout(PATIENCE), Ok("aborted"));
    });
}

#[test]
fn a_client_that_closes_its_connection_ends_all_its_streams() {
    for pair in Pair::multiplexed() {
        let (backend, told) = reporting_backend(pair);
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/upload", Content::Open));
        client.write(call, b"half").expect("it is taken");
        assert_eq!(told.recv_timeout(PATIENCE), Ok("begun"));
        drop(client);
        assert_eq!(told.recv_timeout(PATIENCE), Ok("aborted"));
    }
}

#[test]
fn a_response_that_breaks_off_is_an_error() {
    for length in [Some(100_000), None] {
        Pair::each(|pair| {
            let backend = pair.backend(move |exchange| {
                if exchange.path() == "/next" {
                    return exchange.respond(200, b"next");
                }
                exchange.head(200, &[], length)?;
                exchange.write(&[b'x'; 50_000])?;
                // What is on its way would be lost with a reset.
                std::thread::sleep(std::time::Duration::from_millis(100));
                exchange.abort()
            });
            let ringway = pair.start(&backend);
            let mut client = pair.connect(ringway.address());
            let call = client.begin(Ask::get("/"));
            let error = client.try_response(call).expect_err("the response is not whole");
            assert_ne!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
            if pair.client.is_multiplexed() {
                assert_eq!(client.get("/next").body, b"next", "only the stream is over");
            }
        });
    }
}

#[test]
fn what_backends_break_off_is_not_held_against_the_client() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            if exchange.path() == "/next" {
                return exchange.respond(200, b"next");
            }
            exchange.head(200, &[], Some(100_000))?;
            exchange.write(b"x")?;
            // What is on its way would be lost with a reset.
            std::thread::sleep(std::time::Duration::from_millis(10));
            exchange.abort()
        });
        // Of requests that clients end early, so few at a time would be too many.
        let scenario = pair.scenario(&backend).listener("http2_max_resets = 10\nhttp2_resets_per_second = 1");
        let ringway = scenario.start();
        let mut client = pair.connect(ringway.address());
        if pair.client.is_multiplexed() {
            for _ in 0..30 {
                let call = client.begin(Ask::get("/"));
                client.try_response(call).expect_err("the response is not whole");
            }
            assert_eq!(client.get("/next").body, b"next");
        }
    });
}

#[test]
fn a_backend_that_breaks_off_before_its_answer_is_502() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            if exchange.path() == "/next" {
                return exchange.respond(200, b"next");
            }
            exchange.read_all()?;
            exchange.abort()
        });
        let ringway = pair.start(&backend);
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/", Content::Sized(3)));
        client.write(call, b"abc").expect("it is taken");
        client.end(call, &[]).expect("it is taken");
        assert_eq!(client.response(call).status, 502);
        assert_eq!(client.get("/next").body, b"next");
    });
}

/// A client that ends its upload short of what it announced, because it has its answer: the exchange is over.
#[test]
fn an_exchange_has_one_line_whatever_becomes_of_its_stream() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        peer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
    });
    let ringway = Scenario::of(&backend).secured().logged("json").start();
    let mut client = Http2::connect(ringway.address());
    let stream = client.request("POST", "/upload", &[("content-length", "1000000")], false);
    client.send_content(stream, &[b'x'; 1000], false).expect("it is taken");
    assert_eq!(client.response(stream).status, 413);
    client.send(&frame(DATA, END_STREAM, stream, b"")).expect("it is taken");
    let error = client.receive_until(|client| client.stream(stream).reset);
    assert_eq!(error.ok().flatten(), Some(1), "it is malformed all the same");
    // A second exchange, so that a line of the first would have come.
    assert_eq!(client.get("/next").status, 413);
    let entries = log_entries(&ringway, 2);
    let told: Vec<_> = entries.iter().map(|entry| (&entry["request_uri"], &entry["status"])).collect();
    assert_eq!(serde_json::json!(told), serde_json::json!([["/upload", 413], ["/next", 413]]));
}
