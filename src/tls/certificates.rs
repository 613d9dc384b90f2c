//! Certificates with their keys: from the bytes of files to what a handshake needs.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

/// A certificate that was checked, with its key and staple.
#[derive(Debug)]
pub struct Certificate {
    pub certified: Arc<CertifiedKey>,
    /// What it is good for: lower case, without a dot at the end, wildcards as they stand.
    pub names: Vec<String>,
    /// Also true for Ed25519: an elliptic curve, and not RSA.
    pub is_ecdsa: bool,
    /// Seconds since the Unix epoch.
    pub not_before: i64,
    pub not_after: i64,
}

/// (to be replaced)
pub fn quick(chain: &[u8], key: &[u8]) -> Option<Certificate> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).filter_map(Result::ok).collect();
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).ok()?;
    let certified = Arc::new(CertifiedKey::new(chain, key));
    Some(Certificate { certified, names: Vec::new(), is_ecdsa: true, not_before: 0, not_after: 0 })
}
