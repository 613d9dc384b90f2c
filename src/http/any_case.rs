//! Comparing names whose case means nothing (RFC 9110 §5.1), eight bytes at a time.

/// Whether `name` is `lower` in any case. `lower` has no upper-case letter.
#[inline(always)]
pub fn is_in_any_case(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    if name.len() > 2 * WORD {
        return name.eq_ignore_ascii_case(lower);
    }
    // What stands in the middle is compared twice.
    match (name.first_chunk::<WORD>(), name.last_chunk::<WORD>(), lower.first_chunk(), lower.last_chunk()) {
        (Some(first), Some(last), Some(lower_first), Some(lower_last)) => {
            word(first) == u64::from_le_bytes(*lower_first) && word(last) == u64::from_le_bytes(*lower_last)
        }
        _ => short_word(name) == short_word(lower),
    }
}

const WORD: usize = 8;

#[inline(always)]
fn word(bytes: &[u8; WORD]) -> u64 {
    in_lower_case(u64::from_le_bytes(*bytes))
}

/// Fewer than eight bytes in lower case, which tell them apart from all others of their length.
#[inline(always)]
fn short_word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            in_lower_case(u64::from(first) << 32 | u64::from(last))
        }
        _ => in_lower_case(bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))),
    }
}

/// The bytes of a word, those between `A` and `Z` as small letters.
#[inline(always)]
const fn in_lower_case(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low_bits = word & (0x7f * EACH);
    // The highest bit of each byte tells whether it is at least `A`, and beyond `Z`; no sum runs over into the next byte.
    let from_a = low_bits + (0x80 - b'A' as u64) * EACH;
    let beyond_z = low_bits + (0x7f - b'Z' as u64) * EACH;
    let is_upper = (from_a ^ beyond_z) & !word & (0x80 * EACH);
    word | is_upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_as_the_standard_library_has_it() {
        for length in 0..20 {
            let lower: Vec<u8> = (0..length).map(|place| b'a' + place * 7 % 26).collect();
            assert!(is_in_any_case(&lower, &lower));
            assert!(is_in_any_case(&lower.to_ascii_uppercase(), &lower));
            assert!(!is_in_any_case(&[&lower[..], b"a"].concat(), &lower));
            for place in 0..lower.len() {
                for byte in 0..=u8::MAX {
                    let mut name = lower.to_ascii_uppercase();
                    name[place] = byte;
                    assert_eq!(is_in_any_case(&name, &lower), name.eq_ignore_ascii_case(&lower), "{name:?}");
                }
            }
        }
        for byte in 0..=u8::MAX {
            assert_eq!(in_lower_case(u64::from(byte)), u64::from(byte.to_ascii_lowercase()));
        }
    }

    #[test]
    fn bytes_of_names_that_are_no_letters_count_as_they_are() {
        assert!(is_in_any_case(b"USER-Agent", b"user-agent"));
        assert!(!is_in_any_case(b"user\ragent", b"user-agent"));
        assert!(!is_in_any_case(b"x_request_id", b"x-request-id"));
    }
}
