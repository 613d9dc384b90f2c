//! From an accepted connection to a secured one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::downstream::connection;
use crate::downstream::connection::Connection;
use crate::downstream::connection::MAX_DISCARD_BYTES;
use crate::downstream::coverage::Coverage;
use crate::downstream::unserved;
use crate::exchange::client_tls::CertificateFacts;
use crate::exchange::client_tls::ClientTls;
use crate::exchange::client_tls::IdentityFacts;
use crate::net::buffer::Buffer;
use crate::net::clock::Moment;
use crate::proto::proxy_protocol::write::ProxiedCertificate;
use crate::proto::proxy_protocol::write::ProxiedTls;
use crate::snapshot::Listener;
use crate::snapshot::ServerTls;
use crate::snapshot::refused_connections::ConnectionRefusal;
use crate::telemetry::listener_counters::HandshakeVersion;
use crate::telemetry::reason::Reason;
use crate::tls::accept;
use crate::tls::accept::Accepted;
use crate::tls::accept::Facts;
use crate::tls::accept::HandshakeError;
use crate::tls::cipher_names::names_of;
use crate::tls::cipher_names::openssl_name;
use crate::tls::client_hello::HelloNames;
use crate::tls::client_verifier::ClientVerdict;
use crate::tls::transport::Transport;
use crate::tls::x509::client_certificate::ClientCertificate;
use crate::tls::x509::client_certificate::common_name;
use crate::worker::Worker;

/// How a handshake ended.
pub(super) enum Handshake {
    Secured(Box<Connection>),
    /// The client speaks HTTP in cleartext; these bytes came.
    PlainHttp(Box<Connection>, Buffer),
}

/// Makes the connection secure; None when it ended instead. `input` came behind a PROXY header.
pub(super) async fn secure(
    connection: Box<Connection>,
    input: Option<Buffer>,
    worker: &Worker,
) -> Option<Handshake> {
    let mut connection = connection;
    let snapshot = worker.snapshot();
    let terms = snapshot.listener(connection.listener())?;
    let tls = terms.tls.as_ref()?;
    let Transport::Plain(mut socket) = connection.transport else { return None };
    let began = worker.clock.now();
    socket.count_in(terms.handshake_traffic(worker.index));
    let input = match input.filter(|input| !input.is_empty()) {
        Some(input) => input,
        None => {
            // A client that says nothing holds no buffer and no drain up.
            connection.deadline.set_drainable(tls.handshake_timeout);
            let readable = connection.deadline.guard(pin!(socket.readable())).await;
            readable.ok()?.ok()?;
            worker.buffers.small()
        }
    };
    let said_something = worker.clock.now();
    let waited = said_something.since(began);
    connection.deadline.set(tls.handshake_timeout.saturating_sub(waited));
    let server = tls.terms.load();
    let accepted = accept::accept(socket, input, &server, &worker.buffers, &worker.handshakes);
    let (failure, failed) = match connection.deadline.guard(pin!(accepted)).await {
        Ok(Accepted::Secured(mut transport, facts)) => {
            count(&facts, terms, worker.clock.now_after(said_something).since(said_something), worker);
            transport.count_in(terms.traffic(worker.index));
            connection.transport = transport;
            connection.client.tls = Some(Box::new(client_tls((&facts, began), terms, tls, worker)));
            connection.names = terms.stream().map(|_| Box::new(names(&facts)));
            connection.speaks_http2 = facts.alpn.as_deref() == Some(accept::HTTP2);
            if connection.speaks_http2 || tls.refuses_other_hosts {
                connection.client.coverage =
                    Some(Box::new(Coverage { terms: Arc::clone(&server), opened_for: facts.server_name }));
            }
            return Some(Handshake::Secured(connection));
        }
        Ok(Accepted::Plain(mut socket, received)) => {
            socket.count_in(terms.traffic(worker.index));
            connection.transport = Transport::Plain(socket);
            return Some(Handshake::PlainHttp(connection, received));
        }
        // A client that connects and says nothing is no failure: load balancers check like that.
        Ok(Accepted::Gone { received: false }) => return None,
        Ok(Accepted::Gone { received: true }) => ("tls_client_closed", None),
        Ok(Accepted::Failed(transport, error)) => (error.as_str(), Some(transport)),
        Err(_elapsed) => ("tls_handshake_timeout", None),
    };
    count_failure(failure, terms, worker);
    let endpoints = (connection.client.peer, connection.client.port);
    unserved::record((Reason::ClientTls(failure), began), terms, endpoints, worker);
    if let Some(transport) = failed {
        connection.transport = transport;
        // Closing with bytes unread would reset the connection, and the alert with it.
        connection::linger(&connection, MAX_DISCARD_BYTES, worker).await;
    }
    None
}

/// The name that was asked for, and the protocol that was agreed on.
fn names(facts: &Facts) -> HelloNames {
    let server_name = facts.server_name.as_ref().map(|name| name.to_ascii_lowercase().into());
    // A protocol has up to 255 bytes (RFC 7301 §3.1).
    let with_length =
        |protocol: &Vec<u8>| Some([&[u8::try_from(protocol.len()).ok()?], &**protocol].concat());
    let alpn = facts.alpn.as_ref().and_then(with_length).unwrap_or_default();
    HelloNames { server_name, alpn: alpn.into() }
}

/// Counts a handshake that has succeeded.
pub(super) fn count(facts: &Facts, listener: &Listener, took: Duration, worker: &Worker) {
    let version = if facts.version == HandshakeVersion::Tls12.as_str() {
        HandshakeVersion::Tls12
    } else {
        HandshakeVersion::Tls13
    };
    if let Some(counters) = &listener.counters {
        counters.handshake(worker.index, version, facts.resumed, took);
    }
}

/// Counts one that has failed.
pub(super) fn count_failure(reason: &'static str, listener: &Listener, worker: &Worker) {
    if reason == HandshakeError::UnknownName.as_str() {
        listener.refused.count(ConnectionRefusal::UnknownName);
    }
    if let Some(counters) = &listener.counters {
        counters.failed_handshake(worker.index, reason);
    }
}

/// What the handshake told, in the forms that logs and backends get.
pub(super) fn client_tls(
    (facts, began): (&Facts, Moment),
    terms: &Listener,
    tls: &ServerTls,
    worker: &Worker,
) -> ClientTls {
    let wants_identity = ClientTls::wants_identity(terms, worker);
    let leaf = facts.chain.first().filter(|_| wants_identity);
    let certificate = leaf.and_then(|leaf| ClientCertificate::parse(leaf, tls.fingerprint_hash));
    let offered = if wants_identity { names_of(&facts.offered_suites) } else { String::new() };
    let verify = facts.verdict.map_or("NONE".to_owned(), |verdict| verdict.to_string());
    let told = IdentityFacts {
        verify: &verify,
        certificate: certificate.as_ref().map(certificate_facts),
        ciphers: Some(&offered),
        tls_protocol: facts.version,
        tls_cipher: openssl_name(facts.cipher_suite).unwrap_or_default(),
        tls_sni: facts.server_name.as_deref(),
        tls_alpn_protocol: facts.alpn.as_deref().and_then(|alpn| std::str::from_utf8(alpn).ok()),
        tls_resumed: facts.resumed,
        tls_ja3: facts.fingerprints.as_ref().map(|fingerprints| fingerprints.ja3.as_str()),
        tls_certificate_id: tls.shown_certificate(facts).filter(|_| wants_identity),
        tls_ja4: facts.fingerprints.as_ref().map(|fingerprints| fingerprints.ja4.as_str()),
    };
    let proxied = terms.writes_proxy_headers.then(|| proxied_tls(facts));
    ClientTls::new(&told, began, terms, worker).with_proxied(proxied)
}

/// What PROXY headers tell. A name in a certificate that was not verified is worth nothing.
fn proxied_tls(facts: &Facts) -> ProxiedTls {
    let algorithms = facts.shown_algorithms();
    let is_verified = facts.verdict == Some(ClientVerdict::Success);
    let certificate = facts.chain.first().map(|leaf| ProxiedCertificate {
        common_name: common_name(leaf).filter(|_| is_verified).unwrap_or_default().into(),
        is_verified,
        is_of_session: facts.resumed,
    });
    ProxiedTls {
        alpn: facts.alpn.as_deref().unwrap_or_default().into(),
        server_name: facts.server_name.as_deref().unwrap_or_default().into(),
        version: facts.version,
        cipher: openssl_name(facts.cipher_suite).unwrap_or_default(),
        signature_algorithm: algorithms.as_ref().map_or("", |algorithms| algorithms.signature),
        key_algorithm: algorithms.map(|algorithms| algorithms.key.into()).unwrap_or_default(),
        certificate,
    }
}

fn certificate_facts(certificate: &ClientCertificate) -> CertificateFacts<'_> {
    CertificateFacts {
        subject_dn: &certificate.subject,
        issuer_dn: &certificate.issuer,
        fingerprint: &certificate.fingerprint,
        serial_number: &certificate.serial,
        certificate: &certificate.escaped_pem,
        end: &certificate.not_after,
        client_cert: &certificate.client_cert,
    }
}
