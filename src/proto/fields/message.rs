//! From decoded fields to heads and trailers that are known to be well-formed (RFC 9113 §8, RFC 9114 §4). HTTP/2 and HTTP/3
//! have the same rules; sections that are named without their RFC are those of RFC 9113.
//!
//! "Intermediaries that process HTTP requests or responses (i.e., any intermediary not acting as a tunnel)
//! MUST NOT forward a malformed request or response" (§8.1.1). What passes here can be written as
//! HTTP/1.1 and reads the same there.

use crate::http::head::Method;
use crate::http::head::PartialHead;
use crate::http::head::RequestHead;
use crate::http::head::ResponseHead;
use crate::http::head::Target;
use crate::http::head::TargetForm;
use crate::http::head::Version;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::http::trailers::is_forwardable;
use crate::proto::field_lines::write_marked_field;
use crate::proto::fields::list::Fields;
use crate::proto::h1::target::is_authority;

/// No Content-Length.
pub const UNKNOWN_LENGTH: u64 = u64::MAX;

/// Why a message is malformed (RFC 9113 §8.1.1, RFC 9114 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Upper case, or no token.
    FieldName,
    FieldValue,
    /// Connection, Transfer-Encoding and the like (§8.2.2), or TE with other than `trailers`.
    ConnectionField,
    /// Unknown, repeated, behind a field, or of the other kind of message.
    PseudoField,
    MissingPseudoField,
    Method,
    Scheme,
    Path,
    /// The value of `:authority` or Host.
    Authority,
    /// Host differs from `:authority`, or is there twice.
    Host,
    Status,
    /// The value of the field, or it disagrees with what came.
    ContentLength,
    /// Extended CONNECT was not offered, or is not complete (RFC 8441 §4).
    Connect,
    /// Trailers, or a response's head, beyond our limits.
    TooLarge,
}

/// A request, borrowed from the fields that it was decoded to.
pub struct RequestMessage<'h, 'b> {
    pub head: RequestHead<'h, 'b>,
    /// Empty with plain CONNECT.
    pub scheme: &'b [u8],
    /// What an extended CONNECT wants to speak (RFC 8441 §4).
    pub protocol: Option<&'b [u8]>,
}

/// What a connection needs to know of a head that is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) struct CheckedMessage {
    /// [`UNKNOWN_LENGTH`] without the field.
    pub(in crate::proto) content_length: u64,
    /// Of a response.
    pub(in crate::proto) status: u16,
    pub(in crate::proto) is_connect: bool,
}

/// Checks a request's fields. Cookie crumbs are joined into `cookies`, which is left empty when there are
/// not several.
pub(in crate::proto) fn check_request(
    fields: &Fields,
    connect_protocol: bool,
    cookies: &mut Vec<u8>,
) -> Result<CheckedMessage, Malformed> {
    let scan = Scan::of(fields)?;
    let pseudo = &scan.pseudo;
    let method = pseudo.method.ok_or(Malformed::MissingPseudoField)?;
    if pseudo.status.is_some() {
        return Err(Malformed::PseudoField);
    }
    if !is_token(method) {
        return Err(Malformed::Method);
    }
    let is_connect = method == b"CONNECT";
    match pseudo.protocol {
        Some(protocol) if !is_connect || !connect_protocol || !is_token(protocol) => {
            return Err(Malformed::Connect);
        }
        None if is_connect => check_connect(pseudo)?,
        _ => check_target(pseudo, method)?,
    }
    check_authority(pseudo.authority, scan.host)?;
    join_cookies(fields, scan.cookies, cookies);
    let content_length = if is_connect { UNKNOWN_LENGTH } else { scan.content_length };
    Ok(CheckedMessage { content_length, status: 0, is_connect })
}

pub(in crate::proto) fn check_response(fields: &Fields) -> Result<CheckedMessage, Malformed> {
    let scan = Scan::of(fields)?;
    let pseudo = &scan.pseudo;
    let others = [pseudo.method, pseudo.scheme, pseudo.path, pseudo.authority, pseudo.protocol];
    if others.iter().any(Option::is_some) {
        return Err(Malformed::PseudoField);
    }
    let status = parse_status(pseudo.status.ok_or(Malformed::MissingPseudoField)?)?;
    Ok(CheckedMessage { content_length: scan.content_length, status, is_connect: false })
}

/// "Trailers MUST NOT include pseudo-header fields" (§8.1).
pub(in crate::proto) fn check_trailers(fields: &Fields) -> Result<(), Malformed> {
    for decoded in fields.iter() {
        if decoded.name.first() == Some(&b':') {
            return Err(Malformed::PseudoField);
        }
        check_field(&decoded)?;
    }
    Ok(())
}

/// The request that these checked fields are, into a list that the caller lends.
///
/// Host is the first field and is the authority that is meant. Several cookies are one field.
pub(in crate::proto) fn request<'h, 'b>(
    fields: &'b Fields,
    cookies: &'b [u8],
    headers: &'h mut Headers<'b>,
    version: Version,
) -> RequestMessage<'h, 'b> {
    headers.clear();
    let mut pseudo = Pseudo::default();
    let mut has_cookies = false;
    for field in fields.iter() {
        let Field { name, value, known, .. } = field;
        let field = match known {
            _ if name.first() == Some(&b':') => {
                if pseudo.take(name, value).is_ok() && name == b":authority" {
                    Field { name: b"host", known: KnownName::Host, ..field }
                } else {
                    continue;
                }
            }
            KnownName::Host if pseudo.authority.is_some() => continue,
            KnownName::Cookie if has_cookies => continue,
            KnownName::Cookie => {
                has_cookies = true;
                if cookies.is_empty() {
                    field
                } else {
                    // One of several has no representation of its own any more.
                    let is_sensitive = fields.iter().any(|field| field.known == known && field.is_sensitive);
                    Field { value: cookies, is_sensitive, ..field }
                }
            }
            _ => field,
        };
        // There are no more fields than were decoded, which the limits keep below the list's length.
        let pushed = headers.push(field);
        debug_assert!(pushed.is_ok());
    }
    let method = Method::from_bytes(pseudo.method.unwrap_or_default());
    let authority = pseudo.authority.unwrap_or_default();
    let (raw, form) = match pseudo.path {
        None => (authority, TargetForm::Authority),
        Some(b"*") => (&b"*"[..], TargetForm::Asterisk),
        Some(path) => (path, TargetForm::Origin),
    };
    let target = Target { raw, form, path_and_query: raw };
    let head = RequestHead { method, target, version, headers };
    RequestMessage { head, scheme: pseudo.scheme.unwrap_or_default(), protocol: pseudo.protocol }
}

/// What these fields say of a request that is refused, for the log alone.
pub(in crate::proto) fn partial_head(fields: &Fields, version: Version) -> PartialHead<'_> {
    let mut head = PartialHead { version: version.as_str(), ..PartialHead::default() };
    for field in fields.iter() {
        let Field { name, value, .. } = field;
        match name {
            b":method" => head.method = value,
            b":path" => head.target = value,
            b":authority" => head.host = value,
            _ => head.note(&field),
        }
    }
    head
}

/// The response that these checked fields are, into a list that the caller lends.
pub(in crate::proto) fn response<'h, 'b>(
    fields: &'b Fields,
    headers: &'h mut Headers<'b>,
    version: Version,
) -> ResponseHead<'h, 'b> {
    headers.clear();
    let mut status = 0;
    for field in fields.iter() {
        if field.name.first() == Some(&b':') {
            status = parse_status(field.value).unwrap_or(status);
        } else {
            let pushed = headers.push(field);
            debug_assert!(pushed.is_ok());
        }
    }
    ResponseHead { status, reason: b"", version, headers }
}

/// Writes checked trailers as field lines, but not those that may not stand behind a body.
pub fn write_trailers(fields: &Fields, out: &mut Vec<u8>) {
    for field in fields.iter().filter(|field| is_forwardable(field.name)) {
        write_marked_field(out, &field);
    }
}

#[derive(Default)]
struct Pseudo<'f> {
    method: Option<&'f [u8]>,
    scheme: Option<&'f [u8]>,
    path: Option<&'f [u8]>,
    authority: Option<&'f [u8]>,
    protocol: Option<&'f [u8]>,
    status: Option<&'f [u8]>,
}

impl<'f> Pseudo<'f> {
    /// "The same pseudo-header field name MUST NOT appear more than once in a field block" (§8.3).
    fn take(&mut self, name: &[u8], value: &'f [u8]) -> Result<(), Malformed> {
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":protocol" => &mut self.protocol,
            b":status" => &mut self.status,
            _ => return Err(Malformed::PseudoField),
        };
        if slot.replace(value).is_some() { Err(Malformed::PseudoField) } else { Ok(()) }
    }
}

/// One walk over a head.
struct Scan<'f> {
    pseudo: Pseudo<'f>,
    host: Option<&'f [u8]>,
    content_length: u64,
    cookies: usize,
}

impl<'f> Scan<'f> {
    fn of(fields: &'f Fields) -> Result<Scan<'f>, Malformed> {
        let mut scan =
            Scan { pseudo: Pseudo::default(), host: None, content_length: UNKNOWN_LENGTH, cookies: 0 };
        let mut is_behind = false;
        for field in fields.iter() {
            if field.name.first() == Some(&b':') {
                // "All pseudo-header fields MUST appear in a field block before all regular field lines."
                if is_behind {
                    return Err(Malformed::PseudoField);
                }
                scan.pseudo.take(field.name, field.value)?;
            } else {
                is_behind = true;
                check_field(&field)?;
                scan.note(&field)?;
            }
        }
        Ok(scan)
    }

    fn note(&mut self, field: &Field<'f>) -> Result<(), Malformed> {
        match field.known {
            KnownName::Host if self.host.replace(field.value).is_some() => return Err(Malformed::Host),
            KnownName::Cookie => self.cookies += 1,
            KnownName::ContentLength if self.content_length != UNKNOWN_LENGTH => {
                return Err(Malformed::ContentLength);
            }
            KnownName::ContentLength => self.content_length = parse_length(field.value)?,
            _ => {}
        }
        Ok(())
    }
}

/// A regular field alone (§8.2.1 and §8.2.2).
fn check_field(field: &Field<'_>) -> Result<(), Malformed> {
    if field.name.is_empty() || !field.name.iter().all(|&byte| is_name_byte(byte)) {
        return Err(Malformed::FieldName);
    }
    if field.known.is_hop_by_hop() && !(field.known == KnownName::Te && field.value == b"trailers") {
        return Err(Malformed::ConnectionField);
    }
    // Every control character, as in HTTP/1.1. No early exit, so that the loop is done on whole vectors.
    let is_bad = |bad: bool, &byte: &u8| bad | (byte < b' ' && byte != b'\t') | (byte == 0x7f);
    let is_padded = matches!(field.value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
    if is_padded || field.value.iter().fold(false, is_bad) { Err(Malformed::FieldValue) } else { Ok(()) }
}

/// "The ":scheme" and ":path" pseudo-header fields MUST be omitted" (§8.5).
fn check_connect(pseudo: &Pseudo<'_>) -> Result<(), Malformed> {
    if pseudo.scheme.is_some() || pseudo.path.is_some() {
        return Err(Malformed::PseudoField);
    }
    let authority = pseudo.authority.ok_or(Malformed::MissingPseudoField)?;
    let port = authority.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let has_port = port > 0 && authority.iter().rev().nth(port) == Some(&b':');
    if has_port { Ok(()) } else { Err(Malformed::Authority) }
}

/// "All HTTP/2 requests MUST include exactly one valid value for the ":method", ":scheme", and ":path"
/// pseudo-header fields" (§8.3.1). Which schemes are served is not asked here, but only those of HTTP are
/// known to have an authority and a path like this.
fn check_target(pseudo: &Pseudo<'_>, method: &[u8]) -> Result<(), Malformed> {
    let scheme = pseudo.scheme.ok_or(Malformed::MissingPseudoField)?;
    if !scheme.eq_ignore_ascii_case(b"https") && !scheme.eq_ignore_ascii_case(b"http") {
        return Err(Malformed::Scheme);
    }
    let path = pseudo.path.ok_or(Malformed::MissingPseudoField)?;
    // As strict as for the target of HTTP/1.1, into which it goes.
    let is_bad = |bad: bool, &byte: &u8| bad | !(0x21..0x7f).contains(&byte) | (byte == b'#');
    let is_asterisk = path == b"*" && method == b"OPTIONS";
    let is_fine = path.first() == Some(&b'/') && !path.iter().fold(false, is_bad);
    if is_fine || is_asterisk { Ok(()) } else { Err(Malformed::Path) }
}

/// "A server SHOULD treat a request as malformed if it contains a Host header field that identifies an entity
/// that differs from the entity in the ":authority" pseudo-header field" (§8.3.1).
fn check_authority(authority: Option<&[u8]>, host: Option<&[u8]>) -> Result<(), Malformed> {
    let meant = authority.or(host).ok_or(Malformed::MissingPseudoField)?;
    if !is_authority(meant) {
        return Err(Malformed::Authority);
    }
    let agrees = host.is_none_or(|host| host.eq_ignore_ascii_case(meant));
    if agrees { Ok(()) } else { Err(Malformed::Host) }
}

/// "If there are multiple Cookie header fields after decompression, these MUST be concatenated into a single
/// octet string using the two-octet delimiter of 0x3b, 0x20" (§8.2.3).
fn join_cookies(fields: &Fields, count: usize, cookies: &mut Vec<u8>) {
    cookies.clear();
    if count < 2 {
        return;
    }
    for crumb in fields.iter().filter(|field| field.known == KnownName::Cookie && !field.value.is_empty()) {
        if !cookies.is_empty() {
            cookies.extend_from_slice(b"; ");
        }
        cookies.extend_from_slice(crumb.value);
    }
}

/// Three digits from 100 on. "HTTP/2 does not support the 101 (Switching Protocols) informational status
/// code" (§8.6).
fn parse_status(value: &[u8]) -> Result<u16, Malformed> {
    let &[a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = value else {
        return Err(Malformed::Status);
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    let status = digit(a) * 100 + digit(b) * 10 + digit(c);
    if status == 101 { Err(Malformed::Status) } else { Ok(status) }
}

/// `1*DIGIT` below 2^64-1.
fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    let digit = |length: u64, &byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    };
    let length = value.iter().try_fold(0, digit).filter(|&length| length != UNKNOWN_LENGTH);
    length.filter(|_| !value.is_empty()).ok_or(Malformed::ContentLength)
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| byte.is_ascii_uppercase() || is_name_byte(byte))
}

/// A character of a token (RFC 9110 §5.6.2) that is not in upper case.
fn is_name_byte(byte: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and get_mut is not const")]
    const NAME_BYTES: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = b'a';
        while byte <= b'z' {
            table[byte as usize] = true;
            byte += 1;
        }
        let others = b"0123456789!#$%&'*+-.^_`|~";
        let mut place = 0;
        while place < others.len() {
            table[others[place] as usize] = true;
            place += 1;
        }
        table
    };
    NAME_BYTES.get(usize::from(byte)).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fields::list::FieldLimits;
    use crate::proto::h2::hpack::decoder::Decoder;
    use crate::proto::h2::hpack::encoder::Encoder;

    /// Literals without names from the table, so that nothing is put in order.
    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut block = Vec::new();
        for (name, value) in list {
            block.extend([0, name.len() as u8]);
            block.extend(name.bytes());
            block.push(value.len() as u8);
            block.extend(value.bytes());
        }
        let mut fields = Fields::new();
        let limits = FieldLimits { max_bytes: 9999, max_fields: 50 };
        Decoder::new().decode(&block, &limits, &mut fields).unwrap();
        fields
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "a.example")];

    fn with(first: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]) -> Fields {
        fields(&[first, more].concat())
    }

    fn verdict(fields: &Fields) -> Result<u64, Malformed> {
        check_request(fields, true, &mut Vec::new()).map(|checked| checked.content_length)
    }

    #[test]
    fn fields_of_requests() {
        let check = |more: &[(&'static str, &'static str)], expected: Result<u64, Malformed>| {
            assert_eq!(verdict(&with(&GET, more)), expected, "{more:?}");
        };
        let fine = Ok(UNKNOWN_LENGTH);
        check(&[], fine);
        check(&[("accept", "a\tb\u{e4}"), ("x", ""), ("te", "trailers")], fine);
        check(&[("content-length", "12")], Ok(12));
        for value in ["", "+1", "1,1", "18446744073709551615", " 1"] {
            let fault = if value == " 1" { Malformed::FieldValue } else { Malformed::ContentLength };
            check(&[("content-length", value)], Err(fault));
        }
        check(&[("content-length", "1"), ("content-length", "1")], Err(Malformed::ContentLength));
        for name in ["Accept", "a b", "", "a:", "a\r", "a\0", "\u{e4}"] {
            check(&[(name, "x")], Err(Malformed::FieldName));
        }
        for value in ["a\r\nb: c", "a\nb", "a\0", " a", "a ", "\ta", "a\x7f", "\x01"] {
            check(&[("a", value)], Err(Malformed::FieldValue));
        }
        for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
            check(&[(name, "a")], Err(Malformed::ConnectionField));
        }
        check(&[("te", "gzip")], Err(Malformed::ConnectionField));
        check(&[("te", "trailers, gzip")], Err(Malformed::ConnectionField));
        check(&[("host", "A.example")], fine);
        check(&[("host", "b.example")], Err(Malformed::Host));
        check(&[("host", "a.example"), ("host", "a.example")], Err(Malformed::Host));
        check(&[("a", "b"), (":protocol", "c")], Err(Malformed::PseudoField));
        for name in [":status", ":other", ":", ":Method"] {
            check(&[(name, "200")], Err(Malformed::PseudoField));
        }
        for (name, value) in GET {
            check(&[(name, value)], Err(Malformed::PseudoField));
        }
    }

    #[test]
    fn pseudo_fields_of_requests() {
        let check = |list: [&'static str; 5], expected: Result<(), Malformed>| {
            let names = [":method", ":scheme", ":path", ":authority", ":protocol"];
            let present = names.into_iter().zip(list).filter(|(_, value)| *value != "-");
            let fields = fields(&present.collect::<Vec<_>>());
            assert_eq!(verdict(&fields).map(|_| ()), expected, "{list:?}");
        };
        check(["GET", "http", "/", "a", "-"], Ok(()));
        check(["get", "HTTPS", "//a", "[::1]:8", "-"], Ok(()));
        check(["OPTIONS", "http", "*", "a", "-"], Ok(()));
        check(["-", "http", "/", "a", "-"], Err(Malformed::MissingPseudoField));
        check(["GET", "-", "/", "a", "-"], Err(Malformed::MissingPseudoField));
        check(["GET", "http", "-", "a", "-"], Err(Malformed::MissingPseudoField));
        check(["GET", "http", "/", "-", "-"], Err(Malformed::MissingPseudoField));
        check(["", "http", "/", "a", "-"], Err(Malformed::Method));
        check(["G T", "http", "/", "a", "-"], Err(Malformed::Method));
        check(["GET", "ftp", "/", "a", "-"], Err(Malformed::Scheme));
        for path in ["", "*", "a", "http://a/", "/ HTTP/1.1\r\nX: y", "/a b", "/a#b", "/\u{e4}", "/\0"] {
            check(["GET", "http", path, "a", "-"], Err(Malformed::Path));
        }
        for authority in ["", "u@a", "a\r\nX: y", "a/b", "a b"] {
            check(["GET", "http", "/", authority, "-"], Err(Malformed::Authority));
        }
        check(["CONNECT", "-", "-", "a:443", "-"], Ok(()));
        check(["CONNECT", "-", "-", "a", "-"], Err(Malformed::Authority));
        check(["CONNECT", "-", "-", "-", "-"], Err(Malformed::MissingPseudoField));
        check(["CONNECT", "http", "-", "a:1", "-"], Err(Malformed::PseudoField));
        check(["CONNECT", "-", "/", "a:1", "-"], Err(Malformed::PseudoField));
        check(["CONNECT", "https", "/chat", "a", "websocket"], Ok(()));
        check(["CONNECT", "-", "/chat", "a", "websocket"], Err(Malformed::MissingPseudoField));
        check(["GET", "https", "/chat", "a", "websocket"], Err(Malformed::Connect));
        check(["CONNECT", "https", "/chat", "a", "web socket"], Err(Malformed::Connect));
        let extended = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", "a"),
        ];
        let refused = check_request(&fields(&extended), false, &mut Vec::new());
        assert_eq!(refused, Err(Malformed::Connect));
    }

    #[test]
    fn heads_read_like_those_of_http1() {
        let list = with(&GET, &[("cookie", "a=1"), ("host", "a.example"), ("b", "c"), ("cookie", "d=2")]);
        let (mut cookies, mut headers) = (Vec::new(), Headers::new());
        check_request(&list, false, &mut cookies).unwrap();
        let request = request(&list, &cookies, &mut headers, Version::Http3);
        assert_eq!(request.head.version, Version::Http3);
        assert_eq!(request.head.method, Method::Get);
        assert_eq!(request.head.target.path_and_query, b"/a?b");
        assert_eq!((request.scheme, request.protocol), (&b"https"[..], None));
        let fields = request.head.headers.iter().map(|field| (field.name, field.value));
        let expected: [(&[u8], &[u8]); 3] = [(b"host", b"a.example"), (b"cookie", b"a=1; d=2"), (b"b", b"c")];
        assert!(fields.eq(expected));
    }

    #[test]
    fn responses_and_trailers() {
        let check = |list: &[(&str, &str)], expected: Result<u16, Malformed>| {
            assert_eq!(check_response(&fields(list)).map(|checked| checked.status), expected, "{list:?}");
        };
        check(&[(":status", "204"), ("a", "b")], Ok(204));
        check(&[(":status", "999")], Ok(999));
        for status in ["", "20", "2000", "099", "20x", "101", "+20"] {
            check(&[(":status", status)], Err(Malformed::Status));
        }
        check(&[("a", "b")], Err(Malformed::MissingPseudoField));
        check(&[(":status", "200"), (":path", "/")], Err(Malformed::PseudoField));
        check(&[("a", "b"), (":status", "200")], Err(Malformed::PseudoField));
        assert_eq!(check_trailers(&fields(&[("a", "b"), ("c", "")])), Ok(()));
        assert_eq!(check_trailers(&fields(&[(":status", "200")])), Err(Malformed::PseudoField));
        assert_eq!(check_trailers(&fields(&[("A", "b")])), Err(Malformed::FieldName));
        assert_eq!(check_trailers(&fields(&[("upgrade", "b")])), Err(Malformed::ConnectionField));
    }

    #[test]
    fn a_response_is_built() {
        let mut block = Vec::new();
        let mut encoder = Encoder::new(4096);
        let mut writer = encoder.block(&mut block);
        writer.field(b":status", b"404");
        writer.field(b"Server", b"x");
        let mut fields = Fields::new();
        let limits = FieldLimits { max_bytes: 9999, max_fields: 50 };
        Decoder::new().decode(&block, &limits, &mut fields).unwrap();
        let mut headers = Headers::new();
        let head = response(&fields, &mut headers, Version::Http2);
        assert_eq!((head.status, head.headers.len()), (404, 1));
        assert!(head.headers.find(KnownName::Server).is_some());
    }
}
