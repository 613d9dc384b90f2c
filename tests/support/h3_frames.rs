//! Frames, streams and codes of HTTP/3 (RFC 9114), made by hand.

pub(crate) const DATA: u64 = 0;
pub(crate) const HEADERS: u64 = 1;
pub(crate) const CANCEL_PUSH: u64 = 3;
pub(crate) const SETTINGS: u64 = 4;
pub(crate) const PUSH_PROMISE: u64 = 5;
pub(crate) const GOAWAY: u64 = 7;
pub(crate) const MAX_PUSH_ID: u64 = 0xd;
/// Frames of HTTP/2 that have no place in HTTP/3 (§7.2.8).
pub(crate) const RESERVED_FRAMES: [u64; 4] = [2, 6, 8, 9];
/// PRIORITY_UPDATE for a request (RFC 9218 §7.2).
pub(crate) const PRIORITY_UPDATE: u64 = 0xf0700;

/// Types of unidirectional streams.
pub(crate) const CONTROL: u64 = 0;
pub(crate) const PUSH: u64 = 1;
pub(crate) const QPACK_ENCODER: u64 = 2;
pub(crate) const QPACK_DECODER: u64 = 3;

/// Settings.
pub(crate) const QPACK_MAX_TABLE_CAPACITY: u64 = 1;
pub(crate) const MAX_FIELD_SECTION_SIZE: u64 = 6;
pub(crate) const QPACK_BLOCKED_STREAMS: u64 = 7;
pub(crate) const ENABLE_CONNECT_PROTOCOL: u64 = 8;

/// Codes of errors (§8.1, RFC 9204 §6).
pub(crate) const H3_NO_ERROR: u64 = 0x100;
pub(crate) const H3_GENERAL_PROTOCOL_ERROR: u64 = 0x101;
pub(crate) const H3_INTERNAL_ERROR: u64 = 0x102;
pub(crate) const H3_STREAM_CREATION_ERROR: u64 = 0x103;
pub(crate) const H3_CLOSED_CRITICAL_STREAM: u64 = 0x104;
pub(crate) const H3_FRAME_UNEXPECTED: u64 = 0x105;
pub(crate) const H3_FRAME_ERROR: u64 = 0x106;
pub(crate) const H3_EXCESSIVE_LOAD: u64 = 0x107;
pub(crate) const H3_ID_ERROR: u64 = 0x108;
pub(crate) const H3_SETTINGS_ERROR: u64 = 0x109;
pub(crate) const H3_MISSING_SETTINGS: u64 = 0x10a;
pub(crate) const H3_REQUEST_REJECTED: u64 = 0x10b;
pub(crate) const H3_REQUEST_CANCELLED: u64 = 0x10c;
pub(crate) const H3_REQUEST_INCOMPLETE: u64 = 0x10d;
pub(crate) const H3_MESSAGE_ERROR: u64 = 0x10e;
pub(crate) const QPACK_DECOMPRESSION_FAILED: u64 = 0x200;
pub(crate) const QPACK_ENCODER_STREAM_ERROR: u64 = 0x201;
pub(crate) const QPACK_DECODER_STREAM_ERROR: u64 = 0x202;

/// An integer of variable length (RFC 9000 §16), below 2^62.
pub(crate) fn varint(value: u64) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..0x4000_0000 => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

/// The integer at the begin of these bytes and how many of them it takes, once they are there.
pub(super) fn varint_at(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = 1 << (bytes.first()? >> 6);
    let octets = bytes.get(..length)?;
    let value = octets.iter().fold(0, |value, octet| (value << 8) | u64::from(*octet));
    let without_length = if length == 8 { u64::MAX >> 2 } else { (1 << (8 * length - 2)) - 1 };
    Some((value & without_length, length))
}

/// The integer that is the whole payload of a frame.
pub(crate) fn only_varint(payload: &[u8]) -> u64 {
    match varint_at(payload) {
        Some((value, length)) if length == payload.len() => value,
        _ => panic!("no integer: {payload:?}"),
    }
}

pub(crate) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
}

/// SETTINGS with these identifiers and values.
pub(crate) fn settings(settings: &[(u64, u64)]) -> Vec<u8> {
    let pairs = settings.iter().map(|(identifier, value)| [varint(*identifier), varint(*value)].concat());
    frame(SETTINGS, &pairs.collect::<Vec<_>>().concat())
}
