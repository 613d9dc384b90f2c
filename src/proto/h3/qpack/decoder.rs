//! Field sections to fields (RFC 9204 §4.5).

use crate::http::headers::KnownName;
use crate::proto::fields::error::DecodeError;
use crate::proto::fields::integer;
use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::fields::list::Span;
use crate::proto::fields::static_field::StaticField;
use crate::proto::fields::text::Text;
use crate::proto::h3::qpack::static_table;

/// Whether all fields of a section were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedSection {
    Whole,
    /// More bytes than the limits allow. The sender did nothing wrong.
    TooLarge,
    /// More fields than that.
    TooManyFields,
}

/// What the first byte of a field line says (RFC 9204 §4.5.2 to §4.5.6).
const INDEXED: u8 = 0x80;
const INDEXED_STATIC: u8 = 0x40;
const NAME_REFERENCE: u8 = 0x40;
const NAME_REFERENCE_NEVER_INDEXED: u8 = 0x20;
const NAME_REFERENCE_STATIC: u8 = 0x10;
const LITERAL_NAME: u8 = 0x20;
const LITERAL_NAME_NEVER_INDEXED: u8 = 0x10;

/// Decodes a whole field section in place of what `fields` held.
///
/// A section over the limits is read to its end, so that every fault of it is found, but no field is stored from the first
/// that is too much. The work is in proportion to the length of the section.
///
/// # Errors
/// The section is broken, or refers to a dynamic table, which we do not allow: `QPACK_DECOMPRESSION_FAILED` (§6).
pub fn decode(
    section: &[u8],
    limits: &FieldLimits,
    fields: &mut Fields,
) -> Result<DecodedSection, DecodeError> {
    fields.clear();
    let mut rest = section;
    take_prefix(&mut rest)?;
    let mut block = SectionLines { rest, limits, fields, outcome: DecodedSection::Whole };
    while let Some(&first) = block.rest.first() {
        block.take_line(first)?;
    }
    Ok(block.outcome)
}

/// Decodes the beginning of a section that is too long to be kept, so that something of it is known: which is never all of
/// it. The end of it may cut a field line.
///
/// # Errors
/// As with [`decode`].
pub(in crate::proto::h3) fn decode_beginning(
    section: &[u8],
    limits: &FieldLimits,
    fields: &mut Fields,
) -> Result<DecodedSection, DecodeError> {
    match decode(section, limits, fields) {
        Ok(DecodedSection::Whole) | Err(DecodeError::Truncated) => Ok(DecodedSection::TooLarge),
        other => other,
    }
}

/// "Required Insert Count" and "Delta Base" (§4.5.1): without a dynamic table, both are 0, and nothing may be below them.
fn take_prefix(rest: &mut &[u8]) -> Result<(), DecodeError> {
    const SIGN: u8 = 0x80;
    if integer::decode(rest, 8)? != 0 {
        return Err(DecodeError::BadIndex);
    }
    let is_negative = rest.first().is_some_and(|first| first & SIGN != 0);
    integer::decode(rest, 7)?;
    if is_negative { Err(DecodeError::BadIndex) } else { Ok(()) }
}

/// Field lines on their way.
struct SectionLines<'d, 'b> {
    rest: &'b [u8],
    limits: &'d FieldLimits,
    fields: &'d mut Fields,
    outcome: DecodedSection,
}

/// The name of a field line.
enum LineName<'b> {
    Static(&'static StaticField),
    Literal(Text<'b>),
}

impl SectionLines<'_, '_> {
    fn take_line(&mut self, first: u8) -> Result<(), DecodeError> {
        if first & INDEXED != 0 {
            if first & INDEXED_STATIC == 0 {
                return Err(DecodeError::BadIndex);
            }
            let field = static_field(integer::decode(&mut self.rest, 6)?)?;
            self.take_indexed(field);
            return Ok(());
        }
        let (name, never_indexed) = if first & NAME_REFERENCE != 0 {
            if first & NAME_REFERENCE_STATIC == 0 {
                return Err(DecodeError::BadIndex);
            }
            let field = static_field(integer::decode(&mut self.rest, 4)?)?;
            (LineName::Static(field), first & NAME_REFERENCE_NEVER_INDEXED != 0)
        } else if first & LITERAL_NAME != 0 {
            (LineName::Literal(Text::read(&mut self.rest, 3)?), first & LITERAL_NAME_NEVER_INDEXED != 0)
        } else {
            // Both forms that are left refer to the dynamic table (§4.5.3 and §4.5.5).
            return Err(DecodeError::BadIndex);
        };
        let value = Text::read(&mut self.rest, 7)?;
        self.take_literal(&name, &value, never_indexed)
    }

    fn take_indexed(&mut self, field: &'static StaticField) {
        let (name_length, value_length) = (field.name.len() as u32, field.value.len() as u32);
        if self.admits(field.name.len() + field.value.len()) {
            let arena = self.fields.arena();
            arena.extend_from_slice(field.name);
            arena.extend_from_slice(field.value);
            self.fields.push(Span { name_length, value_length, known: field.known, never_indexed: false });
        }
    }

    fn take_literal(
        &mut self,
        name: &LineName<'_>,
        value: &Text<'_>,
        never_indexed: bool,
    ) -> Result<(), DecodeError> {
        // Cheaply when it fits in any case.
        let is_certain = self.outcome == DecodedSection::Whole
            && self.fields.has_room(name.max_length() + value.max_length(), self.limits);
        if !is_certain && !self.admits(name.length()? + value.length()?) {
            return Ok(());
        }
        let arena = self.fields.arena();
        let start = arena.len();
        let known = match name {
            LineName::Static(field) => {
                arena.extend_from_slice(field.name);
                field.known
            }
            LineName::Literal(text) => {
                text.append_to(arena)?;
                KnownName::of(arena.get(start..).unwrap_or_default())
            }
        };
        let value_start = arena.len();
        value.append_to(arena)?;
        let (name_length, value_length) = ((value_start - start) as u32, (arena.len() - value_start) as u32);
        self.fields.push(Span { name_length, value_length, known, never_indexed });
        Ok(())
    }

    /// Whether a field is within the limits; the first that is not decides the outcome.
    fn admits(&mut self, length: usize) -> bool {
        if self.outcome != DecodedSection::Whole {
            return false;
        }
        let has_room = self.fields.has_room(length, self.limits);
        if !has_room {
            let is_full = self.fields.len() >= self.limits.max_fields;
            self.outcome = if is_full { DecodedSection::TooManyFields } else { DecodedSection::TooLarge };
        }
        has_room
    }
}

impl LineName<'_> {
    fn max_length(&self) -> usize {
        match self {
            LineName::Static(field) => field.name.len(),
            LineName::Literal(text) => text.max_length(),
        }
    }

    fn length(&self) -> Result<usize, DecodeError> {
        match self {
            LineName::Static(field) => Ok(field.name.len()),
            LineName::Literal(text) => text.length(),
        }
    }
}

fn static_field(index: u32) -> Result<&'static StaticField, DecodeError> {
    static_table::field(index).ok_or(DecodeError::BadIndex)
}
