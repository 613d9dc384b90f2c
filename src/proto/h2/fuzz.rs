//! Promises of the codec, for fuzzing and tests.

use crate::http::headers::Headers;
use crate::proto::fields::fuzz::check_field;
use crate::proto::fields::fuzz::check_request;
use crate::proto::h2::connection::Connection;
use crate::proto::h2::connection::Event;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::HEADER_BYTES;
use crate::proto::h2::frame::PREFACE;
use crate::proto::h2::settings::Local;
use crate::proto::h2::stream::StreamId;

/// Whatever a peer sends, in pieces of any size: the same happens, in bounded memory; every head that comes
/// out can be written as HTTP/1.1, and what goes out are frames. The first byte chooses the role and the
/// size of the pieces.
pub fn fuzz_h2(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else {
        return;
    };
    let is_client = seed & 1 != 0;
    let whole = run(is_client, bytes, usize::MAX);
    for piece in [1, 2 + usize::from(seed >> 1), 1 + bytes.len() / 2] {
        assert_eq!(run(is_client, bytes, piece), whole, "in pieces of {piece}");
    }
}

/// What happened and what was sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    is_client: bool,
    events: Vec<Event>,
    /// In the place of the events of content: of which stream, whether it was the last, and all of it.
    content: Vec<(StreamId, bool, Vec<u8>)>,
    output: Vec<u8>,
}

fn run(is_client: bool, bytes: &[u8], piece: usize) -> Story {
    let local = Local { connect_protocol: true, max_concurrent_streams: 3, ..Local::default() };
    let mut story = Story { is_client, ..Story::default() };
    let mut codec = if is_client { Connection::client(local) } else { Connection::server(local) };
    if is_client {
        let fields: [(&[u8], &[u8]); 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")];
        assert!(codec.open(fields, true).is_ok() && codec.open(fields, false).is_ok());
    } else {
        assert_eq!(codec.handle_bytes(PREFACE, 0).consumed, PREFACE.len());
    }
    let mut input = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        input.extend_from_slice(piece);
        loop {
            let received = codec.handle_bytes(&input, 0);
            if let Some(event) = received.event.clone() {
                story.take(event, &codec, &input);
            }
            input.drain(..received.consumed);
            codec.poll_output(&mut story.output);
            assert!(codec.capacity() < MAX_MEMORY, "{}", codec.capacity());
            if received.event.is_none() {
                break;
            }
        }
    }
    check_frames(story.output.strip_prefix(PREFACE).unwrap_or(&story.output));
    story
}

/// The tables, a header block in pieces and its fields, and what three streams and the past take.
const MAX_MEMORY: usize = 256 * 1024;

impl Story {
    fn take(&mut self, event: Event, codec: &Connection, input: &[u8]) {
        match event {
            Event::Content { stream, content, end } => {
                let content = input.get(content).expect("content lies in what was handled");
                match self.content.last_mut() {
                    Some((last, false, so_far)) if *last == stream => so_far.extend_from_slice(content),
                    _ => self.content.push((stream, false, content.to_vec())),
                }
                if let Some((_, is_end, _)) = self.content.last_mut() {
                    *is_end = end;
                }
                return;
            }
            Event::Head { stream, .. } => check_head(codec, stream, self.is_client),
            Event::Interim { .. } => {
                let mut headers = Headers::new();
                assert!((100..200).contains(&codec.response(&mut headers).status));
            }
            Event::Trailers { .. } => {
                codec.fields().iter().for_each(|field| check_field(&field));
            }
            _ => {}
        }
        self.events.push(event);
    }
}

/// What a head says fits on the lines of an HTTP/1.1 head.
fn check_head(codec: &Connection, stream: StreamId, is_client: bool) {
    let mut headers = Headers::new();
    if is_client {
        assert!((200..1000).contains(&codec.response(&mut headers).status), "{stream:?}");
        headers.iter().for_each(check_field);
    } else {
        check_request(&codec.request(&mut headers));
    }
}

fn check_frames(mut rest: &[u8]) {
    while !rest.is_empty() {
        let header = FrameHeader::parse(rest).expect("whole frames are sent");
        assert!(header.kind != FrameKind::Unknown && header.kind != FrameKind::PushPromise);
        rest = rest.get(HEADER_BYTES + header.length as usize..).expect("whole frames are sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream][..], payload].concat()
    }

    /// Conversations whose frames are each in order.
    fn seeds() -> [Vec<u8>; 2] {
        const POST: &[u8] = &[0x83, 0x87, 0x84, 0x01, 1, b'a', 0x40, 1, b'b', 1, b'c'];
        let server = [
            vec![6],
            frame(4, 0, 0, &[0, 4, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9]),
            frame(1, 4, 1, POST),
            frame(0, 8, 1, &[1, b'x', b'y', 0]),
            frame(1, 1, 3, &[0x82]),
            frame(9, 4, 3, &[0x87, 0x84, 0x01, 1, b'a', 0xbe]),
            frame(8, 0, 1, &[0, 0, 1, 0]),
            frame(2, 0, 5, &[0, 0, 0, 1, 9]),
            frame(1, 5, 1, &[0, 1, b't', 1, b'u']),
            frame(3, 0, 3, &[0, 0, 0, 8]),
            frame(6, 0, 0, b"12345678"),
            frame(0xbe, 3, 7, b"?"),
            frame(7, 0, 0, &[0; 8]),
        ];
        let client = [
            vec![9],
            frame(4, 0, 0, b""),
            frame(4, 1, 0, b""),
            frame(1, 4, 1, &[0x08, 3, b'1', b'0', b'3']),
            frame(1, 4, 1, &[0x88, 0x0f, 0x0d, 1, b'2']),
            frame(0, 1, 1, b"xy"),
            frame(1, 5, 3, &[0x89]),
            frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
        ];
        [server.concat(), client.concat()]
    }

    #[test]
    fn the_seeds_go_well() {
        let [server, client] = seeds();
        let story = run(false, server.split_at(1).1, 7);
        assert_eq!((story.events.len(), story.content.len()), (6, 1), "{story:?}");
        let story = run(true, client.split_at(1).1, 7);
        assert_eq!((story.events.len(), story.content.len()), (5, 1), "{story:?}");
    }

    #[test]
    fn cuts_at_every_byte() {
        for (is_client, seed) in [false, true].into_iter().zip(seeds()) {
            let (_, bytes) = seed.split_at(1);
            let whole = run(is_client, bytes, usize::MAX);
            for piece in 1..bytes.len() {
                assert_eq!(run(is_client, bytes, piece), whole, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn mutated_conversations() {
        for seed in seeds() {
            for at in 0..seed.len() {
                let (before, after) = seed.split_at(at);
                fuzz_h2(before);
                fuzz_h2(&[before, after.split_at(1).1].concat());
                for byte in [0, 1, 2, 4, 5, 8, 9, 0x20, 0x40, 0x7f, 0x80, 0xff, b'A', b'\n'] {
                    fuzz_h2(&[before, &[byte], after.split_at(1).1].concat());
                    fuzz_h2(&[before, &[byte], after].concat());
                }
            }
        }
    }
}
