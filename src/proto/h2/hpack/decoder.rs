//! Header blocks to fields (RFC 7541 §3 and §6).

/// Blocks that come in more bytes than are kept.
pub mod long_block;

use crate::http::headers::KnownName;
use crate::proto::fields::FIELD_OVERHEAD;
use crate::proto::fields::error::DecodeError;
use crate::proto::fields::integer;
use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::fields::list::Span;
use crate::proto::fields::static_field::StaticField;
use crate::proto::fields::text::Text;
use crate::proto::h2::hpack::DEFAULT_TABLE_BYTES;
use crate::proto::h2::hpack::dynamic_table::DynamicTable;
use crate::proto::h2::hpack::dynamic_table::TableEntry;
use crate::proto::h2::hpack::static_table;
use crate::proto::h2::hpack::static_table::LAST_STATIC;

/// What a valid block came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    Whole,
    /// A field passed [`FieldLimits::max_bytes`]: only those before it are there.
    TooLarge,
    /// There are more than [`FieldLimits::max_fields`]: only the first are there.
    TooManyFields,
}

/// Decodes the header blocks that one peer sends on one connection, in their order.
pub struct Decoder {
    table: DynamicTable,
    /// What the peer may make of the table's maximum size.
    max_table_bytes: u16,
    /// The smallest limit since the last block, when that is less than the table's maximum size was.
    lowered: Option<u16>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder that allows [`DEFAULT_TABLE_BYTES`]. It takes memory when the peer first adds a field.
    pub fn new() -> Decoder {
        Decoder {
            table: DynamicTable::new(DEFAULT_TABLE_BYTES),
            max_table_bytes: DEFAULT_TABLE_BYTES,
            lowered: None,
        }
    }

    /// The memory it holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// The peer has acknowledged this SETTINGS_HEADER_TABLE_SIZE of ours.
    pub fn set_max_table_bytes(&mut self, bytes: u16) {
        self.max_table_bytes = bytes;
        if usize::from(bytes) < self.table.max_size() {
            self.lowered = Some(self.lowered.map_or(bytes, |lowest| lowest.min(bytes)));
        }
    }

    /// Gives back the memory that the table does not need. The peer's fields stay: it may refer to them.
    pub fn release(&mut self) {
        self.table.release();
    }

    /// Decodes a whole header block, from all its frames, in place of what `fields` held.
    ///
    /// A block over the limits is decoded to its end, so that the next one can be, but no field is stored
    /// from the first that is too much. The work is in proportion to the block's length and `max_bytes`.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: &FieldLimits,
        fields: &mut Fields,
    ) -> Result<Decoded, DecodeError> {
        fields.clear();
        let rest = self.take_size_updates(block)?;
        let work_left = usize::from(self.max_table_bytes) + WORK_PER_BYTE * rest.len();
        let outcome = Decoded::Whole;
        let table = &mut self.table;
        let mut block = FieldBlock { rest, table, limits, fields, outcome, work_left, excess: 0 };
        while let Some(&first) = block.rest.first() {
            block.take_field(first)?;
        }
        Ok(block.outcome)
    }

    /// "This dynamic table size update MUST occur at the beginning of the first header block following the
    /// change to the dynamic table size"; there are two at most: the smallest size and the final one (RFC
    /// 7541 §4.2).
    fn take_size_updates<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        let mut rest = block;
        for _ in 0..MAX_SIZE_UPDATES {
            if rest.first().is_none_or(|first| first & 0xe0 != SIZE_UPDATE) {
                break;
            }
            let size = integer::decode(&mut rest, 5)?;
            let limit = self.lowered.take().unwrap_or(self.max_table_bytes);
            let size = u16::try_from(size).ok().filter(|&size| size <= limit);
            self.table.set_max_size(size.ok_or(DecodeError::SizeUpdateTooLarge)?);
        }
        if self.lowered.is_some() { Err(DecodeError::MissingSizeUpdate) } else { Ok(rest) }
    }
}

/// What the first byte of a representation says (RFC 7541 §6).
const INDEXED: u8 = 0x80;
const WITH_INDEXING: u8 = 0x40;
const SIZE_UPDATE: u8 = 0x20;
const NEVER_INDEXED: u8 = 0x10;

/// Of the length of a string (§5.2).
const TEXT_PREFIX_BITS: u8 = 7;

/// Changes of the size of the table of headers at the start of one block of headers (RFC 7541 §4.2).
const MAX_SIZE_UPDATES: usize = 2;

/// How many bytes may be copied for each byte of a block that is over its limits. Two bytes of input can
/// add the longest name of the table to it once more; honest names are about twenty bytes long.
const WORK_PER_BYTE: usize = 16;

/// A header block on its way.
struct FieldBlock<'d, 'b> {
    rest: &'b [u8],
    table: &'d mut DynamicTable,
    limits: &'d FieldLimits,
    fields: &'d mut Fields,
    outcome: Decoded,
    /// How many more bytes may be copied for fields over the limits.
    work_left: usize,
    /// Bytes of the fields that were not stored, with [`FIELD_OVERHEAD`] for each.
    excess: usize,
}

impl<'b> FieldBlock<'_, 'b> {
    #[inline]
    fn take_field(&mut self, first: u8) -> Result<(), DecodeError> {
        if first & INDEXED != 0 {
            let index = integer::decode(&mut self.rest, 7)?;
            return self.take_indexed(index);
        }
        if first & WITH_INDEXING != 0 {
            let literal = self.read_literal(6)?;
            return self.take_literal(&literal, LiteralIndexing::With);
        }
        if first & SIZE_UPDATE != 0 {
            return Err(DecodeError::MisplacedSizeUpdate);
        }
        let never = first & NEVER_INDEXED != 0;
        let literal = self.read_literal(4)?;
        self.take_literal(&literal, if never { LiteralIndexing::Never } else { LiteralIndexing::Without })
    }

    fn take_indexed(&mut self, index: u32) -> Result<(), DecodeError> {
        let name = self.look_up(index)?;
        let (name_length, value_length, known) = match name {
            NameSource::Static(field) => (field.name.len(), field.value.len(), field.known),
            NameSource::Dynamic(entry) => {
                (usize::from(entry.name_length), usize::from(entry.value_length), entry.known)
            }
            NameSource::Literal(_) => return Err(DecodeError::BadIndex),
        };
        if !self.admits(name_length + value_length) {
            return Ok(());
        }
        let arena = self.fields.arena();
        match name {
            NameSource::Static(field) => {
                arena.extend_from_slice(field.name);
                arena.extend_from_slice(field.value);
            }
            NameSource::Dynamic(entry) => self.table.name_and_value(entry).append_to(arena),
            NameSource::Literal(_) => {}
        }
        let (name_length, value_length) = (name_length as u32, value_length as u32);
        self.fields.push(Span { name_length, value_length, known, never_indexed: false });
        Ok(())
    }

    fn look_up(&self, index: u32) -> Result<NameSource<'b>, DecodeError> {
        if index <= LAST_STATIC {
            return static_table::field(index).map(NameSource::Static).ok_or(DecodeError::BadIndex);
        }
        let position = (index - LAST_STATIC - 1) as usize;
        self.table.entry(position).map(NameSource::Dynamic).ok_or(DecodeError::BadIndex)
    }

    fn read_literal(&mut self, prefix_bits: u8) -> Result<Literal<'b>, DecodeError> {
        let index = integer::decode(&mut self.rest, prefix_bits)?;
        let name = if index == 0 {
            NameSource::Literal(Text::read(&mut self.rest, TEXT_PREFIX_BITS)?)
        } else {
            self.look_up(index)?
        };
        Ok(Literal { name, value: Text::read(&mut self.rest, TEXT_PREFIX_BITS)? })
    }

    fn take_literal(&mut self, literal: &Literal<'_>, indexing: LiteralIndexing) -> Result<(), DecodeError> {
        // Cheaply when it fits in any case.
        let most = literal.name.max_length() + literal.value.max_length();
        let is_whole = self.outcome == Decoded::Whole;
        if is_whole && self.fields.has_room(most, self.limits) {
            let span = self.write(literal, indexing)?;
            self.index(&span, indexing);
            self.fields.push(span);
            return Ok(());
        }
        let length = literal.name.length()? + literal.value.length()?;
        if self.admits(length) {
            let span = self.write(literal, indexing)?;
            self.index(&span, indexing);
            self.fields.push(span);
        } else if indexing == LiteralIndexing::With {
            self.index_only(literal, length)?;
        }
        Ok(())
    }

    /// Keeps the table in step with a field that is over the limits.
    fn index_only(&mut self, literal: &Literal<'_>, length: usize) -> Result<(), DecodeError> {
        if length + FIELD_OVERHEAD > self.table.max_size() {
            self.table.clear();
            return Ok(());
        }
        self.work_left = self.work_left.checked_sub(length).ok_or(DecodeError::TooMuchWork)?;
        let span = self.write(literal, LiteralIndexing::With)?;
        self.index(&span, LiteralIndexing::With);
        self.fields.forget(&span);
        Ok(())
    }

    /// Whether a field is within the limits; the first that is not decides the outcome.
    fn admits(&mut self, length: usize) -> bool {
        let is_whole = self.outcome == Decoded::Whole;
        if is_whole && self.fields.has_room(length, self.limits) {
            return true;
        }
        self.excess = self.excess.saturating_add(length + FIELD_OVERHEAD);
        if is_whole {
            let is_full = self.fields.len() >= self.limits.max_fields;
            self.outcome = if is_full { Decoded::TooManyFields } else { Decoded::TooLarge };
        }
        false
    }

    /// Writes name and value at the end of the arena.
    fn write(&mut self, literal: &Literal<'_>, indexing: LiteralIndexing) -> Result<Span, DecodeError> {
        let arena = self.fields.arena();
        let start = arena.len();
        match &literal.name {
            NameSource::Static(field) => arena.extend_from_slice(field.name),
            NameSource::Dynamic(entry) => self.table.name(*entry).append_to(arena),
            NameSource::Literal(text) => text.append_to(arena)?,
        }
        let value_start = arena.len();
        literal.value.append_to(arena)?;
        let known = match &literal.name {
            NameSource::Static(field) => field.known,
            NameSource::Dynamic(entry) => entry.known,
            NameSource::Literal(_) => KnownName::of(arena.get(start..value_start).unwrap_or_default()),
        };
        Ok(Span {
            name_length: (value_start - start) as u32,
            value_length: (arena.len() - value_start) as u32,
            known,
            never_indexed: indexing == LiteralIndexing::Never,
        })
    }

    fn index(&mut self, span: &Span, indexing: LiteralIndexing) {
        if indexing == LiteralIndexing::With {
            let (name, value) = self.fields.last(span);
            self.table.insert(name, value, span.known);
        }
    }
}

/// What becomes of a literal (RFC 7541 §6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum LiteralIndexing {
    With,
    Without,
    Never,
}

struct Literal<'b> {
    name: NameSource<'b>,
    value: Text<'b>,
}

enum NameSource<'b> {
    Static(&'static StaticField),
    Dynamic(TableEntry),
    Literal(Text<'b>),
}

impl NameSource<'_> {
    fn max_length(&self) -> usize {
        match self {
            NameSource::Static(field) => field.name.len(),
            NameSource::Dynamic(entry) => usize::from(entry.name_length),
            NameSource::Literal(text) => text.max_length(),
        }
    }

    fn length(&self) -> Result<usize, DecodeError> {
        match self {
            NameSource::Static(_) | NameSource::Dynamic(_) => Ok(self.max_length()),
            NameSource::Literal(text) => text.length(),
        }
    }
}

#[cfg(test)]
impl Decoder {
    pub(super) fn table(&self) -> &DynamicTable {
        &self.table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::huffman;
    use crate::proto::h2::hpack::encoder::Encoder;

    const LIMITS: FieldLimits = FieldLimits { max_bytes: 16_384, max_fields: 100 };

    /// A literal with incremental indexing and plain strings.
    fn indexed_literal(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut block = vec![WITH_INDEXING];
        for text in [name, value] {
            integer::encode(&mut block, 0, 7, text.len());
            block.extend_from_slice(text);
        }
        block
    }

    fn check(block: &[u8], expected: Result<Decoded, DecodeError>) {
        let outcome = Decoder::new().decode(block, &LIMITS, &mut Fields::new());
        assert_eq!(outcome, expected, "{block:x?}");
    }

    #[test]
    fn every_fault_has_its_error() {
        check(&[], Ok(Decoded::Whole));
        for block in [&[0x40][..], &[0x40, 0x02, b'a'], &[0x40, 0x01, b'a'], &[0x44], &[0xff], &[0x3f, 0x80]]
        {
            check(block, Err(DecodeError::Truncated));
        }
        check(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x01], Err(DecodeError::IntegerTooLarge));
        for block in
            [&[0x80][..], &[0xbe], &[0x7e, 0x00], &[0x0f, 0x2f, 0x00], &[0xff, 0xff, 0xff, 0xff, 0x7f]]
        {
            check(block, Err(DecodeError::BadIndex));
        }
        check(&[0x44, 0x81, 0xff], Err(DecodeError::BadHuffman));
        check(&[0x3f, 0xe2, 0x1f], Err(DecodeError::SizeUpdateTooLarge));
        check(&[0x82, 0x20], Err(DecodeError::MisplacedSizeUpdate));
        check(&[0x20, 0x20, 0x20], Err(DecodeError::MisplacedSizeUpdate));
        check(&[0x20, 0x3f, 0xe1, 0x1f, 0x82], Ok(Decoded::Whole));
    }

    #[test]
    fn a_lowered_limit_must_be_answered() {
        let mut decoder = Decoder::new();
        let mut fields = Fields::new();
        decoder.set_max_table_bytes(100);
        decoder.set_max_table_bytes(300);
        let mut outcome = |decoder: &mut Decoder, block: &[u8]| decoder.decode(block, &LIMITS, &mut fields);
        assert_eq!(outcome(&mut decoder, &[0x82]), Err(DecodeError::MissingSizeUpdate));
        // To 101, to 100 and then to 300, and to 301.
        assert_eq!(outcome(&mut decoder, &[0x3f, 70, 0x82]), Err(DecodeError::SizeUpdateTooLarge));
        decoder.set_max_table_bytes(100);
        decoder.set_max_table_bytes(300);
        assert_eq!(outcome(&mut decoder, &[0x3f, 69, 0x3f, 0x8d, 0x02, 0x82]), Ok(Decoded::Whole));
        assert_eq!(outcome(&mut decoder, &[0x82]), Ok(Decoded::Whole));
        assert_eq!(outcome(&mut decoder, &[0x3f, 0x8e, 0x02]), Err(DecodeError::SizeUpdateTooLarge));
    }

    #[test]
    fn the_first_excess_decides_and_the_table_stays_in_step() {
        let mut decoder = Decoder::new();
        let mut fields = Fields::new();
        let limits = FieldLimits { max_bytes: 200, max_fields: 3 };
        // Fields of 133, 134 and 35 bytes; the last would fit alone.
        let block = [
            indexed_literal(b"a", &[b'1'; 100]),
            indexed_literal(b"b", &[b'2'; 101]),
            indexed_literal(b"c", b"33"),
            vec![0x82],
        ];
        assert_eq!(decoder.decode(&block.concat(), &limits, &mut fields), Ok(Decoded::TooLarge));
        assert_eq!((fields.len(), fields.size()), (1, 133));
        let names: Vec<_> = decoder.table().fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"c", b"b", b"a"]);
        // The newest is now "c: 33".
        assert_eq!(decoder.decode(&[0xbe, 0x82, 0x84], &limits, &mut fields), Ok(Decoded::Whole));
        assert_eq!(fields.iter().next().map(|one| one.value), Some(&b"33"[..]));
        assert_eq!(
            decoder.decode(&[0xbe, 0x82, 0x84, 0xbf], &limits, &mut fields),
            Ok(Decoded::TooManyFields)
        );
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn a_field_larger_than_the_table_empties_it() {
        let mut decoder = Decoder::new();
        let mut fields = Fields::new();
        for limits in [LIMITS, FieldLimits { max_bytes: 100, max_fields: 9 }] {
            decoder.decode(&indexed_literal(b"a", b"b"), &limits, &mut fields).unwrap();
            assert_eq!(decoder.table().len(), 1);
            decoder.decode(&indexed_literal(b"a", &[b'b'; 4064]), &limits, &mut fields).unwrap();
            assert_eq!(decoder.table().len(), 0);
        }
    }

    #[test]
    fn a_name_is_there_for_the_field_that_evicts_it() {
        let mut decoder = Decoder::new();
        let mut fields = Fields::new();
        decoder.decode(&indexed_literal(&[b'n'; 2000], b"1"), &LIMITS, &mut fields).unwrap();
        let mut block = vec![0x7e];
        integer::encode(&mut block, 0, 7, 2000);
        block.extend_from_slice(&[b'v'; 2000]);
        decoder.decode(&block, &LIMITS, &mut fields).unwrap();
        assert_eq!(decoder.table().fields(), [(vec![b'n'; 2000], vec![b'v'; 2000])]);
    }

    /// CVE-2026-49975: one byte of input for each copy of a large field.
    #[test]
    fn references_beyond_the_limit_cost_no_memory() {
        let mut decoder = Decoder::new();
        let mut fields = Fields::new();
        decoder.decode(&indexed_literal(b"a", &[b'b'; 4000]), &LIMITS, &mut fields).unwrap();
        let bomb = vec![0xbe; 1 << 20];
        assert_eq!(decoder.decode(&bomb, &LIMITS, &mut fields), Ok(Decoded::TooLarge));
        assert_eq!(fields.len(), 4);
        assert!(fields.capacity() < 40_000);
    }

    /// Two bytes of input for each copy of a long name into the table.
    #[test]
    fn copies_beyond_the_limit_are_too_much_work() {
        let mut decoder = Decoder::new();
        let mut fields = Fields::new();
        decoder.decode(&indexed_literal(&[b'n'; 2000], b""), &LIMITS, &mut fields).unwrap();
        let bomb = [0x7e, 0x00].repeat(8192);
        assert_eq!(decoder.decode(&bomb, &LIMITS, &mut fields), Err(DecodeError::TooMuchWork));
        assert!(fields.capacity() < 40_000);
        // Honest names may go on as long as the frames do.
        let mut decoder = Decoder::new();
        let crumbs = [&indexed_literal(b"cookie", b"a=b")[..], &b"\x60\x03c=d".repeat(20_000)].concat();
        assert_eq!(decoder.decode(&crumbs, &LIMITS, &mut fields), Ok(Decoded::TooManyFields));
    }

    #[test]
    fn huffman_strings_are_checked_and_measured_beyond_the_limit() {
        let limits = FieldLimits { max_bytes: 62, max_fields: 9 };
        let mut fields = Fields::new();
        // A value of twenty characters fits, though its 13 bytes could also be 20.8.
        let mut block = vec![0x01, 0x8d];
        huffman::encode(&[b'0'; 20], &mut block);
        assert_eq!(Decoder::new().decode(&block, &limits, &mut fields), Ok(Decoded::Whole));
        assert_eq!(fields.size(), 10 + 20 + 32);
        let bad =
            [0x01, 0x40].iter().copied().chain([b'a'; 64]).chain([0x01, 0x81, 0xff]).collect::<Vec<_>>();
        assert_eq!(Decoder::new().decode(&bad, &limits, &mut fields), Err(DecodeError::BadHuffman));
    }

    #[test]
    fn a_warm_codec_takes_no_more_memory() {
        let (mut encoder, mut decoder) = (Encoder::new(DEFAULT_TABLE_BYTES), Decoder::new());
        let (mut fields, mut block) = (Fields::new(), Vec::new());
        assert_eq!(encoder.capacity() + decoder.capacity() + fields.capacity(), 0);
        let mut round = |number: usize| {
            block.clear();
            let mut writer = encoder.block(&mut block);
            writer.field(b":status", b"200");
            writer.field(b"Date", format!("Mon, 21 Oct 2013 20:13:{:02} GMT", number % 60).as_bytes());
            writer.field(b"X-NameSource", b"value");
            assert_eq!(decoder.decode(&block, &LIMITS, &mut fields), Ok(Decoded::Whole));
            encoder.capacity() + decoder.capacity() + fields.capacity() + block.capacity()
        };
        let warm = (0..200).map(&mut round).max();
        assert!((200..2000).all(|number| Some(round(number)) == warm));
        assert!(warm < Some(16_384));
        encoder.release();
        fields.release();
        block.clear();
        encoder.block(&mut block);
        assert_eq!(decoder.decode(&block, &LIMITS, &mut fields), Ok(Decoded::Whole));
        decoder.release();
        assert_eq!(encoder.capacity() + decoder.capacity() + fields.capacity(), 0);
    }
}
