//! HEAD, 204 and 304: a head and nothing behind it.

use crate::support::{Backend, Client, Ringway};
use std::time::Duration;

#[test]
fn head_tells_the_length_and_sends_no_content() {
    let backend = Backend::per_request(|peer, head, _| {
        assert!(head.start_line.starts_with("HEAD "), "{}", head.start_line);
        match head.start_line.split(' ').nth(1) {
            Some("/length") => peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
            Some("/chunked") => peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            _ => peer.write(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n"),
        }
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for (target, length) in [("/length", Some("1234")), ("/chunked", None), ("/none", None)] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.read_response_to("HEAD");
        assert_eq!((response.status, response.field("content-length")), (200, length), "{target}");
    }
    client.expect_silence(Duration::from_millis(30));
    assert_eq!(backend.connections(), 1, "responses to HEAD leave the connection clean");
}

#[test]
fn no_content_and_not_modified_have_none() {
    let backend = Backend::per_request(|peer, head, _| match head.start_line.split(' ').nth(1) {
        Some("/204") => peer.write(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
        Some("/204-with-length") => peer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        _ => peer.write(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 777\r\n\r\n"),
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for (target, status, length) in [
        ("/204", 204, None),
        ("/304", 304, Some("777")),
        ("/204-with-length", 204, None),
        ("/304", 304, Some("777")),
    ] {
        let response = client.get(target);
        assert_eq!((response.status, response.field("content-length")), (status, length), "{target}");
        assert_eq!(response.field("transfer-encoding"), None);
    }
    client.expect_silence(Duration::from_millis(30));
    assert_eq!(backend.connections(), 1);
}

#[test]
fn bytes_behind_a_204_never_reach_a_client() {
    let backend =
        Backend::fixed("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 204);
    }
    client.expect_silence(Duration::from_millis(30));
}

#[test]
fn empty_bodies_are_announced_as_such() {
    let backend = Backend::per_request(|peer, head, _| {
        peer.respond("200 OK", head.field("content-length").unwrap_or("none").as_bytes())
    });
    let ringway = Ringway::in_front_of(&[backend.address()]);
    let mut client = Client::connect(ringway.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_response().text(), "0");
    client.send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().text(), "none");
}
