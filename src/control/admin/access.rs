//! Who asks, and what they may do.

use std::fmt;
use std::net::SocketAddr;

use crate::config::AdminRole;
use crate::control::credentials::admin_access::AdminAccess;

/// A client, as the audit names it.
#[derive(Clone, Debug)]
pub struct Actor {
    pub name: String,
    /// None: it has to say first who it is.
    pub role: Option<AdminRole>,
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
        Actor { name, role: Some(AdminRole::Write), source: ActorSource::Socket }
    }

    /// A client of the address, by its certificate if it has shown one. Whoever is on this machine may read.
    pub(super) fn of_address(address: SocketAddr, subject: Option<String>, access: &AdminAccess) -> Actor {
        let source = ActorSource::Address(address);
        match subject {
            Some(name) => Actor { name, role: access.client_role, source },
            None => {
                let is_near = address.ip().to_canonical().is_loopback();
                Actor { name: "anonymous".to_owned(), role: is_near.then_some(AdminRole::Read), source }
            }
        }
    }

    /// The same with what its request says. None: it names a token that is not known.
    pub(super) fn with_token(&self, authorization: Option<&str>, access: &AdminAccess) -> Option<Actor> {
        let Some(authorization) = authorization else { return Some(self.clone()) };
        let (scheme, token) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (name, role) = access.tokens.find(token.trim())?;
        let role = AdminRole::WORDS.into_iter().find(|(word, _)| *word == role).map(|(_, role)| role)?;
        // Over the socket, a token names who asks and takes nothing away.
        Some(Actor { name: name.to_owned(), role: self.role.max(Some(role)), source: self.source })
    }
}
