//! Reading base64 (RFC 4648 §4).

/// The bytes that digits without padding stand for, as far as they make whole ones; None in the place of a byte where
/// something else than a digit stands.
pub fn decoded(digits: &[u8]) -> impl Iterator<Item = Option<u8>> {
    let (mut bits, mut count) = (0u32, 0);
    digits.iter().filter_map(move |&digit| {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Some(None),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        (count >= 8).then(|| {
            count -= 8;
            Some((bits >> count) as u8)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_bytes_are_read_and_other_characters_are_told() {
        for (digits, bytes) in [
            ("", Some("")),
            ("Zg", Some("f")),
            ("Zm8", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYmFy", Some("foobar")),
            ("+/+/", None),
            ("Zm9v=", None),
            ("Zm 9v", None),
        ] {
            let read: Option<Vec<u8>> = decoded(digits.as_bytes()).collect();
            let text = read.and_then(|bytes| String::from_utf8(bytes).ok());
            assert_eq!(text.as_deref(), bytes, "{digits}");
        }
        assert_eq!(decoded(b"+/+/").collect::<Option<Vec<_>>>(), Some(vec![0xfb, 0xff, 0xbf]));
    }
}
