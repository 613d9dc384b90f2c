//! What we change about a request on its way in.

use std::rc::Rc;

use crate::exchange::forward::Forward;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::exchange::stickiness;
use crate::exchange::stickiness::StickyTarget;
use crate::http::body::BodyLength;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::policy::balance::cookies;
use crate::policy::compression::AcceptedCodings;
use crate::policy::forwarded::Client;
use crate::policy::forwarded::Forwarded;
use crate::policy::grpc;
use crate::policy::header_edits::SystemValue;
use crate::policy::hop_marks::HopMarks;
use crate::policy::max_forwards;
use crate::policy::trace::Trace;
use crate::policy::websocket;
use crate::snapshot::gates::Gates;
use crate::snapshot::group::Group;
use crate::snapshot::rules::HeaderEdits;
use crate::upstream::proxied_client::ProxiedClient;
use crate::upstream::request::RequestTarget;
use crate::upstream::request::RequestWriter;
use crate::upstream::request::Wording;
use crate::worker::Worker;

/// What a rule and its listener change about a request.
pub(super) struct Changes<'c> {
    /// Path and query.
    pub(super) target: Option<&'c Vec<u8>>,
    pub(super) host: Option<&'c Vec<u8>>,
    pub(super) edits: Option<&'c HeaderEdits>,
    pub(super) gates: Option<&'c Gates>,
    /// The cookie of the rule that tells the group.
    pub(super) group_cookie: Option<&'c str>,
    pub(super) marks: Option<&'c HopMarks>,
    /// The content of a copy; None: it is the request itself.
    pub(super) copied: Option<BodyLength>,
}

impl Changes<'_> {
    /// Whether a field of the client's own must not pass.
    #[inline]
    fn withhold(&self, name: &[u8]) -> bool {
        self.edits.is_some_and(|edits| edits.withholds_from_backends(name))
            || self.gates.is_some_and(|gates| gates.withholds(name))
            || self.marks.is_some_and(|marks| marks.withholds(name))
    }
}

/// Writes the request as the backends of a group, which has this index, will get it. `id` is empty where the request gets
/// none.
pub(super) fn prepare(
    request: &Request<'_, '_>,
    (client, origin): (&Client<'_>, &Origin<'_>),
    (index, group): (usize, &Group),
    changes: &Changes<'_>,
    worker: &Worker,
) -> Forward {
    let head = &request.head;
    let forwarded = &origin.http.forwarded;
    let host = if client.host.is_empty() { default_host(origin, group) } else { client.host };
    let client = &Client { host, ..*client };
    let max_forwards = max_forwards::remaining(head);
    let is_there = |name: &&str| cookies::find(head.headers, name).is_some();
    let hidden = [stickiness::hidden_cookie(group), changes.group_cookie].map(|name| name.filter(is_there));
    let hides_cookie = hidden != [None, None];
    // Calls of gRPC are conversations.
    let request_buffer =
        if group.request_buffer == 0 || grpc::is_call(head) { 0 } else { group.request_buffer };
    let passes = |field: &Field<'_>| match field.known {
        // A client of HTTP/1.0 waits for nothing, so nothing may be expected on its behalf.
        KnownName::Expect => request.expects_continue && request_buffer == 0 && changes.copied.is_none(),
        KnownName::MaxForwards => max_forwards.is_none(),
        KnownName::Cookie if hides_cookie => false,
        _ => {
            !forwarded.withholds(field)
                && !changes.withhold(field.name)
                && client.trace.is_none_or(|trace| !trace.withholds(field))
        }
    };
    let line = RequestTarget {
        target: changes.target.map_or(head.target.path_and_query, Vec::as_slice),
        host: changes.host.map_or(host, Vec::as_slice),
    };
    let mut writer = RequestWriter::begin(worker.buffers.small(), head, line, Wording::of(group), passes);
    if let Some(remaining) = max_forwards {
        // Allocates, but these are seldom.
        writer.field(b"Max-Forwards", remaining.saturating_sub(1).to_string().as_bytes());
    }
    let mut scratch = worker.scratch.borrow_mut();
    if hides_cookie {
        write_other_cookies(head.headers, hidden, &mut scratch, &mut writer);
    }
    write_added(head, (client, origin), changes, &mut scratch, &mut writer);
    let accept = write_own_key(request, &mut writer, worker);
    Forward {
        group: index,
        target: StickyTarget::of(head, client.address, group, worker),
        is_secure: client.asks_by_https(head.headers),
        request: writer.finish(changes.copied.unwrap_or(request.length), request.upgrade),
        buffered: None,
        request_buffer,
        streamed: false,
        pool_key: worker.pool.key(group, line.host),
        proxied: proxied(origin, group),
        names_request: !client.request_id.is_empty(),
        idempotent: head.method.is_idempotent(),
        is_head: head.method == Method::Head,
        upgrade: request.upgrade.is_some(),
        accept,
        expects_continue: request.expects_continue,
        compression: origin.http.compression.as_ref().map(|_| AcceptedCodings::of(head.headers)),
    }
}

/// The client, if backends of the group are told of it.
pub(super) fn proxied(origin: &Origin<'_>, group: &Group) -> Option<Rc<ProxiedClient>> {
    group.proxy_header.and(origin.proxied).map(Rc::clone)
}

/// Writes what the client did not send.
#[inline]
fn write_added(
    head: &RequestHead<'_, '_>,
    (client, origin): (&Client<'_>, &Origin<'_>),
    changes: &Changes<'_>,
    scratch: &mut Vec<u8>,
    writer: &mut RequestWriter,
) {
    let edits = changes.edits;
    write_forwarded((head.headers, client), &origin.http.forwarded, edits, scratch, writer);
    if let Some(edits) = edits {
        let sources = origin.system_sources();
        let system = |value: SystemValue, out: &mut Vec<u8>| value.write(client, sources, out);
        edits.for_each_written(head.headers, scratch, system, |name, value| writer.field(name, value));
    }
    if let Some(trace) = client.trace {
        write_trace(trace, head.headers, edits, scratch, writer);
    }
    if let Some(marks) = changes.marks {
        let came = (&*head.headers, head.version);
        marks.for_each_added(came, scratch, |name, value| writer.field(name, value));
    }
    if let Some(client_tls) = origin.client_tls {
        writer.lines(&client_tls.identity);
    }
}

/// Writes what the listener adds, but for what the rule writes itself or takes away: it has the last word.
#[inline]
fn write_forwarded(
    (headers, client): (&Headers<'_>, &Client<'_>),
    forwarded: &Forwarded,
    edits: Option<&HeaderEdits>,
    scratch: &mut Vec<u8>,
    writer: &mut RequestWriter,
) {
    forwarded.for_each_added(headers, client, scratch, |name, value| {
        if edits.is_none_or(|edits| !edits.withholds(name)) {
            writer.field(name, value);
        }
    });
}

/// Writes which trace the request belongs to, but for what the rule writes itself or takes away.
pub(super) fn write_trace(
    trace: &Trace,
    headers: &Headers<'_>,
    edits: Option<&HeaderEdits>,
    scratch: &mut Vec<u8>,
    writer: &mut RequestWriter,
) {
    trace.for_each_added(headers, scratch, |name, value, span_place| {
        if edits.is_none_or(|edits| !edits.withholds(name)) {
            match span_place {
                Some(place) => writer.field_with_span(name, value, place),
                None => writer.field(name, value),
            }
        }
    });
}

/// Writes all cookies but those of these names.
fn write_other_cookies(
    headers: &Headers<'_>,
    names: [Option<&str>; 2],
    scratch: &mut Vec<u8>,
    writer: &mut RequestWriter,
) {
    for field in headers.find_all(KnownName::Cookie) {
        scratch.clear();
        cookies::without(field.value, names, scratch);
        if !scratch.is_empty() {
            writer.field(b"Cookie", scratch);
        }
    }
}

/// The host of requests that name none, as HTTP/1.0 allows: the one that is configured for that, else that of the first
/// backend.
pub(super) fn default_host<'a>(origin: &Origin<'a>, group: &'a Group) -> &'a [u8] {
    let configured = group.default_host.as_ref().or(origin.http.default_host.as_ref());
    configured.unwrap_or(&group.first_host).as_bytes()
}

/// Writes the key of a WebSocket handshake that the client begins in a version of HTTP that has none (RFC 8441
/// §5), and tells what must be answered to it.
fn write_own_key(
    request: &Request<'_, '_>,
    writer: &mut RequestWriter,
    worker: &Worker,
) -> Option<Box<websocket::Accept>> {
    if !request.lacks_key {
        return None;
    }
    let key = websocket::key(&worker.nonce());
    writer.field(b"Sec-WebSocket-Key", &key);
    Some(Box::new(websocket::accept(&key)))
}
