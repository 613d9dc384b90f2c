//! Integers that begin within a byte (RFC 7541 §5.1).

use crate::proto::fields::error::DecodeError;

/// Takes an integer off the front of `input`. The bits above the prefix are not its own.
pub(in crate::proto) fn decode(input: &mut &[u8], prefix_bits: u8) -> Result<u32, DecodeError> {
    let (&first, mut rest) = input.split_first().ok_or(DecodeError::Truncated)?;
    let full = (1 << prefix_bits) - 1;
    let mut value = u32::from(first) & full;
    if value == full {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or(DecodeError::Truncated)?;
            rest = after;
            value += u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            // "Integer encodings that exceed implementation limits -- in value or octet length -- MUST
            // be treated as decoding errors" (RFC 7541 §5.1).
            if shift == 7 * MAX_CONTINUATION_BYTES {
                return Err(DecodeError::IntegerTooLarge);
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Appends `value`, whose first byte has `flags` above the prefix.
pub(in crate::proto) fn encode(out: &mut Vec<u8>, flags: u8, prefix_bits: u8, value: usize) {
    let full = (1 << prefix_bits) - 1;
    if value < full {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// After the prefix: 28 bits, more than any length or table size here.
const MAX_CONTINUATION_BYTES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: u8, prefix_bits: u8, value: u32, bytes: &[u8]) {
        let mut out = Vec::new();
        encode(&mut out, flags, prefix_bits, value as usize);
        assert_eq!(out, bytes, "{value}");
        out.push(0xaa);
        let mut input = out.as_slice();
        assert_eq!(decode(&mut input, prefix_bits), Ok(value));
        assert_eq!(input, [0xaa]);
    }

    #[test]
    fn examples_of_appendix_c_1() {
        check(0xe0, 5, 10, &[0b1110_1010]);
        check(0, 5, 1337, &[0b0001_1111, 0b1001_1010, 0b0000_1010]);
        check(0, 8, 42, &[0b0010_1010]);
    }

    #[test]
    fn borders() {
        check(0x80, 7, 126, &[0xfe]);
        check(0x80, 7, 127, &[0xff, 0]);
        check(0, 4, 15 + 127, &[15, 127]);
        check(0, 4, 15 + 128, &[15, 0x80, 1]);
        check(0, 1, 1 + (1 << 28) - 1, &[1, 0xff, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn every_length_is_bounded() {
        let decode = |mut bytes: &[u8]| decode(&mut bytes, 6);
        assert_eq!(decode(&[0x3f]), Err(DecodeError::Truncated));
        assert_eq!(decode(&[]), Err(DecodeError::Truncated));
        assert_eq!(decode(&[0x3f, 0x80, 0x80]), Err(DecodeError::Truncated));
        assert_eq!(decode(&[0x3f, 0x80, 0x80, 0x80, 0]), Ok(63));
        assert_eq!(decode(&[0x3f, 0x80, 0x80, 0x80, 0x80, 0]), Err(DecodeError::IntegerTooLarge));
        assert_eq!(decode(&[0xff; 40]), Err(DecodeError::IntegerTooLarge));
    }
}
