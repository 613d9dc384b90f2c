//! CONTINUATION (RFC 9113 §6.10): its payload is nothing but a fragment of a header block.

use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::END_HEADERS;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::write as write_frame;
use crate::proto::h2::stream::StreamId;

/// Whether it is the last one of the block that was begun on `stream`.
pub fn parse(header: &FrameHeader, stream: Option<StreamId>) -> Result<bool, Fault> {
    let own = header.require_stream()?;
    match stream {
        None => Err(Fault::StrayContinuation),
        Some(stream) if stream != own => Err(Fault::MissingContinuation),
        Some(_) => Ok(header.has(END_HEADERS)),
    }
}

pub fn write(out: &mut Vec<u8>, stream: StreamId, fragment: &[u8], is_last: bool) {
    let flags = if is_last { END_HEADERS } else { 0 };
    write_frame(out, FrameKind::Continuation, flags, Some(stream), fragment);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let stream = StreamId::new(3).unwrap();
        for is_last in [true, false] {
            let mut out = Vec::new();
            write(&mut out, stream, b"abc", is_last);
            let header = FrameHeader::parse(&out).unwrap();
            assert_eq!(parse(&header, Some(stream)), Ok(is_last));
            assert_eq!(parse(&header, StreamId::new(5)), Err(Fault::MissingContinuation));
            assert_eq!(parse(&header, None), Err(Fault::StrayContinuation));
            let nowhere = FrameHeader { stream: None, ..header };
            assert_eq!(parse(&nowhere, Some(stream)), Err(Fault::BadStreamId));
        }
    }
}
