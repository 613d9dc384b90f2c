//! Promises of the codec, for fuzzing and tests.

use crate::proto::fields::error::DecodeError;
use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::fields::name_hash;
use crate::proto::h2::hpack::decoder::Decoded;
use crate::proto::h2::hpack::decoder::Decoder;
use crate::proto::h2::hpack::decoder::long_block::LongBlock;
use crate::proto::h2::hpack::encoder::Encoder;
use crate::proto::h2::hpack::indexing;
use crate::proto::h2::hpack::indexing::Indexing;
use crate::proto::h2::hpack::static_table;

/// Takes any bytes, cut into blocks by their first one, and panics when the codec breaks a promise.
///
/// Blocks decode within the limits and memory stays bounded; narrow limits change what is stored, never
/// what the next block means, and neither does a block that comes in pieces; and decoded fields, encoded again, decode to themselves.
pub fn fuzz_hpack(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let mut wide = Decoding::new(WIDE_LIMITS);
    let mut narrow = Decoding::new(NARROW_LIMITS);
    let mut in_pieces = Decoder::new();
    let mut pair = Pair::new(u16::from(cut) * 16);
    for block in bytes.chunks(1 + usize::from(cut)) {
        let outcome = wide.decode(block);
        let narrow_outcome = narrow.decode(block);
        if narrow_outcome == Err(DecodeError::TooMuchWork) {
            return;
        }
        assert_eq!(outcome.map(|_| ()), narrow_outcome.map(|_| ()));
        match decode_in_pieces(&mut in_pieces, block, 1 + usize::from(cut) % 7) {
            Err(DecodeError::TooMuchWork) => return,
            error => assert_eq!(error, outcome.map(|_| ())),
        }
        if outcome.is_err() {
            return;
        }
        let known = narrow.fields.iter().zip(wide.fields.iter());
        assert!(known.into_iter().all(|(one, other)| one.name == other.name
            && one.value == other.value
            && one.is_sensitive == other.is_sensitive));
        assert_eq!(narrow_outcome == Ok(Decoded::Whole), narrow.fields.len() == wide.fields.len());
        pair.pass(&wide.fields);
    }
}

/// Whether the encoder lets nobody index this field, even if it came otherwise: it is a secret, and not one of the
/// static table's fields.
pub fn is_kept_secret(name: &[u8], value: &[u8]) -> bool {
    let static_name = static_table::find_name(name, name_hash::hash_name(name));
    let is_static = static_name.and_then(|first| static_table::find_value(first, value)).is_some();
    !is_static && indexing::usual(static_name, value) == Indexing::Never
}

fn decode_in_pieces(decoder: &mut Decoder, block: &[u8], length: usize) -> Result<(), DecodeError> {
    let (mut long, mut fields) = (LongBlock::new(), Fields::new());
    // Nobody cuts the first bytes, where the sizes of tables stand.
    let (first, rest) = block.split_at(block.len().min(16));
    for piece in std::iter::once(first).chain(rest.chunks(length)) {
        decoder.decode_piece(&mut long, piece, &NARROW_LIMITS, &mut fields)?;
    }
    assert!(fields.size() <= NARROW_LIMITS.max_bytes);
    long.finish().map(drop)
}

/// A decoder with its limits.
struct Decoding {
    decoder: Decoder,
    fields: Fields,
    limits: FieldLimits,
}

impl Decoding {
    fn new(limits: FieldLimits) -> Decoding {
        Decoding { decoder: Decoder::new(), fields: Fields::new(), limits }
    }

    fn decode(&mut self, block: &[u8]) -> Result<Decoded, DecodeError> {
        let outcome = self.decoder.decode(block, &self.limits, &mut self.fields)?;
        let size: usize = self.fields.iter().map(|one| one.name.len() + one.value.len() + 32).sum();
        assert_eq!(size, self.fields.size());
        assert!(size <= self.limits.max_bytes && self.fields.len() <= self.limits.max_fields);
        assert!(self.decoder.capacity() <= MAX_DECODER_BYTES);
        assert!(self.fields.capacity() <= MAX_FIELDS_BYTES);
        Ok(outcome)
    }
}

/// An encoder and the decoder at the other end.
pub(super) struct Pair {
    encoder: Encoder,
    decoder: Decoder,
    fields: Fields,
    block: Vec<u8>,
}

impl Pair {
    pub(in crate::proto) fn new(table_bytes: u16) -> Pair {
        let (encoder, decoder) = (Encoder::new(table_bytes), Decoder::new());
        Pair { encoder, decoder, fields: Fields::new(), block: Vec::new() }
    }

    /// The fields arrive as they are, but for the case of their names.
    pub(in crate::proto) fn pass(&mut self, fields: &Fields) {
        self.block.clear();
        let mut block = self.encoder.block(&mut self.block);
        for one in fields.iter() {
            if one.is_sensitive {
                block.never_indexed(one.name, one.value);
            } else {
                block.field(one.name, one.value);
            }
        }
        let outcome = self.decoder.decode(&self.block, &WIDE_LIMITS, &mut self.fields);
        assert_eq!(outcome, Ok(Decoded::Whole));
        assert_eq!(fields.len(), self.fields.len());
        for (sent, received) in fields.iter().zip(self.fields.iter()) {
            assert_eq!(sent.name.to_ascii_lowercase(), received.name);
            assert_eq!(sent.value, received.value);
            assert!(received.is_sensitive || !sent.is_sensitive);
        }
    }

    #[cfg(test)]
    fn change_table(&mut self, bytes: u16) {
        self.decoder.set_max_table_bytes(bytes);
        self.encoder.set_peer_max_table_bytes(u32::from(bytes));
    }

    #[cfg(test)]
    fn tables_are_equal(&self) {
        assert_eq!(self.encoder.table().fields(), self.decoder.table().fields());
        assert_eq!(self.encoder.table().size(), self.decoder.table().size());
        assert_eq!(self.encoder.table().max_size(), self.decoder.table().max_size());
    }
}

/// Nothing that fuzzing feeds reaches them.
const WIDE_LIMITS: FieldLimits = FieldLimits { max_bytes: 1 << 24, max_fields: 1 << 16 };

const NARROW_LIMITS: FieldLimits = FieldLimits { max_bytes: 512, max_fields: 8 };

/// A table of the default size.
const MAX_DECODER_BYTES: usize = 4096 + 128 * 2 * 8;

/// Growth may double what is needed.
const MAX_FIELDS_BYTES: usize = 1 << 26;

/// Numbers that look random and are the same in every run (xorshift64*).
#[cfg(test)]
pub(in crate::proto) struct Numbers {
    state: u64,
}

#[cfg(test)]
impl Numbers {
    pub(in crate::proto) fn new(seed: u64) -> Numbers {
        Numbers { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// One below `limit`, which is not zero.
    pub(in crate::proto) fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub(in crate::proto) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        *all.get(self.below(all.len())).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Representations of every kind, names and values of all sorts, as plain literals.
    fn any_block(numbers: &mut Numbers, count: usize) -> Vec<u8> {
        const NAMES: [&str; 12] = [
            ":path",
            ":status",
            "Cookie",
            "cookie",
            "date",
            "X-Request-Id",
            "content-type",
            "",
            "authorization",
            "a-name-of-some-length",
            "x-forwarded-for",
            "Server",
        ];
        let mut block = Vec::new();
        for _ in 0..count {
            let name = numbers.one_of(&NAMES);
            let value: Vec<u8> = match numbers.below(4) {
                0 => (0..numbers.below(120)).map(|_| numbers.below(256) as u8).collect(),
                1 => vec![b'x'; numbers.below(1500)],
                _ => format!("value {}", numbers.below(5)).into_bytes(),
            };
            block.push(if numbers.below(20) == 0 { 0x10 } else { 0x00 });
            for text in [name.as_bytes(), &value] {
                crate::proto::fields::integer::encode(&mut block, 0, 7, text.len());
                block.extend_from_slice(text);
            }
        }
        block
    }

    #[test]
    fn fields_arrive_and_tables_stay_equal() {
        let mut numbers = Numbers::new(11);
        for table_bytes in [0, 64, 333, 4096, 20_000] {
            let mut pair = Pair::new(table_bytes);
            let mut source = Decoding::new(WIDE_LIMITS);
            for _ in 0..400 {
                let count = numbers.below(14);
                source.decode(&any_block(&mut numbers, count)).unwrap();
                match numbers.below(20) {
                    0 => {
                        for _ in 0..=numbers.below(3) {
                            pair.change_table(numbers.below(6000) as u16);
                        }
                    }
                    1 => pair.encoder.release(),
                    2 => pair.decoder.release(),
                    _ => {}
                }
                pair.pass(&source.fields);
                pair.tables_are_equal();
            }
        }
    }

    #[test]
    fn any_bytes_keep_the_promises() {
        let mut numbers = Numbers::new(5);
        for round in 0..4000 {
            let length = numbers.below(300);
            let bytes: Vec<u8> = match round % 3 {
                0 => (0..length).map(|_| numbers.below(256) as u8).collect(),
                // Mostly references, and sometimes a literal that becomes one.
                1 => {
                    (0..length).map(|_| numbers.one_of(&[0x80, 0xbe, 0xbf, 0x41, 0x01, 0x61, 0x82])).collect()
                }
                _ => {
                    let mut block = any_block(&mut numbers, 6);
                    block.truncate(length);
                    for _ in 0..numbers.below(4) {
                        let at = numbers.below(block.len() + 1);
                        block.insert(at, numbers.below(256) as u8);
                    }
                    block
                }
            };
            fuzz_hpack(&bytes);
        }
    }
}
