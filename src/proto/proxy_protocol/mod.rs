//! The PROXY protocol, versions 1 and 2: who a connection is for, told in front of its first byte.
//!
//! Follows haproxy's `doc/proxy-protocol.txt`; section numbers in this folder are its own.

/// The checksum of a header.
mod crc32c;
/// A header that the hop before us sends.
pub mod parse;
/// What a header of version 2 tells besides addresses.
pub mod tlv;
/// A header for the hop behind us.
pub mod write;

/// What a header of version 2 begins with (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Of version 2: signature, version and command, family and transport, length (§2.2).
const V2_PREFIX_BYTES: usize = 16;
