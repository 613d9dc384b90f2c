//! Heads and trailers as text: what HTTP/1.1 sends, and what other versions are written from and read into.

use memchr::memchr;

use crate::http::headers::Field;
use crate::http::headers::FieldLine;
use crate::proto::h1::framing::trim;

/// Appends one field line. Neither part may hold a line end: parsed fields never do.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(!name.iter().chain(value).any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')));
    out.reserve(name.len() + value.len() + ": \r\n".len());
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The same for a received field. One that nobody may index gets no space before its value, which means the same
/// and is seen by [`field_lines`].
pub fn write_marked_field(out: &mut Vec<u8>, field: &Field<'_>) {
    write_field(out, field.name, field.value);
    if field.is_sensitive {
        let value_start = out.len() - field.value.len() - "\r\n".len();
        out.remove(value_start - 1);
    }
}

/// Names and values of complete field lines, as [`write_field`] or a sender of trailers wrote them, up to an empty
/// line or the end.
pub fn field_lines(lines: &[u8]) -> impl Iterator<Item = FieldLine<'_>> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let (line, after) = split_line(rest)?;
        rest = after;
        let colon = memchr(b':', line)?;
        let value = line.get(colon + 1..)?;
        let is_sensitive = value.first() != Some(&b' ');
        Some(FieldLine { name: line.get(..colon)?, value: trim(value), is_sensitive })
    })
}

/// The first line without its CRLF, and what follows it.
pub fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let (line, after) = text.split_at_checked(end + 1)?;
    Some((line.strip_suffix(b"\r\n")?, after))
}

/// Appends a Content-Length field.
pub fn write_content_length(out: &mut Vec<u8>, bytes: u64) {
    /// Digits of a length: as many as 64 bits have.
    const MAX_DIGITS: usize = 20;
    let mut digits = [b'0'; MAX_DIGITS];
    let mut rest = bytes;
    let mut first = MAX_DIGITS;
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        first = index;
        if rest == 0 {
            break;
        }
    }
    write_field(out, b"Content-Length", digits.get(first..).unwrap_or_default());
}

/// Appends the empty line that ends a head.
pub fn write_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn fields_that_nobody_may_index_are_known_by_their_lines() {
        let mut lines = Vec::new();
        for (name, value, is_sensitive) in [("a", "b", false), ("c", "d e", true), ("f", "", true)] {
            let field = Field::new(name.as_bytes(), value.as_bytes());
            write_marked_field(&mut lines, &Field { is_sensitive, ..field });
        }
        assert_eq!(text(&lines), "a: b\r\nc:d e\r\nf:\r\n");
        let read: Vec<_> = field_lines(&lines).map(|line| (text(line.name), line.is_sensitive)).collect();
        assert_eq!(read, [("a", false), ("c", true), ("f", true)]);
        assert_eq!(field_lines(&lines).nth(1).map(|line| text(line.value)), Some("d e"));
    }

    #[test]
    fn lines_are_written_and_end() {
        let mut out = Vec::new();
        write_field(&mut out, b"Host", b"a");
        write_content_length(&mut out, 1024);
        write_end(&mut out);
        assert_eq!(text(&out), "Host: a\r\nContent-Length: 1024\r\n\r\n");
    }
}
