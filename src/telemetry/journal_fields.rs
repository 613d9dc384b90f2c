//! The fields of a JSON line as fields of an entry of the journal.

use std::io::Write;

/// What the names of our fields begin with, and how long the journal lets a name be.
const PREFIX: &[u8] = b"RINGWAY_";
/// Bytes of the name of a field, as journald takes it.
const MAX_NAME_BYTES: usize = 64;

/// Writes the fields of a line of JSON, which is one of ours: an object of numbers, words and texts. Fields that would
/// make the entry longer than `max_bytes` are left out.
pub(super) fn write_fields(line: &[u8], max_bytes: usize, out: &mut Vec<u8>) {
    let mut rest = line.strip_prefix(b"{").unwrap_or_default();
    let mut value = Vec::new();
    while let Some((name, behind)) = text(rest) {
        value.clear();
        rest = match behind.strip_prefix(b":") {
            Some(quoted @ [b'"', ..]) => match text(quoted) {
                Some((escaped, behind)) => {
                    unescape(escaped, &mut value);
                    behind
                }
                None => return,
            },
            Some(bare) => {
                let end = bare.iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(bare.len());
                let (bare, behind) = bare.split_at(end);
                value.extend_from_slice(bare);
                behind
            }
            None => return,
        };
        let begin = out.len();
        write_field(name, &value, out);
        if out.len() > max_bytes {
            out.truncate(begin);
        }
        rest = rest.strip_prefix(b",").unwrap_or_default();
    }
}

/// What stands between quotes at the beginning, escapes included, and what is behind.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = bytes.strip_prefix(b"\"")?;
    let mut end = 0;
    loop {
        match bytes.get(end)? {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    let (text, behind) = bytes.split_at_checked(end)?;
    Some((text, behind.get(1..)?))
}

/// Undoes the escapes that lines have: of a quote, of a backslash, and by the number of a character.
fn unescape(mut escaped: &[u8], out: &mut Vec<u8>) {
    while let Some(place) = escaped.iter().position(|byte| *byte == b'\\') {
        let (before, behind) = escaped.split_at(place);
        out.extend_from_slice(before);
        escaped = match behind {
            [_, b'u', rest @ ..] => {
                let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let letter = number.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest.get(4..).unwrap_or_default()
            }
            [_, plain, rest @ ..] => {
                out.push(*plain);
                rest
            }
            _ => return,
        };
    }
    out.extend_from_slice(escaped);
}

/// A value that has an end of line in it is told by its length, a 64-bit number in little-endian order.
fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(PREFIX);
    let plain = |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() } else { b'_' };
    out.extend(name.iter().take(MAX_NAME_BYTES - PREFIX.len()).map(plain));
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    // Writing to a vector cannot fail.
    let _ = out.write_all(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str, max_bytes: usize) -> String {
        let mut out = Vec::new();
        write_fields(line.as_bytes(), max_bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_have_our_prefix_and_their_values_without_escapes() {
        let line = r#"{"time":"1994Z","status":200,"tls_resumed":true,"request_uri":"/a\"b\\c,}?d","empty":"","x-y":"\u001b\u00e9é","two":"a\u000ab"}"#;
        let expected = "RINGWAY_TIME=1994Z\nRINGWAY_STATUS=200\nRINGWAY_TLS_RESUMED=true\n\
            RINGWAY_REQUEST_URI=/a\"b\\c,}?d\nRINGWAY_EMPTY=\nRINGWAY_X_Y=\u{1b}éé\nRINGWAY_TWO\n\u{3}\0\0\0\0\0\0\0a\nb\n";
        assert_eq!(fields(line, 8_192), expected);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_what_is_no_line_ends() {
        assert_eq!(fields(r#"{"a":"0123456789","b":1}"#, 20), "RINGWAY_B=1\n");
        assert_eq!(fields(&format!("{{\"{}\":1}}", "a".repeat(100)), 100).len(), MAX_NAME_BYTES + 3);
        for line in [
            "",
            "{",
            "{\"",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":\"\\u00",
            "[1]",
            "{}",
        ] {
            assert!(fields(line, 100).len() < 20, "{line}");
        }
    }
}
