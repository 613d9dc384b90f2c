//! Request and response heads (RFC 9112 §§3–5): parsed in place from received bytes, rewritten.
//!
//! The fast work is done by httparse in one pass; what it lets pass and RFC 9112 does not is refused
//! here. Every outcome depends only on the bytes up to where it is decided, so it is the same however
//! the bytes were cut into reads.

use std::mem::MaybeUninit;

use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::head::ResponseHead;
use crate::http::head::Target;
use crate::http::head::TargetForm;
use crate::http::head::Version;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::http::headers::MAX_FIELDS;
use crate::http::status::reason_phrase;
use crate::proto::h1::error::HeadError;
use crate::proto::h1::target::is_authority;
use crate::proto::h1::target::parse_target;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head: first line, fields and the empty line.
    pub max_header_bytes: usize,
    /// At most [`MAX_FIELDS`]; more than that counts as that.
    pub max_headers: usize,
    /// Bytes of the request target as the client wrote it.
    pub max_uri_bytes: usize,
}

/// What a look at the received bytes gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Parse<T> {
    /// Valid so far; look again when more has come.
    Incomplete,
    /// The first `length` bytes are the head.
    Complete { head: T, length: usize },
}

/// Parses a request head that begins at the first of `bytes`, into a list that the caller lends.
///
/// Up to four empty lines before it are skipped and counted in the length (RFC 9112 §2.2). An absolute
/// target's authority replaces the Host field (RFC 9112 §3.2.2), so that the field is always the host
/// that is meant; only an HTTP/1.0 request can come out without one. Minor versions above 1 count as
/// HTTP/1.1 (RFC 9110 §2.5).
pub fn parse_request<'h, 'b>(
    bytes: &'b [u8],
    limits: &HeadLimits,
    headers: &'h mut Headers<'b>,
) -> Result<Parse<RequestHead<'h, 'b>>, HeadError> {
    headers.clear();
    let rest = skip_empty_lines(bytes)?;
    let head = rest.get(..limits.max_header_bytes).unwrap_or(rest);
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let (slots, _) = slots.split_at_mut(limits.max_headers.min(MAX_FIELDS));
    let mut request = httparse::Request::new(&mut []);
    let (length, version) = match request.parse_with_uninit_headers(head, slots) {
        Ok(httparse::Status::Complete(length)) => (length, minor_version(request.version)),
        Ok(httparse::Status::Partial) => return incomplete_request(&request, head, limits),
        Err(httparse::Error::Version) if later_minor_version(&request, head).is_some() => {
            return parse_later_minor_version(&request, head, limits, headers)
                .map(|parse| parse.after(bytes.len() - rest.len()));
        }
        Err(error) => return Err(request_error(&request, head, limits, error)),
    };
    let line = RequestLine {
        method: request.method.unwrap_or_default(),
        target: request.path.unwrap_or_default(),
        version,
    };
    let head = finish_request(line, request.headers, head.get(..length).unwrap_or(head), headers, limits)?;
    Ok(Parse::Complete { head, length: bytes.len() - rest.len() + length })
}

/// Parses a response head that begins at the first of `bytes`, into a list that the caller lends.
///
/// A status line may lack its reason phrase and the space before it. Nothing may stand before the
/// status line, and only HTTP/1.0 and 1.1 are known. A reason phrase that is not ASCII comes out empty.
pub fn parse_response<'h, 'b>(
    bytes: &'b [u8],
    limits: &HeadLimits,
    headers: &'h mut Headers<'b>,
) -> Result<Parse<ResponseHead<'h, 'b>>, HeadError> {
    headers.clear();
    if bytes.first().is_some_and(|&byte| byte != b'H') {
        return Err(HeadError::BadStatusLine);
    }
    let head = bytes.get(..limits.max_header_bytes).unwrap_or(bytes);
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let (slots, _) = slots.split_at_mut(limits.max_headers.min(MAX_FIELDS));
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let length = match parser.parse_response_with_uninit_headers(&mut response, head, slots) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if head.len() >= limits.max_header_bytes => {
            return Err(HeadError::HeadTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(Parse::Incomplete),
        Err(error) => return Err(fault(error, HeadError::BadStatusLine)),
    };
    let status = response.code.filter(|&code| code >= 100).ok_or(HeadError::BadStatusLine)?;
    take_fields(response.headers, head.get(..length).unwrap_or(head), headers)?;
    let reason = response.reason.unwrap_or_default().as_bytes();
    let head = ResponseHead { status, reason, version: minor_version(response.version), headers };
    Ok(Parse::Complete { head, length })
}

/// Appends `method path_and_query HTTP/1.1`, with the `/` that an empty path stands for (RFC 9112 §3.2.1).
pub fn write_request_line(out: &mut Vec<u8>, method: &Method<'_>, path_and_query: &[u8]) {
    write_request_line_of(out, method, path_and_query, Version::Http11);
}

/// The same in this version of HTTP/1.
pub fn write_request_line_of(
    out: &mut Vec<u8>,
    method: &Method<'_>,
    path_and_query: &[u8],
    version: Version,
) {
    let method = method.as_bytes();
    out.reserve(method.len() + path_and_query.len() + " / HTTP/1.1\r\n".len());
    out.extend_from_slice(method);
    out.push(b' ');
    if path_and_query.first() == Some(&b'?') {
        out.push(b'/');
    }
    out.extend_from_slice(path_and_query);
    let rest = if version == Version::Http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" };
    out.extend_from_slice(rest);
}

/// Appends `HTTP/1.1 status reason`, with the standard phrase when `reason` is empty.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    let reason = if reason.is_empty() { reason_phrase(status).as_bytes() } else { reason };
    let digit = |value: u16| b'0' + (value % 10) as u8;
    let status = [digit(status / 100), digit(status / 10), digit(status), b' '];
    out.reserve("HTTP/1.1 200 \r\n".len() + reason.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&status);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

struct RequestLine<'b> {
    method: &'b str,
    target: &'b str,
    version: Version,
}

impl<T> Parse<T> {
    /// The same, with `skipped` bytes before it.
    fn after(self, skipped: usize) -> Parse<T> {
        match self {
            Parse::Incomplete => Parse::Incomplete,
            Parse::Complete { head, length } => Parse::Complete { head, length: skipped + length },
        }
    }
}

/// "A server that is expecting to receive and parse a request-line SHOULD ignore at least one empty
/// line (CRLF) received prior to the request-line" (RFC 9112 §2.2).
fn skip_empty_lines(bytes: &[u8]) -> Result<&[u8], HeadError> {
    let mut rest = bytes;
    for _ in 0..MAX_EMPTY_LINES {
        match rest.strip_prefix(b"\r\n") {
            Some(after) => rest = after,
            None => break,
        }
    }
    // httparse would skip these without bound.
    match rest {
        [b'\n', ..] => Err(HeadError::BareLineFeed),
        [b'\r', b'\n', ..] => Err(HeadError::BadRequestLine),
        _ => Ok(rest),
    }
}

fn finish_request<'h, 'b>(
    line: RequestLine<'b>,
    parsed: &[httparse::Header<'b>],
    head: &'b [u8],
    headers: &'h mut Headers<'b>,
    limits: &HeadLimits,
) -> Result<RequestHead<'h, 'b>, HeadError> {
    if line.target.len() > limits.max_uri_bytes {
        return Err(HeadError::UriTooLong);
    }
    take_fields(parsed, head, headers)?;
    let method = Method::from_bytes(line.method.as_bytes());
    let target = parse_target(&method, line.target.as_bytes())?;
    settle_host(&target, line.version, headers)?;
    Ok(RequestHead { method, target, version: line.version, headers })
}

/// Moves the fields over, and makes sure that every line of the head ended with CRLF.
fn take_fields<'b>(
    parsed: &[httparse::Header<'b>],
    head: &'b [u8],
    headers: &mut Headers<'b>,
) -> Result<(), HeadError> {
    let start = head.as_ptr().addr();
    for header in parsed {
        // httparse takes LF alone for a line end too. It lets no CR into a line, so the two bytes
        // before a name tell how the line before it ended.
        let name = header.name.as_bytes();
        let before = name.as_ptr().addr().wrapping_sub(start);
        if head.get(before.wrapping_sub(2)..before) != Some(b"\r\n") {
            return Err(HeadError::BareLineFeed);
        }
        headers.push(Field::new(name, header.value)).map_err(|_| HeadError::TooManyFields)?;
    }
    if head.ends_with(b"\r\n\r\n") { Ok(()) } else { Err(HeadError::BareLineFeed) }
}

/// "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that
/// lacks a Host header field and to any request message that contains more than one Host header field
/// line or a Host header field with an invalid field value" (RFC 9112 §3.2).
///
/// An empty value is valid only beside an absolute target, which replaces it.
fn settle_host<'b>(
    target: &Target<'b>,
    version: Version,
    headers: &mut Headers<'b>,
) -> Result<(), HeadError> {
    let mut hosts = headers.find_all(KnownName::Host).map(|field| field.value);
    let (host, repeated) = (hosts.next(), hosts.next().is_some());
    drop(hosts);
    let authority = match target.form {
        TargetForm::Absolute { authority } => Some(authority),
        TargetForm::Origin | TargetForm::Authority | TargetForm::Asterisk => None,
    };
    match host {
        None if version == Version::Http11 => return Err(HeadError::MissingHost),
        None => {}
        Some(_) if repeated => return Err(HeadError::RepeatedHost),
        Some(b"") if authority.is_some() => {}
        // Clients of HTTP/1.0 need to say no host, and this says none.
        Some(b"") if version == Version::Http10 => headers.remove(KnownName::Host),
        Some(host) if !is_authority(host) => return Err(HeadError::BadHost),
        Some(_) => {}
    }
    match authority {
        Some(authority) => headers.set(b"Host", authority).map_err(|_| HeadError::TooManyFields),
        None => Ok(()),
    }
}

/// More bytes are needed, unless those that are here already break a limit.
#[cold]
fn incomplete_request<'b, T>(
    request: &httparse::Request<'_, 'b>,
    head: &'b [u8],
    limits: &HeadLimits,
) -> Result<Parse<T>, HeadError> {
    let full = head.len() >= limits.max_header_bytes;
    let in_target = request.method.is_some() && request.path.is_none();
    if target_so_far(request, head).len() > limits.max_uri_bytes || (full && in_target) {
        return Err(HeadError::UriTooLong);
    }
    if full { Err(HeadError::HeadTooLarge) } else { Ok(Parse::Incomplete) }
}

#[cold]
fn request_error<'b>(
    request: &httparse::Request<'_, 'b>,
    head: &'b [u8],
    limits: &HeadLimits,
    error: httparse::Error,
) -> HeadError {
    let target = target_so_far(request, head);
    if target.len() > limits.max_uri_bytes {
        return HeadError::UriTooLong;
    }
    if error != httparse::Error::Token || request.method.is_none() || target.is_empty() {
        return fault(error, HeadError::BadRequestLine);
    }
    // The target stopped at a byte that httparse took offence at: at its end, or inside it?
    match head.get(offset_in(head, target) + target.len()) {
        Some(b'\r' | b'\n' | b'\t') => HeadError::BadRequestLine,
        _ => HeadError::BadTarget,
    }
}

/// What is there of the target, for a request that httparse did not get through.
fn target_so_far<'b>(request: &httparse::Request<'_, 'b>, head: &'b [u8]) -> &'b [u8] {
    match (request.path, request.method) {
        (Some(path), _) => path.as_bytes(),
        (None, None) => &[],
        (None, Some(method)) => {
            let rest = head.get(method.len() + 1..).unwrap_or_default();
            let end = rest.iter().position(|&byte| byte <= b' ' || byte == 0x7f).unwrap_or(rest.len());
            rest.get(..end).unwrap_or_default()
        }
    }
}

/// What follows an `HTTP/1.2` to `HTTP/1.9` in the request line, if that is what stands there.
fn later_minor_version<'b>(request: &httparse::Request<'_, 'b>, head: &'b [u8]) -> Option<&'b [u8]> {
    let target = request.path?.as_bytes();
    let after_target = head.get(offset_in(head, target) + target.len()..)?;
    let (minor, rest) = after_target.strip_prefix(b" HTTP/1.")?.split_first()?;
    matches!(minor, b'2'..=b'9').then_some(rest)
}

/// "A recipient that receives a message with a major version number that it implements and a minor
/// version number higher than what it implements SHOULD process the message as if it was in the
/// highest minor version within that major version" (RFC 9110 §2.5).
#[cold]
fn parse_later_minor_version<'h, 'b>(
    request: &httparse::Request<'_, 'b>,
    head: &'b [u8],
    limits: &HeadLimits,
    headers: &'h mut Headers<'b>,
) -> Result<Parse<RequestHead<'h, 'b>>, HeadError> {
    if target_so_far(request, head).len() > limits.max_uri_bytes {
        return Err(HeadError::UriTooLong);
    }
    let rest = later_minor_version(request, head).unwrap_or_default();
    let Some(fields) = rest.strip_prefix(b"\r\n") else {
        return match rest {
            [] | [b'\r'] => incomplete_request(request, head, limits),
            [b'\n', ..] => Err(HeadError::BareLineFeed),
            _ => Err(request_error(request, head, limits, httparse::Error::NewLine)),
        };
    };
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let (slots, _) = slots.split_at_mut(limits.max_headers.min(MAX_FIELDS));
    match httparse::parse_headers(fields, slots) {
        Ok(httparse::Status::Partial) => incomplete_request(request, head, limits),
        Err(error) => Err(request_error(request, head, limits, error)),
        Ok(httparse::Status::Complete((fields_length, parsed))) => {
            let line = RequestLine {
                method: request.method.unwrap_or_default(),
                target: request.path.unwrap_or_default(),
                version: Version::Http11,
            };
            let length = head.len() - fields.len() + fields_length;
            let head = finish_request(line, parsed, head.get(..length).unwrap_or(head), headers, limits)?;
            Ok(Parse::Complete { head, length })
        }
    }
}

fn fault(error: httparse::Error, first_line: HeadError) -> HeadError {
    match error {
        httparse::Error::HeaderName => HeadError::BadFieldName,
        httparse::Error::HeaderValue => HeadError::BadFieldValue,
        httparse::Error::NewLine => HeadError::BadLineEnd,
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::Version => HeadError::BadVersion,
        httparse::Error::Token | httparse::Error::Status => first_line,
    }
}

fn minor_version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr())
}

/// RFC 9112 §2.2 wants at least one; some old clients send one after each POST body.
const MAX_EMPTY_LINES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { max_header_bytes: 256, max_headers: 4, max_uri_bytes: 64 };

    /// Method, path and query, host, version; and the length must be the whole input.
    type Request<'a> = (&'a str, &'a str, Option<&'a str>, Version);

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    fn check_request(input: &str, expected: Result<Option<Request<'_>>, HeadError>) {
        let mut headers = Headers::new();
        let parsed = parse_request(input.as_bytes(), &LIMITS, &mut headers);
        let actual = parsed.as_ref().map_err(|&error| error).map(|parse| match parse {
            Parse::Incomplete => None,
            Parse::Complete { head, length } => {
                assert_eq!(*length, input.len(), "{input:?}");
                let host = head.headers.find(KnownName::Host).map(|field| text(field.value));
                let method = text(head.method.as_bytes());
                Some((method, text(head.target.path_and_query), host, head.version))
            }
        });
        assert_eq!(actual, expected, "{input:?}");
    }

    #[test]
    fn requests() {
        let get = |host| Ok(Some(("GET", "/", Some(host), Version::Http11)));
        check_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n", get("a"));
        check_request("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", get("a"));
        check_request("GET / HTTP/1.1\r\nhOST:\t a:80 \t\r\nA:\r\nB: \r\n\r\n", get("a:80"));
        check_request("GET / HTTP/1.2\r\nHost: a\r\n\r\n", get("a"));
        check_request("\r\nGET / HTTP/1.9\r\nHost: a\r\n\r\n", get("a"));
        check_request("GET / HTTP/1.0\r\n\r\n", Ok(Some(("GET", "/", None, Version::Http10))));
        check_request("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", get("b"));
        check_request("GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n", get("b"));
        let absolute = Ok(Some(("GET", "/", Some("b"), Version::Http10)));
        check_request("GET http://b/ HTTP/1.0\r\nA: b\r\n\r\n", absolute);
        let options = Ok(Some(("OPTIONS", "*", Some("a"), Version::Http11)));
        check_request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", options);
        let other = Ok(Some(("m-search!", "/", Some("a"), Version::Http11)));
        check_request("m-search! / HTTP/1.1\r\nHost: a\r\n\r\n", other);
    }

    #[test]
    fn bad_requests() {
        for (input, error) in [
            ("\n", HeadError::BareLineFeed),
            ("\r\n\nGET", HeadError::BareLineFeed),
            ("\r\r\n", HeadError::BadLineEnd),
            ("\r\n\r\n\r\n\r\n\r\n", HeadError::BadRequestLine),
            ("\x16\x03\x01", HeadError::BadRequestLine),
            (" GET", HeadError::BadRequestLine),
            ("G\u{e4}T / ", HeadError::BadRequestLine),
            ("GET\t/", HeadError::BadRequestLine),
            ("GET  /", HeadError::BadRequestLine),
            ("GET /\t", HeadError::BadRequestLine),
            ("GET /\r\n", HeadError::BadRequestLine),
            ("GET /\0", HeadError::BadTarget),
            ("GET /\x7f", HeadError::BadTarget),
            ("GET / \r\nHost:", HeadError::BadVersion),
            ("GET /  HTTP/1.1", HeadError::BadVersion),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeadError::BadVersion),
            ("GET / http/1.1\r\n", HeadError::BadVersion),
            ("GET / HTTP/1.a\r\n", HeadError::BadVersion),
            ("GET / HTTP/0.9\r\n", HeadError::BadVersion),
            ("GET / HTTP/1.1 \r\n", HeadError::BadLineEnd),
            ("GET / HTTP/1.10\r\n", HeadError::BadLineEnd),
            ("GET / HTTP/1.20\r\n", HeadError::BadLineEnd),
            ("GET / HTTP/1.1\rH", HeadError::BadLineEnd),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.2\nHost: a\r\n\r\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.1\r\nA:\nHost: a\r\n\r\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.2\r\nA: \nHost: a\r\n\r\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\rb", HeadError::BadFieldValue),
            ("GET / HTTP/1.1\r\nHost: a\0", HeadError::BadFieldValue),
            ("GET / HTTP/1.1\r\nA: \x7f", HeadError::BadFieldValue),
            ("GET / HTTP/1.1\r\n Host: a", HeadError::BadFieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\n b", HeadError::BadFieldName),
            ("GET / HTTP/1.1\r\nHost : a", HeadError::BadFieldName),
            ("GET / HTTP/1.1\r\n: a", HeadError::BadFieldName),
            ("GET / HTTP/1.1\r\nA\0: a", HeadError::BadFieldName),
            ("GET / HTTP/1.1\r\nHost\r\n", HeadError::BadFieldName),
            ("GET / HTTP/1.1\r\n\r\n", HeadError::MissingHost),
            ("GET http://a/ HTTP/1.1\r\n\r\n", HeadError::MissingHost),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", HeadError::RepeatedHost),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", HeadError::RepeatedHost),
            ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", HeadError::BadHost),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", HeadError::BadHost),
            ("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", HeadError::BadHost),
            ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::BadTarget),
            ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::BadTarget),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::BadTarget),
        ] {
            check_request(input, Err(error));
        }
        let mut headers = Headers::new();
        let not_utf8 = parse_request(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", &LIMITS, &mut headers);
        assert_eq!(not_utf8.err(), Some(HeadError::BadTarget));
    }

    #[test]
    fn request_limits() {
        let long = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "u".repeat(length - 1));
        check_request(&long(65), Err(HeadError::UriTooLong));
        check_request(&format!("GET /{}", "u".repeat(63)), Ok(None));
        check_request(&format!("GET /{}", "u".repeat(64)), Err(HeadError::UriTooLong));
        check_request(&format!("GET /{}\0", "u".repeat(64)), Err(HeadError::UriTooLong));
        check_request(&format!("GET /{} HTTP/1.2\n", "u".repeat(64)), Err(HeadError::UriTooLong));
        let fields = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
        check_request(&fields(4), Ok(Some(("GET", "/", None, Version::Http10))));
        check_request(&fields(5), Err(HeadError::TooManyFields));
        let head = |length: usize| format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", "v".repeat(length - 23));
        check_request(&head(256), Ok(Some(("GET", "/", None, Version::Http10))));
        check_request(&head(257), Err(HeadError::HeadTooLarge));
        check_request(&"A".repeat(256), Err(HeadError::HeadTooLarge));
        // The target alone fills what a whole head may have: it is the target that is too long.
        let limits = HeadLimits { max_uri_bytes: 256, ..LIMITS };
        let input = long(256);
        let mut headers = Headers::new();
        assert_eq!(parse_request(input.as_bytes(), &limits, &mut headers).err(), Some(HeadError::UriTooLong));
    }

    #[test]
    fn an_absolute_target_may_not_overflow_the_list() {
        let input = format!("GET http://b/ HTTP/1.0\r\n{}\r\n", "A:\r\n".repeat(MAX_FIELDS));
        let limits = HeadLimits { max_header_bytes: 4096, max_headers: usize::MAX, max_uri_bytes: 64 };
        let mut headers = Headers::new();
        let parsed = parse_request(input.as_bytes(), &limits, &mut headers);
        assert_eq!(parsed.err(), Some(HeadError::TooManyFields));
    }

    fn check_response(input: &str, expected: Result<Option<(u16, &str, Version, usize)>, HeadError>) {
        let mut headers = Headers::new();
        let parsed = parse_response(input.as_bytes(), &LIMITS, &mut headers);
        let actual = parsed.as_ref().map_err(|&error| error).map(|parse| match parse {
            Parse::Incomplete => None,
            Parse::Complete { head, length } => {
                assert_eq!(*length, input.len(), "{input:?}");
                Some((head.status, text(head.reason), head.version, head.headers.len()))
            }
        });
        assert_eq!(actual, expected, "{input:?}");
    }

    #[test]
    fn responses() {
        check_response("", Ok(None));
        check_response("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", Ok(Some((200, "OK", Version::Http11, 1))));
        check_response("HTTP/1.0 999 \r\n\r\n", Ok(Some((999, "", Version::Http10, 0))));
        check_response("HTTP/1.1 204\r\n\r\n", Ok(Some((204, "", Version::Http11, 0))));
        check_response("HTTP/1.1 200 \u{e4}\r\n\r\n", Ok(Some((200, "", Version::Http11, 0))));
        for (input, error) in [
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", HeadError::BadStatusLine),
            ("<html>", HeadError::BadStatusLine),
            ("HTTP/2.0 200 OK\r\n\r\n", HeadError::BadVersion),
            ("HTTP/1.2 200 OK\r\n\r\n", HeadError::BadVersion),
            ("HTTP/1.1  200 OK\r\n\r\n", HeadError::BadStatusLine),
            ("HTTP/1.1 20 OK\r\n\r\n", HeadError::BadStatusLine),
            ("HTTP/1.1 2000 OK\r\n\r\n", HeadError::BadStatusLine),
            ("HTTP/1.1 099 OK\r\n\r\n", HeadError::BadStatusLine),
            ("HTTP/1.1 200 O\0K\r\n\r\n", HeadError::BadStatusLine),
            ("HTTP/1.1 200 O\rK\r\n\r\n", HeadError::BadStatusLine),
            ("HTTP/1.1 200 OK\n\r\n", HeadError::BareLineFeed),
            ("HTTP/1.1 200\n\r\n", HeadError::BareLineFeed),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n", HeadError::BareLineFeed),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HeadError::BadFieldName),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", HeadError::BadFieldName),
            ("HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", HeadError::BadFieldValue),
        ] {
            check_response(input, Err(error));
        }
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "v".repeat(length - 24));
        check_response(&head(256), Ok(Some((200, "OK", Version::Http11, 1))));
        check_response(&head(257), Err(HeadError::HeadTooLarge));
        let fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(5));
        check_response(&fields, Err(HeadError::TooManyFields));
    }

    #[test]
    fn heads_are_written() {
        let mut out = Vec::new();
        write_request_line(&mut out, &Method::Other(b"PURGE"), b"/a?b");
        write_status_line(&mut out, 404, b"");
        write_status_line(&mut out, 200, b"Fine");
        write_status_line(&mut out, 299, b"");
        assert_eq!(
            text(&out),
            "PURGE /a?b HTTP/1.1\r\nHTTP/1.1 404 Not Found\r\nHTTP/1.1 200 Fine\r\nHTTP/1.1 299 \r\n"
        );
    }
}
