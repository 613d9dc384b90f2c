//! Basic authentication (RFC 7617): what a client says, whom a password file knows, and what was verified a moment ago.

pub mod htpasswd;
pub mod password_hash;
pub mod verified_pairs;

use crate::http::base64::decoded;

/// Bytes of base64 that are looked at: a longer user and password are nobody's.
const MAX_ENCODED: usize = 1_024;

/// A user and a password, as a client sends them. Deliberately without `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginPair {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

impl LoginPair {
    /// Reads the value of an Authorization field; None if it is no well-formed Basic authentication.
    pub fn parse(authorization: &[u8]) -> Option<LoginPair> {
        let (scheme, encoded) = authorization.split_at_checked(6)?;
        let encoded = encoded.trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > MAX_ENCODED {
            return None;
        }
        let decoded = decode(encoded)?;
        // "The user-id and password MUST NOT contain any control characters" (RFC 7617 §2).
        if decoded.iter().any(u8::is_ascii_control) {
            return None;
        }
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        Some(LoginPair { user: decoded.get(..colon)?.to_vec(), password: decoded.get(colon + 1..)?.to_vec() })
    }
}

/// Decodes base64 (RFC 4648 §4), with or without padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if digits.len() % 4 == 1 {
        return None;
    }
    decoded(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read() {
        for (value, pair) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(("Aladdin", "open sesame"))),
            ("basic YTpi", Some(("a", "b"))),
            ("BASIC  YTpiOmM=", Some(("a", "b:c"))),
            ("Basic Ojo", Some(("", ":"))),
            ("Basic dXNlcg==", None),
            ("Basic YQo6Yg==", None),
            ("Basic YTp*", None),
            ("Basic Y", None),
            ("Bearer YTpi", None),
            ("Basic", None),
            ("", None),
        ] {
            let parsed = LoginPair::parse(value.as_bytes());
            let parsed = parsed.as_ref().map(|pair| (pair.user.as_slice(), pair.password.as_slice()));
            assert_eq!(parsed, pair.map(|(user, word)| (user.as_bytes(), word.as_bytes())), "{value}");
        }
        let long = format!("Basic {}", "YTpi".repeat(MAX_ENCODED / 4 + 1));
        assert!(LoginPair::parse(long.as_bytes()).is_none());
    }
}
