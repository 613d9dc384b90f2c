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
