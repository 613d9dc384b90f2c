//! §3, §5.2, §6.5, §6.8 and §6.9: preface, settings, windows and the end of a connection.

use ringway::proto::h2::connection::CannotOpen;
use ringway::proto::h2::connection::Connection;
use ringway::proto::h2::connection::Event;
use ringway::proto::h2::fault::ErrorCode;
use ringway::proto::h2::frame::FrameKind;
use ringway::proto::h2::frame::PREFACE;
use ringway::proto::h2::settings::Local;

use crate::http2_end::{
    ACK, DATA, END, END_STREAM, End, GOAWAY, HEADERS, OK, PADDED, PING, SETTINGS, frame, get, id, post,
    rst_stream, setting, window_update,
};

fn fresh_server() -> End {
    End { codec: Connection::server(Local::default()), now: 0 }
}

/// "Clients and servers MUST treat an invalid connection preface as a connection error of type
/// PROTOCOL_ERROR." (§3.4)
#[test]
fn must_refuse_a_bad_preface() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX", b"\x16\x03\x01"] {
        fresh_server().fails(bytes, ErrorCode::ProtocolError);
    }
    let early = [&PREFACE[..], &frame(PING, 0, 0, &[0; 8])].concat();
    fresh_server().fails(&early, ErrorCode::ProtocolError);
    let acknowledged = [&PREFACE[..], &frame(SETTINGS, ACK, 0, b"")].concat();
    fresh_server().fails(&acknowledged, ErrorCode::ProtocolError);
}

/// "This sequence MUST be followed by a SETTINGS frame, which MAY be empty", and the server's first frame is
/// one (§3.4).
#[test]
fn must_begin_with_settings() {
    let mut out = Vec::new();
    Connection::client(Local::default()).poll_output(&mut out);
    assert!(out.starts_with(PREFACE));
    assert_eq!(out[PREFACE.len() + 3], SETTINGS);
    assert_eq!(fresh_server().sent()[0].0.kind, FrameKind::Settings);
}

/// "The recipient MUST immediately emit a SETTINGS frame with the ACK flag set." (§6.5.3)
#[test]
fn must_acknowledge_settings() {
    let mut end = End::server();
    assert_eq!(end.feed(&setting(0xfafa, 1)), [Event::Settings]);
    let frames = end.sent();
    assert_eq!((frames[0].0.kind, frames[0].0.flags), (FrameKind::Settings, ACK));
}

/// "The values in the SETTINGS frame MUST be processed in the order they appear" and bad ones are connection
/// errors (§6.5.2, §6.5.3).
#[test]
fn must_refuse_bad_settings() {
    for (identifier, value, code) in [
        (2, 2, ErrorCode::ProtocolError),
        (4, 1 << 31, ErrorCode::FlowControlError),
        (5, 16_383, ErrorCode::ProtocolError),
        (5, 1 << 24, ErrorCode::ProtocolError),
        (8, 2, ErrorCode::ProtocolError),
    ] {
        End::server().fails(&setting(identifier, value), code);
    }
    End::client().fails(&setting(2, 1), ErrorCode::ProtocolError);
    End::server().fails(&frame(SETTINGS, 0, 0, &[0; 5]), ErrorCode::FrameSizeError);
    End::server().fails(&frame(SETTINGS, ACK, 0, &[0; 6]), ErrorCode::FrameSizeError);
    End::server().fails(&frame(SETTINGS, 0, 1, b""), ErrorCode::ProtocolError);
}

/// SETTINGS_TIMEOUT (§6.5.3).
#[test]
fn may_end_when_settings_are_not_acknowledged() {
    let mut end = fresh_server();
    end.feed(&[&PREFACE[..], &frame(SETTINGS, 0, 0, b"")].concat());
    end.now = end.codec.deadline().unwrap() - 1;
    assert_eq!(end.codec.handle_timeout(end.now), None);
    assert!(matches!(end.codec.handle_timeout(end.now + 1), Some(Event::Failed(_))));
    assert_eq!(end.sent().last().unwrap().1[7], 4);
}

/// "The sender MUST NOT send a flow-controlled frame with a length that exceeds the space available in either
/// of the flow-control windows" (§6.9.1).
#[test]
fn must_not_send_beyond_the_windows() {
    let mut end = End::server();
    end.feed(&setting(4, 10));
    end.feed(&get(1));
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).unwrap();
    assert_eq!(end.codec.send_content(id(1), &[0; 30], true, 0), Ok(10));
    assert_eq!(end.codec.send_content(id(1), &[0; 20], true, 0), Ok(0));
    // "A change to SETTINGS_INITIAL_WINDOW_SIZE can cause the available space in a flow-control window to
    // become negative. A sender MUST track the negative flow-control window" (§6.9.2).
    end.feed(&setting(4, 3));
    end.feed(&window_update(1, 7));
    assert_eq!(end.codec.send_capacity(id(1)), 0);
    assert_eq!(end.feed(&window_update(1, 5)), [Event::WindowOpened { stream: Some(id(1)) }]);
    assert_eq!(end.codec.send_content(id(1), &[0; 20], true, 0), Ok(5));
    end.feed(&window_update(1, 99));
    assert_eq!(end.codec.send_content(id(1), &[0; 15], true, 0), Ok(15));
    assert!(!end.codec.is_sending(id(1)));
}

/// The last crumb of the connection's window is not sent before the peer had time to open it, or many streams would
/// make ever smaller frames of it. But it is sent: the peer may wait for just that.
#[test]
fn sends_the_last_crumb_of_the_window_late() {
    let mut end = End::server();
    end.feed(&[get(1), window_update(1, 100_000)].concat());
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).unwrap();
    assert_eq!(end.codec.send_content(id(1), &[0; 65_035], false, 0), Ok(65_035));
    assert_eq!(end.codec.send_content(id(1), &[0; 300], false, 0), Ok(300), "what fits leaves");
    assert_eq!(end.codec.send_content(id(1), &[0; 900], false, 0), Ok(0));
    assert_eq!((end.codec.send_capacity(id(1)), end.codec.deadline()), (0, Some(200)));
    assert_eq!(end.codec.handle_timeout(199), None);
    assert_eq!(end.codec.handle_timeout(200), Some(Event::WindowOpened { stream: None }));
    assert_eq!(end.codec.send_content(id(1), &[0; 900], false, 200), Ok(200));
    // What was opened is kept together again.
    end.sent();
    end.feed(&[window_update(0, 500), window_update(0, 600)].concat());
    assert_eq!(end.codec.send_content(id(1), &[0; 2000], false, 300), Ok(1100));
}

/// "If a sender receives a WINDOW_UPDATE that causes a flow-control window to exceed this maximum, it MUST
/// terminate either the stream or the connection, as appropriate." (§6.9.1)
#[test]
fn must_refuse_windows_beyond_the_maximum() {
    let most = (1 << 31) - 1;
    End::server().fails(&window_update(0, most), ErrorCode::FlowControlError);
    let mut end = End::server();
    end.feed(&get(1));
    end.resets(&window_update(1, most), 1, ErrorCode::FlowControlError);
    let mut end = End::server();
    end.feed(&[get(1), window_update(1, 100_000)].concat());
    end.fails(&setting(4, most), ErrorCode::FlowControlError);
}

/// "A receiver MUST treat the receipt of a WINDOW_UPDATE frame with a flow-control window increment of 0 as a
/// stream error of type PROTOCOL_ERROR; errors on the connection flow-control window MUST be treated as a
/// connection error." (§6.9)
#[test]
fn must_refuse_empty_increments() {
    End::server().fails(&window_update(0, 0), ErrorCode::ProtocolError);
    let mut end = End::server();
    end.feed(&get(1));
    end.resets(&window_update(1, 0), 1, ErrorCode::ProtocolError);
}

/// "A receiver MAY respond with a stream error or connection error of type FLOW_CONTROL_ERROR if it is unable
/// to accept a frame" beyond its window (§6.9), and padding counts (§6.1).
#[test]
fn must_count_all_of_a_frame() {
    let mut end = End::server();
    end.feed(&post(1, &[]));
    let padded = frame(DATA, PADDED, 1, &[&[255][..], &[0; 16_000]].concat());
    for _ in 0..4 {
        end.feed(&padded);
    }
    // 4 × 16,001 octets came; the padding was given back, but not yet told.
    end.resets(&padded, 1, ErrorCode::FlowControlError);
}

/// "Receivers of a GOAWAY frame MUST NOT open additional streams on the connection" (§6.8).
#[test]
fn must_not_open_streams_after_goaway() {
    let mut end = End::asking("GET");
    let events = end.feed(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0, b't', b'e', b'x', b't']));
    assert_eq!(events, [Event::GoAway { last: Some(id(1)), code: ErrorCode::NoError }]);
    assert_eq!(end.codec.can_open(), Err(CannotOpen::Ending));
    assert!(!end.codec.is_drained());
    end.feed(&frame(HEADERS, END, 1, OK));
    assert!(end.codec.is_drained());
}

/// A server that shuts down says so twice, and what was sent meanwhile is served (§6.8).
#[test]
fn should_shut_down_in_two_steps() {
    let mut end = End::server();
    end.feed(&get(1));
    end.codec.shut_down(0);
    let frames = end.sent();
    assert_eq!(frames[0].1, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(end.feed(&get(3)), [Event::Head { stream: id(3), end: true }]);
    assert_eq!(frames.len(), 1, "no PING follows: to some clients, the connection is over with a GOAWAY");
    end.now = end.codec.deadline().expect("the second GOAWAY is due");
    assert_eq!(end.codec.handle_timeout(end.now), None);
    assert_eq!(end.sent()[0].1, [0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(end.feed(&[get(5), frame(DATA, END_STREAM, 7, b"")].concat()[..15]), []);
    for stream in [1, 3] {
        end.codec.send_head(id(stream), [(&b":status"[..], &b"204"[..])], true).unwrap();
    }
    assert!(end.codec.is_drained());
    end.assert_open();
}

/// With nothing in flight, one GOAWAY is all (§6.8): whatever meets it was not processed, which it says.
#[test]
fn should_shut_down_in_one_step_when_nothing_is_in_flight() {
    let mut end = End::server();
    end.feed(&get(1));
    end.codec.send_head(id(1), [(&b":status"[..], &b"204"[..])], true).unwrap();
    end.sent();
    end.codec.shut_down(0);
    let frames = end.sent();
    assert_eq!(
        frames.iter().map(|(_, payload)| &payload[..]).collect::<Vec<_>>(),
        [[0, 0, 0, 1, 0, 0, 0, 0]]
    );
    assert!(end.codec.is_drained());
    assert_eq!(end.feed(&get(3)), []);
    assert_eq!(end.sent(), []);

    // The second GOAWAY follows the last stream at once, behind the end of its response.
    let mut end = End::server();
    end.feed(&get(1));
    end.codec.shut_down(0);
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).unwrap();
    end.codec.send_content(id(1), b"end", true, 0).unwrap();
    assert_eq!(end.codec.deadline(), Some(0));
    let kinds: Vec<_> = end.sent().iter().map(|(header, _)| header.kind).collect();
    assert_eq!(kinds, [FrameKind::GoAway, FrameKind::Headers, FrameKind::Content, FrameKind::GoAway]);
    assert!(end.codec.is_drained());
    // So it does when nothing is said to its end.
    let mut end = End::server();
    end.feed(&get(1));
    end.codec.shut_down(0);
    end.sent();
    end.feed(&rst_stream(1));
    assert_eq!(end.codec.deadline(), Some(0));
    assert_eq!(end.codec.handle_timeout(0), None);
    assert_eq!(end.sent()[0].1, [0, 0, 0, 1, 0, 0, 0, 0]);
}

/// "An endpoint that encounters a connection error SHOULD first send a GOAWAY frame... After sending the GOAWAY frame
/// for an error condition, the endpoint MUST close the TCP connection." (§5.4.1)
#[test]
fn must_send_nothing_behind_a_fatal_goaway() {
    let mut end = End::server();
    let upload = [post(1, &[]), frame(DATA, 0, 1, &[0; 16_000]).repeat(4), get(3)].concat();
    end.feed(&upload);
    end.codec.send_head(id(3), [(&b":status"[..], &b"200"[..])], false).unwrap();
    end.fails(&frame(SETTINGS, 0, 1, b""), ErrorCode::ProtocolError);
    end.codec.release(id(1), 64_000);
    end.codec.release(id(5), 500_000);
    assert!(end.codec.send_interim(id(1), [(&b":status"[..], &b"103"[..])]).is_err());
    assert!(end.codec.send_content(id(3), b"late", true, 0).is_err());
    end.codec.reset(id(1), ErrorCode::NoError);
    end.codec.reset(id(3), ErrorCode::InternalError);
    end.codec.settled();
    end.codec.ping(b"too late");
    end.codec.shut_down(0);
    end.codec.close(ErrorCode::NoError);
    while end.codec.handle_timeout(1 << 40).is_some() {}
    end.feed(&frame(PING, 0, 0, &[0; 8]));
    assert_eq!(end.sent(), []);
}

/// "Receivers of a PING frame that does not include an ACK flag MUST send a PING frame with the ACK flag set in
/// response, with an identical frame payload. An endpoint MUST NOT respond to PING frames containing this
/// flag." (§6.7)
#[test]
fn must_answer_pings() {
    let mut end = End::server();
    end.assert_open();
    assert_eq!(end.feed(&frame(PING, ACK, 0, b"12345678")), [Event::Pong(*b"12345678")]);
    assert!(end.sent().is_empty());
}

/// A frame is never larger than the peer's SETTINGS_MAX_FRAME_SIZE (§4.2), neither one that is written nor one
/// whose header alone is asked for.
#[test]
fn must_not_send_larger_frames() {
    let mut end = End::server();
    end.feed(&get(1));
    end.codec.send_head(id(1), [(&b":status"[..], &b"200"[..])], false).unwrap();
    let framed = end.codec.frame_content(id(1), 40_000, true, 0);
    assert_eq!(framed, Ok(Some(([0, 0x40, 0, 0, 0, 0, 0, 0, 1], 16_384))));
    end.feed(&setting(5, 20_000));
    let framed = end.codec.frame_content(id(1), 40_000, true, 0);
    assert_eq!(framed, Ok(Some(([0, 0x4e, 0x20, 0, 0, 0, 0, 0, 1], 20_000))));
    end.sent();
    assert_eq!(end.codec.send_content(id(1), &[0; 20_001], true, 0), Ok(20_001));
    let lengths: Vec<_> = end.sent().iter().map(|(header, _)| (header.length, header.flags)).collect();
    assert_eq!(lengths, [(20_000, 0), (1, END_STREAM)]);
    let long = "v".repeat(50_000);
    end.feed(&get(3));
    let head = [(&b":status"[..], &b"200"[..]), (b"long", long.as_bytes())];
    end.codec.send_head(id(3), head, true).unwrap();
    assert!(end.sent().iter().all(|(header, _)| header.length <= 20_000));
}
