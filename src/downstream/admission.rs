//! Whether a client may connect, by its address.

use std::net::SocketAddr;

use crate::exchange;
use crate::exchange::message::Origin;
use crate::http::head::PartialHead;
use crate::snapshot::Listener;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// Whether a client that has just connected may go on; else that is told. `peer` is the client's address, `port` the
/// one that it connected to.
pub(super) fn admit(listener: &Listener, peer: SocketAddr, port: u16, worker: &Worker) -> bool {
    if listener.access.as_ref().is_none_or(|access| access.admits(peer.ip())) {
        return true;
    }
    refuse(Reason::AccessDenied, listener, (peer, port), worker);
    log_repeatedly(MessageKind::AccessDenied, || {
        let (address, name) = (peer.ip(), &listener.name);
        format!("warning: {address} may not connect to listener \"{name}\" (allow, deny)")
    });
    false
}

/// Puts a line into the access log.
fn refuse(reason: Reason, listener: &Listener, (peer, port): (SocketAddr, u16), worker: &Worker) {
    let origin = Origin { listener, http: listener.http(), peer, port, client_tls: None };
    exchange::record_unserved(reason, &PartialHead::default(), worker.clock.now(), &origin, worker);
}
