//! Promises of the ways between versions, for fuzzing and tests.

use crate::http::body::BodyLength;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::head::TargetForm;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::net::buffer::Buffers;
use crate::policy::grpc;
use crate::proto::fields::message::RequestMessage;
use crate::proto::h1::framing::request_framing;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;
use crate::proto::h1::head::parse_request;
use crate::proto::h2::connection::Connection;
use crate::proto::h2::connection::Event;
use crate::proto::h2::frame::PREFACE;
use crate::proto::h2::hpack::fuzz::is_kept_secret;
use crate::proto::h2::settings::Local;
use crate::proto::token_bucket::Resets;
use crate::snapshot::group::Versions;
use crate::upstream::h2::request::Hop;
use crate::upstream::h2::request::RequestText;
use crate::upstream::request::RequestTarget;
use crate::upstream::request::RequestWriter;
use crate::upstream::request::Wording;

/// Whatever header block is a request of HTTP/2: what is written of it for a backend reads as the same request,
/// as HTTP/1.1 and, from there, as HTTP/2. A field that came as never indexed leaves so; the encoder makes
/// such a field of `authorization`, `set-cookie` and short cookies itself, however they came. The first byte chooses
/// whether content follows.
pub fn fuzz_translation(bytes: &[u8]) {
    let Some((&seed, block)) = bytes.split_first() else {
        return;
    };
    let end = seed & 1 != 0;
    let Some(codec) = served(&headers_frame(block, end), WIDE) else {
        return;
    };
    let mut headers = Headers::new();
    let RequestMessage { head, protocol, .. } = codec.request(&mut headers);
    let is_tunnel = protocol == Some(b"websocket");
    // Whatever else CONNECT asks for is not passed on.
    if head.method == Method::Connect && !is_tunnel {
        return;
    }
    head.headers.remove(KnownName::Te);
    let length = if is_tunnel { BodyLength::Empty } else { length_of(&head, end) };
    let asked = Asked { end, is_tunnel, length };
    let method = if is_tunnel { Method::Get } else { head.method };
    let head = RequestHead { method, ..head };
    reads_as_http1(&head, &asked);
    reads_as_http2(&head, &asked);
}

/// What is known of a request beside its head.
struct Asked {
    end: bool,
    is_tunnel: bool,
    length: BodyLength,
}

/// What a request says; names in lower case, and last the fields that every hop writes itself.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    method: Vec<u8>,
    target: Vec<u8>,
    host: Vec<u8>,
    /// Name, value, and whether it must never be indexed.
    fields: Vec<(Vec<u8>, Vec<u8>, bool)>,
}

impl Meaning {
    /// Without the fields that Ringway writes itself.
    fn of_client(head: &RequestHead<'_, '_>) -> Meaning {
        let mut meaning = Meaning::of(head);
        meaning.fields.retain(|(name, ..)| name != b"content-length");
        meaning
    }

    fn of(head: &RequestHead<'_, '_>) -> Meaning {
        let hosts: Vec<_> = head.headers.find_all(KnownName::Host).map(|field| field.value).collect();
        assert!(hosts.len() <= 1, "Host comes {} times", hosts.len());
        let others = head.headers.iter().filter(|field| field.known != KnownName::Host);
        let text_of =
            |field: &Field<'_>| (field.name.to_ascii_lowercase(), field.value.to_vec(), field.is_sensitive);
        Meaning {
            method: head.method.as_bytes().to_vec(),
            target: head.target.path_and_query.to_vec(),
            host: hosts.concat(),
            fields: others.map(text_of).collect(),
        }
    }

    fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Meaning {
        self.fields.push((name.into(), value.as_ref().to_vec(), false));
        self
    }
}

/// The head as it is written for a backend.
fn written(head: &RequestHead<'_, '_>, asked: &Asked, versions: Versions) -> Vec<u8> {
    let host = match head.target.form {
        TargetForm::Absolute { authority } => authority,
        _ => head.headers.find(KnownName::Host).map(|field| field.value).unwrap_or_default(),
    };
    let text = Buffers::default().small();
    let line = RequestTarget { target: head.target.path_and_query, host };
    let writer = RequestWriter::begin(text, head, line, Wording::for_versions(versions), |_| true);
    let request = writer.finish(asked.length, asked.is_tunnel.then_some(b"websocket"));
    request.head().to_vec()
}

fn reads_as_http1(head: &RequestHead<'_, '_>, asked: &Asked) {
    let text = written(head, asked, Versions::Http1);
    let mut headers = Headers::new();
    let parsed = match parse_request(&text, &LIMITS, &mut headers) {
        Ok(Parse::Complete { head, length }) if length == text.len() => head,
        _ => panic!("no head of HTTP/1.1: {:?}", String::from_utf8_lossy(&text)),
    };
    let framing = request_framing(&parsed).map(|framing| framing.body_length());
    assert_eq!(framing.ok(), Some(asked.length));
    let mut expected = Meaning::of_client(head);
    // HTTP/1.1 has no representation of it.
    expected.fields.iter_mut().for_each(|(.., is_sensitive)| *is_sensitive = false);
    let expected = match asked.length {
        BodyLength::Empty => expected,
        BodyLength::Exact(bytes) => expected.with("content-length", bytes.to_string()),
        BodyLength::Unknown => expected.with("transfer-encoding", "chunked"),
    };
    let expected = if asked.is_tunnel {
        expected.with("connection", "upgrade").with("upgrade", "websocket")
    } else {
        expected
    };
    assert_eq!(Meaning::of(&parsed), expected);
}

fn reads_as_http2(head: &RequestHead<'_, '_>, asked: &Asked) {
    let text = written(head, asked, Versions::Http2);
    let request = RequestText::parse(&text).expect("it was written");
    assert_eq!(request.protocol.is_some(), asked.is_tunnel);
    let mut client = Connection::client(Local::default());
    let opened = client.open(request.fields(Hop { scheme: b"https", is_grpc: false }), asked.end);
    assert!(opened.is_ok());
    let mut output = Vec::new();
    client.poll_output(&mut output);
    let frames = output.strip_prefix(PREFACE).expect("a client begins with it");
    let codec = served(frames, WIDER).expect("a request is taken as it was");
    let mut headers = Headers::new();
    let RequestMessage { head: again, protocol, scheme } = codec.request(&mut headers);
    assert_eq!((scheme, protocol.is_some()), (&b"https"[..], asked.is_tunnel));
    let mut expected = Meaning::of_client(head);
    expected.fields.iter_mut().for_each(|(name, value, is_sensitive)| {
        *is_sensitive |= is_kept_secret(name, value);
    });
    if asked.is_tunnel {
        expected.method = b"CONNECT".to_vec();
        expected.fields.retain(|(name, ..)| name != b"sec-websocket-key");
    }
    let expected = match asked.length {
        BodyLength::Exact(bytes) => expected.with("content-length", bytes.to_string()),
        BodyLength::Empty | BodyLength::Unknown => expected,
    };
    let expected = if grpc::is_call(head) { expected.with("te", "trailers") } else { expected };
    assert_eq!(Meaning::of(&again), expected);
}

/// A server that got these frames, if they are a request's head.
fn served(frames: &[u8], local: Local) -> Option<Connection> {
    let mut codec = Connection::server(local);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let input = [&PREFACE[..], &settings, frames].concat();
    let mut rest = input.as_slice();
    loop {
        let received = codec.handle_bytes(rest, 0);
        rest = rest.get(received.consumed..).unwrap_or_default();
        match received.event? {
            Event::Head { .. } => return Some(codec),
            Event::Settings => {}
            _ => return None,
        }
    }
}

fn headers_frame(block: &[u8], end: bool) -> Vec<u8> {
    const MOST: usize = 16_384;
    let block = block.get(..MOST).unwrap_or(block);
    let [_, a, b, c] = (block.len() as u32).to_be_bytes();
    let flags = if end { 5 } else { 4 };
    [&[a, b, c, 1, flags, 0, 0, 0, 1][..], block].concat()
}

/// What the head of the client announces.
fn length_of(head: &RequestHead<'_, '_>, end: bool) -> BodyLength {
    let announced = head.headers.find(KnownName::ContentLength);
    let announced = announced.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    match announced {
        Some(bytes) => BodyLength::Exact(bytes),
        None if end => BodyLength::Empty,
        None => BodyLength::Unknown,
    }
}

const WIDE: Local = Local {
    max_concurrent_streams: 1,
    stream_window_bytes: 65_535,
    connection_window_bytes: 1 << 20,
    max_header_bytes: 1 << 20,
    max_headers: 100,
    resets: Resets { burst: 1, per_second: 1 },
    connect_protocol: true,
    stall_timeout_ms: None,
};

/// What Ringway writes takes more room than what came.
const WIDER: Local = Local { max_headers: 110, ..WIDE };

const LIMITS: HeadLimits = HeadLimits { max_header_bytes: 1 << 21, max_headers: 110, max_uri_bytes: 1 << 20 };

#[cfg(test)]
mod tests {
    use super::*;

    /// A name in upper case stands for a field that must never be indexed.
    fn literal(name: &str, value: &str) -> Vec<u8> {
        let kind = if name.contains(|c: char| c.is_ascii_uppercase()) { 0x10 } else { 0 };
        let name = name.to_ascii_lowercase();
        [&[kind, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    }

    fn block(seed: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let fields = fields.iter().flat_map(|(name, value)| literal(name, value));
        std::iter::once(seed).chain(fields).collect()
    }

    fn seeds() -> [Vec<u8>; 8] {
        let target = [(":scheme", "http"), (":path", "/a?b"), (":authority", "a.b:1")];
        let of = |seed, method: &str, more: &[(&str, &str)]| {
            block(seed, &[&[(":method", method)], &target[..], more].concat())
        };
        [
            of(
                1,
                "GET",
                &[("cookie", "a=1"), ("x", ""), ("cookie", ""), ("te", "trailers"), ("cookie", "b")],
            ),
            of(0, "POST", &[("content-length", "03"), ("expect", "100-continue"), ("host", "a.b:1")]),
            of(0, "POST", &[("content-type", "application/grpc"), ("te", "trailers")]),
            of(
                1,
                "GET",
                &[
                    ("authorization", "Basic YTpi"),
                    ("set-cookie", "a=b"),
                    ("cookie", "a=1"),
                    ("X-Secret", "s"),
                ],
            ),
            of(
                1,
                "GET",
                &[
                    ("Authorization", ""),
                    ("Set-Cookie", "a=b"),
                    ("proxy-authorization", "x"),
                    ("Cookie", "a=1234567890123456789012345"),
                ],
            ),
            of(0, "PUT", &[("a-b_c!", "d\u{e9} \t;\"e")]),
            of(
                0,
                "CONNECT",
                &[(":protocol", "websocket"), ("sec-websocket-key", "k"), ("content-length", "7")],
            ),
            block(1, &[(":method", "OPTIONS"), (":scheme", "https"), (":path", "*"), ("host", "[::1]")]),
        ]
    }

    #[test]
    fn the_seeds_are_requests() {
        for seed in seeds() {
            let (_, block) = seed.split_at(1);
            assert!(served(&headers_frame(block, seed[0] == 1), WIDE).is_some(), "{seed:?}");
            fuzz_translation(&seed);
        }
    }

    #[test]
    fn mutated_blocks() {
        for seed in seeds() {
            for at in 0..seed.len() {
                let (before, after) = seed.split_at(at);
                let (_, without) = after.split_at(1);
                fuzz_translation(before);
                fuzz_translation(&[before, without].concat());
                for &byte in b"\0\x01\x02\x04\x10\r\n\t :;,/*#?@%[]0AZx_\x7f\x80\x82\x83\xbe\xff-+" {
                    fuzz_translation(&[before, &[byte], without].concat());
                    fuzz_translation(&[before, &[byte], after].concat());
                }
            }
        }
    }
}
