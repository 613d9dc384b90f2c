//! Distinguished names as text (RFC 2253), exactly as `openssl x509 -nameopt RFC2253` and nginx write them.

use std::fmt::Write as _;

use crate::tls::x509::der;
use crate::tls::x509::der::DerReader;
use crate::tls::x509::der::Element;

/// The last attribute first: `CN=www.test.com,O=ELB`. The text is visible ASCII and spaces, whatever the
/// name holds. `name` is the content of its sequence; None if it is malformed.
pub(super) fn to_text(name: &[u8]) -> Option<String> {
    let mut sets = Vec::new();
    let mut reader = DerReader::new(name);
    while !reader.is_empty() {
        sets.push(reader.inside(der::SET)?);
    }
    let mut text = String::new();
    for mut set in sets.into_iter().rev() {
        let mut attributes = Vec::new();
        while !set.is_empty() {
            attributes.push(set.inside(der::SEQUENCE)?);
        }
        for (index, mut attribute) in attributes.into_iter().rev().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            let kind = attribute.element(der::OBJECT_IDENTIFIER)?.content;
            let value = attribute.any()?;
            attribute.finish()?;
            push_attribute(&mut text, kind, &value)?;
        }
    }
    Some(text)
}

/// The common name in UTF-8; None if there is not exactly one, or if it has characters that no name has: which one a reader
/// would take, or where it would end, is not known.
pub(super) fn common_name(name: &[u8]) -> Option<String> {
    let mut all = common_names(name)?;
    let found = all.pop().filter(|_| all.is_empty())??;
    Some(found).filter(|name| !name.chars().any(char::is_control))
}

/// Every common name in UTF-8, or None in the place of one that is no text. None if the name is malformed.
pub(super) fn common_names(name: &[u8]) -> Option<Vec<Option<String>>> {
    const COMMON_NAME: &[u8] = b"\x55\x04\x03";
    let mut found = Vec::new();
    let mut reader = DerReader::new(name);
    while !reader.is_empty() {
        let mut set = reader.inside(der::SET)?;
        while !set.is_empty() {
            let mut attribute = set.inside(der::SEQUENCE)?;
            if attribute.element(der::OBJECT_IDENTIFIER)?.content == COMMON_NAME {
                let text = characters(&attribute.any()?);
                found.push(text.and_then(|text| String::from_utf8(text).ok()));
            }
        }
    }
    Some(found)
}

/// An identifier as numbers with dots between them. None if one of them is larger than any in use.
pub(super) fn dotted(identifier: &[u8]) -> Option<String> {
    let mut text = String::new();
    push_dotted(&mut text, identifier).map(|()| text)
}

fn push_attribute(text: &mut String, kind: &[u8], value: &Element<'_>) -> Option<()> {
    let known = SHORT_NAMES.iter().find(|(identifier, _)| *identifier == kind);
    let characters = known.and_then(|_| characters(value));
    match known {
        Some((_, name)) => text.push_str(name),
        None => push_dotted(text, kind)?,
    }
    text.push('=');
    match characters {
        Some(characters) => push_escaped(text, &characters),
        // RFC 2253 §2.4: what has no text form is "an octothorpe character ('#' ASCII 35) followed by the
        // hexadecimal representation of each of the bytes of the BER encoding".
        None => {
            text.push('#');
            push_hex(text, value.whole);
        }
    }
    Some(())
}

/// The value in UTF-8, if it is a string. What claims to be UTF-8 and is not stays as it is.
fn characters(value: &Element<'_>) -> Option<Vec<u8>> {
    let encode = |characters: &mut dyn Iterator<Item = u32>| {
        let text: Option<String> = characters.map(char::from_u32).collect();
        text.map(String::into_bytes)
    };
    match value.tag {
        der::UTF8_STRING => Some(value.content.to_vec()),
        NUMERIC_STRING | PRINTABLE_STRING | T61_STRING | IA5_STRING | VISIBLE_STRING => {
            encode(&mut value.content.iter().map(|&byte| u32::from(byte)))
        }
        BMP_STRING if value.content.len().is_multiple_of(2) => {
            encode(&mut value.content.chunks_exact(2).map(big_endian))
        }
        UNIVERSAL_STRING if value.content.len().is_multiple_of(4) => {
            encode(&mut value.content.chunks_exact(4).map(big_endian))
        }
        _ => None,
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn push_escaped(text: &mut String, characters: &[u8]) {
    let last = characters.len().saturating_sub(1);
    for (index, &byte) in characters.iter().enumerate() {
        let is_special = match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => true,
            b'#' => index == 0,
            b' ' => index == 0 || index == last,
            _ => false,
        };
        if is_special {
            text.push('\\');
            text.push(char::from(byte));
        } else if matches!(byte, b' '..=b'~') {
            text.push(char::from(byte));
        } else {
            text.push('\\');
            push_hex(text, &[byte]);
        }
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
}

/// An identifier as numbers. None if one of them is larger than any in use.
fn push_dotted(text: &mut String, identifier: &[u8]) -> Option<()> {
    let mut number: u64 = 0;
    let mut is_first = true;
    for (index, &byte) in identifier.iter().enumerate() {
        number = number.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            if index + 1 == identifier.len() {
                return None;
            }
            continue;
        }
        let _ = match (is_first, number) {
            (true, 0..40) => write!(text, "0.{number}"),
            (true, 40..80) => write!(text, "1.{}", number - 40),
            (true, _) => write!(text, "2.{}", number - 80),
            (false, _) => write!(text, ".{number}"),
        };
        (number, is_first) = (0, false);
    }
    (!is_first).then_some(())
}

const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const T61_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// What OpenSSL calls the attributes that occur in names.
const SHORT_NAMES: [(&[u8], &str); 28] = [
    (b"\x55\x04\x03", "CN"),
    (b"\x55\x04\x04", "SN"),
    (b"\x55\x04\x05", "serialNumber"),
    (b"\x55\x04\x06", "C"),
    (b"\x55\x04\x07", "L"),
    (b"\x55\x04\x08", "ST"),
    (b"\x55\x04\x09", "street"),
    (b"\x55\x04\x0a", "O"),
    (b"\x55\x04\x0b", "OU"),
    (b"\x55\x04\x0c", "title"),
    (b"\x55\x04\x0d", "description"),
    (b"\x55\x04\x0f", "businessCategory"),
    (b"\x55\x04\x10", "postalAddress"),
    (b"\x55\x04\x11", "postalCode"),
    (b"\x55\x04\x14", "telephoneNumber"),
    (b"\x55\x04\x29", "name"),
    (b"\x55\x04\x2a", "GN"),
    (b"\x55\x04\x2b", "initials"),
    (b"\x55\x04\x2c", "generationQualifier"),
    (b"\x55\x04\x2e", "dnQualifier"),
    (b"\x55\x04\x41", "pseudonym"),
    (b"\x55\x04\x61", "organizationIdentifier"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02", "unstructuredName"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x02", "jurisdictionST"),
    (b"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03", "jurisdictionC"),
];
