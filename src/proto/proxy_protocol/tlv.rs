//! Type, length, value: what a header of version 2 tells besides addresses (§2.2.1 to §2.2.7).

/// The protocol that is spoken on the connection, by its name in ALPN (RFC 7301 §6).
pub const ALPN: u8 = 0x01;
/// The host that the client named, as in TLS's SNI.
pub const AUTHORITY: u8 = 0x02;
/// A checksum over the header.
pub const CRC32C: u8 = 0x03;
/// Padding.
pub const NOOP: u8 = 0x04;
/// Up to [`MAX_UNIQUE_ID_BYTES`] by which the connection is known to who sends it.
pub const UNIQUE_ID: u8 = 0x05;
/// What is known of the client's TLS connection; within it stand those that begin with `SSL_`.
pub const SSL: u8 = 0x20;
pub const SSL_VERSION: u8 = 0x21;
/// The common name in the subject of the client's certificate.
pub const SSL_COMMON_NAME: u8 = 0x22;
pub const SSL_CIPHER: u8 = 0x23;
/// What the certificate is signed with that the client was shown.
pub const SSL_SIGNATURE_ALGORITHM: u8 = 0x24;
/// What the key of that certificate is.
pub const SSL_KEY_ALGORITHM: u8 = 0x25;

/// A bit of [`SSL`]: the client came over TLS.
pub const CLIENT_SSL: u8 = 0x01;
/// It showed a certificate on this connection.
pub const CLIENT_CERTIFICATE_ON_CONNECTION: u8 = 0x02;
/// It showed one at least once in the session that this connection resumes.
pub const CLIENT_CERTIFICATE_IN_SESSION: u8 = 0x04;

/// "an opaque byte sequence of up to 128 bytes" (§2.2.5): most readers refuse a longer one.
pub const MAX_UNIQUE_ID_BYTES: usize = 128;

/// Type and length.
pub const PREFIX_BYTES: usize = 3;

/// Goes through TLVs, up to what is none.
#[derive(Clone, Copy, Debug)]
pub struct Tlvs<'b> {
    rest: &'b [u8],
}

impl<'b> Tlvs<'b> {
    pub fn new(bytes: &'b [u8]) -> Tlvs<'b> {
        Tlvs { rest: bytes }
    }

    /// What has not been gone through: at the end, nothing, unless it is malformed.
    pub fn rest(&self) -> &'b [u8] {
        self.rest
    }
}

impl<'b> Iterator for Tlvs<'b> {
    /// The type, and the value.
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<(u8, &'b [u8])> {
        let (&[kind, high, low], after) = self.rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = after.split_at_checked(length)?;
        self.rest = after;
        Some((kind, value))
    }
}
