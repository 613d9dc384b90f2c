//! Request targets (RFC 9112 §3.2) and the authorities in them and in the Host field.

use std::net::Ipv6Addr;

use crate::http::head::Method;
use crate::http::head::Target;
use crate::http::head::TargetForm;
use crate::proto::h1::error::HeadError;

/// Takes the target apart into one of the four forms of RFC 9112 §3.2.
///
/// Printable bytes that RFC 3986 would want percent-encoded, such as `|` and `^`, pass: browsers send
/// them. Raw non-ASCII and fragments do not. The path that an absolute form with a query
/// lacks is put in when the request line is written.
pub(super) fn parse_target<'b>(method: &Method<'b>, raw: &'b [u8]) -> Result<Target<'b>, HeadError> {
    // No early exit, so that the loop is done on whole vectors.
    if raw.iter().fold(false, |bad, &byte| bad | !byte.is_ascii() | (byte == b'#')) {
        return Err(HeadError::BadTarget);
    }
    let target = |form, path_and_query| Ok(Target { raw, form, path_and_query });
    match (method, raw.first()) {
        (Method::Connect, _) if is_authority(raw) && has_port(raw) => target(TargetForm::Authority, raw),
        (Method::Connect, _) => Err(HeadError::BadTarget),
        (_, Some(b'/')) => target(TargetForm::Origin, raw),
        (Method::Options, Some(b'*')) if raw.len() == 1 => target(TargetForm::Asterisk, raw),
        _ => {
            let (authority, path_and_query) = split_absolute(raw).ok_or(HeadError::BadTarget)?;
            let path_and_query = match (path_and_query.first(), method) {
                (Some(_), _) => path_and_query,
                // RFC 9112 §3.2.4: the last proxy turns this into the asterisk form.
                (None, Method::Options) => b"*",
                (None, _) => b"/",
            };
            target(TargetForm::Absolute { authority }, path_and_query)
        }
    }
}

/// Whether these bytes are `uri-host [ ":" port ]` (RFC 9110 §7.2), and not empty.
///
/// A name is letters, digits, `-`, `.`, `_` and `~`. The sub-delimiters and percent-encoding that
/// RFC 3986 allows in a reg-name never stand in a DNS name, and a comma or an `@` there is an attempt
/// to make two hops route differently. An IPv6 address has no zone.
pub fn is_authority(bytes: &[u8]) -> bool {
    let after_host = match bytes.strip_prefix(b"[") {
        Some(literal) => literal.iter().position(|&byte| byte == b']').and_then(|end| {
            let (address, rest) = literal.split_at(end);
            std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok()?;
            rest.strip_prefix(b"]")
        }),
        None => {
            let length = bytes.iter().take_while(|&&byte| is_name_byte(byte)).count();
            bytes.get(length..).filter(|_| length > 0)
        }
    };
    match after_host {
        None => false,
        Some([]) => true,
        Some(rest) => rest.strip_prefix(b":").is_some_and(is_port),
    }
}

/// Splits `http://authority/path?query` behind the authority. `None` when the scheme is another one
/// or the authority is not valid, which covers user information (RFC 9110 §4.2.4).
fn split_absolute(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let after_scheme = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = raw.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = after_scheme.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(after_scheme.len());
    let (authority, path_and_query) = after_scheme.split_at(end);
    is_authority(authority).then_some((authority, path_and_query))
}

/// CONNECT names a port always (RFC 9112 §3.2.3).
fn has_port(authority: &[u8]) -> bool {
    let mut from_the_end = authority.iter().rev().skip_while(|byte| byte.is_ascii_digit());
    authority.last().is_some_and(u8::is_ascii_digit) && from_the_end.next() == Some(&b':')
}

/// `*DIGIT` up to 65535; empty stands for the scheme's default port (RFC 3986 §3.2.3).
fn is_port(bytes: &[u8]) -> bool {
    let digit = |value: u32, &byte: &u8| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'));
    bytes.len() <= 5 && bytes.iter().try_fold(0, digit).is_some_and(|port| port <= 0xffff)
}

fn is_name_byte(byte: u8) -> bool {
    // A look into a table: every request has a Host of a dozen bytes or more.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and get_mut is not const")]
    const NAME_BYTES: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let value = byte as u8;
            table[byte] = value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~');
            byte += 1;
        }
        table
    };
    NAME_BYTES.get(usize::from(byte)).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (bytes, valid) in [
            ("example.com", true),
            ("EXAMPLE.com.", true),
            ("a_b~c-d", true),
            ("127.0.0.1", true),
            ("127.0.0.1:80", true),
            ("a:", true),
            ("a:00080", true),
            ("a:65535", true),
            ("[::1]", true),
            ("[::1]:8080", true),
            ("[::ffff:1.2.3.4]:", true),
            ("", false),
            (":80", false),
            ("a:65536", false),
            ("a:000080", false),
            ("a:+80", false),
            ("a:80:80", false),
            ("a:8o", false),
            ("::1", false),
            ("[::1", false),
            ("[]", false),
            ("[::1%eth0]", false),
            ("[v1.a]", false),
            ("[::1]80", false),
            ("[127.0.0.1]", false),
            ("[[::1]]", false),
            ("a b", false),
            ("a,b", false),
            ("a/b", false),
            ("a@b", false),
            ("a%2eb", false),
            ("a\tb", false),
            ("b\u{fc}cher.example", false),
            ("a#", false),
            ("a?b", false),
            ("a\\b", false),
        ] {
            assert_eq!(is_authority(bytes.as_bytes()), valid, "{bytes:?}");
        }
    }

    #[test]
    fn targets() {
        fn check(method: &'static str, raw: &'static str, expected: Option<(TargetForm<'_>, &str)>) {
            let parsed = parse_target(&Method::from_bytes(method.as_bytes()), raw.as_bytes()).ok();
            let expected = expected.map(|(form, path_and_query)| Target {
                raw: raw.as_bytes(),
                form,
                path_and_query: path_and_query.as_bytes(),
            });
            assert_eq!(parsed, expected, "{method} {raw}");
        }
        let absolute = |authority: &'static str| TargetForm::Absolute { authority: authority.as_bytes() };
        check("GET", "/", Some((TargetForm::Origin, "/")));
        check("GET", "//a/../b?c=|^{}", Some((TargetForm::Origin, "//a/../b?c=|^{}")));
        check("GET", "http://a/b?c", Some((absolute("a"), "/b?c")));
        check("GET", "HTTPS://a:443", Some((absolute("a:443"), "/")));
        check("OPTIONS", "http://[::1]:80", Some((absolute("[::1]:80"), "*")));
        check("OPTIONS", "http://a/", Some((absolute("a"), "/")));
        check("OPTIONS", "*", Some((TargetForm::Asterisk, "*")));
        check("CONNECT", "a:443", Some((TargetForm::Authority, "a:443")));
        check("CONNECT", "[::1]:443", Some((TargetForm::Authority, "[::1]:443")));
        for (method, raw) in [
            ("GET", "*"),
            ("GET", "a"),
            ("GET", "a:80"),
            ("GET", "?a"),
            ("GET", "/a#b"),
            ("GET", "/\u{e4}"),
            ("GET", "http:///b"),
            ("GET", "http://"),
            ("GET", "http:/a"),
            ("GET", "http://u@a/"),
            ("GET", "http://u:p@a/"),
            ("GET", "ftp://a/"),
            ("GET", "http://a\\b/"),
            ("OPTIONS", "**"),
            ("OPTIONS", "*/"),
            ("CONNECT", "/"),
            ("CONNECT", "*"),
            ("CONNECT", "a"),
            ("CONNECT", "a:"),
            ("CONNECT", "::1"),
            ("CONNECT", "[::1]"),
            ("CONNECT", "http://a/"),
        ] {
            check(method, raw, None);
        }
    }
}
