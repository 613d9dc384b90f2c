//! How long the body of a message is (RFC 9112 §6.3), and whether its sender waits for a word first.

use crate::http::body::BodyLength;
use crate::http::head::RequestHead;
use crate::http::head::ResponseHead;
use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::http::headers::list_elements;

/// What delimits the body on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// Exactly this many bytes; may be zero. A head that is passed on should carry this number, not
    /// the digits that were received: `007` is valid.
    Length(u64),
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

impl Framing {
    pub fn body_length(self) -> BodyLength {
        match self {
            Framing::Empty => BodyLength::Empty,
            Framing::Length(length) => BodyLength::Exact(length),
            Framing::Chunked | Framing::UntilClose => BodyLength::Unknown,
        }
    }
}

/// The sender of the head contradicts itself, or asks for what Ringway does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    LengthWithCoding,
    BadLength,
    RepeatedLength,
    /// Not a list of transfer codings that ends with one `chunked`.
    BadCoding,
    /// A valid list, but of other codings than `chunked` alone.
    UnknownCoding,
    /// RFC 9112 §6.1: HTTP/1.0 has no Transfer-Encoding, so the framing is faulty even if it parses.
    CodingInHttp10,
    /// Anything but `100-continue` (RFC 9110 §10.1.1).
    UnknownExpectation,
    TooManyConnectionOptions,
}

impl FramingError {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            FramingError::LengthWithCoding => "content_length_with_transfer_encoding",
            FramingError::BadLength => "bad_content_length",
            FramingError::RepeatedLength => "repeated_content_length",
            FramingError::BadCoding => "bad_transfer_encoding",
            FramingError::UnknownCoding => "unknown_transfer_encoding",
            FramingError::CodingInHttp10 => "transfer_encoding_in_http10",
            FramingError::UnknownExpectation => "unknown_expectation",
            FramingError::TooManyConnectionOptions => "too_many_connection_options",
        }
    }

    /// The status that a client gets for such a request. A backend's fault is always a 502.
    pub fn status(self) -> u16 {
        match self {
            FramingError::UnknownCoding => 501,
            FramingError::UnknownExpectation => 417,
            _ => 400,
        }
    }
}

/// The framing of a request's body (RFC 9112 §6.3, cases 3 to 7).
///
/// Stricter than it must be in two places: Transfer-Encoding with Content-Length is refused, and so
/// are repeated lengths even when they agree (RFC 9110 §8.6 leaves both to the recipient).
pub fn request_framing(head: &RequestHead<'_, '_>) -> Result<Framing, FramingError> {
    declared_framing(head.version, head.headers).map(|declared| declared.unwrap_or(Framing::Empty))
}

/// The framing of a response's body (RFC 9112 §6.3), refused as strictly as a request's.
///
/// After a 101 the connection is no longer HTTP, and after a 2xx to CONNECT it is a tunnel: the first
/// is [`Framing::Empty`] here, the second never happens because CONNECT is never sent upstream.
pub fn response_framing(
    head: &ResponseHead<'_, '_>,
    request_was_head: bool,
) -> Result<Framing, FramingError> {
    if matches!(head.status, 100..=199 | 204) {
        return Ok(Framing::Empty);
    }
    // To HEAD and with 304, the fields only tell what would be there, but they are passed on.
    let declared = declared_framing(head.version, head.headers)?;
    if request_was_head || head.status == 304 {
        return Ok(Framing::Empty);
    }
    Ok(declared.unwrap_or(Framing::UntilClose))
}

/// Whether the client waits for `100 (Continue)` before it sends the body (RFC 9110 §10.1.1). In
/// HTTP/1.0 the field means nothing.
pub fn expects_continue(head: &RequestHead<'_, '_>) -> Result<bool, FramingError> {
    if head.version == Version::Http10 {
        return Ok(false);
    }
    let fields = head.headers.find_all(KnownName::Expect);
    let mut expectations = fields.flat_map(|field| list_elements(field.value)).peekable();
    let expects = expectations.peek().is_some();
    match expectations.all(|expectation| expectation.eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(expects),
        false => Err(FramingError::UnknownExpectation),
    }
}

/// What Content-Length and Transfer-Encoding say; `None` when neither is there.
fn declared_framing(version: Version, headers: &Headers<'_>) -> Result<Option<Framing>, FramingError> {
    let mut lengths = headers.find_all(KnownName::ContentLength);
    let length = lengths.next();
    if headers.find(KnownName::TransferEncoding).is_some() {
        if length.is_some() {
            return Err(FramingError::LengthWithCoding);
        }
        if version == Version::Http10 {
            return Err(FramingError::CodingInHttp10);
        }
        return check_codings(headers).map(|()| Some(Framing::Chunked));
    }
    let Some(length) = length else {
        return Ok(None);
    };
    if lengths.next().is_some() {
        return Err(FramingError::RepeatedLength);
    }
    parse_length(length.value).map(|length| Some(Framing::Length(length)))
}

/// `1*DIGIT` within 64 bits (RFC 9110 §8.6): no sign, no space, no list.
fn parse_length(value: &[u8]) -> Result<u64, FramingError> {
    let digit = |length: u64, &byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    };
    let length = value.iter().try_fold(0, digit).ok_or(FramingError::BadLength)?;
    if value.is_empty() { Err(FramingError::BadLength) } else { Ok(length) }
}

/// Accepts `chunked` alone, in any case. Everything else is told apart only to answer it rightly:
///
/// - `chunked` is not last, stands twice, an element is not a bare token, or there are several fields:
///   "the message body length cannot be determined reliably; the server MUST respond with the 400 (Bad Request) status code"
///   (RFC 9112 §6.3). Empty elements count as that: senders must not make them, and a hop that reads
///   `,chunked` as an unknown coding sees another body.
/// - codings before a last `chunked`: 501 (RFC 9112 §6.1).
fn check_codings(headers: &Headers<'_>) -> Result<(), FramingError> {
    let mut fields = headers.find_all(KnownName::TransferEncoding);
    let only = fields.next().filter(|_| fields.next().is_none());
    if only.is_some_and(|field| field.value.eq_ignore_ascii_case(b"chunked")) {
        return Ok(());
    }
    let mut chunked = false;
    for field in headers.find_all(KnownName::TransferEncoding) {
        for coding in field.value.split(|&byte| byte == b',').map(trim) {
            if chunked || !is_token(coding) {
                return Err(FramingError::BadCoding);
            }
            chunked = coding.eq_ignore_ascii_case(b"chunked");
        }
    }
    Err(if chunked && only.is_some() { FramingError::UnknownCoding } else { FramingError::BadCoding })
}

/// Without the optional whitespace around it (RFC 9110 §5.6.3).
pub(in crate::proto) fn trim(element: &[u8]) -> &[u8] {
    let mut rest = element;
    while let [b' ' | b'\t', after @ ..] | [after @ .., b' ' | b'\t'] = rest {
        rest = after;
    }
    rest
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::h1::head::HeadLimits;
    use crate::proto::h1::head::Parse;
    use crate::proto::h1::head::parse_request;

    #[test]
    fn requests() {
        fn check(fields: &[(&str, &str)], expected: Result<Framing, FramingError>) {
            let actual = declared_framing(Version::Http11, &Headers::of(fields));
            assert_eq!(actual.map(|declared| declared.unwrap_or(Framing::Empty)), expected, "{fields:?}");
        }
        let length = |value| [("Content-Length", value)];
        check(&[], Ok(Framing::Empty));
        check(&length("0"), Ok(Framing::Length(0)));
        check(&length("007"), Ok(Framing::Length(7)));
        check(&length("18446744073709551615"), Ok(Framing::Length(u64::MAX)));
        for value in
            ["", "+1", "-1", "1 1", "1,1", "1, 2", "0x1", "1.0", "1e3", "18446744073709551616", "1;a"]
        {
            check(&length(value), Err(FramingError::BadLength));
        }
        check(&[("Content-Length", "5"), ("content-length", "5")], Err(FramingError::RepeatedLength));
        check(&[("Content-Length", "5"), ("Content-Length", "6")], Err(FramingError::RepeatedLength));
        let coding = |value| [("Transfer-Encoding", value)];
        check(&coding("chunked"), Ok(Framing::Chunked));
        check(&coding("cHUNKED"), Ok(Framing::Chunked));
        for value in ["gzip, chunked", "gzip,\tchunked", "identity, chunked", "a,b,Chunked"] {
            check(&coding(value), Err(FramingError::UnknownCoding));
        }
        for value in [
            "",
            "gzip",
            "identity",
            "xchunked",
            "chunked;foo",
            "chunked;q=1",
            "\"chunked\"",
            "chunked,",
            ",chunked",
            "chunked, chunked",
            "chunked, gzip",
            "chunked gzip",
            "gzip;a=b, chunked",
            "chun ked",
            "chunked\u{e4}",
            "gzip,,chunked",
            "gzip, chunked, chunked",
            "'chunked'",
            "chunked ,identity",
        ] {
            check(&coding(value), Err(FramingError::BadCoding));
        }
        let te = |value| ("Transfer-Encoding", value);
        check(&[te("chunked"), te("chunked")], Err(FramingError::BadCoding));
        check(&[te("gzip"), te("chunked")], Err(FramingError::BadCoding));
        check(&[te("chunked"), te("identity")], Err(FramingError::BadCoding));
        check(&[te("chunked"), ("Content-Length", "0")], Err(FramingError::LengthWithCoding));
        check(&[("Content-Length", "x"), te("gzip")], Err(FramingError::LengthWithCoding));
        let in_http10 = declared_framing(Version::Http10, &Headers::of(&[te("chunked")]));
        assert_eq!(in_http10, Err(FramingError::CodingInHttp10));
    }

    #[test]
    fn responses() {
        fn check(status: u16, head: bool, field: (&str, &str), expected: Result<Framing, FramingError>) {
            let mut headers = Headers::of(&[field]);
            let response =
                ResponseHead { status, reason: b"", version: Version::Http11, headers: &mut headers };
            assert_eq!(response_framing(&response, head), expected, "{status} {head} {field:?}");
        }
        let length = ("Content-Length", "5");
        check(200, false, length, Ok(Framing::Length(5)));
        check(200, true, length, Ok(Framing::Empty));
        for status in [100, 101, 103, 204, 304] {
            check(status, false, length, Ok(Framing::Empty));
        }
        check(200, false, ("A", "b"), Ok(Framing::UntilClose));
        check(404, false, ("Transfer-Encoding", "chunked"), Ok(Framing::Chunked));
        check(200, false, ("Transfer-Encoding", "gzip"), Err(FramingError::BadCoding));
        check(200, false, ("Content-Length", "5, 5"), Err(FramingError::BadLength));
    }

    #[test]
    fn expectations() {
        fn check(version: &str, value: &str, expected: Result<bool, FramingError>) {
            let input = format!("POST / {version}\r\nHost: a\r\n{value}\r\n\r\n");
            let limits = HeadLimits { max_header_bytes: 1024, max_headers: 9, max_uri_bytes: 9 };
            let mut headers = Headers::new();
            let Ok(Parse::Complete { head, .. }) = parse_request(input.as_bytes(), &limits, &mut headers)
            else {
                panic!("{input}");
            };
            assert_eq!(expects_continue(&head), expected, "{input}");
        }
        check("HTTP/1.1", "A: b", Ok(false));
        check("HTTP/1.1", "Expect: 100-Continue", Ok(true));
        check("HTTP/1.0", "Expect: 100-continue", Ok(false));
        check("HTTP/1.1", "Expect: 200-ok", Err(FramingError::UnknownExpectation));
        check("HTTP/1.1", "Expect: 100-continue, a", Err(FramingError::UnknownExpectation));
    }
}
