//! Texts of strangers in lines of text: what could end a line or a quoted value is escaped. And runs: texts one behind the
//! other, each with its length in front.

use std::io::Write;

use arrayvec::ArrayVec;

use crate::http::base64::decoded;

/// What a line shows of a value: a stranger decides how long it is, and escaping makes it several times so.
pub(super) fn shown(value: &[u8]) -> &[u8] {
    const SHOWN_BYTES: usize = 4 * 1024;
    value.get(..SHOWN_BYTES).unwrap_or(value)
}

/// Escapes as nginx and Apache do, so that their log readers work.
pub(super) fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    let value = shown(value);
    // Looked at as a whole, which takes an instruction for many bytes. Nearly always all are plain.
    if !value.iter().fold(false, |found, byte| found | is_escaped(*byte)) {
        return out.extend_from_slice(value);
    }
    for &byte in value {
        if is_escaped(byte) { drop(write!(out, "\\x{byte:02X}")) } else { out.push(byte) }
    }
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f..)
}

/// The same, with a dash for what is empty.
pub(super) fn escaped_or_dash(out: &mut Vec<u8>, value: &[u8]) {
    escaped(out, if value.is_empty() { b"-" } else { value });
}

/// The user of Basic authentication (RFC 7617 §2), or a dash. The password behind the colon is never looked at.
pub(super) fn remote_user(out: &mut Vec<u8>, authorization: &[u8]) {
    let credentials =
        authorization.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
    let mut user = ArrayVec::<u8, MAX_USER_BYTES>::new();
    let is_decoded =
        credentials.is_some_and(|(_, credentials)| decode_user(credentials.trim_ascii(), &mut user));
    if !is_decoded || user.is_empty() {
        return out.push(b'-');
    }
    for &byte in &user {
        // A space would begin the next field.
        if byte == b' ' { out.extend_from_slice(b"\\x20") } else { escaped(out, &[byte]) }
    }
}

/// Decodes base 64 up to the first colon; false if there is none, or if something else stands before it.
fn decode_user(credentials: &[u8], user: &mut ArrayVec<u8, MAX_USER_BYTES>) -> bool {
    for byte in decoded(credentials) {
        match byte {
            None => return false,
            Some(b':') => return true,
            Some(byte) if user.try_push(byte).is_err() => return false,
            Some(_) => {}
        }
    }
    false
}

const LENGTH_BYTES: usize = size_of::<u32>();

/// Writes a run with its length in front.
pub fn write_run(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    write(out);
    // A line is far shorter than 4 GiB.
    let length = (out.len() - start - LENGTH_BYTES) as u32;
    if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
}

/// Reads the next run; empty if there is none.
pub fn take_run<'r>(bytes: &mut &'r [u8]) -> &'r [u8] {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return b"" };
    let (run, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize).unwrap_or_default();
    *bytes = rest;
    run
}

/// A longer name of a user is not told.
const MAX_USER_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_and_passwords_are_not() {
        for (authorization, expected) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin"),
            ("basic dXNlcjo=", "user"),
            ("Basic OnBhc3N3b3Jk", "-"),
            ("Basic dXNlcg==", "-"),
            ("Basic dXN!cjpw", "-"),
            ("Basic Ig06", r"\x22\x0D"),
            ("Bearer dXNlcjpw", "-"),
            ("", "-"),
        ] {
            let mut out = Vec::new();
            remote_user(&mut out, authorization.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{authorization}");
        }
    }
}
