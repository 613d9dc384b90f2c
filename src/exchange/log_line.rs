//! The access logs as readers of exchanges: what their lines begin and end with.

use std::io::Write;

use arrayvec::ArrayVec;

use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::http::head::PartialHead;
use crate::http::head::RequestHead;
use crate::http::head::Version;
use crate::http::headers::KnownName;
use crate::net::clock::Moment;
use crate::policy::forwarded::Client;
use crate::policy::request_id;
use crate::telemetry::log_set::LogSet;
use crate::telemetry::record::MAX_ATTEMPTS;
use crate::telemetry::record::Record;
use crate::telemetry::record::RecordedNames;
use crate::telemetry::record::RequestFacts;
use crate::worker::Worker;
use crate::worker::access_log::PendingLogLines;

/// What the line of a request begins with.
pub(super) fn facts<'a>(
    request: &'a Request<'_, '_>,
    client: &Client<'a>,
    origin: &Origin<'a>,
    worker: &Worker,
) -> RequestFacts<'a> {
    let head = &request.head;
    let value = |name| head.headers.find(name).map_or(&b""[..], |field| field.value);
    RequestFacts {
        is_connection: false,
        time: worker.clock.wall(request.received),
        peer: origin.peer,
        client: client.address,
        method: head.method.as_bytes(),
        scheme: client.scheme,
        host: client.host,
        http_host: value(KnownName::Host),
        request_uri: head.target.raw,
        path_and_query: head.target.path_and_query,
        headers: Some(head.headers),
        server_protocol: head.version.as_str(),
        referer: value(KnownName::Referer),
        user_agent: value(KnownName::UserAgent),
        x_forwarded_for: value(KnownName::XForwardedFor),
        x_real_ip: value(KnownName::XRealIp),
        trace_id: client.trace.map_or(&b""[..], |trace| trace.id.digits()),
        span_id: client.trace.map_or(&b""[..], |trace| trace.span.digits()),
        authorization: authorization(head, worker),
        request_id: client.request_id,
    }
}

/// What the line of a request begins with whose head was refused, as far as it could be read.
pub(super) fn refused_facts<'a>(
    head: &PartialHead<'a>,
    received: Moment,
    origin: &Origin<'a>,
    worker: &Worker,
) -> RequestFacts<'a> {
    // QUIC is never in the clear, whether its handshake came to an end or not.
    let is_quic = head.version == Version::Http3.as_str();
    RequestFacts {
        is_connection: false,
        time: worker.clock.wall(received),
        peer: origin.peer,
        client: origin.peer.ip(),
        method: if head.method.is_empty() { b"-" } else { head.method },
        scheme: if is_quic { "https" } else { origin.scheme() },
        host: head.host,
        http_host: head.host,
        request_uri: if head.target.is_empty() { b"-" } else { head.target },
        path_and_query: head.target,
        headers: None,
        server_protocol: if head.version.is_empty() { "-" } else { head.version },
        referer: head.referer,
        user_agent: head.user_agent,
        x_forwarded_for: b"",
        x_real_ip: b"",
        trace_id: b"",
        span_id: b"",
        authorization: b"",
        request_id: told_id(head, origin),
    }
}

/// What lines tell of the TLS connection; empty in cleartext.
pub(super) fn tls<'a>(origin: &Origin<'a>) -> &'a [u8] {
    origin.client_tls.map_or(b"", |client_tls| &client_tls.log_fields)
}

/// What a trusted proxy calls a request that is refused, where `X-Request-ID` is on.
fn told_id<'b>(head: &PartialHead<'b>, origin: &Origin<'_>) -> &'b [u8] {
    let (value, count) = head.x_request_id;
    let is_taken = origin.http.forwarded.fields.x_request_id
        && count == 1
        && request_id::is_acceptable(value)
        && origin.is_trusted();
    if is_taken { value } else { b"" }
}

/// The Authorization field, where a log tells the user in it.
fn authorization<'a>(head: &RequestHead<'_, 'a>, worker: &Worker) -> &'a [u8] {
    if !worker.logs.as_ref().is_some_and(|logs| logs.tells_user()) {
        return b"";
    }
    let mut fields = head.headers.iter();
    fields.find(|field| field.name.eq_ignore_ascii_case(b"authorization")).map_or(b"", |field| field.value)
}

/// Ends the lines of an exchange that is over, for these logs.
pub(super) fn end(
    (lines, chosen): (Box<PendingLogLines>, LogSet),
    record: &Record,
    (rule, group): (Option<u32>, Option<u32>),
    origin: &Origin<'_>,
    worker: &Worker,
) {
    let Some(logs) = &worker.logs else { return };
    let group = group.and_then(|group| origin.listener.group(group as usize));
    let mut scratch = worker.scratch.borrow_mut();
    scratch.clear();
    let mut statuses = ArrayVec::<u8, { MAX_ATTEMPTS * ", 200".len() }>::new();
    for (index, attempt) in lines.attempts.iter().enumerate() {
        let member = group.and_then(|group| group.member(attempt.backend as usize));
        let separator = if index == 0 { "" } else { ", " };
        scratch.extend_from_slice(separator.as_bytes());
        scratch.extend_from_slice(member.map_or(&b""[..], |member| member.backend.name.as_bytes()));
        // There is room for all.
        let _ = match attempt.status {
            0 => write!(statuses, "{separator}-"),
            status => write!(statuses, "{separator}{status}"),
        };
    }
    let names = RecordedNames {
        listener: &origin.listener.name,
        rule: rule.and_then(|rule| origin.http.rule(rule)).map_or("", |rule| &rule.name),
        server_group: group.map_or("", |group| &group.name),
        upstream_addr: std::str::from_utf8(&scratch).unwrap_or_default(),
        upstream_status: std::str::from_utf8(&statuses).unwrap_or_default(),
        instance_id: &origin.http.forwarded.slb_id,
        server: origin.server(),
        server_port: origin.port,
    };
    logs.end((lines, chosen), record, names, worker.index);
}
