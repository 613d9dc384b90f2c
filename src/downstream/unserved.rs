//! Connections that end before anything of them is served.

use std::net::SocketAddr;

use crate::exchange;
use crate::exchange::message::Origin;
use crate::http::head::PartialHead;
use crate::http::head::Version;
use crate::net::clock::Moment;
use crate::relay;
use crate::relay::Endpoints;
use crate::snapshot::Listener;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Writes the line of such a connection. `peer` is the client's address, `port` the one that it connected to.
pub(super) fn record(
    (reason, began): (Reason, Moment),
    listener: &Listener,
    (peer, port): (SocketAddr, u16),
    worker: &Worker,
) {
    match listener.http() {
        Some(_) => record_http((reason, began), &PartialHead::default(), listener, (peer, port), worker),
        None => relay::record_unserved(reason, began, &Endpoints { listener, peer, port }, worker),
    }
}

/// The same for QUIC, where nothing but HTTP/3 is spoken.
pub(super) fn record_quic(
    failure: (Reason, Moment),
    listener: &Listener,
    endpoints: (SocketAddr, u16),
    worker: &Worker,
) {
    let head = PartialHead { version: Version::Http3.as_str(), ..PartialHead::default() };
    record_http(failure, &head, listener, endpoints, worker);
}

fn record_http(
    (reason, began): (Reason, Moment),
    head: &PartialHead<'_>,
    listener: &Listener,
    (peer, port): (SocketAddr, u16),
    worker: &Worker,
) {
    let Some(http) = listener.http() else { return };
    let origin = Origin { listener, http, peer, port, client_tls: None, proxied: None };
    exchange::record_unserved(reason, head, began, &origin, worker);
}
