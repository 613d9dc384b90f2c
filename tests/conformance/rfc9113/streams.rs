//! §5.1: what may come on a stream, and when.

use ringway::proto::h2::connection::Cause;
use ringway::proto::h2::connection::Event;
use ringway::proto::h2::fault::ErrorCode;
use ringway::proto::h2::settings::Local;

use crate::http2_end::{
    DATA, END, End, GET, HEADERS, OK, PRIORITY, frame, get, id, post, rst_stream, setting, window_update,
};

/// "Receiving any frame other than HEADERS or PRIORITY on a stream in this state MUST be treated as a connection
/// error of type PROTOCOL_ERROR." (idle)
#[test]
fn must_refuse_frames_on_idle_streams() {
    for bytes in [frame(DATA, 0, 1, b"a"), rst_stream(1), window_update(1, 1), window_update(2, 0)] {
        End::server().fails(&bytes, ErrorCode::ProtocolError);
        End::client().fails(&bytes, ErrorCode::ProtocolError);
    }
    let mut end = End::server();
    end.feed(&frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]));
    end.assert_open();
}

/// "If an endpoint receives additional frames, other than WINDOW_UPDATE, PRIORITY, or RST_STREAM, for a stream
/// that is in this state, it MUST respond with a stream error of type STREAM_CLOSED." (half-closed (remote))
#[test]
fn must_refuse_frames_behind_the_end() {
    for bytes in [frame(DATA, 0, 1, b"a"), frame(HEADERS, END, 1, GET)] {
        let mut end = End::server();
        end.feed(&get(1));
        end.feed(&[window_update(1, 1), frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])].concat());
        end.resets(&bytes, 1, ErrorCode::StreamClosed);
    }
}

/// Frames on a stream that both sides have ended: "An endpoint that receives any frames after receiving a frame
/// with the END_STREAM flag set MUST treat that as a connection error of type STREAM_CLOSED", save WINDOW_UPDATE
/// and RST_STREAM (closed).
#[test]
fn must_refuse_frames_on_closed_streams() {
    for bytes in [frame(DATA, 0, 1, b"a"), frame(HEADERS, END, 1, GET)] {
        let mut end = End::server();
        end.feed(&get(1));
        end.codec.send_head(id(1), [(&b":status"[..], &b"204"[..])], true).unwrap();
        end.feed(&[window_update(1, 1), rst_stream(1), frame(PRIORITY, 0, 1, &[0; 5])].concat());
        end.fails(&bytes, ErrorCode::StreamClosed);
    }
}

/// "An endpoint MUST ignore frames that it receives on closed streams after it has sent a RST_STREAM frame"
/// (closed), but count what they cost: "the receiver MUST... account for their contribution against the
/// connection flow-control window" (§6.9).
#[test]
fn must_ignore_what_was_under_way_at_a_reset() {
    let mut end = End::server();
    end.feed(&post(1, &[]));
    end.codec.reset(id(1), ErrorCode::Cancel);
    end.sent();
    let late = [frame(DATA, 0, 1, &[0; 9000]), frame(HEADERS, END, 1, &[0x40, 1, b'x', 1, b'y'])];
    assert_eq!(end.feed(&late.concat()), []);
    for _ in 0..70 {
        assert_eq!(end.feed(&late[0]), []);
    }
    assert!(end.sent().iter().any(|(header, _)| header.stream.is_none()));
    end.assert_open();
}

/// "The identifier of a newly established stream MUST be numerically greater than all streams that the initiating
/// endpoint has opened", and clients' are odd (§5.1.1).
#[test]
fn must_refuse_unexpected_identifiers() {
    End::server().fails(&get(2), ErrorCode::ProtocolError);
    let mut end = End::server();
    end.feed(&get(5));
    end.fails(&get(3), ErrorCode::ProtocolError);
    // What was used is closed.
    let mut end = End::server();
    end.feed(&[get(3), get(9)].concat());
    end.codec.reset(id(3), ErrorCode::Cancel);
    end.codec.reset(id(9), ErrorCode::Cancel);
    end.fails(&get(7), ErrorCode::ProtocolError);
    let mut end = End::asking("GET");
    end.fails(&frame(HEADERS, END, 2, OK), ErrorCode::ProtocolError);
    End::asking("GET").fails(&frame(HEADERS, END, 3, OK), ErrorCode::ProtocolError);
}

/// "An endpoint that receives a HEADERS frame that causes its advertised concurrent stream limit to be exceeded
/// MUST treat this as a stream error of type PROTOCOL_ERROR or REFUSED_STREAM." (§5.1.2)
#[test]
fn must_refuse_streams_beyond_the_limit() {
    let mut end = End::server_with(Local { max_concurrent_streams: 2, ..Local::default() });
    end.feed(&[get(1), get(3)].concat());
    end.resets(&get(5), 5, ErrorCode::RefusedStream);
    end.codec.send_head(id(1), [(&b":status"[..], &b"204"[..])], true).unwrap();
    assert_eq!(end.feed(&get(7)), [Event::Head { stream: id(7), end: true }]);
}

/// "Endpoints MUST NOT exceed the limit set by their peer." (§5.1.2)
#[test]
fn must_not_open_more_than_allowed() {
    let mut end = End::asking("GET");
    end.feed(&setting(3, 1));
    assert!(end.codec.can_open().is_err());
    end.feed(&frame(HEADERS, END, 1, OK));
    assert_eq!(end.codec.can_open(), Ok(id(3)));
}

/// "A stream cannot depend on itself. An endpoint MUST treat this as a stream error of type PROTOCOL_ERROR"
/// (RFC 7540 §5.3.1, which the deprecated fields still follow).
#[test]
fn must_refuse_streams_that_depend_on_themselves() {
    let mut end = End::server();
    let block = [&[0, 0, 0, 1, 9][..], GET].concat();
    end.resets(&frame(HEADERS, END | 0x20, 1, &block), 1, ErrorCode::ProtocolError);
    end.feed(&get(3));
    end.resets(&frame(PRIORITY, 0, 3, &[0x80, 0, 0, 3, 9]), 3, ErrorCode::ProtocolError);
}

/// "To avoid looping, an endpoint MUST NOT send a RST_STREAM in response to a RST_STREAM frame." (§5.4.2)
#[test]
fn must_not_answer_a_reset() {
    let mut end = End::server();
    end.feed(&get(1));
    let reset = Event::Reset { stream: id(1), cause: Cause::Peer(ErrorCode::Cancel) };
    assert_eq!(end.feed(&rst_stream(1)), [reset]);
    assert_eq!(end.feed(&rst_stream(1)), []);
    assert!(end.sent().is_empty());
}
