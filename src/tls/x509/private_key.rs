//! Kinds of keys, and the private key of a certificate as files hold it.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::tls::x509::certificate_faults::CertificateFault;
use crate::tls::x509::certificate_faults::ChainFault;
use crate::tls::x509::certificate_faults::FileFault;
use crate::tls::x509::certificate_faults::KeyFault;
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
    /// The kind of a public key, if it can serve.
    pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Result<KeyKind, ChainFault> {
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
pub(super) fn describe(key: &SubjectPublicKeyInfo<'_>) -> String {
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
fn recognise(key: &SubjectPublicKeyInfo<'_>) -> Result<KeyKind, String> {
    let algorithm = key.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.113549.1.1.1" => match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => Ok(KeyKind::Rsa { bits: rsa.key_size() }),
            _ => Err("RSA that cannot be read".to_owned()),
        },
        "1.2.840.10045.2.1" => {
            let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => Ok(KeyKind::P256),
                Some("1.3.132.0.34") => Ok(KeyKind::P384),
                Some("1.3.132.0.35") => Ok(KeyKind::P521),
                Some(other) => Err(format!("ECDSA on the curve {other}")),
                None => Err("ECDSA on a curve without a name".to_owned()),
            }
        }
        "1.3.101.112" => Ok(KeyKind::Ed25519),
        "1.3.101.113" => Err("Ed448".to_owned()),
        "1.2.840.10040.4.1" => Err("DSA".to_owned()),
        "1.2.840.113549.1.1.10" => Err("RSASSA-PSS".to_owned()),
        _ => Err(algorithm),
    }
}

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
pub(super) fn is_of(key: &dyn SigningKey, public: &SubjectPublicKeyInfo<'_>) -> bool {
    let Some(own) = key.public_key() else { return false };
    if own.as_ref() == public.raw {
        return true;
    }
    SubjectPublicKeyInfo::from_der(own.as_ref()).is_ok_and(|(_, own)| {
        own.algorithm.algorithm == public.algorithm.algorithm
            && own.subject_public_key.data == public.subject_public_key.data
    })
}

/// The kind of a private key in words.
pub(super) fn describe_private(key: &dyn SigningKey) -> String {
    let public = key.public_key();
    let parsed = public.as_ref().and_then(|public| SubjectPublicKeyInfo::from_der(public.as_ref()).ok());
    parsed.map_or_else(|| format!("{:?}", key.algorithm()), |(_, public)| describe(&public))
}
