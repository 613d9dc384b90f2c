//! What a snapshot is made of.

use crate::config::Config;
use crate::control::build::access_logs::OpenLogs;
use crate::control::build::binding::Binding;
use crate::control::credentials::tls::Security;
use crate::control::discovery::Addresses;

/// What the host adds to a configuration.
pub struct Host {
    pub name: String,
    /// Downstream connections that the descriptor limit allows.
    pub connections: usize,
    pub workers: usize,
}

/// What a snapshot is made of.
pub struct Parts<'a> {
    pub config: &'a Config,
    pub host: &'a Host,
    pub security: &'a Security,
    pub addresses: &'a Addresses,
    /// The sockets of all listeners.
    pub bindings: &'a [Binding],
    pub logs: &'a OpenLogs,
    pub now_ms: u64,
}
