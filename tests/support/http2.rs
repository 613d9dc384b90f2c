//! One end of HTTP/2 with hand-made frames at the other: the codec alone, no socket.
#![allow(dead_code, reason = "each test target uses its own part of the kit")]
#![allow(unused_imports, reason = "each test target uses its own part of the kit")]

pub(crate) use crate::support::frames::{
    ACK, CONTINUATION, DATA, END, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, OK, PADDED, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, literal, post, rst_stream, setting,
    window_update,
};

use ringway::proto::h2::connection::Cause;
use ringway::proto::h2::connection::Connection;
use ringway::proto::h2::connection::Event;
use ringway::proto::h2::fault::ErrorCode;
use ringway::proto::h2::fault::Fault;
use ringway::proto::h2::frame::FrameHeader;
use ringway::proto::h2::frame::FrameKind;
use ringway::proto::h2::frame::HEADER_BYTES;
use ringway::proto::h2::frame::PREFACE;
use ringway::proto::h2::settings::Local;
use ringway::proto::h2::stream::StreamId;

pub(crate) fn id(number: u32) -> StreamId {
    StreamId::new(number).expect("no stream is 0")
}

/// The codec, at a time that stands still unless a test moves it.
pub(crate) struct End {
    pub(crate) codec: Connection,
    pub(crate) now: u64,
}

impl End {
    /// A server that has seen the client's settings.
    pub(crate) fn server() -> End {
        End::server_with(Local::default())
    }

    pub(crate) fn server_with(local: Local) -> End {
        let mut end = End { codec: Connection::server(local), now: 0 };
        end.feed(&[&PREFACE[..], &frame(SETTINGS, 0, 0, b""), &frame(SETTINGS, ACK, 0, b"")].concat());
        end.sent();
        end
    }

    /// A client that has seen the server's settings.
    pub(crate) fn client() -> End {
        let mut end = End { codec: Connection::client(Local::default()), now: 0 };
        end.feed(&[frame(SETTINGS, 0, 0, b""), frame(SETTINGS, ACK, 0, b"")].concat());
        end.sent();
        end
    }

    /// A client that has asked for `/` with this method.
    pub(crate) fn asking(method: &'static str) -> End {
        let mut end = End::client();
        let fields: [(&[u8], &[u8]); 4] = [
            (b":method", method.as_bytes()),
            (b":scheme", b"https"),
            (b":path", b"/"),
            (b":authority", b"a"),
        ];
        assert_eq!(end.codec.open(fields, true), Ok(id(1)));
        end.sent();
        end
    }

    /// All events of these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        let (mut rest, mut events) = (bytes, Vec::new());
        loop {
            let received = self.codec.handle_bytes(rest, self.now);
            rest = &rest[received.consumed..];
            match received.event {
                Some(event) => events.push(event),
                None => return events,
            }
        }
    }

    /// The frames that are to be sent.
    pub(crate) fn sent(&mut self) -> Vec<(FrameHeader, Vec<u8>)> {
        let mut out = Vec::new();
        self.codec.poll_output(&mut out);
        let mut rest = out.strip_prefix(&PREFACE[..]).unwrap_or(&out);
        let mut frames = Vec::new();
        while let Some(header) = FrameHeader::parse(rest) {
            let (frame, after) = rest.split_at(HEADER_BYTES + header.length as usize);
            frames.push((header, frame[HEADER_BYTES..].to_vec()));
            rest = after;
        }
        assert!(rest.is_empty());
        frames
    }

    /// The connection ends with this code, and the fault that says why.
    pub(crate) fn fails(&mut self, bytes: &[u8], code: ErrorCode) -> Fault {
        let events = self.feed(bytes);
        let Some(Event::Failed(fault)) = events.last() else {
            panic!("no failure: {events:?}");
        };
        let frames = self.sent();
        let (header, payload) = frames.last().expect("GOAWAY is sent");
        assert_eq!(header.kind, FrameKind::GoAway);
        assert_eq!(payload[4..8], code.to_wire().to_be_bytes(), "{fault:?}");
        *fault
    }

    /// This stream ends with this code and the connection goes on.
    pub(crate) fn resets(&mut self, bytes: &[u8], stream: u32, code: ErrorCode) {
        let events = self.feed(bytes);
        let is_reset = |event: &Event| matches!(event, Event::Reset { stream: id, cause: Cause::Fault(_) } if id.number() == stream);
        assert!(events.iter().any(is_reset), "{events:?}");
        let frames = self.sent();
        let resets: Vec<_> =
            frames.iter().filter(|(header, _)| header.kind == FrameKind::RstStream).collect();
        let [(header, payload)] = resets.as_slice() else {
            panic!("not one RST_STREAM: {frames:?}");
        };
        assert_eq!(header.stream, StreamId::new(stream));
        assert_eq!(*payload, code.to_wire().to_be_bytes());
        self.assert_open();
    }

    /// The connection is alive.
    pub(crate) fn assert_open(&mut self) {
        assert_eq!(self.feed(&frame(PING, 0, 0, b"alive???")), []);
        let frames = self.sent();
        let (header, payload) = frames.last().expect("the PING is answered");
        assert_eq!((header.kind, header.flags, &payload[..]), (FrameKind::Ping, ACK, &b"alive???"[..]));
    }
}
