//! RFC 9114, HTTP/3: the codec at its frames.

mod frames;
mod messages;
mod streams;

use ringway::proto::h3::connection::Connection;
use ringway::proto::h3::event::RequestEvent;
use ringway::proto::h3::event::UnidirectionalEvent;
use ringway::proto::h3::fault::Fault;
use ringway::proto::h3::request::RequestReader;
use ringway::proto::h3::settings::Local;
use ringway::proto::h3::unidirectional::UnidirectionalReader;
use ringway::proto::h3::varint;

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const PUSH_PROMISE: u64 = 0x5;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// Reserved, to be ignored: 0x1f * N + 0x21.
const GREASE: u64 = 0x1f * 7 + 0x21;

/// GET https://a/
const GET: &[u8] = b"\0\0\xd1\xd7\xc1\x50\x01a";

fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode(&mut out, kind);
    varint::encode(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

/// Field lines without references.
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        // Every name is longer than the prefix of its length, by the bytes that a length may have.
        assert!(name.len() < 7 + 128 && value.len() < 127);
        match name.len() {
            short @ ..7 => out.push(0x20 | short as u8),
            long => out.extend([0x27, long as u8 - 7]),
        }
        out.extend_from_slice(name.as_bytes());
        out.push(value.len() as u8);
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// HEADERS of a request like [`GET`] with more fields.
fn request(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, &[GET, &literals(more)].concat())
}

/// A request stream in one piece, and its end: what happened until a fault.
fn request_stream(local: Local, bytes: &[u8]) -> (Vec<RequestEvent>, Result<(), Fault>) {
    let mut connection = Connection::new(local);
    let mut reader = RequestReader::new();
    let (mut events, mut consumed) = (Vec::new(), 0);
    loop {
        match reader.handle_bytes(&bytes[consumed..], &mut connection, 0) {
            Err(fault) => return (events, Err(fault)),
            Ok(received) => {
                let before = consumed;
                consumed += received.consumed;
                match received.event {
                    // As a range of all bytes.
                    Some(RequestEvent::Content(range)) => {
                        events.push(RequestEvent::Content(before + range.start..before + range.end));
                    }
                    Some(event) => events.push(event),
                    None => return (events, reader.handle_end()),
                }
            }
        }
    }
}

/// What is wrong with a request stream.
fn fault(bytes: &[u8]) -> Option<Fault> {
    request_stream(Local::default(), bytes).1.err()
}

/// A client's end of unidirectional streams.
struct Streams {
    connection: Connection,
}

impl Streams {
    fn new() -> Streams {
        Streams { connection: Connection::new(Local::default()) }
    }

    /// What happens on another stream of this type, cut at every byte; the reader is for its end.
    fn open(
        &mut self,
        kind: u64,
        bytes: &[u8],
    ) -> Result<(Vec<UnidirectionalEvent>, UnidirectionalReader), Fault> {
        let mut stream = Vec::new();
        varint::encode(&mut stream, kind);
        stream.extend_from_slice(bytes);
        let mut reader = UnidirectionalReader::new();
        let mut events = Vec::new();
        for byte in stream.chunks(1) {
            let mut rest = byte;
            loop {
                let received = reader.handle_bytes(rest, &mut self.connection, 0)?;
                rest = &rest[received.consumed..];
                match received.event {
                    Some(event) => events.push(event),
                    None => break,
                }
            }
        }
        Ok((events, reader))
    }
}

/// What a control stream with these frames makes happen.
fn control(frames: &[Vec<u8>]) -> Result<Vec<UnidirectionalEvent>, Fault> {
    Streams::new().open(0x0, &frames.concat()).map(|(events, _)| events)
}
