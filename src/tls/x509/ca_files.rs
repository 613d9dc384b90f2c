//! From the files of a `[[ca]]` to an [`Ca`], or everything that is wrong with them.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::TrustAnchor;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::pem::SectionKind;

use crate::tls::x509::ca::Ca;
use crate::tls::x509::ca::Issuer;
use crate::tls::x509::ca::algorithms;
use crate::tls::x509::ca::is_same;
use crate::tls::x509::ca::seconds;
use crate::tls::x509::ca::sha256;
use crate::tls::x509::ca_findings::CaFinding;
use crate::tls::x509::ca_findings::Problem;
use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;
use crate::tls::x509::distinguished_name;
use crate::tls::x509::extensions::Extensions;
use crate::tls::x509::parsed::ParsedCertificate;
use crate::tls::x509::parsed::SignatureError;
use crate::tls::x509::parsed::is_broken_hash;
use crate::tls::x509::private_key;
use crate::tls::x509::revocation::ListError;
use crate::tls::x509::revocation::RevocationList;

/// A file that somebody else has read.
#[derive(Clone, Copy)]
pub struct CaFile<'f> {
    /// As the operator knows it.
    pub name: &'f str,
    pub bytes: &'f [u8],
}

/// The smallest RSA key that a signature is accepted of.
const RSA_BITS_MIN: usize = 2048;

impl Ca {
    /// The bundle is PEM, the revocation lists are PEM or DER. None when one of the findings is an error.
    pub fn load(bundle: CaFile<'_>, lists: &[CaFile<'_>]) -> (Option<Ca>, Vec<CaFinding>) {
        Ca::load_at(bundle, lists, UnixTime::now())
    }

    pub(super) fn load_at(
        bundle: CaFile<'_>,
        lists: &[CaFile<'_>],
        now: UnixTime,
    ) -> (Option<Ca>, Vec<CaFinding>) {
        let mut loading =
            Loading { anchors: Vec::new(), issuers: Vec::new(), digests: Vec::new(), findings: Vec::new() };
        loading.read_bundle(bundle, seconds(now));
        for list in lists {
            loading.read_lists(*list, seconds(now));
        }
        let checks_revocation = !lists.is_empty();
        if checks_revocation {
            loading.drop_revoked(bundle.name);
        }
        let Loading { anchors, issuers, mut digests, findings } = loading;
        if findings.iter().any(|finding| finding.problem.is_error()) {
            return (None, findings);
        }
        let anchors: Vec<_> = anchors.into_iter().map(|anchor| anchor.anchor).collect();
        digests.sort_unstable();
        let digest = sha256(digests.iter().map(|digest| &digest[..]));
        (Some(Ca { anchors, issuers, checks_revocation, digest }), findings)
    }
}

struct Loading {
    /// Runs beside `issuers`.
    anchors: Vec<CaCandidate>,
    issuers: Vec<Issuer>,
    /// The digests of every certificate and list.
    digests: Vec<[u8; 32]>,
    findings: Vec<CaFinding>,
}

/// A CA certificate, with what says whether another CA has revoked it.
struct CaCandidate {
    anchor: TrustAnchor<'static>,
    encoded: CertificateDer<'static>,
    /// As text.
    subject: String,
}

impl Loading {
    fn find(&mut self, file: &str, problem: Problem) {
        self.findings.push(CaFinding { file: file.to_owned(), problem });
    }

    fn read_bundle(&mut self, bundle: CaFile<'_>, now: i64) {
        let sections = self.sections(bundle);
        let certificates = sections.into_iter().filter(|(kind, _)| *kind == SectionKind::Certificate);
        let mut number = 0;
        for (_, bytes) in certificates {
            number += 1;
            if self.add_certificate(bundle.name, bytes, now).is_none() {
                self.find(bundle.name, Problem::BadCertificate { number });
            }
        }
        if number == 0 && self.findings.is_empty() {
            self.find(bundle.name, Problem::NoCertificate);
        }
    }

    /// None if it cannot be read.
    fn add_certificate(&mut self, file: &str, bytes: Vec<u8>, now: i64) -> Option<()> {
        let encoded = CertificateDer::from(bytes);
        let certificate = ParsedCertificate::parse(&encoded)?;
        let anchor = webpki::anchor_from_trusted_cert(&encoded).ok()?.to_owned();
        let subject = distinguished_name::to_text(certificate.subject)?;
        if !is_ca(&certificate)? {
            self.find(file, Problem::NotACa { subject });
            return Some(());
        }
        if now > certificate.not_after {
            let date = der::format_time(certificate.not_after);
            self.find(file, Problem::CaExpired { subject: subject.clone(), date });
        }
        if now < certificate.not_before {
            let date = der::format_time(certificate.not_before);
            self.find(file, Problem::CaNotYetValid { subject: subject.clone(), date });
        }
        if let Some(bits) = rsa_bits(certificate.public_key).filter(|bits| *bits < RSA_BITS_MIN) {
            self.find(file, Problem::WeakKey { subject: subject.clone(), bits });
        }
        if is_broken_hash(certificate.signed.algorithm) {
            self.find(file, Problem::CaSignedWithSha1 { subject: subject.clone() });
        }
        self.digests.push(sha256([&*encoded].into_iter()));
        self.issuers.push(Issuer {
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            revocations: None,
        });
        self.anchors.push(CaCandidate { anchor, encoded, subject });
        Some(())
    }

    fn read_lists(&mut self, file: CaFile<'_>, now: i64) {
        // DER begins with a SEQUENCE, PEM never with a zero.
        if file.bytes.first() == Some(&der::SEQUENCE) && !file.bytes.starts_with(b"0-") {
            return self.add_list(file.name, file.bytes, now);
        }
        let lists: Vec<_> =
            self.sections(file).into_iter().filter(|(kind, _)| *kind == SectionKind::Crl).collect();
        if lists.is_empty() && !self.findings.iter().any(|finding| finding.file == file.name) {
            self.find(file.name, Problem::NoCrl);
        }
        for (_, bytes) in lists {
            self.add_list(file.name, &bytes, now);
        }
    }

    fn add_list(&mut self, file: &str, bytes: &[u8], now: i64) {
        let (list, signed) = match RevocationList::parse(bytes) {
            Ok(parsed) => parsed,
            Err(ListError::Malformed) => return self.find(file, Problem::BadCrl),
            Err(ListError::Unsupported) => return self.find(file, Problem::UnsupportedCrl),
        };
        let issuer = distinguished_name::to_text(&list.issuer).unwrap_or_default();
        let mut outcome = None;
        for candidate in self.anchors.iter().filter(|candidate| *candidate.anchor.subject == *list.issuer) {
            outcome = Some(signed.is_by(&candidate.anchor.subject_public_key_info, algorithms().all));
            if outcome == Some(Ok(())) {
                let signer = candidate.anchor.clone();
                if list.is_stale(now) {
                    let date = der::format_time(list.next_update.unwrap_or_default());
                    self.find(file, Problem::StaleCrl { issuer, date });
                }
                self.digests.push(sha256([bytes].into_iter()));
                return self.attach(&signer, Arc::new(list));
            }
        }
        self.find(
            file,
            match outcome {
                None => Problem::CrlOfStranger { issuer },
                Some(Err(SignatureError::BrokenHash)) => Problem::CrlSignedWithSha1 { issuer },
                Some(_) => Problem::CrlBadSignature { issuer },
            },
        );
    }

    /// Gives the list to every certificate of this CA that has no newer one.
    fn attach(&mut self, signer: &TrustAnchor<'_>, list: Arc<RevocationList>) {
        for (candidate, issuer) in self.anchors.iter().zip(&mut self.issuers) {
            let has_newer =
                issuer.revocations.as_ref().is_some_and(|other| other.this_update >= list.this_update);
            if is_same(&candidate.anchor, signer) && !has_newer {
                issuer.revocations = Some(Arc::clone(&list));
            }
        }
    }

    /// An intermediate in the bundle is an anchor, so no path leads on to the CA that may have revoked it.
    /// Which certificates stay does not depend on those that go: a revoked CA's own list still counts.
    fn drop_revoked(&mut self, file: &str) {
        let is_revoked = |candidate: &CaCandidate| {
            let Some(certificate) = ParsedCertificate::parse(&candidate.encoded) else { return true };
            let mut others = self.anchors.iter().zip(&self.issuers);
            others.any(|(other, issuer)| {
                let revokes =
                    issuer.revocations.as_ref().is_some_and(|list| list.contains(certificate.serial));
                revokes
                    && is_issued_by(&certificate, &other.anchor)
                    && !is_same(&other.anchor, &candidate.anchor)
            })
        };
        let revoked: Vec<bool> = self.anchors.iter().map(is_revoked).collect();
        for (index, is_revoked) in revoked.iter().enumerate() {
            let subject = self.anchors[index].subject.clone();
            if *is_revoked {
                self.find(file, Problem::CaRevoked { subject });
            } else if self.issuers[index].revocations.is_none() {
                self.find(file, Problem::CaWithoutCrl { subject });
            }
        }
        let mut stays = revoked.iter().map(|is_revoked| !is_revoked);
        self.anchors.retain(|_| stays.next().unwrap_or(false));
        let mut stays = revoked.iter().map(|is_revoked| !is_revoked);
        self.issuers.retain(|_| stays.next().unwrap_or(false));
    }

    /// The pieces of a PEM file; none after reporting what is wrong with it.
    fn sections(&mut self, file: CaFile<'_>) -> Vec<(SectionKind, Vec<u8>)> {
        if !contains(file.bytes, b"-----BEGIN ") {
            let problem = match file.bytes.first() {
                Some(&der::SEQUENCE) => Problem::Der,
                _ => Problem::NotPem,
            };
            self.find(file.name, problem);
            return Vec::new();
        }
        if contains(file.bytes, b"PRIVATE KEY-----") {
            self.find(file.name, Problem::PrivateKey);
            return Vec::new();
        }
        let mut sections = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(file.bytes) {
            match section {
                Ok(section) => sections.push(section),
                Err(_) => {
                    self.find(file.name, Problem::BrokenPem { number: sections.len() + 1 });
                    return Vec::new();
                }
            }
        }
        sections
    }
}

/// A signature that cannot be checked counts as good: this is about distrust.
fn is_issued_by(certificate: &ParsedCertificate<'_>, ca: &TrustAnchor<'_>) -> bool {
    let signature = certificate.signed.is_by(&ca.subject_public_key_info, algorithms().all);
    *ca.subject == *certificate.issuer && signature != Err(SignatureError::Bad)
}

/// Certificates without the extension are CAs if they signed themselves: a root of version 1, or one that a
/// recipe without extensions made. None if the extensions cannot be read.
fn is_ca(certificate: &ParsedCertificate<'_>) -> Option<bool> {
    if certificate.version < 3 {
        return Some(certificate.is_self_issued());
    }
    let extensions = Extensions::of(certificate)?;
    let signs_certificates = extensions.signs_certificates()?.unwrap_or(true);
    let is_ca = extensions.is_ca()?.unwrap_or(certificate.is_self_issued());
    Some(signs_certificates && is_ca)
}

/// None for other keys.
fn rsa_bits(public_key: &[u8]) -> Option<usize> {
    let mut fields = DerReader::new(public_key);
    let mut algorithm = fields.inside(der::SEQUENCE)?;
    if algorithm.element(der::OBJECT_IDENTIFIER)?.content != private_key::RSA_ENCRYPTION {
        return None;
    }
    let (_, key) = fields.element(der::BIT_STRING)?.content.split_first()?;
    private_key::rsa_bits(key)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
