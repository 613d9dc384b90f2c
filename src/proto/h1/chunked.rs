//! The chunked transfer coding (RFC 9112 §7.1), decoded inside the buffer it was received in.
//!
//! ```text
//!            ┌──────────────── more chunks ─────────────────┐
//!            ▼                                               │
//!  Size ─► Digits ─┬─► SizeLf ─► Data ─► DataCr ─► DataLf ───┘
//!                  └─► Extension ─┘ │
//!                                   └─ size 0 ─► Trailers ─► Finished
//! ```

use std::ops::Range;

use crate::proto::h1::error::ChunkError;
use crate::proto::h1::trailers::TrailerSection;

/// What follows the bytes of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The longest [`ChunkHeader`]: sixteen digits and CRLF.
pub const MAX_CHUNK_HEADER: usize = 18;

/// What became of the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkProgress {
    /// These many bytes from the front are done with; the rest belongs to what comes next.
    pub consumed: usize,
    /// Where the body bytes stand now: one run within the consumed bytes.
    pub body: Range<usize>,
    /// Nothing more belongs to this body.
    pub finished: bool,
}

/// The decoder of one body.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: ChunkState,
    /// The size of the chunk while its digits come, then what is left of it.
    remaining: u64,
    /// Digits of the present size, at most [`MAX_SIZE_DIGITS`].
    digits: u8,
    /// Bytes of all extensions so far, at most [`MAX_EXTENSION_BYTES`].
    extension_bytes: u16,
    trailers: TrailerSection,
}

impl ChunkedDecoder {
    pub fn new() -> ChunkedDecoder {
        ChunkedDecoder::default()
    }

    /// Decodes what has come. A first run of body bytes stays where it is; bytes of further chunks
    /// are moved up to it. After an error the decoder must not be asked again.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<ChunkProgress, ChunkError> {
        let mut at = 0;
        let mut body = 0..0;
        while self.state != ChunkState::Finished {
            if self.state == ChunkState::Data {
                let run = self.remaining.min((bytes.len() - at) as u64) as usize;
                if body.is_empty() {
                    body = at..at;
                } else {
                    bytes.copy_within(at..at + run, body.end);
                }
                body.end += run;
                at += run;
                self.remaining -= run as u64;
                if self.remaining > 0 {
                    break;
                }
                self.state = ChunkState::DataCr;
            }
            let Some(&byte) = bytes.get(at) else { break };
            self.step(byte)?;
            at += 1;
        }
        Ok(ChunkProgress { consumed: at, body, finished: self.is_finished() })
    }

    pub fn is_finished(&self) -> bool {
        self.state == ChunkState::Finished
    }

    /// What the present chunk still announces.
    pub fn announced(&self) -> u64 {
        if self.state == ChunkState::Data { self.remaining } else { 0 }
    }

    /// The trailer fields that may be forwarded, as lines that end with CRLF; complete once finished.
    pub fn trailers(&self) -> &[u8] {
        self.trailers.lines()
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (ChunkState::Size | ChunkState::Digits, byte) if byte.is_ascii_hexdigit() => {
                self.take_digit(byte)?
            }
            (ChunkState::Digits | ChunkState::Extension, b'\r') => ChunkState::SizeLf,
            (ChunkState::Digits, b';') => ChunkState::Extension,
            (ChunkState::Size | ChunkState::Digits, _) => return Err(ChunkError::BadSize),
            (ChunkState::Extension, byte) => self.skip_extension(byte)?,
            (ChunkState::SizeLf, b'\n') if self.remaining == 0 => ChunkState::Trailers,
            (ChunkState::SizeLf, b'\n') => ChunkState::Data,
            (ChunkState::SizeLf, _) => return Err(ChunkError::BadSize),
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => {
                self.digits = 0;
                ChunkState::Size
            }
            (ChunkState::DataCr | ChunkState::DataLf, _) => return Err(ChunkError::BadChunkEnd),
            (ChunkState::Trailers, byte) if self.trailers.take(byte)? => ChunkState::Finished,
            // The last two take no single bytes: `decode` does not bring any.
            (ChunkState::Trailers | ChunkState::Data | ChunkState::Finished, _) => self.state,
        };
        Ok(())
    }

    /// "Recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors
    /// due to integer conversion overflows" (RFC 9112 §7.1). Leading zeros count as digits.
    fn take_digit(&mut self, byte: u8) -> Result<ChunkState, ChunkError> {
        if self.digits == MAX_SIZE_DIGITS {
            return Err(ChunkError::SizeOverflow);
        }
        self.digits += 1;
        let digit = (byte as char).to_digit(16).ok_or(ChunkError::BadSize)?;
        self.remaining = self.remaining << 4 | u64::from(digit);
        Ok(ChunkState::Digits)
    }

    /// Extensions are dropped: "A recipient MUST ignore unrecognized chunk extensions" (RFC 9112
    /// §7.1.1). Not even a quoted string can hold a line end, so their syntax need not be known; but a
    /// control byte is refused, above all a bare LF, at which another hop may see the line's end.
    fn skip_extension(&mut self, byte: u8) -> Result<ChunkState, ChunkError> {
        if byte == 0x7f || (byte < b' ' && byte != b'\t') {
            return Err(ChunkError::BadExtension);
        }
        if self.extension_bytes == MAX_EXTENSION_BYTES {
            return Err(ChunkError::ExtensionTooLong);
        }
        self.extension_bytes += 1;
        Ok(ChunkState::Extension)
    }
}

/// The size line of one chunk, short enough to be put before its bytes in headroom.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHeader {
    /// The line stands at the end.
    bytes: [u8; MAX_CHUNK_HEADER],
    start: usize,
}

impl ChunkHeader {
    /// For a chunk of `length` bytes, which must not be zero: that would end the body.
    pub fn new(length: usize) -> ChunkHeader {
        debug_assert!(length > 0);
        let mut header = ChunkHeader { bytes: *b"0000000000000000\r\n", start: MAX_CHUNK_HEADER - 2 };
        let mut rest = length;
        for (index, digit) in header.bytes.iter_mut().enumerate().rev().skip(2) {
            *digit = HEX_DIGITS.get(rest & 0xf).copied().unwrap_or(b'0');
            header.start = index;
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        header
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// Appends the end of a body: the last chunk and the trailer lines, each of which ends with CRLF.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    /// Before the first digit of a size.
    #[default]
    Size,
    Digits,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Finished,
}

/// As many as 64 bits have.
const MAX_SIZE_DIGITS: u8 = 16;

/// Bytes of extensions in one body: "A server ought to limit the total length of chunk extensions received in a request"
/// (RFC 9112 §7.1.1).
pub const MAX_EXTENSION_BYTES: u16 = 16 * 1024;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<(&[u8], usize), ChunkError>) {
        let mut decoder = ChunkedDecoder::new();
        let mut bytes = input.to_vec();
        let actual = decoder.decode(&mut bytes).map(|progress| {
            assert!(progress.finished, "{:?}", input.escape_ascii().to_string());
            (bytes.get(progress.body).unwrap().to_vec(), progress.consumed)
        });
        let expected = expected.map(|(body, consumed)| (body.to_vec(), consumed));
        assert_eq!(actual, expected, "{:?}", input.escape_ascii().to_string());
    }

    #[test]
    fn bodies() {
        check(b"0\r\n\r\n", Ok((b"", 5)));
        check(b"0000000000000000\r\n\r\n", Ok((b"", 20)));
        check(b"3\r\nabc\r\n0\r\n\r\n", Ok((b"abc", 13)));
        check(b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\nGET", Ok((b"abcdef", 26)));
        check(b"A\r\n0123456789\r\n0\r\n\r\n", Ok((b"0123456789", 20)));
        check(b"1;\r\na\r\n0; a = \"b;\" ;\tc\r\n\r\n", Ok((b"a", 26)));
        check(b"2\r\n\r\n\r\n0\r\nA: b\r\n\r\n", Ok((b"\r\n", 18)));
    }

    #[test]
    fn faults() {
        for input in [
            &b"\r\n"[..],
            b"\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1 ;a\r\n",
            b"\t1\r\n",
            b"+1\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b"1h\r\n",
            b"1,1\r\n",
            b"1\na\r\n",
            b"1\ra",
            b"1\r\r\n",
            b";a\r\n",
            b"1\0\r\n",
            b"1_0\r\n",
        ] {
            check(input, Err(ChunkError::BadSize));
        }
        for input in [&b"1;a\n"[..], b"1;\0\r\n", b"1;a\x7f", b"1;\x0b"] {
            check(input, Err(ChunkError::BadExtension));
        }
        check(b"1;a\rb", Err(ChunkError::BadSize));
        for input in [&b"1\r\nab"[..], b"1\r\na\n", b"1\r\na\rb", b"1\r\na0\r\n\r\n", b"1\r\na \r\n"] {
            check(input, Err(ChunkError::BadChunkEnd));
        }
        check(b"00000000000000001\r\n", Err(ChunkError::SizeOverflow));
        check(b"10000000000000000\r\n", Err(ChunkError::SizeOverflow));
    }

    #[test]
    fn the_largest_size_is_no_overflow() {
        let mut decoder = ChunkedDecoder::new();
        let progress = decoder.decode(&mut b"ffffffffffffffff\r\nab".to_vec()).unwrap();
        assert_eq!(progress, ChunkProgress { consumed: 20, body: 18..20, finished: false });
        assert_eq!(decoder.announced(), u64::MAX - 2);
    }

    #[test]
    fn extensions_are_bounded_over_the_whole_body() {
        let chunk = [&b"1;"[..], &[b'e'; 1022], b"\r\na\r\n"].concat();
        let mut decoder = ChunkedDecoder::new();
        let error =
            (0..).find_map(|count| decoder.decode(&mut chunk.clone()).err().map(|error| (count, error)));
        assert_eq!(error, Some((16, ChunkError::ExtensionTooLong)));
    }

    #[test]
    fn a_single_chunk_is_not_moved() {
        let mut bytes = b"3\r\nabc\r\n".to_vec();
        let progress = ChunkedDecoder::new().decode(&mut bytes).unwrap();
        assert_eq!(progress, ChunkProgress { consumed: 8, body: 3..6, finished: false });
    }

    #[test]
    fn sizes_are_written_without_leading_zeros() {
        for length in [1, 9, 10, 15, 16, 255, 256, 65_535, 65_536, usize::MAX] {
            assert_eq!(ChunkHeader::new(length).as_bytes(), format!("{length:x}\r\n").as_bytes());
        }
    }
}
