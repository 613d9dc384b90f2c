//! Promises of the codec, for fuzzing and tests.

use crate::proto::fields::error::DecodeError;
use crate::proto::fields::list::FieldLimits;
use crate::proto::fields::list::Fields;
use crate::proto::h3::qpack::decoder::DecodedSection;
use crate::proto::h3::qpack::decoder::decode;
use crate::proto::h3::qpack::decoder::decode_beginning;
use crate::proto::h3::qpack::encoder::SectionEncoder;

const WIDE_LIMITS: FieldLimits = FieldLimits { max_bytes: 16_384, max_fields: 100 };
const NARROW_LIMITS: FieldLimits = FieldLimits { max_bytes: 100, max_fields: 3 };

/// Takes any bytes as a field section, and panics when the codec breaks a promise.
///
/// Sections decode within the limits; narrow limits change what is stored and nothing else, and so does a cut, at a place that
/// the first byte says. Decoded fields, encoded again, decode to themselves.
pub fn fuzz_qpack(bytes: &[u8]) {
    let Some((&cut, section)) = bytes.split_first() else {
        return;
    };
    let (mut wide, mut narrow, mut beginning) = (Fields::new(), Fields::new(), Fields::new());
    let outcome = decode_within(section, &WIDE_LIMITS, &mut wide);
    let narrow_outcome = decode_within(section, &NARROW_LIMITS, &mut narrow);
    assert_eq!(outcome.err(), narrow_outcome.err());
    assert!(is_beginning(&narrow, &wide));
    if outcome == Ok(DecodedSection::Whole) && narrow_outcome == Ok(DecodedSection::Whole) {
        assert_eq!(narrow.len(), wide.len());
    }
    let (cut_off, _) = section.split_at(section.len() * usize::from(cut) / 256);
    let cut_outcome = decode_beginning(cut_off, &WIDE_LIMITS, &mut beginning);
    assert!(cut_outcome != Ok(DecodedSection::Whole) && cut_outcome != Err(DecodeError::Truncated));
    assert!(is_beginning(&beginning, &wide));
    if outcome == Ok(DecodedSection::Whole) {
        check_round(&wide);
    }
}

fn decode_within(
    section: &[u8],
    limits: &FieldLimits,
    fields: &mut Fields,
) -> Result<DecodedSection, DecodeError> {
    let outcome = decode(section, limits, fields);
    assert!(fields.len() <= limits.max_fields && fields.size() <= limits.max_bytes);
    // What the string being decoded takes, and what a vector doubles to.
    assert!(fields.capacity() <= 4 * (limits.max_bytes + 8 * section.len()) + 4_096);
    outcome
}

fn is_beginning(some: &Fields, all: &Fields) -> bool {
    let same =
        some.iter().zip(all.iter()).all(|(one, other)| (one.name, one.value) == (other.name, other.value));
    same && some.len() <= all.len()
}

/// The encoder writes names in lower case, and everything else as it is.
fn check_round(fields: &Fields) {
    let (mut section, mut lower, mut again) = (Vec::new(), Vec::new(), Fields::new());
    let mut encoder = SectionEncoder::begin(&mut section, &mut lower);
    for field in fields.iter() {
        if field.is_sensitive {
            encoder.never_indexed(field.name, field.value);
        } else {
            encoder.field(field.name, field.value);
        }
    }
    assert_eq!(decode_within(&section, &WIDE_LIMITS, &mut again), Ok(DecodedSection::Whole));
    assert_eq!(again.len(), fields.len());
    for (one, other) in fields.iter().zip(again.iter()) {
        assert_eq!((one.name.to_ascii_lowercase().as_slice(), one.value), (other.name, other.value));
        assert_eq!(one.known, other.known);
        assert!(other.is_sensitive || !one.is_sensitive, "what may not be indexed stays so");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::huffman;
    use crate::proto::h2::hpack::fuzz::Numbers;

    /// Sections that are each in order.
    fn seeds() -> Vec<Vec<u8>> {
        let mut long = b"\x80\0\0\x5f\x1d\x8c".to_vec();
        huffman::encode(b"www.example.com", &mut long);
        vec![
            b"\x55\0\0\xd1\xd7\xc1\x50\x09a.example\x5f\x50\x03x/1".to_vec(),
            b"\xaa\0\0\x71\x01a\x31b\x01c\xff\x23\x27\x02:protocol\x09websocket".to_vec(),
            long,
        ]
    }

    #[test]
    fn the_seeds_go_well() {
        for seed in seeds() {
            let outcome = decode(seed.split_at(1).1, &WIDE_LIMITS, &mut Fields::new());
            assert_eq!(outcome, Ok(DecodedSection::Whole), "{seed:x?}");
            fuzz_qpack(&seed);
        }
    }

    #[test]
    fn mutated_sections() {
        for seed in seeds() {
            for at in 0..seed.len() {
                let (before, after) = seed.split_at(at);
                fuzz_qpack(before);
                fuzz_qpack(&[before, after.split_at(1).1].concat());
                for byte in 0..=255 {
                    fuzz_qpack(&[before, &[byte], after.split_at(1).1].concat());
                    fuzz_qpack(&[before, &[byte], after].concat());
                }
            }
        }
    }

    #[test]
    fn any_bytes() {
        let mut numbers = Numbers::new(3);
        for length in 0..20_000 {
            let bytes: Vec<u8> = (0..length % 50).map(|_| numbers.below(256) as u8).collect();
            fuzz_qpack(&[&[numbers.below(256) as u8, 0, 0], &bytes[..]].concat());
        }
    }
}
