//! Whether a client may connect, by its address and by what it has already.

use std::net::SocketAddr;

use crate::downstream::unserved;
use crate::snapshot::Listener;
use crate::snapshot::client_connections::ClientShare;
use crate::snapshot::refused_connections::ConnectionRefusal;
use crate::snapshot::request_limit::ExceededConnections;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::telemetry::reason::Reason;
use crate::worker::Worker;

/// What a client counts for, whose address may connect.
pub(super) type Share = Option<Box<ClientShare>>;

/// Lets a client that has just connected go on, and counts it; None, after telling why, if it may not. `peer` is the
/// client's address, `port` the one that it connected to.
pub(super) fn admit(listener: &Listener, peer: SocketAddr, port: u16, worker: &Worker) -> Option<Share> {
    let address = peer.ip();
    let (reason, refusal) = if listener.access.as_ref().is_some_and(|access| !access.admits(address)) {
        log_repeatedly(MessageKind::AccessDenied, || {
            let name = &listener.name;
            format!("warning: {address} may not connect to listener \"{name}\" (allow, deny)")
        });
        (Reason::AccessDenied, ConnectionRefusal::AccessDenied)
    } else {
        let Some(limit) = &listener.client_connections else { return Some(None) };
        match limit.open(address, worker.clock.shared_ns(worker.clock.now())) {
            Ok(share) => return Some(share.map(Box::new)),
            Err(exceeded) => {
                let (refusal, key) = match exceeded {
                    ExceededConnections::Rate => (ConnectionRefusal::ClientRate, "connections_per_second"),
                    ExceededConnections::Number => (ConnectionRefusal::ClientNumber, "max_connections"),
                };
                log_repeatedly(MessageKind::ConnectionLimit, || {
                    let name = &listener.name;
                    format!("warning: {address} is refused at listener \"{name}\" (per_client.{key})")
                });
                (Reason::ConnectionsLimited(refusal.as_str()), refusal)
            }
        }
    };
    listener.refused.count(refusal);
    unserved::record((reason, worker.clock.now()), listener, (peer, port), worker);
    None
}
