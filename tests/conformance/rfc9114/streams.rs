//! §6: streams, and how a connection ends (§5).

use ringway::proto::h3::connection::Connection;
use ringway::proto::h3::connection::LAST_REQUEST_STREAM;
use ringway::proto::h3::event::UnidirectionalEvent;
use ringway::proto::h3::fault::ErrorCode;
use ringway::proto::h3::fault::Fault;
use ringway::proto::h3::settings::Local;
use ringway::proto::h3::settings::Peer;
use ringway::proto::h3::unidirectional::UnidirectionalReader;

use super::*;

/// "Each side MUST initiate a single control stream at the beginning of the connection and send its SETTINGS frame as the
/// first frame on this stream." (§6.2.1)
#[test]
fn must_begin_with_settings() {
    let mut out = Vec::new();
    Connection::new(Local::default()).write_control_stream(&mut out);
    // No dynamic table, 16,384 bytes of a field section, no blocked streams; and no extended CONNECT unless it is served.
    assert_eq!(out, [0, 4, 9, 1, 0, 6, 0x80, 0, 0x40, 0, 7, 0]);
}

/// "If the first frame of the control stream is any other frame type, this MUST be treated as a connection error of type
/// H3_MISSING_SETTINGS." (§6.2.1)
#[test]
fn must_refuse_another_first_frame() {
    for first in [frame(GOAWAY, &[0]), frame(GREASE, b""), frame(DATA, b"a")] {
        assert_eq!(control(&[first, frame(SETTINGS, b"")]), Err(Fault::MissingSettings));
    }
    assert_eq!(Fault::MissingSettings.code(), ErrorCode::MissingSettings);
}

/// "Only one control stream per peer is permitted; receipt of a second stream claiming to be a control stream MUST be treated
/// as a connection error of type H3_STREAM_CREATION_ERROR" (§6.2.1), and so of those of QPACK (RFC 9204 §4.2).
#[test]
fn must_refuse_second_streams() {
    for kind in [0x0, 0x2, 0x3] {
        let mut streams = Streams::new();
        assert!(streams.open(kind, b"").is_ok());
        assert_eq!(streams.open(kind, b"").err(), Some(Fault::SecondStream), "{kind}");
    }
    assert_eq!(Fault::SecondStream.code(), ErrorCode::StreamCreationError);
}

/// "If either control stream is closed at any point, this MUST be treated as a connection error of type
/// H3_CLOSED_CRITICAL_STREAM." (§6.2.1) Others may end, even before their type is known (§6.2).
#[test]
fn must_keep_critical_streams_open() {
    for (kind, expected) in [
        (0x0, Err(Fault::CriticalStreamClosed)),
        (0x2, Err(Fault::CriticalStreamClosed)),
        (0x3, Err(Fault::CriticalStreamClosed)),
        (GREASE, Ok(())),
    ] {
        let (_, reader) = Streams::new().open(kind, b"").unwrap();
        assert_eq!(reader.handle_end(), expected, "{kind}");
    }
    assert_eq!(UnidirectionalReader::new().handle_end(), Ok(()));
    assert_eq!(Fault::CriticalStreamClosed.code(), ErrorCode::ClosedCriticalStream);
}

/// "If a server receives a client-initiated push stream, this MUST be treated as a connection error of type
/// H3_STREAM_CREATION_ERROR." (§6.2.2)
#[test]
fn must_refuse_push_streams() {
    assert_eq!(Streams::new().open(0x1, &[0]).err(), Some(Fault::PushStream));
    assert_eq!(Fault::PushStream.code(), ErrorCode::StreamCreationError);
}

/// "Recipients of unknown stream types MUST either abort reading of the stream or discard incoming data without further
/// processing." (§6.2, §6.2.3)
#[test]
fn must_pass_over_unknown_streams() {
    for kind in [GREASE, 0x41, 0x54, (1 << 62) - 1] {
        let (events, reader) = Streams::new().open(kind, b"\x00\x04\x00 anything").unwrap();
        assert_eq!((events, reader.handle_end()), (vec![UnidirectionalEvent::UnknownStream], Ok(())));
    }
}

/// A client that opens more and more of them makes us work for nothing (§10.5).
#[test]
fn unknown_streams_have_a_budget() {
    let mut streams = Streams::new();
    let opened = (0..100_000).take_while(|_| streams.open(GREASE, b"").is_ok()).count();
    assert!((100..10_000).contains(&opened), "{opened}");
    assert_eq!(streams.open(GREASE, b"").map(|_| ()).map_err(Fault::code), Err(ErrorCode::ExcessiveLoad));
}

/// "The same setting identifier MUST NOT occur more than once"; unknown ones are ignored, those of HTTP/2 an error (§7.2.4).
#[test]
fn must_refuse_settings_of_http2() {
    let settings = |payload: &[u8]| {
        let mut streams = Streams::new();
        streams.open(0x0, &frame(SETTINGS, payload)).map(|_| streams.connection.peer().copied())
    };
    assert_eq!(settings(b""), Ok(Some(Peer { max_header_bytes: None })));
    assert_eq!(
        settings(&[0x21, 3, 6, 0x50, 0, 0x40, 0x40, 9]),
        Ok(Some(Peer { max_header_bytes: Some(4096) }))
    );
    for payload in [&[0, 0][..], &[2, 0], &[3, 1], &[4, 1], &[5, 1], &[6, 1, 6, 1], &[8, 2]] {
        assert_eq!(settings(payload).map_err(Fault::code), Err(ErrorCode::SettingsError), "{payload:?}");
    }
    assert_eq!(settings(&[6]).map_err(Fault::code), Err(ErrorCode::FrameError));
}

/// "The identifier in each frame MUST NOT be greater than the identifier in any previous frame" (§5.2), from either side.
#[test]
fn must_refuse_a_go_away_that_grows() {
    let settings = || frame(SETTINGS, b"");
    let event = UnidirectionalEvent::GoAway;
    let ends = control(&[settings(), frame(GOAWAY, &[9]), frame(GOAWAY, &[9]), frame(GOAWAY, &[0])]);
    assert_eq!(ends, Ok(vec![UnidirectionalEvent::Settings, event, event, event]));
    let grows = control(&[settings(), frame(GOAWAY, &[9]), frame(GOAWAY, &[10])]);
    assert_eq!(grows.map_err(Fault::code), Err(ErrorCode::IdError));

    let (mut connection, mut out) = (Connection::new(Local::default()), Vec::new());
    connection.write_go_away(&mut out, LAST_REQUEST_STREAM);
    assert_eq!(out, [7, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc]);
    assert!(connection.admits(400));
    out.clear();
    connection.write_go_away(&mut out, 8);
    connection.write_go_away(&mut out, 400);
    assert_eq!(out, [7, 1, 8, 7, 1, 8]);
    assert!(connection.admits(4) && !connection.admits(8) && !connection.admits(400));
}
