//! The identity of a request, by which lines of the access log and of applications are joined.

use crate::http::headers::Headers;
use crate::http::headers::KnownName;

/// Hexadecimal digits of an identity that is made here.
const MADE_DIGITS: usize = 32;

/// A longer identity is not taken: it goes into every line that an application logs.
const MAX_TAKEN_BYTES: usize = 128;

/// What `X-Request-ID` says upstream, where it is on.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestId<'b> {
    /// As a trusted proxy has sent it.
    Taken(&'b [u8]),
    Made([u8; MADE_DIGITS]),
}

impl RequestId<'_> {
    /// A new one. The nonce must be unpredictable: backends show identities to clients, who must not learn
    /// from them how many requests there were.
    pub fn of(nonce: [u8; MADE_DIGITS / 2]) -> RequestId<'static> {
        let mut digits = [0; MADE_DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(nonce) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        RequestId::Made(digits)
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            RequestId::Taken(value) => value,
            RequestId::Made(digits) => digits,
        }
    }
}

/// What a trusted proxy sent under the name, if it is one field with an acceptable value. A name with underscores is
/// another one to many proxies, which pass it as their clients sent it.
pub fn told<'b>(headers: &Headers<'b>) -> Option<&'b [u8]> {
    let mut fields = headers.find_all(KnownName::XRequestId).filter(|field| !field.name.contains(&b'_'));
    let value = fields.next()?.value;
    (fields.next().is_none() && is_acceptable(value)).then_some(value)
}

/// Whether the value can stand in logs and in headers of any kind without a second meaning: 1 to 128 letters, digits and
/// `-_.~+/=:@`.
pub fn is_acceptable(value: &[u8]) -> bool {
    let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:@".contains(byte);
    (1..=MAX_TAKEN_BYTES).contains(&value.len()) && value.iter().all(is_harmless)
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_of_all_bytes_of_the_nonce() {
        let nonce = 0x0123_4567_89ab_cdef_0099_aaff_f0e1_d2c3_u128;
        assert_eq!(RequestId::of(nonce.to_be_bytes()).as_bytes(), format!("{nonce:032x}").as_bytes());
    }

    #[test]
    fn one_acceptable_field_is_taken() {
        let longest = "a".repeat(MAX_TAKEN_BYTES);
        for value in ["a", "7f3b-AZ09_.~+/=:@", &longest] {
            assert_eq!(told(&Headers::of(&[("X-Request-Id", value)])), Some(value.as_bytes()));
        }
        let too_long = "a".repeat(MAX_TAKEN_BYTES + 1);
        for value in
            ["", &too_long, "a b", "a,b", "a\"", "a\\", "caf\u{e9}", "a;b", "a\tb", "{a}", "<a>", "a%20"]
        {
            assert_eq!(told(&Headers::of(&[("x-request-id", value)])), None, "{value}");
        }
        assert_eq!(told(&Headers::of(&[])), None);
        assert_eq!(told(&Headers::of(&[("x-request-id", "a"), ("X-Request-ID", "a")])), None);
        assert_eq!(told(&Headers::of(&[("x_request_id", "a")])), None);
        let both = Headers::of(&[("x_request_id", "forged"), ("x-request-id", "a")]);
        assert_eq!(told(&both), Some(&b"a"[..]));
    }
}
