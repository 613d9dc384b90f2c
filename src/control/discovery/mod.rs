//! Where backends are: from the names in a configuration to the addresses that they have now.

pub mod dns;
mod dns_cache;
mod dns_client;
mod dns_message;
mod sources;

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::config::BackendAddress;
use crate::config::Config;
use crate::config::Location;

/// The addresses of names, as they were resolved.
pub type Addresses = HashMap<(String, u16), Vec<SocketAddr>>;

/// What resolving names gave: every address once and in order, or why there is none.
pub type Resolutions = HashMap<(String, u16), Result<Vec<SocketAddr>, String>>;

/// The names that the backends of a configuration have that are used.
pub fn names(config: &Config) -> Vec<(String, u16, Location)> {
    let names = config.enabled_backends().filter_map(|backend| match &backend.address {
        BackendAddress::Name { host, port } => Some((host.clone(), *port, backend.location)),
        _ => None,
    });
    names.collect()
}
