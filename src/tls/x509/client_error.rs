//! What can be wrong with a client's certificate, in the words of logs, headers and alerts.

use rustls::CertificateError;
use rustls::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificateError {
    /// No certificate, or none that can be read.
    Malformed,
    /// Longer than [`crate::tls::x509::ca::MAX_CERTIFICATE_BYTES`].
    TooLarge,
    /// A version, critical extension or kind of name that Ringway does not know.
    Unsupported,
    Expired,
    NotYetValid,
    UnknownCa,
    BadSignature,
    /// Signed over SHA-1 or MD5.
    BrokenHash,
    UnsupportedSignature,
    /// Its extended key usage leaves out clients, or it is the certificate of a CA.
    WrongPurpose,
    /// Against the name constraints or the path length of its CA.
    NotPermitted,
    ChainTooLong,
    CaExpired,
    CaNotYetValid,
    Revoked,
    /// The revocation list of its CA is past its nextUpdate.
    CrlStale,
    /// Its CA has to have a revocation list, and has none.
    CrlMissing,
}

impl ClientCertificateError {
    /// For logs and counters.
    pub fn reason(self) -> &'static str {
        match self {
            ClientCertificateError::Malformed => "client_certificate_malformed",
            ClientCertificateError::TooLarge => "client_certificate_too_large",
            ClientCertificateError::Unsupported => "client_certificate_unsupported",
            ClientCertificateError::Expired => "client_certificate_expired",
            ClientCertificateError::NotYetValid => "client_certificate_not_yet_valid",
            ClientCertificateError::UnknownCa => "client_certificate_unknown_ca",
            ClientCertificateError::BadSignature => "client_certificate_bad_signature",
            ClientCertificateError::BrokenHash => "client_certificate_sha1",
            ClientCertificateError::UnsupportedSignature => "client_certificate_unsupported_signature",
            ClientCertificateError::WrongPurpose => "client_certificate_wrong_purpose",
            ClientCertificateError::NotPermitted => "client_certificate_not_permitted",
            ClientCertificateError::ChainTooLong => "client_certificate_chain_too_long",
            ClientCertificateError::CaExpired => "client_certificate_ca_expired",
            ClientCertificateError::CaNotYetValid => "client_certificate_ca_not_yet_valid",
            ClientCertificateError::Revoked => "client_certificate_revoked",
            ClientCertificateError::CrlStale => "client_certificate_crl_stale",
            ClientCertificateError::CrlMissing => "client_certificate_crl_missing",
        }
    }

    /// What stands behind `FAILED:` in the header about the verification.
    pub fn words(self) -> &'static str {
        match self {
            ClientCertificateError::Malformed => "certificate cannot be read",
            ClientCertificateError::TooLarge => "certificate is too large",
            ClientCertificateError::Unsupported => "certificate has an unknown critical extension or version",
            ClientCertificateError::Expired => "certificate has expired",
            ClientCertificateError::NotYetValid => "certificate is not yet valid",
            ClientCertificateError::UnknownCa => "certificate is signed by no configured CA",
            ClientCertificateError::BadSignature => "certificate signature failure",
            ClientCertificateError::BrokenHash => "certificate is signed with SHA-1 or MD5",
            ClientCertificateError::UnsupportedSignature => {
                "certificate signature algorithm is not supported"
            }
            ClientCertificateError::WrongPurpose => "certificate is not meant for clients",
            ClientCertificateError::NotPermitted => "certificate is not permitted by its CA",
            ClientCertificateError::ChainTooLong => "certificate chain is too long",
            ClientCertificateError::CaExpired => "CA certificate has expired",
            ClientCertificateError::CaNotYetValid => "CA certificate is not yet valid",
            ClientCertificateError::Revoked => "certificate is revoked",
            ClientCertificateError::CrlStale => "CRL has expired",
            ClientCertificateError::CrlMissing => "CRL of the CA is missing",
        }
    }

    /// The error that makes rustls send the fitting alert.
    pub fn to_rustls(self) -> Error {
        Error::InvalidCertificate(match self {
            // bad_certificate
            ClientCertificateError::Malformed => CertificateError::BadEncoding,
            ClientCertificateError::Unsupported => CertificateError::UnhandledCriticalExtension,
            // certificate_expired
            ClientCertificateError::Expired | ClientCertificateError::CaExpired => CertificateError::Expired,
            ClientCertificateError::NotYetValid | ClientCertificateError::CaNotYetValid => {
                CertificateError::NotValidYet
            }
            // unknown_ca
            ClientCertificateError::UnknownCa => CertificateError::UnknownIssuer,
            ClientCertificateError::CrlStale => CertificateError::ExpiredRevocationList,
            ClientCertificateError::CrlMissing => CertificateError::UnknownRevocationStatus,
            // certificate_revoked
            ClientCertificateError::Revoked => CertificateError::Revoked,
            // decrypt_error
            ClientCertificateError::BadSignature => CertificateError::BadSignature,
            // unsupported_certificate
            ClientCertificateError::WrongPurpose
            | ClientCertificateError::BrokenHash
            | ClientCertificateError::UnsupportedSignature
            | ClientCertificateError::TooLarge => CertificateError::InvalidPurpose,
            // access_denied
            ClientCertificateError::NotPermitted | ClientCertificateError::ChainTooLong => {
                CertificateError::ApplicationVerificationFailure
            }
        })
    }
}

impl From<webpki::Error> for ClientCertificateError {
    fn from(error: webpki::Error) -> ClientCertificateError {
        use webpki::Error as Refusal;
        match error {
            Refusal::CertExpired { .. } | Refusal::InvalidCertValidity => ClientCertificateError::Expired,
            Refusal::CertNotValidYet { .. } => ClientCertificateError::NotYetValid,
            Refusal::UnknownIssuer => ClientCertificateError::UnknownCa,
            Refusal::InvalidSignatureForPublicKey
            | Refusal::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                ClientCertificateError::BadSignature
            }
            Refusal::UnsupportedSignatureAlgorithmContext(_) => ClientCertificateError::UnsupportedSignature,
            Refusal::RequiredEkuNotFoundContext(_)
            | Refusal::EmptyEkuExtension
            | Refusal::CaUsedAsEndEntity => ClientCertificateError::WrongPurpose,
            Refusal::NameConstraintViolation
            | Refusal::PathLenConstraintViolated
            | Refusal::EndEntityUsedAsCa
            | Refusal::CertDistrusted => ClientCertificateError::NotPermitted,
            Refusal::MaximumPathDepthExceeded
            | Refusal::MaximumPathBuildCallsExceeded
            | Refusal::MaximumSignatureChecksExceeded
            | Refusal::MaximumNameConstraintComparisonsExceeded => ClientCertificateError::ChainTooLong,
            Refusal::UnsupportedCertVersion
            | Refusal::UnsupportedCriticalExtension
            | Refusal::UnsupportedNameType => ClientCertificateError::Unsupported,
            _ => ClientCertificateError::Malformed,
        }
    }
}
