//! One end of HTTP/2 with hand-made frames at the other: the codec alone, no socket.
#![allow(dead_code, reason = "each test target uses its own part of the kit")]

use ringway::proto::h2::connection::Cause;
use ringway::proto::h2::connection::Connection;
use ringway::proto::h2::connection::Event;
use ringway::proto::h2::fault::ErrorCode;
use ringway::proto::h2::fault::Fault;
use ringway::proto::h2::frame::FrameHeader;
use ringway::proto::h2::frame::HEADER_BYTES;
use ringway::proto::h2::frame::Kind;
use ringway::proto::h2::frame::PREFACE;
use ringway::proto::h2::settings::Local;
use ringway::proto::h2::stream::StreamId;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
/// HEADERS that are a whole message.
pub(crate) const END: u8 = END_STREAM | END_HEADERS;

/// `GET https://a/`, all out of the static table but the authority.
pub(crate) const GET: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a'];
/// `:status: 200`.
pub(crate) const OK: &[u8] = &[0x88];

pub(crate) fn id(number: u32) -> StreamId {
    StreamId::new(number).expect("no stream is 0")
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A whole request without content.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END, stream, GET)
}

/// The head of a request whose content follows.
pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x84, 0x01, 1, b'a'];
    for (name, value) in more {
        block.extend(literal(name, value));
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A field without index and Huffman code.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.bytes());
    field.push(value.len() as u8);
    field.extend(value.bytes());
    field
}

pub(crate) fn setting(identifier: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
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
        assert_eq!(header.kind, Kind::GoAway);
        assert_eq!(payload[4..8], code.to_wire().to_be_bytes(), "{fault:?}");
        *fault
    }

    /// This stream ends with this code and the connection goes on.
    pub(crate) fn resets(&mut self, bytes: &[u8], stream: u32, code: ErrorCode) {
        let events = self.feed(bytes);
        let is_reset = |event: &Event| matches!(event, Event::Reset { stream: id, cause: Cause::Fault(_) } if id.number() == stream);
        assert!(events.iter().any(is_reset), "{events:?}");
        let frames = self.sent();
        let resets: Vec<_> = frames.iter().filter(|(header, _)| header.kind == Kind::RstStream).collect();
        let [(header, payload)] = resets.as_slice() else {
            panic!("not one RST_STREAM: {frames:?}");
        };
        assert_eq!(header.stream, StreamId::new(stream));
        assert_eq!(*payload, code.to_wire().to_be_bytes());
        self.goes_on();
    }

    /// The connection is alive.
    pub(crate) fn goes_on(&mut self) {
        assert_eq!(self.feed(&frame(PING, 0, 0, b"alive???")), []);
        let frames = self.sent();
        let (header, payload) = frames.last().expect("the PING is answered");
        assert_eq!((header.kind, header.flags, &payload[..]), (Kind::Ping, ACK, &b"alive???"[..]));
    }
}
