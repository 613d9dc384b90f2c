//! §4 and §6: what a frame may look like.

use ringway::proto::h2::connection::Event;
use ringway::proto::h2::fault::ErrorCode;

use crate::http2_end::{
    CONTINUATION, DATA, END, END_HEADERS, END_STREAM, End, GET, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, id, post,
};

/// "Implementations MUST ignore and discard frames of unknown types", "flags that have no defined semantics
/// MUST be ignored", and so MUST the reserved bit (§4.1).
#[test]
fn must_ignore_what_is_unknown() {
    let mut end = End::server();
    assert_eq!(end.feed(&frame(0xbe, 0xff, 1, &[7; 1000])), []);
    assert_eq!(end.feed(&frame(PING, 0xfe, 1 << 31, b"12345678")), []);
    end.assert_open();
}

/// "An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame exceeds the size defined in
/// SETTINGS_MAX_FRAME_SIZE, exceeds any limit defined for the frame type, or is too small to contain mandatory
/// frame data." (§4.2)
#[test]
fn must_refuse_bad_lengths() {
    for bytes in [
        frame(DATA, 0, 1, &[0; 16_385]),
        frame(0xbe, 0, 0, &[0; 16_385]),
        frame(PING, 0, 0, &[0; 7]),
        frame(PING, 0, 0, &[0; 9]),
        frame(RST_STREAM, 0, 1, &[0; 3]),
        frame(RST_STREAM, 0, 1, &[0; 5]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 5]),
        frame(GOAWAY, 0, 0, &[0; 7]),
        frame(HEADERS, PADDED | END, 3, b""),
        frame(HEADERS, 0x20 | END, 3, &[0; 4]),
    ] {
        let mut end = End::server();
        end.feed(&post(1, &[]));
        end.fails(&bytes, ErrorCode::FrameSizeError);
    }
    let mut end = End::server();
    end.feed(&get(1));
    end.resets(&frame(PRIORITY, 0, 1, &[0; 4]), 1, ErrorCode::FrameSizeError);
}

/// Frames of a stream on stream 0, and frames of the connection elsewhere, "MUST" be connection errors of type
/// PROTOCOL_ERROR (§6.1 to §6.10).
#[test]
fn must_refuse_frames_in_the_wrong_place() {
    for bytes in [
        frame(DATA, 0, 0, b"a"),
        frame(HEADERS, END, 0, GET),
        frame(PRIORITY, 0, 0, &[0; 5]),
        frame(RST_STREAM, 0, 0, &[0; 4]),
        frame(SETTINGS, 0, 1, b""),
        frame(PING, 0, 1, &[0; 8]),
        frame(GOAWAY, 0, 1, &[0; 8]),
        frame(CONTINUATION, END_HEADERS, 0, GET),
        frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
    ] {
        End::server().fails(&bytes, ErrorCode::ProtocolError);
    }
    let mut client = End::asking("GET");
    client.fails(&frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]), ErrorCode::ProtocolError);
}

/// "If the length of the padding is the length of the frame payload or greater, the recipient MUST treat this
/// as a connection error of type PROTOCOL_ERROR." (§6.1, §6.2)
#[test]
fn must_refuse_too_much_padding() {
    let mut end = End::server();
    end.feed(&post(1, &[]));
    end.fails(&frame(DATA, PADDED, 1, &[3, 0, 0]), ErrorCode::ProtocolError);
    End::server().fails(&frame(HEADERS, PADDED | END, 1, &[3, 0, 0]), ErrorCode::ProtocolError);
    let mut end = End::server();
    let padded = [&[4][..], GET, &[0; 4]].concat();
    assert_eq!(
        end.feed(&frame(HEADERS, PADDED | END, 1, &padded)),
        [Event::Head { stream: id(1), end: true }]
    );
    end.assert_open();
}

/// "Field blocks MUST be transmitted as a contiguous sequence of frames, with no interleaved frames of any other
/// type or from any other stream." (§4.3, §6.10)
#[test]
fn must_keep_field_blocks_together() {
    let begun = frame(HEADERS, END_STREAM, 1, &GET[..2]);
    let mut end = End::server();
    let rest = frame(CONTINUATION, END_HEADERS, 1, &GET[2..]);
    assert_eq!(end.feed(&[begun.clone(), rest].concat()), [Event::Head { stream: id(1), end: true }]);
    for next in
        [frame(PING, 0, 0, &[0; 8]), frame(0xbe, 0, 0, b""), frame(CONTINUATION, END_HEADERS, 3, GET), get(3)]
    {
        End::server().fails(&[begun.clone(), next].concat(), ErrorCode::ProtocolError);
    }
    End::server().fails(&frame(CONTINUATION, END_HEADERS, 1, GET), ErrorCode::ProtocolError);
}

/// "A decoding error in a field block MUST be treated as a connection error of type COMPRESSION_ERROR." (§4.3)
#[test]
fn must_refuse_blocks_that_do_not_decode() {
    End::server().fails(&frame(HEADERS, END, 1, &[0x80]), ErrorCode::CompressionError);
    End::server().fails(&frame(HEADERS, END, 1, &[0x82, 0x40]), ErrorCode::CompressionError);
}

/// "A receiver MUST terminate the connection with a connection error of type COMPRESSION_ERROR if it does not
/// decompress a field block": those of messages that are refused are decoded too (§4.3).
#[test]
fn must_decode_blocks_that_it_refuses() {
    let mut end = End::server();
    // `x: y` enters the table; the head lacks everything else.
    end.resets(&frame(HEADERS, END, 1, &[0x40, 1, b'x', 1, b'y']), 1, ErrorCode::ProtocolError);
    let block = [GET, &[0xbe]].concat();
    assert_eq!(end.feed(&frame(HEADERS, END, 3, &block)), [Event::Head { stream: id(3), end: true }]);
    let mut headers = ringway::http::headers::Headers::new();
    let request = end.codec.request(&mut headers);
    assert!(request.head.headers.iter().any(|field| (field.name, field.value) == (b"x", b"y")));
}

/// "Unknown or unsupported error codes MUST NOT trigger any special behavior." (§7)
#[test]
fn must_take_unknown_error_codes() {
    let mut end = End::server();
    end.feed(&get(1));
    let events = end.feed(&frame(RST_STREAM, 0, 1, &[0xff; 4]));
    assert!(matches!(events[..], [Event::Reset { .. }]));
    end.assert_open();
}
