//! What exchanges know of the TLS connection that carries them.

pub use crate::policy::identity::CertificateFacts;
pub use crate::policy::identity::IdentityFacts;
use crate::snapshot::Listener;
use crate::telemetry::record::TlsFacts;
use crate::worker::Worker;

/// Made once a connection, so that requests only copy it.
pub struct ClientTls {
    /// What the client had to prove; see [`crate::snapshot::ServerTls::client_auth_mark`].
    client_auth_mark: u64,
    /// What backends are told: complete field lines.
    pub(super) identity: Box<[u8]>,
    /// What each line of the log tells.
    pub(super) log_fields: Box<[u8]>,
}

impl ClientTls {
    pub fn new(facts: &IdentityFacts<'_>, resumed: bool, listener: &Listener, worker: &Worker) -> ClientTls {
        let mut identity = Vec::new();
        listener.http().forwarded.identity.render(facts, &mut identity);
        let told = TlsFacts {
            ssl_protocol: facts.tls_protocol,
            ssl_cipher: facts.tls_cipher,
            sni: facts.tls_sni.unwrap_or_default(),
            alpn: facts.tls_alpn_protocol.unwrap_or_default(),
            client_verify: facts.verify,
            resumed,
        };
        let log_fields = worker.log.as_ref().map(|log| log.tls_fields(&told)).unwrap_or_default();
        let client_auth_mark = listener.tls.as_ref().map_or(0, |tls| tls.client_auth_mark);
        ClientTls { client_auth_mark, identity: identity.into(), log_fields: log_fields.into() }
    }

    /// What the client had to prove; see [`crate::snapshot::ServerTls::client_auth_mark`].
    pub fn client_auth_mark(&self) -> u64 {
        self.client_auth_mark
    }

    /// Whether backends want to know what the client's certificate says.
    pub fn wants_identity(listener: &Listener) -> bool {
        !listener.http().forwarded.identity.is_empty()
    }
}
