//! What clients of QUIC trust and show.

use super::tls::{Pair, own_pair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The TLS of a client, which may resume the sessions that it has had with a server.
#[derive(Clone)]
pub(crate) struct QuicTls {
    pub(super) config: Arc<ClientConfig>,
    verified: Arc<AtomicUsize>,
}

impl QuicTls {
    /// Trusts the certificate of the kit.
    pub(crate) fn of_the_kit() -> QuicTls {
        QuicTls::trusting(&own_pair().certificate, None, &["h3"])
    }

    /// Trusts this certificate, shows `pair` when it is asked for one, and offers these protocols.
    pub(crate) fn trusting(root: &str, pair: Option<&Pair>, protocols: &[&str]) -> QuicTls {
        let provider = Arc::new(default_provider());
        let mut store = RootCertStore::empty();
        store.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("it is PEM")).expect("it is a root");
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
        let verified = Arc::new(AtomicUsize::new(0));
        let verifier = CountingVerifier {
            inner: inner.build().expect("there is a root"),
            verified: Arc::clone(&verified),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("QUIC has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match pair {
            Some(pair) => {
                let key = any_supported_type(&pair.private_key()).expect("the key is good");
                let certified = CertifiedKey::new(pair.chain(), key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        // What is offered only if the server's ticket allows it.
        config.enable_early_data = true;
        QuicTls { config: Arc::new(config), verified }
    }

    /// How many handshakes showed a certificate; those that resume a session show none.
    pub(crate) fn full_handshakes(&self) -> usize {
        self.verified.load(Ordering::SeqCst)
    }
}

/// Verifies and counts.
#[derive(Debug)]
struct CountingVerifier {
    inner: Arc<WebPkiServerVerifier>,
    verified: Arc<AtomicUsize>,
}

impl ServerCertVerifier for CountingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verified.fetch_add(1, Ordering::SeqCst);
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
