//! `[admin]`: how a running process is asked, and by whom.

use std::net::SocketAddr;

use crate::config::named_file::NamedFile;
use crate::config::report::Location;

/// The control commands' way in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admin {
    /// A unix socket, absolute or relative to the working folder. None: no control commands.
    pub socket: Option<NamedFile>,
    /// Where metrics, health, the management API and the console are served by HTTP. Port 0: any that is free. None: nowhere.
    pub address: Option<(SocketAddr, Location)>,
    /// What may stand in Host beside the address, in lower case and without a port.
    pub hosts: Vec<String>,
    /// None: the address speaks HTTP in the clear.
    pub tls: Option<AdminTls>,
    /// Lines of a role, a name and the digest of a token. None: there are no tokens.
    pub tokens_file: Option<NamedFile>,
    /// Where a line is written for each change. None: only the messages of the process tell of it.
    pub audit: Option<NamedFile>,
    /// None: the ELB API is not served.
    pub elb_api: Option<ElbApi>,
}

/// The ELB API, which is served at the address.
#[derive(Clone, Debug, PartialEq)]
pub struct ElbApi {
    /// Lines of an access key, a secret key, a project and a role.
    pub keys_file: NamedFile,
    /// The folder in which its objects are kept.
    pub state: NamedFile,
    /// The address of load balancers that name none.
    pub vip_address: String,
    /// The header of the table.
    pub location: Location,
}

/// How the address is secured.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminTls {
    /// Name of a `[[certificate]]`, and where it stands.
    pub certificate: (String, Location),
    /// Name of a `[[ca]]` that has issued the certificate of every client. None: clients show none.
    pub client_ca: Option<(String, Location)>,
    /// What a client with a certificate may do without a token.
    pub client_role: AdminRole,
}

/// What a client of the address may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdminRole {
    /// Look at everything but keys.
    Read,
    /// Change for a while what takes requests: weights, drains, maintenance.
    Operate,
    /// Change the configuration.
    Write,
}

impl AdminRole {
    /// All of them, by their words.
    pub const WORDS: [(&'static str, AdminRole); 3] =
        [("read", AdminRole::Read), ("operate", AdminRole::Operate), ("write", AdminRole::Write)];

    pub fn as_str(self) -> &'static str {
        match self {
            AdminRole::Read => "read",
            AdminRole::Operate => "operate",
            AdminRole::Write => "write",
        }
    }
}
