//! RFC 9110 §15, status codes.

use crate::scene::{Scene, becomes_bad_gateway, get, relayed};
use crate::support::{Backend, Client, Ringway};
use std::time::Duration;

/// Between an interim response and the final one.
const PAUSE: Duration = Duration::from_millis(400);

/// "A proxy MUST forward 1xx responses unless the proxy itself requested the generation of the 1xx response."
/// (§15.2)
#[test]
fn must_forward_interim_responses() {
    let scene = Scene::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x\r\nX: y\r\n\r\n\
         HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let mut client = scene.client();
    for _ in 0..2 {
        client.send(get(""));
        assert_eq!(client.read_response().status, 100);
        let hints = client.read_response();
        assert_eq!((hints.status, hints.head.all("link")), (103, vec!["</a>", "</b>"]));
        assert_eq!((hints.field("connection"), hints.field("x")), (None, None));
        assert_eq!(client.read_response().head.start_line, "HTTP/1.1 199 Odd");
        assert_eq!(client.read_response().text(), "ok");
    }
}

/// They pass when they come, not with the final response. (§15.2)
#[test]
fn an_interim_response_does_not_wait() {
    let backend = Backend::script(|peer| {
        peer.read_request()?;
        peer.write(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        std::thread::sleep(PAUSE);
        peer.respond("200 OK", b"")
    });
    let scene = Scene::new(backend);
    let mut client = scene.client();
    client.send(get(""));
    assert_eq!(client.read_response().status, 102);
    client.expect_silence(PAUSE / 2);
    assert_eq!(client.read_response().status, 200);
}

/// "Since HTTP/1.0 did not define any 1xx status codes, a server MUST NOT send a 1xx response to an HTTP/1.0
/// client." (§15.2)
#[test]
fn must_not_send_interim_responses_to_http10() {
    let scene = Scene::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(scene.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").status, 200);
}

/// "A client MUST be able to parse one or more 1xx responses received prior to a final response, even if the client
/// does not expect one." (§15.2)
#[test]
fn must_parse_many_interim_responses() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
    let scene = Scene::answering(&format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let mut client = scene.client();
    client.send(get(""));
    for _ in 0..20 {
        assert_eq!(client.read_response().status, 100);
    }
    assert_eq!(client.read_response().status, 200);
}

/// "A client MUST understand the class of any status code, as indicated by the first digit": none is changed. (§15)
#[test]
fn statuses_pass_as_they_are() {
    for line in
        ["218 This is fine", "299 ", "399 x", "418 I'm a teapot", "451 ", "599 y", "600 z", "999 \u{7e}"]
    {
        let response = relayed(&format!("HTTP/1.1 {line}\r\nContent-Length: 1\r\n\r\nx"));
        let status = line.split(' ').next();
        assert_eq!(response.head.start_line.split(' ').nth(1), status);
        assert_eq!(response.text(), "x");
    }
}

/// "the server MUST generate …" fields with a status are the backend's to send, and pass: 206, 401, 405, 416. (§15)
#[test]
fn what_a_status_needs_passes() {
    for (status, line) in [
        ("206 Partial Content", "Content-Range: bytes 0-0/2"),
        ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"a\""),
        ("405 Method Not Allowed", "Allow: "),
        ("407 Proxy Authentication Required", "Proxy-Authenticate: Basic"),
        ("416 Range Not Satisfiable", "Content-Range: bytes */2"),
        ("503 Service Unavailable", "Retry-After: 5"),
    ] {
        let response = relayed(&format!("HTTP/1.1 {status}\r\n{line}\r\nContent-Length: 1\r\n\r\nx"));
        assert_eq!(response.head.start_line, format!("HTTP/1.1 {status}"));
        assert!(response.head.text().contains(line), "{}", response.head.text());
    }
}

/// "The 502 (Bad Gateway) status code indicates that the server, while acting as a gateway or proxy, received an
/// invalid response from an inbound server". (§15.6.3)
#[test]
fn an_invalid_response_becomes_502() {
    becomes_bad_gateway("");
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nContent-Le");
    becomes_bad_gateway("SSH-2.0-OpenSSH\r\n");
    becomes_bad_gateway("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n");
    let scene = Scene::closing_after("HTTP/1.1 100 Continue\r\n\r\n");
    let mut client = scene.client();
    client.send(get(""));
    assert_eq!(client.read_response().status, 100);
    assert_eq!(client.read_response().status, 502);
    let ringway = Ringway::in_front_of(&[Backend::refused_address()]);
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
}

/// "The 504 (Gateway Timeout) status code indicates that the server … did not receive a timely response from an
/// upstream server". (§15.6.5)
#[test]
fn a_silent_backend_becomes_504() {
    let backend = Backend::silent();
    let configuration = crate::support::configuration_for(&[backend.address()]);
    let timeout = "[[server_group]]\nresponse_timeout = \"1s\"\n";
    let ringway = Ringway::start(&configuration.replacen("[[server_group]]\n", timeout, 1));
    assert_eq!(Client::connect(ringway.address()).get("/").status, 504);
}

/// "The 413 (Content Too Large) …. The server MAY terminate the request … and close the connection to prevent the
/// client from continuing the request." (§15.5.14)
#[test]
fn content_beyond_the_limit_is_refused_with_413() {
    let backend = Backend::echo_body();
    let configuration = crate::support::configuration_for(&[backend.address()]);
    let limit = "default_group = \"app\"\nmax_body_bytes = 4\n";
    let ringway = Ringway::start(&configuration.replacen("default_group = \"app\"\n", limit, 1));
    for framing in
        ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    {
        let mut client = Client::connect(ringway.address());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        let response = client.read_response();
        assert_eq!((response.status, response.field("connection")), (413, Some("close")), "{framing}");
        client.expect_closed();
    }
}
