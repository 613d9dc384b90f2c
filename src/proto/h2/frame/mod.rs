//! What stands on the wire (RFC 9113 §4 and §6): parse and encode of each frame together.
//!
//! Here are the rules that a frame can be judged by alone: its length, its flags, whether it names a
//! stream. What it means where the connection stands is asked elsewhere.

use crate::proto::h2::fault::Fault;
use crate::proto::h2::stream::StreamId;

/// RFC 9113 §6.1.
pub mod data;
/// RFC 9113 §6.2.
pub mod headers;
/// RFC 9113 §6.3.
pub mod priority;
/// RFC 9113 §6.4.
pub mod rst_stream;
/// RFC 9113 §6.5.
pub mod settings;
/// RFC 9113 §6.7.
pub mod ping;
/// RFC 9113 §6.8.
pub mod go_away;
/// RFC 9113 §6.9.
pub mod window_update;
/// RFC 9113 §6.10.
pub mod continuation;

/// The first bytes of a client (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 9;

/// The largest payload that everyone must take (RFC 9113 §4.2), and the largest that we take.
pub const DEFAULT_MAX_FRAME_BYTES: u32 = 16_384;

/// The largest payload that the length field can tell.
pub const LARGEST_FRAME_BYTES: u32 = (1 << 24) - 1;

/// RFC 9113 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Content,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// "Implementations MUST ignore and discard frames of unknown types" (RFC 9113 §4.1).
    Unknown,
}

/// The header of a frame (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the payload.
    pub length: u32,
    pub kind: FrameKind,
    pub flags: u8,
    /// `None` is stream 0: the connection.
    pub stream: Option<StreamId>,
}

pub const END_STREAM: u8 = 0x1;
/// The flag of SETTINGS and PING that answer one.
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITY: u8 = 0x20;

impl FrameHeader {
    /// Reads the first bytes of a frame; `None` when there are too few. The reserved bit is ignored.
    pub fn parse(bytes: &[u8]) -> Option<FrameHeader> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = bytes.first_chunk()?;
        Some(FrameHeader {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: FrameKind::from_wire(kind),
            flags,
            stream: StreamId::new(u32::from_be_bytes([s0, s1, s2, s3]) & StreamId::LARGEST),
        })
    }

    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.map_or(0, StreamId::number).to_be_bytes();
        [a, b, c, self.kind.to_wire(), self.flags, s0, s1, s2, s3]
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The stream that this kind of frame must name.
    pub fn require_stream(&self) -> Result<StreamId, Fault> {
        self.stream.ok_or(Fault::BadStreamId)
    }

    /// This kind of frame speaks of the connection.
    pub fn require_connection(&self) -> Result<(), Fault> {
        if self.stream.is_none() { Ok(()) } else { Err(Fault::BadStreamId) }
    }

    pub fn require_length(&self, length: u32) -> Result<(), Fault> {
        if self.length == length { Ok(()) } else { Err(Fault::BadFrameLength) }
    }
}

/// The kinds in the order of their numbers.
const KINDS: [FrameKind; 10] = [
    FrameKind::Content,
    FrameKind::Headers,
    FrameKind::Priority,
    FrameKind::RstStream,
    FrameKind::Settings,
    FrameKind::PushPromise,
    FrameKind::Ping,
    FrameKind::GoAway,
    FrameKind::WindowUpdate,
    FrameKind::Continuation,
];

impl FrameKind {
    fn from_wire(kind: u8) -> FrameKind {
        KINDS.get(usize::from(kind)).copied().unwrap_or(FrameKind::Unknown)
    }

    fn to_wire(self) -> u8 {
        self as u8
    }
}

/// Appends a whole frame.
fn write(out: &mut Vec<u8>, kind: FrameKind, flags: u8, stream: Option<StreamId>, payload: &[u8]) {
    let length = payload.len() as u32;
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&FrameHeader { length, kind, flags, stream }.encode());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        for (number, kind) in (0..).zip(KINDS) {
            for stream in [None, StreamId::new(1), StreamId::new(StreamId::LARGEST)] {
                let header = FrameHeader { length: 0x0001_0203, kind, flags: 0x2d, stream };
                let bytes = header.encode();
                assert_eq!(FrameHeader::parse(&bytes), Some(header));
                assert_eq!(bytes.get(3), Some(&number));
            }
        }
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        let header = FrameHeader::parse(&[0, 0, 8, 6, 0, 0x80, 0, 0, 0]).unwrap();
        assert_eq!((header.stream, header.kind), (None, FrameKind::Ping));
        assert_eq!(FrameHeader::parse(&[0; 8]), None);
        assert_eq!(FrameHeader::parse(&[0, 0, 0, 10, 0, 0, 0, 0, 0]).unwrap().kind, FrameKind::Unknown);
    }
}
