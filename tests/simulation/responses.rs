//! One response at a time, from a backend that may close at any point.

use ringway::http::headers::Headers;
use ringway::proto::h1::body::BodyDecoder;
use ringway::proto::h1::framing::response_framing;
use ringway::proto::h1::head::HeadLimits;
use ringway::proto::h1::head::Parse;
use ringway::proto::h1::head::parse_response;

use crate::wire::deliver;

/// Status, body and what follows the response once the backend has closed; or the fault.
type Outcome = Result<(u16, String, String), &'static str>;

const LIMITS: HeadLimits = HeadLimits { max_header_bytes: 1024, max_headers: 16, max_uri_bytes: 256 };

fn receive(pieces: &[&[u8]], request_was_head: bool) -> Outcome {
    let mut buffer = Vec::new();
    let mut body = String::new();
    let mut in_body: Option<(u16, BodyDecoder)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if in_body.is_none() {
            let mut headers = Headers::new();
            let parsed = parse_response(&buffer, &LIMITS, &mut headers).map_err(|error| error.reason())?;
            let Parse::Complete { head, length } = parsed else { continue };
            let framing = response_framing(&head, request_was_head).map_err(|error| error.reason())?;
            let decoder = BodyDecoder::new(framing, None).map_err(|error| error.reason())?;
            in_body = Some((head.status, decoder));
            drop(headers);
            buffer.drain(..length);
        }
        if let Some((_, decoder)) = &mut in_body {
            let progress = decoder.decode(&mut buffer).map_err(|error| error.reason())?;
            body.push_str(&String::from_utf8_lossy(&buffer[progress.body.clone()]));
            buffer.drain(..progress.consumed);
        }
    }
    let (status, decoder) = in_body.ok_or("no_response")?;
    decoder.finish_at_eof().map_err(|error| error.reason())?;
    Ok((status, body, String::from_utf8_lossy(&buffer).into_owned()))
}

fn check(input: &str, expected: Result<(u16, &str, &str), &'static str>) {
    check_for(input, false, expected);
}

fn check_for(input: &str, request_was_head: bool, expected: Result<(u16, &str, &str), &'static str>) {
    let outcome = deliver(input.as_bytes(), |pieces| receive(pieces, request_was_head));
    let outcome = outcome.as_ref().map(|(status, body, rest)| (*status, &**body, &**rest));
    assert_eq!(outcome.map_err(|&fault| fault), expected, "{input:?}");
}

#[test]
fn bodies_end_where_the_head_says() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, "hello", "")));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world", Ok((200, "hello", ", world")));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Err("truncated_body"));
    check("HTTP/1.1 200 OK\r\n\r\nhello", Ok((200, "hello", "")));
    check("HTTP/1.0 200\r\n\r\n", Ok((200, "", "")));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}2\r\nhe\r\n3;a\r\nllo\r\n0\r\nA: b\r\n\r\n!"), Ok((200, "hello", "!")));
    check(&format!("{chunked}2\r\nhe\r\n3\r\nll"), Err("truncated_body"));
    check(&format!("{chunked}2\r\nhe\r\n0\r\n"), Err("truncated_body"));
    check(&format!("{chunked}2\r\nhell"), Err("bad_chunk_end"));
    for status in [100, 103, 204, 304] {
        check(&format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nHTTP"), Ok((status, "", "HTTP")));
    }
    check_for("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP", true, Ok((200, "", "HTTP")));
}

#[test]
fn faulty_responses() {
    check("", Err("no_response"));
    check("HTTP/1.1 200 OK\r\nA: b\r\n", Err("no_response"));
    check("SSH-2.0-OpenSSH\r\n", Err("bad_status_line"));
    check("HTTP/1.1 200 OK\nA: b\n\n", Err("bare_line_feed"));
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(both, Err("content_length_with_transfer_encoding"));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", Err("bad_content_length"));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Err("bad_transfer_encoding"));
    check("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Err("transfer_encoding_in_http10"));
}
