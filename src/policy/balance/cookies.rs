//! Finding, removing and replacing a cookie (RFC 6265).

use crate::http::headers::Headers;
use crate::http::headers::KnownName;

/// The value of the first cookie of this name in a request, which may spread its cookies over several
/// fields. Names of cookies are case-sensitive.
pub fn find<'b>(headers: &Headers<'b>, name: &str) -> Option<&'b [u8]> {
    all(headers, name).next()
}

/// The values of all cookies of this name, in their order.
pub fn all<'b>(headers: &Headers<'b>, name: &str) -> impl Iterator<Item = &'b [u8]> {
    let lists = headers.find_all(KnownName::Cookie).map(|field| field.value);
    lists.flat_map(pairs).filter_map(move |pair| value_of(pair, name))
}

/// Appends the value of a Cookie field without any cookie of these names, and tells whether there was one.
/// Nothing appended means that the field goes.
pub fn without(list: &[u8], names: [Option<&str>; 2], out: &mut Vec<u8>) -> bool {
    let mut is_found = false;
    let mut separator = &b""[..];
    for pair in pairs(list) {
        if names.into_iter().flatten().any(|name| value_of(pair, name).is_some()) {
            is_found = true;
            continue;
        }
        out.extend_from_slice(separator);
        out.extend_from_slice(pair);
        separator = b"; ";
    }
    is_found
}

/// The value of a Set-Cookie field, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetCookie<'b> {
    pub name: &'b [u8],
    pub value: &'b [u8],
    /// From the first `;` on; empty if there is none.
    pub attributes: &'b [u8],
}

impl<'b> SetCookie<'b> {
    /// Reads it as browsers do (RFC 6265 §5.2): what has no name or no `=` sets nothing.
    pub fn parse(field_value: &'b [u8]) -> Option<SetCookie<'b>> {
        let end = field_value.iter().position(|&byte| byte == b';').unwrap_or(field_value.len());
        let (pair, attributes) = field_value.split_at_checked(end)?;
        let (name, value) = split_pair(pair)?;
        (!name.is_empty()).then_some(SetCookie { name, value, attributes })
    }

    /// Appends the field's value with another value of the cookie.
    pub fn write_with(&self, value: &[u8], out: &mut Vec<u8>) {
        for part in [self.name, b"=", value, self.attributes] {
            out.extend_from_slice(part);
        }
    }
}

/// The cookies of a list, without empty ones.
fn pairs(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// The value of a cookie, if this is its name.
fn value_of<'b>(pair: &'b [u8], wanted: &str) -> Option<&'b [u8]> {
    let (name, value) = split_pair(pair)?;
    (name == wanted.as_bytes()).then_some(value)
}

fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
    Some((name.trim_ascii(), value.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_over_several_fields() {
        let headers = Headers::of(&[
            ("Cookie", "a=1; bb=2;c = 3 ;; d"),
            ("X-Cookie", "e=4"),
            ("cookie", "a=5; b=\"6\"; f=; g=h=i"),
        ]);
        for (name, expected) in [
            ("a", Some("1")),
            ("bb", Some("2")),
            ("b", Some("\"6\"")),
            ("c", Some("3")),
            ("d", None),
            ("e", None),
            ("f", Some("")),
            ("g", Some("h=i")),
            ("A", None),
            ("", None),
        ] {
            assert_eq!(find(&headers, name), expected.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn all_of_a_name_go() {
        for (list, found, rest) in [
            ("a=1", true, ""),
            ("a=1; b=2", true, "b=2"),
            ("b=2; a=1", true, "b=2"),
            ("b=2;a=1;c=3", true, "b=2; c=3"),
            ("a=1; b=2; a=3", true, "b=2"),
            ("a=1; a=2", true, ""),
            ("a = 1 ; b", true, "b"),
            ("aa=1; A=2; b=a=3", false, "aa=1; A=2; b=a=3"),
            ("a", false, "a"),
            ("", false, ""),
        ] {
            let mut out = Vec::new();
            assert_eq!(without(list.as_bytes(), [None, Some("a")], &mut out), found, "{list}");
            assert_eq!(String::from_utf8(out).unwrap(), rest, "{list}");
        }
    }

    #[test]
    fn a_cookie_that_is_set_keeps_its_attributes() {
        for (field_value, parts, rewritten) in [
            ("a=1", ("a", "1", ""), "a=new"),
            ("a=1; Path=/; Secure", ("a", "1", "; Path=/; Secure"), "a=new; Path=/; Secure"),
            (" a = 1 ;Path=/", ("a", "1", ";Path=/"), "a=new;Path=/"),
            ("a=; Max-Age=0", ("a", "", "; Max-Age=0"), "a=new; Max-Age=0"),
            ("a=\"b=c\";x=y=z;", ("a", "\"b=c\"", ";x=y=z;"), "a=new;x=y=z;"),
        ] {
            let cookie = SetCookie::parse(field_value.as_bytes()).unwrap();
            let (name, value, attributes) = parts;
            assert_eq!(cookie.name, name.as_bytes(), "{field_value}");
            assert_eq!(cookie.value, value.as_bytes(), "{field_value}");
            assert_eq!(cookie.attributes, attributes.as_bytes(), "{field_value}");
            let mut out = Vec::new();
            cookie.write_with(b"new", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), rewritten);
        }
        for nothing in ["", "a", "=1", "  =1; Path=/", ";a=1", "a; b=1"] {
            assert_eq!(SetCookie::parse(nothing.as_bytes()), None, "{nothing}");
        }
    }
}
