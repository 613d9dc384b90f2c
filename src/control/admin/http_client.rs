//! Calls of the management API over the unix socket: one request, one answer, and the end of the connection.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use crate::control::admin::client;
use crate::control::admin::client::RequestError;
use crate::control::admin::reply::ErrorReply;
use crate::control::json_reader;
use crate::http::headers::Headers;
use crate::proto::h1::head;
use crate::proto::h1::head::HeadLimits;
use crate::proto::h1::head::Parse;

/// What an answer of our own process may be like.
const HEAD_LIMITS: HeadLimits =
    HeadLimits { max_header_bytes: 16 << 10, max_headers: 64, max_uri_bytes: 2 << 10 };

/// What is asked of the API.
#[derive(Clone, Debug, Default)]
pub struct HttpCall<'c> {
    pub method: &'c str,
    /// With its query; every name in it is encoded.
    pub target: String,
    pub content: Option<&'c Json>,
    /// The entity tag that the object must still have.
    pub if_match: Option<&'c str>,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    pub status: u16,
    pub content: Vec<u8>,
}

/// Makes a call to the process whose socket is at `path`.
///
/// # Errors
/// Nobody answers there, or not as Ringway does.
pub fn call(path: &Path, call: &HttpCall<'_>, patience: Duration) -> Result<HttpReply, RequestError> {
    let answer = client::exchange(path, &written(call), patience)?;
    match parsed(&answer) {
        Some(reply) => Ok(reply),
        None => Err(RequestError::strange(path)),
    }
}

fn written(call: &HttpCall<'_>) -> Vec<u8> {
    let HttpCall { method, target, content, if_match } = call;
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if let Some(etag) = if_match {
        text.push_str(&format!("If-Match: {etag}\r\n"));
    }
    let content = content.map(Json::to_string);
    if let Some(content) = &content {
        let length = content.len();
        text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"));
    }
    format!("{text}\r\n{}", content.unwrap_or_default()).into_bytes()
}

/// None: this is no answer. One to a client too many is a line of JSON, which is told as one of HTTP would be.
fn parsed(answer: &[u8]) -> Option<HttpReply> {
    let mut headers = Headers::new();
    if let Ok(Parse::Complete { head, length }) = head::parse_response(answer, &HEAD_LIMITS, &mut headers) {
        let status = head.status;
        return Some(HttpReply { status, content: answer.get(length..)?.to_vec() });
    }
    let rejected: Json = serde_json::from_slice(answer).ok()?;
    let ErrorReply { error } = json_reader::read(&rejected).ok()?;
    let problem = serde_json::json!({ "status": 503, "detail": error, "help": "try again" });
    Some(HttpReply { status: 503, content: problem.to_string().into_bytes() })
}

/// A name as a segment of a path or as a value of a query (RFC 3986 §2.3).
pub fn percent_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_paths_as_one_segment() {
        assert_eq!(percent_encoded("web-1.a_b~"), "web-1.a_b~");
        assert_eq!(percent_encoded("unix:/run/a b.sock"), "unix%3A%2Frun%2Fa%20b.sock");
        assert_eq!(percent_encoded("*ä"), "%2A%C3%A4");
    }

    #[test]
    fn a_call_is_a_request_that_ends_its_connection() {
        let content = serde_json::json!({ "a": 1 });
        let call = HttpCall {
            method: "PATCH",
            target: "/api/v1/rules/a".to_owned(),
            content: Some(&content),
            if_match: Some("\"7\""),
        };
        let text = String::from_utf8(written(&call)).unwrap_or_default();
        assert!(
            text.starts_with("PATCH /api/v1/rules/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
        );
        assert!(text.contains("If-Match: \"7\"\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 7\r\n\r\n{\"a\":1}"), "{text}");
    }

    #[test]
    fn what_comes_back_is_an_answer_or_none() {
        let reply = parsed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(reply, Some(HttpReply { status: 404, content: b"{}".to_vec() }));
        let rejected = parsed(b"{\"error\": \"too many clients at a time, try again\"}\n");
        assert_eq!(rejected.map(|reply| reply.status), Some(503));
        assert_eq!([&b"SSH-2.0\r\n"[..], b"", b"HTTP/1.1 200"].map(parsed), [None, None, None]);
    }
}
