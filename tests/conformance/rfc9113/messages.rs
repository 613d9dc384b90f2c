//! §8: malformed messages are stream errors and never forwarded.

use ringway::http::headers::Headers;
use ringway::proto::h2::connection::Event;
use ringway::proto::h2::fault::ErrorCode;
use ringway::proto::h2::settings::Local;

use crate::http2_end::{DATA, END, END_HEADERS, END_STREAM, End, GET, HEADERS, OK, frame, id, literal, post};

/// A GET with more fields is refused.
fn refuses(fields: &[(&str, &str)]) {
    let more: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let bytes = frame(HEADERS, END, 1, &[GET, &more].concat());
    End::server().resets(&bytes, 1, ErrorCode::ProtocolError);
}

/// "A request or response that contains an uppercase name MUST be treated as malformed", and so what could be
/// read as a line end elsewhere (§8.2.1).
#[test]
fn must_refuse_bad_names_and_values() {
    for name in ["Accept", "a b", "a:b", "a\n", "", "\u{7f}", "\u{e9}"] {
        refuses(&[(name, "b")]);
    }
    for value in ["a\r\nx: y", "a\n", "\0", " a", "a\t"] {
        refuses(&[("a", value)]);
    }
}

/// "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields. Any message
/// containing connection-specific header fields MUST be treated as malformed." (§8.2.2)
#[test]
fn must_refuse_connection_specific_fields() {
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te"] {
        refuses(&[(name, "chunked")]);
    }
}

/// "All pseudo-header fields MUST appear in a field block before all regular field lines", once, and none that
/// is undefined or of responses (§8.3).
#[test]
fn must_refuse_misplaced_pseudo_fields() {
    refuses(&[(":method", "GET")]);
    refuses(&[(":status", "200")]);
    refuses(&[(":unknown", "a")]);
    refuses(&[("a", "b"), (":protocol", "c")]);
    for block in [&GET[1..], &GET[..2], &GET[..3], &[0x82, 0x87, 0x04, 0, 0x01, 1, b'a'][..]] {
        End::server().resets(&frame(HEADERS, END, 1, block), 1, ErrorCode::ProtocolError);
    }
}

/// ":authority" against Host (§8.3.1), and user information in it is "MUST NOT".
#[test]
fn must_refuse_two_authorities() {
    refuses(&[("host", "b")]);
    refuses(&[("host", "a"), ("host", "a")]);
    let block = [&GET[..3], &[0x01, 3, b'u', b'@', b'a']].concat();
    End::server().resets(&frame(HEADERS, END, 1, &block), 1, ErrorCode::ProtocolError);
}

/// "A request or response is also malformed if the value of a Content-Length header field does not equal the sum
/// of the DATA frame payload lengths that form the content" (§8.1.1).
#[test]
fn must_refuse_content_of_another_length() {
    let long = [("content-length", "3")];
    for rest in [
        frame(DATA, END_STREAM, 1, b"ab"),
        frame(DATA, 0, 1, b"abcd"),
        frame(HEADERS, END, 1, &literal("a", "b")),
    ] {
        let mut end = End::server();
        end.feed(&post(1, &long));
        end.resets(&rest, 1, ErrorCode::ProtocolError);
    }
    refuses(&[("content-length", "1")]);
    refuses(&[("content-length", "0"), ("content-length", "0")]);
    let mut end = End::server();
    end.feed(&post(1, &long));
    let events = end.feed(&frame(DATA, END_STREAM, 1, b"abc"));
    assert_eq!(events, [Event::Content { stream: id(1), content: 9..12, end: true }]);
}

/// Responses to HEAD and 304 may tell a length that does not come (§8.1.1).
#[test]
fn must_take_lengths_without_content() {
    let block = [OK, &literal("content-length", "5")].concat();
    let mut end = End::asking("HEAD");
    let whole = [Event::Head { stream: id(1), end: true }];
    assert_eq!(end.feed(&frame(HEADERS, END, 1, &block)), whole);
    let mut end = End::asking("GET");
    let unchanged = [&[0x8b][..], &literal("content-length", "5")].concat();
    assert_eq!(end.feed(&frame(HEADERS, END, 1, &unchanged)), whole);
    End::asking("GET").resets(&frame(HEADERS, END, 1, &block), 1, ErrorCode::ProtocolError);
    let mut end = End::asking("HEAD");
    end.feed(&frame(HEADERS, END_HEADERS, 1, &block));
    end.resets(&frame(DATA, END_STREAM, 1, b"abcde"), 1, ErrorCode::ProtocolError);
}

/// "An endpoint that receives a HEADERS frame without the END_STREAM flag set after receiving the HEADERS frame
/// that opens a request or after receiving a final (non-informational) status code MUST treat the corresponding
/// request or response as malformed", and trailers have no pseudo-header fields (§8.1).
#[test]
fn must_refuse_bad_trailers() {
    for (flags, block) in [(END_HEADERS, literal("a", "b")), (END, vec![0x88]), (END, literal("A", "b"))] {
        let mut end = End::server();
        end.feed(&post(1, &[]));
        end.resets(&frame(HEADERS, flags, 1, &block), 1, ErrorCode::ProtocolError);
    }
    let mut end = End::server();
    end.feed(&[post(1, &[]), frame(DATA, 0, 1, b"a")].concat());
    assert_eq!(end.feed(&frame(HEADERS, END, 1, &literal("a", "b"))), [Event::Trailers { stream: id(1) }]);
    assert_eq!(end.codec.fields().len(), 1);
}

/// Interim responses come before the final one and never end the stream (§8.1); 101 does not exist (§8.6).
#[test]
fn must_know_interim_responses() {
    let status = |code: &str| literal(":status", code);
    let mut end = End::asking("GET");
    let early = frame(HEADERS, END_HEADERS, 1, &status("103"));
    assert_eq!(end.feed(&early), [Event::Interim { stream: id(1) }]);
    assert_eq!(end.feed(&frame(HEADERS, END, 1, OK)), [Event::Head { stream: id(1), end: true }]);
    for (flags, code) in [(END, "103"), (END_HEADERS, "101"), (END, "20"), (END, "")] {
        End::asking("GET").resets(&frame(HEADERS, flags, 1, &status(code)), 1, ErrorCode::ProtocolError);
    }
    End::asking("GET").resets(&frame(DATA, END_STREAM, 1, b""), 1, ErrorCode::ProtocolError);
}

/// "If there are multiple Cookie header fields after decompression, these MUST be concatenated" (§8.2.3).
#[test]
fn must_join_cookies() {
    let crumbs = [GET, &literal("cookie", "a=1"), &literal("cookie", "b=2")].concat();
    let mut end = End::server();
    end.feed(&frame(HEADERS, END, 1, &crumbs));
    let mut headers = Headers::new();
    let request = end.codec.request(&mut headers);
    let fields: Vec<_> = request.head.headers.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(fields, [(&b"host"[..], &b"a"[..]), (b"cookie", b"a=1; b=2")]);
}

/// Crumbs without content are crumbs too: HTTP/1.1 has one Cookie field at most (RFC 6265 §5.4).
#[test]
fn must_join_empty_cookies() {
    for crumbs in [["", ""], ["", "b=2"], ["a=1", ""]] {
        let [first, second] = crumbs.map(|crumb| literal("cookie", crumb));
        let mut end = End::server();
        end.feed(&frame(HEADERS, END, 1, &[GET, &first, &second].concat()));
        let mut headers = Headers::new();
        let request = end.codec.request(&mut headers);
        let cookies = request.head.headers.iter().filter(|field| field.name == b"cookie");
        assert_eq!(cookies.count(), 1, "{crumbs:?}");
    }
}

/// CONNECT has neither scheme nor path (§8.5). With `:protocol` it has both, where it was offered (RFC 8441 §4).
#[test]
fn must_tell_both_kinds_of_connect() {
    let plain = [literal(":method", "CONNECT"), literal(":authority", "a:1")].concat();
    let extended =
        [GET[1..].to_vec(), literal(":method", "CONNECT"), literal(":protocol", "websocket")].concat();
    let head = [Event::Head { stream: id(1), end: false }];
    assert_eq!(End::server().feed(&frame(HEADERS, END_HEADERS, 1, &plain)), head);
    let with_scheme = [plain, vec![0x87]].concat();
    End::server().resets(&frame(HEADERS, END_HEADERS, 1, &with_scheme), 1, ErrorCode::ProtocolError);
    let bytes = frame(HEADERS, END_HEADERS, 1, &extended);
    End::server().resets(&bytes, 1, ErrorCode::ProtocolError);
    let mut offering = End::server_with(Local { connect_protocol: true, ..Local::default() });
    assert_eq!(offering.feed(&bytes), head);
    let mut headers = Headers::new();
    assert_eq!(offering.codec.request(&mut headers).protocol, Some(&b"websocket"[..]));
}
