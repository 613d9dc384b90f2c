//! Fields to field sections (RFC 9204 §4.5) that refer to the static table alone.

use crate::proto::fields::integer;
use crate::proto::fields::text;
use crate::proto::h3::qpack::static_table;
use crate::proto::h3::qpack::static_table::StaticMatch;

/// A field section being written, field by field.
pub struct SectionEncoder<'o> {
    out: &'o mut Vec<u8>,
    /// A name in lower case, while it is written.
    lower: &'o mut Vec<u8>,
}

/// Flags of the first byte of a field line, and the bits that they leave (§4.5.2, §4.5.4, §4.5.6).
const INDEXED: (u8, u8) = (0xc0, 6);
const NAME_REFERENCE: (u8, u8) = (0x50, 4);
const LITERAL_NAME: (u8, u8) = (0x20, 3);
const NAME_REFERENCE_NEVER_INDEXED: u8 = 0x20;
const LITERAL_NAME_NEVER_INDEXED: u8 = 0x10;
/// Of the length of a value.
const VALUE: (u8, u8) = (0, 7);

impl<'o> SectionEncoder<'o> {
    /// Begins a section at the end of `out`. `lower` is memory to be used again.
    pub fn begin(out: &'o mut Vec<u8>, lower: &'o mut Vec<u8>) -> SectionEncoder<'o> {
        // Required Insert Count and Delta Base: nothing of a dynamic table.
        out.extend_from_slice(&[0, 0]);
        SectionEncoder { out, lower }
    }

    /// Appends a field. The name may be in any case and is written in lower case.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        match static_table::find(name, value) {
            StaticMatch::Field(index) => integer::encode(self.out, INDEXED.0, INDEXED.1, index as usize),
            StaticMatch::Name(index) => {
                self.literal(name, value, StaticMatch::Name(index), static_table::is_secret(index, value));
            }
            StaticMatch::Nothing => self.literal(name, value, StaticMatch::Nothing, false),
        }
    }

    /// Appends a field that nobody on its way may index, such as one that came so (§4.5.4).
    pub fn never_indexed(&mut self, name: &[u8], value: &[u8]) {
        self.literal(name, value, static_table::find(name, value), true);
    }

    fn literal(&mut self, name: &[u8], value: &[u8], found: StaticMatch, never_indexed: bool) {
        match found {
            StaticMatch::Field(index) | StaticMatch::Name(index) => {
                let never = if never_indexed { NAME_REFERENCE_NEVER_INDEXED } else { 0 };
                integer::encode(self.out, NAME_REFERENCE.0 | never, NAME_REFERENCE.1, index as usize);
            }
            StaticMatch::Nothing => {
                let never = if never_indexed { LITERAL_NAME_NEVER_INDEXED } else { 0 };
                self.lower.clear();
                self.lower.extend(name.iter().map(u8::to_ascii_lowercase));
                text::write(self.out, (LITERAL_NAME.0 | never, LITERAL_NAME.1), self.lower);
            }
        }
        text::write(self.out, VALUE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::error::DecodeError;
    use crate::proto::fields::list::FieldLimits;
    use crate::proto::fields::list::Fields;
    use crate::proto::h3::qpack::decoder::DecodedSection;
    use crate::proto::h3::qpack::decoder::decode;

    const LIMITS: FieldLimits = FieldLimits { max_bytes: 1_000, max_fields: 5 };

    fn encoded(fields: &[(&str, &str, bool)]) -> Vec<u8> {
        let (mut out, mut lower) = (Vec::new(), Vec::new());
        let mut section = SectionEncoder::begin(&mut out, &mut lower);
        for (name, value, never_indexed) in fields {
            match never_indexed {
                true => section.never_indexed(name.as_bytes(), value.as_bytes()),
                false => section.field(name.as_bytes(), value.as_bytes()),
            }
        }
        out
    }

    #[test]
    fn a_literal_with_a_name_of_the_table_is_that_of_appendix_b_1() {
        let mut fields = Fields::new();
        let example = b"\0\0\x51\x0b/index.html";
        assert_eq!(decode(example, &LIMITS, &mut fields), Ok(DecodedSection::Whole));
        let read: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(read, [(&b":path"[..], &b"/index.html"[..])]);
    }

    #[test]
    fn what_is_written_is_read() {
        let sent = [
            (":method", "GET", false),
            (":path", "/a?b", false),
            ("authorization", "Basic x", true),
            ("x-own", "\u{fc}", true),
            ("Content-Type", "text/css", false),
        ];
        let section = encoded(&sent);
        let mut fields = Fields::new();
        assert_eq!(decode(&section, &LIMITS, &mut fields), Ok(DecodedSection::Whole));
        for (field, (name, value, never_indexed)) in fields.iter().zip(sent) {
            assert_eq!((field.name, field.value), (name.to_lowercase().as_bytes(), value.as_bytes()));
            assert_eq!(field.is_sensitive, never_indexed);
        }
        // Cut off within a field it is broken.
        for end in 0..section.len() {
            let outcome = decode(section.split_at(end).0, &LIMITS, &mut fields);
            assert!(outcome.is_ok() || outcome == Err(DecodeError::Truncated), "{end}: {outcome:?}");
        }
    }

    #[test]
    fn limits_and_dynamic_tables() {
        let check = |section: &[u8]| decode(section, &LIMITS, &mut Fields::new());
        let six = [("a", "", false); 6];
        assert_eq!(check(&encoded(&six)), Ok(DecodedSection::TooManyFields));
        assert_eq!(check(&encoded(&[("a", &"x".repeat(1_000), false)])), Ok(DecodedSection::TooLarge));
        // A required insert count, a negative base, and every way to name an entry of a dynamic table.
        for section in
            [&[1, 0][..], &[0, 0x80], &[0, 0, 0x80], &[0, 0, 0x10], &[0, 0, 0x40, 0], &[0, 0, 0x00, 0]]
        {
            assert_eq!(check(section), Err(DecodeError::BadIndex), "{section:x?}");
        }
        assert_eq!(check(&[0, 0, 0xff, 36]), Err(DecodeError::BadIndex), "the table has 99 fields");
        assert_eq!(check(&[]), Err(DecodeError::Truncated));
    }
}
