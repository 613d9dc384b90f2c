//! Answers that Ringway makes itself.

use std::io::Write;

use arrayvec::ArrayVec;

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
use crate::policy::grpc;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Answers a request that could not be served. Failing to send changes nothing any more.
pub(super) async fn answer(
    error: &ExchangeError,
    is_grpc: bool,
    body: &impl RequestBody,
    reply: &mut impl Reply,
    worker: &Worker,
) {
    let reason = error.reason();
    // What is left of the request would be taken for the next one.
    let close = !body.is_finished();
    if is_grpc {
        write_for_grpc(reason, close, reply, worker);
        let _ = reply.send(None, Some(&[])).await;
        return;
    }
    let page = write(reason, close, reply, worker);
    let _ = reply.send(Some(page), Some(&[])).await;
}

/// Writes the head of the answer and returns its page.
fn write(reason: Reason, close: bool, reply: &mut impl Reply, worker: &Worker) -> Buffer {
    let status = reason.status();
    let phrase = reason_phrase(status);
    let has_page = status != 204;
    let mut page = worker.buffers.small();
    let dates = worker.dates.borrow();
    let mut fields = ArrayVec::<(&[u8], &[u8]), 5>::new();
    fields.push((b"Server", b"ringway"));
    fields.push((b"Date", dates.http().as_bytes()));
    if reason == Reason::PlainHttp {
        page.tail().extend_from_slice(b"The plain HTTP request was sent to HTTPS port\n");
        fields.push((b"Content-Type", b"text/plain"));
    } else if has_page {
        // Writing to a vector cannot fail.
        let _ = writeln!(
            page.tail(),
            "<html><head><title>{status} {phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>"
        );
        fields.push((b"Content-Type", b"text/html"));
    }
    if let Some(code) = reason.router_code() {
        fields.push((b"x-router-code", code.as_bytes()));
    }
    if matches!(reason, Reason::MethodNotAllowed | Reason::FinalRecipient) {
        // RFC 9110 §15.5.6: a 405 names the methods that are allowed; so does an answer to OPTIONS.
        fields.push((b"Allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
    }
    let mut headers = Headers::new();
    let head = ResponseHead { status, reason: b"", version: Version::Http11, headers: &mut headers };
    let length = BodyLength::Exact(page.len() as u64);
    reply.start(
        &head,
        &StartFacts { length, is_only_trailers: false, close, upgrade: None, added: &fields, replaced: &[] },
    );
    page
}

/// Writes the head of an answer to gRPC, which is all of it: "Trailers-Only is permitted for calls that produce
/// an immediate error" (PROTOCOL-HTTP2 of gRPC), with HTTP status 200 and the status of gRPC in its fields.
fn write_for_grpc(reason: Reason, close: bool, reply: &mut impl Reply, worker: &Worker) {
    let status = reason.status();
    let code = grpc::code_of(status);
    let dates = worker.dates.borrow();
    let mut message = ArrayVec::<u8, 128>::new();
    // What does not fit is cut off.
    let _ = write!(message, "{status} {}: {}", reason_phrase(status), reason.word());
    let fields: [(&[u8], &[u8]); 5] = [
        (b"Server", b"ringway"),
        (b"Date", dates.http().as_bytes()),
        (b"Content-Type", b"application/grpc"),
        (b"grpc-status", code.as_bytes()),
        (b"grpc-message", &message),
    ];
    let mut headers = Headers::new();
    let head = ResponseHead { status: 200, reason: b"", version: Version::Http11, headers: &mut headers };
    let length = BodyLength::Exact(0);
    reply.start(
        &head,
        &StartFacts { length, is_only_trailers: false, close, upgrade: None, added: &fields, replaced: &[] },
    );
}

/// Ends a call of which a part was sent, and gives the code that says why. Without it, a caller could not tell what
/// happened from a fault of the connection.
pub(super) async fn end_call(error: &ExchangeError, reply: &mut impl Reply) -> &'static str {
    let reason = error.reason();
    let code = grpc::code_of_end(reason == Reason::BodyTimeout);
    let mut trailers = ArrayVec::<u8, 160>::new();
    // What does not fit is cut off, but for the end of the line.
    let _ = write!(trailers, "grpc-status: {code}\r\ngrpc-message: {}", reason.word());
    trailers.truncate(158);
    let _ = trailers.try_extend_from_slice(b"\r\n");
    let _ = reply.send(None, Some(&trailers)).await;
    code
}
