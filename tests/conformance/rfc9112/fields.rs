//! RFC 9112 §5, field lines.

use crate::scene::{Scene, Watched, becomes_bad_gateway, get};

fn scene() -> Scene {
    Scene::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

/// "No whitespace is allowed between the field name and colon. … A server MUST reject, with a response status
/// code of 400 (Bad Request), any received request message that contains whitespace between a header field name
/// and colon." (§5.1)
#[test]
fn must_refuse_whitespace_before_a_colon() {
    let scene = scene();
    scene.refuses(get("X : y\r\n"), 400);
    scene.refuses(get("X\t: y\r\n"), 400);
    scene.refuses("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400);
    scene.refuses("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400);
}

/// "A proxy MUST remove any such whitespace from a response message before forwarding the message downstream."
/// Ringway forwards no such response. (§5.1)
#[test]
fn must_not_forward_whitespace_before_a_colon_in_a_response() {
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n");
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n");
}

/// "A server that receives an obs-fold in a request message … MUST either reject the message by sending a 400
/// (Bad Request) … or replace each received obs-fold". (§5.2)
#[test]
fn must_refuse_a_folded_line_in_a_request() {
    let scene = scene();
    scene.refuses(get("X: y\r\n z\r\n"), 400);
    scene.refuses(get("X: y\r\n\tz\r\n"), 400);
    scene.refuses(get("X:\r\n \r\n"), 400);
}

/// "A proxy or gateway that receives an obs-fold in a response message … MUST either discard the message and
/// replace it with a 502 (Bad Gateway) response … or replace each received obs-fold". (§5.2)
#[test]
fn must_replace_a_response_with_a_folded_line_by_502() {
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n");
    becomes_bad_gateway("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: y\r\n\tz\r\n\r\n");
}

/// "field-line = field-name ":" OWS field-value OWS": what is none is refused. (§5)
#[test]
fn refuses_what_is_no_field_line() {
    let scene = scene();
    for line in ["X", ": y", "X Y: z", "X\u{e4}: y", "X(: y", "\"X\": y", "X\0: y", "X: y\0"] {
        scene.refuses(get(&format!("{line}\r\n")), 400);
    }
}

/// "A field line value might be preceded and/or followed by optional whitespace (OWS) … excluded by parsers when
/// extracting the field line value". (§5.1)
#[test]
fn strips_whitespace_around_a_value() {
    let head = Watched::new().forwards_fields("A:b\r\nC: \t d e \t\r\nE:\r\n");
    let text = head.text();
    assert!(text.contains("\r\nA: b\r\nC: d e\r\nE: \r\n"), "{text}");
}
