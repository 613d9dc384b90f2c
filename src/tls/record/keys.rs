//! The keys of one direction, and one record sealed or opened with them (RFC 8446 §5.2).

use aws_lc_rs::aead::AES_128_GCM;
use aws_lc_rs::aead::AES_256_GCM;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::aead::CHACHA20_POLY1305;
use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::aead::Nonce;
use aws_lc_rs::aead::UnboundKey;
use aws_lc_rs::hkdf;
use rustls::CipherSuite;
use rustls::ConnectionTrafficSecrets;
use rustls::ContentType;
use rustls::Error;

/// The tag of all three ciphers.
pub(super) const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 5;
/// The longest key of them.
const MAX_KEY_BYTES: usize = 32;
/// What labels of TLS 1.3 begin with.
const PREFIX: &[u8] = b"tls13 ";

pub(in crate::tls) struct Keys {
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

    /// The keys for a cipher suite of TLS 1.3 that follow from a traffic secret (RFC 8446 §7.3).
    pub(in crate::tls) fn derived(suite: CipherSuite, secret: &hkdf::Prk) -> Option<Keys> {
        let algorithm = match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => &AES_128_GCM,
            CipherSuite::TLS13_AES_256_GCM_SHA384 => &AES_256_GCM,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => &CHACHA20_POLY1305,
            _ => return None,
        };
        let (mut key, mut iv) = ([0; MAX_KEY_BYTES], [0; NONCE_LEN]);
        let key = key.get_mut(..algorithm.key_len())?;
        expand_label(secret, b"key", key)?;
        expand_label(secret, b"iv", &mut iv)?;
        Some(Keys { key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?), iv, sequence: 0 })
    }

    /// Whether a whole record is the next one that these keys were sealed with. It stays the next one.
    pub(in crate::tls) fn fit(&self, record: &[u8]) -> bool {
        let Some((header, sealed)) = record.split_first_chunk::<HEADER_BYTES>() else { return false };
        let mut inner = sealed.to_vec();
        self.nonce()
            .is_some_and(|nonce| self.key.open_in_place(nonce, Aad::from(*header), &mut inner).is_ok())
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
        let nonce = self.nonce()?;
        self.sequence += 1;
        Some(nonce)
    }

    /// That of the next record. It may seal one record only.
    fn nonce(&self) -> Option<Nonce> {
        let number = self.sequence;
        number.checked_add(1)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().skip(NONCE_LEN - size_of::<u64>()).zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        Some(Nonce::assume_unique_for_key(nonce))
    }
}

/// What stands before every sealed record, and is authenticated with it. `length` is that of what
/// follows, which is no more than a record may have.
fn header(length: usize) -> [u8; HEADER_BYTES] {
    let [.., high, low] = length.to_be_bytes();
    [ContentType::ApplicationData.into(), 3, 3, high, low]
}

/// HKDF-Expand-Label without a context (RFC 8446 §7.1).
fn expand_label(secret: &hkdf::Prk, label: &[u8], out: &mut [u8]) -> Option<()> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let length = u8::try_from(out.len()).ok()?;
    let label_length = u8::try_from(PREFIX.len() + label.len()).ok()?;
    let told = [&[0, length, label_length][..], PREFIX, label, &[0]];
    secret.expand(&told, Length(out.len())).ok()?.fill(out).ok()
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
