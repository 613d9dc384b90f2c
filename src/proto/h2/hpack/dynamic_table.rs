//! The fields that a connection has seen lately (RFC 7541 §2.3.2 and §4): a ring of bytes.

use std::collections::VecDeque;

use crate::http::headers::KnownName;
use crate::proto::fields::FIELD_OVERHEAD;

/// First in, first out, and never larger than its maximum size. Memory is taken as it fills.
pub(super) struct DynamicTable {
    /// Oldest first. Their bytes follow one another in the ring, each name before its value.
    entries: VecDeque<TableEntry>,
    /// Its length is at least the bytes of all entries.
    ring: Vec<u8>,
    /// Where in the ring the next entry begins; below its length, or zero.
    end: usize,
    /// The bytes of all entries, with [`FIELD_OVERHEAD`] for each.
    size: usize,
    /// 0 <= size <= max_size
    max_size: usize,
}

/// One field. Maximum sizes are below 64 KiB, so offsets and lengths are too.
#[derive(Clone, Copy)]
pub(super) struct TableEntry {
    start: u16,
    pub(super) name_length: u16,
    pub(super) value_length: u16,
    pub(super) known: KnownName,
}

impl DynamicTable {
    pub(super) fn new(max_size: u16) -> DynamicTable {
        let max_size = usize::from(max_size);
        DynamicTable { entries: VecDeque::new(), ring: Vec::new(), end: 0, size: 0, max_size }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// The memory it holds, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity() + self.entries.capacity() * size_of::<TableEntry>()
    }

    /// The newest is at zero.
    pub(super) fn entry(&self, position: usize) -> Option<TableEntry> {
        let oldest_first = self.entries.len().checked_sub(position + 1)?;
        self.entries.get(oldest_first).copied()
    }

    pub(super) fn name(&self, entry: TableEntry) -> Halves<'_> {
        self.halves(usize::from(entry.start), usize::from(entry.name_length))
    }

    pub(super) fn value(&self, entry: TableEntry) -> Halves<'_> {
        let start = usize::from(entry.start) + usize::from(entry.name_length);
        let start = if start >= self.ring.len() { start - self.ring.len() } else { start };
        self.halves(start, usize::from(entry.value_length))
    }

    /// The name, and the value directly behind it.
    pub(super) fn name_and_value(&self, entry: TableEntry) -> Halves<'_> {
        self.halves(usize::from(entry.start), entry.length())
    }

    /// "An attempt to add an entry larger than the maximum size causes the table to be emptied of all
    /// existing entries and results in an empty table" (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], known: KnownName) {
        let length = name.len() + value.len();
        if length + FIELD_OVERHEAD > self.max_size {
            self.clear();
            return;
        }
        self.evict_to(self.max_size - length - FIELD_OVERHEAD);
        self.make_room(length);
        self.entries.push_back(TableEntry {
            start: self.end as u16,
            name_length: name.len() as u16,
            value_length: value.len() as u16,
            known,
        });
        self.write(name);
        self.write(value);
        self.size += length + FIELD_OVERHEAD;
    }

    /// Evicts what is too much, and gives its memory back (RFC 7541 §4.3).
    pub(super) fn set_max_size(&mut self, max_size: u16) {
        self.max_size = usize::from(max_size);
        self.evict_to(self.max_size);
        if self.ring.len() > self.max_size {
            self.release();
        }
    }

    pub(super) fn clear(&mut self) {
        self.evict_to(0);
    }

    /// Gives back all memory that the entries do not need.
    pub(super) fn release(&mut self) {
        self.move_to_ring_of(self.bytes());
        self.entries.shrink_to_fit();
    }

    /// Bytes of all names and values.
    fn bytes(&self) -> usize {
        self.size - self.entries.len() * FIELD_OVERHEAD
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.entries.pop_front()
        {
            self.size -= oldest.length() + FIELD_OVERHEAD;
        }
    }

    /// Grows the ring in steps, as most tables stay far below their maximum.
    fn make_room(&mut self, length: usize) {
        let needed = self.bytes() + length;
        if needed > self.ring.len() {
            let stepped = (self.ring.len() * 2).max(MIN_RING_BYTES).min(self.max_size);
            self.move_to_ring_of(stepped.max(needed));
        }
    }

    /// Moves all entries to the start of a new ring.
    fn move_to_ring_of(&mut self, length: usize) {
        let mut ring = Vec::with_capacity(length);
        for at in 0..self.entries.len() {
            let start = ring.len() as u16;
            if let Some(&entry) = self.entries.get(at) {
                self.name_and_value(entry).append_to(&mut ring);
            }
            if let Some(entry) = self.entries.get_mut(at) {
                entry.start = start;
            }
        }
        self.end = if ring.len() == length { 0 } else { ring.len() };
        ring.resize(length, 0);
        self.ring = ring;
    }

    fn halves(&self, start: usize, length: usize) -> Halves<'_> {
        let (before, after) = self.ring.split_at_checked(start).unwrap_or_default();
        match after.get(..length) {
            Some(whole) => Halves { first: whole, second: &[] },
            None => Halves { first: after, second: before.get(..length - after.len()).unwrap_or_default() },
        }
    }

    /// At the end of the ring, and on at its start. There is room.
    fn write(&mut self, bytes: &[u8]) {
        let Some((before, after)) = self.ring.split_at_mut_checked(self.end) else {
            return;
        };
        let (first, second) = bytes.split_at_checked(after.len()).unwrap_or((bytes, &[]));
        if let Some(room) = after.get_mut(..first.len()) {
            room.copy_from_slice(first);
        }
        if let Some(room) = before.get_mut(..second.len()) {
            room.copy_from_slice(second);
        }
        self.end = if first.len() == after.len() { second.len() } else { self.end + first.len() };
    }
}

impl TableEntry {
    fn length(self) -> usize {
        usize::from(self.name_length) + usize::from(self.value_length)
    }
}

/// Bytes that the end of the ring may cut in two.
#[derive(Clone, Copy)]
pub(super) struct Halves<'t> {
    first: &'t [u8],
    second: &'t [u8],
}

impl Halves<'_> {
    pub(super) fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.first);
        if !self.second.is_empty() {
            out.extend_from_slice(self.second);
        }
    }

    pub(super) fn is(self, bytes: &[u8]) -> bool {
        if self.second.is_empty() {
            return self.first == bytes;
        }
        bytes.split_at_checked(self.first.len()) == Some((self.first, self.second))
    }

    pub(super) fn is_ignoring_case(self, bytes: &[u8]) -> bool {
        if self.is(bytes) {
            return true;
        }
        bytes.split_at_checked(self.first.len()).is_some_and(|(first, second)| {
            first.eq_ignore_ascii_case(self.first) && second.eq_ignore_ascii_case(self.second)
        })
    }
}

/// The first ring; one that holds the usual fields of a browser without its cookies.
const MIN_RING_BYTES: usize = 512;

#[cfg(test)]
impl DynamicTable {
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Newest first.
    pub(super) fn fields(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let bytes = |halves: Halves<'_>| [halves.first, halves.second].concat();
        let entries = self.entries.iter().rev();
        entries.map(|&entry| (bytes(self.name(entry)), bytes(self.value(entry)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h2::hpack::fuzz::Numbers;

    /// The same table with no regard to speed.
    struct Model {
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        max_size: usize,
    }

    impl Model {
        fn size(&self) -> usize {
            self.fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        }

        fn evict(&mut self) {
            while self.size() > self.max_size {
                self.fields.pop();
            }
        }
    }

    #[test]
    fn it_is_what_a_plain_list_would_be() {
        let mut numbers = Numbers::new(7);
        for max_size in [0, 31, 32, 33, 100, 555, 4096, u16::MAX] {
            let mut table = DynamicTable::new(max_size);
            let mut model = Model { fields: Vec::new(), max_size: usize::from(max_size) };
            for round in 0..600 {
                let longest = numbers.one_of(&[4, 40, 400, 4000]);
                let field = |numbers: &mut Numbers| -> Vec<u8> {
                    (0..numbers.below(longest)).map(|_| numbers.below(256) as u8).collect()
                };
                let (name, value) = (field(&mut numbers), field(&mut numbers));
                table.insert(&name, &value, KnownName::Other);
                model.fields.insert(0, (name, value));
                model.evict();
                match numbers.below(60) {
                    0 => table.release(),
                    1 => {
                        let max_size = numbers.below(usize::from(max_size) + 1);
                        table.set_max_size(max_size as u16);
                        model.max_size = max_size;
                        model.evict();
                    }
                    _ => {}
                }
                assert_eq!(table.fields(), model.fields, "round {round} of {max_size}");
                assert_eq!(table.size(), model.size());
                assert!(table.ring.len() <= table.max_size());
            }
        }
    }

    #[test]
    fn memory_is_taken_late_and_given_back() {
        let mut table = DynamicTable::new(4096);
        assert_eq!(table.capacity(), 0);
        table.insert(b"a", b"b", KnownName::Other);
        assert!((1..1024).contains(&table.capacity()));
        table.clear();
        table.release();
        assert_eq!(table.capacity(), 0);
    }

    #[test]
    fn halves_are_compared_across_the_cut() {
        let halves = Halves { first: b"ab", second: b"c" };
        assert!(halves.is(b"abc") && halves.is_ignoring_case(b"aBC"));
        for other in [&b"ab"[..], b"abd", b"abcd", b"xbc", b""] {
            assert!(!halves.is(other) && !halves.is_ignoring_case(other));
        }
    }
}
