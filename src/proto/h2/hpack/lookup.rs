//! Finding a field in the encoder's table: chains through its entries, from each to the one before it
//! whose name falls into the same bucket.

use std::collections::VecDeque;

use crate::proto::fields::name_hash::hash_value;
use crate::proto::h2::hpack::dynamic_table::DynamicTable;

/// A field to look for.
#[derive(Clone, Copy)]
pub(super) struct LookupKey<'f> {
    /// In any case.
    name: &'f [u8],
    value: &'f [u8],
    /// The static index of the name, which no other name shares; or its hash with [`HASHED`] set.
    name_key: u32,
    value_hash: u32,
}

impl<'f> LookupKey<'f> {
    pub(super) fn new(field: &Unindexed<'f>) -> LookupKey<'f> {
        let &Unindexed { name, value, name_hash, static_name } = field;
        let name_key = static_name.unwrap_or(name_hash | HASHED);
        LookupKey { name, value, name_key, value_hash: hash_value(value) }
    }
}

/// A field that the static table does not have, at most its name.
pub(super) struct Unindexed<'f> {
    /// In any case.
    pub(super) name: &'f [u8],
    pub(super) value: &'f [u8],
    pub(super) name_hash: u32,
    pub(super) static_name: Option<u32>,
}

/// Positions in the table, the newest at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookedUp {
    Field(usize),
    Name(usize),
    Nothing,
}

pub(super) struct Lookup {
    /// The number of each bucket's newest entry. Entries are counted from the start, so that a number
    /// tells whether the table still has it.
    heads: [u32; BUCKETS],
    /// One for each entry of the table, oldest first.
    links: VecDeque<Link>,
    /// The number of the next entry.
    next: u32,
    /// Marks of the fields seen last, the oldest at `next_seen`.
    seen: [u16; SEEN],
    next_seen: usize,
}

struct Link {
    name_key: u32,
    value_hash: u32,
    /// The number of the next older entry in the bucket.
    previous: u32,
}

impl Lookup {
    pub(super) fn new() -> Lookup {
        // No head may be the number of an entry before there are any.
        Lookup { heads: [0; BUCKETS], links: VecDeque::new(), next: 1 << 31, seen: [0; SEEN], next_seen: 0 }
    }

    pub(super) fn capacity(&self) -> usize {
        size_of::<Lookup>() + self.links.capacity() * size_of::<Link>()
    }

    pub(super) fn find(&self, wanted: &LookupKey<'_>, table: &DynamicTable) -> LookedUp {
        let mut found = LookedUp::Nothing;
        let mut number = self.heads.get(wanted.name_key as usize % BUCKETS).copied().unwrap_or_default();
        for _ in 0..MAX_CHAIN {
            let position = self.next.wrapping_sub(number).wrapping_sub(1) as usize;
            let link = self.links.len().checked_sub(position.saturating_add(1));
            let Some(link) = link.and_then(|at| self.links.get(at)) else {
                break;
            };
            if link.name_key == wanted.name_key
                && let Some(entry) = table.entry(position)
                && (link.name_key < HASHED || table.name(entry).is_ignoring_case(wanted.name))
            {
                if link.value_hash == wanted.value_hash && table.value(entry).is(wanted.value) {
                    return LookedUp::Field(position);
                }
                if found == LookedUp::Nothing {
                    found = LookedUp::Name(position);
                }
            }
            number = link.previous;
        }
        found
    }

    /// The field was inserted as the newest of the table.
    pub(super) fn insert(&mut self, wanted: &LookupKey<'_>, table: &DynamicTable) {
        if let Some(head) = self.heads.get_mut(wanted.name_key as usize % BUCKETS) {
            let (name_key, value_hash) = (wanted.name_key, wanted.value_hash);
            self.links.push_back(Link { name_key, value_hash, previous: *head });
            *head = self.next;
            self.next = self.next.wrapping_add(1);
        }
        self.follow(table);
    }

    /// The table has lost entries.
    pub(super) fn follow(&mut self, table: &DynamicTable) {
        let lost = self.links.len().saturating_sub(table.len());
        self.links.drain(..lost);
    }

    /// Whether the field was here not long ago. Now it was.
    pub(super) fn is_repeated(&mut self, wanted: &LookupKey<'_>) -> bool {
        let hash = wanted.name_key.rotate_left(7) ^ wanted.value_hash;
        let mark = (hash >> 16) as u16 | 1;
        // Without an early exit, this is a few vector instructions.
        if self.seen.iter().fold(false, |found, &seen| found | (seen == mark)) {
            return true;
        }
        if let Some(oldest) = self.seen.get_mut(self.next_seen) {
            *oldest = mark;
            self.next_seen = (self.next_seen + 1) % SEEN;
        }
        false
    }
}

const HASHED: u32 = 1 << 31;

/// About as many as a table has entries.
const BUCKETS: usize = 64;

/// How many others may pass between two sights of a field.
const SEEN: usize = 64;

/// An older entry is overlooked and inserted again, rather than let peers make the search long.
const MAX_CHAIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::KnownName;
    use crate::proto::fields::name_hash::hash_name;
    use crate::proto::h2::hpack::fuzz::Numbers;

    fn wanted<'f>(name: &'f [u8], value: &'f [u8]) -> LookupKey<'f> {
        LookupKey::new(&Unindexed { name, value, name_hash: hash_name(name), static_name: None })
    }

    #[test]
    fn finds_what_the_table_has() {
        let mut numbers = Numbers::new(3);
        let mut table = DynamicTable::new(400);
        let mut lookup = Lookup::new();
        // Numbers of entries may pass zero.
        lookup.next = u32::MAX - 500;
        for _ in 0..2000 {
            let name = format!("name-{}", numbers.below(6));
            let value = format!("value {}", numbers.below(3));
            let field = wanted(name.as_bytes(), value.as_bytes());
            let fields = table.fields();
            let same_name = |field: &(Vec<u8>, Vec<u8>)| field.0 == name.as_bytes();
            let whole = fields.iter().position(|field| same_name(field) && field.1 == value.as_bytes());
            let expected = match (whole, fields.iter().position(same_name)) {
                (Some(position), _) => LookedUp::Field(position),
                (None, Some(position)) => LookedUp::Name(position),
                (None, None) => LookedUp::Nothing,
            };
            assert_eq!(lookup.find(&field, &table), expected);
            let upper = name.to_uppercase();
            assert_eq!(lookup.find(&wanted(upper.as_bytes(), value.as_bytes()), &table), expected);
            if numbers.below(3) > 0 {
                table.insert(name.as_bytes(), value.as_bytes(), KnownName::Other);
                lookup.insert(&field, &table);
            }
            if numbers.below(50) == 0 {
                table.clear();
                lookup.follow(&table);
            }
        }
    }

    #[test]
    fn long_chains_are_cut() {
        let mut table = DynamicTable::new(4096);
        let mut lookup = Lookup::new();
        for value in 0..60 {
            let value = format!("{value}");
            let field = wanted(b"n", value.as_bytes());
            table.insert(b"n", value.as_bytes(), KnownName::Other);
            lookup.insert(&field, &table);
        }
        assert_eq!(lookup.find(&wanted(b"n", b"44"), &table), LookedUp::Field(15));
        assert_eq!(lookup.find(&wanted(b"n", b"43"), &table), LookedUp::Name(0));
    }

    #[test]
    fn a_field_is_repeated_at_its_second_sight() {
        let mut lookup = Lookup::new();
        let field = wanted(b"a", b"b");
        assert!(!lookup.is_repeated(&field));
        assert!(lookup.is_repeated(&field));
        assert!(!lookup.is_repeated(&wanted(b"a", b"c")));
    }
}
