//! What rules call by names of the system's.

use std::io::Write;

use crate::exchange::message::Origin;
use crate::policy::forwarded::Client;
use crate::policy::header_edits::SystemValue;

/// Appends what a rule calls by a name of the system's.
pub(super) fn system_value(value: SystemValue, client: &Client<'_>, origin: &Origin<'_>, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match value {
        SystemValue::ClientIp => write!(out, "{}", client.address),
        SystemValue::ClientPort => write!(out, "{}", client.peer.port()),
        SystemValue::RequestId => out.write_all(client.request_id),
        SystemValue::ListenerPort => write!(out, "{}", client.listener_port),
        SystemValue::Protocol => out.write_all(client.scheme.as_bytes()),
        SystemValue::SlbId => out.write_all(origin.http.forwarded.slb_id.as_bytes()),
    };
}
