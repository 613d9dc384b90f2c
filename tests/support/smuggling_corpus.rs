//! Requests that two hops may read differently, and what Ringway must answer.
//!
//! Each attempt is followed by a complete `GET /smuggled`: a hop that mistakes where the first request
//! ends sees the second one. Only where `expected` is [`Expected::Forwarded`] may it be seen.
//! Used by the codec simulation, and by the hostile tests against a whole process.

pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    /// What the client sends, without the smuggled request.
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Answered with this status and the connection closed; nothing after it is read as a request.
    Refused(u16),
    /// A valid request, whatever it looks like; the next one follows right after it.
    Forwarded,
}

pub(crate) const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) fn attempts() -> Vec<Attempt> {
    let heads = HEADS.iter().map(|&(name, bytes, expected)| (name, bytes.to_vec(), expected));
    let framings = FRAMINGS.iter().map(|&(name, fields, body, expected)| {
        (name, [b"POST / HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n", body].concat(), expected)
    });
    let chunks = CHUNKS.iter().map(|&(name, body, expected)| {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        (name, [&head[..], body].concat(), expected)
    });
    let all = heads.chain(framings).chain(chunks);
    all.map(|(name, bytes, expected)| Attempt { name, bytes, expected }).collect()
}

const BAD: Expected = Expected::Refused(400);
const UNKNOWN: Expected = Expected::Refused(501);
const FINE: Expected = Expected::Forwarded;

/// Whole heads.
const HEADS: &[(&str, &[u8], Expected)] = &[
    ("control: plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", FINE),
    ("control: empty line before", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", FINE),
    ("control: absolute target", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", FINE),
    ("control: tab around value", b"GET / HTTP/1.1\r\nHost:\ta\t\r\n\r\n", FINE),
    ("bare LF: request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", BAD),
    ("bare LF: field line", b"GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", BAD),
    ("bare LF: last field line", b"GET / HTTP/1.1\r\nHost: a\n\r\n", BAD),
    ("bare LF: end of head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", BAD),
    ("bare LF: everywhere", b"GET / HTTP/1.1\nHost: a\n\n", BAD),
    ("bare LF: before", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("bare LF: hides a length", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\nContent-Length: 35\r\n\r\n", BAD),
    ("bare CR: request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", BAD),
    ("bare CR: in value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rContent-Length: 35\r\n\r\n", BAD),
    ("bare CR: in name", b"GET / HTTP/1.1\r\nHost: a\r\nA\r: b\r\n\r\n", BAD),
    ("bare CR: before LF pair", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BAD),
    ("bare CR: at end", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", BAD),
    ("bare CR: before", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("obs-fold: with space", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", BAD),
    ("obs-fold: with tab", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tContent-Length: 35\r\n\r\n", BAD),
    ("obs-fold: first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD),
    ("obs-fold: empty", b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", BAD),
    ("NUL: in name", b"GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n", BAD),
    ("NUL: in value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", BAD),
    ("NUL: in target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("NUL: in method", b"G\0ET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("control byte: VT before value", b"GET / HTTP/1.1\r\nHost: a\r\nA:\x0bb\r\n\r\n", BAD),
    ("control byte: FF after value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\x0c\r\n\r\n", BAD),
    ("control byte: DEL in value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n", BAD),
    ("control byte: ESC in name", b"GET / HTTP/1.1\r\nHost: a\r\nA\x1b: b\r\n\r\n", BAD),
    ("name: space before colon", b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", BAD),
    ("name: tab before colon", b"GET / HTTP/1.1\r\nHost: a\r\nA\t: b\r\n\r\n", BAD),
    ("name: space before Host's colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD),
    ("name: space inside", b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", BAD),
    ("name: empty", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", BAD),
    ("name: no colon", b"GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", BAD),
    ("name: not a token", b"GET / HTTP/1.1\r\nHost: a\r\nA(b): c\r\n\r\n", BAD),
    ("name: not ASCII", b"GET / HTTP/1.1\r\nHost: a\r\nA\xe4: c\r\n\r\n", BAD),
    ("request line: two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("request line: tab", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("request line: space before", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("request line: space after", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BAD),
    ("request line: space in target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("request line: second version", b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("request line: form feed", b"GET /\x0cHTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("method: not a token", b"GE{T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("target: not ASCII", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("target: fragment", b"GET /#/../smuggled HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("target: no slash", b"GET smuggled HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("target: asterisk with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("target: user information", b"GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("target: another scheme", b"GET gopher://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("version: none", b"GET /\r\nHost: a\r\n\r\n", BAD),
    ("version: 0.9", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", BAD),
    ("version: 2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", BAD),
    ("version: preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    ("version: two digits", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", BAD),
    ("version: lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", BAD),
    ("host: missing", b"GET / HTTP/1.1\r\nA: b\r\n\r\n", BAD),
    ("host: missing beside absolute target", b"GET http://a/ HTTP/1.1\r\n\r\n", BAD),
    ("host: repeated alike", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
    ("host: repeated unlike", b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", BAD),
    ("host: list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", BAD),
    ("host: empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", BAD),
    ("host: user information", b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", BAD),
    ("host: path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD),
    ("host: bad port", b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", BAD),
    ("host: open bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BAD),
    ("host: bad beside absolute target", b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
    ("HTTP/1.0: chunked", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    ("garbage: TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
];

/// Field lines after `Host: a`, without the last CRLF, and the body.
const FRAMINGS: &[(&str, &[u8], &[u8], Expected)] = &[
    ("control: length", b"Content-Length: 5", b"hello", FINE),
    ("control: length with zeros", b"Content-Length: 005", b"hello", FINE),
    ("control: chunked", b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n", FINE),
    ("control: chunked in upper case", b"transfer-ENCODING: CHUNKED", b"0\r\n\r\n", FINE),
    ("control: name looks alike", b"Transfer_Encoding: chunked", b"", FINE),
    ("control: nominated length stays", b"Connection: Content-Length\r\nContent-Length: 5", b"hello", FINE),
    ("CL.TE", b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\nG", BAD),
    ("TE.CL", b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"5c\r\n", BAD),
    ("CL.TE: length zero", b"Content-Length: 0\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", BAD),
    ("CL.TE: bad length", b"Content-Length: x\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", BAD),
    ("CL.TE: identity", b"Content-Length: 5\r\nTransfer-Encoding: identity", b"hello", BAD),
    ("CL.CL: unlike", b"Content-Length: 5\r\nContent-Length: 0", b"hello", BAD),
    ("CL.CL: alike", b"Content-Length: 5\r\nContent-Length: 5", b"hello", BAD),
    ("CL: list alike", b"Content-Length: 5, 5", b"hello", BAD),
    ("CL: list unlike", b"Content-Length: 5,0", b"hello", BAD),
    ("CL: plus", b"Content-Length: +5", b"hello", BAD),
    ("CL: minus", b"Content-Length: -5", b"", BAD),
    ("CL: empty", b"Content-Length:", b"", BAD),
    ("CL: hexadecimal", b"Content-Length: 0x5", b"hello", BAD),
    ("CL: point", b"Content-Length: 5.0", b"hello", BAD),
    ("CL: exponent", b"Content-Length: 5e0", b"hello", BAD),
    ("CL: underscore", b"Content-Length: 5_0", b"hello", BAD),
    ("CL: space inside", b"Content-Length: 5 0", b"hello", BAD),
    ("CL: overflow", b"Content-Length: 18446744073709551621", b"hello", BAD),
    ("CL: quoted", b"Content-Length: \"5\"", b"hello", BAD),
    ("CL: VT", b"Content-Length: \x0b5", b"hello", BAD),
    ("CL: other digits", b"Content-Length: \xd9\xa5", b"hello", BAD),
    ("CL: space before colon", b"Content-Length : 5", b"hello", BAD),
    ("CL: folded", b"Content-Length:\r\n 5", b"hello", BAD),
    ("TE: space before colon", b"Transfer-Encoding : chunked", b"0\r\n\r\n", BAD),
    ("TE: tab before colon", b"Transfer-Encoding\t: chunked", b"0\r\n\r\n", BAD),
    ("TE: folded", b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n", BAD),
    ("TE: behind a folded line", b"A: b\r\n\tTransfer-Encoding: chunked", b"0\r\n\r\n", BAD),
    ("TE: VT before", b"Transfer-Encoding:\x0bchunked", b"0\r\n\r\n", BAD),
    ("TE: NUL after", b"Transfer-Encoding: chunked\0", b"0\r\n\r\n", BAD),
    ("TE: bare CR after", b"Transfer-Encoding: chunked\rA: b", b"0\r\n\r\n", BAD),
    ("TE: bare LF before", b"A: b\nTransfer-Encoding: chunked", b"0\r\n\r\n", BAD),
    ("TE: prefixed", b"Transfer-Encoding: xchunked", b"0\r\n\r\n", BAD),
    ("TE: suffixed", b"Transfer-Encoding: chunkedx", b"0\r\n\r\n", BAD),
    ("TE: quoted", b"Transfer-Encoding: \"chunked\"", b"0\r\n\r\n", BAD),
    ("TE: single quotes", b"Transfer-Encoding: 'chunked'", b"0\r\n\r\n", BAD),
    ("TE: parameter", b"Transfer-Encoding: chunked;foo=bar", b"0\r\n\r\n", BAD),
    ("TE: weight", b"Transfer-Encoding: chunked;q=0.5", b"0\r\n\r\n", BAD),
    ("TE: empty", b"Transfer-Encoding:", b"", BAD),
    ("TE: empty element before", b"Transfer-Encoding: ,chunked", b"0\r\n\r\n", BAD),
    ("TE: empty element after", b"Transfer-Encoding: chunked,", b"0\r\n\r\n", BAD),
    ("TE: twice in one", b"Transfer-Encoding: chunked, chunked", b"0\r\n\r\n", BAD),
    ("TE: twice in two", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", BAD),
    (
        "TE.TE: identity after",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"0\r\n\r\n",
        BAD,
    ),
    ("TE.TE: unknown before", b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", BAD),
    ("TE: not last", b"Transfer-Encoding: chunked, gzip", b"0\r\n\r\n", BAD),
    ("TE: identity alone", b"Transfer-Encoding: identity", b"", BAD),
    ("TE: gzip alone", b"Transfer-Encoding: gzip", b"", BAD),
    ("TE: space inside", b"Transfer-Encoding: chun ked", b"0\r\n\r\n", BAD),
    ("TE: two words", b"Transfer-Encoding: chunked identity", b"0\r\n\r\n", BAD),
    ("TE: not ASCII", b"Transfer-Encoding: chunked\xa0", b"0\r\n\r\n", BAD),
    ("TE: unknown, then chunked", b"Transfer-Encoding: foo, chunked", b"0\r\n\r\n", UNKNOWN),
    ("TE: gzip, then chunked", b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n", UNKNOWN),
    ("TE: identity, then chunked", b"Transfer-Encoding: identity, chunked", b"0\r\n\r\n", UNKNOWN),
];

/// Bodies of a chunked request.
const CHUNKS: &[(&str, &[u8], Expected)] = &[
    ("control: chunks", b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", FINE),
    ("control: extension", b"5;a=\"b;c\"\r\nhello\r\n0;d\r\n\r\n", FINE),
    ("control: trailers", b"5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n", FINE),
    ("chunk: bare LF after size", b"5\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: bare LF after data", b"5\r\nhello\n0\r\n\r\n", BAD),
    ("chunk: bare CR after size", b"5\rhello\r\n0\r\n\r\n", BAD),
    ("chunk: two CR after size", b"5\r\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: bare LF in extension", b"5;a\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: bare CR in extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: NUL in extension", b"5;a\0\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: space before size", b" 5\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: space after size", b"5 \r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: space before extension", b"5 ;a\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: tab after size", b"5\t\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: hexadecimal prefix", b"0x5\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: plus", b"+5\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: minus", b"-5\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: underscore", b"0_5\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: no size", b"\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: only an extension", b";a\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: size overflows to 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: many zeros", b"00000000000000005\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: data too long", b"4\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: data too short", b"6\r\nhello\r\n0\r\n\r\n", BAD),
    ("chunk: no end", b"5\r\nhello0\r\n\r\n", BAD),
    ("chunk: two bytes for an end", b"5\r\nhelloXX0\r\n\r\n", BAD),
    ("chunk: not hexadecimal", b"g\r\nhello\r\n0\r\n\r\n", BAD),
    ("last chunk: bare LF", b"0\n\r\n", BAD),
    ("last chunk: bare LF at end", b"0\r\n\n", BAD),
    ("last chunk: bare CR at end", b"0\r\n\rX", BAD),
    ("trailer: space before colon", b"0\r\nA : b\r\n\r\n", BAD),
    ("trailer: no colon", b"0\r\nA\r\n\r\n", BAD),
    ("trailer: folded", b"0\r\nA: b\r\n c\r\n\r\n", BAD),
    ("trailer: bare LF", b"0\r\nA: b\n\r\n", BAD),
    ("trailer: NUL", b"0\r\nA: b\0\r\n\r\n", BAD),
    ("trailer: the next request", b"0\r\n", BAD),
];
