//! Header blocks that are longer than anybody keeps. They are decoded piece by piece as they come, so that the table
//! stays in step and later blocks can be read (RFC 9113 §4.3); of their fields nothing is stored beyond the limits.

use crate::proto::fields::FIELD_OVERHEAD;
use crate::proto::fields::error::DecodeError;
use crate::proto::fields::integer;
use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::h2::hpack::decoder::Decoded;
use crate::proto::h2::hpack::decoder::Decoder;
use crate::proto::h2::hpack::decoder::FieldBlock;
use crate::proto::h2::hpack::decoder::INDEXED;
use crate::proto::h2::hpack::decoder::WITH_INDEXING;
use crate::proto::h2::hpack::decoder::WORK_PER_BYTE;

/// A string of more bytes than this, compressed or not, is not kept until it is complete. It fits into no table that
/// we allow, because no symbol takes more than 30 bits (RFC 7541 appendix B), so that nobody can refer to it.
const LONG_STRING_BYTES: usize = 16 * 1024;

/// A block on its way, of which the beginning has passed the limits.
pub struct LongBlock {
    /// The beginning of a field.
    tail: Vec<u8>,
    has_begun: bool,
    outcome: Decoded,
    work_left: usize,
    /// Bytes of the fields that were not stored, with [`FIELD_OVERHEAD`] for each.
    excess: usize,
    skipping: Skipping,
}

/// What of a field with a long string is still to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skipping {
    Nothing,
    /// So many bytes of its name.
    Name(usize),
    ValueLength,
    /// So many bytes of its value.
    Value(usize),
}

impl LongBlock {
    /// Begins with nothing; the first piece is the beginning of the block.
    pub fn new() -> LongBlock {
        LongBlock {
            tail: Vec::new(),
            has_begun: false,
            outcome: Decoded::Whole,
            work_left: 0,
            excess: 0,
            skipping: Skipping::Nothing,
        }
    }

    /// The size of what was decoded and not stored, as RFC 9113 §6.5.2 counts it.
    pub fn excess(&self) -> usize {
        self.excess
    }

    /// The memory it holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Ends the block, which is never whole.
    pub fn finish(&self) -> Result<Decoded, DecodeError> {
        if !self.tail.is_empty() || self.skipping != Skipping::Nothing {
            return Err(DecodeError::Truncated);
        }
        Ok(if self.outcome == Decoded::Whole { Decoded::TooLarge } else { self.outcome })
    }

    /// Passes over what is left of a long string.
    fn skip<'b>(&mut self, mut rest: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        loop {
            let (left, next) = match self.skipping {
                Skipping::Nothing => return Ok(rest),
                Skipping::Name(left) => (left, Skipping::ValueLength),
                Skipping::Value(left) => (left, Skipping::Nothing),
                Skipping::ValueLength => match integer::decode(&mut rest, 7) {
                    Ok(length) => {
                        self.excess = self.excess.saturating_add(length as usize);
                        self.skipping = Skipping::Value(length as usize);
                        continue;
                    }
                    Err(DecodeError::Truncated) => return Ok(rest),
                    Err(error) => return Err(error),
                },
            };
            let skipped = left.min(rest.len());
            rest = rest.get(skipped..).unwrap_or_default();
            if skipped < left {
                self.skipping = match self.skipping {
                    Skipping::Name(_) => Skipping::Name(left - skipped),
                    _ => Skipping::Value(left - skipped),
                };
                return Ok(rest);
            }
            self.skipping = next;
        }
    }

    /// Looks whether the incomplete field at the front of `rest` has a long string, and passes over what comes
    /// before that. False: the field is to be kept until more of it is there.
    fn begin_to_skip(&mut self, rest: &mut &[u8], decoder: &mut Decoder) -> Result<bool, DecodeError> {
        match long_string(rest) {
            Ok(Some((after, skipping))) => {
                if rest.first().is_some_and(|first| first & WITH_INDEXING != 0) {
                    // "An attempt to add an entry larger than the maximum size causes the table to be emptied" (RFC
                    // 7541 §4.4).
                    decoder.table.clear();
                }
                *rest = after;
                self.skipping = skipping;
                self.excess = self.excess.saturating_add(skipping.bytes() + FIELD_OVERHEAD);
                if self.outcome == Decoded::Whole {
                    self.outcome = Decoded::TooLarge;
                }
                Ok(true)
            }
            Ok(None) | Err(DecodeError::Truncated) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Default for LongBlock {
    fn default() -> LongBlock {
        LongBlock::new()
    }
}

impl Skipping {
    fn bytes(self) -> usize {
        match self {
            Skipping::Name(bytes) | Skipping::Value(bytes) => bytes,
            Skipping::Nothing | Skipping::ValueLength => 0,
        }
    }
}

/// What follows the length of the first long string of a field, and what is to be skipped there.
fn long_string(field: &[u8]) -> Result<Option<(&[u8], Skipping)>, DecodeError> {
    let mut rest = field;
    let first = *rest.first().ok_or(DecodeError::Truncated)?;
    if first & INDEXED != 0 {
        return Ok(None);
    }
    let prefix_bits = if first & WITH_INDEXING != 0 { 6 } else { 4 };
    if integer::decode(&mut rest, prefix_bits)? == 0 {
        let length = integer::decode(&mut rest, 7)? as usize;
        if length > LONG_STRING_BYTES {
            return Ok(Some((rest, Skipping::Name(length))));
        }
        rest = rest.get(length..).ok_or(DecodeError::Truncated)?;
    }
    let length = integer::decode(&mut rest, 7)? as usize;
    Ok((length > LONG_STRING_BYTES).then_some((rest, Skipping::Value(length))))
}

impl Decoder {
    /// Decodes the next piece of a block that is longer than anybody keeps, as far as it can be: fields within the
    /// limits into `fields`, in place of what that held when the block began.
    ///
    /// A long string is not looked at: padding of its Huffman code that is wrong goes unnoticed. The memory that
    /// the block takes is bounded by its longest piece, and the work is as with [`Decoder::decode`].
    pub fn decode_piece(
        &mut self,
        long: &mut LongBlock,
        piece: &[u8],
        limits: &FieldLimits,
        fields: &mut Fields,
    ) -> Result<(), DecodeError> {
        let mut input = std::mem::take(&mut long.tail);
        input.extend_from_slice(piece);
        long.work_left += WORK_PER_BYTE * piece.len();
        let mut rest = input.as_slice();
        if !std::mem::replace(&mut long.has_begun, true) {
            fields.clear();
            rest = self.take_size_updates(rest)?;
            long.work_left += usize::from(self.max_table_bytes);
        }
        loop {
            rest = long.skip(rest)?;
            let Some(&first) = rest.first().filter(|_| long.skipping == Skipping::Nothing) else { break };
            let (outcome, work_left, excess) = (long.outcome, long.work_left, long.excess);
            let mut block =
                FieldBlock { rest, table: &mut self.table, limits, fields, outcome, work_left, excess };
            match block.take_field(first) {
                Ok(()) => {
                    (long.outcome, long.work_left, long.excess) =
                        (block.outcome, block.work_left, block.excess);
                    rest = block.rest;
                }
                Err(DecodeError::Truncated) if long.begin_to_skip(&mut rest, self)? => {}
                Err(DecodeError::Truncated) => break,
                Err(error) => return Err(error),
            }
        }
        let taken = input.len() - rest.len();
        input.drain(..taken);
        long.tail = input;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::huffman;

    const LIMITS: FieldLimits = FieldLimits { max_bytes: 16_384, max_fields: 100 };

    fn literal(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        for text in [name, value] {
            integer::encode(&mut out, 0, 7, text.len());
            out.extend_from_slice(text);
        }
        out
    }

    /// Decodes in pieces of this length.
    fn in_pieces(
        decoder: &mut Decoder,
        block: &[u8],
        length: usize,
    ) -> (Result<Decoded, DecodeError>, Fields, usize) {
        let (mut long, mut fields) = (LongBlock::new(), Fields::new());
        let mut most = 0;
        for piece in block.chunks(length) {
            if let Err(error) = decoder.decode_piece(&mut long, piece, &LIMITS, &mut fields) {
                return (Err(error), fields, most);
            }
            most = most.max(long.tail.len());
        }
        (long.finish(), fields, most)
    }

    #[test]
    fn pieces_of_any_length_keep_the_table_in_step() {
        let mut huffman_value = vec![0x00, 1, b'h'];
        let mut code = Vec::new();
        huffman::encode(&[b'Z'; 40_000], &mut code);
        integer::encode(&mut huffman_value, 0x80, 7, code.len());
        huffman_value.extend(code);
        let block = [
            literal(0x40, b"before", b"1"),
            vec![0x82],
            literal(0, b"long", &[b'x'; 70_000]),
            huffman_value,
            literal(0x10, &[b'n'; 20_000], &[b'v'; 20_000]),
            literal(0x40, &[b'm'; 20_000], b""),
            literal(0x40, b"after", &[b'y'; 3000]),
            literal(0x40, b"last", b"2"),
        ]
        .concat();
        for length in [1, 7, 1000, 16_384, block.len()] {
            let mut decoder = Decoder::new();
            let (outcome, fields, most) = in_pieces(&mut decoder, &block, length);
            assert_eq!(outcome, Ok(Decoded::TooLarge), "{length}");
            assert_eq!(
                fields.iter().map(|field| field.name.to_vec()).collect::<Vec<_>>(),
                [&b"before"[..], b":method"]
            );
            assert!(most <= LONG_STRING_BYTES + 100, "{most} bytes kept");
            // A long name with indexing has emptied it.
            let names: Vec<_> = decoder.table().fields().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, [&b"last"[..], b"after"], "{length}");
            let mut whole = Decoder::new();
            let _ = whole.decode(&block, &LIMITS, &mut Fields::new());
            assert_eq!(whole.table().fields(), decoder.table().fields());
        }
    }

    #[test]
    fn faults_are_found_and_an_end_within_a_field_is_one() {
        for (end, fault) in [
            (vec![0xff, 0xff, 0xff, 0xff, 0x7f], DecodeError::BadIndex),
            (vec![0x20], DecodeError::MisplacedSizeUpdate),
            (vec![0x00, 5, b'a'], DecodeError::Truncated),
            (vec![0x00, 0x7f, 0x81, 0x80, 0x02], DecodeError::Truncated),
            (vec![0x00, 1, b'a', 0x7f, 0x81, 0x80, 0x02, b'b'], DecodeError::Truncated),
        ] {
            let block = [literal(0, b"long", &[b'x'; 20_000]), end].concat();
            for length in [1, 100, block.len()] {
                let (outcome, ..) = in_pieces(&mut Decoder::new(), &block, length);
                assert_eq!(outcome, Err(fault), "{length}");
            }
        }
    }

    #[test]
    fn what_is_not_stored_is_counted() {
        let mut decoder = Decoder::new();
        let (mut long, mut fields) = (LongBlock::new(), Fields::new());
        let block = [literal(0, b"a", &[b'x'; 20_000]), vec![0x82; 1000]].concat();
        decoder.decode_piece(&mut long, &block, &LIMITS, &mut fields).unwrap();
        assert_eq!(long.excess(), 20_001 + 32 + 1000 * (10 + 32));
        assert!(fields.is_empty());
        let mut decoder = Decoder::new();
        let mut long = LongBlock::new();
        let value = literal(0, b"a", &[b'x'; 20_000]);
        decoder.decode_piece(&mut long, value.get(..100).unwrap(), &LIMITS, &mut fields).unwrap();
        assert!(long.excess() >= 20_000 && long.capacity() < 1000);
    }
}
