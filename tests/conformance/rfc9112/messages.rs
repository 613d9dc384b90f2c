//! RFC 9112 §2, messages, and §4, status lines.

use crate::scene::{Scene, Watched, becomes_bad_gateway, get, relayed};

/// "A recipient MUST parse an HTTP message as a sequence of octets in an encoding that is a superset of
/// US-ASCII." (§2.2)
#[test]
fn must_parse_a_message_as_octets() {
    let watched = Watched::new();
    let request = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &b"\xc3\x28\xff"[..], b"\r\n\r\n"].concat();
    let (head, _) = watched.forwards(request);
    assert!(head.bytes.windows(8).any(|window| window == b"X: \xc3\x28\xff\r\n"), "{}", head.text());
}

/// "A sender MUST NOT generate a bare CR … within any protocol elements other than the content.
/// A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR with SP".
/// (§2.2)
#[test]
fn must_consider_a_bare_cr_invalid() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    scene.refuses("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400);
    scene.refuses("GET / HTTP/1.1\rHost: a\r\n\r\n", 400);
    scene.refuses("GET /\ra HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n");
}

/// "a recipient MAY recognize a single LF as a line terminator": Ringway never does, so that no two hops
/// see different messages. (§2.2)
#[test]
fn a_bare_lf_ends_no_line() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    scene.refuses("GET / HTTP/1.1\nHost: a\r\n\r\n", 400);
    scene.refuses("GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
    becomes_bad_gateway("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n");
}

/// "A recipient that receives whitespace between the start-line and the first header field MUST either reject
/// the message as invalid or consume each whitespace-preceded line without further processing of it". (§2.2)
#[test]
fn must_reject_whitespace_before_the_first_field() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    scene.refuses("GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400);
    scene.refuses("GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n", 400);
    becomes_bad_gateway("HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n");
}

/// "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF)
/// received prior to the request-line". (§2.2)
#[test]
fn ignores_an_empty_line_before_a_request() {
    let (head, _) = Watched::new().forwards(format!("\r\n{}", get("")));
    assert_eq!(head.start_line, "GET / HTTP/1.1");
}

/// "When a server listening only for HTTP request messages … receives a sequence of octets that does not match
/// the HTTP-message grammar …, the server SHOULD respond with a 400 (Bad Request) response and close the
/// connection." (§2.2)
#[test]
fn answers_what_is_no_http_with_400() {
    let scene = Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    scene.refuses("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400);
    scene.refuses("GET /\r\n\r\n", 400);
    scene.refuses("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400);
    scene.refuses("GET / http/1.1\r\nHost: a\r\n\r\n", 400);
    scene.refuses("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400);
    scene.refuses("G{T / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    scene.refuses("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    scene.refuses("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

/// "Intermediaries that process HTTP messages … MUST send their own HTTP-version in forwarded messages".
/// (§2.3)
#[test]
fn must_send_its_own_version() {
    let watched = Watched::new();
    let (head, _) = watched.forwards("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(head.start_line, "GET / HTTP/1.1");
    let (head, _) = watched.forwards("GET / HTTP/1.7\r\nHost: a\r\n\r\n");
    assert_eq!(head.start_line, "GET / HTTP/1.1");
    let response = relayed("HTTP/1.0 200 Fine\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(response.head.start_line, "HTTP/1.1 200 Fine");
}

/// "The reason-phrase … A server MUST send the space that separates the status-code from the reason-phrase even
/// when the reason-phrase is absent". (§4)
#[test]
fn must_send_the_space_behind_a_status_without_phrase() {
    for line in ["HTTP/1.1 299", "HTTP/1.1 299 "] {
        let response = relayed(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(response.head.start_line, "HTTP/1.1 299 ");
    }
}

/// "The first line of a response message is the status-line": what is none makes a 502. (§4)
#[test]
fn answers_a_malformed_status_line_with_502() {
    for line in
        ["HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 No", "HTTP/2.0 200 OK", "HTTP/1.1 OK", "200"]
    {
        becomes_bad_gateway(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
    }
}
