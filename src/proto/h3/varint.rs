//! Integers of variable length: the two highest bits tell of 1, 2, 4 or 8 bytes (RFC 9000 §16).

/// The largest.
pub const MAX: u64 = (1 << 62) - 1;

/// The longest, in bytes.
pub const MAX_BYTES: usize = 8;

/// Takes an integer off the front of `input`; None: more has to come.
pub fn decode(input: &mut &[u8]) -> Option<u64> {
    let first = *input.first()?;
    let length = 1 << (first >> 6);
    let (bytes, rest) = input.split_at_checked(length)?;
    *input = rest;
    let folded = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    // Without the bits of the length.
    Some(folded & (u64::MAX >> (64 - 8 * length + 2)))
}

/// Appends a value of at most [`MAX`], in as few bytes as can be.
pub fn encode(out: &mut Vec<u8>, value: u64) {
    debug_assert!(value <= MAX, "it has 62 bits at most");
    let bytes = value.to_be_bytes();
    let (length, tag) = match value {
        0..0x40 => (1, 0),
        0x40..0x4000 => (2, 0x40),
        0x4000..0x4000_0000 => (4, 0x80),
        _ => (8, 0xc0),
    };
    let start = out.len();
    out.extend_from_slice(bytes.get(MAX_BYTES - length..).unwrap_or_default());
    if let Some(first) = out.get_mut(start) {
        *first |= tag;
    }
}

/// How many bytes a value takes.
pub fn encoded_length(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_9000_a_1() {
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            let mut out = Vec::new();
            encode(&mut out, value);
            assert_eq!((&out[..], encoded_length(value)), (bytes, bytes.len()));
            let mut input = bytes;
            assert_eq!((decode(&mut input), input), (Some(value), &[][..]));
        }
        assert_eq!(decode(&mut &[0x40, 0x25][..]), Some(37), "it may be longer than it needs to be");
    }

    #[test]
    fn every_border_goes_both_ways_and_every_beginning_waits() {
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, MAX] {
            let mut out = Vec::new();
            encode(&mut out, value);
            assert_eq!(decode(&mut out.as_slice()), Some(value));
            for end in 0..out.len() {
                let mut cut = out.split_at(end).0;
                assert_eq!((decode(&mut cut), cut.len()), (None, end));
            }
        }
    }
}
