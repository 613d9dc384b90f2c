//! The fields that both sides know from the start (RFC 9204 Appendix A).

use crate::http::any_case::is_in_any_case;
use crate::http::headers::KnownName;
use crate::proto::fields::MIN_INDEXED_COOKIE_BYTES;
use crate::proto::fields::name_hash::hash_name;
use crate::proto::fields::static_field::StaticField;

/// The field of this index; they begin at 0.
pub(super) fn field(index: u32) -> Option<&'static StaticField> {
    FIELDS.get(index as usize)
}

/// What the table has of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaticMatch {
    Field(u32),
    Name(u32),
    Nothing,
}

/// Looks for a field whose name may be in any case.
pub(super) fn find(name: &[u8], value: &[u8]) -> StaticMatch {
    let start = hash_name(name) as usize % SLOT_COUNT;
    let mut found = StaticMatch::Nothing;
    // Every field has a slot, those of one name one behind the other among others; a free one ends the search.
    for number in SLOTS.iter().cycle().skip(start).take(SLOT_COUNT) {
        let Some(index) = u32::from(*number).checked_sub(1) else {
            break;
        };
        let Some(known) = field(index).filter(|known| is_in_any_case(name, known.name)) else {
            continue;
        };
        if known.value == value {
            return StaticMatch::Field(index);
        }
        if found == StaticMatch::Nothing {
            found = StaticMatch::Name(index);
        }
    }
    found
}

/// Whether a field with the name of this index is a secret, which nobody on its way may index, or it could be guessed by its
/// compression (RFC 9204 §7.1.3).
pub(super) fn is_secret(index: u32, value: &[u8]) -> bool {
    match index {
        AUTHORIZATION | SET_COOKIE => true,
        COOKIE => value.len() < MIN_INDEXED_COOKIE_BYTES,
        _ => false,
    }
}

const COOKIE: u32 = 5;
const SET_COOKIE: u32 = 14;
const AUTHORIZATION: u32 = 84;

/// Four times as many as there are fields, so that most names are found at the first look.
const SLOT_COUNT: usize = 512;

/// The number of each field, from 1 on, at the hash of its name or behind; 0: free.
static SLOTS: [u8; SLOT_COUNT] = slots();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [0; SLOT_COUNT];
    let mut index = 0;
    while index < FIELDS.len() {
        let mut slot = hash_name(FIELDS[index].name) as usize % SLOT_COUNT;
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = index as u8 + 1;
        index += 1;
    }
    slots
}

const fn plain(name: &'static str, value: &'static str) -> StaticField {
    known(name, value, KnownName::Other)
}

const fn known(name: &'static str, value: &'static str, known: KnownName) -> StaticField {
    StaticField { name: name.as_bytes(), value: value.as_bytes(), known }
}

static FIELDS: [StaticField; 99] = [
    plain(":authority", ""),
    plain(":path", "/"),
    plain("age", "0"),
    plain("content-disposition", ""),
    known("content-length", "0", KnownName::ContentLength),
    known("cookie", "", KnownName::Cookie),
    known("date", "", KnownName::Date),
    plain("etag", ""),
    plain("if-modified-since", ""),
    plain("if-none-match", ""),
    plain("last-modified", ""),
    plain("link", ""),
    plain("location", ""),
    known("referer", "", KnownName::Referer),
    known("set-cookie", "", KnownName::SetCookie),
    plain(":method", "CONNECT"),
    plain(":method", "DELETE"),
    plain(":method", "GET"),
    plain(":method", "HEAD"),
    plain(":method", "OPTIONS"),
    plain(":method", "POST"),
    plain(":method", "PUT"),
    plain(":scheme", "http"),
    plain(":scheme", "https"),
    plain(":status", "103"),
    plain(":status", "200"),
    plain(":status", "304"),
    plain(":status", "404"),
    plain(":status", "503"),
    plain("accept", "*/*"),
    plain("accept", "application/dns-message"),
    plain("accept-encoding", "gzip, deflate, br"),
    plain("accept-ranges", "bytes"),
    plain("access-control-allow-headers", "cache-control"),
    plain("access-control-allow-headers", "content-type"),
    plain("access-control-allow-origin", "*"),
    plain("cache-control", "max-age=0"),
    plain("cache-control", "max-age=2592000"),
    plain("cache-control", "max-age=604800"),
    plain("cache-control", "no-cache"),
    plain("cache-control", "no-store"),
    plain("cache-control", "public, max-age=31536000"),
    plain("content-encoding", "br"),
    plain("content-encoding", "gzip"),
    plain("content-type", "application/dns-message"),
    plain("content-type", "application/javascript"),
    plain("content-type", "application/json"),
    plain("content-type", "application/x-www-form-urlencoded"),
    plain("content-type", "image/gif"),
    plain("content-type", "image/jpeg"),
    plain("content-type", "image/png"),
    plain("content-type", "text/css"),
    plain("content-type", "text/html; charset=utf-8"),
    plain("content-type", "text/plain"),
    plain("content-type", "text/plain;charset=utf-8"),
    plain("range", "bytes=0-"),
    plain("strict-transport-security", "max-age=31536000"),
    plain("strict-transport-security", "max-age=31536000; includesubdomains"),
    plain("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    plain("vary", "accept-encoding"),
    plain("vary", "origin"),
    plain("x-content-type-options", "nosniff"),
    plain("x-xss-protection", "1; mode=block"),
    plain(":status", "100"),
    plain(":status", "204"),
    plain(":status", "206"),
    plain(":status", "302"),
    plain(":status", "400"),
    plain(":status", "403"),
    plain(":status", "421"),
    plain(":status", "425"),
    plain(":status", "500"),
    plain("accept-language", ""),
    plain("access-control-allow-credentials", "FALSE"),
    plain("access-control-allow-credentials", "TRUE"),
    plain("access-control-allow-headers", "*"),
    plain("access-control-allow-methods", "get"),
    plain("access-control-allow-methods", "get, post, options"),
    plain("access-control-allow-methods", "options"),
    plain("access-control-expose-headers", "content-length"),
    plain("access-control-request-headers", "content-type"),
    plain("access-control-request-method", "get"),
    plain("access-control-request-method", "post"),
    plain("alt-svc", "clear"),
    plain("authorization", ""),
    plain("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    plain("early-data", "1"),
    plain("expect-ct", ""),
    plain("forwarded", ""),
    plain("if-range", ""),
    plain("origin", ""),
    plain("purpose", "prefetch"),
    known("server", "", KnownName::Server),
    plain("timing-allow-origin", "*"),
    plain("upgrade-insecure-requests", "1"),
    known("user-agent", "", KnownName::UserAgent),
    known("x-forwarded-for", "", KnownName::XForwardedFor),
    plain("x-frame-options", "deny"),
    plain("x-frame-options", "sameorigin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found() {
        for (index, field) in (0..).zip(&FIELDS) {
            assert_eq!(find(field.name, field.value), StaticMatch::Field(index));
            assert_eq!(field.known, KnownName::of(field.name));
            let upper = field.name.to_ascii_uppercase();
            assert_eq!(find(&upper, field.value), StaticMatch::Field(index));
            let StaticMatch::Name(first) = find(field.name, b"no such value") else { panic!("{index}") };
            assert!(first <= index && super::field(first).is_some_and(|first| first.name == field.name));
        }
        assert!(field(99).is_none());
    }

    #[test]
    fn other_names_are_not_found() {
        for name in ["", ":", "x", "accep", ":protocol", "x-request-id"] {
            assert_eq!(find(name.as_bytes(), b""), StaticMatch::Nothing);
        }
    }

    #[test]
    fn secrets_are_known() {
        for (name, value, expected) in [
            ("cookie", "a=b", true),
            ("cookie", "session=0123456789abcdef", false),
            ("Set-Cookie", "session=0123456789abcdef", true),
            ("authorization", "Basic x", true),
            ("accept", "x", false),
        ] {
            let StaticMatch::Name(index) = find(name.as_bytes(), value.as_bytes()) else { panic!("{name}") };
            assert_eq!(is_secret(index, value.as_bytes()), expected, "{name}: {value}");
        }
    }

    #[test]
    fn places_of_appendix_a() {
        for (index, name, value) in [
            (0, ":authority", ""),
            (17, ":method", "GET"),
            (23, ":scheme", "https"),
            (25, ":status", "200"),
            (52, "content-type", "text/html; charset=utf-8"),
            (71, ":status", "500"),
            (98, "x-frame-options", "sameorigin"),
        ] {
            let field = field(index).unwrap();
            assert_eq!((field.name, field.value), (name.as_bytes(), value.as_bytes()));
        }
    }
}
