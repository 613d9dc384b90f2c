//! Bytes of a datagram: a text, or digits where they are none.

use serde_json::Value as Json;

use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// What a probe sends or has to get.
pub(super) struct Payload {
    pub(super) may_be_empty: bool,
}

/// Bytes of a payload. A datagram of that size passes any network in one piece.
const MAX_PAYLOAD_BYTES: usize = 512;

/// What stands before bytes in hexadecimal digits.
const HEX_PREFIX: &str = "hex:";

impl Kind for Payload {
    type Value = Vec<u8>;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<Vec<u8>> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let bytes = match text.strip_prefix(HEX_PREFIX) {
            None => Some(text.as_bytes().to_vec()),
            Some(digits) => bytes_of(digits),
        };
        let Some(bytes) = bytes else {
            let message = format!("`{key}` is not written in pairs of hexadecimal digits");
            report.error(
                raw.location,
                message,
                "write \"hex:\" and two digits for each byte: \"hex:00 1f ff\"",
            );
            return None;
        };
        let least = usize::from(!self.may_be_empty);
        if !(least..=MAX_PAYLOAD_BYTES).contains(&bytes.len()) {
            let message = format!("`{key}` has {} bytes", bytes.len());
            report.error(raw.location, message, format!("allowed are {least} to {MAX_PAYLOAD_BYTES}"));
            return None;
        }
        Some(bytes)
    }

    fn show(&self, value: &Vec<u8>) -> Json {
        let is_plain = |text: &&str| !text.starts_with(HEX_PREFIX) && !text.contains(char::is_control);
        match std::str::from_utf8(value).ok().filter(is_plain) {
            Some(text) => Json::from(text),
            None => {
                let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
                Json::from(format!("{HEX_PREFIX}{digits}"))
            }
        }
    }

    fn schema(&self) -> Json {
        schema::text_of(usize::from(!self.may_be_empty)..=usize::MAX)
    }
}

/// Bytes that are written as pairs of digits, with or without spaces between them.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_hex { u8::from_str_radix(pair, 16).ok() } else { None }
    });
    pairs.collect()
}
