//! Any bytes in place of certificates and revocation lists, for the fuzz target and for tests.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::CertificateRevocationList;
use x509_parser::prelude::FromDer;
use x509_parser::prelude::X509Certificate;

use crate::tls::x509::ca::Ca;
use crate::tls::x509::ca::algorithms;
use crate::tls::x509::ca_files::CaFile;
use crate::tls::x509::client_certificate::ClientCertificate;
use crate::tls::x509::client_certificate::FingerprintHash;
use crate::tls::x509::distinguished_name;
use crate::tls::x509::parsed::ParsedCertificate;
use crate::tls::x509::revocation::RevocationList;
use crate::tls::x509::version_1::find_issuer;

/// Any bytes as a certificate, a revocation list and a bundle: nothing panics, what is read agrees with other
/// parsers, and what is told can stand in a header.
pub fn fuzz_x509_v1(bytes: &[u8]) {
    if let Some(parsed) = ParsedCertificate::parse(bytes) {
        compare_certificate(&parsed, bytes);
    }
    compare_list(bytes);
    if let Some(told) = ClientCertificate::parse(bytes, FingerprintHash::Sha256) {
        let text = told.subject + &told.issuer + &told.serial + &told.not_after;
        let text = text + &told.fingerprint + &told.escaped_pem + &told.client_cert;
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }
    let file = CaFile { name: "a", bytes };
    let (authority, findings) = Ca::load(file, &[file]);
    assert!(authority.is_some() || !findings.is_empty());
    assert!(findings.iter().all(|finding| !finding.message().is_empty() && !finding.fix().is_empty()));
}

fn compare_certificate(ours: &ParsedCertificate<'_>, bytes: &[u8]) {
    let encoded = CertificateDer::from(bytes);
    if let Ok(theirs) = webpki::EndEntityCert::try_from(&encoded) {
        assert_eq!((ours.version, ours.issuer, ours.subject), (3, theirs.issuer(), theirs.subject()));
        assert_eq!(ours.public_key_whole, theirs.subject_public_key_info().as_ref());
    }
    if let Ok((rest, theirs)) = X509Certificate::from_der(bytes) {
        assert!(rest.is_empty());
        assert_eq!((u32::from(ours.version) - 1, ours.serial), (theirs.version().0, theirs.raw_serial()));
        let (not_before, not_after) = (theirs.validity().not_before, theirs.validity().not_after);
        assert_eq!((ours.not_before, ours.not_after), (not_before.timestamp(), not_after.timestamp()));
        // They drop what stands behind a name within its sequence.
        let is_name = distinguished_name::to_text(ours.subject).is_some();
        assert!(!is_name || theirs.subject().as_raw().ends_with(ours.subject));
        assert_eq!(ours.signed.message, theirs.tbs_certificate.as_ref());
        assert_eq!(ours.signed.signature, theirs.signature_value.data.as_ref());
    }
    if let Ok(anchor) = webpki::anchor_from_trusted_cert(&encoded) {
        let anchors = [anchor.to_owned()];
        let found = find_issuer(ours, &anchors, algorithms().all, ours.not_after);
        assert!(found.is_err() || ours.is_self_issued());
    }
}

fn compare_list(bytes: &[u8]) {
    let Ok((ours, _)) = RevocationList::parse(bytes) else { return };
    if let Ok((_, theirs)) = CertificateRevocationList::from_der(bytes) {
        assert_eq!(ours.this_update, theirs.last_update().timestamp());
        assert!(theirs.iter_revoked_certificates().all(|revoked| ours.contains(revoked.raw_serial())));
    }
}
