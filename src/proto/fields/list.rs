//! The fields of one header block: all bytes in one arena, kept between blocks.

use crate::http::headers::Field;
use crate::http::headers::KnownName;
use crate::proto::fields::FIELD_OVERHEAD;

/// How much one header block may decode to.
#[derive(Clone, Copy, Debug)]
pub struct FieldLimits {
    /// Bytes of all names and values with [`FIELD_OVERHEAD`] for each field (RFC 9113 §6.5.2).
    pub max_bytes: usize,
    pub max_fields: usize,
}

/// The fields of a header block, in its order. Reused, it allocates only for a block larger than those
/// before.
#[derive(Default)]
pub struct Fields {
    /// Name, value, name, value, ….
    arena: Vec<u8>,
    spans: Vec<Span>,
    /// As RFC 9113 §6.5.2 counts it.
    size: usize,
}

impl Fields {
    pub fn new() -> Fields {
        Fields::default()
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Of all names and values with [`FIELD_OVERHEAD`] for each field.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The memory it holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.arena.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let mut rest = self.arena.as_slice();
        self.spans.iter().map(move |span| {
            let (name, after) = rest.split_at_checked(span.name_length as usize).unwrap_or_default();
            let (value, after) = after.split_at_checked(span.value_length as usize).unwrap_or_default();
            rest = after;
            Field { name, value, known: span.known, is_sensitive: span.never_indexed }
        })
    }

    pub fn clear(&mut self) {
        self.arena.clear();
        self.spans.clear();
        self.size = 0;
    }

    /// Gives all memory back.
    pub fn release(&mut self) {
        *self = Fields::new();
    }

    /// Whether one more field, whose name and value have so many bytes, stays within the limits.
    pub(in crate::proto) fn has_room(&self, length: usize, limits: &FieldLimits) -> bool {
        self.spans.len() < limits.max_fields && self.size + length + FIELD_OVERHEAD <= limits.max_bytes
    }

    /// Where a name and a value are written before [`Fields::push`] or [`Fields::forget`].
    pub(in crate::proto) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// Makes what was written at the end of the arena a field.
    pub(in crate::proto) fn push(&mut self, span: Span) {
        self.size += span.length() + FIELD_OVERHEAD;
        self.spans.push(span);
    }

    /// Takes back what was written at the end of the arena.
    pub(in crate::proto) fn forget(&mut self, span: &Span) {
        self.arena.truncate(self.arena.len() - span.length());
    }

    /// The name and the value at the end of the arena.
    pub(in crate::proto) fn last(&self, span: &Span) -> (&[u8], &[u8]) {
        let start = self.arena.len() - span.length();
        let field = self.arena.get(start..).unwrap_or_default();
        field.split_at_checked(span.name_length as usize).unwrap_or_default()
    }
}

/// A field begins in the arena where the one before ends.
#[derive(Clone, Copy)]
pub(in crate::proto) struct Span {
    pub(in crate::proto) name_length: u32,
    pub(in crate::proto) value_length: u32,
    pub(in crate::proto) known: KnownName,
    pub(in crate::proto) never_indexed: bool,
}

impl Span {
    fn length(&self) -> usize {
        (self.name_length + self.value_length) as usize
    }
}
