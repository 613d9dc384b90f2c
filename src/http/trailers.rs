//! Which fields may stand behind a body.

use crate::http::headers::KnownName;

/// "A sender MUST NOT generate a trailer field unless the sender knows the corresponding header field
/// name's definition permits sending it in trailers" and intermediaries drop those for framing,
/// routing, authentication, request modifiers, response controls or content format (RFC 9110 §6.5.1).
/// Whatever Ringway itself acts on in a head, it does not let through after the body either, but an `X-Request-ID`, which
/// it acts on only where that is configured.
pub fn is_forwardable(name: &[u8]) -> bool {
    let starts_with =
        |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    matches!(KnownName::of(name), KnownName::Other | KnownName::XRequestId)
        && !FORBIDDEN_NAMES.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        && (!FORBIDDEN_PREFIXES.iter().any(starts_with) || name.eq_ignore_ascii_case(b"content-digest"))
}

const FORBIDDEN_PREFIXES: [&[u8]; 7] =
    [b"content-", b"if-", b"proxy-", b"x-forwarded-", b"x_forwarded_", b"sec-", b"access-control-"];

const FORBIDDEN_NAMES: [&[u8]; 22] = [
    b"age",
    b"authentication-info",
    b"authorization",
    b"cache-control",
    b"cookie",
    b"expires",
    b"forwarded",
    b"location",
    b"max-forwards",
    b"origin",
    b"pragma",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"set-cookie2",
    b"strict-transport-security",
    b"vary",
    b"via",
    b"warning",
    b"www-authenticate",
    b"accept-ranges",
    b"http2-settings",
];
