//! The header before the connection, in pieces.

use ringway::proto::proxy_protocol::parse::HeaderParse;
use ringway::proto::proxy_protocol::parse::ProxyError;
use ringway::proto::proxy_protocol::parse::parse;

use crate::wire::deliver;

/// The source, and what follows the header.
type Outcome = Result<Option<(String, Vec<u8>)>, ProxyError>;

fn receive(pieces: &[&[u8]]) -> Outcome {
    let mut buffer = Vec::new();
    let mut header = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let (None, HeaderParse::Complete(complete)) = (&header, parse(&buffer)?) {
            header = Some((format!("{:?}", complete.source), complete.length));
        }
    }
    Ok(header.map(|(source, length)| (source, buffer.split_off(length))))
}

fn check(input: &[u8], expected: Result<Option<&str>, ProxyError>) {
    let outcome = deliver(input, receive);
    let outcome = outcome.map(|complete| {
        complete.map(|(source, rest)| {
            assert_eq!(rest, b"GET /", "{}", input.escape_ascii());
            source
        })
    });
    assert_eq!(outcome, expected.map(|source| source.map(str::to_owned)), "{}", input.escape_ascii());
}

#[test]
fn headers_in_pieces() {
    check(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /", Ok(Some("Some(10.0.0.1:1)")));
    check(b"PROXY UNKNOWN\r\nGET /", Ok(Some("None")));
    check(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r", Ok(None));
    check(b"GET / HTTP/1.1\r\n", Err(ProxyError::NoSignature));
    check(b"PROXY TCP5 a b 1 2\r\nGET /", Err(ProxyError::BadLine));
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\x0a\0\0\x01\x0a\0\0\x02\0\x01\0\x02\x04\0\0GET /";
    check(v2, Ok(Some("Some(10.0.0.1:1)")));
    check(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET /", Ok(Some("None")));
    check(b"\r\n\r\n\0\r\nQUIT\n\x31\0\0\0GET /", Err(ProxyError::BadVersion));
}
