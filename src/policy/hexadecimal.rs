//! Bytes as hexadecimal digits, two for each.

use std::fmt::Write as _;

/// The digits, in lower case.
pub fn of_bytes(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of digits in either case. None: it is something else.
pub fn to_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_nothing_else_does() {
        assert_eq!(of_bytes([0, 0x9a, 0xff]), "009aff");
        assert_eq!(to_bytes("009aFF"), Some(vec![0, 0x9a, 0xff]));
        assert_eq!(to_bytes(""), Some(Vec::new()));
        for wrong in ["0", "0g", "+1", "é0"] {
            assert_eq!(to_bytes(wrong), None, "{wrong}");
        }
    }
}
