//! SETTINGS (RFC 9113 §6.5): pairs of an identifier and a value.

use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::ACK;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::frame::FrameKind;
use crate::proto::h2::frame::write as write_frame;

pub const HEADER_TABLE_SIZE: u16 = 0x1;
pub const ENABLE_PUSH: u16 = 0x2;
pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
pub const MAX_FRAME_SIZE: u16 = 0x5;
pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
/// RFC 8441 §3.
pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
/// RFC 9218 §2.1.
pub const NO_RFC7540_PRIORITIES: u16 = 0x9;

const PAIR_BYTES: usize = 6;

/// Whether the frame is an acknowledgement; what it carries is read by [`pairs`].
pub fn is_acknowledgement(header: &FrameHeader) -> Result<bool, Fault> {
    header.require_connection()?;
    // "Receipt of a SETTINGS frame with the ACK flag set and a length field value other than 0 MUST be
    // treated as a connection error of type FRAME_SIZE_ERROR."
    if header.has(ACK) {
        return header.require_length(0).map(|()| true);
    }
    if (header.length as usize).is_multiple_of(PAIR_BYTES) { Ok(false) } else { Err(Fault::BadFrameLength) }
}

/// The settings of a payload, in their order.
pub fn pairs(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    let (pairs, _) = payload.as_chunks::<PAIR_BYTES>();
    pairs
        .iter()
        .map(|&[i0, i1, v0, v1, v2, v3]| (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3])))
}

pub fn write(out: &mut Vec<u8>, pairs: &[(u16, u32)]) {
    let mut payload = arrayvec::ArrayVec::<u8, 64>::new();
    for (identifier, value) in pairs.iter().take(64 / PAIR_BYTES) {
        payload.extend(identifier.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    write_frame(out, FrameKind::Settings, 0, None, &payload);
}

pub fn write_acknowledgement(out: &mut Vec<u8>) {
    write_frame(out, FrameKind::Settings, ACK, None, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::frame::HEADER_BYTES;
    use crate::proto::h2::stream::StreamId;

    #[test]
    fn frames() {
        let mut out = Vec::new();
        let settings = [(MAX_CONCURRENT_STREAMS, 100), (0xfafa, u32::MAX)];
        write(&mut out, &settings);
        let header = FrameHeader::parse(&out).unwrap();
        assert_eq!(is_acknowledgement(&header), Ok(false));
        assert!(pairs(out.split_at(HEADER_BYTES).1).eq(settings));
        let odd = FrameHeader { length: 7, ..header };
        assert_eq!(is_acknowledgement(&odd), Err(Fault::BadFrameLength));
        let on_stream = FrameHeader { stream: StreamId::new(1), ..header };
        assert_eq!(is_acknowledgement(&on_stream), Err(Fault::BadStreamId));
        let loaded = FrameHeader { flags: ACK, ..header };
        assert_eq!(is_acknowledgement(&loaded), Err(Fault::BadFrameLength));
        out.clear();
        write_acknowledgement(&mut out);
        assert_eq!(is_acknowledgement(&FrameHeader::parse(&out).unwrap()), Ok(true));
    }
}
