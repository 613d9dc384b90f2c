//! Locally generated responses.

use std::io::Write;

use arrayvec::ArrayVec;

use crate::exchange::error::ExchangeError;
use crate::exchange::response_edits::Added;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stream::Reply;
use crate::exchange::stream::ReplyError;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::status::reason_phrase;
use crate::net::buffer::Buffer;
use crate::policy::grpc;
use crate::snapshot::error_pages::PageContent;
use crate::snapshot::rules::FixedResponse;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// An answer that is not a backend's.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// Besides Server and Date. At most [`MAX_FIELDS`].
    pub(super) fields: &'a [(&'a [u8], &'a [u8])],
    pub(super) content: Option<Buffer>,
    /// Content that is sent piece by piece, instead of the other; empty without.
    pub(super) page: &'a [u8],
    /// The index of the rule for responses that gives it, instead of what a backend answered.
    pub(super) response_rule: Option<u8>,
}

/// Fields that one answer may have.
const MAX_FIELDS: usize = 6;

/// Bytes of a page that are sent at a time, which is what a buffer of medium size holds.
const MAX_PIECE_BYTES: usize = 16 * 1024;

/// What answers to requests beyond a limit have.
const LIMITED: [(&[u8], &[u8]); 2] = [(b"X-LB-QPS-Limited", b"Limited"), (b"Retry-After", b"1")];

/// Sends an answer. Failing to do so changes nothing any more.
pub(super) async fn respond(
    answer: Answer<'_>,
    body: &impl RequestBody,
    reply: &mut impl Reply,
    terms: &ResponseTerms<'_>,
) {
    start(&answer, body, reply, terms);
    let _ = match answer.page.is_empty() {
        true => reply.send(answer.content, Some(&[])).await,
        // Boxed, because few answers have one.
        false => Box::pin(send_page(answer.page, reply, terms.worker)).await,
    };
}

/// Sends a page after its head, with no more of it in memory than a client takes at a time.
pub(super) async fn send_page(
    page: &[u8],
    reply: &mut impl Reply,
    worker: &Worker,
) -> Result<(), ReplyError> {
    let mut pieces = page.chunks(MAX_PIECE_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let mut buffer = worker.buffers.for_body(piece.len());
        buffer.tail().extend_from_slice(piece);
        let last = pieces.peek().is_none().then_some(&[][..]);
        reply.send(Some(buffer), last).await?;
    }
    Ok(())
}

/// Writes the head of an answer.
fn start(answer: &Answer<'_>, body: &impl RequestBody, reply: &mut impl Reply, terms: &ResponseTerms<'_>) {
    let dates = terms.worker.dates.borrow();
    let length = answer.content.as_ref().map_or(answer.page.len(), Buffer::len) as u64;
    // Content-Length of an answer to HEAD tells what GET would get (RFC 9110 §8.6); else it is written once, as framing.
    let mut digits = ArrayVec::<u8, 20>::new();
    let _ = write!(digits, "{length}");
    let mut headers = Headers::new();
    let own = [(&b"Server"[..], &b"ringway"[..]), (b"Date", dates.http().as_bytes())];
    for (name, value) in own.into_iter().chain(answer.fields.iter().copied().take(MAX_FIELDS)) {
        // There is room for many more.
        let _ = headers.push(Field::new(name, value));
    }
    if length > 0 {
        let _ = headers.push(Field::new(b"Content-Length", &digits));
    }
    let mut head = ResponseHead::new(answer.status, &mut headers);
    let mut added = Added::new();
    let response_rule = answer.response_rule.and_then(|index| terms.rule_for_responses(index));
    terms.edit(&mut head, response_rule, &mut added);
    let facts = StartFacts {
        length: BodyLength::Exact(length),
        is_only_trailers: false,
        // What is left of the request would be taken for the next one.
        close: !body.is_finished(),
        upgrade: None,
        added: &added,
        replaced: &[],
    };
    terms.start(reply, &head, &facts);
}

/// Tells whether the listener takes new connections.
pub(super) async fn tell_health<B: RequestBody, R: Reply, W>(
    is_ready: bool,
    (body, reply, _): (&mut B, &mut R, W),
    terms: &ResponseTerms<'_>,
) {
    let mut content = terms.worker.buffers.small();
    content.tail().extend_from_slice(if is_ready { b"ok\n" } else { b"stopping\n" });
    let fields: [(&[u8], &[u8]); 2] = [(b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-store")];
    let status = Reason::HealthPath { is_ready }.status();
    respond(
        Answer { status, fields: &fields, content: Some(content), page: &[], response_rule: None },
        body,
        reply,
        terms,
    )
    .await;
}

/// Sends a client elsewhere.
pub(super) async fn redirect<B: RequestBody, R: Reply, W>(
    status: u16,
    location: &Buffer,
    (body, reply, _): (&mut B, &mut R, W),
    terms: &ResponseTerms<'_>,
) {
    let fields: [(&[u8], &[u8]); 2] = [(b"Location", location.filled()), (b"Content-Type", b"text/html")];
    let content = Some(status_page(status, terms.worker));
    respond(Answer { status, fields: &fields, content, page: &[], response_rule: None }, body, reply, terms)
        .await;
}

/// Asks a client for a user and a password (RFC 9110 §11.6.1).
pub(super) async fn challenge<B: RequestBody, R: Reply, W>(
    challenge: &str,
    (body, reply, _): (&mut B, &mut R, W),
    terms: &ResponseTerms<'_>,
) {
    let own_page = terms.error_page(401, false);
    let content_type = own_page.map_or(&b"text/html"[..], |page| page.content_type.as_bytes());
    let fields: [(&[u8], &[u8]); 2] =
        [(b"WWW-Authenticate", challenge.as_bytes()), (b"Content-Type", content_type)];
    let content = if own_page.is_some() { None } else { Some(status_page(401, terms.worker)) };
    let page = own_page.map_or(&[][..], |page| &page.content);
    let answer = Answer { status: 401, fields: &fields, content, page, response_rule: None };
    respond(answer, body, reply, terms).await;
}

/// Sends the answer of a rule: one for requests, or the one for responses with this index.
pub(super) async fn respond_fixed<B: RequestBody, R: Reply, W>(
    (response, response_rule): (&FixedResponse, Option<u8>),
    (body, reply, _): (&mut B, &mut R, W),
    terms: &ResponseTerms<'_>,
) {
    let PageContent { content_type, content } = &*response.page;
    let field = [(&b"Content-Type"[..], content_type.as_bytes())];
    let fields = if content.is_empty() { &[][..] } else { &field[..] };
    respond(
        Answer { status: response.status, fields, content: None, page: content, response_rule },
        body,
        reply,
        terms,
    )
    .await;
}

/// Sends an answer that another has given.
pub(super) async fn pass_on<B: RequestBody, R: Reply, W>(
    mut head: ResponseHead<'_, '_>,
    content: Option<Buffer>,
    (body, reply, _): (&mut B, &mut R, W),
    terms: &ResponseTerms<'_>,
) {
    let mut added = Added::new();
    terms.edit(&mut head, None, &mut added);
    let facts = StartFacts {
        length: BodyLength::Exact(content.as_ref().map_or(0, |content| content.len() as u64)),
        is_only_trailers: false,
        // What is left of the request would be taken for the next one.
        close: !body.is_finished(),
        upgrade: None,
        added: &added,
        replaced: &[],
    };
    terms.start(reply, &head, &facts);
    // Failing to do so changes nothing any more.
    let _ = reply.send(content, Some(&[])).await;
}

/// Answers a request that was refused or failed.
pub(super) async fn refuse(
    reason: Reason,
    is_grpc: bool,
    body: &impl RequestBody,
    reply: &mut impl Reply,
    terms: &ResponseTerms<'_>,
) {
    if is_grpc {
        return refuse_call(reason, body, reply, terms).await;
    }
    let status = reason.status();
    let mut fields = ArrayVec::<(&[u8], &[u8]), MAX_FIELDS>::new();
    let own_page = terms.error_page(status, false);
    let content = if own_page.is_some() { None } else { page(reason, terms.worker) };
    if let Some(page) = own_page {
        fields.push((b"Content-Type", page.content_type.as_bytes()));
    }
    if content.is_some() {
        let is_text = reason == Reason::PlainHttp;
        fields.push((b"Content-Type", if is_text { b"text/plain" } else { b"text/html" }));
    }
    if let Some(code) = reason.router_code() {
        fields.push((b"x-router-code", code.as_bytes()));
    }
    if matches!(reason, Reason::RateLimited(..)) {
        fields.extend(LIMITED);
    }
    if matches!(reason, Reason::MethodNotAllowed | Reason::FinalRecipient) {
        // RFC 9110 §15.5.6: a 405 names the methods that are allowed; so does an answer to OPTIONS.
        fields.push((b"Allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
    }
    let page = own_page.map_or(&[][..], |page| &page.content);
    respond(Answer { status, fields: &fields, content, page, response_rule: None }, body, reply, terms).await;
}

/// What a reason shows; none with a status that has no content.
fn page(reason: Reason, worker: &Worker) -> Option<Buffer> {
    let status = reason.status();
    if status == 204 {
        return None;
    }
    if reason == Reason::PlainHttp {
        let mut page = worker.buffers.small();
        page.tail().extend_from_slice(b"The plain HTTP request was sent to HTTPS port\n");
        return Some(page);
    }
    Some(status_page(status, worker))
}

/// A page that says what the status means.
pub(super) fn status_page(status: u16, worker: &Worker) -> Buffer {
    let mut page = worker.buffers.small();
    let phrase = reason_phrase(status);
    // Writing to a vector cannot fail.
    let _ = writeln!(
        page.tail(),
        "<html><head><title>{status} {phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>"
    );
    page
}

/// Answers a call of gRPC by a head that is all of it: "Trailers-Only is permitted for calls that produce an immediate
/// error" (PROTOCOL-HTTP2 of gRPC), with HTTP status 200 and the status of gRPC in its fields.
async fn refuse_call(
    reason: Reason,
    body: &impl RequestBody,
    reply: &mut impl Reply,
    terms: &ResponseTerms<'_>,
) {
    let status = reason.status();
    let code = grpc::code_of(status);
    let mut message = ArrayVec::<u8, 128>::new();
    // What does not fit is cut off.
    let _ = write!(message, "{status} {}: {}", reason_phrase(status), reason.as_str());
    let mut fields = ArrayVec::<(&[u8], &[u8]), MAX_FIELDS>::new();
    fields.push((b"Content-Type", b"application/grpc"));
    fields.push((b"grpc-status", code.as_bytes()));
    fields.push((b"grpc-message", &message));
    if matches!(reason, Reason::RateLimited(..)) {
        fields.extend(LIMITED);
    }
    respond(
        Answer { status: 200, fields: &fields, content: None, page: &[], response_rule: None },
        body,
        reply,
        terms,
    )
    .await;
}

/// Ends a call of which a part was sent, and gives the code that says why. Without it, a caller could not tell what
/// happened from a fault of the connection.
pub(super) async fn end_call(error: &ExchangeError, reply: &mut impl Reply) -> &'static str {
    let reason = error.reason();
    let code = grpc::code_of_end(reason == Reason::BodyTimeout);
    let mut trailers = ArrayVec::<u8, 160>::new();
    // What does not fit is cut off, but for the end of the line.
    let _ = write!(trailers, "grpc-status: {code}\r\ngrpc-message: {}", reason.as_str());
    trailers.truncate(158);
    let _ = trailers.try_extend_from_slice(b"\r\n");
    let _ = reply.send(None, Some(&trailers)).await;
    code
}
