//! Backends that answer before they have read the request.

use crate::support::{Ask, Backend, Client, Content, Pair, Ringway, Scenario};
use std::io::Write;
use std::time::Duration;

#[test]
fn an_answer_before_the_body_reaches_the_client_and_ends_the_connection() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        peer.respond("413 Content Too Large", b"no")?;
        // It stays open and reads no more.
        std::thread::sleep(Duration::from_secs(3));
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    let response = client.read_response();
    assert_eq!((response.status, response.field("connection")), (413, Some("close")));
}

#[test]
fn an_answer_in_the_midst_of_an_upload_is_not_lost() {
    for reads in [0, 100_000] {
        let backend = Backend::script(move |peer| {
            peer.read_head()?;
            peer.read_exactly(reads)?;
            // Closing with bytes unread resets the connection behind the answer.
            peer.respond("403 Forbidden", b"enough")
        });
        let ringway = Ringway::in_front_of(&[backend.address()]);
        let mut client = Client::connect(ringway.address());
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
        let mut sending = client.wire();
        let sender = std::thread::spawn(move || {
            for _ in 0..50 {
                if sending.write_all(&[b'x'; 1_000_000]).is_err() {
                    return;
                }
            }
        });
        assert_eq!(client.read_response().text(), "enough");
        drop(client);
        sender.join().expect("the sender ends");
    }
}

#[test]
fn a_whole_answer_before_the_end_of_the_body_does_not_mix_with_the_next_request() {
    let backend = Backend::script(|peer| {
        peer.read_head()?;
        peer.respond("200 OK", b"early")?;
        while !peer.read_some()?.is_empty() {}
        Ok(())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.text().as_str(), response.field("connection")), ("early", Some("close")));
    // These would be the rest of the body, not a request.
    let _ = client.try_send("GET /evil HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    client.expect_closed();
    assert_eq!(backend.requests(), 1);
    assert_eq!(Client::connect(ringway.address()).get("/").text(), "early");
    assert_eq!(backend.connections(), 2, "the connection was in the midst of a request");
}

#[test]
fn a_backend_that_never_reads_is_504() {
    let backend = Backend::script(|_| {
        std::thread::sleep(Duration::from_secs(4));
        Ok(())
    });
    let ringway = Scenario::of(&backend).group("response_timeout = \"1s\"").start();
    let mut client = Client::connect(ringway.address());
    let mut sending = client.wire();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let sender = std::thread::spawn(move || while sending.write_all(&[b'x'; 1_000_000]).is_ok() {});
    let status = client.try_read_response().map(|response| response.status);
    assert!(matches!(status, Ok(504) | Err(_)), "{status:?}");
    drop(client);
    sender.join().expect("the sender ends");
}

#[test]
fn both_directions_may_stream_at_the_same_time() {
    let backend = Backend::script(|peer| {
        let Some(_) = peer.read_head()? else { return Ok(()) };
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for _ in 0..5 {
            let got = peer.read_exactly(6)?;
            assert_eq!(got, b"1\r\nx\r\n");
            peer.write(b"1\r\ny\r\n")?;
        }
        peer.read_exactly(5)?;
        peer.write(b"0\r\n\r\n")
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut seen = Vec::new();
    for turn in 1..=5 {
        client.send("1\r\nx\r\n");
        while seen.iter().filter(|&&byte| byte == b'y').count() < turn {
            seen.extend(client.read_some());
        }
    }
    client.send("0\r\n\r\n");
    while !seen.ends_with(b"0\r\n\r\n") {
        seen.extend(client.read_some());
    }
}

/// Who takes a response that flows is no stalled upload, though nothing more comes of the request's body.
#[test]
fn a_client_may_be_silent_while_its_response_flows() {
    Pair::each(|pair| {
        let backend = pair.backend(|exchange| {
            exchange.head(200, &[], None)?;
            for _ in 0..2 {
                exchange.write(b"piece")?;
                std::thread::sleep(Duration::from_millis(1200));
            }
            exchange.end(&[])
        });
        let ringway = pair.scenario(&backend).listener("client_body_timeout = \"1s\"").start();
        let mut client = pair.connect(ringway.address());
        let call = client.begin(Ask::post("/", Content::Open));
        client.write(call, b"first").expect("it is taken");
        assert_eq!(client.response(call).body, b"piecepiece", "{pair:?}");
    });
}
