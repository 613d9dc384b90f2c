//! TLS of a listener as QUIC carries it (RFC 9001): the same certificates, clients and tickets, without records.
//!
//! Whoever drives the handshake calls [`begin_step`] before and [`QuicFacts::take_notes`] after each step of it, for the
//! same reasons as [`crate::tls::accept`] does: rustls tells some things in passing only.

use std::any::Any;
use std::sync::Arc;

use rustls::Error;
use rustls::NoKeyLog;
use rustls::ProtocolVersion;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::pki_types::CertificateDer;
use rustls::quic::Suite;

use crate::tls::accept::DownstreamTls;
use crate::tls::accept::Facts;
use crate::tls::accept::HandshakeError;
use crate::tls::client_verifier::ClientVerdict;
use crate::tls::quic_hello::take_fingerprints;
use crate::tls::tickets::take_opened;

/// What a listener offers clients that come by QUIC. One for all workers.
pub struct QuicTls {
    tls: Arc<DownstreamTls>,
    config: Arc<ServerConfig>,
}

impl QuicTls {
    /// `alpn`: the protocols that are agreed to, the most wanted first.
    ///
    /// # Errors
    /// The listener does not offer TLS 1.3, without which there is no QUIC (RFC 9001 §4.2).
    pub fn new(tls: Arc<DownstreamTls>, alpn: &[&[u8]]) -> Result<QuicTls, Error> {
        let mut config = ServerConfig::clone(tls.usual());
        let suites = &config.crypto_provider().cipher_suites;
        if !suites.iter().any(|suite| suite.version().version == ProtocolVersion::TLSv1_3) {
            return Err(Error::General("QUIC needs TLS 1.3".to_owned()));
        }
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // Packets are sealed by who carries the connection, who gets the keys in another way.
        config.enable_secret_extraction = false;
        config.key_log = Arc::new(NoKeyLog);
        // Tickets without a store of sessions allow no early data in rustls, and a replay is never told from a request.
        config.max_early_data_size = 0;
        Ok(QuicTls { config: Arc::new(config), tls })
    }

    /// What rustls is told.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// What seals the first packets, whatever the listener offers (RFC 9001 §5.2).
    pub fn initial_suite() -> Option<Suite> {
        cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
    }

    /// The listener's own.
    pub fn tls(&self) -> &Arc<DownstreamTls> {
        &self.tls
    }

    /// What a handshake that is done has told. `identity` are the client's certificates as rustls gives them.
    ///
    /// # Errors
    /// The certificates of a resumed session are no longer good enough.
    pub fn conclude(
        &self,
        noted: QuicFacts,
        identity: Option<Box<dyn Any>>,
        alpn: Option<Vec<u8>>,
    ) -> Result<Box<Facts>, HandshakeError> {
        let QuicFacts { mut facts, opened_ticket, .. } = noted;
        facts.version = "TLSv1.3";
        facts.alpn = alpn;
        facts.chain = identity
            .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
            .map(|chain| *chain)
            .unwrap_or_default();
        // The verifier is asked in full handshakes only.
        facts.resumed = opened_ticket && facts.verdict.is_none();
        // The order is ours.
        let ours = self.config.crypto_provider().cipher_suites.iter();
        let mut ours = ours.filter(|suite| suite.tls13().is_some()).map(|suite| u16::from(suite.suite()));
        facts.cipher_suite = ours.find(|number| facts.offered_suites.contains(number)).unwrap_or(0);
        self.tls.judge(&mut facts)?;
        Ok(facts)
    }
}

/// Forgets what other connections of this thread have left behind.
pub fn begin_step() {
    QuicFacts::default().take_notes();
}

/// What is noted while a handshake goes on.
#[derive(Default)]
pub struct QuicFacts {
    facts: Box<Facts>,
    /// A session of the client's could be opened. It is resumed then, unless the client asks for another name or hash.
    opened_ticket: bool,
    has_no_certificate: bool,
}

impl QuicFacts {
    /// Takes what the step of the handshake that was just made on this thread has left.
    pub fn take_notes(&mut self) {
        self.has_no_certificate |= self.facts.take_notes();
        self.opened_ticket |= take_opened();
        if let Some(fingerprints) = take_fingerprints() {
            self.facts.fingerprints = Some(fingerprints);
        }
    }

    /// Why the handshake failed, by the alert that was sent (RFC 9001 §4.8).
    pub fn failure(&self, alert: u8) -> HandshakeError {
        match (alert, self.facts.verdict) {
            _ if self.has_no_certificate => HandshakeError::UnknownName,
            // bad_certificate to certificate_unknown, unknown_ca, access_denied and decrypt_error.
            (42..=46 | 48 | 49 | 51, Some(ClientVerdict::Failed(error))) => {
                HandshakeError::BadClientCertificate(error)
            }
            // certificate_required
            (116, _) => HandshakeError::NoClientCertificate,
            (120, _) => HandshakeError::NoProtocol,
            // handshake_failure, protocol_version
            (40 | 70, _) => HandshakeError::NothingInCommon,
            // unexpected_message, illegal_parameter, decode_error, decrypt_error, missing_extension
            (10 | 47 | 50 | 51 | 109, _) => HandshakeError::Malformed,
            _ => HandshakeError::Other,
        }
    }
}

#[cfg(test)]
pub(crate) mod kit;
