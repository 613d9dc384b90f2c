//! The fields that both sides know from the start (RFC 7541 Appendix A).

use crate::http::any_case::is_in_any_case;
use crate::http::headers::KnownName;
use crate::proto::fields::name_hash::hash_name;
use crate::proto::fields::static_field::StaticField;

/// Indexes begin at 1 and end here.
pub(super) const LAST_STATIC: u32 = FIELDS.len() as u32;

/// The field of this index.
pub(super) fn field(index: u32) -> Option<&'static StaticField> {
    FIELDS.get((index as usize).wrapping_sub(1))
}

/// The first index of a name in any case, by its hash.
pub(super) fn find_name(name: &[u8], hash: u32) -> Option<u32> {
    let mut slot = hash as usize;
    loop {
        let index = u32::from(*SLOTS.get(slot % SLOT_COUNT)?);
        let found = field(index)?.name;
        if is_in_any_case(name, found) {
            return Some(index);
        }
        slot += 1;
    }
}

/// The index of the field with this value, among those that have the name of the `first`.
pub(super) fn find_value(first: u32, value: &[u8]) -> Option<u32> {
    let last = match first {
        METHOD => METHOD + 1,
        PATH => PATH + 1,
        SCHEME => SCHEME + 1,
        STATUS => STATUS + 6,
        single => single,
    };
    (first..=last).find(|&index| field(index).is_some_and(|field| field.value == value))
}

/// Enough that most names are found at the first look.
const SLOT_COUNT: usize = 256;

/// The first index of every name, at its hash or behind; zero where there is none.
static SLOTS: [u8; SLOT_COUNT] = slots();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [0; SLOT_COUNT];
    let mut index = 1;
    while index <= FIELDS.len() {
        let is_repeated = index > 1 && is_same(FIELDS[index - 1].name, FIELDS[index - 2].name);
        let mut slot = hash_name(FIELDS[index - 1].name) as usize % SLOT_COUNT;
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOT_COUNT;
        }
        if !is_repeated {
            slots[slot] = index as u8;
        }
        index += 1;
    }
    slots
}

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([first, rest @ ..], [second, others @ ..]) = (one, other) {
        if *first != *second {
            return false;
        }
        (one, other) = (rest, others);
    }
    one.is_empty() && other.is_empty()
}

const fn plain(name: &'static str, value: &'static str) -> StaticField {
    StaticField { name: name.as_bytes(), value: value.as_bytes(), known: KnownName::Other }
}

const fn known(name: &'static str, known: KnownName) -> StaticField {
    StaticField { name: name.as_bytes(), value: b"", known }
}

pub(super) const METHOD: u32 = 2;
pub(super) const PATH: u32 = 4;
pub(super) const SCHEME: u32 = 6;
pub(super) const STATUS: u32 = 8;

static FIELDS: [StaticField; 61] = [
    plain(":authority", ""),
    plain(":method", "GET"),
    plain(":method", "POST"),
    plain(":path", "/"),
    plain(":path", "/index.html"),
    plain(":scheme", "http"),
    plain(":scheme", "https"),
    plain(":status", "200"),
    plain(":status", "204"),
    plain(":status", "206"),
    plain(":status", "304"),
    plain(":status", "400"),
    plain(":status", "404"),
    plain(":status", "500"),
    plain("accept-charset", ""),
    plain("accept-encoding", "gzip, deflate"),
    plain("accept-language", ""),
    plain("accept-ranges", ""),
    plain("accept", ""),
    plain("access-control-allow-origin", ""),
    plain("age", ""),
    plain("allow", ""),
    plain("authorization", ""),
    plain("cache-control", ""),
    plain("content-disposition", ""),
    plain("content-encoding", ""),
    plain("content-language", ""),
    known("content-length", KnownName::ContentLength),
    plain("content-location", ""),
    plain("content-range", ""),
    plain("content-type", ""),
    known("cookie", KnownName::Cookie),
    known("date", KnownName::Date),
    plain("etag", ""),
    known("expect", KnownName::Expect),
    plain("expires", ""),
    plain("from", ""),
    known("host", KnownName::Host),
    plain("if-match", ""),
    plain("if-modified-since", ""),
    plain("if-none-match", ""),
    plain("if-range", ""),
    plain("if-unmodified-since", ""),
    plain("last-modified", ""),
    plain("link", ""),
    plain("location", ""),
    known("max-forwards", KnownName::MaxForwards),
    plain("proxy-authenticate", ""),
    plain("proxy-authorization", ""),
    plain("range", ""),
    known("referer", KnownName::Referer),
    plain("refresh", ""),
    plain("retry-after", ""),
    known("server", KnownName::Server),
    known("set-cookie", KnownName::SetCookie),
    plain("strict-transport-security", ""),
    known("transfer-encoding", KnownName::TransferEncoding),
    known("user-agent", KnownName::UserAgent),
    plain("vary", ""),
    plain("via", ""),
    plain("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found() {
        for index in 1..=LAST_STATIC {
            let field = field(index).unwrap();
            let first = find_name(field.name, hash_name(field.name)).unwrap();
            assert_eq!(find_value(first, field.value), Some(index));
            assert_eq!(field.known, KnownName::of(field.name));
            let upper = field.name.to_ascii_uppercase();
            assert_eq!(find_name(&upper, hash_name(&upper)), Some(first));
        }
        assert!(field(0).is_none());
        assert!(field(LAST_STATIC + 1).is_none());
    }

    #[test]
    fn other_names_and_values_are_not_found() {
        for name in ["", ":", "x", "accep", "accept-", ":protocol", "x-forwarded-for"] {
            assert_eq!(find_name(name.as_bytes(), hash_name(name.as_bytes())), None);
        }
        for hash in 0..SLOT_COUNT as u32 {
            assert_eq!(find_name(b"nowhere", hash), None);
        }
        assert_eq!(find_value(METHOD, b"PUT"), None);
        assert_eq!(find_value(STATUS, b"201"), None);
        assert_eq!(find_value(1, b"GET"), None);
    }
}
