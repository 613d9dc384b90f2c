//! GOAWAY (RFC 9113 §6.8). The text that may follow the code is not read, and we send none.

use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::write as write_frame;
use crate::proto::h2::stream::StreamId;

/// Bytes of the payload before the text.
pub const FIXED_BYTES: u32 = 8;

/// The last stream that the sender will look at, if any, and why.
pub fn parse(header: &FrameHeader, payload: &[u8]) -> Result<(Option<StreamId>, ErrorCode), Fault> {
    header.require_connection()?;
    let &[s0, s1, s2, s3, c0, c1, c2, c3] = payload.first_chunk().ok_or(Fault::BadFrameLength)?;
    let last = u32::from_be_bytes([s0, s1, s2, s3]) & StreamId::LARGEST;
    Ok((StreamId::new(last), ErrorCode::from_wire(u32::from_be_bytes([c0, c1, c2, c3]))))
}

pub fn write(out: &mut Vec<u8>, last: Option<StreamId>, code: ErrorCode) {
    let [s0, s1, s2, s3] = last.map_or(0, StreamId::number).to_be_bytes();
    let [c0, c1, c2, c3] = code.to_wire().to_be_bytes();
    write_frame(out, FrameKind::GoAway, 0, None, &[s0, s1, s2, s3, c0, c1, c2, c3]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::frame::HEADER_BYTES;

    #[test]
    fn frames() {
        for last in [None, StreamId::new(StreamId::LARGEST)] {
            let mut out = Vec::new();
            write(&mut out, last, ErrorCode::EnhanceYourCalm);
            let header = FrameHeader::parse(&out).unwrap();
            let payload = out.split_at(HEADER_BYTES).1;
            assert_eq!(parse(&header, payload), Ok((last, ErrorCode::EnhanceYourCalm)));
            assert_eq!(parse(&header, payload.split_at(7).0), Err(Fault::BadFrameLength));
            let on_stream = FrameHeader { stream: StreamId::new(1), ..header };
            assert_eq!(parse(&on_stream, payload), Err(Fault::BadStreamId));
        }
    }
}
