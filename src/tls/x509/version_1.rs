//! Client certificates of X.509 version 1.
//!
//! A certificate without extensions is of version 1 when older tools make it, such as the plain
//! `openssl x509 -req` of OpenSSL 3.0. webpki refuses it; nginx and the clouds accept it. Here it is accepted
//! where a configured CA has signed it directly. It has no extensions that could restrict its use, and it never
//! stands for a CA.

use rustls::DigitallySignedStruct;
use rustls::Error;
use rustls::PeerMisbehaved;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SignatureVerificationAlgorithm;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::TrustAnchor;

use crate::tls::x509::client_error::ClientCertificateError;
use crate::tls::x509::parsed::ParsedCertificate;
use crate::tls::x509::parsed::SignatureError;

/// The CA that signed this certificate, which must be valid at `now`, seconds since 1970. Whether it was
/// revoked is not looked at.
pub(super) fn find_issuer<'i>(
    certificate: &ParsedCertificate<'_>,
    anchors: &'i [TrustAnchor<'static>],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    now: i64,
) -> Result<&'i TrustAnchor<'static>, ClientCertificateError> {
    let mut refused = ClientCertificateError::UnknownCa;
    // A bundle may hold several keys of one name, the old one and the new one.
    let candidates = anchors.iter().filter(|anchor| anchor.subject.as_ref() == certificate.issuer);
    for anchor in candidates {
        match certificate.signed.is_by(anchor.subject_public_key_info.as_ref(), algorithms) {
            // There are no names in it that such constraints could be checked against.
            Ok(()) if anchor.name_constraints.is_some() => refused = ClientCertificateError::NotPermitted,
            Ok(()) if now < certificate.not_before => return Err(ClientCertificateError::NotYetValid),
            Ok(()) if now > certificate.not_after => return Err(ClientCertificateError::Expired),
            Ok(()) => return Ok(anchor),
            Err(SignatureError::BrokenHash) => return Err(ClientCertificateError::BrokenHash),
            Err(SignatureError::UnknownAlgorithm) => refused = ClientCertificateError::UnsupportedSignature,
            Err(SignatureError::Bad) => refused = ClientCertificateError::BadSignature,
        }
    }
    Err(refused)
}

/// Whether the client has the key of this certificate: it signed the handshake of TLS 1.3.
pub(in crate::tls) fn verify_tls13_signature(
    message: &[u8],
    certificate: &ParsedCertificate<'_>,
    signed: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(certificate.public_key_whole);
    // One algorithm for each scheme: curves are bound, PKCS #1 is refused.
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, supported)
}

/// The same in TLS 1.2, where a scheme of ECDSA goes with every curve, and RSA may be PKCS #1.
pub(in crate::tls) fn verify_tls12_signature(
    message: &[u8],
    certificate: &ParsedCertificate<'_>,
    signed: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let refused = ClientCertificateError::BadSignature;
    let scheme = supported.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let Some((_, algorithms)) = scheme.filter(|(scheme, _)| is_of_tls12(*scheme)) else {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    };
    let key = SubjectPublicKeyInfoDer::from(certificate.public_key_whole);
    let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| refused.to_rustls())?;
    let verifies = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        key.verify_signature(*algorithm, message, signed.signature()).is_ok()
    };
    match algorithms.iter().any(verifies) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(refused.to_rustls()),
    }
}

fn is_of_tls12(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512
            | SignatureScheme::ED25519
            | SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    )
}
