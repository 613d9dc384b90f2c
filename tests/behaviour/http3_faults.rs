//! Clients that break the rules of HTTP/3: what they are told, and what the log says.

use crate::support::h3_frames::{
    CANCEL_PUSH, CONTROL, DATA, GOAWAY, H3_CLOSED_CRITICAL_STREAM, H3_EXCESSIVE_LOAD, H3_FRAME_ERROR,
    H3_FRAME_UNEXPECTED, H3_ID_ERROR, H3_MISSING_SETTINGS, H3_REQUEST_INCOMPLETE, H3_SETTINGS_ERROR,
    H3_STREAM_CREATION_ERROR, HEADERS, MAX_PUSH_ID, PUSH, PUSH_PROMISE, QPACK_DECODER,
    QPACK_DECODER_STREAM_ERROR, QPACK_DECOMPRESSION_FAILED, QPACK_ENCODER, QPACK_ENCODER_STREAM_ERROR,
    RESERVED_FRAMES, SETTINGS, frame, settings, varint,
};
use crate::support::{Backend, Closed, Http3, Scenario, encode_section, eventually, log_entries, log_lines};
use std::io;

/// Does what is forbidden. What it sends behind that may not be taken any more.
type Break = fn(&mut Http3) -> io::Result<()>;

/// Connections that break a rule, each with one line in the log, and one beside them that goes on.
fn check(cases: &[(&str, u64, &str, Break)]) {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().logged("json").start();
    let mut other = Http3::connect(ringway.address());
    for (what, code, _, break_it) in cases {
        let mut client = Http3::bare(ringway.address());
        let _ = break_it(&mut client);
        let closed = client.quic.closed();
        let Closed::Application { code: told, .. } = closed else { panic!("{what}: {closed:?}") };
        assert_eq!(told, *code, "{what}: {told:#x} in place of {code:#x}");
        assert_eq!(other.get("/other").status, 200, "{what}");
    }
    // The last line that there is.
    other.get("/last");
    eventually("all is told", || log_lines(&ringway, 1).iter().any(|line| line.contains("/last")));
    let entries = log_entries(&ringway, 1);
    let faults = entries.iter().filter(|entry| entry["status"] != 200);
    let told: Vec<_> = faults.map(|entry| entry["reason"].as_str().unwrap_or_default()).collect();
    let expected: Vec<_> = cases.iter().map(|(_, _, reason, _)| *reason).collect();
    assert_eq!(told, expected);
}

fn open_with(client: &mut Http3, kind: u64, bytes: &[u8]) -> io::Result<u64> {
    let stream = client.open_unidirectional(kind)?;
    client.send(stream, bytes)?;
    Ok(stream)
}

/// On a control stream that has begun as it must.
fn control(client: &mut Http3, bytes: &[u8]) -> io::Result<()> {
    open_with(client, CONTROL, &[settings(&[]), bytes.to_vec()].concat()).map(drop)
}

fn begin(client: &mut Http3, bytes: &[u8], ends: bool) -> io::Result<()> {
    control(client, b"")?;
    let stream = client.next_id();
    client.send(stream, bytes)?;
    if ends { client.finish(stream) } else { Ok(()) }
}

fn get() -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "test.example"), (":path", "/x")];
    frame(HEADERS, &encode_section(&fields))
}

#[test]
fn faults_on_the_control_stream_end_the_connection() {
    check(&[
        ("no SETTINGS", H3_MISSING_SETTINGS, "h3_missing_settings", |client| {
            open_with(client, CONTROL, &frame(GOAWAY, &[0])).map(drop)
        }),
        ("SETTINGS twice", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| {
            control(client, &settings(&[]))
        }),
        ("a setting twice", H3_SETTINGS_ERROR, "h3_setting", |client| {
            open_with(client, CONTROL, &settings(&[(6, 1), (6, 1)])).map(drop)
        }),
        ("a setting of HTTP/2", H3_SETTINGS_ERROR, "h3_setting", |client| {
            open_with(client, CONTROL, &settings(&[(3, 100)])).map(drop)
        }),
        ("SETTINGS that are cut off", H3_FRAME_ERROR, "h3_frame_length", |client| {
            open_with(client, CONTROL, &frame(SETTINGS, &[6])).map(drop)
        }),
        ("DATA", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| control(client, &frame(DATA, b"x"))),
        ("HEADERS", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| control(client, &get())),
        ("a frame of HTTP/2", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| {
            control(client, &frame(RESERVED_FRAMES[1], &[0; 8]))
        }),
        ("PUSH_PROMISE", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| {
            control(client, &frame(PUSH_PROMISE, &[0, 0, 0]))
        }),
        ("a push that was never promised", H3_ID_ERROR, "h3_id", |client| {
            control(client, &frame(CANCEL_PUSH, &varint(7)))
        }),
        ("MAX_PUSH_ID that shrinks", H3_ID_ERROR, "h3_id", |client| {
            control(client, &[frame(MAX_PUSH_ID, &varint(70)), frame(MAX_PUSH_ID, &varint(69))].concat())
        }),
        ("GOAWAY that grows", H3_ID_ERROR, "h3_id", |client| {
            control(client, &[frame(GOAWAY, &varint(1)), frame(GOAWAY, &varint(2))].concat())
        }),
        ("GOAWAY that is too long", H3_FRAME_ERROR, "h3_frame_length", |client| {
            control(client, &frame(GOAWAY, &[0, 0]))
        }),
        ("SETTINGS without end", H3_EXCESSIVE_LOAD, "h3_long_frame", |client| {
            open_with(client, CONTROL, &[varint(SETTINGS), varint(1 << 20)].concat()).map(drop)
        }),
    ]);
}

#[test]
fn faults_of_unidirectional_streams_end_the_connection() {
    check(&[
        ("two control streams", H3_STREAM_CREATION_ERROR, "h3_second_stream", |client| {
            control(client, b"")?;
            control(client, b"")
        }),
        ("two streams of an encoder", H3_STREAM_CREATION_ERROR, "h3_second_stream", |client| {
            open_with(client, QPACK_ENCODER, b"")?;
            open_with(client, QPACK_ENCODER, b"").map(drop)
        }),
        ("a push", H3_STREAM_CREATION_ERROR, "h3_push_stream", |client| {
            open_with(client, PUSH, &[0]).map(drop)
        }),
        ("a control stream that ends", H3_CLOSED_CRITICAL_STREAM, "h3_critical_stream_closed", |client| {
            let stream = open_with(client, CONTROL, &settings(&[]))?;
            client.finish(stream)
        }),
        ("a decoder that is reset", H3_CLOSED_CRITICAL_STREAM, "h3_critical_stream_closed", |client| {
            let stream = open_with(client, QPACK_DECODER, b"")?;
            // Of a stream that is reset before its type came, nothing is known.
            client.receive_within(std::time::Duration::from_millis(100))?;
            client.reset(stream, 0x100)
        }),
        ("an entry for no table", QPACK_ENCODER_STREAM_ERROR, "h3_qpack_encoder", |client| {
            open_with(client, QPACK_ENCODER, b"\x41a\x01b").map(drop)
        }),
        ("a capacity that was not allowed", QPACK_ENCODER_STREAM_ERROR, "h3_qpack_encoder", |client| {
            open_with(client, QPACK_ENCODER, &[0x3f, 0x01]).map(drop)
        }),
        ("an acknowledgement of nothing", QPACK_DECODER_STREAM_ERROR, "h3_qpack_decoder", |client| {
            open_with(client, QPACK_DECODER, &[0x80]).map(drop)
        }),
        ("an increment of nothing", QPACK_DECODER_STREAM_ERROR, "h3_qpack_decoder", |client| {
            open_with(client, QPACK_DECODER, &[0x01]).map(drop)
        }),
    ]);
}

#[test]
fn faults_of_frames_on_a_stream_of_a_request_end_the_connection() {
    check(&[
        ("DATA at first", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| {
            begin(client, &frame(DATA, b"x"), false)
        }),
        ("SETTINGS", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| {
            begin(client, &settings(&[]), false)
        }),
        ("PUSH_PROMISE", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| {
            begin(client, &frame(PUSH_PROMISE, &[0, 0, 0]), false)
        }),
        ("a frame of HTTP/2", H3_FRAME_UNEXPECTED, "h3_unexpected_frame", |client| {
            begin(client, &frame(RESERVED_FRAMES[3], b""), false)
        }),
        ("a reference to no table", QPACK_DECOMPRESSION_FAILED, "h3_qpack", |client| {
            begin(client, &frame(HEADERS, &[2, 0, 0x80]), true)
        }),
        ("an index behind the static table", QPACK_DECOMPRESSION_FAILED, "h3_qpack", |client| {
            begin(client, &frame(HEADERS, &[0, 0, 0xff, 0x24]), true)
        }),
        ("a head that is cut off", H3_FRAME_ERROR, "h3_frame_length", |client| {
            begin(client, &[1, 40, 0, 0], true)
        }),
    ]);
}

/// A stream that ends without a request is no fault of the others (RFC 9114 §4.1).
#[test]
fn a_stream_without_a_request_ends_alone() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).http3().logged("json").start();
    let mut client = Http3::connect(ringway.address());
    for bytes in [Vec::new(), frame(0x21, b"grease")] {
        let stream = client.next_id();
        client.send(stream, &bytes).expect("it is taken");
        client.finish(stream).expect("it can be");
        assert!(client.message(stream).is_err());
        assert_eq!(client.stream(stream).reset, Some(H3_REQUEST_INCOMPLETE));
    }
    assert_eq!(client.get("/").status, 200);
    let entries = log_entries(&ringway, 3);
    assert!(entries[..2].iter().all(|entry| entry["reason"] == "h3_request_incomplete"), "{entries:?}");
}
