//! Promises of the codec, for fuzzing and tests.

use std::fmt::Debug;

use crate::http::headers::Headers;
use crate::proto::fields::fuzz::check_field;
use crate::proto::fields::fuzz::check_request;
use crate::proto::h3::connection::Connection;
use crate::proto::h3::event::RequestEvent;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::frame_reader::Received;
use crate::proto::h3::request::RequestReader;
use crate::proto::h3::settings::Local;
use crate::proto::h3::unidirectional::UnidirectionalReader;

/// Whatever a client sends on a stream, in pieces of any size: the same happens, in bounded memory, and every head that
/// comes out can be written as HTTP/1.1. The first byte chooses the direction of the stream and the size of the pieces.
pub fn fuzz_h3(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else {
        return;
    };
    let is_request = seed & 1 != 0;
    let whole = run(is_request, bytes, usize::MAX);
    for piece in [1, 2 + usize::from(seed >> 1), 1 + bytes.len() / 2] {
        assert_eq!(run(is_request, bytes, piece), whole, "in pieces of {piece}");
    }
}

/// What happened on a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    /// In words; all content between two others is one.
    events: Vec<String>,
    content: Vec<u8>,
    /// Of the bytes, or of the end behind them.
    fault: Option<Fault>,
}

/// One field section and its fields, or one control frame.
const MAX_MEMORY: usize = 256 * 1024;

fn run(is_request: bool, bytes: &[u8], piece: usize) -> Story {
    let mut connection = Connection::new(Local { connect_protocol: true, ..Local::default() });
    let mut story = Story::default();
    let outcome = if is_request {
        let mut reader = RequestReader::new();
        let mut take = |input: &[u8], story: &mut Story| {
            let received = reader.handle_bytes(input, &mut connection, 0)?;
            assert!(reader.capacity() + connection.capacity() < MAX_MEMORY);
            story.take_request_event(received.event.as_ref(), input, &connection);
            Ok(received.map_event())
        };
        let outcome = bytes.chunks(piece.max(1)).try_for_each(|piece| in_full(piece, &mut story, &mut take));
        outcome.and_then(|()| reader.handle_end())
    } else {
        let mut reader = UnidirectionalReader::new();
        let mut take = |input: &[u8], story: &mut Story| {
            let received = reader.handle_bytes(input, &mut connection, 0)?;
            assert!(reader.capacity() + connection.capacity() < MAX_MEMORY);
            if let Some(event) = &received.event {
                story.note(event);
            }
            Ok(received.map_event())
        };
        let outcome = bytes.chunks(piece.max(1)).try_for_each(|piece| in_full(piece, &mut story, &mut take));
        story.note(&connection.peer());
        outcome.and_then(|()| reader.handle_end())
    };
    story.fault = outcome.err();
    story
}

/// Hands a piece in until nothing of it is left.
fn in_full(
    piece: &[u8],
    story: &mut Story,
    take: &mut impl FnMut(&[u8], &mut Story) -> Result<Received<()>, Fault>,
) -> Result<(), Fault> {
    let mut rest = piece;
    loop {
        let received = take(rest, story)?;
        let (_, left) = rest.split_at_checked(received.consumed).expect("no more is taken than there is");
        rest = left;
        if received.event.is_none() {
            assert!(rest.is_empty(), "without an event, all is taken");
            return Ok(());
        }
    }
}

impl<Event> Received<Event> {
    fn map_event(self) -> Received<()> {
        Received { consumed: self.consumed, event: self.event.map(|_| ()) }
    }
}

impl Story {
    fn note(&mut self, event: &impl Debug) {
        self.events.push(format!("{event:?}"));
    }

    fn take_request_event(&mut self, event: Option<&RequestEvent>, input: &[u8], connection: &Connection) {
        match event {
            None => return,
            Some(RequestEvent::Content(range)) => {
                let content = input.get(range.clone()).expect("content lies in what was handled");
                assert!(!content.is_empty());
                self.content.extend_from_slice(content);
                if self.events.last().is_some_and(|last| last == "content") {
                    return;
                }
                return self.events.push("content".to_owned());
            }
            Some(RequestEvent::Head) => {
                let mut headers = Headers::new();
                check_request(&connection.request(&mut headers));
            }
            Some(RequestEvent::Trailers) => connection.fields().iter().for_each(|field| check_field(&field)),
            Some(RequestEvent::HeadTooLarge) => {}
        }
        let fields = connection.fields().iter().map(|field| (field.name.to_vec(), field.value.to_vec()));
        self.note(&(event, connection.section_bytes(), fields.collect::<Vec<_>>()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::integer;
    use crate::proto::h3::frame::write_head;
    use crate::proto::h3::limits::MIN_SECTION_BYTES;

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_head(&mut out, kind, payload.len() as u64);
        out.extend_from_slice(payload);
        out
    }

    /// POST https://a/ with `te: trailers` and 4 bytes of content.
    const POST: &[u8] = b"\0\0\xd4\xd7\xc1\x50\x01a\x54\x014\x22te\x08trailers";
    /// CONNECT with `:protocol: websocket`.
    const CONNECT: &[u8] = b"\0\0\xcf\xd7\xc1\x50\x01a\x27\x02:protocol\x09websocket";
    const TRAILERS: &[u8] = b"\0\0\x21t\x01u";

    /// Streams that are each in order, behind what chooses them, and how many events they have.
    fn seeds() -> Vec<(Vec<u8>, usize)> {
        let request = [
            vec![7],
            frame(0x21, b"grease"),
            frame(0x1, POST),
            frame(0x0, b"ab"),
            frame(0x0, b""),
            frame(0xf3, b""),
            frame(0x0, b"cd"),
            frame(0x1, TRAILERS),
            frame(0x40, b"more"),
        ];
        let connect = [vec![9], frame(0x1, CONNECT), frame(0x0, b"tunnel"), frame(0x21, b"")];
        let control = [
            vec![6, 0],
            frame(0x4, &[1, 0x40, 0, 6, 0x80, 1, 0, 0, 7, 16, 0x33, 1, 0x40, 0x21, 5]),
            frame(0xd, &[8]),
            frame(0xf_0700, b"\x04u=1, i"),
            frame(0x21, b"grease"),
            frame(0xd, &[0x40, 9]),
            frame(0x7, &[3]),
            frame(0x7, &[0]),
        ];
        let unknown = vec![4, 0x40, 0x54, b'w', b't'];
        let encoder = vec![4, 2, 0x20, 0x20];
        let decoder = vec![4, 3, 0x44, 0x7f, 0x81, 0x01, 0x48];
        vec![
            (request.concat(), 3),
            (connect.concat(), 2),
            // With the settings, which the story ends with.
            (control.concat(), 5),
            (unknown, 2),
            (encoder, 1),
            (decoder, 1),
        ]
    }

    fn story(seed: &[u8], piece: usize) -> Story {
        let (first, bytes) = seed.split_at(1);
        run(first.iter().any(|first| first & 1 != 0), bytes, piece)
    }

    #[test]
    fn the_seeds_go_well() {
        for (seed, events) in seeds() {
            let story = story(&seed, 5);
            assert!(matches!(story.fault, None | Some(Fault::CriticalStreamClosed)), "{story:?}");
            assert_eq!(story.events.len(), events, "{story:?}");
        }
    }

    #[test]
    fn cuts_at_every_byte() {
        for (seed, _) in seeds() {
            let whole = story(&seed, usize::MAX);
            for piece in 1..seed.len() {
                assert_eq!(story(&seed, piece), whole, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn mutated_streams() {
        for (seed, _) in seeds() {
            for at in 0..seed.len() {
                let (before, after) = seed.split_at(at);
                fuzz_h3(before);
                fuzz_h3(&[before, after.split_at(1).1].concat());
                for byte in [0, 1, 2, 4, 5, 7, 0xd, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, b'A', b'\n'] {
                    fuzz_h3(&[before, &[byte], after.split_at(1).1].concat());
                    fuzz_h3(&[before, &[byte], after].concat());
                }
            }
        }
    }

    #[test]
    fn long_sections_are_passed_over_from_the_limit_on() {
        for length in [MIN_SECTION_BYTES - 1, MIN_SECTION_BYTES, MIN_SECTION_BYTES + 1, 3 * MIN_SECTION_BYTES]
        {
            // A literal whose value takes the rest, behind the three bytes of its length.
            let mut section = [POST, b"\x21x"].concat();
            let value = length - section.len() - 3;
            integer::encode(&mut section, 0, 7, value);
            section.resize(section.len() + value, b'v');
            let bytes = [frame(0x1, &section), frame(0x0, b"abcd")].concat();
            let whole = run(true, &bytes, usize::MAX);
            for piece in [1, 1000, MIN_SECTION_BYTES, MIN_SECTION_BYTES + 20] {
                assert_eq!(run(true, &bytes, piece), whole, "{length} in pieces of {piece}");
            }
        }
    }
}
