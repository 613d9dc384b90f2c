//! Certificates with their keys: from the bytes of files to what a handshake needs.
//!
//! rustls would check that key and certificate belong together by webpki, which refuses X.509 v1.
//! Such certificates are still made by many a recipe, and clients that trust them want them. So this
//! compares the keys itself.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::sign::SigningKey;

use crate::tls::x509::certificate_faults::CertificateFault;
use crate::tls::x509::certificate_faults::CertificateFinding;
use crate::tls::x509::certificate_faults::ChainFault;
use crate::tls::x509::certificate_faults::FileFault;
use crate::tls::x509::certificate_faults::KeyFault;
use crate::tls::x509::certificate_faults::Part;
use crate::tls::x509::certificate_faults::Remark;
use crate::tls::x509::der;
use crate::tls::x509::distinguished_name;
use crate::tls::x509::extensions::Extensions;
use crate::tls::x509::name_pattern::NamePattern;
use crate::tls::x509::ocsp;
use crate::tls::x509::parsed::ParsedCertificate;
use crate::tls::x509::parsed::is_broken_hash;
use crate::tls::x509::pem;
use crate::tls::x509::pem::PemSection;
use crate::tls::x509::private_key;
use crate::tls::x509::private_key::KeyKind;

/// No chain is this large; whatever is, was named by mistake.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// What one of the cloud products takes. Clients give up earlier.
const MAX_CHAIN_LENGTH: usize = 11;

/// A certificate that was checked, with its key and staple.
#[derive(Debug)]
pub struct Certificate {
    pub certified: Arc<CertifiedKey>,
    /// What it is good for: lower case, without a dot at the end, wildcards as they stand.
    pub names: Vec<String>,
    /// Also true for Ed25519: an elliptic curve, and not RSA.
    pub is_ecdsa: bool,
    /// How its key signs.
    pub schemes: &'static [SignatureScheme],
    /// Seconds since the Unix epoch.
    pub not_before: i64,
    pub not_after: i64,
}

/// The files of one certificate.
pub struct CertificateFiles<'f> {
    pub chain: CertificateFile<'f>,
    pub key: CertificateFile<'f>,
    pub staple: Option<CertificateFile<'f>>,
}

#[derive(Clone, Copy)]
pub struct CertificateFile<'f> {
    /// As it is shown to the operator.
    pub name: &'f str,
    pub bytes: &'f [u8],
}

/// A certificate and the warnings about it.
#[derive(Debug)]
pub struct CheckedFiles {
    pub certificate: Certificate,
    pub remarks: Vec<CertificateFinding>,
}

/// Checks the files of a certificate. `now` is in seconds since the Unix epoch.
pub fn read(files: &CertificateFiles<'_>, now: i64) -> Result<CheckedFiles, Vec<CertificateFinding>> {
    let sections_of_chain = sections(files.chain).and_then(certificates);
    let chain = match &sections_of_chain {
        Ok(sections) => Chain::parse(sections).map_err(CertificateFault::Chain),
        Err(fault) => Err(fault.clone()),
    };
    let key = sections(files.key).and_then(private_key::read);
    let faults = match (chain, key) {
        (Ok(chain), Ok(key)) => match check(&chain, key, files, now) {
            Ok(checked) => return Ok(checked),
            Err(fault) => vec![fault],
        },
        (Ok(_), Err(of_key)) => vec![(Part::Key, of_key)],
        // A key of a kind that no certificate may have is not looked at further.
        (Err(of_chain), Err(CertificateFault::Key(KeyFault::Malformed { .. })) | Ok(_)) => {
            vec![(Part::Chain, of_chain)]
        }
        (Err(of_chain), Err(of_key)) => vec![(Part::Chain, of_chain), (Part::Key, of_key)],
    };
    Err(faults.into_iter().map(|(part, fault)| finding(part, files, fault)).collect())
}

/// The certificates of a file; at least one.
struct Chain<'s> {
    sections: &'s [PemSection],
    parsed: Vec<LinkOfChain<'s>>,
    /// The kind of the first.
    kind: KeyKind,
}

/// One of its certificates.
struct LinkOfChain<'s> {
    certificate: ParsedCertificate<'s>,
    extensions: Extensions<'s>,
}

impl LinkOfChain<'_> {
    /// None if it cannot be read.
    fn parse(bytes: &[u8]) -> Option<LinkOfChain<'_>> {
        let certificate = ParsedCertificate::parse(bytes)?;
        Some(LinkOfChain { extensions: Extensions::of(&certificate)?, certificate })
    }
}

impl<'s> Chain<'s> {
    fn parse(sections: &'s [PemSection]) -> Result<Chain<'s>, ChainFault> {
        let one = |section: &'s PemSection| {
            LinkOfChain::parse(&section.der).ok_or(ChainFault::Malformed { line: section.line })
        };
        let parsed = sections.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let kind = KeyKind::of(parsed[0].certificate.public_key)?;
        Ok(Chain { sections, parsed, kind })
    }

    fn der(&self) -> Vec<CertificateDer<'static>> {
        self.sections.iter().map(|section| CertificateDer::from(section.der.clone())).collect()
    }
}

fn check(
    chain: &Chain<'_>,
    key: Arc<dyn SigningKey>,
    files: &CertificateFiles<'_>,
    now: i64,
) -> Result<CheckedFiles, (Part, CertificateFault)> {
    check_key(&chain.parsed, key.as_ref(), files.chain.name)?;
    check_order(&chain.parsed).map_err(|fault| (Part::Chain, CertificateFault::Chain(fault)))?;
    let leaf = &chain.parsed[0];
    let mut certified = CertifiedKey::new(chain.der(), key);
    let mut remarks = Vec::new();
    let (names, useless) = names(leaf);
    if names.is_empty() && useless.is_empty() {
        remarks.push((Part::Chain, Remark::NoNames));
    } else if leaf.extensions.dns_names().is_none() {
        // RFC 9525 §2: names of services are no longer looked for in the common name.
        remarks.push((Part::Chain, Remark::CommonNameAlone));
    }
    remarks.extend(useless.into_iter().map(|name| (Part::Chain, Remark::UselessName(name))));
    let numbered = chain.parsed.iter().enumerate();
    remarks.extend(
        numbered.filter_map(|(at, one)| Some((Part::Chain, validity(at + 1, &one.certificate, now)?))),
    );
    if is_signed_with_sha1(&leaf.certificate) {
        remarks.push((Part::Chain, Remark::Sha1));
    }
    if let Some(file) = files.staple {
        let staple = check_staple(file, &leaf.certificate).map_err(|fault| (Part::Staple, fault))?;
        if staple.is_revoked {
            remarks.push((Part::Staple, Remark::StapleRevoked));
        }
        if staple.next_update.is_some_and(|next| next < now) {
            remarks.push((Part::Staple, Remark::StapleExpired));
        }
        certified.ocsp = Some(file.bytes.to_vec());
    }
    let certificate = Certificate {
        certified: Arc::new(certified),
        names,
        is_ecdsa: !matches!(chain.kind, KeyKind::Rsa { .. }),
        schemes: chain.kind.schemes(),
        not_before: leaf.certificate.not_before,
        not_after: leaf.certificate.not_after,
    };
    let remarks =
        remarks.into_iter().map(|(part, remark)| finding(part, files, CertificateFault::Remark(remark)));
    Ok(CheckedFiles { certificate, remarks: remarks.collect() })
}

fn finding(part: Part, files: &CertificateFiles<'_>, fault: CertificateFault) -> CertificateFinding {
    let file = match part {
        Part::Chain | Part::Names => files.chain.name,
        Part::Key => files.key.name,
        Part::Staple => files.staple.map_or("", |file| file.name),
    };
    CertificateFinding { part, file: file.to_owned(), fault }
}

/// The PEM sections of a file; at least one.
fn sections(file: CertificateFile<'_>) -> Result<Vec<PemSection>, CertificateFault> {
    let sections = match file.bytes {
        bytes if bytes.len() > MAX_FILE_BYTES => Err(FileFault::TooLarge),
        bytes if bytes.trim_ascii().is_empty() => Err(FileFault::Empty),
        bytes => match pem::read(bytes) {
            // The tag of a SEQUENCE, with which DER and PKCS#12 begin.
            Ok(sections) if sections.is_empty() && bytes[0] == 0x30 => Err(FileFault::Binary),
            Ok(sections) if sections.is_empty() => Err(FileFault::NoPem),
            Ok(sections) => Ok(sections),
            Err(error) => Err(FileFault::Pem(error)),
        },
    };
    let sections = sections.map_err(CertificateFault::File)?;
    match sections.iter().find(|section| section.label.ends_with("DH PARAMETERS")) {
        Some(section) => Err(CertificateFault::File(FileFault::DhParameters { line: section.line })),
        None => Ok(sections),
    }
}

/// The certificates of a file; at least one. A key beside them does no harm.
fn certificates(sections: Vec<PemSection>) -> Result<Vec<PemSection>, CertificateFault> {
    let is_certificate =
        |section: &PemSection| matches!(section.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE");
    let (chain, others): (Vec<PemSection>, Vec<PemSection>) = sections.into_iter().partition(is_certificate);
    let fault = match (chain.len(), others.into_iter().next().map(|section| section.label)) {
        (1..=MAX_CHAIN_LENGTH, _) => return Ok(chain),
        (0, None) => return Err(CertificateFault::File(FileFault::NoPem)),
        (0, Some(label)) if label.ends_with("PRIVATE KEY") => ChainFault::HoldsKey,
        (0, Some(label)) if label.ends_with("CERTIFICATE REQUEST") => ChainFault::HoldsRequest,
        (0, Some(label)) => ChainFault::NoCertificate(label),
        (count, _) => ChainFault::TooMany(count),
    };
    Err(CertificateFault::Chain(fault))
}

/// Whether the key is that of the first certificate.
fn check_key(
    chain: &[LinkOfChain<'_>],
    key: &dyn SigningKey,
    chain_file: &str,
) -> Result<(), (Part, CertificateFault)> {
    match chain.iter().position(|link| private_key::is_of(key, link.certificate.public_key)) {
        Some(0) => Ok(()),
        Some(index) => Err((Part::Chain, CertificateFault::Chain(ChainFault::LeafNotFirst(index + 1)))),
        None => {
            let fault = KeyFault::OfAnotherCertificate {
                certificate: private_key::describe(chain[0].certificate.public_key),
                key: private_key::describe_private(key),
                chain: chain_file.to_owned(),
            };
            Err((Part::Key, CertificateFault::Key(fault)))
        }
    }
}

/// Whether each certificate was issued by the next one.
fn check_order(chain: &[LinkOfChain<'_>]) -> Result<(), ChainFault> {
    for (index, pair) in chain.windows(2).enumerate() {
        let [issued, issuer] = pair else { continue };
        let number = index + 2;
        if issued.certificate.issuer == issuer.certificate.subject {
            match (issued.extensions.authority_key_id(), issuer.extensions.subject_key_id()) {
                (Some(wanted), Some(found)) if wanted != found => {
                    return Err(ChainFault::OtherIssuer(number));
                }
                _ => continue,
            }
        }
        let text = |name: &[u8]| distinguished_name::to_text(name).unwrap_or_default();
        return Err(match issuer.extensions.is_ca() {
            Some(Some(false)) => ChainFault::SecondLeaf(number),
            _ => ChainFault::NotIssuer {
                number,
                wanted: text(issued.certificate.issuer),
                found: text(issuer.certificate.subject),
            },
        });
    }
    Ok(())
}

fn validity(number: usize, certificate: &ParsedCertificate<'_>, now: i64) -> Option<Remark> {
    if certificate.not_after < now {
        return Some(Remark::Expired(number, der::format_date(certificate.not_after)));
    }
    (certificate.not_before > now)
        .then(|| Remark::NotYetValid(number, der::format_date(certificate.not_before)))
}

/// A signature of its own is looked at by nobody.
fn is_signed_with_sha1(certificate: &ParsedCertificate<'_>) -> bool {
    is_broken_hash(certificate.signed.algorithm) && !certificate.is_self_issued()
}

/// The names of a certificate, and those that no client can ask for. The common name counts only
/// where there are no alternative names at all (RFC 6125 §6.4.4).
fn names(leaf: &LinkOfChain<'_>) -> (Vec<String>, Vec<String>) {
    let stated: Vec<String> = match leaf.extensions.dns_names() {
        Some(names) => names.into_iter().map(str::to_owned).collect(),
        None => {
            let common = distinguished_name::common_names(leaf.certificate.subject).unwrap_or_default();
            // A common name that is no host's is a title, which is no mistake.
            common.into_iter().flatten().filter(|name| is_like_a_host(name)).collect()
        }
    };
    let plain = |name: String| name.strip_suffix('.').unwrap_or(&name).to_ascii_lowercase();
    let (mut names, useless): (Vec<String>, Vec<String>) =
        stated.into_iter().map(plain).partition(|name| NamePattern::parse(name).is_some());
    names.dedup();
    (names, useless)
}

fn is_like_a_host(name: &str) -> bool {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'*');
    !name.is_empty() && name.bytes().all(is_host_byte)
}

fn check_staple(
    file: CertificateFile<'_>,
    certificate: &ParsedCertificate<'_>,
) -> Result<ocsp::Staple, CertificateFault> {
    match file.bytes {
        bytes if bytes.len() > MAX_FILE_BYTES => Err(CertificateFault::File(FileFault::TooLarge)),
        [] => Err(CertificateFault::File(FileFault::Empty)),
        bytes => ocsp::read(bytes, certificate.serial).map_err(CertificateFault::Staple),
    }
}

#[cfg(test)]
mod tests;
