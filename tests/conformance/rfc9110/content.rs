//! RFC 9110 §6.4, content, §8.6, Content-Length, and §10.1.1, Expect.

use crate::scene::{MOMENT, Scene, Watched, get, relayed};
use crate::support::Backend;
use std::time::Duration;

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";

/// "All 1xx (Informational), 204 (No Content), and 304 (Not Modified) responses do not include content." (§6.4.1)
#[test]
fn must_not_send_content_where_there_is_none() {
    for status in ["204 No Content", "304 Not Modified"] {
        let scene = Scene::closing_after(&format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nevil"));
        let mut client = scene.client();
        client.send(format!("{}CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", get("")));
        assert_eq!(client.read_response().head.start_line, format!("HTTP/1.1 {status}"));
        assert_eq!(client.read_response().status, 405);
    }
}

/// "A server MUST NOT send a Content-Length header field in any response with a status code of 1xx (Informational)
/// or 204 (No Content)." (§8.6)
#[test]
fn must_not_send_a_length_with_204() {
    assert_eq!(relayed("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").field("content-length"), None);
}

/// "A server MAY send a Content-Length header field in a 304 (Not Modified) response": a valid one passes. (§8.6)
#[test]
fn the_length_of_304_passes() {
    assert_eq!(
        relayed("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n").field("content-length"),
        Some("7")
    );
    assert_eq!(relayed("HTTP/1.1 304 Not Modified\r\n\r\n").field("content-length"), None);
}

/// "A user agent SHOULD send Content-Length in a request when the method defines a meaning for enclosed content":
/// a zero passes, and where there is none, none is made up. (§8.6)
#[test]
fn a_length_of_zero_passes() {
    let watched = Watched::new();
    for (lines, seen) in [("Content-Length: 0\r\n", Some("0")), ("", None)] {
        let (head, _) = watched.forwards(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        assert_eq!(head.field("content-length"), seen);
    }
}

/// "A proxy MUST, upon receiving an HTTP/1.1 (or later) request that has a valid method and target URI, a header
/// section that includes a 100-continue expectation, and indicates that content will follow, either: send an
/// immediate response …, or begin forwarding the request toward the origin server by sending a corresponding
/// request-line and header section to the next inbound server." (§10.1.1)
#[test]
fn must_forward_a_request_that_expects_100() {
    let scene = Scene::new(Backend::script(|peer| {
        while let Some(head) = peer.read_head()? {
            assert_eq!(head.field("expect"), Some("100-continue"));
            peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            let body = peer.read_body(&head)?;
            peer.respond("200 OK", &body)?;
        }
        Ok(())
    }));
    let mut client = scene.client();
    for _ in 0..2 {
        client.send(POST);
        assert_eq!(client.read_response().status, 100);
        client.send("hi");
        assert_eq!(client.read_response().text(), "hi");
    }
    assert_eq!(scene.backend.connections(), 1);
}

/// "A server that responds with a final status code instead of reading the entire request content SHOULD indicate
/// whether it intends to close the connection": the final answer passes without the content. (§10.1.1)
#[test]
fn a_final_answer_instead_of_100_passes() {
    let scene = Scene::new(Backend::script(|peer| {
        peer.read_head()?;
        peer.respond("417 Expectation Failed", b"no")
    }));
    let mut client = scene.client();
    client.send(POST);
    let response = client.read_response();
    assert_eq!((response.status, response.field("connection")), (417, Some("close")));
    client.expect_closed();
}

/// "A client that will wait for a 100 (Continue) response before sending the request content MUST send an Expect
/// header field": who does not wait long is served too. (§10.1.1)
#[test]
fn content_may_come_before_the_100() {
    let scene = Scene::new(Backend::per_request(|peer, _, body| {
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        peer.respond("200 OK", body)
    }));
    let mut client = scene.client();
    for pause in [0, 50] {
        client.send(POST);
        std::thread::sleep(Duration::from_millis(pause));
        client.send("hi");
        let mut response = client.read_response();
        if response.status == 100 {
            response = client.read_response();
        }
        assert_eq!(response.text(), "hi");
    }
}

/// "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation."
/// (§10.1.1)
#[test]
fn must_ignore_an_expectation_of_http10() {
    let request = POST.replace("HTTP/1.1", "HTTP/1.0") + "hi";
    let (head, body) = Watched::new().forwards(request);
    assert_eq!((head.field("expect"), &body[..]), (None, &b"hi"[..]));
}

/// "A server MAY respond with a 417 (Expectation Failed) status code" to what it does not know. (§10.1.1)
#[test]
fn answers_an_unknown_expectation_with_417() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    scene.refuses("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: a-lot\r\n\r\n", 417);
}

/// "A client MUST NOT generate a 100-continue expectation in a request that does not include content." (§10.1.1)
#[test]
fn must_not_expect_100_without_content() {
    let head = Watched::new().forwards_fields("Expect: 100-Continue\r\n");
    assert_eq!(head.field("expect"), None);
}

/// "A server that sends a 100 (Continue) response MUST ultimately send a final status code, once it receives and
/// processes the request content, unless the connection is closed prematurely." (§10.1.1)
#[test]
fn must_send_a_final_status_after_100() {
    let scene = Scene::new(Backend::script(|peer| {
        peer.read_head()?;
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        // And away.
        peer.read_exactly(2).map(drop)
    }));
    let mut client = scene.client();
    client.send(POST);
    assert_eq!(client.read_response().status, 100);
    client.send("hi");
    assert_eq!(client.read_response().status, 502);
}

/// A client that expects a 100 gets none before the backend says so. (§10.1.1)
#[test]
fn makes_up_no_100() {
    let scene = Scene::new(Backend::silent());
    let mut client = scene.client();
    client.send(POST);
    client.expect_silence(MOMENT);
}

/// "A recipient MUST parse and ignore a reasonable number of empty list elements" (§5.6.1.2), of Expect as well.
#[test]
fn must_ignore_empty_elements_of_an_expectation() {
    for value in ["100-continue,", ", 100-Continue ,,"] {
        let request = POST.replace("Expect: 100-continue", &format!("Expect: {value}"));
        let (head, body) = Watched::new().forwards(format!("{request}hi"));
        assert!(head.field("expect").is_some(), "{value}");
        assert_eq!(body, b"hi", "{value}");
    }
}
