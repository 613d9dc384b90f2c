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
    // As nearly always.
    if is_plain(value) {
        return out.extend_from_slice(value);
    }
    for &byte in value {
        if is_escaped(byte) { drop(write!(out, "\\x{byte:02X}")) } else { out.push(byte) }
    }
}

/// Whether nothing is to be escaped. Eight bytes are looked at in a dozen instructions.
pub(super) fn is_plain(value: &[u8]) -> bool {
    let (words, rest) = value.as_chunks::<8>();
    // What is missing at the end stands for itself.
    let mut last = [b'a'; 8];
    let bytes = last.get_mut(..rest.len()).unwrap_or_default();
    bytes.copy_from_slice(rest);
    words.iter().chain([&last]).fold(0, |found, word| found | escaped_of(u64::from_ne_bytes(*word))) == 0
}

/// Zero if each byte of a word is plain. A byte that borrows from the next one is not, so that it makes no difference which
/// of the bits are set.
fn escaped_of(word: u64) -> u64 {
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let below = |bound: u8| word.wrapping_sub(all(bound)) & !word;
    let is = |byte: u8| {
        let differs = word ^ all(byte);
        differs.wrapping_sub(all(1)) & !differs
    };
    let from_delete_on = word.wrapping_add(all(1)) | word;
    (below(b' ') | is(b'"') | is(b'\\') | from_delete_on) & all(0x80)
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f..)
}

/// The same, with a dash for what is empty.
pub(super) fn escaped_or_dash(out: &mut Vec<u8>, value: &[u8]) {
    escaped(out, if value.is_empty() { b"-" } else { value });
}

/// The same where a line has no quotes around it: a space would begin the next value. What is refused can have spaces in its
/// method.
pub(super) fn escaped_word(out: &mut Vec<u8>, value: &[u8]) {
    for (place, part) in value.split(|byte| *byte == b' ').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\\x20");
        }
        escaped(out, part);
    }
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
    escaped_word(out, &user);
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
    fn each_byte_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for length in 0..20 {
                for place in 0..length {
                    let mut value = vec![b'a'; length];
                    value[place] = byte;
                    assert_eq!(is_plain(&value), !is_escaped(byte), "{byte} at {place} of {length}");
                }
            }
        }
        assert!(is_plain(b"") && !is_plain(&[0xff; 9]) && !is_plain(&[0; 8]));
    }

    #[test]
    fn a_word_stays_one_word() {
        let mut out = Vec::new();
        escaped_word(&mut out, b" GET h /\" 200 ");
        assert_eq!(out, br"\x20GET\x20h\x20/\x22\x20200\x20");
    }

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
