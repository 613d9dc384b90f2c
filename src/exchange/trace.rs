//! The trace that a request belongs to, and the spans that tell of its exchange.

use std::time::Duration;

use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::http::head::Method;
use crate::http::head::Version;
use crate::http::headers::KnownName;
use crate::net::clock::Moment;
use crate::policy::forwarded::Client;
use crate::policy::trace::Trace;
use crate::policy::trace::TraceNonces;
use crate::policy::trace::TraceSource;
use crate::policy::trace::ids::SpanId;
use crate::snapshot::group::Group;
use crate::telemetry::otlp::Attributes;
use crate::telemetry::otlp::FinishedSpan;
use crate::telemetry::otlp::SpanKind;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;
use crate::worker::spans::AttemptPurpose;
use crate::worker::spans::PendingAttempt;
use crate::worker::spans::PendingTrace;
use crate::worker::spans::TracedIds;

/// The trace that a request belongs to, be it that of who asks or a new one; None where requests are not traced.
#[inline]
pub(super) fn begin(request: &Request<'_, '_>, origin: &Origin<'_>, worker: &Worker) -> Option<Trace> {
    let terms = origin.http.tracing.as_ref()?;
    let is_believed = match terms.accept_from {
        TraceSource::Everyone => true,
        TraceSource::TrustedProxies => origin.is_trusted(),
    };
    let nonces = TraceNonces { trace: worker.nonce(), span: worker.nonce_of_span() };
    Some(Trace::of(terms, request.head.headers, is_believed, &nonces))
}

/// Begins the spans of an exchange; None unless a collector is to get them.
#[inline]
pub(super) fn record(
    request: &Request<'_, '_>,
    client: &Client<'_>,
    origin: &Origin<'_>,
    worker: &Worker,
) -> Option<Box<PendingTrace>> {
    let exports = origin.http.tracing.as_ref()?.exports;
    // The first request of a connection tells of its handshake, or nobody does.
    let handshake = origin.client_tls.and_then(|client_tls| client_tls.handshake.take());
    let trace = client.trace.filter(|trace| exports && trace.is_sampled)?;
    let mut pending = begin_pending(trace, worker);
    pending.handshake = handshake;
    pending.method = method(&request.head.method);
    trace.state(request.head.headers, &mut pending.state);
    describe(request, client, origin, &mut Attributes(&mut pending.attributes));
    Attributes(&mut pending.attributes).number("ringway.worker", worker.index as u64);
    Some(pending)
}

/// Begins the spans of the copy of a request; None unless a collector is to get them.
pub(super) fn record_copy(
    request: &Request<'_, '_>,
    client: &Client<'_>,
    origin: &Origin<'_>,
    worker: &Worker,
) -> Option<Box<PendingTrace>> {
    let exports = origin.http.tracing.as_ref()?.exports;
    let trace = client.trace.filter(|trace| exports && trace.is_sampled)?;
    let mut pending = begin_pending(trace, worker);
    pending.method = method(&request.head.method);
    pending.purpose = AttemptPurpose::Copy;
    trace.state(request.head.headers, &mut pending.state);
    Some(pending)
}

fn begin_pending(trace: &Trace, worker: &Worker) -> Box<PendingTrace> {
    let mut pending = worker.spans.begin();
    pending.ids = Some(TracedIds {
        trace: *trace.id.digits(),
        span: *trace.span.digits(),
        parent: trace.parent.map(|parent| *parent.digits()),
    });
    pending
}

/// Writes what is known of a request, by OpenTelemetry's conventions for servers of HTTP. The query may hold secrets.
fn describe(request: &Request<'_, '_>, client: &Client<'_>, origin: &Origin<'_>, out: &mut Attributes<'_>) {
    let head = &request.head;
    out.text("http.request.method", method(&head.method).as_bytes());
    if let Method::Other(word) = head.method {
        out.text("http.request.method_original", word);
    }
    out.text("url.scheme", client.scheme.as_bytes());
    out.text("url.path", path_of(head.target.path_and_query));
    out.text("server.address", host_of(client.host));
    out.number("server.port", origin.port.into());
    out.address("client.address", client.address);
    out.address("network.peer.address", origin.peer.ip());
    out.number("network.peer.port", origin.peer.port().into());
    out.text("network.protocol.version", version(head.version).as_bytes());
    let agent = head.headers.find(KnownName::UserAgent);
    out.text("user_agent.original", agent.map_or(b"", |field| field.value));
    out.text("ringway.listener", origin.listener.name.as_bytes());
}

/// What is known of an exchange that is over.
pub(super) struct TracedEnd {
    pub(super) began: Moment,
    pub(super) ended: Moment,
    pub(super) status: u16,
    pub(super) reason: Reason,
    pub(super) grpc_status: Option<u32>,
    pub(super) content_bytes: u64,
    pub(super) rule: Option<u32>,
    pub(super) group: Option<u32>,
}

/// From this status on an exchange has failed: 499 is that of clients that have left. What clients do wrong besides is no
/// failure of a server ("Span status MUST be left unset for HTTP status codes in the 4xx range").
const CLIENT_LEFT: u16 = 499;

/// Ends the spans of an exchange, and queues them.
pub(super) fn end(mut pending: Box<PendingTrace>, end: &TracedEnd, origin: &Origin<'_>, worker: &Worker) {
    // What is still under way was cut off.
    pending.attempt_ended(end.reason, end.ended);
    let group = |index: u32| origin.listener.group(index as usize);
    // What the client got of a response that breaks off is its status.
    let is_error = end.status >= CLIENT_LEFT || end.reason.status() >= CLIENT_LEFT;
    let mut attributes = std::mem::take(&mut pending.attributes);
    let mut out = Attributes(&mut attributes);
    out.number("http.response.status_code", end.status.into());
    out.number("http.response.body.size", end.content_bytes);
    if is_error {
        write_error(end.reason, end.status, &mut out);
    }
    if end.reason != Reason::None {
        out.text("ringway.reason", end.reason.as_str().as_bytes());
    }
    if let Some(status) = end.grpc_status {
        out.number("rpc.grpc.status_code", status.into());
    }
    let rule = end.rule.and_then(|rule| origin.http.rule(rule));
    out.text("ringway.rule", rule.map_or(b"", |rule| rule.name.as_bytes()));
    let served = end.group.and_then(group);
    out.text("ringway.group", served.map_or(b"", |group| group.name.as_bytes()));
    let last = pending.attempts.iter().rev().find(|attempt| attempt.purpose == AttemptPurpose::Request);
    let backend = last.and_then(|last| group(last.group)?.member(last.backend as usize));
    out.text("ringway.backend", backend.map_or(b"", |member| member.backend.name.as_bytes()));
    let spans = 1 + pending.attempts.len() + usize::from(pending.handshake.is_some());
    worker.spans.queue.borrow_mut().append(spans as u64, |out| {
        let Some(ids) = &pending.ids else { return };
        let parent = ids.parent.as_ref();
        let exchange =
            FinishedSpan { is_error, ..span(&pending, (&ids.span, parent), SpanKind::Server, &attributes) };
        let (start, end) = (worker.clock.wall(end.began), worker.clock.wall(end.ended));
        FinishedSpan { start, end, ..exchange }.write(out);
        write_handshake(&pending, worker, out);
        pending.attempts.iter().for_each(|attempt| {
            write_attempt(&pending, (attempt, group(attempt.group)), worker, out);
        });
    });
    pending.attributes = attributes;
    worker.spans.keep(pending);
}

/// Ends the spans of a copy, which went to this group, and queues them.
pub(super) fn end_copy(mut pending: Box<PendingTrace>, group: &Group, worker: &Worker) {
    pending.attempt_ended(Reason::None, worker.clock.now());
    worker.spans.queue.borrow_mut().append(pending.attempts.len() as u64, |out| {
        pending.attempts.iter().for_each(|attempt| {
            write_attempt(&pending, (attempt, Some(group)), worker, out);
        });
    });
    worker.spans.keep(pending);
}

/// A span of this exchange, without its times.
fn span<'p>(
    pending: &'p PendingTrace,
    (span, parent): (&'p [u8; 16], Option<&'p [u8; 16]>),
    kind: SpanKind,
    attributes: &'p [u8],
) -> FinishedSpan<'p> {
    const NONE: &[u8; 32] = &[b'0'; 32];
    FinishedSpan {
        trace: pending.ids.as_ref().map_or(NONE, |ids| &ids.trace),
        span,
        parent,
        state: &pending.state,
        name: if pending.method == OTHER_METHOD { "HTTP" } else { pending.method },
        kind,
        start: Duration::ZERO,
        end: Duration::ZERO,
        is_error: false,
        attributes,
    }
}

/// Writes the handshake of the connection as a child of its first exchange, though it came before that.
fn write_handshake(pending: &PendingTrace, worker: &Worker, out: &mut Vec<u8>) {
    let (Some(ids), Some(handshake)) = (&pending.ids, &pending.handshake) else { return };
    let id = SpanId::of(worker.nonce_of_span());
    let (start, end) = (worker.clock.wall(handshake.began), worker.clock.wall(handshake.ended));
    let handshake = span(pending, (id.digits(), Some(&ids.span)), SpanKind::Internal, &handshake.attributes);
    FinishedSpan { name: "TLS handshake", start, end, ..handshake }.write(out);
}

fn write_attempt(
    pending: &PendingTrace,
    (attempt, group): (&PendingAttempt, Option<&Group>),
    worker: &Worker,
    out: &mut Vec<u8>,
) {
    let Some(ids) = &pending.ids else { return };
    let mut scratch = worker.scratch.borrow_mut();
    scratch.clear();
    let is_error = attempt.reason != Reason::None || attempt.status >= 400 || attempt.status == 0;
    describe_attempt(pending, (attempt, group), is_error, &mut Attributes(&mut scratch));
    let attempt_span = span(pending, (&attempt.span, Some(&ids.span)), SpanKind::Client, &scratch);
    let name = if attempt.purpose == AttemptPurpose::Question { "GET" } else { attempt_span.name };
    let (start, end) =
        (worker.clock.wall(attempt.began), worker.clock.wall(attempt.ended.unwrap_or(attempt.began)));
    FinishedSpan { name, start, end, is_error, ..attempt_span }.write(out);
}

/// Writes what is known of an attempt, by OpenTelemetry's conventions for clients of HTTP.
fn describe_attempt(
    pending: &PendingTrace,
    (attempt, group): (&PendingAttempt, Option<&Group>),
    is_error: bool,
    out: &mut Attributes<'_>,
) {
    let (method, purpose) = match attempt.purpose {
        AttemptPurpose::Request => (pending.method, ""),
        AttemptPurpose::Question => ("GET", "forward_auth"),
        AttemptPurpose::Copy => (pending.method, "mirror"),
    };
    out.text("http.request.method", method.as_bytes());
    let member = group.and_then(|group| group.member(attempt.backend as usize));
    if let (Some(group), Some(member)) = (group, member) {
        let name = member.backend.name.as_str();
        let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
        match port.parse::<u16>() {
            Ok(port) => {
                out.text("server.address", host_of(host.as_bytes()));
                out.number("server.port", port.into());
                let scheme = if group.tls.is_some() { "https://" } else { "http://" };
                out.joined("url.full", &[scheme.as_bytes(), name.as_bytes(), pending.path(attempt)]);
            }
            Err(_) => out.text("server.address", name.as_bytes()),
        }
        out.text("ringway.group", group.name.as_bytes());
        out.text("ringway.backend", name.as_bytes());
    }
    if attempt.status != 0 {
        out.number("http.response.status_code", attempt.status.into());
    }
    if is_error {
        write_error(attempt.reason, attempt.status, out);
    }
    let before = pending.attempts.iter().take_while(|other| other.span != attempt.span);
    let resent = before.filter(|other| other.purpose == attempt.purpose).count();
    if resent > 0 {
        out.number("http.request.resend_count", resent as u64);
    }
    if let Some(protocol) = attempt.protocol {
        out.text("network.protocol.version", protocol.as_bytes());
        out.truth("ringway.connection.reused", attempt.is_reused);
    }
    out.text("ringway.purpose", purpose.as_bytes());
}

/// What went wrong, in one word: ours, else the status.
fn write_error(reason: Reason, status: u16, out: &mut Attributes<'_>) {
    match reason {
        Reason::None if status != 0 => out.digits("error.type", status),
        Reason::None => out.text("error.type", b"_OTHER"),
        reason => out.text("error.type", reason.as_str().as_bytes()),
    }
}

/// "If the HTTP request method is not known to instrumentation, it MUST set the http.request.method attribute to _OTHER."
const OTHER_METHOD: &str = "_OTHER";

fn method(method: &Method<'_>) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(_) => OTHER_METHOD,
    }
}

fn version(version: Version) -> &'static str {
    let name = version.as_str().strip_prefix("HTTP/").unwrap_or_default();
    name.strip_suffix(".0").filter(|major| *major != "1").unwrap_or(name)
}

/// A target without its query.
pub(super) fn path_of(path_and_query: &[u8]) -> &[u8] {
    path_and_query.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// A host without its port and its brackets.
fn host_of(host: &[u8]) -> &[u8] {
    if let Some(rest) = host.strip_prefix(b"[") {
        return rest.split(|byte| *byte == b']').next().unwrap_or_default();
    }
    match host.iter().filter(|byte| **byte == b':').count() {
        1 => host.split(|byte| *byte == b':').next().unwrap_or_default(),
        _ => host,
    }
}
