//! The server's side of a handshake.

use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::Error;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::UnixTime;
use rustls::server::ClientHello;
use rustls::server::NoServerSessionStorage;
use rustls::server::ResolvesServerCert;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::clock::wall_now;
use crate::net::socket::Socket;
use crate::net::work_budget::WorkBudget;
use crate::tls::cipher_names::version_name;
use crate::tls::client_verifier::ClientAuthMode;
use crate::tls::client_verifier::ClientVerdict;
use crate::tls::client_verifier::ClientVerifier;
use crate::tls::client_verifier::take_verdict;
use crate::tls::fingerprint::ClientFingerprints;
use crate::tls::server_configs::ServerConfigs;
pub use crate::tls::session::HTTP2;
use crate::tls::session::Session;
use crate::tls::sni::CertificateIndex;
use crate::tls::stream::TlsStream;
use crate::tls::tickets::TicketKeys;
use crate::tls::tls_policy;
use crate::tls::tls_policy::Offer;
use crate::tls::transport::Transport;
use crate::tls::x509::algorithms::CertificateAlgorithms;
use crate::tls::x509::algorithms::algorithms_of;
use crate::tls::x509::ca::TrustedCas;
use crate::tls::x509::ca::sha256;
use crate::tls::x509::client_error::ClientCertificateError;
use crate::tls::zero_rtt::HandshakeSecret;

/// What a listener offers its clients. One for all workers.
pub struct DownstreamTls {
    configs: Arc<ServerConfigs>,
    client_auth: Option<ClientAuth>,
    tickets: Option<Arc<TicketKeys>>,
    /// What the resolver chooses from; None if that is no index.
    index: Option<Arc<CertificateIndex>>,
    /// Somebody wants to know the fingerprints of clients.
    wants_fingerprints: bool,
}

/// The versions of HTTP/1 in the words of ALPN (RFC 7301 §6), the preferred one first. A client that offers
/// HTTP/1.0 alone is served: a request says its version itself.
const HTTP1: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// That clients are asked for a certificate.
#[derive(Clone)]
pub struct ClientAuth {
    pub mode: ClientAuthMode,
    pub authorities: Arc<TrustedCas>,
}

/// Tickets for a client that opens several connections at once.
const TICKETS: usize = 2;

/// The protocols that listeners for HTTP agree to (RFC 7301 §6), the most wanted first.
pub fn http_protocols(http2: bool) -> Vec<Vec<u8>> {
    http2.then_some(HTTP2).into_iter().chain(HTTP1).map(<[u8]>::to_vec).collect()
}

impl DownstreamTls {
    /// Where the certificate that a client is shown stands among those of the listener. None: it is none of them any more.
    pub fn place_of_shown(&self, facts: &Facts) -> Option<usize> {
        self.index.as_ref()?.position(facts.shown()?)
    }

    /// `alpn`: the protocols that are agreed to, the most wanted first. With none, none is spoken of.
    pub fn new(
        offer: &Offer,
        resolver: Arc<dyn ResolvesServerCert>,
        tickets: Option<Arc<TicketKeys>>,
        client_auth: Option<ClientAuth>,
        alpn: &[Vec<u8>],
    ) -> Result<DownstreamTls, Error> {
        let verifier: Arc<dyn ClientCertVerifier> = match &client_auth {
            Some(auth) => Arc::new(ClientVerifier::new(auth.mode, Arc::clone(&auth.authorities))),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let resolver = Arc::new(Noting { inner: resolver });
        let binding = binding(client_auth.as_ref());
        let configs = ServerConfigs::new(offer, |offer| {
            let mut config = ServerConfig::builder_with_provider(tls_policy::provider(offer))
                .with_protocol_versions(&offer.versions)?
                .with_client_cert_verifier(Arc::clone(&verifier))
                .with_cert_resolver(Arc::<Noting>::clone(&resolver));
            config.ignore_client_order = true;
            config.alpn_protocols = alpn.to_vec();
            // Sessions live in tickets only: a store would have to be shared by all workers.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            // Records of TLS 1.3 are ours.
            config.enable_secret_extraction = true;
            config.key_log = Arc::new(HandshakeSecret);
            if let Some(tickets) = &tickets {
                config.ticketer = Arc::new(tickets.bound_to(binding));
                config.send_tls13_tickets = TICKETS;
            }
            Ok(config)
        })?;
        let configs = Arc::new(configs);
        Ok(DownstreamTls { configs, client_auth, tickets, index: None, wants_fingerprints: false })
    }

    /// The same, knowing which certificates there are; see [`DownstreamTls::covers`].
    pub fn with_index(self, index: Arc<CertificateIndex>) -> DownstreamTls {
        DownstreamTls { index: Some(index), ..self }
    }

    /// The same, taking the fingerprints of clients if they are wanted.
    pub fn with_fingerprints(self, wants_fingerprints: bool) -> DownstreamTls {
        DownstreamTls { wants_fingerprints, ..self }
    }

    /// Whether a connection that was opened for one name may carry requests for another: they have the same
    /// certificate (RFC 9113 §9.1.1).
    pub fn covers(&self, opened_for: Option<&str>, asked_for: &str) -> bool {
        self.index.as_ref().is_none_or(|index| index.share_certificate(opened_for, Some(asked_for)))
    }

    /// When the key of session tickets came into use, since the Unix epoch; None without tickets.
    pub fn ticket_key_since(&self) -> Option<Duration> {
        Some(self.tickets.as_ref()?.key_since())
    }

    /// Whether there is a certificate for this name.
    pub fn names(&self, name: &str) -> bool {
        self.index.as_ref().is_some_and(|index| index.names(name))
    }

    /// What a client had to prove to get in: differs where other certificates are required. 0: none is.
    pub fn client_auth_mark(&self) -> u64 {
        match &self.client_auth {
            Some(auth) if auth.mode == ClientAuthMode::Require => {
                let digest = binding(Some(auth));
                u64::from_be_bytes(digest.first_chunk().copied().unwrap_or_default()).max(1)
            }
            _ => 0,
        }
    }

    /// Verifies the certificates of a resumed session again: one may have expired or been revoked since
    /// the ticket was issued, and rustls does not look at them.
    pub(super) fn judge(&self, facts: &mut Facts) -> Result<(), HandshakeError> {
        let Some(auth) = self.client_auth.as_ref().filter(|_| facts.resumed) else { return Ok(()) };
        let required = auth.mode == ClientAuthMode::Require;
        if facts.chain.is_empty() {
            return if required { Err(HandshakeError::NoClientCertificate) } else { Ok(()) };
        }
        match auth.authorities.verify(&facts.chain, UnixTime::since_unix_epoch(wall_now())) {
            Ok(()) => facts.verdict = Some(ClientVerdict::Success),
            Err(error) if required => return Err(HandshakeError::BadClientCertificate(error)),
            Err(error) => facts.verdict = Some(ClientVerdict::Failed(error)),
        }
        Ok(())
    }

    /// What rustls is told for most clients.
    pub(super) fn usual(&self) -> &Arc<ServerConfig> {
        self.configs.usual()
    }

    /// Whether somebody wants to know the fingerprints of clients.
    pub fn wants_fingerprints(&self) -> bool {
        self.wants_fingerprints
    }

    /// The server's side of one connection.
    pub(super) fn session(&self) -> Session {
        Session::server(Arc::clone(&self.configs), self.wants_fingerprints)
    }
}

#[cfg(any(test, fuzzing))]
impl DownstreamTls {
    /// Makes the server send no record with more bytes than that.
    pub(super) fn cut_records(&mut self, bytes: Option<usize>) {
        let configs = Arc::get_mut(&mut self.configs).expect("nobody serves by it yet");
        configs.change(|config| config.max_fragment_size = bytes);
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(self.configs.usual())
    }
}

/// A ticket is worth nothing where clients are authenticated in another way than where it was issued:
/// it may stand for a client whom nobody asked.
fn binding(client_auth: Option<&ClientAuth>) -> [u8; 32] {
    let Some(auth) = client_auth else { return [0; 32] };
    let mode: &[u8] = match auth.mode {
        ClientAuthMode::Optional => b"optional",
        ClientAuthMode::Require => b"require",
    };
    sha256([mode, &auth.authorities.digest()].into_iter())
}

/// What a handshake told about the client and the connection.
#[derive(Default)]
pub struct Facts {
    /// As OpenSSL writes it: `TLSv1.3`.
    pub version: &'static str,
    /// The IANA number of the cipher suite.
    pub cipher_suite: u16,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<String>,
    pub alpn: Option<Vec<u8>>,
    pub resumed: bool,
    /// What the client offered, by IANA number.
    pub offered_suites: Vec<u16>,
    /// None: nobody wants to know them, or the first message could not be read.
    pub fingerprints: Option<Box<ClientFingerprints>>,
    /// The certificate that the client is shown, or would be without a session to resume.
    shown: Option<Arc<CertifiedKey>>,
    /// The client's certificates, its own first. Whether they are any good is what the verdict says.
    pub chain: Vec<CertificateDer<'static>>,
    /// None: the client showed no certificate.
    pub verdict: Option<ClientVerdict>,
}

impl Facts {
    /// Takes what a step of this handshake has left behind on this thread.
    fn take_hello(&mut self) {
        if let Some(hello) = HELLO.take() {
            self.server_name = hello.server_name;
            self.offered_suites = hello.cipher_suites;
            self.shown = hello.chosen;
        }
        if let Some(verdict) = take_verdict() {
            self.verdict = Some(verdict);
        }
    }

    /// The same, and whether there was no certificate for the name.
    pub(super) fn take_notes(&mut self) -> bool {
        self.take_hello();
        HAS_NO_CERTIFICATE.take()
    }

    /// The certificate that the client is shown.
    pub(super) fn shown(&self) -> Option<&Arc<CertifiedKey>> {
        self.shown.as_ref()
    }

    /// Of the certificate that the client is shown.
    pub fn shown_algorithms(&self) -> Option<CertificateAlgorithms> {
        algorithms_of(self.shown.as_ref()?.cert.first()?)
    }
}

/// How a handshake ended.
pub enum Accepted {
    Secured(Transport, Box<Facts>),
    /// The client speaks HTTP in cleartext; so much of it came.
    Plain(Socket, Buffer),
    /// An alert was sent, if the protocol has one for it.
    Failed(Transport, HandshakeError),
    /// The client left before the end. It may have said nothing at all.
    Gone {
        received: bool,
    },
}

/// Why a handshake failed, in one machine-readable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// The client sent an alert: it did not like our certificate, or changed its mind.
    ClientAlert,
    /// No version, cipher suite or key exchange group in common.
    NothingInCommon,
    /// What came is not TLS, or not what has its turn.
    Malformed,
    /// A certificate is required and none came.
    NoClientCertificate,
    /// The client's certificate is not acceptable.
    BadClientCertificate(ClientCertificateError),
    /// There is no certificate for the name that the client asks for.
    UnknownName,
    /// None of the protocols that the client speaks inside TLS (ALPN, RFC 7301).
    NoProtocol,
    Other,
}

impl HandshakeError {
    pub fn as_str(self) -> &'static str {
        match self {
            HandshakeError::ClientAlert => "tls_client_alert",
            HandshakeError::NothingInCommon => "tls_nothing_in_common",
            HandshakeError::Malformed => "tls_malformed",
            HandshakeError::NoClientCertificate => "client_certificate_missing",
            HandshakeError::BadClientCertificate(error) => error.reason(),
            HandshakeError::UnknownName => "tls_unknown_name",
            HandshakeError::NoProtocol => "tls_no_protocol",
            HandshakeError::Other => "tls_handshake",
        }
    }
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> HandshakeError {
        match error {
            Error::AlertReceived(_) => HandshakeError::ClientAlert,
            Error::PeerIncompatible(_) => HandshakeError::NothingInCommon,
            Error::NoCertificatesPresented => HandshakeError::NoClientCertificate,
            // What is no certificate at all never comes to a verdict.
            Error::InvalidCertificate(_) => {
                HandshakeError::BadClientCertificate(ClientCertificateError::Malformed)
            }
            Error::NoApplicationProtocol => HandshakeError::NoProtocol,
            Error::General(_) if HAS_NO_CERTIFICATE.take() => HandshakeError::UnknownName,
            Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::InvalidMessage(_)
            | Error::PeerMisbehaved(_)
            | Error::DecryptError
            | Error::PeerSentOversizedRecord => HandshakeError::Malformed,
            _ => HandshakeError::Other,
        }
    }
}

/// Makes a client's connection secure. `input` was received already; if it is empty, there is something to
/// receive. The caller bounds the time.
pub async fn accept(
    socket: Socket,
    input: Buffer,
    terms: &DownstreamTls,
    buffers: &Buffers,
    budget: &WorkBudget,
) -> Accepted {
    let mut input = input;
    if input.is_empty() {
        match receive(&socket, input).await {
            Ok(received) => input = received,
            Err(_) => return Accepted::Gone { received: false },
        }
    }
    // Every TLS record begins with a control character; every request with a letter.
    if input.filled().first().is_some_and(u8::is_ascii_alphabetic) {
        return Accepted::Plain(socket, input);
    }
    let stream = TlsStream::new(socket, terms.session(), buffers.clone());
    let mut facts = Box::new(Facts::default());
    match drive(&stream, input, budget, &mut facts).await {
        Ok(()) => {
            collect(&stream, &mut facts);
            let judged = terms.judge(&mut facts);
            let transport = Transport::Tls(Box::new(stream));
            match judged {
                Ok(()) => Accepted::Secured(transport, facts),
                Err(error) => Accepted::Failed(transport, error),
            }
        }
        Err(BrokenHandshake::Gone) => Accepted::Gone { received: true },
        Err(BrokenHandshake::Failed(error)) => Accepted::Failed(Transport::Tls(Box::new(stream)), error),
    }
}

/// Says in a fatal alert that it is about the name: "unrecognized_name: Sent by servers when no server exists identified by
/// the name provided by the client" (RFC 8446 §6.2). rustls says access_denied.
fn blame_name(record: &mut [u8]) {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    const UNRECOGNIZED_NAME: u8 = 112;
    if let [ALERT, _, _, 0, 2, FATAL, description] = record {
        *description = UNRECOGNIZED_NAME;
    }
}

enum BrokenHandshake {
    Gone,
    Failed(HandshakeError),
}

async fn drive(
    stream: &TlsStream,
    input: Buffer,
    budget: &WorkBudget,
    facts: &mut Facts,
) -> Result<(), BrokenHandshake> {
    let mut input = input;
    loop {
        budget.acquire(1).await;
        let advanced = stream.advance(input);
        facts.take_hello();
        let done = advanced.is_ok() && !stream.session().borrow().is_handshaking();
        if done && stream.has_early() {
            // The tickets leave with the response.
            return Ok(());
        }
        let failure = advanced.err().map(|error| described(error, facts.verdict));
        if let Some(mut outgoing) = stream.take_handshake_output() {
            if failure == Some(HandshakeError::UnknownName) {
                blame_name(outgoing.filled_mut());
            }
            stream.socket().send(outgoing).await.0.map_err(|_| BrokenHandshake::Gone)?;
        }
        if let Some(failure) = failure {
            return Err(BrokenHandshake::Failed(failure));
        }
        if done {
            return Ok(());
        }
        if stream.peer_has_closed() {
            return Err(BrokenHandshake::Gone);
        }
        // Waiting holds no buffer.
        stream.socket().readable().await.map_err(|_| BrokenHandshake::Gone)?;
        input =
            receive(stream.socket(), stream.room_for_handshake()).await.map_err(|_| BrokenHandshake::Gone)?;
    }
}

/// The verdict knows better than rustls' error what was wrong with a certificate.
fn described(error: Error, verdict: Option<ClientVerdict>) -> HandshakeError {
    match (error, verdict) {
        (Error::InvalidCertificate(_), Some(ClientVerdict::Failed(error))) => {
            HandshakeError::BadClientCertificate(error)
        }
        (error, _) => error.into(),
    }
}

async fn receive(socket: &Socket, buffer: Buffer) -> io::Result<Buffer> {
    match socket.receive(buffer).await {
        (Ok(1..), buffer) => Ok(buffer),
        (Ok(0), _) => Err(io::ErrorKind::UnexpectedEof.into()),
        (Err(error), _) => Err(error),
    }
}

fn collect(stream: &TlsStream, facts: &mut Facts) {
    facts.fingerprints = stream.session().borrow_mut().take_fingerprints();
    let Some(agreed) = stream.session().borrow_mut().take_agreed() else { return };
    facts.version = agreed.version.and_then(version_name).unwrap_or_default();
    facts.cipher_suite = agreed.cipher_suite;
    facts.alpn = agreed.alpn;
    facts.resumed = agreed.resumed;
    facts.chain = agreed.chain;
}

/// What is known of a ClientHello and nowhere else.
struct Hello {
    server_name: Option<String>,
    cipher_suites: Vec<u16>,
    /// The certificate that was chosen for it.
    chosen: Option<Arc<CertifiedKey>>,
}

thread_local! {
    /// The ClientHello that was processed last on this thread. rustls shows it only to who chooses the
    /// certificate, which it asks while [`TlsStream::advance`] runs.
    static HELLO: RefCell<Option<Hello>> = const { RefCell::new(None) };
    /// There was no certificate for it. rustls tells that by no error of its own.
    static HAS_NO_CERTIFICATE: Cell<bool> = const { Cell::new(false) };
}

/// Takes notes of each ClientHello.
#[derive(Debug)]
struct Noting {
    inner: Arc<dyn ResolvesServerCert>,
}

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut noted = Hello {
            server_name: hello.server_name().map(str::to_ascii_lowercase),
            cipher_suites: hello.cipher_suites().iter().map(|suite| (*suite).into()).collect(),
            chosen: None,
        };
        let chosen = self.inner.resolve(hello);
        noted.chosen.clone_from(&chosen);
        HELLO.set(Some(noted));
        HAS_NO_CERTIFICATE.set(chosen.is_none());
        chosen
    }
}
