//! Who asks, and what they may do.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

/// What a client may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Look at everything but keys.
    Read,
    /// Change for a while what takes requests: weights, drains, maintenance.
    Operate,
    /// Change the configuration.
    Write,
}

impl AccessRole {
    pub fn as_str(self) -> &'static str {
        match self {
            AccessRole::Read => "read",
            AccessRole::Operate => "operate",
            AccessRole::Write => "write",
        }
    }
}

/// A client, as the audit names it.
#[derive(Clone, Debug)]
pub struct Actor {
    pub name: String,
    /// None: it has to say first who it is.
    pub role: Option<AccessRole>,
    /// Where it comes from.
    pub source: ActorSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorSource {
    /// The unix socket, which only root and the user of the process can open.
    Socket,
    Address(SocketAddr),
}

impl fmt::Display for ActorSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActorSource::Socket => out.write_str("unix"),
            ActorSource::Address(address) => address.fmt(out),
        }
    }
}

impl Actor {
    /// Whoever can open the unix socket is obeyed.
    pub(super) fn of_socket(uid: Option<u32>) -> Actor {
        let name = uid.map_or_else(|| "uid unknown".to_owned(), |uid| format!("uid {uid}"));
        Actor { name, role: Some(AccessRole::Write), source: ActorSource::Socket }
    }

    /// Whoever is on this machine may read.
    pub(super) fn anonymous(address: SocketAddr) -> Actor {
        let role = address.ip().to_canonical().is_loopback().then_some(AccessRole::Read);
        Actor { name: "anonymous".to_owned(), role, source: ActorSource::Address(address) }
    }
}
