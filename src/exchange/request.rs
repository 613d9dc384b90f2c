//! What we change about a request on its way in.

use crate::exchange::Origin;
use crate::exchange::Request;
use crate::exchange::forward::Forward;
use crate::exchange::stickiness;
use crate::exchange::stickiness::Claim;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::head::TargetForm;
use crate::http::head::Version;
use crate::http::headers::Field;
use crate::http::headers::KnownName;
use crate::policy::balance::cookies;
use crate::policy::compression::Accepted;
use crate::policy::forwarded::Client;
use crate::policy::grpc;
use crate::policy::max_forwards;
use crate::policy::websocket;
use crate::snapshot::group::Group;
use crate::snapshot::group::Versions;
use crate::upstream::h1::Opening;
use crate::upstream::h1::RequestWriter;
use crate::worker::Worker;

/// Writes the request as the backends of a group, which has this index, will get it. `id` is empty where the request gets
/// none.
pub(super) fn prepare(
    request: &Request<'_, '_>,
    id: &[u8],
    origin: &Origin<'_>,
    (index, group): (usize, &Group),
    worker: &Worker,
) -> Forward {
    let head = &request.head;
    let forwarded = &origin.listener.forwarded;
    let client = Client { request_id: id, ..client(head, origin, group) };
    let max_forwards = max_forwards::remaining(head);
    let hidden = stickiness::hidden_cookie(group).filter(|name| cookies::find(head.headers, name).is_some());
    let is_framed = group.versions == Versions::Http1;
    // Calls of gRPC are conversations.
    let request_buffer =
        if group.request_buffer == 0 || grpc::is_call(head) { 0 } else { group.request_buffer };
    let mut bytes = worker.buffers.small();
    let passes = |field: &Field<'_>| match field.known {
        // A client of HTTP/1.0 waits for nothing, so nothing may be expected on its behalf.
        KnownName::Expect => request.expects_continue && request_buffer == 0,
        KnownName::MaxForwards => max_forwards.is_none(),
        KnownName::Cookie if hidden.is_some() => false,
        _ => !forwarded.withholds(field),
    };
    let version = if is_framed && group.speaks_http10 { head.version } else { Version::Http11 };
    let opening = Opening { host: client.host, version, marks: !is_framed };
    let mut writer = RequestWriter::begin(bytes.tail(), head, opening, passes);
    if let Some(remaining) = max_forwards {
        // Allocates, but nobody sends many of these.
        writer.field(b"Max-Forwards", remaining.saturating_sub(1).to_string().as_bytes());
    }
    let mut scratch = worker.scratch.borrow_mut();
    for field in head.headers.find_all(KnownName::Cookie) {
        let Some(name) = hidden else { break };
        scratch.clear();
        cookies::without(field.value, name, &mut scratch);
        if !scratch.is_empty() {
            writer.field(b"Cookie", &scratch);
        }
    }
    forwarded.for_each_added(head.headers, &client, &mut scratch, |name, value| writer.field(name, value));
    if let Some(secured) = origin.secured {
        writer.lines(&secured.identity);
    }
    let accept = write_own_key(request, &mut writer, worker);
    writer.finish(request.length, request.upgrade);
    let head_bytes = bytes.len();
    Forward {
        group: index,
        claim: Claim::of(head, client.address, group, worker),
        is_secure: client.asks_by_https(head.headers),
        request: Some(bytes),
        head_bytes,
        early_piece: None,
        buffered: None,
        request_buffer,
        streamed: false,
        length: request.length,
        has_content: !request.length.is_empty(),
        server_name: server_name(client.host, group, worker),
        idempotent: head.method.is_idempotent(),
        is_head: head.method == Method::Head,
        upgrade: request.upgrade.is_some(),
        accept,
        expects_continue: request.expects_continue,
        is_framed,
        compression: origin.listener.compression.then(|| Accepted::of(head.headers)),
    }
}

/// What is known of who asks.
fn client<'a>(head: &'a RequestHead<'_, '_>, origin: &'a Origin<'_>, group: &'a Group) -> Client<'a> {
    let proxies = &origin.listener.trusted_proxies;
    Client {
        peer: origin.peer,
        address: proxies.client(origin.peer.ip(), head.headers),
        is_trusted: origin.is_trusted(),
        listener_port: origin.port,
        scheme: origin.scheme(),
        host: host(head, origin, group),
        request_id: b"",
    }
}

/// The host that the client asked for; if it named none, as HTTP/1.0 allows, the one that is configured for that, else
/// that of the first backend.
fn host<'a>(head: &'a RequestHead<'_, '_>, origin: &'a Origin<'_>, group: &'a Group) -> &'a [u8] {
    if let TargetForm::Absolute { authority } = head.target.form {
        return authority;
    }
    match head.headers.find(KnownName::Host).map(|field| field.value) {
        Some(host) if !host.is_empty() => host,
        _ => {
            let configured = group.default_host.as_ref().or(origin.listener.default_host.as_ref());
            configured.unwrap_or(&group.first_host).as_bytes()
        }
    }
}

/// What upstream connections must have in common to be of use for this request: how backends are trusted,
/// and the host, if they are told of it.
fn server_name(host: &[u8], group: &Group, worker: &Worker) -> u64 {
    match &group.tls {
        Some(terms) if terms.load().follows_host() => worker.pool.server_name(host) ^ group.security,
        _ => group.security,
    }
}

/// Writes the key of a WebSocket handshake that the client begins in a version of HTTP that has none (RFC 8441
/// §5), and tells what must be answered to it.
fn write_own_key(
    request: &Request<'_, '_>,
    writer: &mut RequestWriter<'_>,
    worker: &Worker,
) -> Option<Box<websocket::Accept>> {
    if !request.lacks_key {
        return None;
    }
    let key = websocket::key(&worker.nonce());
    writer.field(b"Sec-WebSocket-Key", &key);
    Some(Box::new(websocket::accept(&key)))
}
