//! What a client's certificate says, in the forms in which backends are told.

use std::fmt::Write as _;

use aws_lc_rs::digest;

use crate::tls::x509::der;
use crate::tls::x509::distinguished_name;
use crate::tls::x509::parsed::ParsedCertificate;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintHash {
    Sha1,
    Sha256,
}

/// Every text is visible ASCII and spaces, whatever the certificate holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// RFC 2253: `CN=www.test.com,O=ELB`.
    pub subject: String,
    pub issuer: String,
    /// Hexadecimal in upper case, as `openssl x509 -serial` prints it.
    pub serial: String,
    /// The digest of the DER encoding, hexadecimal in lower case.
    pub fingerprint: String,
    /// The end of its validity: `Dec 31 23:59:59 2030 GMT`.
    pub not_after: String,
    /// PEM, percent-encoded.
    pub escaped_pem: String,
    /// RFC 9440: `:base64:`.
    pub client_cert: String,
}

impl ClientCertificate {
    /// None for what is no certificate. Its size was bounded when it was verified.
    pub fn parse(bytes: &[u8], hash: FingerprintHash) -> Option<ClientCertificate> {
        let certificate = ParsedCertificate::parse(bytes)?;
        let algorithm = match hash {
            FingerprintHash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            FingerprintHash::Sha256 => &digest::SHA256,
        };
        let mut fingerprint = String::new();
        for byte in digest::digest(algorithm, bytes).as_ref() {
            // Writing into a string cannot fail.
            let _ = write!(fingerprint, "{byte:02x}");
        }
        let base64 = base64(bytes);
        Some(ClientCertificate {
            subject: distinguished_name::to_text(certificate.subject)?,
            issuer: distinguished_name::to_text(certificate.issuer)?,
            serial: serial(certificate.serial),
            fingerprint,
            not_after: der::format_time(certificate.not_after),
            escaped_pem: escaped_pem(&base64),
            client_cert: format!(":{base64}:"),
        })
    }
}

/// The common name in the subject of a certificate; None if there is none that can be told by itself.
pub fn common_name(certificate: &[u8]) -> Option<String> {
    distinguished_name::common_name(ParsedCertificate::parse(certificate)?.subject)
}

/// Standard base64 (RFC 4648 §4) with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for piece in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, index| {
            number << 8 | usize::from(piece.get(index).copied().unwrap_or_default())
        });
        for index in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * index) & 63];
            text.push(if index <= piece.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// As nginx writes `$ssl_client_escaped_cert`.
fn escaped_pem(base64: &str) -> String {
    const LINE: usize = 64;
    let mut text = String::with_capacity(base64.len() * 9 / 8 + 80);
    text.push_str("-----BEGIN%20CERTIFICATE-----%0A");
    for (index, character) in base64.chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            text.push_str("%0A");
        }
        match character {
            '+' => text.push_str("%2B"),
            '/' => text.push_str("%2F"),
            '=' => text.push_str("%3D"),
            plain => text.push(plain),
        }
    }
    text.push_str("%0A-----END%20CERTIFICATE-----%0A");
    text
}

/// `content` is two's complement.
fn serial(content: &[u8]) -> String {
    let is_negative = content.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude = content.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let first = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len().saturating_sub(1));
    let mut text = if is_negative { "-".to_owned() } else { String::new() };
    for byte in magnitude.iter().skip(first) {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}
