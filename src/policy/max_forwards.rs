//! How many intermediaries an OPTIONS request may still pass (RFC 9110 §7.6.2).

use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::headers::KnownName;

/// What Max-Forwards allows; at 0, the request is to be answered here. `None` when nothing is said:
/// for other methods the field means nothing, TRACE never gets far, and what is no number is left
/// alone. A number beyond 64 bits counts as the largest one.
pub fn remaining(head: &RequestHead<'_, '_>) -> Option<u64> {
    if head.method != Method::Options {
        return None;
    }
    let mut fields = head.headers.find_all(KnownName::MaxForwards);
    let value = fields.next().filter(|_| fields.next().is_none())?.value;
    let digit = |number: u64, &byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    };
    value.iter().try_fold(0, digit).filter(|_| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Target;
    use crate::http::head::TargetForm;
    use crate::http::head::Version;
    use crate::http::headers::Field;
    use crate::http::headers::Headers;

    fn of(method: Method<'_>, values: &[&str]) -> Option<u64> {
        let mut headers = Headers::new();
        for value in values {
            headers.push(Field::new(b"Max-Forwards", value.as_bytes())).unwrap();
        }
        let target = Target { raw: b"*", form: TargetForm::Asterisk, path_and_query: b"*" };
        remaining(&RequestHead { method, target, version: Version::Http11, headers: &mut headers })
    }

    #[test]
    fn only_one_number_for_options_counts() {
        assert_eq!(of(Method::Options, &["0"]), Some(0));
        assert_eq!(of(Method::Options, &["012"]), Some(12));
        assert_eq!(of(Method::Options, &["99999999999999999999999"]), Some(u64::MAX));
        for values in [&[][..], &[""], &["-1"], &["1, 1"], &["1", "1"]] {
            assert_eq!(of(Method::Options, values), None, "{values:?}");
        }
        assert_eq!(of(Method::Get, &["0"]), None);
    }
}
