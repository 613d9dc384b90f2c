//! Slow and obvious readings of the same syntax, for fuzzing and tests to compare the codec with.
//!
//! Each `fuzz_*` function takes any bytes and panics when the codec breaks a promise.

use crate::http::head::Method;
use crate::http::head::TargetForm;
use crate::http::head::Version;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::proto::field_lines::write_end;
use crate::proto::field_lines::write_field;
use crate::proto::h1::chunked::ChunkedDecoder;
use crate::proto::h1::chunked::MAX_EXTENSION_BYTES;
use crate::proto::h1::connection_options::ConnectionOptions;
use crate::proto::h1::error::ChunkError;
use crate::proto::h1::error::HeadError;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::framing::is_token;
use crate::proto::h1::framing::request_framing;
use crate::proto::h1::framing::trim;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;
use crate::proto::h1::head::parse_request;
use crate::proto::h1::head::parse_response;
use crate::proto::h1::head::write_request_line;
use crate::proto::h1::head::write_status_line;
use crate::proto::h1::target::is_authority;
use crate::proto::h1::target::parse_target;
use crate::proto::h1::trailers::MAX_TRAILER_BYTES;
use crate::proto::h1::trailers::TrailerSection;

/// A request head is read as [`read_request`] reads it, cut anywhere; what is written reads the same.
/// A response head reads the same cut anywhere.
pub fn fuzz_head(bytes: &[u8]) {
    let whole = request_text(bytes, &LIMITS);
    let expected = read_request(bytes);
    assert_eq!(whole.as_ref().ok().and_then(Option::as_ref), expected.as_ref());
    let first = (0..=bytes.len())
        .map(|cut| request_text(start_of(bytes, cut), &LIMITS))
        .find(|text| *text != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole);
    if let Some((_, text)) = expected {
        assert_eq!(
            request_text(&text, &WIDER_LIMITS).map(|parsed| parsed.map(|(_, text)| text)),
            Ok(Some(text))
        );
    }
    let whole = response_text(bytes, &LIMITS);
    let first = (0..=bytes.len())
        .map(|cut| response_text(start_of(bytes, cut), &LIMITS))
        .find(|text| *text != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole);
    if let Ok(Some((_, text))) = whole {
        assert_eq!(
            response_text(&text, &WIDER_LIMITS).map(|parsed| parsed.map(|(_, text)| text)),
            Ok(Some(text))
        );
    }
}

/// Whatever field lines a request has, its framing is what exactly one plain field says, and no field
/// that belongs to one hop is passed on.
pub fn fuzz_framing(bytes: &[u8]) {
    let input = [b"POST / HTTP/1.1\r\nHost: a\r\n", bytes, b"\r\n\r\n"].concat();
    let mut headers = Headers::new();
    let Ok(Parse::Complete { head, .. }) = parse_request(&input, &LIMITS, &mut headers) else {
        return;
    };
    let values = |name: &str| -> Vec<&[u8]> {
        let same = |field: &&Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
        head.headers.iter().filter(same).map(|field| field.value).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match request_framing(&head) {
        Ok(Framing::Empty) => assert!(lengths.is_empty() && codings.is_empty()),
        Ok(Framing::Length(length)) => {
            assert!(codings.is_empty() && lengths.len() == 1);
            assert!(lengths.concat().iter().all(u8::is_ascii_digit));
            assert_eq!(String::from_utf8_lossy(&lengths.concat()).parse(), Ok(length));
        }
        Ok(Framing::Chunked) => {
            assert!(lengths.is_empty() && codings.len() == 1);
            assert_eq!(codings.concat().to_ascii_lowercase(), b"chunked");
        }
        Ok(Framing::UntilClose) => panic!("a request ends where its head says"),
        Err(_) => assert!(!lengths.is_empty() || !codings.is_empty()),
    }
    let Ok(options) = ConnectionOptions::parse(head.headers) else {
        return;
    };
    options.remove_hop_by_hop(head.headers, None);
    assert!(head.headers.iter().all(|field| !field.known.is_hop_by_hop()));
    assert_eq!(head.headers.find_all(KnownName::Host).count(), 1);
}

/// A chunked body decodes as [`read_chunked`] reads it, whole and in pieces whose sizes the first
/// byte chooses.
pub fn fuzz_chunked(bytes: &[u8]) {
    let Some((&seed, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = decode_in_pieces(bytes, usize::MAX);
    assert_eq!(whole.as_ref().ok().filter(|decoded| decoded.finished), read_chunked(bytes).as_ref());
    for piece in [1, 2 + usize::from(seed % 32), 1 + bytes.len() / 2] {
        assert_eq!(decode_in_pieces(bytes, piece), whole, "in pieces of {piece}");
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    body: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    finished: bool,
}

fn decode_in_pieces(bytes: &[u8], piece: usize) -> Result<Decoded, ChunkError> {
    let mut decoder = ChunkedDecoder::new();
    let mut decoded = Decoded { body: Vec::new(), trailers: Vec::new(), consumed: 0, finished: false };
    for piece in bytes.chunks(piece) {
        let mut received = piece.to_vec();
        let progress = decoder.decode(&mut received)?;
        assert!(progress.finished || progress.consumed == piece.len());
        assert!(progress.body.end <= progress.consumed);
        decoded
            .body
            .extend_from_slice(received.get(progress.body).expect("the body is in what was received"));
        decoded.consumed += progress.consumed;
        decoded.finished = progress.finished;
    }
    if decoded.finished {
        decoded.trailers.extend_from_slice(decoder.trailers());
    }
    Ok(decoded)
}

/// RFC 9112 §7.1 line by line; `None` when the body is not complete or not valid.
fn read_chunked(bytes: &[u8]) -> Option<Decoded> {
    let mut rest = bytes;
    let mut body = Vec::new();
    let mut extension_bytes = 0;
    loop {
        let (line, after) = split_line(rest)?;
        let (digits, extension) = match line.iter().position(|&byte| byte == b';') {
            Some(at) => line.split_at(at),
            None => (line, &[][..]),
        };
        extension_bytes += extension.len().saturating_sub(1);
        let valid = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
        if !valid || extension.iter().any(is_control) || extension_bytes > usize::from(MAX_EXTENSION_BYTES) {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            rest = after;
            break;
        }
        let (chunk, after) = after.split_at_checked(usize::try_from(size).ok()?)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
    let section = rest;
    let mut trailers = TrailerSection::default();
    loop {
        let (line, after) = split_line(rest)?;
        rest = after;
        if line.is_empty() {
            break;
        }
        read_field(line)?;
    }
    let section = start_of(section, section.len() - rest.len());
    for &byte in section {
        trailers.take(byte).ok()?;
    }
    let consumed = bytes.len() - rest.len();
    let fits = section.len() <= MAX_TRAILER_BYTES;
    fits.then(|| Decoded { body, trailers: trailers.lines().to_vec(), consumed, finished: true })
}

/// The length of the head and the head as it would be written, from the codec.
fn request_text(bytes: &[u8], limits: &HeadLimits) -> Result<Option<(usize, Vec<u8>)>, HeadError> {
    let mut headers = Headers::new();
    let Parse::Complete { head, length } = parse_request(bytes, limits, &mut headers)? else {
        return Ok(None);
    };
    // HTTP/1.0 without Host would not read the same written as HTTP/1.1: say where it came from.
    let host = head.version == Version::Http10 && head.headers.find(KnownName::Host).is_none();
    let mut text = Vec::new();
    write_request_line(&mut text, &head.method, head.target.path_and_query);
    for field in head.headers.iter() {
        write_field(&mut text, field.name, field.value);
    }
    if host {
        write_field(&mut text, b"Host", b"none");
    }
    write_end(&mut text);
    Ok(Some((length, text)))
}

/// The same by RFC 9112 §§2–5 line by line; `None` when the head is not complete or not valid.
fn read_request(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut rest = bytes;
    for _ in 0..4 {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    let start = rest;
    let (line, after) = split_line(rest)?;
    rest = after;
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let &[method, target, version] = words.as_slice() else {
        return None;
    };
    let (major, minor) = version.split_at_checked(7)?;
    let [minor @ b'0'..=b'9'] = minor else {
        return None;
    };
    if major != b"HTTP/1." || !is_token(method) || !target.iter().all(|byte| (0x21..0x7f).contains(byte)) {
        return None;
    }
    let method = Method::from_bytes(method);
    let target = parse_target(&method, target).ok()?;
    let mut fields = Vec::new();
    loop {
        let (line, after) = split_line(rest)?;
        rest = after;
        if line.is_empty() {
            break;
        }
        fields.push(read_field(line)?);
    }
    let length = bytes.len() - rest.len();
    let too_large = start.len() - rest.len() > LIMITS.max_header_bytes || fields.len() > LIMITS.max_headers;
    if too_large || target.raw.len() > LIMITS.max_uri_bytes {
        return None;
    }
    let is_host = |name: &[u8]| name.eq_ignore_ascii_case(b"host");
    let hosts: Vec<_> = fields.iter().filter(|(name, _)| is_host(name)).map(|&(_, value)| value).collect();
    let absolute = match target.form {
        TargetForm::Absolute { authority } => Some(authority),
        _ => None,
    };
    match hosts.as_slice() {
        [] if *minor != b'0' => return None,
        [] => fields.push((b"Host", absolute.unwrap_or(b"none"))),
        [host] if is_authority(host) || (host.is_empty() && absolute.is_some()) => {}
        [b""] if *minor == b'0' => {
            fields.retain(|(name, _)| !is_host(name));
            fields.push((b"Host", b"none"));
        }
        _ => return None,
    }
    let mut text = Vec::new();
    write_request_line(&mut text, &method, target.path_and_query);
    for (name, value) in fields {
        write_field(&mut text, name, absolute.filter(|_| is_host(name)).unwrap_or(value));
    }
    write_end(&mut text);
    Some((length, text))
}

fn response_text(bytes: &[u8], limits: &HeadLimits) -> Result<Option<(usize, Vec<u8>)>, HeadError> {
    let mut headers = Headers::new();
    let Parse::Complete { head, length } = parse_response(bytes, limits, &mut headers)? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    write_status_line(&mut text, head.status, head.reason);
    for field in head.headers.iter() {
        write_field(&mut text, field.name, field.value);
    }
    write_end(&mut text);
    Ok(Some((length, text)))
}

/// A line without its CRLF, and what follows. A CR or LF that is not part of a CRLF makes it invalid.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (line, rest) = bytes.split_at_checked(end)?;
    (!line.iter().any(|byte| matches!(byte, b'\r' | b'\n'))).then_some((line, rest.strip_prefix(b"\r\n")?))
}

fn read_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(line.iter().position(|&byte| byte == b':')?)?;
    let value = trim(value.strip_prefix(b":")?);
    (is_token(name) && !value.iter().any(is_control)).then_some((name, value))
}

fn is_control(byte: &u8) -> bool {
    (*byte < b' ' && *byte != b'\t') || *byte == 0x7f
}

fn start_of(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

const LIMITS: HeadLimits = HeadLimits { max_header_bytes: 512, max_headers: 8, max_uri_bytes: 96 };

/// A head may grow when it is written: by spaces, a reason phrase and a Host field.
const WIDER_LIMITS: HeadLimits = HeadLimits { max_header_bytes: 1024, max_headers: 9, max_uri_bytes: 96 };

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [&str; 6] = [
        "GET /a?b HTTP/1.1\r\nHost: a:80\r\nA:\r\nB: c d \t\r\n\r\nrest",
        "\r\nOPTIONS * HTTP/1.2\r\nHost: [::1]\r\n\r\n",
        "GET http://b/ HTTP/1.0\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nC:d\r\n\r\n",
        "HTTP/1.0 404\r\n\r\n",
    ];

    const FIELDS: [&str; 4] = [
        "Content-Length: 10\r\nConnection: close, a\r\nA: b",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 1",
        "Content-Length: 5\r\nContent-Length: 5\r\nConnection: Host",
    ];

    const BODIES: [&str; 4] = [
        "x3\r\nabc\r\nA;e=\"f\"\r\n0123456789\r\n0\r\n\r\nrest",
        "y1\r\na\r\n0;l\r\nA: b\r\nHost: c\r\nD:\r\n\r\n",
        "z00\r\n\r\n",
        "u1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
    ];

    /// Every input with every byte left out, replaced and doubled by a troublesome one.
    fn for_each_mutation(seeds: &[&str], promise: fn(&[u8])) {
        for seed in seeds {
            promise(seed.as_bytes());
            for at in 0..seed.len() {
                let (before, after) = seed.as_bytes().split_at(at);
                let (_, without) = after.split_at(1);
                promise(&[before, without].concat());
                for &byte in b"\r\n\0\t :;,/*#09fZx_\x7f\x80\xff-+" {
                    promise(&[before, &[byte], without].concat());
                    promise(&[before, &[byte], after].concat());
                }
                promise(&[before, b"\r\n", after].concat());
            }
        }
    }

    #[test]
    fn mutated_heads() {
        for_each_mutation(&HEADS, fuzz_head);
    }

    #[test]
    fn mutated_fields() {
        for_each_mutation(&FIELDS, fuzz_framing);
    }

    #[test]
    fn mutated_chunks() {
        for_each_mutation(&BODIES, fuzz_chunked);
    }
}
