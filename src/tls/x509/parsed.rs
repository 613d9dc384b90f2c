//! The parts of a certificate of any version (RFC 5280 §4.1), as slices of its bytes.

use rustls::pki_types::SignatureVerificationAlgorithm;

use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;

/// Borrowed from the encoding. Extensions are left to those who know them.
#[derive(Clone, Copy)]
pub(in crate::tls) struct ParsedCertificate<'a> {
    /// 1 to 3.
    pub(in crate::tls) version: u8,
    /// The content of the integer: big endian, two's complement, never empty.
    pub(super) serial: &'a [u8],
    /// The content of the sequence, as in a trust anchor; so are the other names and the key.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) public_key: &'a [u8],
    /// With tag and length.
    pub(super) public_key_whole: &'a [u8],
    /// Unique identifiers and extensions.
    pub(super) behind_key: DerReader<'a>,
    pub(super) signed: Signed<'a>,
}

/// What is signed, and how.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    /// With tag and length: the bytes that the signature covers.
    pub(super) message: &'a [u8],
    /// The content of the AlgorithmIdentifier.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> ParsedCertificate<'a> {
    /// None for what is no certificate of version 1 to 3 in DER.
    pub(in crate::tls) fn parse(bytes: &'a [u8]) -> Option<ParsedCertificate<'a>> {
        let (signed, mut fields) = Signed::parse(bytes)?;
        let version = match fields.peek()? {
            VERSION => {
                let mut inside = fields.inside(VERSION)?;
                let number = inside.element(der::INTEGER)?.content;
                inside.finish()?;
                match number {
                    [number @ 1..=2] => number + 1,
                    // DER leaves out what is the default.
                    _ => return None,
                }
            }
            _ => 1,
        };
        let serial = fields.element(der::INTEGER)?.content;
        let algorithm = fields.element(der::SEQUENCE)?.content;
        let issuer = fields.element(der::SEQUENCE)?.content;
        let mut validity = fields.inside(der::SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        validity.finish()?;
        let subject = fields.element(der::SEQUENCE)?.content;
        let public_key = fields.element(der::SEQUENCE)?;
        // Unique identifiers and extensions came with later versions.
        if version == 1 {
            fields.finish()?;
        }
        // RFC 5280 §4.1.1.2: "This field MUST contain the same algorithm identifier".
        (!serial.is_empty() && algorithm == signed.algorithm).then_some(ParsedCertificate {
            version,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            public_key: public_key.content,
            public_key_whole: public_key.whole,
            behind_key: fields,
            signed,
        })
    }

    /// Whether it says that it signed itself.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

impl<'a> Signed<'a> {
    /// A certificate or a revocation list, and the fields in it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Signed<'a>, DerReader<'a>)> {
        let mut outer = DerReader::new(bytes);
        let mut parts = outer.inside(der::SEQUENCE)?;
        outer.finish()?;
        let message = parts.element(der::SEQUENCE)?;
        let algorithm = parts.element(der::SEQUENCE)?.content;
        let signature = parts.element(der::BIT_STRING)?.content;
        parts.finish()?;
        let (0, signature) = signature.split_first()? else { return None };
        Some((Signed { message: message.whole, algorithm, signature }, DerReader::new(message.content)))
    }

    /// Whether the owner of this key made the signature. `public_key` is the content of a SubjectPublicKeyInfo.
    pub(super) fn is_by(
        &self,
        public_key: &[u8],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), SignatureError> {
        if is_broken_hash(self.algorithm) {
            return Err(SignatureError::BrokenHash);
        }
        let (key_algorithm, key) = split_key(public_key).ok_or(SignatureError::Bad)?;
        let knows_signature =
            |known: &&&dyn SignatureVerificationAlgorithm| *known.signature_alg_id() == *self.algorithm;
        let fits_key =
            |known: &&dyn SignatureVerificationAlgorithm| *known.public_key_alg_id() == *key_algorithm;
        let mut known = algorithms.iter().filter(knows_signature).peekable();
        if known.peek().is_none() {
            return Err(SignatureError::UnknownAlgorithm);
        }
        known
            .find(|known| fits_key(known))
            .and_then(|known| known.verify_signature(key, self.message, self.signature).ok())
            .ok_or(SignatureError::Bad)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureError {
    /// SHA-1, MD5 or MD2: anybody can forge it.
    BrokenHash,
    UnknownAlgorithm,
    /// Not made with this key, or with a key that is too small.
    Bad,
}

/// The algorithm and the key of a SubjectPublicKeyInfo.
pub(super) fn split_key(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = DerReader::new(public_key);
    let algorithm = fields.element(der::SEQUENCE)?.content;
    let (0, key) = fields.element(der::BIT_STRING)?.content.split_first()? else { return None };
    fields.finish()?;
    Some((algorithm, key))
}

/// Whether an AlgorithmIdentifier names a signature over SHA-1, MD5 or MD2.
pub(super) fn is_broken_hash(algorithm: &[u8]) -> bool {
    let identifier = DerReader::new(algorithm).element(der::OBJECT_IDENTIFIER).map(|element| element.content);
    identifier.is_some_and(|identifier| BROKEN_HASHES.contains(&identifier))
}

const BROKEN_HASHES: [&[u8]; 6] = [
    // md2WithRSAEncryption, md5WithRSAEncryption, sha1WithRSAEncryption: 1.2.840.113549.1.1.x
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x02",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05",
    // ecdsa-with-SHA1: 1.2.840.10045.4.1
    b"\x2a\x86\x48\xce\x3d\x04\x01",
    // dsa-with-sha1: 1.2.840.10040.4.3
    b"\x2a\x86\x48\xce\x38\x04\x03",
    // sha1WithRSASignature: 1.3.14.3.2.29
    b"\x2b\x0e\x03\x02\x1d",
];

/// The tag of the version: `[0]`, explicit.
const VERSION: u8 = 0xa0;
