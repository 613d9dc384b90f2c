//! WINDOW_UPDATE (RFC 9113 §6.9).

use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::write as write_frame;
use crate::proto::h2::stream::StreamId;

/// The stream, or the connection, and by how much its window grows.
pub fn parse(header: &FrameHeader, payload: &[u8]) -> Result<(Option<StreamId>, u32), Fault> {
    header.require_length(4)?;
    let bytes = payload.first_chunk().ok_or(Fault::BadFrameLength)?;
    match (u32::from_be_bytes(*bytes) & StreamId::LARGEST, header.stream) {
        (0, None) => Err(Fault::ZeroIncrement),
        (0, Some(_)) => Err(Fault::StreamZeroIncrement),
        (increment, stream) => Ok((stream, increment)),
    }
}

pub fn write(out: &mut Vec<u8>, stream: Option<StreamId>, increment: u32) {
    write_frame(out, FrameKind::WindowUpdate, 0, stream, &increment.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::frame::HEADER_BYTES;

    #[test]
    fn frames() {
        for stream in [None, StreamId::new(3)] {
            let mut out = Vec::new();
            write(&mut out, stream, 77);
            let header = FrameHeader::parse(&out).unwrap();
            assert_eq!(parse(&header, out.split_at(HEADER_BYTES).1), Ok((stream, 77)));
            assert_eq!(parse(&header, &[0x80, 0, 0, 1]), Ok((stream, 1)));
            let fault = if stream.is_none() { Fault::ZeroIncrement } else { Fault::StreamZeroIncrement };
            assert_eq!(parse(&header, &[0x80, 0, 0, 0]), Err(fault));
            let long = FrameHeader { length: 5, ..header };
            assert_eq!(parse(&long, &[0; 5]), Err(Fault::BadFrameLength));
        }
    }
}
