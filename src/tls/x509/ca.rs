//! The CAs whose clients are let in: their certificates as trust anchors, and their revocation lists.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::TrustAnchor;
use rustls::pki_types::UnixTime;

use crate::tls::x509::client_error::ClientCertificateError;
use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;
use crate::tls::x509::parsed::ParsedCertificate;
use crate::tls::x509::parsed::is_broken_hash;
use crate::tls::x509::revocation::RevocationList;
use crate::tls::x509::version_1;

/// At most this many CA certificates may stand between a client's certificate and a configured CA.
pub const MAX_INTERMEDIATES: usize = 4;

/// A client's certificate may be this long. Percent-encoded it makes a header of 1.6 times its size, which
/// the backends have to take.
pub const MAX_CERTIFICATE_BYTES: usize = 16 << 10;

/// One `[[ca]]`: the certificates of its bundle, each a trust anchor in its own right, be it a root or an
/// intermediate; and their revocation lists.
#[derive(Debug)]
pub struct Ca {
    /// Runs beside `issuers`.
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    pub(super) issuers: Vec<Issuer>,
    /// Whether every certificate must be covered by a revocation list.
    pub(super) checks_revocation: bool,
    pub(super) digest: [u8; 32],
}

/// What an anchor does not say of a CA.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// The newest that this CA signed.
    pub(super) revocations: Option<Arc<RevocationList>>,
}

/// What one listener trusts.
#[derive(Debug)]
pub struct TrustedCas {
    /// Those with revocation lists first: where the same CA stands in two of them, its list counts.
    authorities: Vec<Arc<Ca>>,
    digest: [u8; 32],
}

impl TrustedCas {
    pub fn new(mut authorities: Vec<Arc<Ca>>) -> TrustedCas {
        authorities.sort_by_key(|authority| !authority.checks_revocation);
        let mut digests: Vec<_> = authorities.iter().map(|authority| authority.digest).collect();
        digests.sort_unstable();
        let digest = sha256(digests.iter().map(|digest| &digest[..]));
        TrustedCas { authorities, digest }
    }

    /// Whether the client's chain, its own certificate first, leads to one of the CAs.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), ClientCertificateError> {
        let (leaf, intermediates) = chain.split_first().ok_or(ClientCertificateError::Malformed)?;
        if leaf.len() > MAX_CERTIFICATE_BYTES {
            return Err(ClientCertificateError::TooLarge);
        }
        // Some clients send the root as well.
        if intermediates.len() > MAX_INTERMEDIATES + 1 {
            return Err(ClientCertificateError::ChainTooLong);
        }
        let parsed = ParsedCertificate::parse(leaf).ok_or(ClientCertificateError::Malformed)?;
        if is_broken_hash(parsed.signed.algorithm) {
            return Err(ClientCertificateError::BrokenHash);
        }
        let mut refused = ClientCertificateError::UnknownCa;
        for authority in &self.authorities {
            let outcome = match parsed.version {
                1 => authority.verify_version_1(&parsed, now),
                _ => authority.verify_path(leaf, intermediates, now),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(ClientCertificateError::UnknownCa) => {}
                // The chain leads to this CA, and its lists have the last word.
                Err(
                    error @ (ClientCertificateError::Revoked
                    | ClientCertificateError::CrlStale
                    | ClientCertificateError::CrlMissing),
                ) => return Err(error),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Differs when the CAs or their revocation lists differ; sessions are bound to it.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The names of the CAs, each once, as the content of its sequence.
    pub(in crate::tls) fn subjects(&self) -> Vec<&[u8]> {
        let anchors = self.authorities.iter().flat_map(|authority| &authority.anchors);
        let mut subjects: Vec<&[u8]> = anchors.map(|anchor| anchor.subject.as_ref()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }
}

impl Ca {
    /// Differs when its certificates or revocation lists differ.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// When the first of its revocation lists becomes stale, in seconds since the Unix epoch; None if none
    /// ever does.
    pub fn lists_end(&self) -> Option<i64> {
        let lists = self.issuers.iter().filter_map(|issuer| issuer.revocations.as_ref());
        lists.filter_map(|list| list.next_update).min()
    }

    /// Whether the chain of a backend leads to this CA. What it is for is not looked at.
    pub(in crate::tls) fn verify_server(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ClientCertificateError> {
        if self.is_anchor(leaf, now)? {
            return Ok(());
        }
        self.verify_chain(leaf, intermediates, now, webpki::KeyUsage::server_auth())
    }

    /// A backend may show a certificate that stands in the bundle itself: it is trusted as it is. webpki
    /// refuses that, because most of such certificates say that they are of a CA.
    fn is_anchor(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<bool, ClientCertificateError> {
        let parsed = ParsedCertificate::parse(leaf).ok_or(ClientCertificateError::Malformed)?;
        let is_it = |anchor: &&TrustAnchor<'_>| {
            *anchor.subject == *parsed.subject && *anchor.subject_public_key_info == *parsed.public_key
        };
        let Some(anchor) = self.anchors.iter().find(is_it) else { return Ok(false) };
        self.check_validity(anchor, seconds(now))?;
        match seconds(now) {
            now if now < parsed.not_before => Err(ClientCertificateError::NotYetValid),
            now if now > parsed.not_after => Err(ClientCertificateError::Expired),
            _ => Ok(true),
        }
    }

    /// For a client's certificate of version 3.
    fn verify_path(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ClientCertificateError> {
        self.verify_chain(leaf, intermediates, now, webpki::KeyUsage::client_auth())
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: webpki::KeyUsage,
    ) -> Result<(), ClientCertificateError> {
        let leaf = webpki::EndEntityCert::try_from(leaf)?;
        let refused = Cell::new(None);
        let check = |path: &webpki::VerifiedPath<'_>| {
            self.check_path(path, seconds(now)).map_err(|error| {
                refused.set(Some(error));
                webpki::Error::UnknownIssuer
            })
        };
        let verified = leaf.verify_for_usage(
            algorithms().all,
            &self.anchors,
            intermediates,
            now,
            usage,
            None,
            Some(&check),
        );
        verified.map(drop).map_err(|error| match (refused.get(), ClientCertificateError::from(error)) {
            // A path was found, and then something else was wrong.
            (Some(refused), _) => refused,
            (None, ClientCertificateError::UnsupportedSignature) if has_broken_hash(intermediates) => {
                ClientCertificateError::BrokenHash
            }
            (None, error) => error,
        })
    }

    /// What webpki does not look at in a path: its length, the validity of its anchor, revocation.
    fn check_path(&self, path: &webpki::VerifiedPath<'_>, now: i64) -> Result<(), ClientCertificateError> {
        if path.intermediate_certificates().count() > MAX_INTERMEDIATES {
            return Err(ClientCertificateError::ChainTooLong);
        }
        let anchor = path.anchor();
        self.check_validity(anchor, now)?;
        if !self.checks_revocation {
            return Ok(());
        }
        // From the anchor down: who was revoked has nothing more to say.
        let mut issuer = (anchor.subject.to_vec(), anchor.subject_public_key_info.to_vec());
        let end_entity: &webpki::Cert<'_> = path.end_entity();
        for certificate in path.intermediate_certificates().rev().chain([end_entity]) {
            self.check_revocation(certificate.serial(), (&issuer.0, &issuer.1), now)?;
            let key = certificate.subject_public_key_info();
            // Anchors hold the content of the sequence.
            let key = DerReader::new(&key).element(der::SEQUENCE).map(|key| key.content.to_vec());
            issuer = (certificate.subject().to_vec(), key.unwrap_or_default());
        }
        Ok(())
    }

    /// For a client's certificate of version 1, which a CA must have signed directly.
    fn verify_version_1(
        &self,
        leaf: &ParsedCertificate<'_>,
        now: UnixTime,
    ) -> Result<(), ClientCertificateError> {
        let now = seconds(now);
        let anchor = version_1::find_issuer(leaf, &self.anchors, algorithms().all, now)?;
        self.check_validity(anchor, now)?;
        self.check_revocation(leaf.serial, (&anchor.subject, &anchor.subject_public_key_info), now)
    }

    /// A renewed CA certificate with the same name, key and constraints may stand beside the old one.
    fn check_validity(&self, anchor: &TrustAnchor<'_>, now: i64) -> Result<(), ClientCertificateError> {
        let mut outcome = Err(ClientCertificateError::UnknownCa);
        for (other, issuer) in self.anchors.iter().zip(&self.issuers) {
            if other == anchor {
                outcome = match () {
                    () if now < issuer.not_before => Err(ClientCertificateError::CaNotYetValid),
                    () if now > issuer.not_after => Err(ClientCertificateError::CaExpired),
                    () => return Ok(()),
                };
            }
        }
        outcome
    }

    /// `issuer` is a name and a key.
    fn check_revocation(
        &self,
        serial: &[u8],
        (name, key): (&[u8], &[u8]),
        now: i64,
    ) -> Result<(), ClientCertificateError> {
        if !self.checks_revocation {
            return Ok(());
        }
        let is_issuer =
            |anchor: &TrustAnchor<'_>| *anchor.subject == *name && *anchor.subject_public_key_info == *key;
        let mut issuers = self.anchors.iter().zip(&self.issuers).filter(|(anchor, _)| is_issuer(anchor));
        let revocations = issuers.find_map(|(_, issuer)| issuer.revocations.as_ref());
        match revocations {
            None => Err(ClientCertificateError::CrlMissing),
            // What was revoked once stays so, however old the list.
            Some(list) if list.contains(serial) => Err(ClientCertificateError::Revoked),
            Some(list) if list.is_stale(now) => Err(ClientCertificateError::CrlStale),
            Some(_) => Ok(()),
        }
    }
}

/// What every signature of a client, a CA and a revocation list may be made with.
pub(in crate::tls) fn algorithms() -> WebPkiSupportedAlgorithms {
    static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
        LazyLock::new(|| rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms);
    *ALGORITHMS
}

/// Whether two anchors are the same CA.
pub(super) fn is_same(left: &TrustAnchor<'_>, right: &TrustAnchor<'_>) -> bool {
    left.subject == right.subject && left.subject_public_key_info == right.subject_public_key_info
}

/// Of each part with its length, so that no two lists of parts are the same text.
pub fn sha256<'p>(parts: impl Iterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

fn has_broken_hash(intermediates: &[CertificateDer<'_>]) -> bool {
    let parsed = intermediates.iter().filter_map(|certificate| ParsedCertificate::parse(certificate));
    parsed.into_iter().any(|certificate| is_broken_hash(certificate.signed.algorithm))
}

pub(super) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
