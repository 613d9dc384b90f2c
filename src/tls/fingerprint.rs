//! Fingerprints of clients: what their first message offers, in the published forms JA3 and JA4.

use std::fmt::Write;

use aws_lc_rs::digest;
use md5::Digest;
use md5::Md5;

use crate::tls::client_hello::HelloFields;
use crate::tls::client_hello::numbers;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a count of two digits can tell.
const MAX_COUNT: usize = 99;

/// What a client may list of one kind. Some list two hundred suites; who lists thousands wants to cost time.
const MAX_LISTED: usize = 512;

/// Bytes of the digests in JA4.
const JA4_HASH_BYTES: usize = 6;

/// What carries the first message of a client. JA4 begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelloCarrier {
    Tcp,
    Quic,
}

/// Fingerprints of a client, in visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFingerprints {
    /// 32 hexadecimal digits.
    pub ja3: String,
    /// Such as `t13d1516h2_8daaf6152771_b186095e22b6`.
    pub ja4: String,
}

impl ClientFingerprints {
    /// Those of a ClientHello without its header; None for what cannot be read, or lists more than anybody would. Its size
    /// was bounded when it was found.
    pub(super) fn of(hello: &[u8], carrier: HelloCarrier) -> Option<ClientFingerprints> {
        let parts = HelloParts::of(hello)?;
        let lists =
            [&parts.suites, &parts.extensions, &parts.groups, &parts.signature_algorithms, &parts.versions];
        if lists.iter().any(|list| list.len() > MAX_LISTED) {
            return None;
        }
        Some(ClientFingerprints { ja3: parts.ja3(), ja4: parts.ja4(carrier) })
    }
}

/// What fingerprints are made of, in the order of the message.
struct HelloParts<'h> {
    legacy_version: u16,
    /// Without the values that stand for nothing (GREASE, RFC 8701), as all lists here.
    suites: Vec<u16>,
    extensions: Vec<u16>,
    groups: Vec<u16>,
    point_formats: &'h [u8],
    signature_algorithms: Vec<u16>,
    versions: Vec<u16>,
    /// The protocol that the client likes best.
    alpn: &'h [u8],
}

impl<'h> HelloParts<'h> {
    fn of(hello: &'h [u8]) -> Option<HelloParts<'h>> {
        let mut fields = HelloFields(hello);
        let legacy_version = fields.number()?;
        // random, legacy_session_id
        fields.take(32)?;
        fields.short_vector()?;
        let mut parts = HelloParts {
            legacy_version,
            suites: meaningful(fields.vector()?),
            extensions: Vec::new(),
            groups: Vec::new(),
            point_formats: &[],
            signature_algorithms: Vec::new(),
            versions: Vec::new(),
            alpn: &[],
        };
        // legacy_compression_methods
        fields.short_vector()?;
        if fields.0.is_empty() {
            // Before TLS 1.3, a ClientHello may end here.
            return Some(parts);
        }
        let mut extensions = HelloFields(fields.vector()?);
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            let mut content = HelloFields(extensions.vector()?);
            if is_grease(kind) {
                continue;
            }
            parts.extensions.push(kind);
            match kind {
                SUPPORTED_GROUPS => parts.groups = meaningful(content.vector()?),
                POINT_FORMATS => parts.point_formats = content.short_vector()?,
                SIGNATURE_ALGORITHMS => parts.signature_algorithms = meaningful(content.vector()?),
                ALPN => parts.alpn = HelloFields(content.vector()?).short_vector()?,
                SUPPORTED_VERSIONS => parts.versions = meaningful(content.short_vector()?),
                _ => {}
            }
        }
        Some(parts)
    }

    /// The MD5 digest of version, suites, extensions, groups and point formats, in decimal.
    fn ja3(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", self.legacy_version);
        for list in [&self.suites, &self.extensions, &self.groups] {
            text.push(',');
            push_joined(&mut text, list.iter().copied(), '-');
        }
        text.push(',');
        push_joined(&mut text, self.point_formats.iter().copied(), '-');
        hexadecimal(&Md5::digest(text))
    }

    fn ja4(&self, carrier: HelloCarrier) -> String {
        let carrier = match carrier {
            HelloCarrier::Tcp => 't',
            HelloCarrier::Quic => 'q',
        };
        let name = if self.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let suites = self.suites.len().min(MAX_COUNT);
        let extensions = self.extensions.len().min(MAX_COUNT);
        let [first, last] = self.alpn_letters();
        let (version, hashes) = (self.version(), [self.suites_hash(), self.extensions_hash()]);
        format!("{carrier}{version}{name}{suites:02}{extensions:02}{first}{last}_{}", hashes.join("_"))
    }

    /// The highest version that is offered.
    fn version(&self) -> &'static str {
        match self.versions.iter().max().unwrap_or(&self.legacy_version) {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        }
    }

    /// The first and the last letter of the preferred protocol.
    fn alpn_letters(&self) -> [char; 2] {
        let (Some(&first), Some(&last)) = (self.alpn.first(), self.alpn.last()) else { return ['0', '0'] };
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
            return [first.into(), last.into()];
        }
        // Those of its hexadecimal form.
        [digit(first >> 4), digit(last & 15)]
    }

    fn suites_hash(&self) -> String {
        let mut sorted = self.suites.clone();
        sorted.sort_unstable();
        let mut text = String::new();
        push_joined(&mut text, sorted.iter().map(|suite| Hexadecimal(*suite)), ',');
        ja4_hash(&text)
    }

    fn extensions_hash(&self) -> String {
        let told = |kind: &u16| !matches!(*kind, SERVER_NAME | ALPN);
        let mut sorted: Vec<u16> = self.extensions.iter().copied().filter(told).collect();
        sorted.sort_unstable();
        let mut text = String::new();
        push_joined(&mut text, sorted.iter().map(|kind| Hexadecimal(*kind)), ',');
        if !self.signature_algorithms.is_empty() {
            text.push('_');
            // The order of these tells clients apart.
            push_joined(&mut text, self.signature_algorithms.iter().map(|number| Hexadecimal(*number)), ',');
        }
        ja4_hash(&text)
    }
}

/// Four digits in lower case.
struct Hexadecimal(u16);

impl std::fmt::Display for Hexadecimal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:04x}", self.0)
    }
}

/// Numbers of two bytes, without those of GREASE.
fn meaningful(bytes: &[u8]) -> Vec<u16> {
    numbers(bytes).filter(|number| !is_grease(*number)).collect()
}

/// `0x0a0a`, `0x1a1a` and so on (RFC 8701 §2).
fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 15 == 10
}

fn push_joined<T: std::fmt::Display>(text: &mut String, list: impl Iterator<Item = T>, separator: char) {
    for (index, item) in list.enumerate() {
        if index > 0 {
            text.push(separator);
        }
        let _ = write!(text, "{item}");
    }
}

/// The beginning of a SHA-256 digest; zeros of nothing.
fn ja4_hash(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(2 * JA4_HASH_BYTES);
    }
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    hexadecimal(digest.as_ref().get(..JA4_HASH_BYTES).unwrap_or_default())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The hexadecimal digit of a number below 16.
fn digit(number: u8) -> char {
    char::from_digit(number.into(), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests;
