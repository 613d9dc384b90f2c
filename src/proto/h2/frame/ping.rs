//! PING (RFC 9113 §6.7).

use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::ACK;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::write as write_frame;

/// Means nothing to the one who returns it.
pub type Opaque = [u8; 8];

/// Whether it answers a PING of ours, and what it carries.
pub fn parse(header: &FrameHeader, payload: &[u8]) -> Result<(bool, Opaque), Fault> {
    header.require_connection()?;
    header.require_length(8)?;
    let opaque = payload.first_chunk().ok_or(Fault::BadFrameLength)?;
    Ok((header.has(ACK), *opaque))
}

pub fn write(out: &mut Vec<u8>, opaque: &Opaque) {
    write_frame(out, FrameKind::Ping, 0, None, opaque);
}

pub fn write_acknowledgement(out: &mut Vec<u8>, opaque: &Opaque) {
    write_frame(out, FrameKind::Ping, ACK, None, opaque);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::frame::HEADER_BYTES;
    use crate::proto::h2::stream::StreamId;

    #[test]
    fn frames() {
        let mut out = Vec::new();
        write_acknowledgement(&mut out, b"12345678");
        let header = FrameHeader::parse(&out).unwrap();
        let payload = out.split_at(HEADER_BYTES).1;
        assert_eq!(parse(&header, payload), Ok((true, *b"12345678")));
        let on_stream = FrameHeader { stream: StreamId::new(1), ..header };
        assert_eq!(parse(&on_stream, payload), Err(Fault::BadStreamId));
        for length in [0, 7, 9] {
            let other = FrameHeader { length, ..header };
            assert_eq!(parse(&other, payload), Err(Fault::BadFrameLength));
        }
    }
}
