//! The opening handshake of WebSocket (RFC 6455 §1.3 and §4), as far as a proxy needs it.

use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
use aws_lc_rs::digest::digest;

/// A Sec-WebSocket-Key: 16 bytes in base64.
pub type Key = [u8; 24];

/// A Sec-WebSocket-Accept: a SHA-1 digest in base64.
pub type Accept = [u8; 28];

/// The value of Sec-WebSocket-Key for a nonce: "a randomly selected 16-byte value that has been
/// base64-encoded" (RFC 6455 §4.1).
pub fn key(nonce: &[u8; 16]) -> Key {
    base64(nonce)
}

/// What a server answers to a key: "concatenating the |Sec-WebSocket-Key| [...] with the string
/// "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", taking the SHA-1 hash of this concatenated value" (RFC 6455 §4.2.2).
pub fn accept(key: &[u8]) -> Accept {
    let mut joined = key.to_vec();
    joined.extend_from_slice(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined).as_ref())
}

/// RFC 4648 §4. `OUT` is the length that `bytes` has then.
fn base64<const OUT: usize>(bytes: &[u8]) -> [u8; OUT] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = [b'='; OUT];
    for (group, place) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        // Three bytes are four letters, two are three and one is two; the rest is padding.
        for (at, letter) in place.iter_mut().enumerate().take(group.len() + 1) {
            let index = bits >> (18 - 6 * at) & 63;
            *letter = ALPHABET.get(index as usize).copied().unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        // RFC 6455 §1.3.
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(&key(b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn padding() {
        assert_eq!(&base64::<4>(b"f"), b"Zg==");
        assert_eq!(&base64::<4>(b"fo"), b"Zm8=");
        assert_eq!(&base64::<8>(b"foob"), b"Zm9vYg==");
    }
}
