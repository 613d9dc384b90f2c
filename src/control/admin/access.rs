//! Who asks, and what they may do.

use std::fmt;
use std::net::SocketAddr;

use crate::config::AdminRole;
use crate::control::credentials::admin_access::AdminAccess;

/// Who has said nothing about itself.
const ANONYMOUS: &str = "anonymous";

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

/// How a client has come, which does not change while it is there.
pub(super) enum ApiClient {
    /// Over the unix socket; the user of its process.
    Socket(Option<u32>),
    Clear(SocketAddr),
    Secured {
        address: SocketAddr,
        /// Whom its certificate names, if it has shown one.
        subject: Option<String>,
        /// That of [`AdminAccess`] when the certificates were verified.
        generation: u64,
    },
}

impl ApiClient {
    /// Whether what was found out when it came still holds.
    pub(super) fn is_current(&self, (generation, access): (u64, &AdminAccess)) -> bool {
        match self {
            ApiClient::Socket(_) => true,
            ApiClient::Clear(_) => access.tls.is_none() && !access.is_closed,
            ApiClient::Secured { generation: then, .. } => *then == generation,
        }
    }
}

impl Actor {
    /// Nobody has looked yet.
    pub(super) fn unknown() -> Actor {
        Actor { name: String::new(), role: None, source: ActorSource::Socket }
    }

    /// Who a client is without a token. Whoever can open the unix socket is obeyed, and whoever is on this machine may read.
    pub(super) fn of(client: &ApiClient, access: &AdminAccess) -> Actor {
        match client {
            ApiClient::Socket(uid) => Actor::of_socket(*uid),
            ApiClient::Secured { address, subject: Some(subject), .. } => {
                let source = ActorSource::Address(*address);
                Actor { name: subject.clone(), role: access.client_role, source }
            }
            ApiClient::Clear(address) | ApiClient::Secured { address, .. } => {
                let role = address.ip().to_canonical().is_loopback().then_some(AdminRole::Read);
                Actor { name: ANONYMOUS.to_owned(), role, source: ActorSource::Address(*address) }
            }
        }
    }

    pub(super) fn of_socket(uid: Option<u32>) -> Actor {
        let name = uid.map_or_else(|| "uid unknown".to_owned(), |uid| format!("uid {uid}"));
        Actor { name, role: Some(AdminRole::Write), source: ActorSource::Socket }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
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
