//! What a certificate is signed with and what its key is, by the names that OpenSSL has for them.

use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;
use crate::tls::x509::parsed::ParsedCertificate;
use crate::tls::x509::parsed::split_key;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateAlgorithms {
    /// `RSA-SHA256`, `ecdsa-with-SHA384`; empty for what nobody uses today.
    pub signature: &'static str,
    /// With the size: `RSA2048`, `EC256`; empty likewise.
    pub key: String,
}

/// None for what is no certificate.
pub fn algorithms_of(certificate: &[u8]) -> Option<CertificateAlgorithms> {
    let parsed = ParsedCertificate::parse(certificate)?;
    let signature = identifier(parsed.signed.algorithm)?.0;
    let known = SIGNATURES.iter().find(|(known, _)| *known == signature);
    Some(CertificateAlgorithms {
        signature: known.map_or("", |(_, name)| name),
        key: key_name(parsed.public_key).unwrap_or_default(),
    })
}

/// The object identifier of an AlgorithmIdentifier, and its parameters.
fn identifier(algorithm: &[u8]) -> Option<(&[u8], DerReader<'_>)> {
    let mut fields = DerReader::new(algorithm);
    let identifier = fields.element(der::OBJECT_IDENTIFIER)?.content;
    Some((identifier, fields))
}

fn key_name(public_key: &[u8]) -> Option<String> {
    let (algorithm, key) = split_key(public_key)?;
    match identifier(algorithm)? {
        (RSA, _) => {
            let modulus = DerReader::new(key).inside(der::SEQUENCE)?.element(der::INTEGER)?.content;
            let first = modulus.iter().position(|byte| *byte != 0)?;
            let digits = modulus.get(first..)?;
            let bits = digits.len() * 8 - digits.first()?.leading_zeros() as usize;
            Some(format!("RSA{bits}"))
        }
        (EC, mut parameters) => {
            let curve = parameters.element(der::OBJECT_IDENTIFIER)?.content;
            let known = CURVES.iter().find(|(known, _)| *known == curve);
            known.map(|(_, name)| (*name).to_owned())
        }
        (ED25519, _) => Some("ED25519".to_owned()),
        _ => None,
    }
}

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// 1.2.840.10045.2.1
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
/// 1.3.101.112, for keys and signatures.
const ED25519: &[u8] = b"\x2b\x65\x70";

const CURVES: [(&[u8], &str); 3] = [
    // 1.2.840.10045.3.1.7, 1.3.132.0.34 and .35
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x07", "EC256"),
    (b"\x2b\x81\x04\x00\x22", "EC384"),
    (b"\x2b\x81\x04\x00\x23", "EC521"),
];

const SIGNATURES: [(&[u8], &str); 9] = [
    // 1.2.840.113549.1.1.x
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "RSA-SHA1"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "RSASSA-PSS"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", "RSA-SHA256"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", "RSA-SHA384"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", "RSA-SHA512"),
    // 1.2.840.10045.4.3.x
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", "ecdsa-with-SHA256"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", "ecdsa-with-SHA384"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", "ecdsa-with-SHA512"),
    (ED25519, "ED25519"),
];

#[cfg(test)]
mod tests {
    use rcgen::CertificateParams;
    use rcgen::KeyPair;

    use super::*;

    #[test]
    fn algorithms_are_named() {
        for (algorithm, signature, key) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, "ecdsa-with-SHA256", "EC256"),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ecdsa-with-SHA384", "EC384"),
            (&rcgen::PKCS_ED25519, "ED25519", "ED25519"),
            (&rcgen::PKCS_RSA_SHA256, "RSA-SHA256", "RSA2048"),
        ] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&pair);
            let algorithms = algorithms_of(certificate.unwrap().der()).unwrap();
            assert_eq!(algorithms, CertificateAlgorithms { signature, key: key.to_owned() });
        }
        assert_eq!(algorithms_of(b"\x30\x00"), None);
    }
}
