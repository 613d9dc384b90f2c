//! Answers that Ringway makes itself.

use std::io::Write;

use crate::exchange::error::ExchangeError;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::head::Version;
use crate::http::headers::Headers;
use crate::http::status::reason_phrase;
use crate::net::buffer::Buffer;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Answers a request that could not be served. Failing to send changes nothing any more.
pub(super) async fn answer(
    error: &ExchangeError,
    body: &impl RequestBody,
    reply: &mut impl Reply,
    worker: &Worker,
) {
    let reason = error.reason();
    // What is left of the request would be taken for the next one.
    let close = !body.is_finished();
    let page = write(reason, close, reply, worker);
    let _ = reply.send(Some(page), Some(&[])).await;
}

/// Writes the head of the answer and returns its page.
fn write(reason: Reason, close: bool, reply: &mut impl Reply, worker: &Worker) -> Buffer {
    let status = reason.status();
    let phrase = reason_phrase(status);
    let mut page = worker.buffers.small();
    // Writing to a vector cannot fail.
    let _ = writeln!(
        page.tail(),
        "<html><head><title>{status} {phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>"
    );
    let dates = worker.dates.borrow();
    let mut fields: [(&[u8], &[u8]); 5] = [
        (b"Server", b"ringway"),
        (b"Date", dates.http().as_bytes()),
        (b"Content-Type", b"text/html"),
        (b"", b""),
        (b"", b""),
    ];
    let mut count = 3;
    if let Some(code) = reason.router_code() {
        fields[count] = (b"x-router-code", code.as_bytes());
        count += 1;
    }
    if reason == Reason::MethodNotAllowed {
        // RFC 9110 §15.5.6: a 405 names the methods that are allowed.
        fields[count] = (b"Allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        count += 1;
    }
    let mut headers = Headers::new();
    let head = ResponseHead { status, reason: b"", version: Version::Http11, headers: &mut headers };
    let length = BodyLength::Exact(page.len() as u64);
    let added = fields.get(..count).unwrap_or_default();
    reply.start(&head, &StartFacts { length, close, upgrade: None, added });
    page
}
