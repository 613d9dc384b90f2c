//! Kinds of keys, and the private key of a certificate as files hold it.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

use crate::tls::x509::certificate_faults::CertificateFault;
use crate::tls::x509::certificate_faults::ChainFault;
use crate::tls::x509::certificate_faults::FileFault;
use crate::tls::x509::certificate_faults::KeyFault;
use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;
use crate::tls::x509::distinguished_name;
use crate::tls::x509::parsed::split_key;
use crate::tls::x509::pem::PemSection;

/// The kinds that rustls signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa { bits: usize },
    P256,
    P384,
    P521,
    Ed25519,
}

const RSA_BITS_MIN: usize = 2_048;
/// Bits of an RSA key; larger ones take too long to sign with.
const MAX_RSA_BITS: usize = 8_192;

impl KeyKind {
    /// The kind of a public key, if it can serve. `key` is the content of a SubjectPublicKeyInfo, here and below.
    pub(super) fn of(key: &[u8]) -> Result<KeyKind, ChainFault> {
        let kind = recognise(key);
        match kind {
            Ok(KeyKind::Rsa { bits }) if bits < RSA_BITS_MIN => Err(ChainFault::WeakRsa(bits)),
            Ok(KeyKind::Rsa { bits }) if bits > MAX_RSA_BITS => Err(ChainFault::LongRsa(bits)),
            Ok(kind) => Ok(kind),
            Err(name) => Err(ChainFault::UnknownKeyType(name)),
        }
    }

    /// The schemes with which such a key signs.
    pub(super) fn schemes(self) -> &'static [SignatureScheme] {
        match self {
            KeyKind::Rsa { .. } => &[
                SignatureScheme::RSA_PSS_SHA512,
                SignatureScheme::RSA_PSS_SHA384,
                SignatureScheme::RSA_PSS_SHA256,
                SignatureScheme::RSA_PKCS1_SHA512,
                SignatureScheme::RSA_PKCS1_SHA384,
                SignatureScheme::RSA_PKCS1_SHA256,
            ],
            KeyKind::P256 => &[SignatureScheme::ECDSA_NISTP256_SHA256],
            KeyKind::P384 => &[SignatureScheme::ECDSA_NISTP384_SHA384],
            KeyKind::P521 => &[SignatureScheme::ECDSA_NISTP521_SHA512],
            KeyKind::Ed25519 => &[SignatureScheme::ED25519],
        }
    }
}

/// The kind of a public key in words.
pub(super) fn describe(key: &[u8]) -> String {
    match recognise(key) {
        Ok(KeyKind::Rsa { bits }) => format!("RSA, {bits} bits"),
        Ok(KeyKind::P256) => "ECDSA P-256".to_owned(),
        Ok(KeyKind::P384) => "ECDSA P-384".to_owned(),
        Ok(KeyKind::P521) => "ECDSA P-521".to_owned(),
        Ok(KeyKind::Ed25519) => "Ed25519".to_owned(),
        Err(name) => name,
    }
}

/// The kind of a key; for one that is not known, its name or object identifier.
fn recognise(key: &[u8]) -> Result<KeyKind, String> {
    let unreadable = || "of a kind that cannot be read".to_owned();
    let (algorithm, bits) = split_key(key).ok_or_else(unreadable)?;
    let mut algorithm = DerReader::new(algorithm);
    let identifier = algorithm.element(der::OBJECT_IDENTIFIER).ok_or_else(unreadable)?.content;
    match identifier {
        RSA_ENCRYPTION => match rsa_bits(bits) {
            Some(bits) => Ok(KeyKind::Rsa { bits }),
            None => Err("RSA that cannot be read".to_owned()),
        },
        EC_PUBLIC_KEY => match algorithm.element(der::OBJECT_IDENTIFIER).map(|curve| curve.content) {
            Some(P256) => Ok(KeyKind::P256),
            Some(P384) => Ok(KeyKind::P384),
            Some(P521) => Ok(KeyKind::P521),
            Some(other) => Err(format!("ECDSA on the curve {}", dotted(other))),
            None => Err("ECDSA on a curve without a name".to_owned()),
        },
        ED25519 => Ok(KeyKind::Ed25519),
        ED448 => Err("Ed448".to_owned()),
        DSA => Err("DSA".to_owned()),
        RSASSA_PSS => Err("RSASSA-PSS".to_owned()),
        other => Err(dotted(other)),
    }
}

fn dotted(identifier: &[u8]) -> String {
    distinguished_name::dotted(identifier).unwrap_or_else(|| "without a name".to_owned())
}

/// How long an RSA key is; None if it cannot be read.
pub(super) fn rsa_bits(key: &[u8]) -> Option<usize> {
    let modulus = DerReader::new(key).inside(der::SEQUENCE)?.element(der::INTEGER)?.content;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let leading = modulus.get(first)?.leading_zeros() as usize;
    Some((modulus.len() - first) * 8 - leading)
}

/// 1.2.840.113549.1.1.1
pub(super) const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// 1.2.840.113549.1.1.10
const RSASSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
/// 1.2.840.10040.4.1
const DSA: &[u8] = b"\x2a\x86\x48\xce\x38\x04\x01";
/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
/// 1.2.840.10045.3.1.7
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// 1.3.132.0.34 and 1.3.132.0.35
const P384: &[u8] = b"\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x2b\x81\x04\x00\x23";
/// 1.3.101.112 and 1.3.101.113
const ED25519: &[u8] = b"\x2b\x65\x70";
const ED448: &[u8] = b"\x2b\x65\x71";

/// The one private key among the sections of a file. Certificates beside it do no harm, nor do the
/// EC PARAMETERS that `openssl ecparam` writes before a key.
pub(super) fn read(sections: Vec<PemSection>) -> Result<Arc<dyn SigningKey>, CertificateFault> {
    if sections.iter().any(|section| section.is_encrypted || section.label == "ENCRYPTED PRIVATE KEY") {
        return Err(CertificateFault::Key(KeyFault::Encrypted));
    }
    let labels: Vec<String> = sections.iter().map(|section| section.label.clone()).collect();
    let mut keys = sections.into_iter().filter(|section| section.label.ends_with("PRIVATE KEY"));
    let Some(key) = keys.next() else {
        return Err(match labels.into_iter().next() {
            None => CertificateFault::File(FileFault::NoPem),
            Some(label) if label == "CERTIFICATE" => CertificateFault::Key(KeyFault::HoldsCertificate),
            Some(label) => CertificateFault::Key(KeyFault::NoKey(label)),
        });
    };
    let others = keys.count();
    if others > 0 {
        return Err(CertificateFault::Key(KeyFault::Several(others + 1)));
    }
    let malformed = CertificateFault::Key(KeyFault::Malformed { line: key.line });
    let der = match key.label.as_str() {
        "PRIVATE KEY" => PrivateKeyDer::Pkcs8(key.der.into()),
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(key.der.into()),
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(key.der.into()),
        _ => return Err(malformed),
    };
    any_supported_type(&der).map_err(|_| malformed)
}

/// Whether a private key is that of a public key.
///
/// The bits are compared, not the whole structures: their algorithms may be written differently.
pub(super) fn is_of(key: &dyn SigningKey, public: &[u8]) -> bool {
    let Some(own) = key.public_key() else { return false };
    let Some(own) = DerReader::new(own.as_ref()).element(der::SEQUENCE) else { return false };
    own.content == public || parts(own.content).is_some_and(|own| parts(public) == Some(own))
}

/// The identifier of the algorithm of a public key, and its bits.
fn parts(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (algorithm, bits) = split_key(key)?;
    Some((DerReader::new(algorithm).element(der::OBJECT_IDENTIFIER)?.content, bits))
}

/// The kind of a private key in words.
pub(super) fn describe_private(key: &dyn SigningKey) -> String {
    let public = key.public_key();
    let parsed = public.as_ref().and_then(|public| DerReader::new(public.as_ref()).element(der::SEQUENCE));
    parsed.map_or_else(|| format!("{:?}", key.algorithm()), |public| describe(public.content))
}
