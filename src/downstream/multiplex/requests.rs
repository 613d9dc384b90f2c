//! From a head in fields to an exchange, as HTTP/2 and HTTP/3 have it.

use crate::downstream::client_side::ClientSide;
use crate::downstream::multiplex::stream_state::Traits;
use crate::exchange;
use crate::exchange::Exchange;
use crate::exchange::message::Origin;
use crate::exchange::message::Request;
use crate::http::body::BodyLength;
use crate::http::head::Method;
use crate::http::head::RequestHead;
use crate::http::headers::KnownName;
use crate::proto::fields::message::RequestMessage;
use crate::proto::h1::error::HeadError;
use crate::proto::h1::framing::expects_continue;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// What is to be known of a head besides its fields.
pub(in crate::downstream) struct HeadFacts {
    /// Nothing follows it.
    pub(in crate::downstream) ends: bool,
    /// Bytes of it, as received.
    pub(in crate::downstream) bytes: u32,
}

/// Lets the exchange decide about the request; or the reason for which it is to be refused.
pub(in crate::downstream) fn look(
    message: RequestMessage<'_, '_>,
    facts: &HeadFacts,
    (client, origin): (&ClientSide, &Origin<'_>),
    worker: &Worker,
) -> (Result<Exchange, Reason>, Traits) {
    let received = worker.clock.now();
    let RequestMessage { head, scheme, protocol } = message;
    // The one protocol that has a counterpart in HTTP/1.1 (RFC 8441 §5).
    let wants_tunnel = protocol == Some(b"websocket");
    let head = if wants_tunnel { RequestHead { method: Method::Get, ..head } } else { head };
    let traits = Traits { is_head: head.method == Method::Head, wants_tunnel, head_bytes: facts.bytes };
    if head.target.raw.len() > origin.http.max_uri_bytes {
        return (Err(refusal(HeadError::UriTooLong)), traits);
    }
    let length = if wants_tunnel { BodyLength::Empty } else { length(&head, facts.ends) };
    let expects_continue = match expects_continue(&head) {
        Ok(expects) => expects && !length.is_empty(),
        Err(error) => return (Err(Reason::BadRequest(error.reason(), error.status())), traits),
    };
    let is_covered = covers(client, &head);
    // It speaks to the next hop only (RFC 9113 §8.2.2, RFC 9114 §4.2).
    head.headers.remove(KnownName::Te);
    if wants_tunnel {
        // It has no meaning here (RFC 8441 §5); a backend that needs one gets ours.
        head.headers.retain(|field| !field.name.eq_ignore_ascii_case(b"sec-websocket-key"));
    }
    let request = Request {
        length,
        upgrade: protocol.filter(|_| wants_tunnel),
        lacks_key: wants_tunnel,
        expects_continue,
        is_https: scheme.eq_ignore_ascii_case(b"https"),
        is_covered,
        received,
        head,
    };
    (Ok(exchange::begin(&request, origin, worker)), traits)
}

/// Why a head that cannot be served is refused.
pub(in crate::downstream) fn refusal(error: HeadError) -> Reason {
    Reason::BadRequest(error.reason(), error.status())
}

/// "A server that does not want clients to reuse connections can indicate that it is not authoritative for
/// a request by sending a 421" (RFC 9113 §9.1.1, RFC 9114 §3.3).
fn covers(client: &ClientSide, head: &RequestHead<'_, '_>) -> bool {
    let Some(coverage) = &client.coverage else { return true };
    let host = head.headers.find(KnownName::Host).map(|field| field.value).unwrap_or_default();
    coverage.covers(host)
}

/// What HTTP/1.1 would announce.
fn length(head: &RequestHead<'_, '_>, ends: bool) -> BodyLength {
    let announced = head.headers.find(KnownName::ContentLength);
    // The codec has checked it.
    let announced = announced.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    match announced {
        Some(bytes) => BodyLength::Exact(bytes),
        // "A user agent SHOULD send Content-Length in a request when the method defines a meaning for enclosed
        // content" (RFC 9110 §8.6), also for none; clients need not.
        None if ends && matches!(head.method, Method::Post | Method::Put | Method::Patch) => {
            BodyLength::Exact(0)
        }
        None if ends => BodyLength::Empty,
        None => BodyLength::Unknown,
    }
}
