//! What exchanges know of the TLS connection that carries them.

use std::cell::Cell;

use crate::net::clock::Moment;
use crate::policy::connection_values::ConnectionValues;
pub use crate::policy::identity::CertificateFacts;
use crate::policy::identity::Fact;
pub use crate::policy::identity::IdentityFacts;
use crate::snapshot::HttpListener;
use crate::snapshot::Listener;
use crate::telemetry::otlp::Attributes;
use crate::telemetry::record::TlsFacts;
use crate::upstream::proxied_client::ProxiedTls;
use crate::worker::Worker;
use crate::worker::spans::HandshakeSpan;

/// Made once a connection, so that requests only copy it.
pub struct ClientTls {
    /// What the client had to prove; see [`crate::snapshot::ServerTls::client_auth_mark`].
    client_auth_mark: u64,
    /// What backends are told: complete field lines.
    pub(super) identity: Box<[u8]>,
    /// What rules say of it.
    pub(super) values: ConnectionValues,
    /// What each line of the logs tells.
    pub(super) log_fields: Box<[u8]>,
    /// What the first request may tell a collector. None: it gets nothing, or has got it.
    pub(super) handshake: Cell<Option<Box<HandshakeSpan>>>,
    /// What PROXY headers tell. None: nobody wants to know, or it was taken.
    proxied: Cell<Option<Box<ProxiedTls>>>,
}

impl ClientTls {
    /// `began`: when the handshake did, which is over now.
    pub fn new(facts: &IdentityFacts<'_>, began: Moment, listener: &Listener, worker: &Worker) -> ClientTls {
        let mut identity = Vec::new();
        let http = listener.http();
        http.iter().for_each(|http| http.forwarded.identity.render(facts, &mut identity));
        let told = TlsFacts {
            ssl_protocol: facts.tls_protocol,
            ssl_cipher: facts.tls_cipher,
            sni: facts.tls_sni.unwrap_or_default(),
            alpn: facts.tls_alpn_protocol.unwrap_or_default(),
            client_verify: facts.verify,
            resumed: facts.tls_resumed,
            ja3: facts.tls_ja3.unwrap_or_default(),
            ja4: facts.tls_ja4.unwrap_or_default(),
            client_subject: facts.value(Fact::SubjectDn).unwrap_or_default(),
            client_issuer: facts.value(Fact::IssuerDn).unwrap_or_default(),
            client_serial: facts.value(Fact::SerialNumber).unwrap_or_default(),
            client_fingerprint: facts.value(Fact::Fingerprint).unwrap_or_default(),
        };
        let log_fields = worker.logs.as_ref().map(|logs| logs.tls_fields(&told)).unwrap_or_default();
        let client_auth_mark = listener.tls.as_ref().map_or(0, |tls| tls.client_auth_mark);
        let values = ConnectionValues::gather(http.map_or(&[], |http| &http.connection_facts), facts);
        let exports = http.and_then(|http| http.tracing.as_ref()).is_some_and(|terms| terms.exports);
        let handshake =
            exports.then(|| Box::new(handshake_span(&told, (began, worker.clock.now_after(began)))));
        ClientTls {
            client_auth_mark,
            identity: identity.into(),
            values,
            log_fields: log_fields.into(),
            handshake: Cell::new(handshake),
            proxied: Cell::new(None),
        }
    }

    /// What lines of the logs tell of it.
    pub fn into_log_fields(self) -> Box<[u8]> {
        self.log_fields
    }

    /// The same, with what PROXY headers tell.
    pub fn with_proxied(self, proxied: Option<ProxiedTls>) -> ClientTls {
        ClientTls { proxied: Cell::new(proxied.map(Box::new)), ..self }
    }

    /// What PROXY headers tell. Where that was not asked for when the handshake was made, because a reload has
    /// changed the groups since, they still say that the client came over TLS.
    pub fn take_proxied(&self) -> Box<ProxiedTls> {
        self.proxied.take().unwrap_or_default()
    }

    /// What the client had to prove; see [`crate::snapshot::ServerTls::client_auth_mark`].
    pub fn client_auth_mark(&self) -> u64 {
        self.client_auth_mark
    }

    /// Whether backends, rules or the log want to know what the client's certificate says.
    pub fn wants_identity(listener: &Listener, worker: &Worker) -> bool {
        let is_told =
            |http: &HttpListener| !http.forwarded.identity.is_empty() || !http.connection_facts.is_empty();
        listener.http().is_some_and(is_told)
            || worker.logs.as_ref().is_some_and(|logs| logs.tells_certificate())
    }
}

/// What a collector is told of a handshake, by the names of OpenTelemetry's conventions.
fn handshake_span(told: &TlsFacts<'_>, (began, ended): (Moment, Moment)) -> HandshakeSpan {
    let mut attributes = Vec::new();
    let mut out = Attributes(&mut attributes);
    out.text("tls.protocol.name", b"tls");
    let version = told.ssl_protocol.strip_prefix("TLSv").unwrap_or(told.ssl_protocol);
    out.text("tls.protocol.version", version.as_bytes());
    out.text("tls.cipher", told.ssl_cipher.as_bytes());
    out.text("tls.client.server_name", told.sni.as_bytes());
    out.text("tls.next_protocol", told.alpn.as_bytes());
    out.truth("tls.resumed", told.resumed);
    out.text("tls.client.subject", told.client_subject.as_bytes());
    out.text("tls.client.ja3", told.ja3.as_bytes());
    HandshakeSpan { began, ended, attributes }
}
