//! What rustls asks when a client shows a certificate.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use rustls::DigitallySignedStruct;
use rustls::DistinguishedName;
use rustls::Error;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerified;
use rustls::server::danger::ClientCertVerifier;

use crate::tls::x509::ca::TrustedCas;
use crate::tls::x509::ca::algorithms;
use crate::tls::x509::client_error::ClientCertificateError;
use crate::tls::x509::parsed::ParsedCertificate;
use crate::tls::x509::version_1;

/// What becomes of a client without a good certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// It is let in, and backends may learn of it.
    Optional,
    /// The handshake fails.
    Require,
}

/// What is found about the certificate that a client has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientVerdict {
    Success,
    Failed(ClientCertificateError),
}

impl fmt::Display for ClientVerdict {
    /// As a backend gets it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientVerdict::Success => formatter.write_str("SUCCESS"),
            ClientVerdict::Failed(error) => write!(formatter, "FAILED:{}", error.words()),
        }
    }
}

thread_local! {
    /// rustls calls the verifier while it processes records, on the thread of the connection, and has no
    /// other way to hand on what was found.
    static VERDICT: Cell<Option<ClientVerdict>> = const { Cell::new(None) };
}

/// What the verifier said since this was last called on this thread; None if no client showed a certificate.
///
/// To be called after every processing of records of a handshake, so that the verdict on one connection is
/// never taken for that on another. A resumed session asks no verifier: its certificates are verified with
/// [`TrustedCas::verify`]. In a failed handshake the verdict tells why, more exactly than rustls' error.
pub fn take_verdict() -> Option<ClientVerdict> {
    VERDICT.take()
}

/// Names of CAs are sent up to this size, as much as the extension takes beside others. Clients with several
/// certificates choose by them; without any, they choose themselves.
const MAX_HINT_BYTES: usize = 32 << 10;

/// With [`ClientAuthMode::Optional`] a bad certificate is let pass, and the verdict says what was wrong. That the
/// client has its key is verified all the same: without a good signature the handshake fails.
#[derive(Debug)]
pub struct ClientVerifier {
    mode: ClientAuthMode,
    authorities: Arc<TrustedCas>,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    pub fn new(mode: ClientAuthMode, authorities: Arc<TrustedCas>) -> ClientVerifier {
        let hints: Vec<_> = authorities.subjects().into_iter().map(DistinguishedName::in_sequence).collect();
        let bytes: usize = hints.iter().map(|hint| hint.as_ref().len() + 2).sum();
        let hints = if bytes <= MAX_HINT_BYTES { hints } else { Vec::new() };
        ClientVerifier { mode, authorities, hints }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientAuthMode::Require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> =
            std::iter::once(end_entity).chain(intermediates).map(|certificate| borrow(certificate)).collect();
        let outcome = self.authorities.verify(&chain, now);
        VERDICT.set(Some(outcome.map_or_else(ClientVerdict::Failed, |()| ClientVerdict::Success)));
        match (outcome, self.mode) {
            (Err(error), ClientAuthMode::Require) => Err(error.to_rustls()),
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match ParsedCertificate::parse(certificate).filter(|parsed| parsed.version == 1) {
            Some(parsed) => version_1::verify_tls12_signature(message, &parsed, signed, &algorithms()),
            None => crypto::verify_tls12_signature(message, certificate, signed, &algorithms()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match ParsedCertificate::parse(certificate).filter(|parsed| parsed.version == 1) {
            Some(parsed) => version_1::verify_tls13_signature(message, &parsed, signed, &algorithms()),
            None => crypto::verify_tls13_signature(message, certificate, signed, &algorithms()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

fn borrow<'c>(certificate: &'c CertificateDer<'_>) -> CertificateDer<'c> {
    CertificateDer::from(&**certificate)
}
