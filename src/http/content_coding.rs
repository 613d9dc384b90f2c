//! Content codings as streams (RFC 9110 §8.4.1): content in, compressed content out, in bounded memory.
//!
//! Both packages compress a piece at a time into memory that the caller gives. What an encoder owns
//! itself does not depend on the content's length; see [`ContentEncoder`].

use std::io::Write as _;

use flate2::Compress;
use flate2::Compression;
use flate2::FlushCompress;
use flate2::Status;
use flate2::write::GzEncoder;

use crate::http::brotli_encoder::BrotliEncoder;
use crate::http::brotli_encoder::BrotliOperation;
use crate::http::brotli_encoder::BrotliStep;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl ContentCoding {
    /// As registered, for Content-Encoding.
    pub fn name(self) -> &'static [u8] {
        match self {
            ContentCoding::Brotli => b"br",
            ContentCoding::Gzip => b"gzip",
        }
    }
}

/// What to do beyond taking content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Output may be held back until there is more content.
    Continue,
    /// A client that has all of the output can read all of the content.
    Flush,
    /// The content ends.
    Finish,
}

/// What one call of [`ContentEncoder::encode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken from the front of the content.
    pub taken: usize,
    /// All of the content was taken and the operation is complete. If not, there was no room for more
    /// output: the call is to be repeated with the rest of the content and the same operation.
    pub done: bool,
}

/// The package failed, which it does for no content, but without memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderFailed;

/// Compresses one content. Measured with a flush at least every 32 KiB, brotli owns up to 2.2 MiB, of
/// which 1.1 MiB from the start, and gzip 0.4 MiB; brotli at level 6 takes 1 MiB more.
pub struct ContentEncoder {
    kind: CoderKind,
}

enum CoderKind {
    Brotli(BrotliEncoder),
    Gzip(Compress),
}

/// The least room for output that [`ContentEncoder::encode`] can work with: zlib writes its flush marker again
/// and again where it only just fits.
pub const LEAST_ROOM: usize = 64;

/// The highest quality of brotli: with 7 it takes tables of 8 MiB, and with 9 of 32 MiB.
pub const MAX_BROTLI_LEVEL: u32 = 6;
/// The binary logarithm of how far back brotli looks: 256 KiB. With 16 or less, this quality takes a
/// table of 32 MiB.
const BROTLI_WINDOW_BITS: u32 = 18;
/// Above this size hint, brotli doubles its tables.
const MAX_BROTLI_SIZE_HINT: u64 = 1 << 20;
/// The highest that gzip knows.
pub const MAX_GZIP_LEVEL: u32 = 9;
/// The longest that gzip knows: 32 KiB.
const GZIP_WINDOW_BITS: u8 = 15;
/// The most output of one call. The room is filled with zeros first, so it should not be much more than
/// what a call writes.
const OUTPUT_STEP: usize = 8 * 1024;

impl ContentEncoder {
    /// An encoder for content of about this length, at a level from 1 to the highest of the coding.
    pub fn new(coding: ContentCoding, level: u8, length: u64) -> ContentEncoder {
        let level = u32::from(level);
        let kind = match coding {
            ContentCoding::Brotli => {
                let hint = length.min(MAX_BROTLI_SIZE_HINT) as u32;
                CoderKind::Brotli(BrotliEncoder::new(level.min(MAX_BROTLI_LEVEL), BROTLI_WINDOW_BITS, hint))
            }
            ContentCoding::Gzip => CoderKind::Gzip(Compress::new_gzip(
                Compression::new(level.min(MAX_GZIP_LEVEL)),
                GZIP_WINDOW_BITS,
            )),
        };
        ContentEncoder { kind }
    }

    /// Takes content from the front of `content` and appends what comes of it to `out`, at most `room`
    /// bytes, which must be at least [`LEAST_ROOM`]. After [`Operation::Finish`] is done, no call may follow.
    pub fn encode(
        &mut self,
        content: &[u8],
        operation: Operation,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<Progress, EncoderFailed> {
        debug_assert!(room >= LEAST_ROOM);
        let start = out.len();
        out.resize(start + room.min(OUTPUT_STEP), 0);
        let space = out.get_mut(start..).unwrap_or_default();
        let result = match &mut self.kind {
            CoderKind::Brotli(state) => encode_brotli(state, content, operation, space),
            CoderKind::Gzip(state) => encode_gzip(state, content, operation, space),
        };
        let (written, progress) = result?;
        out.truncate(start + written);
        Ok(progress)
    }
}

fn encode_brotli(
    encoder: &mut BrotliEncoder,
    content: &[u8],
    operation: Operation,
    space: &mut [u8],
) -> Result<(usize, Progress), EncoderFailed> {
    let operation = match operation {
        Operation::Continue => BrotliOperation::Process,
        Operation::Flush => BrotliOperation::Flush,
        Operation::Finish => BrotliOperation::Finish,
    };
    let BrotliStep { taken, written, done } =
        encoder.encode(content, operation, space).ok_or(EncoderFailed)?;
    Ok((written, Progress { taken, done }))
}

fn encode_gzip(
    state: &mut Compress,
    content: &[u8],
    operation: Operation,
    space: &mut [u8],
) -> Result<(usize, Progress), EncoderFailed> {
    let flush = match operation {
        Operation::Continue => FlushCompress::None,
        Operation::Flush => FlushCompress::Sync,
        Operation::Finish => FlushCompress::Finish,
    };
    let (taken_before, written_before) = (state.total_in(), state.total_out());
    let status = state.compress(content, space, flush).map_err(|_| EncoderFailed)?;
    // Both are at most the lengths of slices.
    let taken = (state.total_in() - taken_before) as usize;
    let written = (state.total_out() - written_before) as usize;
    let done = match operation {
        Operation::Finish => status == Status::StreamEnd,
        // Only when room is left is it sure that nothing more would come.
        _ => taken == content.len() && written < space.len(),
    };
    Ok((written, Progress { taken, done }))
}

/// The whole of `bytes`, compressed for a receiver that is not in a hurry.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const CODINGS: [ContentCoding; 2] = [ContentCoding::Brotli, ContentCoding::Gzip];

    fn decode(coding: ContentCoding, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let result = match coding {
            ContentCoding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content),
            ContentCoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
        };
        // A flushed beginning is no whole stream, but all of its content comes out.
        drop(result);
        content
    }

    /// Half text, half noise, the same every time.
    fn content(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|at| if at / 1000 % 2 == 0 { b"some text "[at % 10] } else { noise() }).collect()
    }

    fn encode(encoder: &mut ContentEncoder, mut rest: &[u8], operation: Operation, room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let before = out.len();
            let progress = encoder.encode(rest, operation, &mut out, room).unwrap();
            assert!(out.len() - before <= room);
            rest = &rest[progress.taken..];
            if progress.done {
                assert!(rest.is_empty());
                return out;
            }
        }
    }

    #[test]
    fn content_survives_in_pieces_of_any_size() {
        for coding in CODINGS {
            for length in [0, 1, 1025, 32 * 1024, 300_001] {
                for (piece, room) in [(100, LEAST_ROOM), (32 * 1024, 100), (32 * 1024, 128 * 1024)] {
                    let content = content(length);
                    let mut encoder = ContentEncoder::new(coding, 5, length as u64);
                    let mut out = Vec::new();
                    for piece in content.chunks(piece) {
                        out.extend(encode(&mut encoder, piece, Operation::Continue, room));
                    }
                    out.extend(encode(&mut encoder, &[], Operation::Finish, room));
                    assert!(decode(coding, &out) == content, "{coding:?} {length} {piece} {room}");
                }
            }
        }
    }

    #[test]
    fn content_survives_at_every_level() {
        for (coding, most) in CODINGS.into_iter().zip([MAX_BROTLI_LEVEL, MAX_GZIP_LEVEL]) {
            for level in 1..=most as u8 {
                let content = content(100_001);
                let mut encoder = ContentEncoder::new(coding, level, 100_001);
                let mut out = Vec::new();
                for piece in content.chunks(32 * 1024) {
                    out.extend(encode(&mut encoder, piece, Operation::Flush, 10_000));
                }
                out.extend(encode(&mut encoder, &[], Operation::Finish, 10_000));
                assert!(decode(coding, &out) == content, "{coding:?} {level}");
                assert!(out.len() < 60_000, "{coding:?} {level} {}", out.len());
            }
        }
    }

    #[test]
    fn what_was_flushed_can_be_read() {
        for coding in CODINGS {
            for room in [LEAST_ROOM, 10_000] {
                let content = content(100_000);
                let mut encoder = ContentEncoder::new(coding, 5, 100_000);
                let mut out = Vec::new();
                for (index, piece) in content.chunks(7_000).enumerate() {
                    out.extend(encode(&mut encoder, piece, Operation::Flush, room));
                    let so_far = content.len().min((index + 1) * 7_000);
                    assert!(decode(coding, &out) == content[..so_far], "{coding:?} {room} {so_far}");
                }
                out.extend(encode(&mut encoder, &[], Operation::Finish, room));
                assert!(decode(coding, &out) == content, "{coding:?} {room}");
            }
        }
    }
}
