//! Fields to header blocks (RFC 7541 §6).

use crate::http::headers::KnownName;
use crate::proto::fields::FIELD_OVERHEAD;
use crate::proto::fields::integer;
use crate::proto::fields::name_hash;
use crate::proto::fields::text;
use crate::proto::h2::hpack::DEFAULT_TABLE_BYTES;
use crate::proto::h2::hpack::dynamic_table::DynamicTable;
use crate::proto::h2::hpack::indexing;
use crate::proto::h2::hpack::indexing::Indexing;
use crate::proto::h2::hpack::lookup::LookedUp;
use crate::proto::h2::hpack::lookup::Lookup;
use crate::proto::h2::hpack::lookup::LookupKey;
use crate::proto::h2::hpack::lookup::Unindexed;
use crate::proto::h2::hpack::static_table;
use crate::proto::h2::hpack::static_table::LAST_STATIC;

/// Encodes the header blocks of one direction of a connection, in their order.
pub struct Encoder {
    table: DynamicTable,
    /// Built when the first field could go into the table.
    lookup: Option<Box<Lookup>>,
    /// The most that we want to use.
    own_max_bytes: u16,
    /// The smallest maximum size since the last block, when the peer has yet to learn of a change.
    unannounced: Option<u16>,
    /// A name in lower case, while it is written.
    lower: Vec<u8>,
}

impl Encoder {
    /// An encoder whose table never holds more than `max_table_bytes`, whatever the peer allows. It takes
    /// memory when the first field is added.
    pub fn new(max_table_bytes: u16) -> Encoder {
        let mut encoder = Encoder {
            table: DynamicTable::new(DEFAULT_TABLE_BYTES),
            lookup: None,
            own_max_bytes: max_table_bytes,
            unannounced: None,
            lower: Vec::new(),
        };
        encoder.set_peer_max_table_bytes(u32::from(DEFAULT_TABLE_BYTES));
        encoder
    }

    /// The memory it holds, in bytes.
    pub fn capacity(&self) -> usize {
        let lookup = self.lookup.as_ref().map_or(0, |lookup| lookup.capacity());
        self.table.capacity() + lookup + self.lower.capacity()
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE, which we are about to acknowledge. The next block says what we
    /// make of it.
    pub fn set_peer_max_table_bytes(&mut self, bytes: u32) {
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX).min(self.own_max_bytes);
        if usize::from(bytes) == self.table.max_size() {
            return;
        }
        self.unannounced = Some(self.unannounced.map_or(bytes, |smallest| smallest.min(bytes)));
        self.table.set_max_size(bytes);
        if let Some(lookup) = &mut self.lookup {
            lookup.follow(&self.table);
        }
    }

    /// Gives all memory back, the peer's too: the next block begins by emptying its table.
    pub fn release(&mut self) {
        if self.table.len() > 0 {
            self.unannounced = Some(0);
        }
        self.table.clear();
        self.table.release();
        self.lookup = None;
        self.lower = Vec::new();
    }

    /// Begins a header block at the end of `out`. It must reach the peer once begun, and before the next.
    pub fn block<'e>(&'e mut self, out: &'e mut Vec<u8>) -> BlockEncoder<'e> {
        // "The smallest maximum table size that occurs in that interval MUST be signaled in a dynamic table
        // size update. The final maximum size is always signaled" (RFC 7541 §4.2).
        if let Some(smallest) = self.unannounced.take() {
            let last = self.table.max_size();
            if usize::from(smallest) < last {
                integer::encode(out, SIZE_UPDATE, 5, usize::from(smallest));
            }
            integer::encode(out, SIZE_UPDATE, 5, last);
        }
        BlockEncoder { encoder: self, out }
    }
}

/// A header block being written, field by field.
pub struct BlockEncoder<'e> {
    encoder: &'e mut Encoder,
    out: &'e mut Vec<u8>,
}

impl BlockEncoder<'_> {
    /// Appends a field. The name may be in any case and is written in lower case.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        let name_hash = name_hash::hash_name(name);
        let static_name = static_table::find_name(name, name_hash);
        if let Some(index) = static_name.and_then(|first| static_table::find_value(first, value)) {
            self.indexed(index);
            return;
        }
        let field = Unindexed { name, value, name_hash, static_name };
        match indexing::usual(static_name, value) {
            Indexing::Stable | Indexing::Repeated if self.is_large(&field) => {
                self.literal(WITHOUT_INDEXING, &field);
            }
            Indexing::Stable => self.through_table(&field, Sight::First),
            Indexing::Repeated => self.through_table(&field, Sight::Second),
            Indexing::Volatile => self.literal(WITHOUT_INDEXING, &field),
            Indexing::Never => self.literal(NEVER_INDEXED, &field),
        }
    }

    /// Appends a field that nobody on its way may index, such as one that came so (RFC 7541 §6.2.3).
    pub fn never_indexed(&mut self, name: &[u8], value: &[u8]) {
        let name_hash = name_hash::hash_name(name);
        let static_name = static_table::find_name(name, name_hash);
        self.literal(NEVER_INDEXED, &Unindexed { name, value, name_hash, static_name });
    }

    /// Whether it would drive too many others out of the table.
    fn is_large(&self, field: &Unindexed<'_>) -> bool {
        let size = field.name.len() + field.value.len() + FIELD_OVERHEAD;
        size > self.encoder.table.max_size() / MIN_FIELDS
    }

    fn indexed(&mut self, index: u32) {
        integer::encode(self.out, INDEXED, 7, index as usize);
    }

    /// Refers to the table's entry, or adds one when this is the `sight` at which it is worth that.
    fn through_table(&mut self, field: &Unindexed<'_>, sight: Sight) {
        let wanted = LookupKey::new(field);
        let Encoder { table, lookup, .. } = &mut *self.encoder;
        let lookup = lookup.get_or_insert_with(|| Box::new(Lookup::new()));
        let found = lookup.find(&wanted, table);
        let name_index = match found {
            LookedUp::Field(position) => return self.indexed(dynamic_index(position)),
            LookedUp::Name(position) => field.static_name.unwrap_or(dynamic_index(position)),
            LookedUp::Nothing => field.static_name.unwrap_or(0),
        };
        if sight == Sight::Second && !lookup.is_repeated(&wanted) {
            self.literal_named(WITHOUT_INDEXING, name_index, field);
            return;
        }
        self.literal_named(WITH_INDEXING, name_index, field);
        let Encoder { table, lookup: Some(lookup), lower, .. } = &mut *self.encoder else {
            return;
        };
        table.insert(in_lower_case(field.name, lower), field.value, KnownName::Other);
        lookup.insert(&wanted, table);
    }

    fn literal(&mut self, representation: Representation, field: &Unindexed<'_>) {
        self.literal_named(representation, field.static_name.unwrap_or(0), field);
    }

    fn literal_named(&mut self, representation: Representation, name_index: u32, field: &Unindexed<'_>) {
        let (flags, prefix_bits) = representation;
        integer::encode(self.out, flags, prefix_bits, name_index as usize);
        if name_index == 0 {
            text::write(self.out, TEXT_PREFIX, in_lower_case(field.name, &mut self.encoder.lower));
        }
        text::write(self.out, TEXT_PREFIX, field.value);
    }
}

/// When a field is worth a place in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    First,
    Second,
}

/// The flags of the first byte, and how many bits they leave (RFC 7541 §6).
type Representation = (u8, u8);

const INDEXED: u8 = 0x80;
const WITH_INDEXING: Representation = (0x40, 6);
const SIZE_UPDATE: u8 = 0x20;
const NEVER_INDEXED: Representation = (0x10, 4);
const WITHOUT_INDEXING: Representation = (0x00, 4);
/// Of the length of a string (§5.2).
const TEXT_PREFIX: (u8, u8) = (0, 7);

/// A field is large when fewer of its size fill the table.
const MIN_FIELDS: usize = 4;

fn dynamic_index(position: usize) -> u32 {
    LAST_STATIC + 1 + position as u32
}

/// HTTP/2 field names have no upper case (RFC 9113 §8.2.1), those of HTTP/1 may.
fn in_lower_case<'n>(name: &'n [u8], lower: &'n mut Vec<u8>) -> &'n [u8] {
    if !name.iter().any(u8::is_ascii_uppercase) {
        return name;
    }
    lower.clear();
    lower.extend_from_slice(name);
    lower.make_ascii_lowercase();
    lower
}

#[cfg(test)]
impl Encoder {
    pub(super) fn table(&self) -> &DynamicTable {
        &self.table
    }
}

#[cfg(test)]
impl BlockEncoder<'_> {
    /// Appends a field as the appendix of the RFC does: into the table at first sight, whatever it is.
    pub(super) fn indexed_field(&mut self, name: &[u8], value: &[u8]) {
        let name_hash = name_hash::hash_name(name);
        let static_name = static_table::find_name(name, name_hash);
        match static_name.and_then(|first| static_table::find_value(first, value)) {
            Some(index) => self.indexed(index),
            None => self.through_table(&Unindexed { name, value, name_hash, static_name }, Sight::First),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block that these fields make.
    fn block(encoder: &mut Encoder, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut block = encoder.block(&mut out);
        for (name, value) in fields {
            block.field(name.as_bytes(), value.as_bytes());
        }
        out
    }

    #[test]
    fn fields_enter_the_table_when_they_are_worth_it() {
        let mut encoder = Encoder::new(DEFAULT_TABLE_BYTES);
        let stable = [("content-type", "text/html")];
        let repeated = [("X-Name", "value")];
        let volatile = [("etag", "\"1\"")];
        let never = [("set-cookie", "a=b")];
        for (field, first_bytes) in [
            (stable, [0x40 | 31, 0xbe, 0xbe]),
            (repeated, [0x00, 0x40, 0xbe]),
            (volatile, [0x0f, 0x0f, 0x0f]),
            (never, [0x1f, 0x1f, 0x1f]),
        ] {
            let blocks = first_bytes.map(|_| block(&mut encoder, &field));
            assert_eq!(blocks.map(|block| block.first().copied()), first_bytes.map(Some), "{field:?}");
        }
    }

    #[test]
    fn names_are_written_in_lower_case() {
        let mut encoder = Encoder::new(0);
        // Neither string is shorter in the Huffman code.
        assert_eq!(block(&mut encoder, &[("Z", "Z")]), b"\x20\x00\x01z\x01Z");
        let mut encoder = Encoder::new(DEFAULT_TABLE_BYTES);
        block(&mut encoder, &[("X-Name", "Value")]);
        block(&mut encoder, &[("x-nAME", "Value")]);
        assert_eq!(encoder.table().fields(), [(b"x-name".to_vec(), b"Value".to_vec())]);
        assert_eq!(block(&mut encoder, &[("X-NAME", "Value")]), [0xbe]);
    }

    #[test]
    fn large_fields_stay_out_of_the_table() {
        let mut encoder = Encoder::new(DEFAULT_TABLE_BYTES);
        let value = "v".repeat(2000);
        block(&mut encoder, &[("content-type", "a"), ("server", &value)]);
        assert_eq!(encoder.table().len(), 1);
    }

    #[test]
    fn changes_of_the_size_are_told_once() {
        let update = |size: usize| {
            let mut out = Vec::new();
            integer::encode(&mut out, SIZE_UPDATE, 5, size);
            out
        };
        let mut encoder = Encoder::new(4096);
        let mut next = |sizes: &[u32]| {
            for &size in sizes {
                encoder.set_peer_max_table_bytes(size);
            }
            block(&mut encoder, &[])
        };
        assert!(next(&[]).is_empty());
        assert!(next(&[65_536]).is_empty());
        assert_eq!(next(&[1000]), update(1000));
        assert!(next(&[]).is_empty());
        assert_eq!(next(&[4096]), update(4096));
        assert_eq!(next(&[500, 200, 300]), [update(200), update(300)].concat());
        assert_eq!(next(&[0, 300]), [update(0), update(300)].concat());
        assert_eq!(block(&mut Encoder::new(100), &[]), update(100));
    }

    #[test]
    fn released_memory_is_released_at_the_peer_too() {
        let mut encoder = Encoder::new(DEFAULT_TABLE_BYTES);
        encoder.release();
        assert!(block(&mut encoder, &[("server", "a")]).starts_with(&[0x40 | 54]));
        encoder.release();
        assert_eq!(encoder.capacity(), 0);
        let whole = block(&mut encoder, &[("server", "a")]);
        assert!(whole.starts_with(&[0x20, 0x3f, 0xe1, 0x1f, 0x40 | 54]));
    }
}
