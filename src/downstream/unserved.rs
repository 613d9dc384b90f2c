//! Connections that end before anything of them is served.

use std::net::SocketAddr;

use crate::exchange;
use crate::exchange::message::Origin;
use crate::http::head::PartialHead;
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
        Some(http) => {
            let origin = Origin { listener, http, peer, port, client_tls: None, proxied: None };
            exchange::record_unserved(reason, &PartialHead::default(), began, &origin, worker);
        }
        None => relay::record_unserved(reason, began, &Endpoints { listener, peer, port }, worker),
    }
}
