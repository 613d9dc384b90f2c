//! DATA (RFC 9113 §6.1). Its payload is passed on as it comes, so only the beginning is parsed.

use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::END_STREAM;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::HEADER_BYTES;
use crate::proto::h2::frame::PADDED;
use crate::proto::h2::stream::StreamId;

/// A DATA frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFrame {
    pub stream: StreamId,
    /// What the frame costs of the windows: content, padding and the octet that tells its length.
    pub flow_bytes: u32,
    /// Bytes between the header and the content.
    pub prefix_bytes: u32,
    pub content_bytes: u32,
    pub padding_bytes: u32,
    pub end_stream: bool,
}

impl DataFrame {
    /// Parses a header and what follows it; `None` when one more byte is needed.
    pub fn parse(header: &FrameHeader, payload: &[u8]) -> Result<Option<DataFrame>, Fault> {
        let stream = header.require_stream()?;
        let is_padded = header.has(PADDED);
        let Some((prefix_bytes, padding_bytes)) = read_padding(header, is_padded, payload)? else {
            return Ok(None);
        };
        // "If the length of the padding is the length of the frame payload or greater, the recipient MUST
        // treat this as a connection error of type PROTOCOL_ERROR."
        let content_bytes =
            header.length.checked_sub(prefix_bytes + padding_bytes).ok_or(Fault::BadPadding)?;
        Ok(Some(DataFrame {
            stream,
            flow_bytes: header.length,
            prefix_bytes,
            content_bytes,
            padding_bytes,
            end_stream: header.has(END_STREAM),
        }))
    }

    /// The header of a frame that we send, never padded.
    pub fn header(stream: StreamId, content_bytes: u32, end_stream: bool) -> [u8; HEADER_BYTES] {
        let flags = if end_stream { END_STREAM } else { 0 };
        FrameHeader { length: content_bytes, kind: FrameKind::Content, flags, stream: Some(stream) }.encode()
    }
}

/// How many bytes the padding's length takes, and that length; `None` when its byte has not come.
pub(super) fn read_padding(
    header: &FrameHeader,
    is_padded: bool,
    payload: &[u8],
) -> Result<Option<(u32, u32)>, Fault> {
    if !is_padded {
        return Ok(Some((0, 0)));
    }
    if header.length == 0 {
        return Err(Fault::BadFrameLength);
    }
    Ok(payload.first().map(|&length| (1, u32::from(length))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let stream = StreamId::new(5);
        let check = |length: u32, flags: u8, payload: &[u8], expected: Result<Option<(u32, u32)>, Fault>| {
            let header = FrameHeader { length, kind: FrameKind::Content, flags, stream };
            let parsed = DataFrame::parse(&header, payload);
            let parsed = parsed.map(|frame| frame.map(|frame| (frame.content_bytes, frame.padding_bytes)));
            assert_eq!(parsed, expected, "{length} {flags} {payload:?}");
        };
        check(3, 0, b"", Ok(Some((3, 0))));
        check(0, END_STREAM, b"", Ok(Some((0, 0))));
        check(3, PADDED, b"", Ok(None));
        check(3, PADDED, &[1], Ok(Some((1, 1))));
        check(3, PADDED, &[2], Ok(Some((0, 2))));
        check(3, PADDED, &[3], Err(Fault::BadPadding));
        check(0, PADDED, b"", Err(Fault::BadFrameLength));
        let header = FrameHeader { length: 1, kind: FrameKind::Content, flags: 0, stream: None };
        assert_eq!(DataFrame::parse(&header, b"a"), Err(Fault::BadStreamId));
    }

    #[test]
    fn what_is_written_parses() {
        let stream = StreamId::new(7).unwrap();
        let header = FrameHeader::parse(&DataFrame::header(stream, 16_384, true)).unwrap();
        let frame = DataFrame::parse(&header, b"").unwrap().unwrap();
        assert_eq!((frame.stream, frame.content_bytes, frame.end_stream), (stream, 16_384, true));
    }
}
