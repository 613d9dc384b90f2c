//! A connection full of requests, received and written on.

use ringway::http::headers::Headers;
use ringway::proto::field_lines::write_end;
use ringway::proto::field_lines::write_field;
use ringway::proto::h1::body::BodyDecoder;
use ringway::proto::h1::chunked::ChunkHeader;
use ringway::proto::h1::chunked::write_last_chunk;
use ringway::proto::h1::connection_options::ConnectionOptions;
use ringway::proto::h1::framing::Framing;
use ringway::proto::h1::framing::expects_continue;
use ringway::proto::h1::framing::request_framing;
use ringway::proto::h1::head::HeadLimits;
use ringway::proto::h1::head::Parse;
use ringway::proto::h1::head::parse_request;
use ringway::proto::h1::head::write_request_line;

use crate::smuggling_corpus::Expected;
use crate::smuggling_corpus::SMUGGLED;
use crate::smuggling_corpus::attempts;
use crate::wire::deliver;

/// What a connection came to: the requests as they would be passed on, and why it went no further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Received {
    requests: Vec<String>,
    fault: Option<(u16, &'static str)>,
}

const LIMITS: HeadLimits = HeadLimits { max_header_bytes: 1024, max_headers: 16, max_uri_bytes: 256 };
const MAX_BODY_BYTES: u64 = 64;

#[derive(Default)]
struct Connection {
    buffer: Vec<u8>,
    /// The request whose body is coming in.
    body: Option<(Vec<u8>, Framing, Vec<u8>, BodyDecoder)>,
    received: Received,
}

impl Connection {
    fn receive(pieces: &[&[u8]]) -> Received {
        let mut connection = Connection::default();
        for piece in pieces {
            connection.buffer.extend_from_slice(piece);
            if let Err(fault) = connection.advance() {
                connection.received.fault = Some(fault);
                break;
            }
        }
        connection.received
    }

    fn advance(&mut self) -> Result<(), (u16, &'static str)> {
        loop {
            if self.body.is_none() && !self.advance_head()? {
                return Ok(());
            }
            let Some((_, _, content, decoder)) = &mut self.body else { continue };
            let progress =
                decoder.decode(&mut self.buffer).map_err(|error| (error.status(), error.reason()))?;
            content.extend_from_slice(&self.buffer[progress.body.clone()]);
            assert!(progress.finished || progress.consumed == self.buffer.len());
            self.buffer.drain(..progress.consumed);
            if !progress.finished {
                return Ok(());
            }
            if let Some((head, framing, content, decoder)) = self.body.take() {
                let message = write_message(head, framing, &content, decoder.trailers());
                self.received.requests.push(String::from_utf8_lossy(&message).into_owned());
            }
        }
    }

    /// Whether a head was there.
    fn advance_head(&mut self) -> Result<bool, (u16, &'static str)> {
        let mut headers = Headers::new();
        let parsed = parse_request(&self.buffer, &LIMITS, &mut headers);
        let Parse::Complete { head, length } = parsed.map_err(|error| (error.status(), error.reason()))?
        else {
            return Ok(false);
        };
        let framing = request_framing(&head).map_err(|error| (error.status(), error.reason()))?;
        expects_continue(&head).map_err(|error| (error.status(), error.reason()))?;
        let options =
            ConnectionOptions::parse(head.headers).map_err(|error| (error.status(), error.reason()))?;
        options.remove_hop_by_hop(head.headers, None);
        let mut out = Vec::new();
        write_request_line(&mut out, &head.method, head.target.path_and_query);
        for field in head.headers.iter() {
            write_field(&mut out, field.name, field.value);
        }
        let decoder = BodyDecoder::new(framing, Some(MAX_BODY_BYTES));
        let decoder = decoder.map_err(|error| (error.status(), error.reason()))?;
        drop(headers);
        self.buffer.drain(..length);
        self.body = Some((out, framing, Vec::new(), decoder));
        Ok(true)
    }
}

fn write_message(mut head: Vec<u8>, framing: Framing, content: &[u8], trailers: &[u8]) -> Vec<u8> {
    let chunked = framing == Framing::Chunked;
    if chunked {
        write_field(&mut head, b"Transfer-Encoding", b"chunked");
    }
    write_end(&mut head);
    if chunked && !content.is_empty() {
        head.extend_from_slice(ChunkHeader::new(content.len()).as_bytes());
        head.extend_from_slice(content);
        head.extend_from_slice(b"\r\n");
    } else {
        head.extend_from_slice(content);
    }
    if chunked {
        write_last_chunk(&mut head, trailers);
    }
    head
}

fn check(input: &[u8], requests: &[&str], fault: Option<(u16, &'static str)>) {
    let received = deliver(input, Connection::receive);
    let expected = Received { requests: requests.iter().map(ToString::to_string).collect(), fault };
    assert_eq!(received, expected, "{}", input.escape_ascii());
    // What is passed on is received as the same requests, and passed on the same.
    let passed_on = received.requests.concat();
    let again = Connection::receive(&[passed_on.as_bytes()]);
    assert_eq!(again, Received { fault: None, ..received });
}

#[test]
fn pipelined_requests_of_every_framing() {
    check(
        b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n\
          POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
          \r\nPOST /3 HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nConnection: x\r\nX: y\r\n\r\n\
          3\r\nabc\r\n00A;e=f\r\n0123456789\r\n0\r\nHost: evil\r\nT: u\r\n\r\n\
          POST http://b/4?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n\
          OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        &[
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST /3 HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             d\r\nabc0123456789\r\n0\r\nT: u\r\n\r\n",
            "POST /4?q HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
        None,
    );
}

#[test]
fn limits_are_met_at_the_same_byte() {
    let uri = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "u".repeat(256));
    check(uri.as_bytes(), &[], Some((414, "uri_too_long")));
    let fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(16));
    check(fields.as_bytes(), &[], Some((400, "too_many_headers")));
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "b".repeat(1024));
    check(head.as_bytes(), &[], Some((400, "header_too_large")));
    let faulty_beyond = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\0\r\n\r\n", "b".repeat(1024));
    check(faulty_beyond.as_bytes(), &[], Some((400, "header_too_large")));
    check(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n", &[], Some((413, "body_too_large")));
    check(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n40\r\n",
        &[],
        Some((413, "body_too_large")),
    );
    check(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", &[], Some((417, "unknown_expectation")));
}

#[test]
fn smuggling_is_refused() {
    let attempts = attempts();
    let refused = attempts.iter().filter(|attempt| attempt.expected != Expected::Forwarded);
    assert!(refused.count() >= 80);
    for attempt in attempts {
        let input = [&attempt.bytes, SMUGGLED].concat();
        let received = deliver(&input, Connection::receive);
        let smuggled = received.requests.iter().any(|request| request.starts_with("GET /smuggled"));
        let outcome = match received.fault {
            Some((status, _)) => Expected::Refused(status),
            None => Expected::Forwarded,
        };
        assert_eq!(outcome, attempt.expected, "{}: {received:?}", attempt.name);
        assert_eq!(smuggled, outcome == Expected::Forwarded, "{}: {received:?}", attempt.name);
        assert_eq!(received.requests.len(), if smuggled { 2 } else { 0 }, "{}: {received:?}", attempt.name);
    }
}
