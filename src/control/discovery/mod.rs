//! Where backends are: from the names in a configuration to the addresses that they have now.

pub mod dns;
mod dns_cache;

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::config::BackendAddress;
use crate::config::Config;
use crate::config::Location;

/// The addresses of names, as they were resolved.
pub type Addresses = HashMap<(String, u16), Vec<SocketAddr>>;

/// What resolving names gave: every address once and in order, or why there is none.
pub type Resolutions = HashMap<(String, u16), Result<Vec<SocketAddr>, String>>;

/// The names that a configuration's backends have.
pub fn names(config: &Config) -> Vec<(String, u16, Location)> {
    let backends = config.server_groups.iter().flat_map(|group| &group.backends);
    let names = backends.filter_map(|backend| match &backend.address {
        BackendAddress::Name { host, port } => Some((host.clone(), *port, backend.location)),
        _ => None,
    });
    names.collect()
}
