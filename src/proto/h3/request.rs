//! What a client sends on a request stream (RFC 9114 §4.1). All its transitions are here.
//!
//! ```text
//! [Phase::Head] ──HEADERS──▶ [Phase::Content] ──HEADERS (trailers)──▶ [Phase::Trailers]
//!       │                         DATA*
//!       └──HEADERS of CONNECT──▶ [Phase::Tunnel]
//!                                 DATA*
//! ```
//!
//! Frames of unknown types may stand anywhere. The stream may end, by QUIC, everywhere but in `Head`.

use crate::proto::fields::content_count::ContentCount;
use crate::proto::fields::message::Malformed;
use crate::proto::h3::connection::Connection;
use crate::proto::h3::connection::Skipped;
use crate::proto::h3::event::RequestEvent;
use crate::proto::h3::fault::Fault;
use crate::proto::h3::frame::FrameHead;
use crate::proto::h3::frame::FrameKind;
use crate::proto::h3::frame_reader::FramePart;
use crate::proto::h3::frame_reader::FrameReader;
use crate::proto::h3::frame_reader::Received;
use crate::proto::h3::limits::Limit;
use crate::proto::h3::qpack::decoder::DecodedSection;
use crate::proto::token_bucket::Millis;

/// Reads a request stream, whose bytes may be cut anywhere.
///
/// It keeps the beginning of a frame and a field section that is not complete, and no content. If the client resets the
/// stream, there is nothing to tell the reader; see [`Connection::note_early_end`].
pub struct RequestReader {
    frames: FrameReader,
    phase: Phase,
    content: ContentCount,
    /// The field section that is on its way.
    section: SectionInParts,
    skipped: Skipped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Content,
    /// Behind a CONNECT, plain or extended.
    Tunnel,
    Trailers,
}

#[derive(Default)]
struct SectionInParts {
    /// What came of it so far, up to the limit.
    bytes: Vec<u8>,
    /// The whole of it.
    length: u64,
    /// It is longer than the limit, and was told of; the rest is passed over.
    is_told: bool,
}

impl RequestReader {
    /// For a stream of which nothing was read.
    pub fn new() -> RequestReader {
        RequestReader {
            frames: FrameReader::default(),
            phase: Phase::Head,
            content: ContentCount::UNKNOWN,
            section: SectionInParts::default(),
            skipped: Skipped::default(),
        }
    }

    /// Takes bytes from the front of `input` until something happens. To be called again, with what was consumed taken
    /// away, until it gives no event; then everything was consumed.
    ///
    /// # Errors
    /// The stream or the connection is over.
    pub fn handle_bytes(
        &mut self,
        input: &[u8],
        connection: &mut Connection,
        now: Millis,
    ) -> Result<Received<RequestEvent>, Fault> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let before = consumed;
            let (taken, part) = self.frames.next(rest);
            consumed += taken;
            let event = match part {
                None => return Ok(Received { consumed, event: None }),
                Some(FramePart::Head(head)) => self.begin_frame(head, connection, now)?,
                Some(FramePart::Payload { kind, bytes, is_last }) => match kind {
                    FrameKind::Data if bytes.is_empty() => None,
                    FrameKind::Data => Some(RequestEvent::Content(before + bytes.start..before + bytes.end)),
                    FrameKind::Headers => {
                        self.take_section(rest.get(bytes).unwrap_or_default(), is_last, connection)?
                    }
                    _ => {
                        self.skipped.take(bytes.len(), connection, now)?;
                        None
                    }
                },
            };
            if event.is_some() {
                return Ok(Received { consumed, event });
            }
        }
    }

    /// The client has ended the stream in order.
    ///
    /// # Errors
    /// Its request is not complete: that ends the stream, or the connection where a frame was cut off.
    pub fn handle_end(&self) -> Result<(), Fault> {
        // "When a stream terminates cleanly, if the last frame on the stream was truncated, this MUST be treated as a
        // connection error of type H3_FRAME_ERROR" (§7.1).
        if !self.frames.is_between_frames() {
            return Err(Fault::FrameLength);
        }
        if self.phase == Phase::Head {
            return Err(Fault::RequestIncomplete);
        }
        Ok(self.content.end()?)
    }

    /// The memory it holds beyond itself, in bytes.
    pub fn capacity(&self) -> usize {
        self.section.bytes.capacity()
    }

    fn begin_frame(
        &mut self,
        head: FrameHead,
        connection: &mut Connection,
        now: Millis,
    ) -> Result<Option<RequestEvent>, Fault> {
        head.kind.check_on_request_stream()?;
        match (head.kind, self.phase) {
            // "Receipt of an invalid sequence of frames MUST be treated as a connection error of type H3_FRAME_UNEXPECTED.
            // In particular, a DATA frame before any HEADERS frame, or a HEADERS or DATA frame after the trailing HEADERS
            // frame, is considered invalid" (§4.1). Behind a CONNECT, there is DATA alone (§4.4).
            (FrameKind::Data, Phase::Head | Phase::Trailers)
            | (FrameKind::Headers, Phase::Trailers | Phase::Tunnel) => return Err(Fault::UnexpectedFrame),
            (FrameKind::Data, _) if head.length == 0 => connection.spend(Limit::EmptyContent, now)?,
            (FrameKind::Data, _) => self.content.take(head.length)?,
            (FrameKind::Headers, _) => {
                self.section = SectionInParts { length: head.length, ..SectionInParts::default() };
            }
            _ => connection.spend(Limit::UselessFrames, now)?,
        }
        Ok(None)
    }

    fn take_section(
        &mut self,
        bytes: &[u8],
        is_last: bool,
        connection: &mut Connection,
    ) -> Result<Option<RequestEvent>, Fault> {
        let section = &mut self.section;
        if section.is_told {
            return Ok(None);
        }
        let most = connection.max_section_bytes();
        // In one piece, it is not copied.
        if section.bytes.is_empty() && (is_last || bytes.len() >= most) {
            let (beginning, _) = bytes.split_at_checked(most).unwrap_or((bytes, &[]));
            return self.finish_section(beginning, connection);
        }
        let room = most.saturating_sub(section.bytes.len()).min(bytes.len());
        section.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
        if !is_last && section.bytes.len() < most {
            return Ok(None);
        }
        let kept = std::mem::take(&mut section.bytes);
        self.finish_section(&kept, connection)
    }

    /// The section is complete, or as much of it there as we read. `bytes` is never more than that.
    fn finish_section(
        &mut self,
        bytes: &[u8],
        connection: &mut Connection,
    ) -> Result<Option<RequestEvent>, Fault> {
        self.section.is_told = true;
        let decoded = connection.decode_section(bytes, self.section.length)?;
        let is_whole = decoded == DecodedSection::Whole;
        match self.phase {
            Phase::Head if is_whole => {
                let checked = connection.check_request()?;
                self.phase = if checked.is_connect { Phase::Tunnel } else { Phase::Content };
                self.content = ContentCount::new(checked.content_length);
                Ok(Some(RequestEvent::Head))
            }
            Phase::Head => {
                self.phase = Phase::Content;
                Ok(Some(RequestEvent::HeadTooLarge))
            }
            _ if !is_whole => Err(Fault::Malformed(Malformed::TooLarge)),
            _ => {
                connection.check_trailers()?;
                self.content.end()?;
                self.phase = Phase::Trailers;
                Ok(Some(RequestEvent::Trailers))
            }
        }
    }
}

impl Default for RequestReader {
    fn default() -> RequestReader {
        RequestReader::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h3::frame::write_data_head;
    use crate::proto::h3::frame::write_head;
    use crate::proto::h3::limits::MIN_SECTION_BYTES;
    use crate::proto::h3::settings::Local;

    /// GET https://a/
    const GET: &[u8] = b"\0\0\xd1\xd7\xc1\x50\x01a";

    fn headers(section: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_head(&mut out, 0x1, section.len() as u64);
        out.extend_from_slice(section);
        out
    }

    #[test]
    fn content_is_told_where_it_lies_and_not_kept() {
        let (mut connection, mut reader) = (Connection::new(Local::default()), RequestReader::new());
        let mut bytes = headers(GET);
        let head = bytes.len();
        write_data_head(&mut bytes, 1_000_000);
        bytes.extend_from_slice(b"abc");
        let received = reader.handle_bytes(&bytes, &mut connection, 0).unwrap();
        assert_eq!((received.consumed, received.event), (head, Some(RequestEvent::Head)));
        let (_, rest) = bytes.split_at(head);
        let received = reader.handle_bytes(rest, &mut connection, 0).unwrap();
        assert_eq!((received.consumed, received.event), (8, Some(RequestEvent::Content(5..8))));
        for _ in 0..99 {
            let received = reader.handle_bytes(&[0; 10_000], &mut connection, 0).unwrap();
            assert_eq!(received.event, Some(RequestEvent::Content(0..10_000)));
        }
        assert_eq!((reader.capacity(), reader.handle_end()), (0, Err(Fault::FrameLength)));
        let received = reader.handle_bytes(&[0; 9_997], &mut connection, 0).unwrap();
        assert_eq!((received.consumed, received.event), (9_997, Some(RequestEvent::Content(0..9_997))));
        assert_eq!(reader.handle_end(), Ok(()));
    }

    /// A length that is only promised takes no memory, and what comes takes no more than the limit, doubled by its vector.
    #[test]
    fn memory_of_a_section_is_bounded() {
        let (mut connection, mut reader) = (Connection::new(Local::default()), RequestReader::new());
        let mut bytes = Vec::new();
        write_head(&mut bytes, 0x1, 1 << 40);
        bytes.extend_from_slice(GET);
        assert_eq!(reader.handle_bytes(&bytes, &mut connection, 0).unwrap().event, None);
        assert!(reader.capacity() < 100);
        let mut events = Vec::new();
        for _ in 0..1_000 {
            // Literals of `a` with 97 bytes.
            let line = [&b"\x21a\x61"[..], &[b'b'; 97]].concat();
            events.extend(reader.handle_bytes(&line, &mut connection, 0).unwrap().event);
            assert!(reader.capacity() <= 2 * MIN_SECTION_BYTES);
        }
        assert_eq!((events, reader.capacity()), (vec![RequestEvent::HeadTooLarge], 0));
        // What is known of it goes into the log.
        assert_eq!(connection.partial_head().method, b"GET");
    }

    #[test]
    fn a_reader_is_small() {
        assert!(size_of::<RequestReader>() <= 104, "{}", size_of::<RequestReader>());
    }
}
