//! CRC32c, as RFC 3720 §12.1 has it.

/// Reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What four bits do to the checksum. A table for whole bytes would be a kibibyte, for a header per connection.
const NIBBLES: [u32; 16] = nibbles();

const fn nibbles() -> [u32; 16] {
    let mut table = [0; 16];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "the index is less than the length")]
        {
            table[index] = crc;
        }
        index += 1;
    }
    table
}

/// The checksum of the bytes, with the four at `gap` taken for zero (§2.2.3).
pub(super) fn crc32c_with_gap(bytes: &[u8], gap: usize) -> u32 {
    let mut crc: u32 = !0;
    for (index, &byte) in bytes.iter().enumerate() {
        crc ^= if (gap..gap + 4).contains(&index) { 0 } else { u32::from(byte) };
        for _ in 0..2 {
            let nibble = NIBBLES.get((crc & 0xf) as usize).copied().unwrap_or_default();
            crc = (crc >> 4) ^ nibble;
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_algorithm() {
        assert_eq!(crc32c_with_gap(b"123456789", 9), 0xe306_9283);
        assert_eq!(crc32c_with_gap(b"12\xff\xff\xff\xff789", 2), crc32c_with_gap(b"12\0\0\0\x00789", 9));
    }
}
