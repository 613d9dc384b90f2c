//! Certificates made in memory, for the demo and for tests. No client trusts them unasked.

use std::net::IpAddr;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::KeyPair;

use crate::tls::x509::der;
use crate::tls::x509::der::encode;
use crate::tls::x509::pem;

const DAYS_VALID: u64 = 90;
const SECONDS_PER_DAY: u64 = 86_400;

/// A chain and its key as PEM: ECDSA on P-256, valid for 90 days from `now`, which is in seconds
/// since the Unix epoch. Names may be IP addresses. None for a name that no certificate can have.
pub fn for_names(names: &[&str], now: u64) -> Option<(String, String)> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).ok()?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).ok()?;
    // A minute of grace for clients whose clock is behind.
    let start = i64::try_from(now).ok()?.saturating_sub(60);
    let end = i64::try_from(now + DAYS_VALID * SECONDS_PER_DAY).ok()?;
    let signed = to_be_signed(names, &key, [start, end])?;
    let signature = key.sign(&random, &signed).ok()?;
    let signature = encode(der::BIT_STRING, &[&[0], signature.as_ref()]);
    let certificate = encode(der::SEQUENCE, &[&signed, &algorithm(), &signature]);
    Some((pem::write("CERTIFICATE", &certificate), pem::write("PRIVATE KEY", pkcs8.as_ref())))
}

/// The TBSCertificate (RFC 5280 §4.1.2), of version 3.
fn to_be_signed(names: &[&str], key: &EcdsaKeyPair, [start, end]: [i64; 2]) -> Option<Vec<u8>> {
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
    let name = distinguished_name(names.first().unwrap_or(&"ringway"));
    let extensions = match names {
        [] => Vec::new(),
        names => encode(EXTENSIONS, &[&encode(der::SEQUENCE, &[&alternative_names(names)?])]),
    };
    let fields: [&[u8]; 8] = [
        &encode(VERSION, &[&encode(der::INTEGER, &[&[2]])]),
        &encode(der::INTEGER, &[&serial(public.as_ref())]),
        &algorithm(),
        &name,
        &encode(der::SEQUENCE, &[&der::encode_time(start), &der::encode_time(end)]),
        &name,
        public.as_ref(),
        &extensions,
    ];
    Some(encode(der::SEQUENCE, &fields))
}

/// RFC 5280 §4.1.2.2: "The serial number MUST be a positive integer": the first bit is not set, and some other one is.
fn serial(public_key: &[u8]) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, public_key);
    let mut serial: Vec<u8> = digest.as_ref().iter().copied().take(16).collect();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    serial
}

fn distinguished_name(common_name: &str) -> Vec<u8> {
    let attribute = encode(
        der::SEQUENCE,
        &[
            &encode(der::OBJECT_IDENTIFIER, &[COMMON_NAME]),
            &encode(der::UTF8_STRING, &[common_name.as_bytes()]),
        ],
    );
    encode(der::SEQUENCE, &[&encode(der::SET, &[&attribute])])
}

/// None if one is neither an address nor ASCII.
fn alternative_names(names: &[&str]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for name in names {
        all.extend(match name.parse() {
            Ok(IpAddr::V4(address)) => encode(IP_ADDRESS, &[&address.octets()]),
            Ok(IpAddr::V6(address)) => encode(IP_ADDRESS, &[&address.octets()]),
            Err(_) if name.is_ascii() => encode(DNS_NAME, &[name.as_bytes()]),
            Err(_) => return None,
        });
    }
    let identifier = encode(der::OBJECT_IDENTIFIER, &[SUBJECT_ALTERNATIVE_NAME]);
    let value = encode(der::OCTET_STRING, &[&encode(der::SEQUENCE, &[&all])]);
    Some(encode(der::SEQUENCE, &[&identifier, &value]))
}

fn algorithm() -> Vec<u8> {
    encode(der::SEQUENCE, &[&encode(der::OBJECT_IDENTIFIER, &[ECDSA_WITH_SHA256])])
}

/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// 2.5.4.3
const COMMON_NAME: &[u8] = b"\x55\x04\x03";
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = b"\x55\x1d\x11";
// Tags: `[0]` and `[3]`, explicit, of a certificate; `[2]` and `[7]`, implicit, of a name.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::x509::certificates;
    use crate::tls::x509::certificates::CertificateFile;
    use crate::tls::x509::certificates::CertificateFiles;

    #[test]
    fn what_is_made_can_be_read() {
        let now = 1_800_000_000;
        let (chain, key) = for_names(&["localhost", "127.0.0.1", "::1"], now).expect("it can be made");
        let files = CertificateFiles {
            chain: CertificateFile { name: "chain", bytes: chain.as_bytes() },
            key: CertificateFile { name: "key", bytes: key.as_bytes() },
            staple: None,
        };
        let now = i64::try_from(now).expect("it fits");
        let checked = certificates::read(&files, now).expect("it is valid");
        assert_eq!(checked.remarks, []);
        assert_eq!(checked.certificate.names, ["localhost"]);
        assert!(checked.certificate.is_ecdsa);
        assert_eq!(checked.certificate.not_after - now, 90 * 86_400);
    }

    #[test]
    fn others_read_it_too() {
        use x509_parser::prelude::FromDer;

        // In the year 2060, which has the other form of times.
        for now in [1_800_000_000, 2_850_000_000] {
            let (chain, _) = for_names(&["a.example", "192.0.2.7"], now).unwrap();
            let der = pem::read(chain.as_bytes()).unwrap().remove(0).der;
            let (rest, theirs) = x509_parser::prelude::X509Certificate::from_der(&der).unwrap();
            assert!(rest.is_empty());
            assert_eq!(theirs.subject().to_string(), "CN=a.example");
            assert_eq!(theirs.validity().not_before.timestamp(), i64::try_from(now).unwrap() - 60);
            let names = theirs.subject_alternative_name().unwrap().unwrap().value;
            assert_eq!(names.general_names.len(), 2);
            let anchor = rustls::pki_types::CertificateDer::from(der.as_slice());
            assert!(webpki::EndEntityCert::try_from(&anchor).is_ok());
        }
        assert_eq!(for_names(&["ä.example"], 0), None);
        assert!(for_names(&[], 1_800_000_000).is_some());
    }
}
