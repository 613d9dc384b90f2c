//! Which fields are worth a place in the peer's table, and which must not have one (RFC 7541 §7.1).

use crate::proto::fields::MIN_INDEXED_COOKIE_BYTES;
use crate::proto::h2::hpack::static_table::METHOD;
use crate::proto::h2::hpack::static_table::PATH;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexing {
    /// The same for many messages: into the table at first sight.
    Stable,
    /// Depends on who asks, or unknown: into the table at the second sight.
    Repeated,
    /// Rarely the same twice.
    Volatile,
    /// A secret: nobody on the way may index it, or it could be guessed by its compression.
    Never,
}

/// By the first static index of the name, when it has one.
pub(super) fn usual(static_name: Option<u32>, value: &[u8]) -> Indexing {
    let policy = static_name.and_then(|index| POLICIES.get(index as usize));
    match policy {
        // A long cookie cannot be guessed, and is worth the most.
        Some(_) if static_name == Some(COOKIE) && value.len() < MIN_INDEXED_COOKIE_BYTES => Indexing::Never,
        Some(policy) => *policy,
        None => Indexing::Repeated,
    }
}

const COOKIE: u32 = 32;

/// By static index.
const POLICIES: [Indexing; 62] = policies();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn policies() -> [Indexing; 62] {
    let mut policies = [Indexing::Repeated; 62];
    // Authority, method, scheme and status; then accept-ranges, allow, cache-control, content-encoding,
    // content-language, content-type, date, server, strict-transport-security, vary and via. The date is
    // the same for all messages of a second.
    let stable = [1, METHOD, 6, 8, 18, 22, 24, 26, 27, 31, 33, 54, 56, 59, 60];
    // Path, age, content-length, -location and -range, etag, the conditions, last-modified, location, range
    // and refresh.
    let volatile = [PATH, 21, 28, 29, 30, 34, 39, 40, 41, 42, 43, 44, 46, 50, 52];
    // Authorization, proxy-authorization, set-cookie.
    let never = [23, 49, 55];
    let mut at = 0;
    while at < stable.len() {
        policies[stable[at] as usize] = Indexing::Stable;
        policies[volatile[at] as usize] = Indexing::Volatile;
        policies[never[at % never.len()]] = Indexing::Never;
        at += 1;
    }
    policies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::name_hash::hash_name;
    use crate::proto::h2::hpack::static_table::find_name;

    #[test]
    fn every_kind_has_its_names() {
        let check = |name: &str, value: &str, expected| {
            let index = find_name(name.as_bytes(), hash_name(name.as_bytes()));
            assert_eq!(usual(index, value.as_bytes()), expected, "{name}: {value}");
        };
        for name in [
            ":authority",
            ":method",
            ":scheme",
            ":status",
            "accept-ranges",
            "allow",
            "cache-control",
            "content-encoding",
            "content-language",
            "content-type",
            "date",
            "server",
            "strict-transport-security",
            "vary",
            "via",
        ] {
            check(name, "x", Indexing::Stable);
        }
        for name in [
            ":path",
            "age",
            "content-length",
            "content-location",
            "content-range",
            "etag",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "last-modified",
            "location",
            "range",
            "refresh",
        ] {
            check(name, "x", Indexing::Volatile);
        }
        for name in ["authorization", "proxy-authorization", "set-cookie", "cookie"] {
            check(name, "x", Indexing::Never);
        }
        for name in ["user-agent", "accept", "accept-encoding", "x-anything", "te", "referer"] {
            check(name, "x", Indexing::Repeated);
        }
        check("cookie", "session=0123456789abcdef", Indexing::Repeated);
    }
}
