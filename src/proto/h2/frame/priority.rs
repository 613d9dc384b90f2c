//! PRIORITY (RFC 9113 §6.3): deprecated, validated and otherwise ignored.

use crate::proto::h2::fault::Fault;
use crate::proto::h2::frame::FrameHeader;
use crate::proto::h2::stream::StreamId;

/// Bytes of the payload, and of the same fields in HEADERS.
pub const LENGTH: u32 = 5;

/// "A PRIORITY frame with a length other than 5 octets MUST be treated as a stream error of type
/// FRAME_SIZE_ERROR."
pub fn check(header: &FrameHeader, payload: &[u8]) -> Result<(), Fault> {
    let stream = header.require_stream()?;
    if header.length != LENGTH {
        return Err(Fault::BadPriorityLength);
    }
    if dependency(payload) == Some(stream) { Err(Fault::SelfDependency) } else { Ok(()) }
}

/// The stream that another one depends on, if it is not the root.
pub(super) fn dependency(fields: &[u8]) -> Option<StreamId> {
    let number = u32::from_be_bytes(*fields.first_chunk()?);
    StreamId::new(number & StreamId::LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::frame::FrameKind;

    #[test]
    fn frames() {
        let header = |length, stream| FrameHeader {
            length,
            kind: FrameKind::Priority,
            flags: 0,
            stream: StreamId::new(stream),
        };
        assert_eq!(check(&header(5, 3), &[0, 0, 0, 1, 9]), Ok(()));
        assert_eq!(check(&header(5, 3), &[0x80, 0, 0, 3, 9]), Err(Fault::SelfDependency));
        assert_eq!(check(&header(4, 3), &[0, 0, 0, 1]), Err(Fault::BadPriorityLength));
        assert_eq!(check(&header(5, 0), &[0, 0, 0, 1, 9]), Err(Fault::BadStreamId));
    }
}
