//! RST_STREAM (RFC 9113 §6.4).

use crate::proto::h2::fault::ErrorCode;
use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::write as write_frame;
use crate::proto::h2::stream::StreamId;

pub fn parse(header: &FrameHeader, payload: &[u8]) -> Result<(StreamId, ErrorCode), Fault> {
    let stream = header.require_stream()?;
    header.require_length(4)?;
    let code = payload.first_chunk().ok_or(Fault::BadFrameLength)?;
    Ok((stream, ErrorCode::from_wire(u32::from_be_bytes(*code))))
}

pub fn write(out: &mut Vec<u8>, stream: StreamId, code: ErrorCode) {
    write_frame(out, FrameKind::RstStream, 0, Some(stream), &code.to_wire().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::frame::HEADER_BYTES;

    #[test]
    fn frames() {
        let mut out = Vec::new();
        write(&mut out, StreamId::new(9).unwrap(), ErrorCode::Cancel);
        let header = FrameHeader::parse(&out).unwrap();
        let payload = out.split_at(HEADER_BYTES).1;
        assert_eq!(parse(&header, payload), Ok((StreamId::new(9).unwrap(), ErrorCode::Cancel)));
        let nowhere = FrameHeader { stream: None, ..header };
        assert_eq!(parse(&nowhere, payload), Err(Fault::BadStreamId));
        let short = FrameHeader { length: 3, ..header };
        assert_eq!(parse(&short, payload.split_at(3).0), Err(Fault::BadFrameLength));
    }
}
