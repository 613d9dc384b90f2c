//! Queries taken apart as forms write them: `name=value&name=value`.

/// The parameters, in their order and still encoded. One without `=` has an empty value.
pub(super) fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&byte| byte == b'&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let end = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
        (parameter.get(..end).unwrap_or_default(), parameter.get(end + 1..).unwrap_or_default())
    })
}

/// Decodes `%XX` and `+`, into `scratch` if there is any. A `%` without two digits stands for itself.
pub(super) fn decode<'t>(text: &'t [u8], scratch: &'t mut Vec<u8>) -> &'t [u8] {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return text;
    }
    scratch.clear();
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind) {
            (b'+', _) => scratch.push(b' '),
            (b'%', [high, low, behind @ ..]) if let Some(decoded) = hex(*high, *low) => {
                scratch.push(decoded);
                rest = behind;
            }
            (other, _) => scratch.push(other),
        }
    }
    scratch
}

/// The byte that two hexadecimal digits stand for.
pub(super) fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_query() {
        let all = |query: &'static str| parameters(query.as_bytes()).collect::<Vec<_>>();
        assert_eq!(all("a=1&b&&c=x=y"), [(&b"a"[..], &b"1"[..]), (b"b", b""), (b"c", b"x=y")]);
        assert!(all("").is_empty());
    }

    #[test]
    fn decoding() {
        for (text, expected) in
            [("a+b", "a b"), ("%41%2f", "A/"), ("100%", "100%"), ("%4", "%4"), ("%zz1", "%zz1"), ("x", "x")]
        {
            assert_eq!(decode(text.as_bytes(), &mut Vec::new()), expected.as_bytes(), "{text}");
        }
    }
}
