//! §4: requests, in the order of their frames, and what makes them malformed.

use ringway::http::head::Version;
use ringway::http::headers::Headers;
use ringway::proto::fields::message::Malformed;
use ringway::proto::h3::connection::Connection;
use ringway::proto::h3::event::RequestEvent;
use ringway::proto::h3::fault::ErrorCode;
use ringway::proto::h3::fault::Fault;
use ringway::proto::h3::request::RequestReader;
use ringway::proto::h3::settings::Local;

use super::*;

/// A request with these fields besides those of [`GET`] is malformed: a stream error of type H3_MESSAGE_ERROR (§4.1.2).
fn refuses(fields: &[(&str, &str)]) {
    let refused = fault(&request(fields)).map(Fault::code);
    assert_eq!(refused, Some(ErrorCode::MessageError), "{fields:?}");
}

/// "Receipt of an invalid sequence of frames MUST be treated as a connection error of type H3_FRAME_UNEXPECTED. In particular,
/// a DATA frame before any HEADERS frame, or a HEADERS or DATA frame after the trailing HEADERS frame, is considered invalid."
/// (§4.1)
#[test]
fn must_refuse_an_invalid_sequence_of_frames() {
    let trailers = || frame(HEADERS, &[&b"\0\0"[..], &literals(&[("a", "b")])].concat());
    let sequence = |frames: &[Vec<u8>]| request_stream(Local::default(), &frames.concat());
    let whole =
        sequence(&[request(&[]), frame(DATA, b""), frame(DATA, b"ab"), trailers(), frame(GREASE, b"")]);
    assert_eq!((whole.0.len(), whole.1), (3, Ok(())));
    assert_eq!(
        sequence(&[request(&[]), trailers()]),
        (vec![RequestEvent::Head, RequestEvent::Trailers], Ok(()))
    );
    for frames in [
        &[frame(DATA, b"ab"), request(&[])][..],
        &[frame(GREASE, b"ab"), frame(DATA, b""), request(&[])],
        &[request(&[]), trailers(), frame(DATA, b"")],
        &[request(&[]), trailers(), trailers()],
    ] {
        assert_eq!(sequence(frames).1, Err(Fault::UnexpectedFrame));
    }
}

/// A stream that ends without a request is a stream error of type H3_REQUEST_INCOMPLETE (§4.1).
#[test]
fn must_refuse_a_stream_without_a_request() {
    for bytes in [vec![], frame(GREASE, b"a")] {
        assert_eq!(fault(&bytes).map(Fault::code), Some(ErrorCode::RequestIncomplete));
    }
}

/// "A request or response that is defined as having content when it contains a Content-Length header field is malformed if the
/// value of the Content-Length header field does not equal the sum of the DATA frame lengths received." (§4.1.2)
#[test]
fn must_refuse_content_of_another_length() {
    let sized = |length: &str, frames: &[Vec<u8>]| {
        fault(&[&[request(&[("content-length", length)])], frames].concat().concat())
    };
    assert_eq!(sized("3", &[frame(DATA, b"a"), frame(GREASE, b"xy"), frame(DATA, b"bc")]), None);
    assert_eq!(sized("0", &[]), None);
    let wrong = Some(Fault::Malformed(Malformed::ContentLength));
    assert_eq!(sized("3", &[]), wrong);
    assert_eq!(sized("3", &[frame(DATA, b"ab")]), wrong);
    assert_eq!(sized("3", &[frame(DATA, b"abcd")]), wrong);
    assert_eq!(sized("3", &[frame(DATA, b"abc"), frame(DATA, b"d")]), wrong);
    assert_eq!(sized("3", &[frame(DATA, b"ab"), frame(HEADERS, b"\0\0")]), wrong);
    refuses(&[("content-length", "1"), ("content-length", "1")]);
    refuses(&[("content-length", "+1")]);
}

/// "A request or response containing uppercase characters in field names MUST be treated as malformed" (§4.2), and so what could
/// be read as a line end elsewhere (§10.3).
#[test]
fn must_refuse_bad_names_and_values() {
    for name in ["Accept", "a b", "a:b", "a\n", "", "\u{7f}", "\u{e9}"] {
        refuses(&[(name, "b")]);
    }
    for value in ["a\r\nx: y", "a\n", "\0", " a", "a\t"] {
        refuses(&[("a", value)]);
    }
}

/// "An endpoint MUST NOT generate an HTTP/3 field section containing connection-specific fields; any message containing
/// connection-specific fields MUST be treated as malformed." (§4.2)
#[test]
fn must_refuse_connection_specific_fields() {
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te"] {
        refuses(&[(name, "chunked")]);
    }
    assert_eq!(fault(&request(&[("te", "trailers")])), None);
}

/// "Endpoints MUST treat a request or response that contains undefined or invalid pseudo-header fields as malformed. All
/// pseudo-header fields MUST appear in the header section before regular header fields." (§4.3)
#[test]
fn must_refuse_misplaced_pseudo_fields() {
    refuses(&[(":method", "GET")]);
    refuses(&[(":status", "200")]);
    refuses(&[(":unknown", "a")]);
    refuses(&[("a", "b"), (":protocol", "c")]);
    for section in [
        &b"\0\0\xd7\xc1\x50\x01a"[..],
        b"\0\0\xd1\xc1\x50\x01a",
        b"\0\0\xd1\xd7\x50\x01a",
        b"\0\0\xd1\xd7\xc1",
    ] {
        assert_eq!(fault(&frame(HEADERS, section)).map(Fault::code), Some(ErrorCode::MessageError));
    }
    // "Pseudo-header fields MUST NOT appear in trailer sections."
    let trailers = frame(HEADERS, &[&b"\0\0"[..], &literals(&[(":path", "/")])].concat());
    let refused = fault(&[request(&[]), trailers].concat());
    assert_eq!(refused, Some(Fault::Malformed(Malformed::PseudoField)));
}

/// ":authority" against Host (§4.3.1): "If both fields are present, they MUST contain the same value."
#[test]
fn must_refuse_two_authorities() {
    refuses(&[("host", "b")]);
    refuses(&[("host", "a"), ("host", "a")]);
    assert_eq!(fault(&request(&[("host", "a")])), None);
}

/// CONNECT has an authority and nothing else (§4.4); with `:protocol` it is an error where it was not offered (RFC 9220 §3).
/// "Receipt of any other known frame type" than DATA behind it is a connection error of type H3_FRAME_UNEXPECTED.
#[test]
fn must_refuse_a_malformed_connect() {
    let offered = Local { connect_protocol: true, ..Local::default() };
    let plain = frame(HEADERS, b"\0\0\xcf\x50\x05a:443");
    let extended = frame(HEADERS, b"\0\0\xcf\xd7\xc1\x50\x01a\x27\x02:protocol\x09websocket");
    let with = |head: &[u8], rest: Vec<u8>| request_stream(offered, &[head, &rest].concat()).1;
    for head in [&plain, &extended] {
        assert_eq!(with(head, frame(DATA, b"tunnel")), Ok(()));
        assert_eq!(with(head, frame(HEADERS, b"\0\0")), Err(Fault::UnexpectedFrame));
    }
    assert_eq!(fault(&extended), Some(Fault::Malformed(Malformed::Connect)));
    let with_path = frame(HEADERS, b"\0\0\xcf\xc1\x50\x05a:443");
    assert_eq!(fault(&with_path), Some(Fault::Malformed(Malformed::PseudoField)));
}

/// "An HTTP/3 implementation MAY impose a limit on the maximum size of the message header" (§4.2.2): such a request can still be
/// answered, and the rest of it is passed over. Trailers of that size end the stream.
#[test]
fn large_sections_are_bounded() {
    let local = Local { max_header_bytes: 1_000, max_headers: 10, ..Local::default() };
    let long = "x".repeat(120);
    let many = [("a", long.as_str()); 8];
    let (events, outcome) = request_stream(local, &[request(&many), frame(DATA, b"ab")].concat());
    assert_eq!((events.first(), events.len(), outcome), (Some(&RequestEvent::HeadTooLarge), 2, Ok(())));
    let (events, outcome) = request_stream(local, &request(&[("a", ""); 11]));
    assert_eq!((events, outcome), (vec![RequestEvent::HeadTooLarge], Ok(())));
    let far_too_long = frame(HEADERS, &[GET, &literals(&[("a", long.as_str())]).repeat(1_000)].concat());
    let (events, outcome) = request_stream(local, &far_too_long);
    assert_eq!((events, outcome), (vec![RequestEvent::HeadTooLarge], Ok(())));
    let trailers = frame(HEADERS, &[&b"\0\0"[..], &literals(&many)].concat());
    let refused = request_stream(local, &[request(&[]), trailers].concat()).1.map_err(Fault::code);
    assert_eq!(refused, Err(ErrorCode::ExcessiveLoad));
}

/// A broken section is the end of the connection (RFC 9204 §2.2).
#[test]
fn must_refuse_a_broken_section() {
    for section in [&b""[..], b"\0", b"\0\0\x80", b"\0\0\x51\x7f"] {
        let refused = fault(&frame(HEADERS, section)).map(Fault::code);
        assert_eq!(refused, Some(ErrorCode::QpackDecompressionFailed), "{section:?}");
    }
}

/// A request reads like one of HTTP/1.1, with its crumbs of cookies joined (§4.2.1).
#[test]
fn must_join_cookies() {
    let mut connection = Connection::new(Local::default());
    let bytes = request(&[("cookie", "a=1"), ("b", "c"), ("cookie", "d=2")]);
    let received = RequestReader::new().handle_bytes(&bytes, &mut connection, 0).unwrap();
    assert_eq!((received.consumed, received.event), (bytes.len(), Some(RequestEvent::Head)));
    let mut headers = Headers::new();
    let request = connection.request(&mut headers);
    assert_eq!((request.head.version, request.scheme), (Version::Http3, &b"https"[..]));
    let fields: Vec<_> = request.head.headers.iter().map(|field| (field.name, field.value)).collect();
    let expected: [(&[u8], &[u8]); 3] = [(b"host", b"a"), (b"cookie", b"a=1; d=2"), (b"b", b"c")];
    assert_eq!(fields, expected);
}

/// What is written is one HEADERS frame, whatever its length (§7.2.2).
#[test]
fn writes_whole_frames() {
    let mut connection = Connection::new(Local::default());
    for length in [0, 1, 60, 70, 16_370, 16_390, 100_000] {
        let value = "\u{1}".repeat(length);
        let mut out = b"before".to_vec();
        let fields = [(&b":status"[..], &b"200"[..]), (b"x", value.as_bytes())];
        connection.write_headers(&mut out, fields);
        let mut rest = &out[6..];
        assert_eq!(varint::decode(&mut rest), Some(HEADERS));
        let declared = varint::decode(&mut rest);
        assert_eq!(declared, Some(rest.len() as u64), "{length}");
        assert!(rest.starts_with(b"\0\0\xd9\x21x") && rest.ends_with(value.as_bytes()));
    }
}
