//! The trailer section (RFC 9112 §7.1.2): read strictly, kept only where it is safe to pass on.

use crate::http::trailers::is_forwardable;
use crate::proto::h1::error::ChunkError;
use crate::proto::h1::framing::is_token;
use crate::proto::h1::framing::trim;

/// A trailer section while it comes in. It holds no memory before its first field.
#[derive(Debug, Default)]
pub(super) struct TrailerSection {
    /// The kept lines, and after them what is there of the present line.
    lines: Vec<u8>,
    /// Where the present line begins in `lines`.
    line_start: usize,
    /// Received so far, kept or not; at most [`MAX_TRAILER_BYTES`].
    received: usize,
}

impl TrailerSection {
    /// Takes one more byte; true when it was the last one.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, ChunkError> {
        self.received += 1;
        if self.received > MAX_TRAILER_BYTES {
            return Err(ChunkError::TrailersTooLarge);
        }
        let after_cr = self.lines.last() == Some(&b'\r') && self.lines.len() > self.line_start;
        if after_cr != (byte == b'\n') {
            return Err(ChunkError::BadTrailer);
        }
        self.lines.push(byte);
        if byte != b'\n' {
            return Ok(false);
        }
        let line = self.lines.get(self.line_start..).and_then(|line| line.strip_suffix(b"\r\n"));
        let line = line.unwrap_or_default();
        let finished = line.is_empty();
        if finished || !is_forwardable(field_name(line)?) {
            self.lines.truncate(self.line_start);
        }
        self.line_start = self.lines.len();
        Ok(finished)
    }

    /// The lines to pass on, each with its CRLF.
    pub(super) fn lines(&self) -> &[u8] {
        self.lines.get(..self.line_start).unwrap_or_default()
    }
}

/// The name of a valid field line. Folded lines begin with whitespace, which no name does.
fn field_name(line: &[u8]) -> Result<&[u8], ChunkError> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(ChunkError::BadTrailer)?;
    let (name, value) = line.split_at(colon);
    let is_control = |&byte: &u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    if is_token(name) && !trim(value).iter().any(is_control) { Ok(name) } else { Err(ChunkError::BadTrailer) }
}

/// Bytes of one trailer section, with its line ends.
pub const MAX_TRAILER_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<&str, ChunkError>) {
        let mut section = TrailerSection::default();
        let mut taken = 0;
        let outcome = input.bytes().find_map(|byte| {
            taken += 1;
            section.take(byte).map(|finished| finished.then_some(())).transpose()
        });
        let lines = String::from_utf8_lossy(section.lines());
        match expected {
            Ok(expected) => {
                assert_eq!((outcome, &*lines), (Some(Ok(())), expected), "{input:?}");
                assert_eq!(taken, input.len(), "{input:?}");
            }
            Err(error) => assert_eq!(outcome, Some(Err(error)), "{input:?}"),
        }
    }

    #[test]
    fn sections() {
        check("\r\n", Ok(""));
        check("A: b\r\n\r\n", Ok("A: b\r\n"));
        check(
            "grpc-status:0\r\nContent-Digest: x\r\nb:\r\n\r\n",
            Ok("grpc-status:0\r\nContent-Digest: x\r\nb:\r\n"),
        );
        check("A: b\r\nHost: evil\r\nC: d\r\n\r\n", Ok("A: b\r\nC: d\r\n"));
        for name in [
            "Content-Length",
            "Transfer-Encoding",
            "Content-Type",
            "Connection",
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded-Anything",
            "Authorization",
            "COOKIE",
            "Set-Cookie",
            "If-Match",
            "Trailer",
            "TE",
        ] {
            check(&format!("{name}: 1\r\n\r\n"), Ok(""));
        }
        for line in
            [" a: b", "\ta: b", "a : b", "a", ": b", "a\0: b", "a: \0", "a: b\x7f", "\u{e4}: b", "a: b\n"]
        {
            check(&format!("{line}\r\n\r\n"), Err(ChunkError::BadTrailer));
        }
        check("\n", Err(ChunkError::BadTrailer));
        check("a: b\rc\r\n", Err(ChunkError::BadTrailer));
        check("a: b\r\n c: d\r\n\r\n", Err(ChunkError::BadTrailer));
        check("\r\r\n", Err(ChunkError::BadTrailer));
    }

    #[test]
    fn sections_are_bounded_even_when_nothing_is_kept() {
        check(&"Host: a\r\n".repeat(1000), Err(ChunkError::TrailersTooLarge));
        check(&"a".repeat(MAX_TRAILER_BYTES + 1), Err(ChunkError::TrailersTooLarge));
    }
}
