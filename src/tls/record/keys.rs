//! The keys of one direction, and one record sealed or opened with them (RFC 8446 §5.2).

use aws_lc_rs::aead::AES_128_GCM;
use aws_lc_rs::aead::AES_256_GCM;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::aead::CHACHA20_POLY1305;
use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::aead::Nonce;
use aws_lc_rs::aead::UnboundKey;
use rustls::ConnectionTrafficSecrets;
use rustls::ContentType;
use rustls::Error;

/// The tag of all three ciphers.
pub(super) const TAG_BYTES: usize = 16;

pub(super) struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// The number of the next record. No number is used twice with the same key.
    sequence: u64,
}

impl Keys {
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Keys, Error> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(unusable()),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| unusable())?;
        let iv = iv.as_ref().try_into().map_err(|_| unusable())?;
        Ok(Keys { key: LessSafeKey::new(key), iv, sequence })
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Appends a whole record to `out`.
    pub(super) fn seal(&mut self, kind: ContentType, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let header = header(content.len() + 1 + TAG_BYTES);
        let begin = out.len();
        out.reserve(header.len() + content.len() + 1 + TAG_BYTES);
        out.extend_from_slice(&header);
        out.extend_from_slice(content);
        out.push(kind.into());
        let inner = out.get_mut(begin + header.len()..).unwrap_or_default();
        let sealed = match self.next_nonce() {
            Some(nonce) => self.key.seal_in_place_separate_tag(nonce, Aad::from(header), inner).ok(),
            None => None,
        };
        let Some(tag) = sealed else {
            out.truncate(begin);
            return Err(Error::EncryptError);
        };
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Appends what is sealed behind a record's header to `plain`, its type and padding included.
    pub(super) fn open(&mut self, sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        let length = sealed.len().checked_sub(TAG_BYTES).ok_or(Error::DecryptError)?;
        let (sealed_inner, tag) = sealed.split_at_checked(length).ok_or(Error::DecryptError)?;
        let nonce = self.next_nonce().ok_or(Error::DecryptError)?;
        let begin = plain.len();
        plain.resize(begin + length, 0);
        let inner = plain.get_mut(begin..).unwrap_or_default();
        let aad = Aad::from(header(sealed.len()));
        self.key.open_separate_gather(nonce, aad, sealed_inner, tag, inner).map_err(|_| {
            plain.truncate(begin);
            Error::DecryptError
        })
    }

    /// "The padded sequence number is XORed with either the static client_write_iv or server_write_iv"
    /// (RFC 8446 §5.3). There is none when all numbers were used.
    fn next_nonce(&mut self) -> Option<Nonce> {
        let number = self.sequence;
        self.sequence = number.checked_add(1)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().skip(NONCE_LEN - size_of::<u64>()).zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        Some(Nonce::assume_unique_for_key(nonce))
    }
}

/// What stands before every sealed record, and is authenticated with it. `length` is that of what
/// follows, which is no more than a record may have.
fn header(length: usize) -> [u8; 5] {
    let [.., high, low] = length.to_be_bytes();
    [ContentType::ApplicationData.into(), 3, 3, high, low]
}

fn unusable() -> Error {
    Error::General("keys for an unknown cipher".to_owned())
}

#[cfg(test)]
impl Keys {
    pub(super) fn skip_to(&mut self, sequence: u64) {
        self.sequence = sequence;
    }
}
