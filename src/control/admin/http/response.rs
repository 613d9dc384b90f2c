//! What the admin server answers, and how it is written.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use serde_json::Value as Json;
use serde_json::json;

use crate::proto::field_lines;
use crate::proto::h1::head;

/// How much of an answer is sent: a request with HEAD gets no content (RFC 9110 §9.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SentPart {
    Whole,
    Head,
}

/// What is answered.
#[derive(Clone)]
pub(in crate::control) struct AdminResponse {
    pub(in crate::control) status: u16,
    pub(in crate::control) content_type: &'static str,
    pub(in crate::control) content: Vec<u8>,
    /// Beside what every answer has.
    fields: Vec<(&'static str, String)>,
}

impl AdminResponse {
    pub(in crate::control) fn new(
        status: u16,
        content_type: &'static str,
        content: impl Into<Vec<u8>>,
    ) -> AdminResponse {
        AdminResponse { status, content_type, content: content.into(), fields: Vec::new() }
    }

    /// A line for people.
    pub(in crate::control) fn text(status: u16, content: &str) -> AdminResponse {
        AdminResponse::new(status, "text/plain; charset=utf-8", format!("{content}\n"))
    }

    pub(in crate::control) fn json(status: u16, document: &Json) -> AdminResponse {
        AdminResponse::new(status, "application/json", format!("{document}\n"))
    }

    /// Problem details (RFC 9457 §3.1): without a type of their own, their title is the phrase of the status.
    pub(in crate::control) fn problem(status: u16, members: &Json) -> AdminResponse {
        let mut members = members.clone();
        members["type"] = "about:blank".into();
        members["title"] = title(status).into();
        let answer = AdminResponse::json(status, &members);
        AdminResponse { content_type: "application/problem+json", ..answer }
    }

    /// A request that is refused before it is known what it is for.
    pub(in crate::control) fn refusal(status: u16, detail: &str, help: &str) -> AdminResponse {
        let request_id = next_request_id();
        let members = json!({
            "status": status, "detail": detail, "help": help, "errors": [], "used_by": [], "request_id": request_id,
        });
        AdminResponse::problem(status, &members).with("X-Request-ID", request_id)
    }

    /// The same with this field.
    pub(in crate::control) fn with(mut self, name: &'static str, value: impl Into<String>) -> AdminResponse {
        self.fields.push((name, value.into()));
        self
    }

    /// As it is sent.
    pub(super) fn written(&self, part: SentPart, is_last: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.content.len() + 512);
        head::write_status_line(&mut out, self.status, b"");
        // RFC 9110 §8.6, §15.3.5, §15.4.5: an answer without content says nothing of its length.
        if !matches!(self.status, 204 | 304) {
            field_lines::write_field(&mut out, b"Content-Type", self.content_type.as_bytes());
            field_lines::write_content_length(&mut out, self.content.len() as u64);
        }
        let has = |name: &str| self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("Cache-Control") {
            field_lines::write_field(&mut out, b"Cache-Control", b"no-store");
        }
        field_lines::write_field(&mut out, b"X-Content-Type-Options", b"nosniff");
        for (name, value) in &self.fields {
            field_lines::write_field(&mut out, name.as_bytes(), in_a_field(value).as_bytes());
        }
        if is_last {
            field_lines::write_field(&mut out, b"Connection", b"close");
        }
        field_lines::write_end(&mut out);
        if part == SentPart::Whole && self.status != 304 {
            out.extend_from_slice(&self.content);
        }
        out
    }
}

/// What a request is called in its answer and in the audit.
pub(in crate::control) fn next_request_id() -> String {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    format!("{:x}-{:x}", std::process::id(), REQUESTS.fetch_add(1, Ordering::Relaxed) + 1)
}

/// RFC 9110 §15.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// What clients have sent and hear again may not end a line.
fn in_a_field(value: &str) -> String {
    value.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_fields_end_no_line() {
        let answer = AdminResponse::text(200, "ok").with("Location", "/a\r\nX: y");
        let text = String::from_utf8(answer.written(SentPart::Whole, true)).unwrap();
        assert!(text.contains("Location: /a??X: y\r\n") && text.ends_with("\r\n\r\nok\n"), "{text}");
        let head = String::from_utf8(answer.written(SentPart::Head, false)).unwrap();
        assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: 3\r\n"), "{head}");
    }
}
