//! HEADERS (RFC 9113 §6.2). The fragment of the block is taken as it comes, so only the beginning is
//! parsed.

use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::END_HEADERS;
use crate::proto::h2::frame::END_STREAM;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::HEADER_BYTES;
use crate::proto::h2::frame::PADDED;
use crate::proto::h2::frame::PRIORITY;
use crate::proto::h2::frame::continuation;
use crate::proto::h2::frame::data::read_padding;
use crate::proto::h2::frame::priority;
use crate::proto::h2::stream::StreamId;

/// A HEADERS frame without its fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadersFrame {
    pub stream: StreamId,
    /// Bytes between the header and the fragment.
    pub prefix_bytes: u32,
    pub fragment_bytes: u32,
    pub padding_bytes: u32,
    pub end_stream: bool,
    pub end_headers: bool,
    /// The deprecated priority makes the stream depend on itself.
    pub depends_on_itself: bool,
}

impl HeadersFrame {
    /// Parses a header and what follows it; `None` when more bytes are needed, six at most.
    pub fn parse(header: &FrameHeader, payload: &[u8]) -> Result<Option<HeadersFrame>, Fault> {
        let stream = header.require_stream()?;
        let Some((padding_prefix, padding_bytes)) = read_padding(header, header.has(PADDED), payload)? else {
            return Ok(None);
        };
        let mut prefix_bytes = padding_prefix;
        let mut depends_on_itself = false;
        if header.has(PRIORITY) {
            prefix_bytes += priority::LENGTH;
            if prefix_bytes > header.length {
                return Err(Fault::BadFrameLength);
            }
            let Some(fields) = payload.get(padding_prefix as usize..prefix_bytes as usize) else {
                return Ok(None);
            };
            depends_on_itself = priority::dependency(fields) == Some(stream);
        }
        let fragment_bytes =
            header.length.checked_sub(prefix_bytes + padding_bytes).ok_or(Fault::BadPadding)?;
        Ok(Some(HeadersFrame {
            stream,
            prefix_bytes,
            fragment_bytes,
            padding_bytes,
            end_stream: header.has(END_STREAM),
            end_headers: header.has(END_HEADERS),
            depends_on_itself,
        }))
    }
}

/// Leaves room for a header at the end of `out`. The block is written behind it, then [`finish`] is called
/// with the place that this returns.
pub fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.len() - HEADER_BYTES
}

/// Makes frames of the block behind `start`, none of them with a larger payload than `max_frame_bytes`.
pub fn finish(out: &mut Vec<u8>, start: usize, stream: StreamId, end_stream: bool, max_frame_bytes: u32) {
    let block_bytes = out.len().saturating_sub(start + HEADER_BYTES);
    let fits = block_bytes <= max_frame_bytes as usize;
    let rest = if fits { Vec::new() } else { out.split_off(start + HEADER_BYTES + max_frame_bytes as usize) };
    let flags = if end_stream { END_STREAM } else { 0 } | if fits { END_HEADERS } else { 0 };
    let length = (block_bytes - rest.len()) as u32;
    let header = FrameHeader { length, kind: FrameKind::Headers, flags, stream: Some(stream) };
    if let Some(place) = out.get_mut(start..start + HEADER_BYTES) {
        place.copy_from_slice(&header.encode());
    }
    let mut pieces = rest.chunks(max_frame_bytes as usize).peekable();
    while let Some(piece) = pieces.next() {
        continuation::write(out, stream, piece, pieces.peek().is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        type Expected = Result<Option<(u32, u32, bool)>, Fault>;
        let check = |length: u32, flags: u8, payload: &[u8], expected: Expected| {
            let header = FrameHeader { length, kind: FrameKind::Headers, flags, stream: StreamId::new(5) };
            let parsed = HeadersFrame::parse(&header, payload);
            let parsed = parsed.map(|frame| {
                frame.map(|frame| (frame.prefix_bytes, frame.fragment_bytes, frame.depends_on_itself))
            });
            assert_eq!(parsed, expected, "{length} {flags} {payload:?}");
        };
        check(9, 0, b"", Ok(Some((0, 9, false))));
        check(9, PADDED, &[3], Ok(Some((1, 5, false))));
        check(9, PADDED, &[8], Ok(Some((1, 0, false))));
        check(9, PADDED, &[9], Err(Fault::BadPadding));
        check(9, PRIORITY, &[0, 0, 0, 5], Ok(None));
        check(9, PRIORITY, &[0x80, 0, 0, 5, 1], Ok(Some((5, 4, true))));
        check(9, PRIORITY | PADDED, &[1, 0, 0, 0, 3, 1], Ok(Some((6, 2, false))));
        check(9, PRIORITY | PADDED, &[4, 0, 0, 0, 3, 1], Err(Fault::BadPadding));
        check(4, PRIORITY, &[0, 0, 0, 5], Err(Fault::BadFrameLength));
        check(0, PADDED, &[], Err(Fault::BadFrameLength));
    }

    #[test]
    fn long_blocks_are_continued() {
        for (length, frames) in [(0, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)] {
            let mut out = b"before".to_vec();
            let start = begin(&mut out);
            out.extend(0..length);
            finish(&mut out, start, StreamId::new(3).unwrap(), true, 10);
            let mut rest = out.strip_prefix(b"before").unwrap();
            let (mut block, mut count) = (Vec::new(), 0);
            while let Some(header) = FrameHeader::parse(rest) {
                let (frame, after) = rest.split_at(HEADER_BYTES + header.length as usize);
                block.extend_from_slice(frame.split_at(HEADER_BYTES).1);
                rest = after;
                count += 1;
                assert_eq!(
                    header.kind,
                    if count == 1 { FrameKind::Headers } else { FrameKind::Continuation }
                );
                assert_eq!(header.has(END_STREAM), count == 1);
                assert_eq!(header.has(END_HEADERS), rest.is_empty());
            }
            assert_eq!((block, count), ((0..length).collect(), frames));
        }
    }
}
