//! Texts of strangers in strings of JSON.

use std::io::Write;

use crate::telemetry::log_text::is_plain;
use crate::telemetry::log_text::shown;

/// Writes a string of JSON; what is empty shows as a dash.
#[inline]
pub(super) fn json_string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    json_value(out, value);
    out.push(b'"');
}

/// The same without its quotes.
#[inline]
pub(super) fn json_value(out: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        out.push(b'-');
    }
    if is_plain(shown(value)) {
        // As nearly always.
        return out.extend_from_slice(shown(value));
    }
    for part in shown(value).utf8_chunks() {
        json_text(out, part.valid());
        // What is no UTF-8 shows as in the combined format, and stays a text of JSON.
        part.invalid().iter().for_each(|byte| drop(write!(out, "\\\\x{byte:02X}")));
    }
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend_from_slice(&[b'\\', letter as u8]),
            // Besides controls, what JavaScript takes for the end of a line.
            _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                drop(write!(out, "\\u{:04x}", letter as u32));
            }
            _ if letter.is_ascii() => out.push(letter as u8),
            _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
