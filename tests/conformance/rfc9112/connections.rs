//! RFC 9112 §9, connection management.

use crate::scene::{MOMENT, Scene, Watched, get};
use crate::support::{Backend, PATIENCE, eventually};
use std::sync::mpsc::channel;
use std::time::Duration;

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// "If the "close" connection option is present …, the connection will not persist after the current response;
/// else, if the received protocol is HTTP/1.1 (or later), the connection will persist". (§9.3)
#[test]
fn a_connection_of_http11_persists() {
    let scene = Scene::answering(EMPTY);
    let mut client = scene.client();
    for _ in 0..3 {
        client.send(get(""));
        assert_eq!(client.read_response().field("connection"), None);
    }
    client.expect_silence(MOMENT);
}

/// "… else, if the received protocol is HTTP/1.0, the "keep-alive" connection option is present, … the connection
/// will persist after the current response; otherwise, the connection will close". (§9.3)
#[test]
fn a_connection_of_http10_persists_on_request_only() {
    let scene = Scene::answering(EMPTY);
    let mut client = scene.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        assert_eq!(client.read_response().field("connection"), Some("keep-alive"));
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_response().field("connection"), Some("close"));
    client.expect_closed();
}

/// The same for backends, whose message is a response. (§9.3)
#[test]
fn a_connection_to_http10_persists_on_offer_only() {
    for (lines, connections) in [("Connection: keep-alive\r\n", 1), ("", 2), ("Connection: close\r\n", 2)] {
        let scene = Scene::answering(&format!("HTTP/1.0 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
        let mut client = scene.client();
        for _ in 0..2 {
            client.send(get(""));
            assert_eq!(client.read_response().status, 200);
        }
        assert_eq!(scene.backend.connections(), connections, "{lines}");
    }
}

/// "A server that does not support persistent connections MUST send the "close" connection option in every
/// response message that does not have a 1xx (Informational) status code": so does Ringway where it will close.
/// "A server that receives a "close" connection option MUST initiate closure of the connection after it sends the
/// final response …. The server SHOULD send a "close" connection option in its final response on that connection.
/// The server MUST NOT process any further requests received on that connection." (§9.3, §9.6)
#[test]
fn must_close_on_request_and_serve_nothing_more() {
    let scene = Scene::answering(EMPTY);
    for option in ["close", "Close", "keep-alive, close", "x,close ,y"] {
        let before = scene.backend.requests();
        let mut client = scene.client();
        client.send(format!("{}{}", get(&format!("Connection: {option}\r\n")), get("")));
        let response = client.read_response();
        assert_eq!((response.status, response.field("connection")), (200, Some("close")), "{option}");
        client.expect_closed();
        assert_eq!(scene.backend.requests(), before + 1, "{option}");
    }
}

/// "A client that receives a "close" connection option MUST cease sending requests on that connection and close
/// the connection after reading the response message containing the "close" connection option". (§9.6)
#[test]
fn must_send_nothing_more_to_a_backend_that_closes() {
    let response = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let scene = Scene::answering(response);
    let mut client = scene.client();
    for connections in 1..=2 {
        client.send(get(""));
        assert_eq!(client.read_response().field("connection"), None);
        assert_eq!(scene.backend.connections(), connections);
    }
    eventually("the connections are closed", || scene.backend.open_connections() == 0);
}

/// "A server MAY process a sequence of pipelined requests in parallel if they all have safe methods, but it MUST
/// send the corresponding responses in the same order that the requests were received." (§9.3.2)
#[test]
fn must_answer_pipelined_requests_in_order() {
    let scene = Scene::new(Backend::per_request(|peer, head, body| {
        if head.start_line.contains("/slow") {
            std::thread::sleep(Duration::from_millis(50));
        }
        let answer = [head.start_line.as_bytes(), b"|", body].concat();
        peer.respond("200 OK", &answer)
    }));
    let mut client = scene.client();
    let slow = "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let chunked =
        "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\n";
    client.send(format!("{slow}{}{chunked}\r\n{slow}", get("")));
    for expected in
        ["POST /slow HTTP/1.1|hi", "GET / HTTP/1.1|", "POST /chunked HTTP/1.1|yo", "POST /slow HTTP/1.1|hi"]
    {
        assert_eq!(client.read_response().text(), expected);
    }
    client.expect_silence(MOMENT);
}

/// "A server MUST read the entire request message body or close the connection after sending its response;
/// otherwise, the remaining data on a persistent connection would be misinterpreted as the next request."
/// (§9.3)
#[test]
fn must_close_after_an_answer_to_an_unread_body() {
    let scene = Scene::new(Backend::script(|peer| {
        while peer.read_head()?.is_some() {
            peer.respond("403 Forbidden", b"no")?;
        }
        Ok(())
    }));
    let mut client = scene.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nGET /smuggled HTTP/1.1\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.field("connection")), (403, Some("close")));
    client.expect_closed();
    assert_eq!(scene.backend.requests(), 1);
}

/// "A proxy MUST NOT automatically retry non-idempotent requests." (RFC 9110 §9.2.2; §9.3.1)
#[test]
fn must_not_retry_a_request_that_is_not_idempotent() {
    for (method, requests) in [("POST", 1), ("PATCH", 1), ("PURGE", 1), ("GET", 2), ("PUT", 2), ("DELETE", 2)]
    {
        let scene = Scene::new(Backend::script(|peer| {
            while let Some((head, _)) = peer.read_request()? {
                // A reused connection ends without an answer.
                if peer.number == 0 && !head.start_line.starts_with("HEAD") {
                    return Ok(());
                }
                peer.respond("204 No Content", b"")?;
            }
            Ok(())
        }));
        let mut client = scene.client();
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.read_response_to("HEAD").status, 204);
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
        assert_eq!(client.read_response().status, if requests == 1 { 502 } else { 204 }, "{method}");
        assert_eq!(scene.backend.requests(), 1 + requests, "{method}");
    }
}

/// "If a client receives data on a connection that doesn't have any outstanding requests, the client MUST NOT
/// consider that data to be a valid response; the client SHOULD close the connection". (§9.2)
#[test]
fn must_not_take_unasked_data_for_a_response() {
    let (sender, sent) = channel();
    let scene = Scene::new(Backend::script(move |peer| {
        while peer.read_request()?.is_some() {
            peer.respond("200 OK", b"asked")?;
            // By then the connection is idle.
            std::thread::sleep(Duration::from_millis(50));
            peer.respond("200 OK", b"unasked")?;
            let _ = sender.send(());
        }
        Ok(())
    }));
    let mut client = scene.client();
    for _ in 0..2 {
        client.send(get(""));
        assert_eq!(client.read_response().text(), "asked");
        sent.recv_timeout(PATIENCE).expect("the backend has said more");
    }
    assert_eq!(scene.backend.connections(), 2);
}

/// "If a server performs an immediate close of a TCP connection, there is a significant risk that the client will
/// not be able to read the last HTTP response. … servers typically close a connection in stages. First, the
/// server performs a half-close …. The server then continues to read from the connection". (§9.6)
#[test]
fn closes_in_stages() {
    let scene = Scene::answering(EMPTY);
    let mut client = scene.client();
    client.send("BAD\r\n\r\n");
    client.send(vec![b'x'; 64 * 1024]);
    std::thread::sleep(MOMENT);
    client.send(vec![b'x'; 64 * 1024]);
    assert_eq!(client.read_response().status, 400);
    assert_eq!(client.read_to_end(), b"");
}

/// The same for the client that said `close` and went on sending. (§9.6)
#[test]
fn closes_in_stages_on_request() {
    let scene = Scene::answering(EMPTY);
    let mut client = scene.client();
    client.send(get("Connection: close\r\n"));
    for _ in 0..20 {
        let _ = client.try_send(get(""));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.read_response().status, 200);
    client.expect_closed();
    assert_eq!(scene.backend.requests(), 1);
}

/// "A client, proxy, or server MAY close the transport connection at any time": a request on a connection that a
/// backend has closed goes to another one. (§9.5)
#[test]
fn a_closed_idle_connection_is_not_used() {
    let scene = Scene::new(Backend::script(|peer| {
        peer.read_request()?;
        peer.respond("200 OK", b"")
    }));
    let mut client = scene.client();
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.read_response().status, 200);
        eventually("the backend closed", || scene.backend.open_connections() == 0);
    }
}

/// A client's wish to close is not the wish to close a connection of the pool: "the "close" connection option" speaks
/// to the recipient only. (§9.6, RFC 9110 §7.6.1)
#[test]
fn close_ends_the_hop_it_was_said_on() {
    let watched = Watched::new();
    for _ in 0..2 {
        let head = watched.forwards_fields("Connection: close\r\n");
        assert_eq!(head.field("connection"), None);
    }
    assert_eq!(watched.scene.backend.connections(), 1);
}
